"""Figures of flux factors and offsets by their contents."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.figure import Figure
from matplotlib.text import Text
from support.stacks import stack_of

from crstack.datasets import make_stack
from crstack.equalize.terms.compare import compare_fluxes
from crstack.equalize.terms.offsets import shifted
from crstack.exceptions import InputError
from crstack.plotting.differences import plot_differences
from crstack.plotting.equivalence import plot_offset

FACTORS, OFFSETS = (0.8, 1.0, 1.2), ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
REGION = (11, 170, 6, 145)


@pytest.fixture(scope="module")
def unequal():
    simulated = make_stack("ifu", (150, 180), hit_rate=0.02, flux_factors=FACTORS, seed=4)
    return stack_of(simulated, flux_factors="auto", flux_regions=[(1, 180, 1, 150)])


@pytest.fixture(scope="module")
def moved():
    simulated = make_stack("ifu", (150, 180), hit_rate=0.02, flux_factors=FACTORS, offsets=OFFSETS, seed=4)
    return stack_of(simulated, flux_method="slope", crosscorr_region=REGION)


def test_exposures_over_the_others(unequal):
    given = unequal.prepared.given
    found = compare_fluxes(given, unequal.statistics, FACTORS)
    assert found.signals.shape == found.references.shape == (3, len(found.level))
    assert len(found.level) > 1000
    others = (found.signals[0] / np.float32(FACTORS[0]) + found.signals[2] / np.float32(FACTORS[2])) / 2
    np.testing.assert_allclose(found.references[1], others, rtol=1e-5, atol=1e-3)
    ratios = found.signals.sum(axis=1) / found.references.sum(axis=1)
    assert ratios == pytest.approx(FACTORS, rel=0.01)
    left_out = compare_fluxes(given, unequal.statistics, FACTORS, [(1, 90, 1, 150)])
    assert 0 < len(left_out.level) < len(found.level)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_figure_of_a_flux_factor(unequal, number):
    fig = Figure(figsize=(8, 4))
    assert unequal.plot.flux_factor(number, fig=fig) is fig
    left, right = fig.axes[:2]
    flux = unequal.equalized.flux
    value, error = flux.values[number - 1], flux.errors[number - 1]
    assert fig.get_suptitle().startswith(f"exposure {number}: flux factor {value:.4f}")
    assert ("\N{PLUS-MINUS SIGN}" in fig.get_suptitle()) == (error > 0)
    assert left.lines[0].get_ydata() == pytest.approx([value, value])
    assert left.get_xlabel() == "signal (adu)"
    assert left.get_ylabel() == f"exposure {number} over the others"
    (points,) = right.containers
    x, y = points.lines[0].get_data()
    bars = points.lines[2][0].get_segments()
    errors = np.array([bar[1][1] - bar[0][1] for bar in bars]) / 2
    assert len(y) > 5
    assert np.mean(np.abs(y - FACTORS[number - 1]) < 3 * errors) > 0.8
    counts = left.collections[0].get_array()
    assert counts.sum() <= int(re.match(r"\d+", left.get_title())[0])
    low, high = left.get_xlim()
    assert low < x.min() < x.max() < high


def test_figure_of_an_offset(moved):
    fig = moved.plot.offset(1)
    equalized = moved.prepared.known
    factor, offset = equalized.flux.values[0], equalized.offsets.values[0]
    assert offset == pytest.approx(OFFSETS[0], abs=0.05)
    box = slice(5, 145), slice(10, 170)
    common, exposure = np.float32(factor) * equalized.common, moved.prepared.given.data[0][box]
    drawn = [axes.images[0] for axes in fig.axes if axes.images]
    expected = [common[box], exposure, exposure - common[box], exposure - shifted(common, offset)[box]]
    for image, values in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.get_extent() == [10.5, 170.5, 5.5, 145.5]
    apart, left_over = (np.median(np.abs(np.asarray(image.get_array()))) for image in drawn[2:])
    assert left_over < 0.9 * apart
    assert drawn[2].get_clim() == drawn[3].get_clim()
    assert drawn[2].get_clim()[0] == -drawn[2].get_clim()[1]
    assert drawn[0].get_clim() == drawn[1].get_clim()
    assert f"dx = \N{MINUS SIGN}{abs(offset[0]):.3f} \N{PLUS-MINUS SIGN} " in fig.get_suptitle()
    small = moved.plot.offset(1, resolution=40)
    assert small.axes[0].images[0].get_array().shape == (35, 40)
    assert small.axes[0].get_xlim() == (10.5, 170.5)


def test_without_a_number_the_exposure_that_differs_most_is_drawn(moved, unequal):
    assert unequal.plot.flux_factor().get_suptitle().startswith("exposure 1: flux factor 0.8")
    assert moved.plot.offset().get_suptitle() == moved.plot.offset(1).get_suptitle()


def test_flux_factors_of_shifted_exposures(moved):
    equalized = moved.prepared.known
    found = compare_fluxes(
        moved.prepared.given, moved.statistics, equalized.flux.values, offsets=equalized.offsets.values
    )
    ratios = found.signals.sum(axis=1) / found.references.sum(axis=1)
    assert ratios == pytest.approx(FACTORS, rel=0.012)


def test_nothing_to_draw(stack):
    with pytest.raises(InputError, match="flux_factors must be given or measured for this figure; got none"):
        stack.plot.flux_factor(1)
    with pytest.raises(InputError, match="offsets must be given or measured for this figure; got none"):
        stack.plot.offset(1)
    with pytest.raises(InputError, match="number must be an integer at least 1 and at most 3; got 4"):
        stack.plot.offset(4)
    figure = stack.plot.median_position()
    assert figure.axes[1].images[0].get_array().max() == 3


@pytest.mark.parametrize("shape", [(300, 300), (150, 400), (400, 450)])
def test_the_labels_lie_inside_the_figure(shape, tmp_path):
    images = np.random.default_rng(1).normal(200, 10, (3, *shape)).astype(np.float32)
    names = ("level", "throughput", "dx", "dy", "xx", "yy", "xy")
    table = {"exposure": [1, 2, 3]} | {name: [0.9, 1.0, 1.1] for name in names}
    measured = SimpleNamespace(table=lambda: Table(table), lines=(), profiles=(), grids=None)
    figures = (plot_offset(*images, (0.1, 0.2), unit="adu"), plot_differences(measured, images, unit="adu"))
    for figure in figures:
        figure.set_dpi(60)
        figure.savefig(tmp_path / "one.png", dpi=60)
        width, height = 60 * figure.get_size_inches()
        labels = [text for text in figure.findobj(Text) if "pixel" in text.get_text() or "(adu)" in text.get_text()]
        assert len(labels) >= 6
        for label in (one for one in labels if one.get_visible()):
            box = label.get_window_extent()
            assert min(box.x0, box.y0) > -0.5, label.get_text()
            assert box.x1 < width + 0.5, label.get_text()
            assert box.y1 < height + 0.5, label.get_text()
