"""The rules of masks, pixel by pixel."""

import numpy as np
import pytest

from crstack.masks import MaskRules
from crstack.masks.codes import Code, code_image, has_found
from crstack.masks.rules import apply_rules, codes_of_detector, codes_of_hits

SHAPE = (9, 11)


def image_of(*pixels):
    """bool image, True at pixels (row, column)."""
    image = np.zeros(SHAPE, dtype=bool)
    for pixel in pixels:
        image[pixel] = True
    return image


def frame_of(row, column):
    """The eight neighbours of a pixel."""
    frame = image_of()
    frame[row - 1 : row + 2, column - 1 : column + 2] = True
    frame[row, column] = False
    return frame


def test_codes_by_who_found_a_pixel():
    by_method, auxiliary = image_of((1, 1), (1, 2)), image_of((1, 2), (1, 3))
    codes = code_image(by_method, auxiliary)
    assert [codes[1, x] for x in range(5)] == [Code.CLEAN, Code.MMCOSMIC, Code.BOTH, Code.AUXILIARY, Code.CLEAN]
    np.testing.assert_array_equal(has_found(Code.MMCOSMIC, codes), by_method)
    np.testing.assert_array_equal(has_found(Code.AUXILIARY, codes), auxiliary)
    assert code_image(by_method).max() == Code.MMCOSMIC


def test_bad_pixels_are_cleared_after_the_dilation():
    """A hit at a bad pixel still has neighbours, and a bad neighbour of a hit stays clean."""
    bad, steps = image_of((4, 4), (4, 8)), {}
    codes = code_image(image_of((4, 4), (4, 7)))
    apply_rules(codes, MaskRules(dilation=1), bad, steps)
    expected = frame_of(4, 4) | frame_of(4, 7)
    expected[4, 8] = False
    np.testing.assert_array_equal(codes == Code.DILATED, expected)
    assert codes[4, 4] == codes[4, 8] == Code.CLEAN
    assert codes[4, 7] == Code.MMCOSMIC
    assert steps == {"after the global dilation": 18, "flagged": 16}


def test_without_dilation_there_is_no_such_step():
    codes, steps = code_image(image_of((4, 4))), {}
    apply_rules(codes, MaskRules(), None, steps)
    assert steps == {"flagged": 1}


def test_force_wins_over_ignore_skip_and_bad():
    pixel, steps = (3, 2), {}  # x, y
    rules = MaskRules(skip_regions=[(1, 5, 1, 5)], ignore_pixels=[pixel], force_pixels=[pixel])
    codes = code_image(image_of((1, 2), (0, 0), (4, 4), (4, 5), (5, 4)))
    apply_rules(codes, rules, image_of((1, 2)), steps)
    assert codes[1, 2] == Code.GIVEN
    # the last row and the last column of the region belong to it, and those beyond do not
    assert codes[0, 0] == codes[4, 4] == Code.CLEAN
    assert codes[4, 5] == codes[5, 4] == Code.MMCOSMIC
    assert steps == {"flagged": 3}


def test_ignored_pixels_stay_clean_where_the_dilation_reaches_them():
    codes = code_image(image_of((4, 4)))
    apply_rules(codes, MaskRules(dilation=1, ignore_pixels=[(5, 5), (6, 5)]), None, {})
    assert codes[4, 4] == codes[4, 5] == Code.CLEAN
    assert np.count_nonzero(codes) == 7


def test_rules_of_the_joint_decision():
    rules = MaskRules(skip_regions=[(1, 2, 1, 3)], ignore_pixels=[(6, 5), (8, 5)], force_pixels=[(2, 2), (8, 5)])
    probability, shift = np.full((3, *SHAPE), 0.25), np.full(SHAPE, 7.0)
    rules.apply_to_joint(probability, shift)
    expected = np.full(SHAPE, 0.25)
    expected[:3, :2] = expected[4, 5] = 0
    expected[1, 1] = expected[4, 7] = 1
    np.testing.assert_array_equal(probability, np.stack([expected] * 3))
    np.testing.assert_array_equal(shift == 0, expected != 0.25)


def test_masks_that_follow_from_hits():
    """Three exposures: one hit, two hits, three hits, and bad values beside."""
    one, two, three, beside = (1, 1), (2, 4), (3, 7), (5, 5)
    hit = np.stack([image_of(one, two, three, beside), image_of(two, three), image_of(three)])
    # a hit in exposure 1 where exposure 2 is bad; exposure 3 is bad at a hit; nothing is valid at one pixel
    nowhere = (7, 7)
    hit[:, 7, 7] = True
    bad = np.stack([image_of(nowhere), image_of(nowhere, beside), image_of(nowhere, three)])
    codes, steps = codes_of_hits(hit, MaskRules(), bad=bad)
    flagged = {name: set(zip(*np.nonzero(image), strict=True)) for name, image in codes.items()}
    assert flagged == {
        "MEDIANCR": {two, three},
        "MEANCRT": {one, two, three, beside},
        "CRMASK1": {one, two, three, beside},
        "CRMASK2": {two, three},
        "CRMASK3": set(),
    }
    assert steps["MEANCRT"] == {"joint decision": 5, "flagged": 4}
    assert steps["CRMASK3"] == {"joint decision": 2, "flagged": 0}


@pytest.mark.parametrize(("n", "fewest"), [(2, 1), (3, 2), (4, 2), (5, 3), (6, 3)])
def test_the_median_is_hit_where_half_of_the_exposures_are(n, fewest):
    hit = np.zeros((n, *SHAPE), dtype=bool)
    for column in range(n + 1):
        hit[:column, 0, column] = True
    codes, _ = codes_of_hits(hit, MaskRules())
    np.testing.assert_array_equal(np.flatnonzero(codes["MEDIANCR"][0]), np.arange(fewest, n + 1))


def test_an_auxiliary_detector_confirms_hits_and_adds_none():
    hit = np.stack([image_of((1, 1), (2, 2)), image_of(), image_of()])
    auxiliary = np.stack([image_of((1, 1), (5, 5)), image_of((2, 2)), image_of()])
    codes, _ = codes_of_hits(hit, MaskRules(), auxiliary)
    for name in ("MEANCRT", "CRMASK1"):
        assert (codes[name][1, 1], codes[name][2, 2], codes[name][5, 5]) == (Code.BOTH, Code.MMCOSMIC, Code.CLEAN)


def test_masks_of_a_detector_alone():
    joined = []

    def join(codes, steps):
        joined.append(codes.copy())
        steps["joined"] = 1
        codes[0, 0] = Code.MMCOSMIC
        return codes

    codes, steps = codes_of_detector(image_of((4, 4)), MaskRules(dilation=1), image_of((4, 5)), join=join)
    assert np.count_nonzero(joined[0]) == 1
    assert codes[4, 4] == Code.AUXILIARY
    assert codes[0, 0] == Code.MMCOSMIC
    # joined pixels are dilated too
    assert codes[1, 1] == Code.DILATED
    assert codes[4, 5] == Code.CLEAN
    assert list(steps) == ["auxiliary detector", "joined", "after the global dilation", "flagged"]
    assert steps["auxiliary detector"] == 1
