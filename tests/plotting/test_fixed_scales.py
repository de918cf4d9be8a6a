"""Scales that are drawn faster into files look as those of matplotlib."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.plotting import MaskPanels
from crstack.plotting.fixed_scales import FixedScales, broken_line, round_values, words_of_values


@pytest.fixture(scope="module")
def stack():
    simulated = make_stack("ifu", (60, 80), hit_rate=0.03, seed=4)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stack.detect(aux="pycosmic", boundary=None)
    return stack


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 25, 50], ["0", "25", "50"]),
        ([-0.5, 0, 0.5], ["-0.5", "0.0", "0.5"]),
        ([100.25, 100.5], ["100.25", "100.50"]),
        ([1e6, 2e6], ["1e+06", "2e+06"]),
        ([1, 10, 100], ["1", "10", "100"]),
        ([2.5, 5, 7.5], ["2.5", "5.0", "7.5"]),
        ([1e-4, 2e-4], ["0.0001", "0.0002"]),
        ([7], ["7"]),
        ([], []),
    ],
)
def test_words_of_values(values, words):
    assert words_of_values(np.array(values, float)) == words


def test_round_values_are_within_the_limits():
    np.testing.assert_allclose(round_values(543.5, 575.5, 4, integer=True), [550, 560, 570])
    np.testing.assert_allclose(round_values(0.12, 0.9, 4), [0.2, 0.4, 0.6, 0.8])


def test_segments_are_one_line_with_gaps():
    x, y = broken_line(np.array([[[0, 1], [2, 3]], [[4, 5], [6, 7]]]))
    np.testing.assert_array_equal(x, [0, 2, np.nan, 4, 6, np.nan])
    np.testing.assert_array_equal(y, [1, 3, np.nan, 5, 7, np.nan])
    assert broken_line(np.empty((0, 2, 2))).shape == (2, 0)


def picture(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def artists(figure):
    return [type(one).__name__ for one in figure.findobj() if type(one).__name__ in ("Text", "Line2D")]


def different(one, other):
    """Fraction of the dark pixels of either picture without a dark one nearby in the other."""
    from scipy.ndimage import binary_dilation

    dark = [picture.min(axis=-1) < 100 for picture in (one, other)]
    lost = [a & ~binary_dilation(b, iterations=4) for a, b in (dark, dark[::-1])]
    return max(np.count_nonzero(one) / np.count_nonzero(two) for one, two in zip(lost, dark, strict=True))


@pytest.mark.parametrize("name", ["MEDIANCR", "CRMASK1"])
def test_the_figure_of_a_mask_looks_the_same(stack, name):
    panels = MaskPanels(stack.plot.mask_view(name))
    before = picture(panels.figure)
    kinds = artists(panels.figure)
    with panels.fixed():
        fixed = picture(panels.figure)
    assert different(before, fixed) < 0.01
    # nothing is left of it
    assert artists(panels.figure) == kinds
    np.testing.assert_array_equal(picture(panels.figure), before)


def test_pages_of_hits_look_the_same(stack):
    pages = stack.plot.hits("MEANCRT", semiwindow=6)
    first, second = pages.features["number"][:2]
    expected = [picture(figure) for figure in pages.show(second)]
    pages.show(first)
    with pages._images.fixed(), pages._diagram.fixed():
        pages.show(first)
        found = [picture(figure) for figure in pages.show(second)]
    for one, other in zip(expected, found, strict=True):
        assert different(one, other) < 0.01
    for one, figure in zip(expected, pages.show(second), strict=True):
        np.testing.assert_array_equal(picture(figure), one)


def test_numbers_that_matplotlib_shortens_are_written_in_full():
    figure = Figure()
    axes = figure.add_subplot()
    axes.set(xlim=(0, 4e7), ylim=(100_000.1, 100_000.4), xlabel="x", ylabel="y")
    with FixedScales(figure, [axes]) as scales:
        for side in ("bottom", "left"):
            scales.label_beside(axes, side, scales.set_as(axes, side))
        scales.update()
        words = {text.get_text() for text in figure.texts}
    assert {"1e+07", "4e+07", "100000.10", "100000.40", "x", "y"} <= words
    assert not figure.texts
