"""Hits that were flagged before: bits of the data quality, and masks, that differ between the exposures as hits do."""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from crstack.utils.medians import median_of_values
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.warn import warn_user

__all__ = ["FlaggedHits", "Flags", "warn_of_flagged_hits"]

#: step of the values of which level and scatter are measured
STEP = 7
#: hits are at most this fraction of the values: if the flags of more differ from the first exposure, they are no hits
MANY = 0.3
#: fewest groups of flagged pixels in an exposure
FEWEST_GROUPS = 5
#: least number of pixels that one exposure alone flags, over the number that is expected for flags at random places
OWN = 0.8
#: flagged pixels this near to those of another exposure are no hits: edges of saturated stars, or dithers by few pixels
NEAR = 2
#: flags of two exposures are dithered if more than this fraction is equal at a shift; length of the part of the images
#: that is compared (pixels), and number of exposures
SAME, WINDOW, FEW = 0.35, 1024, 4
#: values are high from ``SIGMAS`` standard deviations on. Of the values that hits flag, the fraction ``HIGH`` is high
SIGMAS, HIGH = 5.0, 0.3
#: largest fraction of the values with a flag of saturation that are below the highest value without a flag
FEW_BELOW = 0.02
#: hits that were flagged and replaced leave values like those around, in groups of this mean number of pixels
GROUP = 1.8


@dataclass(frozen=True)
class FlaggedHits:
    """Flags that seem to be those of hits.

    Attributes
    ----------
    bits : tuple of int
        The bits; empty for masks without bits.
    numbers : tuple of int
        Values of each exposure that have these flags and are flagged in no other exposure.
    shared : int
        Pixels with these flags in two exposures or more.
    all_bits : int
        Sum of all bits that occur; 0 for masks without bits.
    """

    bits: tuple[int, ...]
    numbers: tuple[int, ...]
    shared: int
    all_bits: int


class Flags:
    """The flags of the exposures, collected while they are read.

    Those of the first exposure are kept, and of the others what differs from it: bad pixels of the detector are the
    same in each exposure.
    """

    def __init__(self):
        self.first = None
        self.values: list = []  # of each exposure: pixels, flags and values in counts where its flags differ
        self.possible = True

    def add(self, flags, data, offset, seconds):
        """Add an exposure.

        Parameters
        ----------
        flags : `~numpy.ndarray` or None
            Bits or bool (ny, nx); None if nothing is flagged.
        data : `~numpy.ndarray`
            Its values as they were read.
        offset : float or `~numpy.ndarray`
            Bias in counts.
        seconds : float
            Factor for rates.
        """
        if not self.values:
            self.first = flags, data, offset, seconds
            self.values.append(None)
            return
        first = self.first[0]
        if not self.possible or (flags is None and first is None):
            self.values.append(None)
            return
        differ = flags != 0 if first is None else first != 0 if flags is None else flags != first
        if np.count_nonzero(differ) > MANY * differ.size:
            self.possible = False
            self.values.append(None)
            return
        where = np.flatnonzero(differ)
        own = np.zeros(len(where), dtype=np.int64) if flags is None else flags.ravel()[where].astype(np.int64)
        self.values.append((where, own, _counts(data, offset, seconds, where)))

    def hits(self, cube, bads):
        """Flags that seem to be those of hits.

        Parameters
        ----------
        cube : `~numpy.ndarray`
            The exposures (N, ny, nx) in counts.
        bads : list of (`~numpy.ndarray` of bool or None)
            Their bad values.

        Returns
        -------
        found : FlaggedHits or None
        """
        if not self.possible or not any(one is not None and len(one[0]) for one in self.values):
            return None
        table = _Table(self.first, self.values, cube.shape)
        excess = _excess(table, cube, bads)
        bits = [1 << k for k in range(table.all_bits.bit_length()) if table.all_bits >> k & 1]
        highest = max(float(one.max()) for one in cube)  # bad values are 0
        found = [bit for bit in bits if _is_of_hits(table, bit, excess) and not _is_saturation(table, bit, highest)]
        if not found:
            return None
        flagged = table.flagged(sum(found))
        times = flagged.sum(axis=0)
        numbers = tuple(int(np.count_nonzero(one & (times == 1))) for one in flagged)
        shared = int(np.count_nonzero(times > 1)) + table.n_everywhere(sum(found))
        return FlaggedHits(tuple(found) if table.has_bits else (), numbers, shared, table.all_bits)


class _Table:
    """Flags and values of all exposures at the pixels where their flags differ.

    Attributes
    ----------
    where : `~numpy.ndarray` of int
        The pixels (P,), as indices of the flat image.
    flags, counts : `~numpy.ndarray`
        (N, P); counts are NaN where an exposure has the flags of the first one.
    """

    def __init__(self, first, values, shape):
        flags, data, offset, seconds = first
        self.shape = shape[1:]
        self.where = np.unique(np.concatenate([one[0] for one in values if one is not None]))
        self.of_first = None if flags is None else flags.ravel()
        start = np.zeros(len(self.where), np.int64) if flags is None else self.of_first[self.where].astype(np.int64)
        self.flags = np.tile(start, (len(values), 1))
        self.counts = np.full(self.flags.shape, np.nan)
        self.counts[0] = _counts(data, offset, seconds, self.where)
        for i, one in enumerate(values):
            if one is not None:
                at = np.searchsorted(self.where, one[0])
                self.flags[i, at], self.counts[i, at] = one[1], one[2]
        self.all_bits = int(np.bitwise_or.reduce(self.flags, axis=None))
        if flags is not None:
            self.all_bits |= int(np.bitwise_or.reduce(self.of_first))
            self.of_first = self.of_first.astype(np.int64 if self.has_bits else np.uint8)

    @property
    def has_bits(self):
        """Whether the flags are bits, not those of a mask, which are 0 or 1."""
        return self.all_bits != 1

    def flagged(self, bit):
        """Whether one of some bits is set, bool (N, P)."""
        return (self.flags & bit) != 0

    def n_everywhere(self, bit):
        """Pixels outside the table that have the bit in every exposure."""
        if self.of_first is None:
            return 0
        return int(np.count_nonzero(self.of_first & bit)) - int(np.count_nonzero(self.flags[0] & bit))

    def image(self, which, bit=0):
        """Image of bool, True at some pixels of the table, and at all others that have the bit in every exposure."""
        image = np.zeros(self.shape, dtype=bool)
        if bit and self.of_first is not None:
            image.ravel()[:] = (self.of_first & bit) != 0
        image.ravel()[self.where] = which
        return image


def _counts(data, offset, seconds, where):
    """Values of an exposure at some pixels, in counts without the bias."""
    counts = data.ravel()[where].astype(np.float64) * seconds
    return counts - (np.broadcast_to(offset, data.shape).ravel()[where] if np.ndim(offset) else offset)


def _excess(table, cube, bads):
    """How far the values at the pixels of the table exceed those of the other exposures, in standard deviations.

    Of each exposure (N, P); NaN where an exposure has the flags of the first one, or no other exposure is valid.
    """
    sample = (np.s_[::STEP],) * 2
    good = np.ones(cube[0][sample].shape, dtype=bool)
    for bad in bads:
        good &= True if bad is None else ~bad[sample]
    valid = np.array([image[sample][good] for image in cube], dtype=np.float64)
    if valid.shape[1] < 2:
        return np.full(table.counts.shape, np.nan)
    levels = median_of_values(valid, axis=1)
    steps = np.abs(np.diff(valid - levels[:, None], axis=0))
    sigma = max(SIGMA_PER_MAD * float(median_of_values(steps.ravel())), np.finfo(np.float32).tiny)
    at = np.array([image.ravel()[table.where] for image in cube], dtype=np.float64) - levels[:, None]
    for one, bad in zip(at, bads, strict=True):
        if bad is not None:
            one[bad.ravel()[table.where]] = np.nan
    lowest = [np.fmin.reduce(np.delete(at, i, axis=0), axis=0) for i in range(len(at))]
    return (table.counts - levels[:, None] - np.array(lowest)) / sigma


def _is_of_hits(table, bit, excess):
    """Whether a bit is set at other pixels in each exposure, in groups, where values are high.

    A mask may flag bad pixels of the detector as well, and hits that were replaced.
    """
    flagged = table.flagged(bit)
    own = flagged & (flagged.sum(axis=0) == 1)
    enough = np.flatnonzero(own.sum(axis=1) >= FEWEST_GROUPS)
    fewest = max(2, len(own) / 2)
    if len(enough) < fewest or (table.has_bits and own.sum() < OWN * _own_by_chance(table, flagged, bit)):
        return False
    apart = [_apart(table, bit, flagged, own, i) for i in enough]
    groups = [ndimage.label(one, np.ones((3, 3)))[1] for one in apart]
    if sum(number >= FEWEST_GROUPS for number in groups) < fewest or _are_dithered(apart):
        return False
    some = np.concatenate([one[image.ravel()[table.where]] for one, image in zip(excess[enough], apart, strict=True)])
    some = some[np.isfinite(some)]
    if not some.size:
        return False
    if np.mean(some > SIGMAS) >= HIGH:
        return True
    pixels = sum(np.count_nonzero(one) for one in apart)
    return not table.has_bits and pixels >= GROUP * sum(groups) and abs(float(np.median(some))) < SIGMAS / 2


def _is_saturation(table, bit, highest):
    """Whether nearly all values with a flag are above all values without flags."""
    flagged = table.flagged(bit)
    values = table.counts[flagged & (flagged.sum(axis=0) == 1)]
    values = values[np.isfinite(values)]
    return values.size > 0 and float(np.quantile(values, FEW_BELOW)) >= highest


def _own_by_chance(table, flagged, bit):
    """Expected number of flags of one exposure alone, if their places did not depend on each other."""
    numbers = flagged.sum(axis=1) + table.n_everywhere(bit)
    clear = 1 - numbers / (table.shape[0] * table.shape[1])
    return sum(numbers[i] * float(np.prod(np.delete(clear, i))) for i in range(len(numbers)))


def _apart(table, bit, flagged, own, i):
    """Image of the flags of an exposure alone that are not near a flag of another one."""
    others = table.image(np.delete(flagged, i, axis=0).any(axis=0), bit)
    near = ndimage.maximum_filter(others, 2 * NEAR + 1)
    return table.image(own[i]) & ~near


def _are_dithered(images):
    """Whether flags of one exposure lie at those of another one after a shift; in the middle of the first exposures."""
    window = tuple(slice((length - min(length, WINDOW)) // 2, (length + WINDOW) // 2) for length in images[0].shape)
    parts = [one[window].astype(np.float32) for one in images[:FEW]]
    shape = [fft.next_fast_len(2 * length) for length in parts[0].shape]
    waves = [fft.rfft2(one, shape) for one in parts]
    for i, one in enumerate(waves):
        for j, other in enumerate(waves[:i]):
            fewest = min(parts[i].sum(), parts[j].sum())
            if fewest and fft.irfft2(one * other.conj(), shape).max() > SAME * fewest:
                return True
    return False


def warn_of_flagged_hits(found, names, ext, of_all=True):
    """Warn of flags that seem to be those of hits.

    Parameters
    ----------
    found : FlaggedHits or None
        As `Flags.hits` gives them.
    names : list of str
        Names of the exposures.
    ext : int, str or None
        Extension of the files that holds the flags; None if they are masks of objects.
    of_all : bool, optional
        Whether all files have the extension. If not, no argument of a call chooses its bits.

    Warns
    -----
    CRStackWarning
        With the argument that leaves them out.
    """
    if found is None:
        return
    numbers = ", ".join(f"{number} in {name}" for number, name in zip(found.numbers, names, strict=True))
    if found.bits:
        several = len(found.bits) > 1
        bits = " and ".join(map(str, found.bits))
        rest = ((1 << found.all_bits.bit_length()) - 1) & ~sum(found.bits)
        remedy = f"give {_remedy(ext, rest)}" if of_all else f"set them to 0 in the extension {ext} of the files"
        warn_user(
            f"{'bits' if several else 'bit'} {bits} of the data quality (extension {ext}) "
            f"{'differ' if several else 'differs'} between the exposures as hits do: values that no other exposure "
            f"flags are {numbers}; {found.shared} pixels are flagged in more than one. Are they hits that were found "
            "before? They are bad values, so that crstack does not find them. To find them, "
            f"{remedy}. If any other bit marks usable values, leave it out as well"
        )
        return
    skip = f": {_remedy(ext, 0)} passes over the extension" if ext is not None and of_all else ""
    warn_user(
        f"the masks differ between the exposures as hits do: values that no other exposure masks are {numbers}; "
        f"{found.shared} pixels are masked in more than one. Are they hits that another program found? They are bad "
        f"values, so that crstack does not find them. To find them, give masks without hits{skip}"
    )


def _remedy(ext, bits):
    """What to give so that only some bits of an extension make values bad."""
    return (
        f"dq_ext={ext!r}, bits={bits} (command: --dq-ext {ext} --bits {bits}; parameter file: dq_ext: {ext}, "
        f"bits: {bits})"
    )
