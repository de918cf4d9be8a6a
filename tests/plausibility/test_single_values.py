"""The warning on pixels with one valid value."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack, JointPosterior, MMCosmic
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning
from crstack.masks import MaskSet
from crstack.masks.codes import Code
from crstack.plausibility.single_values import single_values, warn_of_single_values

SHAPE = (600, 100)


def stack_of(bad, rate=0.02, seed=3):
    rng = np.random.default_rng(seed)
    images = [rng.poisson(100, SHAPE) + rng.normal(0, 4, SHAPE) + make_hits(SHAPE, rate, rng) for _ in bad]
    return CRStack(
        [CCDData(image, mask=mask, unit="electron") for image, mask in zip(images, bad, strict=True)],
        readnoise=4 * u.electron,
        differences=None,
    )


def borders(*columns):
    """Masks of exposures whose first columns are bad."""
    return [np.arange(SHAPE[1]) < number for number in columns]


@pytest.mark.parametrize("method", [JointPosterior(), MMCosmic()])
def test_a_border_that_one_exposure_covers_is_reported(method):
    stack = stack_of([np.broadcast_to(one, SHAPE) for one in borders(0, 20, 30)])
    with pytest.warns(CRStackWarning, match="one valid value") as caught:
        masks = stack.detect(method=method)
    (text,) = (str(one.message) for one in caught if "one valid value" in str(one.message))
    # 20 of 100 columns
    assert text.startswith("20.00% of the pixels have one valid value (12000 of exposure 1): ")
    found = masks.crmasks[:, :, :20].sum()
    # the auxiliary detector of M.M.Cosmic finds some
    assert (found > 0) == isinstance(method, MMCosmic)
    left = float(text.split("About ")[1].split()[0])
    assert left == pytest.approx(12000 * masks.crmasks[:, :, 30:].mean() - found, rel=0.1)


def test_pixels_and_their_flagged_values_are_counted():
    bad = np.zeros((3, *SHAPE), bool)
    bad[1:, 580:, :7] = True
    bad[:2, :3, 2] = True
    bad[:, 50] = True
    codes = {name: np.zeros(SHAPE, np.uint8) for name in ("MEDIANCR", "MEANCRT", "MEANCR", "CRMASK2", "CRMASK3")}
    plane = np.zeros(SHAPE, np.uint8)
    plane[590:, 5:9] = Code.MMCOSMIC
    plane[590, 5] = Code.LOW
    found = single_values(MaskSet({**codes, "CRMASK1": plane}), stack_of(bad).exposures)
    assert found.numbers == (140, 0, 3)
    assert found.flagged == 19


@pytest.mark.parametrize("columns", [(1, 1, 1), (0, 0, 20), (20, 20, 20)])
def test_pixels_of_two_exposures_or_of_none_are_not_reported(columns):
    stack = stack_of([np.broadcast_to(one, SHAPE) for one in borders(*columns)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.detect()


def test_few_expected_hits_are_not_reported():
    stack = stack_of([np.broadcast_to(one, SHAPE) for one in borders(0, 1, 1)], rate=0.002)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.detect()


@pytest.mark.parametrize(("pixels", "reported"), [(60, True), (59, False)])
def test_a_thousandth_of_the_pixels_is_reported(pixels, reported):
    """Of 60000 pixels, where a quarter of the compared values are hit."""
    bad = np.zeros((3, *SHAPE), bool)
    bad[1:].reshape(2, -1)[:, :pixels] = True
    names = ("MEDIANCR", "MEANCRT", "MEANCR", "CRMASK1", "CRMASK2", "CRMASK3")
    codes = {name: np.zeros(SHAPE, np.uint8) for name in names}
    for name in names[3:]:
        codes[name][300:450] = Code.MMCOSMIC
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_single_values(MaskSet(codes), stack_of(bad).exposures)
    texts = [str(one.message) for one in caught if "one valid value" in str(one.message)]
    assert len(texts) == reported
    if reported:
        assert texts[0].startswith("0.10% of the pixels have one valid value (60 of exposure 1)")
        assert "About 15 hits are not flagged" in texts[0]
