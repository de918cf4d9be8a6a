"""Figures in the page of a run."""

import base64
import io

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from crstack.pipeline import page

GREEN = (0, 158, 115)


def figure(path, side, noise=True):
    """A figure of black text on white, here a frame, a green symbol, and images of noise; return its PNG file."""
    values = np.full((side, side, 3), 255, dtype=np.uint8)
    if noise:
        inside = slice(side // 4, 3 * side // 4)
        levels = np.random.default_rng(3).integers(0, 256, (side // 2, side // 2, 1))
        values[inside, inside] = levels * [1, 0.1, 0] + (255 - levels) * [0, 0.3, 1]
    values[10:18, 10:18] = GREEN
    values[:4] = values[-4:] = values[:, :4] = values[:, -4:] = 0
    Image.fromarray(values).save(path)
    return path


def pixels(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def test_a_figure_that_fits_is_shown_as_it_is(tmp_path):
    path = figure(tmp_path / "differences.png", 200)
    (shown,) = page._figures([path])
    assert base64.b64decode(shown.png) == path.read_bytes()


@pytest.mark.parametrize(("fraction", "side"), [(0.6, 400), (0.17, 267), (0.1, 200)])
def test_a_figure_that_is_too_large_is_shown_smaller(tmp_path, monkeypatch, fraction, side):
    path = figure(tmp_path / "differences.png", 400)
    monkeypatch.setattr(page, "FIGURES", int(fraction * 4 / 3 * path.stat().st_size))
    (shown,) = page._figures([path])
    assert len(shown.png) <= page.FIGURES
    found = pixels(shown.png)
    assert found.shape == (side, side, 3)
    # the frame, the background and the colour of the symbol stay
    assert found[0].max() < 30
    assert found[side // 8, side // 8 : -side // 8].min() > 225
    middle = 14 * side // 400
    np.testing.assert_allclose(found[middle, middle].astype(int), GREEN, atol=20)


def test_figures_that_do_not_fit_at_all_are_links(tmp_path, monkeypatch):
    first = figure(tmp_path / "diagnostic_histogram2d.png", 400, noise=False)
    second = figure(tmp_path / "differences.png", 400)
    monkeypatch.setattr(page, "FIGURES", 2 * first.stat().st_size)
    (shown,) = page._figures([second, first])
    assert shown.name == first.name


def test_a_smooth_image_has_no_steps_in_fewer_colours(tmp_path, monkeypatch):
    """Colours of a smooth image jumped where one of the 256 colours ended."""
    path = figure(tmp_path / "differences.png", 400)
    values = np.asarray(Image.open(path)).copy()
    # other images need most of the colours
    values[100:290, 100:300] = np.random.default_rng(4).integers(0, 256, (190, 200, 3))
    y, x = np.mgrid[:100, :100] / 100
    smooth = np.stack([120 + 80 * x, 140 + 60 * np.sin(4 * y), 200 - 50 * x * y], axis=2)
    values[290:390, 20:120] = np.rint(smooth)
    Image.fromarray(values).save(path)
    monkeypatch.setattr(page, "FIGURES", int(0.9 * 4 / 3 * path.stat().st_size))
    (shown,) = page._figures([path])
    found = pixels(shown.png)[290:390, 20:120].astype(float)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) < 256
    means = [one.reshape(10, 10, 10, 10, 3).mean(axis=(1, 3)) for one in (found, smooth)]
    np.testing.assert_allclose(*means, atol=4)


def test_an_error_of_rounding_is_not_shown():
    """The report had 0.000000000000 +- 0.000000000029."""
    table = Table({"dx": [0.0, 3e-12, np.nan], "dx_error": [2.9e-11, 0.0, np.nan]})
    assert [page._with_error(row, "dx") for row in table] == ["0", "0", "\N{EN DASH}"]
