"""Rounds of the fit of an object whose throughput changes along its trace, apart from the sky across it."""

from crstack.equalize.fit.line_fits.line_rounds import FAINT, polish
from crstack.equalize.fit.line_fits.lines_of_model import (
    changes_along,
    fit_line_terms,
    fit_object,
    line_terms_of,
    regressor_of,
    restore_line_terms,
)
from crstack.equalize.fit.line_fits.needed_lines import find_line_terms, least_decrease
from crstack.equalize.fit.lines.lines import LINES, LineTerm, lines_gain
from crstack.equalize.fit.misfit import criterion, residuals
from crstack.equalize.fit.object_part import has_trace

__all__ = [
    "ORDERS_OF_SKY",
    "add_object",
    "find_response_of_object_first",
    "fit_object_and_sky",
    "object_across",
    "polish_object_and_sky",
]

#: orders in which the brightness of lines of the sky and an added level are fitted. Where the lines move, their
#: brightness describes little before the level of each column
ORDERS_OF_SKY = ("sky", "backgrounds"), ("backgrounds", "sky")


def object_across(model):
    """A term for an object whose throughput changes along its trace, or None if it does not change.

    Terms along rows and columns describe only changes that are smooth along one of the axes, or fill the image.
    """
    if "response" not in model.names:
        return None
    left, signal, variance, _ = residuals(model)
    least = least_decrease(left.size)
    for line in (LineTerm(axis, "object") for axis in "yx"):
        light = regressor_of(model, line, signal)
        # most exposures need no more than this
        if _gain_across(model, line, left, light, variance) < least or not has_trace(
            signal, variance, line.crosses, model.courses.get(line.axis)
        ):
            continue
        if _gain_across(model, line, changes_along(model, line, left, light, variance), light, variance) > least:
            return line
    return None


def _gain_across(model, line, left, light, variance):
    """Decrease of chi squared by a throughput of the object in each row or column."""
    arrays = line.arrays(left, light, variance, model.courses.get(line.axis))
    return lines_gain(*arrays, light.shape[line.axis == "x"])[0]


def add_object(model, line):
    """Add the throughput of an object to a model, and correct its other terms."""
    model.lines = [*model.lines, line]
    fit_object(model, line)
    polish(model)


def find_response_of_object_first(model):
    """Find the throughput of an object, which leaves the lines across it, before surfaces and kernels.

    A kernel before it would make all of the exposure fainter if the object is.
    """
    model.backgrounds = model.first_levels(model.levels, FAINT)
    find_line_terms(model, [one for one in LINES if one.name == "response"])


def fit_object_and_sky(model, axis, order):
    """Fit lines of the sky that cross an axis, and the throughput of an object along it, before surfaces and kernels.

    The ``order`` of the settings of the terms of the lines is one of `ORDERS_OF_SKY`.

    Both differ at once where the sky brightens while the object loses light at the slit. Where a line crosses the
    object, levels alone do not describe the absorption lines of the object, which change with its throughput.
    """
    model.backgrounds = model.first_levels(model.levels, FAINT)
    sky = [LineTerm("y" if axis == "x" else "x", setting) for setting in order]
    response = LineTerm(axis, "response")
    fit_line_terms(model, [*sky, response])
    model.sky_along = sky[0].axis


def polish_object_and_sky(model):
    """Fit the terms of `fit_object_and_sky` to what they leave, with that of the whole object if it is needed."""
    *sky, response = model.lines
    _with_whole_object(model, sky, response)
    polish(model)


def _with_whole_object(model, sky, response):
    """Fit the terms of the sky and of the object again, with a throughput of the whole object, if this is better.

    Rows with little light have no significant throughput of their own. Behind a cloud, they dim as the object does.
    Where the seeing changes, the trace loses light at the slit, and extended emission does not.
    """
    before, lines, terms = criterion(model), list(model.lines), line_terms_of(model)
    fit_line_terms(model, [*sky, LineTerm(response.axis, "whole"), response])
    if criterion(model) > before:
        model.lines = lines
        restore_line_terms(model, terms)
