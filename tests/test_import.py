"""Time and side effects of importing crstack."""

import subprocess
import sys

import pytest

import crstack

HEAVY = ("astropy", "astroscrappy", "ccdproc", "matplotlib", "numpy", "photutils", "scipy", "skimage", "tqdm", "yaml")


def loaded(code):
    """Names of the heavy libraries that a piece of code imports."""
    code = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("argument", ["--version", "--help", "run --help"])
def test_the_arguments_need_no_library(argument):
    assert loaded(f"from crstack.cli import main\nmain({argument.split()!r})\nprint()") == set()


def test_names_are_imported_when_they_are_used():
    assert loaded("import crstack\nprint()") == set()


def test_every_name_is_there():
    for name in crstack.__all__:
        assert getattr(crstack, name).__name__ in (name, {"read": "read_combination"}.get(name))
    assert {*crstack.__all__, "masks", "__version__"} <= {*dir(crstack)}
    assert crstack.noise.NoiseModel is crstack.NoiseModel
    with pytest.raises(AttributeError, match="no attribute 'CRStak'"):
        crstack.CRStak  # noqa: B018


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "crstack", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"crstack {crstack.__version__}\n"


LOADED_LATER = {"astroscrappy", "ccdproc", "matplotlib", "photutils", "skimage", "tqdm"}


def test_a_stack_needs_no_library_of_a_detector_or_a_figure():
    assert (
        loaded("from crstack import CRStack, JointPosterior, MMCosmic, SplineBoundary\nprint()") & LOADED_LATER == set()
    )


def test_the_environment_is_left_alone():
    """One process imports all, because each takes two seconds."""
    names = ("CRStack", "LACosmicDetector", "PyCosmicDetector", "JointPosterior")
    code = f"import os, crstack\nbefore = dict(os.environ)\nfor name in {names!r}:\n"
    code += "    getattr(crstack, name)\n    print(before == dict(os.environ))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n" * len(names)


def test_the_command_loads_slow_libraries_only_where_they_are_used():
    slow = {"matplotlib", "photutils", "scipy.interpolate", "scipy.optimize", "scipy.signal", "scipy.stats", "skimage"}
    code = f"import sys\nimport crstack.pipeline.run\nprint(*{slow!r} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
