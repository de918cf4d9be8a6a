"""Measured differences of the exposures: added level, throughput, shift and seeing."""

import functools
from dataclasses import dataclass, replace

import numpy as np
from astropy.table import Column, Table
from scipy import ndimage

from crstack._pixels import at_pixels, dilate, informative_box
from crstack.equalize.kernel import KernelTerms, fit_kernels, split_kernel
from crstack.equalize.lines import fit_lines, lines_gain
from crstack.equalize.offsets import hot_pixels, medians_around
from crstack.equalize.place_variance import contrast_of, contrast_squared
from crstack.equalize.steps import entered, moved, whole_steps
from crstack.equalize.surfaces import Mesh, smooth_surface
from crstack.statistics import sort_exposures

__all__ = ["Differences", "measure_differences"]

#: side (pixels) of a kernel
SIZE = 7
#: rounds of common image, surfaces and kernels
ROUNDS = 5
#: standard deviations by which the median may exceed the lowest, and shares of the contrast in each round
CLIP_SIGMA, CONTRAST = 5.0, (0.2, 0.2, 0.1, 0.1, 0.1)
#: residual of a kernel, relative to the share of the contrast
SHARE_OF_CONTRAST = 0.5
#: the contrast of noise alone, in standard deviations of one value of N, times the root of N
NOISE_CONTRAST = 3.9
#: pixels are flat below the first multiple of the contrast of noise, and measure the kernel above the second
FLAT, STRUCTURE = 2.0, 3.0
#: pixels that suffice for the kernels, and how many of these are those of most contrast
PIXELS_TO_FIT, STRONGEST, FEWEST = 20_000, 8_000, 40
#: side (pixels) of the blocks; every second block tests the fit to the others
BLOCK = 32
#: window (pixels) in which a change is compared with its noise, and mean square up to which it is noise
WINDOW, NOISE_LIMIT = 5, 2.0
#: variance of a median over that of a mean, roughly
OF_MEDIAN = 1.3
#: least effect (percentile) of a kernel, in standard deviations
STRONG, LEAST_EFFECT = 99.5, 0.3
#: a value that exceeds both this number of standard deviations and this share of the contrast is hit
HIT, HIT_CONTRAST = 4.0, 0.3
#: most terms along rows and columns, and length (pixels) of the cells that test them
MOST_LINES, LENGTH_TO_TEST = 4, 128
#: rounds of such terms and the common image, if the terms are known
LINE_ROUNDS = 3
#: least decrease of chi squared by such a term, in total and for each value
LEAST_LINES, OF_VALUE = 100.0, 2e-4
#: largest image that is used completely, and squared contrast (variances) that counts in the choice of a part
WHOLE, CLEAR = 1_200_000, 25.0
#: number of values of a response for its limits
PIXELS_OF_LIMITS = 300_000


@dataclass(frozen=True)
class LineTerm:
    """A term that varies slowly along the rows or the columns.

    Parameters
    ----------
    axis : {"x", "y"}
        Axis along which it is smooth.
    setting : {"response", "backgrounds"}
        Whether it is a throughput or an added level.
    """

    axis: str
    setting: str

    @property
    def words(self):
        """Readable text."""
        what = "response" if self.setting == "response" else "added level"
        return f"{what} of each {'row' if self.axis == 'x' else 'column'} along {self.axis}"

    def arrays(self, residuals, signal, variance):
        """Residuals, regressor and variance with the rows along the axis."""
        regressor = signal if self.setting == "response" else np.ones_like(signal)
        if self.axis == "y":
            return residuals.transpose(0, 2, 1), regressor.T, variance.T
        return residuals, regressor, variance


NAMES = ("backgrounds", "flux_factors", "offsets", "response", "seeing")
LINES = tuple(LineTerm(axis, setting) for axis in "xy" for setting in ("response", "backgrounds"))


@dataclass(frozen=True, eq=False, repr=False)
class Differences:
    """Measured differences of exposures that are not quite equivalent.

    Exposure i is expected to hold ``scales[i]`` times the common image plus ``added[i]``.

    Attributes
    ----------
    factors : tuple of float
        Throughput, relative to the mean of the exposures.
    scales : tuple of `~numpy.ndarray` or float
        Throughput of each pixel: the factors, and terms along rows and columns.
    added : tuple of `~numpy.ndarray` or float
        (ny, nx) electrons: surfaces, lines, and the changes by shift and seeing; numbers if no image is needed.
    noises : tuple of `~numpy.ndarray` or float
        (ny, nx) variance of ``added``, by the noise of the common image.
    levels : tuple of float
        Mean of the surfaces, electrons.
    surfaces : tuple of str
        "", "level", "slope" or "surface".
    kernels : `~numpy.ndarray`
        (N, 7, 7) what is added to a kernel of 1 at the centre.
    kernel_errors : `~numpy.ndarray`
        (N, 6) standard errors of what ``split_kernel`` gives.
    terms : KernelTerms or None
        None if no kernel was needed.
    steps : tuple of (int, int)
        Whole pixels (dx, dy) by which each exposure is shifted before its kernel.
    lines : tuple of LineTerm
        Terms along rows and columns.
    limits : tuple of float
        0.1 and 99.9 per cent of the values of the response along rows and columns are below.
    change : `~numpy.ndarray` or None
        (ny, nx) the largest change by shift and seeing, electrons.
    common : `~numpy.ndarray` or None
        (ny, nx) the common image; None if nothing differs.
    """

    factors: tuple
    scales: tuple
    added: tuple
    noises: tuple
    levels: tuple
    surfaces: tuple
    kernels: np.ndarray
    kernel_errors: np.ndarray
    terms: KernelTerms | None
    steps: tuple = ()
    lines: tuple = ()
    limits: tuple = ()
    change: np.ndarray | None = None
    common: np.ndarray | None = None

    def __bool__(self):
        return self.terms is not None or any(self.surfaces) or bool(self.lines) or any(map(any, self.steps))

    @property
    def errors(self):
        """Standard errors of the factors."""
        return tuple(self.kernel_errors[:, 0].tolist())

    def __repr__(self):
        return f"<Differences: {'; '.join(f'{name} {value}' for name, value in self.in_words().items())}>"

    @property
    def shifts(self):
        """(dx, dy) of each exposure, pixels."""
        moments = [split_kernel(kernel)[1:3] for kernel in self.kernels]
        return tuple((dx + x, dy + y) for (dx, dy), (x, y) in zip(moments, self.steps, strict=True))

    @property
    def widths(self):
        """Change of the second moments (xx, yy, xy) of a star, square pixels."""
        return tuple(split_kernel(kernel)[3:] for kernel in self.kernels)

    def table(self):
        """The measured values, one row for each exposure, as a `~astropy.table.Table`.

        Columns: exposure, level (electron), surface, throughput, dx, dy (pixel), xx, yy, xy (what is added to the
        second moments of a star, square pixels), and the standard errors of all but the level.
        """
        moments = np.array([split_kernel(kernel) for kernel in self.kernels])
        moments[:, 1:3] = self.shifts
        table = Table()
        table["exposure"] = np.arange(len(self.factors)) + 1
        table["level"] = Column(self.levels, unit="electron")
        table["surface"] = [one or "none" for one in self.surfaces]
        units = {"throughput": None, "dx": "pix", "dy": "pix", "xx": "pix2", "yy": "pix2", "xy": "pix2"}
        for k, (name, unit) in enumerate(units.items()):
            table[name] = Column(moments[:, k], unit=unit)
            table[f"{name}_error"] = Column(self.kernel_errors[:, k], unit=unit)
        return table

    def ordered(self, order):
        """The differences of the exposures in another order (indices)."""
        names = ("factors", "scales", "added", "noises", "levels", "surfaces", "steps")
        picked = {name: tuple(getattr(self, name)[i] for i in order) for name in names}
        return replace(self, kernels=self.kernels[order], kernel_errors=self.kernel_errors[order], **picked)

    def summary(self):
        """What was measured, as lists of numbers by name: one for each exposure."""
        return {
            "added levels (electron)": [float(level) for level in self.levels],
            "throughputs": [float(factor) for factor in self.factors],
            "shifts (dx, dy)": [[float(dx), float(dy)] for dx, dy in self.shifts],
            "second moments (pixel squared)": [float(w[0] + w[1]) / 2 for w in self.widths],
        }

    def in_words(self):
        """What was measured and is used, for people: a dict of str."""
        words = {}
        if any(self.surfaces):
            levels = ", ".join(f"{level:+.4g}" for level in self.levels)
            words["added levels (electron)"] = f"{levels} ({', '.join(one or 'none' for one in self.surfaces)})"
        for line in self.lines:
            limits = ""
            if line.setting == "response":
                limits = f" from {self.limits[0]:.3f} to {self.limits[1]:.3f}"
            words[line.words] = f"measured{limits}"
        if self.terms is None and not any(map(any, self.steps)):
            return words or {"differences": "none"}
        terms = self.terms or KernelTerms(0, False, False, False)
        if terms.flux:
            words["throughputs"] = ", ".join(f"{factor:.4f}" for factor in self.factors)
        if (terms.shift and terms.reach) or any(map(any, self.steps)):
            words["shifts (dx, dy)"] = ", ".join(f"({dx:+.3f}, {dy:+.3f})" for dx, dy in self.shifts)
        if terms.seeing and terms.reach:
            words["second moments (pixel squared)"] = ", ".join(f"{(w[0] + w[1]) / 2:+.3f}" for w in self.widths)
        return words


def ladder_of(names):
    """Kernels to try for the terms "flux_factors", "offsets" and "seeing", simplest first."""
    flux, shift, seeing = (name in names for name in ("flux_factors", "offsets", "seeing"))
    ladder = [KernelTerms(0, flux, False, False)] if flux else []
    if shift and seeing:
        ladder += [KernelTerms(1, flux, True, False), KernelTerms(1, flux, False, True)]
    if shift or seeing:
        ladder += [KernelTerms(reach, flux, shift, seeing) for reach in (1, 2, 3)]
    return ladder


class _Model:
    """State of the fit of the expected exposures."""

    def __init__(self, levels, variance_of, bad, names, known=None):
        self.levels, self.variance_of, self.bad = levels, variance_of, bad
        self.names, self.ladder = names, ladder_of(names)
        n = len(levels)
        self.mesh = Mesh(levels.shape[1:])
        self.factors, self.kernels, self.terms = np.ones(n), np.zeros((n, SIZE, SIZE)), None
        self.covariance, self.lines = np.zeros((n, SIZE**2, SIZE**2)), []
        self.steps = ((0, 0),) * n
        if known is not None:
            self.factors, self.kernels, self.terms = known.factors, known.kernels, known.terms
            self.covariance, self.steps = known.covariance, known.steps
        self.backgrounds = self._first_levels()
        self.changes = self.blurs = self.noises = [np.float32(0)] * n
        self.gains = self.added = None
        self.kinds, self.grids = [""] * n, None
        if known is None and "offsets" in names:
            self.steps = whole_steps(levels)
        if any(map(any, self.steps)):
            self._start_moved()

    def _start_moved(self):
        """A start for exposures that are shifted by a pixel or more: the median, each shifted back."""
        cube = np.stack([
            moved(level - background, (-dx, -dy))
            for level, background, (dx, dy) in zip(self.levels, self.backgrounds, self.steps, strict=True)
        ])  # fmt: skip
        self._fill_what_enters(cube)
        sort_exposures(cube)
        common = (cube[(len(cube) - 1) // 2] + cube[len(cube) // 2]) / 2
        self._change(common, self.variance_of(common))

    def _first_levels(self):
        """A start for the added levels: medians of the differences from the mean."""
        n = len(self.levels)
        if "backgrounds" not in self.names:
            return [np.float32(0)] * n
        step = max(int(np.sqrt(self.levels[0].size / PIXELS_TO_FIT)), 1)
        some = self.levels[:, ::step, ::step]
        some = some / np.float32(self.factors)[:, None, None]
        found = np.array([np.median(plane - some.mean(axis=0)) for plane in some])
        return list(np.float32((found - np.median(found)) * self.factors))

    def scale(self, i):
        """Throughput of exposure ``i``: number or image."""
        factor = np.float32(self.factors[i])
        return factor if self.gains is None else factor * (1 + self.gains[i])

    def shift(self, i):
        """What is added to exposure ``i``: number or image."""
        shift = self.backgrounds[i] + self.changes[i]
        return shift if self.added is None else shift + np.float32(self.factors[i]) * self.added[i]

    def _moved_back(self, i):
        """Exposure ``i`` minus its known differences, on the grid and at the level of the common image."""
        if not any(self.steps[i]):
            return (self.levels[i] - self.shift(i)) / self.scale(i)
        back = tuple(-one for one in self.steps[i])
        plane = self.levels[i] - self.backgrounds[i]
        if self.added is not None:
            plane = plane - np.float32(self.factors[i]) * self.added[i]
        plane = moved(plane, back) - self.blurs[i]
        return plane / (self.scale(i) if self.gains is None else moved(self.scale(i), back))

    def _fill_what_enters(self, cube):
        """Put what another exposure holds where one that was moved back holds nothing, in place."""
        at_rest = min(range(len(cube)), key=lambda i: sum(map(abs, self.steps[i])))
        for plane, (dx, dy) in zip(cube, self.steps, strict=True):
            rows, columns = entered((-dx, -dy))
            plane[rows] = cube[at_rest][rows]
            plane[:, columns] = cube[at_rest][:, columns]

    def common(self, contrast):
        """Image that the exposures share, and its contrast."""
        cube = np.stack([self._moved_back(i) for i in range(len(self.levels))])
        self._fill_what_enters(cube)
        sort_exposures(cube)
        n, low = len(cube), cube[0]
        median = (cube[(n - 1) // 2] + cube[n // 2]) / 2
        limit = CLIP_SIGMA * np.sqrt(self.variance_of(low)) + np.float32(contrast) * contrast_of(low)
        return np.where(median - low > limit, low, median)

    def refine(self, contrast, with_kernels=True):
        """One round; returns the common image."""
        common = self.common(contrast)
        variance = self.variance_of(common)
        noise = NOISE_CONTRAST * np.sqrt(variance / len(self.levels))
        structure = contrast_of(common)
        if with_kernels:
            telling = structure > STRUCTURE * noise
            telling[self._beside_hot(common, variance)] = False
            self._fit_kernels(common, variance, structure, telling, contrast * SHARE_OF_CONTRAST)
        self._change(common, variance)
        if "backgrounds" in self.names:
            self._fit_surfaces(common, variance, structure < FLAT * noise)
        return common

    def _fit_surfaces(self, common, variance, flat):
        if self.bad is not None:
            flat = flat & ~self.bad.any(axis=0)
        # not relative to the median, because each exposure is the median in some pixels
        left = np.stack([
            level - change - np.float32(factor) * common
            for level, change, factor in zip(self.levels, self.changes, self.factors, strict=True)
        ])  # fmt: skip
        if self.added is not None:
            left -= self.added
        left -= left.mean(axis=0)
        found = [self.mesh.medians(one, flat) for one in left]
        medians, number = np.array([one[0] for one in found]), found[0][1]
        medians -= medians.mean(axis=0)
        of_cells = np.nan_to_num(self.mesh.medians(variance, flat)[0], nan=1.0)
        surfaces = [smooth_surface(median, number, of_cells) for median in medians]
        self.kinds = [kind for _, kind in surfaces]
        self.grids = np.array([grid for grid, _ in surfaces])
        self.backgrounds = [
            self.mesh.interpolate(grid) if kind else np.float32(0)
            for grid, kind in zip(self.grids, self.kinds, strict=True)
        ]

    def _fit_kernels(self, common, variance, structure, telling, least_share):
        place = _some(np.flatnonzero(telling), structure.ravel())
        if len(place) < FEWEST or not self.ladder:
            return
        rows, columns = np.divmod(place, common.shape[1])
        half = SIZE // 2
        level = np.median(common[:: max(len(common) // 100, 1)])
        padded = np.pad(common - level, half, mode="edge")
        steps = range(-half, half + 1)
        surroundings = np.stack([padded[rows + half - dy, columns + half - dx] for dy in steps for dx in steps])
        targets = np.stack([self._target(i, rows, columns) for i in range(len(self.levels))])
        targets -= common.ravel()[place]
        variances = np.broadcast_to(variance.ravel()[place], targets.shape)
        folds = (rows // BLOCK + columns // BLOCK) % 2 == 1
        kernels, terms, covariance = fit_kernels(
            targets, variances, surroundings, structure.ravel()[place], folds, self.ladder, least_share
        )
        # to first order the mean of the exposures is then the common image itself
        kernels = kernels - kernels.mean(axis=0)
        effect = np.abs(kernels.reshape(len(kernels), -1) @ surroundings) / np.sqrt(variances)
        if terms is not None and np.percentile(effect, STRONG) < LEAST_EFFECT:
            kernels, terms = np.zeros_like(kernels), None
        self.kernels, self.terms, self.covariance = kernels, terms, covariance
        self.factors = 1 + self.kernels.sum(axis=(1, 2))

    def _target(self, i, rows, columns):
        """Values of exposure ``i`` where some pixels of the common image fall; NaN where they are bad or outside."""
        dx, dy = self.steps[i]
        ny, nx = self.levels.shape[1:]
        inside = (rows + dy >= 0) & (rows + dy < ny) & (columns + dx >= 0) & (columns + dx < nx)
        place = np.where(inside, rows + dy, 0), np.where(inside, columns + dx, 0)
        background = self.backgrounds[i]
        target = self.levels[i][place] - at_pixels(background, place)
        if self.added is not None:
            target = target - self.added[i][place]
        if self.bad is not None:
            inside &= ~self.bad[i][place]
        return np.where(inside, target, np.nan)

    def _beside_hot(self, common, variance):
        """Rows and columns around hot pixels, which do not shift with the scene."""
        rows, columns = hot_pixels(common, np.sqrt(variance))
        reach = np.arange(-(SIZE // 2), SIZE // 2 + 1)
        ny, nx = common.shape
        rows = np.clip(rows[:, None, None] + reach[:, None], 0, ny - 1)
        columns = np.clip(columns[:, None, None] + reach, 0, nx - 1)
        rows, columns = np.broadcast_arrays(rows, columns)
        return rows.ravel(), columns.ravel()

    def _change(self, common, variance):
        """The changes by shift and seeing, without noise."""
        self.changes, self.blurs, self.noises, scene = [], [], [], common
        if self.kernels.any() or any(map(any, self.steps)):
            # hot pixels do not change
            scene, hot = common.copy(), hot_pixels(common, np.sqrt(variance))
            scene[hot] = medians_around(common, *hot)
        noise = np.float32(OF_MEDIAN / len(self.levels)) * variance
        for kernel, factor, step in zip(self.kernels, np.float32(self.factors), self.steps, strict=True):
            rest = kernel.copy()
            rest[SIZE // 2, SIZE // 2] -= kernel.sum()
            blur = own = np.float32(0)
            if rest.any():
                blur = ndimage.convolve(scene, rest.astype(np.float32), mode="nearest")
                own = noise * np.float32((rest**2).sum())
                share = _more_than(own, blur)
                blur *= share
                own *= share**2
            change = blur
            if any(step):
                change = moved(blur + factor * scene, step) - factor * scene
                own = moved(own, step) + (moved(noise, step) + noise) * factor**2
                share = _more_than(own, change)
                change *= share
                own *= share**2
            self.blurs.append(blur)
            self.changes.append(change)
            self.noises.append(own)

    # terms along rows and columns

    def _line_residuals(self):
        """Residuals (N, ny, nx) at the common level, the common image, not negative, and its variance."""
        common = self.common(CONTRAST[-1])
        signal = np.maximum(common, 0)
        left = np.stack([(level - self.shift(i) - self.scale(i) * common) for i, level in enumerate(self.levels)])
        left /= np.float32(self.factors)[:, None, None]
        variance = self.variance_of(common)
        limit = HIT * np.sqrt(variance) + np.float32(HIT_CONTRAST) * contrast_of(common)
        for i, one in enumerate(left):
            # hits, and their faint rims
            hit = ndimage.maximum_filter((one > limit).view(np.uint8), 3).view(bool)
            one[hit if self.bad is None else hit | self.bad[i]] = 0
        return left, signal, variance

    def find_lines(self):
        """Find terms along rows and columns, one after the other."""
        for _ in range(MOST_LINES):
            left, signal, variance = self._line_residuals()
            open_terms = [one for one in LINES if one.setting in self.names]
            gains = [lines_gain(*one.arrays(left, signal, variance), LENGTH_TO_TEST) for one in open_terms]
            if not gains or max(gains) < LEAST_LINES + OF_VALUE * left.size:
                return
            best = open_terms[int(np.argmax(gains))]
            self.lines.append(best)
            self._add_line(best, left, signal, variance)

    def fit_lines(self, lines):
        """Fit terms that vary along rows and columns."""
        for line in lines:
            self.lines.append(line)
            self._add_line(line, *self._line_residuals())

    def fit_lines_first(self, lines):
        """Fit added levels along rows and columns before the kernels, and all lines after them."""
        self.refine(CONTRAST[0], with_kernels=False)
        self.fit_lines([one for one in lines if one.setting == "backgrounds"])
        for contrast in CONTRAST:
            self.refine(contrast)
        self.gains = self.added = None
        self.lines = []
        self.fit_lines(lines)

    def misfit(self):
        """Sum of the squares of what is left, in standard deviations, hits apart."""
        left, _, variance = self._line_residuals()
        return float(np.minimum(left**2 / variance, CLIP_SIGMA**2).sum(dtype=np.float64))

    def _add_line(self, line, left, signal, variance):
        share = fit_lines(*line.arrays(left, signal, variance))
        if line.axis == "y":
            share = share.transpose(0, 2, 1)
        if line.setting == "response":
            self.gains = share if self.gains is None else self.gains + share
        else:
            self.added = share if self.added is None else self.added + share

    def result(self):
        """The `Differences`."""
        n = len(self.levels)
        differs = self.terms is not None or any(self.kinds) or self.lines or any(map(any, self.steps))
        errors = np.zeros((n, 6)) if self.terms is None else np.array([_errors(one) for one in self.covariance])
        return Differences(
            factors=tuple(np.asarray(self.factors).tolist()),
            scales=tuple(self.scale(i) for i in range(n)),
            added=tuple(self.shift(i) for i in range(n)),
            noises=tuple(self.noises),
            levels=tuple(float(np.mean(one)) for one in self.backgrounds),
            surfaces=tuple(self.kinds),
            kernels=self.kernels,
            kernel_errors=errors,
            terms=self.terms,
            steps=self.steps,
            lines=tuple(self.lines),
            limits=() if self.gains is None else _limits(self.gains),
            change=_largest(self.changes),
            common=self.common(CONTRAST[-1]) if differs else None,
        )


def _largest(changes):
    """Largest absolute value of some images; None if there are only numbers."""
    images = [np.abs(one) for one in changes if np.ndim(one)]
    return functools.reduce(np.maximum, images) if images else None


def _more_than(noise, change):
    """Share of a change that is not noise, by its mean square around each pixel."""
    return np.clip(1 - NOISE_LIMIT * noise / np.maximum(ndimage.uniform_filter(change**2, WINDOW), 1e-30), 0, 1)


def _limits(gains):
    """Limits that contain nearly all values of the response."""
    some = gains.ravel()[:: max(gains.size // PIXELS_OF_LIMITS, 1)]
    return tuple((1 + np.percentile(some, [0.1, 99.9])).tolist())


def _some(places, structure):
    """At most about `PIXELS_TO_FIT` of some pixels, including those of highest contrast."""
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


def measure_differences(levels, variance_of, bad=None, names=NAMES):
    """Measure the differences between exposures.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        float32 (N, ny, nx) electrons, at the common level as far as it is known.
    variance_of : callable
        Mean variance of the exposures at a signal (image), optionally in a box of the image (slices).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values; their levels are those of the others.
    names : collection of str, optional
        What to measure: some of ``NAMES``.

    Returns
    -------
    differences : Differences

    Notes
    -----
    In each round the common image is the median of the exposures, corrected for the differences found so far. The
    round fits kernels to the structures, and surfaces to medians in cells of 64 pixels without structure. Terms along
    rows and columns are then fitted to the residuals. A term is kept if it lowers chi squared in pixels that it was
    not fitted to, and has a significant effect. For large images, the kernels and the choice of terms along rows and
    columns come from the part with most structure.
    """
    names = set(names)
    box = _part_to_fit(levels, variance_of)
    part = _Model(levels[:, *box], _cut(variance_of, box), None if bad is None else bad[:, *box], names)
    for contrast in CONTRAST:
        part.refine(contrast)
        if part.terms is None and not any(part.kinds):
            break
    part.find_lines()
    if any(line.setting == "backgrounds" for line in part.lines):
        # a kernel cannot know that a line of the sky has brightened while the object has not
        other = _Model(part.levels, part.variance_of, part.bad, names)
        other.fit_lines_first(part.lines)
        part = min(part, other, key=_Model.misfit)
    if part.levels.shape == levels.shape:
        return part.result()
    whole = _Model(levels, variance_of, bad, names, part)
    for contrast in CONTRAST[-2:]:
        whole.refine(contrast, with_kernels=False)
        if part.terms is None and not any(whole.kinds):
            break
    if part.lines:
        for _ in range(LINE_ROUNDS):
            # each time with a better common image
            whole.fit_lines(part.lines)
            whole.refine(CONTRAST[-1], with_kernels=False)
            whole.gains, whole.added, whole.lines = None, None, []
        whole.fit_lines(part.lines)
    return whole.result()


def _part_to_fit(levels, variance_of):
    """The part of the image with most structure from the optics."""
    low = levels.min(axis=0)
    if low.size <= WHOLE:
        return slice(None), slice(None)
    variance = variance_of(low)
    structure = contrast_squared(low, variance) > CLEAR * variance
    hot = np.zeros(low.shape, dtype=bool)
    hot[hot_pixels(low, np.sqrt(variance))] = True
    structure &= ~dilate(hot, 1)
    return informative_box(structure)


def _cut(variance_of, box):
    """The variances of a part of the image."""
    return lambda signal: variance_of(signal, box)
