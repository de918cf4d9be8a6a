"""Measurement of the differences between exposures: added level, throughput, shift and seeing."""

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from crstack.equalize.fit.by_bands import ExposuresByBands
from crstack.equalize.fit.cold import cold_pixels
from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.dark import dark_of_hot_pixels
from crstack.equalize.fit.dark_parts import describes_more_than_noise, sky_with_dark_parts
from crstack.equalize.fit.differences import NAMES, Differences
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.fit_settings import FitSettings
from crstack.equalize.fit.hot import with_hot_pixels
from crstack.equalize.fit.kernel_steps import steps_of_kernels
from crstack.equalize.fit.line_fits.line_orders import with_lines
from crstack.equalize.fit.line_fits.line_rounds import polish
from crstack.equalize.fit.line_fits.lines_of_model import fit_line_terms
from crstack.equalize.fit.lines.course_of_lines import courses_along
from crstack.equalize.fit.lines.own_lines import with_own_lines
from crstack.equalize.fit.lines.own_trails import with_own_trails
from crstack.equalize.fit.misfit import apart, criterion
from crstack.equalize.fit.pattern import describes_more, pattern_of_sky
from crstack.equalize.fit.rounds import LEAST_SHARES, refine, structure_of
from crstack.equalize.fit.saturated import with_saturated_stars
from crstack.equalize.terms.first_factors import first_factors
from crstack.equalize.terms.hot_pixels import hot_pixels
from crstack.equalize.terms.steps import moved
from crstack.equalize.variance.places import contrast_squared
from crstack.utils.memory import in_files
from crstack.utils.pixels import dilate, informative_box
from crstack.utils.threads import map_threads, wide_bands
from crstack.utils.warn import warn_user

__all__ = ["measure_differences", "with_values"]

#: settings with terms along rows and columns
ALONG = {"backgrounds", "response"}
#: settings with kernels, which move light from pixel to pixel
MOVING = {"offsets", "seeing"}
#: most rounds of the fit of terms along rows and columns and of the common image, if the terms are known
LINE_ROUNDS = 4
#: a further round follows if the last one lowered chi squared by more than this, for each value
LEAST_OF_ROUND = 1e-3
#: largest image (pixels) that is used completely, and least squared contrast (variances) of pixels that select a part
WHOLE, CLEAR = 1_200_000, 25.0
#: surfaces of the sky that may be confused with a throughput
SLOPING = ("slope", "surface")
#: least decrease of chi squared by which one of two fits of the throughputs is better, and largest difference of
#: throughputs that agree
LEAST_GAIN, APART = 60.0, 0.05
#: they agree surely if, after this number of rounds, they differ by less than this share of that difference, in this
#: many times the pixels that are needed
FIRST_ROUNDS, SURELY, ENOUGH = 2, 0.4, 10
#: fewest pixels with structure that decide between the two fits; largest mean misfit of a value, in variances, of a
#: fit that describes the exposures
FEWEST, DESCRIBED = 40, 1.5
#: rows and columns of which a larger share has structure contain lines or traces. Stars measure the throughputs if more
#: than the second share of the structure lies outside of such rows and columns
OF_LINES, COMPACT = 0.5, 0.5


def measure_differences(
    levels: np.ndarray,
    variance_of: Callable[[int, np.ndarray], np.ndarray],
    bad: np.ndarray | None = None,
    names: Collection[str] = NAMES,
    noises: np.ndarray | None = None,
    steps: tuple[tuple[int, int], ...] | None = None,
    *,
    comparable: bool = True,
) -> Differences:
    """Measure the differences between exposures.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        Exposures, float32 (N, ny, nx) in electrons, with the known differences removed.
    variance_of : callable
        Mean variance of the exposures at a signal (image), optionally in a box of the image (slices).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values; their levels are those of the others.
    names : collection of str, optional
        What to measure: some of ``NAMES``.
    noises : `~numpy.ndarray`, optional
        (N,) variance of each exposure over the mean, where they are unlike.
    steps : tuple of (int, int), optional
        Shifts (dx, dy) of the exposures in whole pixels, if they are known. The rest of the shifts is measured.
    comparable : bool, optional
        False if the exposures differ so much, with a warning, that there is no warning on throughputs.

    Returns
    -------
    differences : Differences
        The terms that were kept, in electrons and pixels.

    Notes
    -----
    In each round the common image is the median of the exposures, corrected for the differences found so far. The
    round fits kernels to the structures, and surfaces to medians in cells of 64 pixels without structure. Terms along
    rows and columns are then fitted to the residuals. A term is kept if it lowers chi squared in pixels that it was
    not fitted to, and has a significant effect. For large images, the kernels and the choice of terms along rows and
    columns come from the part with most structure. If a pattern of the sky differs in its amplitude, all this is
    fitted to the exposures without it as well, and the better of the two descriptions is used. Hot pixels are not
    changed by a throughput, but the dark charge of all hot pixels of an exposure may differ by one factor. Cold
    pixels, such as dead ones, do not move with the scene, and are described apart from it. Straight lines that only one
    exposure has, such as trails of satellites, are left out.
    """
    names, original = set(names), levels
    cold = cold_pixels(levels, variance_of) if names & MOVING else None
    if cold is not None:
        levels = cold.filled(levels)
    if names & ALONG:
        bad = with_own_trails(levels, variance_of, with_own_lines(levels, variance_of, bad))
    hot = dark_of_hot_pixels(levels, variance_of) if "backgrounds" in names else None
    if hot is not None:
        levels, names = hot.removed(levels), names | {"hot pixels"}
    settings = FitSettings(noises=noises, steps=steps)
    found = _with_pattern((levels, variance_of, bad, names), settings, comparable)
    found = with_hot_pixels(found, levels, variance_of)
    if hot is not None:
        found = hot.added_to(found)
    if cold is not None:
        found = cold.added_to(found)
    levels = original
    return with_saturated_stars(found, levels, bad, variance_of) if "seeing" in names else found


def with_values(bad, n):
    """Numbers (from 0) of the exposures that have valid values, of which there are ``n``; ``bad`` is as above."""
    return [i for i in range(n) if bad is None or not bad[i].all()]


def _with_pattern(data, settings, comparable):
    """The differences with those of a pattern of the sky, where this describes the exposures better.

    The exposures are ``data``, the first arguments of `ExpectedExposures`, here and in the next functions.
    """
    levels, variance_of, bad, names = data
    found = _measured(data, settings, comparable)
    if "backgrounds" not in names:
        return found
    sky = sky_with_dark_parts(levels, variance_of, bad)
    pattern = pattern_of_sky(levels, variance_of) if sky is None else sky
    if pattern is None:
        return found
    excluded = bad if sky is None else sky.excluded(bad, len(levels))
    # the common image is needed, whatever else differs
    without = pattern.removed(levels), pattern.variance_of(variance_of), excluded, names | {"hot pixels"}
    other = pattern.added_to(_measured(without, settings, comparable))
    if sky is None:
        return other if describes_more(other, found, levels, variance_of, bad) else found
    return other if describes_more_than_noise(other, found, sky, levels, variance_of, bad) else found


def _measured(data, settings, comparable):
    """The differences, without those of a pattern and a correction for hot pixels."""
    levels, variance_of, bad, names = data
    box = _part_to_fit(levels, variance_of)
    part = levels[:, *box], _cut(variance_of, box), None if bad is None else bad[:, *box], names
    # a part of the image is too small to measure the change of the shift over the whole image
    settings = replace(settings, drifting=part[0].shape == levels.shape)
    fit = with_lines(_best_start(part, settings, comparable))
    if fit.levels.shape == levels.shape:
        return fit.result()
    if not fit.lines:
        return _differences_of_whole(levels, variance_of, bad, fit)
    return _differences_of_whole_with_lines(data, fit)


def _best_start(data, settings, comparable):
    """The best of the fits from several starts, before terms along rows and columns."""
    names = data[-1]
    fit = _refined(ExpectedExposures(*data, settings))
    if settings.steps is None:
        fit = _with_steps_of_kernels(fit, data)
    settings = fit.settings
    start = first_factors(_moved_back(fit)) if "flux_factors" in names else None
    if start is not None:
        fit = _of_starts(fit, data, start)
    if {"flux_factors", "backgrounds"} <= names and any(kind in SLOPING for kind in fit.kinds):
        other = ExpectedExposures(*data, replace(fit.settings, above_local=True))
        fit = _better(fit, _refined(other, lambda model: _agrees_well(fit, model)), comparable)
    return fit


def _of_starts(fit, data, start):
    """The better of a fit and of one that starts from the throughputs of its structures.

    If most of these are compact, as stars are, they decide. Elsewhere, the noise of the common images changes chi
    squared: one is a median, the other a mean.
    """
    structure = structure_of(fit)
    compact = structure & ~_lines_of(structure)
    sky_stays = np.count_nonzero(compact) > max(FEWEST, COMPACT * np.count_nonzero(structure))
    other = _refined(ExpectedExposures(*data, replace(fit.settings, start=start, sky_stays=sky_stays)))
    some = compact if sky_stays else True
    return min(fit, other, key=lambda one: one.misfit(some))


def _lines_of(structure):
    """Pixels (ny, nx) of rows and columns of which a large part has ``structure``: lines of a sky, and traces."""
    return (structure.mean(axis=0) > OF_LINES) | (structure.mean(axis=1, keepdims=True) > OF_LINES)


def _differences_of_whole_with_lines(data, part):
    """The differences in the whole image, from the fit to a part of it, with terms along rows and columns."""
    if in_files():
        warn_user(
            "the exposures differ by terms along rows or columns, which need whole images: the memory may exceed "
            "mem_limit. Give a larger one, if there is so much memory"
        )
    levels, variance_of, bad, names = data
    # a cube that is read by rows, too
    whole = ExpectedExposures(levels, variance_of, None if bad is None else bad[:, :], names, of_part=part)
    if part.courses:
        whole.follow(courses_along(whole.common(CONTRAST[-1]), part.courses))
    if part.lines_first:
        fit_line_terms(whole, part.lines)
    refine(whole, CONTRAST[-1])
    before, least = np.inf, LEAST_OF_ROUND * np.prod(whole.levels.shape)
    for number in range(LINE_ROUNDS):
        if number:
            # each time with a better common image
            refine(whole, CONTRAST[-1])
        fit_line_terms(whole, part.lines)
        after = criterion(whole)
        if after > before - least:
            break
        before = after
    polish(whole)
    return whole.result()


def _moved_back(model):
    """The exposures of a model, without their shifts by whole pixels."""
    return np.stack([moved(level, (-dx, -dy)) for level, (dx, dy) in zip(model.levels, model.steps, strict=True)])


def _with_steps_of_kernels(part, data):
    """A fit, or one with the steps that its kernels show, if this is better."""
    steps = steps_of_kernels(part)
    if steps is None:
        return part
    stepped = _refined(ExpectedExposures(*data, replace(part.settings, steps=steps)))
    # elsewhere, the noise of the common image is moved too, so that it is not that of the exposure
    structure = structure_of(part) & structure_of(stepped)
    return stepped if stepped.misfit(structure) < part.misfit(structure) else part


def _better(part, other, comparable):
    """The better of a fit and of an ``other`` that takes throughputs from structures above the level around them.

    Structures decide: the noise of exposures with unlike levels of the sky changes the rest of chi squared as well.
    If neither fit describes the structures, as after a nod, the throughputs are not the cause.
    """
    structure = structure_of(part) & structure_of(other)
    some = np.count_nonzero(structure)
    agree = apart(part, other) < APART
    if agree and some >= FEWEST:
        return part
    misfits = part.misfit(structure), other.misfit(structure)
    gain = misfits[0] - misfits[1]
    if abs(gain) > LEAST_GAIN:
        return other if gain > 0 else part
    if some >= FEWEST and min(misfits) > DESCRIBED * len(part.levels) * some:
        return part
    if part.misfit() - other.misfit() > LEAST_GAIN:
        part, other = other, part
    if agree or not comparable or part.misfit() > DESCRIBED * part.levels.size:
        return part
    used, unused = (", ".join(f"{one:.3f}" for one in model.factors) for model in (part, other))
    warn_user(
        "the sky changes between the exposures by a gradient, and too few stars are bright enough to show whether the "
        f"throughputs change too: throughputs of {used} are assumed, but {unused} describe the stars equally well. "
        "Give flux_factors= if the throughputs are known"
    )
    return part


def _agrees_well(part, other):
    """Whether an ``other`` fit agrees so well with a fit, before its last rounds, that it will not replace it."""
    if part.terms is None or other.terms is None or apart(part, other) > SURELY * APART:
        return False
    return np.count_nonzero(structure_of(part) & structure_of(other)) >= ENOUGH * FEWEST


def _refined(model, suffices=None):
    """The model after the rounds that it needs; it needs no more from `FIRST_ROUNDS` on if it ``suffices``."""
    for number, (contrast, least_share) in enumerate(zip(CONTRAST, LEAST_SHARES, strict=True), start=1):
        refine(model, contrast, least_share)
        if model.terms is None and not any(model.kinds):
            break
        if suffices is not None and number >= FIRST_ROUNDS and suffices(model):
            break
    return model


def _differences_of_whole(levels, variance_of, bad, part):
    """The differences in the whole image, from the fit to a part of it, without terms along rows and columns."""
    whole = ExposuresByBands(levels, variance_of, bad, part)
    for contrast in CONTRAST[-2:]:
        whole.refine(contrast)
        if part.terms is None and not any(whole.kinds):
            break
        if whole.fit_kernels(contrast):
            whole.refine(contrast)
    return whole.result()


def _part_to_fit(levels, variance_of):
    """The part of the image with the most structure that comes through the optics."""
    shape = levels.shape[1:]
    if shape[0] * shape[1] <= WHOLE:
        return slice(None), slice(None)
    structure = np.empty(shape, dtype=bool)

    def work(band):
        rows, wide, inner = band
        low = levels[:, wide].min(axis=0)
        variance = variance_of(low, (wide, slice(None)))
        hot = np.zeros(low.shape, dtype=bool)
        hot[hot_pixels(low, np.sqrt(variance))] = True
        clear = (contrast_squared(low, variance) > CLEAR * variance) & ~dilate(hot, 1)
        structure[rows] = clear[inner]

    map_threads(work, wide_bands(*shape, margin=2))
    return informative_box(structure)


def _cut(variance_of, box):
    """The variances of a part of the image."""
    return lambda signal: variance_of(signal, box)
