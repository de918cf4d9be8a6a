"""Figures show the given results, and have no other effect."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from crstack.boundaries import PiecewiseBoundary, SplineBoundary
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.exceptions import InputError
from crstack.plotting import plot_diagram, save_figure
from crstack.plotting.mask import MaskPanels


@pytest.fixture
def diagram():
    simulated, observed = np.zeros((100, 100), dtype=int), np.zeros((100, 100), dtype=int)
    for column in range(100):
        height = 10 + column // 2
        simulated[column, :height] = np.linspace(500, 1, height).astype(int)
        observed[column, : height - 3] = 20
    observed[30, 90] = 1
    edges = np.linspace(-10, 190, 101), np.linspace(0, 100, 101)
    return MMDiagram(simulated, observed, *edges, DiagramSettings(n_simulations=10), u.adu)


def labels(axes):
    return axes.get_legend_handles_labels()[1]


def test_panels_and_curves(diagram):
    boundary = SplineBoundary(n_extensions=3, fixed_points=[(50, 60), (80, 70, 2)]).fit(diagram)
    figure = plot_diagram(diagram, boundary, threshold=10.2)
    assert isinstance(figure, Figure)
    left, right = figure.axes[:2]
    assert (left.get_xlabel(), right.get_xlabel()) == ("min2d (adu)",) * 2
    assert left.get_ylabel() == "median2d \u2212 min2d (adu)"
    expected = ["boundary points", "first fit", "extension 1", "extension 2", "boundary", "fixed points", "threshold"]
    for axes in (left, right):
        assert labels(axes) == expected
        assert axes.get_xlim() == (-10, 190)
        assert axes.get_ylim() == (0, 100)
    lines = dict(zip(expected, left.lines, strict=True))
    np.testing.assert_array_equal(lines["boundary"].get_ydata()[1:-1], boundary.y)
    assert lines["boundary"].get_xdata()[-1] == 190
    np.testing.assert_array_equal(lines["first fit"].get_ydata()[1:-1], boundary.extensions[0])
    np.testing.assert_array_equal(lines["fixed points"].get_xydata(), [(50, 60), (80, 70)])
    assert lines["threshold"].get_ydata()[0] == 10.2


def test_counts_and_colours(diagram):
    figure = plot_diagram(diagram)
    left, right = (axes.images[0] for axes in figure.axes[:2])
    np.testing.assert_allclose(np.ma.filled(left.get_array(), 0), diagram.simulated.T / 10)
    np.testing.assert_array_equal(np.ma.filled(right.get_array(), 0), diagram.observed.T)
    assert right.get_array().mask[95, 30]  # empty: white
    assert figure.axes[0].get_title() == "simulated: mean of 10 simulations"
    # of equal exposures, more are drawn
    of_equal = plot_diagram(replace(diagram, oversampling=3)).axes[0]
    np.testing.assert_allclose(np.ma.filled(of_equal.images[0].get_array(), 0), diagram.simulated.T / 30)
    assert of_equal.get_title() == "simulated: mean of 30 simulations"

    def is_grey(count):
        red, green, blue, _ = left.to_rgba(count)
        return red == pytest.approx(green) == pytest.approx(blue)

    assert is_grey(0.1)
    assert is_grey(0.9)
    assert not is_grey(1)
    assert not is_grey(50)
    assert (left.norm.vmin, left.norm.vmax) == (right.norm.vmin, right.norm.vmax)


def test_legend_is_off_the_panels(diagram):
    figure = plot_diagram(diagram, SplineBoundary().fit(diagram), threshold=3)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert legend.y0 >= 0
    for axes in figure.axes:
        assert not axes.get_tightbbox().overlaps(legend)


def test_piecewise_single_simulation_and_given_figure(diagram):
    one = MMDiagram(
        diagram.simulated, diagram.observed, diagram.x_edges, diagram.y_edges, DiagramSettings(n_simulations=1), u.adu
    )
    given = Figure()
    boundary = PiecewiseBoundary([(0, 20), (100, 50)]).fit(None)
    figure = plot_diagram(one, boundary, fig=given)
    assert figure is given
    assert labels(figure.axes[0]) == ["boundary points", "boundary", "fixed points"]
    figure.draw_without_rendering()


def test_fixed_points_outside_are_shown(diagram):
    figure = plot_diagram(diagram, PiecewiseBoundary([(-100, 20), (400, 50)]).fit(None))
    assert figure.axes[0].get_xlim() == (-110, 410)


def test_empty_diagram(diagram):
    nothing = np.zeros((100, 100), dtype=int)
    empty = MMDiagram(nothing, nothing, diagram.x_edges, diagram.y_edges, DiagramSettings(), u.electron)
    figure = plot_diagram(empty)
    figure.draw_without_rendering()
    assert "electron" in figure.axes[0].get_xlabel()
    assert figure.legends == []


def test_inputs_are_left_alone(diagram):
    before = diagram.simulated.copy(), diagram.observed.copy()
    plot_diagram(diagram, SplineBoundary().fit(diagram))
    np.testing.assert_array_equal(before, (diagram.simulated, diagram.observed))


def test_pyplot_is_not_loaded():
    """In another process, because another test may have loaded it in this one."""
    script = """
import sys
import astropy.units as u
import numpy as np
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.plotting import plot_diagram
edges, counts = np.linspace(0, 100, 101), np.ones((100, 100), dtype=int)
plot_diagram(MMDiagram(counts, counts, edges, edges, DiagramSettings(), u.adu))
assert "matplotlib.figure" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_save_figure(diagram, tmp_path):
    path = tmp_path / "diagram.png"
    save_figure(plot_diagram(diagram), path)
    assert matplotlib.image.imread(path).shape[:2] == (930, 1800)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="must be a directory that can be written"):
        save_figure(plot_diagram(diagram), tmp_path / "none" / "diagram.png")


def test_points_per_pixel():
    """Of a panel of 2 x 3 inches with 20 x 10 pixels: 7.2 points across, 21.6 up."""
    figure = Figure(figsize=(4, 6))
    panel = figure.add_axes((0.25, 0.25, 0.5, 0.5))
    drawn = SimpleNamespace(axes=(None, None, panel), figure=figure)
    panel.set(xlim=(30, 50), ylim=(100, 110))
    assert MaskPanels._points_per_pixel(drawn) == pytest.approx(7.2)
    panel.set(xlim=(0, 2), ylim=(100, 140))
    assert MaskPanels._points_per_pixel(drawn) == pytest.approx(72 * 3 / 40)
