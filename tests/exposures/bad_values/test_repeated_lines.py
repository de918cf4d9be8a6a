"""Rows or columns of an exposure that repeat others, as by a fault of the readout."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures

SHAPE = (120, 150)


def made(seed=1, level=80.0):
    """Three exposures, ADU."""
    rng = np.random.default_rng(seed)
    return [np.rint(rng.poisson(level, SHAPE) + 4 * rng.standard_normal(SHAPE)) for _ in range(3)]


def loaded(images, **options):
    """Bad values (N, ny, nx) of exposures, and the words of the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        exposures = load_exposures(
            images, gain=1 * u.electron / u.adu, readnoise=4 * u.electron, unit=u.adu, **options
        )  # fmt: skip
    bad = np.zeros((len(images), *images[0].shape), bool) if exposures.bad is None else exposures.bad
    return bad, [str(one.message) for one in caught]


@pytest.mark.parametrize("axis", [0, 1])
def test_lines_that_repeat_one_are_bad_values(axis):
    images = made()
    image = images[1] if axis == 0 else images[1].T
    image[31:50] = image[30]
    bad, words = loaded(images)
    rows = bad[1] if axis == 0 else bad[1].T
    assert rows[30:50].all()
    assert np.count_nonzero(bad) == rows[30:50].size
    (word,) = words
    assert word.startswith("rows or columns of exposure 2 are equal to the next ones")
    assert ("rows 31 to 50" if axis == 0 else "columns 31 to 50") in word


def test_one_row_that_is_read_twice():
    images = made()
    images[0][71] = images[0][70]
    bad, words = loaded(images, bias=10.5 * u.adu)
    assert np.flatnonzero(bad[0].all(axis=1)).tolist() == [70, 71]
    assert not bad[1:].any()
    assert len(words) == 1


def test_lines_that_are_equal_by_chance_or_by_design_are_not_bad():
    """Counts of few events in a narrow image, and images without noise."""
    narrow = [image[:, :8] for image in made(2, level=0.05)]
    narrow = [np.maximum(np.rint(one / 6), 0) for one in narrow]
    smooth = [np.tile(np.arange(SHAPE[1]) % 17 + 100.0, (SHAPE[0], 1)) for _ in range(3)]
    for i, image in enumerate(smooth):
        image[:: 3 + i] += np.arange(SHAPE[1])
    for images in (narrow, smooth):
        assert not any("equal to the next ones" in one for one in loaded(images)[1])


def test_a_mask_is_kept():
    images = made()
    images[2][11] = images[2][10]
    masks = np.zeros((3, *SHAPE), bool)
    masks[2, 10, :40] = masks[0, 3, 3] = True
    bad, _ = loaded([CCDData(one, unit="adu", mask=mask) for one, mask in zip(images, masks, strict=True)])
    assert np.count_nonzero(bad) == 2 * SHAPE[1] + 1
