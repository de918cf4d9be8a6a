"""Rounds of the fit of terms along rows and columns, before and after kernels and surfaces."""

import numpy as np

from crstack.equalize.fit.common_image import CONTRAST
from crstack.equalize.fit.line_fits.lines_of_model import add_line, fit_line_terms, line_terms_of, restore_line_terms
from crstack.equalize.fit.line_fits.needed_lines import LEAST_LINES, find_line_terms, least_decrease
from crstack.equalize.fit.lines.lines import LINES, LineTerm
from crstack.equalize.fit.misfit import criterion, differences_and_misfit, misfit, residuals, without_hits
from crstack.equalize.fit.rounds import LEAST_SHARES, refine

__all__ = [
    "FAINT",
    "LAST_ROUNDS",
    "POLISHING",
    "added_first",
    "find_added_lines_first",
    "polish",
    "refine_after_lines",
]

#: most rounds in which the terms are fitted to what they leave
POLISHING = 3
#: rounds (of `CONTRAST`) of the fit of kernels to a model with such terms, and to one that had kernels before
ROUNDS_AFTER_LINES, LAST_ROUNDS = (0, 3, 4), (3, 4)
#: this share of the pixels, the faintest ones, gives the first levels if lines are found before surfaces
FAINT = 0.25


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


def fit_if_better(model, lines, by=0.0):
    """Fit terms along rows and columns; restore the earlier ones unless the misfit decreases by more than ``by``."""
    before, earlier, without = misfit(model), model.lines, line_terms_of(model)
    fit_line_terms(model, lines)
    if misfit(model) > before - by:
        model.lines = earlier
        restore_line_terms(model, without)


def polish(model):
    """Fit the terms along rows and columns to what they leave, as long as this lowers the misfit clearly.

    The common image of the first fits is not corrected for lines that were fitted later. Where lines overlap or move,
    it is wrong, and values that differ from it look hit.
    """
    found, unchanged, least = residuals(model), set(), least_decrease(np.prod(model.levels.shape))
    for line in list(dict.fromkeys(model.lines)) * POLISHING:
        # the same fit to the same residuals would be left out again
        if line in unchanged:
            continue
        without = line_terms_of(model)
        add_line(model, line, found)
        now = differences_and_misfit(model)
        if now.misfit > found.misfit - least:
            restore_line_terms(model, without)
            unchanged.add(line)
        else:
            found = without_hits(model, now)
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
