"""The author of a plug-in needs no more tests than these to begin with."""

from crstack_plugin_example import ClipMethod, LevelBoundary, SharpDetector

from crstack.testing import check_boundary, check_detector, check_method


def test_method():
    check_method(ClipMethod)


def test_detector():
    check_detector(SharpDetector)


def test_boundary():
    check_boundary(LevelBoundary)
