"""Warnings of noise, bias and gain: the cause that is named, and the numbers."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from scipy import ndimage

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.blank import level_of_darkest_blocks

GAIN, READNOISE, SHAPE = 1.7, 5.0, (150, 160)


def made(sky, n=3, bias=0.0, seed=2):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    field = np.random.default_rng(5)
    for y, x in field.uniform(5, 145, (40, 2)):
        sky = sky + 3000 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4)
    images = [rng.poisson(sky, SHAPE) + rng.normal(0, READNOISE, SHAPE) for _ in range(n)]
    for image in images:
        image[rng.integers(0, SHAPE[0], 100), rng.integers(0, SHAPE[1], 100)] += 2000
    return [np.rint(image / GAIN + bias).astype(np.float32) for image in images]


def loaded(images, gain=GAIN, readnoise=READNOISE, **options):
    """The exposures and the warnings."""
    options.setdefault("unit", u.adu)
    if gain is not None:
        options["gain"] = gain * u.electron / u.adu
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exposures = load_exposures(images, readnoise=readnoise * u.electron, **options)
    assert all(issubclass(one.category, CRStackWarning) for one in caught)
    return exposures, [str(one.message) for one in caught]


@pytest.mark.parametrize("effective", [False, True])
def test_averages_are_named_by_their_header(effective):
    """Images of another program, and combined images of crstack that are given without their variance."""
    averages = [CCDData(np.mean(made(200, seed=seed), axis=0), unit="adu", meta={"NCOMBINE": 3}) for seed in (1, 2, 3)]
    for one in averages:
        one.header.update({"EFFGAIN": 3 * GAIN, "EFFRN": READNOISE * np.sqrt(3)} if effective else {})
    _, (message,) = loaded(averages, unit=None)
    assert "NCOMBINE of a header is 3: an average has less noise than one exposure" in message
    assert "bias" not in message
    assert message.endswith('or gain="header:EFFGAIN" and readnoise="header:EFFRN"') is effective
    if effective:
        # the remedy
        load_exposures(averages, gain="header:EFFGAIN", readnoise="header:EFFRN")


@pytest.mark.parametrize("factor", [1e-17, 1e-10, 1e-6])
@pytest.mark.parametrize("own", [False, True])
def test_calibrated_fluxes_are_refused(factor, own):
    fluxes = [CCDData(one * factor, unit="adu") for one in made(100)]
    for one in fluxes:
        one.uncertainty = StdDevUncertainty(np.full(SHAPE, 10.0)) if own else None
    message = r"exposures must be counts in adu with the noise that is given; got a scatter of .* where .* give \d"
    with pytest.raises(InputError, match=message):
        loaded(fluxes, unit=None)


def stepped(steps, sky=100):
    return [image + np.float32(step) for image, step in zip(made(sky, len(steps)), steps, strict=True)]


@pytest.mark.parametrize("steps", [(0, -30, 0), (0, -59, 0), (0, -60, 40), (0, 0, 0, -59), (-59, 0), (0, -59, -59)])
def test_an_exposure_at_a_lower_level_has_the_noise_of_the_others(steps):
    exposures, words = loaded(stepped(steps))
    lower = [i for i, step in enumerate(steps) if step < 0]
    for i in lower:
        number = f"exposure {i + 1} scatters more than its level allows, by 6.* adu, where a level of"
        (text,) = (one for one in words if re.match(number, one))
        assert ("(the other exposure lies at" if len(steps) == 2 else "(another exposure lies at") in text
        expected = -steps[i] * GAIN
        assert exposures.missing[i] == pytest.approx(expected, rel=0.25)
        variance = exposures.noise_of(i).variance(np.float32(0)) * GAIN**2
        np.testing.assert_allclose(variance, READNOISE**2 + exposures.missing[i], rtol=1e-5)
    assert not any(one for i, one in enumerate(exposures.missing) if i not in lower)
    assert exposures.reordered(range(len(steps))[::-1]).missing == exposures.missing[::-1]


def test_a_read_noise_that_is_understated_in_all_exposures_is_no_missing_level():
    """All have 1.3 times their variance, as exposures of some spectrographs have: none stands out."""
    rng = np.random.default_rng(3)
    images = [np.rint((rng.poisson(sky, SHAPE) + rng.normal(0, 7.9, SHAPE)) / GAIN) for sky in (100, 137, 100)]
    exposures, words = loaded(images)
    assert words == []
    assert exposures.missing == ()
    # an exposure that lacks half its sky is found all the same
    images[0] = images[0] - np.float32(30)
    exposures, words = loaded(images)
    assert len(words) == 1
    assert words[0].startswith("exposure 1 scatters more than its level allows")
    assert [one > 0 for one in exposures.missing] == [True, False, False]


def test_an_exposure_with_a_higher_bias():
    exposures, words = loaded(stepped((0, 0, 150)))
    assert len(words) == 1
    assert words[0].startswith("exposure 3 scatters less than its level allows")
    assert exposures.missing == ()


def test_bright_orders_that_differ_by_a_factor_give_no_warning():
    """Between orders the exposures are equally dark, though the mean level of one is higher."""
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    orders = np.exp(-0.5 * (((rows + 6 * columns / SHAPE[1]) % 12 - 6) / 1.6) ** 2)
    blaze = 1500 * np.sinc(columns / SHAPE[1] - 0.5) ** 2
    images = [rng.poisson(5 + one * blaze * orders) + rng.normal(0, READNOISE, SHAPE) for one in (1, 0.8, 1.15, 1, 0.8)]
    _, words = loaded(images, gain=1)
    assert words == []


@pytest.mark.parametrize("skies", [(100, 200, 50), (100, 100, 5), (100, 30), (1000, 100, 100, 10)])
def test_skies_that_differ_give_no_warning(skies):
    images = [made(sky, 1, seed=i)[0] for i, sky in enumerate(skies)]
    exposures, words = loaded(images)
    assert words == []
    assert exposures.missing == ()
    assert exposures.share_noise


@pytest.mark.parametrize("bias", [None, 0 * u.adu])
def test_a_bias_is_asked_for_only_if_it_explains_the_scatter(bias):
    _, words = loaded(made(100, bias=400), bias=bias)
    found = re.search(r"\(a bias of about (\d+) adu agrees\): part of the level is not light. Is a bias", words[0])
    assert int(found[1]) == pytest.approx(400, abs=15)
    assert "If it is subtracted, are they averages of reads, exposures or pixels, or resampled?" in words[0]


@pytest.mark.parametrize("seed", range(4))
def test_a_bias_of_darks_is_asked_for(seed):
    """Their scatter is the read noise, a little more or less."""
    rng = np.random.default_rng(seed)
    _, words = loaded([rng.normal(400, READNOISE / GAIN, SHAPE) for _ in range(3)])
    found = re.search(r"\(a bias of about (\d+) adu agrees\): part of the level is not light. Is a bias", words[0])
    assert int(found[1]) == pytest.approx(400, abs=5)


@pytest.mark.parametrize(
    ("gain", "readnoise", "sky", "agreeing"),
    [
        (1.7, 30, 100, r"\(a read noise of about \d(\.\d)? in place of 30 electron agrees\)"),
        (1.7, 10, 10, r"\(a read noise of about (4\.[5-9]|5|5\.[0-5]) in place of 10 electron agrees\)"),
    ],
)
def test_a_read_noise_above_the_scatter_is_no_bias(gain, readnoise, sky, agreeing):
    _, words = loaded(made(sky), gain, readnoise)
    assert len(words) == 1
    assert re.search(agreeing, words[0])
    assert "alone exceeds the scatter" in words[0]
    assert "bias" not in words[0]


@pytest.mark.parametrize("bias", [None, 0 * u.adu])
@pytest.mark.parametrize(
    ("left", "part", "expected"),
    [
        (400, 1.0, "the uncertainties are too large, so faint hits may be missed. Were they computed before the bias"),
        (0, 0.5, "the uncertainties are too small. Are they those of images without the sky"),
        (0, 1.0, None),
    ],
)
def test_a_bias_is_no_remedy_for_uncertainties(left, part, expected, bias):
    """The uncertainties were computed while a bias was in the exposures, or are half of the noise."""
    images = made(100)
    sigmas = [part * np.sqrt(np.maximum(image + left, 1) / GAIN + (READNOISE / GAIN) ** 2) for image in images]
    ccds = [
        CCDData(image, unit="adu", uncertainty=StdDevUncertainty(one))
        for image, one in zip(images, sigmas, strict=True)
    ]
    _, words = loaded(ccds, unit=None, bias=bias)
    assert len(words) == (expected is not None)
    for one in words:
        assert re.search(r"where their uncertainties give \d+(\.\d+)? adu at a level of \d+ adu", one)
        assert expected in one
        assert "bias=" not in one
        assert "give each an uncertainty" not in one


@pytest.mark.parametrize("true", [1.7, 0.5])
@pytest.mark.parametrize("bias", [0, 400])
def test_the_inverse_of_the_gain_is_named_first(true, bias):
    """Exposures with a gain of 1.7 or 0.5 electron/adu, for which adu per electron are given."""
    images = [image * np.float32(GAIN / true) + bias for image in made(100)]
    _, words = loaded(images, 1 / true, bias=bias * u.adu)
    assert len(words) == 1
    found = re.search(
        r"\(a gain of about ([\d.]+) electron/adu agrees, which is the inverse of ([\d.]+)\): is the gain given in adu "
        r"per electron\? Give electrons per adu",
        words[0],
    )
    assert float(found[1]) == pytest.approx(true, rel=0.1)
    assert float(found[2]) == pytest.approx(1 / true, rel=0.01)


def test_exposure_times_of_rates_are_named():
    """EXPTIME is in minutes, or in milliseconds."""
    rng = np.random.default_rng(9)
    images = [image + rng.uniform(-0.5, 0.5, SHAPE) for image in made(100)]  # not integers
    for factor, expected in ((1 / 60, "alone exceeds the scatter"), (1000, "noise is missing")):
        rates = [CCDData(image / 300, unit="adu / s", meta={"EXPTIME": 300 * factor}) for image in images]
        _, words = loaded(rates, unit=None)
        assert len(words) == 1
        assert expected in words[0]
        assert "Check exposure times (seconds), gain, read noise and unit" in words[0]
        assert "rates must have" not in words[0]


def test_exposures_beside_a_smoothed_one_are_smoothed_too():
    """Two of three are resampled; a bias was named for the third and the first."""
    images = made(100)
    images = [ndimage.shift(one, (0.3 * i, 0.4 * i), order=1, mode="nearest") for i, one in enumerate(images)]
    _, words = loaded(images)
    assert [one for one in words if "was it resampled or smoothed?" in one]
    assert not [one for one in words if "Is a bias still in" in one]


def test_rates_that_are_called_counts():
    _, words = loaded([image / 300 for image in made(100)], None, unit=u.electron)
    assert "alone exceeds the scatter. Check gain, read noise and unit; rates must have a unit per second" in words[0]


def test_a_gain_that_is_too_large():
    _, words = loaded(made(100), 2 * GAIN)
    assert re.search(r"\(a gain of about 1\.[678] in place of 3\.4 electron/adu, or a read noise of", words[0])
    assert "noise is missing" in words[0]


def lines(shift):
    """A spectrum of the sky with 60 lines in 400 columns, shifted by a number of pixels, in 90 rows."""
    rng, columns = np.random.default_rng(7), np.arange(400)
    centres, heights = rng.uniform(0, 400, 60), 60 * (1 - rng.random(60)) ** (-1 / 0.8)
    spectrum = 30 + (heights * np.exp(-0.5 * ((columns[:, None] - shift - centres) / 1.06) ** 2)).sum(axis=1)
    return np.tile(spectrum, (90, 1))


@pytest.mark.parametrize("left", [1.0, 0.2])
def test_lines_that_are_shifted_are_no_noise(left):
    """Lines that move by more than their width; with most of the sky subtracted, noise is missing."""
    rng = np.random.default_rng(8)
    images = []
    for shift in (0, 1.6, 3.3):
        sky = 2 * lines(shift)
        images.append((rng.poisson(sky) + rng.normal(0, READNOISE, sky.shape) - (1 - left) * sky) / GAIN)
    _, words = loaded(images)
    assert [one for one in words if "noise is missing" in one] == words[: left < 1]


def test_noise_that_is_understated_is_no_structure():
    """The exposures are divided by a flat field of 0.02: none is of another field."""
    rng = np.random.default_rng(28)
    images = [(rng.poisson(8.0, SHAPE) + rng.normal(0, 5, SHAPE)) / GAIN / 0.02 for _ in range(3)]
    _, words = loaded(images)
    assert len(words) == 1
    assert "noise is missing" in words[0]
    assert words[0].endswith("whether the flat field has a mean of 1")


def test_the_joint_decision_uses_the_missing_variance():
    """Without it 650 clean values of this exposure are flagged."""
    images = stepped((0, -59, 0))
    with pytest.warns(CRStackWarning, match="exposure 2 scatters more than its level allows"):
        stack = CRStack(images, unit=u.adu, gain=GAIN * u.electron / u.adu, readnoise=READNOISE * u.electron)
    crmasks = stack.detect().crmasks
    hit = np.array([image > np.median(image) + 500 for image in images])
    false = [np.count_nonzero(mask & ~one) for mask, one in zip(crmasks, hit, strict=True)]
    assert max(false) <= 6
    average = stack.exposures.noise_of_average(3)
    np.testing.assert_allclose(average.readnoise_electrons**2 / 3, 25 + np.mean(stack.exposures.missing), rtol=1e-5)


def slits(drifts, skies, added, seed=6):
    """Lines of the sky along y that drift along x (pixels) and change, with an added level (ADU) for each exposure."""
    rng, shape = np.random.default_rng(seed), (150, 400)
    lines = list(zip(rng.uniform(0, shape[1], 45), 60 * (1 - rng.random(45)) ** (-1 / 0.8), strict=True))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    images = []
    for drift, sky, level in zip(drifts, skies, added, strict=True):
        along = columns - drift - 8e-5 * (rows - 75) ** 2
        light = 30 + sum(f * np.exp(-0.5 * ((along - at) / 1.1) ** 2) for at, f in lines)
        image = rng.poisson(sky * light + level * GAIN) + rng.normal(0, READNOISE, shape)
        images.append(np.rint(image / GAIN).astype(np.float32))
    return images


@pytest.mark.parametrize(
    ("drifts", "skies", "added"),
    [((0, 0.3, 0.6), (1, 1.15, 1.25), (0, 0, 25)), ((0, 2, 4), (1, 1, 1), (0, 0, 0))],
    ids=["twilight", "drift by pixels"],
)
@pytest.mark.parametrize("seed", [7, 8, 10])
def test_lines_that_drift_are_no_noise(drifts, skies, added, seed):
    """The first exposure had the noise of another level, or the second one seemed smoothed."""
    exposures, words = loaded(slits(drifts, skies, added, seed))
    assert not [one for one in words if "than its level allows" in one or "neighbouring pixels" in one]
    assert not exposures.missing


def test_the_missing_variance_is_not_that_of_lines_that_drift():
    images = slits((0.3, 0, 0.6), (1, 1, 1), (60, 60, 60))
    images[1] -= 60
    exposures, words = loaded(images)
    assert [one for one in words if one.startswith("exposure 2 scatters more than its level allows")]
    # photons of 60 ADU; with the lines, another cause was named
    assert exposures.missing[1] == pytest.approx(60 * GAIN, rel=0.15)


def flats(levels, response=0.01, vignetting=0.15, gain=1.5):
    """Flat fields in ADU whose pixels differ in response."""
    rng = np.random.default_rng(6)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = 30000 * (1 - vignetting * ((rows - 75) ** 2 + (columns - 80) ** 2) / 11000)
    light = light * (1 + response * rng.normal(size=SHAPE))
    images = [rng.poisson(light * level) + rng.normal(0, 4, SHAPE) for level in levels]
    for image in images:
        image[rng.integers(0, SHAPE[0], 60), rng.integers(0, SHAPE[1], 60)] += 5000
    return [np.rint(image / gain).astype(np.float32) for image in images]


@pytest.mark.parametrize("vignetting", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("levels", [(1.33, 0.83, 0.5), (1.33, 0.5), (1.1, 1, 0.9), (1.33, 1, 0.8, 0.6, 0.5)])
def test_the_response_of_pixels_is_no_noise_where_levels_differ(levels, vignetting):
    exposures, words = loaded(flats(levels, vignetting=vignetting), 1.5, 4)
    assert words == []
    assert exposures.missing == ()


def test_a_wrong_gain_of_flats_of_different_levels_is_found():
    _, words = loaded(flats((1.33, 0.83, 0.5)), 3.5, 4)
    assert len(words) == 1
    assert re.search(r"\(a gain of about 1\.[456] in place of 3\.5 electron/adu", words[0])


def resampled(sky=200):
    moves = ((0, 0), (0.5, 0.3), (-0.4, 0.45), (0.2, -0.5))
    images = made(sky, len(moves))
    return [ndimage.shift(image, move, order=1, mode="nearest") for image, move in zip(images, moves, strict=True)]


def test_resampled_exposures_are_named_before_a_bias():
    _, words = loaded(resampled())
    assert len(words) == 1
    found = re.search(
        r"the noise of neighbouring pixels is correlated by (0\.\d+): were the exposures resampled", words[0]
    )
    assert 0.15 < float(found[1]) < 0.5
    assert "a bias of about" not in words[0]


def clumpy_galaxy(bias, seed=1):
    """Exposures in ADU of a clumpy galaxy that fills the image, moved by a pixel and in seeing that differs."""
    rng, (ny, nx) = np.random.default_rng(seed), (200, 300)
    rows, columns = np.mgrid[:ny, :nx]
    clumps = ndimage.gaussian_filter(rng.normal(size=(ny, nx)), 2)
    light = 30 + 600 * np.exp(-np.hypot(columns - nx / 2, rows - ny / 2) / 80)
    light = light * np.exp(0.2 * clumps / clumps.std())
    images = []
    for seeing in (1.0, 1.2, 1.4):
        seen = ndimage.shift(light, rng.uniform(-1.5, 1.5, 2), order=3, mode="nearest")
        image = rng.poisson(ndimage.gaussian_filter(seen, seeing)) + rng.normal(0, READNOISE, (ny, nx))
        images.append(np.rint(image / GAIN + bias).astype(np.float32))
    return images


def test_a_bias_under_a_galaxy_is_named_before_smoothing():
    """Structures that differ correlate neighbours too, but smoothing that explains the scatter does so much more."""
    _, (message,) = loaded(clumpy_galaxy(1000))
    first, then = message.index("Is a bias still in the exposures? Give bias="), message.index("resampled or smoothed?")
    assert first < then
    assert re.match(
        r"the exposures scatter by \d\.\d+ adu, where .* give 2\d\.\d adu at a level of 1\d\d0 adu \(", message
    )
    found = re.search(r"\(a bias of about (\d+) adu agrees\)", message)
    assert int(found[1]) == pytest.approx(1000, abs=20)
    assert loaded(clumpy_galaxy(1000), bias=1000 * u.adu)[1] == []  # the remedy
    smoothed = [ndimage.shift(image, 0.5, order=1, mode="nearest") for image in clumpy_galaxy(0)]
    _, (message,) = loaded(smoothed)
    assert "Is a bias still in" not in message
    assert "were the exposures resampled or smoothed?" in message


class TestDarkestParts:
    def test_level(self):
        """The median of each block by hand; a block with a bad value is left out."""
        plane = np.repeat(np.repeat(np.arange(25.0).reshape(5, 5), 32, axis=0), 32, axis=1)
        assert level_of_darkest_blocks(plane) == pytest.approx(np.quantile(np.arange(25), 0.05))
        wide = np.pad(plane, ((0, 31), (0, 9)), constant_values=-1000)  # no whole blocks
        assert level_of_darkest_blocks(wide) == pytest.approx(np.quantile(np.arange(25), 0.05))
        bad = np.zeros(plane.shape, dtype=bool)
        bad[5, 5] = bad[6, 40] = True
        assert level_of_darkest_blocks(plane, bad) == pytest.approx(np.quantile(np.arange(2, 25), 0.05))
        assert level_of_darkest_blocks(plane[:96]) == 0.0

    @pytest.mark.parametrize("n", [2, 5])
    def test_a_bias_that_is_too_high_in_one_exposure(self, n):
        steps = [0.0] * (n - 1) + [-5.0]
        images = [image + np.float32(300 + step) for image, step in zip(made(2, n), steps, strict=True)]
        _, words = loaded(images, bias=300 * u.adu)
        assert len(words) == 1
        assert re.match(
            rf"once the bias is subtracted, .* read noise of 2.94 adu: exposure {n} at -4(\.\d+)? adu. The bias",
            words[0],
        )
        assert loaded(images, bias=[(300 + step) * u.adu for step in steps])[1] == []

    def test_a_bias_that_is_too_high_in_all_exposures(self):
        _, words = loaded(made(2, bias=300), bias=305 * u.adu)
        assert len(words) == 1
        assert "exposure 1 at -4 adu, exposure 2 at -4 adu, exposure 3 at -4 adu. The bias is too high" in words[0]


@pytest.mark.parametrize(("n", "odd"), [(3, 0), (5, 3)])
@pytest.mark.parametrize("sigma", [0.6, 1.0])
def test_an_exposure_that_was_smoothed_is_named(n, odd, sigma):
    images = made(100, n)
    images[odd] = ndimage.gaussian_filter(images[odd], sigma)
    _, words = loaded(images)
    named = [one for one in words if one.startswith(f"neighbouring pixels of exposure {odd + 1} scatter by ")]
    assert len(named) == 1
    assert "was it resampled or smoothed?" in named[0]
    assert not any("neighbouring pixels of" in one for one in words if one not in named)


@pytest.mark.parametrize(("n", "odd"), [(3, 0), (5, 3)])
@pytest.mark.parametrize("shift", [(0.5, 0.5), (0.0, 0.4)])
def test_an_exposure_that_was_resampled_is_named(n, odd, shift):
    images = made(100, n)
    images[odd] = ndimage.shift(images[odd], shift, order=1, mode="nearest")
    _, words = loaded(images)
    assert [one for one in words if "neighbouring pixels of" in one and "was it resampled or smoothed?" in one]


@pytest.mark.parametrize(("n", "odd"), [(3, 0), (3, 2), (5, 3)])
@pytest.mark.parametrize("average", [False, True])
def test_an_exposure_of_another_gain_is_no_smoothed_one(n, odd, average):
    """An exposure of twice the gain and the light, or the mean of four: the noise of neighbours is not correlated."""
    if average:
        images = made(100, n + 3)
        images = [*images[:odd], np.mean(images[odd : odd + 4], axis=0), *images[odd + 4 :]]
    else:
        rng = np.random.default_rng(15)
        gains = [GAIN * (1 + (i == odd)) for i in range(n)]
        skies = [rng.poisson(100 * gain / GAIN, SHAPE) + rng.normal(0, READNOISE, SHAPE) for gain in gains]
        images = [np.rint(sky / gain).astype(np.float32) for sky, gain in zip(skies, gains, strict=True)]
    _, words = loaded(images)
    named = [one for one in words if one.startswith(f"neighbouring pixels of exposure {odd + 1} scatter by ")]
    assert len(named) == 1
    assert "its noise is not correlated: was it read with another gain, or is it an average?" in named[0]


@pytest.mark.parametrize("kind", ["ifu", "imaging", "slit", "echelle"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_clean_stacks_have_no_warning(kind, n):
    for seed in range(3):
        simulated = make_stack(kind, (160, 170), n, seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load_exposures(
                simulated.exposures,
                gain=simulated.gain,
                readnoise=simulated.readnoise,
                bias=simulated.bias,
            )


def test_less_noise_than_stated_by_a_seventh():
    _, words = loaded(made(3), readnoise=1.25 * READNOISE)
    assert len(words) == 1
    assert "(a read noise of about 5.2 in place of 6.25 electron agrees)" in words[0]
    assert loaded(made(3), readnoise=1.1 * READNOISE)[1] == []


@pytest.mark.parametrize("side", [5, 12, 16])
def test_too_few_pixels_measure_no_noise(side):
    """Values that scatter far less than stated, in so few pixels that no scatter is measured: no warning."""
    rng = np.random.default_rng(1)
    exposures, texts = loaded([100 + rng.standard_normal((side, side)) for _ in range(3)], unit=u.electron, gain=None)
    assert not texts
    assert not exposures.doubted


@pytest.mark.parametrize(("sky", "reported"), [(180, True), (155, False), (138, False)])
def test_a_level_is_blamed_only_if_that_of_another_exposure_gives_the_scatter(sky, reported):
    """The others have 200 electrons of sky; of this one, all but 100 are subtracted, so that it scatters too much."""
    rng = np.random.default_rng(8)
    images = [rng.poisson(one, SHAPE) + rng.normal(0, READNOISE, SHAPE) for one in (200, sky, 200)]
    images[1] = images[1] - (sky - 100)
    exposures, words = loaded([np.float32(one) for one in images], unit=u.electron, gain=None)
    blamed = [one for one in words if one.startswith("exposure 2 scatters more than its level allows")]
    assert len(blamed) == reported
    # 100 electrons more would give 1.25, 1.8 and 2.6 times the missing variance
    assert bool(exposures.missing) == reported


@pytest.mark.parametrize("too_low", [20, 40])
def test_a_bias_that_is_too_low_is_named_with_its_number(too_low):
    """Only the gain that would agree was named."""
    _, (message,) = loaded(made(20, bias=400), bias=(400 - too_low) * u.adu)
    found = re.search(r"\(a bias about ([\d.]+) adu higher, or a gain of about", message)
    assert float(found[1]) == pytest.approx(too_low, rel=0.2)
    assert "Is the bias that was subtracted too low?" in message
    assert loaded(made(20, bias=400), bias=400 * u.adu)[1] == []


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("kind", ["flat field", "noise"])
def test_one_exposure_that_is_reduced_in_two_ways(n, kind):
    """The second file of exposure 1 was divided by another flat field, or holds little more noise."""
    images = made(100, n)
    rng = np.random.default_rng(8)
    changes = {
        "flat field": images[0] * rng.normal(1, 0.01, SHAPE),
        "noise": images[0] + rng.normal(0, 1, SHAPE),
    }
    _, words = loaded([*images, changes[kind]])
    (word,) = [one for one in words if "the same noise is in" in one]
    assert f"in exposure 1 and exposure {n + 1}: they differ" in word
    assert not [one for one in words if "smoothed" in one]


def test_files_of_one_exposure_alone():
    """Nothing shows that the noise is not stated too large."""
    image, rng = made(100)[0], np.random.default_rng(8)
    _, words = loaded([image + rng.normal(0, 0.7, SHAPE), image])
    assert [one for one in words if "are the exposures one, reduced in several ways?" in one]


def test_pairs_of_other_noise_are_no_copies():
    """Short exposures beside a long one, and exposures whose noise is stated four times too large."""
    short, long = made(20), made(20_000, 2)
    for images, readnoise in ((short[:2] + long, READNOISE), (short, 10 * READNOISE), (made(100, 12), READNOISE)):
        _, words = loaded(images, readnoise=readnoise)
        assert not [one for one in words if "the same noise" in one]
