"""The exposures that masks were made of, and those that they are applied to."""

import os

from crstack.exceptions import InputError
from crstack.exposures.digest import digest_of
from crstack.files.fits_reading import image_extension, image_in_parts, opened_fits
from crstack.utils.warn import warn_user

__all__ = ["check_files", "check_origin", "origin_of"]


def origin_of(exposures):
    """Name and digest of each exposure.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures.

    Returns
    -------
    origin : tuple of (str, str)
        Empty if the digests were not computed.
    """
    if not exposures.digests:
        return ()
    names = (os.path.basename(name) for name in exposures.names)
    return tuple(zip(names, exposures.digests, strict=True))


def check_origin(masks, exposures, what="masks"):
    """Compare the exposures that masks were made of with those that they are applied to.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        Masks of the right shape and number of exposures.
    exposures : `~crstack.exposures.Exposures`
        The exposures.
    what : str, optional
        Name of the masks in messages.

    Raises
    ------
    InputError
        If the exposures are the same in another order.

    Warns
    -----
    CRStackWarning
        If exposures hold other values than those of the masks.
    """
    if masks.shape == exposures.shape:
        _compare(masks.origin, origin_of(exposures), what)


def check_files(origin, paths, ext):
    """Compare the exposures that masks were made of with files that the masks are written to.

    Parameters
    ----------
    origin : tuple of (str, str)
        Name and digest of each exposure; empty if they are not known.
    paths : sequence of path-like
        The files, as many as there are exposures.
    ext : int or str
        Extension of the images.

    Raises
    ------
    InputError
        If the files are those of the masks in another order.

    Warns
    -----
    CRStackWarning
        If files hold other values than the exposures of the masks.
    """
    if not origin:
        return
    here = []
    for path in paths:
        with opened_fits(path) as hdus:
            image = image_in_parts(image_extension(hdus, path, ext, name="ext"))
        here.append((os.path.basename(path), digest_of(image)))
    _compare(origin, tuple(here), "masks")


def _compare(origin, here, what):
    """Compare (name, digest) of each exposure of masks with those of the exposures here."""
    if not here or len(origin) != len(here):
        return
    digests, wanted = ([digest for _, digest in one] for one in (here, origin))
    if digests == wanted:
        return
    if sorted(digests) == sorted(wanted):
        order = ", ".join(f"{wanted.index(digest) + 1} ({name})" for name, digest in here)
        raise InputError(f"exposures must be in the order in which the {what} were made; got their exposures {order}")
    other = [
        name if name == made_of else f"{name} for {made_of}"
        for (name, digest), (made_of, known) in zip(here, origin, strict=True)
        if digest != known
    ]
    warn_user(
        f"{what} were made from exposures with other values: {', '.join(other)} differ. "
        "Use the masks only with the exposures from which they were made, or with calibrated copies of these"
    )
