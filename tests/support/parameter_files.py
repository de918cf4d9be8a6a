"""Parameter files of `crstack run`, and checks that they are refused."""

import re
from pathlib import Path

import astropy.units as u
import yaml

from crstack.cli import main
from crstack.config.keys import TOP
from crstack.datasets import make_stack

EXAMPLE = Path(__file__).parents[1] / "data" / "params_example1.yaml"
NAMES = ["fake_1a.fits", "fake_2a.fits", "fake_3a.fits"]
GAIN, BIAS = 2.0, 100.0
READNOISE = 3.4  # electrons
AT_TOP = {key.name for key in TOP}


def small_stack():
    """Three simulated exposures with the numbers of the parameter file."""
    numbers = {"gain": GAIN * u.electron / u.adu, "readnoise": READNOISE * u.electron, "bias": BIAS * u.adu}
    return make_stack("ifu", (60, 80), hit_rate=0.03, seed=5, **numbers)


def write_parameters(path, drop=(), **changes):
    """The example, faster, with some keys changed."""
    parameters = yaml.safe_load(EXAMPLE.read_text())
    parameters.update(gain=GAIN, rnoise=READNOISE / GAIN, bias=BIAS)
    parameters["requirements"].update(interactive=False, mm_nsimulations=2)
    for key, value in changes.items():
        level = parameters if key in parameters or key in AT_TOP else parameters["requirements"]
        level[key] = value
    for key in drop:
        parameters.pop(key, None)
        parameters["requirements"].pop(key, None)
    Path(path).write_text(yaml.safe_dump(parameters))
    return str(path)


def refused(capsys, arguments, match, output="out"):
    """Run; assert one sentence, exit code 2 and nothing written."""
    before = sorted(Path().rglob("*"))
    assert main(arguments) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert "Traceback" not in error
    assert lines[0].startswith("crstack: error: ")
    assert re.search(match, lines[0]), lines[0]
    assert not Path(output).is_dir()
    assert sorted(Path().rglob("*")) == before


def check_refused(capsys, match, drop=(), **changes):
    path = write_parameters("p.yaml", drop, **changes)
    refused(capsys, ["run", path, "--output-dir", "out"], match)
