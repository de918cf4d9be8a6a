"""Variance where throughputs or levels differ and values are left out: that of the value brought to the mean."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from support.stacks import stack_of

from crstack import CRStack, JointPosterior, MaskSet
from crstack.combine.posterior_mean import posterior_mean
from crstack.combine.uncertain_pixels import PosteriorMeans
from crstack.datasets import make_stack
from crstack.joint.candidates import find_candidates
from crstack.joint.counts import Counts
from crstack.joint.field import Field
from crstack.joint.population import Population
from crstack.joint.posterior_signal import posterior_signal, signal_variance

pytestmark = pytest.mark.usefixtures("quick_joint")

CLOUDS = {2: (1.0, 0.5), 3: (1.0, 1.0, 0.4)}


@pytest.fixture(scope="module", params=list(CLOUDS))
def cloudy(request):
    """A stack in which a cloud dims the last exposure, its masks, and the simulation."""
    factors = CLOUDS[request.param]
    simulated = make_stack("imaging", (300, 320), len(factors), flux_factors=factors, hit_rate=0.02, seed=71)
    stack = stack_of(simulated)
    return stack, stack.detect("joint"), simulated


def test_masks_have_the_throughputs(cloudy, tmp_path):
    stack, masks, simulated = cloudy
    factors = np.array(CLOUDS[len(simulated.exposures)])
    np.testing.assert_allclose(masks.throughputs, factors / factors.mean(), rtol=0.02)
    masks.write(tmp_path / "crmasks.fits")
    again = MaskSet.read(tmp_path / "crmasks.fits")
    assert again.throughputs == pytest.approx(masks.throughputs)
    one, other = (stack.combine("meanjoint", masks=some).uncertainty.array for some in (masks, again))
    # the file rounds probabilities to bytes, which changes the uncertain ones
    chance = masks.probability.astype(np.float32)
    certain = (np.abs(chance - np.rint(chance)) < 0.003).all(axis=0) & masks["MEANCRT"]
    assert certain.sum() > 500
    np.testing.assert_allclose(one[certain], other[certain], rtol=0.01)


@pytest.mark.parametrize("name", ["meanjoint", "meancr2"])
def test_pulls_where_one_exposure_is_hit(cloudy, name):
    stack, masks, simulated = cloudy
    n = len(simulated.exposures)
    expected = simulated.expected.mean(axis=0)
    made = stack.combine(name, masks=masks)
    pull = (made.data - expected) / np.sqrt(made.uncertainty.array)
    flagged = masks.crmasks
    for i in range(n):
        alone = flagged[i] & (flagged.sum(axis=0) == 1) & (simulated.hits[i] > 200)
        alone &= np.delete(simulated.hits, i, axis=0).sum(axis=0) == 0
        assert alone.sum() > 200
        # without the throughputs it is 0.72 and 1.45 for two exposures, 0.83 and 1.09 for three
        assert np.std(pull[alone]) == pytest.approx(1, abs=0.12), i
    assert np.std(pull[~flagged.any(axis=0)]) == pytest.approx(1, abs=0.03)


@pytest.fixture(scope="module")
def brighter():
    """A stack whose sky levels differ by up to 30 times the noise, its masks, and the simulation."""
    simulated = make_stack("imaging", (300, 320), 3, sky_factors=(1.0, 2.5, 5.0), hit_rate=0.02, seed=73)
    stack = stack_of(simulated)
    return stack, stack.detect("joint"), simulated


@pytest.mark.parametrize("name", ["meanjoint", "meancr2", "mediancr"])
def test_pulls_where_the_sky_brightens(brighter, name):
    stack, masks, simulated = brighter
    made = stack.combine(name, masks=masks)
    pull = (made.data - simulated.expected.mean(axis=0)) / np.sqrt(made.uncertainty.array)
    flagged = masks.crmasks
    hit, masked = (simulated.hits > 0).any(axis=0), flagged.any(axis=0) & ~flagged.all(axis=0)
    # with the scatter of the levels in the variance, it is 0.85 where a value is masked, and 0.6 elsewhere; with the
    # variance of equal weights, it is 0.88 in mediancr
    assert np.std(pull[masked & (np.abs(pull) < 5)]) == pytest.approx(1, abs=0.06)
    if name == "meanjoint":
        assert np.std(pull[hit & ~masked]) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("name", ["meanjoint", "meancr2"])
def test_weights_do_not_change_the_level_where_the_sky_brightens(brighter, name):
    """The weighted mean is one of exposures on their mean level, where values are masked and elsewhere."""
    stack, masks, simulated = brighter
    made = stack.combine(name, masks=masks, weights=[1, 0.4, 0.2])
    pull = (made.data - simulated.expected.mean(axis=0)) / np.sqrt(made.uncertainty.array)
    flagged = masks.crmasks
    masked = flagged.any(axis=0) & ~flagged.all(axis=0)
    for some in (masked, ~flagged.any(axis=0)):
        # the weighted mean of the exposures as they are lies 5 standard deviations lower
        assert np.mean(pull[some]) == pytest.approx(0, abs=0.1)
        assert np.std(pull[some & (np.abs(pull) < 5)]) == pytest.approx(1, abs=0.06)


def test_equal_exposures_have_no_throughputs():
    stack = stack_of(make_stack("imaging", (80, 90), 3, seed=3))
    assert stack.detect("joint").throughputs == () or np.ptp(stack.masks.throughputs) < 0.02


class TestVarianceOfASignal:
    """Certain hits (probability 1) and clean values, by hand."""

    values = np.array([[900.0], [10.0], [14.0]])
    variance = np.array([[1.0], [4.0], [16.0]])
    hit = np.array([[1.0], [0.0], [0.0]])

    def test_of_the_plain_mean(self):
        mean, variance, count = posterior_mean(self.values, self.hit, self.variance)
        np.testing.assert_allclose([*mean, *variance, *count], [12, (4 + 16) / 4, 2])

    def test_of_the_mean_brought_to_the_mean_throughput(self):
        scales = np.array([[1.6], [0.6], [0.8]])
        _, variance, _ = posterior_mean(self.values, self.hit, self.variance, scales=scales)
        np.testing.assert_allclose(variance, (4 + 16) / (0.6 + 0.8) ** 2)
        _, variance, _ = posterior_mean(
            self.values, self.hit, self.variance, np.array([[1.0], [3.0], [1.0]]), scales=scales
        )
        np.testing.assert_allclose(variance, (9 * 4 + 16) / (3 * 0.6 + 0.8) ** 2)

    def test_of_an_uncertain_hit(self):
        """The variance within each set, and that of the two means."""
        chance = np.array([[1.0], [0.25], [0.0]])
        mean, variance, _ = posterior_mean(self.values, chance, self.variance)
        means, within = np.array([12.0, 14.0]), np.array([(4 + 16) / 4, 16.0])
        share = np.array([0.75, 0.25])
        np.testing.assert_allclose(mean, share @ means)
        np.testing.assert_allclose(variance, share @ within + share @ means**2 - (share @ means) ** 2)


def test_an_ordered_value_is_not_more_precise_than_the_mean():
    """Four clean values whose plain mean has a variance of 12.5; the second pixel is not corrected."""
    four = SimpleNamespace(
        exposures=None, masks=None, clean_variance=np.array([[200.0, 200.0]]), n_clean=np.array([[4, 4]])
    )
    posterior, place = PosteriorMeans(four), (np.array([0, 0]), np.array([0, 1]))
    vars(posterior)["_image_of_corrected"] = np.array([[0.5, 0.0]])
    np.testing.assert_allclose(posterior.variance_of_ordered(place, np.array([15.0, 15.0])), [3.0, 15.0])
    np.testing.assert_allclose(posterior.variance_of_ordered(place, np.array([0.98, 0.98])), [0.5, 0.98])


def test_variance_of_a_signal_by_hand():
    """A certain hit, and two clean values whose throughputs and noises differ."""
    scales, variances = np.array([1.6, 0.6, 0.8]), np.array([100.0, 4.0, 16.0])
    counts = Counts(
        np.array([900.0, 60.0, 81.0], np.float32).reshape(3, 1, 1),
        tuple(np.float32(one) for one in variances),
        scales=tuple(np.float32(one) for one in scales),
        shifts=(np.float32(0),) * 3,
        poisson=(False,) * 3,
    )
    nowhere = np.zeros((1, 1), np.float32)
    candidates = find_candidates(counts, nowhere, np.full((1, 1), 5, np.float32), np.ones((3, 1, 1), bool))
    chance = np.array([[1.0], [0.0], [0.0]], np.float32)
    field = Field((3, 1, 1))
    signal, variance = posterior_signal(field, candidates, Population())
    information = 0.36 / 4 + 0.64 / 16
    np.testing.assert_allclose(signal, (0.6 * 60 / 4 + 0.8 * 81 / 16) / information, rtol=2e-3)
    np.testing.assert_allclose(variance, 1 / information, rtol=0.02)
    image = signal_variance(counts, candidates, signal, variance, chance)
    np.testing.assert_allclose(image, variance[0] * scales.mean() ** 2, rtol=1e-5)
    without = replace(counts, bad=np.array([True, False, False]).reshape(3, 1, 1))
    image = signal_variance(without, candidates, signal, variance, chance)
    np.testing.assert_allclose(image, variance[0] * scales[1:].mean() ** 2, rtol=1e-5)


def test_variance_of_a_hit_value_includes_the_error_of_what_is_expected_of_it():
    """The third exposure alone shows a place: the error of what is expected of it is measured by a clean value."""
    variance = np.full((1, 50), 20, np.float32)
    unseen = variance.copy()
    unseen[0, 0] += 900
    counts = Counts(np.full((3, 1, 50), 100, np.float32), (variance, variance, unseen), worth=(np.float32(1),) * 3)
    candidates = SimpleNamespace(where=(np.array([0, 0]), np.array([0, 1])))
    signal = of_signal = np.full(2, 40.0)
    images = [
        signal_variance(counts, candidates, signal, of_signal, np.array([[0.01] * 2, [0.0] * 2, [chance] * 2]))
        for chance in (0.0, 0.5, 1.0)
    ]
    share = 900 / (920 + 100)
    expected = [40 + 900 * (1 - (1 - chance) * share) / 9 for chance in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose([image[0, 0] for image in images], expected, rtol=1e-6)
    np.testing.assert_allclose([image[0, 1] for image in images], 40, rtol=1e-6)


@pytest.fixture(scope="module")
def unlike():
    """Three exposures of very different noise with uncertainties of their own, their masks, and the simulation."""
    more = (0, 10, 30)
    rng = np.random.default_rng(9)
    simulated = make_stack("imaging", (300, 320), hit_rate=0.02, seed=21)
    exposures = []
    for one, expected, sigma in zip(simulated.exposures, simulated.expected, more, strict=True):
        variance = np.maximum(expected, 0) + simulated.readnoise.value**2 + sigma**2
        data = (one.data + rng.normal(0, sigma, expected.shape)).astype(np.float32)
        exposures.append(CCDData(data, unit="adu", uncertainty=StdDevUncertainty(np.sqrt(variance))))
    stack = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise, differences=None)
    return stack, stack.detect(JointPosterior(excess=False)), simulated


@pytest.mark.parametrize("name", ["meanjoint", "meancr2"])
def test_variance_beside_a_hit_in_one_of_unlike_exposures(unlike, name):
    stack, masks, simulated = unlike
    made = stack.combine(name, masks=masks)
    error = made.data - simulated.expected.mean(axis=0)
    pull, flagged = error / np.sqrt(made.uncertainty.array), masks.crmasks
    for i, weakest in enumerate((100, 100, 300)):
        alone = flagged[i] & (flagged.sum(axis=0) == 1) & (simulated.hits[i] > weakest)
        alone &= np.delete(simulated.hits, i, axis=0).sum(axis=0) == 0
        assert alone.sum() > 300
        # the variance of a plain mean gives 0.6 where the first exposure is hit
        assert np.std(pull[alone]) == pytest.approx(1, abs=0.08), i
