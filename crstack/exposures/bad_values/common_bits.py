"""Bits of the data quality that make a large part of every exposure bad."""

from dataclasses import dataclass, field

import numpy as np

from crstack.exposures.quality import used_bits
from crstack.utils.warn import warn_user

__all__ = ["CommonBits"]

#: least fraction of the values of each exposure that a bit makes bad
LARGE = 0.25


@dataclass
class CommonBits:
    """Fractions of the values that have each bit, collected while the exposures are read.

    Attributes
    ----------
    shares : list of dict
        Of each exposure, by bit: the fraction of its values.
    all_bits : int
        Sum of all bits that occur.
    """

    shares: list = field(default_factory=list)
    all_bits: int = 0

    def add(self, flags: np.ndarray | None) -> None:
        """Add an exposure.

        Parameters
        ----------
        flags : `~numpy.ndarray` or None
            Bits (ny, nx), integers; an image of another kind has no bits.
        """
        flags = None if flags is None else used_bits(flags)
        if flags is None or flags.dtype.kind not in "iu":
            self.shares.append({})
            return
        # the same bits without a sign, and without a copy
        flags = flags.view(flags.dtype.str.replace("i", "u"))
        all_bits = int(np.bitwise_or.reduce(flags, axis=None))
        self.all_bits |= all_bits
        bits = [1 << k for k in range(all_bits.bit_length()) if all_bits >> k & 1]
        self.shares.append({bit: np.count_nonzero(flags & bit) / flags.size for bit in bits})

    def warn(self, ext: int | str | None) -> None:
        """Warn of bits that make a large part of every exposure bad, except in masks of two values.

        Parameters
        ----------
        ext : int, str or None
            Extension of the files that holds the bits; None for masks of objects.

        Warns
        -----
        CRStackWarning
            With the bits, the fractions, and how to leave them out.
        """
        if not self.shares or self._is_of_masks():
            return
        least = {bit: min(one.get(bit, 0.0) for one in self.shares) for bit in self.shares[0]}
        found = sorted(bit for bit, share in least.items() if share >= LARGE)
        if not found:
            return
        shown = ", ".join(f"bit {bit} ({_percents([one[bit] for one in self.shares])} of the values)" for bit in found)
        rest = ((1 << self.all_bits.bit_length()) - 1) & ~sum(found)
        they = "it marks" if len(found) == 1 else "they mark"
        warn_user(
            f"a large part of every exposure is bad because of {shown} of the data quality. Hits are not searched "
            f"there. If {they} usable values, {_remedy(ext, rest)}"
        )

    def _is_of_masks(self):
        """Whether the images are masks, such as those of 0 and 1, or of 0 and 255: all bits are set together."""
        every = self.all_bits & (self.all_bits + 1) == 0
        return every and all(len(set(one.values())) < 2 for one in self.shares)


def _percents(shares):
    """The range of some fractions as text."""
    low, high = (f"{100 * one:.3g}" for one in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _remedy(ext, rest):
    """What to give so that only the other bits make values bad."""
    if ext is None:
        return (
            f"give masks of the other bits, ccd.mask = (ccd.mask & {rest}) != 0 (for files: the option bits={rest} "
            "with dq_ext)"
        )
    return (
        f"choose the other bits with the option bits: dq_ext={ext!r}, bits={rest} (command: --dq-ext {ext} --bits "
        f"{rest}; parameter file: dq_ext: {ext}, bits: {rest})"
    )
