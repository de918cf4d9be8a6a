"""``mem_limit``: a stack that does not fit is kept in files, and the results are those of the whole."""

import errno
import gc
import gzip
import os
import time
from dataclasses import dataclass

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from support.limited import SHAPE, enough, resident_bytes, simulated, stack_of, three, too_little, with_bad_values

from crstack import (
    CRStack,
    Detection,
    Detector,
    JointPosterior,
    LACosmicDetector,
    PyCosmicDetector,
    VotingDetector,
)
from crstack.combine import COMBINATIONS
from crstack.equalize import measure
from crstack.exceptions import InputError
from crstack.exposures.input.place import expected_bytes
from crstack.utils import memory, threads
from crstack.utils.memory import Workspace, empty_image, limited_memory, place_of
from crstack.utils.process_memory import check_mem_limit

pytestmark = [
    pytest.mark.skipif(not resident_bytes(), reason="this system does not report the memory of a process"),
    pytest.mark.usefixtures("quick_joint"),
]


@dataclass(frozen=True)
class Unmeasured(Detector):
    """A detector whose memory is not known."""

    def detect(self, image, noise, mask=None):
        return Detection(image > 1e4)


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
    for number in range(2):
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
    stack = stack_of(three(), mem_limit=too_little())
    with pytest.raises(InputError, match=rf"mem_limit must be at least .* for {what} of this stack"):
        call(stack)


def test_work_of_unknown_memory_is_refused_however_large_the_limit_is():
    assert VotingDetector([PyCosmicDetector(), Unmeasured()]).bytes_per_pixel is None
    assert VotingDetector([PyCosmicDetector(), LACosmicDetector()]).bytes_per_pixel > LACosmicDetector.bytes_per_pixel
    stack = stack_of(simulated(3), mem_limit=enough())
    with pytest.raises(InputError, match="for an auxiliary detector of this stack, because all images are needed"):
        stack.detect("joint", aux=Unmeasured())


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
