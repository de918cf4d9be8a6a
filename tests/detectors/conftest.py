"""Images for detectors."""

import astropy.units as u
import pytest
from support.lacosmic import make_scene

from crstack.datasets import make_stack


@pytest.fixture(scope="module")
def lacosmic_scene():
    return make_scene()


@pytest.fixture(scope="module")
def network_scene():
    """One exposure of a simulated field in ADU, and its true hits."""
    simulated = make_stack(
        "imaging", (160, 210), gain=2.0 * u.electron / u.adu, readnoise=4 * u.electron, hit_rate=0.02, seed=3
    )
    return simulated.exposures[0].data - simulated.bias.value, simulated.truth[0]
