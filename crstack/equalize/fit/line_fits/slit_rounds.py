"""Rounds of the fit of a change of the sky in slits across traces, such as echelle orders."""

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.line_fits.lines_of_model import add_line, add_slit, line_terms_of, restore_line_terms
from crstack.equalize.fit.lines.lines import LineTerm
from crstack.equalize.fit.lines.slit_sky import slit_length
from crstack.equalize.fit.misfit import criterion, moved_back, residuals, residuals_with_hits
from crstack.equalize.fit.object_part import CLEAR, has_trace, height_of_lines
from crstack.equalize.fit.rounds import LEAST_SHARES, refine

__all__ = [
    "find_sky_in_slits",
    "refine_with_sky",
]

#: ratio of the heights of traces and of lines across, above which a change of the sky in slits is looked for first
MUCH_CLEARER = 4.0


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


def _fit_sky_in_slits(model, slit):
    """Add a change of the sky in slits to a model, and correct its other terms; whether this is better."""
    before, lines, terms = criterion(model), model.lines, line_terms_of(model)
    model.lines = [*lines, slit]
    add_slit(model, slit)
    for line in lines:
        add_line(model, line, residuals(model))
    if criterion(model) > before:
        model.lines = lines
        restore_line_terms(model, terms)
        return False
    return True


def refine_with_sky(model):
    """Fit the kernels again, after a change of the sky in slits, which comes through them."""
    slit = model.lines[-1]
    refine(model, CONTRAST[-1], LEAST_SHARES[-1])
    add_line(model, slit, residuals_with_hits(model))
