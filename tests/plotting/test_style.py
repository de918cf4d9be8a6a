"""Limits, labels, means of blocks and keys that all figures share."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import Code
from crstack.plotting.hit_scale import set_hit_limits
from crstack.plotting.style import block_means, free_spots, image_limits
from crstack.plotting.symbols import SYMBOLS, draw_key, key_of_codes, words_of, words_of_codes


def test_means_of_blocks():
    image = np.arange(35, dtype=np.float32).reshape(5, 7)
    assert block_means(image, 1) is image
    means = block_means(image, 3)
    assert means.shape == (2, 3)
    assert (means[0, 0], means[1, 2]) == (image[:3, :3].mean(), image[3:, 6:].mean())
    image[0, 0] = image[3:, 6] = np.nan
    means = block_means(image, 3)
    assert means[0, 0] == np.nanmean(image[:3, :3])
    assert np.isnan(means[1, 2])


def test_limits():
    axes = Figure().subplots()
    set_hit_limits(axes, np.array([0.0, 10.0]), np.array([1.0, 5.0]))
    assert axes.get_yscale() == "linear"
    boundary = type("Boundary", (), {"y": np.array([10.0, 20.0])})
    set_hit_limits(axes, np.array([0.0, 10.0]), np.array([1.0, 5000.0]), None, boundary)
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim()[1] > 5000
    set_hit_limits(Figure().subplots(), np.array([]), np.array([]))


@pytest.mark.parametrize(
    ("x", "y", "edges", "xlim", "ylim"),
    [
        # without a diagram the limits are those of the hits, with 3 % beside them
        ((20, 30, np.nan), (1, 5, np.nan), None, (19.7, 30.3), (0, 5.25)),
        ((20, 30), (-1, 5), None, (19.7, 30.3), (-1.1, 5.25)),
        # bright pixels of the diagram would compress the hits: half of their range is added
        ((20, 30), (1, 5), (0, 1000, 10), (-1.05, 36.05), (0, 10.5)),
        # it is seen as a whole where the hits are brighter, and where there are none
        ((20, 30), (1, 5), (0, 25, 10), (-0.9, 30.9), (0, 10.5)),
        ((-50, 30), (1, 5), (0, 25, 10), (-52.4, 32.4), (0, 10.5)),
        ((), (), (0, 1000, 10), (-30, 1030), (0, 10.5)),
        # one value has no range
        ((20,), (5,), None, (19, 21), (0, 5.25)),
        # the logarithmic part begins where the diagram ends
        ((20, 30), (1, 500), (0, 1000, 10), (-1.05, 36.05), (0, 750)),
    ],
)
def test_limits_by_hand(x, y, edges, xlim, ylim):
    axes = Figure().subplots()
    diagram = edges and SimpleNamespace(x_edges=np.array(edges[:2]), y_edges=np.array([0, edges[2]]))
    above = set_hit_limits(axes, np.array(x, dtype=float), np.array(y, dtype=float), diagram)
    np.testing.assert_allclose([axes.get_xlim(), axes.get_ylim()], [xlim, ylim], rtol=1e-9)
    assert above == (10 if max(y, default=0) == 500 else None)


def test_free_spots():
    axes = Figure().subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    x, y = np.array([0.5, 0.501, 0.5, 2.0, 0.9]), np.array([0.5, 0.5, 0.9, 0.5, 0.1])
    assert free_spots(axes, x, y, ["1", "2", "3", "4", "5"], 10) == [0, 2, 4]
    assert free_spots(axes, x, y, ["1", "2", "3", "4", "5"], 2) == [0, 2]


def test_image_limits():
    image = np.arange(100.0).reshape(10, 10)
    image[0, 0] = np.nan
    assert image_limits(image, "minmax") == (1, 99)
    low, high = image_limits(np.full((5, 5), 3.0), "zscale")
    assert low < 3 < high
    assert image_limits(np.full((2, 2), np.nan)) == (0, 1)
    with pytest.raises(InputError, match="color_scale must be one of zscale, minmax; got 'log'"):
        image_limits(image, "log")


def test_legend_tells_who_decided():
    simulated = make_stack("slit", shape=(60, 80), hit_rate=0.03, seed=4)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stack.detect(method=JointPosterior())
    figure = stack.plot.mask("CRMASK1")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["joint decision"]
    images, _ = stack.plot.hits("CRMASK1").show(1)
    assert "joint decision" in [text.get_text() for text in images.texts]


def test_only_is_said_where_something_else_was_compared():
    assert words_of_codes({Code.DILATED, Code.MMCOSMIC}, "joint decision") == {
        Code.DILATED: "dilation",
        Code.MMCOSMIC: "joint decision",
    }
    words = words_of_codes({Code.MMCOSMIC, Code.BOTH}, "joint decision")
    assert words == {Code.MMCOSMIC: "joint decision only", Code.BOTH: "both"}


def test_who_flagged_what_has_the_colour_of_each_code(stacks):
    stack = stacks[3]
    stack.detect(aux="pycosmic")
    images, _ = stack.plot.hits("MEANCRT").show(1)
    drawn = next(axes.images[0] for axes in images.axes if axes.get_title() == "flagged by")
    for code in Code:
        colour = SYMBOLS[code][1] if code else "#ffffff"
        assert to_hex(drawn.cmap(drawn.norm(int(code)))) == colour


def test_entries_of_a_key_stand_side_by_side():
    """In the middle, each after the one before, by the length of its words."""
    figure = Figure((10, 5))
    draw_key(
        figure, [("ten letter", {"marker": "o"}), ("twenty letters in it", {}), ("one", {"marker": "x"})], 0.5, 0.9
    )
    places = [text.get_position() for text in figure.texts]
    sizes = np.array([0.45 + 0.062 * len(text.get_text()) for text in figure.texts]) / 10
    starts = 0.5 - sizes.sum() / 2 + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    np.testing.assert_allclose([x for x, _ in places], starts + 0.03)
    assert {y for _, y in places} == {0.9}
    ends = [np.asarray(line.get_xdata()) for line in figure.artists]
    np.testing.assert_allclose(
        np.concatenate(ends), [starts[0] + 0.011, starts[1], starts[1] + 0.022, starts[2] + 0.011]
    )


def test_a_key_has_the_codes_that_occur():
    codes = np.array([Code.MMCOSMIC, Code.MMCOSMIC, Code.DILATED])
    words = [text for text, _ in key_of_codes(codes, "M.M.Cosmic")]
    assert set(words) == {"M.M.Cosmic", "dilation"}
    words = [text for text, _ in key_of_codes(np.append(codes, Code.BOTH), "M.M.Cosmic")]
    assert set(words) == {words_of(Code.MMCOSMIC), words_of(Code.DILATED), "both"}
