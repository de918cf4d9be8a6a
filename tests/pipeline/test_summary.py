"""What the log says of the masks."""

from types import SimpleNamespace

import numpy as np

from crstack import Code, MaskSet
from crstack.pipeline import summary


def test_numbers_and_percentages_of_the_masks(monkeypatch):
    lines = []
    said = SimpleNamespace(**dict.fromkeys(("info", "note"), lambda words, *numbers: lines.append(words % numbers)))
    monkeypatch.setattr(summary, "log", said)
    codes = {name: np.zeros((8, 25), np.uint8) for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "MEANCR")}
    codes["MEANCRT"][2, :7] = 2
    codes["CRMASK1"][2, :4] = codes["CRMASK2"][2, 3:7] = 2
    steps = {"MEANCRT": {"boundary": 9, "auxiliary detector": 4, "flagged": 7}}
    masks = MaskSet(codes, steps=steps)
    summary.log_masks(masks, verbose=False)
    assert lines[:3] == ["MEANCRT", f"  {'boundary':<50} {9:10d}", f"  {'flagged':<50} {7:10d}"]
    share = {line.split()[0]: line.split()[-1] for line in lines if line[:1] in "MC" and len(line.split()) > 2}
    assert share == {
        "MEDIANCR": "0.0000",
        "MEANCRT": "3.5000",
        "CRMASK1": "2.0000",
        "CRMASK2": "2.0000",
        "MEANCR": "0.0000",
    }
    # columns without a pixel are left out, and one that has the numbers of another
    (heads,) = [line for line in lines if line.startswith("pixels of")]
    assert heads.split() == ["pixels", "of", "flagged", "%"]
    assert lines[-2] == "all found by: M.M.Cosmic"
    assert lines[-1] == "problematic pixels, masked in every exposure: 1"
    lines.clear()
    summary.log_masks(masks, verbose=True)
    assert lines[2] == f"  {'auxiliary detector':<50} {4:10d}"
    lines.clear()
    codes["CRMASK1"][5, 5] = Code.SOURCE
    summary.log_masks(MaskSet(codes), verbose=False)
    (heads,) = [line for line in lines if line.startswith("pixels of")]
    assert heads.split() == ["pixels", "of", "flagged", "mmcosmic", "source", "%"]
    assert not any(line.startswith("all found by") for line in lines)
