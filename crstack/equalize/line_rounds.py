"""Terms along rows and columns of the expected exposures: which are needed, and their values."""

import numpy as np

from crstack._pixels import contrast_of, dilate
from crstack.equalize.expected_exposures import CLIP_SIGMA, CONTRAST
from crstack.equalize.lines import LINES, fit_lines, lines_gain
from crstack.equalize.rounds import refine

__all__ = ["find_line_terms", "fit_line_terms", "fit_lines_first", "misfit"]

#: a value that exceeds both this number of standard deviations and this share of the contrast is hit
HIT, HIT_CONTRAST = 4.0, 0.3
#: most terms along rows and columns, and length (pixels) of the cells that test them
MOST_LINES, LENGTH_TO_TEST = 4, 128
#: least decrease of chi squared by such a term, in total and for each value
LEAST_LINES, OF_VALUE = 100.0, 2e-4


def find_line_terms(model):
    """Find terms along rows and columns, one after the other."""
    for _ in range(MOST_LINES):
        left, signal, variance = _residuals(model)
        open_terms = [one for one in LINES if one.setting in model.names]
        gains = [lines_gain(*one.arrays(left, signal, variance), LENGTH_TO_TEST) for one in open_terms]
        if not gains or max(gains) < LEAST_LINES + OF_VALUE * left.size:
            return
        best = open_terms[int(np.argmax(gains))]
        model.lines.append(best)
        _add_line(model, best, left, signal, variance)


def fit_line_terms(model, lines):
    """Fit terms that vary along rows and columns."""
    for line in lines:
        model.lines.append(line)
        _add_line(model, line, *_residuals(model))


def fit_lines_first(model, lines):
    """Fit added levels along rows and columns before the kernels, and all lines after them."""
    refine(model, CONTRAST[0], with_kernels=False)
    fit_line_terms(model, [one for one in lines if one.setting == "backgrounds"])
    for contrast in CONTRAST:
        refine(model, contrast)
    model.gains = model.added = None
    model.lines = []
    fit_line_terms(model, lines)


def misfit(model):
    """Sum of the squares of what is left, in standard deviations, hits apart."""
    left, _, variance = _residuals(model)
    return float(np.minimum(left**2 / variance, CLIP_SIGMA**2).sum(dtype=np.float64))


def _residuals(model):
    """Residuals (N, ny, nx) at the common level, the common image, not negative, and its variance."""
    common = model.common(CONTRAST[-1])
    signal = np.maximum(common, 0)
    left = np.stack([(level - model.shift(i) - model.scale(i) * common) for i, level in enumerate(model.levels)])
    left /= np.float32(model.factors)[:, None, None]
    variance = model.variance_of(common)
    limit = HIT * np.sqrt(variance) + np.float32(HIT_CONTRAST) * contrast_of(common)
    for i, one in enumerate(left):
        # hits, and their faint rims
        hit = dilate(one > limit, 1)
        one[hit if model.bad is None else hit | model.bad[i]] = 0
    return left, signal, variance


def _add_line(model, line, left, signal, variance):
    share = fit_lines(*line.arrays(left, signal, variance))
    if line.axis == "y":
        share = share.transpose(0, 2, 1)
    if line.setting == "response":
        model.gains = share if model.gains is None else model.gains + share
    else:
        model.added = share if model.added is None else model.added + share
