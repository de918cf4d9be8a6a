"""Stacks of simulated exposures."""

import inspect

from crstack import CRStack, JointPosterior


def stack_of(simulated, **options):
    """A CRStack of simulated exposures with the numbers they were made with."""
    return CRStack(
        simulated.exposures,
        gain=simulated.gain,
        readnoise=simulated.readnoise,
        bias=simulated.bias,
        **options,
    )


def make_joint_quick(monkeypatch):
    """Let the joint decision fit the population of hits in few steps, by default."""
    defaults = {name: one.default for name, one in inspect.signature(JointPosterior).parameters.items()}
    assert {"n_fits", "n_sweeps"} <= set(defaults)
    defaults |= {"n_fits": 2, "n_sweeps": 1}
    monkeypatch.setattr(JointPosterior.__init__, "__defaults__", tuple(defaults.values()))
