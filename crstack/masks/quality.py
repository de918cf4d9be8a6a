"""Masks as data quality images for other programs, added to copies of the exposures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from astropy.io import fits

from crstack.exceptions import InputError
from crstack.exposures import Exposures
from crstack.exposures.input.headers import split_wcs, wcs_cards
from crstack.exposures.quality import bits_of
from crstack.files.fits_reading import image_extension, image_of, inspect_image, opened_fits
from crstack.files.fits_writing import write_fits
from crstack.files.headers import inherited_header
from crstack.masks.origin import check_files

__all__ = ["QUALITY_BITS", "quality_images", "write_exposures"]

#: bits that are set, by convention and reason (those that are read: `crstack.exposures.quality.CONVENTIONS`).
#: STScI: ACS and WFC3, where a hit has the bit of rejection in a combination. LSST: the mask planes of afw in
#: their usual order. DRAGONS: Gemini's geminidr.
QUALITY_BITS = MappingProxyType(
    {
        "stsci": MappingProxyType({"hit": 8192, "bad": 4, "saturated": 256, "low": 1024, "replaced": 2}),
        "lsst": MappingProxyType({"hit": 8, "bad": 1, "saturated": 2, "low": 0, "replaced": 4}),
        "dragons": MappingProxyType({"hit": 8, "bad": 1, "saturated": 4, "low": 0, "replaced": 0}),
    }
)

#: standard deviations below every other exposure from which a value is low
LOW = 5.0

Bits = str | Mapping[str, int]


def _bits_by_reason(bits: Bits) -> dict[str, int]:
    """The bit of each reason, of a convention or as given."""
    if isinstance(bits, str) and bits.lower() in QUALITY_BITS:
        return dict(QUALITY_BITS[bits.lower()])
    if not isinstance(bits, str | Mapping):
        raise InputError(f"bits must be one of {', '.join(QUALITY_BITS)}, or bits by reason; got {bits!r}")
    table = bits_of(bits)
    if max(table.values()) >= 2**31:
        raise InputError(f"bits must be below 2**31; got {max(table.values())}")
    return table


def quality_images(
    hit: np.ndarray,
    bits: Bits = "stsci",
    exposures: Exposures | None = None,
    *,
    low: np.ndarray | None = None,
    excess_variance: np.ndarray | None = None,
    cleaned: bool = False,
) -> np.ndarray:
    """Data quality images of the exposures.

    Parameters
    ----------
    hit : `~numpy.ndarray` of bool
        (N, ny, nx), masks of the exposures.
    bits : str or mapping, optional
        "stsci", "lsst" or "dragons" (see ``QUALITY_BITS``), or bits by reason: "hit", "bad",
        "saturated", "low" and "replaced". A missing reason has no bit. Instruments differ:
        ``{**QUALITY_BITS["stsci"], "hit": 4096}`` changes one bit.
    exposures : `~crstack.exposures.Exposures`, optional
        The exposures, for bits of bad, saturated and low values. A low value is 5 standard deviations below each
        other valid value of its pixel, two at least.
    low : `~numpy.ndarray` of bool, optional
        (N, ny, nx), masked values that are too low, and not hits.
    excess_variance : `~numpy.ndarray`, optional
        (ny, nx) scatter beyond the noise, in electrons squared: see `~crstack.masks.MaskSet`.
    cleaned : bool, optional
        Whether the images are for the exposures of `crstack.stack.CRStack.clean`, whose hit and bad values are
        replaced.

    Returns
    -------
    quality : `~numpy.ndarray`
        (N, ny, nx), int16, or int32 where a bit does not fit.

    Raises
    ------
    InputError
        If a convention or a reason is unknown, or the exposures do not belong to the masks.
    """
    table = _bits_by_reason(bits)
    if exposures is not None and exposures.data.shape != hit.shape:
        raise InputError(f"exposures must have the shape {hit.shape} of the masks; got {exposures.data.shape}")
    kind = np.int16 if max(table.values()) < 2**15 else np.int32
    quality = np.where(hit if low is None else hit & ~low, kind(table["hit"]), kind(0))
    if low is not None:
        quality[low] |= kind(table["low"])
    if exposures is not None and exposures.bad is not None:
        saturated = exposures.saturated
        bad = exposures.bad if saturated is None else exposures.bad & ~saturated
        bad = bad if low is None else bad & ~low
        quality[bad] |= kind(table["bad"])
        if saturated is not None:
            quality[saturated] |= kind(table["saturated"])
    if exposures is not None and table["low"]:
        for i in range(len(quality)):
            quality[i][_low(exposures, i, excess_variance)] |= kind(table["low"])
    if cleaned:
        replaced = hit if exposures is None or exposures.bad is None else hit | exposures.bad
        quality[replaced] |= kind(table["replaced"])
    return quality


def _low(exposures: Exposures, i: int, excess_variance: np.ndarray | None) -> np.ndarray:
    """Values of an exposure far below all others of their pixel; False where fewer than two others are valid."""
    others = [j for j in range(len(exposures)) if j != i]
    values = exposures.data[others].astype(np.float32)
    valid = np.ones(values.shape, dtype=bool) if exposures.bad is None else ~exposures.bad[others]
    enough = valid.sum(axis=0) >= 2
    lowest = np.where(enough, np.where(valid, values, np.inf).min(axis=0), 0)
    variance = 2 * exposures.noise_of(i).variance(lowest)
    if excess_variance is not None:
        variance = variance + excess_variance / np.square(exposures.noise.electrons_per_unit)
    low = enough & (exposures.data[i] < lowest - LOW * np.sqrt(variance))
    return low if exposures.bad is None else low & ~exposures.bad[i]


def write_exposures(
    hit: np.ndarray,
    paths: Sequence[str | os.PathLike],
    directory: str | os.PathLike,
    *,
    ext: int | str = 0,
    bits: Bits = "stsci",
    exposures: Exposures | None = None,
    low: np.ndarray | None = None,
    excess_variance: np.ndarray | None = None,
    origin: tuple[tuple[str, str], ...] = (),
    overwrite: bool = False,
) -> list[Path]:
    """Copy files of exposures, and add the mask of each.

    Parameters
    ----------
    hit : `~numpy.ndarray` of bool
        (N, ny, nx), masks of the exposures.
    paths : sequence of path-like
        Their FITS files, in the order of the masks.
    directory : path-like
        Directory of the copies, which have the same names; made if it does not exist.
    ext : int or str, optional
        Extension of the images.
    bits, exposures, low, excess_variance : optional
        As for `quality_images`.
    origin : tuple of (str, str), optional
        Name and digest of the exposures that the masks were made of, which the files are compared with.
    overwrite : bool, optional
        Whether files of the same names in the directory are replaced.

    Returns
    -------
    written : list of `~pathlib.Path`
        The copies. Each has an extension DQ with the bits, and an extension MASK, 1 where a value is hit or bad, with
        the version (EXTVER) of the image. Pixels that such extensions of the file flag already stay flagged. Everything
        else, such as the extensions of other chips, is copied as it is stored.

    Raises
    ------
    InputError
        If number or shape of the images differ from those of the masks. If a copy would replace an exposure, or another
        file without ``overwrite``. If the files are the exposures of the masks in another order.

    Warns
    -----
    CRStackWarning
        If files hold other values than the exposures that the masks were made of.
    """
    files, directory = [Path(path) for path in paths], Path(directory)
    if len(files) != len(hit):
        raise InputError(f"paths must be those of {len(hit)} exposures; got {len(files)}")
    targets = [directory / path.name for path in files]
    if len(set(targets)) < len(targets):
        raise InputError(f"names of the exposures must differ; got {', '.join(path.name for path in files)}")
    for path, target in zip(files, targets, strict=True):
        if target.resolve() in [one.resolve() for one in files]:
            raise InputError(f"directory must be another than that of the exposures; got {directory}")
        if os.path.exists(target) and not overwrite:
            raise InputError(
                f"directory must hold no file of the name {target.name}; got {target}: overwrite=True replaces it"
            )
        shape = inspect_image(path, ext).shape
        if shape != hit.shape[1:]:
            raise InputError(f"image of {path} must have the shape {hit.shape[1:]} of the masks; got {shape}")
    check_files(origin, files, ext)
    quality = quality_images(hit, bits, exposures, low=low, excess_variance=excess_variance)
    _make_directory(directory)
    for i, (path, target) in enumerate(zip(files, targets, strict=True)):
        flagged = hit[i]
        if exposures is not None and exposures.bad is not None:
            flagged = flagged | exposures.bad[i]
        _write_copy(path, target, ext, quality[i], flagged)
    return targets


def _make_directory(directory):
    """Make a directory if there is none; `InputError` if it cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"directory must be one that can be made; got {directory} ({error.strerror})") from error


def _write_copy(path, target, ext, quality, flagged):
    """Copy a file, with the extensions DQ and MASK of the image added, or merged with existing ones.

    The extensions of one chip share a version (EXTVER); those of other chips are kept.
    """
    planes = {"DQ": quality, "MASK": flagged.astype(np.uint8)}
    with opened_fits(path) as hdus:
        image = image_extension(hdus, path, ext)
        _, wcs = split_wcs(inherited_header(hdus, image))
        version = image.ver
        places = {name: _place_of(hdus, name, version) for name in planes}
        for name, place in places.items():
            if place is not None:
                planes[name] = planes[name] | image_of(image_extension(hdus, path, place)).astype(np.int64)
    planes["MASK"] = (planes["MASK"] != 0).astype(np.uint8)
    planes["DQ"] = planes["DQ"].astype(np.int16 if planes["DQ"].max() < 2**15 else np.int32)
    # everything else is copied as it is stored, without scaling or unpacking
    raw = {"memmap": False, "do_not_scale_image_data": True, "disable_image_compression": True}
    with fits.open(path, **raw) as hdus:
        kept = fits.HDUList(list(hdus))
        for name, plane in planes.items():
            hdu = fits.ImageHDU(plane, name=name, ver=version if version != 1 else None)
            hdu.header.extend(wcs_cards(wcs), update=True, useblanks=False)
            if places[name] is None:
                kept.append(hdu)
            else:
                kept[places[name]] = hdu
        write_fits(target, kept)


def _place_of(hdus, name, version):
    """Number of the extension of a name and a version; None if there is none."""
    return next((i for i, hdu in enumerate(hdus) if (hdu.name, hdu.ver) == (name, version)), None)
