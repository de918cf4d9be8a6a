"""Pixels replaced by the median of a box around them."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from support.stacks import stack_of

from crstack import CRStack, MaskSet
from crstack.combine import COMBINATIONS, PixelFlag
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import MaskRules
from crstack.masks.local_median import box_values, check_local_median, listed_pixels, median_of_boxes

#: a corner, a pair of neighbours, and one far from all
BOXES = ((1, 1, 5, 3), (60, 40, 5, 5), (61, 40, 3, 7), (100, 120, 1, 9))
WITH_MASKS = COMBINATIONS[3:-1]


def plain_median(image, boxes, number):
    """A direct computation: the median of the box without the listed pixels."""
    x, y, x_width, y_width = boxes[number]
    values = [
        image[j, i]
        for j in range(image.shape[0])
        for i in range(image.shape[1])
        if abs(i + 1 - x) <= x_width // 2
        and abs(j + 1 - y) <= y_width // 2
        and (i + 1, j + 1) not in [box[:2] for box in boxes]
    ]
    return np.median(values)


@pytest.fixture(scope="module")
def plain(simulated):
    """A stack, its masks, and the same masks with boxes."""
    stack = stack_of(simulated)
    masks = stack.detect(aux="lacosmic")
    return stack, masks, stack.detect(aux="lacosmic", rules=MaskRules(local_medians=BOXES))


@pytest.mark.parametrize("name", COMBINATIONS[:-1])
@pytest.mark.parametrize("use_auxmedian", [False, True])
def test_only_the_listed_pixels_of_images_with_masks_change(plain, name, use_auxmedian):
    stack, masks, with_boxes = plain
    options = {"full_output": True, "use_auxmedian": use_auxmedian}
    before, after = (stack.combine(name, masks=one, **options) for one in (masks, with_boxes))
    listed = listed_pixels(BOXES, before.ccd.shape)
    if name not in WITH_MASKS:
        listed[:] = False
    for was, now in (
        (before.ccd.data, after.ccd.data),
        (before.ccd.uncertainty.array, after.ccd.uncertainty.array),
        (before.count, after.count),
        (before.flags, after.flags),
        (before.ccd.mask, after.ccd.mask),
    ):
        np.testing.assert_array_equal(now[~listed], was[~listed])
    if name in WITH_MASKS:
        assert after.ccd.mask[listed].all()
        assert not after.count[listed].any()
        assert set(after.flags[listed]) == {PixelFlag.LOCAL_MEDIAN}
        for number, (x, y, _, _) in enumerate(BOXES):
            assert after.ccd.data[y - 1, x - 1] == pytest.approx(plain_median(before.ccd.data, BOXES, number))
        assert np.all(after.ccd.uncertainty.array[listed] > 0)


def test_masks_themselves_do_not_change(plain):
    _, masks, with_boxes = plain
    for name in masks:
        np.testing.assert_array_equal(with_boxes.codes[name], masks.codes[name])


def test_round_trip(plain, tmp_path):
    stack, masks, with_boxes = plain
    assert with_boxes.local_medians == BOXES
    with_boxes.write(tmp_path / "crmasks.fits")
    with fits.open(tmp_path / "crmasks.fits") as hdus:
        table = hdus["RPMEDIAN"].data
        assert table.names == ["X_pixel", "Y_pixel", "X_width", "Y_width"]
        assert [tuple(row) for row in table] == list(BOXES)
    again = MaskSet.read(tmp_path / "crmasks.fits")
    assert again.local_medians == BOXES
    np.testing.assert_array_equal(
        stack.combine("meancr", masks=again).data, stack.combine("meancr", masks=with_boxes).data
    )
    assert "RPMEDIAN" not in masks.to_hdulist()


def test_variance_tells_how_far_off_it_is():
    """For every 11th pixel (value - truth) / sigma has a scatter of about 1, on structure and on blank sky."""
    simulated = make_stack("slit", (200, 220), hit_rate=0, seed=4)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    boxes = [(x, y, 5, 5) for y in range(6, 200, 11) for x in range(6, 220, 11)]
    masks = stack.detect("mmcosmic", aux=None, rules=MaskRules(local_medians=boxes))
    ccd = stack.combine("meancr2", masks=masks)
    x, y, _, _ = np.array(boxes).T
    pulls = ((ccd.data - simulated.expected[0]) / np.sqrt(ccd.uncertainty.array))[y - 1, x - 1]
    assert 0.5 < 0.5 * np.subtract(*np.percentile(pulls, (84, 16))) < 1.3
    assert np.mean(np.abs(pulls) > 4) < 0.03


def test_variance_on_a_blank_sky(flat_exposures):
    """The variance is never 0, and close to that of a median of the eight neighbours."""
    stack = CRStack(flat_exposures(), gain=2 * u.electron / u.adu, readnoise=5 * u.electron)
    boxes = [(x, y, 3, 3) for x in range(3, 50, 4) for y in range(3, 40, 4)]
    x, y, _, _ = np.array(boxes).T
    masks = stack.detect("mmcosmic", aux=None, rules=MaskRules(local_medians=boxes))
    of_eight = np.pi / 2 / 8 * stack.exposures.noise.variance(100.0) / 3
    for variance in ("model", "sample"):
        ccd = stack.combine("meancr", masks=masks, variance=variance)
        errors = ccd.uncertainty.array[y - 1, x - 1]
        assert errors.min() > 0.8 * of_eight
        assert np.median(errors) < 2 * of_eight
        pulls = (ccd.data[y - 1, x - 1] - 100) / np.sqrt(errors)
        assert 0.6 < pulls.std() < 1.2


def test_pixels_without_data_lend_nothing_and_stay_marked():
    """A dead column: neighbours in it do not count; a box with nothing else stays empty."""
    rng = np.random.default_rng(1)
    exposures = [rng.normal(50, 3, (20, 20)).astype(np.float32) for _ in range(3)]
    for plane in exposures:
        plane[:, 5:8] = np.nan
    stack = CRStack(exposures, gain=1 * u.electron / u.adu, readnoise=3 * u.electron, unit=u.adu)
    masks = stack.detect("mmcosmic", aux=None, rules=MaskRules(local_medians=[(7, 5, 5, 1), (7, 12, 3, 3)]))
    result = stack.combine("meancr", masks=masks, full_output=True)
    clean = stack.combine("meancr", masks=masks).data
    assert result.ccd.data[4, 6] == pytest.approx(np.median(clean[4, [4, 8]]))
    assert result.flags[4, 6] == PixelFlag.LOCAL_MEDIAN | PixelFlag.NO_DATA
    assert np.isnan(result.ccd.data[11, 6])
    assert result.ccd.uncertainty.array[11, 6] != 0


def test_values_outside_the_image_do_not_count():
    image = np.arange(12.0).reshape(3, 4)
    values = box_values(image, [(1, 1, 3, 3), (4, 3, 1, 3)], np.zeros((3, 4), bool))
    assert [sorted(row[~np.isnan(row)]) for row in values] == [[0, 1, 4, 5], [7, 11]]
    value, error = median_of_boxes(image, np.ones((3, 4)), [(1, 1, 3, 3)], np.zeros((3, 4), bool))
    assert (value[0], error[0]) == (4, pytest.approx((9 + 0 + 1) / 3 - 1 + np.pi / 2 / 3))


@pytest.mark.parametrize(
    ("item", "match"),
    [
        ((1, 2, 3), r"four integers \[X, Y, X_width, Y_width\]; got \(1, 2, 3\)"),
        (5, "four integers"),
        ((1, 2, 3.0, 3), "four integers"),
        ((0, 2, 3, 3), "X and Y of at least 1"),
        ((1, 2, 4, 3), r"odd widths, one of them at least 3; got \[1, 2, 4, 3\]"),
        ((1, 2, 1, 1), "odd widths, one of them at least 3"),
        ((1, 2, -3, 3), "odd widths"),
    ],
)
def test_wrong_items(item, match):
    with pytest.raises(InputError, match=match):
        check_local_median("local_medians 1", item)
    wanted = "local_medians must be a list of pixels" if isinstance(item, int) else f"local_medians 1 .*{match}"
    with pytest.raises(InputError, match=wanted):
        MaskRules(local_medians=[item])


def test_wrong_places(stack):
    with pytest.raises(InputError, match="local_medians 1 must lie inside the image of 180 x 150"):
        stack.detect("mmcosmic", aux=None, rules=MaskRules(local_medians=[(181, 1, 3, 3)]))
    with pytest.raises(InputError, match="local_medians 2 must have a pixel in its box that is not listed"):
        stack.detect("mmcosmic", aux=None, rules=MaskRules(local_medians=[(2, 1, 3, 1), (1, 1, 3, 1)]))
    with pytest.raises(InputError, match="must list each pixel once"):
        stack.detect("mmcosmic", aux=None, rules=MaskRules(local_medians=[(2, 1, 3, 1), (2, 1, 5, 5)]))


@pytest.mark.parametrize("name", sorted(WITH_MASKS))
def test_no_exposure_is_in_a_value_of_the_neighbours(plain, name):
    stack, _, with_boxes = plain
    made = stack.combine(name, masks=with_boxes, full_output=True)
    listed = listed_pixels(BOXES, made.ccd.shape)
    assert (made.count[listed] == 0).all()
    assert (made.count[made.ccd.mask] == 0).all()
    assert (made.count[~made.ccd.mask] > 0).all()
