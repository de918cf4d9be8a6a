"""Masks that are applied to other exposures than those that they were made of."""

import warnings
from dataclasses import replace

import astropy.units as u
import pytest

from crstack import CRStack, MaskSet
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning, InputError

SHAPE = (40, 44)
DETECTOR = {"gain": 1 * u.electron / u.adu, "readnoise": 3.4 * u.electron, "bias": 100 * u.adu}


@pytest.fixture(scope="module")
def stack():
    return CRStack(make_stack("imaging", SHAPE, 3, seed=1, **DETECTOR).exposures, **DETECTOR)


@pytest.fixture(scope="module")
def masks(stack):
    return stack.detect()


def test_masks_keep_names_and_digests_in_their_file(masks, tmp_path):
    masks.write(tmp_path / "masks.fits")
    read = MaskSet.read(tmp_path / "masks.fits")
    assert read.origin == masks.origin
    assert [name for name, _ in read.origin] == ["exposure 1", "exposure 2", "exposure 3"]
    assert len({digest for _, digest in read.origin}) == 3


def test_masks_of_the_same_exposures_give_no_warning(masks):
    again = CRStack(make_stack("imaging", SHAPE, 3, seed=1, **DETECTOR).exposures, **DETECTOR)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.combine("meancr2", masks=masks)
        # the bias that is subtracted does not matter
        CRStack(again_exposures(), **DETECTOR | {"bias": DETECTOR["bias"] * 0.99}).combine("meancr2", masks=masks)


def again_exposures():
    return make_stack("imaging", SHAPE, 3, seed=1, **DETECTOR).exposures


@pytest.mark.parametrize("use", ["combine", "clean", "to_combiner", "features"])
def test_masks_of_other_exposures_give_one_warning(masks, use):
    other = CRStack(make_stack("imaging", SHAPE, 3, seed=2, **DETECTOR).exposures, **DETECTOR)
    with pytest.warns(CRStackWarning, match="with other values: exposure 1, exposure 2, exposure 3 differ"):
        getattr(other, use)(masks=masks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(other, use)(masks=masks)


def test_masks_of_another_order_are_refused(masks):
    turned = CRStack(again_exposures()[::-1], **DETECTOR)
    with pytest.raises(InputError, match=r"in the order .* got their exposures 3 \(exposure 1\), 2 \(exposure 2\)"):
        turned.combine("meancr2", masks=masks)


def test_masks_of_another_shape_or_number_are_refused_without_a_warning(masks):
    wide = CRStack(make_stack("imaging", (40, 45), 3, seed=1, **DETECTOR).exposures, **DETECTOR)
    with pytest.raises(InputError, match=r"masks must have the shape \(40, 45\)"):
        wide.combine("meancr2", masks=masks)
    four = CRStack(make_stack("imaging", SHAPE, 4, seed=1, **DETECTOR).exposures, **DETECTOR)
    with pytest.raises(InputError, match="masks must be of 4 exposures; got 3"):
        four.combine("meancr2", masks=masks)


def test_masks_of_unknown_origin_are_not_compared(stack, masks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.combine("meancr2", masks=replace(masks, origin=()))
