"""Shifts by whole pixels, from kernels that were fitted without them."""

import numpy as np

from crstack.equalize.fit.kernels.kernel_terms import split_kernel
from crstack.equalize.terms.steps import LARGEST, steps_of

__all__ = ["steps_of_kernels"]

#: largest difference (pixels) between the shifts of two exposures that kernels may describe
LARGEST_REST = 1.5


def steps_of_kernels(model):
    """Shifts by whole pixels of exposures whose kernels shift too far.

    A correlation does not show a shift of a few pixels where a large object dominates, such as a galaxy: it hardly
    falls from one pixel to the next. A kernel of 7 pixels describes such a shift of the object, but not of the stars.

    Parameters
    ----------
    model : `~crstack.equalize.fit.expected_exposures.ExpectedExposures`
        A fit of the kernels.

    Returns
    -------
    steps : tuple of (int, int) or None
        (dx, dy) of each exposure; None if the kernels shift by less, or the same steps result.
    """
    rests = np.array([split_kernel(kernel)[1:3] for kernel in model.kernels])
    if "offsets" not in model.names or np.ptp(rests, axis=0).max() <= LARGEST_REST:
        return None
    shifts = rests + np.array(model.steps)
    steps = steps_of(shifts)
    return None if steps == model.steps or np.abs(steps).max() > LARGEST else steps
