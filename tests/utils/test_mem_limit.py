"""``mem_limit``: a stack that does not fit is kept in files, and the results are those of the whole."""

import errno
import gc
import gzip
import os
import time
from dataclasses import dataclass, replace

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.io import fits
from support.stacks import make_joint_quick

from crstack import (
    CRStack,
    Detection,
    Detector,
    JointPosterior,
    LACosmicDetector,
    MaskSet,
    PyCosmicDetector,
    VotingDetector,
)
from crstack.cli import main
from crstack.combine import COMBINATIONS
from crstack.datasets import make_stack
from crstack.equalize import ResponseSettings, measure
from crstack.exceptions import InputError
from crstack.exposures import loading
from crstack.exposures.input.place import expected_bytes
from crstack.joint import false_alarms
from crstack.utils import memory, threads
from crstack.utils.memory import Workspace, empty_image, limited_memory, place_of
from crstack.utils.process_memory import check_mem_limit, resident_bytes

pytestmark = [
    pytest.mark.skipif(not resident_bytes(), reason="this system does not report the memory of a process"),
    pytest.mark.usefixtures("quick_joint"),
]

#: masks, of one byte for each pixel, are large enough for a file
SHAPE = (250, 270)


def simulated(n, scene="imaging", **options):
    return make_stack(scene, shape=SHAPE, n_exposures=n, seed=7, **options)


def stack_of(one, **options):
    return CRStack(one.exposures, gain=one.gain, readnoise=one.readnoise, bias=one.bias, **options)


def held():
    """Memory that the process holds, without what earlier tests have left to the C library."""
    gc.collect()
    memory.trim()
    return resident_bytes()


def too_little():
    """A limit that the process has nearly reached."""
    return held() + 10_000_000


def enough():
    """A limit for work on whole images one by one, but not for all of them at once."""
    return held() + memory.FIXED + 20_000_000


@dataclass(frozen=True)
class Unmeasured(Detector):
    """A detector whose memory is not known."""

    def detect(self, image, noise, mask=None):
        return Detection(image > 1e4)


def with_bad_values(one):
    for i, ccd in enumerate(one.exposures):
        ccd.mask = np.zeros(ccd.shape, bool)
        ccd.mask[60:64, 20 * i : 20 * i + 30] = True
        ccd.mask[2 * len(ccd.mask) // 3 + i] = True
    return one


CASES = {
    "two": lambda: simulated(2),
    "three with bad values": lambda: with_bad_values(simulated(3)),
    "five that differ": lambda: simulated(
        5, sky_factors=(1, 1.3, 0.8, 1.1, 1), offsets=[(0, 0), (0.3, 0.1)] + 3 * [(0, 0)]
    ),
    "three with uncertainties": lambda: simulated(3, with_uncertainty=True),
}


# median and minimum of exposures that differ warn of it
@pytest.mark.filterwarnings("ignore:levels of the exposures differ")
@pytest.mark.parametrize("case", CASES)
def test_results_in_files_are_those_in_memory(case, monkeypatch):
    # what differs is measured in a part of the image, as in large ones
    monkeypatch.setattr(measure, "WHOLE", 40_000)
    monkeypatch.setattr(threads, "PIXELS_IN_CACHE", 1 << 14)
    one = CASES[case]()
    whole, limited = stack_of(one), stack_of(one, mem_limit=too_little())
    assert place_of(whole.exposures.data) is None
    assert place_of(limited.exposures.data) is not None
    masks = [stack.detect(JointPosterior()) for stack in (whole, limited)]
    assert place_of(masks[1].codes["CRMASK1"]) is not None
    for name in masks[0]:
        np.testing.assert_array_equal(*(one.codes[name] for one in masks))
    np.testing.assert_array_equal(*(one.probability for one in masks))
    tables = [stack.features("MEANCRT") for stack in (whole, limited)]
    assert (tables[0].as_array() == tables[1].as_array()).all()
    assert masks[0]["MEANCRT"].any()
    for name in COMBINATIONS:
        found = [stack.combine(name, full_output=True) for stack in (whole, limited)]
        np.testing.assert_allclose(*(one.ccd.data for one in found), rtol=1e-6)
        np.testing.assert_allclose(*(one.ccd.uncertainty.array for one in found), rtol=1e-6)
        for plane in ("count", "flags"):
            np.testing.assert_array_equal(*(getattr(one, plane) for one in found))


@pytest.mark.parametrize("case", ["three with bad values", "five that differ"])
def test_bands_of_rows_give_the_result_of_one_band(case, monkeypatch):
    """Also for hits that lie across the edges of bands."""
    monkeypatch.setattr(measure, "WHOLE", 40_000)
    one, found = CASES[case](), []
    for pixels in (1 << 30, 2000):
        monkeypatch.setattr(threads, "PIXELS_IN_CACHE", pixels)
        found.append(stack_of(one).detect(JointPosterior()))
    assert len(threads.wide_bands(*SHAPE, margin=1)) > 30
    for name in found[0]:
        np.testing.assert_array_equal(*(masks.codes[name] for masks in found))
    np.testing.assert_array_equal(*(masks.probability for masks in found))
    edges = [band[0].start for band in threads.wide_bands(*SHAPE)[1:]]
    mask = found[0]["MEANCRT"]
    assert sum((mask[row] & mask[row - 1]).any() for row in edges) > 10


@pytest.mark.parametrize(
    ("value", "n_bytes"),
    [
        (2_000_000, 2_000_000),
        ("2GB", 2_000_000_000),
        ("1.5 GB", 1_500_000_000),
        ("1KB", 1000),
        ("1 kb", 1000),
        ("300mb", 300_000_000),
        ("2 KiB", 2048),
        ("1e3 MB", 1_000_000_000),
        ("500", 500),
        ("2 GiB", 1 << 31),
        (3 * u.Mbyte, 3_000_000),
        (None, None),
    ],
)
def test_amounts_of_memory(value, n_bytes):
    assert check_mem_limit(value) == n_bytes


@pytest.mark.parametrize("value", ["2 m", "much", 0, -5, True, np.nan, [1, 2], 3 * u.s])
def test_what_is_no_amount_of_memory_is_refused(value):
    with pytest.raises(InputError, match="mem_limit must be a positive number of bytes, or with a unit such as '2GB'"):
        check_mem_limit(value)


def test_a_stack_that_fits_stays_in_memory():
    one = simulated(3)
    stack = stack_of(one, mem_limit=resident_bytes() + int(expected_bytes(3, SHAPE[0] * SHAPE[1])) + 200_000_000)
    assert place_of(stack.exposures.data) is None


@pytest.mark.parametrize(
    ("shape", "peak"),
    [
        ((1596, 2016, 2), 971),
        ((1596, 2016, 3), 1060),
        ((1596, 2016, 5), 1223),
        ((1400, 1400, 9), 1615),
        ((2600, 2600, 3), 1834),
    ],
)
def test_the_expected_memory_is_that_of_measured_runs(shape, peak):
    """Peaks (MB) of benchmarks/memory.py without a limit. Python and its libraries hold 140 MB of it at the start."""
    ny, nx, n = shape
    assert 1.0 <= (expected_bytes(n, ny * nx) / 1e6 + 140) / peak <= 1.2


def test_files_go_with_their_arrays():
    workspace = Workspace(too_little())
    workspace.decide(1e9)
    with limited_memory(workspace):
        image = empty_image((1000, 1000))
    assert place_of(image[3:, 4:]) is workspace
    image[...] = 5
    workspace.relax()
    assert image.sum() == 5_000_000
    del image
    gc.collect()
    assert not workspace.is_used


def test_pages_that_are_not_needed_are_given_back():
    workspace = Workspace(resident_bytes() + 60_000_000)
    workspace.decide(1e9)
    with limited_memory(workspace):
        image = empty_image((5000, 10_000))  # 200 MB
    for rows in threads.row_bands(*image.shape):
        image[rows] = 1
        workspace.relax()
        assert resident_bytes() < workspace.limit
    assert image[::100].all()


def test_pages_are_given_back_during_long_work():
    """No call of relax between: a thread looks after it."""
    workspace = Workspace(resident_bytes() + 60_000_000)
    workspace.decide(1e9)
    with limited_memory(workspace):
        image = empty_image((5000, 10_000))
    image[...] = 1
    deadline = time.monotonic() + 20
    while resident_bytes() > workspace.limit and time.monotonic() < deadline:
        time.sleep(0.01)
    assert resident_bytes() < workspace.limit


def test_a_full_disk_is_reported_in_one_sentence(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(memory.os, "posix_fallocate", full)
    with pytest.raises(MemoryError, match=r"temporary directory .* GB free, and .* set TMPDIR"):
        stack_of(simulated(2), mem_limit=too_little())


@pytest.mark.parametrize("ending", ["fits", "fits.gz"])
def test_files_are_read_by_rows_as_they_are_read_whole(ending, tmp_path, monkeypatch):
    """Integers with BSCALE, BZERO and BLANK; unsigned ones; an extension with a mask."""
    rng = np.random.default_rng(3)
    paths = []
    for number in range(3):
        values = (2 * rng.poisson(200, SHAPE)).astype(np.int16)
        values[5, 6] = -999
        hdu = fits.ImageHDU(values)
        hdu.header.update({"BSCALE": 0.5, "BZERO": 1.0, "BLANK": -999, "BUNIT": "adu"})
        unsigned = fits.ImageHDU(rng.poisson(40_000, SHAPE).astype(np.uint16))
        unsigned.header["BUNIT"] = "adu"
        mask = fits.ImageHDU((rng.random(SHAPE) < 0.01).astype(np.uint8), name="MASK")
        path = tmp_path / f"{number}.fits"
        fits.HDUList([fits.PrimaryHDU(), hdu, unsigned, mask]).writeto(path)
        if ending == "fits.gz":
            path = tmp_path / f"{number}.fits.gz"
            path.write_bytes(gzip.compress((tmp_path / f"{number}.fits").read_bytes()))
        paths.append(path)
    for ext in (1, 2):
        options = {"ext": ext, "gain": 1 * u.electron / u.adu, "readnoise": 5 * u.electron}
        whole, limited = CRStack(paths, **options), CRStack(paths, mem_limit=too_little(), **options)
        assert place_of(limited.exposures.data) is not None
        np.testing.assert_array_equal(whole.exposures.data, limited.exposures.data)
        np.testing.assert_array_equal(whole.exposures.bad, limited.exposures.bad)
        assert whole.exposures.bad[:, 5, 6].all() == (ext == 1)


def files_of(one, directory):
    paths = []
    for number, ccd in enumerate(one.exposures):
        paths.append(directory / f"e{number}.fits")
        ccd.write(paths[-1])
    return list(map(str, paths))


NUMBERS = ["--gain", "1", "--readnoise", "3.4 electron", "--no-plots"]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Paths of exposures, and the directory of a run of them in memory with cleaned exposures."""
    directory = tmp_path_factory.mktemp("whole")
    paths = files_of(simulated(3, sky_factors=(1, 1.2, 0.9)), directory)
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_joint_quick(monkeypatch)
        assert main(["run", *paths, *NUMBERS, "--clean", "--output-dir", str(directory / "out")]) == 0
    return paths, directory / "out"


def assert_same_files(directory, other, pattern="*.fits"):
    names = sorted(path.name for path in directory.glob(pattern))
    assert names == sorted(path.name for path in other.glob(pattern))
    assert "exposure_3_clean.fits" in names
    for name in names:
        with fits.open(directory / name) as ours, fits.open(other / name) as theirs:
            for one, same in zip(ours, theirs, strict=True):
                if one.data is not None:
                    np.testing.assert_allclose(one.data, same.data, rtol=1e-6)


# the limit is what the process holds already
@pytest.mark.filterwarnings("ignore:the work used")
def test_a_run_in_files_writes_the_same_files(whole_run, tmp_path):
    paths, whole = whole_run
    limit = ["--mem-limit", str(too_little())]
    assert main(["run", *paths, *NUMBERS, *limit, "--clean", "--output-dir", str(tmp_path)]) == 0
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert_same_files(whole, tmp_path)
    for name in names:
        if name.endswith(".fits"):
            ignored = {"ignore_keywords": ["UUID", "CRUUID", "HISTORY", "CHECKSUM", "DATASUM"], "rtol": 1e-6}
            difference = fits.FITSDiff(str(whole / name), str(tmp_path / name), **ignored)
            assert difference.identical, difference.report()
        elif name.endswith(".csv"):
            assert (whole / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("the method M.M.Cosmic", lambda stack: stack.detect("mmcosmic", aux=None)),
        ("an auxiliary detector", lambda stack: stack.detect("joint", aux="pycosmic")),
        ("an auxiliary detector", lambda stack: stack.joint_posterior(aux="pycosmic")),
        ("the method M.M.Cosmic", lambda stack: stack.mm_diagram()),
        ("an auxiliary detector", lambda stack: stack.detect("joint", aux=Unmeasured())),
        ("flux factors", lambda stack: stack.flux_factors()),
    ],
)
def test_what_needs_whole_images_is_refused(what, call):
    stack = stack_of(simulated(3), mem_limit=too_little())
    with pytest.raises(InputError, match=rf"mem_limit must be at least .* for {what} of this stack"):
        call(stack)


def test_work_of_unknown_memory_is_refused_however_large_the_limit_is():
    assert VotingDetector([PyCosmicDetector(), Unmeasured()]).bytes_per_pixel is None
    assert VotingDetector([PyCosmicDetector(), LACosmicDetector()]).bytes_per_pixel > LACosmicDetector.bytes_per_pixel
    stack = stack_of(simulated(3), mem_limit=enough())
    with pytest.raises(InputError, match="for an auxiliary detector of this stack, because all images are needed"):
        stack.detect("joint", aux=Unmeasured())


@pytest.mark.parametrize(
    "options",
    [
        {"method": "mmcosmic", "aux": None},
        {"method": "mmcosmic", "aux": "lacosmic"},
        {"method": "mmcosmic", "aux": ["pycosmic", "lacosmic"]},
        {"method": "joint", "aux": "pycosmic"},
        {"method": JointPosterior(false_alarm=1e-5, n_fits=2, n_sweeps=1)},
    ],
    ids=["mmcosmic", "mm_lacosmic", "vote", "joint_pycosmic", "false alarm"],
)
def test_work_on_whole_images_one_by_one_gives_the_same_in_files(options, monkeypatch):
    monkeypatch.setattr(false_alarms, "DRAWS", 60_000)
    one = with_bad_values(simulated(3, sky_factors=(1, 1.2, 0.9)))
    whole, limited = stack_of(one), stack_of(one, mem_limit=enough())
    assert place_of(limited.exposures.data) is not None
    masks = [stack.detect(**options) for stack in (whole, limited)]
    for name in masks[0]:
        np.testing.assert_array_equal(*(one.codes[name] for one in masks))
        if masks[0].found_by:
            np.testing.assert_array_equal(*(one.found_by[name] for one in masks))
    if masks[0].auxclean is not None:
        np.testing.assert_array_equal(*(one.auxclean for one in masks))
        assert place_of(masks[1].auxclean) is not None
    images = [stack.combine("meancr2").data for stack in (whole, limited)]
    np.testing.assert_allclose(*images, rtol=1e-6)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"flux_method": "slope"}, "flux_factors, measured on its own,"),
        ({"offsets": "auto", "differences": None}, "offsets, measured on its own,"),
        ({"response": ResponseSettings()}, "response, measured on its own,"),
        ({"offsets": [(0, 0)] * 3}, "given offsets"),
        ({"seeing": [2, 3, 2]}, "given seeing"),
        ({"flux_regions": [(1, 20, 1, 20), (200, 220, 200, 220)]}, "flux_regions"),
        ({"flux_regions": [(1, 20, 1, 20)], "offsets": "auto", "differences": None}, "offsets, measured on its own,"),
        ({"crosscorr_region": (1, 20, 1, 20)}, "offsets"),
    ],
)
def test_settings_that_need_whole_images_are_refused_before_the_exposures_are_read(terms, words, monkeypatch):
    def read(*_, **__):
        raise AssertionError("exposures are read")

    monkeypatch.setattr(loading, "plane_of", read)
    with pytest.raises(InputError, match=rf"mem_limit must be at least .* for {words} of this stack"):
        stack_of(simulated(3), mem_limit=too_little(), **terms)


SMALL = (150, 180)
SLOPED = np.linspace(0.9, 1.1, SMALL[0], dtype=np.float32)[:, None] * np.ones(SMALL[1], np.float32)
#: how the exposures differ, and the terms that are given
GIVEN = {
    "factors": ({"flux_factors": (1, 1.3, 0.8)}, {"flux_factors": [1, 1.3, 0.8]}),
    "factors that divide": (
        {"flux_factors": (1, 1.3, 0.8)},
        {"flux_factors": [1, 1.3, 0.8], "apply_flux_factors_to": "original"},
    ),
    "levels": ({}, {"backgrounds": [0.0, 5.0, -3.0]}),
    "images of levels": ({}, {"backgrounds": [SLOPED, 2 * SLOPED, 4 * SLOPED], "flux_factors": [1, 1.05, 0.97]}),
    "responses": ({}, {"response": [SLOPED, 1 / SLOPED, 1.0]}),
    "all that works by rows": (
        {"with_uncertainty": True},
        {"backgrounds": [1, 2, 3], "response": [SLOPED, 1 / SLOPED, 1.0], "flux_factors": [1, 1.05, 0.97]},
    ),
    "offsets": ({"offsets": [(0, 0), (0.3, 0.1), (-0.4, 0.2)]}, {"offsets": [(0, 0), (0.3, 0.1), (-0.4, 0.2)]}),
    "seeing": ({}, {"seeing": [2.5, 3.0, 2.8]}),
    "flux regions": (
        {"flux_factors": (1, 1.3, 0.8)},
        {"flux_regions": [(21, 90, 31, 80), (60, 140, 70, 130)], "flux_method": "ratio"},
    ),
    "flux regions of shifted exposures": (
        {"flux_factors": (1, 1.3, 0.8), "offsets": [(0, 0), (0.3, 0.1), (-0.4, 0.2)]},
        {"flux_regions": [(21, 90, 31, 80)], "flux_method": "ratio", "offsets": [(0, 0), (0.3, 0.1), (-0.4, 0.2)]},
    ),
    "flux regions and region of a correlation": (
        {"scene": "slit", "flux_factors": (1, 1.3, 0.8), "offsets": [(0, 0), (0.3, 0.1), (-2.4, 1.2)]},
        {
            "flux_regions": [(21, 90, 31, 80), (60, 140, 70, 130)],
            "flux_method": "ratio",
            "crosscorr_region": (31, 130, 21, 110),
            "differences": None,
        },
    ),
    "region of a correlation": (
        {"scene": "slit", "offsets": [(0, 0), (0.3, 0.1), (-2.4, 1.2)]},
        {"crosscorr_region": (31, 130, 21, 110), "differences": None},
    ),
}
ONE_BY_ONE = (
    *("offsets", "seeing", "region of a correlation"),
    *("flux regions", "flux regions of shifted exposures", "flux regions and region of a correlation"),
)


# not all terms are those of the exposures
@pytest.mark.filterwarnings("ignore::crstack.exceptions.CRStackWarning")
@pytest.mark.parametrize("case", GIVEN)
def test_given_terms_give_the_same_in_files(case, monkeypatch):
    differing, terms = GIVEN[case]
    # several bands, as in large images
    monkeypatch.setattr(threads.row_bands, "__defaults__", (8000,))
    one = with_bad_values(make_stack(**({"scene": "imaging"} | differing), shape=SMALL, n_exposures=3, seed=7))
    limit = enough() if case in ONE_BY_ONE else too_little()
    whole, limited = stack_of(one, **terms), stack_of(one, mem_limit=limit, **terms)
    assert place_of(limited.exposures.data) is not None
    known = limited.prepared.known
    large = [known.exposures.data, known.common, *(known.differences or ()), *(known.exposures.scales or ())]
    assert all(place_of(one) is not None for one in large if np.ndim(one) > 1 and one is not SLOPED)
    masks = [stack.detect("joint") for stack in (whole, limited)]
    for name in masks[0]:
        np.testing.assert_array_equal(*(one.codes[name] for one in masks))
    np.testing.assert_array_equal(*(one.probability for one in masks))
    assert masks[0].history[1:] == masks[1].history[1:]
    for name in ("meanjoint", "mediancr"):
        found = [stack.combine(name) for stack in (whole, limited)]
        np.testing.assert_allclose(*(one.data for one in found), rtol=1e-6)
        np.testing.assert_allclose(*(one.uncertainty.array for one in found), rtol=1e-6)
    for ours, theirs in zip(*(stack.clean() for stack in (whole, limited)), strict=True):
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:the work used")
def test_figures_and_the_page_of_a_run_in_files(tmp_path):
    paths = files_of(simulated(3, sky_factors=(1, 1.2, 0.9)), tmp_path)
    few = {"crmethod": "joint", "outputs": ["meancr2"], "maxplots": 1}
    parameters = tmp_path / "p.yaml"
    parameters.write_text(yaml.safe_dump({"images": paths, "gain": 1.0, "rnoise": 3.4, "requirements": few}))
    options = ["--mem-limit", str(enough()), "--output-dir", str(tmp_path / "out")]
    assert main(["run", str(parameters), *options]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "diagnostic_mediancr.png", "image_number_at_median_position.png"} <= names


@pytest.mark.parametrize("more", [["--method", "mm_pycosmic", "--no-plots"], []])
def test_the_command_refuses_before_it_writes(more, tmp_path, capsys):
    paths = files_of(simulated(3), tmp_path)
    options = ["--gain", "1", "--readnoise", "3.4 electron", "--mem-limit", str(too_little())]
    assert main(["run", *paths, *options, *more, "--output-dir", str(tmp_path / "out")]) == 2
    assert "mem_limit must be at least" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("in_files", "held", "given_back"),
    [(True, 0.5, False), (True, 1.5, True), (True, 0.0, True), (False, 1.5, False)],
)
def test_pages_are_given_back_where_too_much_is_held(monkeypatch, in_files, held, given_back):
    """Also where it is not known how much is held; in units of the share of the limit."""

    class Map:
        pass

    back, mapped, workspace = [], Map(), memory.Workspace(limit=1e9)
    workspace.in_files = in_files
    workspace._maps.add(mapped)
    monkeypatch.setattr(memory, "_give_back", back.append)
    monkeypatch.setattr(memory, "held_bytes", lambda: (held * memory.SHARE * 1e9, 1e9))
    workspace.relax()
    assert back == ([mapped] if given_back else [])


@pytest.mark.parametrize("factors", [(1, 1, 1), (1, 1.2, 0.9)])
def test_cleaned_exposures_are_the_same_in_files(factors):
    one = with_bad_values(simulated(3, sky_factors=factors))
    whole, limited = stack_of(one), stack_of(one, mem_limit=too_little())
    for stack in (whole, limited):
        stack.detect("joint")
    # of a file, which has not what the decision has measured
    of_file = replace(whole.latest_masks(), decision=None)
    for masks in (None, of_file):
        cleaned = [stack.clean(masks=masks) for stack in (whole, limited)]
        assert place_of(cleaned[1][0].data) is not None
        for ours, theirs in zip(*cleaned, strict=True):
            np.testing.assert_array_equal(ours.mask, theirs.mask)
            np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)
            np.testing.assert_allclose(ours.uncertainty.array, theirs.uncertainty.array, rtol=1e-6)
            assert len(ours.meta["HISTORY"]) == len(theirs.meta["HISTORY"])
    if factors != (1, 1, 1):
        ours, theirs = (stack.equalized for stack in (whole, limited))
        np.testing.assert_allclose(ours.differences, theirs.differences, rtol=1e-6)
        assert all(place_of(one) is not None for one in theirs.differences)


@pytest.fixture(scope="module")
def with_given_masks(whole_run, tmp_path_factory):
    """The directory of a run in memory with masks of a file."""
    paths, whole = whole_run
    directory = tmp_path_factory.mktemp("given")
    given = ["--crmasks", str(whole / "crmasks.fits"), "--clean", "--output-dir", str(directory)]
    assert main(["run", *paths, *NUMBERS, *given]) == 0
    return directory


@pytest.mark.filterwarnings("ignore:the work used")
@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz"])
def test_a_run_with_cleaned_exposures_and_masks_of_a_file_in_files(whole_run, with_given_masks, tmp_path, ending):
    paths, whole = whole_run
    masks = tmp_path / f"masks{ending}"
    MaskSet.read(whole / "crmasks.fits").write(masks)
    given = ["--crmasks", str(masks), "--mem-limit", str(held() + 20_000_000), "--clean"]
    assert main(["run", *paths, *NUMBERS, *given, "--output-dir", str(tmp_path / "limited")]) == 0
    assert_same_files(with_given_masks, tmp_path / "limited")
