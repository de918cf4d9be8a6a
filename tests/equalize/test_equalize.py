"""Flux factors, offsets, local response and overdispersion, against simulated truth."""

import warnings
from dataclasses import replace
from functools import cache

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from scipy import ndimage
from support.stacks import stack_of

from crstack import CRStack, PyCosmicDetector
from crstack.datasets import make_stack
from crstack.equalize import (
    Equalization,
    ResponseSettings,
    estimate_flux_factors,
    estimate_offsets,
    estimate_response,
    fit_nbinom_shape,
)
from crstack.equalize.terms import offsets
from crstack.equalize.terms.clean import reject_hits
from crstack.equalize.terms.common import moved_images
from crstack.exceptions import InputError
from crstack.exposures import load_exposures
from crstack.statistics import order_statistics

SCENES = ("ifu", "imaging", "slit")
SHIFTS = ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
PYCOSMIC = PyCosmicDetector(sigma_det=(5, 3))


def simulate(scene="ifu", **options):
    defaults = {
        "shape": (240, 280),
        "gain": 2 * u.electron / u.adu,
        "readnoise": 4 * u.electron,
        "bias": 500 * u.adu,
        "hit_rate": 0.02,
        "seed": 5,
    }
    return make_stack(scene, **(defaults | options))


def loaded(simulated):
    exposures = load_exposures(
        simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias
    )
    return exposures, order_statistics(exposures.data, 2, exposures.bad)


# flux factors


@pytest.mark.parametrize("factors", [(0.8, 1.0, 1.2), (0.97, 1.0, 1.02)])
@pytest.mark.parametrize("scene", SCENES)
def test_flux_factors(scene, factors):
    exposures, statistics = loaded(simulate(scene, flux_factors=factors))
    for regions in (None, [(20, 140, 10, 230), (160, 270, 10, 230)]):
        found = estimate_flux_factors(exposures, statistics, regions)
        np.testing.assert_allclose(found.values, factors, rtol=0.005)
        assert (np.abs(np.array(found.values) - factors) <= 4 * np.array(found.errors) + 1e-12).all()
        assert max(found.errors) < 0.005


def test_flux_factors_of_many_exposures():
    factors = (0.9, 1.1, 1.0, 0.8, 1.3)
    exposures, statistics = loaded(simulate(n_exposures=5, flux_factors=factors))
    np.testing.assert_allclose(estimate_flux_factors(exposures, statistics).values, factors, rtol=0.005)
    # of an even number of exposures the median is the mean of the middle two
    exposures, statistics = loaded(simulate("slit", n_exposures=4, flux_factors=(0.9, 1.0, 1.1, 1.2)))
    expected = np.array([0.9, 1.0, 1.1, 1.2]) / 1.05
    np.testing.assert_allclose(estimate_flux_factors(exposures, statistics).values, expected, rtol=0.005)


@pytest.mark.filterwarnings("ignore:the exposures scatter")  # the given bias is too low
def test_slope_does_not_mind_the_bias():
    simulated = simulate("slit", flux_factors=(0.8, 1.0, 1.2), bias=530 * u.adu)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=500 * u.adu)
    ratio, slope = stack.flux_factors(method="ratio"), stack.flux_factors()
    np.testing.assert_allclose(slope.values, (0.8, 1.0, 1.2), rtol=0.005)
    assert abs(ratio.values[0] - 0.8) > 0.01


def test_a_brighter_sky_is_no_throughput():
    simulated = make_stack("ifu", shape=(150, 180), hit_rate=0.01, backgrounds=(100, 130, 160) * u.adu, seed=12)
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "flux_factors": "auto"}
    stack = CRStack(simulated.exposures, **options, apply_flux_factors_to="original")
    np.testing.assert_allclose(stack.equalized.flux.values, 1, atol=0.02)
    ratio = CRStack(simulated.exposures, **options, flux_method="ratio").equalized.flux.values
    assert max(ratio) > 1.15


def test_hits_do_not_move_flux_factors():
    clean = stack_of(simulate(hit_rate=0.0)).flux_factors()
    hit = stack_of(simulate(hit_rate=0.03)).flux_factors()
    np.testing.assert_allclose(hit.values, clean.values, atol=0.003)


def test_flux_errors_are_those_of_repeated_draws():
    simulated = simulate(shape=(100, 120), flux_factors=(0.9, 1.0, 1.1))
    found = [stack_of(simulated.realisation(seed)).flux_factors() for seed in range(40)]
    scatter = np.std([one.values for one in found], axis=0, ddof=1)[[0, 2]]
    errors = np.mean([one.errors for one in found], axis=0)[[0, 2]]
    # the median exposure is 1 by definition, and the errors hold its own
    np.testing.assert_allclose(scatter, errors, rtol=0.25)


# offsets


@pytest.mark.parametrize("scene", SCENES)
def test_offsets(scene):
    exposures, statistics = loaded(simulate(scene, offsets=SHIFTS))
    for region in (None, (40, 240, 30, 210)):
        found = estimate_offsets(exposures, statistics, region)
        np.testing.assert_allclose(found.values, SHIFTS, atol=0.05)
        assert found.region == region


def test_offsets_in_a_region_depend_on_its_surroundings_as_in_the_whole_image(monkeypatch):
    moves = ((0, 0), (0.3, -6.2), (-0.4, 5.7))
    exposures, statistics = loaded(simulate("slit", offsets=moves))
    region = (60, 190, 50, 180)
    found = estimate_offsets(exposures, statistics, region)
    np.testing.assert_allclose(np.diff(found.values, axis=0), np.diff(moves, axis=0), atol=0.1)
    monkeypatch.setattr(offsets, "MARGIN", max(exposures.shape))
    assert found == estimate_offsets(exposures, statistics, region)


def test_errors_of_offsets_are_honest():
    """Where the scene is weak, noise against noise decides."""
    pulls, true = [], np.array([(0.0, 0.0), (0.4, -0.3), (-0.25, 0.35)])
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scene = 50 + 4 * 7 * ndimage.gaussian_filter(rng.standard_normal((120, 140)), 2)
        moved = [ndimage.shift(scene, (dy, dx), order=3)[10:-10, 10:-10] for dx, dy in true]
        planes = [(rng.poisson(2 * image) + rng.normal(0, 5, image.shape)) / 2 * u.adu for image in moved]
        exposures = load_exposures(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
        found = estimate_offsets(exposures, order_statistics(exposures.data, 2, exposures.bad))
        values = np.array(found.values)
        # relative to their mean: the median of the offsets has an error too
        deviations = (values - values.mean(axis=0)) - (true - true.mean(axis=0))
        pulls.append(deviations * np.sqrt(3 / 2) / np.array(found.errors))
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.5


def test_offsets_and_factors_together():
    simulated = simulate(offsets=SHIFTS, flux_factors=(0.8, 1.0, 1.2))
    equalized = measured_alone(simulated, flux_factors="auto", offsets="auto").equalized
    np.testing.assert_allclose(equalized.offsets.values, SHIFTS, atol=0.05)
    np.testing.assert_allclose(equalized.flux.values, (0.8, 1.0, 1.2), rtol=0.005)


def with_hot_pixels(simulated, column):
    """The exposures with pixels and a column of some signal that stay where they are, and where these are."""
    rng = np.random.default_rng(1)
    charge = np.where(rng.random((240, 280)) < 0.004, rng.lognormal(6, 1, (240, 280)), 0)
    exposures = [ccd.copy() for ccd in simulated.exposures]
    charge[:, 123] += column
    for ccd in exposures:
        ccd.data = (ccd.data + rng.poisson(charge) / 2).astype(np.float32)
    return exposures, charge > 200


@pytest.mark.parametrize(("column", "share"), [(0, 0.1), (3000, 0.1)])
def test_hot_pixels_do_not_move_with_the_scene(column, share):
    simulated = simulate("slit", offsets=SHIFTS, hit_rate=0)
    exposures, hot = with_hot_pixels(simulated, column)
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    if not column:
        stack = CRStack(exposures, offsets="auto", differences=None, **options)
        np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    # what is subtracted leaves noise alone at these pixels and beside them, where a spline would ring
    beside = ndimage.maximum_filter(hot, 3)
    levelled = CRStack(exposures, offsets=SHIFTS, **options).equalized.levelled
    pull = (levelled.data[0] - levelled.data[2])[beside]
    pull /= np.sqrt(2 * levelled.noise.variance(np.median(levelled.data, axis=0)[beside]))
    assert (np.abs(pull) > 5).mean() < share


@pytest.mark.filterwarnings("ignore:the noise is below one step of the values")  # exposures without noise
@pytest.mark.filterwarnings("ignore:the exposures scatter")
def test_nothing_rings_around_hot_pixels():
    image = np.full((30, 40), 50, dtype=np.float32)
    image[12, 20] += 200
    image[0, 39] += 90
    exposures = load_exposures([image * u.electron] * 3, readnoise=4 * u.electron)
    exposures = replace(exposures, missing=())  # the noise of rounding is no subject of this test
    for one in moved_images(exposures, image, ((0.3, 0.2), (0.0, 0.0), (-0.4, 0.1))):
        np.testing.assert_allclose(one, image, rtol=1e-5)
    # a star that came through the optics moves
    y, x = np.mgrid[:30, :40]
    image = (50 + 200 * np.exp(-0.5 * ((y - 12) ** 2 + (x - 20) ** 2))).astype(np.float32)
    moved = moved_images(exposures, image, ((0.3, 0.0), (0.0, 0.0), (-0.4, 0.0)))
    assert moved[0][12, 21] > moved[1][12, 21] + 30 > moved[2][12, 21] + 60


def test_the_scene_moves_where_no_pixel_is_hot():
    simulated = simulate("slit", offsets=SHIFTS, hit_rate=0)
    levelled = stack_of(simulated, offsets=SHIFTS).equalized.levelled
    inside = (slice(5, -5), slice(5, -5))
    pull = (levelled.data[0] - levelled.data[2])[inside]
    pull /= np.sqrt(2 * levelled.noise.variance(np.median(levelled.data, axis=0)[inside]))
    assert (np.abs(pull) > 5).mean() < 1e-3


def test_bad_values_neither_pull_offsets_nor_leave_edges():
    simulated = simulate("imaging", offsets=SHIFTS, hit_rate=0)
    rng = np.random.default_rng(2)
    exposures = [ccd.copy() for ccd in simulated.exposures]
    for ccd in exposures:
        ccd.data = (ccd.data + rng.poisson(200, ccd.shape) / 2).astype(np.float32)
    bad = np.zeros((3, 240, 280), dtype=bool)
    bad[:, :, 100:104] = bad[:, 50:60, 200:220] = True
    bad[1, 120:180, 150:190] = True
    for ccd, mask in zip(exposures, bad, strict=True):
        ccd.data[mask] = np.nan
        ccd.mask = mask
    options = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    stack = CRStack(exposures, offsets="auto", differences=None, **options)
    np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    levelled = CRStack(exposures, offsets=SHIFTS, **options).equalized.levelled
    beside = ndimage.maximum_filter(bad.any(axis=0), 7) & ~bad.any(axis=0)
    pull = (levelled.data[0] - levelled.data[2])[beside]
    pull /= np.sqrt(2 * levelled.noise.variance(np.median(levelled.data, axis=0)[beside]))
    assert pull.std() < 1.05


def test_expected_images_are_shifted_and_scaled():
    simulated = simulate(offsets=SHIFTS, flux_factors=(0.8, 1.0, 1.2), hit_rate=0.03)
    stack = stack_of(simulated, flux_factors=(0.8, 1.0, 1.2), offsets=SHIFTS)
    inside = (slice(5, -5), slice(5, -5))
    noise = np.sqrt(simulated.noise.variance(simulated.expected))
    for image, truth, sigma in zip(stack.equalized.expected_images(None), simulated.expected, noise, strict=True):
        # the common image has the noise of a median, and where most exposures are hit that of the lowest
        pull = ((image - truth) / sigma)[inside]
        assert np.std(pull) < 0.9
        assert np.mean(np.abs(pull) > 4) < 2e-3
    # what is compared differs by noise alone, where no exposure is hit
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    levelled = stack.equalized.levelled.data
    difference = (levelled[0] - levelled[2]) / np.hypot(noise[0], noise[2])
    assert np.std(difference[inside][clean[inside]]) == pytest.approx(1, abs=0.15)


# local response


def test_response_is_recovered_and_nothing_else():
    simulated = simulate("slit", response_jitter=0.08, shape=(200, 400))
    exposures, _ = loaded(simulated)
    maps = estimate_response(exposures).maps
    true = simulated.expected / np.median(simulated.expected, axis=0)
    bright = simulated.expected.mean(axis=0) > 100
    before, after = np.std((true - 1)[:, bright]), np.std((maps / true - 1)[:, bright])
    assert after < 0.3 * before
    np.testing.assert_allclose(np.median(maps, axis=0), 1, atol=1e-5)


def test_response_of_equal_exposures_is_one():
    simulated = simulate("ifu", shape=(200, 400))
    maps = estimate_response(loaded(simulated)[0]).maps
    sigmas = np.abs(maps - 1) * simulated.expected / np.sqrt(simulated.noise.variance(simulated.expected))
    assert np.mean(np.any(maps != 1, axis=0)) < 0.2
    assert sigmas.max() < 1.5
    assert np.percentile(sigmas, 99) < 0.2


def test_response_where_there_is_no_signal_is_one(flat_exposures):
    exposures = load_exposures(
        flat_exposures(signal=0.0, shape=(60, 200)), gain=2 * u.electron / u.adu, readnoise=5 * u.electron
    )
    assert (estimate_response(exposures).maps == 1).all()


def test_response_along_y():
    simulated = simulate("slit", response_jitter=0.08, shape=(120, 260))
    exposures, _ = loaded(simulated)
    turned = exposures.transposed()
    along_x = estimate_response(exposures, ResponseSettings("x")).maps
    along_y = estimate_response(turned, ResponseSettings("y")).maps
    np.testing.assert_array_equal(along_y, along_x.transpose(0, 2, 1))


def test_response_never_eats_a_hit(flat_exposures):
    planes = flat_exposures(shape=(80, 512), signal=300.0)
    # a track of 60 pixels along the row, and one that crosses it
    planes[1].value[40, 100:160] += 250
    planes[2].value[20:60, 300] += 250
    exposures = load_exposures(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    maps = estimate_response(exposures).maps
    assert np.abs(maps[1, 40, 100:160] - 1).max() < 0.03
    assert np.abs(maps[2, 20:60, 300] - 1).max() < 0.03


def test_surroundings_of_rejected_hits_do_not_count(flat_exposures):
    """They hold the faint rim of the hit."""
    planes = flat_exposures(signal=300.0)
    planes[1].value[20, 25] += 400
    exposures = load_exposures(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    ok = reject_hits(exposures, exposures.usable, (1.0, 1.0, 1.0)).ok
    expected = np.ones(exposures.shape, dtype=bool)
    expected[19:22, 24:27] = False
    np.testing.assert_array_equal(ok, expected)
    assert fit_nbinom_shape(exposures).n_pixels == expected.sum()


def test_dark_rows_have_no_response():
    """Where the weights are noise themselves, they must not count as signal."""
    simulated = simulate("ifu", shape=(200, 400), hit_rate=0.0)
    maps = estimate_response(loaded(simulated)[0]).maps
    assert np.mean(np.any(maps != 1, axis=0)) < 0.05


# overdispersion


@pytest.mark.filterwarnings("ignore:the exposures scatter")
@pytest.mark.parametrize("kappa", [50, 200, 1000])
@pytest.mark.parametrize("scene", SCENES)
def test_nbinom_shape(scene, kappa):
    exposures = overdispersed(scene, kappa)
    found = fit_nbinom_shape(exposures)
    assert found.value == pytest.approx(kappa, rel=0.2)
    assert abs(found.value - kappa) < 4 * found.error
    assert f"kappa = {found.value:.4g}" in str(found)


def overdispersed(scene, kappa, **options):
    simulated = simulate(scene, bias=0 * u.adu, **options)
    rng = np.random.default_rng(1)
    noise = simulated.noise.with_nbinom_shape(kappa)
    planes = [
        (noise.sample(expected, rng) + hits) * u.adu
        for expected, hits in zip(simulated.expected, simulated.hits, strict=True)
    ]
    return load_exposures(planes, gain=simulated.gain, readnoise=simulated.readnoise)


def test_nbinom_shape_of_poisson():
    found = fit_nbinom_shape(loaded(simulate())[0])
    assert found.is_poisson
    assert found.value == np.inf
    assert np.isnan(found.error)
    assert "Poisson" in str(found)


def test_nbinom_shape_of_divided_exposures():
    factors = (0.8, 1.0, 1.2)
    exposures = overdispersed("slit", 200, flux_factors=factors)
    assert fit_nbinom_shape(exposures.divided_by(factors)).value == pytest.approx(200, rel=0.1)
    # undivided, the factors are the overdispersion
    assert fit_nbinom_shape(exposures).value < 100


def test_nbinom_auto_in_the_diagram():
    simulated = simulate("slit", bias=0 * u.adu)
    rng = np.random.default_rng(1)
    planes = [simulated.noise.with_nbinom_shape(200).sample(image, rng) * u.adu for image in simulated.expected]
    stack = CRStack(planes, gain=simulated.gain, readnoise=simulated.readnoise)
    settings = stack.mm_diagram(nbinom_shape="auto", n_simulations=1).settings
    assert settings.nbinom_shape == stack.nbinom_shape().value == pytest.approx(200, rel=0.2)
    poisson = stack_of(simulate("slit"))
    assert poisson.mm_diagram(nbinom_shape="auto", n_simulations=1).settings.nbinom_shape is None


# what they do to the masks


def measured_alone(simulated, **options):
    """A stack with nothing but the differences that are asked for by name."""
    return stack_of(simulated, differences=None, **options)


def masks_of(simulated, **options):
    stack = measured_alone(simulated, **options)
    stack.mm_diagram(aux=PYCOSMIC, n_simulations=10)
    return stack, stack.detect(aux=PYCOSMIC)


def masks_without(simulated):
    """Masks where no difference is measured: stars and lines may be flagged, which a warning states."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "flagged groups are smooth .* Neither given nor measured: throughput, shift")
        return masks_of(simulated)[1]


def figures(simulated, masks):
    """Completeness of the exposures' masks, and false positives in MEDIANCR."""
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    strong = simulated.hit_mask(10)
    found = sum((masks[f"CRMASK{i + 1}"] & strong[i]).sum() for i in range(len(strong)))
    return found / strong.sum(), int((masks["MEDIANCR"] & ~near).sum())


@cache
def completeness_without_defects(scene):
    ideal = simulate(scene)
    return figures(ideal, masks_of(ideal)[1])[0]


CASES = {
    "flux, simulated": ({"flux_factors": (0.8, 1.0, 1.2)}, {"flux_factors": "auto"}),
    "flux, original": (
        {"flux_factors": (0.8, 1.0, 1.2)},
        {"flux_factors": "auto", "apply_flux_factors_to": "original"},
    ),
    "offsets": ({"offsets": SHIFTS}, {"crosscorr_region": (1, 280, 1, 240)}),
    "response": ({"response_jitter": 0.08}, {"response": "auto"}),
}


@pytest.mark.filterwarnings("ignore:bright pixels of the exposures differ")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scene", ["ifu", "slit"])
def test_false_positives_go_and_hits_stay(scene, case):
    defects, options = CASES[case]
    reference = completeness_without_defects(scene)
    simulated = simulate(scene, **defects)
    _, without = figures(simulated, masks_without(simulated))
    completeness, false = figures(simulated, masks_of(simulated, **options)[1])
    assert completeness > reference - 0.03
    assert without > 50
    assert false < without / 5


def test_original_puts_all_combinations_on_one_level(tmp_path):
    factors = (0.8, 1.0, 1.2)
    simulated = simulate("slit", flux_factors=factors)
    level = simulated.expected[1]
    stack, masks = masks_of(simulated, flux_factors=factors, apply_flux_factors_to="original")
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    for name in ("mean", "meancr2", "median"):
        ccd = stack.combine(name)
        pull = ((ccd.data - level) / np.sqrt(ccd.uncertainty.array))[clean]
        assert np.mean(pull) == pytest.approx(0, abs=0.06), name
        assert np.std(pull) == pytest.approx(1, abs=0.05), name
    # where one exposure is hit the mean of the others is on the level too
    one = (simulated.hit_mask(10).sum(axis=0) == 1) & (masks.crmasks.sum(axis=0) == 1)
    ccd = stack.combine("meancr2")
    pull = ((ccd.data - level) / np.sqrt(ccd.uncertainty.array))[one]
    assert np.mean(pull) == pytest.approx(0, abs=0.15)
    assert np.std(pull) == pytest.approx(1, abs=0.15)
    hdus = masks.to_hdulist()
    assert [hdus[0].header[f"FLUXF{i}"] for i in (1, 2, 3)] == list(factors)
    masks.write(tmp_path / "crmasks.fits")
    assert type(masks).read(tmp_path / "crmasks.fits").flux_factors == factors
    assert any("flux factors, given: 0.8, 1, 1.2" in line for line in masks.history)


def test_response_gives_right_variances():
    simulated = simulate("slit", response_jitter=0.08)
    stack, _ = masks_of(simulated, response="auto")
    common = np.median(simulated.expected, axis=0)
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    ccd = stack.combine("meancr2")
    pull = ((ccd.data - common) / np.sqrt(ccd.uncertainty.array))[clean]
    assert np.std(pull) == pytest.approx(1, abs=0.1)


def test_simulated_leaves_the_data_untouched():
    simulated = simulate(flux_factors=(0.8, 1.0, 1.2), offsets=SHIFTS)
    stack = stack_of(simulated, flux_factors="auto", offsets=SHIFTS)
    plain = stack_of(simulated)
    np.testing.assert_array_equal(stack.combine("mean").data, plain.combine("mean").data)
    assert stack.mm_diagram(n_simulations=1).y_edges[-1] > 0
    assert stack.equalized.levelled is not stack.equalized.exposures


def test_response_and_offsets_together():
    simulated = simulate("slit", response_jitter=0.05, offsets=SHIFTS)
    _, without = figures(simulated, masks_without(simulated))
    _, one = figures(simulated, masks_of(simulated, offsets=SHIFTS)[1])
    stack, masks = masks_of(simulated, offsets="auto", response="auto")
    np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    completeness, false = figures(simulated, masks)
    assert false < one < without / 5
    assert completeness > 0.97
    # the response is that of the detector, whatever the scene is shifted by
    still = simulate("slit", response_jitter=0.05)
    true = still.expected / np.median(still.expected, axis=0)
    bright = still.expected.mean(axis=0) > 100
    assert np.std((stack.equalized.response.maps / true - 1)[:, bright]) < 0.6 * np.std((true - 1)[:, bright])


def test_factors_of_one_change_nothing(simulated):
    plain = stack_of(simulated).detect(aux=PYCOSMIC)
    stack = stack_of(simulated, flux_factors=1.0)
    assert stack.equalized.levelled is stack.exposures
    masks = stack.detect(aux=PYCOSMIC)
    for name in plain:
        np.testing.assert_array_equal(masks[name], plain[name])


def test_divided_exposures_keep_their_noise_in_electrons():
    simulated = simulate(with_uncertainty=True)
    exposures = loaded(simulated)[0]
    divided = exposures.divided_by((0.5, 1.0, 2.0))
    for i, scale in enumerate((0.5, 1.0, 2.0)):
        np.testing.assert_allclose(divided.data[i] * scale, exposures.data[i], rtol=1e-6)
        signal = np.full(exposures.shape, 50.0)
        np.testing.assert_allclose(
            divided.noise_of(i).variance(signal) * scale**2, exposures.noise_of(i).variance(signal), rtol=1e-5
        )
    model = exposures.noise.divided_by(2.0)
    # half the signal of twice the photons
    assert model.variance(50.0) == pytest.approx(exposures.noise.variance(100.0) / 4)
    assert not model.cutout(slice(0, 2)).divided_by(np.ones((2, 2))).is_uniform


# errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flux_factors": (1.0, 2.0)}, "flux_factors must be one number or 3, one for each exposure; got 2"),
        ({"flux_factors": (1.0, 0.0, 1.0)}, "flux_factors must be a number at least 0.001 and at most 1000; got 0"),
        ({"flux_factors": -1.0}, "flux_factors must be a number greater than 0; got -1"),
        (
            {"flux_factors": "measure"},
            "flux_factors must be .auto., None, one number, or .*; got 'measure'",
        ),
        ({"flux_regions": [(1, 9, 1)]}, "flux_regions 1 must be four integers"),
        ({"flux_regions": [(1, 900, 1, 9)]}, "flux_regions 1 must lie inside the image of 180 x 150 pixels"),
        ({"flux_method": "mean"}, "flux_method must be one of ratio, slope; got 'mean'"),
        ({"apply_flux_factors_to": "both"}, "apply_flux_factors_to must be one of simulated, original; got 'both'"),
        ({"offsets": SHIFTS[:2]}, r"offsets must be 3 pairs \(dx, dy\), one for each exposure; got 2"),
        ({"offsets": 0.5}, r"offsets must be pairs \(dx, dy\), one for each exposure; got 0.5"),
        ({"offsets": [(0, 0, 0)] * 3}, r"offsets must be pairs \(dx, dy\), one for each exposure; got \[\(0, 0, 0\)"),
        ({"offsets": [(0, np.nan)] * 3}, "offsets must be a finite number; got nan"),
        ({"offsets": "measure"}, "offsets must be .auto., None, or a pair .*; got 'measure'"),
        (
            {"offsets": SHIFTS, "crosscorr_region": (1, 50, 1, 50)},
            r"offsets must be .auto. where crosscorr_region is given, because it measures them; got \(\(",
        ),
        ({"crosscorr_region": (1, 10, 1, 50)}, "crosscorr_region must be 16 pixels or more on each side"),
        ({"crosscorr_region": (1, 500, 1, 50)}, "crosscorr_region must lie inside the image"),
        ({"response": "on"}, "response must be .auto., None, or a number or image .*; got 'on'"),
        ({"response": 3}, 'response must be "auto", None, or a number or image for each exposure; got int'),
        ({"response": [1, 0, 1]}, "response must be positive everywhere"),
        ({"response": [1, 1]}, "response must be 3, one for each exposure; got 2"),
        ({"response": [np.ones((3, 4))] * 3}, r"response must be images of shape \(150, 180\); got \(3, 4\)"),
        ({"response": [1, 1, np.nan]}, "response must be finite numbers or images"),
        ({"backgrounds": 4.0}, 'backgrounds must be "auto", None, or a number or image for each exposure; got float'),
        ({"backgrounds": "sky"}, "backgrounds must be .auto., None, or a number or image .*; got 'sky'"),
        ({"backgrounds": [1, 2]}, "backgrounds must be 3, one for each exposure; got 2"),
        ({"backgrounds": [1, 2, "a"]}, "backgrounds must be finite numbers or images"),
        ({"backgrounds": [1, 2, 3] * u.s}, "backgrounds must be in the unit of the exposures, adu; got s"),
        ({"seeing": 2.5}, 'seeing must be "auto", None, or a width in pixels for each exposure; got 2.5'),
        ({"seeing": [2.5, 3.0]}, "seeing must be 3 widths, one for each exposure; got 2"),
        ({"seeing": [2.5, 3.0, 0.0]}, "seeing must be a number at least 0.5"),
        ({"differences": "all"}, "differences must be .auto. or None; got 'all'"),
        # contradictions
        (
            {"flux_factors": 1.0, "flux_regions": [(1, 9, 1, 9)]},
            "flux_factors must be .auto. where flux_regions",
        ),
        ({"flux_factors": None, "flux_method": "ratio"}, "flux_factors must be .auto. where flux_method is given"),
        ({"flux_factors": None, "apply_flux_factors_to": "original"}, "flux_factors must not be None for apply_flux"),
        ({"offsets": None, "crosscorr_region": (1, 50, 1, 50)}, "offsets must be .auto. where crosscorr_region"),
        ({"differences": None, "seeing": "auto"}, "differences must be .auto. for seeing=.auto."),
        ({"differences": None, "backgrounds": "auto"}, "differences must be .auto. for backgrounds=.auto."),
    ],
)
def test_wrong_settings(simulated, options, message):
    with pytest.raises(InputError, match=message):
        stack_of(simulated, **options)


def test_unknown_setting(simulated):
    with pytest.raises(TypeError, match="flux_factor'"):
        stack_of(simulated, flux_factor="auto")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axis": "z"}, "axis must be one of x, y; got 'z'"),
        ({"lengths": (2,)}, "lengths must be a number at least 8; got 2"),
    ],
)
def test_wrong_response_settings(options, message):
    with pytest.raises(InputError, match=message):
        ResponseSettings(**options)


def test_no_signal(flat_exposures):
    stack = CRStack(flat_exposures(signal=0.0), gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    with pytest.raises(InputError, match="flux_regions must hold"):
        stack.flux_factors()
    with pytest.raises(InputError, match=r"crosscorr_region must hold structure|exposures must lie within 3 pixels"):
        stack.offsets()
    with pytest.raises(InputError, match="method must be one of ratio, slope; got 'mean'"):
        stack.flux_factors(method="mean")
    with pytest.raises(InputError, match="flux_regions must hold 25 or more clean pixels; got"):
        stack.flux_factors(regions=[(1, 3, 1, 3)])


def test_nbinom_shape_errors(simulated, flat_exposures):
    known = simulate(shape=(60, 60), with_uncertainty=True)
    with pytest.raises(InputError, match='exposures must have no uncertainties for nbinom_shape="auto"'):
        stack_of(known).nbinom_shape()
    with pytest.raises(InputError, match="exposures must share 100 or more clean pixels; got"):
        fit_nbinom_shape(loaded(simulated)[0], np.zeros(simulated.exposures[0].shape, dtype=bool))
    with pytest.raises(InputError, match=r"nbinom_shape must be .auto., None, or a number; got 'fit'"):
        stack_of(simulated).mm_diagram(nbinom_shape="fit")


def test_bad_pixels_stay_out_of_the_measurements():
    simulated = simulate("slit", flux_factors=(0.8, 1.0, 1.2), offsets=SHIFTS)
    exposures = []
    rng = np.random.default_rng(2)
    for ccd in simulated.exposures:
        data = ccd.data.copy()
        data[rng.random(data.shape) < 0.01] = np.nan
        exposures.append(CCDData(data, unit=u.adu))
    stack = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias,
                    flux_factors="auto", offsets="auto", differences=None)  # fmt: skip
    np.testing.assert_allclose(stack.equalized.flux.values, (0.8, 1.0, 1.2), rtol=0.005)
    np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    assert np.isfinite(stack.equalized.levelled.data).all()


def test_settings_are_frozen_and_coerced():
    settings = Equalization(flux_factors=np.array([1.0, 0.9, 1.1]), response="auto", differences=None)
    assert settings.flux_factors == (1.0, 0.9, 1.1)
    settings = Equalization(flux_regions=[[1, 5, 1, 5]], response="auto", differences=None)
    assert settings.flux_regions == ((1, 5, 1, 5),)
    assert settings.response == ResponseSettings()
    with pytest.raises(AttributeError):
        settings.offsets = SHIFTS


def test_uncertainties_are_divided_too():
    simulated = simulate("slit", flux_factors=(0.8, 1.0, 1.2), with_uncertainty=True)
    stack = stack_of(simulated, flux_factors="auto", apply_flux_factors_to="original")
    assert isinstance(simulated.exposures[0].uncertainty, VarianceUncertainty)
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    ccd = stack.combine("mean")
    pull = ((ccd.data - simulated.expected[1]) / np.sqrt(ccd.uncertainty.array))[clean]
    assert np.std(pull) == pytest.approx(1, abs=0.05)


def test_real_exposures_agree_after_response(sprat_files):
    options = {"unit": u.adu, "gain": 2.45 * u.electron / u.adu, "readnoise": 2.1 * u.adu, "bias": 916 * u.adu}
    star = np.r_[65:80, 121:136]
    sky = np.setdiff1d(np.arange(254), star)
    stack = CRStack.from_files(sprat_files[:3], response="auto", **options)
    stack.mm_diagram(aux="lacosmic", n_simulations=20, nbinom_shape="auto")
    crmasks = stack.detect(aux="lacosmic").crmasks
    assert crmasks[:, star].mean() < 2 * crmasks[:, sky].mean()
