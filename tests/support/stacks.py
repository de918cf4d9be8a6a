"""Stacks of simulated exposures."""

from crstack import CRStack


def stack_of(simulated, **options):
    """A CRStack of simulated exposures with the numbers they were made with."""
    return CRStack(
        simulated.exposures,
        gain=simulated.gain,
        readnoise=simulated.readnoise,
        bias=simulated.bias,
        **options,
    )
