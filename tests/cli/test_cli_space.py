"""A disk that is too small is reported before the work."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from astropy.io import fits
from support.limited import resident_bytes
from support.parameter_files import NAMES, refused, write_parameters

from crstack.cli import main
from crstack.pipeline.space import product_sizes, space_beside

NUMBERS = ["--gain", "2", "--readnoise", "3.4 electron", "--bias", "100"]
N_PIXELS = 60 * 80


@pytest.fixture
def free(monkeypatch):
    """A function that sets the free space of every disk."""

    def set_free(n_bytes, total=10**12):
        usage = SimpleNamespace(total=total, used=0, free=n_bytes)
        monkeypatch.setattr("crstack.utils.disk.shutil.disk_usage", lambda path: usage)

    return set_free


def bytes_of_data(path):
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        return sum(hdu.data.nbytes for hdu in hdus if hdu.data is not None)


@pytest.mark.parametrize("method", ["joint", "pycosmic"])
def test_sizes_are_those_of_the_files(here, method):
    path = write_parameters("p.yaml", crmethod=method)
    assert main(["run", path, "--output-dir", "out", "--no-plots", "--clean", "--log-level", "error"]) == 0
    sizes = product_sizes(3, N_PIXELS, plots=False, joint=method == "joint", clean=True)
    combined, clean = sorted(Path("out").glob("combined_*.fits")), sorted(Path("out").glob("*_clean.fits"))
    assert (len(combined), len(clean)) == (sizes.n_combined, sizes.n_clean)
    assert {bytes_of_data(one) for one in combined} == {sizes.combined}
    assert {bytes_of_data(one) for one in clean} == {sizes.clean}
    found = bytes_of_data("out/crmasks.fits")
    # a detector adds planes of its own
    assert found == sizes.masks if method == "joint" else found >= sizes.masks


@pytest.mark.parametrize(("compression", "plots"), [("gzip", True), ("fpack", False)])
def test_the_size_of_what_is_compressed_or_drawn_is_a_lower_estimate(here, compression, plots):
    """Figures, which take seconds, do not depend on the compression."""
    path = write_parameters("p.yaml", crmethod="joint", compression=compression, outputs=["median"])
    without = [] if plots else ["--no-plots"]
    assert main(["run", path, "--output-dir", "out", "--log-level", "error", *without]) == 0
    sizes = product_sizes(3, N_PIXELS, plots=plots, outputs=["median"], compression=compression)
    (combined,) = Path("out").glob("combined_*")
    assert sizes.combined < combined.stat().st_size < 4 * sizes.combined
    if not plots:
        return
    drawn = sum(one.stat().st_size for one in Path("out").iterdir() if one.suffix in (".png", ".pdf", ".html"))
    assert 0.2 * drawn < sizes.figures < 2 * drawn


def test_a_small_disk_is_refused_before_the_work(here, free, capsys):
    needed = product_sizes(3, N_PIXELS, plots=False).total
    free(needed - 1)
    arguments = ["run", *NAMES, *NUMBERS, "--no-plots", "--output-dir", "out"]
    found = r"about 0.571 MB \(8 combined images of 57600 bytes, crmasks.fits 0.11 MB\); got 0.571 MB free in out: use"
    refused(capsys, arguments, f"output directory must have space for the results, {found}")
    refused(capsys, [*arguments, "--dry-run"], found)
    free(needed)
    assert main([*arguments, "--log-level", "error"]) == 0
    # the files of an earlier run are replaced one by one
    largest = Path("out/crmasks.fits").stat().st_size
    free(largest // 2)
    assert main(arguments) == 2
    assert "files of an earlier run free" in capsys.readouterr().err
    free(2 * largest)
    assert main([*arguments, "--log-level", "error"]) == 0


def test_a_file_system_that_reports_no_size_is_used(here, free):
    free(0, total=0)
    assert main(["run", *NAMES, *NUMBERS, "--no-plots", "--output-dir", "out", "--log-level", "error"]) == 0


def test_space_beside_earlier_files():
    assert space_beside(10.0, 4.0, 0) == 10
    assert space_beside(10.0, 4.0, 7) == 7
    assert space_beside(10.0, 4.0, 20) == 4


def test_a_small_disk_of_temporary_files_is_refused(here, free, capsys):
    free(0)
    limit = str(resident_bytes() + 2_000_000)
    arguments = ["run", *NAMES, *NUMBERS, "--no-plots", "--mem-limit", limit, "--output-dir", "out"]
    refused(capsys, arguments, r"temporary directory must have space for the arrays of mem_limit .* set TMPDIR")
    # the results and the temporary files share a disk
    free(600_000)
    refused(capsys, arguments, r"output directory must have space for the results, .* temporary files .* free in out")
