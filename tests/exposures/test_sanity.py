"""Exposures that contradict their description."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, NDData, StdDevUncertainty, VarianceUncertainty

from crstack.datasets import make_stack
from crstack.equalize.terms.steps import LARGEST
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.blank import blank_part, is_constant, unlit
from crstack.exposures.comparison.copies import is_nearly_same, is_same
from crstack.exposures.comparison.displacement import displacement
from crstack.exposures.comparison.fields import ALIGNED
from crstack.exposures.scatter.noise_sample import noise_ratio

SHAPE = (60, 70)
SKY, READNOISE = 140.0, 4.0


def made(n=3, seed=1, sky=SKY, stars=True, dtype=np.float32):
    """Exposures in electrons of a sky and a star."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    scene = sky + (3000 * np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 20) if stars else 0)
    return [(rng.poisson(scene, SHAPE) + rng.normal(0, READNOISE, SHAPE)).astype(dtype) for _ in range(n)]


def load(images, **options):
    ccds = [CCDData(image, unit=u.electron) for image in images]
    return load_exposures(ccds, readnoise=READNOISE * u.electron, **options)


def test_good_exposures_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(made()).bad is None
        assert load(made(5, stars=False)).bad is None
        # integers of a low level are equal in some pixels
        assert load([np.rint(image) for image in made(3, sky=3.0, stars=False)]).bad is None


@pytest.mark.parametrize("value", [0.0, 140.0])
def test_a_blank_exposure_is_refused_by_name_or_left_out(value):
    images = [*made(), np.full(SHAPE, value, dtype=np.float32)]
    with pytest.raises(InputError, match=f"exposures must not be blank; got {value:g} everywhere in exposure 4; leave"):
        load(images)
    with pytest.warns(CRStackWarning, match="everywhere in exposure 4; it is left out"):
        exposures = load(images, drop_unusable=True)
    assert exposures.names == ("exposure 1", "exposure 2", "exposure 3")
    np.testing.assert_array_equal(exposures.data, np.stack(images[:3]))


def test_what_is_left_out_leaves_its_header_too():
    images = made()
    ccds = [CCDData(images[0] * np.nan, unit=u.electron, meta={"OBJECT": "none"})]
    ccds += [CCDData(image, unit=u.electron, meta={"OBJECT": "M33"}) for image in images]
    with pytest.raises(InputError, match="exposures must have valid pixels; got none in exposure 1"):
        load_exposures(ccds, readnoise=READNOISE * u.electron)
    with pytest.warns(CRStackWarning, match="none in exposure 1; it is left out"):
        exposures = load_exposures(ccds, readnoise=READNOISE * u.electron, drop_unusable=True)
    assert exposures.header["OBJECT"] == "M33"


@pytest.mark.parametrize(
    ("images", "names", "n_usable"),
    [
        ([*made(1), np.zeros(SHAPE), np.full(SHAPE, np.nan)], "exposure 2, exposure 3", 1),
        ([np.zeros(SHAPE)] * 3, "exposure 1, exposure 2, exposure 3", 0),
        ([np.full(SHAPE, value) for value in (7.0, 8.0, 9.0)], "exposure 1, exposure 2, exposure 3", 0),
    ],
)
@pytest.mark.parametrize("drop", [False, True])
def test_too_few_usable_exposures(images, names, n_usable, drop):
    words = f"usable; got {n_usable}, because each of {names} is blank or .* drop_unusable=True .* leaves too few"
    with pytest.raises(InputError, match=words):
        load(images, drop_unusable=drop)


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(40, 60), slice(0, 70), "1400 pixels, within columns 1 to 70 and rows 41 to 60"),
        (slice(0, 60), slice(0, 35), "2100 pixels, within columns 1 to 35 and rows 1 to 60"),
    ],
)
def test_a_blank_part_becomes_bad_values(rows, columns, words):
    images = made()
    images[1][rows, columns] = 7
    with pytest.warns(CRStackWarning, match=f"exposure 2 holds one value in blocks of {words}; they are taken as bad"):
        exposures = load(images)
    expected = np.zeros((3, *SHAPE), dtype=bool)
    expected[1, rows, columns] = True
    np.testing.assert_array_equal(exposures.bad, expected)
    assert (exposures.data[1, rows, columns] == 0).all()


@pytest.mark.parametrize("dead", [False, True])
def test_integers_beside_bad_values_are_no_blank_part(dead):
    """Bad values are filled with 0, which clean integers near the bias have too."""
    rng = np.random.default_rng(8)
    images = list(np.rint(916 + rng.normal(0, READNOISE, (3, 100, 160))))
    images[1][20:60, 40:140] = np.nan
    if dead:
        images[1][80:90, 20:40] = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exposures = load(images, bias=916 * u.electron)
    expected = np.isnan(images[1]) | (images[1] == 0)
    np.testing.assert_array_equal(exposures.bad, [expected & False, expected, expected & False])
    found = [str(one.message) for one in caught]
    assert len(found) == dead
    assert all("in blocks of 200 pixels, within columns 21 to 40 and rows 81 to 90" in one for one in found)


def test_what_is_blank_in_every_exposure_is_bad():
    images = made()
    for image in images:
        image[:, :10] = 0
    words = "every exposure holds one value in blocks of 600 pixels, within columns 1 to 10 and rows 1 to 60: a border"
    with pytest.warns(CRStackWarning, match=words) as caught:
        exposures = load(images)
    assert len(caught) == 1
    np.testing.assert_array_equal(exposures.bad, np.broadcast_to(np.arange(SHAPE[1]) < 10, (3, *SHAPE)))


def test_blocks_are_found_at_every_place_and_nothing_smaller():
    rng = np.random.default_rng(5)
    for row in range(12):
        for column in range(12):
            image = rng.normal(0, 1, (21, 22)).astype(np.float32)
            image[row : row + 7, column : column + 7] = 3
            expected = np.zeros(image.shape, dtype=bool)
            expected[row : row + 7, column : column + 7] = True
            np.testing.assert_array_equal(blank_part(image), expected)
            image[row + 3, column + 3] = 4
            assert blank_part(image) is None


def test_is_constant_looks_at_every_valid_value():
    plane = np.full((30, 31), 2.0, dtype=np.float32)
    assert is_constant(plane)
    plane[3, 4] = 5
    assert not is_constant(plane)
    bad = plane == 5
    assert is_constant(plane, bad)


@pytest.mark.parametrize("shift", [0, 100])
def test_the_same_exposure_twice_is_refused_by_name(shift):
    images = made()
    images.append(images[1] + np.float32(shift))
    with pytest.raises(
        InputError, match="independent; got the same values, but for a constant, in exposure 2 and expos"
    ):
        load(images)


def test_copies_with_other_bad_values_are_copies():
    one, other = made(2)
    bad = np.zeros(SHAPE, dtype=bool)
    bad[::2, ::3] = True
    copy = np.where(bad, 0, one)
    assert is_same(one, copy, None, bad)
    assert not is_same(one, other)
    copy = one.copy()
    copy[7, 8] += 1
    assert not is_same(one, copy)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("kind", ["one pixel", "scaled", "scaled and rounded", "cleaned"])
def test_copies_that_were_changed_are_refused_by_name(n, kind):
    """One pixel is repaired, the light is multiplied, or hits are replaced."""
    images = [np.rint(image) for image in made(n)]
    copy = images[0] * np.float32(1.02 if kind.startswith("scaled") else 1)
    if kind == "scaled and rounded":
        copy = np.rint(copy + np.float32(0.3))
    elif kind == "one pixel":
        copy[7, 8] += 1
    elif kind == "cleaned":
        copy[:, ::25] = SKY
    images[1] = copy
    words = "got the same values, but for a factor, a constant or a few pixels, in exposure 1 and exposure 2; leave out"
    with pytest.raises(InputError, match=words):
        load(images)


def test_independent_exposures_are_no_copies():
    """Equal numbers of few photons, a strong response of the pixels, one value in most of the image, bright values."""
    rng = np.random.default_rng(21)
    response = rng.normal(1, 0.05, SHAPE)
    edge = np.arange(SHAPE[1]) < 0.88 * SHAPE[1]
    for light in (np.full(SHAPE, 0.11), np.full(SHAPE, 0.5), 5e4 * response, np.where(edge, 0, 1e3), 1e6 * response**2):
        one, other = rng.poisson(light, (2, *SHAPE)).astype(np.float32)
        assert not is_nearly_same(one, other)
    # noise of 0.05 on a ramp, rounded: nothing is known of such values
    ramp = np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) * 3.0
    one, other = np.rint(ramp + rng.normal(0, 0.05, (2, *SHAPE))).astype(np.float32)
    assert not is_nearly_same(one, other)
    # the mean of two exposures shares half of the noise of each
    one, other = rng.normal(100, 4, (2, *SHAPE)).astype(np.float32)
    assert not is_nearly_same(one, (one + other) / 2)
    # the same, where nearly all else is the same
    copy = np.where(np.arange(SHAPE[1]) % 10 == 0, other, one)
    assert not is_nearly_same(one, copy)


def test_image_of_mostly_one_value_is_no_copy():
    """No line is fitted to values of which most are equal."""
    rng = np.random.default_rng(3)
    other = rng.normal(100, 10, (60, 70)).astype(np.float32)
    mostly = np.zeros((60, 70), np.float32)
    mostly.flat[::7] = rng.normal(100, 10, 600)
    assert not is_nearly_same(mostly, other)


def test_noise_that_is_missing():
    """The sky is subtracted, but the noise of its photons remains."""
    with pytest.warns(
        CRStackWarning, match=r"scatter by 1\d.* electron, where .* give 4.*: noise is missing. Was a sky"
    ):
        load([image - SKY for image in made()])


def test_a_bias_that_is_still_there():
    with pytest.warns(
        CRStackWarning, match=r"give 3\d electron at a level of 1\d\d0 electron .*: part of the level is"
    ):
        load([image + 1000 for image in made()])
    # with a given bias the cause is another one
    with pytest.warns(CRStackWarning, match=r"there is less noise than stated"):
        load([image + 1000 for image in made()], bias=1 * u.electron)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("sky", [0.0, 5.0, 140.0, 5000.0])
def test_the_ratio_of_scatter_and_noise_is_one(n, sky):
    rng = np.random.default_rng(3)
    data = rng.poisson(sky, (n, 200, 210)) + rng.normal(0, READNOISE, (n, 200, 210))
    data[:, rng.integers(0, 200, 400), rng.integers(0, 210, 400)] += 1000
    ratios, level, sigma = noise_ratio(data, None, lambda i, expected, box: np.full(expected.shape, sky + 16.0))
    assert len(ratios) == (1 if n == 2 else n)
    np.testing.assert_allclose(ratios, 1, atol=0.03)
    assert level == pytest.approx(sky, rel=0.2, abs=6)
    assert sigma == pytest.approx(np.sqrt(sky + 16), rel=1e-3)


@pytest.mark.parametrize("population", ["cosmic", "worms"])
@pytest.mark.parametrize("understated", [1.0, 1.5])
def test_many_hits_are_no_missing_noise(population, understated):
    """Where 12 % of the values are hit, 40 % of the differences of four values are; a wrong noise is still found."""
    simulated = make_stack(
        "imaging", shape=(200, 210), n_exposures=3, gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron,
        hit_rate=0.12, population=population, seed=14,
    )  # fmt: skip
    data = np.array([one.data for one in simulated.exposures], np.float32)

    def variance(i, expected, box):
        return (np.maximum(expected, 0) + READNOISE**2) / understated**2

    ratios, _, _ = noise_ratio(data, None, variance)
    np.testing.assert_allclose(ratios, understated, rtol=0.12)


def test_the_ratio_of_few_whole_numbers_is_not_below_one():
    data = np.rint(np.random.default_rng(2).normal(100, 0.289, (3, 100, 110))).astype(np.float32)
    ratios, _, _ = noise_ratio(data, None, lambda i, expected, box: np.full(expected.shape, 0.2**2))
    assert min(ratios) >= 1


def test_the_ratio_counts_neither_levels_nor_gradients():
    rng = np.random.default_rng(3)
    data = rng.normal(0, 2, (3, 200, 210)) + np.arange(3)[:, None, None] * np.linspace(0, 50, 210)
    bad = np.zeros(data.shape, dtype=bool)
    bad[1, :100] = True
    data[bad] = 1e6
    ratios, _, _ = noise_ratio(data, bad, lambda i, expected, box: np.full(expected.shape, 4.0))
    np.testing.assert_allclose(ratios, 1, atol=0.03)


def test_an_exposure_without_light():
    images = made()
    images[2] = np.random.default_rng(9).normal(0, READNOISE, SHAPE).astype(np.float32)
    with pytest.warns(
        CRStackWarning, match="exposure 3 shows .* where the other exposures show .* the shutter was closed"
    ):
        load(images)
    flat = [*made(2, stars=False), images[2]]
    with pytest.warns(CRStackWarning, match="exposure 3 shows .* where the other exposures show 1[34]"):
        load(flat)
    assert unlit(np.stack(made(4)), None, 12.0) == []


def moved(step, n=3, seed=1):
    """Exposures of a field of stars, the last one moved by (dx, dy)."""
    return dithered([*[(0, 0)] * (n - 1), step], seed)


def dithered(steps, seed=1):
    """Exposures of a field of stars, each moved by (dx, dy)."""
    rng = np.random.default_rng(seed)
    stars = np.stack([*rng.uniform(-80, 210, (2, 60)), rng.uniform(2e3, 2e4, 60)], axis=1)
    rows, columns = np.mgrid[:120, :130]

    def field(dx, dy):
        each = (flux * np.exp(-((columns - x - dx) ** 2 + (rows - y - dy) ** 2) / 4) for x, y, flux in stars)
        return 140.0 + sum(each)

    light = [field(*step) for step in steps]
    images = [rng.poisson(one) + rng.normal(0, READNOISE, one.shape) for one in light]
    for image in images:
        image[rng.integers(0, 120, 40), rng.integers(0, 130, 40)] += 5000
    return images


@pytest.mark.parametrize("step", [(3, 2), (-6, 5), (15, -11), (0, 4)])
def test_a_small_shift_is_no_other_field(step, caplog):
    images = moved(step)
    assert displacement(images[2], images[0]) == step
    with caplog.at_level("INFO", logger="crstack.exposures"):
        exposures = load(images)  # without a warning
    assert exposures.displaced == (("exposure 3", *step),)
    words = f"exposure 3 is shifted by ({step[0]:+d}, {step[1]:+d}) pixels against exposure 1: this is measured"
    assert any(words in line for line in caplog.messages)


def test_a_shift_that_cannot_be_measured_gives_a_warning():
    images = moved((25, 4))
    words = r"exposure 3 is shifted by \(\+25, \+4\) pixels against exposure 1, which is more than the 16 that are"
    with pytest.warns(CRStackWarning, match=words):
        exposures = load(images)
    assert exposures.bad[2].all()
    assert not exposures.bad[:2].any()
    with pytest.warns(CRStackWarning, match="exposures are shifted|exposure 2 is shifted"):
        assert load(images[1:]).displaced == (("exposure 2", 25, 4),)
    assert ALIGNED == LARGEST


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_shifts_are_compared_with_the_exposure_in_the_middle(order):
    """Two exposures are 24 pixels apart, but each is 12 from the third, so that all shifts are measured."""
    steps = [[(12, -3), (0, 0), (-12, 4)][i] for i in order]
    exposures = load(dithered(steps))  # without a warning
    assert not exposures.too_far


def test_shifts_without_an_exposure_in_the_middle_give_a_warning():
    with pytest.warns(
        CRStackWarning, match=r"exposure 2 by \(-20, \+0\), exposure 3 by \(-40, \+0\) pixels, which is more"
    ):
        assert load(dithered([(20, 0), (0, 0), (-20, 0)])).too_far


def test_the_first_exposure_may_be_the_one_that_moved():
    images = moved((5, -4))[::-1]
    assert load(images).displaced == (("exposure 1", 5, -4),)
    assert displacement(images[0], np.random.default_rng(1).normal(0, 4, (120, 130))) is None
    assert displacement(np.zeros((120, 130)), images[0]) is None


def test_exposure_times_that_differ():
    ccds = [
        CCDData(image, unit=u.electron, meta={"EXPTIME": time})
        for image, time in zip(made(), (300.0, 300.0, 600.0), strict=True)
    ]
    # the stack warns, because it knows what becomes of them
    assert load_exposures(ccds, readnoise=READNOISE * u.electron).exptimes == (300, 300, 600)


def test_a_bias_that_is_too_high():
    """The bias was subtracted before, or is that of another detector."""
    with pytest.warns(
        CRStackWarning, match=r"lie at -3\d\d electron once the bias is subtracted, .* the bias is too high"
    ):
        load(made(stars=False), bias=500 * u.electron)


def test_a_bias_that_is_right_within_the_read_noise_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(made(sky=0.0, stars=False), bias=5 * u.electron)


@pytest.mark.parametrize("value", [np.full(SHAPE, 5.0), NDData(np.full(SHAPE, 5.0))])
def test_an_image_of_the_bias_without_a_unit(value):
    """The message is one line: it does not hold the pixels."""
    with pytest.raises(InputError, match=r"^bias must be a Quantity, .*ccd\.data \* ccd\.unit.*; got a \w+$"):
        load(made(), bias=value)


def test_negative_uncertainties_are_no_uncertainties():
    """A negative standard deviation gives no variance."""
    ccds = [CCDData(image, unit=u.electron, uncertainty=StdDevUncertainty(np.sqrt(image))) for image in made()]
    ccds[1].uncertainty.array[10:12, 20] *= -1
    with pytest.warns(CRStackWarning, match="negative, 0 or far below the read noise make bad values: 2 in exposure 2"):
        exposures = load_exposures(ccds, readnoise=READNOISE * u.electron)
    assert np.argwhere(exposures.bad[1]).tolist() == [[10, 20], [11, 20]]
    ccds[1].uncertainty.array[:] = -1
    with pytest.raises(InputError, match="uncertainty of exposure 2 must be a positive number somewhere; got none"):
        load_exposures(ccds, readnoise=READNOISE * u.electron)


@pytest.mark.parametrize(
    "skies", [(200, 100, 400), (100, 300), (50, 100, 150, 200, 250), (100, 100, 100), range(50, 251, 20)]
)
def test_each_exposure_has_the_noise_of_its_own_sky(skies):
    rng = np.random.default_rng(1)
    data = np.array([rng.poisson(sky, (200, 200)) + rng.normal(0, 4, (200, 200)) for sky in skies], np.float32)
    ratios, _, _ = noise_ratio(data, None, lambda i, expected, box: np.maximum(expected, 0) + 16)
    assert 0.97 < min(ratios) <= max(ratios) < 1.03


def with_hits(skies, rate, trace=0.0, seed=5, shape=(150, 150)):
    """Exposures (N, ny, nx) with tracks of 4 pixels and 2000 e-, and a trace of a spectrum."""
    rng = np.random.default_rng(seed)
    light = trace * np.exp(-0.5 * ((np.arange(shape[0]) - 70) / 3) ** 2)[:, None]
    data = np.stack([rng.normal(sky + light, 8 + np.sqrt(sky), shape) for sky in skies])
    n = int(rate * data[0].size / 4)
    for plane in data:
        rows, columns = rng.integers(0, shape[0], n), rng.integers(0, shape[1] - 4, n)
        for k in range(4):
            plane[rows, columns + k] += 2000
    return data


@pytest.mark.parametrize(
    ("skies", "rate"), [((3200, 4800, 2400), 0.03), ((3200, 4800, 2400, 6000, 2000), 0.03), ((100,) * 3, 0.2)]
)
def test_hits_are_no_structures_that_an_exposure_lacks(skies, rate):
    """The darkest sky is the lowest value also at its hits; and one hit pixel in five is hit in two exposures."""
    assert unlit(with_hits(skies, rate), None, 60.0) == []


@pytest.mark.parametrize(("skies", "rate"), [((100, 150, 80), 0.01), ((40, 60, 50, 20, 30), 0.1), ((50,) * 3, 0.05)])
def test_an_exposure_without_the_trace_of_the_others(skies, rate):
    data = with_hits(skies, rate, trace=1000.0)
    data[1] = with_hits(skies, rate, seed=6)[1]
    ((number, own, others),) = unlit(data, None, 20.0)
    assert number == 1
    assert others > 700
    assert abs(own) < 0.1 * others


def test_faint_structures_among_many_hits():
    """One pixel in four is hit, and 1 in 40 has light in all exposures but one."""
    rng = np.random.default_rng(8)
    shape = (150, 150)
    data = rng.normal(0, 8, (5, *shape)) + 1000 * (rng.random((5, *shape)) < 0.25)
    lit = rng.random(shape) < 0.025
    data[[0, 1, 3, 4]] += 1000 * lit
    ((number, own, others),) = unlit(data, None, 8.0)
    assert number == 2
    assert abs(own) < 30
    assert others == pytest.approx(1000, rel=0.05)


def test_the_contrast_of_a_short_exposure_decides_what_is_significant():
    """In an exposure with a quarter of the light the structure is four times fainter against the noise."""
    light = np.zeros((40, 50))
    light[::7, ::7] = 1.0  # 2 % of the pixels
    factors, sigma = (1.0, 1.0, 0.25), 4.0
    for contrast, expected in ((400.0, [(0, 0.0, 400.0)]), (300.0, [])):
        planes = [100 + light * contrast * factor for factor in factors]
        planes[0] = np.full(light.shape, 100.0)
        # all at one level of the light for each exposure time
        planes = [plane - 100 for plane in planes]
        assert unlit(np.stack(planes), None, sigma, factors) == expected


def test_the_noise_of_an_average_of_scaled_exposures():
    exposures = load(made(3))
    unit = exposures.noise.electrons_per_unit
    scaled = exposures.divided_by((2.0, 4.0, 1.0))
    average = scaled.noise_of_average(3)
    # photons of a mean of exposures that are multiplied by 0.5, 0.25 and 1
    assert average.electrons_per_unit == pytest.approx(3 * unit / np.mean([0.5, 0.25, 1.0]))


def test_images_of_mostly_one_value_are_no_copies():
    """They have no noise to compare."""
    flat = np.zeros((40, 50), np.float32)
    flat[3, 4] = 5
    assert not is_same(flat, flat)
    noisy = np.random.default_rng(1).normal(size=(40, 50)).astype(np.float32)
    assert is_same(noisy, noisy + np.float32(3))


def test_the_level_of_a_short_exposure_must_be_clear_in_its_own_noise():
    """A level of 7 is 3 sigma in an exposure of 1 s, and less in one of 0.25 s."""
    rng = np.random.default_rng(4)
    light = np.array([1.0, 1.0, 1.0, 0.25])
    planes = np.stack([rng.normal(7 * one, 0.1, (60, 60)) for one in light])
    planes[1] = rng.normal(0, 0.1, (60, 60))
    assert unlit(planes, None, 1.0, light) == []
    ((number, level, expected),) = unlit(planes, None, 0.5, light)
    assert (number, round(level), round(expected)) == (1, 0, 7)


def test_mean_variance_of_exposures_with_their_own_uncertainties():
    images = [
        CCDData(
            np.random.default_rng(i).normal(50, 3, (20, 20)),
            unit="adu",
            uncertainty=VarianceUncertainty(np.full((20, 20), 10.0 * (i + 1))),
        )
        for i in range(3)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exposures = load_exposures(images, gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    np.testing.assert_allclose(exposures.mean_variance(None), 20, rtol=1e-6)


@pytest.mark.parametrize(("lost", "warned"), [("below", True), ("any", False), ("few", False), ("above", False)])
def test_values_below_0_without_uncertainty_have_a_warning(lost, warned):
    """Of ``create_deviation`` of ccdproc, but not of uncertainties that mark bad pixels."""
    rng = np.random.default_rng(11)
    ccds = []
    for _ in range(3):
        image = rng.normal(0.2 * READNOISE, READNOISE, SHAPE)
        where = {
            "below": image < 0,
            "any": rng.random(SHAPE) < 0.1,
            "few": image < -3.3 * READNOISE,
            "above": image > 0,
        }
        sigma = np.where(where[lost], np.nan, READNOISE)
        ccds.append(CCDData(image, unit=u.electron, uncertainty=StdDevUncertainty(sigma)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exposures = load_exposures(ccds, readnoise=READNOISE * u.electron)
    assert exposures.bad is not None or lost == "few"
    found = [str(one.message) for one in caught if "NaN as uncertainty" in str(one.message)]
    assert len(found) == warned
    if warned:
        assert found[0].startswith("42 % of the values are below 0")
        assert "disregard_nan=True" in found[0]
