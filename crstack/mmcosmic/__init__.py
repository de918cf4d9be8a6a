"""M.M.Cosmic: the decision from the median-minimum diagram."""

from crstack.mmcosmic.method import MMCosmic, MMDecision

__all__ = ["MMCosmic", "MMDecision"]
