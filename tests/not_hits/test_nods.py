"""Traces that lie at another place in each exposure, and profiles that moved."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.exposures import load_exposures
from crstack.lines_in_masks.search import lines_near_axes
from crstack.masks.codes import Code, exposure_name
from crstack.not_hits.nods import _at_one_place, _medians, moved_traces, sentence_of_nods
from crstack.not_hits.trails import Trail

SHAPE = (140, 180)


def slit(places, step=40, tilt=0.0, turned=False):
    """Exposures of a slit with lines of the sky, and a trace at one of several places."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    sky = 20 + sum(400 * np.exp(-(((x - one) / 1.2) ** 2) / 2) for one in (20, 55, 61, 110, 150))
    planes = [
        sky + 500 * np.exp(-(((y - 50 - step * place - tilt * x) / 1.8) ** 2) / 2) * (1 + 0.3 * np.sin(x / 40))
        for place in places
    ]
    planes = [rng.poisson(plane) + rng.normal(0, 4, SHAPE) for plane in planes]
    for plane in planes:
        plane[rng.integers(0, SHAPE[0], 60), rng.integers(0, SHAPE[1], 60)] += 800
    planes = [plane.T if turned else plane for plane in planes]
    exposures = [CCDData(np.ascontiguousarray(plane, np.float32), unit=u.electron) for plane in planes]
    return CRStack(exposures, readnoise=4 * u.electron)


@pytest.mark.parametrize(
    ("places", "step", "tilt", "turned"),
    [("0011", 40, 0.04, False), ("0101", 40, 0, True), ("01011", 40, 0, False)],
)
def test_a_nod_to_two_places_is_masked_in_all_exposures(places, step, tilt, turned):
    places = [int(place) for place in places]
    with pytest.warns(match="parallel traces lie at different places in different exposures") as caught:
        masks = slit(places, step, tilt, turned).detect()
    assert len(caught) == 1
    assert "Was the target nodded along the slit?" in str(caught[0].message)
    columns = np.arange(SHAPE[1])
    for place in (0, 1):
        rows = np.rint(50 + step * place + tilt * columns).astype(int)
        where = (columns, rows) if turned else (rows, columns)
        for i, own in enumerate(places):
            found = np.mean(masks.codes[exposure_name(i)][where] == Code.MOVED)
            assert found > 0.98 if own == place else found == 0, (place, i)


def test_parts_of_one_trace_are_named_once():
    ends = ((1, 6, 107, 400, 115), (3, 6, 107, 400, 115), (2, 1, 147, 400, 155), (1, 400, 115, 6, 107.5))
    text = sentence_of_nods([Trail(*one, width=3.0, n_pixels=900) for one in ends], ["a", "b", "c"])
    assert "a from (6, 107) to (400, 115); c from (6, 107) to (400, 115), at the place of the first; " in text
    assert "; b from (1, 147) to (400, 155), +40.0 pixels from the first. Was" in text


def test_lines_near_axes():
    flagged = np.random.default_rng(1).random((200, 240)) < 0.01
    assert lines_near_axes(flagged, 0.17, 0.15) == []
    columns = np.arange(240)
    some = columns[columns % 12 < 5]
    for step in range(4):
        flagged[np.rint(60 + 0.05 * some).astype(int) + step, some] = True
    (line,) = lines_near_axes(flagged, 0.17, 0.15)
    np.testing.assert_allclose(line, (0, 61.5, 239, 73.5), atol=3)
    turned = [(y1, x1, y2, x2) for x1, y1, x2, y2 in lines_near_axes(flagged.T, 0.17, 0.15)]
    np.testing.assert_allclose(turned, [line], atol=1)


def test_lines_near_axes_among_many_hits():
    """Hits that fill a sixth of the blocks make no line by chance, and a trace among them is one."""
    rng = np.random.default_rng(4)
    flagged = np.zeros((360, 400), bool)
    flagged[rng.integers(0, 360, 550), rng.integers(0, 400, 550)] = True
    flagged = ndimage.binary_dilation(flagged, iterations=2)
    assert lines_near_axes(flagged, 0.17, 0.15) == []
    assert lines_near_axes(flagged.T, 0.17, 0.15) == []
    flagged[150:155] |= rng.random(400) < 0.8
    (line,) = lines_near_axes(flagged, 0.17, 0.15)
    np.testing.assert_allclose(line, (0, 152, 399, 152), atol=3)


@pytest.mark.filterwarnings(
    "ignore:structures differ", "ignore:flagged groups are smooth", "ignore:.* the shape of a source"
)
def test_many_wide_hits_are_no_nod():
    rng = np.random.default_rng(2)
    planes = []
    for _ in range(3):
        charges = np.zeros((300, 320))
        charges[rng.integers(0, 300, 600), rng.integers(0, 320, 600)] = 6000
        charges = ndimage.gaussian_filter(charges, 1.2)
        planes.append(CCDData(rng.poisson(60 + charges) + rng.normal(0, 4, charges.shape), unit=u.electron))
    masks = CRStack(planes, readnoise=4 * u.electron, differences=None).detect()
    for i in range(3):
        assert not np.any(masks.codes[exposure_name(i)] == Code.MOVED)
        assert 0.05 < masks[exposure_name(i)].mean() < 0.25


def test_lines_near_axes_of_a_narrow_image():
    flagged = np.random.default_rng(1).random((64, 2000)) < 0.01
    assert lines_near_axes(flagged, 0.17, 0.15) == []
    flagged[30:34, 100:1900] = True
    (line,) = lines_near_axes(flagged, 0.17, 0.15)
    np.testing.assert_allclose(line, (0, 31.5, 1999, 31.5), atol=2)
    (turned,) = lines_near_axes(flagged.T, 0.17, 0.15)
    np.testing.assert_allclose(turned, (31.5, 0, 31.5, 1999), atol=2)


@pytest.mark.parametrize("n", [8, 9])
def test_medians_of_rows_are_those_of_numpy(n):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(50, n))
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[:, 0] = 1.5  # no row without a value
    before = rows.copy()
    assert np.array_equal(_medians(rows), np.nanmedian(rows, axis=1))
    assert np.array_equal(rows, before, equal_nan=True)


def lines_of(height, rng, readnoise=0.2, shape=(300, 180)):
    """Exposures of whole photons with columns that are brighter by a number of photons, 6 pixels apart."""
    planes = []
    for shift in (0, 6, 0):
        plane = np.round(rng.poisson(2.2, shape) + rng.normal(0, readnoise, shape))
        plane[:, [40 + shift, 77 + shift, 120 + shift]] += height
        planes.append(CCDData(plane, unit="electron"))
    return load_exposures(planes, readnoise=readnoise * u.electron)


def test_one_step_of_a_median_is_no_line():
    rng = np.random.default_rng(5)
    assert moved_traces(lines_of(1, rng)) == []
    ((i, axis, shift),) = moved_traces(lines_of(6, rng))
    assert (i, axis) == (1, "x")
    assert shift == pytest.approx(6, abs=0.3)


@pytest.mark.parametrize(
    ("rows", "exposures", "at_one_place"),
    [((50,), (1,), False), ((50, 51), (1, 1), False), ((50, 51), (1, 2), True), ((50, 70), (1, 2), False)],
)
def test_features_of_two_exposures_at_one_place(rows, exposures, at_one_place):
    features = [Trail(i, 1.0, row, 200.0, row, 5.0, 1000) for i, row in zip(exposures, rows, strict=True)]
    assert _at_one_place(features) == at_one_place
