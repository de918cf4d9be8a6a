"""The text of the page of a run."""

import base64
import io
import json
import re
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from crstack.masks import MaskSet
from crstack.masks.features import find_features
from crstack.report import Figure, Layer, Report, Section, list_hits, render
from crstack.report.encoding import AROUND, SIDE, Scale, _steps_along_rows, encode_tiles, select_tiles

SHAPE = (70, 90)


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    images = rng.normal(50, 4, (3, *SHAPE)).astype(np.float32)
    images[0, 20:23, 30:40] += 300
    images[1, 21, 35:42] += 400
    images[2, 60, 80] += 20000
    images[1, 5, 6] = np.nan
    return images


@pytest.fixture
def masks():
    codes = {
        name: np.zeros(SHAPE, np.uint8) for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR")
    }
    codes["CRMASK1"][20:23, 30:40] = 2
    codes["CRMASK2"][21, 35:42] = 4
    codes["CRMASK3"][60, 80] = 3
    for i in (1, 2, 3):
        codes[f"CRMASK{i}"][40:42, 10] = 2
    codes["MEDIANCR"][21, 35:40] = 2
    codes["MEANCRT"] = np.max([codes[f"CRMASK{i}"] for i in (1, 2, 3)], axis=0)
    return MaskSet(codes)


@pytest.fixture
def report(images, masks):
    excess = np.nanmax(images, axis=0) - np.nanmin(images, axis=0)
    hits, counts = list_hits(masks, excess)
    layers = [Layer("median2d", "the median", np.nanmedian(images, axis=0), "MEDIANCR")]
    layers += [Layer(f"exposure {i}", f"e{i}.fits", image, f"CRMASK{i}", i) for i, image in enumerate(images, start=1)]
    return Report(
        title="a<b> {{data}}",
        sentence="All is well.",
        warnings=("x </script><script>alert(1)</script>",),
        layers=tuple(layers),
        codes=masks.codes,
        finder=masks.finder,
        probability=None,
        hits=tuple(hits),
        hits_notes=(("any4", "by both"),),
        counts=counts,
        unit="</script>",
        sections=(Section("Measured", ("what", "n"), [("x<y", "1.5"), ("z", 2)], (("what", "a & b"),)),),
        figures=(Figure("a b.png", "A figure", "AAAA"),),
        files=("c d.fits",),
        end="UUID 1",
    )


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def picture(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_hits_come_in_order_of_importance(masks, images):
    excess = np.nanmax(images, axis=0) - np.nanmin(images, axis=0)
    hits, counts = list_hits(masks, excess)
    assert counts == {"every exposure": 1, "coincident": 1, "touching": 0, "single": 1}
    assert [(hit.name, hit.kind) for hit in hits] == [("P1", "every exposure"), ("1", "coincident"), ("T3", "single")]
    assert [hit.exposures for hit in hits] == ["1, 2, 3", "1, 2", "3"]
    assert hits[1].box == (36, 40, 22, 22)
    assert hits[2].peak == pytest.approx(float(excess[60, 80]))
    few, same = list_hits(masks, excess, most=1)
    assert len(few) == 1
    assert same == counts


def test_hits_of_several_exposures_that_touch_are_not_single(masks, images):
    y, x = np.argwhere(masks.codes["CRMASK3"] * (1 - masks.codes["MEDIANCR"]) * ~masks.problematic)[0]
    changed = {name: masks.codes[name].copy() for name in ("CRMASK1", "MEANCRT")}
    for codes in changed.values():
        codes[y, x + 1] = 2
    masks = replace(masks, codes=masks.codes | changed)
    hits, counts = list_hits(masks, images[0])
    assert counts["touching"] == 1
    (hit,) = [hit for hit in hits if hit.kind == "touching"]
    assert hit.exposures == "1, 3"


def test_the_page_states_what_is_counted_and_measured(report):
    page = render(report)
    assert re.search(r"3 hits: 1 every exposure, 1 coincident, 1 (touching|single)\. Click on a hit", page)
    assert "figures of the hits of MEDIANCR have the highest value of the median above min2d" in page
    # the view is never wider than the image
    assert "const wide = Math.min(image.clientWidth / view.zoom, nx);" in page


def test_coincident_hit_without_a_clean_value_is_one_row(masks, images):
    third = masks.codes["CRMASK3"].copy()
    third[21, 36] = 2
    masks = replace(masks, codes=masks.codes | {"CRMASK3": third})
    hits, counts = list_hits(masks, images[0])
    assert counts == {"every exposure": 2, "coincident": 0, "touching": 0, "single": 1}
    assert {hit.name for hit in hits if hit.kind == "every exposure"} == {"1", "P2"}


def test_scale_keeps_values(images):
    scale = Scale.of(images)
    assert scale.zero == pytest.approx(50, abs=1)
    assert scale.noise == pytest.approx(4, rel=0.1)
    words = scale.words(images).astype(float)
    back = scale.zero + scale.noise * np.sinh((words - 32768) / 1024)
    good = np.isfinite(images)
    np.testing.assert_array_equal(words == 0, ~good)
    np.testing.assert_allclose(back[good], images[good], rtol=1e-3, atol=1e-3 * scale.noise)
    coded = scale.bytes(images)
    np.testing.assert_array_equal(coded == 0, ~good)
    assert coded[2, 60, 80] == 255
    assert 0 <= coded[good].min() - 1 < 20


def test_scale_of_nothing():
    assert Scale.of([np.full((5, 5), np.nan)]) == Scale(0.0, 1.0, 0.0, 1.0)
    constant = Scale.of([np.full((5, 5), 3.0)])
    assert constant.high > constant.low
    assert (constant.bytes(np.full((2, 2), 3.0)) > 0).all()


def test_tiles_cover_windows_once_and_keep_to_the_budget(images, masks):
    across = -(-SHAPE[1] // SIDE)
    numbers = select_tiles(np.array([[30, 32, 20, 20], [31, 33, 20, 20], [89, 89, 69, 69]]), SHAPE)
    assert len(numbers) == len(set(numbers))
    covered = {(number // across, number % across) for number in numbers}
    for x, y in ((31 - AROUND, 20 - AROUND), (32 + AROUND, 20 + AROUND), (89, 69)):
        assert (y // SIDE, x // SIDE) in covered
    scale = Scale.of(images)
    plane = masks.codes["CRMASK1"]
    tiles = encode_tiles(numbers, scale, images, [plane], 10**6)
    assert tiles.numbers == numbers
    raw = np.frombuffer(zlib.decompress(base64.b64decode(tiles.chunks[0])), np.uint8)
    raw = raw.reshape(7, len(numbers), SIDE, SIDE)
    top, left = (SIDE * part for part in divmod(numbers[0], across))
    inside = slice(top, top + SIDE), slice(left, left + SIDE)
    expected = scale.words(images[1][inside])
    np.testing.assert_array_equal(raw[1, 0].astype(int) * 256 + raw[4, 0], expected)
    np.testing.assert_array_equal(raw[6, 0], plane[inside])
    assert encode_tiles(numbers, scale, images, [plane], 10).numbers == []


def test_first_row_of_the_pictures_is_the_top_of_the_image(report):
    data = data_of(render(report))
    assert data["block"] == 1
    assert data["shape"] == list(SHAPE)
    names = [layer["name"] for layer in data["layers"]]
    assert names == ["median2d", "exposure 1", "exposure 2", "exposure 3"]
    last = picture(data["layers"][3]["png"])
    assert last[::-1][60, 80] == 255
    codes = {mask["name"]: picture(mask["png"])[::-1] for mask in data["masks"]}
    for name, one in report.codes.items():
        np.testing.assert_array_equal(codes[name], one)
    assert [one["words"] for one in data["codes"]] == ["M.M.Cosmic only", "auxiliary detector only", "both"]


def test_large_images_are_binned_to_fit(report, monkeypatch):
    monkeypatch.setattr("crstack.report.page.OVERVIEWS", 9000)
    data = data_of(render(report))
    block = data["block"]
    assert block > 1
    texts = [layer["png"] for layer in data["layers"]]
    assert sum(map(len, texts)) <= 9000
    # a single flagged pixel stays visible
    mask = picture(data["masks"][4]["png"])
    assert data["masks"][4]["name"] == "CRMASK3"
    assert mask[(SHAPE[0] - 1 - 60) // block, 80 // block] == 3
    assert picture(texts[0]).shape == tuple(-(-size // block) for size in SHAPE)


def test_values_are_escaped_and_nothing_comes_from_elsewhere(report):
    page = render(report)
    assert page.count("</script>") == 2
    assert "<script>alert" not in page
    assert "a&lt;b&gt; {{data}}" in page  # a value that looks like a field of the template is not replaced
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", page)
    assert "default-src 'none'" in page
    assert 'href="c%20d.fits"' in page
    assert "x&lt;y" in page
    assert "a &amp; b" in page
    assert "UUID 1" in page
    assert page.index("All is well") < page.index('id="viewer"') < page.index("Measured") < page.index("UUID 1")


def test_probabilities_are_shown(report, images, masks):
    from dataclasses import replace

    probability = np.zeros((3, *SHAPE), np.float16)
    probability[0, 21, 35] = 0.75
    joint = replace(masks, probability=probability)
    hits, _ = list_hits(joint, images[0])
    page = render(replace(report, probability=probability, hits=tuple(hits), finder=joint.finder))
    data = data_of(page)
    assert picture(data["probabilities"][0])[::-1][21, 35] == round(0.75 * 255)
    assert picture(data["probabilities"][1]).max() == 0
    assert next(hit for hit in hits if hit.name == "1").probability == 0.75
    assert '<td class="number">0.750</td>' in page
    assert ">category<" not in page


def test_nothing_to_list(report, masks):
    from dataclasses import replace

    clean = {name: np.zeros(SHAPE, np.uint8) for name in masks}
    hits, counts = list_hits(MaskSet(clean), np.zeros(SHAPE))
    page = render(replace(report, hits=tuple(hits), counts=counts, codes=clean))
    assert data_of(page)["tiles"]["numbers"] == []
    assert "<p>No hits were found.</p>" in page
    assert "Click on a hit" not in page


def test_no_matplotlib_at_import():
    import subprocess

    code = "import sys, crstack.report; sys.exit('matplotlib' in sys.modules or 'crstack.cli' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(7, 9), (5, 1), (1, 6)])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_some_steps_along_rows_are_those_of_the_image(shape, step):
    image = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    expected = np.diff(image, axis=1).ravel()[::step]
    np.testing.assert_array_equal(_steps_along_rows(image, step), expected)


def test_the_classes_of_the_files_are_those_of_the_report(masks, images):
    """A hit with masked pixels in each exposure, but none in all of them, is coincident in both."""
    third = masks.codes["CRMASK3"].copy()
    third[20, 35] = 2
    median = masks.codes["MEDIANCR"].copy()
    median[40:42, 10] = median[20, 35] = 2
    codes = masks.codes | {"CRMASK3": third, "MEDIANCR": median}
    probability = np.stack([(codes[f"CRMASK{i}"] > 0).astype(np.float32) for i in (1, 2, 3)])
    masks = replace(masks, codes=codes, probability=probability)
    table = find_features(masks)
    assert table["exposures"].tolist() == ["111", "111"]
    assert table["category"].tolist() == ["coincident", "every"]
    hits, _ = list_hits(masks, images[0])
    assert {hit.name: hit.kind for hit in hits} == {"1": "coincident", "2": "every exposure", "T3": "single"}
