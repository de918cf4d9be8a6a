"""The probability that all values of a pixel are hit, against an integral and numbers computed by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats

from crstack.joint import (
    hit_everywhere,
)
from crstack.joint.candidates import Candidates
from crstack.joint.counts import Counts
from crstack.joint.neighbourhoods import N_CLASSES


def test_heights_over_the_lower_neighbours():
    signal = np.full((5, 6), 10, np.float32)
    signal[2, 2:5] = [20, 100, 40]
    signal[1, 3] = 14
    variance = np.full(signal.shape, 9, np.float32)
    expected, usual, height = hit_everywhere._heights(signal, variance, (np.array([2, 0]), np.array([3, 0])))
    # of 10 (5 times), 14, 20 and 40 the third lowest, and the spread from the lowest to the fourth
    np.testing.assert_array_equal(expected, [10, 10])
    np.testing.assert_array_equal(usual, [3, 3])
    np.testing.assert_array_equal(height, [30, 0])
    signal[1, 2:5] = signal[3, 2] = 16
    expected, usual, height = hit_everywhere._heights(signal, variance, (np.array([2]), np.array([3])))
    # 10, 10, 16, 16, 16, 16, 20, 40
    assert expected[0] == 16
    assert usual[0] == pytest.approx(np.sqrt(9 + 36))
    assert height[0] == pytest.approx(84 / np.sqrt(45))
    signal[1:4, 2:5] = [[11, 12, 14], [17, 100, 23], [30, 38, 47]]
    expected, usual, height = hit_everywhere._heights(signal, variance, (np.array([2]), np.array([3])))
    assert (expected[0], usual[0]) == (14, pytest.approx(np.sqrt(9 + 36)))


def test_frequency_of_pixels_as_high():
    height = np.concatenate([np.zeros(970), np.full(10, 4.0), np.full(15, 8.0), np.full(5, 20.0)]).reshape(10, 100)
    # over 0.7 of 10 are twenty pixels, over 0.7 of 5 are thirty, and one more than were counted
    found = hit_everywhere._frequency_above(height, np.array([10.0, 5.0, 0.5]))
    np.testing.assert_allclose(found, [21 / 1000 / 10, 31 / 1000 / 5, 31 / 1000])


def test_density_of_two_clean_values():
    values = np.float32([[30.0], [75.0]])
    some = Candidates(
        (np.array([0]), np.array([0])), values, *(np.float32([[a], [b]]) for a, b in ((1, 2), (0, 5), (9, 16), (1, 1)))
    )
    assert some.lowest[0] == 30
    for i, (mean, variance) in enumerate([(30, 9 + 30), (65, 16 + 65)]):
        sigma = some.sigma(some.lowest)[i, 0]
        assert sigma == pytest.approx(np.sqrt(variance), rel=1e-3)
        expected = stats.norm.logpdf(values[i, 0], mean, np.sqrt(2) * sigma)
        assert hit_everywhere._log_agree(some, i, values[i])[0] == pytest.approx(expected, rel=1e-5)


def normal_hit(some, i, value, signal, classes, population):
    """In place of the density of a hit value: normal, 50 above the signal."""
    return stats.norm.logpdf(value, signal + 50, 30)


def two_values(values):
    """`Candidates` of two exposures without scales and shifts."""
    values = np.float32(values)
    columns = (np.float32([[a], [b]]) for a, b in ((1, 1), (0, 0), (9, 16), (1, 1)))
    return Candidates((np.zeros(values.shape[1], int),) * 2, values, *columns)


def test_chance_of_all_values_hit_is_an_integral_over_the_signal(monkeypatch):
    monkeypatch.setattr(hit_everywhere, "_log_hit", normal_hit)
    some, nearby, width = two_values([[160, 210], [190, 240]]), np.array([100.0, 120.0]), np.array([10.0, 40.0])
    found = hit_everywhere._log_all_hit(some, np.zeros((2, 2), int), nearby, width, None)
    for pixel in range(2):
        values = some.values[:, pixel]

        def density(step, values=values, level=nearby[pixel], sigma=width[pixel]):
            return stats.norm.pdf(step) * stats.norm.pdf(values, level + step * sigma + 50, 30).prod()

        expected = np.log(integrate.quad(density, -3, 3)[0])
        assert found[pixel] == pytest.approx(expected, abs=0.01)


def test_where_the_lowest_value_is_clean_the_others_are_hit_or_as_low(monkeypatch):
    monkeypatch.setattr(hit_everywhere, "_log_hit", normal_hit)
    some = two_values([[100, 300, 200], [160, 100, 202]])
    found = hit_everywhere._log_others_hit(some, np.zeros((2, 3), int), None)
    agree = hit_everywhere._log_agree(some, 1, some.values[1])[2]
    hit = [stats.norm.logpdf(60, 50, 30), stats.norm.logpdf(200, 50, 30), stats.norm.logpdf(2, 50, 30)]
    np.testing.assert_allclose(found, [hit[0], hit[1], max(hit[2], agree)], rtol=1e-5)
    assert agree > hit[2]


def test_pixels_that_may_be_hit_in_every_exposure(monkeypatch):
    """All values have hits beside them and are known, and the image rises there."""
    signal = np.full((30, 40), 100, np.float32)
    for row, column in ((4, 5), (9, 20), (25, 30)):
        signal[row, column] = 400
    beside, none = N_CLASSES - 1, 0
    where = np.array([4, 9, 15, 25]), np.array([5, 20, 20, 30])
    classes = np.array([[beside, beside, beside, beside], [none, beside, beside, beside]], np.int32)
    candidates = replace(
        two_values([[400, 400, 100, 400]] * 2), where=where, unknown=np.array([[False, True, False, False]] * 2)
    )
    monkeypatch.setattr(hit_everywhere, "clean_signal", lambda *_: signal.copy())
    monkeypatch.setattr(hit_everywhere, "_log_all_hit", lambda *_: -6.0)
    monkeypatch.setattr(hit_everywhere, "_log_others_hit", lambda *_: -3.0)
    field = SimpleNamespace(classes_at=lambda where: classes, chance=None, add_hits=lambda *_: None)
    counts = Counts(np.stack([signal] * 2), np.float32(25))
    which, chance = hit_everywhere.hit_everywhere(counts, candidates, field, None)
    # neither beside a hit in one exposure only, nor with a bad value, nor flat
    np.testing.assert_array_equal(which, [3])
    _, _, heights = hit_everywhere._heights(signal, signal + 25, tuple(one.ravel() for one in np.indices((30, 40))))
    height = heights.reshape(30, 40)[25, 30]
    frequency = hit_everywhere._frequency_above(heights, np.array([height]))[0]
    # the usual deviation there is that of its noise, as its neighbours are equal
    odds = np.exp(-6.0 + 3.0) * np.sqrt(425.0) / frequency
    assert chance[0] == pytest.approx(odds / (1 + odds), rel=1e-5)
