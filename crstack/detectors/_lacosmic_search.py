"""The iterations of L.A.Cosmic. All passes share the first iteration. Later ones search only regions that changed.

Masks and cleaned images are those of ``astroscrappy.detect_cosmics``, which searches the whole image in each
iteration. A replaced pixel changes the significance at most 6 pixels away, and the fine structure at most 7 pixels and
half a PSF away. Only blocks within this distance are computed again.
"""

import logging
from dataclasses import dataclass

import numpy as np

from crstack.detectors._astroscrappy import dilate3, dilate5
from crstack.detectors._lacosmic_clean import replacements
from crstack.detectors._lacosmic_kernels import (
    LEAST_STRUCTURE,
    REACH_OF_MEDIAN,
    MatchedFilter,
    MedianSmoother,
    edge_laplacian,
    fine_structure,
    significance,
    smoothed,
)
from crstack.utils.cached import cached_property
from crstack.utils.threads import map_threads, row_bands

__all__ = ["Limits", "Searched", "search"]

log = logging.getLogger("crstack.detectors")

#: a changed value changes the noise up to 3 pixels away, and so the significance up to 6 pixels away
REACH_OF_NOISE, REACH = 3, 6
#: pixels of a band whose temporary arrays fit into the caches
PIXELS_IN_CACHE = 1 << 16
#: rows and columns of the blocks that are computed again
BLOCK = (32, 256)


@dataclass(frozen=True)
class Limits:
    """Limits of one pass; ``satlevel`` is in electrons."""

    sigclip: float
    sigfrac: float
    objlim: float
    satlevel: float
    niter: int


@dataclass(frozen=True, eq=False)
class Searched:
    """The image to search, and the settings of the search.

    Parameters
    ----------
    electrons, variance : `~numpy.ndarray`
        float32 (ny, nx).
    floor : `~numpy.ndarray` or None
        Part of the variance that is not smoothed.
    hidden : `~numpy.ndarray` of bool or None
        Pixels that are not searched. Pixels that touch them are not searched either.
    psf : `~numpy.ndarray` or None
        Kernel of the fine structure image; None for a median.
    separable : bool
        Whether medians are separable.
    cleantype : str
        As in `~crstack.detectors.lacosmic.LACosmicDetector`.
    """

    electrons: np.ndarray
    variance: np.ndarray
    floor: np.ndarray | None
    hidden: np.ndarray | None
    psf: np.ndarray | None
    separable: bool
    cleantype: str

    @cached_property
    def smooth(self):
        """The filter of the fine structure image."""
        return MedianSmoother(self.separable) if self.psf is None else MatchedFilter(self.psf)

    @cached_property
    def values(self):
        """The image that is searched."""
        return self.rounded(self.electrons)

    @cached_property
    def smooth_variance(self):
        """The part of the variance that is smoothed."""
        return self.variance if self.floor is None else self.variance - self.floor

    def rounded(self, electrons, pixels=None):
        """``electrons`` with the floor added and subtracted, like ``inbkg`` in ``detect_cosmics``."""
        if self.floor is None:
            return electrons
        floor = self.floor if pixels is None else self.floor.ravel()[pixels]
        return electrons + floor - floor

    def masked(self, electrons, satlevel):
        """Flat mask of the pixels that are not searched, saturated or hidden; None if there are none."""
        data = electrons if self.floor is None else electrons + self.floor
        cores = data >= satlevel
        if cores.any():
            cores &= smoothed(data, self.separable) > np.float32(float(satlevel) / 10)
        masked = np.zeros(cores.shape, dtype=bool)
        if cores.any():
            masked |= dilate5(cores, 2)
        if self.hidden is not None:
            masked |= dilate3(np.ascontiguousarray(self.hidden))
        return masked.ravel() if masked.any() else None


def search(searched, limits):
    """Search an image at one or several sets of limits.

    Parameters
    ----------
    searched : Searched
    limits : list of Limits

    Returns
    -------
    found : list of tuple
        For each of the limits: mask (ny, nx), and cleaned electrons, float32 (ny, nx).
    """
    shape = searched.electrons.shape
    if min(shape) < (7 if searched.separable else 5):
        # the image is smaller than the window of the median, so that no pixel can be significant
        return [(np.zeros(shape, dtype=bool), searched.electrons) for _ in limits]
    whole = [(rows, slice(0, shape[1])) for rows in row_bands(*shape, PIXELS_IN_CACHE)]
    start = State.of(searched)
    start.measure(whole, map_threads)
    least = min(np.float32(each.sigclip) for each in limits)
    candidates = start.candidates(whole, least, map_threads)
    mapping = map_threads if len(limits) == 1 else map
    # from here each pass has its own state; the last pass uses the existing one
    passes = [Pass(start.copy(), each, mapping) for each in limits[:-1]] + [Pass(start, limits[-1], mapping)]
    return map_threads(lambda one: one.run(candidates), passes)


@dataclass(eq=False)
class Candidates:
    """Significant pixels (flat indices), their fine structure and the bound of its error."""

    pixels: np.ndarray
    structure: np.ndarray
    error: np.ndarray

    def __getitem__(self, chosen):
        return Candidates(self.pixels[chosen], self.structure[chosen], self.error[chosen])


@dataclass(eq=False)
class State:
    """The current image of an iteration, and its measurements: float32 (ny, nx) each."""

    searched: Searched
    electrons: np.ndarray
    values: np.ndarray
    variance: np.ndarray
    noise: np.ndarray
    significance: np.ndarray

    @classmethod
    def of(cls, searched):
        """The image before any replacement, without measurements."""
        values = electrons = searched.values.copy()
        if searched.floor is not None and searched.cleantype == "median":
            # the returned values differ from the searched values by rounding
            electrons = searched.electrons.copy()
        noise, significance = (np.empty_like(values) for _ in range(2))
        return cls(searched, electrons, values, searched.smooth_variance.copy(), noise, significance)

    def copy(self):
        """Return an independent copy."""
        values = self.values.copy()
        electrons = values if self.electrons is self.values else self.electrons.copy()
        rest = (array.copy() for array in (self.variance, self.noise, self.significance))
        return State(self.searched, electrons, values, *rest)

    def measure(self, blocks, mapping):
        """Noise and significance of some blocks."""
        edges = edge_laplacian(self.values)

        def measure_block(block):
            wide, inner = _widened(block, REACH, self.values.shape)
            rows, columns = wide
            floor = None if self.searched.floor is None else self.searched.floor[wide]
            sides = (edges[0][columns], edges[1][columns], edges[2][rows], edges[3][rows])
            found = significance(self.values[wide], self.variance[wide], floor, sides, self.searched.separable)
            return [array[inner] for array in found]

        # measure all blocks before writing: blocks need the old noise of their neighbours
        for block, (noise, ratio) in zip(blocks, mapping(measure_block, blocks), strict=True):
            self.noise[block], self.significance[block] = noise, ratio

    def candidates(self, blocks, sigclip, mapping):
        """`Candidates` with a significance over ``sigclip`` in some blocks."""
        smooth = self.searched.smooth
        nx = self.values.shape[1]

        def some(block):
            wide, inner = _widened(block, smooth.half + REACH_OF_MEDIAN, self.values.shape)
            y, x = np.nonzero(self.significance[block] > sigclip)
            values, noise = self.values[wide], self.noise[wide]
            place = (y + inner[0].start, x + inner[1].start)
            structure, modulus = fine_structure(values, noise, place, smooth, self.searched.separable)
            # sums of values of both signs may lose precision
            below = np.maximum(-values.min(), 0) if smooth.bound else 0
            error = np.float32(smooth.bound) * (modulus + 4 * below / noise[place])
            return (y + block[0].start) * nx + x + block[1].start, structure, error

        return Candidates(*(np.concatenate(part) for part in zip(*mapping(some, blocks), strict=True)))

    def sharp(self, candidates, objlim):
        """Those pixels whose significance is over ``objlim`` times their fine structure."""
        ratio = self.significance.ravel()[candidates.pixels]
        least, most = (
            np.maximum(candidates.structure + sign * candidates.error, LEAST_STRUCTURE)
            for sign in (np.float32(-1), np.float32(1))
        )
        sharp, perhaps = ratio / most > objlim, ratio / least > objlim
        for i in np.flatnonzero(perhaps & ~sharp):
            sharp[i] = ratio[i] / np.maximum(self._exact_structure(candidates.pixels[i]), LEAST_STRUCTURE) > objlim
        return candidates.pixels[sharp]

    def _exact_structure(self, pixel):
        """Fine structure of one pixel, with the rounding of astroscrappy."""
        y, x = divmod(int(pixel), self.values.shape[1])
        smooth = self.searched.smooth
        wide, inner = _widened((slice(y, y + 1), slice(x, x + 1)), smooth.half + REACH_OF_MEDIAN, self.values.shape)
        place = (np.array([inner[0].start]), np.array([inner[1].start]))
        return fine_structure(self.values[wide], self.noise[wide], place, smooth.exact, self.searched.separable)[0][0]

    def replace(self, pixels, taken, levels):
        """Replace ``pixels``, and return those whose value or variance has changed.

        ``taken`` is the flat mask of all pixels whose values are excluded. ``levels`` returns the values of image and
        variance for pixels without any good neighbour.
        """
        searched = self.searched
        around = _around(pixels, 2, self.values.shape)
        electrons, variance = (
            replacements(array.ravel(), around, taken, searched.cleantype) for array in (self.electrons, self.variance)
        )
        lonely = np.isnan(electrons)
        if lonely.any():
            electrons[lonely], variance[lonely] = levels()
        values = electrons
        if self.electrons is not self.values:
            self.electrons.ravel()[pixels] = electrons
            values = searched.rounded(electrons, pixels)
            variance = searched.rounded(variance, pixels)
        changed = (self.values.ravel()[pixels] != values) | (self.variance.ravel()[pixels] != variance)
        self.values.ravel()[pixels], self.variance.ravel()[pixels] = values, variance
        return pixels[changed]


class Pass:
    """One pass: the iterations at one set of limits.

    Parameters
    ----------
    state : State
        Measured state; it is modified.
    limits : Limits
    mapping : callable
        ``map``, or a version that uses threads.
    """

    def __init__(self, state, limits, mapping):
        self.state, self.mapping, self.niter = state, mapping, limits.niter
        self.searched = state.searched
        self.sigclip, self.objlim = np.float32(limits.sigclip), np.float32(limits.objlim)
        self.siglow = np.float32(limits.sigfrac) * self.sigclip
        with np.errstate(over="ignore"):
            self.satlevel = np.float32(limits.satlevel)
        self.masked = self.searched.masked(state.electrons, self.satlevel)
        self.flagged = np.zeros(state.values.size, dtype=bool)
        self._marked = np.zeros(state.values.size, dtype=bool)

    def run(self, candidates):
        """Mask and cleaned electrons, from the ``candidates`` of the first iteration."""
        state = self.state
        over = state.significance.ravel()[candidates.pixels] > self.sigclip
        sharp = state.sharp(candidates[over], self.objlim)
        for i in range(self.niter):
            hits = self._grown(self._grown(self._searched(sharp), self.sigclip), self.siglow)
            if not len(hits):
                break
            changed = self._replace(hits[~self.flagged[hits]])
            if log.isEnabledFor(logging.INFO):
                counts = np.count_nonzero(self.flagged), self.flagged.size
                log.info("L.A.Cosmic, sigclip %g: %d of %d pixels up to iteration %d", self.sigclip, *counts, i + 1)
            if not len(changed) or i == self.niter - 1:
                break
            sharp = self._tested_again(sharp, changed)
        return self.flagged.reshape(state.values.shape), self._cleaned()

    def _searched(self, pixels):
        return pixels if self.masked is None else pixels[~self.masked[pixels]]

    def _grown(self, pixels, limit):
        """``pixels`` and those that touch them, where the significance is over ``limit``."""
        around = _around(pixels, 1, self.state.values.shape).ravel()
        around = around[self.state.significance.ravel()[around] > limit]
        return self._unique(self._searched(around))

    def _unique(self, pixels):
        """Places of pixels, each once and in ascending order."""
        self._marked[pixels] = True
        unique = np.flatnonzero(self._marked)
        self._marked[unique] = False
        return unique

    def _replace(self, new):
        """Flag ``new`` pixels, replace them, and return the pixels that changed."""
        self.flagged[new] = True
        if self.searched.cleantype == "median":
            # replacements use other replaced values, so that any flagged pixel may change
            changed = self.state.replace(np.flatnonzero(self.flagged), None, None)
            self.masked = self.searched.masked(self.state.electrons, self.satlevel)
            return changed
        around = self._unique(_around(new, 2, self.state.values.shape).ravel())
        taken = self.flagged if self.masked is None else self.flagged | self.masked
        return self.state.replace(around[self.flagged[around]], taken, lambda: self._levels)

    @cached_property
    def _levels(self):
        """Medians of the image and of its variance before any replacement."""
        originals = (self.searched.values, self.searched.smooth_variance)
        return [_lower_median(array.ravel(), self.masked) for array in originals]

    def _tested_again(self, sharp, changed):
        """Sharp pixels of the next iteration: those of blocks that changed, and the others of ``sharp``."""
        state, shape = self.state, self.state.values.shape
        state.measure(_blocks_near(changed, REACH, shape)[0], self.mapping)
        reach = max(REACH, REACH_OF_NOISE + self.searched.smooth.half + REACH_OF_MEDIAN)
        blocks, near = _blocks_near(changed, reach, shape)
        y, x = np.divmod(sharp, shape[1])
        kept = sharp[~near[y // BLOCK[0], x // BLOCK[1]]]
        again = state.sharp(state.candidates(blocks, self.sigclip, self.mapping), self.objlim)
        return np.concatenate((kept, again))

    def _cleaned(self):
        state = self.state
        return state.electrons if state.electrons is not state.values else self.searched.rounded(state.values)


def _lower_median(values, masked):
    """Median of the flat ``values`` that are not masked; for an even number, the smaller of the two middle ones."""
    values = values if masked is None else values[~masked]
    middle = (len(values) - 1) // 2
    return np.partition(values, middle)[middle]


def _around(pixels, half, shape):
    """Flat indices of the boxes around ``pixels``, which must be that far inside: ((2 half + 1) ** 2, n)."""
    offset = np.arange(-half, half + 1)
    return (offset[:, None] * shape[1] + offset).ravel()[:, None] + pixels


def _widened(block, margin, shape):
    """A block with a ``margin`` on all sides, within the image, and the position of the block in it."""
    wide = tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, size in zip(block, shape, strict=True)
    )
    inner = tuple(
        slice(part.start - more.start, part.stop - more.start) for part, more in zip(block, wide, strict=True)
    )
    return wide, inner


def _blocks_near(pixels, reach, shape):
    """Blocks within ``reach`` of some ``pixels``, and the map of all blocks with these marked."""
    near = np.zeros([-(-size // step) for size, step in zip(shape, BLOCK, strict=True)], dtype=bool)
    # all blocks are wider than these steps
    offsets = [*range(-reach, reach, min(BLOCK)), reach]
    rows, columns = (
        [np.clip(place + offset, 0, size - 1) // step for offset in offsets]
        for place, size, step in zip(np.divmod(pixels, shape[1]), shape, BLOCK, strict=True)
    )
    for row in rows:
        for column in columns:
            near[row, column] = True
    blocks = [
        tuple(slice(i * step, min((i + 1) * step, size)) for i, step, size in zip(place, BLOCK, shape, strict=True))
        for place in np.argwhere(near).tolist()
    ]
    return blocks, near
