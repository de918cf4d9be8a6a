"""Equalized exposures: what is known of their differences, and what is measured beyond it."""

from dataclasses import dataclass

import numpy as np

from crstack.equalize.fit.differences import Differences
from crstack.equalize.terms.flux import FluxFactors
from crstack.equalize.terms.offsets import Offsets
from crstack.equalize.terms.response import Response
from crstack.exposures import Exposures
from crstack.utils.cached import cached_property

__all__ = ["EqualizedExposures"]


@dataclass(frozen=True, eq=False, repr=False)
class EqualizedExposures:
    """Equalized exposures, and their remaining differences.

    Attributes
    ----------
    exposures : Exposures
        The exposures to combine: divided by the local response, and by the flux factors if those apply to the
        originals.
    levelled : Exposures
        The exposures to compare: ``exposures`` minus ``differences``, so that clean pixels differ by noise alone; the
        same object if there are no differences.
    flux : FluxFactors or None
        As measured or given.
    offsets : Offsets or None
        As measured or given.
    response : Response or None
        As measured.
    common : `~numpy.ndarray` or None
        (ny, nx) common image of the exposures; None if the median is used.
    differences : list of `~numpy.ndarray` or None
        Expected image of each exposure minus ``common``; None if all exposures have the same expected image.
    factors : tuple of float
        Flux factors that ``exposures`` still have; empty if there are none.
    added : list of `~numpy.ndarray` or None
        The part of ``differences`` that comes from given added levels (minus their mean) and from given seeing.
    words : tuple of str
        Descriptions of these.
    measured : Differences or None
        What was measured in addition; None if nothing more was to be measured.
    """

    exposures: Exposures
    flux: FluxFactors | None = None
    offsets: Offsets | None = None
    response: Response | None = None
    common: np.ndarray | None = None
    differences: list | None = None
    factors: tuple = ()
    added: list | None = None
    words: tuple[str, ...] = ()
    measured: Differences | None = None

    @cached_property
    def levelled(self):
        """The exposures to compare: ``exposures`` minus ``differences``, if there are any."""
        return self.exposures if self.differences is None else self.exposures.minus(self.differences)

    def __repr__(self):
        return f"<EqualizedExposures: {'; '.join(self.describe()) or 'as they are'}>"

    def expected_images(self, median2d: np.ndarray) -> list[np.ndarray]:
        """Expected image (ny, nx) of each exposure, in the unit of the exposures.

        Parameters
        ----------
        median2d : `~numpy.ndarray`
            (ny, nx) median of the exposures, for those that share one image.

        Returns
        -------
        images : list of `~numpy.ndarray`
            The common image times the flux factor, shifted by the offset.
        """
        if self.differences is None:
            return [np.nan_to_num(median2d)] * len(self.exposures)
        return [self.common + difference for difference in self.differences]

    def describe(self) -> tuple[str, ...]:
        """Description of the equalization, as a tuple of lines.

        Returns
        -------
        lines : tuple of str
            For the history of the masks.
        """
        lines = []
        if self.flux is not None:
            lines.append(f"flux factors, {self.flux.method}: {self.flux}")
        if self.offsets is not None:
            lines.append(f"offsets (dx, dy): {self.offsets}")
        if self.response is not None:
            settings = "" if self.response.settings is None else f", {self.response.settings!r}"
            lines.append(f"local response: {self.response!r}{settings}")
        lines.extend(self.words)
        if self.measured is not None:
            lines.extend(f"{name}: {value}" for name, value in self.measured.in_words().items())
        return tuple(lines)
