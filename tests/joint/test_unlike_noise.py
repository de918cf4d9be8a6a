"""Exposures of unlike light: their noise differs by large factors."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.equalize.terms.first_factors import first_factors
from crstack.exceptions import CRStackWarning, ImplausibleResultWarning
from crstack.joint.candidates import Candidates
from crstack.joint.counts import Counts
from crstack.joint.even_noise import even_noise
from crstack.joint.excess import ExcessVariance
from crstack.joint.field import Field
from crstack.joint.population import Population
from crstack.joint.posterior import joint_posterior
from crstack.joint.sweeps import sweep
from crstack.joint.unlike_noise import UnlikeNoise, groups_of_noise, relative_noises, unlike_noise
from crstack.joint.unresolved import Unresolved

SHAPE = (150, 170)


def exposures_of(light, seed=4, rate=0.006, scene="imaging"):
    """Expected electrons, hits and values of exposures that collected different shares of the light of a field."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 80.0)
    if scene == "slit":
        image += 150 * np.exp(-((y - 75 - 0.01 * x) ** 2) / 6) * (1 + 0.3 * np.sin(x / 20))
        for centre, peak in zip(rng.uniform(5, SHAPE[1] - 5, 12), 100 * rng.pareto(1.2, 12) + 50, strict=True):
            image += peak * np.exp(-((x - centre) ** 2) / 3)
    else:
        for _ in range(24):
            flux = min(40 * (1 - rng.random()) ** -1.0, 2e4)
            image += flux * np.exp(-((y - rng.uniform(0, SHAPE[0])) ** 2 + (x - rng.uniform(0, SHAPE[1])) ** 2) / 3)
    expected = np.asarray(light, float)[:, None, None] * image
    hits = np.zeros(expected.shape)
    for plane in hits:
        for _ in range(int(rate * plane.size / 6)):
            row, column, charge = rng.integers(0, SHAPE[0]), rng.integers(0, SHAPE[1] - 9), rng.lognormal(5.5, 1)
            plane[row, column : column + rng.integers(3, 10)] += charge
    values = rng.poisson(expected) + rng.poisson(hits) + rng.normal(0, 5, expected.shape)
    return expected, hits, np.float32(values)


def masks_of(values, times=None):
    """Masks of some values in electrons, with exposure times or without."""
    headers = [{}] * len(values) if times is None else [{"EXPTIME": float(time)} for time in times]
    images = [CCDData(one, unit=u.electron, meta=meta) for one, meta in zip(values, headers, strict=True)]
    return CRStack(images, readnoise=5 * u.electron).detect().crmasks


def check_masks(found, expected, hits, light, most=1e-4, least=0.97):
    """At most a few values far from any hit are flagged, and nearly all hits that the other exposures can show."""
    near = np.array([ndimage.binary_dilation(one > 0, iterations=2) for one in hits])
    assert (found & ~near).mean() < most
    light = np.asarray(light, float)[:, None, None]
    noise = np.sqrt(expected + 25) / light
    for i, mask in enumerate(found):
        strong = hits[i] / light[i] > 7 * np.hypot(noise[i], np.delete(noise, i, axis=0).min(axis=0))
        # one of few hits may be lost
        assert np.count_nonzero(strong & ~mask) <= max((1 - least) * np.count_nonzero(strong), 1)


@pytest.mark.filterwarnings(
    "ignore:exposure times differ", "ignore:exposure . shows", "ignore:exposure . has .* times the light"
)
@pytest.mark.parametrize("times", [(150, 600, 600), (30, 600, 600), (60, 600), (600, 60, 120, 600, 300)])
def test_exposure_times_may_differ_by_large_factors(times):
    light = np.array(times) / 600
    expected, hits, values = exposures_of(light)
    check_masks(masks_of(values, times), expected, hits, light)


@pytest.mark.filterwarnings(
    "ignore:exposure times differ",
    "ignore:exposure . shows",
    "ignore:the values that",
    "ignore:exposure . has .* times the light",
)
@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("times", [(600, 60), (30, 600)])
def test_the_noise_of_a_short_exposure_is_no_response(times, seed):
    """The common image of two exposures holds the noise of the shorter one, which must not look like throughput."""
    light = np.array(times) / 600
    for scene in ("imaging", "slit"):
        expected, hits, values = exposures_of(light, seed=seed, scene=scene)
        check_masks(masks_of(values, times), expected, hits, light, most=2e-4, least=0.9)


def test_noises_are_relative_where_they_are_unlike():
    data = np.full((3, 60, 70), np.float32(100))
    assert relative_noises(Counts(data, 25.0)) is None
    assert relative_noises(Counts(data, 25.0, scales=(1.0, 1.2, 1.0))) is None
    found = relative_noises(Counts(data, 25.0, scales=(1.0, 0.1, 1.0)))
    # the typical signal is the median of the levels, 100
    wanted = np.array([125, (10 + 25) * 100, 125])
    np.testing.assert_allclose(found, wanted / wanted.mean(), rtol=1e-5)


def test_groups_hold_exposures_of_like_noise():
    assert groups_of_noise(np.array([10.0, 3.0, 10.5, 4.0])) == ((1, 3), (0, 2))
    assert groups_of_noise(np.array([1.0, 1.5, 1.2])) == ((0, 1, 2),)


def test_span_is_that_of_like_noise():
    """With equal noise in two groups the span is the range over the noise; a noisy value spans less."""
    levels = np.float32([[0.0], [3.0], [6.0]])
    unlike = UnlikeNoise(((0, 1), (2,)), np.ones((2, 1, 1), np.float32), np.ones((3, 1, 1), np.float32))
    assert unlike.span(levels, np.ones((2, 1), np.float32)) == pytest.approx(6)
    assert unlike.span(levels, np.float32([[1.0], [7.0]])) == pytest.approx(3)
    assert unlike.agree(levels, np.array([0]), 6.1).all()
    assert not unlike.agree(levels, np.array([0]), 5.9).any()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_value_with_a_large_error_flags_no_others(n, sign):
    """The expected value of one exposure may have a large error in few pixels, such as those of stars that enter."""
    rng = np.random.default_rng(8)
    levels = np.full((n, 400), 100.0) + 10 * rng.standard_normal((n, 400))
    levels[-1] += sign * np.geomspace(100, 20_000, 400)
    variance = np.full((n, 400), 100.0, np.float32)
    variance[-1] += np.geomspace(100, 20_000, 400, dtype=np.float32) ** 2
    one, none = np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32)
    where = np.arange(400), np.arange(400)
    candidates = Candidates(where, np.float32(levels), one, none, variance, none)
    tables = candidates.tables()
    # the first sweeps find the neighbours, and have no closer nodes
    for closer in (None, Unresolved.of(candidates)):
        field = Field((n, 400, 400))
        sweep(field, candidates, tables, Population(), np.zeros((n, 400), np.int32), closer)
        assert field.chance.max() < 0.5


def test_nodes_resolve_the_signal_of_unlike_noise():
    """The likelihood of the signal, summed over the nodes with their widths, is the exact integral."""
    rng = np.random.default_rng(5)
    sigma = np.float32([[300], [2], [2]])
    values = np.float32(100 + sigma * rng.normal(0, 1, (3, 200)))
    some = Candidates((np.zeros(200, int),) * 2, values, *np.float32([[[1]], [[0]]]), sigma**2, np.zeros((1, 1)))
    exact = np.log(2 * np.pi * sigma.prod()) + np.log(np.sqrt((1 / sigma**2).sum()))
    weight = 1 / sigma**2
    mean = (weight * values).sum(axis=0) / weight.sum()
    exact = -exact - (weight * (values - mean) ** 2).sum(axis=0) / 2
    for groups, good in (((1, 2), (0,)), True), ((), False):
        _, clean, _, widths = Candidates(**{**some.__dict__, "groups": groups}).at_nodes()
        if not good:
            assert np.ptp(widths) < 1e-4  # evenly spaced
            continue
        found = np.log(np.exp(clean.sum(axis=0) + widths).sum(axis=0))
        np.testing.assert_allclose(found, exact, atol=0.02)


@pytest.mark.filterwarnings(
    "ignore:exposure . shows",
    "ignore:the exposures scatter",
    "ignore:the values that",
    "ignore:exposure . has .* times the light",
)
@pytest.mark.parametrize("scene", ["imaging", "slit"])
@pytest.mark.parametrize("light", [(0.3, 1, 1), (0.1, 1, 1), (1, 1, 4), (1, 10), (10, 1, 1, 1, 1)])
def test_unequal_light_without_exposure_times(scene, light):
    """Whether most or few exposures are faint, their light is measured, and the hits of all are found."""
    expected, hits, values = exposures_of(light, scene=scene)
    check_masks(masks_of(values), expected, hits, light)


@pytest.mark.filterwarnings("ignore:exposure . has .* times the light")
@pytest.mark.parametrize(("light", "seed"), [((0.3, 1, 1), 5), ((1, 0.5, 0.25), 6), ((1, 0.3, 0.1), 7), ((1, 0.3), 8)])
def test_clouds_that_dim_the_stars_but_not_the_sky(light, seed):
    """The noise of the sky is the same in all exposures, whatever their throughput."""
    rng, wanted = np.random.default_rng(seed), np.array(light) / np.mean(light)
    y, x = np.mgrid[:240, :260]
    stars = np.zeros((240, 260))
    for flux in np.geomspace(60, 8000, 30):
        stars += flux * np.exp(-((y - rng.uniform(0, 240)) ** 2 + (x - rng.uniform(0, 260)) ** 2) / 3)
    images = [rng.poisson(60 + part * stars) + rng.normal(0, 5, stars.shape) for part in light]
    result = CRStack([CCDData(one, unit="electron") for one in images], readnoise=5 * u.electron).joint_posterior()
    np.testing.assert_allclose(result.measured.factors, wanted, rtol=0.08)
    assert result.excess.shift < 0.1
    # no star is taken for a hit
    assert result.mask.sum() < 5


@pytest.mark.parametrize("light", [(1, 1, 1), (1, 0.8, 1.1)])
def test_light_that_differs_little_needs_no_start(light):
    assert first_factors(exposures_of(light)[2]) is None


@pytest.mark.parametrize("light", [(0.1, 1, 1), (1, 3), (1, 1, 1, 1, 8)])
def test_first_throughputs_are_about_right(light):
    """Added levels do not change them, and exposures without structure have none."""
    wanted = np.array(light) / np.mean(light)
    _, _, values = exposures_of(light)
    for added in (0, 70):
        values[0] += added
        np.testing.assert_allclose(first_factors(values), wanted, rtol=0.25)
    assert first_factors(np.random.default_rng(1).normal(10, 1, (3, 50, 50)).astype(np.float32)) is None


@pytest.mark.filterwarnings("ignore:the exposures scatter")
@pytest.mark.parametrize(("gain", "readnoise"), [(1.3, 5.0), (1.0, 2.0)])
def test_understated_noise_flags_no_clean_values(gain, readnoise):
    """Where photons dominate a sky, a wrong gain or bias is an excess of their variance."""
    _, hits, values = exposures_of((1, 1, 1))
    stack = CRStack(list(gain * values), unit="electron", readnoise=readnoise * u.electron)
    near = np.array([ndimage.binary_dilation(one > 0, iterations=2) for one in hits])
    assert (stack.detect().crmasks & ~near).mean() < 1e-4
    excess = stack.joint_posterior().excess
    sky = gain * 80.0
    wanted = gain**2 * (80 + 25) - sky - readnoise**2
    assert 0.4 * wanted < excess.of(np.float32(sky), 0.0) < 1.25 * wanted


@pytest.mark.filterwarnings("ignore:the exposures scatter", "ignore:the values that")
@pytest.mark.parametrize(("n", "level", "readnoise"), [(2, 65.0, 3.0), (3, 65.0, 3.0), (3, 45.0, 3.0), (5, 45.0, 5.0)])
def test_a_wrong_bias_flags_no_clean_values(n, level, readnoise):
    """The excess variance of the sky is found completely."""
    expected, hits, _ = exposures_of((1,) * n, seed=15)
    values = np.random.default_rng(16).poisson(expected) + hits
    values = values + np.random.default_rng(17).normal(0, readnoise, values.shape) - level
    stack = CRStack(list(values.astype(np.float32)), unit="electron", readnoise=readnoise * u.electron)
    near = np.array([ndimage.binary_dilation(one > 0, iterations=2) for one in hits])
    assert (stack.detect().crmasks & ~near).mean() < 1e-4
    excess = stack.joint_posterior().excess
    assert 0.85 * level < excess.of(np.float32(80 - level), 0.0) < 1.15 * level


def test_excess_of_photons():
    excess = ExcessVariance(photons=0.3)
    assert excess.of(np.float32([-5, 0, 100]), 0.0) == pytest.approx([0, 0, 30])
    assert str(excess) == "1.3 times the variance of the photons"


@pytest.mark.parametrize("skies", [(50, 3000), (50, 50, 3000)])
def test_noise_of_a_dark_sky_is_not_taken_for_hits(skies):
    """The common signal has the mean sky, and the dark exposure has fewer photons. 14 600 per Mpx were flagged."""
    rng = np.random.default_rng(21)
    sky = np.array(skies)[:, None, None]
    hits = np.where(rng.random((len(skies), 200, 250)) < 0.004, 600.0, 0.0)
    data = rng.poisson(sky, hits.shape) + rng.normal(0, 4, hits.shape) + hits
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "exposure . shows", CRStackWarning)
        # with two exposures, most hits of the dark one are hidden
        warnings.filterwarnings("ignore", "the noise of", ImplausibleResultWarning)
        stack = CRStack([CCDData(one, unit="electron") for one in data], readnoise=4 * u.electron)
        found = stack.detect().crmasks
    assert (found & (hits == 0))[:-1].sum() <= 10
    assert (found & (hits > 0))[-1].sum() >= 0.97 * (hits[-1] > 0).sum()


@pytest.mark.parametrize(("slope", "constant"), [(1.0, 30.0), (0.1, 4.0), (1.0, -900.0)])
@pytest.mark.parametrize("known", [True, False])
def test_the_noise_is_even_in_its_coordinate(slope, constant, known):
    """Also for a mean of ten exposures, and where the common signal has more sky than the exposure."""
    rng = np.random.default_rng(22)
    signal = 1000 + np.concatenate([rng.normal(0, 10, 20_000), 10 ** rng.uniform(2, 5, 2000)])
    noise = np.sqrt(slope * signal + constant)
    coordinate = even_noise(signal, noise, slope if known else None)
    some = np.array([1000.0, 1100, 3000, 50_000])
    step = coordinate.place_of(some + 0.01) - coordinate.place_of(some - 0.01)
    np.testing.assert_allclose(step / 0.02 * np.sqrt(slope * some + constant), 1, rtol=0.02)
    np.testing.assert_allclose(coordinate.signal_of(coordinate.place_of(some)), some, rtol=1e-9)


def test_photons_per_level():
    cube = np.zeros((3, 4, 5), np.float32)
    assert Counts(cube, 9.0).photon_variance_per_level() == 1
    assert Counts(cube, 9.0, scales=(0.5, 2.0, 1.0)).photon_variance_per_level([0, 1]) == 1.25
    assert Counts(cube, 9.0, poisson=(True, False, True)).photon_variance_per_level([0, 2]) == 1
    assert Counts(cube, 9.0, poisson=(True, False, True)).photon_variance_per_level() is None


def test_the_least_noise_is_that_of_an_exposure_with_values():
    """An average of another field is given among the exposures. It has less noise, and is not used."""
    rng = np.random.default_rng(289)
    cube = (rng.poisson(100.0, (3, 60, 80)) + rng.normal(0, 4, (3, 60, 80))).astype(np.float32)
    bad = np.zeros(cube.shape, bool)
    bad[0] = True
    noises = tuple(np.full((60, 80), one, np.float32) for one in (4.0, 116.0, 116.0))
    counts = Counts(cube, noises, bad, poisson=(False,) * 3)
    found = unlike_noise(counts, np.full((60, 80), 100, np.float32), np.zeros((60, 80), np.float32))
    assert found.groups[0] == (1, 2)
    assert np.isfinite(joint_posterior(counts, JointPosterior(excess=False)).probability).all()
