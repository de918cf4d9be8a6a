"""The image that LACosmicDetector cleans."""

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.lacosmic import READNOISE, SKY, by_hand, in_electrons, make_scene

from crstack.detectors import lacosmic
from crstack.detectors._bad_pixels import fill
from crstack.detectors.lacosmic import LACosmicDetector
from crstack.noise import NoiseModel


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
    def test_modes(self, lacosmic_scene, fsmode, sepmed):
        image, _, truth = lacosmic_scene
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

    def test_median_is_repeatable(self, lacosmic_scene):
        first, second = (
            LACosmicDetector(cleantype="median").detect(lacosmic_scene[0], in_electrons()) for _ in range(2)
        )
        assert_array_equal(first.mask, second.mask)
        assert_array_equal(first.cleaned, second.cleaned)

    def test_untouched_where_not_flagged(self, lacosmic_scene):
        image = lacosmic_scene[0] / np.float32(2.45)
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
    def test_any_memory_layout(self, lacosmic_scene, layout, cleantype):
        image = {
            "view": np.repeat(lacosmic_scene[0], 2, axis=1)[:, ::2],
            "columns": np.asfortranarray(lacosmic_scene[0]),
            "read-only": lacosmic_scene[0].copy(),
            "big-endian": lacosmic_scene[0].astype(">f4"),
            "float64": lacosmic_scene[0].astype(float),
        }[layout]
        image.flags.writeable = layout != "read-only"
        bad = np.asfortranarray(lacosmic_scene[1] > 5000)
        whole = LACosmicDetector(cleantype=cleantype).detect(lacosmic_scene[0], in_electrons(), bad)
        view = LACosmicDetector(cleantype=cleantype).detect(image, in_electrons(), bad)
        assert_array_equal(view.mask, whole.mask)
        assert_array_equal(view.cleaned, whole.cleaned)
