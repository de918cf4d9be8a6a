"""The exposures of the example of the manual."""

import pytest
from support.parameter_files import NAMES, small_stack


@pytest.fixture(scope="session")
def example_exposures():
    """Three small simulated exposures with the numbers of the parameter file."""
    return small_stack()


@pytest.fixture(scope="session")
def images(example_exposures, tmp_path_factory):
    """Directory with the three images of the manual's example."""
    directory = tmp_path_factory.mktemp("images")
    for name, ccd in zip(NAMES, example_exposures.exposures, strict=True):
        ccd.write(directory / name)
    return directory


@pytest.fixture
def here(images, tmp_path, monkeypatch):
    """Current directory with the images in it."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        (tmp_path / name).symlink_to(images / name)
    return tmp_path
