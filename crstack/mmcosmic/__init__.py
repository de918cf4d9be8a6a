"""M.M.Cosmic: the median-minimum diagram and the decision from it."""

from crstack.mmcosmic.diagram import DiagramSettings, EquivalentSets, MMDiagram, make_diagram
from crstack.mmcosmic.method import MMCosmic, MMDecision

__all__ = ["DiagramSettings", "EquivalentSets", "MMCosmic", "MMDecision", "MMDiagram", "make_diagram"]
