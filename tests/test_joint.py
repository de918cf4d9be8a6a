"""The joint decision: likelihoods, population, masks, false alarms."""

import astropy.units as u
import numpy as np
import pytest
from conftest import stack_of
from scipy import ndimage, stats

from crstack import Code, CRStack, JointPosterior, MaskSet
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.joint import joint_posterior
from crstack.joint.excess import fit_excess_variance, squared_gradient
from crstack.joint.likelihood import HitSets, log_clean, signal_nodes


@pytest.mark.parametrize("signal", [0.0, 0.5, 3.0, 10.0, 30.0, 200.0])
@pytest.mark.parametrize("readnoise", [2.0, 4.0])
def test_saddle_point_equals_the_exact_sum(signal, readnoise):
    sigma = np.sqrt(signal + readnoise**2)
    values = np.linspace(signal - 5 * sigma, signal + 6 * sigma, 40)
    photons = np.arange(1000)
    exact = stats.poisson.pmf(photons, signal) @ stats.norm.pdf(values, photons[:, None], readnoise)
    np.testing.assert_allclose(log_clean(values, np.float64(signal), readnoise**2), np.log(exact), atol=0.005)


def test_evidence_integrates_the_signal_out():
    """With Gaussian noise alone the integral has a closed form."""
    rng = np.random.default_rng(3)
    values = np.sort(rng.normal(-300, 4, (3, 50)), axis=0).astype(np.float32)
    variance = np.full(50, 16, np.float32)
    nodes = signal_nodes(values[0], variance)
    clean = np.stack([log_clean(value, nodes, variance) for value in values])
    evidence = HitSets(3).log_evidence(clean, np.full_like(clean, -50))[0]
    squares = ((values - values.mean(axis=0)) ** 2).sum(axis=0) / 32
    np.testing.assert_allclose(evidence - evidence[0], squares[0] - squares, atol=0.01)


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_hit_sets(n):
    sets = HitSets(n)
    assert sets.sets[0] == ()
    assert len(set(sets.sets)) == len(sets.sets)
    assert all(len(one) < n for one in sets.sets)
    assert tuple(range(1, n)) in sets.sets
    # where only the first rank can be hit, its probability follows from its odds alone
    evidence = np.full((len(sets.sets), 1), -100, np.float32)
    evidence[sets.sets.index(())] = evidence[sets.sets.index((0,))] = 0
    odds = np.full((n, 1), np.log(3), np.float32)
    assert sets.probability(evidence, odds)[0, 0] == pytest.approx(0.75)


@pytest.mark.parametrize(("scene", "n"), [("ifu", 3), ("imaging", 4), ("slit", 5)])
def test_finds_what_the_diagram_leaves(scene, n):
    simulated = make_stack(
        scene, shape=(250, 300), n_exposures=n, gain=2.5 * u.electron / u.adu, bias=500 * u.adu, seed=41 + n
    )
    masks = stack_of(simulated).detect(method=JointPosterior())
    found, touched = masks.crmasks, simulated.hits * 2.5 > 1
    near = np.array([ndimage.maximum_filter(plane, size=3) for plane in touched])
    assert (found & near).sum() >= 0.985 * found.sum()
    assert found[simulated.hit_mask(2)].mean() > 0.93
    assert found[simulated.hit_mask(5)].mean() > 0.99
    np.testing.assert_array_equal(masks["MEANCRT"], found.any(axis=0))
    np.testing.assert_array_equal(masks["MEDIANCR"], found.sum(axis=0) >= (n + 1) // 2)
    assert not masks["MEANCR"].any()


def test_units_and_order_do_not_matter(simulated):
    one = stack_of(simulated).detect(method=JointPosterior())
    electrons = [(ccd.data.astype(float) * u.adu - simulated.bias) * simulated.gain for ccd in simulated.exposures]
    other = CRStack(electrons[::-1], readnoise=simulated.readnoise).detect(method=JointPosterior())
    np.testing.assert_array_equal(one.crmasks, other.crmasks[::-1])


def test_probabilities_are_kept_and_thresholded(simulated, tmp_path):
    stack = stack_of(simulated)
    masks = stack.detect(method=JointPosterior(probability=0.5))
    masks.write(tmp_path / "crmasks.fits")
    again = MaskSet.read(tmp_path / "crmasks.fits")
    np.testing.assert_allclose(again.probability, masks.probability, atol=0.003)
    np.testing.assert_array_equal(masks.threshold(0.5).crmasks, masks.crmasks)
    strict, loose = masks.threshold(0.95), masks.threshold(0.05)
    assert not (strict.crmasks & ~masks.crmasks).any()
    assert loose.crmasks.sum() > masks.crmasks.sum() > strict.crmasks.sum()
    assert strict.uuid != masks.uuid
    with pytest.raises(InputError, match="masks must come from the joint decision"):
        stack.detect(aux=None).threshold(0.5)


@pytest.mark.parametrize(("n", "signal"), [(3, 30.0), (5, 1000.0), (7, 0.0)])
def test_false_alarms_come_at_the_rate_asked_for(n, signal):
    rng = np.random.default_rng(n)
    cube = (rng.poisson(signal, (n, 500, 600)) + rng.normal(0, 4, (n, 500, 600))).astype(np.float32)
    result = joint_posterior(cube, 4.0, JointPosterior(false_alarm=1e-3))
    assert result.mask.mean() == pytest.approx(1e-3, rel=0.35)


def test_excess_variance_is_fitted():
    simulated = make_stack("slit", shape=(300, 400), gain=1 * u.electron / u.adu, response_jitter=0.06, seed=2)
    cube = np.array([ccd.data for ccd in simulated.exposures])
    median = np.median(cube, axis=0)
    variance = np.maximum(median, 0) + 3.4**2
    excess = fit_excess_variance(cube, median, variance, squared_gradient(median, variance / 3))
    # the field of the response is smooth: one draw of it over a few traces tells its rms roughly
    assert 0.03 < excess.relative < 0.12
    plain = make_stack("slit", shape=(300, 400), gain=1 * u.electron / u.adu, seed=2)
    cube = np.array([ccd.data for ccd in plain.exposures])
    assert fit_excess_variance(cube, median, variance, squared_gradient(median, variance / 3)).relative < 0.02


def test_a_detector_joined_in_adds_evidence(simulated):
    stack = stack_of(simulated)
    alone, joined = stack.detect(method=JointPosterior()), stack.detect(method=JointPosterior(), aux="pycosmic")
    faint = simulated.hit_mask(2)
    assert joined.crmasks[faint].mean() >= alone.crmasks[faint].mean()
    assert set(np.unique(joined.codes["CRMASK1"])) == {Code.CLEAN, Code.MMCOSMIC, Code.BOTH}
    assert joined.auxclean is not None


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda stack: JointPosterior(probability=1.5), "probability must be a number at least 0 and at most 1"),
        (lambda stack: JointPosterior(false_alarm=0), "false_alarm must be .* greater than 0"),
        (lambda stack: JointPosterior(n_fits=0), "n_fits must be an integer at least 1; got 0"),
        (lambda stack: JointPosterior(excess=1), "excess must be True or False; got 1"),
        (lambda stack: stack.detect(method="joint"), "method must be a JointPosterior or None; got 'joint'"),
    ],
)
def test_bad_settings(stack, make, message):
    with pytest.raises(InputError, match=message):
        make(stack)
