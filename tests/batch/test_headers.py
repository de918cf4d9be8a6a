"""Keywords of the files of a directory, in any extension."""

import numpy as np
import pytest
from astropy.io import fits

from crstack.batch import stacks_of_directory
from crstack.batch.headers import headers_of_directory
from crstack.exceptions import CRStackWarning

IMAGE = np.zeros((6, 6), np.int16)


def write(path, primary=None, **extensions):
    """A file with keywords in the primary header, and images with keywords by the name of their extension."""
    images = [fits.ImageHDU(IMAGE, fits.Header(cards), name=name) for name, cards in extensions.items()]
    fits.HDUList([fits.PrimaryHDU(header=fits.Header(primary or {})), *images]).writeto(path)


def groups(directory, by, **options):
    stacks, alone = stacks_of_directory(directory, by, **options)
    return {stack.name: len(stack.images) for stack in stacks}, len(alone)


def test_files_of_fpack_are_grouped(tmp_path):
    """Their primary header is empty."""
    for number, name in enumerate(("M 1", "M 1", "M 2")):
        image = fits.CompImageHDU(IMAGE, fits.Header({"OBJECT": name}))
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(tmp_path / f"a{number}.fits.fz")
    assert groups(tmp_path, ["OBJECT"]) == ({"M-1": 2}, 1)


def test_keywords_of_the_extension_and_of_the_primary_header(tmp_path):
    for number in range(2):
        write(tmp_path / f"a{number}.fits", {"OBJECT": "M 1"}, SCI={"FILTER": "V"}, OTHER={"FILTER": "R"})
    assert groups(tmp_path, ["OBJECT", "FILTER"]) == ({"M-1_V": 2}, 0)
    assert groups(tmp_path, ["OBJECT", "FILTER"], settings={"extnum": "OTHER"}) == ({"M-1_R": 2}, 0)
    for ext in (9, [1, 2], "all"):  # the run reports it
        assert headers_of_directory(tmp_path, ["FILTER"], ext)[0] == {"file": "a0.fits", "FILTER": "V"}


def test_a_file_without_an_image_has_its_primary_header(tmp_path):
    write(tmp_path / "a.fits", {"OBJECT": "list"})
    expected = [{"file": "a.fits", "OBJECT": "list", "FILTER": None}]
    assert headers_of_directory(tmp_path, ["OBJECT", "FILTER"]) == expected


@pytest.mark.parametrize("only", ["300", "300.0", "3e2"])
def test_numbers_are_the_same_however_they_are_written(tmp_path, only):
    for number, seconds in enumerate((300, 300.0, 60)):
        write(tmp_path / f"a{number}.fits", {"EXPTIME": seconds})
    assert groups(tmp_path, ["EXPTIME"]) == ({"300.0": 2}, 1)
    assert groups(tmp_path, ["EXPTIME"], only={"EXPTIME": only}) == ({"300.0": 2}, 0)


def test_a_value_of_true_is_no_number(tmp_path):
    for number, value in enumerate((True, True, 1.0)):
        write(tmp_path / f"a{number}.fits", {"FLAG": value})
    assert groups(tmp_path, ["FLAG"]) == ({"True": 2}, 1)


def test_products_of_crstack_are_no_exposures(tmp_path):
    """Combined images have the keywords of the first exposure, also those that were written as CCDData."""
    for number in range(3):
        write(tmp_path / f"n{number}.fits", {"OBJECT": "M 1"})
    write(tmp_path / "combined_mean.fits", {"OBJECT": "M 1", "CRCOMBIN": "mean"})
    write(tmp_path / "mine.fits", {"OBJECT": "M 1", "HISTORY": "crstack 0.1: meanjoint of 3 exposures"})
    with pytest.warns(
        CRStackWarning, match="products of crstack among the exposures are left out: .*combined_mean.fits.*mine.fits"
    ):
        assert [one["file"] for one in headers_of_directory(tmp_path, ["OBJECT"])] == ["n0.fits", "n1.fits", "n2.fits"]
