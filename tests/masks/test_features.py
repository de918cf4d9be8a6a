"""The table of connected hits: classes, positions, sizes, signals and exposures."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, Table
from numpy.testing import assert_allclose, assert_array_equal

from crstack import CRStack, MaskSet
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import Code
from crstack.masks.features import PROBLEMATIC, feature_pixels, find_features, segment_features


def mask_set(codes, *crmasks):
    """Masks of one code image, with bool images for the exposures."""
    empty = np.zeros_like(codes)
    crmasks = crmasks or (codes > 0,) * 3
    exposures = {f"CRMASK{i + 1}": np.where(mask, codes, 0).astype(np.uint8) for i, mask in enumerate(crmasks)}
    return MaskSet({"MEDIANCR": codes, "MEANCRT": codes, **exposures, "MEANCR": empty})


@pytest.fixture
def codes():
    """A diagonal, a row, a column, a block and a single pixel."""
    codes = np.zeros((20, 30), dtype=np.uint8)
    codes[[1, 2, 3], [4, 5, 6]] = [Code.MMCOSMIC, Code.BOTH, Code.MMCOSMIC]
    codes[6, 10:15] = Code.AUXILIARY
    codes[6, 15] = Code.DILATED
    codes[10:14, 20] = Code.MMCOSMIC
    codes[15:18, 2:5] = Code.MMCOSMIC
    codes[16, 3] = Code.AUXILIARY
    codes[19, 29] = Code.GIVEN
    return codes


def test_classes_positions_and_sizes(codes):
    table = find_features(mask_set(codes))
    assert isinstance(table, QTable)
    assert list(table["number"]) == [1, 2, 3, 4, 5]
    assert list(table["category"]) == ["any4", "only3", "only2", "other", "other"]
    assert list(table["n_pixels"]) == [3, 6, 4, 9, 1]
    boxes = np.array([table[name] for name in ("xmin", "xmax", "ymin", "ymax")]).T
    assert_array_equal(boxes, [[5, 7, 2, 4], [11, 16, 7, 7], [21, 21, 11, 14], [3, 5, 16, 18], [30, 30, 20, 20]])
    assert_allclose(table["xcentroid"], [6, 13.5, 21, 4, 30])
    assert_allclose(table["ycentroid"], [3, 7, 12.5, 17, 20])
    assert table["length"].unit == u.pix
    assert_allclose(table["length"].value[1:], [6, 4, 3, 1])
    assert_allclose(table["width"].value[1:], [1, 1, 3, 1])
    assert table["length"][0].value > 3.9
    assert "peak" not in table.colnames


def test_signal_weighs_and_adds(codes):
    signal = np.zeros(codes.shape, dtype=np.float32)
    signal[6, 10:16] = [0, 0, 30, 10, -5, 0]
    for given in (signal << u.adu, signal):
        table = find_features(mask_set(codes), given, unit=None if given is not signal else u.adu)
        assert table["peak"].unit == u.adu
        assert table["peak"][1] == 30 * u.adu
        assert table["total"][1] == 35 * u.adu
        assert_allclose(table["xcentroid"][1], (13 * 30 + 14 * 10) / 40)
        assert_allclose(table["xcentroid"][0], 6)  # without a signal the centroid is that of its pixels


def test_exposures_that_are_hit(codes):
    first, second, third = (np.zeros(codes.shape, dtype=bool) for _ in range(3))
    first[1:4] = True
    third[2, 5] = True
    second[6, 10] = first[10:14] = second[10:14] = True
    table = find_features(mask_set(codes, first, second, third))
    assert list(table["exposures"]) == ["101", "010", "110", "000", "000"]
    assert list(table["n_exposures"]) == [2, 1, 2, 0, 0]


def test_pixels_as_in_the_files_of_the_manual(codes, tmp_path):
    masks = mask_set(codes)
    table = find_features(masks)
    pixels = feature_pixels(masks, table[table["category"] == "any4"])
    pixels.write(tmp_path / "p.csv", format="ascii.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines == ["CR_number,X_pixel,Y_pixel,Mask_value", "1,5,2,2", "1,6,3,4", "1,7,4,2"]
    everything = feature_pixels(masks, table)
    assert len(everything) == (codes > 0).sum()
    assert_array_equal(codes[everything["Y_pixel"] - 1, everything["X_pixel"] - 1], everything["Mask_value"])


def test_problematic_pixels(codes):
    hit = codes > 0
    some = hit.copy()
    some[:10] = False
    masks = mask_set(codes, hit, hit, some)
    table = find_features(masks, name=PROBLEMATIC)
    assert list(table["n_pixels"]) == [4, 9, 1]
    assert list(table["exposures"]) == ["111"] * 3
    assert table.meta["mask"] == PROBLEMATIC


def test_nothing(codes):
    masks = mask_set(np.zeros_like(codes))
    table = find_features(masks, np.ones(codes.shape), unit=u.electron)
    assert len(table) == 0
    assert table["total"].unit == u.electron
    assert len(feature_pixels(masks, table)) == 0
    assert segment_features(masks).data.max() == 0


def test_refuses(codes):
    with pytest.raises(InputError, match="signal must have the shape"):
        find_features(mask_set(codes), np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"name must be one of MEDIANCR, .* got 'MEDIAN'"):
        find_features(mask_set(codes), name="MEDIAN")


def test_a_stack_lists_its_masks(stack):
    with pytest.raises(InputError, match=r"one of MEDIANCR, MEANCRT, CRMASK1, .*, problematic; got 'CRMASK9'"):
        stack.features("CRMASK9")
    with pytest.raises(InputError, match=r"one of MEDIANCR, .* got 'MEDIANC' \(did you mean 'MEDIANCR'\?\)"):
        stack.plot.mask("MEDIANC")


def test_against_simulated_truth(tmp_path):
    simulated = make_stack("imaging", (250, 260), hit_rate=0.02, seed=8)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    masks = stack.detect("mmcosmic", aux=None)
    table = stack.features("CRMASK2")
    assert len(table) > 30
    truth = simulated.hits[1]
    labels = segment_features(masks, "CRMASK2").data
    charge = np.bincount(labels.ravel(), weights=truth.ravel())[1:]
    # a hit of this exposure alone: its total is its charge, plus noise and the bias of the minimum
    single = (table["exposures"] == "010") & (charge > 2000)
    assert single.sum() > 10
    assert_allclose(table["total"].value[single] / charge[single], 1, atol=0.2)
    assert np.median(table["total"].value[single] / charge[single]) == pytest.approx(1.0, abs=0.05)
    y, x = np.indices(truth.shape) + 1
    for axis, name in ((x, "xcentroid"), (y, "ycentroid")):
        centre = np.bincount(labels.ravel(), weights=(truth * axis).ravel())[1:][single] / charge[single]
        assert np.abs(table[name][single] - centre).max() < 0.5
    path = tmp_path / "t.ecsv"
    table.write(path)
    again = QTable.read(path)
    assert again["peak"].unit == table["peak"].unit
    assert again["exposures"].dtype.kind == "U"
    assert list(again["exposures"]) == list(table["exposures"])
    assert masks.features(name="CRMASK2")["n_pixels"].sum() == masks["CRMASK2"].sum()
    assert isinstance(feature_pixels(masks, table, "CRMASK2"), Table)
