"""The example of a plug-in, installed with pip into a fresh environment."""

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, small_stack, write_parameters

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "crstack-plugin-example"
CRSTACK = "import sys; from crstack.cli import main; sys.exit(main())"
BROKEN = """
[metadata]
name = broken-plugin
version = 0.1
[options]
py_modules = broken_plugin
[options.entry_points]
crstack.detectors =
    broken = broken_plugin:BrokenDetector
"""


class Environment:
    """A virtual environment that can import the packages of this one too."""

    def __init__(self, path):
        venv.create(path, with_pip=False)
        self.python = path / ("Scripts" if os.name == "nt" else "bin") / "python"
        inside = self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        lines = [f"import site; site.addsitedir({sysconfig.get_path(name)!r})" for name in ("purelib", "platlib")]
        (Path(inside) / "shared.pth").write_text("\n".join(lines) + "\n")

    def run(self, *arguments, cwd=None, code=0):
        """Standard output and error of Python with some arguments."""
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
        clean["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        done = subprocess.run(
            [self.python, *arguments], cwd=cwd, env=clean, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def install(self, project):
        self.run("-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "-q", str(project))

    def crstack(self, *arguments, cwd, code=0):
        return self.run("-c", CRSTACK, *arguments, cwd=cwd, code=code)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    if not (find_spec("pip") and find_spec("setuptools")):
        pytest.skip("pip and setuptools are not here to install the example")
    directory = tmp_path_factory.mktemp("plugins")
    environment = Environment(directory / "venv")
    # a copy, because pip builds beside the sources
    example = shutil.copytree(EXAMPLE, directory / "example", ignore=shutil.ignore_patterns("__pycache__"))
    environment.install(example)
    broken = directory / "broken"
    broken.mkdir()
    (broken / "setup.cfg").write_text(BROKEN)
    (broken / "setup.py").write_text("from setuptools import setup\nsetup()\n")
    (broken / "broken_plugin.py").write_text("raise ValueError('of its own making')\n")
    environment.install(broken)
    return environment


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulated = small_stack()
    for name, ccd in zip(NAMES, simulated.exposures, strict=True):
        ccd.write(name)
    return tmp_path


def test_it_is_listed_and_a_broken_one_named(environment, tmp_path):
    told = environment.crstack("plugins", cwd=tmp_path)
    assert "clip: crstack_plugin_example.ClipMethod" in told
    assert "sharp: crstack_plugin_example.SharpDetector" in told
    assert "level: crstack_plugin_example.LevelBoundary" in told
    assert "n_sigma" in told
    assert "lacosmic: crstack.detectors.lacosmic.LACosmicDetector" in told
    assert "'broken' (broken_plugin:BrokenDetector) must be importable; got ValueError: of its own making" in told


def test_its_own_tests_pass(environment, tmp_path):
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    assert "3 passed" in environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)


def test_by_name_in_yaml_and_by_class_in_python(environment, images):
    write_parameters(
        "p.yaml",
        crmethod="mm_sharp",
        detector={"n_sigma": 6.0, "size": 7},
        mm_boundary_fit="level",
        boundary={"factor": 1.1},
    )
    code = (
        "from crstack.cli import main\n"
        "assert main(['run', 'p.yaml', '--output-dir', 'out', '-v', '--no-plots']) == 0\n"
        "import astropy.units as u\n"
        "from crstack import CRStack\n"
        "from crstack_plugin_example import LevelBoundary, SharpDetector\n"
        f"options = dict(gain={GAIN} * u.electron / u.adu, readnoise={READNOISE} * u.electron, bias={BIAS} * u.adu)\n"
        f"stack = CRStack.from_files({NAMES}, unit=u.adu, **options)\n"
        "detector = SharpDetector(n_sigma=6.0, size=7)\n"
        "stack.mm_diagram(aux=detector, n_simulations=2)\n"
        "stack.detect(aux=detector, boundary=LevelBoundary(factor=1.1)).write('mine.fits')\n"
        "stack.detect(aux='sharp', boundary='level')\n"
    )
    assert "n_sigma" in environment.run("-c", code, cwd=images)
    with fits.open("out/crmasks.fits") as run, fits.open("mine.fits") as mine:
        history = "\n".join(run[0].header["HISTORY"])
        assert "detector: n_sigma: 6, size: 7" in history
        assert "boundary: factor: 1.1" in history
        for name in ("MEDIANCR", "CRMASK1"):
            np.testing.assert_array_equal(run[name].data, mine[name].data)
            assert run[name].data.any()


REFUSED = [
    ({"crmethod": "sharp", "detector": {"nsigma": 6}}, r"SharpDetector \(n_sigma, size\); got nsigma .*mean n_sigma"),
    ({"crmethod": "mm_sharp", "detector": 3}, "detector must be parameters by name; got 3"),
    ({"crmethod": "broken"}, "detector 'broken' .* must be importable"),
    ({"crmethod": "lacosmic", "detector": {"n_sigma": 6}}, "detector must be left out for lacosmic"),
    ({"mm_boundary_fit": "level", "mm_fixed_points_in_boundary": [[1, 2]]}, "in_boundary must be empty"),
]


def test_what_the_command_refuses(environment, images):
    """All in one process, because each takes seconds to start."""
    for number, (changes, _) in enumerate(REFUSED):
        write_parameters(f"{number}.yaml", **changes)
    code = f"from crstack.cli import main\nfor i in range({len(REFUSED)}): print(main(['run', f'{{i}}.yaml']))"
    told = [line for line in environment.run("-c", code, cwd=images).splitlines() if "error:" in line]
    assert len(told) == len(REFUSED)
    for line, (_, sentence) in zip(told, REFUSED, strict=True):
        assert re.search(sentence, line), line
    assert not (images / "crmasks.fits").exists()


@pytest.mark.parametrize("crmethod", ["clip", "clip_sharp"])
def test_a_method_by_name_in_yaml(environment, images, crmethod):
    # two pages of hits are as good as forty
    write_parameters("p.yaml", crmethod=crmethod, method={"n_sigma": 8.0}, maxplots=1)
    # figures of a method without a diagram take seconds, and do not depend on the detector
    plots = ["--no-plots"] if crmethod == "clip_sharp" else []
    aux = "'sharp'" if crmethod == "clip_sharp" else None
    code = (
        "from crstack.cli import main\n"
        f"assert main(['run', 'p.yaml', '--output-dir', 'out', *{plots}]) == 0\n"
        "import astropy.units as u\n"
        "from crstack import CRStack\n"
        "from crstack_plugin_example import ClipMethod\n"
        f"options = dict(gain={GAIN} * u.electron / u.adu, readnoise={READNOISE} * u.electron, bias={BIAS} * u.adu)\n"
        f"stack = CRStack({NAMES}, unit=u.adu, **options)\n"
        f"stack.detect(ClipMethod(n_sigma=8.0), aux={aux}).write('mine.fits')\n"
        "stack.detect('clip')\n"
    )
    assert "clipping" in environment.run("-c", code, cwd=images)
    with fits.open("out/crmasks.fits") as run, fits.open("mine.fits") as mine:
        assert mine["CRMASK1"].data.sum() > 10
        for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR"):
            np.testing.assert_array_equal(run[name].data, mine[name].data)


def test_a_parameter_that_the_method_lacks_is_refused(environment, images):
    write_parameters("p.yaml", crmethod="clip", method={"n_sgima": 8.0})
    told = environment.crstack("run", "p.yaml", "--output-dir", "out", cwd=images, code=2)
    assert "did you mean n_sigma?" in told
