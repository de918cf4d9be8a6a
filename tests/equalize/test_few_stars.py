"""Throughput and seeing of fields with a few stars, which hardly show them apart."""

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack

#: what is tested comes before the decision
pytestmark = pytest.mark.usefixtures("quick_joint_in_module")

SHAPE, SKY, READNOISE = (170, 190), 200.0, 4.0


def _moffat(x, y, flux, width, beta=3.0):
    """Star of the profile of Moffat (1969, A&A 3, 455), with the full width at half maximum ``width``."""
    scale = width / 2 / np.sqrt(2 ** (1 / beta) - 1)
    rows, columns = np.indices(SHAPE)
    return flux * (beta - 1) / (np.pi * scale**2) * (1 + ((rows - y) ** 2 + (columns - x) ** 2) / scale**2) ** -beta


def _exposures(rng, widths, throughputs, brightest):
    """Exposures of 40 stars, with a number of stars above a flux that falls as its power -0.7."""
    x, y = rng.uniform(0, SHAPE[1], 40), rng.uniform(0, SHAPE[0], 40)
    fluxes = 300 * (1 - rng.random(40) * (1 - (brightest / 300) ** -0.7)) ** (-1 / 0.7)
    fluxes[0] = brightest / 2
    for width, throughput in zip(widths, throughputs, strict=True):
        scene = SKY + throughput * sum(_moffat(*star, width) for star in zip(x, y, fluxes, strict=True))
        yield np.float32(rng.poisson(scene) + rng.normal(0, READNOISE, SHAPE))


def _measured(seed, widths, throughputs, brightest):
    """Throughputs relative to their mean, and their errors."""
    images = list(_exposures(np.random.default_rng(seed), widths, throughputs, brightest))
    stack = CRStack(images, unit=u.electron, readnoise=READNOISE * u.electron)
    found = stack.joint_posterior().measured
    return np.array(found.factors), np.array(found.errors)


@pytest.mark.parametrize("brightest", [3e4, 1e5])
def test_a_change_of_seeing_is_no_change_of_throughput(brightest):
    """The light of faint stars in their cores falls by ten per cent, and the throughput is 1."""
    found = [_measured(seed, (3.0, 3.1, 3.4), (1, 1, 1), brightest) for seed in range(4)]
    factors, errors = np.swapaxes(found, 0, 1)
    assert (factors != 1).any(axis=1).sum() > 2
    assert np.abs(factors - 1).max() < 0.07
    pulls = ((factors - 1) / np.where(errors > 0, errors, 1))[errors > 0]
    assert np.sqrt(np.mean(pulls**2)) < 2


def test_a_change_of_throughput_is_no_change_of_seeing():
    truth = np.array([1, 1.1, 0.9])
    found = [_measured(seed, (3.0,) * 3, truth, 1e5) for seed in range(4)]
    factors, errors = np.swapaxes(found, 0, 1)
    assert np.abs(factors - truth).max() < 0.03
    assert np.sqrt(np.mean(((factors - truth) / errors) ** 2)) < 2
    assert errors.max() < 0.02
