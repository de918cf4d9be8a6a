"""Steps of whole pixels: those that describe the whole image, not only the source that dominates a part of it."""

import numpy as np
import pytest

from crstack.equalize import measure_differences
from crstack.equalize.terms.steps import (
    LARGEST,
    _peak,
    _step_of_sharp,
    confirmed_steps,
    incomplete_edges,
    moved,
    steps_of,
    whole_steps,
)

READNOISE = 4.0
SHAPE = (1400, 120)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + READNOISE**2


def noisy(expected, seed):
    rng = np.random.default_rng(seed)
    expected = np.asarray(expected)
    return (rng.poisson(expected) + READNOISE * rng.standard_normal(expected.shape)).astype(np.float32)


def drifting_galaxy(seed, height=30.0):
    """A slit along x: sky lines that stay, far from the middle of the image, and a faint galaxy that drifts."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    flat = 1 + 0.03 * np.random.default_rng(seed).standard_normal(SHAPE)
    sky = np.full(SHAPE, 20.0)
    for row, peak in zip((20, 60, 120), (400.0, 3000.0, 1500.0), strict=True):
        sky += peak * np.exp(-0.5 * ((y - row) / 2) ** 2)
    places = (0.2, 55), (0.3, 56), (1.0, 60), (1.1, 62)
    galaxies = [height * level * np.exp(-0.5 * ((x - centre) / 3) ** 2) * (y > 90) for level, centre in places]
    return noisy([flat * (sky + galaxy) for galaxy in galaxies], seed)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_source_that_drifts_alone_is_no_step(seed):
    """The correlation of the middle of the image finds the galaxy; the sky lines and the detector stay."""
    levels = drifting_galaxy(seed)
    steps = whole_steps(levels)
    assert any(map(any, steps))
    assert confirmed_steps(steps, levels, variance_of) == ((0, 0),) * 4


@pytest.mark.parametrize("n", [2, 3, 5])
def test_steps_of_the_field_are_confirmed(n):
    rng = np.random.default_rng(n)
    y, x = np.mgrid[:200, :220]
    field = np.full((200, 220), 100.0)
    for row, column, peak in zip(*rng.uniform(20, 180, (2, 15)), 10 ** rng.uniform(2, 4.5, 15), strict=True):
        field += peak * np.exp(-0.5 * (((y - row) / 1.2) ** 2 + ((x - column) / 1.2) ** 2))
    expected = [field] * (n - 1) + [0.8 * moved(field, (3, -1)) + 20]
    levels = noisy(expected, n)
    # hits
    levels[rng.random(levels.shape) < 0.01] += 3000
    steps = ((0, 0),) * (n - 1) + ((3, -1),)
    assert confirmed_steps(steps, levels, variance_of) == steps
    levels[-1] = moved(levels[-1], (-3, 1))
    assert confirmed_steps(steps, levels, variance_of) == ((0, 0),) * n


def test_hits_do_not_hide_a_step_of_faint_stars():
    """The mean of two exposures holds the hits of both, which outnumber the pixels of the stars."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:200, :220]
    field = np.full((200, 220), 100.0)
    for row, column in rng.uniform(20, 180, (40, 2)):
        field += 250 * np.exp(-0.5 * (((y - row) / 1.2) ** 2 + ((x - column) / 1.2) ** 2))
    levels = noisy([field, field, moved(field, (1, -1))], 8)
    for plane in levels:
        for row, column in rng.integers(20, 180, (60, 2)):
            plane[row : row + 3, column : column + 5] += 2000
    steps = (0, 0), (0, 0), (1, -1)
    assert confirmed_steps(steps, levels, variance_of) == steps


def test_exposures_at_rest_are_not_looked_at():
    assert confirmed_steps(((0, 0),) * 3, None, None) == ((0, 0),) * 3


@pytest.mark.parametrize("place", [3.0, 3.3, 2.6])
def test_the_peak_between_steps(place):
    """Of a parabola it is exact."""
    values = 10 - (np.arange(2 * LARGEST + 1) - place) ** 2
    k = round(place)
    assert _peak(values, k) == pytest.approx(place - LARGEST)
    assert _peak(values, 0) == -LARGEST


@pytest.mark.parametrize("distance", [LARGEST + 2, LARGEST + 6])
def test_a_shift_beyond_the_limit_is_not_measured(distance):
    """Where a wide source lies just beyond the limit, the correlation is highest at the limit itself."""
    y, x = np.mgrid[:200, :240]
    galaxies = [1000 * np.exp(-0.5 * (np.hypot(x - 100 - dx, y - 100) / 12) ** 2) for dx in (0, 0, distance)]
    assert whole_steps(noisy([20 + one for one in galaxies], seed=3)) == ((0, 0),) * 3


@pytest.mark.parametrize(("shifts", "measured"), [((12, 0, -12), True), ((-16, 0, 16), True), ((20, 0, -20), False)])
@pytest.mark.parametrize("brightest", [0, 1, 2])
def test_shifts_are_measured_against_the_exposure_in_the_middle(shifts, measured, brightest):
    """The exposure of middle brightness is compared first, but another one may lie between the others."""
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:200, :240]
    stars = list(zip(*rng.uniform(-20, 260, (2, 90)), 10 ** rng.uniform(2.5, 4, 90), strict=True))
    factors = np.roll([1.2, 1.0, 0.85], brightest)
    planes = noisy(
        [
            factor * (50 + sum(peak * np.exp(-0.5 * ((x - a - dx) ** 2 + (y - b) ** 2) / 1.4) for a, b, peak in stars))
            for factor, dx in zip(factors, shifts, strict=True)
        ],
        seed=2,
    )
    assert whole_steps(planes) == (tuple((dx, 0) for dx in shifts) if measured else ((0, 0),) * 3)


#: two groups of three exposures, with their throughputs
SHIFTS = ((-1.15, 1.13), (-1.16, 1.16), (-1.02, 0.99), (-0.05, 0.13), (0.13, -0.22), (0.2, -0.15))
FACTORS = (0.93, 0.95, 0.98, 1.0, 1.06, 1.08)


@pytest.mark.parametrize("position", [(0, 0), (1, 0), (1, 0.5), (-0.75, 0.3), (0.5, -1)])
def test_one_of_two_groups_is_at_rest(position):
    """The median of the steps of two equal groups lies between them, along each axis on its own."""
    steps = steps_of(np.array(SHIFTS) + position)
    assert steps[:3] == (steps[0],) * 3
    assert steps[3:] == (steps[3],) * 3
    assert (0, 0) in steps
    assert np.subtract(steps[0], steps[3]).tolist() == [-1, 1]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (3, 4, 5, 0, 1, 2), (0, 3, 1, 4, 2, 5)])
def test_dark_rows_of_the_detector_change_no_throughput_of_a_field_that_moves(order):
    """They stay where they are, so that the exposures that move look brighter or fainter there."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:220, :260]
    detector = np.full(y.shape, 155.0)
    detector[1], detector[2] = 80, 117
    stars = list(zip(rng.uniform(12, 248, 14), rng.uniform(12, 208, 14), 10 ** rng.uniform(2.8, 4, 14), strict=True))
    fields = [
        detector + factor * sum(peak * np.exp(-((x - a - dx) ** 2 + (y - b - dy) ** 2) / 4.5) for a, b, peak in stars)
        for factor, (dx, dy) in zip(FACTORS, SHIFTS, strict=True)
    ]
    found = measure_differences(noisy(fields, seed=1)[list(order)], variance_of)
    expected = np.array(FACTORS)[list(order)]
    np.testing.assert_allclose(found.factors / np.mean(found.factors), expected / expected.mean(), atol=0.006)
    # these rows need no response of their own
    assert not found.lines


def test_edges_that_a_kernel_reaches():
    assert incomplete_edges(((0, 0), (0, 0)), 3) == []
    seen = np.ones((20, 30), bool)
    for edge in incomplete_edges(((0, 0), (2, 0), (-1, 0)), 3):
        seen[edge] = False
    assert not seen[:, :5].any()
    assert not seen[:, -5:].any()
    assert seen[:, 5:-5].all()
    for edge in incomplete_edges(((0, 0), (0, -1)), 3):
        seen[edge] = False
    assert not seen[:4].any()
    assert not seen[-4:].any()
    assert seen[4:-4, 5:-5].all()


def test_a_hit_in_a_scene_that_others_do_not_show_is_no_star():
    """Exposures that are shifted alike all show a star at the edge that the others do not; a hit is in one of them."""
    y, x = np.mgrid[:120, :140]
    rng = np.random.default_rng(9)
    stars = [*zip(*rng.uniform(10, 110, (2, 12)), 10 ** rng.uniform(2.5, 4, 12), strict=True), (142, 60, 3000)]
    fields = [
        100 + sum(peak * np.exp(-((x - a - dx) ** 2 + (y - b) ** 2) / 3) for a, b, peak in stars)
        for dx in (0, 0, 0, -4, -4)
    ]
    levels = noisy(fields, seed=2)
    levels[3, 30:33, -3:] += 800
    found = measure_differences(levels, variance_of)
    assert found.steps == ((0, 0),) * 3 + ((-4, 0),) * 2
    for noise in found.noises[3:]:
        assert np.sqrt(noise[31, -2]) < 50
        assert np.sqrt(noise[60, -2]) > 1000
    # the light that a single exposure shows may be a hit or a star
    found = measure_differences(levels[:4], variance_of)
    assert np.sqrt(found.noises[3][31, -2]) > 500


def test_stars_that_move_are_seen_beside_fringes_that_stay():
    """One star dominates the correlation, and without it fringes that do not move; sharp structures are the stars."""
    rng = np.random.default_rng(1)
    shape = 200, 240
    rows, columns = np.indices(shape)
    places, peaks = np.column_stack([rng.uniform(25, 175, 12), rng.uniform(25, 215, 12)]), rng.uniform(300, 3000, 12)
    peaks[0] = 60000
    fringes = np.where(columns > 120, 300, 90) * np.sin(np.hypot(columns - 80, rows - 50) / 4)

    def exposure(shift):
        stars = sum(
            peak * np.exp(-((rows - y - shift[1]) ** 2 + (columns - x - shift[0]) ** 2) / 2 / 1.3**2)
            for (y, x), peak in zip(places, peaks, strict=True)
        )
        return np.float32(rng.poisson(3000 + fringes + stars) + rng.normal(0, 4, shape))

    steps = np.array(whole_steps(np.stack([exposure(shift) for shift in ((0, 0), (1, 2), (0, 0))])))
    assert (steps[1] - steps[0]).tolist() == [1, 2]
    assert whole_steps(np.stack([exposure((0, 0)), exposure((0.3, -0.4))])) == ((0, 0), (0, 0))


def test_sharp_structures_give_no_step_along_a_trace_that_moves_alone():
    """A correlation that does not fall along the trace is that of a nod."""
    rng = np.random.default_rng(2)
    rows = np.indices((200, 240))[0]

    def spectrum(places, sides):
        light = sum(3000 * np.exp(-((rows - place) ** 2) / 2 / 1.5**2) for place in places) * sides
        return np.fft.rfft2(light + 10 * rng.standard_normal(rows.shape))

    trace, stars = np.ones(240), (np.arange(240) % 80 == 40).astype(float)
    assert _step_of_sharp(spectrum([112], trace), spectrum([100], trace), rows.shape) is None
    found = _step_of_sharp(spectrum([63, 112], stars), spectrum([60, 109], stars), rows.shape)
    assert tuple(map(round, found)) == (0, 3)
