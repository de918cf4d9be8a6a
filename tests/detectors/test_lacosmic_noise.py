"""LACosmicDetector: units, noise, saturation and bad pixels."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.lacosmic import READNOISE, SKY, in_electrons, make_scene, make_sky

from crstack.detectors import _lacosmic_search, lacosmic
from crstack.detectors.lacosmic import LACosmicDetector
from crstack.exceptions import InputError
from crstack.noise import NoiseModel


class TestUnits:
    def test_adu_equals_electrons(self, lacosmic_scene):
        image = lacosmic_scene[0]
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

    def test_gain_image(self, lacosmic_scene):
        image = lacosmic_scene[0]
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
    def test_constant_readnoise_image_equals_number(self, lacosmic_scene, cleantype):
        image = lacosmic_scene[0]
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

    def test_known_variance_equals_model(self, lacosmic_scene):
        image = lacosmic_scene[0]
        model = in_electrons()
        known = model.with_known_variance(model.variance(image))
        assert_array_equal(LACosmicDetector().detect(image, known).mask, LACosmicDetector().detect(image, model).mask)

    def test_known_variance_replaces_model(self, lacosmic_scene):
        image = lacosmic_scene[0]
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

    def test_excess_noise_is_honoured(self, lacosmic_scene):
        image = lacosmic_scene[0]
        poisson = LACosmicDetector(fsmode="convolve").detect(image, in_electrons())
        excess = LACosmicDetector(fsmode="convolve").detect(image, in_electrons(nbinom_shape=0.5))
        assert 0 < np.count_nonzero(excess.mask) < np.count_nonzero(poisson.mask)

    def test_negative_background_gives_no_false_hits(self):
        rng = np.random.default_rng(5)
        image = rng.normal(-30, READNOISE, (80, 80)).astype(np.float32)
        detection = LACosmicDetector().detect(image, in_electrons())
        assert np.count_nonzero(detection.mask) < 10


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
