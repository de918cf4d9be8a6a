"""Sources that only some exposures show: asteroids, transients, stars of another field, nods."""

from collections.abc import Callable, Sequence

import numpy as np
from astropy.table import QTable
from scipy import ndimage

from crstack.exposures import Exposures
from crstack.not_hits.gaussians import fit_gaussians
from crstack.not_hits.others import own_and_others
from crstack.utils.medians import median_of_values
from crstack.utils.normal import FWHM_PER_SIGMA
from crstack.utils.pixels import EIGHT_CONNECTED, dilate
from crstack.utils.threads import map_images, row_bands
from crstack.utils.words import plain

__all__ = ["find_sources", "named_first", "sentence_of_sources"]

#: half of the side of the image around a peak
HALF = 6
#: least width (standard deviation, pixels) of a source; hits are narrower
NARROWEST = 0.8
#: largest misfit, and least height in standard deviations
MISFIT, HEIGHT = 0.05, 8.0
#: largest height of the other exposures at the place of a source, relative to its height
ALSO_IN_OTHERS = 0.3
#: pixels that are labelled at a time
PIXELS_AT_ONCE = 1 << 24
#: largest number of sources that a sentence names
MOST_NAMED = 3


def no_sources() -> QTable:
    """The table of `find_sources` without a row."""
    names = ("exposure", "x", "y", "flux", "n_pixels", "fwhm_major", "fwhm_minor")
    return QTable([np.zeros(0, kind) for kind in (int, float, float, float, int, float, float)], names=names)


def find_sources(flagged: Callable[[int], np.ndarray], exposures: Exposures) -> tuple[QTable, dict[int, np.ndarray]]:
    """Flagged features of an exposure that have the shape of a source.

    Parameters
    ----------
    flagged : callable
        ``flagged(i)`` gives the pixels of exposure ``i`` that are flagged as hit, bool (ny, nx).
    exposures : `~crstack.exposures.Exposures`
        The exposures.

    Returns
    -------
    table : `~astropy.table.QTable`
        One row for each source: exposure (from 1), x, y (FITS: the first pixel is 1, 1), flux (unit of the exposures),
        n_pixels, fwhm_major and fwhm_minor (pixels).
    planes : dict of int to `~numpy.ndarray`
        By exposure (from 0), the pixels of its sources, bool (ny, nx).

    Notes
    -----
    The median of the other exposures (the lower of two middle values) is subtracted. A feature is a source under three
    conditions. It contains a square of 3 x 3 flagged pixels. The light around its peak is an elliptical Gaussian,
    within 5 per cent of its sum of squares. The full width at half maximum is 1.9 pixels or more. Hits are narrower or
    have sharp edges. Narrower sources cannot be distinguished from hits.
    """
    found = map_images(lambda i: _sources_of_exposure(flagged(i), exposures, i), range(len(exposures)))
    planes = {i: where for i, (_, where) in enumerate(found) if where is not None}
    table = no_sources()
    for row in (row for rows, _ in found for row in rows):
        table.add_row(row)
    table["flux"] = table["flux"] << exposures.unit
    for name in ("x", "y", "fwhm_major", "fwhm_minor"):
        table[name].unit = "pix"
    return table, planes


def _sources_of_exposure(plane, exposures, i):
    """Rows of the table and the pixels of the sources in one exposure; None without sources."""
    rows: list = []
    everywhere = None
    for band in row_bands(plane.shape[0], plane.shape[1], PIXELS_AT_ONCE):
        found, where = _sources_of_band(plane[band], band.start, exposures, i)
        rows += found
        if where is not None:
            everywhere = np.zeros(plane.shape, dtype=bool) if everywhere is None else everywhere
            everywhere[band] = where
    return rows, everywhere


def _sources_of_band(plane, first, exposures, i):
    """Rows of the table and the pixels of the sources in some rows of an exposure."""
    cores = plane & ~dilate(~plane, 1)
    if not cores.any():
        return [], None
    labels, _ = ndimage.label(plane, EIGHT_CONNECTED)
    with_core = np.unique(labels[cores])
    y, x, size = _peaks(labels, with_core, exposures.data[i][first : first + len(plane)])
    stamps, level, contrast = _stamps(exposures, i, y + first, x)
    noise = exposures.noise_of(i)
    variance = 2 * noise.cutout((y + first, x)).variance(np.maximum(level, 0))
    fitted = fit_gaussians(stamps, variance)
    # a star that all exposures show may be sharper in one
    alone = contrast < ALSO_IN_OTHERS * fitted.amplitude
    ny, nx = exposures.shape
    inside = (np.abs(x + fitted.x - (nx - 1) / 2) <= nx / 2) & (np.abs(y + first + fitted.y - (ny - 1) / 2) <= ny / 2)
    good = (
        inside
        & alone
        & (fitted.misfit < MISFIT)
        & (fitted.minor > NARROWEST)
        & (fitted.amplitude > HEIGHT * np.sqrt(variance))
    )
    if not good.any():
        return [], None
    columns = (
        np.full(len(x), i + 1),
        x + fitted.x + 1,
        y + first + fitted.y + 1,
        fitted.flux,
        size,
        FWHM_PER_SIGMA * fitted.major,
        FWHM_PER_SIGMA * fitted.minor,
    )
    return list(zip(*(one[good].tolist() for one in columns), strict=True)), np.isin(labels, with_core[good])


def _peaks(labels, chosen, image):
    """Rows, columns and numbers of pixels (M,) of the highest value of each of the ``chosen`` labels."""
    # labelled pixels only, because a search of all pixels would sort the image
    place = np.flatnonzero(labels)
    numbers = labels.ravel()[place]
    values = image[np.unravel_index(place, labels.shape)]
    order = np.lexsort((values, numbers))
    peaks = order[np.searchsorted(numbers[order], chosen, side="right") - 1]
    return *np.unravel_index(place[peaks], labels.shape), np.bincount(numbers)[chosen]


def _stamps(exposures, i, y, x):
    """Images (M, n, n) of an exposure minus the others, without their level at the rim.

    Also the value of the others at the peak, and their light there above the rim, (M,) each.
    """
    steps = np.arange(-HALF, HALF + 1)
    ny, nx = exposures.shape
    where = (
        np.clip(y[:, None, None] + steps[:, None], 0, ny - 1),
        np.clip(x[:, None, None] + steps, 0, nx - 1),
    )
    own, lower = own_and_others(exposures, i, where, float)
    stamps = np.nan_to_num(own - lower)
    rim = np.ones(stamps.shape[1:], dtype=bool)
    rim[1:-1, 1:-1] = False
    others = np.nan_to_num(lower)
    peak = others[:, HALF - 1 : HALF + 2, HALF - 1 : HALF + 2].mean(axis=(1, 2))
    level = median_of_values(others[:, rim], axis=1)
    return stamps - median_of_values(stamps[:, rim], axis=1)[:, None, None], others[:, HALF, HALF], peak - level


def named_first(exposures: Sequence[int], fluxes: Sequence[float]) -> list[int]:
    """Choose the sources that a sentence names: the brightest of each exposure first, then the next ones.

    Parameters
    ----------
    exposures : sequence of int
        Exposure of each source.
    fluxes : sequence of float
        Its flux.

    Returns
    -------
    which : list of int
        Their indices, three at most.
    """
    ranks: dict[int, int] = {}
    order = []
    for k in np.argsort(fluxes)[::-1].tolist():
        i = int(exposures[k])
        ranks[i] = ranks.get(i, 0) + 1
        order.append((ranks[i], k))
    return [k for _, k in sorted(order, key=lambda pair: pair[0])[:MOST_NAMED]]


def sentence_of_sources(table: QTable, names: Sequence[str], cause: str = "") -> str | None:
    """A warning about sources that only some exposures show; None if there are none.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        From `find_sources`.
    names : sequence of str
        Names of the exposures.
    cause : str, optional
        What it is, if this is known.

    Returns
    -------
    sentence : str or None
        What it may be, and exposure, position and flux of the brightest sources.
    """
    if not len(table):
        return None
    exposures = [str(names[i - 1]) for i in np.unique(table["exposure"])]
    where = f"{len(exposures)} exposures" if len(exposures) > 1 else exposures[0]
    named = named_first(table["exposure"], table["flux"].value)
    places = ", ".join(
        f"{names[row['exposure'] - 1]} at ({row['x'].value:.1f}, {row['y'].value:.1f}) with {plain(row['flux'].value)} "
        f"{row['flux'].unit}"
        for row in table[named]
    )
    left = len(table) - len(named)
    more = f", and {left} more (in Python: masks.sources)" if left else ""
    one = len(table) == 1
    have, are = ("1 flagged feature has", "It is") if one else (f"{len(table)} flagged features have", "They are")
    cause = cause or (
        "an asteroid, a transient, a nod, another field, or an exposure that is not aligned or whose stars are trailed?"
    )
    return (
        f"{have} the shape of a source that only some exposures show, in {where}: {cause} {are} masked with the code "
        f"SOURCE, but not counted as {'a hit' if one else 'hits'}. {'Place' if one else 'Brightest'}: {places}{more}"
    )
