"""Exposures that several tests share."""

import os
from importlib.util import find_spec
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from support.stacks import make_joint_quick, stack_of

from crstack.datasets import make_stack
from crstack.utils.threads import VARIABLE

#: these tests need hypothesis; all others run without it
collect_ignore = [] if find_spec("hypothesis") else ["cli/test_fuzz_yaml.py", "exposures/test_fuzz.py"]

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Compare the images wherever pytest-mpl is installed; without its option it would only draw them."""
    if hasattr(config.option, "mpl"):
        config.option.mpl = True
    share_processors()


def share_processors():
    """Give each of several processes of pytest-xdist its share of the processors: more threads would only wait."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
    if workers > 1:
        os.environ.setdefault(VARIABLE, str(max((os.cpu_count() or 1) // workers, 1)))


@pytest.fixture(scope="session")
def golden_dir():
    """Folder of the answers of the reference programs; skips where it is absent."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip("the golden answers are not here")
    return folder


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the real exposures; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the real exposures are not here")
    return SHARED


@pytest.fixture(scope="session")
def sprat_files():
    """The five real exposures; skips where they are absent."""
    files = sorted((SHARED / "sprat").glob("*.fits.gz"))
    if len(files) < 5:
        pytest.skip("the SPRAT exposures are not here")
    return files


@pytest.fixture(scope="session")
def simulated():
    """Three small simulated IFU exposures in ADU with known hits."""
    return make_stack(
        "ifu",
        shape=(150, 180),
        gain=2.5 * u.electron / u.adu,
        readnoise=4 * u.electron,
        bias=500 * u.adu,
        hit_rate=0.02,
        seed=11,
    )


@pytest.fixture
def stack(simulated):
    """A fresh stack of the small IFU exposures."""
    return stack_of(simulated)


@pytest.fixture
def quick_joint(monkeypatch):
    """By default, the joint decision fits the population of hits in few steps.

    For tests of what comes before or after the decision. Its masks change by few values.
    """
    make_joint_quick(monkeypatch)


@pytest.fixture(scope="module")
def quick_joint_in_module():
    """The same for a whole module whose fixtures make decisions, too."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_joint_quick(monkeypatch)
        yield


@pytest.fixture
def flat_exposures():
    """Factory: N exposures in ADU of a constant signal, without hits."""

    def make(n=3, shape=(40, 50), signal=100.0, gain=2.0, readnoise=5.0, seed=0):
        rng = np.random.default_rng(seed)
        electrons = rng.poisson(signal * gain, (n, *shape)) + rng.normal(0, readnoise, (n, *shape))
        return [(plane / gain).astype(np.float32) * u.adu for plane in electrons]

    return make
