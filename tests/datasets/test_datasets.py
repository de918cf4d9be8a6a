"""Simulated exposures against their own truth."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from scipy import ndimage

from crstack.datasets import SimulatedStack, make_stack
from crstack.datasets.hits import POPULATIONS, SIGNIFICANT_CHARGE, SMALLEST_CHARGE, SPARE, make_hits
from crstack.datasets.scenes import SCENES, smooth_field
from crstack.exceptions import InputError

SMALL = (120, 150)
GAIN = 2.1 * u.electron / u.adu


def data(stack):
    return np.stack([exposure.data for exposure in stack.exposures])


@pytest.fixture(scope="module")
def large():
    return make_stack("imaging", (400, 500), 3, hit_rate=0.02, seed=5)


@pytest.mark.parametrize("scene", SCENES)
def test_exposures_are_complete(scene):
    stack = make_stack(scene, SMALL, 4, seed=2)
    assert isinstance(stack, SimulatedStack)
    assert len(stack) == len(stack.exposures) == 4
    assert stack.expected.shape == stack.hits.shape == stack.truth.shape == (4, *SMALL)
    assert stack.expected.dtype == stack.hits.dtype == np.float32
    assert stack.truth.dtype == bool
    assert np.all(stack.expected > 0)
    for i, exposure in enumerate(stack.exposures):
        assert exposure.data.dtype == np.float32
        assert exposure.data.flags.writeable
        assert exposure.unit == u.adu
        assert exposure.uncertainty is None
        assert exposure.mask is None
        assert exposure.header["EXPTIME"] == 1800
        assert exposure.header["OBJECT"] == SCENES[scene].target
        assert exposure.header["EXPNUM"] == i + 1
        assert np.all(np.isfinite(exposure.wcs.wcs_pix2world([[3.0, 4.0]], 0)))


@pytest.mark.parametrize("scene", SCENES)
def test_exposure_survives_a_fits_file(scene, tmp_path):
    exposure = make_stack(scene, SMALL, 1).exposures[0]
    exposure.write(tmp_path / "exposure.fits")
    back = CCDData.read(tmp_path / "exposure.fits")
    np.testing.assert_array_equal(back.data, exposure.data)
    assert back.unit == exposure.unit
    corners = [[0.0, 0.0], [149.0, 119.0]]
    np.testing.assert_allclose(back.wcs.wcs_pix2world(corners, 0), exposure.wcs.wcs_pix2world(corners, 0), rtol=1e-9)


@pytest.mark.parametrize(("scene", "low", "high"), [("ifu", 2.9, 1500), ("imaging", 90, 1e5), ("slit", 2, 1e4)])
def test_signal_is_that_of_a_long_exposure(scene, low, high):
    expected = make_stack(scene, (300, 350), 1, hit_rate=0).expected
    assert expected.min() >= low
    assert 300 < expected.max() < high


def test_default_stack_is_the_documented_one():
    stack = make_stack()
    assert stack.expected.shape == (3, 600, 700)
    assert (stack.scene, stack.hit_rate, stack.noise_seed) == ("ifu", 0.008, 0)


@pytest.mark.parametrize("scene", SCENES)
def test_same_seed_gives_the_same(scene):
    first, second = (make_stack(scene, SMALL, seed=3, response_jitter=0.05) for _ in range(2))
    np.testing.assert_array_equal(data(first), data(second))
    np.testing.assert_array_equal(first.expected, second.expected)
    other = make_stack(scene, SMALL, seed=4)
    assert not np.array_equal(first.expected, other.expected)
    assert not np.array_equal(first.hits, other.hits)


def test_exposures_do_not_depend_on_how_many_follow():
    few, many = (make_stack("slit", SMALL, n, seed=8, response_jitter=0.1) for n in (2, 5))
    np.testing.assert_array_equal(data(few), data(many)[:2])


def test_realisation_redraws_only_the_noise():
    stack = make_stack("ifu", SMALL, seed=6)
    again = stack.realisation(7)
    assert again.noise_seed == 7
    np.testing.assert_array_equal(again.expected, stack.expected)
    np.testing.assert_array_equal(again.hits, stack.hits)
    assert not np.array_equal(data(again), data(stack))
    np.testing.assert_array_equal(data(again), data(stack.realisation(7)))
    np.testing.assert_array_equal(data(again.realisation(0)), data(stack))


def test_noise_of_exposures_and_realisations_is_independent():
    stack = make_stack("slit", SMALL, 2, hit_rate=0, seed=1)
    first, second = ((data(s) - s.expected).ravel() for s in (stack, stack.realisation(1)))
    half = first.size // 2
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    assert abs(np.corrcoef(first[:half], first[half:])[0, 1]) < 0.03


def test_truth_is_read_only():
    stack = make_stack("slit", SMALL, gain=GAIN)
    for array in (stack.expected, stack.hits, make_stack("slit", SMALL, unit=u.electron).hits):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1


@pytest.mark.parametrize("image", [False, True])
def test_units_gains_and_biases_show_the_same_electrons(image):
    gain = GAIN * (np.linspace(0.9, 1.1, SMALL[1]) * np.ones(SMALL) if image else 1)
    bias = 916 * u.adu * (np.ones(SMALL) if image else 1)
    options = {"scene": "imaging", "shape": SMALL, "seed": 9, "hit_rate": 0.02}
    electrons = make_stack(unit=u.electron, **options)
    adu = make_stack(gain=gain, bias=bias, **options)
    scale = gain.value
    np.testing.assert_allclose(data(adu), data(electrons) / scale + 916, rtol=3e-7)
    np.testing.assert_allclose(adu.expected * scale, electrons.expected, rtol=3e-7)
    np.testing.assert_allclose(adu.hits * scale, electrons.hits, rtol=3e-7)
    np.testing.assert_array_equal(adu.truth, electrons.truth)
    np.testing.assert_array_equal(adu.hit_mask(3), electrons.hit_mask(3))


def test_bias_is_kept_in_the_unit_of_the_exposures():
    assert make_stack("slit", SMALL, unit=u.electron).bias == 0 * u.electron
    stack = make_stack("slit", SMALL, unit=u.electron, gain=GAIN, bias=100 * u.adu)
    assert u.isclose(stack.bias, 210 * u.electron)
    plain = make_stack("slit", SMALL, unit=u.electron, gain=GAIN)
    np.testing.assert_allclose(data(stack), data(plain) + 210, rtol=1e-6)
    assert u.isclose(make_stack("slit", SMALL, gain=GAIN, bias=210 * u.electron).bias, 100 * u.adu)


def test_readnoise_in_adu_is_converted():
    electrons = make_stack("slit", SMALL, gain=GAIN, readnoise=4.2 * u.electron)
    adu = make_stack("slit", SMALL, gain=GAIN, readnoise=2.0 * u.adu)
    np.testing.assert_allclose(data(adu), data(electrons), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("unit", "gain"), [(u.adu, 0.7), (u.adu, 3.0), (u.electron, 3.0)])
def test_noise_agrees_with_the_noise_model(scene, unit, gain):
    stack = make_stack(scene, (200, 250), gain=gain * u.electron / u.adu, bias=300 * u.adu, unit=unit, seed=4)
    residual = data(stack) - stack.bias.value - stack.expected
    pull = (residual / np.sqrt(stack.noise.variance(stack.expected)))[~stack.truth].astype(float)
    assert abs(pull.mean()) < 0.01
    assert pull.var() == pytest.approx(1, abs=0.02)


def test_hits_add_their_charge(large):
    residual = data(large) - large.expected
    excess = (residual - large.hits)[large.truth] / np.sqrt(large.noise.variance(large.expected))[large.truth]
    assert excess.mean() == pytest.approx(0, abs=0.05)
    assert excess.var() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("rate", [0.001, 0.008, 0.05, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_rate_of_hits_is_met(rate, seed):
    hits = make_hits((320, 330), rate, np.random.default_rng(seed))
    assert np.mean(hits > SIGNIFICANT_CHARGE) == pytest.approx(rate, rel=0.12)


def test_no_hits_on_request():
    stack = make_stack("slit", SMALL, hit_rate=0)
    assert not stack.hits.any()
    assert not stack.truth.any()


def test_hits_coincide_by_chance(large):
    wide = make_stack("slit", (500, 600), 3, hit_rate=0.05, seed=2)
    hit = wide.hits > SIGNIFICANT_CHARGE
    pairs = [np.mean(hit[i] & hit[j]) for i, j in [(0, 1), (0, 2), (1, 2)]]
    assert np.mean(pairs) == pytest.approx(0.05**2, rel=0.25)
    assert not np.array_equal(large.hits[0], large.hits[1])


def test_hits_reach_edges_and_corners():
    hits = np.mean([make_hits((50, 60), 0.2, np.random.default_rng(i)) > 0 for i in range(120)], axis=0)
    corners = hits[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.all(corners > 0.5 * hits.mean())
    assert hits[[0, -1]].mean() == pytest.approx(hits.mean(), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (8, 8), (5, 200)])
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5])
def test_rate_is_met_in_tiny_images_too(shape, rate):
    wanted = rate * shape[0] * shape[1]
    for seed in range(5):
        touched = np.count_nonzero(make_hits(shape, rate, np.random.default_rng(seed)) > SIGNIFICANT_CHARGE)
        assert touched <= wanted + max(0.1 * wanted, SPARE)
        assert touched >= wanted - 20


def test_hits_are_thin_and_bright(large):
    charge = large.hits[large.hits > 0]
    assert charge.min() >= np.float32(SMALLEST_CHARGE)
    assert np.mean(charge > 50) > 0.4
    assert 2000 < charge.max() < 1e5
    # a sharp hit falls from its brightest pixel to nothing in two pixels on at least one axis
    y, x = np.nonzero(large.hits[0, 2:-2, 2:-2] > 1000)
    beside = np.minimum(large.hits[0, y + 4, x + 2], large.hits[0, y + 2, x + 4])
    assert np.median(beside) < 10


def test_hit_mask_follows_its_threshold(large):
    sigma = np.sqrt(large.noise.variance(large.expected))
    np.testing.assert_array_equal(large.hit_mask(5), large.hits > 5 * sigma)
    np.testing.assert_array_equal(large.hit_mask(0), large.truth)
    assert large.hit_mask(20).sum() < large.hit_mask(5).sum() < large.truth.sum()


def test_flux_factors_multiply_the_expected_signal():
    plain = make_stack("ifu", SMALL, 3, seed=1)
    scaled = make_stack("ifu", SMALL, 3, seed=1, flux_factors=[1, 0.8, 1.3])
    np.testing.assert_allclose(scaled.expected, plain.expected * np.float32([1, 0.8, 1.3])[:, None, None], rtol=1e-6)
    np.testing.assert_array_equal(scaled.hits, plain.hits)


@pytest.mark.parametrize("scene", SCENES)
def test_whole_offsets_move_the_scene(scene):
    moved = make_stack(scene, SMALL, 2, seed=3, offsets=[(0, 0), (3, -2)], hit_rate=0)
    first, second = moved.expected
    np.testing.assert_allclose(second[:-2, 3:], first[2:, :-3], rtol=1e-5)


def test_fractional_offsets_move_centroids_and_wcs():
    stack = make_stack("imaging", (300, 300), 2, seed=3, offsets=[(0, 0), (0.4, -0.7)], hit_rate=0)
    y, x = np.unravel_index(np.argmax(stack.expected[0, 20:-20, 20:-20]), (260, 260))
    box = stack.expected[:, y + 10 : y + 31, x + 10 : x + 31].astype(float) - np.median(stack.expected)
    grid = np.arange(21)
    centroid_x = np.sum(box * grid, axis=(1, 2)) / box.sum(axis=(1, 2))
    centroid_y = np.sum(box * grid[:, None], axis=(1, 2)) / box.sum(axis=(1, 2))
    assert np.diff(centroid_x)[0] == pytest.approx(0.4, abs=0.1)
    assert np.diff(centroid_y)[0] == pytest.approx(-0.7, abs=0.1)
    first, second = (exposure.wcs for exposure in stack.exposures)
    place = first.wcs_pix2world([[50.0, 60.0]], 0)
    np.testing.assert_allclose(second.wcs_world2pix(place, 0), [[50.4, 59.3]], atol=1e-6)


def test_response_jitter_has_the_given_size_and_is_smooth():
    plain = make_stack("ifu", (400, 500), 2, seed=3)
    jittered = make_stack("ifu", (400, 500), 2, seed=3, response_jitter=0.03)
    response = jittered.expected / plain.expected - 1
    assert response.std() == pytest.approx(0.03, rel=0.15)
    assert np.abs(np.diff(response, axis=2)).max() < 0.005
    assert abs(np.corrcoef(response[0].ravel(), response[1].ravel())[0, 1]) < 0.2
    np.testing.assert_array_equal(jittered.hits, plain.hits)


def test_smooth_field_has_unit_variance_everywhere():
    rng = np.random.default_rng(1)
    fields = np.stack([smooth_field((30, 40), (8, 12), rng) for _ in range(2000)])
    np.testing.assert_allclose(fields.var(axis=0), 1, atol=0.2)


def test_saturation_cuts_off_in_either_unit():
    options = {"scene": "imaging", "shape": SMALL, "gain": GAIN, "bias": 100 * u.adu}
    free = make_stack(**options)
    for level in (1050 * u.electron, 500 * u.adu):
        stack = make_stack(**options, saturation=level)
        assert data(stack).max() == pytest.approx(600, rel=1e-6)
        np.testing.assert_allclose(data(stack), np.minimum(data(free), 600), rtol=1e-6)
        np.testing.assert_array_equal(stack.hits, free.hits)


def test_uncertainty_on_request():
    stack = make_stack("slit", SMALL, gain=GAIN, with_uncertainty=True).realisation(2)
    for exposure, expected in zip(stack.exposures, stack.expected, strict=True):
        assert isinstance(exposure.uncertainty, VarianceUncertainty)
        assert exposure.uncertainty.unit == u.adu**2
        np.testing.assert_array_equal(exposure.uncertainty.array, stack.noise.variance(expected))


def test_detector_maps_are_accepted():
    stack = make_stack("slit", SMALL, gain=GAIN * np.ones(SMALL), readnoise=np.full(SMALL, 3.0) * u.electron)
    assert "GAIN" not in stack.exposures[0].header
    assert "gain=image (120, 150) electron / adu" in repr(stack)


def test_repr_says_what_it_is():
    text = repr(make_stack("slit", SMALL, 2, seed=4, gain=GAIN))
    assert "2 exposures of 120 x 150 pixels in adu" in text
    assert "scene='slit'" in text
    assert "gain=2.1 electron / adu" in text


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (33, 7)])
def test_small_shapes_work(scene, shape):
    assert make_stack(scene, shape, 1).expected.shape == (1, *shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scene": "fibre"}, "scene must be one of ifu, imaging, slit, echelle; got 'fibre'"),
        ({"scene": ["ifu"]}, "scene must be one of"),
        ({"shape": (10, 0)}, r"shape must be two positive integers \(ny, nx\); got \(10, 0\)"),
        ({"shape": 10}, "shape must be two positive integers"),
        ({"shape": (10, 10, 3)}, "shape must be two positive integers"),
        ({"n_exposures": 0}, "n_exposures must be an integer at least 1; got 0"),
        ({"n_exposures": 2.5}, "n_exposures must be an integer; got 2.5"),
        ({"hit_rate": 0.6}, "hit_rate must be a number at least 0 and at most 0.5; got 0.6"),
        ({"hit_rate": -0.1}, "hit_rate must be a number at least 0"),
        ({"hit_rate": np.nan}, "hit_rate must be a finite number"),
        ({"population": "muons"}, "population must be one of cosmic, thin, worms, single, mixed; got 'muons'"),
        ({"sky_factors": [1, 0, 1]}, "sky_factors must be a number greater than 0; got 0"),
        ({"seeing": [2.0, 2.0]}, "seeing must be 3 numbers; got 2"),
        ({"seeing": [2.0, 2.0, 0.1]}, "seeing must be a number at least 0.5 and at most 20; got 0.1"),
        ({"backgrounds": [1 * u.adu]}, "backgrounds must be 3 quantities; got 1"),
        ({"backgrounds": [1.0, 2.0, 3.0]}, "backgrounds must be a Quantity"),
        ({"backgrounds": [-1 * u.adu] * 3}, "backgrounds must be at least 0"),
        ({"flux_factors": [1, 1]}, "flux_factors must be 3 numbers; got 2"),
        ({"flux_factors": 2.0}, "flux_factors must be 3 numbers; got 2.0"),
        ({"flux_factors": [1, 1, 0]}, "flux_factors must be a number greater than 0; got 0"),
        ({"offsets": [(0, 0)]}, r"offsets must be 3 pairs \(dx, dy\); got 1"),
        ({"offsets": [0, 1, 2]}, r"each of offsets must be 2 numbers \(dx, dy\); got 0"),
        ({"offsets": [(0, 0), (0, 0), (0, "a")]}, "offsets must be a finite number; got 'a'"),
        ({"response_jitter": -1}, "response_jitter must be a number at least 0"),
        ({"seed": -1}, "seed must be an integer at least 0; got -1"),
        ({"seed": None}, "seed must be an integer; got None"),
        ({"unit": u.ct}, "unit must be adu or electron; got ct"),
        ({"unit": None}, "unit must be adu or electron; got None"),
        ({"gain": 2.0}, "gain must be a Quantity"),
        ({"gain": 0 * u.electron / u.adu}, "gain must be greater than 0"),
        ({"readnoise": 3.4}, "readnoise must be a Quantity"),
        ({"readnoise": -1 * u.electron}, "readnoise must be at least 0"),
        ({"bias": 10}, "bias must be a Quantity"),
        ({"bias": 10 * u.m}, "bias must be in adu; got m"),
        ({"bias": np.zeros((3, 3)) * u.adu}, r"bias must have the shape \(12, 14\)"),
        ({"saturation": 6e4}, "saturation must be a Quantity"),
        ({"saturation": 0 * u.adu}, "saturation must be greater than 0"),
        ({"with_uncertainty": 1}, "with_uncertainty must be True or False; got 1"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        make_stack(**{"shape": (12, 14), **options})


def test_wrong_arguments_of_methods_are_refused():
    stack = make_stack("slit", (12, 14))
    with pytest.raises(InputError, match="noise_seed must be an integer at least 0; got -1"):
        stack.realisation(-1)
    with pytest.raises(InputError, match="n_sigma must be a number at least 0; got -1"):
        stack.hit_mask(-1)


def charges_of(population, rate=0.01, shape=(320, 330), seed=1):
    return make_hits(shape, rate, np.random.default_rng(seed), population)


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.06])
def test_rate_is_met_by_all_populations(population, rate):
    touched = np.count_nonzero(charges_of(population, rate) > SIGNIFICANT_CHARGE)
    # the last worm may be missing, or exceed the rate within the tolerance
    assert touched == pytest.approx(rate * 320 * 330, rel=0.1, abs=40)


def test_thin_tracks_are_one_pixel_wide():
    rng, values = np.random.default_rng(3), []
    for _ in range(40):
        charge = POPULATIONS["thin"](1, (90, 90), rng).reshape(90, 90)
        rows, columns = np.nonzero(charge)
        if not charge.any() or {0, 89} & {*rows, *columns}:
            continue
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 10 <= max(height, width) <= 40
        # one pixel in each step along the longer side, all of them connected
        assert np.count_nonzero(charge) == max(height, width)
        assert ndimage.label(charge, np.ones((3, 3)))[1] == 1
        values.append(charge[charge > 0])
    values = np.concatenate(values)
    assert values.min() >= 100
    assert values.max() <= 300
    assert values.mean() == pytest.approx(200, abs=12)


def test_worms_are_three_pixels_wide_and_uneven():
    charge = charges_of("worms", 0.01)
    touched = charge > 0
    # nearly every hit pixel lies in a row or column of three hit ones
    of_three = ndimage.binary_opening(touched, np.ones((1, 3))) | ndimage.binary_opening(touched, np.ones((3, 1)))
    assert of_three[touched].mean() > 0.95
    assert ndimage.binary_opening(touched, np.ones((6, 6))).sum() < 0.1 * touched.sum()
    values = charge[touched]
    assert 20 < np.median(values) < 120
    assert np.mean(values < 15) > 0.1


def test_single_pixels_follow_a_power_law():
    charge = charges_of("single", 0.02)
    values = np.sort(charge[charge > 0])
    assert values[0] >= 20
    # a power of -1.5 of the charge: 1 - sqrt(20 / q) of the charges are below q, nearly
    for charge_below, share in ((80, 0.5), (500, 0.8), (2000, 0.9)):
        assert np.mean(values < charge_below) == pytest.approx(share * 1.032, abs=0.03)
    beside = ndimage.maximum_filter(charge, footprint=[[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    assert np.mean(beside[charge > 0] > 0) < 0.25


def test_a_mixture_holds_all_populations():
    charge = charges_of("mixed", 0.02)
    labels, n = ndimage.label(charge > 0, np.ones((3, 3)))
    size = ndimage.sum_labels(charge > 0, labels, np.arange(1, n + 1))
    alone = ndimage.sum_labels(charge, labels, np.arange(1, n + 1))[size == 1]
    assert np.mean(size == 1) > 0.2
    assert alone.min() >= 20
    assert np.count_nonzero(size > 50) >= 2
    assert charge[(charge > 0) & (charge < 10)].size > 100


def test_sky_factors_multiply_the_sky_alone():
    plain, _, other = make_stack("imaging", SMALL, 3, seed=1, sky_factors=(1, 0.8, 1.43)).expected
    added = other - plain
    assert added.mean() == pytest.approx(43, abs=0.5)
    assert np.ptp(added) < 43 * 0.13
    stack = make_stack("slit", SMALL, 2, seed=1, sky_factors=(1, 1.2))
    first, second = stack.expected[:, 15] - 2  # far from the traces, with scattered light subtracted
    np.testing.assert_allclose(second, 1.2 * first, rtol=1e-3)
    row = stack.expected[0].mean(axis=1).argmax()  # the brightest trace
    assert 1 < (stack.expected[1, row] / stack.expected[0, row]).min() < 1.05
    assert stack.sky_factors == (1.0, 1.2)


@pytest.mark.parametrize("scene", SCENES)
def test_seeing_keeps_the_flux(scene):
    stack = make_stack(scene, (300, 310), 2, seed=2, seeing=(2.4, 3.2))
    sharp, blurred = stack.expected.astype(float)
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=0.01)
    assert np.percentile(blurred, 99.9) < 0.97 * np.percentile(sharp, 99.9)
    assert stack.seeing == (2.4, 3.2)


def test_seeing_is_the_width_of_a_star():
    expected = make_stack("imaging", (300, 300), 2, seed=3, hit_rate=0, seeing=(2.4, 4.0)).expected - 100.0
    y, x = np.unravel_index(np.argmax(expected[0]), expected[0].shape)
    for plane, fwhm in zip(expected, (2.4, 4.0), strict=True):
        # along a row through the centre, half of the peak is reached at half the width from it
        row = plane[y, x - 8 : x + 9]
        above = np.flatnonzero(row > row.max() / 2)
        first, last = above[0], above[-1]
        half = row.max() / 2
        left = first - (row[first] - half) / (row[first] - row[first - 1])
        right = last + (row[last] - half) / (row[last] - row[last + 1])
        assert right - left == pytest.approx(fwhm, abs=0.35)


def test_backgrounds_are_added():
    slope = np.linspace(0, 50, SMALL[1]) * np.ones(SMALL) * u.adu
    plain = make_stack("slit", SMALL, 2, seed=1, gain=GAIN)
    stack = make_stack("slit", SMALL, 2, seed=1, gain=GAIN, backgrounds=(30 * u.electron, slope))
    added = stack.expected - plain.expected
    np.testing.assert_allclose(added[0], 30 / 2.1, rtol=1e-3)
    np.testing.assert_allclose(added[1], slope.value, atol=1e-2)


def test_echelle_has_orders_and_sky():
    expected = make_stack("echelle", (300, 400), 2, seed=1, sky_factors=(1, 3)).expected
    column = expected[0, :, 200]
    peaks = np.flatnonzero((column[1:-1] > column[:-2]) & (column[1:-1] > column[2:]) & (column[1:-1] > 100)) + 1
    assert 15 < len(peaks) < 30
    # the distance between orders increases
    assert np.mean(np.diff(peaks)[-4:]) > np.mean(np.diff(peaks)[:4]) + 2
    assert (expected[1] - expected[0]).max() > 50
