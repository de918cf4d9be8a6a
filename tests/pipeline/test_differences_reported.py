"""What a run reports of exposures that differ: the table of the page, and the numbers of ``--json``."""

import json
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from matplotlib.figure import Figure
from support.parameter_files import NAMES, write_parameters

from crstack.cli import main
from crstack.datasets import make_stack

LEVELS = (0.0, 30.0, 75.0)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for other in ("plot_mask", "plot_diagram"):
        monkeypatch.setattr(f"crstack.plotting.accessor.{other}", lambda *args, **options: Figure())
    numbers = {"gain": 2 * u.electron / u.adu, "readnoise": 3.4 * u.electron, "bias": 100 * u.adu}
    levels = [level * u.electron for level in LEVELS]
    simulated = make_stack("imaging", (120, 130), hit_rate=0.01, seed=5, backgrounds=levels, **numbers)
    for name, ccd in zip(NAMES, simulated.exposures, strict=True):
        ccd.write(name)


def reported(capsys, crmethod, **keys):
    path = write_parameters("p.yaml", crmethod=crmethod, mm_seed=1, maxplots=0, outputs=["meancr2"], **keys)
    assert main(["run", path, "--output-dir", "out", "--json"]) == 0
    return json.loads(capsys.readouterr().out), Path("out/report.html").read_text()


@pytest.mark.filterwarnings("ignore::crstack.exceptions.CRStackWarning")
@pytest.mark.parametrize(
    ("crmethod", "keys"),
    [("joint", {}), ("mm_lacosmic", {"differences": "auto"}), ("mmcosmic", {"differences": "auto"})],
)
def test_what_was_measured_is_in_the_report(here, capsys, crmethod, keys):
    numbers, page = reported(capsys, crmethod, **keys)
    found = numbers["differences"]
    np.testing.assert_allclose(np.diff(found["level"]), np.diff(LEVELS), atol=1)
    assert found["exposure"] == [1, 2, 3]
    assert found["surface"] == ["level"] * 3
    assert "Differences of the exposures" in page
    assert "level (electron)" in page
    assert all(f"{level:.4g}" in page for level in found["level"])
    assert Path("out/differences.png").is_file()


@pytest.mark.filterwarnings("ignore::crstack.exceptions.CRStackWarning")
@pytest.mark.parametrize(("crmethod", "keys"), [("joint", {"differences": "given"}), ("mm_lacosmic", {})])
def test_nothing_is_reported_where_nothing_is_measured(here, capsys, crmethod, keys):
    numbers, page = reported(capsys, crmethod, **keys)
    assert "differences" not in numbers
    assert "Differences of the exposures" not in page
    assert not Path("out/differences.png").exists()
