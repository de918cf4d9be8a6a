"""Hot pixels on the wings of stars in exposures that are shifted by pixels."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.equalize.fit.hot_beside_stars import hot_beside_stars

#: what is tested comes before the decision
pytestmark = pytest.mark.usefixtures("quick_joint_in_module")

SKY, READNOISE = 100.0, 4.0


def stars(shape, fwhm, dx=0.0, dy=0.0, seed=1):
    """Expected image of stars with the profile of Moffat, and their places."""
    rng = np.random.default_rng(seed)
    places = np.mgrid[15 : shape[0] : 24, 15 : shape[1] : 24].reshape(2, -1).T + rng.uniform(-0.5, 0.5, (1, 2))
    y, x = np.mgrid[: shape[0], : shape[1]]
    width, image = fwhm / (2 * np.sqrt(2 ** (1 / 3) - 1)), np.full(shape, SKY)
    for (row, column), peak in zip(places, 10 ** rng.uniform(2.5, 4.5, len(places)), strict=True):
        image += peak / (1 + ((y - row - dy) ** 2 + (x - column - dx) ** 2) / width**2) ** 3
    return image, places


def beside(places):
    """Pixels one row above and two columns before the stars."""
    return places.round().astype(int) + np.array([1, -2])


def observed(expected, rng):
    values = rng.poisson(expected) + rng.normal(0, READNOISE, np.shape(expected))
    return values.astype(np.float32)


def found_in(cube, steps):
    return hot_beside_stars(cube, steps, lambda signal: np.maximum(signal, 0) + READNOISE**2)


@pytest.mark.parametrize("steps", [((0, 0), (2, -1)), ((0, 0), (0, 0), (2, -1)), ((0, 0), (1, 1), (2, -1), (0, 0))])
def test_hot_pixels_beside_stars_are_found(steps):
    """Two pixels from the star in one position, and three or more in another one."""
    rng, shape = np.random.default_rng(2), (300, 300)
    expected = np.array([stars(shape, 2.5, dx, dy)[0] for dx, dy in steps])
    hot = beside(stars(shape, 2.5)[1]).T
    expected[:, *hot] += 1500
    y, x, charges = found_in(observed(expected, rng), steps)
    found = set(zip(y.tolist(), x.tolist(), strict=True))
    true = set(zip(*hot.tolist(), strict=True))
    assert len(found & true) > 0.75 * len(true)
    assert found <= true
    assert np.median(charges) == pytest.approx(1500, rel=0.05)


@pytest.mark.parametrize("fwhm", [1.3, 1.6, 2.0, 2.5, 3.5])
@pytest.mark.parametrize("step", [(1, 0), (1, -1), (3, 2)])
def test_stars_and_hits_are_no_hot_pixels(fwhm, step):
    rng, shape, found = np.random.default_rng(3), (204, 204), 0
    for steps in (((0, 0), step), ((0, 0), (0, 0), step), ((0, 0), (0, 0), (0, 0), (0, 0), step)):
        cube = observed([stars(shape, fwhm, dx, dy, seed=len(steps))[0] for dx, dy in steps], rng)
        hit = rng.random(cube.shape) < 0.005
        cube[hit] += 10 ** rng.uniform(2, 4, hit.sum())
        y, x, _ = found_in(cube, steps)
        found += (~hit[:, y, x].all(axis=0)).sum()
    # of 200 stars, hardly any has a hit of its brightness where another position shows it
    assert found <= 2


@pytest.mark.parametrize("seed", [7, 8])
def test_a_crowded_field_has_no_hot_pixels(seed):
    """A star has about the same excess in its pixel and in the one beside it, if the shift is half a pixel."""
    rng, (ny, nx), fine = np.random.default_rng(seed), (240, 260), 3
    light, images = np.zeros((ny * fine, nx * fine)), []
    places = rng.integers(0, light.shape[0], 2600), rng.integers(0, light.shape[1], 2600)
    np.add.at(light, places, np.minimum(1000 * (rng.pareto(1.0, 2600) + 1), 3e5))
    for (dx, dy), fwhm in zip(((0, 0), (-2, 1), (1, 1)), (2.5, 2.8, 3.1), strict=True):
        blurred = ndimage.gaussian_filter(np.roll(light, (dy, dx), (0, 1)), fine * fwhm / 2.3548)
        images.append(SKY + blurred.reshape(ny, fine, nx, fine).sum(axis=(1, 3)))
    rows, *_ = found_in(observed(images, rng), ((0, 0), (-1, 0), (0, 0)))
    assert len(rows) <= 1


def test_a_hit_on_a_hot_pixel_is_no_part_of_its_charge():
    rng, shape, steps = np.random.default_rng(4), (100, 100), ((0, 0), (0, 0), (2, -1))
    expected = np.array([stars(shape, 2.5, dx, dy)[0] for dx, dy in steps])
    row, column = beside(stars(shape, 2.5)[1])[0].tolist()
    expected[:, row, column] += 800
    cube = observed(expected, rng)
    cube[0, row, column] += 300
    y, x, charges = found_in(cube, steps)
    assert (y.tolist(), x.tolist()) == ([row], [column])
    assert charges[0] == pytest.approx(800, abs=120)


@pytest.mark.filterwarnings("ignore:.*exposures are not aligned")
def test_hot_pixels_beside_stars_are_no_hits_of_a_moved_exposure():
    """Without the mend, the moved exposure has 72 false hits at 144 hot pixels."""
    rng, shape, steps = np.random.default_rng(5), (300, 300), ((0, 0),) * 4 + ((2, -1),)
    expected = np.array([stars(shape, 2.5, dx, dy)[0] for dx, dy in steps])
    hot = beside(stars(shape, 2.5)[1]).T
    expected[:, *hot] += 1500
    exposures = [CCDData(one, unit="electron") for one in observed(expected, rng)]
    masks = CRStack(exposures, readnoise=READNOISE * u.electron).detect()
    assert masks.crmasks[:4].sum() <= 2
    assert masks.crmasks[4].sum() <= 36
