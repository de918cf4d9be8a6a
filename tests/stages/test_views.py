"""Data of figures."""

import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.masks.features import find_features
from crstack.stages.views import features_of_mask, in_diagram_of


def test_only_mmcosmic_has_a_diagram():
    simulated = make_stack("ifu", (64, 80), 3, hit_rate=0.02, seed=1)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    masks = stack.detect("mmcosmic", aux=None)
    shown = in_diagram_of(masks)
    assert shown.diagram is masks.decision.diagram
    assert shown.boundary is masks.decision.boundary
    assert in_diagram_of(stack.detect("joint")).diagram is None


def test_signal_of_the_hits_is_above_min2d():
    simulated = make_stack("ifu", (60, 70), hit_rate=0.02, seed=1)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    masks = stack.detect("joint")
    found = features_of_mask("CRMASK1", stack.prepared, masks)
    above = stack.exposures.data[0] - stack.prepared.statistics.min2d
    expected = find_features(masks, above, "CRMASK1", stack.exposures.unit)
    assert len(found) > 5
    in_unit = [name for name in found.colnames if found[name].unit == stack.exposures.unit]
    assert in_unit
    for name in in_unit:
        np.testing.assert_allclose(found[name].value, expected[name].value)
