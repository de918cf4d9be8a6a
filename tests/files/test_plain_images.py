"""Images that are written without the checks of astropy."""

import errno
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from crstack.files import fits_writing, plain_images
from crstack.files.fits_writing import write_fits
from crstack.files.plain_images import are_plain, write_plain

KINDS = ["f4", ">f4", "f8", "i2", ">i2", "i4", "i8", "u1"]


def hdus_of(kind, extension=True):
    values = np.arange(7 * 13).reshape(7, 13).astype(kind)
    header = fits.Header([("OBJECT", "M 51"), ("EXPTIME", 1.5, "[s]"), ("HISTORY", "one"), ("COMMENT", "two")])
    header["HIERARCH a longer keyword"] = "it's"
    hdus = [fits.PrimaryHDU(values, header)]
    if extension:
        hdus += [fits.ImageHDU(values[::2, ::-1], name="TWO"), fits.ImageHDU(np.stack([values, values]), name="CUBE")]
        hdus[1].header.extend(header)
    return fits.HDUList(hdus)


@pytest.mark.parametrize("values_at_once", [plain_images.VALUES_AT_ONCE, 30])
@pytest.mark.parametrize("extension", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_those_of_astropy(kind, extension, values_at_once, tmp_path, monkeypatch):
    monkeypatch.setattr(plain_images, "VALUES_AT_ONCE", values_at_once)
    hdus_of(kind, extension).writeto(tmp_path / "astropy.fits")
    hdus = hdus_of(kind, extension)
    assert are_plain(hdus)
    write_plain(tmp_path / "plain.fits", hdus)
    assert (tmp_path / "plain.fits").read_bytes() == (tmp_path / "astropy.fits").read_bytes()
    np.testing.assert_array_equal(hdus[0].data, np.arange(91).reshape(7, 13))  # as before


def test_a_primary_without_data_and_bytes_with_a_scale(tmp_path):
    def make():
        scaled = fits.ImageHDU(np.arange(12, dtype=np.uint8).reshape(3, 4), name="PROB1")
        scaled.header["BSCALE"], scaled.header["BZERO"] = 1 / 255, 0.0
        return fits.HDUList([fits.PrimaryHDU(), scaled])

    make().writeto(tmp_path / "astropy.fits", output_verify="silentfix")
    assert are_plain(make())
    write_plain(tmp_path / "plain.fits", make())
    assert (tmp_path / "plain.fits").read_bytes() == (tmp_path / "astropy.fits").read_bytes()
    assert fits.getdata(tmp_path / "plain.fits", 1) == pytest.approx(np.arange(12).reshape(3, 4) / 255, abs=1e-6)


@pytest.mark.parametrize("kind", ["u2", "u4", "i1", "c8"])
def test_numbers_that_need_a_scale_are_left_to_astropy(kind):
    assert not are_plain(fits.HDUList([fits.PrimaryHDU(np.ones((2, 3), np.float32)), hdu_of_numbers(kind)]))


def hdu_of_numbers(kind):
    if kind == "c8":  # FITS images cannot be complex
        return fits.BinTableHDU.from_columns([fits.Column("a", "C", array=np.ones(3, kind))])
    return fits.ImageHDU(np.ones((2, 3), kind))


def test_scaled_floats_are_left_to_astropy():
    hdu = fits.ImageHDU(np.ones((2, 3), np.float32))
    hdu.header["BSCALE"] = 2.0
    assert not are_plain(fits.HDUList([fits.PrimaryHDU(), hdu]))


@pytest.mark.parametrize("ending", [".fits", ".fits.gz", ".fits.fz"])
@pytest.mark.parametrize("valid", [True, False])
def test_the_values_do_not_depend_on_the_way(ending, valid, tmp_path):
    path = tmp_path / f"a{ending}"
    write_fits(path, hdus_of("f4"), headers_valid=valid)
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(hdus["TWO"].data, np.arange(91).reshape(7, 13)[::2, ::-1])
    # compressed files are compressed
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if ending == ".fits.gz" else b"SI")


def test_headers_that_may_be_invalid_are_corrected(tmp_path, monkeypatch):
    def refuse(path, hdus):
        raise AssertionError("must not be used")

    monkeypatch.setattr(fits_writing, "write_plain", refuse)
    hdus = hdus_of("f4")
    hdus[1].header.append(fits.Card.fromstring("exposure=                    5"))
    write_fits(tmp_path / "a.fits", hdus)
    assert b"EXPOSURE=                    5" in (tmp_path / "a.fits").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_an_error_with_its_number():
    with pytest.raises(OSError, match="No space left") as caught:
        write_plain("/dev/full", hdus_of("f4"))
    assert caught.value.errno == errno.ENOSPC


def test_nothing_is_left_of_a_file_that_fails(tmp_path, monkeypatch):
    def fail(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plain_images, "_write_data", fail)
    (tmp_path / "a.fits").write_text("before")
    with pytest.raises(OSError, match="No space left"):
        write_fits(tmp_path / "a.fits", hdus_of("f4"), headers_valid=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.fits"]
    assert (tmp_path / "a.fits").read_text() == "before"


def test_extensions_are_announced(tmp_path):
    hdus = hdus_of("f4")
    del hdus[0].header["EXTEND"]
    write_plain(tmp_path / "a.fits", hdus)
    assert b"EXTEND  =                    T" in (tmp_path / "a.fits").read_bytes()[:2880]
