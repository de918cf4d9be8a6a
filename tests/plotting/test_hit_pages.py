"""The pages of hits: their images, titles and files."""

import re
from dataclasses import replace
from types import SimpleNamespace

import matplotlib.image
import matplotlib.pyplot
import numpy as np
import pytest

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import Code, MaskSet
from crstack.plotting import (
    hit_images,
    plot_hits,
    save_figure,
)
from crstack.plotting.hits import first_hits


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
    assert titles == [*exposures, "mean2d", "flagged by", "mean2d, corrected"]
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
