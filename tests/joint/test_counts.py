"""The exposures in electrons and their expected values, against numbers computed by hand."""

import numpy as np
import pytest

from crstack.joint import (
    cubes,
    measure,
)
from crstack.joint.counts import Counts
from crstack.joint.scatter import _median_of


def counts_of_two():
    rng = np.random.default_rng(1)
    return Counts(
        rng.uniform(10, 90, (2, 4, 5)).astype(np.float32),
        (np.float32(9), np.full((4, 5), 16, np.float32)),
        scales=(1.0, np.full((4, 5), 2.0)),
        shifts=(3.0, 0.0),
        poisson=(True, False),
        worth=(1.0, 0.5),
    )


def test_variances_and_levels_of_counts():
    counts = counts_of_two()
    np.testing.assert_allclose(counts.variance_of(0, np.float32(40)), 9 + 43)
    np.testing.assert_allclose(counts.variance_of(1, np.float32(40)), np.full((4, 5), 16 / 4))
    np.testing.assert_allclose(counts.mean_variance(np.float32(40)), np.full((4, 5), (52 + 4) / 2))
    # no photons below 0
    np.testing.assert_allclose(counts.variance_of(0, np.float32(-40)), 9)
    np.testing.assert_allclose(counts.levels, [counts.data[0] - 3, counts.data[1] / 2])
    level, variance, poisson = counts.expected(1, np.float32(40), np.float32(5))
    np.testing.assert_allclose(level, np.full((4, 5), 80))
    np.testing.assert_allclose(variance, np.full((4, 5), 16 + 4 * 5))
    assert not poisson


def test_values_as_they_are_combined():
    counts = counts_of_two()
    where = np.array([1, 3]), np.array([0, 4])
    values, expected = counts.combined_at(where, np.array([10.0, 20.0]))
    np.testing.assert_allclose(values, [counts.data[0][where], counts.data[1][where] / 2])
    np.testing.assert_allclose(expected, [[13, 23], [10, 20]])


def test_parts_of_counts():
    counts = counts_of_two()
    part = counts.rows((slice(1, 3), slice(2, 5)))
    np.testing.assert_array_equal(part.data, counts.data[:, 1:3, 2:5])
    assert part.variance[1].shape == part.scales[1].shape == (2, 3)
    assert part.worth == counts.worth
    turned = counts.ordered([1, 0])
    np.testing.assert_array_equal(turned.data, counts.data[::-1])
    assert turned.poisson == (False, True)
    assert turned.shifts == (0.0, 3.0)
    assert turned.worth == (0.5, 1.0)


def test_bad_values_have_the_level_of_the_others():
    data = np.float32([[[1.0]], [[np.nan]], [[5.0]]])
    counts = Counts(data, 9.0, bad=np.isnan(data))
    np.testing.assert_array_equal(counts.levels, np.float32([[[1.0]], [[3.0]], [[5.0]]]))
    # beside it no value is bad, two are, and all are
    data = np.float32([[[1, np.nan, 4, np.nan]], [[np.nan, np.nan, 5, np.nan]], [[5, 8, 9, np.nan]]])
    expected = np.float32([[[1, 8, 4, 0]], [[3, 8, 5, 0]], [[5, 8, 9, 0]]])
    np.testing.assert_array_equal(Counts(data, 9.0, bad=np.isnan(data)).levels, expected)


class Measured:
    """Differences that are given, in place of measured ones: by exposure a factor, a level and a variance."""

    def __init__(self, scales, added, noises, differ=True):
        self.scales, self.added, self.noises, self.differ = scales, added, noises, differ

    def __bool__(self):
        return self.differ

    def placed(self, places, n):
        order = np.argsort(places)
        assert len(order) == n
        return Measured(*([one[i] for i in order] for one in (self.scales, self.added, self.noises)), self.differ)


def test_differences_are_part_of_the_expected_values(monkeypatch):
    """An exposure that is s * x + b of a stack at t + f * s is t + f * b over it, and f * s of it."""
    data = np.float32([np.full((4, 5), 30.0), np.full((4, 5), 10.0), np.full((4, 5), 20.0)])
    asked = {}

    def measured(levels, variance_of, bad, names, noises, steps, comparable):
        asked.update(levels=levels, names=names, noises=noises, comparable=comparable)
        image = np.full((4, 5), 0.5)
        # for the faintest first
        return Measured([2.0, image, 4.0], [7.0, 0.0, 3.0], [1.0, 0.0, image])

    monkeypatch.setattr(measure, "measure_differences", measured)
    counts = Counts(data, np.float32(9), scales=(1.0, 2.0, 5.0), shifts=(6.0, 0.0, 0.0))
    found, differences = measure.with_measured_differences(counts, {"level"}, comparable=False)
    assert asked["comparable"] is False
    np.testing.assert_array_equal(asked["levels"], [data[1] / 2, data[2] / 5, data[0] - 6])
    assert asked["names"] == {"level"}
    # the variances of the levels at their median, 5
    noises = np.array([(9 + 10) / 2**2, (9 + 25) / 5**2, 9 + 5 + 6])
    np.testing.assert_allclose(asked["noises"], noises / noises.mean(), rtol=1e-5)
    assert differences.added == [3, 7, 0]
    for ours, expected in ((found.scales, [4, 4, 2.5]), (found.shifts, [9, 14, 0]), (found.variance, [9.5, 10, 9])):
        np.testing.assert_allclose([np.mean(one) for one in ours], expected)
    np.testing.assert_array_equal(found.data, data)
    # without scales and shifts of their own, and without noise
    monkeypatch.setattr(measure, "measure_differences", lambda *_, **__: Measured([2.0, 1.0], [7.0, 0.0], [0.0, 0.0]))
    found, _ = measure.with_measured_differences(Counts(data[:2], np.float32(9)), {"level"})
    assert (found.scales, found.shifts, found.variance) == ((1, 2), (0, 7), 9)
    # nothing differs
    equal = Measured([2.0, 1.0], [7.0, 0.0], [0.0, 0.0], False)
    monkeypatch.setattr(measure, "measure_differences", lambda *_, **__: equal)
    counts = Counts(data[:2], np.float32(9))
    assert measure.with_measured_differences(counts, {"level"})[0] is counts


@pytest.mark.parametrize("places", [[], [0], [59], [3, 17, 18, 40, 59]])
def test_values_of_single_pixels_band_by_band(monkeypatch, places):
    monkeypatch.setattr(cubes, "PIXELS_PER_BAND", 10)
    image = np.arange(2 * 60.0).reshape(2, 6, 10)
    places = np.array(places, dtype=int)
    found = cubes.taken(lambda where: image[:, *where], places, (6, 10))
    np.testing.assert_array_equal(found, image.reshape(2, 60)[:, places])


def test_median_of_two_exposures_is_the_lower_one_where_they_differ():
    """Of values that differ by more than noise; else their mean."""
    one = np.array([[100.0, 100.0], [900.0, 101.0]], np.float32)
    other = np.array([[102.0, 900.0], [100.0, 99.0]], np.float32)
    counts = Counts(np.stack([one, other]), np.float32(16))
    np.testing.assert_array_equal(_median_of(counts), [[101.0, 100.0], [100.0, 100.0]])
    three = Counts(np.stack([one, other, other]), np.float32(16))
    np.testing.assert_array_equal(_median_of(three), [[102.0, 900.0], [100.0, 99.0]])
