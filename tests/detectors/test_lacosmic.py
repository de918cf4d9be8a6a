"""LACosmicDetector against direct calls of astroscrappy; edges and parameters."""

import numpy as np
import pytest
from astroscrappy import gausskernel
from numpy.testing import assert_allclose, assert_array_equal
from support.lacosmic import by_hand, in_electrons, make_sky

from crstack.detectors import lacosmic
from crstack.detectors.lacosmic import LACosmicDetector
from crstack.exceptions import InputError
from crstack.utils.pixels import features_holding


class TestEngine:
    def test_interior_equals_detect_cosmics(self, lacosmic_scene):
        image = lacosmic_scene[0]
        detection = LACosmicDetector(sigclip=5.0).detect(image, in_electrons())
        found, cleaned = by_hand(image, 5.0)
        # mirrored pixels change the outer 10 + 10 pixels at most
        inside = np.s_[20:-20, 20:-20]
        assert np.count_nonzero(found[inside]) > 10
        assert_array_equal(detection.mask[inside], found[inside])
        assert_array_equal(detection.cleaned[inside], cleaned[inside])

    def test_two_passes_equal_merge_by_hand(self, lacosmic_scene):
        image = lacosmic_scene[0]
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
    def test_second_of_a_pair_belongs_to_the_second_pass(self, lacosmic_scene, name):
        # a first pass with the thresholds of the second does not change the result
        values = {"objlim": (2.0, 8.0), "niter": (4, 1), "satlevel": (65535.0, 3000.0)}[name]
        pair = LACosmicDetector(sigclip=3.0, **{name: values}).detect(lacosmic_scene[0], in_electrons())
        second = LACosmicDetector(sigclip=3.0, **{name: values[1]}).detect(lacosmic_scene[0], in_electrons())
        first = LACosmicDetector(sigclip=3.0, **{name: values[0]}).detect(lacosmic_scene[0], in_electrons())
        assert_array_equal(pair.mask, features_holding(second.mask, first.mask))
        assert not np.array_equal(second.mask, first.mask)


class TestKernels:
    def test_round_kernel_equals_astroscrappy(self):
        assert_allclose(lacosmic._elliptical_gaussian(2.5, 2.5, 11), gausskernel(2.5, 11), rtol=2e-5)

    def test_gaussxy_equals_gauss_where_round(self, lacosmic_scene):
        masks = [
            LACosmicDetector(fsmode="convolve", psfmodel=name).detect(lacosmic_scene[0], in_electrons()).mask
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
    def test_asymmetric_kernel_follows_the_image(self, lacosmic_scene, name):
        turned = {"gaussx": "gaussy", "gaussy": "gaussx", "gaussxy": "gaussxy"}[name]
        # niter=1: replaced values do not enter, so that both orientations agree to the last bit
        options = {"niter": 1, "sepmed": False, "sigclip": 4.0}
        image = lacosmic_scene[0]
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
    def test_model_equals_detect_cosmics(self, lacosmic_scene, name):
        fwhm = {"gaussx": 2.0, "gaussy": 4.0}.get(name, 3.0)
        parameters = {"psfmodel": name, "psfsize": 9, "psfbeta": 3.0}
        detection = LACosmicDetector(
            fsmode="convolve", psffwhm=(2.0, 4.0), sigclip=4.0, padwidth=0, **parameters
        ).detect(lacosmic_scene[0], in_electrons())
        found, _ = by_hand(lacosmic_scene[0], 4.0, psfk=None, psffwhm=fwhm, **parameters)
        other, _ = by_hand(lacosmic_scene[0], 4.0, psfk=None, psffwhm=8.0, **parameters)
        assert_array_equal(detection.mask, found)
        assert not np.array_equal(detection.mask, other)


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
