"""Stacks of simulated exposures."""

import inspect

import astropy.units as u

from crstack import CRStack, JointPosterior
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics


def stack_of(simulated, **options):
    """A CRStack of simulated exposures with the numbers they were made with."""
    return CRStack(
        simulated.exposures,
        gain=simulated.gain,
        readnoise=simulated.readnoise,
        bias=simulated.bias,
        **options,
    )


def electrons_of(planes, readnoise=3.0):
    """Exposures of images in electrons, and their order statistics."""
    exposures = load_exposures([plane * u.electron for plane in planes], readnoise=readnoise * u.electron)
    return exposures, order_statistics(exposures.data, 2, exposures.bad)


def make_joint_quick(monkeypatch):
    """Let the joint decision fit the population of hits in few steps, by default."""
    defaults = {name: one.default for name, one in inspect.signature(JointPosterior).parameters.items()}
    assert {"n_fits", "n_sweeps"} <= set(defaults)
    defaults |= {"n_fits": 2, "n_sweeps": 1}
    monkeypatch.setattr(JointPosterior.__init__, "__defaults__", tuple(defaults.values()))
