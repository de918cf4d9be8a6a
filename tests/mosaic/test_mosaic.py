"""Mosaics: every chip of multi-extension files, in Python and by the command."""

import contextlib
import inspect
import json
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from support.limited import resident_bytes

import crstack
from crstack import CRStack, MaskSet, Mosaic, read_mosaic
from crstack.batch import run as run_batch
from crstack.cli import main
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.mosaic import chips_of
from crstack.pipeline.space import product_sizes
from crstack.stages.argument_types import DetectOptions, MosaicCombineOptions, StackOptions

SHAPES = ((40, 50), (36, 44), (50, 40))
GAINS = (1.5, 2.0, 2.5)
NOISE = {"gain": "header:GAIN", "readnoise": "header:RDNOISE"}


def chip_hdu(ccd, gain, number, name="SCI"):
    hdu = fits.ImageHDU(ccd.data.astype(np.float32), name=name, ver=number)
    hdu.header["BUNIT"] = "adu"
    hdu.header["GAIN"] = gain
    hdu.header["RDNOISE"] = 4.0
    hdu.header["CHIPID"] = f"chip-{number}"
    hdu.header["CTYPE1"], hdu.header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    hdu.header["CRVAL1"], hdu.header["CRVAL2"] = 10.0 * number, -5.0
    hdu.header["CD1_1"] = hdu.header["CD2_2"] = 1e-4
    return hdu


@pytest.fixture(scope="module")
def chips():
    return [
        make_stack("ifu", shape, gain=gain * u.electron / u.adu, readnoise=4 * u.electron, hit_rate=0.02, seed=seed)
        for seed, (shape, gain) in enumerate(zip(SHAPES, GAINS, strict=True), start=1)
    ]


@pytest.fixture
def files(tmp_path, monkeypatch, chips):
    monkeypatch.chdir(tmp_path)
    return write_files(chips)


@pytest.fixture(scope="module")
def products(tmp_path_factory, chips):
    """The output directory of a run of all chips by the command, without figures."""
    with contextlib.chdir(tmp_path_factory.mktemp("mosaic")):
        assert run_chips(write_files(chips), "all", "out") == 0
        return Path("out").absolute()


def write_files(chips):
    """Three exposures with three chips, and a mask of bad pixels that is no chip."""
    for i in range(3):
        primary = fits.PrimaryHDU()
        primary.header["OBJECT"], primary.header["EXPTIME"], primary.header["ROW"] = "M33", 300.0, i + 1
        hdus = [
            chip_hdu(chip.exposures[i], gain, n) for n, (chip, gain) in enumerate(zip(chips, GAINS, strict=True), 1)
        ]
        hdus.append(fits.ImageHDU(np.zeros((5, 5), np.uint8), name="DQ"))
        fits.HDUList([primary, *hdus]).writeto(f"n{i + 1}.fits")
    return ["n1.fits", "n2.fits", "n3.fits"]


def test_chips_of_files(files):
    assert [chip.name for chip in chips_of(files)] == ["SCI1", "SCI2", "SCI3"]
    assert [(chip.number, chip.extname, chip.extver) for chip in chips_of(files, [3, 1])] == [
        (3, "SCI", 3),
        (1, "SCI", 1),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.ones((6, 6))), fits.ImageHDU(np.ones((6, 6)))]).writeto(
        "bare.fits"
    )
    assert [chip.name for chip in chips_of(["bare.fits"])] == ["CHIP1", "CHIP2"]
    with pytest.raises(InputError, match=r"same chips; got SCI1, SCI2, SCI3 in n1.fits and CHIP1, CHIP2 in bare.fits"):
        chips_of([*files, "bare.fits"])
    with pytest.raises(InputError, match=r"ext must be extensions with an image \(1 \(SCI\), .*\) of n1.fits; got 4"):
        chips_of(files, [1, 4])
    with pytest.raises(InputError, match="ext must name each chip once"):
        chips_of(files, [1, "SCI"])


def test_a_mosaic_is_its_chips(files, chips):
    mosaic = read_mosaic("n*.fits", **NOISE)
    assert isinstance(mosaic, Mosaic)
    with pytest.raises(KeyError, match="chip must be one of SCI1, SCI2, SCI3; got 'SCI9'"):
        mosaic["SCI9"]
    assert repr(mosaic) == "<Mosaic of 3 exposures with the chips SCI1, SCI2, SCI3>"
    masks = mosaic.detect("mmcosmic", aux=None)
    combined = mosaic.combine("meancr2")
    for number, (name, chip) in enumerate(zip(mosaic, chips, strict=True), start=1):
        alone = CRStack(files, ext=number, **NOISE)
        assert alone.exposures.noise.gain == GAINS[number - 1] * u.electron / u.adu
        expected = alone.detect("mmcosmic", aux=None)
        np.testing.assert_array_equal(masks[name].codes["MEANCRT"], expected.codes["MEANCRT"])
        assert combined[name].shape == chip.exposures[0].shape
        np.testing.assert_array_equal(combined[name].data, alone.combine("meancr2").data)
    few = read_mosaic(files, ext=[2], **NOISE)
    assert list(few) == ["SCI"]
    with pytest.raises(InputError, match=r"ext must be one extension; got 'all': use crstack\.read_mosaic"):
        CRStack(files, ext="all", **NOISE)
    with pytest.raises(InputError, match=r"ext must be one extension; got \[1, 2\]"):
        CRStack(files, ext=[1, 2], **NOISE)


@pytest.fixture(scope="module")
def judged(tmp_path_factory, chips):
    """A mosaic and its masks."""
    with contextlib.chdir(tmp_path_factory.mktemp("judged")):
        mosaic = read_mosaic(write_files(chips), **NOISE)
        return mosaic, mosaic.detect("joint")


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz"])
def test_one_file_for_all_chips(judged, ending, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mosaic, masks = judged
    mosaic.write(f"c{ending}", "meanjoint")
    mosaic.write_masks(f"m{ending}")
    with fits.open(f"c{ending}") as hdus:
        hdus.verify("exception")
        assert (hdus[0].header["OBJECT"], hdus[0].header["NCHIPS"]) == ("M33", 3)
        for number in (1, 2, 3):
            image = hdus["SCI", number]
            assert image.header["CHIPID"] == f"chip-{number}"
            assert image.header["CRVAL1"] == 10.0 * number
            for name in ("VARIANCE", "MAP", "MASK", "FLAGS"):
                assert hdus[name, number].shape == image.shape == SHAPES[number - 1]
                assert hdus[name, number].header["CRCHIP"] == f"SCI{number}"
                assert hdus[name, number].header["CRVAL1"] == 10.0 * number
    for name, stack in mosaic.items():
        back, made = crstack.read(f"c{ending}", chip=name), stack.combine("meanjoint", full_output=True)
        np.testing.assert_array_equal(back.ccd.data, made.ccd.data)
        np.testing.assert_array_equal(back.ccd.uncertainty.array, made.ccd.uncertainty.array)
        np.testing.assert_array_equal(back.count, made.count)
        assert back.ccd.unit == u.adu
        read = MaskSet.read(f"m{ending}", chip=name)
        assert read.uuid == masks[name].uuid
        assert read.history == masks[name].history
        for mask in masks[name]:
            np.testing.assert_array_equal(read.codes[mask], masks[name].codes[mask])
        np.testing.assert_allclose(read.probability, masks[name].probability, atol=1 / 255)
    with pytest.raises(InputError, match=r"chip must be one of those of .* \(SCI1, SCI2, SCI3\); got None"):
        crstack.read(f"c{ending}")
    with pytest.raises(InputError, match=r"chip must be one of those of .* got 'SCI9'"):
        MaskSet.read(f"m{ending}", chip="SCI9")


def run(*arguments):
    return main(["run", *arguments, "--output-dir", "out", "--log-level", "error"])


def test_the_command_writes_one_file_of_each_product(files, capsys):
    numbers = ["--gain", "header:GAIN", "--readnoise", "header:RDNOISE", "--method", "joint", "--no-plots"]
    assert run(*files, *numbers, "--ext", "1", "2", "3", "--json", "--clean") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["SCI1", "SCI2", "SCI3"]
    mosaic = read_mosaic(files, **NOISE)
    mosaic.detect("joint")
    names = {path.name for path in Path("out").glob("*.fits")}
    assert {"crmasks.fits", "combined_mean.fits", "combined_meanjoint.fits", "exposure_2_clean.fits"} <= names
    for name, stack in mosaic.items():
        back = crstack.read("out/combined_meanjoint.fits", chip=name)
        np.testing.assert_array_equal(back.ccd.data, stack.combine("meanjoint").data)
        assert MaskSet.read("out/crmasks.fits", chip=name).shape == stack.exposures.shape
        assert not list(Path("out", name).glob("*.fits*"))
        assert Path("out", name, "mediancr_identified.ecsv").is_file()
    with fits.open("out/exposure_2_clean.fits") as hdus:
        assert hdus[0].header["ROW"] == 2
        assert hdus["SCI", 3].shape == SHAPES[2]
    # CCDData reads one chip
    ccd = CCDData.read("out/combined_meanjoint.fits", hdu=6, hdu_mask=None, hdu_uncertainty=None)
    assert ccd.header["CRCHIP"] == "SCI2"
    # a second run replaces the files
    assert run_chips(files, "all", "out") == 0
    assert "exposure_2_clean.fits" not in {path.name for path in Path("out").glob("*.fits")}


def test_a_disk_that_is_too_small_for_all_chips_is_refused(files, monkeypatch, capsys):
    """Each chip fits, but not all of them with the joined files."""
    n_pixels = sum(ny * nx for ny, nx in SHAPES)
    sizes = product_sizes(len(files), n_pixels, plots=False, outputs=["mean", "meancr2", "meanjoint"])
    free = SimpleNamespace(total=10**12, used=0, free=sizes.total + sizes.largest - 1)
    monkeypatch.setattr("crstack.utils.disk.shutil.disk_usage", lambda path: free)
    assert run_chips(files, "all", "out") == 2
    assert "a joined file beside those of its chips" in capsys.readouterr().err
    assert not Path("out").exists()


def test_the_space_is_that_of_trimmed_chips(files, monkeypatch):
    counted = []
    monkeypatch.setattr("crstack.pipeline.mosaic.check_space", lambda directory, sizes, *_: counted.append(sizes))
    numbers = ["--gain", "header:GAIN", "--readnoise", "header:RDNOISE", "--method", "joint", "--no-plots"]
    assert run(*files, *numbers, "--ext", "all", "--trim", "[1:30,3:22]") == 0
    assert counted == [product_sizes(len(files), 3 * 30 * 20, n_chips=3, plots=False)]


def test_a_parameter_file_and_its_reports(files):
    text = {"images": files, "extnum": [2, 1], "gain": "header:GAIN", "rnoise": "header:RDNOISE"}
    Path("p.yaml").write_text(yaml.safe_dump(text | {"requirements": {"crmethod": "joint", "outputs": ["meanjoint"]}}))
    assert run("p.yaml", "--dry-run") == 0
    assert not Path("out").exists()
    assert run("p.yaml") == 0
    with fits.open("out/combined_meanjoint.fits") as hdus:
        assert [hdu.header["CRCHIP"] for hdu in hdus if hdu.name == "SCI"] == ["SCI2", "SCI1"]
    for name in ("SCI1", "SCI2"):
        page = Path("out", name, "report.html").read_text()
        assert '<a href="../combined_meanjoint.fits">' in page
        assert '<a href="mediancr_identified.ecsv">' in page


def test_bad_input_writes_nothing(files, capsys):
    text = {"images": files, "extnum": "all", "gain": "header:GAIN", "rnoise": "header:RDNOISE"}
    Path("p.yaml").write_text(yaml.safe_dump(text))
    fits.delval("n3.fits", "GAIN", ext=3)
    assert run("p.yaml", "--no-plots") == 2
    assert "chip SCI3: gain must be in GAIN of the header of n3.fits" in capsys.readouterr().err
    assert run("p.yaml", "--no-plots", "--crmasks", "m.fits") == 2
    assert "chip SCI1: " in capsys.readouterr().err
    assert not Path("out").exists()
    fits.setval("n3.fits", "GAIN", value=GAINS[2], ext=3)
    Path("out").mkdir()
    Path("out/combined_mean.fits").write_text("mine")
    assert run("p.yaml", "--no-plots") == 2
    assert "files that the run writes must be new" in capsys.readouterr().err
    assert sorted(path.name for path in Path("out").iterdir()) == ["combined_mean.fits"]


def assert_equal_files(one, other, pattern="combined_*.fits", atol=0.0):
    names = sorted(path.name for path in Path(one).glob(pattern))
    assert names == sorted(path.name for path in Path(other).glob(pattern))
    assert names
    for name in names:
        with fits.open(f"{one}/{name}") as first, fits.open(f"{other}/{name}") as second:
            assert [hdu.name for hdu in first] == [hdu.name for hdu in second]
            for hdu, same in zip(first[1:], second[1:], strict=True):
                np.testing.assert_allclose(hdu.data, same.data, rtol=0, atol=atol, err_msg=f"{name} {hdu.name}")


def run_chips(files, ext, output, *more):
    """Exit code of a run of some chips, which writes some of the combined images."""
    text = {"images": files, "extnum": ext, "gain": "header:GAIN", "rnoise": "header:RDNOISE"}
    outputs = ["mean", "meancr2", "meanjoint"]
    Path("p.yaml").write_text(yaml.safe_dump(text | {"requirements": {"crmethod": "joint", "outputs": outputs}}))
    return main(["run", "p.yaml", "--no-plots", "--log-level", "error", "--output-dir", output, *more])


def test_masks_of_a_file_go_to_their_chips(files, products, capsys):
    shutil.copytree(products, "out")
    given = ["--crmasks", "out/crmasks.fits"]
    assert run_chips(files, "all", "again", *given) == 0
    # files hold the probabilities in steps of 1/255
    assert_equal_files("out", "again", "combined_me*.fits", atol=0.5)
    for name in ("SCI1", "SCI3"):
        masks, kept = (MaskSet.read(f"{one}/crmasks.fits", chip=name) for one in ("out", "again"))
        assert masks.uuid == kept.uuid
        np.testing.assert_array_equal(masks.crmasks, kept.crmasks)
    # one chip alone uses its own, by name, version or number
    assert run_chips(files, 2, "alone", *given) == 0
    alone, chip = MaskSet.read("alone/crmasks.fits"), MaskSet.read("out/crmasks.fits", chip="SCI2")
    assert alone.uuid == chip.uuid
    np.testing.assert_array_equal(alone.crmasks, chip.crmasks)
    # in place, the file of the masks stays as it is
    before = Path("out/crmasks.fits").read_bytes()
    assert run_chips(files, "all", "out", *given) == 0
    assert Path("out/crmasks.fits").read_bytes() == before
    assert_equal_files("out", "again")
    assert not list(Path("out").glob("*/*.fits"))
    # the masks of another choice of chips
    assert run_chips(files, [1, 2], "two") == 0
    capsys.readouterr()
    assert run_chips(files, "all", "no", "--crmasks", "two/crmasks.fits") == 2
    assert "chip SCI3: chip must be one of those of two/crmasks.fits (SCI1, SCI2); got" in capsys.readouterr().err
    assert not Path("no").exists()


def test_a_mosaic_in_files_is_that_in_memory(files, products):
    limit = resident_bytes() + 10_000_000
    if not resident_bytes():
        pytest.skip("this system does not report the memory of a process")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the work used")
        assert run_chips(files, "all", "limited", "--mem-limit", str(limit)) == 0
    assert_equal_files(products, "limited")
    assert_equal_files(products, "limited", "crmasks.fits")


def test_a_batch_of_mosaics(files, monkeypatch):
    settings = {"extnum": "all", "gain": "header:GAIN", "rnoise": "header:RDNOISE"}
    settings["requirements"] = {"crmethod": "joint", "outputs": ["meanjoint"]}
    Path("night.yaml").write_text(yaml.safe_dump({"defaults": settings, "stacks": {"m33": files}}))
    with ThreadPoolExecutor(1) as pool:  # no process is started
        monkeypatch.setattr("crstack.batch.run", lambda *args, **more: run_batch(*args, **more | {"executor": pool}))
        for state in ("done", "skipped"):
            assert main(["batch", "night.yaml", "--output-dir", "out", "--no-plots"]) == 0
            (row,) = Table.read("out/results.ecsv")
            assert row["state"] == state
    masks = [MaskSet.read("out/m33/crmasks.fits", chip=name) for name in ("SCI1", "SCI2", "SCI3")]
    assert row["n_meancrt"] == sum(np.count_nonzero(one["MEANCRT"]) for one in masks) > 50
    flagged = sum(np.count_nonzero(one.crmasks) for one in masks)
    assert row["n_crmask"] == flagged
    assert row["fraction_crmask"] == pytest.approx(flagged / sum(one.crmasks.size for one in masks))
    assert Path("out/m33/combined_meanjoint.fits").is_file()


def test_the_options_are_those_of_a_stack():
    """An editor completes each of them, and a typo raises the error of the stack."""
    of_stack = set(inspect.signature(CRStack).parameters) - {"exposures", "ext"}
    assert set(StackOptions.__annotations__) == of_stack
    assert set(DetectOptions.__annotations__) == set(inspect.signature(CRStack.detect).parameters) - {"self", "method"}
    of_combine = set(inspect.signature(CRStack.combine).parameters) - {"self", "name", "masks", "full_output"}
    assert set(MosaicCombineOptions.__annotations__) == of_combine
