"""The figure of the exposure that is nearest to the median."""

import astropy.units as u
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from crstack.plotting import (
    plot_median_position,
)
from crstack.statistics import exposure_at_median


def test_median_position(stacks):
    stack = stacks[5]
    data, median = stack.exposures.data, stack.statistics.median2d
    number = exposure_at_median(data, median)
    taken = np.take_along_axis(data, number[None].astype(int) - 1, axis=0)[0]
    np.testing.assert_array_equal(taken, median)
    figure = plot_median_position(number, median, 5, unit=u.adu)
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), number)
    small = plot_median_position(number, median, 5, resolution=33)
    np.testing.assert_array_equal(small.axes[1].images[0].get_array(), number[::3, ::3])
    assert small.axes[1].images[0].get_extent() == [0.5, 102.5, 0.5, 81.5]
    assert (small.axes[0].get_xlim(), small.axes[1].get_ylim()) == ((0.5, 100.5), (0.5, 80.5))
    assert f"1: {100 * np.mean(number == 1):.0f}%" in figure.axes[1].get_title()
    bad = np.zeros(data.shape, dtype=bool)
    bad[:, 3, 4] = True
    assert exposure_at_median(data, median, bad)[3, 4] == 0


@pytest.mark.parametrize("shape", [(25, 100), (40, 37), (100, 25)])
@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize("scale", [0.01, 10, 3e4])
def test_the_words_beside_the_colours_are_within_the_figure(shape, n, scale):
    rng = np.random.default_rng(5)
    figure = plot_median_position(rng.integers(1, n + 1, shape), rng.normal(0, scale, shape), n, unit=u.electron)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    ends = [axes.child_axes[0].get_tightbbox(canvas.get_renderer()).x1 for axes in figure.axes]
    assert max(ends) <= figure.bbox.width


def test_parts_of_many_exposures_are_beside_the_colours():
    rng = np.random.default_rng(1)
    number = rng.integers(1, 13, (60, 70))
    figure = plot_median_position(number, rng.normal(10, 1, (60, 70)), 12)
    assert figure.axes[1].get_title() == "exposure at the median"
    bar = figure.axes[1].child_axes[0]
    words = [label.get_text() for label in bar.get_yticklabels()]
    assert words == [f"{i}: {100 * np.mean(number == i):.0f}%" for i in range(1, 13)]
    figure.canvas.draw()
    ends = [label.get_window_extent().x1 for label in (*bar.get_yticklabels(), bar.yaxis.label)]
    assert max(ends) < figure.bbox.x1
