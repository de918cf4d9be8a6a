"""The warning about an implausible result is the last line of the command."""

import warnings

import pytest

from crstack.exceptions import CRStackWarning, ImplausibleResultWarning
from crstack.pipeline.console import logging_to
from crstack.utils.log import log


@pytest.mark.filterwarnings("always")
def test_an_implausible_result_is_the_last_line(capsys):
    with logging_to("info"):
        warnings.warn("90% of the values are flagged", ImplausibleResultWarning, stacklevel=1)
        warnings.warn("another", CRStackWarning, stacklevel=1)
        log.info("total 3 s")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "crstack: warning: implausible result: 90% of the values are flagged"
    assert sum("90%" in line for line in lines) == 1
    assert sum("another" in line for line in lines) == 1
