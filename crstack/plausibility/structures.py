"""Sentence about structures that differ beyond the noise and the measured differences."""

import numpy as np
from scipy import ndimage

from crstack.equalize.terms.hot_pixels import hot_pixels
from crstack.exposures.comparison.rotation import rotations
from crstack.exposures.scatter.photons import counted_photons
from crstack.masks.codes import Code, exposure_name
from crstack.methods import measured_of
from crstack.utils.pixels import dilate

__all__ = ["is_misaligned", "of_structures"]

#: structures that differ by as much as this shift (pixels), beyond the measured differences, are not plausible
UNEXPLAINED = 0.3
#: trails explain that structures differ, and so do fewer than this number of sources that only some exposures show
MANY_SOURCES = 5
#: structures outside of trails and sources are compared in pixels of at least this gradient (standard deviations), if
#: there are enough, and at this distance (pixels) from trails and sources
STEEP, FEWEST_STEEP, BESIDE = 5.0, 200, 3
#: number of values of the middle rows that are read
VALUES = 40_000_000
#: share of the steep pixels that lie beside hot pixels in dark exposures
MOSTLY = 0.5
#: quantile of the squared differences that is compared, and this quantile of the square of a normal value
QUANTILE, OF_QUANTILE = 0.75, 1.3233
#: largest shift (pixels) that is measured from these differences, and its error
MOST_SHIFTED, ERROR_OF_SHIFT = 4.0, 0.01


def of_structures(masks, exposures, differences):
    """A sentence if structures differ by much more than the noise and the measured differences.

    A trail, or a star that varies, makes structures differ at its place only, and has a warning of its own. The other
    structures are then measured alone. Where the exposures are rotated, stars are flagged at many places.
    """
    shift = 0.0 if masks.decision is None else masks.decision.unexplained_shift
    n_sources = 0 if masks.sources is None else len(masks.sources)
    explained = (masks.trails or n_sources) and n_sources < MANY_SOURCES
    if shift <= UNEXPLAINED:
        return []
    # the shift comes from normal values, which counted photons are not
    if explained or counted_photons(exposures) or _mostly_hot(exposures):
        shift = _shift_elsewhere(masks, exposures, differences())
        if shift <= UNEXPLAINED:
            return []
    measured = measured_of(masks.decision)
    factors = ", ".join(f"{one:.2f}" for one in measured.factors) if measured else "none"
    found = (
        f"structures differ between the exposures by as much as a shift of {shift:.2f} pixel beyond what is measured "
        f"(throughputs: {factors})"
    )
    if is_misaligned(masks.decision, exposures, n_sources):
        found += (
            f", and {n_sources} flagged features look like sources of some exposures only (in Python: masks.sources)"
        )
        cause = "are the exposures rotated against each other, distorted, or of different fields?"
    else:
        cause = "rotation, distortion, or fringes that vary?"
    turned = rotations(exposures)
    cause = f"the stars are rotated, those of {turned}." if turned else cause
    return [
        f"{found}: {cause} Structures are flagged, and hits on them are missed: register the exposures first, or leave "
        "out those that differ"
    ]


def is_misaligned(decision, exposures, n_sources):
    """Whether structures differ beyond what is measured, and many features look like sources of some exposures.

    Parameters
    ----------
    decision : `~crstack.methods.Decision` or None
        That made the masks.
    exposures : `~crstack.exposures.Exposures`
        Its exposures. Where they count photons, structures differ by more than normal values do.
    n_sources : int
        Number of sources that only some exposures show.

    Returns
    -------
    misaligned : bool
        Whether stars at different places, rather than stars that vary, are the likely cause.
    """
    shift = 0.0 if decision is None else decision.unexplained_shift
    return n_sources >= MANY_SOURCES and shift > UNEXPLAINED and not counted_photons(exposures)


def _shift_elsewhere(masks, exposures, differences):
    """Shift (pixels) of an exposure that makes steep structures differ as they do, outside trails and sources.

    It is measured in the middle rows of large images; 0 if there are too few such pixels.
    """
    n, rows = len(exposures), _middle_rows(exposures)
    levels = exposures.data[:, rows].astype(np.float32)
    for i, one in enumerate(differences or ()):
        levels[i] -= one[rows] if np.ndim(one) else one
    # of two exposures, their difference is that of one from the other
    common = np.median(levels, axis=0) if n > 2 else levels[0]
    variance = exposures.noise.cutout(rows).variance(np.maximum(common, 0)) * (1 if n > 2 else 2)
    # a hit of one of two exposures is no structure
    scene = common if n > 2 else levels.min(axis=0)
    gradient2 = ndimage.gaussian_gradient_magnitude(scene, 1) ** 2
    apart = [np.isin(masks.codes[exposure_name(i)][rows], (Code.TRAIL, Code.SOURCE, Code.MOVED)) for i in range(n)]
    # coincident hits are no structure either
    apart.append(masks["MEDIANCR"][rows])
    usable = (gradient2 > STEEP**2 * variance) & ~dilate(np.logical_or.reduce(apart), BESIDE)
    usable &= ~_beside_hot(scene, variance)
    if exposures.bad is not None:
        usable &= ~exposures.bad[:, rows].any(axis=0)
    if np.count_nonzero(usable) < FEWEST_STEEP:
        return 0.0
    slopes, noise = gradient2[usable], np.broadcast_to(variance, common.shape)[usable]
    return max(_shift_that_explains((plane[usable] - common[usable]) ** 2, noise, slopes) for plane in levels)


def _middle_rows(exposures):
    """The middle rows (a slice) of exposures, of about `VALUES` values."""
    ny, nx = exposures.shape
    half = max(VALUES // (2 * len(exposures) * nx), 1)
    return slice(max(ny // 2 - half, 0), ny // 2 + half)


def _mostly_hot(exposures):
    """Whether most of the steep structures are hot pixels, which no shift explains: dark exposures."""
    rows = _middle_rows(exposures)
    levels = exposures.data[:, rows]
    scene = np.median(levels, axis=0) if len(levels) > 2 else levels.min(axis=0)
    variance = exposures.noise.cutout(rows).variance(np.maximum(scene, 0))
    steep = ndimage.gaussian_gradient_magnitude(scene, 1) ** 2 > STEEP**2 * variance
    return bool(np.count_nonzero(steep & _beside_hot(scene, variance)) > MOSTLY * np.count_nonzero(steep))


def _beside_hot(scene, variance):
    """Surroundings of the hot pixels of an image (ny, nx)."""
    hot = np.zeros(scene.shape, dtype=bool)
    hot[hot_pixels(scene, np.sqrt(variance), shared=True)] = True
    return dilate(hot, BESIDE)


def _shift_that_explains(squares, noise, slopes):
    """Shift (pixels) for which squared differences are those of normal values; by bisection."""
    low, high = 0.0, MOST_SHIFTED
    while high - low > ERROR_OF_SHIFT:
        middle = (low + high) / 2
        if np.quantile(squares / (noise + middle**2 * slopes), QUANTILE) > OF_QUANTILE:
            low = middle
        else:
            high = middle
    return low
