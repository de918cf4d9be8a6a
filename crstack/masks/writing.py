"""Masks as FITS extensions."""

import numpy as np
from astropy.io import fits

from crstack.exposures.input.headers import wcs_cards
from crstack.files.history import add_history, header_line
from crstack.masks.codes import Code
from crstack.utils.memory import empty_image, relax
from crstack.utils.threads import map_threads, row_bands

__all__ = ["masks_to_hdulist"]

#: columns of the extension RPMEDIAN
BOX_COLUMNS = ("X_pixel", "Y_pixel", "X_width", "Y_width")


def masks_to_hdulist(masks):
    """The masks as FITS: see `~crstack.masks.MaskSet.write`."""
    primary = fits.PrimaryHDU()
    _describe_exposures(primary.header, masks)
    add_history(primary.header, masks.history)
    hdus = [primary]
    for name, codes in masks.codes.items():
        hdu = fits.ImageHDU(_image_of(codes, lambda part: part > 0), name=name)
        hdu.header["NPMASKED"] = (int(np.count_nonzero(codes)), "number of masked pixels")
        hdus.append(hdu)
    if masks.auxclean is not None:
        hdus.append(fits.ImageHDU(masks.auxclean.astype(np.float32), name="AUXCLEAN"))
    if masks.probability is not None:
        hdus += [_probability_hdu(plane, i) for i, plane in enumerate(masks.probability)]
    for name, plane, unit in (
        ("SIGSHIFT", masks.signal_shift, "electron"),
        ("SIGVAR", masks.signal_variance, "electron2"),
        ("EXCESS", masks.excess_variance, "electron2"),
    ):
        if plane is not None:
            hdus.append(fits.ImageHDU(_image_of(plane, lambda part: part, np.float32), name=name))
            hdus[-1].header["BUNIT"] = unit
    wcs = wcs_cards(masks.wcs)
    for hdu in hdus[1:]:
        hdu.header.extend(wcs, update=True, useblanks=False)
    if masks.local_medians:
        columns = np.array(masks.local_medians, dtype=np.int32).T
        named = [fits.Column(name, "J", array=one) for name, one in zip(BOX_COLUMNS, columns, strict=True)]
        hdus.append(fits.BinTableHDU.from_columns(named, name="RPMEDIAN"))
    who = _cube_hdu("CODES", masks.codes)
    for code in Code:
        who.header.add_comment(f"{code.value}: {code.name}")
    hdus.append(who)
    if masks.found_by:
        hdus.append(_detectors_hdu(masks))
    return fits.HDUList(hdus)


def _image_of(plane, function, kind=np.uint8):
    """New image (ny, nx) of a function of a plane."""
    image = empty_image(plane.shape, kind)

    def work(rows):
        image[rows] = function(plane[rows])

    map_threads(work, row_bands(*plane.shape))
    return image


def _describe_exposures(header, masks):
    """Put UUID, factors, throughputs and digests of the exposures into a header."""
    header["UUID"] = (masks.uuid, "identifies this set of masks")
    for i in range(masks.n_exposures):
        factor = masks.flux_factors[i] if masks.flux_factors else 1.0
        header[f"FLUXF{i + 1}"] = (factor, f"flux factor of exposure {i + 1}")
    for number, throughput in enumerate(masks.throughputs, start=1):
        header[f"THRPUT{number}"] = (throughput, f"throughput of exposure {number} over the mean")
    for number, (name, digest) in enumerate(masks.origin, start=1):
        header[f"EXPN{number}"] = header_line(name)
        header[f"EXPD{number}"] = (digest, f"digest of the values of exposure {number}")


def _probability_hdu(plane, i):
    """One plane of probabilities as bytes, 255 for 1."""
    hdu = fits.ImageHDU(_image_of(plane, lambda part: np.rint(part.astype(np.float32) * 255)), name=f"PROB{i + 1}")
    hdu.header["BSCALE"] = 1 / 255
    hdu.header["BZERO"] = 0.0
    return hdu


def _cube_hdu(name, planes):
    """Images by name of their mask as a cube; PLANE1... name the planes."""
    first = next(iter(planes.values()))
    cube = empty_image((len(planes), *first.shape), first.dtype)
    for one, plane in zip(cube, planes.values(), strict=True):
        one[...] = plane
        relax()
    hdu = fits.ImageHDU(cube, name=name)
    for number, mask in enumerate(planes, start=1):
        hdu.header[f"PLANE{number}"] = (mask, f"mask of plane {number}")
    return hdu


def _detectors_hdu(masks):
    """The votes as a cube."""
    hdu = _cube_hdu("DETECTORS", {name: masks.found_by[name] for name in masks.codes})
    for number, name in enumerate(masks.detectors):
        hdu.header[f"DETECT{number}"] = (header_line(name), f"sets bit {number} ({1 << number})")
    return hdu
