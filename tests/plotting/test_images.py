"""Figures as images, compared with those in tests/baseline.

After a deliberate change of a figure run ``pytest tests/plotting/test_images.py --mpl-generate-path=tests/baseline``,
and look at each image.
"""

import astropy.units as u
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from crstack.boundaries import PiecewiseBoundary
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.masks import Code
from crstack.methods import DiagramView
from crstack.plotting import MaskView, plot_diagram, plot_flux_factor, plot_mask, plot_median_position, plot_offset

pytest.importorskip("pytest_mpl", reason="pytest-mpl, which compares the images, is not installed")

#: other versions of matplotlib draw the edges of the pixels up to 2.1 elsewhere; another symbol makes 2.5
compare = pytest.mark.mpl_image_compare(
    baseline_dir="baseline", style="default", tolerance=2.2, savefig_kwargs={"dpi": 50}, deterministic=True
)
SHAPE = (60, 80)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)


def figure(size=(8, 6.5)):
    """A figure whose layout does not depend on the size of its letters."""
    fig = Figure(figsize=size, layout="constrained")
    fig.set_layout_engine("none")  # explicit: no default replaces it
    return fig


def bare(fig):
    """Remove letters and legends, which depend on the versions of matplotlib and freetype."""
    fig.draw_without_rendering()  # makes those of the ticks
    for artist in (*fig.findobj(Text), *fig.findobj(Legend)):
        artist.set_visible(False)
    return fig


def ripples(phase):
    """A scene without noise or edges: waves and a bright line."""
    return 40 + 20 * np.sin(X / 7 + phase) * np.cos(Y / 5) + 60 * np.exp(-(((Y - 30) / 6) ** 2))


def make_diagram():
    x_edges, y_edges = np.linspace(0, 200, 41), np.linspace(0, 100, 41)
    x, y = np.meshgrid((x_edges[1:] + x_edges[:-1]) / 2, (y_edges[1:] + y_edges[:-1]) / 2, indexing="ij")
    simulated = np.floor(3000 * np.exp(-x / 60 - (y / (8 + x / 10)) ** 2))
    observed = np.floor(simulated / 3)
    observed[5:9, 30:35] = 2
    return MMDiagram(
        simulated=simulated.astype(int),
        observed=observed.astype(int),
        x_edges=x_edges,
        y_edges=y_edges,
        settings=DiagramSettings(n_simulations=3),
        unit=u.adu,
    )


def make_view():
    min2d, hit = ripples(0), np.zeros(SHAPE, dtype=np.uint8)
    hit[10:13, 10:40] = Code.MMCOSMIC
    hit[11, 11:39] = Code.BOTH
    hit[40:42, 40:60] = Code.AUXILIARY
    hit[44:46, 40:60] = Code.DILATED
    hit[44:58:2, 5:30:2] = Code.GIVEN
    image = min2d + hit * (10 + 5 * np.cos(X))
    boundary = PiecewiseBoundary(fixed_points=[(0, 20), (100, 50), (200, 60)]).fit(make_diagram())
    others = (("mean2d", image * 0.7), ("exposure 1", image), ("exposure 2", min2d), ("exposure 3", min2d + 1))
    decided = DiagramView(min2d, image - min2d, boundary, 10.0, make_diagram())
    return MaskView("MEDIANCR", hit, image, "median2d", min2d, others, u.adu, decided)


@compare
def test_diagram():
    return bare(plot_diagram(make_diagram(), make_view().boundary, threshold=10, fig=figure((8, 4))))


@compare
def test_mask():
    return bare(plot_mask(make_view(), color_scale="minmax", fig=figure()))


@compare
def test_median_position():
    number = (np.sin(X / 7) * 1.5 + 2.5).astype(np.uint8)
    return bare(plot_median_position(number, ripples(0), 3, unit=u.adu, color_scale="minmax", fig=figure((8, 3.5))))


@compare
def test_flux_factor():
    number = np.arange(4000)  # times irrational numbers: even, and not on the edges of the bins
    level = 30 * 20 ** (0.6180339 * number % 1)
    signal = level * (1.2 + (0.7548777 * number % 1 - 0.5) * np.sqrt(30 / level))
    return bare(plot_flux_factor(level, signal, level, 1.2, error=0.01, unit=u.adu, fig=figure((8, 3.5))))


@compare
def test_offset():
    images = ripples(0), ripples(0.3), ripples(0.3)
    return bare(plot_offset(*images, (0.4, -0.1), first=(11, 21), color_scale="minmax", fig=figure()))
