"""Parts of a run of the command."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.nddata import CCDData
from astropy.table import Table

from crstack import Code, MaskSet
from crstack.pipeline.page import _counts, _hits_notes, _sentence, _with_error
from crstack.pipeline.run import _too_little_memory, without_dropped
from crstack.report import list_hits


def masks_of(n, n_flagged=0, **flagged):
    """Masks of n exposures; pixels of MEANCRT from the first on, and those of an index for masks by name."""
    names = ("MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR")
    codes = {name: np.zeros((10, 20), np.uint8) for name in names}
    codes["MEANCRT"].ravel()[:n_flagged] = 2
    for name, places in flagged.items():
        for place in places:
            codes[name][place] = 2
    return MaskSet(codes)


def test_dropped_pixels_leave_mediancr_alone():
    codes = {name: np.zeros((8, 25), np.uint8) for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "MEANCR")}
    for name in ("MEDIANCR", "MEANCRT", "CRMASK1"):
        codes[name][2, 3:8] = 2
    found_by = {name: (one > 0).astype(np.uint8) * 3 for name, one in codes.items()}
    steps = {"MEDIANCR": {"boundary": 9, "flagged": 5}, "MEANCRT": {"flagged": 5}}
    masks = MaskSet(codes, found_by=found_by, steps=steps, detectors=("one", "two"))
    # X and Y from 1; one of them was not flagged
    dropped = without_dropped(masks, [(5, 3), (7, 3), (20, 8)])
    expected = codes["MEDIANCR"].copy()
    expected[2, [4, 6]] = 0
    for name in codes:
        wanted = expected if name == "MEDIANCR" else codes[name]
        np.testing.assert_array_equal(dropped.codes[name], wanted, err_msg=name)
        np.testing.assert_array_equal(dropped.found_by[name], (wanted > 0) * 3, err_msg=name)
    assert dropped.steps == steps | {"MEDIANCR": steps["MEDIANCR"] | {"flagged, without those dropped by hand": 3}}
    # those that were given do not change
    assert masks["MEDIANCR"].sum() == 5
    assert masks.steps == steps
    assert without_dropped(masks, []) is masks


def test_the_table_of_masks_has_the_codes_that_occur():
    codes = {name: np.zeros((10, 20), np.uint8) for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "MEANCR")}
    codes["CRMASK1"][2, 3:8], codes["CRMASK2"][4, 4:6] = Code.MMCOSMIC, Code.SOURCE
    section = _counts(MaskSet(codes))
    assert section.heads == ("name", "flagged", "mmcosmic", "source", "%")
    assert section.rows[2:4] == [["CRMASK1", 5, 5, 0, "2.5000"], ["CRMASK2", 2, 0, 2, "1.0000"]]
    assert section.rows[-1] == ["in every CRMASK", 0, "", "", ""]
    assert [word for word, _ in section.notes[-2:]] == ["mmcosmic", "source"]


def test_values_have_the_digits_of_their_errors():
    table = Table({"dx": [-0.05427, 2.0], "dx_error": [0.0042, 0.0], "hot_pixels": [1.23456, 2.0]})
    assert [_with_error(row, "dx") for row in table] == ["-0.0543 \N{PLUS-MINUS SIGN} 0.0042", "2"]
    assert _with_error(table[0], "hot_pixels") == "1.235"


def test_the_sentence_of_the_report_tells_pixels_from_hits():
    masks = masks_of(3, MEDIANCR=[np.s_[2, 3:8], np.s_[7, 1:3]], MEANCRT=[np.s_[2, :10]])
    result = CCDData(np.zeros((10, 20)), unit="adu", mask=np.zeros((10, 20), bool))
    words = _sentence(masks, {"every exposure": 0, "coincident": 2}, "meanjoint", result)
    assert words == (
        "3 exposures of 20 x 10 pixels. 5 % of the pixels are hit in one of them or more. 2 hits would stay in a plain "
        "median: MEDIANCR has 7 pixels, weakly hit ones included. The best image is combined_meanjoint.fits: each "
        "pixel has a clean value."
    )


def test_the_sentence_of_the_report_counts_no_streak_as_a_hit():
    names = "MEDIANCR", "MEANCRT", "MEANCR", "CRMASK1", "CRMASK2", "CRMASK3"
    codes = {name: np.zeros((10, 20), np.uint8) for name in names}
    codes["MEANCRT"][2, :4], codes["MEANCRT"][2, 4:10], codes["MEANCRT"][9, 0] = Code.MMCOSMIC, Code.SOURCE, Code.TRAIL
    codes["MEDIANCR"][7, 1:3] = Code.MMCOSMIC, Code.SOURCE
    result = CCDData(np.zeros((10, 20)), unit="adu")
    words = _sentence(MaskSet(codes), {"every exposure": 0, "coincident": 1}, "meanjoint", result)
    assert " 2 % of the pixels are hit in one of them or more. 1 hit would stay in a plain median: " in words
    assert "MEDIANCR has 1 pixel, weakly hit ones included. 7 pixels are masked too, as a low value, trail or" in words
    codes["MEANCRT"][2, :4] = 0
    words = _sentence(MaskSet(codes), {"every exposure": 0, "coincident": 0}, "meanjoint", result)
    assert " No hits were found. 7 pixels are masked too, " in words


def test_the_memory_that_a_run_needs_is_in_the_message():
    job = SimpleNamespace(paths=range(5), stack=SimpleNamespace(exposures=SimpleNamespace(shape=(4000, 2000))))
    sentence = str(_too_little_memory(job, MemoryError()))
    assert sentence.startswith("memory must suffice for 5 exposures of 2000 x 4000 pixels, some 4.0 GB; got: a failure")


@pytest.mark.parametrize(("n", "needed"), [(3, 2), (4, 2), (5, 3), (12, 6)])
def test_the_note_of_coincident_hits_has_the_number_of_the_rule(n, needed):
    notes = dict(_hits_notes(masks_of(n)))
    assert f"hit in {needed} or more of the {n} exposures" in notes["coincident"]


def test_the_median_of_two_exposures_has_half_of_each_hit():
    """It is their mean. A pixel that is hit in both is one of every exposure, and no other hit is coincident."""
    first, second = [np.s_[2, 3:6]], [np.s_[2, 6:8], np.s_[7, 9]]
    both = first + second
    masks = masks_of(2, CRMASK1=first, CRMASK2=second, MEDIANCR=both, MEANCRT=both)
    _, counts = list_hits(masks, np.ones((10, 20)))
    assert counts == {"every exposure": 0, "coincident": 0, "touching": 1, "single": 1}
    notes = dict(_hits_notes(masks))
    assert "coincident" not in notes
    assert notes["single"] == "masked in one exposure: the median of two exposures is their mean, and has half of it"
    result = CCDData(np.zeros((10, 20)), unit="adu")
    assert "All hits would stay in a plain median, which is the mean of two exposures: MEDIANCR has 6 pixels." in (
        _sentence(masks, counts, "meanjoint", result)
    )


def test_the_pixels_of_mediancr_are_more_than_the_strong_ones():
    both = [np.s_[2, 3:6]]
    masks = masks_of(3, CRMASK1=both, CRMASK2=both, MEDIANCR=both, MEANCRT=both)
    words = _sentence(
        masks, {"every exposure": 0, "coincident": 1}, "meanjoint", CCDData(np.zeros((10, 20)), unit="adu")
    )
    assert "1 hit would stay in a plain median: MEDIANCR has 3 pixels, weakly hit ones included. " in words


def test_a_report_without_hits_says_so():
    result = CCDData(np.zeros((10, 20)), unit="adu")
    words = _sentence(masks_of(3), {"every exposure": 0, "coincident": 0}, "meanjoint", result)
    assert words == (
        "3 exposures of 20 x 10 pixels. No hits were found. The best image is combined_meanjoint.fits: each pixel has "
        "a clean value."
    )


@pytest.mark.parametrize(("n_flagged", "said"), [(40, False), (42, True)])
def test_a_remark_where_hits_touch_each_other(n_flagged, said):
    result = CCDData(np.zeros((10, 20)), unit="adu", mask=np.eye(10, 20, dtype=bool))
    words = _sentence(masks_of(12, n_flagged), {"every exposure": 0, "coincident": 1}, "meanjoint", result)
    assert ("connected hits count as one" in words) == said
    assert words.endswith("10 pixels have no clean value.")
