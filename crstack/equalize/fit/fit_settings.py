"""Settings of a fit of the differences."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from crstack.equalize.fit.lines.courses import Course

__all__ = ["BY_DEFAULT", "FitSettings"]


@dataclass(frozen=True, eq=False)
class FitSettings:
    """How a fit of the differences starts, and what it assumes.

    Attributes
    ----------
    start : `~numpy.ndarray` or None
        (N,) throughputs from which the fit of the kernels starts, see `~crstack.equalize.terms.first_factors`.
    sky_stays : bool
        Whether the throughputs of the start are those of compact structures, such as stars. The sky may then be as
        bright in all exposures, and its noise does not change with the throughput.
    noises : `~numpy.ndarray` or None
        (N,) variance of each exposure over the mean, where they are unlike.
    drifting : bool
        Whether the shift may change over the image. It may not if the exposures are a part of the image.
    above_local : bool
        Whether throughputs, kernels and steps come from structures above the level around them only. The fit then
        starts from surfaces. If not, a smooth sky that changes between exposures counts for the throughputs.
    object_alone : bool
        Whether a throughput along rows or columns changes no lines that cross it, such as those of the sky.
    steps : tuple of (int, int) or None
        Shifts (dx, dy) in whole pixels, if they are known.
    courses : mapping
        The `~crstack.equalize.fit.lines.courses.Course` of lines along an axis, by axis, where they are not straight.
    """

    start: np.ndarray | None = None
    sky_stays: bool = False
    noises: np.ndarray | None = None
    drifting: bool = True
    above_local: bool = False
    object_alone: bool = False
    steps: tuple[tuple[int, int], ...] | None = None
    courses: Mapping[str, Course] = field(default_factory=dict)

    def of_whole(self):
        """The settings for whole exposures, whose throughputs, kernels and steps come from a fit to a part."""
        return replace(self, drifting=True, above_local=False, steps=None, courses={})


#: equal exposures, of which nothing is known
BY_DEFAULT = FitSettings()
