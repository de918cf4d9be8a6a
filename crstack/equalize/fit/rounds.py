"""A round of the fit: kernels to the structures, and surfaces to the rest."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.fine_surfaces import FEWEST as FEWEST_OF_FINE
from crstack.equalize.fit.fine_surfaces import fine_mesh, surfaces_with_regions
from crstack.equalize.fit.kernels.kernel import PixelsToFit, fit_kernels
from crstack.equalize.fit.kernels.kernel_equations import drift_rows
from crstack.equalize.fit.kernels.kernel_terms import SIZE
from crstack.equalize.fit.object_part import images_of_kernels
from crstack.equalize.fit.surfaces import Mesh, levels_around, surfaces_of
from crstack.equalize.terms.hot_pixels import hot_pixels
from crstack.equalize.terms.steps import incomplete_edges
from crstack.utils.medians import median_of_values
from crstack.utils.memory import empty_image
from crstack.utils.pixels import at_pixels, contrast_of
from crstack.utils.threads import map_threads, row_bands

__all__ = [
    "LEAST_SHARES",
    "flat_pixels",
    "pixels_of_kernels",
    "pixels_to_fit",
    "refine",
    "residuals_of",
    "some_places",
    "structure_of",
    "use_kernels",
]

#: least residual of a kernel in each round, as a share of the contrast
LEAST_SHARES = (0.1, 0.1, 0.05, 0.01, 0.005)
#: from this share on, the seeing may change over the image
SHARE_OF_VARYING = 0.05
#: contrast of a mean of N values of pure noise, in standard deviations of the mean
NOISE_CONTRAST = 3.9
#: pixels are flat below the first multiple of the contrast of noise; those above the second are used for the kernel
FLAT, STRUCTURE = 2.0, 3.0
#: standard deviation of a median over that of a mean
OF_MEDIAN = 1.25
#: most pixels that are used for the kernels, how many of these have the highest contrast, and fewest pixels
PIXELS_TO_FIT, STRONGEST, FEWEST = 20_000, 8_000, 40
#: with at most this number of pixels, the fit is repeated with smaller assumed residuals until it finds a kernel;
#: factors of the residuals
FEW, SMALLER = 4_000, (1.0, 0.5, 0.25)
#: sides (pixels) of the blocks that divide the image into halves like a chessboard: one half tests the fit to the
#: other. The first side is used for which each half has at least this share of the structure
BLOCKS, LEAST_HALF = (8, 2), 0.2
#: a kernel is kept if this percentile of its effect is at least this number of standard deviations
STRONG, LEAST_EFFECT = 99.5, 0.3
#: least throughput that a fit may give
LEAST_LIGHT = 1e-4


def refine(model, contrast, least_share=None):
    """One round, with kernels if their least residual is given; returns the common image."""
    common = model.common(contrast)
    variance = model.variance_of(common)
    structure = contrast_of(common)
    if least_share is not None:
        used = pixels_of_kernels(model, common, variance, structure)
        for edge in incomplete_edges(model.steps, SIZE // 2):
            used[edge] = False
        _fit_kernels(model, common, variance, structure, used, least_share)
    model.change(common, variance)
    if "backgrounds" in model.names:
        _fit_surfaces(model, [*residuals_of(model, common), variance], flat_pixels(model, structure, variance))
    return common


def pixels_of_kernels(model, common, variance, structure):
    """Pixels (ny, nx) that kernels may be fitted to: those with structure, not beside hot or unknown ones."""
    used = structure > STRUCTURE * NOISE_CONTRAST * np.sqrt(variance / len(model.levels))
    used[_beside_hot(common, variance * np.float32(OF_MEDIAN**2 / len(model.levels)))] = False
    if model.bad is not None:
        # a kernel would move unknown values from there
        used[ndimage.maximum_filter(model.bad.all(axis=0).view(np.uint8), SIZE).view(bool)] = False
    return used


def _fit_surfaces(model, images, flat):
    """Fit the surfaces to medians of images, the residuals and the variance, in flat pixels (ny, nx)."""
    mesh = model.mesh
    model.grids, model.kinds = surfaces_of(*mesh.medians(images, flat))
    if "surface" in model.kinds:
        model.grids = surfaces_with_regions(mesh, model.grids, *fine_mesh(mesh).medians(images, flat, FEWEST_OF_FINE))
        mesh = Mesh.of_cells(mesh.shape, model.grids.shape[1:])
    model.backgrounds = [
        mesh.interpolate(grid) if kind else np.float32(0) for grid, kind in zip(model.grids, model.kinds, strict=True)
    ]


def structure_of(model):
    """Pixels (ny, nx) with structure in the common image of a fit."""
    common = model.common(CONTRAST[-1])
    return contrast_of(common) > STRUCTURE * NOISE_CONTRAST * np.sqrt(model.variance_of(common) / len(model.levels))


def flat_pixels(model, structure, variance):
    """Valid pixels (ny, nx) without structure."""
    flat = structure < FLAT * NOISE_CONTRAST * np.sqrt(variance / len(model.levels))
    return flat if model.bad is None else flat & ~model.bad.any(axis=0)


def residuals_of(model, common):
    """Residuals (N, ny, nx): the exposures minus the common image and its changes, and minus their own mean.

    They are not relative to the median, because each exposure is the median in some pixels.
    """
    left, factors = empty_image(model.levels.shape), np.float32(model.factors)

    def work(rows):
        some = left[:, rows]
        for i, (change, factor) in enumerate(zip(model.changes, factors, strict=True)):
            some[i] = model.levels[i, rows] - at_pixels(change, rows) - factor * common[rows]
        for one in (model.added, model.sky):
            if one is not None:
                some -= one[:, rows] * factors[:, None, None]
        some -= some.mean(axis=0)

    map_threads(work, row_bands(*common.shape))
    return left


def _fit_kernels(model, common, variance, structure, used, least_share):
    """Fit the kernels of all exposures to the structure of the pixels that are ``used``, bool (ny, nx)."""
    place = some_places(np.flatnonzero(used), structure.ravel())
    if len(place) < FEWEST or not model.ladder:
        return
    positions = model.positions if model.settings.drifting else None
    pixels = pixels_to_fit(model, common, variance, structure, place, positions)
    start = None if model.start is None else model.factors
    # with few stars, the assumed residual would hide a difference of throughput of ten per cent
    for part in SMALLER if len(place) <= FEW else SMALLER[:1]:
        varies = least_share <= SHARE_OF_VARYING
        fitted = fit_kernels(pixels, model.ladder, part * least_share, start, varies=varies)
        if fitted.terms is not None:
            break
    use_kernels(model, fitted, pixels)


def pixels_to_fit(model, common, variance, structure, place, positions):
    """The `PixelsToFit` of the pixels of some flat indices ``place`` (M,).

    ``positions`` are (x, y) of the columns and rows, from -1 to 1 over the whole image; None if no kernel may change
    over it.
    """
    rows, columns = np.divmod(place, common.shape[1])
    level, around = _local_levels(model, common, variance, structure, (rows, columns))
    surroundings = np.stack([_surroundings(one, rows, columns) for one in images_of_kernels(model, common, level)])
    signal = common.ravel()[place]
    targets = np.stack([_target_of(model, i, rows, columns, signal) for i in range(len(model.levels))])
    targets -= signal + around
    if model.sky is not None:
        # it comes through the kernel
        targets -= model.sky[:, rows, columns]
    variances = np.broadcast_to(variance.ravel()[place], targets.shape)
    folds = _folds(rows, columns, structure.ravel()[place] ** 2 / variance.ravel()[place])
    if positions is not None:
        x, y = positions
        positions = np.stack([x[columns], y[rows, 0]])
    return PixelsToFit(targets, variances, surroundings, structure.ravel()[place], folds, positions)


def use_kernels(model, fitted, pixels):
    """Use fitted kernels in a model, if their effect on the pixels is visible."""
    # with a mean change of 0, the common image is to first order the mean of the exposures
    kernels = _with_light(fitted.kernels - fitted.kernels.mean(axis=0), model.start)
    terms, drifts = fitted.terms, fitted.drifts - fitted.drifts.mean(axis=0)
    varying = fitted.varying - fitted.varying.mean(axis=0)
    effect = (kernels.reshape(len(kernels), 1, -1) @ pixels.surroundings)[:, 0]
    if drifts.any():
        rows = np.stack([drift_rows(one, pixels.positions) for one in pixels.surroundings])
        effect = effect + (drifts.reshape(len(drifts), 1, -1) @ rows)[:, 0]
    if terms is not None and np.percentile(np.abs(effect) / np.sqrt(pixels.variances), STRONG) < LEAST_EFFECT:
        kernels, terms, drifts, varying = np.zeros_like(kernels), None, np.zeros_like(drifts), np.zeros_like(varying)
    model.kernels, model.terms, model.covariance = kernels, terms, fitted.errors
    model.drifts, model.varying = drifts, varying
    model.factors = 1 + model.kernels.sum(axis=(1, 2))


def _local_levels(model, common, variance, structure, where):
    """Level of the common image, and how far the exposures are above it around the pixels ``where``: 0, or (N, M)."""
    if not model.settings.above_local:
        return median_of_values(common[:: max(len(common) // 100, 1)]), np.float32(0)
    images = [common, *(_without_additions(model, i) - common for i in range(len(model.levels)))]
    level, *rest = levels_around(model.mesh, images, flat_pixels(model, structure, variance))
    return level, np.stack([one[where] for one in rest])


def _surroundings(image, rows, columns):
    """Values (SIZE * SIZE, M) of an image at the places of a kernel around M pixels."""
    half = SIZE // 2
    padded = np.pad(image, half, mode="edge")
    steps = range(-half, half + 1)
    return np.stack([padded[rows + half - dy, columns + half - dx] for dy in steps for dx in steps])


def _with_light(kernels, start):
    """Kernels with throughputs that are positive: a fit that leaves no light gives way to the start of the throughput.

    In an exposure with a thousandth of the light of another one, errors of the common image exceed the throughput.
    """
    lost = 1 + kernels.sum(axis=(1, 2)) < LEAST_LIGHT
    if not lost.any():
        return kernels
    middle = SIZE // 2
    kernels = np.where(lost[:, None, None], 0, kernels)
    kernels[lost, middle, middle] = (LEAST_LIGHT if start is None else start[lost]) - 1
    # the mean change stays 0
    kernels[~lost, middle, middle] -= kernels.sum() / np.count_nonzero(~lost)
    return kernels


def _without_additions(model, i):
    """Exposure ``i`` minus its surface and its added terms along rows and columns."""
    level = model.levels[i] - model.backgrounds[i]
    return level if model.added is None else level - np.float32(model.factors[i]) * model.added[i]


def _folds(rows, columns, weight):
    """One half of some pixels, divided in blocks: bool (M,)."""
    for block in BLOCKS:
        folds = (rows // block + columns // block) % 2 == 1
        if LEAST_HALF < weight[folds].sum() / weight.sum() < 1 - LEAST_HALF:
            break
    return folds


def _target_of(model, i, rows, columns, common):
    """Values of exposure ``i`` where some pixels of the common image, of signal ``common``, fall; NaN where unknown."""
    dx, dy = model.steps[i]
    ny, nx = model.levels.shape[1:]
    inside = (rows + dy >= 0) & (rows + dy < ny) & (columns + dx >= 0) & (columns + dx < nx)
    place = np.where(inside, rows + dy, 0), np.where(inside, columns + dx, 0)
    background = model.backgrounds[i]
    target = model.levels[i][place] - at_pixels(background, place)
    if model.added is not None:
        target = target - np.float32(model.factors[i]) * model.added[i][place]
    if model.gains is not None:
        # the throughput along rows and columns is no part of the kernel
        target = target - (model.factors[i] * model.gains[i][place]) * common
    if model.bad is not None:
        inside &= ~model.bad[i][place]
    return np.where(inside, target, np.nan)


def _beside_hot(common, variance):
    """Rows and columns around hot pixels, which do not shift with the scene; ``variance`` is that of the image."""
    rows, columns = hot_pixels(common, np.sqrt(variance), shared=True)
    reach = np.arange(-(SIZE // 2), SIZE // 2 + 1)
    ny, nx = common.shape
    rows = np.clip(rows[:, None, None] + reach[:, None], 0, ny - 1)
    columns = np.clip(columns[:, None, None] + reach, 0, nx - 1)
    rows, columns = np.broadcast_arrays(rows, columns)
    return rows.ravel(), columns.ravel()


def some_places(places, structure, share=1.0):
    """At most about ``share * PIXELS_TO_FIT`` of some pixels, including those of highest contrast."""
    most, strong = int(share * PIXELS_TO_FIT), int(share * STRONGEST)
    if len(places) <= most:
        return places
    strongest = places[np.argpartition(structure[places], -strong)[-strong:]]
    others = places[np.linspace(0, len(places) - 1, most - strong).astype(int)]
    return np.union1d(strongest, others)
