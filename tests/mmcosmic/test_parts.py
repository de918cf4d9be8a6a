"""The pixels of the diagram, and its small parts."""

import astropy.units as u
import numpy as np
import pytest

from crstack.diagram import DiagramSettings, make_diagram
from crstack.exceptions import InputError
from crstack.statistics import OrderStatistics, order_statistics


class Sampler:
    """A sampler without draws: its reach is 10 beside each value, and its counts are its arguments."""

    oversampling = 3
    unit = u.adu

    def coordinates(self, x, y):
        return x, y

    def reach(self, signal):
        return signal - 10, signal + 10, 20.0 + signal / 10

    def histogram(self, number, x_edges, y_edges, progress=None):
        return np.full((len(x_edges) - 1, len(y_edges) - 1), number)


@pytest.fixture
def statistics():
    rng = np.random.default_rng(1)
    cube = rng.uniform(0, 100, (3, 20, 30)).astype(np.float32)
    return order_statistics(cube, 2)


def make(statistics, used=None, **settings):
    options = {name: settings.pop(name) for name in ("shifted",) if name in settings}
    used = np.ones(statistics.min2d.shape, dtype=bool) if used is None else used
    return make_diagram(Sampler(), statistics, used, DiagramSettings(**settings), **options)


def test_axes_reach_what_is_drawn(statistics):
    diagram = make(statistics, n_simulations=4)
    top = float(statistics.min2d.max())
    assert (diagram.x_edges[0], diagram.x_edges[-1]) == (-10, pytest.approx(top + 10))
    assert diagram.y_edges[0] == 0
    assert len(diagram.x_edges) == len(diagram.y_edges) == 101
    # simulations times the sets that the sampler draws for each
    assert diagram.n_sets == 12
    assert (diagram.simulated == 12).all()
    # offsets double the length of the axis; given fixed points and settings replace this
    assert make(statistics, shifted=True).y_edges[-1] == pytest.approx(2 * diagram.y_edges[-1])
    assert make(statistics, y_floor=1000.0).y_edges[-1] > 1000
    assert make(statistics, y_max=33.0, y_floor=1000.0).y_edges[-1] == 33
    limited = make(statistics, x_min=-3.0, x_max=44.0)
    assert (limited.x_edges[0], limited.x_edges[-1]) == (-3, 44)
    with pytest.raises(InputError, match="x_min and x_max must leave part of the axis"):
        make(statistics, x_min=500.0)


def test_the_axis_is_that_of_the_pixels_that_are_used(statistics):
    used = np.zeros(statistics.min2d.shape, dtype=bool)
    used[3:5, 4:8] = True
    assert make(statistics, used).x_edges[-1] == pytest.approx(statistics.min2d[used].max() + 10)


def test_all_pixels_are_observed_but_those_without_value(statistics):
    """Pixels that the auxiliary detector flags are in the observed diagram too."""
    min2d, median2d = statistics.min2d.copy(), statistics.median2d.copy()
    min2d[0, :7] = median2d[0, :7] = np.nan
    holes = OrderStatistics(min2d, median2d, statistics.mean2d, statistics.max2d, statistics.count, 2)
    used = np.isfinite(min2d)
    used[10:] = False
    diagram = make(holes, used, y_max=500.0, x_max=200.0)
    assert diagram.observed.sum() == 600 - 7
    x, y = min2d[np.isfinite(min2d)], (median2d - min2d)[np.isfinite(min2d)]
    expected, _, _ = np.histogram2d(x, y, bins=(diagram.x_edges, diagram.y_edges))
    # values beside an edge may fall to either side
    assert np.abs(diagram.observed - expected).sum() <= 4
