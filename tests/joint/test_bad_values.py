"""Bad values in the joint decision."""

import numpy as np
import pytest
from support.joint import even_shapes

from crstack import CRStack, JointPosterior
from crstack.joint import Counts
from crstack.joint.candidates import Candidates
from crstack.joint.field import Field
from crstack.joint.neighbourhoods import N_CLASSES
from crstack.joint.odds import log_odds_alone
from crstack.joint.population import Population
from crstack.joint.posterior_signal import posterior_signal, signal_shift
from crstack.joint.sweeps import sweep


def one_pixel(values, bad):
    """Candidates of one pixel in the middle of 3 x 3; the noise is 5 electrons."""
    one = np.ones((1, 1), np.float32)
    unknown = np.array(bad)[:, None] if any(bad) else None
    values = np.array(values, np.float32)[:, None]
    return Candidates((np.array([1]), np.array([1])), values, one, 0 * one, 25 * one, 0 * one, unknown)


def test_a_bad_value_beside_hits_has_no_influence_on_the_signal():
    pixel = one_pixel([40, 46, 900], [False, False, True])
    population = Population(rate=np.full(N_CLASSES, 0.9), shapes=even_shapes())
    population.rate[0] = 1e-4
    signals = []
    for chance in (0.0, 1.0):
        field = Field((3, 3, 3))
        beside = np.array([[0.0], [0.0], [chance]], dtype=np.float32)
        field.set((np.array([1]), np.array([0])), beside, np.full((3, 1), 100, np.float32))
        signals.append(posterior_signal(field, pixel, population)[0])
    assert signals[0] == signals[1]
    assert signals[0] == pytest.approx(43, abs=2)


@pytest.mark.parametrize("values", [(40, 46), (40, 70), (55, 40)])
@pytest.mark.parametrize("rate", [1e-3, 0.9])
def test_a_pixel_with_a_bad_value_is_one_of_a_stack_that_lacks_it(values, rate):
    """However probable hits are, one of the known values is clean."""
    population = Population(rate=np.full(N_CLASSES, rate), shapes=even_shapes())
    found = []
    for pixel in (one_pixel(values, [False] * 2), one_pixel((*values, 900), [False, False, True])):
        field = Field((len(pixel.values), 3, 3))
        tables = pixel.tables()
        sweep(field, pixel, tables, population)
        chance = field.probability[:, 1, 1]
        assert (chance[2:] == 0).all()
        signal, variance = posterior_signal(Field(field.probability.shape), pixel, population)[:, 0]
        odds = log_odds_alone(pixel, tables, population)[:2, 0]
        found.append([*chance[:2], signal, np.sqrt(variance), *odds])
    # the nodes of the integral lie closer for three values
    np.testing.assert_allclose(found[0], found[1], atol=0.05)


def test_the_signal_of_few_photons_is_their_mean_also_beside_a_bad_value():
    """With photon noise, the inverse of the variance is the prior: without it, the signal is too high by .5 photon."""
    one, population = np.ones((1, 1), np.float32), Population(rate=np.full(N_CLASSES, 1e-6), shapes=even_shapes())
    found = []
    for values in ((6.0, 8.0), (6.0, 8.0, 900.0)):
        unknown = np.array([[False], [False], [True]]) if len(values) == 3 else None
        levels = np.array(values, np.float32)[:, None]
        pixel = Candidates((np.array([1]), np.array([1])), levels, one, 0 * one, one, one, unknown)
        found.append(posterior_signal(Field((len(values), 3, 3)), pixel, population)[0])
    np.testing.assert_allclose(found, 7, atol=0.12)


def test_bad_values_are_not_flagged_and_harm_nothing(simulated):
    rng = np.random.default_rng(5)
    exposures = [ccd.copy() for ccd in simulated.exposures]
    bad = rng.random((3, *exposures[0].shape)) < 0.01
    for ccd, mask in zip(exposures, bad, strict=True):
        ccd.data[mask] = 1e6
        ccd.mask = mask
    stack = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    found = stack.detect(method=JointPosterior()).crmasks
    assert not found[bad].any()
    assert found[simulated.hit_mask(10) & ~bad].mean() > 0.97


def test_bad_values_do_not_count_in_the_shift_of_the_signal():
    values = np.float32([[100], [130], [5000]])
    unknown = np.array([[False], [False], [True]])
    one = np.ones((1, 1), np.float32)
    where = (np.array([1]), np.array([2]))
    candidates = Candidates(where, values, one, 0 * one, 16 * one, one, unknown)
    data, bad = np.zeros((3, 3, 4), np.float32), np.zeros((3, 3, 4), bool)
    data[:, 1, 2], bad[:, 1, 2] = values[:, 0], unknown[:, 0]
    chance = np.float32([[0], [0.5], [0]])
    shift = signal_shift(Counts(data, np.float32(16), bad), candidates, np.array([109.0]), chance)
    # half of it is the mean of both, half the lower one
    assert shift[1, 2] == pytest.approx(109 - (100 + 115) / 2)
    assert np.count_nonzero(shift) == 1
    # an exposure that is twice as deep, and is combined as if it were not
    counts = Counts(data, np.float32(16), bad, scales=(1.0, 2.0, 1.0), worth=(1.0, 0.5, 1.0))
    shift = signal_shift(counts, candidates, np.array([109.0]), chance)
    assert shift[1, 2] == pytest.approx(109 - (100 + 82.5) / 2)
    # and if it is combined as it is
    counts = Counts(data, np.float32(16), bad, scales=(1.0, 2.0, 1.0), shifts=(0.0, 3.0, 0.0))
    shift = signal_shift(counts, candidates, np.array([70.0]), chance)
    assert shift[1, 2] == pytest.approx((70 + 143) / 2 - (100 + 115) / 2)
