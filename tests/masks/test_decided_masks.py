"""Codes of M.M.Cosmic and of the auxiliary detector, and the rules of all masks."""

import astropy.units as u
import numpy as np
import pytest

from crstack import Code, CRStack, MaskRules, MMCosmic, PiecewiseBoundary
from crstack.exceptions import InputError
from crstack.masks.codes import united, with_codes_of_others
from crstack.masks.rules import codes_of_detector
from crstack.mmcosmic.limits import detection_limit, image_codes
from crstack.statistics import order_statistics

pytestmark = pytest.mark.usefixtures("quick_joint")


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
    # a low value in one exposure: median - min is large, but the maximum is not
    assert flagged(codes_of({(5, 5): 31}, base=-22.0, minimum_max2d_rnoise=5)) == set()
    assert flagged(codes_of({(5, 5): 33}, base=-22.0, minimum_max2d_rnoise=5)) == {(5, 5)}


def test_limits_of_the_method_are_in_the_unit_of_the_exposures(flat_exposures):
    """Read noises of 8 electrons are 4 ADU."""
    exposures = flat_exposures(signal=5.0, readnoise=8.0)
    stack = CRStack(exposures, gain=2 * u.electron / u.adu, readnoise=8 * u.electron)
    low = PiecewiseBoundary([(0, 1), (100, 1)])
    method = MMCosmic(boundary=low, threshold_rnoise=3, minimum_max2d_rnoise=2)
    limit = method._limits(stack.prepared, low.fit(None))("median")
    assert limit.threshold == 3 * 4
    max2d = stack.prepared.compared.max2d
    np.testing.assert_array_equal(limit.boundary, np.where(max2d > 2 * 4, 12, np.inf))
    assert 0.2 < np.mean(max2d > 2 * 4) < 0.8
    high = PiecewiseBoundary([(0, 100), (100, 100)])
    decision = stack.detect(MMCosmic(boundary=high, threshold_rnoise=3), aux=None).decision
    assert decision.threshold == decision.in_diagram("MEDIANCR").threshold == 3 * 4


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
    # (12, 12) has 5 < 6, its diagonal neighbour 7; (16, 3) is isolated and below the threshold
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
    clean, dilated, mm, aux, both, given, *_ = Code
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
        ({"skip_regions": (1, 40, 1, 100)}, r"skip_regions must be a list of regions .*; got \(1, 40, 1, 100\)"),
        ({"skip_regions": 3}, r"skip_regions must be a list of regions \[xmin, xmax, ymin, ymax\]; got 3"),
        ({"force_pixels": (10, 20)}, r"force_pixels must be a list of pixels \[X, Y\]; got \(10, 20\)"),
        ({"local_medians": "all"}, "local_medians must be a list of pixels with boxes .*; got 'all'"),
        ({"skip_regions": [(5, 2, 1, 3)]}, "skip_regions 1 must have 1 <= xmin <= xmax"),
        ({"force_pixels": [(0, 1)]}, "force_pixels 1 must have X and Y of at least 1"),
        ({"ignore_pixels": [(1, 1, 1)]}, r"ignore_pixels 1 must be two integers \[X, Y\]; got"),
    ],
)
def test_bad_rules(rules, message):
    with pytest.raises(InputError, match=message):
        MaskRules(**rules)


def test_rules_of_arrays():
    regions = [[1, 40, 1, 100], [2, 3, 4, 5]]
    assert MaskRules(skip_regions=np.array(regions)) == MaskRules(skip_regions=regions)


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
        stack.detect("mmcosmic", aux=None, rules=MaskRules(skip_regions=[(1, 181, 1, 10)]))
    with pytest.raises(InputError, match="force_pixels 1 must lie inside"):
        stack.detect("mmcosmic", aux=None, rules=MaskRules(force_pixels=[(1, 151)]))


def test_codes_of_what_is_no_hit_are_kept_at_another_threshold():
    """Low values, trails and moved targets are added; a source has its code only where it is flagged."""
    hits = np.array([[0, 2, 0, 2, 0, 2, 0, 2, 2, 5]], np.uint8)
    others = np.array([[0, 0, 6, 6, 8, 8, 7, 7, 9, 8]], np.uint8)
    np.testing.assert_array_equal(with_codes_of_others(hits, others), [[0, 2, 6, 2, 8, 8, 0, 7, 9, 5]])
    np.testing.assert_array_equal(hits, [[0, 2, 0, 2, 0, 2, 0, 2, 2, 5]])
