"""The parts of a combined image."""

from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import CCDData

from crstack.utils.summary import Summary

if TYPE_CHECKING:
    from crstack.masks import MaskSet

__all__ = [
    "COMBINATIONS",
    "WITHOUT_MASKS",
    "Combination",
    "PixelFlag",
    "Planes",
    "best_combination",
    "possible_combinations",
]

#: combinations that need no masks
WITHOUT_MASKS = ("mean", "median", "min")
#: all combinations: those without masks, those that need masks, and last the one that needs probabilities
COMBINATIONS = (*WITHOUT_MASKS, "mediancr", "meancrt", "meancr", "meancr2", "meanjoint")


def possible_combinations(masks: "MaskSet | None") -> tuple[str, ...]:
    """List the names of the combinations that can be made.

    Parameters
    ----------
    masks : MaskSet or None
        What is known of hits.

    Returns
    -------
    names : tuple of str
        Of ``COMBINATIONS``.
    """
    if masks is None:
        return WITHOUT_MASKS
    return COMBINATIONS if masks.probability is not None else COMBINATIONS[:-1]


def best_combination(masks: "MaskSet") -> str:
    """Name the combination to use with masks.

    Parameters
    ----------
    masks : MaskSet
        The masks.

    Returns
    -------
    name : str
        "meanjoint" if the masks have probabilities, as those of the joint decision; otherwise "meancr2".
    """
    return "meancr2" if masks.probability is None else "meanjoint"


class PixelFlag(IntFlag):
    """Origin of the value of a combined pixel; 0 if it is not replaced."""

    MINIMUM = 1  #: min2d replaces the value
    AUXMEDIAN = 2  #: the detector's cleaned median replaces the value
    MEDIANCR = 4  #: the value of mediancr replaces the value
    ALL_HIT = 8  #: every valid exposure is hit: no clean measurement
    NO_DATA = 16  #: no exposure is valid
    LOCAL_MEDIAN = 32  #: the median of a box around the pixel replaces the value
    INTERPOLATED = 64  #: a surface fitted to the neighbours replaces the value
    MOVED = 128  #: a target lies here in some exposures only, and is left out


@dataclass(frozen=True, eq=False, repr=False)
class Combination:
    """A combined image and the origin of each of its pixels.

    Attributes
    ----------
    name : str
        One of ``COMBINATIONS``.
    ccd : `~astropy.nddata.CCDData`
        Value, unit, mask (no clean measurement, or the place of a target that moved), variance of the value, header
        and WCS of the first exposure.
    count : `~numpy.ndarray`
        int16 (ny, nx), number of exposures in the value; 0 where the value is not a clean measurement.
    flags : `~numpy.ndarray`
        uint8 (ny, nx) of `PixelFlag`.

    Examples
    --------
    >>> from crstack import CRStack
    >>> from crstack.datasets import make_stack
    >>> simulated = make_stack("ifu", shape=(80, 90), hit_rate=0.02, seed=1)
    >>> stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    >>> full = stack.combine("meancr2", full_output=True)
    >>> full.ccd.shape, int(full.count.max())
    ((80, 90), 3)
    """

    name: str
    ccd: CCDData
    count: np.ndarray
    flags: np.ndarray

    def __repr__(self) -> str:
        replaced = np.count_nonzero(self.flags & ~np.uint8(PixelFlag.NO_DATA | PixelFlag.ALL_HIT))
        return f"<Combination {self.name}: {replaced} replaced, {np.count_nonzero(self.ccd.mask)} masked pixels>"

    def summary(self) -> Summary:
        """List the numbers of the image, as a dict; ``str()`` gives readable lines.

        Returns
        -------
        summary : dict
            Pixels by kind, and median and median error of the clean ones.
        """
        clean = ~np.asarray(self.ccd.mask)
        numbers = {"combination": self.name, "unit": str(self.ccd.unit), "pixels": self.count.size}
        numbers["without a clean measurement"] = int(np.count_nonzero(~clean))
        numbers |= {
            str(flag.name).lower().replace("_", " "): int(np.count_nonzero(self.flags & flag)) for flag in PixelFlag
        }
        if clean.any():
            numbers["median value"] = float(np.median(self.ccd.data[clean]))
            numbers["median error"] = float(np.sqrt(np.median(self.ccd.uncertainty.array[clean])))
        return Summary(numbers)

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


@dataclass
class Planes:
    """The planes of a combination while it is made."""

    value: np.ndarray
    variance: np.ndarray
    count: np.ndarray
    flags: np.ndarray

    def copy(self) -> "Planes":
        """Copies of the planes."""
        return Planes(self.value.copy(), self.variance.copy(), self.count.copy(), self.flags.copy())

    def replaced(self, where: np.ndarray, other: "Planes", flag: PixelFlag) -> "Planes":
        """Return a copy with the values of ``other`` where a mask is set."""
        new = self.copy()
        new.value[where] = other.value[where]
        new.variance[where] = other.variance[where]
        new.count[where] = other.count[where]
        new.flags[where] = other.flags[where] | np.uint8(flag)
        return new
