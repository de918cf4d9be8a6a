"""Stacks whose exposures differ in given terms."""

import astropy.units as u
from support.stacks import stack_of

from crstack import PyCosmicDetector
from crstack.datasets import make_stack
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics

SCENES = ("ifu", "imaging", "slit")
SHIFTS = ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
PYCOSMIC = PyCosmicDetector(sigma_det=(5, 3))


def simulate(scene="ifu", **options):
    defaults = {
        "shape": (240, 280),
        "gain": 2 * u.electron / u.adu,
        "readnoise": 4 * u.electron,
        "bias": 500 * u.adu,
        "hit_rate": 0.02,
        "seed": 5,
    }
    return make_stack(scene, **(defaults | options))


def loaded(simulated):
    exposures = load_exposures(
        simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias
    )
    return exposures, order_statistics(exposures.data, 2, exposures.bad)


def measured_alone(simulated, **options):
    """A stack with nothing but the differences that are asked for by name."""
    return stack_of(simulated, differences=None, **options)


def masks_of(simulated, **options):
    stack = measured_alone(simulated, **options)
    stack.mm_diagram(aux=PYCOSMIC, n_simulations=10)
    return stack, stack.detect(aux=PYCOSMIC)
