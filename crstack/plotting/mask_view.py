"""A mask with its images and the decision on it, for figures."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from crstack.methods import DiagramView
from crstack.utils.cached import cached_property

__all__ = ["MaskView"]


@dataclass(frozen=True, eq=False)
class MaskView:
    """A mask with its images.

    Attributes
    ----------
    name : str
        Name of the mask.
    codes : `~numpy.ndarray`
        uint8 (ny, nx), the method that flagged each pixel: `~crstack.masks.Code`.
    image : `~numpy.ndarray`
        (ny, nx), bias subtracted: the image of the mask.
    label : str
        Its name, such as "median2d".
    min2d : `~numpy.ndarray`
        (ny, nx).
    others : tuple of (str, `~numpy.ndarray`)
        Names and images for the fourth panel: mean2d, then each exposure.
    unit : `~astropy.units.Unit`
        Unit of the images.
    decided : `~crstack.methods.DiagramView`, optional
        The image in the coordinates of the diagram, with the boundary and the threshold of the decision. Without it
        the pixels are drawn at min2d and image - min2d, and no boundary is drawn.
    finder : str, optional
        Name of the method, for the legend.
    """

    name: str
    codes: np.ndarray
    image: np.ndarray
    label: str
    min2d: np.ndarray
    others: tuple
    unit: object
    decided: DiagramView | None = None
    finder: str = "M.M.Cosmic"

    @property
    def boundary(self):
        """The boundary used for this image, or None."""
        return None if self.decided is None else self.decided.boundary

    @property
    def threshold(self):
        """Smallest T - min2d of a hit, where T is the image searched; or None."""
        return None if self.decided is None else self.decided.threshold

    @property
    def diagram(self):
        """The diagram of the boundary, or None; it gives the linear part of the axes."""
        return None if self.decided is None else self.decided.diagram

    def for_drawing(self) -> "MaskView":
        """A smaller copy for another process, without the arrays that only the list of pixels needs.

        Returns
        -------
        view : MaskView
            The figures of this view are the same.
        """
        decided = self.decided
        if decided is not None:
            nothing = np.empty((0, 0))
            decided = replace(decided, x=nothing, y=nothing)
        copy = replace(self, decided=decided)
        copy.__dict__["pixels"] = self.pixels
        return copy

    @cached_property
    def pixels(self):
        """Structured array of the flagged pixels: number, x, y (FITS), code; min2d and excess as in the diagram."""
        labels, _ = ndimage.label(self.codes > 0, np.ones((3, 3), dtype=int))
        row, column = np.nonzero(labels)
        kinds = [("number", int), ("x", int), ("y", int), ("code", int), ("min2d", float), ("excess", float)]
        pixels = np.empty(len(row), dtype=kinds)
        pixels["number"] = labels[row, column]
        pixels["x"], pixels["y"] = column + 1, row + 1
        pixels["code"] = self.codes[row, column]
        if self.decided is None:
            pixels["min2d"] = self.min2d[row, column]
            pixels["excess"] = self.image[row, column] - self.min2d[row, column]
        else:
            pixels["min2d"], pixels["excess"] = self.decided.x[row, column], self.decided.y[row, column]
        return pixels
