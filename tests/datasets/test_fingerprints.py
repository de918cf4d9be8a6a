"""Scenes and hits of one seed stay as they are from one version of the package to the next.

A deliberate change updates these numbers and is named in CHANGES.rst, for users who compare results on simulated
stacks. The numbers also depend on the streams of `numpy.random.Generator`, which numpy may change.
"""

import numpy as np
import pytest

from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.datasets.scenes import SCENES

#: for each scene: sum, mean x and y, root of the sum of squares and maximum of the first expected image
OF_SCENES = {
    "ifu": (
        [152407, 34.96982, 40.27194, 3306.455, 282.144],
        [151450, 35.14183, 40.15854, 3296.192, 286.5083],
    ),
    "imaging": (
        [1139467, 39.74173, 55.96907, 24821.39, 3003.321],
        [1138525, 39.98341, 55.83438, 24816.75, 3086.346],
    ),
    "slit": (
        [927431.3, 39.03722, 40.13231, 23165.36, 1878.881],
        [928417.5, 39.29946, 39.84241, 23184.26, 1822.516],
    ),
    "echelle": (
        [827337.4, 34.4295, 38.78657, 17858.3, 870.0282],
        [823639.8, 34.67212, 38.74725, 17823.78, 901.0798],
    ),
}
#: the same of the hits of each population
OF_HITS = {
    "cosmic": [95732.21, 57.16936, 33.43495, 12925.07, 8653.138],
    "thin": [59976.78, 64.50991, 34.12194, 3630.907, 382.4567],
    "worms": [18135.32, 44.93568, 25.62212, 1531.383, 473.9586],
    "single": [162504.2, 68.28063, 59.68929, 32583.07, 18895.06],
    "mixed": [60149.55, 45.55809, 51.70838, 8687.536, 5459.942],
}


def fingerprint(image):
    """Sum, mean x and y, root of the sum of squares and maximum."""
    image = np.asarray(image, dtype=float)
    y, x = np.indices(image.shape)
    total = image.sum()
    return [total, (image * x).sum() / total, (image * y).sum() / total, np.sqrt((image**2).sum()), image.max()]


@pytest.mark.parametrize("scene", SCENES)
def test_scenes(scene):
    expected = make_stack(scene, (90, 70), seed=3, offsets=[(0, 0), (0.6, -0.3), (0, 0)], hit_rate=0).expected
    np.testing.assert_allclose(fingerprint(expected[0]), OF_SCENES[scene][0], rtol=1e-5)
    np.testing.assert_allclose(fingerprint(expected[1]), OF_SCENES[scene][1], rtol=1e-5)


@pytest.mark.parametrize("population", POPULATIONS)
def test_hits(population):
    charge = make_hits((110, 130), 0.02, np.random.default_rng(7), population)
    np.testing.assert_allclose(fingerprint(charge), OF_HITS[population], rtol=1e-5)
