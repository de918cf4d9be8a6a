"""Weighted means and their variances."""

from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import MaskSet
from crstack.combine import Combiner
from crstack.combine.posterior_mean import posterior_mean
from crstack.combine.weights import _median_variance, exposure_weights
from crstack.exceptions import InputError
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics

SHAPE = (20, 24)
SIGMAS = (3.0, 4.0, 6.0)


def stacked(seed=1, shape=SHAPE, masked=(), bad=(), probability=False, sigmas=SIGMAS):
    """Arguments of a combiner: exposures that differ in noise, and masks with (exposure, y, x) flagged."""
    rng = np.random.default_rng(seed)
    ccds = [
        CCDData(rng.normal(100, sigma, shape), unit=u.adu, uncertainty=StdDevUncertainty(np.full(shape, sigma)))
        for sigma in sigmas
    ]
    for i, y, x in bad:
        ccds[i].mask = np.zeros(shape, bool)
        ccds[i].mask[y, x] = True
    exposures = load_exposures(ccds, gain=1 * u.electron / u.adu, readnoise=3 * u.electron)
    n = len(sigmas)
    names = ["MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR"]
    codes = {name: np.zeros(shape, np.uint8) for name in names}
    chance = np.zeros((n, *shape), np.float16)
    for i, y, x in masked:
        codes[f"CRMASK{i + 1}"][y, x] = codes["MEANCRT"][y, x] = 2
        chance[i, y, x] = 1
    masks = MaskSet(codes, probability=chance if probability else None)
    return exposures, order_statistics(exposures.data, 2, exposures.bad), masks


def by_hand(exposures, weights, y, x, used=(0, 1, 2)):
    values, weights, sigmas = (
        np.array(one, dtype=float)[list(used)] for one in (exposures.data[:, y, x], weights, SIGMAS)
    )
    return (weights * values).sum() / weights.sum(), (weights**2 * sigmas**2).sum() / weights.sum() ** 2


@pytest.mark.parametrize("name", ["mean", "meancrt", "meancr", "meancr2", "meanjoint"])
def test_weighted_means_by_hand(name):
    given = stacked(masked=[(1, 5, 5)], bad=[(0, 7, 7)], probability=name == "meanjoint")
    exposures, weights = given[0], [1.0, 2.0, 5.0]
    made = Combiner(*given, weights=weights).combine(name)
    all_three, without_1, without_0 = (0, 1, 2), (0, 2), (1, 2)
    at_hit = {"mean": all_three, "meancrt": None}.get(name, without_1)
    for (y, x), used in {(2, 3): all_three, (7, 7): without_0, (5, 5): at_hit}.items():
        if used is not None:
            value, variance = by_hand(exposures, weights, y, x, used)
            assert made.ccd.data[y, x] == pytest.approx(value, rel=1e-6)
            assert made.ccd.uncertainty.array[y, x] == pytest.approx(variance, rel=1e-6)
            assert made.count[y, x] == len(used)
    if name == "meancrt":
        # the median of all three replaces it, without weights
        assert made.ccd.data[5, 5] == pytest.approx(np.median(exposures.data[:, 5, 5]))


@pytest.mark.parametrize("name", ["median", "min", "mediancr"])
def test_weights_do_not_touch_medians(name):
    given = stacked(masked=[(1, 5, 5)])
    plain, weighted = (Combiner(*given, weights=weights).combine(name) for weights in (None, [1, 2, 5]))
    np.testing.assert_array_equal(plain.ccd.data, weighted.ccd.data)


@pytest.mark.parametrize("name", ["mean", "meancr2", "meanjoint"])
def test_equal_weights_give_the_plain_mean(name):
    given = stacked(masked=[(1, 5, 5), (0, 9, 9), (1, 9, 9), (2, 9, 9)], bad=[(0, 7, 7)], probability=True)
    plain, weighted = (Combiner(*given, weights=weights).combine(name) for weights in (None, [7, 7, 7]))
    np.testing.assert_allclose(plain.ccd.data, weighted.ccd.data, rtol=1e-6)
    np.testing.assert_allclose(plain.ccd.uncertainty.array, weighted.ccd.uncertainty.array, rtol=1e-5)
    np.testing.assert_array_equal(plain.count, weighted.count)


def test_variance_weights_are_the_best_and_their_variance_holds():
    given = stacked(shape=(200, 200))
    weights = exposure_weights("variance", given[0])
    np.testing.assert_allclose(weights / weights[0], [1, 9 / 16, 9 / 36], rtol=1e-6)
    ccd = Combiner(*given, weights="variance").combine("mean").ccd
    plain = Combiner(*given).combine("mean").ccd
    best = 1 / sum(1 / sigma**2 for sigma in SIGMAS)
    np.testing.assert_allclose(ccd.uncertainty.array, best, rtol=1e-5)
    assert ccd.data.var() == pytest.approx(best, rel=0.03)
    assert plain.data.var() > 1.25 * ccd.data.var()


def test_weights_by_exposure_time():
    class Timed(SimpleNamespace):
        def __len__(self):
            return 3

    exposures = Timed(exptimes=(600.0, 600.0, 300.0))
    np.testing.assert_allclose(exposure_weights("exptime", exposures), [1.2, 1.2, 0.6])
    exposures.exptimes = (600.0, None, 300.0)
    with pytest.raises(InputError, match='exposure times must be known for weights="exptime"'):
        exposure_weights("exptime", exposures)


@pytest.mark.parametrize(
    "weights", ["best", [1, 2], [1, 2, 0], [1, 2, np.nan], [[1, 2, 3]], 5.0, ["a", "b", "c"], object()]
)
def test_wrong_weights(weights):
    with pytest.raises(InputError, match="weights must be variance or exptime, or 3 positive numbers; got "):
        Combiner(*stacked(), weights=weights)


def test_weighted_posterior_mean_by_hand():
    """Two uncertain values of three: four sets of clean ones, each with its weighted mean."""
    values, chance = np.array([[10.0], [12.0], [30.0]]), np.array([[0.0], [0.25], [0.75]])
    variance, weights = np.array([[4.0], [9.0], [16.0]]), np.array([[1.0], [2.0], [3.0]])
    value, error, count = posterior_mean(values, chance, variance, weights)
    sets = {(0, 1, 2): 0.75 * 0.25, (0, 1): 0.75 * 0.75, (0, 2): 0.25 * 0.25, (0,): 0.25 * 0.75}
    means, within = {}, {}
    for one in sets:
        w, x, v = (array[list(one), 0] for array in (weights, values, variance))
        means[one], within[one] = (w * x).sum() / w.sum(), (w**2 * v).sum() / w.sum() ** 2
    mean = sum(sets[one] * means[one] for one in sets)
    assert value[0] == pytest.approx(mean)
    assert error[0] == pytest.approx(sum(sets[one] * (within[one] + (means[one] - mean) ** 2) for one in sets))
    assert count[0] == 2


def test_bad_values_have_no_part_in_the_weights():
    variance, bad = np.full((4, 5), 2.0), np.zeros((4, 5), bool)
    bad[:2], variance[:2] = True, 50.0
    exposures = SimpleNamespace(variance_of=lambda i, level: variance, bad_of=lambda i: bad if i == 0 else None)
    variance[2] = 6.0
    assert _median_variance(exposures, 0, 100.0) == 4.0
    assert _median_variance(exposures, 1, 100.0) == 28.0
