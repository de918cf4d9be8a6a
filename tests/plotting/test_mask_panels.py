"""The four panels of a mask: what they hold, and when symbols become cells."""

from dataclasses import replace

import astropy.units as u
import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import Code
from crstack.plotting import (
    MaskPanels,
    hit_numbers,
    mask,
    plot_diagram,
    plot_mask,
)
from crstack.plotting.hit_scale import set_hit_limits
from crstack.plotting.rasters import cell_counts, cells_in_axes
from crstack.plotting.symbols import SYMBOLS, words_of
from crstack.stages.views import image_of_mask


@pytest.mark.parametrize("name", ["MEDIANCR", "MEANCRT", "CRMASK2", "MEANCR"])
def test_panels_hold_every_flagged_pixel(stack, name):
    panels = MaskPanels(stack.plot.mask_view(name))
    masks = stack.detect(aux="pycosmic")
    label, image = image_of_mask(name, stack.prepared, lambda: masks)
    a, b, c, _ = panels.axes
    assert a.get_ylabel() == f"{label} \N{MINUS SIGN} min2d (adu)"
    assert a.get_xlabel() == b.get_xlabel() == "min2d (adu)"
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
    monkeypatch.setattr(hit_numbers, "free_spots", lambda axes, x, y, words, most: [0, 1, 2, 3])
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
    assert [cells.get_visible() for cells in few._cells] == [False, not few._numbers[few.axes[1]].texts]
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
