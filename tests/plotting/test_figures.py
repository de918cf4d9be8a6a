"""Figures of masks and hits by their contents; windows by events."""

import re
from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from crstack import CRStack, JointPosterior, SplineBoundary
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import Code, MaskSet
from crstack.plotting import (
    MaskPanels,
    hit_images,
    mask,
    plot_diagram,
    plot_hits,
    plot_mask,
    plot_median_position,
    save_figure,
)
from crstack.plotting.hit_scale import set_hit_limits
from crstack.plotting.hits import first_hits
from crstack.plotting.interactive import DiagramWindow, QuestionWindow, Window, has_display
from crstack.plotting.interactive_mask import MaskWindow, VerifyWindow
from crstack.plotting.rasters import cell_counts, cells_in_axes
from crstack.plotting.style import block_means, free_spots, image_limits
from crstack.plotting.symbols import SYMBOLS, draw_key, key_of_codes, words_of, words_of_codes
from crstack.stages.views import image_of_mask
from crstack.statistics import exposure_at_median


@pytest.fixture(scope="module")
def stacks():
    made = {}
    for n in (3, 5):
        simulated = make_stack("ifu", (80, 100), n, hit_rate=0.03, seed=4)
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
        made[n] = decided(stack)
    return made


def decided(stack):
    """The stack, whose latest diagram, boundary and masks are these; it stores them."""
    stack.mm_diagram(aux="pycosmic", n_simulations=3)
    stack.fit_boundary(SplineBoundary(fixed_points=[(20, 80), (200, 120)]))
    stack.detect(aux="pycosmic")
    return stack


@pytest.fixture
def stack(stacks):
    # whatever the test before it has decided
    return decided(stacks[3])


def same_fits(boundary, other):
    np.testing.assert_array_equal(boundary.y, other.y)


# four panels


@pytest.mark.parametrize("name", ["MEDIANCR", "MEANCRT", "CRMASK2", "MEANCR"])
def test_panels_hold_every_flagged_pixel(stack, name):
    panels = MaskPanels(stack.plot.mask_view(name))
    masks = stack.detect(aux="pycosmic")
    label, image = image_of_mask(name, stack.prepared, lambda: masks)
    a, b, c, _ = panels.axes
    assert a.get_ylabel() == f"{label} \N{MINUS SIGN} min2d (adu)"
    assert a.get_xlabel() == b.get_xlabel() == "min2d \N{MINUS SIGN} bias (adu)"
    lines = {line.get_label(): line for line in (*a.lines, *c.lines) if line.get_label()[0] != "_"}
    drawn = np.zeros(masks.shape, dtype=np.uint8)
    for code, line in panels.symbols.items():
        x, y = line.get_data()
        drawn[np.asarray(y, int) - 1, np.asarray(x, int) - 1] = code
    np.testing.assert_array_equal(drawn, masks.codes[name])
    for code, (marker, colour, _) in SYMBOLS.items():
        in_a = next(line for line in a.lines if line.get_label() == words_of(code))
        y, x = np.nonzero(masks.codes[name] == code)
        min2d = stack.statistics.min2d[y, x]
        np.testing.assert_allclose(in_a.get_xdata(), min2d)
        np.testing.assert_allclose(in_a.get_ydata(), image[y, x] - min2d)
        assert (in_a.get_marker(), to_hex(in_a.get_color())) == (marker, colour)
    limits = {"boundary", "threshold"} & set(lines)
    # no boundary decides on MEANCR
    assert limits == (set() if name == "MEANCR" else {"boundary", "threshold"})
    np.testing.assert_array_equal(panels.images[0].get_array(), image)
    assert panels.images[0].get_extent() == [0.5, 100.5, 0.5, 80.5]
    (left, right), (bottom, top) = a.get_xlim(), a.get_ylim()
    pixels = panels.view.pixels
    for name, low, high in (("min2d", left, right), ("excess", bottom, top)):
        assert pixels[name].min(initial=low) >= low
        assert pixels[name].max(initial=high) <= high


def test_numbers_are_those_of_the_table_and_do_not_overlap(stack):
    panels = MaskPanels(stack.plot.mask_view("MEANCRT"))
    b = panels.axes[1]
    panels.select(panels.in_diagram, np.isin(panels.view.pixels["number"], np.arange(1, 20, 9)))
    panels.figure.draw_without_rendering()
    table = stack.features("MEANCRT")
    shown = [int(text.get_text()) for text in b.texts if text.get_text().isdigit()]
    assert sorted(shown) == list(range(1, 20, 9))
    assert b.get_title() == "(b) numbers of the hits"
    assert not panels._cells[1].get_visible()
    for text in b.texts:
        if text.get_text().isdigit():
            peak = table["peak"][int(text.get_text()) - 1].value
            assert text.xy[1] == pytest.approx(peak)
    boxes = [text.get_window_extent() for text in b.texts if text.get_text().isdigit()]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_few_hits_that_overlap_are_numbered_as_far_as_they_fit(stack, monkeypatch):
    panels = MaskPanels(stack.plot.mask_view("MEANCRT"))
    n, b = panels.n_hits, panels.axes[1]
    assert 4 < n <= mask.FEW_HITS
    monkeypatch.setattr(mask, "free_spots", lambda axes, x, y, words, most: [0, 1, 2, 3])
    monkeypatch.setattr(mask, "LEAST_NUMBERED", 4 / n)
    panels.renumber()
    assert b.get_title() == f"(b) numbers of 4 of {n} hits; the others overlap"
    assert len([text for text in b.texts if text.get_text().isdigit()]) == 4
    assert not panels._bar.ax.get_visible()
    monkeypatch.setattr(mask, "LEAST_NUMBERED", 4.5 / n)
    panels.renumber()
    assert b.get_title() == f"(b) pixels in a cell; {n} hits are too crowded for numbers"


def test_a_mask_without_pixels_says_so(stack):
    masks = stack.latest_masks()
    nothing = {name: np.zeros_like(codes) for name, codes in masks.codes.items()}
    panels = MaskPanels(stack.plot.mask_view("MEDIANCR", masks=replace(masks, codes=nothing, found_by={})))
    assert panels.axes[1].get_title() == "(b) no hits"
    for axes in panels.axes[:2]:
        assert "no pixel is flagged" in [text.get_text() for text in axes.texts]
        assert not len(axes.get_xticks())
        assert not len(axes.get_yticks())
    assert panels.figure.get_suptitle() == "MEDIANCR: no hit"


def test_pixels_beyond_the_diagram_are_counted():
    simulated = make_stack("ifu", (50, 60), hit_rate=0.03, seed=4)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    diagram = stack.mm_diagram(n_simulations=1, y_max=5.0)
    beyond = int((stack.statistics.median2d - stack.statistics.min2d > 5.0).sum())
    assert diagram.n_outside == beyond > 0
    assert plot_diagram(diagram).axes[1].get_title() == f"observed; {beyond} pixels lie beyond the axes"
    whole = stack.mm_diagram(n_simulations=1, y_max=1e6)
    assert whole.n_outside == 0
    assert plot_diagram(whole).axes[1].get_title() == "observed"


def test_too_many_hits_to_number_are_counted(stack, monkeypatch):
    monkeypatch.setattr(mask, "FEW_HITS", 4)
    panels = MaskPanels(stack.plot.mask_view("MEANCRT"))
    b = panels.axes[1]
    assert not [text for text in b.texts if text.get_text().isdigit()]
    assert b.get_title() == f"(b) pixels in a cell; {panels.n_hits} hits are too crowded for numbers"
    coloured = panels._cells[1].get_array()[..., 3] > 0
    rows, columns, inside = cells_in_axes(b, panels.view.pixels["min2d"], panels.view.pixels["excess"])
    assert inside.all()
    counts = cell_counts(rows, columns, coloured.shape)
    np.testing.assert_array_equal(coloured, counts > 0)
    assert panels._bar.ax.get_visible()
    assert panels._bar.mappable.norm.vmax == max(10, counts.max())


def test_thousands_of_pixels_are_coloured_cells(stack, monkeypatch):
    few = MaskPanels(stack.plot.mask_view("MEANCRT"))
    assert not few._over.get_visible()
    monkeypatch.setattr("crstack.plotting.mask.MOST_SYMBOLS", 100)
    monkeypatch.setattr("crstack.plotting.mask.LEAST_POINTS", 50)
    monkeypatch.setattr("crstack.plotting.mask.MOST_CELLS", 50)
    panels = MaskPanels(stack.plot.mask_view("MEANCRT"))
    view = panels.view
    assert not any(len(line.get_xdata()) for line in (*panels.symbols.values(), *panels._in_diagrams.values()))
    over = panels._over.get_array()
    assert over.shape == (40, 50, 4)
    flagged = view.codes.reshape(40, 2, 50, 2).any(axis=(1, 3))
    np.testing.assert_array_equal(over[..., 3] > 0, flagged)
    only = (view.codes == Code.MMCOSMIC).reshape(40, 2, 50, 2).any(axis=(1, 3)) & ~(view.codes > 2).reshape(
        40, 2, 50, 2
    ).any(axis=(1, 3))
    assert {to_hex(colour / 255) for colour in over[only][:, :3]} == {SYMBOLS[Code.MMCOSMIC][1]}
    # each hit has a ring around its highest pixel
    x, y = panels._rings.get_data()
    assert panels.axes[2].get_title().endswith("; a ring around each hit")
    assert len(x) == panels.n_hits
    assert (view.codes[np.asarray(y) - 1, np.asarray(x) - 1] > 0).all()
    # and in the diagram the cells that hold pixels are coloured
    assert [cells.get_visible() for cells in few._cells] == [False, not few._texts[few.axes[1]]]
    assert panels._cells[0].get_visible()
    rows, columns, inside = cells_in_axes(panels.axes[0], view.pixels["min2d"], view.pixels["excess"])
    in_diagram = panels._cells[0].get_array()[..., 3] > 0
    np.testing.assert_array_equal(in_diagram, cell_counts(rows[inside], columns[inside], in_diagram.shape) > 0)
    # only those in sight are drawn, and counted
    tops = view.pixels[panels._tops]
    near = (tops["x"] <= 50) & (tops["y"] <= 40)
    assert 3 < near.sum() < panels.n_hits
    panels.axes[2].set(xlim=(0.5, 50.5), ylim=(0.5, 40.5))
    panels.select(panels.in_diagram, panels.in_image)
    np.testing.assert_array_equal(panels._rings.get_data(), [tops["x"][near], tops["y"][near]])
    # the legend has squares where there are cells
    of_symbols = {words_of(code, view.finder) for code in SYMBOLS}
    for figure, marker in ((panels.figure, "s"), (few.figure, None)):
        (legend,) = figure.legends
        markers = {
            text.get_text(): handle.get_marker()
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
            if text.get_text() in of_symbols
        }
        assert markers
        assert all((one == "s") == (marker == "s") for one in markers.values())
    monkeypatch.setattr("crstack.plotting.mask.MOST_RINGS", 3)
    panels = MaskPanels(view)
    assert len(panels._rings.get_xdata()) == 0
    assert "ring" not in panels.axes[2].get_title()


@pytest.mark.parametrize(("shape", "aspect"), [((80, 100), 1.0), ((20, 100), "auto"), ((100, 20), "auto")])
def test_elongated_images_fill_their_panel(shape, aspect):
    image = np.random.default_rng(1).normal(100, 5, shape)
    codes = np.zeros(shape, np.uint8)
    codes[3, 4] = Code.MMCOSMIC
    view = mask.MaskView("MEDIANCR", codes, image, "median2d", image - 5, (("mean2d", image),), u.adu)
    c, d = MaskPanels(view).axes[2:]
    assert (c.get_aspect(), d.get_aspect()) == (aspect, aspect)


def test_logarithmic_scale_is_announced(stack):
    a, b = MaskPanels(stack.plot.mask_view("MEANCRT")).axes[:2]
    assert a.get_yscale() == "symlog"
    for axes in (a, b):
        (note,) = [text for text in axes.texts if "logarithmic" in text.get_text()]
        assert note.xy[1] == stack.plot.mask_view("MEANCRT").diagram.y_edges[-1]
    quiet = Figure().subplots()
    assert set_hit_limits(quiet, np.array([0.0, 10.0]), np.array([1.0, 5.0])) is None


def test_resolution_averages_images_and_keeps_coordinates(stack):
    panels = MaskPanels(stack.plot.mask_view(), resolution=40)
    whole = MaskPanels(stack.plot.mask_view())
    for i in (0, 1):
        drawn, image = panels.images[i], whole.images[i].get_array()
        assert drawn.get_array().shape == (40, 50)
        assert drawn.get_array()[3, 5] == pytest.approx(image[6:8, 10:12].mean())
        assert drawn.get_extent() == [0.5, 100.5, 0.5, 80.5]
        assert drawn.get_clim() == whole.images[i].get_clim()
    for code, line in panels.symbols.items():
        np.testing.assert_array_equal(line.get_data(), whole.symbols[code].get_data())
    panels.show_other(1)
    assert panels.images[1].get_array().shape == (40, 50)
    with pytest.raises(InputError, match="resolution must be an integer at least 1; got 0"):
        stack.plot.mask(resolution=0)


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


def test_panel_d_changes_image(stack):
    panels = MaskPanels(stack.plot.mask_view())
    assert panels.axes[3].get_title() == "(d) mean2d"
    panels.show_other(2)
    np.testing.assert_array_equal(panels.images[1].get_array(), stack.exposures.data[1])
    assert panels.axes[3].get_title() == "(d) exposure 2"
    panels.show_other(9)
    assert panels.other == 2


def test_given_figure_and_no_window(stack):
    given = Figure()
    assert stack.plot.mask(fig=given) is given
    given.draw_without_rendering()
    assert overlapping_labels(given) == []
    before = matplotlib.pyplot.get_fignums()
    plot_mask(stack.plot.mask_view())
    assert matplotlib.pyplot.get_fignums() == before
    assert len(stack.plot.diagram().axes) == 2


def overlapping_labels(figure):
    axes = [one for part in figure.axes for one in (part, *part.child_axes)]
    texts = [text for one in axes for text in (one.xaxis.label, one.yaxis.label, one.title) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    pairs = [(i, j) for i, one in enumerate(boxes) for j in range(i) if one.overlaps(boxes[j])]
    return [(texts[i].get_text(), texts[j].get_text()) for i, j in pairs]


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


# pages of hits


@pytest.mark.parametrize("n", [3, 5])
def test_pages_of_a_hit(stacks, n):
    stack = stacks[n]
    masks = stack.detect(aux="pycosmic")
    table = stack.features("MEANCRT")
    pages = stack.plot.hits("MEANCRT", semiwindow=6, color_scale="minmax")
    row = table[np.argmax(table["n_exposures"])]
    images, diagram = pages.show(row["number"])
    titles = [axes.get_title() for axes in images.axes if axes.get_title()]
    exposures = [f"exposure {i + 1}" for i in range(n)]
    assert titles == [*exposures, "mean2d", "who flagged what", "mean2d, corrected"]
    for i in range(n):
        drawn = images.axes[i].images[0]
        left, right, bottom, top = drawn.get_extent()
        cut = (slice(round(bottom - 0.5), round(top - 0.5)), slice(round(left - 0.5), round(right - 0.5)))
        np.testing.assert_array_equal(drawn.get_array(), stack.exposures.data[i][cut])
        assert (len(images.axes[i].lines[0].get_xdata()) > 0) == (row["exposures"][i] == "1")
        assert drawn.get_clim() == images.axes[0].images[0].get_clim()
    np.testing.assert_array_equal(images.axes[n + 1].images[0].get_array(), masks.codes["MEANCRT"][cut])
    corrected = np.where(masks["MEANCRT"], stack.statistics.min2d, stack.statistics.mean2d)[cut]
    np.testing.assert_array_equal(images.axes[n + 2].images[0].get_array(), corrected)
    x, y = (np.concatenate([line.get_data()[k] for line in pages._diagram._symbols.values()]) for k in (0, 1))
    assert len(x) == row["n_pixels"]
    assert y.max() == pytest.approx(row["peak"].value)
    assert f"hit {row['number']} ({row['category']}): {row['n_pixels']} pixels" in images.get_suptitle()
    assert f"\nmean2d up to {row['peak'].value:.4g} adu above min2d, " in images.get_suptitle()
    assert "".join(text.get_text() for text in diagram.axes[0].texts if text.get_visible())


@pytest.mark.parametrize("n_exposures", [2, 3, 5, 7])
def test_titles_of_hits_lie_within_their_page(n_exposures):
    simulated = make_stack("ifu", shape=(60, 70), n_exposures=n_exposures, hit_rate=0.02, seed=5)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    stack.detect()
    table = stack.features("MEANCRT")
    for figure in stack.plot.hits("MEANCRT").show(table["number"][np.argmax(table["peak"])]):
        figure.draw_without_rendering()
        box = figure._suptitle.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        others = [*figure.texts, *(axes.title for axes in figure.axes if axes.get_title())]
        others.remove(figure._suptitle)
        assert others
        assert not any(other.get_window_extent().overlaps(box) for other in others)


def test_combined_image_takes_the_place_of_the_corrected_one(stack):
    """Pixels masked in every exposure: the mean with min2d in their place would still show every other hit."""
    image = np.arange(80 * 100, dtype=np.float32).reshape(80, 100)
    pages = plot_hits(stack.plot.mask_view("MEANCRT"), stack.features("MEANCRT"), corrected=("meancr2", image))
    images, _ = pages.show(1)
    last = images.axes[5]
    assert last.get_title() == "meancr2, corrected"
    left, right, bottom, top = (round(end - 0.5) for end in last.images[0].get_extent())
    np.testing.assert_array_equal(last.images[0].get_array(), image[bottom:top, left:right])


def test_problematic_pixels_show_the_combined_image(stack):
    masks = stack.detect(aux="pycosmic")
    codes = {name: codes.copy() for name, codes in masks.codes.items()}
    for name in ("CRMASK1", "CRMASK2", "CRMASK3", "MEANCRT"):
        codes[name][40, 50] = Code.MMCOSMIC
    masks = replace(masks, codes=codes)
    pages = stack.plot.hits("problematic", masks=masks)
    images, _ = pages.show(1)
    left, right, bottom, top = (round(end - 0.5) for end in images.axes[5].images[0].get_extent())
    assert images.axes[5].get_title() == "meancr2, corrected"
    expected = stack.combine("meancr2", masks=masks).data[bottom:top, left:right]
    np.testing.assert_array_equal(images.axes[5].images[0].get_array(), expected)


def test_hits_in_most_exposures_are_drawn_first(stack):
    table = stack.features("MEANCRT")
    numbers = first_hits(table)
    assert sorted(numbers) == sorted(table["number"])
    rows = table[np.array(numbers) - 1]
    assert rows["n_exposures"][0] == table["n_exposures"].max() > rows["n_exposures"][-1]
    key = list(zip(-rows["n_exposures"], -rows["peak"].value, strict=True))
    assert key == sorted(key)
    assert first_hits(table, 3) == numbers[:3]
    assert first_hits(table, 0) == []


def test_figures_of_the_pages_are_reused(stack):
    pages = stack.plot.hits("MEANCRT")
    first = pages.show(1)
    n_artists = [len(figure.findobj()) for figure in first]
    for number in (2, 3, 4, 1):
        assert pages.show(number) == first
    assert [len(figure.findobj()) for figure in first] == n_artists


@pytest.mark.parametrize("n", [3, 13, 25])
def test_the_title_of_a_page_lies_above_its_panels(stack, n):
    """The page of many exposures is tall."""
    view = stack.plot.mask_view("MEANCRT")
    exposures = [(f"exposure {i + 1}", view.image) for i in range(n)]
    pages = plot_hits(replace(view, others=[view.others[0], *exposures]), stack.features("MEANCRT"))
    images, _ = pages.show(1)
    images.draw_without_rendering()
    assert "\n" in images.get_suptitle()
    title = images._suptitle.get_window_extent()
    assert title.y1 <= images.bbox.y1
    assert not any(title.overlaps(axes.title.get_window_extent()) for axes in images.axes)


def test_hit_larger_than_its_window_at_the_edge(stack):
    pages = stack.plot.hits("MEANCRT", semiwindow=0)
    for row in pages.features:
        images, _ = pages.show(row["number"])
        left, right, bottom, top = images.axes[0].images[0].get_extent()
        assert left <= row["xmin"] - 0.5
        assert right >= row["xmax"] + 0.5
        assert 0.5 <= bottom <= row["ymin"] - 0.5
        assert row["ymax"] + 0.5 <= top <= 80.5


def n_pages(path):
    return len(re.findall(rb"/Type /Page\b", path.read_bytes()))


@pytest.mark.parametrize(
    ("low", "high", "start", "stop"),
    [
        (40, 41, 24, 55),  # 15 pixels on either side of the middle
        (3, 4, 0, 31),  # moved into the image
        (90, 91, 69, 100),
        (20, 79, 16, 81),  # the hit and its margin
        (2, 99, 0, 100),  # larger than the image
    ],
)
def test_window_of_a_hit(low, high, start, stop):
    page = SimpleNamespace(semiwindow=15, view=SimpleNamespace(codes=np.zeros((500, 100))))
    feature = {"ymin": 200, "ymax": 200, "xmin": low, "xmax": high}
    rows, columns = hit_images.HitImages._window(page, feature)
    assert rows == slice(184, 215)
    assert columns == slice(start, stop)


def test_pages_hold_pixels_and_bins_as_they_are(stack, tmp_path, caplog):
    """An image that is drawn dot by dot uses the memory of a page for each hit until the file is closed."""
    path = tmp_path / "hits.pdf"
    stack.plot.hits("MEANCRT", semiwindow=10).write(path, maxplots=3)
    content = path.read_bytes()
    widths = [int(width) for width in re.findall(rb"/Width (\d+)", content)]
    # the bins of the diagram are the widest; one dot by dot has as many as the page
    assert 0 < max(widths) <= 100
    # for each hit: five images and the codes, the bar of colours, the bins
    assert len(widths) == 3 * (5 + 1 + 1 + 1)
    assert b"/BaseFont /Helvetica" in content
    assert b"/FontFile" not in content
    assert not caplog.records


def test_shadow_of_the_diagram_is_in_place(stack):
    pages = stack.plot.hits("MEANCRT")
    axes, diagram = pages.diagram.axes[0], pages.view.diagram
    assert axes.get_yscale() == "symlog"
    (shadow,) = axes.images
    left, right, bottom, top = shadow.get_extent()
    in_data = (axes.transAxes - axes.transData).transform([(left, bottom), (right, top)])
    assert in_data[:, 0] == pytest.approx(diagram.x_edges[[0, -1]])
    assert in_data[:, 1] == pytest.approx(diagram.y_edges[[0, -1]], abs=1e-6)


def test_write_pages(stack, tmp_path):
    pages = stack.plot.hits("MEANCRT")
    path = tmp_path / "hits.pdf"
    told = []
    assert pages.write(path, maxplots=2, progress=told.append) == 2
    assert n_pages(path) == 4
    assert told == [0.5, 1.0]
    nothing = plot_hits(pages.view, pages.features[:0])
    assert nothing.write(path) == 0
    assert n_pages(path) == 1
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="number must be that of a hit in the table; got 12345"):
        pages.show(12345)
    with pytest.raises(InputError, match="semiwindow must be an integer at least 0; got -1"):
        stack.plot.hits(semiwindow=-1)


@pytest.mark.parametrize("room", [5_000, 20_000, 40_000, 60_000])
def test_pages_on_a_full_disk(stack, tmp_path, room):
    """The error is that of the disk, and not that of a compression that closing the file repeats."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    pages = stack.plot.hits("MEANCRT", semiwindow=10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            pages.write(tmp_path / "hits.pdf", maxplots=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_one_pixel_without_a_diagram_is_one_page(stack, tmp_path):
    masks = stack.latest_masks()
    codes = {name: np.zeros_like(one) for name, one in masks.codes.items()}
    for name in ("MEANCRT", "CRMASK1"):
        codes[name][20, 30] = codes[name][40, 50:54] = 2
    alone = MaskSet(codes)
    view = stack.plot.mask_view("MEANCRT", masks=alone)
    assert view.diagram is None
    pages = plot_hits(view, alone.features(stack.statistics.mean2d, name="MEANCRT"))
    assert pages.write(tmp_path / "hits.pdf") == 2
    assert n_pages(tmp_path / "hits.pdf") == 1 + 2
    sizes = [pages.show(number)[0].get_suptitle().split("): ")[1].split(",")[0] for number in (1, 2)]
    assert sizes == ["1 pixel", "4 pixels"]


def test_images_of_figures(stack, tmp_path):
    """Dark hits on a bright image, and nothing drawn over the edges."""
    figure = stack.plot.mask()
    save_figure(figure, tmp_path / "m.png", dpi=50)
    picture = matplotlib.image.imread(tmp_path / "m.png")[..., :3]
    assert picture.shape[:2] == (525, 650)
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert edge.min() == 1
    box = figure.axes[2].get_window_extent()
    image = picture[525 - int(box.y1 / 2) + 3 : 525 - int(box.y0 / 2) - 3, int(box.x0 / 2) + 3 : int(box.x1 / 2) - 3]
    blue = (image[..., 2] > image[..., 0] + 0.3).sum() + ((image[..., 0] > image[..., 1] + 0.2).sum())
    assert blue > 20


# windows


class Driver:
    """Keys and mouse for a window without a screen."""

    def __init__(self, figure):
        self.canvas = figure.canvas

    def key(self, key, axes=None, spot=(0.5, 0.5)):
        x, y = (0, 0) if axes is None else axes.transData.transform(spot)
        event = KeyEvent("key_press_event", self.canvas, key, x, y)
        self.canvas.callbacks.process("key_press_event", event)

    def mouse(self, kind, axes, spot, button=1, dblclick=False):
        x, y = axes.transData.transform(spot)
        name = {"press": "button_press_event", "move": "motion_notify_event", "release": "button_release_event"}[kind]
        event = MouseEvent(name, self.canvas, x, y, None if kind == "move" else button, dblclick=dblclick)
        self.canvas.callbacks.process(name, event)


def canvas_figure(size=(12, 7)):
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure).draw_idle = lambda: None  # it would draw immediately
    return figure


@pytest.fixture
def window(stack):
    diagram = stack.mm_diagram(aux="pycosmic", n_simulations=3)
    return DiagramWindow(diagram, SplineBoundary(), threshold=10, fig=canvas_figure())


def test_fixed_points_by_mouse(window):
    driver, axes = Driver(window.figure), window.panels[1]
    plain = window.boundary
    driver.mouse("press", axes, (100, 90), dblclick=True)
    ((x, y, weight),) = window.model.fixed_points
    assert (x, y) == pytest.approx((100, 90), abs=0.1)
    assert weight == 10000
    assert window.boundary(100) == pytest.approx(90, rel=0.02)
    # pressed in one panel, moved in the other
    driver.mouse("press", window.panels[0], (100, 90))
    driver.mouse("move", axes, (110, 100))
    driver.mouse("move", axes, (150, 120))
    driver.mouse("release", axes, (150, 120))
    driver.mouse("move", axes, (10, 10))
    assert window.model.fixed_points[0][:2] == pytest.approx((150, 120), abs=0.1)
    for panel in window.panels:
        curves = [line for line in panel.lines if line.get_label() == "boundary"]
        assert len(curves) == 1
        np.testing.assert_array_equal(curves[0].get_ydata()[1:-1], window.boundary.y)
    driver.mouse("press", axes, (150, 120), button=3)
    assert window.model.fixed_points == ()
    same_fits(window.boundary, plain)


def test_clicks_that_do_nothing(window):
    driver, axes = Driver(window.figure), window.panels[1]
    driver.mouse("press", axes, (100, 90))
    driver.mouse("move", axes, (120, 90))
    assert window.model.fixed_points == ()
    driver.mouse("press", axes, (100, 90), button=3)
    assert window.model.fixed_points == ()
    window.figure.canvas.toolbar = type("Toolbar", (), {"mode": "zoom rect"})()
    driver.mouse("press", axes, (100, 90), dblclick=True)
    assert window.model.fixed_points == ()


def test_point_that_cannot_be(window):
    assert window.set_fixed_points([(50, 60, 1), (90, 70, 1)])
    assert not window.set_fixed_points([(50, 60, 1), (50, 70, 1)])
    assert "fixed points must have different x" in window.figure.get_suptitle()
    assert len(window.model.fixed_points) == 2
    assert window.set_fixed_points([])
    assert "fixed points must" not in window.figure.get_suptitle()


@pytest.mark.parametrize(
    ("key", "action"), [("c", "continue"), ("r", "refit"), ("f", "refit"), ("R", "rerun"), ("x", "quit"), ("k", None)]
)
def test_keys_of_the_diagram(window, key, action):
    Driver(window.figure).key(key)
    assert window.action == action


def test_help(stack):
    told = []
    window = MaskWindow(stack.plot.mask_view(), fig=canvas_figure(), tell=told.append)
    Driver(window.figure).key("?")
    text = "\n".join(told)
    for key in "hrpofs?i&nat01,/cx":
        assert f"'{key}'" in text


def test_every_window_shows_its_keys(stack, window):
    masks = stack.detect(aux="pycosmic")
    view, table = stack.plot.mask_view("MEANCRT", masks=masks), stack.features("MEANCRT", masks=masks)
    windows = (
        window,
        MaskWindow(view, fig=canvas_figure()),
        VerifyWindow(view, table, masks=masks, fig=canvas_figure((10, 6.5))),
        Window(stack.plot.median_position(fig=canvas_figure())),
    )
    for one in windows:
        one.figure.draw_without_rendering()
        title = one.figure.get_suptitle()
        for action in one.actions:
            assert re.search(rf"(^|[\s·]){action}(?= )", title), (type(one), action)
        # the text of the keys does not overlap a title
        box = one.figure._suptitle.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= one.figure.bbox.x1
        assert not any(
            axes.title.get_text() and axes.title.get_window_extent().overlaps(box) for axes in one.figure.axes
        )
    assert windows[2].figure.get_suptitle().startswith("MEANCRT, hit ")


def test_windows_fit_a_small_screen_and_have_titles(stack, monkeypatch):
    import matplotlib.pyplot as plt

    from crstack.plotting.interactive import open_figure
    from crstack.plotting.mask import SIZE

    titles = []
    for size in (SIZE, (10, 8), (8, 4)):
        figure = open_figure(size)
        assert tuple(figure.get_size_inches()) == (size[0], min(size[1], 6.5))
        monkeypatch.setattr(figure.canvas.manager, "set_window_title", titles.append)
        Window(figure, title="this")
        plt.close(figure)
    assert titles == ["crstack: this"] * 3
    with plt.rc_context({"figure.dpi": 200}):
        figure = open_figure(SIZE)
        assert (figure.bbox.width, figure.bbox.height) == (1340, 650)
        plt.close(figure)


def test_questions_are_answered_in_a_window():
    window = QuestionWindow("How many [3]: ", ["a line", "another"], fig=canvas_figure((8, 4)))
    driver = Driver(window.figure)
    for key in ("c", "1", "x", "backspace", "shift", "."):
        driver.key(key)
    assert window.action is None  # no key of the other windows
    texts = [text.get_text() for text in window.figure.texts]
    assert "a line\nanother" in texts
    assert "How many [3]: " in texts
    assert "c1._" in texts
    driver.key("enter")
    assert (window.action, window.answer) == ("answered", "c1.")
    closed = QuestionWindow("Which: ", fig=canvas_figure((8, 4)))
    assert closed.answer is None


def test_linked_zooms(stack):
    window = MaskWindow(stack.plot.mask_view("MEANCRT"), fig=canvas_figure((13, 10.5)))
    a, b, c, d = window.panels.axes
    pixels = window.panels.view.pixels
    assert window.in_diagram().all()
    a.set_ylim(30, 100)
    wanted = (pixels["excess"] >= 30) & (pixels["excess"] <= 100)
    assert 0 < wanted.sum() < len(pixels)
    assert b.get_ylim() == (30, 100)
    assert sum(len(line.get_xdata()) for line in window.panels.symbols.values()) == wanted.sum()
    a.set_ylim(-100, 1e6)
    d.set_xlim(20, 40)
    assert c.get_xlim() == (20, 40)
    wanted = (pixels["x"] >= 20) & (pixels["x"] <= 40)
    in_a = [line for line in a.lines if line.get_label() in [words_of(code) for code in SYMBOLS]]
    assert sum(len(line.get_xdata()) for line in in_a) == wanted.sum()
    numbers = {int(text.get_text()) for text in b.texts if text.get_text().isdigit()}
    assert numbers <= set(pixels["number"][wanted])


def test_keys_of_the_panels(stack):
    told = []
    window = MaskWindow(stack.plot.mask_view(), fig=canvas_figure(), tell=told.append)
    driver, panels = Driver(window.figure), window.panels
    c = panels.axes[2]
    driver.key("3")
    assert panels.other == 3
    driver.key("t")
    assert panels.other == 0
    driver.key("2")
    driver.key("0")
    assert panels.axes[3].get_title() == "(d) mean2d"
    driver.key("n")
    assert len(c.texts) > 1
    driver.key("n")
    assert len(c.texts) == 0
    driver.key("a")
    assert c.get_aspect() == "auto"
    driver.key("a")
    assert c.get_aspect() == 1
    c.set_xlim(10.5, 30.5)
    c.set_ylim(5.5, 25.5)
    driver.key(",")
    part = stack.statistics.median2d[5:25, 10:30]
    assert panels.images[0].get_clim() == pytest.approx((part.min(), part.max()))
    driver.key("/")
    assert panels.images[0].get_clim() == pytest.approx(image_limits(part))
    driver.key("i", c, (20.3, 14.8))
    code = Code(panels.view.codes[14, 19])
    assert told[0] == f"pixel X=20, Y=15: {code.name.lower()} ({code.value})"
    assert told[1].split() == ["median2d", f"{stack.statistics.median2d[14, 19]:.3f}", "adu"]
    assert len(told) == 7
    told.clear()
    driver.key("&")
    assert told[-1] == f"{window.in_image().sum()} pixels"
    driver.key("x")
    assert window.action == "quit"


def test_verify(stack):
    table = stack.features("MEANCRT")
    window = VerifyWindow(stack.plot.mask_view("MEANCRT"), table, fig=canvas_figure(), tell=None)
    driver = Driver(window.figure)
    for key in "nynb":
        driver.key(key)
    assert window.rejected == [1]
    driver.key("n")
    assert window.rejected == [1, 3]
    assert f"hit {table['number'][3]} " in window.figure.get_suptitle()
    driver.key("a")
    assert window.action == "continue"


def test_verify_ends_with_the_last_hit(stack):
    window = VerifyWindow(stack.plot.mask_view(), stack.features()[:2], fig=canvas_figure())
    driver = Driver(window.figure)
    driver.key("y")
    assert window.action is None
    driver.key("n")
    assert (window.action, window.rejected) == ("continue", [2])


def test_no_display_here():
    assert not has_display()


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
    drawn = next(axes.images[0] for axes in images.axes if axes.get_title() == "who flagged what")
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


def test_rings_are_seen_on_bright_structures(stack, monkeypatch):
    monkeypatch.setattr("crstack.plotting.mask.LEAST_POINTS", 50)
    panels = MaskPanels(stack.plot.mask_view("MEANCRT"))
    c = panels.axes[2]
    panels.images[0].set_visible(False)
    c.set_facecolor("black")  # a bright structure
    panels.figure.set_dpi(200)
    canvas = FigureCanvasAgg(panels.figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    x, y = np.rint(c.transData.transform(np.transpose(panels._rings.get_data()))).astype(int).T
    radius = int(0.6 * panels._rings.get_markersize() * panels.figure.dpi / 72) + 3
    inside = c.bbox.padded(-2 * radius).contains
    white = [
        (drawn[row - radius : row + radius, column - radius : column + radius] > 220).all(axis=-1).sum()
        for row, column in zip(y, x, strict=True)
        if inside(column, row)
    ]
    assert len(white) > 3
    assert min(white) > 10


def test_the_words_on_the_scale_are_seen_on_many_pixels(stack):
    panels = MaskPanels(stack.plot.mask_view("MEANCRT"))
    a = panels.axes[0]
    a.set_facecolor("black")  # the colour of cells with many pixels
    (words,) = [text for text in a.texts if "logarithmic" in text.get_text()]
    canvas = FigureCanvasAgg(panels.figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[::-1, :, :3]
    left, bottom, right, top = words.get_window_extent(canvas.get_renderer()).extents.astype(int)
    assert (drawn[bottom:top, left:right] > 220).all(axis=-1).mean() > 0.2
