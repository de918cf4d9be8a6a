"""Columns and rows with less light in one exposure."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.exposures.comparison.lines import dark_lines

READNOISE, SHAPE = 3.4, (200, 220)


def values_of(scene, n, seed=4300, **differences):
    """Values of each exposure in electrons, with hits."""
    stack = make_stack(scene, shape=SHAPE, n_exposures=n, seed=seed, **differences)
    return [plane.data.astype(np.float64) for plane in stack.exposures]


def loaded(values, **options):
    """The exposures and the warnings of dark lines."""
    options = {"unit": u.electron, "readnoise": READNOISE * u.electron} | options
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        exposures = load_exposures(values, **options)
    return exposures, [str(one.message) for one in caught if str(one.message).startswith("a column or row is dark")]


def box_of(axis, line):
    return (slice(None), line) if axis == 0 else (line, slice(None))


def with_dark(values, i, axis, line, share):
    """The values with a column (axis 0) or row (axis 1) of an exposure that holds a share of its light."""
    values = [one.copy() for one in values]
    values[i][box_of(axis, line)] *= share
    return values


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_line_at_half_its_light_is_bad_in_its_exposure(n, axis):
    found, (word,) = loaded(with_dark(values_of("imaging", n), 1, axis, 150, 0.5))
    share = float(word.split(f"{'column' if axis == 0 else 'row'} 151 of exposure 2 has ")[1].split()[0])
    assert share == pytest.approx(0.5, abs=0.03)
    assert word.count("has 0.") == 1
    assert ("hits of the other exposure are not found there" in word) == (n == 2)
    assert found.bad[1][box_of(axis, 150)].all()
    assert found.low[1][box_of(axis, 150)].all()
    assert not found.bad[0].any()
    assert np.count_nonzero(found.bad[1]) < 1.2 * SHAPE[axis]


@pytest.mark.parametrize(("axis", "line"), [(0, 70), (0, 190), (1, 30), (1, 130)])
def test_a_dark_line_of_a_spectrum_between_its_lines(axis, line):
    """Sky lines cross the slit, and brighten and move along the dispersion."""
    values = values_of("slit", 3, sky_factors=(1, 0.8, 1.3), offsets=((0, 0), (0.2, 0), (-0.1, 0)))
    found, words = loaded(with_dark(values, 0, axis, line, 0.5))
    assert len(words) == 1
    assert found.bad[0][box_of(axis, line)].all()


@pytest.mark.parametrize(
    ("scene", "n", "width"),
    [("echelle", 2, 1), ("echelle", 3, 3), ("echelle", 5, 1), ("ifu", 2, 3), ("ifu", 3, 1), ("ifu", 5, 3)],
)
def test_blank_rows_along_traces(scene, n, width):
    """The rows above and below a trace have another light, in every exposure."""
    expected = make_stack(scene, shape=SHAPE, n_exposures=n, seed=4310).expected.mean(axis=0)
    values = values_of(scene, n, seed=4310)
    bright = np.median(expected, axis=1)
    before = width // 2
    lines = [int(np.argmax(np.where((np.arange(len(bright)) // 50) == part, bright, 0))) for part in (1, 2)]
    for line in lines:
        values[1][line - before : line - before + width] = np.random.default_rng(line).normal(
            0, READNOISE, (width, SHAPE[1])
        )
    found, (word,) = loaded(values)
    assert f"row{'' if width == 1 else 's'} {lines[0] + 1 - before} " in word
    blank = np.zeros(found.data.shape, dtype=bool)
    for line in lines:
        blank[1, line - before : line - before + width] = True
    lit = blank[1] & (expected > 80)
    assert found.low[1][lit].all()
    assert np.count_nonzero(found.low & ~blank) < 5
    with pytest.warns(CRStackWarning, match="is dark in one exposure"):
        combined = CRStack(values, unit=u.electron, readnoise=READNOISE * u.electron).combine("meanjoint")
    assert np.median(combined.data[lit] / expected[lit]) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("step", [1, 3, 6])
@pytest.mark.parametrize("scene", ["echelle", "ifu", "slit"])
@pytest.mark.parametrize("axis", [0, 1])
def test_traces_that_have_moved_leave_no_blank_line(scene, step, axis):
    for n in (2, 3):
        values = values_of(scene, n)
        values[1] = np.roll(values[1], step, axis=axis)
        assert loaded(values)[1] == []


@pytest.mark.parametrize("shift", [3.3, 5.0])
def test_bright_sky_lines_that_have_moved_leave_no_blank_column(shift):
    """The old place of a line is dark, and its new place beside it is bright."""
    columns = np.arange(SHAPE[1])
    rng = np.random.default_rng(4320)
    values = []
    for moved in (0, 0, shift):
        lines = sum(
            light * np.exp(-0.5 * ((columns - at - moved) / 1.1) ** 2) for at, light in ((60, 9000), (140, 4000))
        )
        values.append(rng.poisson(30.0 + np.broadcast_to(lines, SHAPE)) + rng.normal(0, READNOISE, SHAPE))
    assert dark_lines(load_quietly(values)) == []


def load_quietly(values):
    """Exposures that other checks may warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        return load_exposures(values, unit=u.electron, readnoise=READNOISE * u.electron)


def test_a_part_of_a_column_does_not_make_all_of_it_bad():
    values = values_of("imaging", 3)
    values[1][:120, 150] *= 0.5
    found, words = loaded(values)
    assert words == []
    assert found.bad is None or not found.bad[1][125:, 150].any()


@pytest.mark.parametrize("line", [0, 1, 218, 219])
def test_a_dark_line_at_the_edge(line):
    found, words = loaded(with_dark(values_of("imaging", 3), 2, 0, line, 0.6))
    assert len(words) == 1
    assert found.bad[2][:, line].all()


def test_two_exposures_with_other_lines():
    """As after a dither: the defect is at another place of the field."""
    values = with_dark(with_dark(values_of("imaging", 3), 0, 0, 60, 0.5), 2, 0, 64, 0.5)
    found, (word,) = loaded(values)
    assert "column 61 of exposure 1 has 0.5" in word
    assert "column 65 of exposure 3 has 0.5" in word
    assert found.bad[0][:, 60].all()
    assert found.bad[2][:, 64].all()


def test_the_combined_image_has_the_light_of_the_others():
    """With the line in the stack, a third of its pixels lacks 7 per cent and more."""
    stack = make_stack("imaging", shape=SHAPE, n_exposures=3, seed=4300)
    values = with_dark([plane.data for plane in stack.exposures], 1, 0, 150, 0.5)
    with pytest.warns(CRStackWarning, match="a column or row is dark"):
        crs = CRStack(values, unit=u.electron, readnoise=READNOISE * u.electron)
    crs.detect()
    combined = crs.combine("meanjoint")
    ratio = combined.data[:, 150] / stack.expected.mean(axis=0)[:, 150]
    assert np.median(ratio) == pytest.approx(1, abs=0.02)
    assert combined.uncertainty.array[:, 150].mean() == pytest.approx(
        1.5 * np.delete(combined.uncertainty.array, 150, axis=1).mean(), rel=0.1
    )


@pytest.mark.parametrize("scene", ["ifu", "imaging", "slit", "echelle"])
@pytest.mark.parametrize("n", [2, 4])
def test_lines_of_other_exposures_are_not_dark(scene, n):
    """Other light, a shift, and a sky that changes."""
    for differences in (
        {"flux_factors": np.linspace(1, 0.6, n)},
        {"sky_factors": np.linspace(1, 0.4, n)},
        {"offsets": [(0.4 * i, -0.3 * i) for i in range(n)]},
    ):
        _, words = loaded(values_of(scene, n, seed=4301, **differences))
        assert words == []


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("fwhm", [1.5, 2.5])
def test_sky_lines_that_drift_along_the_dispersion_are_not_dark(axis, fwhm):
    """Upright lines, which a drift moves in and out of a column all along the slit."""
    rng = np.random.default_rng(4302)
    x, centres = np.arange(240.0), rng.uniform(0, 240, 16)
    peaks = 150 * rng.lognormal(0, 1.3, 16)
    values = []
    for drift, sky in ((0, 1), (0.4, 1.3), (-0.5, 0.8)):
        lines = peaks * np.exp(-0.5 * ((x[:, None] - centres - drift) / (fwhm / 2.355)) ** 2)
        level = np.broadcast_to(sky * lines.sum(axis=1) + 100, (220, 240))
        values.append(
            rng.poisson(level if axis == 0 else level.T) + rng.normal(0, READNOISE, level.shape[:: 1 - 2 * axis])
        )
    _, words = loaded(values)
    assert words == []


def test_the_wing_of_a_line_that_moves_is_not_dark():
    """At column 100, the others happen to hold the level around; the line beside it has moved away in the first one."""
    rng = np.random.default_rng(4305)
    profiles = np.full((3, 220), 150.0)
    profiles[0, 99:103] = 100, 105, 300, 300
    profiles[1:, 99:103] = 100, 150, 400, 150
    values = [rng.poisson(np.broadcast_to(one, SHAPE)) + rng.normal(0, READNOISE, SHAPE) for one in profiles]
    _, words = loaded(values)
    assert words == []


@pytest.mark.parametrize("n", [2, 3])
def test_light_that_one_exposure_adds_does_not_make_the_others_dark(n):
    """A hot column, or a trail along a row."""
    values = values_of("imaging", n)
    values[0][:, 100] += 200
    values[-1][60] *= 1.6
    _, words = loaded(values)
    assert words == []


def test_levels_that_are_not_light():
    """A bias that is too high leaves values around 0, of which a ratio has no meaning."""
    rng = np.random.default_rng(4303)
    values = [rng.normal(2, READNOISE, SHAPE) for _ in range(3)]
    values[1][:, 100] -= 1.5
    values[0][80] -= 1.5
    _, words = loaded(values)
    assert words == []
    # a column nearer to 0 in an exposure whose bias is too high
    values = values_of("imaging", 3)
    values[1] -= 150
    values[1][:, 100] += 40
    _, words = loaded(values)
    assert words == []
    _, words = loaded([one - 300 for one in with_dark(values_of("imaging", 3), 1, 0, 150, 0.5)])
    assert words == []


def test_noise_by_images_and_known_uncertainties():
    """Images of gain and read noise, and uncertainties, describe the noise of a line as numbers do."""
    values = with_dark(values_of("imaging", 3), 1, 0, 150, 0.5)
    images = {"unit": u.adu, "gain": np.ones(SHAPE) * u.electron / u.adu}
    found, words = loaded(values, **images, readnoise=np.full(SHAPE, READNOISE) * u.electron)
    assert len(words) == 1
    assert found.bad[1][:, 150].all()
    given = [
        CCDData(one, unit="electron", uncertainty=VarianceUncertainty(np.maximum(one, 0) + READNOISE**2))
        for one in values
    ]
    found, _ = loaded(given)  # such an uncertainty is that of a low value, which is found by itself
    assert found.bad[1][:, 150].all()


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("sky", [30, 300, 5000])
def test_all_of_a_dark_line_is_bad_at_any_level(share, sky):
    """Where its values are far below the others, they are found one by one, without a warning."""
    rng = np.random.default_rng(4304)
    values = [rng.poisson(sky, SHAPE) + rng.normal(0, READNOISE, SHAPE) for _ in range(3)]
    values[1][:, 100] = rng.poisson(share * sky, SHAPE[0]) + rng.normal(0, READNOISE, SHAPE[0])
    found, _ = loaded(values)
    assert found.bad[1][:, 100].all()
    assert np.count_nonzero(found.bad) == SHAPE[0]


def test_masked_values_do_not_count():
    values = values_of("imaging", 3)
    masks = [np.zeros(SHAPE, bool) for _ in values]
    masks[1][:, 150] = True
    values[1][:, 150] *= 0.5
    exposures, words = loaded(
        [CCDData(one, unit="electron", mask=mask) for one, mask in zip(values, masks, strict=True)]
    )
    assert words == []
    assert dark_lines(exposures) == []
