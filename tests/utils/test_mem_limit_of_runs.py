"""``mem_limit`` of the command: files of a run in files, and refusals before it writes."""

import numpy as np
import pytest
import yaml
from astropy.io import fits
from support.limited import enough, held, resident_bytes, simulated, too_little
from support.stacks import make_joint_quick

from crstack import (
    MaskSet,
)
from crstack.cli import main

pytestmark = [
    pytest.mark.skipif(not resident_bytes(), reason="this system does not report the memory of a process"),
    pytest.mark.usefixtures("quick_joint"),
]


def files_of(one, directory):
    paths = []
    for number, ccd in enumerate(one.exposures):
        paths.append(directory / f"e{number}.fits")
        ccd.write(paths[-1])
    return list(map(str, paths))


NUMBERS = ["--gain", "1", "--readnoise", "3.4 electron", "--no-plots"]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """Paths of exposures, and the directory of a run of them in memory with cleaned exposures."""
    directory = tmp_path_factory.mktemp("whole")
    paths = files_of(simulated(3, sky_factors=(1, 1.2, 0.9)), directory)
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_joint_quick(monkeypatch)
        assert main(["run", *paths, *NUMBERS, "--clean", "--output-dir", str(directory / "out")]) == 0
    return paths, directory / "out"


def assert_same_files(directory, other, pattern="*.fits"):
    names = sorted(path.name for path in directory.glob(pattern))
    assert names == sorted(path.name for path in other.glob(pattern))
    assert "exposure_3_clean.fits" in names
    for name in names:
        with fits.open(directory / name) as ours, fits.open(other / name) as theirs:
            for one, same in zip(ours, theirs, strict=True):
                if one.data is not None:
                    np.testing.assert_allclose(one.data, same.data, rtol=1e-6)


# the limit is what the process holds already
@pytest.mark.filterwarnings("ignore:the work used")
def test_a_run_in_files_writes_the_same_files(whole_run, tmp_path):
    paths, whole = whole_run
    limit = ["--mem-limit", str(too_little())]
    assert main(["run", *paths, *NUMBERS, *limit, "--clean", "--output-dir", str(tmp_path)]) == 0
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    assert_same_files(whole, tmp_path)
    for name in names:
        if name.endswith(".fits"):
            ignored = {"ignore_keywords": ["UUID", "CRUUID", "HISTORY", "CHECKSUM", "DATASUM"], "rtol": 1e-6}
            difference = fits.FITSDiff(str(whole / name), str(tmp_path / name), **ignored)
            assert difference.identical, difference.report()
        elif name.endswith(".csv"):
            assert (whole / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.filterwarnings("ignore:the work used")
def test_figures_and_the_page_of_a_run_in_files(tmp_path):
    paths = files_of(simulated(3, sky_factors=(1, 1.2, 0.9)), tmp_path)
    few = {"crmethod": "joint", "outputs": ["meancr2"], "maxplots": 1}
    parameters = tmp_path / "p.yaml"
    parameters.write_text(yaml.safe_dump({"images": paths, "gain": 1.0, "rnoise": 3.4, "requirements": few}))
    options = ["--mem-limit", str(enough()), "--output-dir", str(tmp_path / "out")]
    assert main(["run", str(parameters), *options]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "diagnostic_mediancr.png", "image_number_at_median_position.png"} <= names


@pytest.mark.parametrize("more", [["--method", "mm_pycosmic", "--no-plots"], []])
def test_the_command_refuses_before_it_writes(more, tmp_path, capsys):
    paths = files_of(simulated(3), tmp_path)
    options = ["--gain", "1", "--readnoise", "3.4 electron", "--mem-limit", str(too_little())]
    assert main(["run", *paths, *options, *more, "--output-dir", str(tmp_path / "out")]) == 2
    assert "mem_limit must be at least" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def with_given_masks(whole_run, tmp_path_factory):
    """The directory of a run in memory with masks of a file."""
    paths, whole = whole_run
    directory = tmp_path_factory.mktemp("given")
    given = ["--crmasks", str(whole / "crmasks.fits"), "--clean", "--output-dir", str(directory)]
    assert main(["run", *paths, *NUMBERS, *given]) == 0
    return directory


@pytest.mark.filterwarnings("ignore:the work used")
@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz"])
def test_a_run_with_cleaned_exposures_and_masks_of_a_file_in_files(whole_run, with_given_masks, tmp_path, ending):
    paths, whole = whole_run
    masks = tmp_path / f"masks{ending}"
    MaskSet.read(whole / "crmasks.fits").write(masks)
    given = ["--crmasks", str(masks), "--mem-limit", str(held() + 20_000_000), "--clean"]
    assert main(["run", *paths, *NUMBERS, *given, "--output-dir", str(tmp_path / "limited")]) == 0
    assert_same_files(with_given_masks, tmp_path / "limited")
