"""PyCosmic against results of the original program, and its fast steps against plain ones."""

import json
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage

from crstack.detectors import _pycosmic_frame, _pycosmic_kernels, pycosmic
from crstack.detectors.pycosmic import PyCosmicDetector
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.utils.pixels import features_holding

DATA = Path(__file__).parents[1] / "data"
#: sigma_det of the high and the low mask of each file
SIGMA = {"slit": (5.0, 3.0), "ifu_gain2": (5.0, 3.0), "imaging": (6.0, 4.0)}
ELECTRONS = NoiseModel(unit=u.electron, readnoise=3 * u.electron)


def golden(name):
    with np.load(DATA / f"pycosmic_{name}.npz") as file:
        content = dict(file)
    parameters = json.loads(str(content.pop("params")))
    image = (content.pop("data") - np.float32(parameters.pop("bias"))).astype(np.float32)
    noise = NoiseModel(
        gain=parameters.pop("gain") * u.electron / u.adu, readnoise=parameters.pop("rdnoise") * u.electron
    )
    return image, noise, parameters, content


@pytest.fixture(scope="module")
def fibres():
    """Traces of fibres with hits on them, in electrons, and the mask of the hits."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:150, :190]
    trace = 20 + 500 * np.exp(-0.5 * (((y % 9) - 4 - np.sin(x / 60)) / 1.2) ** 2)
    hits = ndimage.binary_dilation(rng.random(trace.shape) < 0.004, structure=np.eye(3, dtype=bool))
    image = rng.poisson(trace) + rng.normal(0, 3, trace.shape) + hits * rng.uniform(30, 2000, trace.shape)
    return image.astype(np.float32), hits


def flat(shape, level=100.0, seed=1):
    rng = np.random.default_rng(seed)
    return (rng.poisson(level, shape) + rng.normal(0, 3, shape)).astype(np.float32)


@pytest.mark.parametrize("which", [0, 1], ids=["high", "low"])
@pytest.mark.parametrize("name", SIGMA)
def test_agrees_with_the_original(name, which):
    image, noise, parameters, answers = golden(name)
    found = PyCosmicDetector(sigma_det=SIGMA[name][which], **parameters).detect(image, noise)
    mask, cleaned = (answers[f"{kind}_{('hi', 'lo')[which]}"] for kind in ("mask", "cleaned"))
    np.testing.assert_array_equal(found.mask, mask)
    gain = noise.electrons_per_unit
    np.testing.assert_allclose(found.cleaned[mask] * gain, cleaned[mask], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found.cleaned[~mask], image[~mask])
    assert found.cleaned.dtype == np.float32


@pytest.mark.parametrize("name", SIGMA)
def test_two_passes_keep_the_features_that_hold_a_peak(name):
    image, noise, parameters, answers = golden(name)
    found = PyCosmicDetector(sigma_det=SIGMA[name], **parameters).detect(image, noise)
    expected = features_holding(answers["mask_lo"], answers["mask_hi"])
    np.testing.assert_array_equal(found.mask, expected)
    if name == "ifu_gain2":
        assert 0 < expected.sum() < answers["mask_lo"].sum()
        # except near pixels that only the low pass flags, both replace from the same pixels
        left_out = ndimage.binary_dilation(answers["mask_lo"] & ~expected, structure=np.ones((11, 11), dtype=bool))
        gain, both = noise.electrons_per_unit, expected & ~left_out
        assert both.sum() > 20
        np.testing.assert_allclose(found.cleaned[both] * gain, answers["cleaned_lo"][both], rtol=1e-4)


@pytest.mark.parametrize("name", ["rlim", "iterations"])
def test_each_pass_takes_its_own_value(fibres, name):
    image, _ = fibres
    pair = {"rlim": (2.0, 0.8), "iterations": (1, 4)}[name]
    common = {"sigma_det": 4.0, "fwhm_gauss": 2.0}
    high, low = (PyCosmicDetector(**common, **{name: value}).detect(image, ELECTRONS).mask for value in pair)
    found = PyCosmicDetector(**common, **{name: pair}).detect(image, ELECTRONS)
    assert high.sum() < low.sum()
    np.testing.assert_array_equal(found.mask, features_holding(low, high))


def settings(sigma, rlim=0.8, iterations=5):
    return {"sigma": sigma, "rlim": rlim, "iterations": iterations}


def prepared(image, mask=None, sigma=3.0, rlim=0.8, **parameters):
    detector = PyCosmicDetector(**{"fwhm_gauss": (2.0, 2.6), "replace_box": (5, 3)} | parameters)
    frame = detector._frame(image, ELECTRONS, mask)
    return frame, pycosmic._hits_of_image(pycosmic.WorkingImage(frame), map, sigma, rlim)


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("with_bad", [False, True])
@pytest.mark.parametrize(("sigma", "rlim", "fwhm"), [(3.0, 0.8, 2.0), (0.5, 0.2, 1.2), (0.3, 0.3, 4.0)])
def test_surroundings_of_new_hits_are_enough(fibres, original, with_bad, sigma, rlim, fwhm):
    image, _ = fibres
    bad = np.zeros(image.shape, dtype=bool)
    bad[:, 77], bad[30:60, 100:130] = with_bad, with_bad
    frame, first = prepared(image, bad, sigma, rlim, original=original, fwhm_gauss=fwhm)
    quick = pycosmic._one_pass(frame, first, **settings(sigma, rlim))
    plain = pycosmic._one_pass(frame, first, **settings(sigma, rlim), plain=True)
    once = pycosmic._one_pass(frame, first, **settings(sigma, rlim, iterations=1))
    assert once.sum() < quick.sum()
    np.testing.assert_array_equal(quick, plain)
    assert not quick[bad].any()


@pytest.mark.parametrize("fwhm", [0.5, 4.0])
def test_touched_pixels_hold_all_that_changes(fibres, fwhm):
    image, _ = fibres
    frame, _ = prepared(image, fwhm_gauss=fwhm, replace_box=1)
    every = frame.pixels(np.ones(image.shape, dtype=bool))
    working = pycosmic.WorkingImage(frame)

    def measured():
        return working.significance(every) - working.median_significance(every), working.sharpness(every)

    before = measured()
    touched = working.flag(every[np.argsort(image.ravel())[-300::10]])
    changed = np.any([old != new for old, new in zip(before, measured(), strict=True)], axis=0)
    assert changed.any()
    assert not changed[~np.isin(every, touched)].any()


def test_borders_are_copies_of_the_edges(fibres):
    image = fibres[0].copy()
    image[:3, :4] = np.nan
    frame, _ = prepared(image)
    working = pycosmic.WorkingImage(frame)
    working.flag(frame.pixels(np.isin(np.arange(image.size) % 190, (0, 7, 189)).reshape(image.shape)))
    for padded in (frame.electrons, frame.weight, working.values, working.weight):
        np.testing.assert_array_equal(padded, np.pad(frame.inside(padded), frame.pad, mode="edge"))


def test_bad_pixels_are_filled_from_beside_them():
    image = np.repeat(np.arange(100, 160, dtype=np.float32)[:, None], 50, axis=1)
    bad = np.zeros(image.shape, dtype=bool)
    bad[:, 10], bad[20:50, 20:50] = True, True
    frame, _ = prepared(np.where(bad, np.nan, image))
    filled = frame.inside(frame.electrons)
    np.testing.assert_allclose(filled[:, 10], image[:, 10], atol=0.5)
    assert abs(filled[20, 30] - 119) < 0.5
    assert frame.level == filled[35, 40]
    # the Gaussian has no good pixel there
    ratio = pycosmic.WorkingImage(frame).ratio(frame.pixels(bad))
    assert ratio[np.argwhere(bad).tolist().index([35, 40])] == 1


def test_pixels_of_a_list_measure_as_in_the_whole_image(fibres):
    image, _ = fibres
    frame, (pixels, *_) = prepared(image)
    working = pycosmic.WorkingImage(frame)
    working.flag(pixels)
    every = frame.pixels(np.ones(image.shape, dtype=bool))
    ratio = working._ratio_of_rows(0, image.shape[0])
    # older numpy and scipy round the two computations differently in the last bit
    np.testing.assert_allclose(working.ratio(every).reshape(image.shape), ratio[1:-1, 1:-1], rtol=1e-6)
    values = frame.inside(working.values)
    signal = np.maximum(ndimage.median_filter(values, 5, mode="nearest"), 0)
    noise = np.sqrt(signal + np.float32(9))
    np.testing.assert_allclose(working.noise(every).reshape(image.shape), noise, rtol=1e-6)
    significance = laplacian_by_upsampling(values, clip=True) / (2 * noise)
    np.testing.assert_allclose(working.significance(every).reshape(image.shape), significance, rtol=1e-5, atol=1e-5)
    median = ndimage.median_filter(significance, 5, mode="nearest")
    np.testing.assert_allclose(working.median_significance(every).reshape(image.shape), median, rtol=1e-5, atol=1e-5)


def laplacian_by_upsampling(image, clip):
    """As in the paper: repeat 2x2, Laplacian, negatives to 0, sum of blocks."""
    fine = np.repeat(np.repeat(image.astype(float), 2, axis=0), 2, axis=1)
    kernel = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]]) / 4
    fine = ndimage.convolve(fine, kernel, mode="nearest")
    if clip:
        fine = np.maximum(fine, 0)
    return fine.reshape(image.shape[0], 2, image.shape[1], 2).sum(axis=(1, 3))


def test_closed_forms_of_the_laplacians():
    image = flat((31, 23))
    views = _pycosmic_kernels.cross(np.pad(image, 1, mode="edge"))
    for clip, quick in ((True, _pycosmic_kernels.clipped_laplacian), (False, _pycosmic_kernels.plain_laplacian)):
        np.testing.assert_allclose(quick(*views), laplacian_by_upsampling(image, clip), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_row_bands_answer_as_the_whole(fibres, monkeypatch, rows):
    image, _ = fibres
    detector = PyCosmicDetector(rlim=0.8, fwhm_gauss=2.0)
    monkeypatch.setattr(pycosmic, "row_bands", lambda ny, nx: [slice(0, ny)])
    whole = detector.detect(image, ELECTRONS)
    monkeypatch.setattr(pycosmic, "row_bands", lambda ny, nx: [slice(i, min(i + rows, ny)) for i in range(0, ny, rows)])
    monkeypatch.setattr(_pycosmic_kernels, "CHUNK", 50)
    banded = detector.detect(image, ELECTRONS)
    assert whole.mask.sum() > 200
    np.testing.assert_array_equal(banded.mask, whole.mask)
    np.testing.assert_array_equal(banded.cleaned, whole.cleaned)


def test_finds_and_replaces_hits(fibres):
    image, hits = fibres
    found = PyCosmicDetector(rlim=0.8, fwhm_gauss=2.0, original=False).detect(image, ELECTRONS)
    assert (found.mask & hits).sum() > 0.7 * hits.sum()
    assert (found.mask & ~hits).sum() < 0.1 * hits.sum()
    assert found.cleaned[found.mask].max() < 1000 < image[found.mask].max()


def test_image_and_mask_are_not_modified(fibres):
    image = fibres[0].copy()
    image[3, 4] = np.nan
    mask = np.zeros(image.shape, dtype=bool)
    mask[10:14, 20] = True
    before, mask_before = image.copy(), mask.copy()
    image.flags.writeable = mask.flags.writeable = False
    found = PyCosmicDetector().detect(image, ELECTRONS, mask)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(mask, mask_before)
    assert not np.shares_memory(found.cleaned, image)


@pytest.mark.parametrize("value", [1e5, -1e5, np.nan, np.inf])
@pytest.mark.parametrize("original", [True, False])
def test_bad_pixels_are_neither_flagged_nor_used(value, original):
    image = flat((60, 70))
    image[30, 40] += 3000
    bad = np.zeros(image.shape, dtype=bool)
    bad[:, 42], bad[10:20, 5:17], bad[59, 69] = True, True, True
    clean = PyCosmicDetector(original=original).detect(image, ELECTRONS, bad)
    image[bad] = value
    found = PyCosmicDetector(original=original).detect(image, ELECTRONS, bad if np.isfinite(value) else None)
    np.testing.assert_array_equal(np.argwhere(found.mask), [[30, 40]])
    np.testing.assert_array_equal(found.mask, clean.mask)
    np.testing.assert_array_equal(found.cleaned[~bad], clean.cleaned[~bad])
    np.testing.assert_array_equal(found.cleaned[bad], image[bad])


def test_growing_spares_bad_pixels():
    image = flat((40, 50))
    image[20, 30], image[20, 31] = 3000, np.nan
    found = PyCosmicDetector(increase_radius=2).detect(image, ELECTRONS)
    expected = np.zeros(image.shape, dtype=bool)
    expected[18:23, 28:33] = True
    expected[20, 31] = False
    np.testing.assert_array_equal(found.mask, expected)
    assert abs(found.cleaned[20, 30] - 100) < 20


@pytest.mark.parametrize("original", [True, False])
def test_hits_at_corners_and_edges_are_found(original):
    image = flat((50, 60))
    places = [(0, 0), (0, 59), (49, 0), (49, 59), (0, 30), (49, 30), (25, 0), (25, 59)]
    for place in places:
        image[place] += 2000
    found = PyCosmicDetector(original=original).detect(image, ELECTRONS)
    assert sorted(map(tuple, np.argwhere(found.mask).tolist())) == sorted(places)
    assert np.all(np.abs(found.cleaned[found.mask] - 100) < 20)


@pytest.mark.parametrize(("original", "inside", "at_edge"), [(True, 150, 270), (False, 100, 280)])
def test_window_of_the_original_is_wider_and_misses_the_last_row(original, inside, at_edge):
    image = np.repeat(np.arange(0, 300, 10, dtype=np.float32)[:, None], 40, axis=1)
    image[5:16, 19:30], image[8:13, 22:27] = 200, 100
    hits = np.zeros(image.shape, dtype=bool)
    hits[10, 24] = hits[29, 10] = True
    frame = PyCosmicDetector(replace_box=5, original=original)._frame(image, ELECTRONS, None)
    cleaned = pycosmic._cleaned(image, frame, hits, 1.0)
    assert (cleaned[10, 24], cleaned[29, 10]) == (inside, at_edge)
    assert frame.inside(frame.usable)[:, -1].any() != original


def test_large_features_are_filled_from_outside_inwards():
    image = np.full((80, 80), 300, dtype=np.float32)
    image[5:36, 5:36] = 100
    hits = np.zeros(image.shape, dtype=bool)
    hits[12:28, 12:28] = True
    image[hits] = 1e4
    frame = PyCosmicDetector(original=False)._frame(image, ELECTRONS, None)
    usable = frame.usable & ~np.pad(hits, frame.pad)
    pixels = frame.pixels(hits)
    filled = _pycosmic_frame.filled_inwards(frame, frame.electrons, usable, pixels, (2, 2))
    np.testing.assert_array_equal(filled, 100)


def test_counts_and_electrons_give_the_same(fibres):
    image, _ = fibres
    gain = 2.45
    detector = PyCosmicDetector(rlim=0.8, fwhm_gauss=2.0)
    electrons = detector.detect(image, ELECTRONS)
    noise = NoiseModel(gain=gain * u.electron / u.adu, readnoise=3 * u.electron)
    counts = detector.detect((image / gain).astype(np.float32), noise)
    np.testing.assert_array_equal(counts.mask, electrons.mask)
    np.testing.assert_allclose(counts.cleaned * gain, electrons.cleaned, rtol=1e-5)


def test_gain_and_readnoise_may_be_images(fibres):
    image, _ = fibres
    gain = np.where(np.arange(190) < 90, 1.5, 2.5) * np.ones((150, 1))
    noise = NoiseModel(gain=gain * u.electron / u.adu, readnoise=np.full(gain.shape, 3.0) * u.electron)
    detector = PyCosmicDetector(rlim=0.8, fwhm_gauss=2.0)
    found = detector.detect((image / gain).astype(np.float32), noise)
    expected = detector.detect(image, ELECTRONS)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.cleaned * gain, expected.cleaned, rtol=1e-5)


def test_averaged_exposures_have_less_noise():
    image = np.full((60, 70), 100, dtype=np.float32)
    image[30, 30] += 45
    assert not PyCosmicDetector(rlim=0.5).detect(image, ELECTRONS).mask.any()
    assert PyCosmicDetector(rlim=0.5).detect(image, ELECTRONS.averaged(9)).mask[30, 30]


@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_known_variance_replaces_the_model(gain):
    image = np.full((60, 70), 1000, dtype=np.float32)
    image[30, [20, 50]] += 100
    # S of an isolated pixel is its height over the noise: 5 and 2
    variance = np.full(image.shape, 20.0**2, dtype=np.float32)
    variance[:, 35:] = 50.0**2
    # a bright neighbour would hide the hit if it did not count as bad
    image[30, 21], variance[30, 21] = 1e5, np.nan
    noise = NoiseModel(
        gain=gain * u.electron / u.adu, readnoise=3 * u.electron, known_variance=variance / np.float32(gain**2)
    )
    detector = PyCosmicDetector(sigma_det=4.0, rlim=0.1, iterations=1)
    assert np.argwhere(detector.detect(image / np.float32(gain), noise).mask).tolist() == [[30, 20]]
    assert not PyCosmicDetector(sigma_det=6.0, rlim=0.1).detect(image / np.float32(gain), noise).mask.any()


def test_dispersion_of_the_photons_adds_noise():
    image = np.full((60, 70), 1000, dtype=np.float32)
    image[30, 30] += 1500
    noise = {"unit": u.electron, "readnoise": 3 * u.electron}
    assert PyCosmicDetector(rlim=0.5).detect(image, NoiseModel(**noise)).mask[30, 30]
    assert not PyCosmicDetector(rlim=0.5).detect(image, NoiseModel(**noise, nbinom_shape=2.0)).mask.any()


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("shape", [(15, 400), (101, 77), (5, 5), (2, 3), (1, 1), (1, 40), (40, 1), (3, 200)])
def test_any_shape(shape, original):
    image = flat(shape)
    place = (shape[0] // 2, shape[1] // 2)
    image[place] += 5000
    found = PyCosmicDetector(increase_radius=1, original=original).detect(image, ELECTRONS)
    assert found.mask.shape == found.cleaned.shape == shape
    assert np.isfinite(found.cleaned).all()
    if min(shape) >= 5:
        assert found.mask[place]
        assert abs(found.cleaned[place] - 100) < 25


def test_empty_and_constant_images_have_no_hits():
    detector = PyCosmicDetector()
    quiet = NoiseModel(unit=u.electron, readnoise=0 * u.electron)
    for level in (0, 100, -5):
        assert not detector.detect(np.full((30, 40), level, dtype=np.float32), quiet).mask.any()
    nothing = np.full((30, 40), np.nan, dtype=np.float32)
    assert not detector.detect(nothing, ELECTRONS).mask.any()


def test_replace_error_changes_nothing(fibres):
    image, _ = fibres
    one, other = (PyCosmicDetector(replace_error=value).detect(image, ELECTRONS) for value in (1e6, (2.0, 3.0)))
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.cleaned, other.cleaned)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"sigma_det": 0}, "sigma_det must be a number greater than 0; got 0"),
        ({"sigma_det": (5.0, "low")}, "sigma_det must be a finite number; got 'low'"),
        ({"sigma_det": (5.0, 4.0, 3.0)}, r"sigma_det must be a number or a pair; got \(5.0, 4.0, 3.0\)"),
        ({"rlim": -1}, "rlim must be a number at least 0; got -1"),
        ({"rlim": np.nan}, "rlim must be a finite number; got nan"),
        ({"iterations": 0}, "iterations must be an integer at least 1; got 0"),
        ({"iterations": 2.5}, "iterations must be an integer; got 2.5"),
        ({"fwhm_gauss": (2.0, 0)}, "fwhm_gauss must be a number greater than 0; got 0"),
        ({"replace_box": 0}, "replace_box must be an integer at least 1; got 0"),
        ({"replace_box": (5, 4), "original": False}, "replace_box must be odd where original is False; got 4"),
        ({"replace_error": -1.0}, "replace_error must be a number at least 0; got -1.0"),
        ({"increase_radius": -1}, "increase_radius must be an integer at least 0; got -1"),
        ({"original": 1}, "original must be True or False; got 1"),
    ],
)
def test_wrong_parameters_are_refused(parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        PyCosmicDetector(**parameters)


def test_wrong_images_are_refused():
    with pytest.raises(InputError, match="image must be a 2-D array with pixels in it; got shape"):
        PyCosmicDetector().detect(np.zeros(5, dtype=np.float32), ELECTRONS)
    with pytest.raises(InputError, match=r"mask must have the shape \(5, 6\)"):
        PyCosmicDetector().detect(np.zeros((5, 6), dtype=np.float32), ELECTRONS, np.zeros((6, 5), dtype=bool))
