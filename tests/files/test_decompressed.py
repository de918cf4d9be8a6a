"""Compressed files are decompressed once, in memory or to a temporary file."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from astropy.io import fits

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exposures.input.products import product_kind
from crstack.files import decompressed as module
from crstack.files.decompressed import decompressed
from crstack.files.fits_reading import read_image
from crstack.utils.memory import Workspace, limited_memory

COMPRESSORS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, "": bytes}


@pytest.fixture
def image():
    return np.random.default_rng(5).integers(0, 60_000, (70, 90)).astype(np.uint16)


def written(image, path, ending):
    """A file with an image and an extension, with checksums."""
    plain = path / "plain.fits"
    fits.HDUList([fits.PrimaryHDU(image), fits.ImageHDU(image + 1)]).writeto(plain, checksum=True)
    compressed = path / f"one.fits{ending}"
    compressed.write_bytes(COMPRESSORS[ending](plain.read_bytes()))
    return compressed, plain.read_bytes()


@pytest.mark.parametrize("in_files", [False, True])
@pytest.mark.parametrize("ending", COMPRESSORS)
def test_the_content_is_that_of_the_plain_file(ending, in_files, image, tmp_path):
    path, content = written(image, tmp_path, ending)
    workspace = Workspace(1e12)
    workspace.in_files = in_files
    with limited_memory(workspace), path.open("rb") as file, decompressed(file) as plain:
        assert (plain is file) == (ending == "")
        assert plain.read() == content
        plain.seek(5)
        assert plain.read(7) == content[5:12]


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_an_image_of_a_temporary_file_is_read(ending, image, tmp_path):
    path, _ = written(image, tmp_path, ending)
    workspace = Workspace(1e12)
    workspace.in_files = True
    with limited_memory(workspace):
        np.testing.assert_array_equal(read_image(path, 1)[0], image + 1)


def test_an_image_is_decompressed_once_for_its_header_checksums_and_data(image, tmp_path, monkeypatch):
    path, _ = written(image, tmp_path, ".gz")
    calls = []

    def once(content):
        calls.append(len(content))
        return decompress(content)

    def again(*_):
        raise AssertionError("astropy decompresses the file")

    decompress = gzip.decompress
    monkeypatch.setattr(module.gzip, "decompress", once)
    monkeypatch.setattr(gzip.GzipFile, "read", again)
    found, _ = read_image(path, 1)
    np.testing.assert_array_equal(found, image + 1)
    assert calls == [path.stat().st_size]


def test_a_product_is_recognised_without_its_data(image, tmp_path):
    """The file is cut short after the header, which is at its beginning."""
    for keyword in ("CRCOMBIN", "NOTHING"):
        fits.PrimaryHDU(image, fits.Header({keyword: "mean"})).writeto(tmp_path / "a.fits", overwrite=True)
        content = gzip.compress((tmp_path / "a.fits").read_bytes())
        (tmp_path / "a.fits.gz").write_bytes(content[: len(content) // 2])
        assert product_kind(tmp_path / "a.fits.gz") == ("combined image" if keyword == "CRCOMBIN" else None)


@pytest.mark.parametrize("content", [b"", b"SIMPLE", b"\x1f\x8b\x00", b"BZ", b"no FITS file" * 9999])
def test_files_of_other_kinds_are_no_products(content, tmp_path):
    (tmp_path / "other").write_bytes(content)
    assert product_kind(tmp_path / "other") is None
    assert product_kind(tmp_path / "absent") is None


@pytest.mark.parametrize("kind", ["CRCOMBIN", "NPMASKED"])
@pytest.mark.parametrize("in_primary", [True, False])
def test_products_are_recognised_in_the_primary_and_in_the_first_image(kind, in_primary, image, tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU(image)] if in_primary else [fits.PrimaryHDU(), fits.ImageHDU(image)])
    hdus[-1].header[kind] = 1
    hdus.writeto(tmp_path / "product.fits")
    assert product_kind(tmp_path / "product.fits") is not None


def test_a_combined_image_that_was_written_as_ccddata_is_a_product(tmp_path):
    simulated = make_stack("imaging", shape=(40, 50), seed=1)
    combined = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise).combine("mean")
    combined.write(tmp_path / "mine.fits")
    assert product_kind(tmp_path / "mine.fits") == "combined image"
    assert product_kind(tmp_path / "mine.fits", by_history=False) is None
    simulated.exposures[0].write(tmp_path / "n1.fits")
    assert product_kind(tmp_path / "n1.fits") is None
