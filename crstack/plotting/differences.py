"""Figure of what was measured of exposures that differ."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np

from crstack.equalize.differences import Differences
from crstack.plotting.style import add_bar, block_means, block_size, draw_image, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_differences"]

#: terms by title, with their columns of `Differences.table` and the unit
TERMS = (
    ("added level", ("level",), "electron"),
    ("throughput", ("throughput",), ""),
    ("shift", ("dx", "dy"), "pixel"),
    ("second moments", ("xx", "yy", "xy"), "pixel squared"),
)
#: blue and red, distinct for colour-blind readers too
COLOURS = "RdBu_r"
#: distinct for colour-blind readers
MARKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"))
#: part of the values inside the limits of the colours
INSIDE = 99.0


def plot_differences(
    measured: Differences,
    images: Sequence[np.ndarray],
    *,
    unit: u.UnitBase | str = "",
    resolution: int | None = None,
    fig: "Figure | str | None" = None,
) -> "Figure":
    """Draw each measured term for each exposure, with its errors, and what each exposure is expected to hold more.

    Parameters
    ----------
    measured : `~crstack.equalize.Differences`
        What was measured.
    images : sequence of `~numpy.ndarray`
        (ny, nx) what each exposure is expected to hold more than the common image, by all terms together.
    unit : `~astropy.units.Unit`, optional
        Unit of the images.
    resolution : int, optional
        Largest number of points along an axis of an image; means of blocks of pixels are drawn.
    fig : `~matplotlib.figure.Figure` or "pyplot", optional
        Figure to draw in, or "pyplot" for a new one that pyplot shows. By default a new one that belongs to no window.

    Returns
    -------
    fig : `~matplotlib.figure.Figure`
        A panel for each term, and below one for each exposure.
    """
    fig = new_figure((13, 7), fig)
    (above,), (below,) = fig.subfigures(2, 1, squeeze=False)
    table = measured.table()
    for axes, (title, names, of) in zip(above.subplots(1, len(TERMS)), TERMS, strict=True):
        for name, (colour, marker) in zip(names, MARKS, strict=False):
            errors = np.asarray(table[f"{name}_error"]) if f"{name}_error" in table.colnames else None
            options = {"fmt": marker, "color": colour, "capsize": 2, "label": name}
            axes.errorbar(np.asarray(table["exposure"]), np.asarray(table[name]), errors, **options)
        axes.set(title=title, xlabel="exposure", ylabel=f"{title} ({of})" if of else title)
        axes.set_xticks(np.asarray(table["exposure"]))
        axes.margins(x=0.2)
        if len(names) > 1:
            axes.legend(fontsize="small")
    _draw_images(below, images, unit, resolution)
    lines = "; ".join(line.words for line in measured.lines)
    fig.suptitle("Measured differences of the exposures" + (f"; {lines}" if lines else ""))
    return fig


def _draw_images(figure, images, unit, resolution):
    shape = images[0].shape
    block = block_size(shape, resolution)
    means = [block_means(one, block) for one in images]
    most = float(np.percentile(np.abs(means), INSIDE)) or 1.0
    panels = np.atleast_1d(figure.subplots(1, len(images), sharex=True, sharey=True))
    aspect = "auto" if max(shape) > 2.5 * min(shape) else "equal"
    for i, (axes, one) in enumerate(zip(panels, means, strict=True), start=1):
        shown = draw_image(axes, one, (-most, most), block=block, colours=COLOURS, aspect=aspect)
        axes.set_title(f"exposure {i} \N{MINUS SIGN} common image")
    add_bar(panels[-1], shown, f"expected difference ({unit})")
