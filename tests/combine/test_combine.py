"""Values, variances, counts and flags of the combined images."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty, VarianceUncertainty
from support.stacks import stack_of

from crstack import Code, CRStack, JointPosterior, MaskSet
from crstack.combine import COMBINATIONS, Combiner, PixelFlag, order_mean, order_variance, possible_combinations
from crstack.combine import combiner as combiner_module
from crstack.combine.fill import fill_from_neighbours
from crstack.combine.posterior_mean import posterior_mean
from crstack.combine.smooth_signal import _smoothed_band, smoothed_signal
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.exposures import load_exposures
from crstack.masks import MaskRules
from crstack.masks.rules import codes_of_hits
from crstack.statistics import order_statistics

# the combinations come after the joint decision
pytestmark = pytest.mark.usefixtures("quick_joint")

GAIN = 2.0 * u.electron / u.adu
#: those that need no probabilities
SEVEN = COMBINATIONS[:-1]
NOISE = {"gain": GAIN, "readnoise": 5 * u.electron}
SHAPE = (12, 14)


def masks_of(n=3, auxclean=None, **pixels):
    """A MaskSet with the given pixels (y, x) flagged in each mask."""
    names = ["MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR"]
    codes = {name: np.zeros(SHAPE, np.uint8) for name in names}
    for name, where in pixels.items():
        codes[name][tuple(zip(*where, strict=True))] = 2
    return MaskSet(codes, auxclean)


def planes(n=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [CCDData(rng.normal(100, 7, SHAPE), unit=u.adu, **options) for _ in range(n)]


def combiner_of(ccds, masks=None, k=2, **options):
    exposures = load_exposures(ccds, **NOISE)
    return Combiner(exposures, order_statistics(exposures.data, k, exposures.bad), masks, **options)


def test_values_of_each_combination():
    ccds = planes()
    cube = np.array([ccd.data for ccd in ccds])
    low, middle, mean = cube.min(axis=0), np.median(cube, axis=0), cube.mean(axis=0)
    masks = masks_of(
        MEDIANCR=[(1, 1)], MEANCRT=[(1, 1), (2, 2)], CRMASK1=[(2, 2), (3, 3)], CRMASK2=[(3, 3)], CRMASK3=[(3, 3)],
        MEANCR=[(4, 4)],
    )  # fmt: skip
    combiner = combiner_of(ccds, masks)
    expected = {name: mean.copy() for name in SEVEN}
    expected["median"], expected["min"], expected["mediancr"] = middle, low, middle.copy()
    expected["mediancr"][1, 1] = low[1, 1]
    expected["meancrt"][1, 1], expected["meancrt"][2, 2] = low[1, 1], middle[2, 2]
    for name in ("meancr", "meancr2"):
        expected[name][2, 2] = cube[1:, 2, 2].mean()
        expected[name][3, 3] = low[3, 3]
    expected["meancr2"][4, 4] = low[4, 4]
    for name in SEVEN:
        result = combiner.combine(name)
        np.testing.assert_allclose(result.ccd.data, expected[name], rtol=1e-6, err_msg=name)
        assert result.ccd.data.dtype == np.float32
        assert result.ccd.unit == u.adu
        assert isinstance(result.ccd.uncertainty, VarianceUncertainty)
        assert result.ccd.uncertainty.unit == u.adu**2
    # a combination must not change the shared results
    np.testing.assert_allclose(combiner.combine("mean").ccd.data, mean, rtol=1e-6)


def test_counts_masks_and_flags():
    masks = masks_of(
        MEDIANCR=[(1, 1)], MEANCRT=[(1, 1), (2, 2)], CRMASK1=[(2, 2), (3, 3)], CRMASK2=[(3, 3)], CRMASK3=[(3, 3)],
        MEANCR=[(4, 4)],
    )  # fmt: skip
    combiner = combiner_of(planes(), masks)
    result = {name: combiner.combine(name) for name in SEVEN}
    assert (result["mean"].count == 3).all()
    assert (result["min"].count == 1).all()
    assert result["mediancr"].count[1, 1] == 1
    assert result["mediancr"].flags[1, 1] == PixelFlag.MINIMUM
    assert result["meancrt"].flags[1, 1] == PixelFlag.MINIMUM | PixelFlag.MEDIANCR
    assert result["meancrt"].flags[2, 2] == PixelFlag.MEDIANCR
    assert result["meancr"].count[2, 2] == 2
    assert result["meancr2"].flags[4, 4] == PixelFlag.MINIMUM
    for name in SEVEN[3:]:
        assert result[name].flags[3, 3] & PixelFlag.ALL_HIT
        np.testing.assert_array_equal(np.argwhere(result[name].ccd.mask), [[3, 3]])
        assert result[name].count[3, 3] == 0


def test_use_auxmedian():
    auxclean = np.full(SHAPE, 77, np.float32)
    masks = masks_of(
        auxclean=auxclean, MEDIANCR=[(1, 1)], MEANCRT=[(1, 1), (2, 2)], CRMASK1=[(3, 3)], CRMASK2=[(3, 3)],
        CRMASK3=[(3, 3)], MEANCR=[(4, 4)],
    )  # fmt: skip
    ccds = planes()
    combiner = combiner_of(ccds, masks, use_auxmedian=True)
    assert combiner.combine("mediancr").ccd.data[1, 1] == 77
    meancrt = combiner.combine("meancrt").ccd
    assert meancrt.data[1, 1] == 77
    assert meancrt.data[2, 2] == pytest.approx(np.median([ccd.data[2, 2] for ccd in ccds]))
    assert combiner.combine("meancr").ccd.data[3, 3] == 77
    meancr2 = combiner.combine("meancr2")
    assert meancr2.ccd.data[4, 4] == 77
    # interpolated values are not measurements
    assert meancr2.ccd.mask[4, 4]
    assert meancr2.count[4, 4] == 0
    with pytest.raises(InputError, match="use_auxmedian must be False for masks without a cleaned median"):
        combiner_of(planes(), masks_of(), use_auxmedian=True)


def test_nothing_hit_means_the_mean_bit_for_bit():
    combiner = combiner_of(planes(5), masks_of(5))
    mean = combiner.combine("mean").ccd
    for name in ("meancrt", "meancr", "meancr2"):
        np.testing.assert_array_equal(combiner.combine(name).ccd.data, mean.data)
        np.testing.assert_allclose(combiner.combine(name).ccd.uncertainty.array, mean.uncertainty.array, rtol=1e-6)
    np.testing.assert_array_equal(combiner.combine("mediancr").ccd.data, combiner.combine("median").ccd.data)


def test_bad_pixels_and_hits_stay_distinguishable():
    ccds = planes()
    for ccd in ccds:
        ccd.mask = np.zeros(SHAPE, bool)
    ccds[0].mask[5, 5] = True
    for ccd in ccds:
        ccd.mask[6, 6] = True
    masks = masks_of(CRMASK2=[(5, 5)], CRMASK3=[(7, 7)])
    combiner = combiner_of(ccds, masks)
    meancr = combiner.combine("meancr")
    assert meancr.ccd.data[5, 5] == pytest.approx(ccds[2].data[5, 5])
    assert meancr.count[5, 5] == 1
    assert meancr.flags[6, 6] & PixelFlag.NO_DATA
    for name in SEVEN:
        result = combiner.combine(name)
        assert result.ccd.mask[6, 6]
        assert np.isnan(result.ccd.data[6, 6])
        valid = ~result.ccd.mask
        assert (result.ccd.uncertainty.array[valid] > 0).all()
        assert np.isfinite(result.ccd.data[valid]).all()


def test_given_uncertainties_propagate():
    ccds = planes()
    for i, ccd in enumerate(ccds):
        ccd.uncertainty = StdDevUncertainty(np.full(SHAPE, 3.0 + i))
    combiner = combiner_of(ccds, masks_of(CRMASK1=[(2, 2)]))
    mean = combiner.combine("mean").ccd.uncertainty.array
    np.testing.assert_allclose(mean, (9 + 16 + 25) / 9)
    meancr = combiner.combine("meancr").ccd.uncertainty.array
    assert meancr[2, 2] == pytest.approx((16 + 25) / 4)
    assert meancr[0, 0] == pytest.approx(50 / 9)


def test_sample_variance_is_that_of_the_values_combined():
    ccds = planes(4)
    masks = masks_of(4, CRMASK1=[(2, 2), (3, 3)], CRMASK2=[(3, 3)], CRMASK3=[(3, 3)])
    result = combiner_of(ccds, masks, variance="sample").combine("meancr").ccd.uncertainty.array
    cube = np.array([ccd.data for ccd in ccds])
    assert result[0, 0] == pytest.approx(cube[:, 0, 0].var(ddof=1), rel=1e-5)
    assert result[2, 2] == pytest.approx(cube[1:, 2, 2].var(ddof=1), rel=1e-5)
    assert np.isnan(result[3, 3])


@pytest.mark.parametrize(("n_valid", "n_clean"), [(3, 3), (3, 2), (3, 1), (4, 4), (4, 2), (5, 3), (7, 5)])
def test_order_variances_equal_simulation(n_valid, n_clean):
    rng = np.random.default_rng(n_valid * 10 + n_clean)
    clean = np.sort(rng.normal(size=(n_clean, 200_000)), axis=0)
    # hits: independent values of unit variance above all others
    values = np.concatenate([clean, rng.normal(1e3, 1, (n_valid - n_clean, 200_000))])
    middle = ((n_valid - 1) // 2, n_valid // 2)
    for lowest, highest in (middle, (0, max(n_valid - 2, 1) - 1)):
        if lowest <= n_clean - 1 < highest or lowest >= n_clean:
            continue  # a mean of clean and hit values
        simulated = values[lowest : highest + 1].mean(axis=0).var()
        assert order_variance(n_valid, n_clean, lowest, highest) == pytest.approx(simulated, rel=0.015)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: combiner_of(planes(), masks_of(4)), "masks must be of 3 exposures; got 4"),
        (lambda: combiner_of([c[:5] for c in planes()], masks_of()), r"masks must have the shape \(5, 14\)"),
        (lambda: combiner_of(planes()).combine("meancr"), "masks must be given for meancr; got None"),
        (lambda: combiner_of(planes()).combine("mode"), "combination must be one of mean, median, min"),
        (lambda: combiner_of(planes(), variance="none"), "variance must be one of model, sample; got 'none'"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_header_and_wcs_of_the_first_exposure(stack, simulated):
    ccd = stack.combine("mean")
    assert ccd.header["OBJECT"] == simulated.exposures[0].header["OBJECT"]
    assert ccd.wcs.wcs.compare(simulated.exposures[0].wcs.wcs)
    ccd.header["OBJECT"] = "changed"
    ccd.data[:] = 0
    assert stack.combine("mean").header["OBJECT"] != "changed"
    assert stack.combine("mean").data.any()


def test_full_output(stack):
    full = stack.combine("meancr2", full_output=True)
    assert full.count.shape == full.flags.shape == full.ccd.shape
    assert full.count.dtype == np.int16
    np.testing.assert_array_equal(full.ccd.data, stack.combine("meancr2").data)
    np.testing.assert_array_equal(full.count == 0, full.ccd.mask)
    assert "meancr2" in repr(full)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_combined_with_ccdproc_units(flat_exposures, n):
    """Electrons in, electrons out; the same values as in ADU times the gain."""
    adu = flat_exposures(n)
    electrons = [plane.value * 2.0 * u.electron for plane in adu]
    one = CRStack(adu, **NOISE).combine("meancr2")
    other = CRStack(electrons, readnoise=5 * u.electron).combine("meancr2")
    np.testing.assert_allclose(one.data * 2, other.data, rtol=1e-5)
    np.testing.assert_allclose(one.uncertainty.array * 4, other.uncertainty.array, rtol=1e-5)


def joint_masks(chances, n=3, **options):
    """Masks of the joint decision, at probability 0.5, from {(y, x): probability of each exposure}."""
    probability = np.zeros((n, *SHAPE), np.float16)
    for (y, x), chance in chances.items():
        probability[:, y, x] = chance
    codes, _ = codes_of_hits(probability > 0.5, MaskRules())
    codes["MEANCR"] = np.zeros(SHAPE, np.uint8)
    return MaskSet(codes, probability=probability, **options)


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


# whole exposures are hit, without the noise of hits
@pytest.mark.filterwarnings("ignore:the exposures scatter", "ignore:exposure . scatters less than its level allows")
@pytest.mark.parametrize(("n", "k", "hit"), [(3, 2, ()), (3, 2, (0,)), (5, 2, (0, 1, 2)), (5, 4, (1,)), (7, 3, (2, 4))])
def test_minimum_without_selection_bias(n, k, hit):
    """The replacement of the median has no bias, for false masks and for known hits."""
    rng = np.random.default_rng(n + k)
    shape = (120, 130)
    cube = rng.normal(1000, np.sqrt(1000), (n, *shape))
    for i in hit:
        cube[i] += 4000
    names = ["MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR"]
    codes = {name: np.zeros(shape, np.uint8) for name in names}
    codes["MEDIANCR"][:] = codes["MEANCRT"][:] = 2
    for i in hit:
        codes[f"CRMASK{i + 1}"][:] = 2
    stack = CRStack([plane * u.electron for plane in cube], readnoise=0.1 * u.electron, cr_coincidences=k)
    plain = stack.combine("mediancr", masks=MaskSet(codes))
    ccd = stack.combine("mediancr", masks=MaskSet(codes), unbiased=True)
    error = np.sqrt(1000 / ccd.data.size)
    assert abs(ccd.data.mean() - 1000) < 4 * error
    assert abs(plain.data.mean() - 1000) > 20 * error or len(hit) == n - 1
    pull = (ccd.data - 1000) / np.sqrt(ccd.uncertainty.array)
    assert pull.std() == pytest.approx(1, abs=0.03)
    # it is the default for joint decisions
    joint = MaskSet(codes, probability=np.array([codes[f"CRMASK{i + 1}"] > 0 for i in range(n)], np.float16))
    np.testing.assert_array_equal(stack.combine("mediancr", masks=joint).data, ccd.data)


def test_medians_beside_hits_are_of_the_clean_values():
    ccds = planes()
    ccds[1].data[3, 3] += 500
    masks = joint_masks({(3, 3): (0, 1, 0)})
    made = combiner_of(ccds, masks).combine("mediancr")
    assert made.ccd.data[3, 3] == pytest.approx((ccds[0].data[3, 3] + ccds[2].data[3, 3]) / 2)
    assert made.count[3, 3] == 2
    plain = combiner_of(ccds, masks, unbiased=False).combine("mediancr")
    assert plain.ccd.data[3, 3] == pytest.approx(max(ccds[0].data[3, 3], ccds[2].data[3, 3]))
    np.testing.assert_array_equal(combiner_of(ccds, masks).combine("median").ccd.data, plain.ccd.data)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_order_means_equal_simulation(n):
    values = np.sort(np.random.default_rng(n).normal(size=(n, 200_000)), axis=0)
    for lowest, highest in ((0, 0), (0, n // 2), ((n - 1) // 2, n // 2)):
        assert order_mean(n, lowest, highest) == pytest.approx(values[lowest : highest + 1].mean(), abs=0.006)


@pytest.mark.parametrize("name", ["mediancr", "meancrt", "meancr", "meancr2", "meanjoint"])
def test_pixels_hit_in_every_exposure_are_interpolated(name):
    rng = np.random.default_rng(5)
    y = np.mgrid[:60, :70][0]
    truth = 300 + 200 * np.exp(-((y - 30) ** 2) / 50)
    where = rng.random(truth.shape) < 0.02
    where[10:17, 20:29] = True  # farther than the kernel reaches
    chance = np.broadcast_to(where, (3, *where.shape)).astype(np.float16)
    codes, _ = codes_of_hits(chance > 0.5, MaskRules())
    masks = MaskSet(codes | {"MEANCR": np.zeros(where.shape, np.uint8)}, probability=chance)
    cube = rng.poisson(truth, (3, *truth.shape)) + rng.normal(0, 5, (3, *truth.shape)) + 3000 * where
    stack = CRStack([plane * u.electron for plane in cube], readnoise=5 * u.electron)
    made = stack.combine(name, masks=masks, full_output=True)
    assert set(made.flags[where]) == {PixelFlag.INTERPOLATED | PixelFlag.ALL_HIT}
    assert not (made.flags[~where] & PixelFlag.INTERPOLATED).any()
    np.testing.assert_array_equal(made.ccd.mask, where)
    assert not made.count[where].any()
    pull = (made.ccd.data - truth)[where] / np.sqrt(made.ccd.uncertainty.array[where])
    assert 0.7 < pull.std() < 1.3
    plain = stack.combine(name, masks=masks, fill="minimum")
    assert (plain.data[where] > 2000).all()


def test_what_fills_depends_on_the_masks():
    codes = joint_masks({(2, 2): (1, 1, 1)})
    auxclean = np.full(SHAPE, 77, np.float32)
    ccds = planes()
    joint = MaskSet(codes.codes, auxclean, probability=codes.probability)
    assert combiner_of(ccds, joint).combine("meancr").flags[2, 2] & PixelFlag.INTERPOLATED
    assert combiner_of(ccds, joint, use_auxmedian=True).combine("meancr").ccd.data[2, 2] == 77
    other = MaskSet(codes.codes, auxclean)
    assert combiner_of(ccds, other).combine("meancr").flags[2, 2] & PixelFlag.MINIMUM
    sample = combiner_of(ccds, other, fill="neighbours", variance="sample").combine("meancr")
    assert sample.flags[2, 2] & PixelFlag.INTERPOLATED
    assert sample.ccd.uncertainty.array[2, 2] > 0
    with pytest.raises(InputError, match="fill must be one of minimum, neighbours; got 'nothing'"):
        combiner_of(ccds, joint, fill="nothing")


@pytest.mark.parametrize("signal", [5.0, 40.0])
def test_variances_do_not_follow_the_noise_of_the_value(signal):
    """A low value must not be given a low variance: (value - truth) / sigma is 0 in the mean."""
    rng = np.random.default_rng(3)
    cube = rng.poisson(signal, (3, 300, 300)) + rng.normal(0, 2, (3, 300, 300))
    ccd = CRStack([plane * u.electron for plane in cube], readnoise=2 * u.electron).combine("mean")
    pull = (ccd.data - signal) / np.sqrt(ccd.uncertainty.array)
    assert abs(pull.mean()) < 0.015
    assert pull.std() == pytest.approx(1, abs=0.01)


def test_expected_signal_keeps_structure_and_fills_holes():
    y, x = np.mgrid[:50, :60]
    truth = (100 + 5000 * np.exp(-((y - 25) ** 2 + (x - 30) ** 2) / 3)).astype(np.float32)
    known = np.ones(truth.shape, bool)
    known[10:12, 10] = False
    known[40:, 40:] = False
    image = np.where(known, truth, np.nan).astype(np.float32)
    signal = smoothed_signal(lambda rows: (image[rows], truth[rows] / 3, known[rows]), image.shape)
    assert signal[25, 30] == pytest.approx(truth[25, 30], rel=0.02)
    assert signal[10, 10] == pytest.approx(100, rel=1e-3)
    assert np.isnan(signal[49, 59])
    # for any bands of rows
    np.testing.assert_array_equal(signal, _smoothed_band(image, truth / 3, known).astype(np.float32))
    tall = np.random.default_rng(0).normal(100, 10, (3000, 60)).astype(np.float32)
    whole = _smoothed_band(tall, tall, np.ones(tall.shape, bool))
    found = smoothed_signal(lambda rows: (tall[rows], tall[rows], np.ones(tall[rows].shape, bool)), tall.shape)
    np.testing.assert_allclose(found, whole, rtol=1e-6)


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
    assert means.pop(("meancr2", False)) < -0.035
    assert abs(means.pop("replaced")) < 0.15
    assert max(np.abs(list(means.values()))) < 0.035
    for name, pull in pulls.items():
        assert pull.std() == pytest.approx(1, abs=0.12 if name == "replaced" else 0.04)


def test_surfaces_are_followed_to_the_edge():
    """Enough neighbours determine a quadratic surface; a single neighbour gives its value."""
    y, x = np.mgrid[:40, :50].astype(float)
    image = 5e4 + 3 * (x - 20) ** 2 - 2 * (y - 10) ** 2 + x * y
    where = np.random.default_rng(4).random(image.shape) < 0.05
    where[0, 0] = where[-1, 20] = where[12:15, 30:33] = True
    value, error = fill_from_neighbours(image, np.ones_like(image), where, where & False)
    # in the middle of the patch a quadratic surface would raise the noise too much
    inside = ~((y < 2) | (y > 37) | (x < 2) | (x > 47) | ((y == 13) & (x == 31)))[where]
    np.testing.assert_allclose(value[inside], image[where][inside], rtol=1e-9)
    assert (np.abs(value - image[where])[~inside] < 300).all()
    assert (error > 0).all()
    image = image[:12, :14]
    alone = np.ones(image.shape, bool)
    alone[3, 9] = False
    value, error = fill_from_neighbours(image, np.full_like(image, 7.0), alone, alone & False)
    np.testing.assert_allclose([value, error], [[image[3, 9]] * alone.sum(), [7.0] * alone.sum()], rtol=1e-6)
    assert np.isnan(fill_from_neighbours(image, image, alone | True, alone)).all()


@pytest.mark.parametrize("scene", ["ifu", "slit"])
def test_errors_of_interpolated_pixels_hold(scene):
    """The structure that the neighbours do not measure is measured on known pixels."""
    rng = np.random.default_rng(9)
    simulated = make_stack(scene, shape=(200, 240), gain=GAIN, readnoise=4 * u.electron, hit_rate=0, seed=71)
    truth = simulated.expected.mean(axis=0).astype(float)
    image = np.mean([ccd.data for ccd in simulated.exposures], axis=0)
    variance = simulated.noise.variance(truth) / 3
    where = rng.random(truth.shape) < 0.03
    value, error = fill_from_neighbours(image, variance, where, where & False)
    pull = (value - truth[where]) / np.sqrt(error)
    assert abs(pull.mean()) < 0.08
    assert pull.std() == pytest.approx(1, abs=0.12)


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


@pytest.mark.parametrize("name", ["meanjoint", "meancr2", "mediancr"])
def test_units_do_not_matter_to_the_joint_combinations(name):
    options = {"shape": (100, 120), "readnoise": 4 * u.electron, "hit_rate": 0.03, "seed": 31}
    simulated = make_stack("slit", gain=2.5 * u.electron / u.adu, **options)
    adu = stack_of(simulated)
    exposures = [CCDData(ccd.data * 2.5, unit=u.electron) for ccd in simulated.exposures]
    electrons = CRStack(exposures, readnoise=4 * u.electron)
    made = []
    for stack in (adu, electrons):
        stack.detect(method=JointPosterior())
        made.append(stack.combine(name))
    np.testing.assert_allclose(made[0].data * 2.5, made[1].data, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(made[0].uncertainty.array * 2.5**2, made[1].uncertainty.array, rtol=2e-3)


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


def test_images_do_not_depend_on_the_order_in_which_they_are_made(monkeypatch):
    """Intermediate results are kept between images that are not large."""
    stack = stack_of(make_stack("ifu", shape=(60, 70), n_exposures=5, seed=3))
    masks = stack.detect("joint")

    def made(names):
        combiner = Combiner(stack.exposures, stack.statistics, masks)
        return {name: combiner.combine(name) for name in names}

    usual = made(COMBINATIONS)
    for names, large in ((reversed(COMBINATIONS), combiner_module.LARGE), (COMBINATIONS, 0)):
        monkeypatch.setattr(combiner_module, "LARGE", large)
        for name, one in made(names).items():
            np.testing.assert_array_equal(one.ccd.data, usual[name].ccd.data)
            np.testing.assert_array_equal(one.ccd.uncertainty.array, usual[name].ccd.uncertainty.array)
            np.testing.assert_array_equal(one.count, usual[name].count)
