"""What is checked and logged before a run."""

import logging

import numpy as np
import pytest
from support.parameter_files import write_parameters

from crstack.config.configuration import read_configuration
from crstack.config.detector_images import DetectorNumbers
from crstack.pipeline import prepare
from crstack.utils.log import settings_lines


@pytest.mark.parametrize(
    ("rnoise", "finding", "words"),
    [
        (1.7, True, "6.8 (derived"),
        (np.array([[1.7, 2.0], [1.5, 1.7]]), True, "6 to 8 (derived"),
        (np.full((2, 2), 1.5), True, "6 (derived"),
        ("header:RDNOISE", True, None),
        (1.7, False, None),
    ],
)
def test_the_threshold_is_logged_in_adu(tmp_path, caplog, monkeypatch, rnoise, finding, words):
    monkeypatch.setattr(logging.getLogger("crstack"), "propagate", True)
    caplog.set_level(logging.INFO, "crstack")
    path = write_parameters(tmp_path / "p.yaml", crmethod="mm_lacosmic", mm_threshold_rnoise=4.0)
    configuration = read_configuration(path)
    prepare._log_settings(configuration, DetectorNumbers(2.0, rnoise, 100.0), finding)
    lines = [line.split(maxsplit=1)[1] for line in caplog.messages if line.split()[:1] == ["mm_threshold"]]
    assert [line[: len(words or "")] for line in lines] == ([] if words is None else [words])


def test_values_of_settings_stand_below_each_other():
    lines = settings_lines([("a", 1), ("a_long_name", "two"), ("empty", "")])
    assert lines == ["  a            1", "  a_long_name  two", "  empty"]
    assert settings_lines([]) == []
