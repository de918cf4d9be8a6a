"""What each exposure is expected to hold, measured: added level, throughput, shift and seeing."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crstack.equalize.kernel import KernelTerms, fit_kernels, split_kernel
from crstack.equalize.place_variance import contrast_of
from crstack.equalize.surfaces import Mesh, smooth_surface
from crstack.statistics import sort_exposures

__all__ = ["Differences", "measure_differences"]

#: side (pixels) of a kernel
SIZE = 7
#: rounds of common image, surfaces and kernels
ROUNDS = 5
#: standard deviations by which the median may exceed the lowest, and shares of the contrast in each round
CLIP_SIGMA, CONTRAST = 5.0, (0.2, 0.2, 0.1, 0.1, 0.1)
#: the contrast of noise alone, in standard deviations of one value of N, times the root of N
NOISE_CONTRAST = 3.9
#: pixels with less contrast than so many times that of noise are flat, those with more tell of the kernel
FLAT, STRUCTURE = 2.0, 3.0
#: pixels that suffice for the kernels, and how many of these are those of most contrast
PIXELS_TO_FIT, STRONGEST, FEWEST = 60_000, 20_000, 40
#: side (pixels) of the blocks of which every second one tests what the others say
BLOCK = 32
#: window (pixels) in which a change is compared with its noise, and mean square up to which it is noise
WINDOW, NOISE_LIMIT = 5, 2.0
#: variance of a median over that of a mean, roughly
OF_MEDIAN = 1.3


@dataclass(frozen=True, eq=False, repr=False)
class Differences:
    """What was measured of exposures that are not quite equivalent.

    Exposure i is expected to hold ``factors[i]`` times the common image plus ``added[i]``.

    Attributes
    ----------
    factors : tuple of float
        Throughput, relative to the mean of the exposures.
    errors : tuple of float
        Standard errors of the factors.
    added : tuple of `~numpy.ndarray` or float
        (ny, nx) electrons: surfaces and what shift and seeing change; 0.0 where there is nothing.
    levels : tuple of float
        Mean of the surfaces, electrons.
    surfaces : tuple of str
        "", "level", "slope" or "surface".
    kernels : `~numpy.ndarray`
        (N, 7, 7) what is added to a kernel of 1 at the centre.
    kernel_errors : `~numpy.ndarray`
        (N, 6) standard errors of what `split_kernel` gives.
    terms : KernelTerms or None
        None where no kernel was needed.
    """

    factors: tuple
    errors: tuple
    added: tuple
    levels: tuple
    surfaces: tuple
    kernels: np.ndarray
    kernel_errors: np.ndarray
    terms: KernelTerms | None

    def __bool__(self):
        return self.terms is not None or any(self.surfaces)

    def __repr__(self):
        return f"<Differences: {'; '.join(f'{name} {value}' for name, value in self.summary().items())}>"

    @property
    def shifts(self):
        """(dx, dy) of each exposure, pixels."""
        return tuple(split_kernel(kernel)[1:3] for kernel in self.kernels)

    @property
    def widths(self):
        """What is added to the second moments (xx, yy, xy) of a star, square pixels."""
        return tuple(split_kernel(kernel)[3:] for kernel in self.kernels)

    def summary(self):
        """In words, as a dict of str."""
        words = {}
        if any(self.surfaces):
            levels = ", ".join(f"{level:+.4g}" for level in self.levels)
            words["added levels (electron)"] = f"{levels} ({', '.join(one or 'none' for one in self.surfaces)})"
        if self.terms is None:
            return words or {"differences": "none"}
        if self.terms.flux:
            words["throughputs"] = ", ".join(f"{factor:.4f}" for factor in self.factors)
        if self.terms.shift and self.terms.reach:
            words["shifts (dx, dy)"] = ", ".join(f"({dx:+.3f}, {dy:+.3f})" for dx, dy in self.shifts)
        if self.terms.seeing and self.terms.reach:
            words["second moments (pixel squared)"] = ", ".join(f"{(w[0] + w[1]) / 2:+.3f}" for w in self.widths)
        return words


def ladder_of(names):
    """Kernels to be tried for some of the terms "flux_factors", "offsets" and "seeing", simplest first."""
    flux, shift, seeing = (name in names for name in ("flux_factors", "offsets", "seeing"))
    ladder = [KernelTerms(0, flux)] if flux else []
    if shift and seeing:
        ladder += [KernelTerms(1, flux, True, False), KernelTerms(1, flux, False, True)]
    if shift or seeing:
        ladder += [KernelTerms(reach, flux, shift, seeing) for reach in (1, 2, 3)]
    return ladder


class _Model:
    """What is expected of exposures, in the making."""

    def __init__(self, levels, variance_of, bad, names):
        self.levels, self.variance_of, self.bad = levels, variance_of, bad
        self.names, self.ladder = names, ladder_of(names)
        n = len(levels)
        self.mesh = Mesh(levels.shape[1:])
        self.factors = np.ones(n)
        self.backgrounds = self._first_levels()
        self.changes = [np.float32(0)] * n
        self.kernels, self.terms, self.covariance = np.zeros((n, SIZE, SIZE)), None, None
        self.kinds = [""] * n

    def _first_levels(self):
        """A start for the added levels: medians of the differences from the mean."""
        n = len(self.levels)
        if "backgrounds" not in self.names:
            return [np.float32(0)] * n
        step = max(int(np.sqrt(self.levels[0].size / PIXELS_TO_FIT)), 1)
        some = self.levels[:, ::step, ::step]
        found = np.array([np.median(plane - some.mean(axis=0)) for plane in some])
        return list(np.float32(found - np.median(found)))

    def common(self, contrast):
        """Image that the exposures share, and its contrast."""
        cube = np.stack([
            (level - background - change) / np.float32(factor)
            for level, background, change, factor in zip(
                self.levels, self.backgrounds, self.changes, self.factors, strict=True
            )
        ])  # fmt: skip
        sort_exposures(cube)
        n, low = len(cube), cube[0]
        median = (cube[(n - 1) // 2] + cube[n // 2]) / 2
        limit = CLIP_SIGMA * np.sqrt(self.variance_of(low)) + np.float32(contrast) * contrast_of(low)
        return np.where(median - low > limit, low, median)

    def refine(self, contrast):
        """One round; returns the common image."""
        common = self.common(contrast)
        variance = self.variance_of(common)
        noise = NOISE_CONTRAST * np.sqrt(variance / len(self.levels))
        structure = contrast_of(common)
        flat = structure < FLAT * noise
        if "backgrounds" in self.names:
            self._fit_surfaces(common, variance, flat)
        self._fit_kernels(common, variance, structure, structure > STRUCTURE * noise)
        self._change(common, variance)
        return common

    def _fit_surfaces(self, common, variance, flat):
        if self.bad is not None:
            flat = flat & ~self.bad.any(axis=0)
        found = [
            self.mesh.medians(level - change - np.float32(factor) * common, flat)
            for level, change, factor in zip(self.levels, self.changes, self.factors, strict=True)
        ]
        medians, number = np.array([one[0] for one in found]), found[0][1]
        medians -= medians.mean(axis=0)
        one = float(np.median(variance[flat])) if flat.any() else 1.0
        surfaces = [smooth_surface(median, number, one) for median in medians]
        self.kinds = [kind for _, kind in surfaces]
        self.grids = np.array([grid for grid, _ in surfaces])
        self.backgrounds = [
            self.mesh.interpolate(grid) if kind else np.float32(0)
            for grid, kind in zip(self.grids, self.kinds, strict=True)
        ]

    def _fit_kernels(self, common, variance, structure, telling):
        place = _some(np.flatnonzero(telling), structure.ravel())
        if len(place) < FEWEST or not self.ladder:
            return
        rows, columns = np.divmod(place, common.shape[1])
        half = SIZE // 2
        level = np.median(common[:: max(len(common) // 100, 1)])
        padded = np.pad(common - level, half, mode="edge")
        steps = range(-half, half + 1)
        surroundings = np.stack([padded[rows + half - dy, columns + half - dx] for dy in steps for dx in steps])
        targets = np.stack([
            (plane - background - common).ravel()[place]
            for plane, background in zip(self.levels, self.backgrounds, strict=True)
        ])  # fmt: skip
        if self.bad is not None:
            targets[self.bad[:, rows, columns]] = np.nan
        variances = np.broadcast_to(variance.ravel()[place], targets.shape)
        folds = (rows // BLOCK + columns // BLOCK) % 2 == 1
        kernels, self.terms, self.covariance = fit_kernels(
            targets, variances, surroundings, structure.ravel()[place], folds, self.ladder
        )
        # to first order the mean of the exposures is then the common image itself
        self.kernels = kernels - kernels.mean(axis=0)
        self.factors = 1 + self.kernels.sum(axis=(1, 2))

    def _change(self, common, variance):
        """What shift and seeing change, less what is noise."""
        self.changes = []
        for kernel in self.kernels:
            rest = kernel.copy()
            rest[SIZE // 2, SIZE // 2] -= kernel.sum()
            if not rest.any():
                self.changes.append(np.float32(0))
                continue
            change = ndimage.convolve(common, rest.astype(np.float32), mode="nearest")
            square = ndimage.uniform_filter(change**2, WINDOW)
            noise = np.float32(NOISE_LIMIT * OF_MEDIAN * (rest**2).sum() / len(self.levels)) * variance
            change *= np.clip(1 - noise / np.maximum(square, 1e-30), 0, 1)
            self.changes.append(change)

    def result(self):
        """The `Differences`."""
        added = tuple(
            background + change if np.ndim(background) or np.ndim(change) else 0.0
            for background, change in zip(self.backgrounds, self.changes, strict=True)
        )
        n = len(self.levels)
        errors = np.zeros((n, 6)) if self.terms is None else np.array([_errors(one) for one in self.covariance])
        levels = tuple(float(np.mean(one)) for one in self.backgrounds)
        return Differences(
            tuple(self.factors.tolist()), tuple(errors[:, 0].tolist()), added, levels, tuple(self.kinds),
            self.kernels, errors, self.terms,
        )  # fmt: skip


def _some(places, structure):
    """At most about `PIXELS_TO_FIT` of some pixels, those of most contrast among them."""
    if len(places) <= PIXELS_TO_FIT:
        return places
    strongest = places[np.argpartition(structure[places], -STRONGEST)[-STRONGEST:]]
    others = places[np.linspace(0, len(places) - 1, PIXELS_TO_FIT - STRONGEST).astype(int)]
    return np.union1d(strongest, others)


def _errors(covariance):
    """Standard errors of flux, dx, dy, xx, yy and xy, of small changes of a kernel."""
    half = SIZE // 2
    dy, dx = (one.ravel() for one in np.mgrid[-half : half + 1, -half : half + 1])
    moments = np.stack([np.ones(SIZE**2), dx, dy, dx**2, dy**2, dx * dy])
    return np.sqrt(np.maximum(np.einsum("ka,ab,kb->k", moments, covariance, moments), 0))


def measure_differences(levels, variance_of, bad=None, names=("backgrounds", "flux_factors", "offsets", "seeing")):
    """Measure what differs between exposures.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        float32 (N, ny, nx) electrons, on the common level as far as anything is known of it.
    variance_of : callable
        Mean variance (ny, nx) of the exposures at a signal (ny, nx).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) values that take no part; their levels are those of the others.
    names : collection of str, optional
        What to measure: "backgrounds", "flux_factors", "offsets", "seeing".

    Returns
    -------
    differences : Differences

    Notes
    -----
    A round takes the median of the exposures, each less what is known of it, as the common image; fits
    surfaces to medians in cells of 64 pixels without structure; and fits kernels to the structures. Terms are kept
    where they lower chi squared in pixels that they were not fitted to.
    """
    model = _Model(levels, variance_of, bad, set(names))
    for contrast in CONTRAST:
        model.refine(contrast)
        if model.terms is None and not any(model.kinds):
            break
    return model.result()
