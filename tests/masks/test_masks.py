"""The rules of the masks, and masks on disk."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from crstack import Code, MaskRules, MaskSet, MMCosmic, PiecewiseBoundary
from crstack.exceptions import InputError
from crstack.masks.codes import united
from crstack.masks.rules import codes_of_detector
from crstack.mmcosmic.limits import detection_limit, image_codes
from crstack.statistics import order_statistics

READNOISE = 2.0
NO_RULES = MaskRules()
LIMITS = {"threshold_rnoise": 3.0, "minimum_max2d_rnoise": 5.0}
BOUNDARY = PiecewiseBoundary([(0, 20), (100, 40)]).fit(None)


def codes_of(
    hits, rules=NO_RULES, boundary=BOUNDARY, auxiliary=None, bad=None, base=50.0, mm_dilation=0, **limits
):  # fmt: skip
    """Codes of the median of three exposures; ``hits`` maps (y, x) to the excess of two of them."""
    cube = np.full((3, 20, 24), base, dtype=np.float32)
    for (y, x), excess in hits.items():
        cube[1:, y, x] += excess
    statistics = order_statistics(cube, 2)
    if auxiliary is not None:
        mask = np.zeros((20, 24), bool)
        mask[tuple(zip(*auxiliary, strict=True))] = True
        auxiliary = mask
    if boundary is None:
        return codes_of_detector(auxiliary, rules, bad)[0]
    limit = detection_limit(statistics, boundary, READNOISE, **(LIMITS | limits))
    return image_codes(statistics.median2d, limit, rules, mm_dilation=mm_dilation, auxiliary=auxiliary, bad=bad)[0]


def flagged(codes):
    return set(map(tuple, np.argwhere(codes)))


def test_over_the_boundary_only():
    assert flagged(codes_of({(5, 5): 30.5, (9, 9): 29.5})) == {(5, 5)}


def test_threshold_holds_above_a_low_boundary():
    low = PiecewiseBoundary([(0, 1), (100, 1)]).fit(None)
    assert flagged(codes_of({(5, 5): 6.5, (9, 9): 5.5}, boundary=low, threshold_rnoise=3)) == {(5, 5)}


def test_least_maximum():
    # a deep hole in one exposure: median - min is large, but the maximum is nothing special
    assert flagged(codes_of({(5, 5): 31}, base=-22.0, minimum_max2d_rnoise=5)) == set()
    assert flagged(codes_of({(5, 5): 33}, base=-22.0, minimum_max2d_rnoise=5)) == {(5, 5)}


@pytest.mark.parametrize("radius", [1, 2])
def test_mm_dilation_is_square_and_stops_at_the_edge(radius):
    codes = codes_of({(0, 0): 50, (10, 10): 50}, mm_dilation=radius)
    side = 2 * radius + 1
    assert len(flagged(codes)) == side**2 + (radius + 1) ** 2
    assert set(np.unique(codes)) == {Code.CLEAN, Code.MMCOSMIC}


def test_codes_say_who():
    hits = {(5, 5): 50, (5, 6): 50, (12, 12): 10}
    codes = codes_of(hits, auxiliary=[(5, 6), (5, 7), (12, 12)])
    assert codes[5, 5] == Code.MMCOSMIC
    assert codes[5, 6] == Code.BOTH
    assert codes[5, 7] == Code.AUXILIARY
    assert codes[12, 12] == Code.AUXILIARY


def test_auxiliary_features_without_a_pixel_over_the_threshold_are_dropped():
    # (12, 12) has 5 < 6, its diagonal neighbour 7; (16, 3) stands alone below the threshold
    codes = codes_of({(12, 12): 5, (13, 13): 7, (16, 3): 5}, auxiliary=[(12, 12), (13, 13), (16, 3)])
    assert flagged(codes) == {(12, 12), (13, 13)}
    alone = codes_of({(16, 3): 5}, boundary=None, auxiliary=[(16, 3)])
    assert flagged(alone) == {(16, 3)}


def test_global_dilation_has_its_own_code():
    codes = codes_of({(10, 10): 50, (10, 11): 10}, MaskRules(dilation=1), auxiliary=[(10, 11)])
    assert codes[10, 10] == Code.MMCOSMIC
    assert codes[10, 11] == Code.AUXILIARY
    # a frame of one pixel around the pair
    assert np.count_nonzero(codes == Code.DILATED) == 10
    assert codes[9, 9] == Code.DILATED


def test_skip_ignore_and_force():
    rules = MaskRules(skip_regions=[(1, 8, 1, 8)], ignore_pixels=[(11, 11)], force_pixels=[(2, 3), (20, 19)])
    codes = codes_of({(5, 5): 50, (10, 10): 50, (15, 15): 50}, rules)
    assert flagged(codes) == {(2, 1), (15, 15), (18, 19)}
    assert codes[2, 1] == codes[18, 19] == Code.GIVEN


def test_bad_pixels_are_not_flagged():
    bad = np.zeros((20, 24), bool)
    bad[5, 5] = bad[9, 9] = True
    codes = codes_of({(5, 5): 50, (9, 10): 50}, mm_dilation=1, bad=bad)
    assert not codes[bad].any()
    assert np.count_nonzero(codes) == 8


def test_united_keeps_who_found_it():
    clean, dilated, mm, aux, both, given = Code
    pairs = {
        (clean, clean): clean,
        (mm, clean): mm,
        (mm, aux): both,
        (dilated, clean): dilated,
        (dilated, mm): mm,
        (clean, both): both,
        (given, mm): given,
    }
    for (one, other), expected in pairs.items():
        for a, b in ((one, other), (other, one)):
            assert united(np.array([[a]], np.uint8), np.array([[b]], np.uint8)) == expected


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"dilation": 0.5}, "dilation must be an integer; got 0.5"),
        ({"skip_regions": [(1, 2, 3)]}, r"skip_regions 1 must be four integers .* got \(1, 2, 3\)"),
        ({"skip_regions": [(5, 2, 1, 3)]}, "skip_regions 1 must have 1 <= xmin <= xmax"),
        ({"force_pixels": [(0, 1)]}, "force_pixels 1 must have 1 <= xmin"),
        ({"ignore_pixels": [(1, 1, 1)]}, r"ignore_pixels 1 must be two integers \[X, Y\]; got"),
    ],
)
def test_bad_rules(rules, message):
    with pytest.raises(InputError, match=message):
        MaskRules(**rules)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mm_dilation": -1}, "mm_dilation must be an integer at least 0; got -1"),
        ({"threshold_rnoise": -1}, "threshold_rnoise must be a number at least 0; got -1"),
        ({"boundary": 3}, "boundary must be a BoundaryModel"),
        ({"diagram": 3}, "diagram must be an MMDiagram or DiagramSettings; got 3"),
    ],
)
def test_bad_parameters_of_mmcosmic(parameters, message):
    with pytest.raises(InputError, match=message):
        MMCosmic(**parameters)


def test_regions_must_lie_inside(stack):
    with pytest.raises(InputError, match="skip_regions 1 must lie inside the image of 180 x 150 pixels"):
        stack.detect(aux=None, rules=MaskRules(skip_regions=[(1, 181, 1, 10)]))
    with pytest.raises(InputError, match="force_pixels 1 must lie inside"):
        stack.detect(aux=None, rules=MaskRules(force_pixels=[(1, 151)]))


def test_round_trip(stack, tmp_path):
    masks = stack.detect(aux="pycosmic", rules=MaskRules(dilation=1, force_pixels=[(3, 3)]))
    path = tmp_path / "crmasks.fits"
    masks.write(path)
    again = MaskSet.read(path)
    assert list(again) == list(masks) == ["MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR"]
    for name in masks:
        np.testing.assert_array_equal(again.codes[name], masks.codes[name])
    np.testing.assert_array_equal(again.auxclean, masks.auxclean)
    assert again.uuid == masks.uuid
    assert any("PyCosmicDetector" in line for line in again.history)
    one = stack.combine("meancr2", masks=again)
    np.testing.assert_array_equal(one.data, stack.combine("meancr2").data)
    with fits.open(path) as hdus:
        assert hdus[0].data is None
        assert hdus[0].header["FLUXF3"] == 1.0
        for hdu in hdus[1:7]:
            assert hdu.data.dtype == np.uint8
            assert set(np.unique(hdu.data)) <= {0, 1}
            assert hdu.header["NPMASKED"] == hdu.data.sum()
        assert hdus["AUXCLEAN"].data.dtype == ">f4"
    assert sorted(tmp_path.iterdir()) == [path]


def test_history_of_any_letters(stack, tmp_path):
    masks = replace(stack.detect(aux=None), history=("räksmörgås\n",))
    masks.write(tmp_path / "crmasks.fits")
    assert MaskSet.read(tmp_path / "crmasks.fits").history == (r"r\xe4ksm\xf6rg\xe5s",)


def test_masks_of_the_reference_program_can_be_read(stack, tmp_path):
    """Files without a CODES extension."""
    masks = stack.detect(aux=None)
    hdus = masks.to_hdulist()
    del hdus["CODES"]
    hdus.writeto(tmp_path / "plain.fits")
    again = MaskSet.read(tmp_path / "plain.fits")
    assert set(np.unique(again.codes["CRMASK1"])) == {Code.CLEAN, Code.GIVEN}
    np.testing.assert_array_equal(again["CRMASK1"], masks["CRMASK1"])


def test_bad_mask_files(tmp_path, stack):
    with pytest.raises(InputError, match="masks must be a FITS file that exists"):
        MaskSet.read(tmp_path / "none.fits")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="masks must hold MEDIANCR, MEANCRT, MEANCR and CRMASK1"):
        MaskSet.read(tmp_path / "image.fits")
    with pytest.raises(InputError, match="must be a directory that can be written"):
        stack.detect(aux=None).write(tmp_path / "no" / "crmasks.fits")
    with pytest.raises(KeyError, match="mask must be one of MEDIANCR"):
        stack.detect(aux=None)["CRMASK9"]


def test_counts_and_problematic_pixels(stack):
    masks = stack.detect(aux="pycosmic")
    table = masks.counts()
    for row in table:
        assert row["flagged"] == masks[row["name"]].sum()
        assert row["flagged"] == sum(row[name] for name in table.colnames[2:])
    np.testing.assert_array_equal(masks.problematic, masks["CRMASK1"] & masks["CRMASK2"] & masks["CRMASK3"])
