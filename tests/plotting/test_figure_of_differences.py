"""Figure of what was measured of exposures that differ, by its contents."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from support.stacks import stack_of

from crstack import JointPosterior
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.plotting import plot_differences

FACTORS, OFFSETS = (0.85, 1.0, 1.12), ((0.15, -0.1), (0.0, 0.0), (-0.15, 0.1))


@pytest.fixture(scope="module")
def stack():
    found = stack_of(make_stack("slit", (180, 200), flux_factors=FACTORS, offsets=OFFSETS, seed=4))
    found.detect(JointPosterior())
    return found


def drawn(axes):
    """Values and errors of a panel, by the names of its points."""
    found = {}
    for container in axes.containers:
        line, _, bars = container.lines
        lengths = [(one[1][1] - one[0][1]) / 2 for one in bars[0].get_segments()] if bars else None
        found[container.get_label()] = line.get_ydata(), lengths
    return found


def test_terms_and_their_errors(stack):
    figure = Figure()
    assert stack.plot.differences(fig=figure) is figure
    table = stack.joint_posterior().measured.table()
    above, below = figure.subfigs
    assert [axes.get_title() for axes in above.axes] == ["added level", "throughput", "shift", "second moments"]
    for axes, names in zip(above.axes, (("level",), ("throughput",), ("dx", "dy"), ("xx", "yy", "xy")), strict=True):
        found = drawn(axes)
        assert tuple(found) == names
        for name, (values, errors) in found.items():
            np.testing.assert_allclose(values, table[name])
            if name != "level":
                np.testing.assert_allclose(errors, table[f"{name}_error"], rtol=1e-5)
    titles = [axes.get_title() for axes in below.axes[:3]]
    assert titles == [f"exposure {i} \N{MINUS SIGN} common image" for i in (1, 2, 3)]


def test_images_are_what_each_exposure_is_expected_to_hold_more(stack):
    below = stack.plot.differences().subfigs[1]
    images = [np.asarray(axes.images[0].get_array()) for axes in below.axes[:3]]
    truth = make_stack("slit", (180, 200), flux_factors=FACTORS, offsets=OFFSETS, seed=4).expected
    bright = truth[1] > 500
    for image, factor in zip(images, FACTORS, strict=True):
        assert np.median(image[bright] / truth[1][bright]) == pytest.approx(factor - 1, abs=0.03)


def test_nothing_to_draw():
    equal = stack_of(make_stack("slit", (100, 120), seed=4))
    equal.detect(JointPosterior())
    with pytest.raises(InputError, match="exposures must differ by a measured term for this figure; got none"):
        equal.plot.differences()


def test_blocks(stack):
    measured = stack.joint_posterior().measured
    figure = plot_differences(measured, [np.full((180, 200), one) for one in (-1.0, 0.0, 1.0)], resolution=20)
    images = [axes.images[0].get_array() for axes in figure.subfigs[1].axes[:3]]
    assert max(images[0].shape) <= 20
    assert [float(one.mean()) for one in images] == [-1, 0, 1]
