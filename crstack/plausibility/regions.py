"""Warning about a region of an exposure whose level is not that of the rest, as under a cloud."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.fine_surfaces import is_fine
from crstack.methods import measured_of
from crstack.utils.warn import warn_user

__all__ = ["region_of_level", "warn_of_region"]

#: a region is where the level deviates by more than this share of the largest deviation
OF_PEAK = 0.5
#: rounds of the fit of a plane
ROUNDS = 8


def region_of_level(grids, shape):
    """The region in which the level of one exposure deviates most from that of the others.

    Parameters
    ----------
    grids : `~numpy.ndarray`
        (N, rows, columns) levels in cells of the image, electrons.
    shape : tuple of int
        (ny, nx) of the image.

    Returns
    -------
    exposure : int
        Its number, from 0. Of two exposures, the second one against the first.
    deviation : float
        Largest deviation, electrons, from a plane through the other cells.
    box : tuple of slice
        (rows, columns) of the pixels.
    """
    grids = grids - (np.median(grids, axis=0) if len(grids) > 2 else grids[0])
    rests = np.array([_without_plane(one) for one in grids])
    exposure, *peak = np.unravel_index(np.argmax(np.abs(rests)), rests.shape)
    rest = rests[exposure]
    deviation = rest[*peak]
    parts, _ = ndimage.label(rest * np.sign(deviation) > OF_PEAK * abs(deviation))
    cells = ndimage.find_objects((parts == parts[*peak]).astype(int))[0]
    box = tuple(
        slice(*(round(end * side / number) for end in (one.start, one.stop)))
        for one, side, number in zip(cells, shape, rest.shape, strict=True)
    )
    return int(exposure), float(deviation), box


def _without_plane(values):
    """Values (rows, columns) minus a plane through most of them."""
    down, across = (one.ravel() - one.mean() for one in np.mgrid[: values.shape[0], : values.shape[1]])
    plane = np.stack([np.ones(values.size), down, across], axis=1)
    rest = values.ravel() - np.median(values)
    for _ in range(ROUNDS):
        root = 1 / np.sqrt(np.abs(rest) + np.median(np.abs(rest)) + 1e-6)
        found = np.linalg.lstsq(plane * root[:, None], values.ravel() * root, rcond=None)[0]
        rest = values.ravel() - plane @ found
    return rest.reshape(values.shape)


def warn_of_region(masks, exposures):
    """Warn of a region of an exposure with another level, for which the usual cells of surfaces are too large.

    A trail of a satellite is such a region too, and has a warning of its own.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        With what was measured.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.
    """
    measured = measured_of(masks.decision)
    if not measured or not is_fine(measured.grids, exposures.shape):
        return
    exposure, deviation, (rows, columns) = region_of_level(measured.grids, exposures.shape)
    if any(trail.exposure == exposure + 1 for trail in masks.trails):
        return  # its light is a part of the level
    against = f" against {exposures.names[0]}" if len(exposures) == 2 else ""
    warn_user(
        f"the level of {exposures.names[exposure]}{against} deviates by {deviation:+.3g} electrons from a plane in "
        f"x from {columns.start} to {columns.stop} and y from {rows.start} to {rows.stop}: a cloud, scattered light or "
        "a part of the beam that is blocked? The masks and the combined images allow for the level, but not for "
        "another throughput of the sources there: leave out this exposure, or give ignore_pixels for this region, if "
        "you measure sources in it"
    )
