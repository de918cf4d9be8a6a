"""Lines that are tilted or curved by several pixels, such as those of the sky along a long slit."""

import numpy as np
import pytest

from crstack.equalize.fit.lines.course_of_lines import changed_courses, course_of_lines
from crstack.equalize.fit.lines.courses import Course
from crstack.equalize.fit.lines.line_hits import LineHits
from crstack.equalize.fit.lines.lines import fit_lines
from crstack.equalize.fit.lines.straight_lines import straight_part
from crstack.equalize.measure import measure_differences

SHAPE = (240, 260)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
MIDDLE = SHAPE[0] / 2
READNOISE2 = np.float32(16)


def shifts_of(tilt, curve):
    """Shifts (ny, nx) of lines that move by ``tilt`` pixels along the slit, and by ``curve`` more at its ends."""
    row = (Y - MIDDLE) / SHAPE[0]
    return tilt * row + 4 * curve * row**2


def lines_at(shifts, seed=1, peak=900):
    """Lines of the sky (ny, nx) with a course."""
    places = np.arange(-40, SHAPE[1] + 40, 19) + np.random.default_rng(seed).uniform(-4, 4, 18)
    return peak * sum(np.exp(-0.5 * ((X - shifts - at) / 1.3) ** 2) for at in places)


def trace(level=1500.0):
    """A trace along x."""
    return level * np.exp(-0.5 * ((Y - 100 - 0.01 * X) / 1.7) ** 2)


def with_noise(expected, seed, rate=0.004):
    """Exposures (N, ny, nx) with noise and hits."""
    rng = np.random.default_rng(seed)
    cube = rng.poisson(expected) + np.sqrt(READNOISE2) * rng.standard_normal(expected.shape)
    hit = rng.random(expected.shape) < rate
    cube[hit] += rng.uniform(50, 3000, hit.sum())
    return cube.astype(np.float32)


def variance_of(signal, box=None):
    """Variance of a value, square electrons."""
    return np.maximum(signal, 0) + READNOISE2


@pytest.mark.parametrize(("tilt", "curve"), [(48, 0), (0, 12), (-30, 9), (12, -16)])
def test_the_course_of_lines_is_measured(tilt, curve):
    expected = 20 + lines_at(shifts_of(tilt, curve)) + trace()
    course = course_of_lines(np.median(with_noise(np.stack([expected] * 3), 3), axis=0))
    straight = course.straightened((20 + lines_at(shifts_of(tilt, curve))).astype(np.float32))
    # the lines are in columns; at the edges they begin within the image
    inside = straight[:, 60:-60]
    assert np.abs(inside - np.median(inside, axis=0)).max() < 120
    assert np.ptp(inside, axis=0).mean() < 45


@pytest.mark.parametrize("image", [20 + lines_at(shifts_of(3, 0.5)), 20 + trace(), 20 + 0 * X])
def test_nearly_straight_lines_and_other_images_have_no_course(image):
    rng = np.random.default_rng(4)
    assert course_of_lines(rng.poisson(image).astype(np.float32)) is None


def test_stars_have_no_course():
    rng = np.random.default_rng(5)
    image = np.full(SHAPE, 50.0)
    for x, y in rng.uniform(0, 240, (60, 2)):
        image += 2000 * np.exp(-0.5 * ((X - x) ** 2 + (Y - y) ** 2) / 1.3**2)
    assert course_of_lines(rng.poisson(image).astype(np.float32)) is None


@pytest.mark.parametrize("shape", [(8, 300), (190, 300), (300, 40)])
def test_small_images_have_no_course(shape):
    assert course_of_lines(np.ones(shape, np.float32)) is None


@pytest.mark.parametrize(("tilt", "curve"), [(48, 0), (0, 12), (-30, 9)])
def test_an_image_is_straightened_and_bent_back(tilt, curve):
    course = Course(shifts_of(tilt, curve) * (1 + 0.1 * (X / SHAPE[1] - 0.5)))
    image = (lines_at(shifts_of(tilt, curve)) + trace()).astype(np.float32)
    back = course.bent(course.straightened(image))
    # two interpolations of lines of 900
    assert np.abs(back - image)[:, 3:-3].max() < 25
    values = np.arange(course.width, dtype=np.float32)
    np.testing.assert_allclose(np.diff(course.bent(values), axis=1)[:, 3:-3], 1, atol=0.2)


def test_rows_of_a_large_image_are_straightened_as_all_of_it():
    """Large images are straightened in bands of rows."""
    rows, columns = np.mgrid[:700, :500].astype(float)
    course = Course(9 * ((rows - 350) / 350) ** 2)
    straight = course.straightened(np.float32(columns - 9 * ((rows - 350) / 350) ** 2))
    inside = straight[:, 12:-12]
    np.testing.assert_allclose(inside, np.broadcast_to(inside[350], inside.shape), atol=0.01)


def test_values_of_the_nearest_pixels_are_those_of_the_image():
    course = Course(shifts_of(30, 9))
    image = np.random.default_rng(6).normal(size=SHAPE).astype(np.float32)
    taken = course.taken(np.stack([image, -image]), beyond=7)
    assert taken.shape == (2, SHAPE[0], course.width)
    assert np.count_nonzero(taken == 7) == 2 * SHAPE[0] * (course.width - SHAPE[1])
    # each pixel once
    for row, straight in zip(image, taken[0], strict=True):
        np.testing.assert_array_equal(straight[straight != 7], row)


@pytest.mark.parametrize("axis", ["y", "x"])
def test_the_straight_part_follows_a_course(axis):
    shifts = shifts_of(30, 9)
    sky, course = 20 + lines_at(shifts), Course(shifts)
    both = (sky + trace()).astype(np.float32)
    part = straight_part(both if axis == "y" else both.T, axis, course)
    part = part if axis == "y" else part.T
    assert np.abs(part - sky)[:, 5:-5].max() < 60
    # the median over 56 rows is wrong by most of a line
    assert np.abs(straight_part(both, "y") - sky)[:, 5:-5].max() > 500


@pytest.mark.parametrize("axis", ["y", "x"])
def test_curved_lines_that_brighten_are_no_hits(axis):
    shifts = shifts_of(30, 9)
    lines, hits = lines_at(shifts), np.zeros(SHAPE)
    hits[50:60, 130] = hits[200, 60:66] = 4000
    common, left = (one.astype(np.float32) for one in (20 + lines, lines + hits))
    if axis == "x":
        common, left, hits = common.T, left.T, hits.T
    limit = (4 * np.sqrt(common + 16)).astype(np.float32)
    found = LineHits(common, limit, {axis: Course(shifts)}).hits_in(left)
    # at the edges, a few pixels of a line may look like a hit
    inside = np.s_[:, 3:-3] if axis == "y" else np.s_[3:-3]
    np.testing.assert_array_equal(found[inside], hits[inside] > 0)
    assert np.count_nonzero(LineHits(common, limit).hits_in(left) & (hits == 0)) > 1000


def test_a_line_that_leaves_the_image_has_the_level_of_its_last_cells():
    """Cells without light are beyond the edge of the image."""
    rng = np.random.default_rng(9)
    light, change = np.zeros((9, 400), np.float32), np.array([-0.1, 0, 0.1])[:, None, None]
    light[3:6, :60] = 400
    variance = light + READNOISE2
    left = (change * light + rng.normal(size=(3, 9, 400)) * np.sqrt(variance)).astype(np.float32)
    share = fit_lines(left, light, variance, continued=True)[0]
    np.testing.assert_allclose(share[:, 3:6], np.broadcast_to(change, (3, 3, 400)), atol=0.02)
    # without it, the share decreases to 0 from the centre of the last cell with light on
    assert np.abs(fit_lines(left, light, variance)[0][:, 3:6, 50:] - change).max() > 0.03


def test_only_lines_that_change_along_a_course_have_one():
    rng = np.random.default_rng(7)
    sky = lines_at(shifts_of(30, 9))
    common = (20 + sky + trace()).astype(np.float32)
    variance, noise = common + READNOISE2, rng.normal(size=(3, *SHAPE)) * np.sqrt(common + READNOISE2)
    change = np.array([-0.1, 0, 0.1])[:, None, None]
    assert changed_courses(noise.astype(np.float32), common, variance, 100) == {}
    assert changed_courses((noise + change * trace()).astype(np.float32), common, variance, 100) == {}
    assert set(changed_courses((noise + change * sky).astype(np.float32), common, variance, 100)) == {"y"}
    turned = changed_courses((noise + change * sky).astype(np.float32).swapaxes(1, 2), common.T, variance.T, 100)
    assert set(turned) == {"x"}


@pytest.mark.parametrize(
    ("factors", "kept"),
    [((1, 1.7, 0.85), (1, 0.8, 1.1)), ((1, 2), (1, 1))],
    ids=["trace loses light", "two exposures"],
)
def test_curved_lines_that_brighten_beside_a_trace_are_described(factors, kept):
    sky = lines_at(shifts_of(24, 9), peak=500)
    expected = np.stack([20 + factor * sky + share * trace() for factor, share in zip(factors, kept, strict=True)])
    found = measure_differences(with_noise(expected, 8), variance_of)
    scales, added = (
        np.stack([one + np.zeros(SHAPE) for one in some]) for some in (found.scales, found.added)
    )  # fmt: skip
    common = (expected - added).sum(axis=0) / scales.sum(axis=0)
    left = np.abs(scales * common + added - expected) / np.sqrt(expected + READNOISE2)
    # the noise of a value is 1
    assert np.percentile(left, 99) < 1
    assert np.sqrt(np.mean(left**2)) < 0.2
    # lines leave the image there. 6 to 8 if short pieces of lines look like hits
    assert np.percentile(left[..., [0, 1, 2, 3, -4, -3, -2, -1]], 99) < 4
