"""The prior of the signal of a pixel, which depends on the signal of the pixels around it."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from crstack.joint.cubes import taken
from crstack.joint.signal_prior import (
    FEWEST_PIXELS,
    SignalPrior,
    constant_variance,
    even_noise,
    signal_of,
    signal_prior,
)
from crstack.utils.medians import median_of_values

__all__ = ["LocalPrior", "local_prior"]

#: most pixels from which the priors are measured
PIXELS = 200_000
#: width of a group of pixels, in standard deviations of a value around them
WIDTH = 1.0
#: values around a pixel that are this number of standard deviations above the median are hits
CLEAN = 3.0
#: steps to the pixels around one
AROUND = [step for step in product((-1, 0, 1), (-1, 0, 1)) if any(step)]


@dataclass(frozen=True, eq=False)
class LocalPrior:
    """Distributions of the signal among pixels with like surroundings.

    Attributes
    ----------
    edges : `~numpy.ndarray`
        (G - 1,) signals around a pixel that separate the groups, electrons, ascending.
    priors : tuple of SignalPrior
        G distributions, that of the faintest surroundings first.
    """

    edges: np.ndarray
    priors: tuple[SignalPrior, ...]

    def group_of(self, around):
        """Group (M,) of pixels, from 0, by the signal (M,) around them."""
        return self.edges.searchsorted(around, side="right").astype(np.int16)

    def __call__(self, nodes, groups):
        """Mean signal in the intervals around nodes, and the log of the mean density there.

        Parameters
        ----------
        nodes : `~numpy.ndarray`
            (J, M) electrons, ascending along the first axis.
        groups : `~numpy.ndarray` of int
            (M,) see `group_of`.

        Returns
        -------
        signal, log_density : `~numpy.ndarray`
            float32 (J, M), see `~crstack.joint.signal_prior.SignalPrior`.
        """
        found = np.empty(nodes.shape, np.float32), np.empty(nodes.shape, np.float32)
        for number in np.unique(groups):
            here = np.flatnonzero(groups == number)
            for whole, part in zip(found, self.priors[number](nodes[:, here]), strict=True):
                whole[:, here] = part
        return found


def surroundings(levels, sigma, where):
    """Signal (M,) around pixels at rows and columns ``where``: the median of those of the eight pixels around.

    ``levels`` and ``sigma`` are those of `local_prior`. Beyond an edge, the pixel on the other side counts twice.
    """
    found = []
    for step in AROUND:
        rows, columns = (_beside(*one) for one in zip(where, step, sigma.shape, strict=True))
        found.append(_means_of_clean(levels[:, rows, columns], sigma[rows, columns]))
    return median_of_values(np.stack(found), axis=0)


def _means_of_clean(values, noise):
    """Means (M,) of the values (N, M) that are not far above the median, or above the lower of two."""
    limit = (values.min(axis=0) if len(values) == 2 else median_of_values(values, axis=0)) + np.float32(CLEAN) * noise
    kept = values <= limit
    return np.where(kept, values, 0).sum(axis=0) / kept.sum(axis=0)


def _beside(places, step, side):
    """Places one ``step`` further, or one before where that is beyond an edge, and the place itself if both are."""
    inside = (places + step >= 0) & (places + step < side)
    return np.where(inside, places + step, np.clip(places - step, 0, side - 1))


def local_prior(levels, sigma, where, widest=np.inf, unlike=None):
    """Density of the signal of a pixel, for what the pixels around it have.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) the signal that each value represents, electrons.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    where : tuple of `~numpy.ndarray`
        Rows and columns (M,) of the pixels whose prior is needed, ascending in the image.
    widest : float, optional
        Pixels whose values span more than this number of standard deviations are left out. If one value of three is
        hit, the median is the higher of the two clean values.
    unlike : UnlikeNoise, optional
        The noise of groups of exposures, if it is not alike. The signal is then that of the group of least noise.

    Returns
    -------
    prior : LocalPrior or None
        None where the stack has too few pixels.
    groups : `~numpy.ndarray` of int or None
        (M,) group of each of the pixels ``where``.

    Notes
    -----
    Signals are not equally frequent: most pixels are faint, and in an image most have the level of the sky. Three
    values of 12, 16 and 40 electrons may have a common signal of 22 and no hit. If signals of 22 electrons are five
    times rarer than those of 14, this is five times less probable than with an even prior.

    Around a pixel of the sky nearly all have that level, and beside a star signals of 22 are as frequent as those of
    14. The pixels are therefore divided into groups by the signal around them, and the density is measured in each. The
    pixels around do not depend on the noise of the pixel itself. Their hits would make its group too bright, and a hit
    beside them too improbable: values far above the others are left out.
    """
    best, noise = (slice(None), sigma) if unlike is None else (list(unlike.groups[0]), unlike.levels[0])
    places = np.arange(0, sigma.size, max(sigma.size // PIXELS, 1))
    values = taken(lambda one: levels[:, *one], places, sigma.shape)
    some = taken(lambda one: noise[one], places, sigma.shape)
    if unlike is None:
        agree = values.max(axis=0) - values.min(axis=0) <= widest * some
    else:
        agree = unlike.agree(values, places, widest)
    values, some, places = values[best][:, agree], some[agree], places[agree]
    if len(places) < FEWEST_PIXELS:
        return None, None

    def around(one):
        return surroundings(_Chosen(levels, best), noise, one)

    beside = taken(around, places, sigma.shape)
    edges = _edges(beside, some)
    numbers = edges.searchsorted(beside, side="right")
    groups = [numbers == number for number in range(len(edges) + 1)]
    prior = LocalPrior(edges, tuple(signal_prior(values[:, group], some[group]) for group in groups))
    return prior, prior.group_of(taken(around, np.ravel_multi_index(where, sigma.shape), sigma.shape))


@dataclass(frozen=True)
class _Chosen:
    """Some of the exposures of a cube, chosen where its values are read."""

    cube: np.ndarray
    which: slice | list[int]

    def __getitem__(self, key):
        return self.cube[key][self.which]


def _edges(around, noise):
    """Signals between groups of pixels, of `FEWEST_PIXELS` or more; the typical signal is the middle of a group.

    ``around`` (M,) are the signals around pixels, and ``noise`` (M,) that of a value.
    """
    constant = constant_variance(around, noise)
    place = even_noise(around, constant)
    middle = float(median_of_values(place))
    first, last = (np.floor((end - middle) / WIDTH) for end in (place.min(), place.max()))
    edges = middle + WIDTH * (np.arange(first, last + 1) + 0.5)
    numbers = np.bincount(edges.searchsorted(place, side="right"), minlength=len(edges) + 1)
    kept, number = [], 0
    for edge, more in zip(edges, numbers, strict=False):
        number += more
        if number >= FEWEST_PIXELS:
            kept.append(edge)
            number = 0
    if kept and number + numbers[-1] < FEWEST_PIXELS:
        kept.pop()
    return signal_of(np.array(kept), constant)
