"""The fit of the population of hits, and what it takes from the stack."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, InverseVariance
from support.stacks import stack_of

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.joint import Counts, joint_posterior, sample
from crstack.joint.candidates import Candidates, Chosen, find_candidates
from crstack.joint.charges import LOG_SIGMA, sigma_index
from crstack.joint.field import Field
from crstack.joint.likelihood import NODE_REACH
from crstack.joint.neighbourhoods import N_CLASSES, neighbour_class
from crstack.joint.population import Population
from crstack.joint.sample import _numbers, numbers_by_noise
from crstack.joint.scatter import scatter_of
from crstack.joint.sweeps import sweep


@pytest.mark.parametrize("n", [2, 3, 5])
def test_hits_that_are_not_examined_are_as_frequent_as_simulated(n):
    rng = np.random.default_rng(n)
    charge = np.array([0.5, 2.0, 4.0, 8.0])
    values = rng.standard_normal((len(charge), 50_000, n))
    values[..., 0] += charge[:, None]
    missed = (np.ptp(values, axis=2) <= 3.5).mean(axis=1)
    found = Chosen(np.zeros((1, 1), bool), 3.5, n).missed(charge)
    np.testing.assert_allclose(found, missed, atol=0.012)
    assert missed[0] > 0.8
    assert missed[-1] < 0.01


def test_values_are_counted_by_class_and_by_the_noise_of_their_row():
    """Each row has a noise of its own."""
    rng = np.random.default_rng(3)
    n, shape = 2, (30, 20)
    field = Field((n, *shape))
    where = np.nonzero(rng.random(shape) < 0.1)
    field.set(where, rng.choice([0.0, 0.9], (n, len(where[0]))).astype(np.float32), np.full((n, len(where[0])), 30.0))
    sigma = np.geomspace(1, 100, shape[0])[:, None] * np.ones(shape)
    everywhere = tuple(index.ravel() for index in np.indices(shape))
    classes, noise = field.classes_at(everywhere), sigma_index(sigma).ravel()
    chosen = rng.random(shape) < 0.5
    of_sigma = sigma_index(sigma)
    found = _numbers(field, of_sigma, chosen, numbers_by_noise(of_sigma, chosen))
    for numbers, some in zip(found, (np.ones(shape, bool), chosen), strict=True):
        wanted, keep = np.zeros((N_CLASSES, LOG_SIGMA.size)), some.ravel()
        for plane in classes:
            np.add.at(wanted, (plane[keep], noise[keep]), 1)
        np.testing.assert_array_equal(numbers, wanted)
    assert (classes > 0).sum() > 100


def test_classes_of_neighbourhood():
    number = np.float32([0.0, 0.3, 1.0, 1.0, 4.0])
    charge = np.float32([0.0, 100.0, 1.0, 700.0, 10.0])
    # seven classes of charge for each of seven numbers; none without a hit neighbour
    np.testing.assert_array_equal(neighbour_class(number, charge), [0, 7 + 4, 14, 14 + 6, 42 + 2])


def test_extrapolation_ends_where_steps_lead_to():
    """Steps of which each leaves 0.8 of the way: two of them suffice."""
    start = Population()
    goal = np.log(start.rate) + np.linspace(-1, 1, N_CLASSES)

    def after(k):
        rate = np.exp(goal + 0.8**k * (np.log(start.rate) - goal))
        return Population(rate=rate, shapes=start.shapes)

    found = after(0).extrapolated(after(1), after(2))
    np.testing.assert_allclose(np.log(found.rate), np.minimum(goal, np.log(after(2).rate.max())), atol=0.01)
    np.testing.assert_allclose(found.shapes, start.shapes)


@pytest.mark.parametrize("n", [3, 5])
def test_probabilities_hold_where_all_pixels_have_the_noise_of_one_sky(n):
    """Faint hits are frequent: they must not count as noise, and an error of 3 % of their density would not average."""
    simulated = make_stack(
        "imaging", (300, 350), n, gain=1 * u.electron / u.adu, hit_rate=0.03, population="single", seed=63
    )
    result = joint_posterior(Counts(cube_of(simulated), np.float32(3.4**2)), JointPosterior())
    assert str(result.excess) == "none"
    probability, hit = result.probability, simulated.hit_mask(0.5)
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 0.9)):
        chosen = (probability >= low) & (probability < high)
        assert hit[chosen].mean() == pytest.approx(probability[chosen].mean(), abs=0.07)


def test_probabilities_hold_among_wide_tracks():
    """Their faint edges raise the prediction of the pixels beside. If they stay in it, deviations reach 0.09."""
    probability, hit = [], []
    for seed in (61, 64):
        simulated = make_stack(
            "imaging", (300, 350), 3, gain=1 * u.electron / u.adu, hit_rate=0.03, population="worms", seed=seed
        )
        result = joint_posterior(Counts(cube_of(simulated), np.float32(3.4**2)), JointPosterior())
        probability.append(result.probability)
        hit.append(simulated.hit_mask(0.5))
    probability, hit = np.stack(probability), np.stack(hit)
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 0.9)):
        chosen = (probability >= low) & (probability < high)
        assert hit[chosen].mean() == pytest.approx(probability[chosen].mean(), abs=0.04)


def test_few_values_are_doubtful_beside_tracks_without_faint_charges():
    """All charges are over 10 sigma. Beside such tracks, faint charges must not remain from the start of the fit."""
    simulated = make_stack(
        "imaging", (300, 350), 5, gain=1 * u.electron / u.adu, hit_rate=0.03, population="thin", seed=71
    )
    result = joint_posterior(Counts(cube_of(simulated), np.float32(3.4**2)), JointPosterior())
    doubtful = (result.probability > 0.05) & (result.probability < 0.95)
    # of 16 000 hits
    assert doubtful.sum() < 150


@pytest.mark.parametrize("n", [2, 3])
def test_the_signals_of_the_fit_are_all_that_count(monkeypatch, n):
    """A longer reach of the integral over the signal leaves the sums of the fit as they are, and needs more nodes."""
    simulated = make_stack("imaging", (150, 180), n, gain=1 * u.electron / u.adu, hit_rate=0.03, seed=72)
    counts = Counts(cube_of(simulated), np.float32(3.4**2))
    scatter = scatter_of(counts)
    sigma = np.sqrt(counts.mean_variance(scatter.signal) + scatter.of_pixels)
    candidates = find_candidates(counts, scatter.of_pixels, sigma)
    found, numbers = [], []
    monkeypatch.setattr(sample, "VALUES_TO_FIT", (3000, 3000))
    for reach in (sample.REACH_TO_FIT, (NODE_REACH, NODE_REACH)):
        monkeypatch.setattr(sample, "REACH_TO_FIT", reach)
        one = sample.Sample.of(candidates, candidates.tables(), sigma, sample.VALUES_TO_FIT[1])
        classes = np.zeros(one.candidates.values.shape, np.int32)
        weights = one.weights(np.zeros(candidates.values.shape, np.int32))
        found.append(one.expectation(classes, classes, Population(), weights))
        numbers.append(len(one.tables[0][0]))
    assert numbers[0] < numbers[1] - 1
    (charges, _, chance), (all_charges, _, all_chance) = found
    assert chance.sum() == pytest.approx(all_chance.sum(), rel=2e-3)
    np.testing.assert_allclose(charges[0], all_charges[0], rtol=0.03, atol=0.5)
    assert np.abs(chance - all_chance).mean() < 1e-3


def test_a_sample_stands_for_all_values_of_a_class(monkeypatch):
    """The number of values by class is known. With that of a sample, more values than there are could be hit."""
    simulated = make_stack("imaging", (150, 180), 3, gain=1 * u.electron / u.adu, hit_rate=0.03, seed=73)
    counts = Counts(cube_of(simulated), np.float32(3.4**2))
    scatter = scatter_of(counts)
    sigma = np.sqrt(counts.mean_variance(scatter.signal) + scatter.of_pixels)
    candidates = find_candidates(counts, scatter.of_pixels, sigma)
    field = Field(counts.data.shape)
    sweep(field, candidates, candidates.tables(), Population())
    classes = field.classes_at(candidates.where)
    number = np.bincount(classes.ravel(), minlength=N_CLASSES)
    rates = []
    for values in (10**6, 6000):
        monkeypatch.setattr(sample, "VALUES_TO_FIT", (values, values))
        one = sample.Sample.of(candidates, candidates.tables(), sigma, sample.VALUES_TO_FIT[1])
        weights, own = one.weights(classes), classes[:, one.places]
        charges, hits, _ = one.expectation(own, own, Population(), weights)
        # the charges of a value are those of its hits
        assert charges.sum() == pytest.approx(hits.sum(), rel=1e-3)
        stands_for = np.bincount(own.ravel(), weights.ravel(), minlength=N_CLASSES)
        of_both = [
            set(classes[:, which].ravel()) - set(own[:, which[one.places]].ravel())
            for which in (one.likely, ~one.likely)
        ]
        sampled = [k for k in np.unique(own) if not any(k in missing for missing in of_both)]
        assert len(sampled) > 20
        np.testing.assert_allclose(stands_for[sampled], number[sampled], rtol=1e-5)
        assert (hits <= 1.0001 * number).all()
        rates.append(hits / np.maximum(number, 1))
    assert len(one.candidates) < len(candidates) / 2
    frequent = np.bincount(own.ravel(), minlength=N_CLASSES) > 100
    assert frequent.sum() > 3
    np.testing.assert_allclose(rates[1][frequent], rates[0][frequent], atol=0.08)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_tables_of_a_sample_are_those_of_its_own_nodes(monkeypatch, n):
    """They are taken from those of all candidates, which have more nodes, and are in parts of other pixels."""
    simulated = make_stack("imaging", (150, 180), n, gain=1 * u.electron / u.adu, hit_rate=0.03, seed=75)
    counts = Counts(cube_of(simulated), np.float32(3.4**2))
    scatter = scatter_of(counts)
    sigma = np.sqrt(counts.mean_variance(scatter.signal) + scatter.of_pixels)
    monkeypatch.setattr("crstack.joint.candidates.CANDIDATES_AT_ONCE", 300)
    candidates = find_candidates(counts, scatter.of_pixels, sigma)
    one = sample.Sample.of(candidates, candidates.tables(), sigma, 700 * n)
    assert len(one.candidates) == 700
    expected = one.candidates.tables()
    assert len(one.tables) == len(expected) == 3
    for found, own in zip(one.tables, expected, strict=True):
        for array, other in zip(found, own, strict=True):
            assert array.dtype == other.dtype
            np.testing.assert_allclose(array, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_sample_has_most_hits(monkeypatch, n):
    """A random part of all candidates would have half of the hits."""
    simulated = make_stack("imaging", (400, 500), n, gain=1 * u.electron / u.adu, hit_rate=0.001, seed=74)
    counts = Counts(cube_of(simulated), np.float32(3.4**2))
    scatter = scatter_of(counts)
    sigma = np.sqrt(counts.mean_variance(scatter.signal) + scatter.of_pixels)
    candidates = find_candidates(counts, scatter.of_pixels, sigma)
    number = len(candidates) // 2
    monkeypatch.setattr(sample, "VALUES_TO_FIT", (number * n, number * n))
    one = sample.Sample.of(candidates, candidates.tables(), sigma, sample.VALUES_TO_FIT[0])
    assert len(one.candidates) == number
    hit = (simulated.hits > 5 * sigma)[:, *candidates.where]
    assert hit[:, one.places].sum() > 0.98 * hit.sum() > 100
    assert one.likely[one.places].mean() < 0.75


def test_bad_values_are_no_likely_hits():
    """High values that are bad, and pixels of bad values only, do not count."""
    values = np.full((3, 6), 100, np.float32)
    values[0, :5] += np.float32([500, 500, 500, 30, 0])
    values[1, 2] += 500
    unknown = np.zeros(values.shape, bool)
    unknown[0, 1] = unknown[:, 4] = True
    one = np.ones((1, 1), np.float32)
    where = np.full(6, 5), np.arange(6) * 4
    candidates = Candidates(where, values, one, 0 * one, 9 * one, one, unknown)
    likely = sample._likely(candidates, (10, 30))
    # a hit in two of three exposures is no value above half of the others
    assert likely.tolist() == [True, False, False, False, False, False]


def test_a_mirrored_stack_has_the_same_hits(monkeypatch):
    """The sample of the pixels differs, and hardly any decision. With a random sample, 8 % of the mask changed."""
    # a quarter of what is fitted, as the image has a quarter of the pixels of a large one
    monkeypatch.setattr("crstack.joint.sweeps.VALUES_TO_FIT", (12_500, 75_000))
    simulated = make_stack("slit", (500, 600), 5, gain=1 * u.electron / u.adu, hit_rate=0.0004, seed=75)
    cube = cube_of(simulated)
    masks = [joint_posterior(Counts(one, np.float32(3.4**2)), JointPosterior()).mask for one in (cube, cube[..., ::-1])]
    changed = masks[0] != masks[1][..., ::-1]
    assert changed.sum() < 0.04 * masks[0].sum()


def test_a_small_sample_does_not_make_all_neighbours_hit(monkeypatch):
    """Of values among many hits, few are clean. Their number must not depend on which pixels the sample contains.

    With weights that do not depend on the class, the probabilities of these 1000 values would be too high by 0.18.
    """
    simulated = make_stack(
        "imaging", (300, 350), 5, gain=1 * u.electron / u.adu, hit_rate=0.03, population="mixed", seed=701
    )
    monkeypatch.setattr(sample, "VALUES_TO_FIT", (30_000, 30_000))
    result = joint_posterior(Counts(cube_of(simulated), np.float32(3.4**2)), JointPosterior())
    probability, hit = result.probability, simulated.hit_mask(0.5)
    likely = (probability >= 0.7) & (probability < 0.97)
    assert hit[likely].mean() == pytest.approx(probability[likely].mean(), abs=0.06)


def cube_of(simulated):
    return np.array([ccd.data for ccd in simulated.exposures], np.float32)


# Bins hold 400 values and more, a standard error of 0.025. The charges of worms fall off below the noise more steeply
# than the prior continues them: 0.078 is left. Of thin tracks, too few values are doubtful.
@pytest.mark.parametrize(("population", "within"), [("thin", 0.05), ("worms", 0.09), ("single", 0.13), ("mixed", 0.05)])
def test_probabilities_hold_for_other_hits(population, within):
    simulated = make_stack(
        "ifu", (450, 500), 3, gain=1 * u.electron / u.adu, hit_rate=0.02, population=population, seed=61
    )
    result = joint_posterior(Counts(cube_of(simulated), np.float32(3.4**2)), JointPosterior(probability=0.5))
    probability, hit = result.probability, simulated.hit_mask(0.5)
    for low, high in ((0.08, 0.3), (0.3, 0.6), (0.6, 0.9)):
        chosen = (probability >= low) & (probability < high)
        if chosen.sum() > 100:
            assert hit[chosen].mean() == pytest.approx(probability[chosen].mean(), abs=within)
    assert probability.sum() == pytest.approx(hit.sum(), rel=0.07)
    missed = 1 - result.mask[simulated.hit_mask(5)].mean()
    # perfect knowledge of the population misses as many of the single pixels
    assert missed < (0.035 if population == "single" else 0.01)


def test_two_exposures_are_a_stack():
    simulated = make_stack("imaging", (150, 180), 2, gain=1 * u.electron / u.adu, hit_rate=0.01, seed=62)
    masks = stack_of(simulated).detect(method=JointPosterior())
    assert masks.crmasks[simulated.hit_mask(8)].mean() > 0.97
    np.testing.assert_array_equal(masks["MEDIANCR"], masks.crmasks.any(axis=0))


def test_a_pixel_that_a_detector_flags_is_examined():
    cube = np.full((3, 20, 20), 10, np.float32)
    detected = np.zeros(cube.shape, bool)
    detected[1, 4, 5] = True
    one = np.ones((20, 20), np.float32)
    found = find_candidates(Counts(cube, np.float32(16)), 0 * one, one, detected)
    assert [index.tolist() for index in found.where] == [[4], [5]]
    assert found.chosen.anyway.sum() == 1


def test_a_column_without_values_under_different_skies():
    rng = np.random.default_rng(7)
    skies = np.array([200.0, 400.0, 600.0])
    images = rng.normal(0, np.sqrt(skies + 36)[:, None, None], (3, 120, 130)).astype(np.float32)
    ccds = []
    for image, sky in zip(images, skies, strict=True):
        inverse = np.full(image.shape, 1 / (sky + 36))
        inverse[:, 30] = 0  # bad values, as in surveys
        ccds.append(CCDData(image, unit=u.electron, uncertainty=InverseVariance(inverse)))
    stack = CRStack(ccds, readnoise=6 * u.electron)
    masks = stack.detect("joint")
    assert np.isfinite(masks.probability).all()
    made = stack.combine("meanjoint", full_output=True)
    assert (made.count[:, 30] == 0).all()
    assert np.isnan(made.ccd.data[:, 30]).all()
