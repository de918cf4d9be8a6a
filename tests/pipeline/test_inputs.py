"""Checks of the inputs of a run, without a run."""

import re
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest

from crstack.config.consistency import _check_equalization
from crstack.config.values import image_names, pixels
from crstack.exceptions import ConfigurationError, InputError
from crstack.pipeline.inputs import check_gain, check_masks, check_places, find_images

SHAPE = (20, 30)  # rows, columns
NOWHERE = {
    "regions_to_be_skipped": (),
    "flux_factor_regions": (),
    "mm_crosscorr_region": None,
    "pixels_to_be_flagged_as_cr": (),
    "pixels_to_be_ignored_as_cr": (),
    "mediancr_pixels_to_be_dropped": (),
    "mm_xy_offsets": (),
    "pixels_to_be_replaced_by_local_median": (),
}
PIXELS = ("pixels_to_be_flagged_as_cr", "pixels_to_be_ignored_as_cr", "mediancr_pixels_to_be_dropped")
REGIONS = ("regions_to_be_skipped", "flux_factor_regions")


@pytest.mark.parametrize("again", ["a.fits", "./a.fits", "link.fits"])
def test_a_file_that_is_given_twice_is_one_error(tmp_path, again, caplog):
    for name in ("a.fits", "b.fits"):
        (tmp_path / name).touch()
    (tmp_path / "link.fits").symlink_to("a.fits")
    assert find_images(["a.fits", "b.fits"], tmp_path) == [tmp_path / "a.fits", tmp_path / "b.fits"]
    with pytest.raises(InputError, match=f"images must be different files, .*; got {again} twice"):
        find_images(["a.fits", "b.fits", again], tmp_path)
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


@pytest.mark.parametrize("key", PIXELS)
@pytest.mark.parametrize("pixel", [(31, 20), (30, 21)])
def test_pixels_beyond_the_last(key, pixel):
    check_places(NOWHERE | {key: ((30, 20), (1, 1))}, SHAPE)
    message = f"pixel 2 of {key} must lie inside the image of 30 x 20 pixels; got {list(pixel)}"
    with pytest.raises(InputError, match=re.escape(message)):
        check_places(NOWHERE | {key: ((30, 20), pixel)}, SHAPE)


@pytest.mark.parametrize("key", REGIONS)
@pytest.mark.parametrize("region", [(1, 31, 1, 20), (1, 30, 1, 21)])
def test_regions_beyond_the_last_pixel(key, region):
    check_places(NOWHERE | {key: ((1, 30, 1, 20),)}, SHAPE)
    with pytest.raises(InputError, match=f"region 2 of {key} must lie inside the image of 30 x 20 pixels"):
        check_places(NOWHERE | {key: ((1, 1, 1, 1), region)}, SHAPE)
    with pytest.raises(InputError, match="mm_crosscorr_region must lie inside"):
        check_places(NOWHERE | {"mm_crosscorr_region": region}, SHAPE)


@pytest.mark.parametrize("offset", [(15.5, 0.0), (-15.5, 0.0), (0.0, 10.5), (0.0, -10.5)])
def test_offsets_of_more_than_half_the_image(offset):
    check_places(NOWHERE | {"mm_xy_offsets": ((15.0, 10.0), (-15.0, -10.0))}, SHAPE)
    with pytest.raises(InputError, match="pair 2 of mm_xy_offsets must be at most half the image of 30 x 20 pixels"):
        check_places(NOWHERE | {"mm_xy_offsets": ((0.0, 0.0), offset)}, SHAPE)


def test_boxes_beyond_the_image():
    key = "pixels_to_be_replaced_by_local_median"
    check_places(NOWHERE | {key: ((30, 20, 3, 3),)}, SHAPE)
    with pytest.raises(InputError, match=f"pixel 1 of {key} must lie inside"):
        check_places(NOWHERE | {key: ((30, 21, 3, 3),)}, SHAPE)


@pytest.mark.parametrize("unit", [u.electron, u.electron / u.s])
def test_gain_of_images_in_electrons(unit):
    check_gain(1.0, unit, "a.fits")
    check_gain(np.ones(SHAPE), unit, "a.fits")
    check_gain("GAIN", unit, "a.fits")
    with pytest.raises(
        InputError, match=r"gain must be 1 for images in electrons, as BUNIT of a.fits says; got 2.5: leave"
    ):
        check_gain(2.5, unit, "a.fits")
    with pytest.raises(InputError, match=r"got 1 to 3: leave the gain out"):
        check_gain(np.array([[1.0, 3.0]]), unit, "a.fits")


@pytest.mark.parametrize("unit", [u.adu, u.adu / u.s])
def test_gain_of_images_in_adu(unit):
    check_gain(2.5, unit, "a.fits")


def test_masks_that_do_not_fit():
    masks = SimpleNamespace(shape=SHAPE, n_exposures=3, auxclean=None)
    check_masks(masks, "m.fits", SHAPE, 3, use_auxmedian=False)
    with pytest.raises(InputError, match=r"masks of m.fits must .*\(20, 31\)"):
        check_masks(masks, "m.fits", (20, 31), 3, use_auxmedian=False)
    with pytest.raises(InputError, match="must be of 4 exposures; got 3"):
        check_masks(masks, "m.fits", SHAPE, 4, use_auxmedian=False)
    with pytest.raises(InputError, match="use_auxmedian must be False with masks that have no AUXCLEAN"):
        check_masks(masks, "m.fits", SHAPE, 3, use_auxmedian=True)


def equalization(**values):
    none = {
        "flux_factor": None,
        "mm_xy_offsets": (),
        "mm_crosscorr_region": None,
        "apply_flux_factor_to": "simulated",
    }
    _check_equalization(none | values, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"flux_factor": (1.0, 2.0)}, "flux_factor must be one number or 3, one for each image; got 2"),
        ({"flux_factor": "local", "apply_flux_factor_to": "original"}, "apply_flux_factor_to must be simulated"),
        ({"mm_xy_offsets": ((0, 0),) * 2}, "mm_xy_offsets must be 3 pairs, one for each image; got 2"),
        (
            {"mm_xy_offsets": ((0, 0),) * 3, "mm_crosscorr_region": (1, 9, 1, 9)},
            "mm_xy_offsets must not be given beside mm_crosscorr_region",
        ),
    ],
)
def test_equalization_that_does_not_fit(values, message):
    with pytest.raises(ConfigurationError, match=message):
        equalization(**values)


def test_equalization_that_fits():
    equalization()
    equalization(flux_factor=(1.0, 2.0, 1.0), apply_flux_factor_to="original")
    equalization(flux_factor=0.5, mm_xy_offsets=((0, 0),) * 3)
    equalization(flux_factor="local", mm_crosscorr_region=(1, 9, 1, 9))


@pytest.mark.parametrize("wrong", [[0, 3], [3, 0], [1, 2, 3], [1.5, 2], "ab", [True, 2]])
def test_one_wrong_pixel_of_many(wrong):
    assert pixels("key", [[1, 2], [3, 4]]) == ((1, 2), (3, 4))
    for place, items in ((2, [[1, 2], wrong]), (1, [wrong, [1, 2]])):
        with pytest.raises(InputError, match=f"pixel {place} of key must"):
            pixels("key", items)


def test_fewest_images():
    with pytest.raises(ConfigurationError, match=r"two or more FITS files; got 1$"):
        image_names("images", ["a.fits"])
    assert image_names("images", ["a.fits", "b.fits"]) == ("a.fits", "b.fits")


def test_the_last_row_of_pixels_alone():
    """Every listed pixel is beyond the image."""
    for key in ("pixels_to_be_flagged_as_cr", "pixels_to_be_ignored_as_cr", "mediancr_pixels_to_be_dropped"):
        with pytest.raises(InputError, match=f"pixel 1 of {key}"):
            check_places(NOWHERE | {key: ((1, 21),)}, SHAPE)
