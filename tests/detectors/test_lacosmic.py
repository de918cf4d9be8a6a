"""LACosmicDetector against direct calls of astroscrappy, and the steps around these."""

import astropy.units as u
import numpy as np
import pytest
from astroscrappy import detect_cosmics, gausskernel
from numpy.testing import assert_allclose, assert_array_equal

from crstack.detectors import _lacosmic_search, lacosmic
from crstack.detectors._bad_pixels import fill
from crstack.detectors.lacosmic import LACosmicDetector
from crstack.exceptions import InputError
from crstack.noise import NoiseModel
from crstack.utils.pixels import features_holding

READNOISE = 4.0
SKY = 100.0
#: arguments of the direct calls of detect_cosmics; satlevel and niter are those of the detector
BY_HAND = {"sigfrac": 0.3, "objlim": 5.0, "readnoise": READNOISE, "satlevel": 65535.0, "niter": 4, "sepmed": True}


def in_electrons(**changes):
    return NoiseModel(**{"readnoise": READNOISE * u.electron, "unit": u.electron, **changes})


def make_scene(shape=(120, 150), n_stars=8, n_hits=40, seed=7):
    """Image in electrons, expected image without hits, and the mask of the hits."""
    rng = np.random.default_rng(seed)
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx]
    expected = np.full(shape, SKY)
    for _ in range(n_stars):
        r2 = (y - rng.uniform(0, ny)) ** 2 + (x - rng.uniform(0, nx)) ** 2
        expected += 10 ** rng.uniform(2, 4) * np.exp(-0.5 * r2 / (3.0 / 2.3548) ** 2)
    image = rng.poisson(expected) + rng.normal(0, READNOISE, shape)
    truth = np.zeros(shape, dtype=bool)
    for _ in range(n_hits):
        row, column = rng.integers(0, ny), rng.integers(0, nx)
        for length, charge in enumerate(rng.uniform((1500, 20), (4000, 300))):
            if column + length < nx:
                image[row, column + length] += charge
                truth[row, column + length] = True
    return image.astype(np.float32), expected.astype(np.float32), truth


def make_sky(shape=(60, 70), seed=3):
    rng = np.random.default_rng(seed)
    return (rng.poisson(SKY, shape) + rng.normal(0, READNOISE, shape)).astype(np.float32)


def by_hand(image, sigclip, **changes):
    options = {**BY_HAND, "fsmode": "convolve", "psfk": gausskernel(2.5, 11), "cleantype": "meanmask", **changes}
    return detect_cosmics(image, sigclip=sigclip, **options)


@pytest.fixture(scope="module")
def scene():
    return make_scene()


class TestEngine:
    def test_interior_equals_detect_cosmics(self, scene):
        image = scene[0]
        detection = LACosmicDetector(sigclip=5.0).detect(image, in_electrons())
        found, cleaned = by_hand(image, 5.0)
        # mirrored pixels change the outer 10 + 10 pixels at most
        inside = np.s_[20:-20, 20:-20]
        assert np.count_nonzero(found[inside]) > 10
        assert_array_equal(detection.mask[inside], found[inside])
        assert_array_equal(detection.cleaned[inside], cleaned[inside])

    def test_two_passes_equal_merge_by_hand(self, scene):
        image = scene[0]
        detection = LACosmicDetector(fsmode="convolve", sigclip=(12.0, 3.0), sigfrac=(0.5, 0.2)).detect(
            image, in_electrons()
        )
        padded = np.pad(image, 10, mode="reflect")
        crop = np.s_[10:-10, 10:-10]
        high, _ = by_hand(padded, 12.0, sigfrac=0.5)
        low, replaced = by_hand(padded, 3.0, sigfrac=0.2)
        merged = features_holding(low[crop], high[crop])
        assert np.count_nonzero(high[crop]) < np.count_nonzero(merged) < np.count_nonzero(low)
        assert_array_equal(detection.mask, merged)
        assert_array_equal(detection.cleaned, np.where(merged, replaced[crop], image))

    @pytest.mark.parametrize(("sigclip", "n_passes"), [(5.0, 1), ((5.0, 5.0), 1), ((5.0, 3.0), 2)])
    def test_equal_passes_run_once(self, monkeypatch, sigclip, n_passes):
        passes = []

        def counted(searched, limits):
            passes.extend(limits)
            return search(searched, limits)

        search = lacosmic.search
        monkeypatch.setattr(lacosmic, "search", counted)
        LACosmicDetector(sigclip=sigclip).detect(make_sky(), in_electrons())
        assert len(passes) == n_passes

    @pytest.mark.parametrize("name", ["objlim", "niter", "satlevel"])
    def test_second_of_a_pair_belongs_to_the_second_pass(self, scene, name):
        # a first pass with the thresholds of the second does not change the result
        values = {"objlim": (2.0, 8.0), "niter": (4, 1), "satlevel": (65535.0, 3000.0)}[name]
        pair = LACosmicDetector(sigclip=3.0, **{name: values}).detect(scene[0], in_electrons())
        second = LACosmicDetector(sigclip=3.0, **{name: values[1]}).detect(scene[0], in_electrons())
        first = LACosmicDetector(sigclip=3.0, **{name: values[0]}).detect(scene[0], in_electrons())
        assert_array_equal(pair.mask, features_holding(second.mask, first.mask))
        assert not np.array_equal(second.mask, first.mask)


class TestKernels:
    def test_round_kernel_equals_astroscrappy(self):
        assert_allclose(lacosmic._elliptical_gaussian(2.5, 2.5, 11), gausskernel(2.5, 11), rtol=2e-5)

    def test_gaussxy_equals_gauss_where_round(self, scene):
        masks = [
            LACosmicDetector(fsmode="convolve", psfmodel=name).detect(scene[0], in_electrons()).mask
            for name in ("gauss", "gaussxy")
        ]
        assert_array_equal(*masks)

    def test_x_runs_along_rows(self):
        kernel = lacosmic._elliptical_gaussian(6.0, 2.0, 15)
        assert kernel.dtype == np.float32
        assert_allclose(kernel.sum(), 1, rtol=1e-6)
        # half of the peak at half of the FWHM
        assert_allclose(kernel[7, 10] / kernel[7, 7], 0.5, rtol=1e-5)
        assert_allclose(kernel[8, 7] / kernel[7, 7], 0.5, rtol=1e-5)

    @pytest.mark.parametrize("name", ["gaussxy", "gaussx", "gaussy"])
    def test_asymmetric_kernel_follows_the_image(self, scene, name):
        turned = {"gaussx": "gaussy", "gaussy": "gaussx", "gaussxy": "gaussxy"}[name]
        # niter=1: replaced values do not enter, so that both orientations agree to the last bit
        options = {"niter": 1, "sepmed": False, "sigclip": 4.0}
        image = scene[0]
        one = LACosmicDetector(fsmode="convolve", psfmodel=name, psffwhm=(1.2, 5.0), **options).detect(
            image, in_electrons()
        )
        other = LACosmicDetector(fsmode="convolve", psfmodel=turned, psffwhm=(5.0, 1.2), **options).detect(
            image.T, in_electrons()
        )
        wrong = LACosmicDetector(fsmode="convolve", psfmodel=turned, psffwhm=(1.2, 5.0), **options).detect(
            image.T, in_electrons()
        )
        assert_array_equal(one.mask, other.mask.T)
        assert not np.array_equal(one.mask, wrong.mask.T)

    @pytest.mark.parametrize("name", ["gauss", "moffat", "gaussx", "gaussy"])
    def test_model_equals_detect_cosmics(self, scene, name):
        fwhm = {"gaussx": 2.0, "gaussy": 4.0}.get(name, 3.0)
        parameters = {"psfmodel": name, "psfsize": 9, "psfbeta": 3.0}
        detection = LACosmicDetector(
            fsmode="convolve", psffwhm=(2.0, 4.0), sigclip=4.0, padwidth=0, **parameters
        ).detect(scene[0], in_electrons())
        found, _ = by_hand(scene[0], 4.0, psfk=None, psffwhm=fwhm, **parameters)
        other, _ = by_hand(scene[0], 4.0, psfk=None, psffwhm=8.0, **parameters)
        assert_array_equal(detection.mask, found)
        assert not np.array_equal(detection.mask, other)


class TestUnits:
    def test_adu_equals_electrons(self, scene):
        image = scene[0]
        electrons = LACosmicDetector(satlevel=65535.0 * 2.45).detect(image, in_electrons())
        noise = NoiseModel(gain=2.45 * u.electron / u.adu, readnoise=READNOISE * u.electron)
        adu = LACosmicDetector(satlevel=65535.0).detect(image / np.float32(2.45), noise)
        assert_array_equal(adu.mask, electrons.mask)
        assert_allclose(adu.cleaned * 2.45, electrons.cleaned, rtol=1e-6)

    def test_average_has_less_noise(self):
        # the sky of a mean of nine exposures
        image = SKY + (make_sky() - np.float32(SKY)) / 3
        image[30, 30] += 50
        single = LACosmicDetector().detect(image, in_electrons())
        mean = LACosmicDetector().detect(image, in_electrons().averaged(9))
        assert not single.mask[30, 30]
        assert mean.mask[30, 30]

    def test_average_keeps_the_saturation_level(self):
        image, saturated = saturated_star()
        for level, flagged in ((20000.0, False), (20001.0, True)):
            detection = LACosmicDetector(satlevel=level).detect(image, in_electrons().averaged(3))
            assert detection.mask[saturated].any() == flagged

    def test_gain_image(self, scene):
        image = scene[0]
        gain = np.full(image.shape, 1.5, dtype=np.float32)
        gain[:, 75:] = 2.5
        noise = NoiseModel(gain=gain * u.electron / u.adu, readnoise=READNOISE * u.electron)
        detection = LACosmicDetector().detect(image / gain, noise)
        electrons = LACosmicDetector().detect(image, in_electrons())
        assert_array_equal(detection.mask, electrons.mask)
        assert_allclose(detection.cleaned * gain, electrons.cleaned, rtol=1e-6)

    @pytest.mark.parametrize("bright_side", ["low", "high"])
    def test_saturation_with_a_gain_image(self, bright_side):
        image, saturated = saturated_star()
        gain = np.full(image.shape, 1.0 if bright_side == "high" else 3.0, dtype=np.float32)
        gain[:, :40] = 3.0 if bright_side == "high" else 1.0
        noise = NoiseModel(gain=gain * u.electron / u.adu, readnoise=READNOISE * u.electron)
        # the level of an image in ADU is in ADU, for any gain of the pixel
        for level, flagged in ((20000.0, False), (20001.0, True)):
            assert LACosmicDetector(satlevel=level).detect(image, noise).mask[saturated].any() == flagged


def saturated_star():
    """Sky with a clipped, square-edged star of level 20000 and its mask."""
    image = make_sky((80, 80))
    y, x = np.mgrid[:80, :80]
    saturated = np.hypot(y - 30, x - 25) < 6
    image[saturated] = 20000
    # bleeds into one column: sharp as a hit
    image[15:45, 25] = 20000
    saturated[15:45, 25] = True
    return image, saturated & (np.hypot(y - 30, x - 25) < 8)


class TestSaturation:
    def test_star_at_the_level_is_not_flagged(self):
        image, saturated = saturated_star()
        reached = LACosmicDetector(satlevel=20000.0, psffwhm=1.5).detect(image, in_electrons())
        beyond = LACosmicDetector(satlevel=20001.0, psffwhm=1.5).detect(image, in_electrons())
        assert not reached.mask[saturated].any()
        assert beyond.mask[saturated].any()

    def test_level_is_in_the_unit_of_the_image(self):
        image, saturated = saturated_star()
        noise = NoiseModel(gain=4 * u.electron / u.adu, readnoise=READNOISE * u.electron)
        reached = LACosmicDetector(satlevel=5000.0, psffwhm=1.5).detect(image / 4, noise)
        beyond = LACosmicDetector(satlevel=5001.0, psffwhm=1.5).detect(image / 4, noise)
        assert not reached.mask[saturated].any()
        assert beyond.mask[saturated].any()


class TestNoise:
    @pytest.mark.parametrize("cleantype", ["meanmask", "median"])
    def test_constant_readnoise_image_equals_number(self, scene, cleantype):
        image = scene[0]
        detector = LACosmicDetector(cleantype=cleantype)
        number = detector.detect(image, in_electrons())
        constant = detector.detect(image, in_electrons(readnoise=np.full(image.shape, READNOISE) * u.electron))
        # rounding of image + readnoise**2 - readnoise**2 may move a pixel over a limit: 1 in 10000 allowed
        assert np.count_nonzero(number.mask != constant.mask) <= image.size // 10000
        same = number.mask == constant.mask
        assert_allclose(constant.cleaned[same], number.cleaned[same], rtol=1e-5)

    def test_single_noisy_pixels_keep_their_readnoise(self):
        image = make_sky()
        readnoise = np.full(image.shape, READNOISE)
        readnoise[20, 20] = 100
        image[20, 20] += 300
        image[40, 40] += 300
        detection = LACosmicDetector().detect(image, in_electrons(readnoise=readnoise * u.electron))
        assert detection.mask[40, 40]
        assert not detection.mask[20, 20]

    def test_known_variance_equals_model(self, scene):
        image = scene[0]
        model = in_electrons()
        known = model.with_known_variance(model.variance(image))
        assert_array_equal(LACosmicDetector().detect(image, known).mask, LACosmicDetector().detect(image, model).mask)

    def test_known_variance_replaces_model(self, scene):
        image = scene[0]
        noise = in_electrons().with_known_variance(np.full(image.shape, 1e8, dtype=np.float32))
        assert not LACosmicDetector().detect(image, noise).mask.any()
        assert LACosmicDetector().detect(image, in_electrons()).mask.any()

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_unknown_variance_is_a_bad_pixel(self, value):
        image = make_sky()
        variance = in_electrons().variance(image)
        variance[20:40, 20:40] = value
        image[20:40, 20:40] = 3000
        image[[30, 50], [40, 30]] += 3000
        detection = LACosmicDetector().detect(image, in_electrons().with_known_variance(variance))
        assert not detection.mask[20:40, 20:40].any()
        assert detection.mask[[30, 50], [40, 30]].all()
        assert np.count_nonzero(detection.mask) < 6

    def test_median_cleaning_keeps_the_readnoise_of_a_pixel(self, monkeypatch):
        image = make_sky()
        readnoise = np.full(image.shape, READNOISE)
        readnoise[20, 20] = 100
        image[20, 20] += 10000
        smallest = []

        def spy(values, variance, *args):
            smallest.append(variance.min())
            return significance(values, variance, *args)

        significance = _lacosmic_search.significance
        monkeypatch.setattr(_lacosmic_search, "significance", spy)
        noise = in_electrons(readnoise=readnoise * u.electron)
        detection = LACosmicDetector(cleantype="median", sigclip=5.0).detect(image, noise)
        assert detection.mask[20, 20]
        assert len(smallest) > 1
        # the photon noise of the sky remains in every iteration
        assert min(smallest) > 0.3 * SKY

    def test_excess_noise_is_honoured(self, scene):
        image = scene[0]
        poisson = LACosmicDetector(fsmode="convolve").detect(image, in_electrons())
        excess = LACosmicDetector(fsmode="convolve").detect(image, in_electrons(nbinom_shape=0.5))
        assert 0 < np.count_nonzero(excess.mask) < np.count_nonzero(poisson.mask)

    def test_negative_background_gives_no_false_hits(self):
        rng = np.random.default_rng(5)
        image = rng.normal(-30, READNOISE, (80, 80)).astype(np.float32)
        detection = LACosmicDetector().detect(image, in_electrons())
        assert np.count_nonzero(detection.mask) < 10


class TestEdges:
    @pytest.mark.parametrize("pixel", [(0, 0), (0, -1), (-1, 0), (-1, -1), (0, 30), (1, 30), (30, 0), (30, -2)])
    def test_hits_at_edges_and_corners(self, pixel):
        image = make_sky()
        sky = image[pixel]
        image[pixel] += 3000
        detection = LACosmicDetector().detect(image, in_electrons())
        assert detection.mask[pixel]
        assert_allclose(detection.cleaned[pixel], sky, atol=60)

    def test_without_padding_edges_are_missed(self):
        image = make_sky()
        image[0, 30] += 3000
        assert not LACosmicDetector(padwidth=0).detect(image, in_electrons()).mask[0, 30]

    @pytest.mark.parametrize("shape", [(101, 77), (15, 400), (8, 8), (5, 5)])
    @pytest.mark.parametrize("cleantype", ["meanmask", "median"])
    def test_any_shape(self, shape, cleantype):
        image = make_sky(shape)
        pixel = (shape[0] // 2, shape[1] // 2)
        image[pixel] += 3000
        detection = LACosmicDetector(cleantype=cleantype).detect(image, in_electrons())
        assert detection.mask.shape == detection.cleaned.shape == shape
        assert detection.mask[pixel]
        assert np.count_nonzero(detection.mask) < 6

    @pytest.mark.parametrize("shape", [(1, 1), (1, 12), (2, 2)])
    def test_slivers_do_not_fail(self, shape):
        assert LACosmicDetector().detect(make_sky(shape), in_electrons()).mask.shape == shape


class TestBadPixels:
    def test_never_flagged_and_kept(self):
        image = make_sky()
        image[10, 10] = np.nan
        image[20, 20] = np.inf
        image[30, 30] = 1e5
        bad = np.zeros(image.shape, dtype=bool)
        bad[30, 30] = True
        bad[:, 50] = True
        image[:, 50] = -1e4
        detection = LACosmicDetector().detect(image, in_electrons(), mask=bad)
        # no other pixel is flagged: no false hits around them
        assert np.count_nonzero(detection.mask) < 5
        assert not detection.mask[bad | ~np.isfinite(image)].any()
        assert_array_equal(detection.cleaned[~detection.mask], image[~detection.mask])

    @pytest.mark.parametrize("value", [np.nan, -1e4, 1e5])
    def test_hit_beside_a_bad_pixel(self, value):
        image = make_sky()
        image[30, 30] = image[:, 50] = image[15:20, 15:20] = value
        bad = np.zeros(image.shape, dtype=bool)
        bad[30, 30] = bad[:, 50] = bad[15:20, 15:20] = True
        beside = ([30, 29, 40, 14], [31, 10, 49, 20])
        image[beside] += 3000
        detection = LACosmicDetector().detect(image, in_electrons(), mask=bad)
        assert detection.mask[beside].all()
        assert_allclose(detection.cleaned[beside], SKY, atol=20)

    @pytest.mark.parametrize("core", [800, 3000])
    def test_bad_pixels_in_stars_make_no_hits(self, core):
        image, expected, _ = make_scene(n_hits=0, n_stars=20)
        none = LACosmicDetector().detect(image, in_electrons())
        bad = expected > SKY + core
        bad[:, ::15] = True
        detection = LACosmicDetector().detect(np.where(bad, np.float32(-500), image), in_electrons(), mask=bad)
        assert np.count_nonzero(detection.mask) <= np.count_nonzero(none.mask) + 2

    def test_tail_behind_a_bad_pixel(self, monkeypatch):
        # a feature of the second pass that crosses a bad pixel is one feature
        image = make_sky((30, 30))
        bad = np.zeros(image.shape, dtype=bool)
        bad[10, 11] = True

        def scripted(searched, limits):
            masks = np.zeros((2, *searched.electrons.shape), dtype=bool)
            masks[0, 20, 20] = masks[1, 20, 20:23] = True
            return [(mask, searched.electrons) for mask in masks]

        monkeypatch.setattr(lacosmic, "search", scripted)
        detection = LACosmicDetector().detect(image, in_electrons(), mask=bad)
        assert_array_equal(np.argwhere(detection.mask), [[10, 10], [10, 12]])

    def test_large_bad_region(self):
        image = make_sky((80, 90))
        image[20:60, 30:70] = np.nan
        image[10, 10] += 3000
        detection = LACosmicDetector().detect(image, in_electrons())
        assert detection.mask[10, 10]
        assert np.count_nonzero(detection.mask) < 6

    def test_nothing_good(self, monkeypatch):
        monkeypatch.setattr(lacosmic, "search", None)
        image = np.full((12, 14), np.nan, dtype=np.float32)
        detection = LACosmicDetector().detect(image, in_electrons())
        assert not detection.mask.any()
        assert_array_equal(detection.cleaned, image)

    def test_mask_of_another_shape(self):
        with pytest.raises(InputError, match="mask must have the shape"):
            LACosmicDetector().detect(make_sky(), in_electrons(), mask=np.zeros((3, 3), dtype=bool))


class TestFill:
    def test_follows_a_slope(self):
        y, x = np.mgrid[:20, :30]
        plane = (3 * x + 5 * y).astype(np.float32)
        bad = np.zeros(plane.shape, dtype=bool)
        bad[10, 10] = bad[5, 20:22] = True
        filled = fill(np.where(bad, np.float32(np.nan), plane), bad)
        assert_array_equal(filled[~bad], plane[~bad])
        assert_allclose(filled[10, 10], plane[10, 10])
        assert_allclose(filled[bad], plane[bad], atol=4)

    def test_deep_regions_are_filled(self):
        image = np.full((40, 40), 7, dtype=np.float32)
        bad = np.zeros(image.shape, dtype=bool)
        bad[5:35, 5:35] = True
        assert_array_equal(fill(np.where(bad, np.nan, image), bad), image)


class TestCleaned:
    @pytest.mark.parametrize("cleantype", lacosmic.CLEAN_TYPES)
    @pytest.mark.parametrize("psfmodel", lacosmic.PSF_MODELS)
    def test_near_the_truth(self, cleantype, psfmodel):
        image, expected, truth = make_scene(n_stars=0)
        detection = LACosmicDetector(cleantype=cleantype, psfmodel=psfmodel).detect(image, in_electrons())
        peaks = truth & (image > SKY + 1000)
        assert np.count_nonzero(detection.mask & peaks) >= 0.9 * np.count_nonzero(peaks)
        # noise of one pixel is 11
        assert_allclose(detection.cleaned[detection.mask], expected[detection.mask], atol=40)

    @pytest.mark.parametrize("fsmode", lacosmic.FINE_STRUCTURE_MODES)
    @pytest.mark.parametrize("sepmed", [True, False])
    def test_modes(self, scene, fsmode, sepmed):
        image, _, truth = scene
        detection = LACosmicDetector(fsmode=fsmode, sepmed=sepmed, sigclip=5.0).detect(image, in_electrons())
        padded = np.pad(image, 10, mode="reflect")
        found, _ = by_hand(padded, 5.0, fsmode=fsmode, sepmed=sepmed)
        assert_array_equal(detection.mask, found[10:-10, 10:-10])
        assert (detection.mask & truth).any()

    def test_median_takes_all_pixels_around(self):
        image = np.add.outer(np.arange(40.0), np.arange(40.0)).astype(np.float32) + 100
        image[20, 20] += 5000
        detection = LACosmicDetector(cleantype="median").detect(image, in_electrons())
        assert_array_equal(np.argwhere(detection.mask), [[20, 20]])
        # median of 24 values of a plane and of one above all of them: half a step up of the middle one at most
        assert detection.cleaned[20, 20] == np.median(image[18:23, 18:23])

    def test_median_is_repeatable(self, scene):
        first, second = (LACosmicDetector(cleantype="median").detect(scene[0], in_electrons()) for _ in range(2))
        assert_array_equal(first.mask, second.mask)
        assert_array_equal(first.cleaned, second.cleaned)

    def test_untouched_where_not_flagged(self, scene):
        image = scene[0] / np.float32(2.45)
        before = image.copy()
        bad = np.zeros(image.shape, dtype=bool)
        bad[3, 3] = True
        noise = NoiseModel(gain=2.45 * u.electron / u.adu, readnoise=READNOISE * u.electron)
        detection = LACosmicDetector().detect(image, noise, mask=bad)
        assert_array_equal(image, before)
        assert np.count_nonzero(bad) == 1
        assert detection.mask.dtype == bool
        assert detection.cleaned.dtype == np.float32
        assert not np.shares_memory(detection.cleaned, image)
        assert_array_equal(detection.cleaned[~detection.mask], image[~detection.mask])
        assert np.all(detection.cleaned[detection.mask] != image[detection.mask])

    @pytest.mark.parametrize("layout", ["view", "columns", "read-only", "big-endian", "float64"])
    @pytest.mark.parametrize("cleantype", ["meanmask", "median"])
    def test_any_memory_layout(self, scene, layout, cleantype):
        image = {
            "view": np.repeat(scene[0], 2, axis=1)[:, ::2],
            "columns": np.asfortranarray(scene[0]),
            "read-only": scene[0].copy(),
            "big-endian": scene[0].astype(">f4"),
            "float64": scene[0].astype(float),
        }[layout]
        image.flags.writeable = layout != "read-only"
        bad = np.asfortranarray(scene[1] > 5000)
        whole = LACosmicDetector(cleantype=cleantype).detect(scene[0], in_electrons(), bad)
        view = LACosmicDetector(cleantype=cleantype).detect(image, in_electrons(), bad)
        assert_array_equal(view.mask, whole.mask)
        assert_array_equal(view.cleaned, whole.cleaned)


class TestParameters:
    def test_defaults(self):
        assert LACosmicDetector.cleans
        assert LACosmicDetector.parameters() == {
            "sigclip": (5.0, 3.0),
            "sigfrac": 0.3,
            "objlim": 5.0,
            "satlevel": 65535.0,
            "niter": 4,
            "sepmed": True,
            "cleantype": "meanmask",
            "fsmode": "median",
            "psfmodel": "gaussxy",
            "psffwhm": 2.5,
            "psfsize": 11,
            "psfbeta": 4.765,
            "padwidth": 10,
        }

    def test_lists_become_tuples(self):
        assert LACosmicDetector(sigclip=[6, 4]) == LACosmicDetector(sigclip=(6.0, 4.0))
        assert hash(LACosmicDetector(psffwhm=[2, 3])) == hash(LACosmicDetector(psffwhm=(2.0, 3.0)))

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"sigclip": 0}, "sigclip must be a number greater than 0; got 0"),
            ({"sigclip": (5.0, -1)}, "sigclip must be a number greater than 0; got -1"),
            ({"sigclip": (5.0, 4.0, 3.0)}, "sigclip must be a number or a pair of numbers; got (5.0, 4.0, 3.0)"),
            ({"sigclip": "5"}, "sigclip must be a finite number; got '5'"),
            ({"sigfrac": 1.5}, "sigfrac must be a number at least 0 and at most 1; got 1.5"),
            ({"objlim": -1}, "objlim must be a number at least 0; got -1"),
            ({"objlim": np.nan}, "objlim must be a finite number; got nan"),
            ({"satlevel": 0}, "satlevel must be a number greater than 0; got 0"),
            ({"niter": 0}, "niter must be an integer at least 1; got 0"),
            ({"niter": (4, 2.5)}, "niter must be an integer; got 2.5"),
            ({"sepmed": 1}, "sepmed must be True or False; got 1"),
            ({"cleantype": "best"}, "cleantype must be one of median, medmask, meanmask, idw; got 'best'"),
            ({"fsmode": "psf"}, "fsmode must be one of median, convolve; got 'psf'"),
            ({"psfmodel": "airy"}, "psfmodel must be one of gauss, moffat, gaussx, gaussy, gaussxy; got 'airy'"),
            ({"psffwhm": (2.5, 0)}, "psffwhm must be a number greater than 0; got 0"),
            ({"psfsize": 10}, "psfsize must be odd; got 10"),
            ({"psfsize": 1}, "psfsize must be an integer at least 3; got 1"),
            ({"psfbeta": 0}, "psfbeta must be a number greater than 0; got 0"),
            ({"padwidth": -1}, "padwidth must be an integer at least 0; got -1"),
            ({"padwidth": True}, "padwidth must be an integer; got True"),
        ],
    )
    def test_bad_parameters(self, parameters, message):
        with pytest.raises(InputError) as caught:
            LACosmicDetector(**parameters)
        assert str(caught.value) == message


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 4)])
def test_images_that_are_none(shape):
    with pytest.raises(InputError, match=r"image must be a 2-D array with pixels in it; got shape \("):
        LACosmicDetector().detect(np.zeros(shape, np.float32), in_electrons())
