"""Exposures that are blank, in all or in part, without valid pixels or without light."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty
from support.exposures import READNOISE, SHAPE, load, made

from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.blank import blank_part, is_constant, unlit


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
    words = f"usable; got {n_usable}, because each of {names} is blank or .* drop_unusable=True .* too few are left"
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


def test_the_level_of_a_short_exposure_must_be_clear_in_its_own_noise():
    """A level of 7 is 3 sigma in an exposure of 1 s, and less in one of 0.25 s."""
    rng = np.random.default_rng(4)
    light = np.array([1.0, 1.0, 1.0, 0.25])
    planes = np.stack([rng.normal(7 * one, 0.1, (60, 60)) for one in light])
    planes[1] = rng.normal(0, 0.1, (60, 60))
    assert unlit(planes, None, 1.0, light) == []
    ((number, level, expected),) = unlit(planes, None, 0.5, light)
    assert (number, round(level), round(expected)) == (1, 0, 7)


def test_what_to_check_where_no_exposure_has_valid_values():
    """Uncertainties or masks are named if they are the cause, in place of the files."""
    images = made()
    tiny = StdDevUncertainty(np.full(SHAPE, 1e-3))
    words = "without valid pixels. Their uncertainties are negative, 0 or far below the read noise. Check whether"
    with pytest.raises(InputError, match=words):
        load([CCDData(image, unit=u.electron, uncertainty=tiny) for image in images])
    with pytest.raises(
        InputError, match=r"All values are masked \(a mask is True where a value is bad: is it inverted"
    ):
        load([CCDData(image, unit=u.electron, mask=np.ones(SHAPE, bool)) for image in images])
    with pytest.raises(InputError, match=r"Check the files, ext and saturation\. With drop_unusable=True"):
        load([image * np.nan for image in images])
