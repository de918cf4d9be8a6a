"""Masks as FITS extensions, and back."""

import warnings

import numpy as np
from astropy.io import fits

from crstack._files import header_line
from crstack.exceptions import CRStackWarning, InputError
from crstack.masks.codes import Code
from crstack.masks.local_median import check_local_median

__all__ = ["masks_from_hdulist", "masks_to_hdulist"]

#: columns of the extension RPMEDIAN
BOX_COLUMNS = ("X_pixel", "Y_pixel", "X_width", "Y_width")


def masks_to_hdulist(masks):
    """The masks as FITS: see `~crstack.masks.MaskSet.write`."""
    primary = fits.PrimaryHDU()
    primary.header["UUID"] = (masks.uuid, "identifies this set of masks")
    for i in range(masks.n_exposures):
        factor = masks.flux_factors[i] if masks.flux_factors else 1.0
        primary.header[f"FLUXF{i + 1}"] = (factor, f"flux factor of exposure {i + 1}")
    for line in masks.history:
        primary.header.add_history(header_line(line))
    hdus = [primary]
    for name, codes in masks.codes.items():
        hdu = fits.ImageHDU((codes > 0).astype(np.uint8), name=name)
        hdu.header["NPMASKED"] = (int(np.count_nonzero(codes)), "number of masked pixels")
        hdus.append(hdu)
    if masks.auxclean is not None:
        hdus.append(fits.ImageHDU(masks.auxclean.astype(np.float32), name="AUXCLEAN"))
    if masks.probability is not None:
        hdus += [_probability_hdu(plane, i) for i, plane in enumerate(masks.probability)]
    for name, plane, unit in (
        ("SIGSHIFT", masks.signal_shift, "electron"),
        ("EXCESS", masks.excess_variance, "electron2"),
    ):
        if plane is not None:
            hdus.append(fits.ImageHDU(plane.astype(np.float32), name=name))
            hdus[-1].header["BUNIT"] = unit
    if masks.local_medians:
        columns = np.array(masks.local_medians, dtype=np.int32).T
        named = [fits.Column(name, "J", array=one) for name, one in zip(BOX_COLUMNS, columns, strict=True)]
        hdus.append(fits.BinTableHDU.from_columns(named, name="RPMEDIAN"))
    who = fits.ImageHDU(np.stack(list(masks.codes.values())), name="CODES")
    for code in Code:
        who.header.add_comment(f"{code.value}: {code.name}")
    hdus.append(who)
    if masks.found_by:
        hdus.append(_detectors_hdu(masks))
    return fits.HDUList(hdus)


def _probability_hdu(plane, i):
    """One plane of probabilities as bytes, 255 for 1."""
    hdu = fits.ImageHDU(np.rint(plane.astype(np.float32) * 255).astype(np.uint8), name=f"PROB{i + 1}")
    hdu.header["BSCALE"] = 1 / 255
    hdu.header["BZERO"] = 0.0
    return hdu


def _detectors_hdu(masks):
    """The votes as a cube, in the order of the masks."""
    hdu = fits.ImageHDU(np.stack([masks.found_by[name] for name in masks.codes]), name="DETECTORS")
    for number, name in enumerate(masks.detectors):
        hdu.header[f"DETECT{number}"] = (header_line(name), f"sets bit {number} ({1 << number})")
    return hdu


def masks_from_hdulist(hdus, path):
    """Arguments of a `~crstack.masks.MaskSet`, from its file."""
    codes = _codes(hdus, path)
    header = hdus[0].header
    cleaned = next((name for name in ("AUXCLEAN", "LAMEDIAN") if name in hdus), None)
    planes = [hdu.data for hdu in hdus if hdu.name[:4] == "PROB"]
    # the columns by their order: their names are nowhere laid down
    rows = hdus["RPMEDIAN"].data if "RPMEDIAN" in hdus else ()
    detectors, found_by = (), {}
    if "DETECTORS" in hdus:
        detectors = tuple(str(name) for name in hdus["DETECTORS"].header["DETECT*"].values())
        found_by = {name: np.array(plane) for name, plane in zip(codes, hdus["DETECTORS"].data, strict=True)}
    return {
        "codes": codes,
        "auxclean": None if cleaned is None else np.array(hdus[cleaned].data, dtype=np.float32),
        "history": tuple(str(line) for line in header.get("HISTORY", ())),
        "probability": np.array(planes, dtype=np.float16) if planes else None,
        "signal_shift": _plane(hdus, "SIGSHIFT"),
        "excess_variance": _plane(hdus, "EXCESS"),
        "uuid": header.get("UUID", ""),
        "local_medians": tuple(check_local_median("RPMEDIAN", [int(one) for one in tuple(row)[:4]]) for row in rows),
        "flux_factors": tuple(float(header.get(f"FLUXF{i + 1}", 1.0)) for i in range(len(codes) - 3)),
        "detectors": detectors,
        "found_by": found_by,
    }


def _plane(hdus, name):
    return np.array(hdus[name].data, dtype=np.float32) if name in hdus else None


def _codes(hdus, path):
    """Codes by name of the mask; those of a file that does not tell them are GIVEN."""
    names = [hdu.name for hdu in hdus if hdu.name in ("MEDIANCR", "MEANCRT", "MEANCR") or hdu.name[:6] == "CRMASK"]
    who = hdus["CODES"].data if "CODES" in hdus else None
    codes = {}
    for number, name in enumerate(names):
        flagged = np.asarray(hdus[name].data) != 0
        codes[name] = flagged.astype(np.uint8) * np.uint8(Code.GIVEN) if who is None else np.array(who[number])
        if codes[name].shape != codes[names[0]].shape:
            raise InputError(f"masks of {path} must share one shape; got another for {name}")
    if "MEANCRT" in codes and "MEANCR" not in codes:
        # nor did the program of the early manual make one; it called the cleaned median otherwise
        warnings.warn(f"{path} holds no MEANCR; nothing is masked in it", CRStackWarning, stacklevel=5)
        codes["MEANCR"] = np.zeros_like(codes["MEANCRT"])
    return codes
