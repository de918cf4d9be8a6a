"""Parts of a run of the command."""

import numpy as np

from crstack import MaskSet
from crstack.pipeline.run import without_dropped


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
