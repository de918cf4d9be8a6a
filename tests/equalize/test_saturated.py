"""Clean values around saturated stars, where the seeing differs."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.equalize.fit.differences import Differences
from crstack.equalize.fit.saturated import REACH, _distances, _rings, with_saturated_stars
from crstack.exceptions import CRStackWarning

SHAPE, SATURATION, READNOISE = (200, 210), 60_000.0, 5.0
FWHM = (2.4, 2.6, 2.8, 3.0, 3.8)


def field(seed=1):
    """Expected images of faint stars and three saturated ones, with wings (Moffat profiles)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    stars = [(rng.uniform(10, 200), rng.uniform(10, 190), 10 ** rng.uniform(3, 5.3)) for _ in range(30)]
    stars += [(50.3, 60.1, 3e6), (150.2, 50.7, 5e6), (100.0, 140.4, 4e6)]
    images = []
    for fwhm in FWHM:
        width2 = fwhm**2 / (4 * (2 ** (1 / 3) - 1))
        one = [f * 2 / (np.pi * width2) * (1 + ((x - a) ** 2 + (y - b) ** 2) / width2) ** -3 for a, b, f in stars]
        images.append(150 + sum(one))
    return np.array(images)


def test_wings_of_the_exposure_with_the_worst_seeing_are_no_hits():
    rng = np.random.default_rng(2)
    expected, hits = field(), np.zeros((5, *SHAPE), np.float32)
    for one in hits:
        one[rng.integers(0, SHAPE[0], 60), rng.integers(0, SHAPE[1], 60)] = 100 + rng.exponential(800, 60)
    data = np.minimum(rng.poisson(expected) + rng.normal(0, READNOISE, hits.shape) + hits, SATURATION)
    stack = CRStack(
        [CCDData(one.astype("f4"), unit="electron") for one in data],
        readnoise=READNOISE * u.electron,
        saturation=0.99 * SATURATION * u.electron,
    )
    # the flanks of the three stars that stay flagged, about 30 values of exposure 5, are reported
    with pytest.warns(CRStackWarning, match="flagged far more often than others: .* of those of exposure 5"):
        masks = stack.detect("joint")
    clean = ~ndimage.binary_dilation((hits > 0).any(axis=0))
    # 497 if the light around saturated stars is not measured
    assert (masks.crmasks & clean).sum(axis=(1, 2)).max() < 60
    strong = (hits > 8 * np.sqrt(expected + READNOISE**2)) & (expected < SATURATION / 2)
    assert masks.crmasks[strong].mean() > 0.97


def test_the_light_of_rings_by_hand():
    rng = np.random.default_rng(3)
    labels = np.zeros((91, 95), int)
    labels[43:48, 45:50] = 1
    labels[80:84, 80:84] = 2
    distance = _distances(labels, 1)
    assert distance[45, 51] == 2
    assert distance[45, 47] == distance[82, 88] == 0
    assert distance[0, 0] == REACH + 1
    light = np.where(distance > 0, 200.0 * np.exp(-distance / 4), 0)
    left = light + rng.normal(0, 3, labels.shape)
    left[45, 52] += 5000  # a hit changes no median
    sigma, valid = np.full(labels.shape, 3.0), np.ones(labels.shape, bool)
    more, variance = _rings(left, sigma, distance, valid)
    inside = (distance > 0) & (distance < 12)
    np.testing.assert_allclose(more[inside], light[inside], atol=3)
    assert np.median(variance[inside]) < 4
    assert not more[distance == 0].any()
    # noise alone is no light, and what scatters in a ring becomes variance
    assert _rings(left - light, sigma, distance, valid)[0] is None
    wild = light + rng.normal(0, 30, labels.shape)
    assert np.median(_rings(wild, sigma, distance, valid)[1][inside]) == pytest.approx(891, rel=0.3)


def test_the_scatter_of_a_ring_beyond_the_noise_becomes_variance():
    """Residuals of mean 30 and standard deviation 20, where the noise is 5, around one saturated star."""
    shape, rng = (121, 121), np.random.default_rng(6)
    y, x = np.mgrid[:121, :121]
    distance = np.hypot(y - 60, x - 60)
    bad = np.broadcast_to(distance < 4, (2, *shape))
    common = np.where(distance < 12, 5000.0, 100.0)
    ring = (distance > 14) & (distance < 25)
    levels = np.stack([common, common + np.where(ring, rng.normal(30, 20, shape), 0)])
    found = Differences(
        factors=(1.0, 1.0),
        scales=(np.float32(1), np.float32(1)),
        added=(np.float32(0), np.float32(0)),
        noises=(np.float32(0), np.float32(0)),
        levels=(0.0, 0.0),
        surfaces=(True, True),
        kernels=np.zeros((2, 3, 3)),
        kernel_errors=np.zeros((2, 6)),
        terms=None,
        common=common,
    )
    changed = with_saturated_stars(found, levels, bad, lambda signal, box: np.full(signal.shape, 25.0))
    inside = (distance > 16) & (distance < 23)
    assert np.mean(changed.noises[1][inside]) == pytest.approx(20**2 - 5**2, rel=0.15)
    assert np.mean(changed.added[1][inside]) == pytest.approx(30, abs=2)
    far = distance > 50
    assert (changed.noises[1][far] == 0).all()
    assert (changed.added[1][far] == 0).all()
