"""Progress bars, and readable summaries."""

import numpy as np
import pytest

from crstack import JointPosterior
from crstack.exceptions import InputError
from crstack.utils.progress import progress_to
from crstack.utils.summary import Summary


@pytest.fixture
def bars(monkeypatch):
    """Fraction of each bar when it was closed."""
    import tqdm.auto

    closed = {}

    class Recorded(tqdm.auto.tqdm):
        def close(self):
            closed[self.desc] = self.n
            super().close()

    monkeypatch.setattr("tqdm.auto.tqdm", Recorded)
    return closed


def test_a_bar_reaches_1(stack, bars, capsys):
    stack.detect(aux="pycosmic", progress=True)
    assert "masking MEANCRT" in bars
    assert set(bars.values()) == {1.0}
    assert "masking MEANCRT 100%" in capsys.readouterr().err


def test_a_bar_of_a_failure_does_not_say_that_all_is_done(bars):
    def fail():
        with progress_to(True) as report:
            report("one", 0.0)
            report("two", 0.25)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert bars == {"one": 1.0, "two": 0.25}


def test_functions_and_nothing(stack):
    told = []
    stack.detect("mmcosmic", aux=None, progress=lambda stage, fraction: told.append((stage, fraction)))
    assert ("masking MEANCRT", 0.0) in told
    with pytest.raises(InputError, match=r"progress must be True, None or a function .*; got 'x'"):
        stack.detect(aux="pycosmic", progress="x")


def test_numbers_of_a_combination(stack):
    masks = stack.detect(aux="pycosmic", boundary=None)
    full = stack.combine("mediancr", masks=masks, full_output=True)
    summary = full.summary()
    assert summary["pixels"] == 150 * 180
    assert summary["minimum"] == masks["MEDIANCR"].sum()
    assert summary["without a clean measurement"] == full.ccd.mask.sum()
    assert summary["median value"] == pytest.approx(np.median(full.ccd.data[~full.ccd.mask]))
    assert "median value                 " in str(summary)
    assert f"<td>{masks['MEDIANCR'].sum()}</td>" in full._repr_html_()


def test_numbers_of_a_stack_and_its_masks(stack):
    assert "pixels in MEDIANCR" not in stack.summary()
    masks = stack.detect("mmcosmic", aux=None)
    summary = stack.summary()
    assert (summary["exposures"], summary["rows"], summary["columns"]) == (3, 150, 180)
    assert summary["pixels in CRMASK2"] == masks["CRMASK2"].sum()
    assert str(masks["CRMASK2"].sum()) in stack._repr_html_()
    assert "MEDIANCR" in masks._repr_html_()
    result = stack.joint_posterior(method=JointPosterior())
    assert "scatter beyond the noise" in result._repr_html_()


def test_html_is_escaped():
    assert "<b>" not in Summary({"<b>": "<b>"})._repr_html_()
    assert str(Summary({"a": 1.23456789, "long name": 2})) == "a          1.23457\nlong name  2"
