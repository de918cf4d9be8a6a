"""Two pages for each hit: its images, and its pixels in the diagram."""

import logging
import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from astropy.table import QTable

from crstack.exceptions import InputError
from crstack.files.whole import atomic_path
from crstack.masks import MaskSet
from crstack.plotting.hit_diagram import HitDiagram
from crstack.plotting.hit_images import HitImages
from crstack.plotting.mask_view import MaskView
from crstack.plotting.style import new_figure
from crstack.utils.words import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["HitPages", "first_hits", "plot_hits"]

#: largest number of exposures named in the title; for more it has only the number
MOST_LISTED = 5
#: fewest pixels of a hit that are a page of their own, if there is no diagram to show them in
FEWEST_POINTS = 3
#: every PDF reader has Helvetica; to measure and embed another font would be slow
PDF: dict[Any, Any] = {"pdf.use14corefonts": True, "axes.unicode_minus": False, "pdf.compression": 3}


def plot_hits(
    view: MaskView,
    features: QTable,
    *,
    masks: MaskSet | None = None,
    semiwindow: int = 15,
    color_scale: Literal["zscale", "minmax"] = "zscale",
    replacement: np.ndarray | None = None,
    corrected: tuple[str, np.ndarray] | None = None,
    fig: "Figure | str | None" = None,
) -> "HitPages":
    """Prepare two pages for each hit of a mask.

    Parameters
    ----------
    view : `~crstack.plotting.MaskView`
        The mask and its images; the exposures are ``view.others[1:]``.
    features : `~astropy.table.QTable`
        Hits of that mask, from `~crstack.masks.features.find_features`.
    masks : `~crstack.MaskSet`, optional
        If given, the outline in an exposure is that of its own mask.
    semiwindow : int, optional
        Half the size of the images, in pixels; larger hits are shown whole.
    color_scale : {"zscale", "minmax"}, optional
        Contrast, the same for all images of a hit.
    replacement : `~numpy.ndarray`, optional
        (ny, nx): values that replace masked pixels; min2d by default.
    corrected : (str, `~numpy.ndarray`), optional
        Name of a combined image, and the image (ny, nx): the last panel shows it instead of the image of the mask with
        its replacement.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure of the first page; a new one by default.

    Returns
    -------
    pages : HitPages
        ``pages.show(number)`` draws a hit, ``pages.write(path)`` a PDF file.

    Raises
    ------
    InputError
        If the window or the scale is wrong.
    """
    images = HitImages(
        view,
        masks,
        semiwindow=semiwindow,
        color_scale=color_scale,
        replacement=replacement,
        corrected=corrected,
        fig=fig,
    )
    return HitPages(view, features, images)


def first_hits(features, most=-1):
    """Numbers of the hits to draw, sorted by the number of exposures, then by strength.

    Parameters
    ----------
    features : `~astropy.table.QTable`
        Hits.
    most : int, optional
        Largest number; all if negative.

    Returns
    -------
    numbers : list of int
    """
    strength = features["peak"] if "peak" in features.colnames else features["n_pixels"]
    order = np.lexsort((-np.asarray(getattr(strength, "value", strength)), -np.asarray(features["n_exposures"])))
    numbers = [int(number) for number in features["number"][order]]
    return numbers if most < 0 else numbers[:most]


class HitPages:
    """The two figures of `plot_hits`; each hit is drawn into the same two.

    Parameters
    ----------
    view : `~crstack.plotting.MaskView`
        The mask and its images.
    features : `~astropy.table.QTable`
        The hits.
    images : ``HitImages``
        The first page of a hit.

    Attributes
    ----------
    images, diagram : `~matplotlib.figure.Figure`
        First and second page of the hit shown last.
    """

    def __init__(self, view: MaskView, features: QTable, images: HitImages) -> None:
        self.view, self.features = view, features
        self._pixels = view.pixels[np.argsort(view.pixels["number"], kind="stable")]
        numbers = self._pixels["number"]
        self._first = np.searchsorted(numbers, np.arange(1, numbers.max(initial=0) + 2))
        self._images, self._diagram = images, HitDiagram(view, features["number"])
        self.images, self.diagram = self._images.figure, self._diagram.figure

    def __len__(self):
        return len(self.features)

    def show(self, number: int) -> "tuple[Figure, Figure]":
        """Draw the hit of a number.

        Parameters
        ----------
        number : int
            Number of the hit, as in the table.

        Returns
        -------
        images, diagram : `~matplotlib.figure.Figure`
            Redrawn by the next `show`.

        Raises
        ------
        InputError
            If the table has no such hit.
        """
        rows = np.flatnonzero(np.asarray(self.features["number"]) == number)
        if not len(rows):
            raise InputError(f"number must be that of a hit in the table; got {number}")
        feature = self.features[rows[0]]
        pixels = self._pixels[self._first[number - 1] : self._first[number]]
        title = self._title(feature)
        self._images.show(feature, pixels, title)
        self._diagram.show(pixels, title)
        return self.images, self.diagram

    def write(
        self, path: str | os.PathLike, *, maxplots: int = -1, progress: Callable[[float], None] | None = None
    ) -> int:
        """Write the pages of the hits to a PDF file, completely or not at all.

        A hit of one or two pixels has no second page if there is no median-minimum diagram to show it in.

        Parameters
        ----------
        path : path-like
            Replaced if it exists. Without hits it has one page that states this.
        maxplots : int, optional
            Largest number of hits to draw; all if negative. They are sorted by the number of exposures, then by
            strength.
        progress : callable, optional
            Called with the fraction done.

        Returns
        -------
        n_drawn : int
            Number of hits that were drawn.
        """
        from matplotlib import rc_context

        numbers = first_hits(self.features, maxplots)
        with (
            rc_context(PDF),
            _quiet_fonts(),
            atomic_path(path) as temporary,
            _pages(temporary) as pdf,
            self._images.fixed(),
            self._diagram.fixed(),
        ):
            for done, number in enumerate(numbers, start=1):
                for figure in self.show(number)[: self._n_pages(number)]:
                    pdf.savefig(figure)
                if progress is not None:
                    progress(done / len(numbers))
            if not numbers:
                pdf.savefig(_empty_page(self.view.name, len(self.features)))
        return len(numbers)

    def _n_pages(self, number):
        """Pages of a hit in a file: few points do not make a second page without a diagram behind them."""
        few = self._first[number] - self._first[number - 1] < FEWEST_POINTS
        return 1 if few and self.view.diagram is None and self.view.threshold is None else 2

    def _title(self, feature):
        """Two lines: which hit and where; how bright, and in which exposures."""
        size = counted(feature["n_pixels"], "pixel")
        hit = [str(i) for i, digit in enumerate(feature["exposures"], start=1) if digit == "1"]
        first = (
            f"{self.view.name}, hit {feature['number']} ({feature['category']}): {size}, "
            f"at X={feature['xcentroid']:.1f}, Y={feature['ycentroid']:.1f}"
        )
        words = []
        if "peak" in self.features.colnames:
            peak = getattr(feature["peak"], "value", feature["peak"])
            words.append(f"{self.view.label} up to {peak:.4g} {self.view.unit} above min2d")
        listed = f"exposure{'s' if len(hit) > 1 else ''} {', '.join(hit)}" if hit else "no exposure"
        if len(hit) > MOST_LISTED:
            listed = f"{len(hit)} of {len(feature['exposures'])} exposures"
        words.append(f"masked in {listed}")
        return f"{first}\n{', '.join(words)}"


@contextmanager
def _pages(path):
    """A PDF file of several pages.

    It is not completed if a page cannot be written, as on a full disk: zlib would report its broken state, and not the
    disk.
    """
    from matplotlib.backends.backend_pdf import PdfPages

    with path.open("wb") as file:
        pdf = PdfPages(file)
        yield pdf
        pdf.close()


@contextmanager
def _quiet_fonts():
    """Suppress the message of newer versions of matplotlib that Helvetica's normal weight is called medium."""
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _empty_page(name, n_hits):
    figure = new_figure((9.1, 4))
    words = (
        f"{name}: no hit of this kind" if not n_hits else f"{name}: {counted(n_hits, 'hit')}, none drawn (maxplots: 0)"
    )
    figure.text(0.5, 0.5, words, ha="center", va="center", fontsize="large")
    return figure
