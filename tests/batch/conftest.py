"""Small stacks on disk, and a batch of them."""

import pytest
import yaml

from crstack.datasets import make_stack

#: one combined image takes less time than all of them
SETTINGS = {"gain": 1.0, "rnoise": 3.4, "requirements": {"crmethod": "joint", "outputs": ["mean"]}}


@pytest.fixture(scope="session")
def exposure_files(tmp_path_factory):
    """Paths of two stacks of three small exposures, by name."""
    directory = tmp_path_factory.mktemp("raw")
    files = {}
    for seed, name in enumerate(("star", "galaxy"), start=1):
        paths = [directory / f"{name}{i}.fits" for i in range(3)]
        for path, ccd in zip(paths, make_stack("ifu", (60, 80), hit_rate=0.02, seed=seed).exposures, strict=True):
            ccd.header["OBJECT"] = name
            ccd.write(path)
        files[name] = [str(path) for path in paths]
    return files


@pytest.fixture
def settings():
    """Settings common to the stacks."""
    return {**SETTINGS, "requirements": dict(SETTINGS["requirements"])}


@pytest.fixture
def night(exposure_files, tmp_path, monkeypatch):
    """A batch file in the current directory, with a stack that is broken."""
    monkeypatch.chdir(tmp_path)
    stacks = {**exposure_files, "broken": ["no1.fits", "no2.fits", "no3.fits"]}
    (tmp_path / "night.yaml").write_text(yaml.safe_dump({"defaults": SETTINGS, "stacks": stacks}, sort_keys=False))
    return tmp_path
