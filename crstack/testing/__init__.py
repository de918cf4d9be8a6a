"""Checks of methods, detectors and boundary models, for the tests of their authors.

from crstack.testing import check_detector

def test_my_detector():
    check_detector(MyDetector)
"""

from crstack.testing.boundaries import check_boundary
from crstack.testing.detectors import SHAPES, check_detector
from crstack.testing.methods import check_method

__all__ = ["SHAPES", "check_boundary", "check_detector", "check_method"]
