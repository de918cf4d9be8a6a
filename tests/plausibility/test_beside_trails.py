"""Values of the other exposures that are flagged beside a trail."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from support.stacks import stack_of

from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.masks.codes import Code
from crstack.plausibility.beside_trails import warn_of_flags_beside_trails

SHAPE = (200, 300)
EXPOSURES = SimpleNamespace(names=("a.fits", "b.fits", "c.fits"))


def masks_of(*, trails=(2,), share_beside=0.0, share=0.003, code=Code.MMCOSMIC):
    """Masks of three exposures: a trail in the second one, hits, and flags beside the trail in the others."""
    rng = np.random.default_rng(5)
    codes = {}
    for i in range(3):
        plane = np.where(rng.random(SHAPE) < share, Code.MMCOSMIC, Code.CLEAN).astype(np.uint8)
        if i == 1:
            plane[90:105] = Code.TRAIL
        else:
            plane[80:115][rng.random((35, 300)) < share_beside] = code
        codes[f"CRMASK{i + 1}"] = plane
    return SimpleNamespace(codes=codes, n_exposures=3, trails=tuple(SimpleNamespace(exposure=k) for k in trails))


def test_flags_beside_a_trail_are_named():
    """A bright and broad trail changed the level beside it: dark blotches in the combined image, without a word."""
    with pytest.warns(CRStackWarning, match=r"elsewhere: \d{4} beside that of b.fits\. .*Mask") as found:
        warn_of_flags_beside_trails(masks_of(share_beside=0.05), EXPOSURES)
    assert len(found) == 1


@pytest.mark.parametrize(
    "masks",
    [
        masks_of(),
        # many hits everywhere
        masks_of(share=0.05),
        masks_of(share_beside=0.05, trails=()),
        # a few more than by chance
        masks_of(share_beside=0.002),
        # pixels that the user forces
        masks_of(share_beside=0.05, code=Code.GIVEN),
    ],
)
def test_hits_beside_a_trail_are_as_frequent_as_elsewhere(masks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_flags_beside_trails(masks, EXPOSURES)


def test_it_is_among_the_checks_of_masks(monkeypatch):
    examined = []
    monkeypatch.setattr("crstack.plausibility.checks.warn_of_flags_beside_trails", lambda *args: examined.append(args))
    stack = stack_of(make_stack("imaging", shape=(60, 70), seed=4))
    masks = stack.detect()
    assert [args[0] for args in examined] == [masks]
