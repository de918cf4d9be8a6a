"""Networks that are there, and those that take their place."""

import astropy.units as u
import pytest

from crstack import CosmicCoNNDetector, DeepCRDetector, NoiseModel
from crstack.detectors import _networks

HAS_DEEPCR = _networks.find_spec("deepCR") and _networks.find_spec("torch")
HAS_CONN = _networks.find_spec("cosmic_conn") and _networks.find_spec("torch")
needs_deepcr = pytest.mark.skipif(not HAS_DEEPCR, reason="deepCR is not installed")
needs_conn = pytest.mark.skipif(not HAS_CONN, reason="cosmic-conn is not installed")
NOISE = NoiseModel(2.0 * u.electron / u.adu, 4 * u.electron)
BOTH = [
    pytest.param(DeepCRDetector, id="deepcr", marks=needs_deepcr),
    pytest.param(CosmicCoNNDetector, id="conn", marks=needs_conn),
]
