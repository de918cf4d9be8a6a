"""Charge that bleeds from a saturated star along its columns is bad, and no hit."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.datasets.hits import make_hits

SHAPE = (160, 120)
FULL = 60_000.0


def exposures(n=3, lengths=(0, 50, 0, 0, 0), rate=0.0, star=3e6):
    """Exposures in electrons of a saturated star, with columns of charge of some lengths, and its truth."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 200 + star / (2 * np.pi * 4) * np.exp(-((columns - 60) ** 2 + (rows - 80) ** 2) / 8)
    images, bled, hits = [], np.zeros((n, *SHAPE), dtype=bool), np.zeros((n, *SHAPE))
    for i in range(n):
        hits[i] = make_hits(SHAPE, rate, rng) if rate else 0
        image = rng.poisson(light) + rng.normal(0, 4, SHAPE) + hits[i]
        length = lengths[i]
        for column, share in ((59, 0.3), (60, 1.0), (61, 0.4)):
            part = slice(80 - round(share * length), 80 + round(share * length) + 1)
            image[part, column] += (3000 + 500 * share) * (length > 0)
            bled[i, part, column] = length > 0
        images.append(CCDData(np.minimum(image, FULL), unit="electron"))
    return images, bled, hits


def stack_of(images):
    return CRStack(images, readnoise=4 * u.electron, saturation=FULL * u.electron)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_bled_columns_are_bad(n):
    images, bled, _ = exposures(n)
    given = stack_of(images).exposures
    assert given.saturated[0].sum() > 10  # the core of the star
    core = np.abs(np.arange(SHAPE[0]) - 80) < 10
    rest = bled & ~core[:, None]
    assert given.saturated[1][rest[1]].all()
    added = given.saturated[1] & ~bled[1]
    assert (added & ~core[:, None]).sum() <= 4
    assert not given.saturated[0][~core].any()
    assert (given.bad >= given.saturated).all()
    assert (given.data[given.saturated] == 0).all()


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_bled_charge_is_no_hit(method):
    images, bled, hits = exposures(rate=0.005)
    stack = stack_of(images)
    masks = stack.detect(method, aux=None)
    far = np.abs(np.arange(SHAPE[0]) - 80) >= 10
    where = bled & far[:, None] & (hits == 0)
    assert where.sum() > 60
    assert not masks.crmasks[where].any()
    level = stack.combine("meancr2").data[where[1]]
    assert abs(np.median(level) - 200) < 5


def test_hits_beside_a_saturated_star_stay_hits():
    """A track that does not touch a saturated column, and one that ends in the sky of its column."""
    images, _, _ = exposures(lengths=(0, 0, 0))
    images[1].data[20:30, 60] += 2000
    images[1].data[80, 90:100] += 2000
    stack = stack_of(images)
    assert not stack.exposures.saturated[1, 20:30, 60].any()
    masks = stack.detect("joint")
    assert masks["CRMASK2"][20:30, 60].all()
    assert masks["CRMASK2"][80, 90:100].all()


def test_all_exposures_that_bleed_alike_agree():
    images, _, _ = exposures(lengths=(40, 40, 40))
    given = stack_of(images).exposures
    far = np.abs(np.arange(SHAPE[0]) - 80) >= 10
    assert not given.saturated[:, far].any()


@pytest.mark.parametrize("exposure", range(3))
def test_ends_of_saturated_columns_that_are_filled_in_part_are_bad(exposure):
    """Saturated columns that reach as far in all exposures, with a pixel of part of the charge at each end."""
    images, _, _ = exposures(lengths=(0, 0, 0))
    ends = np.zeros(SHAPE, bool)
    for column, length in ((59, 18), (60, 30), (61, 21)):
        ends[[80 - length, 80 + length], column] = True
        for image in images:
            image.data[80 - length + 1 : 80 + length, column] = FULL
            image.data[ends[:, column], column] += 0.4 * FULL
    given = stack_of(images).exposures
    assert given.saturated[exposure][ends].all()
    added = given.saturated[exposure] & ~ends & (images[exposure].data < FULL)
    assert added.sum() <= 12  # beside the core of the star


def test_round_cores_lose_nothing():
    images, _, _ = exposures(lengths=(0, 0, 0))
    for image, (height, width) in zip(images, ((3, 3), (3, 5), (5, 5)), strict=True):
        image.data[20 : 20 + height, 20 : 20 + width] = FULL
    given = stack_of(images).exposures
    for i, number in enumerate((9, 15, 25)):
        assert given.saturated[i, 10:40, 10:40].sum() == number


@pytest.mark.parametrize("shifts", [((0, 0), (3, 2)), ((0, 0), (3, 2), (-2, 1)), ((0, 0), (2.4, 3.4), (-2.4, 1.6))])
def test_shifted_stars_have_not_bled(shifts):
    """The flank of a star is brighter than the same pixel of an exposure that is shifted."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    images, charge = [], np.zeros((len(shifts), *SHAPE), dtype=bool)
    for i, (dx, dy) in enumerate(shifts):
        light = np.full(SHAPE, 200.0)
        for x, y, star in ((60, 80, 3e6), (25, 30, 1e6), (95, 120, 2e5)):
            light += star / (2 * np.pi * 4) * np.exp(-((columns - x - dx) ** 2 + (rows - y - dy) ** 2) / 8)
        image = rng.poisson(light) + rng.normal(0, 4, SHAPE)
        if i == 1:
            charge[i, 40:120, 60 + round(dx)] = True
            image[charge[i]] += 3000
        images.append(CCDData(np.minimum(image, FULL), unit="electron"))
    bad = stack_of(images).exposures.bad
    light = np.array([image.data for image in images])
    wrong = bad & ~ndimage.maximum_filter(light >= FULL, (1, 3, 3)) & ~charge
    # ends of the column of charge
    assert wrong.sum() <= 4
    far = np.abs(np.arange(SHAPE[0]) - 80) > 14
    assert bad[charge & far[:, None]].all()
