"""Data of figures."""

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.stages.views import in_diagram_of


def test_only_mmcosmic_has_a_diagram():
    simulated = make_stack("ifu", (64, 80), 3, hit_rate=0.02, seed=1)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    masks = stack.detect("mmcosmic", aux=None)
    shown = in_diagram_of(masks)
    assert shown.diagram is masks.decision.diagram
    assert shown.boundary is masks.decision.boundary
    assert in_diagram_of(stack.detect("joint")).diagram is None
