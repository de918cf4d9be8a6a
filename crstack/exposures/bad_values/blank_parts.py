"""Blank parts of the exposures, and saturated values: what is marked as bad, and the warnings."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from crstack.exceptions import InputError
from crstack.exposures.as_read import least_noise
from crstack.exposures.bad_values.marking import place_of_pixels, with_bad
from crstack.exposures.bad_values.saturation import LEAST_PIXELS
from crstack.exposures.bad_values.saturation_of_stack import clipped_values, find_shared_plateau, warn_of_saturation
from crstack.exposures.blank import BLOCK, blank_part
from crstack.exposures.digits import digit_of, side_of_blocks, with_lines
from crstack.utils.threads import map_threads
from crstack.utils.warn import warn_user

__all__ = ["without_blank_parts"]


def without_blank_parts(exposures, read, zeros=0.0):
    """Mark blocks of one value as bad, and saturated values.

    ``zeros`` is the share of values that are 0 where the noise gives no value below 0: counts of photons are often 0.
    """
    side = BLOCK
    if read is not None or zeros:
        first = exposures.data[0] if read is None else read.first
        side = side_of_blocks(digit_of(first), least_noise(exposures), first.size, zeros)
    blank = map_threads(lambda plane: None if side is None else blank_part(plane, side), exposures.data)
    raw = None if side is None or read is None else blank_part(read.first, side)
    if raw is not None and (raw & read.same).any():
        # an image of the bias was subtracted from the values
        blank = [raw & read.same if one is None else one | (raw & read.same) for one in blank]
    clipped = None if read is None else clipped_values(exposures, read.plateaus)
    if clipped is None and all(one is None for one in blank):
        _warn_of_saturation(exposures, read, None)
        return exposures
    nothing = np.zeros(exposures.shape, dtype=bool)
    blocks = np.stack([nothing if one is None else one for one in blank])
    blank = _with_lines(exposures, blocks, side)
    full = _saturated_features(exposures, blocks | blank)
    if clipped is not None:
        full |= clipped
    blank &= ~full
    bad = full if exposures.bad is None else full | exposures.bad
    blank &= ~bad
    common = (blank | bad).all(axis=0) & blank.any(axis=0)
    for name, one in zip(exposures.names, blank, strict=True):
        if (one & ~common).any():
            warn_user(
                f"{name} holds one value in blocks of {place_of_pixels(one & ~common)}; they are taken as bad values"
            )
    if common.any():
        warn_user(
            f"every exposure holds one value in blocks of {place_of_pixels(common)}: a border without data, or dead "
            "pixels? They are taken as bad values"
        )
    _refuse_without_values(exposures, blank | bad)
    _warn_of_saturation(exposures, read, full)
    if full.any():
        saturated = full if exposures.saturated is None else exposures.saturated | full
        exposures = replace(exposures, saturated=saturated)
    where = blank | full
    return with_bad(exposures, where) if where.any() else exposures


def _with_lines(exposures, blocks, side):
    """Blocks of one value (N, ny, nx), and their lines, without values that are bad already.

    Bad values hold one value too, with which they are filled. Clean values beside them may have it by chance.
    """
    blank = blocks if exposures.bad is None else blocks & ~exposures.bad
    pairs = zip(exposures.data, blank, strict=True)
    return np.stack([with_lines(plane, one, side) if one.any() else one for plane, one in pairs])


def _refuse_without_values(exposures, bad):
    """Raise an error if an exposure has no value that is not bad, bool (N, ny, nx)."""
    for name, one in zip(exposures.names, bad, strict=True):
        if one.all():
            raise InputError(
                f"exposures must have valid pixels; got none in {name}, where blocks of one value are bad: leave it out"
            )


def _saturated_features(exposures, blank):
    """Saturated values (N, ny, nx) of exposures with a block of their highest value, or a group where another has one.

    In an exposure with such a block, all groups of four or more connected pixels at the highest value are saturated.
    The same holds for an exposure that has such a group at the place of a block of another exposure.
    """
    tops = [plane.max() for plane in exposures.data]
    blocks = np.zeros(exposures.shape, dtype=bool)
    for plane, one, top in zip(exposures.data, blank, tops, strict=True):
        if top > 0:
            blocks |= one & (plane == top)
    full = np.zeros(exposures.data.shape, dtype=bool)
    if blocks.any():
        for plane, top, one in zip(exposures.data, tops, full, strict=True):
            labels, _ = ndimage.label(plane == top, np.ones((3, 3)))
            large = np.bincount(labels.ravel()) >= LEAST_PIXELS
            large[0] = False
            features = large[labels]
            if (features & blocks).any():
                one[...] = features
    return full


def _warn_of_saturation(exposures, read, full):
    """Give one warning about saturation; ``full`` are the saturated values (N, ny, nx) that are taken as bad."""
    numbers = [] if full is None else [int(np.count_nonzero(one)) for one in full]
    taken = [(name, number) for name, number in zip(exposures.names, numbers, strict=False) if number]
    plateaus, unit = ([], exposures.unit) if read is None else (read.plateaus, read.unit)
    plateaus = [(exposures.names[i], one) for i, one in plateaus]
    if read is not None and not plateaus and not taken:
        shared = find_shared_plateau(exposures, read.first)
        plateaus = [] if shared is None else [(exposures.names[0], shared)]
    warn_of_saturation(plateaus, unit, taken)
