"""Files of the early manual, and observation results of MEGARA."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, refused, small_stack, write_parameters

from crstack import MaskSet
from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.exceptions import ConfigurationError, CRStackWarning

#: as in the early manual
EARLY = f"""\
images: {NAMES}
extnum: 0
gain: {GAIN}
rnoise: {READNOISE / GAIN}
bias: {BIAS}
requirements:
  crmethod: mm_lacosmic
  use_lamedian: False
  interactive: False
  flux_factor: none
  flux_factor_region: null
  apply_flux_factor_to: simulated
  dilation: 1
  pixels_to_be-flagged_as_cr: [[3, 4]]
  pixels_to_be_ignored_as_cr:
  pixels_to_be_replaced_by_local_median:
  - [20, 30, 5, 5]
  verify_cr: False
  plots: True
  la_gain_apply: True
  la_sigclip: 5.0
  la_sigfrac: 0.3
  la_objlim: 5.0
  la_satlevel: 65535.0
  ls_niter: 4
  la_psfmodel: gaussxy
  mm_crosscorr_region: null
  mm_boundary_fit: spline
  mm_knots_split: 3
  mm_nsimulations: 2
  mm_threshold: 5.1
  mm_minimum_max2d_rnoise: 5.0
  mm_seed: 123456
"""
#: as in the MEGARA cookbook
OBSERVATION = f"""\
id: 8_LR-R_crmasks
mode: MegaraCrDetection
instrument: MEGARA
frames:
 - {NAMES[0]}
 - {NAMES[1]}
 - {NAMES[2]}
gain: {GAIN}
rnoise: {READNOISE / GAIN}
bias: {BIAS}
requirements:
  crmethod: mm_lacosmic
  mm_nsimulations: 2
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Current directory with images in the subdirectory data."""
    monkeypatch.chdir(tmp_path)
    simulated = small_stack()
    Path("data").mkdir()
    for name, ccd in zip(NAMES, simulated.exposures, strict=True):
        ccd.write(Path("data") / name)


def run(text, output="out"):
    Path("p.yaml").write_text(text)
    return main(["run", "p.yaml", "--output-dir", output, "--no-plots", "--log-level", "warning"])


def test_early_file_runs_and_tells_the_new_names(here, capsys):
    assert run(EARLY) == 0
    err = capsys.readouterr().err
    for old, new in (
        ("use_lamedian", "use_auxmedian"),
        ("flux_factor_region", "flux_factor_regions"),
        ("mm_threshold", "mm_threshold_rnoise"),
        ("ls_niter", "la_niter"),
        ("mm_knots_split", "mm_knots_splfit"),
        ("pixels_to_be-flagged_as_cr", "pixels_to_be_flagged_as_cr"),
    ):
        assert f"{old} is the old name of {new}; taken as {new}: " in err
    assert "plots has no effect: figures are drawn unless --no-plots" in err
    # the old threshold of 5.1 ADU at a read noise of 1.7 ADU
    configuration = read_configuration("p.yaml")
    assert configuration["mm_threshold_rnoise"] == pytest.approx(3.0)
    assert configuration["pixels_to_be_flagged_as_cr"] == ((3, 4),)
    assert configuration.parts.detector.sigclip == 5.0
    masks = MaskSet.read("out/crmasks.fits")
    assert masks["MEDIANCR"][3, 2]
    assert masks.local_medians == ((20, 30, 5, 5),)
    with fits.open("out/combined_mediancr.fits") as hdus:
        assert hdus["MAP"].data[29, 19] == 0
    # the same with the current names
    new = write_parameters(
        "new.yaml",
        crmethod="mm_lacosmic",
        dilation=1,
        pixels_to_be_flagged_as_cr=[[3, 4]],
        pixels_to_be_replaced_by_local_median=[[20, 30, 5, 5]],
        la_sigclip=5.0,
        mm_knots_splfit=3,
    )
    assert main(["run", new, "--output-dir", "again", "--no-plots", "--log-level", "error"]) == 0
    difference = fits.FITSDiff(
        "out/crmasks.fits", "again/crmasks.fits", ignore_keywords=["UUID", "HISTORY", "CHECKSUM", "DATASUM"]
    )
    assert difference.identical, difference.report()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("flux_factor_region: '[229:274, 1:1596]'", {"flux_factor_regions": ((229, 274, 1, 1596),)}),
        ("mm_binom_shape: 200", {"mm_nbinom_shape": 200}),
        ("mm_threshold: 0.0", {"mm_threshold_rnoise": 0}),
        ("use_lamedian: True", {"use_auxmedian": True}),
    ],
)
def test_old_names(tmp_path, line, values):
    path = tmp_path / "p.yaml"
    path.write_text(f"images: {NAMES}\ngain: 1\nrnoise: 3.4\nrequirements:\n  crmethod: mm_lacosmic\n  {line}\n")
    configuration = read_configuration(path)
    assert {key: configuration[key] for key in values} == values


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("use_lamedian: True\n  use_auxmedian: True", "use_lamedian must not be given beside use_auxmedian"),
        ("mm_threshold: high", "mm_threshold must be a number in ADU .*got 'high'"),
        ("mm_threshold: -1", "mm_threshold_rnoise must be a number at least 0"),
    ],
)
def test_old_names_that_say_nothing_clear(here, capsys, text, match):
    few = f"images: {NAMES}\ngain: 1\nrnoise: 3.4\nrequirements:\n  crmethod: mm_lacosmic\n  {text}\n"
    Path("p.yaml").write_text(few)
    refused(capsys, ["run", "p.yaml", "--output-dir", "out"], match)
    Path("p.yaml").write_text(few.replace("3.4", "rnoise.fits").replace(text, "mm_threshold: 5"))
    refused(capsys, ["run", "p.yaml", "--output-dir", "out"], "with rnoise 'rnoise.fits'; give mm_threshold_rnoise")


def test_observation_result_runs(here, capsys):
    assert run(OBSERVATION) == 0
    assert capsys.readouterr().err == ""
    new = write_parameters("new.yaml", crmethod="mm_lacosmic")
    assert main(["run", new, "--output-dir", "again", "--no-plots", "--log-level", "error"]) == 0
    for name in ("crmasks", "combined_meancr2"):
        one, other = (fits.open(f"{place}/{name}.fits") for place in ("out", "again"))
        with one, other:
            for here_hdu, there in zip(one[1:], other[1:], strict=True):
                np.testing.assert_array_equal(here_hdu.data, there.data)


def test_one_of_several_observations(tmp_path):
    path = tmp_path / "p.yaml"
    other = "id: 8_LcbImage\nmode: MegaraLcbImage\ninstrument: MEGARA\nframes: [a.fits]\n"
    path.write_text(other + "---\n" + OBSERVATION)
    assert read_configuration(path)["images"] == tuple(NAMES)
    path.write_text(other + "---\n" + other)
    with pytest.raises(ConfigurationError, match="got 2 documents, 0 of them of that mode"):
        read_configuration(path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (OBSERVATION.replace("MegaraCrD", "MegaraArcD"), "mode must be MegaraCrDetection; got MegaraArcDetection"),
        (OBSERVATION.replace(f"gain: {GAIN}\n", ""), "gain must be added at the top level, beside frames"),
        (OBSERVATION + "images: [a, b, c]\n", "images must not be given beside frames"),
        (OBSERVATION.replace("frames:", "frame:"), "frames must be given in an observation result"),
        (OBSERVATION + "gian: 3\n", "got gian"),
        (OBSERVATION.replace(f" - {NAMES[2]}\n", ""), "images must be three or more for crmethod .*; got 2"),
    ],
)
def test_wrong_observation_results(here, capsys, text, match):
    Path("p.yaml").write_text(text)
    refused(capsys, ["run", "p.yaml", "--output-dir", "out"], match)


def test_masks_of_the_early_program(tmp_path, stack):
    """Masks without MEANCR, with the cleaned median under another name."""
    masks = replace(stack.detect(aux="lacosmic"), history=())
    hdus = masks.to_hdulist()
    for name in ("MEANCR", "CODES"):
        del hdus[name]
    hdus["AUXCLEAN"].name = "LAMEDIAN"
    hdus.writeto(tmp_path / "early.fits")
    with pytest.warns(CRStackWarning, match="early.fits holds no MEANCR"):
        early = MaskSet.read(tmp_path / "early.fits")
    np.testing.assert_array_equal(early.auxclean, masks.auxclean)
    assert not early["MEANCR"].any()
    np.testing.assert_array_equal(early["CRMASK2"], masks["CRMASK2"])
