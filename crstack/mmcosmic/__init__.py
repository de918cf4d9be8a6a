"""M.M.Cosmic: the median-minimum diagram and the decision that it leads to."""

from crstack.mmcosmic.diagram import DiagramSettings, EquivalentSets, MMDiagram, make_diagram

__all__ = ["DiagramSettings", "EquivalentSets", "MMDiagram", "make_diagram"]
