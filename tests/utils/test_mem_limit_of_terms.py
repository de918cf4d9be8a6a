"""``mem_limit`` with terms that are given or measured one by one: the same results in files."""

from dataclasses import replace

import numpy as np
import pytest
from support.limited import enough, resident_bytes, simulated, stack_of, three, too_little, with_bad_values

from crstack import (
    JointPosterior,
)
from crstack.datasets import make_stack
from crstack.equalize import ResponseSettings
from crstack.exceptions import InputError
from crstack.exposures import builder
from crstack.joint import false_alarms
from crstack.utils import threads
from crstack.utils.memory import place_of

pytestmark = [
    pytest.mark.skipif(not resident_bytes(), reason="this system does not report the memory of a process"),
    pytest.mark.usefixtures("quick_joint"),
]


@pytest.mark.parametrize(
    "options",
    [
        {"method": "mmcosmic", "aux": "lacosmic"},
        {"method": "mmcosmic", "aux": ["pycosmic", "lacosmic"]},
        {"method": "joint", "aux": "pycosmic"},
        {"method": JointPosterior(false_alarm=1e-5, n_fits=2, n_sweeps=1)},
    ],
    ids=["mm_lacosmic", "vote", "joint_pycosmic", "false alarm"],
)
def test_work_on_whole_images_one_by_one_gives_the_same_in_files(options, monkeypatch):
    monkeypatch.setattr(false_alarms, "DRAWS", 60_000)
    one = with_bad_values(simulated(3, sky_factors=(1, 1.2, 0.9)))
    whole, limited = stack_of(one), stack_of(one, mem_limit=enough())
    assert place_of(limited.exposures.data) is not None
    masks = [stack.detect(**options) for stack in (whole, limited)]
    for name in masks[0]:
        np.testing.assert_array_equal(*(one.codes[name] for one in masks))
        if masks[0].found_by:
            np.testing.assert_array_equal(*(one.found_by[name] for one in masks))
    if masks[0].auxclean is not None:
        np.testing.assert_array_equal(*(one.auxclean for one in masks))
        assert place_of(masks[1].auxclean) is not None
    images = [stack.combine("meancr2").data for stack in (whole, limited)]
    np.testing.assert_allclose(*images, rtol=1e-6)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"flux_method": "slope"}, "flux_factors, measured on its own,"),
        ({"offsets": "auto", "differences": None}, "offsets, measured on its own,"),
        ({"response": ResponseSettings()}, "response, measured on its own,"),
        ({"offsets": [(0, 0)] * 3}, "given offsets"),
        ({"seeing": [2, 3, 2]}, "given seeing"),
        ({"flux_regions": [(1, 20, 1, 20), (200, 220, 200, 220)]}, "flux_regions"),
        ({"flux_regions": [(1, 20, 1, 20)], "offsets": "auto", "differences": None}, "offsets, measured on its own,"),
        ({"crosscorr_region": (1, 20, 1, 20)}, "offsets"),
    ],
)
def test_settings_that_need_whole_images_are_refused_before_the_exposures_are_read(terms, words, monkeypatch):
    def read(*_, **__):
        raise AssertionError("exposures are read")

    monkeypatch.setattr(builder, "plane_of", read)
    with pytest.raises(InputError, match=rf"mem_limit must be at least .* for {words} of this stack"):
        stack_of(three(), mem_limit=too_little(), **terms)


#: one image of numbers is large enough for a file
SMALL = (128, 140)
SLOPED = np.linspace(0.9, 1.1, SMALL[0], dtype=np.float32)[:, None] * np.ones(SMALL[1], np.float32)


#: how the exposures differ, and the terms that are given
GIVEN = {
    "factors that divide": (
        {"flux_factors": (1, 1.3, 0.8)},
        {"flux_factors": [1, 1.3, 0.8], "apply_flux_factors_to": "original"},
    ),
    "images of levels": ({}, {"backgrounds": [SLOPED, 2 * SLOPED, 4 * SLOPED], "flux_factors": [1, 1.05, 0.97]}),
    "responses": ({}, {"response": [SLOPED, 1 / SLOPED, 1.0]}),
    "all that works by rows": (
        {"with_uncertainty": True},
        {"backgrounds": [1, 2, 3], "response": [SLOPED, 1 / SLOPED, 1.0], "flux_factors": [1, 1.05, 0.97]},
    ),
    "seeing": ({}, {"seeing": [2.5, 3.0, 2.8]}),
    "flux regions of shifted exposures": (
        {"flux_factors": (1, 1.3, 0.8), "offsets": [(0, 0), (0.3, 0.1), (-0.4, 0.2)]},
        {
            "flux_regions": [(21, 90, 31, 80), (60, 135, 70, 120)],
            "flux_method": "ratio",
            "offsets": [(0, 0), (0.3, 0.1), (-0.4, 0.2)],
        },
    ),
    "flux regions and region of a correlation": (
        {"scene": "slit", "flux_factors": (1, 1.3, 0.8), "offsets": [(0, 0), (0.3, 0.1), (-2.4, 1.2)]},
        {
            "flux_regions": [(21, 90, 31, 80), (60, 140, 70, 130)],
            "flux_method": "ratio",
            "crosscorr_region": (31, 130, 21, 110),
            "differences": None,
        },
    ),
}


ONE_BY_ONE = ("seeing", "flux regions of shifted exposures", "flux regions and region of a correlation")


# not all terms are those of the exposures
@pytest.mark.filterwarnings("ignore::crstack.exceptions.CRStackWarning")
@pytest.mark.parametrize("case", GIVEN)
def test_given_terms_give_the_same_in_files(case, monkeypatch):
    differing, terms = GIVEN[case]
    # several bands, as in large images
    monkeypatch.setattr(threads.row_bands, "__defaults__", (5000,))
    shape = (150, 180) if "scene" in differing else SMALL
    one = with_bad_values(make_stack(**({"scene": "imaging"} | differing), shape=shape, n_exposures=3, seed=7))
    limit = enough() if case in ONE_BY_ONE else too_little()
    whole, limited = stack_of(one, **terms), stack_of(one, mem_limit=limit, **terms)
    assert place_of(limited.exposures.data) is not None
    known = limited.prepared.known
    large = [known.exposures.data, known.common, *(known.differences or ()), *(known.exposures.scales or ())]
    assert all(place_of(one) is not None for one in large if np.ndim(one) > 1 and one is not SLOPED)
    masks = [stack.detect("joint") for stack in (whole, limited)]
    for name in masks[0]:
        np.testing.assert_array_equal(*(one.codes[name] for one in masks))
    np.testing.assert_array_equal(*(one.probability for one in masks))
    assert masks[0].history[1:] == masks[1].history[1:]
    for name in ("meanjoint", "mediancr"):
        found = [stack.combine(name) for stack in (whole, limited)]
        np.testing.assert_allclose(*(one.data for one in found), rtol=1e-6)
        np.testing.assert_allclose(*(one.uncertainty.array for one in found), rtol=1e-6)
    for ours, theirs in zip(*(stack.clean() for stack in (whole, limited)), strict=True):
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)


@pytest.mark.parametrize("factors", [(1, 1, 1), (1, 1.2, 0.9)])
def test_cleaned_exposures_are_the_same_in_files(factors):
    one = with_bad_values(simulated(3, sky_factors=factors))
    whole, limited = stack_of(one), stack_of(one, mem_limit=too_little())
    for stack in (whole, limited):
        stack.detect("joint")
    # of a file, which has not what the decision has measured
    of_file = replace(whole.latest_masks(), decision=None)
    for masks in (None, of_file):
        cleaned = [stack.clean(masks=masks) for stack in (whole, limited)]
        assert place_of(cleaned[1][0].data) is not None
        for ours, theirs in zip(*cleaned, strict=True):
            np.testing.assert_array_equal(ours.mask, theirs.mask)
            np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)
            np.testing.assert_allclose(ours.uncertainty.array, theirs.uncertainty.array, rtol=1e-6)
            assert len(ours.meta["HISTORY"]) == len(theirs.meta["HISTORY"])
    if factors != (1, 1, 1):
        ours, theirs = (stack.equalized for stack in (whole, limited))
        np.testing.assert_allclose(ours.differences, theirs.differences, rtol=1e-6)
        assert all(place_of(one) is not None for one in theirs.differences)
