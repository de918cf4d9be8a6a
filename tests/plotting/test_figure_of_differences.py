"""Figure of what was measured of exposures that differ, by its contents."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable
from matplotlib.figure import Figure
from support.stacks import stack_of

from crstack import JointPosterior
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.plotting import plot_differences
from crstack.plotting.differences import TERMS, _draw_numbers

SHAPE = (120, 140)
FACTORS, OFFSETS = (0.85, 1.0, 1.12), ((0.15, -0.1), (0.0, 0.0), (-0.15, 0.1))


@pytest.fixture(scope="module")
def stack():
    found = stack_of(make_stack("slit", SHAPE, flux_factors=FACTORS, offsets=OFFSETS, seed=4))
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
    above, below = figure.subfigs[0], figure.subfigs[-1]
    assert [axes.get_title() for axes in above.axes] == ["added level", "throughput", "shift", "second moments"]
    for axes, names in zip(above.axes, (("level",), ("throughput",), ("dx", "dy"), ("xx", "yy", "xy")), strict=True):
        found = drawn(axes)
        if not any(table[name].any() for name in names):
            assert axes.texts[0].get_text() == "no difference"
            continue
        assert tuple(found) == names
        for name, (values, errors) in found.items():
            np.testing.assert_allclose(values, table[name])
            if name != "level":
                np.testing.assert_allclose(errors, table[f"{name}_error"], rtol=1e-5)
    titles = [axes.get_title() for axes in below.axes[:3]]
    assert titles == [f"exposure {i}" for i in (1, 2, 3)]
    assert below.get_suptitle() == "Each exposure \N{MINUS SIGN} common image"


@pytest.mark.parametrize(
    ("column", "title"),
    [
        ("pattern", "pattern of the sky"),
        ("hot_pixels", "hot pixels"),
        ("corner_shift", "corner shift"),
        ("corner_moment", "corner moment"),
    ],
    ids=["pattern", "hot", "shift", "moment"],
)
@pytest.mark.parametrize("level", [0.0, 3.0])
def test_a_pattern_and_hot_pixels_have_panels_where_they_differ(column, title, level):
    """An added level that is none because the sky is a pattern refers to it."""
    same = {name: np.zeros(3) for name in ("dx", "dy", "xx", "yy", "xy")}
    table = QTable({"exposure": [1, 2, 3], "level": level * np.arange(3), "throughput": np.ones(3)} | same)
    table[column] = [0.9, 1.4, 0.7]
    figure = Figure()
    _draw_numbers(figure, table)
    assert [axes.get_title() for axes in figure.axes] == [*(title for title, *_ in TERMS), title]
    np.testing.assert_array_equal(drawn(figure.axes[-1])[column][0], table[column])
    words = [text.get_text().replace("\n", " ") for text in figure.axes[0].texts]
    assert words == ([] if level else ["none: see the pattern of the sky" if column == "pattern" else "no difference"])


def test_images_are_what_each_exposure_is_expected_to_hold_more(stack):
    below = stack.plot.differences().subfigs[-1]
    images = [np.asarray(axes.images[0].get_array()) for axes in below.axes[:3]]
    truth = make_stack("slit", SHAPE, flux_factors=FACTORS, offsets=OFFSETS, seed=4).expected
    bright = truth[1] > 500
    for image, factor in zip(images, FACTORS, strict=True):
        assert np.median(image[bright] / truth[1][bright]) == pytest.approx(factor - 1, abs=0.03)


def test_a_term_without_differences_has_no_scale():
    nothing = {name: np.zeros(3) for name in ("dx", "dy", "xx", "yy", "xy")}
    table = QTable({"exposure": [1, 2, 3], "level": [-1.0, 0.0, 1.0], "throughput": np.ones(3)} | nothing)
    figure = Figure()
    _draw_numbers(figure, table)
    level, *others = figure.axes
    assert not level.texts
    assert len(level.get_yticks())
    for axes in others:
        assert [text.get_text() for text in axes.texts] == ["no difference"]
        assert not len(axes.get_xticks())
        assert not len(axes.get_yticks())
        assert not axes.lines


def test_nothing_to_draw():
    equal = stack_of(make_stack("slit", (100, 120), seed=4))
    equal.detect(JointPosterior())
    with pytest.raises(InputError, match="exposures must differ by a measured term for this figure; got none"):
        equal.plot.differences()


@pytest.fixture(scope="module")
def of_sky():
    """A slit whose lines of the sky differ in brightness."""
    found = stack_of(make_stack("slit", SHAPE, sky_factors=(1.0, 1.12, 0.9), seed=4))
    found.detect(JointPosterior())
    return found


def test_spectra_of_what_is_added_and_responses(of_sky):
    measured = of_sky.joint_posterior().measured
    assert len(measured.profiles) == len(measured.lines) > 0
    middle = of_sky.plot.differences().subfigs[1]
    kinds = {(line.setting == "response", line.axis) for line in measured.lines}
    assert len(middle.axes) == len(kinds)
    for axes in middle.axes:
        is_response = axes.get_ylabel() == "response"
        of_columns = axes.get_xlabel() == "X (pixel)"
        assert axes.get_title() == (
            f"{'response' if is_response else 'added level'} of each {'column' if of_columns else 'row'}, mean"
        )
        curves = [line.get_ydata() for line in axes.lines[1:]]
        profile = next(
            one
            for line, one in zip(measured.lines, measured.profiles, strict=True)
            if (line.setting == "response", line.axis) == (is_response, "y" if of_columns else "x")
        )
        np.testing.assert_array_equal(curves, profile)
        assert [len(one) for one in curves] == [SHAPE[1] if of_columns else SHAPE[0]] * 3
    labels = [text.get_text() for text in middle.axes[-1].get_legend().get_texts()]
    assert labels == ["exposure 1", "exposure 2", "exposure 3"]


def test_title_names_each_kind_once(of_sky):
    # lines that differ are fitted twice: in each row alone, and with their neighbours
    measured = of_sky.joint_posterior().measured
    measured = replace(measured, lines=measured.lines * 2, profiles=measured.profiles * 2)
    figure = plot_differences(measured, [np.zeros(SHAPE)] * 3)
    words = figure.get_suptitle().split("\n")[1].split("; ")
    assert sorted(words) == sorted({line.words for line in measured.lines})


@pytest.mark.parametrize(("shape", "number"), [((100, 100), 3), ((100, 100), 6), ((100, 140), 5), ((900, 90), 5)])
def test_images_fill_their_panels(stack, shape, number):
    """Squares leave little room beside them; a narrow image is as wide as its panel."""
    measured = stack.joint_posterior().measured
    figure = plot_differences(measured, [np.full(shape, float(i)) for i in range(number)])
    figure.draw_without_rendering()
    panels = [axes for axes in figure.subfigs[-1].axes if axes.images and axes.get_title()]
    width = sum(axes.get_window_extent().width for axes in panels[: -(-number // (1 + (number > 5)))])
    assert width > 0.65 * figure.bbox.width


def test_profiles_are_the_means_of_the_terms(of_sky):
    measured = of_sky.joint_posterior().measured
    of_columns = [one for line, one in zip(measured.lines, measured.profiles, strict=True) if line.axis == "y"]
    table = measured.table()
    for one, line in zip(measured.profiles, measured.lines, strict=True):
        name = f"{'response' if line.setting == 'response' else 'added'}_along_{line.axis}"
        np.testing.assert_array_equal(table[f"{name}_low"], one.min(axis=1))
        np.testing.assert_array_equal(table[f"{name}_high"], one.max(axis=1))
    # the second exposure has the brightest sky, the third the faintest
    assert of_columns
    for one in of_columns:
        line = np.argmax(np.ptp(one, axis=0))
        assert one[1, line] > one[0, line] > one[2, line]
    backwards = measured.ordered(np.array([2, 1, 0]))
    for one, other in zip(measured.profiles, backwards.profiles, strict=True):
        np.testing.assert_array_equal(one[::-1], other)


def test_added_surfaces():
    _, x = np.mgrid[:200, :210]
    slope = 0.2 * (x - x.mean())
    simulated = make_stack("imaging", (200, 210), backgrounds=[slope + 30, -slope + 30, 0 * slope] * u.electron, seed=4)
    stack = stack_of(simulated)
    stack.detect("mmcosmic", aux=None)
    measured = stack.equalized.measured
    figure = stack.plot.differences()
    assert len(figure.subfigs) == 3
    images = [np.asarray(axes.images[0].get_array()) for axes in figure.subfigs[1].axes[:3]]
    titles = [axes.get_title() for axes in figure.subfigs[1].axes[:3]]
    assert titles == [f"exposure {i}" for i in (1, 2, 3)]
    assert figure.subfigs[1].get_suptitle() == "Smooth added level of each exposure"
    truth = [slope + 10, -slope + 10, 0 * slope - 20]
    for image, surface, expected in zip(images, measured.surface_images((200, 210)), truth, strict=True):
        np.testing.assert_array_equal(image, surface)
        np.testing.assert_allclose(surface, expected, atol=2)
    table = measured.table()
    np.testing.assert_allclose(table["surface_high"][:2] - table["surface_low"][:2], 0.2 * 210 * 2 / 3, rtol=0.1)
    units = [axes.get_ylabel() for axes in figure.subfigs[1].axes[3:]]
    assert "added level (electron)" in units or any(
        child.get_ylabel() == "added level (electron)" for axes in figure.subfigs[1].axes for child in axes.child_axes
    )


def test_many_exposures_are_in_several_rows():
    simulated = make_stack("imaging", (64, 70), 7, sky_factors=np.linspace(1, 2, 7), seed=4)
    stack = stack_of(simulated)
    stack.detect(JointPosterior())
    panels = [axes for axes in stack.plot.differences().subfigs[-1].axes if axes.images and axes.get_title()]
    assert len(panels) == 7
    assert len({round(axes.get_position().y0, 3) for axes in panels}) == 2
    # the lowest panel of each column has the label of the axis
    labelled = [bool(axes.get_xlabel()) for axes in panels]
    across = len({round(axes.get_position().x0, 3) for axes in panels})
    assert labelled == [False] * (7 - across) + [True] * across


@pytest.mark.parametrize("number", [2, 5, 6])
def test_titles_of_panels_do_not_overlap(stack, number):
    measured = stack.joint_posterior().measured
    figure = plot_differences(measured, [np.full(SHAPE, float(i)) for i in range(number)])
    figure.draw_without_rendering()
    panels = [axes for axes in figure.subfigs[-1].axes if axes.images and axes.get_title()]
    assert len(panels) == number
    boxes = [axes.title.get_window_extent() for axes in panels]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    # rows differ by one panel at most
    rows = np.unique([round(axes.get_position().y0, 3) for axes in panels], return_counts=True)[1]
    assert np.ptp(rows) <= 1


def test_blocks(stack):
    measured = stack.joint_posterior().measured
    figure = plot_differences(measured, [np.full(SHAPE, one) for one in (-1.0, 0.0, 1.0)], resolution=20)
    images = [axes.images[0].get_array() for axes in figure.subfigs[-1].axes[:3]]
    assert max(images[0].shape) <= 20
    assert [float(one.mean()) for one in images] == [-1, 0, 1]
