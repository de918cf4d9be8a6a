"""Shifts between exposures of one field, and exposures that are shifted by more than is measured."""

import numpy as np

from crstack.exposures.comparison.displacement import correlations, displacement
from crstack.exposures.comparison.structures import agree, agree_well, agreement, share_few
from crstack.exposures.cube import ALIGNED
from crstack.utils.pixels import central_shift
from crstack.utils.warn import warn_user

__all__ = ["agree_moved", "is_among", "least_shift", "report_apart", "shifted_apart"]

#: images agree as well after a smaller shift if their correlation, and the part of the structures that they share, are
#: this part of those after the measured shift
AS_WELL = 0.9
#: smallest shift (pixels) along x or y for which this is asked: sources are about as wide as smaller ones
FAR = 6


def shifted_apart(exposures, structures, n_lacking):
    """Exposures that are shifted by more than is measured against every other one, where most exposures are shifted.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    structures : sequence
        As from `~crstack.exposures.comparison.structures.compared`.
    n_lacking : int
        Number of exposures that lack structures of the others.

    Returns
    -------
    apart : tuple of (str, int, int)
        Name, dx and dy of all that are shifted against the first; empty if most exposures share their structures.
    centre : int or None
        An exposure against which no shift is larger than is measured, if those against the first are.
    """
    n = len(exposures)
    if n < 3 or not (n_lacking >= n / 2 or share_few(structures)):
        return (), None
    places = [(0, 0), *(_place_against(exposures.data[i], exposures.data[0]) for i in range(1, n))]
    # where more than half are at one place, the others are compared with these
    if max(map(places.count, places)) > n / 2 or np.abs(places).max() <= ALIGNED:
        return (), None
    centre, reach = central_shift(places)
    if reach <= ALIGNED:
        return (), centre
    return tuple((exposures.names[i], *shift) for i, shift in enumerate(places) if any(shift)), None


def _place_against(image, other):
    """Shift (dx, dy) of an image against another, after which they agree; (0, 0) where they agree in place."""
    shift = least_shift(image, other)
    return shift if shift is not None and agree_moved(image, other, shift, True) else (0, 0)


def least_shift(image, other):
    """Shift of an image against another, but 0 along x or y where they agree as well without a shift along it.

    Sky lines or the glow of an amplifier look the same after any shift along them, and hits then decide on the shift.

    Parameters
    ----------
    image, other : `~numpy.ndarray`
        (ny, nx) images.

    Returns
    -------
    shift : tuple of int or None
        (dx, dy), or None if there is no clear shift.
    """
    shift = displacement(image, other)
    if shift is None or shift == (0, 0):
        return shift
    agreed = _agreement_moved(image, other, shift)
    for less in ((0, 0), (shift[0], 0), (0, shift[1])):
        left_out = [abs(part) for part, kept in zip(shift, less, strict=True) if part != kept]
        if not left_out or min(left_out) < FAR:
            continue
        found = correlations(image, other, less)
        alike = found.given > AS_WELL * found.highest
        if alike and _agreement_moved(image, other, less) >= AS_WELL * agreed > 0:
            return less
    return shift


def is_among(exposures, i, apart):
    """Whether an exposure is one of those that are apart, or shows the structures of the first as it is.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    i : int
        Index of the exposure.
    apart : tuple of (str, int, int)
        As from `shifted_apart`.

    Returns
    -------
    among : bool
    """
    named = {name for name, *_ in apart}
    return exposures.names[i] in named or agree_moved(exposures.data[i], exposures.data[0], (0, 0), True)


def report_apart(exposures):
    """Warn of exposures that are shifted by more than is measured.

    Parameters
    ----------
    exposures : Exposures
        With these as ``displaced``.

    Warns
    -----
    CRStackWarning
        Always.
    """
    found = ", ".join(f"{name} by ({dx:+d}, {dy:+d})" for name, dx, dy in exposures.displaced)
    warn_user(
        f"the exposures are shifted against {exposures.names[0]}: {found} pixels, which is more than the {ALIGNED} "
        "that are measured: align the exposures first. Until then stars are taken for hits, and throughputs and "
        "combined images are wrong"
    )


def agree_moved(image, other, shift, well=False):
    """Whether an image shows the structures of another after a shift; one bright star alone may give a false shift.

    Parameters
    ----------
    image, other : `~numpy.ndarray`
        (ny, nx) images.
    shift : tuple of int
        (dx, dy) of the image against the other.
    well : bool, optional
        Whether they must agree in more structures.

    Returns
    -------
    agree : bool
    """
    dx, dy = shift
    return (agree_well if well else agree)(np.roll(image, (-dy, -dx), (0, 1)), other)


def _agreement_moved(image, other, shift):
    """Part of the structures that both images show after a shift."""
    dx, dy = shift
    return agreement(np.roll(image, (-dy, -dx), (0, 1)), other)
