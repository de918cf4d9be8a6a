"""Plausibility of masks: warnings about results that no real stack gives."""

from crstack.plausibility.checks import MAX_FRACTION, check_plausible, implausibilities
from crstack.plausibility.structures import is_misaligned
from crstack.plausibility.traces import sentence_of_traces

__all__ = ["MAX_FRACTION", "check_plausible", "implausibilities", "is_misaligned", "sentence_of_traces"]
