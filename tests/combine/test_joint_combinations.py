"""Combinations after a joint decision: probabilities, units and excess variances."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from support.combining import GAIN, SEVEN, SHAPE, combiner_of, joint_masks, masks_of, planes
from support.stacks import stack_of

from crstack import Code, CRStack, JointPosterior, MaskSet
from crstack.combine import COMBINATIONS, order_variance, possible_combinations
from crstack.combine.posterior_mean import posterior_mean
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import MaskRules

# the combinations come after the joint decision
pytestmark = pytest.mark.usefixtures("quick_joint")


def test_posterior_mean_by_hand():
    """Two uncertain values of three: four sets of clean ones."""
    ccds = planes()
    ccds[2].data[4, 4] += 40
    cube = np.array([ccd.data[4, 4] for ccd in ccds])
    combiner = combiner_of(ccds, joint_masks({(4, 4): (0, 0.25, 0.75), (5, 5): (0, 0, 1)}))
    made = combiner.combine("meanjoint")
    variance = combiner.combine("mean").ccd.uncertainty.array[4, 4] * 3
    sets = {(0, 1, 2): 0.75 * 0.25, (0, 1): 0.75 * 0.75, (0, 2): 0.25 * 0.25, (0,): 0.25 * 0.75}
    mean = sum(weight * cube[list(one)].mean() for one, weight in sets.items())
    spread = sum(weight * (cube[list(one)].mean() - mean) ** 2 for one, weight in sets.items())
    within = sum(weight * variance / len(one) for one, weight in sets.items())
    assert made.ccd.data[4, 4] == pytest.approx(mean)
    assert made.ccd.uncertainty.array[4, 4] == pytest.approx(within + spread, rel=1e-5)
    assert spread > within  # the main error here is a wrong mask
    assert combiner.combine("meancr").ccd.uncertainty.array[4, 4] == pytest.approx(within + spread, rel=1e-5)
    assert made.count[4, 4] == 2
    np.testing.assert_allclose(made.ccd.data[5, 5], combiner.combine("meancr").ccd.data[5, 5])
    elsewhere = np.ones(SHAPE, bool)
    elsewhere[4:6, 4:6] = False
    np.testing.assert_array_equal(made.ccd.data[elsewhere], combiner.combine("mean").ccd.data[elsewhere])


def test_posterior_mean_of_many_exposures():
    """Of 13 uncertain values the most certain are rounded; sets without a clean value do not count."""
    rng = np.random.default_rng(8)
    values, chance = rng.normal(100, 5, (13, 4)), rng.uniform(0.01, 0.4, (13, 4))
    values[:, 2], chance[:, 2], chance[:, 3] = 100, 0.5, 1
    mean, variance, count = posterior_mean(values, chance, np.full_like(values, 25.0))
    assert mean[:2] == pytest.approx((values * (1 - chance)).sum(axis=0)[:2] / (1 - chance).sum(axis=0)[:2], abs=0.5)
    assert mean[2] == pytest.approx(100)
    assert np.isnan(mean[3])
    np.testing.assert_array_equal(count[[2, 3]], [8, 0])  # half of ten, and three that are rounded to clean
    assert (variance[:3] > 25 / 13).all()


def test_what_the_rules_and_bad_pixels_say_wins_over_probabilities(simulated):
    stack = stack_of(simulated)
    method = JointPosterior()
    plain = stack.detect(method=method)
    y, x = np.argwhere(plain["CRMASK1"] & (plain.probability[0] < 0.9) & ~plain.problematic)[0]
    forced = np.argwhere(~plain["MEANCRT"])[500]
    rules = {"ignore_pixels": [(x + 1, y + 1)], "force_pixels": [tuple(int(one) + 1 for one in forced[::-1])]}
    masks = stack.detect(method=method, rules=MaskRules(**rules))
    made = stack.combine("meanjoint", masks=masks, full_output=True)
    assert made.ccd.data[y, x] == pytest.approx(stack.statistics.mean2d[y, x])
    assert made.ccd.mask[tuple(forced)]
    assert stack.combine("meanjoint", masks=plain, full_output=True).count[y, x] < 3


def test_probabilities_win_over_masks_at_another_threshold():
    """A certain hit is excluded even if it is not masked, because it starts no feature at the requested rate."""
    ccds = planes()
    joint = joint_masks({(4, 4): (0, 0, 1)})
    clean = joint_masks({})
    masks = MaskSet(clean.codes, probability=joint.probability)
    made = combiner_of(ccds, masks).combine("meanjoint")
    assert made.ccd.data[4, 4] == pytest.approx((ccds[0].data[4, 4] + ccds[1].data[4, 4]) / 2)
    assert made.count[4, 4] == 2


def test_meanjoint_needs_probabilities():
    with pytest.raises(InputError, match=r"masks must be those of the joint decision for meanjoint; got masks without"):
        combiner_of(planes(), masks_of()).combine("meanjoint")
    assert possible_combinations(None) == ("mean", "median", "min")
    assert possible_combinations(masks_of()) == SEVEN
    assert possible_combinations(joint_masks({})) == COMBINATIONS


def test_masked_values_take_nothing_off_the_mean():
    """The selection of masked values leaves low values; the joint decision corrects this bias."""
    sums = {}
    for seed in range(3):
        simulated = make_stack(
            "slit", shape=(200, 240), gain=GAIN, readnoise=4 * u.electron, hit_rate=0.03, seed=600 + seed
        )
        truth = simulated.expected.mean(axis=0)
        stack = stack_of(simulated)
        masks = stack.detect(method=JointPosterior())
        masked = masks["MEANCRT"] & ~masks.problematic
        for name, unbiased in (("meancr2", None), ("meancr2", False), ("meanjoint", None), ("mediancr", None)):
            made = stack.combine(name, masks=masks, unbiased=unbiased)
            pull = (made.data - truth) / np.sqrt(made.uncertainty.array)
            sums.setdefault((name, unbiased), []).append(pull[masked])
            if name == "mediancr":
                sums.setdefault("replaced", []).append(pull[masks["MEDIANCR"] & ~masks.problematic])
    pulls = {key: np.concatenate(parts) for key, parts in sums.items()}
    means = {key: pull.mean() for key, pull in pulls.items()}
    # known to about 0.01, the replaced ones to 0.06
    assert means.pop(("meancr2", False)) < -0.025
    assert abs(means.pop("replaced")) < 0.18
    assert max(np.abs(list(means.values()))) < 0.035
    for name, pull in pulls.items():
        assert pull.std() == pytest.approx(1, abs=0.12 if name == "replaced" else 0.04)


def test_what_the_joint_decision_knows_beyond_the_chances():
    """A shift in electrons, added where the masks do not determine the mean, also where a pixel was forced."""
    ccds = planes()
    masks = joint_masks({(4, 4): (0, 0, 0.75), (5, 5): (0, 0, 0.25), (6, 6): (0, 0, 0.75)})
    shift = np.zeros(SHAPE, np.float32)
    shift[4, 4] = shift[5, 5] = shift[6, 6] = shift[7, 7] = 3.0
    third = masks.codes["CRMASK3"].copy()
    third[6, 6] = Code.GIVEN
    masks = replace(masks, codes=masks.codes | {"CRMASK3": third})
    told = replace(masks, signal_shift=shift, codes=masks.codes | {"CRMASK2": masks.codes["CRMASK2"].copy()})
    moved = {
        name: combiner_of(ccds, told).combine(name).ccd.data - combiner_of(ccds, masks).combine(name).ccd.data
        for name in ("meanjoint", "meancr", "mediancr", "mean")
    }
    both = {(4, 4), (6, 6)}
    expected = {"meanjoint": both | {(5, 5), (7, 7)}, "meancr": both, "mediancr": both, "mean": set()}
    for name, where in expected.items():
        np.testing.assert_allclose(moved[name][moved[name] != 0], 3.0 / GAIN.value, rtol=1e-4)
        assert {tuple(map(int, place)) for place in np.argwhere(moved[name])} == where


def test_units_do_not_matter_to_the_joint_combinations():
    options = {"shape": (100, 120), "readnoise": 4 * u.electron, "hit_rate": 0.03, "seed": 31}
    simulated = make_stack("slit", gain=2.5 * u.electron / u.adu, **options)
    adu = stack_of(simulated)
    exposures = [CCDData(ccd.data * 2.5, unit=u.electron) for ccd in simulated.exposures]
    electrons = CRStack(exposures, readnoise=4 * u.electron)
    for stack in (adu, electrons):
        stack.detect(method=JointPosterior())
    for name in ("meanjoint", "meancr2", "mediancr"):
        one, other = (stack.combine(name) for stack in (adu, electrons))
        np.testing.assert_allclose(one.data * 2.5, other.data, rtol=1e-4, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(one.uncertainty.array * 2.5**2, other.uncertainty.array, rtol=2e-3, err_msg=name)


def test_excess_variance_counts_in_each_exposure(tmp_path):
    """Scatter beyond the noise, in electrons squared, that the joint decision found."""
    ccds = planes(4)
    masks = joint_masks({(3, 3): (1, 0, 0, 0)}, n=4)
    excess = np.zeros(SHAPE, np.float32)
    excess[2:5, 2:5] = 36.0
    more = replace(masks, excess_variance=excess)
    more.write(tmp_path / "crmasks.fits")
    again = MaskSet.read(tmp_path / "crmasks.fits")
    for name, share in (("mean", 4), ("meancr2", 4), ("meanjoint", 4), ("median", 1 / order_variance(4, 4, 1, 2))):
        plain, told, read = (combiner_of(ccds, one).combine(name).ccd.uncertainty.array for one in (masks, more, again))
        expected = excess / GAIN.value**2 / share
        expected[3, 3] = told[3, 3] - plain[3, 3]  # one value less
        np.testing.assert_allclose(told - plain, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(told, read)
    made = [combiner_of(ccds, one).combine("meancr").ccd.uncertainty.array[3, 3] for one in (masks, more)]
    assert made[1] - made[0] == pytest.approx(36 / GAIN.value**2 / 3, rel=1e-4)


@pytest.mark.parametrize("apply_to", ["simulated", "original"])
def test_which_of_unequal_exposures_is_masked_does_not_matter(apply_to):
    """The mean of the other exposures replaces that of all, with fluxes that differ by a third."""
    pulls = {None: [], False: []}
    for seed in (11, 12):
        simulated = make_stack(
            "slit", shape=(150, 180), gain=GAIN, readnoise=4 * u.electron, hit_rate=0.03, seed=seed,
            flux_factors=(0.8, 1, 1.15), offsets=((0.2, 0), (0, 0), (-0.2, 0)),
        )  # fmt: skip
        stack = stack_of(simulated, flux_factors="auto", offsets="auto", apply_flux_factors_to=apply_to)
        masks = stack.detect(method=JointPosterior())
        factors = stack.equalized.flux.values if apply_to == "original" else (1, 1, 1)
        truth = np.mean([one / factor for one, factor in zip(simulated.expected, factors, strict=True)], axis=0)
        masked = masks["MEANCRT"] & ~masks.problematic
        for unbiased, found in pulls.items():
            made = stack.combine("meancr2", masks=masks, unbiased=unbiased)
            found.append(((made.data - truth) / np.sqrt(made.uncertainty.array))[masked])
    ours, plain = (np.concatenate(found) for found in pulls.values())
    assert ours.std() == pytest.approx(1, abs=0.06)
    assert abs(ours.mean()) < 0.05
    assert plain.std() > ours.std() + (0.15 if apply_to == "simulated" else 0.02)
