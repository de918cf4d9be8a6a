"""FITS images: opening, headers, and units from BUNIT."""

import zipfile

import astropy.io.fits.file
import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from crstack import MaskSet
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures.input.products import product_kind
from crstack.files.fits_reading import inspect_image, read_image
from crstack.files.fits_writing import compressed, write_fits
from crstack.files.units import check_unit, unit_of_header

IMAGE = np.arange(48, dtype=np.float32).reshape(6, 8)


@pytest.mark.parametrize(
    ("bunit", "unit"),
    [
        *[(word, u.adu) for word in ("ADU", "adu", "counts", "count", "COUNTS", "ct", "DN", "DN / pix", "adu ")],
        *[(word, u.electron) for word in ("electron", "electrons", "ELECTRONS", "e-", "e", "elec", "electron/pixel")],
        *[(word, u.adu / u.s) for word in ("DN/s", "counts/sec", "adu s-1", "ADU.s-1", "ct per second", "cps")],
        *[(word, u.electron / u.s) for word in ("electrons/s", "ELECTRONS/S", "e-/s", "electron s**-1", "e-/pix/s")],
        *[(word, None) for word in ("", "   ")],
    ],
)
def test_words_of_bunit(bunit, unit):
    header = fits.Header({"BUNIT": bunit})
    assert unit_of_header(header, "a.fits") == unit


def test_no_bunit_is_no_unit():
    assert unit_of_header(fits.Header(), "a.fits") is None


@pytest.mark.parametrize(
    "bunit", ["MJy/sr", "photon", "10**3 electron", "electron/h", "s", "/s", "erg/s/cm2/A", "nonsense"]
)
def test_other_units_are_refused(bunit):
    with pytest.raises(InputError, match=r"BUNIT of a\.fits must state ADU or electrons, or either per second; got"):
        unit_of_header(fits.Header({"BUNIT": bunit}), "a.fits")


@pytest.mark.parametrize("bunit", [5, True, 2.5])
def test_bunit_of_another_type_is_refused(bunit):
    with pytest.raises(InputError, match=rf"BUNIT of a\.fits must be text, such as 'adu' or 'electron'; got {bunit}"):
        unit_of_header(fits.Header({"BUNIT": bunit}), "a.fits")


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        *[(one, u.adu) for one in (u.adu, u.ct, u.DN, u.adu / u.pix, "ADU")],
        *[("electron", u.electron), ("e-/s", u.electron / u.s), (u.electron / u.s, u.electron / u.s)],
    ],
)
def test_units_in_python(given, unit):
    assert check_unit("unit", given) == unit


@pytest.mark.parametrize("given", [u.m, "MJy/sr", u.photon, 1e3 * u.electron, None, 3])
def test_other_units_in_python_are_refused(given):
    with pytest.raises(InputError, match="unit must be adu or electron, or either per second; got"):
        check_unit("unit", given)


def multi(path, inherit=None, **cards):
    """A file with an empty primary, an image SCI and a table."""
    primary = fits.PrimaryHDU()
    primary.header.update({"OBJECT": "M33", "EXPTIME": 300.0, "NEXTEND": 2} | cards)
    image = fits.ImageHDU(IMAGE, name="SCI")
    image.header["OBJECT"] = "M31"
    if inherit is not None:
        image.header["INHERIT"] = inherit
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])], name="TAB")
    fits.HDUList([primary, image, table]).writeto(path)
    return path


@pytest.mark.parametrize("inherit", [None, True])
def test_the_primary_header_is_inherited(tmp_path, inherit):
    image, header = read_image(multi(tmp_path / "a.fits", inherit), "SCI")
    np.testing.assert_array_equal(image, IMAGE)
    assert (header["OBJECT"], header["EXPTIME"]) == ("M31", 300.0)
    assert "NEXTEND" not in header
    assert header["XTENSION"] == "IMAGE"


def test_inherit_f_keeps_the_primary_header_out(tmp_path):
    assert "EXPTIME" not in read_image(multi(tmp_path / "a.fits", False), "SCI")[1]


def test_a_file_of_several_chips_is_no_dead_end(tmp_path):
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(IMAGE, name=name) for name in ("CHIP1", "CHIP2"))]
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    message = (
        r"in 1 \(CHIP1\), 2 \(CHIP2\)\): give one of them, such as ext='CHIP1' \(command: --ext CHIP1; parameter file: "
        r"extnum: CHIP1\), or, if they are chips of a mosaic, --ext all, or crstack.read_mosaic$"
    )
    with pytest.raises(InputError, match=message):
        read_image(tmp_path / "a.fits", 0, name="--ext")
    with pytest.raises(InputError, match=r"CHIP2\)\)$"):
        read_image(tmp_path / "a.fits", 0, name="err_ext")


def test_bunit_of_the_primary_counts_where_the_extension_has_none(tmp_path):
    info = inspect_image(multi(tmp_path / "a.fits", BUNIT="electron/s"), "SCI")
    assert (info.shape, info.unit) == ((6, 8), u.electron / u.s)


def test_no_extension_means_the_first_image(tmp_path):
    np.testing.assert_array_equal(read_image(multi(tmp_path / "a.fits"))[0], IMAGE)


@pytest.mark.parametrize(
    ("ext", "message"),
    [
        (0, r"extension 0 of .* must hold a 2-D image; got no image \(there is one in 1 \(SCI\)\)"),
        (2, "extension 2 of .* must hold a 2-D image; got no image"),
        ("TAB", "extension TAB of .* must hold a 2-D image; got no image"),
        (7, r"extension must be one of 0 \(PRIMARY\), 1 \(SCI\), 2 \(TAB\) in .*; got 7"),
        ("ERR", "extension must be one of .*; got 'ERR'"),
        (True, "extension must be a number or a name; got True"),
    ],
)
def test_extensions_without_an_image(tmp_path, ext, message):
    path = multi(tmp_path / "a.fits")
    for read in (read_image, inspect_image):
        with pytest.raises(InputError, match=message):
            read(path, ext)


def test_planes_of_length_1_are_dropped_and_cubes_refused(tmp_path):
    fits.PrimaryHDU(IMAGE[None, None]).writeto(tmp_path / "flat.fits")
    assert read_image(tmp_path / "flat.fits", 0)[0].shape == (6, 8)
    assert inspect_image(tmp_path / "flat.fits", 0).shape == (6, 8)
    fits.PrimaryHDU(np.zeros((2, 6, 8))).writeto(tmp_path / "cube.fits")
    with pytest.raises(InputError, match="must hold a 2-D image; got 3 dimensions"):
        read_image(tmp_path / "cube.fits", 0)


def with_card(path, old, new):
    """Change one card of a file without astropy."""
    raw = path.read_bytes()
    assert raw.count(old) == 1
    path.write_bytes(raw.replace(old, new.ljust(len(old))))


def test_broken_files(tmp_path):
    path = tmp_path / "a.fits"
    for old, new in ((b"NAXIS   =                    2", b"NAXIS   =                    3"),
                     (b"NAXIS2  =                    6", b"NAXIS2  =                    0"),
                     (b"NAXIS2  =                    6", b"NAXIS2  =             99999999"),
                     (b"NAXIS2  =                    6", b"NAXIS2  =                   -6"),
                     (b"BITPIX  =                  -32", b"BITPIX  =                   17")):  # fmt: skip
        fits.PrimaryHDU(IMAGE).writeto(path, overwrite=True)
        with_card(path, old, new)
        with pytest.raises(InputError, match=r"exposure must be a readable FITS file|must hold a 2-D image"):
            read_image(path, 0)


def test_a_zip_archive_is_named(tmp_path):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / "a.fits")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.fits", "a.fits")
    with pytest.raises(InputError, match=r"gain must be a FITS file, plain or compressed with .*; got the zip archive"):
        read_image(tmp_path / "a.zip", 0, what="gain")


@pytest.mark.parametrize("suffix", [".fits.gz", ".fits.bz2", ".fits.xz"])
def test_compressed_files(tmp_path, suffix):
    fits.PrimaryHDU(IMAGE).writeto(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}", 0)[0], IMAGE)


def test_tile_compression_and_a_corrupt_tile(tmp_path):
    path = tmp_path / "a.fits"
    counts = np.random.default_rng(1).poisson(100, (60, 64)).astype(np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(counts, compression_type="GZIP_1")]).writeto(path)
    image, header = read_image(path, 1)
    np.testing.assert_array_equal(image, counts)
    assert "ZIMAGE" not in header
    raw = bytearray(path.read_bytes())
    raw[-2880:-1440] = b"\x55" * 1440
    path.write_bytes(raw)
    with pytest.raises(InputError, match="exposure must be a readable FITS file; got"):
        read_image(path, 1)


def test_a_wrong_checksum_is_a_warning(tmp_path):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(IMAGE).writeto(path, checksum=True)
    raw = bytearray(path.read_bytes())
    raw[2880 + 3] ^= 1
    path.write_bytes(raw)
    with pytest.warns(CRStackWarning, match=r"a\.fits: (Check|Data)sum verification failed"):
        read_image(path, 0)


def test_scaled_integers_and_blank(tmp_path):
    path = tmp_path / "a.fits"
    counts = np.arange(48, dtype=np.uint16).reshape(6, 8) + np.uint16(60000)
    fits.PrimaryHDU(counts).writeto(path)
    np.testing.assert_array_equal(read_image(path, 0)[0], counts)
    hdu = fits.PrimaryHDU(IMAGE.astype(np.int16))
    hdu.header["BLANK"] = 5
    hdu.writeto(path, overwrite=True)
    image, _ = read_image(path, 0)
    assert np.isnan(image[0, 5])
    assert np.isfinite(image).sum() == 47


def as_astropy_writes(hdus, path):
    hdus.writeto(path, output_verify="silentfix")
    return path.read_bytes()


@pytest.mark.parametrize("headers_valid", [True, False])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8", ">f4"])
def test_bytes_are_those_of_astropy(tmp_path, kind, headers_valid):
    header = fits.Header({"OBJECT": "M 31", "CRVAL1": 1.5})
    header["HISTORY"] = "a line"
    image = IMAGE.astype(kind)
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(5))], name="T")
    hdus = fits.HDUList([
        fits.PrimaryHDU(image, header), fits.ImageHDU(image[::2], name="HALF"), fits.ImageHDU(name="EMPTY"), table
    ])  # fmt: skip
    before = image.copy()
    image.flags.writeable = False
    write_fits(tmp_path / "new.fits", hdus, headers_valid=headers_valid)
    assert (tmp_path / "new.fits").read_bytes() == as_astropy_writes(hdus, tmp_path / "old.fits")
    np.testing.assert_array_equal(image, before)


def test_headers_are_checked_unless_they_are_valid(tmp_path):
    hdus = fits.HDUList([fits.PrimaryHDU(IMAGE)])
    hdus[0].header.append(fits.Card.fromstring("exposure=                    5"))
    write_fits(tmp_path / "a.fits", hdus.copy())
    assert b"EXPOSURE=" in (tmp_path / "a.fits").read_bytes()
    # without the check, astropy finds the fault when it writes the card
    with pytest.warns(VerifyWarning):
        write_fits(tmp_path / "a.fits", hdus.copy(), headers_valid=True)


def test_arrays_do_not_change_while_they_are_written(tmp_path, monkeypatch):
    image, seen = IMAGE.copy(), []
    write = fits.HDUList.writeto

    def look(hdus, *arguments, **options):
        array_to_file = astropy.io.fits.file._array_to_file

        def looking(*inner):
            seen.append(np.array_equal(image, IMAGE))
            return array_to_file(*inner)

        monkeypatch.setattr("astropy.io.fits.file._array_to_file", looking)
        return write(hdus, *arguments, **options)

    monkeypatch.setattr(fits.HDUList, "writeto", look)
    write_fits(tmp_path / "a.fits", fits.HDUList([fits.PrimaryHDU(image)]))
    assert seen == [True]


def test_scaled_numbers_are_written_as_they_are(tmp_path):
    hdu = fits.ImageHDU((IMAGE % 7).astype(np.int16), name="SCALED")
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 3.0
    hdus = fits.HDUList([fits.PrimaryHDU(), hdu])
    write_fits(tmp_path / "a.fits", hdus)
    with fits.open(tmp_path / "a.fits") as read:
        np.testing.assert_array_equal(read["SCALED"].data, IMAGE % 7 * 0.5 + 3)


def test_a_file_that_only_begins_as_a_zip_archive(tmp_path):
    """Found by 2000 examples of the fuzz of FITS files."""
    path = tmp_path / "a.fits"
    path.write_bytes(b"PK\x03\x04")
    assert product_kind(path) is None
    for read in (lambda: read_image(path, 0, what="gain"), lambda: MaskSet.read(path)):
        with pytest.raises(InputError, match=r"zip"):
            read()


def test_images_of_a_file_are_compressed_and_tables_are_not():
    data = np.arange(600, dtype=np.float32).reshape(20, 30)
    table = fits.BinTableHDU.from_columns([fits.Column("X", "E", array=[1.0, 2.0])], name="LIST")
    made = compressed(fits.HDUList([fits.PrimaryHDU(data), fits.ImageHDU(data + 1, name="VARIANCE"), table]))
    kinds = [type(hdu) for hdu in made]
    assert kinds == [fits.PrimaryHDU, fits.CompImageHDU, fits.CompImageHDU, fits.BinTableHDU]
    assert made[0].data is None
    np.testing.assert_array_equal(made[1].data, data)
    np.testing.assert_array_equal(made["VARIANCE"].data, data + 1)
    assert made["LIST"].data["X"].tolist() == [1.0, 2.0]
