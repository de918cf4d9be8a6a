"""The order of the global dilation is that of the manual of numina-crmasks."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from support.stacks import stack_of

from crstack import Detection, Detector, MMCosmic
from crstack.masks import Code, MaskRules, exposure_name
from crstack.mmcosmic.limits import image_codes
from crstack.utils.pixels import dilate


@pytest.mark.parametrize("aux", ["lacosmic", None])
def test_masks_are_joined_before_the_global_dilation(simulated, aux):
    stack = stack_of(simulated)
    plain = stack.detect(MMCosmic(), aux=aux)
    grown = stack.detect(MMCosmic(), aux=aux, rules=MaskRules(dilation=1))
    assert plain["MEDIANCR"].any()
    np.testing.assert_array_equal(grown["MEDIANCR"], dilate(plain["MEDIANCR"], 1))
    # MEANCRT: OR MEDIANCR, which is dilated already, then dilation
    np.testing.assert_array_equal(grown["MEANCRT"], dilate(plain["MEANCRT"] | grown["MEDIANCR"], 1))
    for i in range(len(stack)):
        name = exposure_name(i)
        # CRMASKi: AND MEANCRT, then dilation, so that it may reach beyond MEANCRT
        assert (grown[name] >= dilate(plain[name], 1)).all()
        sure = (grown.codes[name] > 0) & (grown.codes[name] != Code.DILATED)
        assert (grown["MEANCRT"] >= sure).all()
        np.testing.assert_array_equal(grown[name], dilate(sure, 1))


def test_forced_pixels_are_not_dilated(simulated):
    stack = stack_of(simulated)
    quiet = np.argwhere(~dilate(stack.detect(MMCosmic(), aux=None)["MEANCRT"], 6))[0]
    y, x = (int(one) for one in quiet)
    rules = MaskRules(dilation=2, force_pixels=[(x + 1, y + 1)])
    masks = stack.detect(MMCosmic(), aux=None, rules=rules)
    for name in ("MEDIANCR", "MEANCRT", "CRMASK1"):
        near = masks.codes[name][max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        assert np.count_nonzero(near) == 1, name
        assert masks.codes[name][y, x] == Code.GIVEN


@dataclass(frozen=True)
class OnePixel(Detector):
    """Finds one pixel of every image."""

    cleans = False

    def detect(self, image, noise, mask=None):
        found = np.zeros(image.shape, dtype=bool)
        found[70, 90] = True
        return Detection(found)


def test_what_is_left_in_the_mean_is_not_dilated(simulated):
    masks = stack_of(simulated).detect(MMCosmic(), aux=OnePixel(), rules=MaskRules(dilation=2))
    np.testing.assert_array_equal(np.argwhere(masks["MEANCR"]), [[70, 90]])
    assert masks["MEANCRT"][69, 89]


def test_bad_pixels_are_no_seeds():
    """A bad pixel over the boundary is not flagged, and its neighbours are not."""
    image, bad = np.zeros((9, 20), np.float32), np.zeros((9, 20), dtype=bool)
    image[4, 4] = image[4, 14] = 100
    bad[4, 4] = True
    limit = SimpleNamespace(min2d=0 * image, boundary=0 * image + 50, threshold=0 * image + 10)
    codes, steps = image_codes(image, limit, MaskRules(), mm_dilation=1, bad=bad)
    expected = np.zeros(image.shape, dtype=bool)
    expected[3:6, 13:16] = True
    np.testing.assert_array_equal(codes > 0, expected)
    assert steps["M.M.Cosmic, before dilation"] == 1
