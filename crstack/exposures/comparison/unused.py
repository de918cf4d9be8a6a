"""Exposures that cannot be used beside the others: dropped, or kept in their place without their values."""

from dataclasses import dataclass, replace

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.cube import Exposures
from crstack.exposures.input.items import MINIMUM_EXPOSURES
from crstack.utils.memory import empty_image, relax
from crstack.utils.warn import warn_user

__all__ = ["UNUSED", "Unused", "check_values", "majority", "without"]

#: what to do with exposures of another field
REMEDY = "leave {0} out, or drop {0} with drop_unusable=True (command: --drop-unusable)"
#: what is done with them otherwise
UNUSED = "Until then, all {0} values are taken as bad"


@dataclass(frozen=True)
class Unused:
    """Exposures whose values are not used, although they keep their place in the list.

    Attributes
    ----------
    whole : Exposures
        All exposures.
    kept : tuple of int
        Those that are used (indices).
    """

    whole: Exposures
    kept: tuple[int, ...]

    def beside(self, used: Exposures) -> Exposures:
        """The exposures that are used, and in their places the others, all of whose values are bad.

        Parameters
        ----------
        used : Exposures
            The exposures that are used, after all checks.

        Returns
        -------
        exposures : Exposures
            All of them.
        """
        places = {k: i for i, k in enumerate(self.kept)}
        n = len(self.whole)

        def in_places(planes: np.ndarray | None, otherwise: float) -> np.ndarray:
            cube = empty_image(self.whole.data.shape, np.float32 if planes is used.data else bool)
            for k, plane in enumerate(cube):
                plane[...] = otherwise if k not in places else 0 if planes is None else planes[places[k]]
                relax()
            return cube

        missing = used.missing
        if missing:
            missing = tuple(missing[places[k]] if k in places else 0.0 for k in range(n))
        ones = np.ones(self.whole.shape, np.float32)
        variances = tuple(
            used.variances[places[k]] if k in places else None if own is None else ones
            for k, own in enumerate(self.whole.variances)
        )
        return replace(
            self.whole,
            data=in_places(used.data, 0),
            bad=in_places(used.bad, True),
            saturated=None if used.saturated is None else in_places(used.saturated, False),
            low=None if used.low is None else in_places(used.low, False),
            variances=variances,
            missing=missing,
            doubted=used.doubted,
            header=used.header,
            wcs=used.wcs,
            displaced=used.displaced,
            strange=used.strange,
        )


def check_values(exposures, what):
    """Raise `InputError` if an exposure has no valid value.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    what : str
        What needs values of all exposures.
    """
    bad = () if exposures.bad is None else exposures.bad
    empty = [name for name, plane in zip(exposures.names, bad, strict=False) if plane.all()]
    if empty:
        raise InputError(
            f"exposures must have valid values for {what}; got none in {', '.join(empty)}: "
            f"{REMEDY.format('it' if len(empty) == 1 else 'them')}"
        )


def majority(exposures, odd):
    """Whether the exposures without the ``odd`` ones (set of indices) are two or more, and the greater part."""
    kept = len(exposures) - len(odd)
    return kept >= MINIMUM_EXPOSURES and kept > len(exposures) / 2


def without(exposures, strange, far, drop, outvoted):
    """The exposures without those that cannot be used.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    strange : dict of str
        Words on exposures that do not show the field of the others, by index.
    far : set of int
        Indices of exposures that are shifted too far.
    drop : bool
        Whether to drop them. If not, they keep their place.
    outvoted : bool
        Whether most exposures are alike. If not, either group may be wrong, and all values are used unless ``drop``.

    Returns
    -------
    exposures : Exposures
        Those that are used.
    unused : Unused or None
        Of those that keep their place without their values.

    Warns
    -----
    CRStackWarning
        If there are strange exposures.
    """
    kept = tuple(i for i in range(len(exposures)) if i not in {*strange, *far})
    enough = len(kept) >= MINIMUM_EXPOSURES
    found, one = "; ".join(strange.values()), len(strange) == 1
    pronoun = "it" if one else "them"
    if strange and not enough:
        warn_user(f"{found}. Without these, fewer than two exposures remain: give exposures of one field")
    elif strange and not drop:
        then = f". {UNUSED.format('its' if one else 'their')}" if outvoted else ""
        warn_user(f"{found}; {REMEDY.format(pronoun)}{then}")
    elif strange:
        warn_user(f"{found}; {'it is' if one else 'they are'} left out")
    if len(kept) == len(exposures) or not enough or not (drop or outvoted):
        return replace(exposures, strange=tuple(exposures.names[i] for i in strange)), None
    first = kept[0]
    used = replace(
        exposures.reordered(kept),
        header=exposures.own_headers[first] if exposures.own_headers else exposures.header,
        wcs=exposures.own_wcs[first] if exposures.own_wcs else exposures.wcs,
        displaced=tuple(one for one in exposures.displaced if one[0] not in {exposures.names[i] for i in far}),
    )
    return used, None if drop else Unused(exposures, kept)
