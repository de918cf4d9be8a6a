"""Shifts between exposures by their world coordinates, compared with given or measured ones."""

from collections.abc import Sequence

import numpy as np
from astropy.coordinates import ConvertError, SkyCoord
from astropy.wcs import WCS, NoConvergence

from crstack.exposures import Exposures
from crstack.utils.warn import warn_user

__all__ = ["compare_with_wcs", "shifts_by_wcs"]

#: disagreement (pixels) that is not reported, because coordinates of headers have no errors
LEAST = 0.5
#: a reported disagreement also exceeds this number of standard errors
SIGMAS = 3.0
#: largest change (pixels) of a shift within an image; with a larger one, the images are turned or stretched
UNIFORM = 1.0


def shifts_by_wcs(exposures: Exposures) -> np.ndarray | None:
    """Shifts of the scene between exposures, by the world coordinates of each.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        With ``own_wcs``.

    Returns
    -------
    shifts : `~numpy.ndarray` or None
        (N, 2) dx and dy in pixels of the scene in the middle of the image, against the median of the exposures along
        each axis. None if an exposure has no coordinates, if they are of different kinds, or if they are turned or
        stretched against each other.
    """
    all_wcs = exposures.own_wcs
    if len(all_wcs) != len(exposures) or not all(isinstance(one, WCS) for one in all_wcs):
        return None
    if len({_kind(one) for one in all_wcs}) > 1 or all_wcs[0].naxis != 2:
        return None
    ny, nx = exposures.shape
    # the middle, and two corners
    x, y = np.array([(nx - 1) / 2, 0, nx - 1]), np.array([(ny - 1) / 2, 0, ny - 1])
    try:
        world = all_wcs[0].all_pix2world(x, y, 0)
        found = np.array([np.array(one.all_world2pix(*world, 0)) - (x, y) for one in all_wcs])
    except (NoConvergence, ValueError, ArithmeticError):
        return None
    if not np.isfinite(found).all() or np.ptp(found, axis=2).max() > UNIFORM:
        return None
    return found[..., 0] - np.median(found[..., 0], axis=0)


def _kind(wcs):
    """The properties that coordinates must have in common to be compared."""
    return tuple(wcs.wcs.ctype), tuple(map(str, wcs.wcs.cunit)), wcs.wcs.radesys, str(wcs.wcs.equinox), wcs.naxis


def compare_with_wcs(
    exposures: Exposures,
    shifts: Sequence[Sequence[float]],
    errors: Sequence[Sequence[float]] | None = None,
) -> tuple[int, ...]:
    """Warn if the world coordinates give other shifts than those that are used.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    shifts : sequence of (dx, dy)
        Shift of each exposure in pixels, as it is given or was measured.
    errors : sequence of (dx, dy), optional
        Standard errors of measured shifts; given ones have none.

    Returns
    -------
    numbers : tuple of int
        Exposures (from 0) whose coordinates give another shift.

    Warns
    -----
    CRStackWarning
        If a difference exceeds half a pixel and three standard errors, or if the coordinates of exposures are those of
        another field.
    """
    elsewhere = _exposures_of_other_fields(exposures)
    if elsewhere:
        return elsewhere
    by_wcs = shifts_by_wcs(exposures)
    if by_wcs is None:
        return ()
    used = np.array(shifts, dtype=float)
    limit = LEAST + SIGMAS * (np.zeros_like(used) if errors is None else np.array(errors, dtype=float))
    # the origin is that of most exposures
    difference = by_wcs - used
    difference -= np.median(difference, axis=0) if len(used) > 2 else difference[0]
    by_wcs = used + difference
    differing = np.flatnonzero((np.abs(difference) > limit).any(axis=1))
    if not len(differing):
        return ()
    how = "given" if errors is None else "measured"
    found = "; ".join(
        f"{exposures.names[i]} by ({by_wcs[i][0]:+.2f}, {by_wcs[i][1]:+.2f}) pixels, and ({used[i][0]:+.2f}, "
        f"{used[i][1]:+.2f}) are {how}"
        for i in differing
    )
    warn_user(
        f"the WCS of the headers gives other shifts than those that are used: it shifts {found}. Check the WCS"
        + (" and the offsets" if errors is None else "")
        + "; combined images have that of the first exposure"
    )
    return tuple(map(int, differing))


def _exposures_of_other_fields(exposures):
    """Exposures (from 0) whose field does not touch that of most exposures, by celestial coordinates; warns of them."""
    all_wcs, (ny, nx) = exposures.own_wcs, exposures.shape
    if len(all_wcs) != len(exposures) or not all(isinstance(one, WCS) and one.has_celestial for one in all_wcs):
        return ()
    x, y = np.array([(nx - 1) / 2, 0]), np.array([(ny - 1) / 2, 0])
    try:
        found = [one.celestial.pixel_to_world(x, y).icrs for one in all_wcs]
    except (NoConvergence, ValueError, ArithmeticError, ConvertError):
        return ()
    places = SkyCoord(*([getattr(one, name).deg for one in found] for name in ("ra", "dec")), unit="deg")
    centres, corners = places[:, 0], places[:, 1]
    apart = centres[:, None].separation(centres[None]).deg
    reference = int(np.argmin(np.median(apart, axis=1)))
    radius = centres.separation(corners).deg
    other = np.flatnonzero(apart[reference] > radius + radius[reference])
    if not len(other):
        return ()
    numbers = "; ".join(f"{exposures.names[i]} by {apart[reference, i]:.3g} degrees" for i in other)
    warn_user(
        f"the WCS of the headers gives another field than that of {exposures.names[reference]}: its centre differs in "
        f"{numbers}. Check that the exposures show one field, and correct the WCS; combined images have that of the "
        "first exposure"
    )
    return tuple(map(int, other))
