"""Terms along rows and columns of the expected exposures: which are needed, and their values."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.course_of_lines import changed_courses
from crstack.equalize.fit.kernel_terms import SIZE
from crstack.equalize.fit.lines import LINES, LineTerm, fit_whole, lines_gain
from crstack.equalize.fit.misfit import (
    criterion,
    differences_and_misfit,
    differences_of,
    misfit,
    moved_back,
    residuals,
    residuals_with_hits,
    without_hits,
)
from crstack.equalize.fit.object_part import (
    CLEAR,
    LEAST_THROUGHPUT,
    change_of_object,
    has_trace,
    height_of_lines,
    without_sky,
)
from crstack.equalize.fit.rounds import LEAST_SHARES, refine
from crstack.equalize.fit.slit_sky import sky_in_slits, slit_length
from crstack.equalize.fit.straight_lines import straight_part
from crstack.equalize.terms.steps import incomplete_edges
from crstack.utils.pixels import contrast_of, dilate

__all__ = [
    "FAINT",
    "LAST_ROUNDS",
    "LEAST_LINES",
    "MOST_LINES",
    "OF_VALUE",
    "add_object",
    "added_first",
    "courses_that_change",
    "find_added_lines_first",
    "find_line_terms",
    "find_response_of_object_first",
    "find_sky_in_slits",
    "fit_line_terms",
    "fit_object_and_sky",
    "object_across",
    "polish",
    "polish_object_and_sky",
    "refine_after_lines",
    "refine_with_sky",
]

#: a residual of more than this number of standard deviations is a hit where the throughput of an object changes; and
#: shares of the contrast in the rounds of its fit
FAR_FROM_OBJECT, CONTRASTS_OF_OBJECT = 3.0, (0.3, 0.1, 0.03)
#: window (pixels) of the medians along a row or column, from which a response of two exposures is measured
ALONG = 5
#: most terms along rows and columns, and length (pixels) of the cells that test them
MOST_LINES, LENGTH_TO_TEST = 5, 128
#: length where longer cells describe the other halves of cells worse than no term does
SHORT_LENGTH = 32
#: most rounds in which the terms are fitted to what they leave
POLISHING = 3
#: ratio of the heights of traces and of lines across, above which a change of the sky in slits is looked for first
MUCH_CLEARER = 4.0
#: rounds of the fit of a change of the sky in slits, each with the common image of the one before
SLIT_ROUNDS = 3
#: rounds (of `CONTRAST`) of the fit of kernels to a model with such terms, and to one that had kernels before
ROUNDS_AFTER_LINES, LAST_ROUNDS = (0, 3, 4), (3, 4)
#: this share of the pixels, the faintest ones, gives the first levels if lines are found before surfaces
FAINT = 0.25
#: least decrease of chi squared by such a term, in total and for each value
LEAST_LINES, OF_VALUE = 100.0, 2e-4


def find_line_terms(model, open_lines=LINES):
    """Find terms along rows and columns, one after the other.

    A term that raises the misfit is removed again, because a weak regressor contains mostly noise of the exposures.
    """
    open_lines, gains = list(open_lines), None
    left, signal, variance, before = residuals(model)
    while len(model.lines) < MOST_LINES:
        if gains is None:
            gains = _gains_of(model, open_lines, left, signal, variance)
        least = LEAST_LINES + OF_VALUE * left.size
        most, along = map(max, zip(*gains.values(), strict=True)) if gains else (0.0, 0.0)
        # once one term goes on along its rows, the others may describe what it leaves in a part of them
        if most < least or (not model.lines and along < least):
            return
        best = max(gains, key=gains.get)
        without = _terms_of(model)
        model.lines.append(best)
        _add_line(model, best, left, signal, variance)
        found = residuals(model)
        if found[-1] > before:
            model.lines.pop()
            _restore(model, without)
            open_lines.remove(best)
            del gains[best]
        else:
            left, signal, variance, before = found
            gains = None


def _gains_of(model, open_lines, left, signal, variance):
    """Decreases of chi squared by the terms that a model may have, by term; see `_gains`.

    A change of the sky only refines an added level: without one, it would describe a throughput.
    """
    some = [
        one
        for one in open_lines
        if one.name in model.names and (one.setting != "sky" or LineTerm(one.axis, "backgrounds") in model.lines)
    ]
    inside = _without_edges(model, left)
    arrays = [one.arrays(inside, _regressor(model, one, signal), variance, model.courses.get(one.axis)) for one in some]
    return dict(zip(some, zip(*_gains(arrays), strict=True), strict=True))


def _without_edges(model, left):
    """Residuals (N, ny, nx) that are 0 at the edges where not all exposures show the scene, see `incomplete_edges`."""
    edges = incomplete_edges(model.steps, SIZE // 2)
    if edges:
        left = left.copy()
        for edge in edges:
            left[:, *edge] = 0
    return left


def _gains(arrays):
    """Decreases of chi squared by some terms, in all cells and without single cells: see `lines_gain`.

    What a kernel leaves of a tilted line changes its sign along a row, so that long cells do not describe it.
    """
    found = [lines_gain(*one, LENGTH_TO_TEST) for one in arrays]
    if found and min(gain for gain, _ in found) < -LEAST_LINES:
        found = [
            tuple(map(max, one, lines_gain(*of_one, SHORT_LENGTH))) for one, of_one in zip(found, arrays, strict=True)
        ]
    return [gain for gain, _ in found], [along for _, along in found]


def fit_line_terms(model, lines):
    """Fit terms that vary along rows and columns, in place of those that were fitted before."""
    model.gains = model.added = None
    model.lines, model.freedom = [], {}
    if model.sky is not None:
        _set_sky(model, None)
    for line in lines:
        model.lines.append(line)
        if line.setting == "slit":
            _add_slit(model, line)
        else:
            _add_line(model, line, *residuals(model)[:3])


def courses_that_change(model):
    """Courses of tilted and curved lines that change along them, by axis: see `changed_courses`."""
    if "backgrounds" not in model.names:
        return {}
    left, common, variance = residuals_with_hits(model)
    return changed_courses(left, common, variance, LEAST_LINES + OF_VALUE * left.size)


def added_first(lines):
    """The terms with responses last, so that these do not change lines of the sky that differ on their own."""
    return sorted(lines, key=lambda line: line.name == "response")


def find_added_lines_first(model, axes):
    """Find added levels along some axes, before surfaces, kernels and responses.

    Surfaces before them would contain wide lines of the sky, and so would a level of all pixels.
    """
    model.backgrounds = model.first_levels(model.levels, FAINT)
    find_line_terms(model, [one for one in LINES if one.name != "response" and one.axis in axes])
    model.lines_first = True
    # a level is linear between the centres of cells. Along tilted lines, their brightness changes less than it does
    skies = [line for line in model.lines if line.setting == "sky"]
    levels = [line for line in model.lines if line.setting != "sky"]
    missing = sorted({line.axis for line in levels} - {line.axis for line in skies})
    fit_if_better(model, [*skies, *(LineTerm(axis, "sky") for axis in missing), *levels], LEAST_LINES if missing else 0)


def find_response_of_object_first(model):
    """Find the throughput of an object, which leaves the lines across it, before surfaces and kernels.

    A kernel before it would make all of the exposure fainter if the object is.
    """
    model.backgrounds = model.first_levels(model.levels, FAINT)
    find_line_terms(model, [one for one in LINES if one.name == "response"])


def fit_object_and_sky(model, axis):
    """Fit lines of the sky that cross an axis, and the throughput of an object along it, before surfaces and kernels.

    Both differ at once where the sky brightens while the object loses light at the slit. Where a line crosses the
    object, levels alone do not describe the absorption lines of the object, which change with its throughput.
    """
    model.backgrounds = model.first_levels(model.levels, FAINT)
    sky = [LineTerm("y" if axis == "x" else "x", setting) for setting in ("sky", "backgrounds")]
    response = LineTerm(axis, "response")
    fit_line_terms(model, [*sky, response])
    model.sky_along = sky[0].axis


def polish_object_and_sky(model):
    """Fit the terms of `fit_object_and_sky` to what they leave, from the better of two starts."""
    *sky, response = model.lines
    _start_from_whole_object(model, sky, response)
    polish(model)


def _start_from_whole_object(model, sky, response):
    """Fit the terms of the sky and of the object again from a throughput of the whole object, if this is better.

    Rows with little light have no significant throughput of their own. Behind a cloud, they dim as the object does.
    Where the seeing changes, the trace loses light at the slit, and extended emission does not.
    """
    before, lines, terms = criterion(model), list(model.lines), _terms_of(model)
    fit_line_terms(model, sky)
    _fit_object_as_a_whole(model, response)
    _add_line(model, response, *residuals(model)[:3])
    model.lines.append(response)
    if criterion(model) > before:
        model.lines = lines
        _restore(model, terms)


def _fit_object_as_a_whole(model, line):
    """Fit one throughput of the whole object in each exposure, from which those of its rows or columns start."""
    for _ in range(POLISHING):
        left, signal, variance, _ = residuals(model)
        regressor = _object_in(model, signal, line)
        share, _ = fit_whole(*LineTerm(line.crosses, line.setting).arrays(left, regressor, variance))
        _set_response(model, share, regressor, signal)


def fit_if_better(model, lines, by=0.0):
    """Fit terms along rows and columns; restore the earlier ones unless the misfit decreases by more than ``by``."""
    before, earlier, without = misfit(model), model.lines, _terms_of(model)
    fit_line_terms(model, lines)
    if misfit(model) > before - by:
        model.lines = earlier
        _restore(model, without)


def polish(model):
    """Fit the terms along rows and columns to what they leave, as long as this lowers the misfit clearly.

    The common image of the first fits is not corrected for lines that were fitted later. Where lines overlap or move,
    it is wrong, and values that differ from it look hit.
    """
    found, unchanged = residuals(model), set()
    for line in list(dict.fromkeys(model.lines)) * POLISHING:
        # the same fit to the same residuals would be left out again
        if line in unchanged:
            continue
        without = _terms_of(model)
        _add_line(model, line, *found[:3])
        now = differences_and_misfit(model)
        if now[-1] > found[-1] - LEAST_LINES:
            _restore(model, without)
            unchanged.add(line)
        else:
            found = without_hits(model, *now)
            unchanged.clear()


def refine_after_lines(model, rounds=ROUNDS_AFTER_LINES, most=np.inf):
    """Find the kernels, and all other terms after them, of a model with terms along rows and columns.

    It is not fitted further if its criterion exceeds ``most`` after the first round.
    """
    for number in rounds:
        refine(model, CONTRAST[number], LEAST_SHARES[number])
        if number == rounds[0] and most < np.inf and criterion(model) > most:
            return
    fit_if_better(model, model.lines)
    find_line_terms(model)


def find_sky_in_slits(model, first=False, searched=()):
    """Find a change of the sky in slits across traces, such as echelle orders.

    The cells of an added level are longer than such a slit. If it is looked for ``first``, before other terms, there
    must be no lines that go on along the slits, as in a long slit: other terms describe their changes.

    Parameters
    ----------
    model : ExpectedExposures
        It is added to this model.
    first : bool, optional
        Whether it is looked for before other terms.
    searched : sequence of {"x", "y"}, optional
        Axes of traces for which it was looked for already.

    Returns
    -------
    found : bool
        Whether it was found.
    searched : list of str
        Axes of traces for which it was looked for.
    """
    searched = list(searched)
    # the orders may have a response, or seem to be lines of the sky along them
    traces = dict.fromkeys(line.axis for line in model.lines)
    axes = [axis for axis in traces or "xy" if axis not in searched]
    if not axes or "backgrounds" not in model.names or any(line.setting == "slit" for line in model.lines):
        return False, searched
    left, signal, variance, _ = residuals(model)
    heights = {axis: height_of_lines(signal, variance, axis, model.courses.get(axis)) for axis in "xy"}
    for along in axes:
        across = "y" if along == "x" else "x"
        if first and heights[along] <= MUCH_CLEARER * heights[across]:
            continue
        searched.append(along)
        if not traces and heights[along] <= CLEAR:
            continue
        if LineTerm(across, "sky") in model.lines or not has_trace(signal, variance, along, model.courses.get(across)):
            continue
        length = slit_length(moved_back(model, left), signal, variance, across)
        if length:
            return _fit_sky_in_slits(model, LineTerm(across, "slit", length)), searched
    return False, searched


def object_across(model):
    """A term for an object whose throughput changes along its trace, or None if it does not change.

    Terms along rows and columns describe only changes that are smooth along one of the axes, or fill the image.
    """
    if "response" not in model.names:
        return None
    left, signal, variance, _ = residuals(model)
    least = LEAST_LINES + OF_VALUE * left.size
    for line in (LineTerm(axis, "object") for axis in "yx"):
        light = _regressor(model, line, signal)
        # most exposures need no more than this
        if _gain_across(model, line, left, light, variance) < least or not has_trace(
            signal, variance, line.crosses, model.courses.get(line.axis)
        ):
            continue
        if _gain_across(model, line, _changes_along(model, line, left, light, variance), light, variance) > least:
            return line
    return None


def _gain_across(model, line, left, light, variance):
    """Decrease of chi squared by a throughput of the object in each row or column."""
    arrays = line.arrays(left, light, variance, model.courses.get(line.axis))
    return lines_gain(*arrays, light.shape[line.axis == "x"])[0]


def add_object(model, line):
    """Add the throughput of an object to a model, and correct its other terms."""
    model.lines = [*model.lines, line]
    _fit_object(model, line)
    polish(model)


def _fit_sky_in_slits(model, slit):
    """Add a change of the sky in slits to a model, and correct its other terms; whether this is better."""
    before, lines, terms = criterion(model), model.lines, _terms_of(model)
    model.lines = [*lines, slit]
    _add_slit(model, slit)
    for line in lines:
        _add_line(model, line, *residuals(model)[:3])
    if criterion(model) > before:
        model.lines = lines
        _restore(model, terms)
        return False
    return True


def _add_slit(model, slit):
    """Fit a change of the sky in slits, and add it to a model."""
    for _ in range(SLIT_ROUNDS):
        # a line that brightens by a large factor looks like a hit, because it is short
        _add_line(model, slit, *residuals_with_hits(model))


def refine_with_sky(model):
    """Fit the kernels again, after a change of the sky in slits, which comes through them."""
    slit = model.lines[-1]
    refine(model, CONTRAST[-1], LEAST_SHARES[-1])
    _add_line(model, slit, *residuals_with_hits(model))


def _sky_beside(model, line):
    """Whether lines that cross a term have changes of their own, or none, so that the term must not change them."""
    return model.object_alone or any(
        one.axis == line.crosses and one.setting in ("backgrounds", "sky") for one in model.lines
    )


def _changes_along(model, line, left, light, variance):
    """What changes along an object: residuals without the sky across it, and without one throughput of all of it."""
    left = left - np.stack([straight_part(np.nan_to_num(one), line.axis, model.courses.get(line.axis)) for one in left])
    whole, _ = fit_whole(left, light, variance)
    return left - whole * light


def _regressor(model, line, signal):
    """Image (ny, nx) that a term multiplies."""
    if line.setting == "backgrounds":
        return np.ones_like(signal)
    if line.setting == "sky":
        return np.maximum(straight_part(signal, line.axis, model.courses.get(line.axis)), 0)
    if line.setting == "slit":
        noise = np.sqrt(model.variance_of(signal) / len(model.levels))
        return sky_in_slits(signal, noise, line.axis, line.length)
    if line.setting == "object":
        # the sky that fills the slit along the axis stays
        return without_sky(signal, line.axis, model.courses.get(line.axis))
    if len(model.levels) == 2:
        signal = ndimage.median_filter(signal, (1, ALONG) if line.axis == "x" else (ALONG, 1))
    return _object_in(model, signal, line) if _sky_beside(model, line) else signal


def _object_in(model, signal, line):
    """Image (ny, nx) without the lines that cross the rows or columns of a term."""
    return np.maximum(signal - straight_part(signal, line.crosses, model.courses.get(line.crosses)), 0)


def _terms_of(model):
    """What the terms along rows and columns change, see `_restore`."""
    changes = model.changes, model.blurs, model.noises
    return model.gains, model.added, model.sky, model.brightness, dict(model.freedom), changes


def _restore(model, terms):
    """Restore the terms along rows and columns."""
    model.gains, model.added, model.sky, model.brightness, model.freedom, changes = terms
    model.changes, model.blurs, model.noises = changes


def _add_line(model, line, left, signal, variance):
    """Fit a term along rows or columns to what is left, and add it to the model."""
    if line.setting == "object":
        _fit_object(model, line)
        return
    regressor = _regressor(model, line, signal)
    if line.setting == "slit":
        share = _share_of(model, line, moved_back(model, left), regressor, variance) * regressor
        _set_sky(model, share if model.sky is None else model.sky + share)
        return
    share = _share_of(model, line, left, regressor, variance)
    if line.name == "response":
        _set_response(model, share, regressor, signal)
        return
    if line.setting != "backgrounds":
        share = share * regressor
    model.added = share if model.added is None else model.added + share


def _set_sky(model, sky):
    """Change the sky that comes through the optics, and with it what the kernels change."""
    model.sky = sky
    common = model.common(CONTRAST[-1])
    model.change(common, model.variance_of(common))


def _share_of(model, line, left, regressor, variance):
    """Fitted share (N, ny, nx) of the regressor of a term; its number of values is noted in the model."""
    share, freedom = line.fit(left, regressor, variance, model.courses.get(line.axis))
    # a term that is fitted again has the same values
    model.freedom[line] = max(freedom, model.freedom.get(line, 0.0))
    return share


def _fit_object(model, line):
    """Fit the throughput of the object in each row or column to what is left, in rounds, and add it to the model."""
    for contrast in CONTRASTS_OF_OBJECT:
        _fit_object_once(model, line, contrast)


def _fit_object_once(model, line, contrast):
    """Fit the throughput of the object in each row or column to what is left, and add it to the model.

    Where the object is brighter in one exposure, its light is no hit. Values that differ from this by more than a
    share ``contrast`` of the contrast are left out: a hit would look like a brighter object.
    """
    common = model.common(CONTRAST[-1])
    left, variance = differences_of(model, common)
    signal = np.maximum(common, 0)
    regressor = _regressor(model, line, signal)
    left = _changes_along(model, line, left, regressor, variance)
    limit = FAR_FROM_OBJECT * np.sqrt(variance) + np.float32(contrast) * contrast_of(common)
    for i, one in enumerate(left):
        change = change_of_object(one, regressor, variance, line.axis)
        far = dilate(np.abs(one - change) > limit, 1)
        one[far] = change[far]
        if model.bad is not None:
            one[model.bad[i]] = np.nan
    _set_response(model, _share_of(model, line, left, regressor, variance), regressor, signal)


def _set_response(model, share, regressor, signal):
    """Change the throughput along rows and columns by shares of a part of the signal."""
    before = np.float32(0) if model.gains is None else model.gains
    if regressor is not signal:
        # all but the object stays, and so does its noise
        share = share * (regressor / np.maximum(signal, np.maximum(regressor, 1e-6)))
    model.gains = np.maximum(before + share, LEAST_THROUGHPUT - 1)
    model.brightness = regressor
