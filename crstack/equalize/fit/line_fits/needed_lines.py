"""Which terms along rows and columns a model needs."""

from crstack.equalize.fit.kernels.kernel_terms import SIZE
from crstack.equalize.fit.line_fits.lines_of_model import add_line, line_terms_of, regressor_of, restore_line_terms
from crstack.equalize.fit.lines.course_of_lines import MORE, changed_courses
from crstack.equalize.fit.lines.lines import LINES, LineTerm, lines_gain
from crstack.equalize.fit.misfit import residuals, residuals_with_hits
from crstack.equalize.terms.steps import incomplete_edges

__all__ = [
    "LEAST_LINES",
    "MOST_LINES",
    "courses_that_change",
    "find_line_terms",
    "least_decrease",
]

#: least decrease of chi squared by a term along rows or columns, in total and for each value
LEAST_LINES, OF_VALUE = 100.0, 2e-4
#: most terms along rows and columns, and length (pixels) of the cells that test them
MOST_LINES, LENGTH_TO_TEST = 5, 128
#: length where longer cells describe the other halves of cells worse than no term does
SHORT_LENGTH = 32


def least_decrease(number):
    """Least decrease of chi squared by a term along rows or columns, for a number of values."""
    return LEAST_LINES + OF_VALUE * number


def find_line_terms(model, open_lines=LINES):
    """Find terms along rows and columns, one after the other.

    A term that raises the misfit is removed again, because a weak regressor contains mostly noise of the exposures.
    """
    open_lines, gains = list(open_lines), None
    now = residuals(model)
    while len(model.lines) < MOST_LINES:
        if gains is None:
            gains = _gains_of(model, open_lines, now)
        least = least_decrease(now.left.size)
        most, along = map(max, zip(*gains.values(), strict=True)) if gains else (0.0, 0.0)
        # once one term goes on along its rows, the others may describe what it leaves in a part of them
        if most < least or (not model.lines and along < least):
            return
        best = max(gains, key=gains.get)
        without = line_terms_of(model)
        model.lines.append(best)
        add_line(model, best, now)
        after = residuals(model)
        if after.misfit > now.misfit:
            model.lines.pop()
            restore_line_terms(model, without)
            open_lines.remove(best)
            del gains[best]
        else:
            now, gains = after, None


def _gains_of(model, open_lines, now):
    """Decreases of chi squared by the terms that a model may have, by term; see `_gains`.

    A change of the sky only refines an added level: without one, it would describe a throughput.
    """
    some = [
        one
        for one in open_lines
        if one.name in model.names and (one.setting != "sky" or LineTerm(one.axis, "backgrounds") in model.lines)
    ]
    left, signal, variance, _ = now
    inside = _without_edges(model, left)
    arrays = [
        one.arrays(inside, regressor_of(model, one, signal), variance, model.courses.get(one.axis)) for one in some
    ]
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


def courses_that_change(model, more=MORE):
    """Courses of tilted and curved lines that change along them, by axis: see `changed_courses`."""
    if "backgrounds" not in model.names:
        return {}
    left, common, variance, _ = residuals_with_hits(model)
    return changed_courses(left, common, variance, least_decrease(left.size), more=more)
