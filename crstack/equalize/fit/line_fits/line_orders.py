"""The order in which terms along rows and columns, surfaces and kernels are fitted: the best of several."""

import copy
from dataclasses import replace

import numpy as np

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.line_fits.line_rounds import (
    FAINT,
    LAST_ROUNDS,
    added_first,
    find_added_lines_first,
    polish,
    refine_after_lines,
)
from crstack.equalize.fit.line_fits.lines_of_model import fit_line_terms
from crstack.equalize.fit.line_fits.needed_lines import MOST_LINES, courses_that_change, find_line_terms, least_decrease
from crstack.equalize.fit.line_fits.object_rounds import (
    ORDERS_OF_SKY,
    add_object,
    find_response_of_object_first,
    fit_object_and_sky,
    object_across,
    polish_object_and_sky,
)
from crstack.equalize.fit.line_fits.slit_rounds import find_sky_in_slits, refine_with_sky
from crstack.equalize.fit.lines.course_of_lines import MORE_OF_ALL
from crstack.equalize.fit.misfit import (
    apart,
    criterion,
    criterion_at_own_level,
    criterion_by_own_noise,
    criterion_by_own_weights,
    misfit,
)
from crstack.equalize.fit.object_part import at_other_places, has_lines, spread_response

__all__ = ["with_lines"]

#: a model without kernels is not fitted further if its criterion exceeds that of another model by these factors: where
#: levels change along both axes or the object dims, and elsewhere
MUCH_WORSE, WORSE = 1.2, 1.02
#: models of an object along either axis, with the terms of the sky in either order, are fitted further if their
#: criterion is at most the lowest one times this factor
ALIKE = 1.02
#: models whose throughputs differ by more than this are compared by other measures
APART = 0.05
#: a model does not describe the exposures if its criterion exceeds this number for each value
UNDESCRIBED = 3.0
#: quantiles of the response, of which one deviates by at least this fraction where an object dims and the sky does not
EXTREMES, DIMMED = (0.005, 0.995), 0.15


def with_lines(model):
    """Add the terms along rows and columns that a model needs, in the best of several orders of the fits.

    Parameters
    ----------
    model : ExpectedExposures
        The fit of kernels and surfaces. It may be changed.

    Returns
    -------
    model : ExpectedExposures
        The same, or another one of the same exposures.
    """
    _follow_lines(model)
    model, searched = _with_lines_after_sky(model)
    # without terms, nothing has changed since the first search
    model, _ = _with_sky_in_slits(model, searched=() if model.lines else searched)
    line = object_across(model)
    return model if line is None else _with_object(model, line)


def _with_lines_after_sky(model):
    """The model with terms along rows and columns, and with a change of the sky in slits before these, if there is one.

    If this does not describe the exposures, what looked like the sky in slits is none. The axes that were searched for
    it are returned too.
    """
    first, searched = _with_sky_in_slits(_copy_of(model), first=True)
    found = _with_lines(first)
    if len(_without_slits(found)) < len(found.lines) and criterion(found) > UNDESCRIBED * model.levels.size:
        return _with_lines(model), ()
    return found, searched


def _with_sky_in_slits(model, first=False, searched=()):
    """The model with a change of the sky in slits, if there is one, and the axes that `find_sky_in_slits` searched.

    The kernels are fitted again after it if these are better: those that were fitted before describe a part of it.
    """
    found, searched = find_sky_in_slits(model, first, searched)
    if not found:
        return model, searched
    other = _copy_of(model)
    refine_with_sky(other)
    return min(model, other, key=criterion), searched


def _follow_lines(model):
    """Let terms along tilted and curved lines, such as those of the sky, follow these where they change."""
    courses = courses_that_change(model)
    if model.start is not None:
        # throughputs that are far from 1 may be those of lines, which then do not change
        plain = _anew(model, None)
        plain.backgrounds = plain.first_levels(plain.levels, FAINT)
        courses = courses_that_change(plain, MORE_OF_ALL) | courses
    if courses:
        model.follow(courses)


def _with_object(model, line):
    """The model, or a better one with the throughput of an object that changes along its trace.

    Kernels and levels that were fitted before describe a part of this change.
    """
    after = _copy_of(model)
    add_object(after, line)
    others = [after] if model.start is not None else [after, _object_first(model, line)]
    for other in others:
        if _describes_more(other, model) and not at_other_places(other):
            model = other
    return model


def _object_first(model, line):
    """A new model with the throughput of an object that changes along its trace, before surfaces and kernels."""
    found = _anew(model, None, object_alone=True)
    find_response_of_object_first(found)
    add_object(found, line)
    return _refined_after_lines(found)


def _with_lines(model):
    """The model with terms along rows and columns."""
    find_line_terms(model)
    # throughputs that are far from 1 are no losses of an object
    if _without_slits(model) and "response" in model.names and model.start is None:
        alone = _object_alone(model, WORSE * criterion(model))
        if _describes_more(alone, model) and not at_other_places(alone):
            return _best_of_orders(model, alone)
    return _best_of_orders(model)


def _without_slits(model):
    """The terms along rows and columns of a model, without a change of the sky in slits, which is found before."""
    return [line for line in model.lines if line.setting != "slit"]


def _best_of_orders(model, alone=None):
    """The best of a model, of others with its terms in other orders, and of one of the object ``alone``."""
    lines = _without_slits(model)
    axes = {line.axis for line in lines if line.name == "backgrounds"}
    if not axes and model.start is None and len(lines) < MOST_LINES:
        return _object_and_sky(alone or model)
    models = [model]
    if axes and added_first(model.lines) != model.lines:
        models.append(copy.copy(model))
        fit_line_terms(models[-1], added_first(model.lines))
    # a kernel does not describe a line of the sky that brightens while the object does not
    if axes:
        models.append(_lines_first(model, axes, model.start))
        refine_after_lines(models[-1])
    best = min(models, key=criterion_by_own_noise if model.start is None else misfit)
    best = alone if alone is not None and _describes_more(alone, best) else best
    others = [_lines_first(model, *one) for one in _other_orders(model, axes)]
    other = min(others, key=ExpectedExposures.misfit, default=best)
    if _may_describe_more(other, best):
        refine_after_lines(other)
        best = other if _describes_more(other, best) else best
    if axes and not (best.lines_first or best.object_alone):
        # kernels that were fitted before these levels describe lines of the sky as well
        refine_after_lines(best, LAST_ROUNDS)
    polish(best)
    return _object_and_sky(best)


def _may_describe_more(other, best):
    """Whether an ``other`` model may describe more than the ``best`` one, once it has kernels as well."""
    if other is best:
        return False
    return _describes_more(other, best) or criterion_by_own_noise(other) < WORSE * criterion_by_own_noise(best)


def _object_and_sky(model):
    """The model, or a better one in which an object along one axis and lines of the sky across it both change."""
    lines = _without_slits(model)
    if not {"response", "backgrounds"} <= model.names or (not lines and model.start is None):
        return model
    least, most = 0.0, MUCH_WORSE
    if {line.axis for line in lines} != {"x", "y"} or all(line.name != "backgrounds" for line in lines):
        # the object alone may change, as behind a cloud, or throughputs along both axes be those of object and sky
        least = least_decrease(model.levels.size)
        if model.gains is None or max(map(abs, np.quantile(model.gains, EXTREMES))) < DIMMED:
            most = WORSE
    other = _best_object_along(model)
    if other is None or criterion(other) > most * criterion(model):
        return model
    # a shift across the rows, which no kernel describes yet, is no response of the rows
    spread_response(other, "y" if other.sky_along == "x" else "x", other.common(CONTRAST[-1]))
    other = _refined_after_lines(other)
    polish(other)
    return other if _describes_more(other, model, least) else model


def _best_object_along(model):
    """The best model of an object along an axis with lines of the sky across it, before kernels; None without lines."""
    common = model.common(CONTRAST[-1])
    variance = model.variance_of(common)
    axes = [axis for axis, across in ("xy", "yx") if has_lines(common, variance, across, model.courses.get(across))]
    if not axes:
        return None
    others = {(axis, ORDERS_OF_SKY[0]): _object_along(model, axis, ORDERS_OF_SKY[0]) for axis in axes}
    # what follows changes the criterion by one or two hundredths
    for axis, _ in _alike(others):
        others[axis, ORDERS_OF_SKY[1]] = _object_along(model, axis, ORDERS_OF_SKY[1])
    others = list(_alike(others).values())
    for one in others:
        polish_object_and_sky(one)
    return min(others, key=criterion)


def _alike(models):
    """Those of some models, a dict, whose criterion is at most the lowest one times `ALIKE`."""
    found = {key: criterion(one) for key, one in models.items()}
    return {key: models[key] for key, one in found.items() if one <= ALIKE * min(found.values())}


def _object_along(model, axis, order):
    """A new model of an object along an axis and lines of the sky across it, before its kernels."""
    found = _anew(model, None, object_alone=True)
    fit_object_and_sky(found, axis, order)
    return found


def _describes_more(one, other, by=0.0):
    """Whether a model describes more than another one, where the measures of the misfit decrease by more than ``by``.

    Models without a start of the throughputs are compared by the sum of two measures of the misfit. If their
    throughputs differ, or one of them has a start, the weights of the exposures in their common images differ. Then the
    measure decides in which each value has the weight of its own noise. Two exposures leave one residual in each pixel,
    and that of hits is most of their misfit. Two of three measures decide there, because each depends on the
    throughputs in another way. Of models of one start, either of two measures decides.
    """
    without_start = (one.start is None) + (other.start is None)
    if without_start == 0:
        return any(measure(one) < measure(other) for measure in (ExpectedExposures.misfit, criterion_by_own_noise))
    if without_start == 2 and apart(one, other) <= APART:
        return sum(measure(one) - measure(other) + by for measure in (criterion, criterion_by_own_noise)) < 0
    if without_start == 2 and len(one.factors) == 2:
        measures = (criterion, criterion_by_own_noise, criterion_at_own_level)
        return sum(measure(one) + by < measure(other) for measure in measures) > 1
    return criterion_by_own_weights(one) + by < criterion_by_own_weights(other)


def _other_orders(model, axes):
    """Further axes and starts, beside the usual ones, for added levels along rows and columns that come first."""
    if not any(line.name == "response" for line in model.lines) and model.start is None:
        return []
    both = {"x", "y"}
    if model.start is None:
        return [] if axes == both else [(both, None)]
    # where lines of the sky dominate the structures, the start is their brightness
    return [(some, None) for some in (axes, both)[axes == both or not axes :]]


def _lines_first(model, axes, start):
    """A new model with added levels along some axes."""
    found = _anew(model, start)
    find_added_lines_first(found, axes)
    return found


def _object_alone(model, most):
    """A new model in which the object has a throughput of its own along rows or columns, and lines across it do not.

    It is not fitted further if its criterion with kernels exceeds ``most``.
    """
    found = _anew(model, None, object_alone=True)
    find_response_of_object_first(found)
    return _refined_after_lines(found, most)


def _refined_after_lines(model, most=np.inf):
    """The model with kernels and all other terms after them, if these are needed; see `refine_after_lines`."""
    before = _copy_of(model)
    refine_after_lines(model, most=most)
    return min(before, model, key=criterion)


def _copy_of(model):
    """A copy of a model, to which terms can be added."""
    other = copy.copy(model)
    other.lines, other.freedom = list(model.lines), dict(model.freedom)
    return other


def _anew(model, start, object_alone=False):
    """The same exposures before the first fit."""
    settings = replace(model.settings, start=start, object_alone=object_alone)
    return ExpectedExposures(model.levels, model.variance_of, model.bad, model.names, settings)
