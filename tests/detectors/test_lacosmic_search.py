"""The fast search of `LACosmicDetector` equals ``astroscrappy.detect_cosmics`` bit by bit."""

import astropy.units as u
import astroscrappy
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from crstack.detectors import _lacosmic_kernels, _lacosmic_search, lacosmic
from crstack.detectors._lacosmic_search import Limits, Searched, search
from crstack.detectors.lacosmic import CLEAN_TYPES, FINE_STRUCTURE_MODES, PSF_MODELS, LACosmicDetector
from crstack.detectors.two_pass import split_pairs
from crstack.noise import NoiseModel
from crstack.utils.medians import box_median, separable_median
from crstack.utils.pixels import features_holding
from crstack.utils.threads import limited_threads

#: names in `detect_cosmics` of the parameters that differ between the passes
PAIRED = ("sigclip", "sigfrac", "objlim", "satlevel", "niter")


def one_pass(scene, detector, *, satlevel, niter, **limits):
    """Mask and cleaned electrons of the mirrored image, by ``detect_cosmics``."""
    electrons, satlevel = lacosmic._mark_saturated(scene, satlevel)
    options = {**limits, "satlevel": satlevel, "sepmed": detector.sepmed, "fsmode": detector.fsmode, "gain": 1.0}
    fwhm = np.broadcast_to(detector.psffwhm, 2).tolist()
    if detector.psfmodel == "gaussxy":
        options |= {"psfk": lacosmic._elliptical_gaussian(*fwhm, detector.psfsize)}
    else:
        fwhm = {"gaussx": fwhm[0], "gaussy": fwhm[1]}.get(detector.psfmodel, sum(fwhm) / 2)
        options |= {"psfmodel": detector.psfmodel, "psffwhm": fwhm, "psfsize": detector.psfsize}
        options |= {"psfbeta": detector.psfbeta}
    if scene.hidden is not None:
        options |= {"inmask": scene.hidden}

    def run(electrons, variance, **more):
        if scene.floor is None:
            return astroscrappy.detect_cosmics(electrons, invar=variance, **options, **more)
        found, replaced = astroscrappy.detect_cosmics(
            electrons + scene.floor, invar=variance, inbkg=scene.floor, **options, **more
        )
        return found, replaced - scene.floor

    if detector.cleantype != "median":
        return run(electrons, scene.variance, niter=niter, cleantype=detector.cleantype)
    # the median of astroscrappy reads uninitialised memory
    floor = 0 if scene.floor is None else scene.floor
    variance, mask = scene.variance, np.zeros(electrons.shape, dtype=bool)
    for _ in range(niter):
        found, _ = run(electrons, variance, niter=1, cleantype="meanmask")
        if not found.any():
            break
        mask |= found
        electrons = np.where(mask, astroscrappy.utils.medfilt5(electrons), electrons)
        variance = np.where(mask, astroscrappy.utils.medfilt5(variance - floor) + floor, variance)
    return mask, electrons


def by_astroscrappy(detector, image, noise, mask=None):
    """Mask and cleaned image of a detector, by ``detect_cosmics``."""
    bad = lacosmic.bad_pixels(image, noise, mask)
    scene = lacosmic._make_scene(image, noise, bad, detector.padwidth)
    settings = split_pairs(**{name: getattr(detector, name) for name in PAIRED})
    inside = tuple(slice(detector.padwidth, size - detector.padwidth) for size in scene.electrons.shape)
    high, low = ([part[inside] for part in one_pass(scene, detector, **each)] for each in settings)
    found = low[0] if settings[0] == settings[1] else features_holding(low[0], high[0] & ~bad)
    found = found & ~bad
    cleaned = image.astype(np.float32)
    cleaned[found] = (low[1] / noise.electrons_per_unit)[found]
    return found, cleaned


def make_image(rng, shape):
    """Stars and hits on a sky."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    expected = np.full(shape, 10 ** rng.uniform(-0.5, 3))
    for _ in range(rng.integers(0, 6)):
        r2 = (y - rng.uniform(0, shape[0])) ** 2 + (x - rng.uniform(0, shape[1])) ** 2
        expected += 10 ** rng.uniform(1, 5) * np.exp(-0.5 * r2 / rng.uniform(0.6, 3) ** 2)
    image = rng.poisson(expected) + rng.normal(0, 4, shape)
    for _ in range(rng.integers(1, shape[0] * shape[1] // 60 + 2)):
        row, column = rng.integers(0, shape)
        track = np.s_[row, column : column + 5] if rng.random() < 0.5 else np.s_[row : row + 5, column]
        image[track] += 10 ** rng.uniform(1.5, 4.5) * rng.uniform(0.3, 1)
    if rng.random() < 0.3:
        # equal values everywhere
        image = image.round()
    if rng.random() < 0.3:
        image -= 1.2 * np.median(image)
    return image.astype(np.float32)


def make_mask(rng, shape):
    """Single bad pixels, and sometimes a block of them."""
    mask = rng.random(shape) < rng.uniform(0, 0.05)
    if rng.random() < 0.5:
        row, column = rng.integers(0, shape)
        mask[row : row + 5, column : column + 4] = True
    return mask


def make_noise(rng, image):
    """Noise models of all kinds."""
    kind = rng.integers(0, 5)
    if kind == 0:
        return NoiseModel(readnoise=4 * u.electron, unit=u.electron)
    if kind == 1:
        return NoiseModel(gain=1.7 * u.electron / u.adu, readnoise=4 * u.electron, nbinom_shape=30.0)
    gain = np.full(image.shape, 1.5, dtype=np.float32)
    gain[:, image.shape[1] // 2 :] = 2.2
    readnoise = rng.uniform(1, 9, image.shape) if kind == 2 else 4.0
    noise = NoiseModel(gain=gain * u.electron / u.adu, readnoise=readnoise * u.electron)
    if kind == 3:
        return noise
    signal = np.where(np.isfinite(image), image, 0)
    return noise.with_known_variance(noise.variance(signal) * rng.uniform(0.5, 2, image.shape).astype(np.float32))


def make_detector(rng, **fixed):
    """A detector with parameters from all of their ranges."""

    def pair(low, high):
        values = tuple(rng.uniform(low, high, 2).tolist())
        return values if rng.random() < 0.5 else values[0]

    drawn = {
        "sigclip": pair(1.5, 8),
        "sigfrac": pair(0, 1),
        "objlim": pair(0, 8),
        "satlevel": pair(500, 60000),
        "niter": tuple(rng.integers(1, 6, 2).tolist()),
        "sepmed": bool(rng.random() < 0.7),
        "cleantype": str(rng.choice(CLEAN_TYPES)),
        "fsmode": str(rng.choice(FINE_STRUCTURE_MODES)),
        "psfmodel": str(rng.choice(PSF_MODELS)),
        "psffwhm": pair(0.6, 5),
        "psfsize": int(rng.choice([3, 5, 7, 11, 15, 31])),
        "psfbeta": float(rng.uniform(1, 6)),
        "padwidth": int(rng.choice([0, 1, 3, 10])),
    }
    return LACosmicDetector(**(drawn | fixed))


def assert_equal(detector, image, noise, mask=None):
    found, cleaned = by_astroscrappy(detector, image, noise, mask)
    detection = detector.detect(image, noise, mask)
    assert_array_equal(detection.mask, found)
    assert_array_equal(detection.cleaned, cleaned)
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    """Bands and blocks so small that several of them fit into a small image."""
    monkeypatch.setattr(_lacosmic_search, "BLOCK", (8, 12))
    monkeypatch.setattr(_lacosmic_search, "PIXELS_IN_CACHE", 300)


class TestEqualsDetectCosmics:
    @pytest.mark.parametrize("cleantype", CLEAN_TYPES)
    @pytest.mark.parametrize("fsmode", FINE_STRUCTURE_MODES)
    @pytest.mark.parametrize("sepmed", [True, False])
    @pytest.mark.usefixtures("small_blocks")
    def test_modes(self, cleantype, fsmode, sepmed):
        rng = np.random.default_rng(11)
        image = make_image(rng, (70, 90))
        detector = LACosmicDetector(cleantype=cleantype, fsmode=fsmode, sepmed=sepmed, sigclip=(4.0, 2.5))
        assert assert_equal(detector, image, NoiseModel(readnoise=4 * u.electron, unit=u.electron)).sum() > 20

    @pytest.mark.parametrize("seed", range(60))
    @pytest.mark.usefixtures("small_blocks")
    def test_anything(self, seed):
        rng = np.random.default_rng(2600 + seed)
        # detect_cosmics itself writes beyond slivers
        shape = tuple(rng.integers(10, 60, 2).tolist())
        image = make_image(rng, shape)
        mask = make_mask(rng, shape) if rng.random() < 0.5 else None
        noise = make_noise(rng, image)
        if rng.random() < 0.4:
            image[rng.random(shape) < 0.02] = rng.choice([np.nan, np.inf])
        assert_equal(make_detector(rng), image, noise, mask)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (2, 2), (3, 4), (6, 7), (9, 5)])
    def test_slivers(self, shape):
        rng = np.random.default_rng(5)
        for _ in range(4):
            image = make_image(rng, shape)
            assert_equal(make_detector(rng, padwidth=10), image, make_noise(rng, image))

    def test_as_it_is_used(self):
        # bands and blocks of their usual size
        rng = np.random.default_rng(7)
        image = make_image(rng, (150, 600))
        assert assert_equal(LACosmicDetector(), image, NoiseModel(readnoise=4 * u.electron, unit=u.electron)).sum() > 50

    def test_everything_around_is_flagged(self):
        # without a usable neighbour the level of the image is used
        image = np.full((40, 40), 50, dtype=np.float32)
        image[8:30:2, 8:30] = 4000
        image[9:30:2, 9:30] = 3000
        rng = np.random.default_rng(1)
        image += rng.normal(0, 3, image.shape).astype(np.float32)
        detector = LACosmicDetector(sigclip=1.5, objlim=0.0, sigfrac=0.0, niter=5)
        assert assert_equal(detector, image, NoiseModel(readnoise=4 * u.electron, unit=u.electron)).sum() > 200


class TestDecisions:
    def searched(self, image, **changes):
        options = {
            "electrons": image,
            "variance": np.maximum(image, 0) + 16,
            "floor": None,
            "hidden": None,
            "psf": LACosmicDetector(fsmode="convolve")._psf(),
            "separable": True,
            "cleantype": "meanmask",
        }
        return Searched(**(options | changes))

    def test_contrast_exactly_at_the_limit(self, monkeypatch):
        # each limit is the contrast of one candidate, so that rounding decides; then the next larger number
        image = np.pad(make_image(np.random.default_rng(3), (50, 60)), 10, mode="reflect")
        searched = self.searched(image)
        whole = [(slice(0, image.shape[0]), slice(0, image.shape[1]))]
        state = _lacosmic_search.State.of(searched)
        state.measure(whole, map)
        candidates = state.candidates(whole, np.float32(3), map)
        ratio = state.significance.ravel()[candidates.pixels]
        exact = np.array([state._exact_structure(pixel) for pixel in candidates.pixels])
        contrast = ratio / np.maximum(exact, np.float32(0.01))
        assert np.any(exact != candidates.structure)
        assert_array_equal(np.abs(exact - candidates.structure) <= candidates.error, True)
        asked = []
        exact_structure = _lacosmic_search.State._exact_structure
        monkeypatch.setattr(
            _lacosmic_search.State,
            "_exact_structure",
            lambda self, pixel: asked.append(pixel) or exact_structure(self, pixel),
        )
        for limit in contrast[np.argsort(contrast)][:: max(len(contrast) // 20, 1)]:
            for objlim in (limit, np.nextafter(limit, np.float32(np.inf))):
                limits = Limits(sigclip=3.0, sigfrac=0.3, objlim=float(objlim), satlevel=1e6, niter=1)
                (found, _), *_ = search(searched, [limits])
                expected, _ = astroscrappy.detect_cosmics(
                    image,
                    invar=searched.variance,
                    sigclip=3.0,
                    sigfrac=0.3,
                    objlim=float(objlim),
                    gain=1.0,
                    satlevel=1e6,
                    niter=1,
                    fsmode="convolve",
                    psfk=searched.psf,
                )
                assert_array_equal(found, expected)
        # the bound is narrow: few decisions remain open
        assert 20 <= len(asked) < 0.1 * 40 * len(contrast)

    @pytest.mark.parametrize("psfmodel", PSF_MODELS)
    @pytest.mark.parametrize("psffwhm", [0.6, 2.5, 9.0])
    def test_smoothed_within_the_bound(self, psfmodel, psffwhm):
        rng = np.random.default_rng(8)
        kernel = LACosmicDetector(fsmode="convolve", psfmodel=psfmodel, psffwhm=psffwhm)._psf()
        smooth = _lacosmic_kernels.MatchedFilter(kernel)
        assert smooth.by_axis is (psfmodel != "moffat")
        values = (10 ** rng.uniform(0, 5, (40, 50))).astype(np.float32)
        noise = np.sqrt(values)
        exact = smooth.exact(values, noise)
        assert np.all(np.abs(smooth(values, noise) - exact) <= smooth.bound * exact)

    def test_kernels_without_symmetry_are_left_to_astroscrappy(self):
        kernel = np.outer([1, 2, 1], [1, 2, 3]).astype(np.float32)
        assert not _lacosmic_kernels.MatchedFilter(kernel / kernel.sum()).by_axis


class TestThreads:
    @pytest.mark.parametrize("cleantype", ["meanmask", "median"])
    @pytest.mark.usefixtures("small_blocks")
    def test_number_changes_nothing(self, cleantype):
        rng = np.random.default_rng(9)
        image = make_image(rng, (60, 80))
        noise = NoiseModel(readnoise=4 * u.electron, unit=u.electron)
        found = []
        for n in (1, 2, 5):
            with limited_threads(n):
                found.append(LACosmicDetector(cleantype=cleantype).detect(image, noise))
        for other in found[1:]:
            assert_array_equal(other.mask, found[0].mask)
            assert_array_equal(other.cleaned, found[0].cleaned)

    def test_inputs_are_left_alone(self):
        rng = np.random.default_rng(10)
        image = make_image(rng, (40, 50))
        searched = TestDecisions().searched(image)
        before = image.copy(), searched.variance.copy()
        limits = Limits(sigclip=3.0, sigfrac=0.3, objlim=5.0, satlevel=1e6, niter=4)
        (found, cleaned), *_ = search(searched, [limits, limits])
        assert found.any()
        assert np.any(cleaned != image)
        assert_array_equal(searched.electrons, before[0])
        assert_array_equal(searched.variance, before[1])


@pytest.mark.parametrize("shape", [(30, 40), (9, 9), (9, 20), (4, 30), (1, 5)])
@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (lambda image: separable_median(image, 3), "sepmedfilt3"),
        (lambda image: separable_median(image, 5), "sepmedfilt5"),
        (lambda image: separable_median(image, 7), "sepmedfilt7"),
        (lambda image: separable_median(image, 9), "sepmedfilt9"),
        (lambda image: box_median(image, 3), "medfilt3"),
        (lambda image: box_median(image, 5), "medfilt5"),
    ],
)
def test_medians(shape, ours, name):
    image = np.random.default_rng(4).normal(size=shape).astype(np.float32).round(1) + np.float32(0)
    before = image.copy()
    if min(shape) >= int(name[-1]):
        assert_array_equal(ours(image), getattr(astroscrappy.utils, name)(image))
    else:
        assert_array_equal(ours(image), image)
    assert_array_equal(image, before)
