"""A combined image as returned to the user: in the unit of the exposures, with a correct header."""

from dataclasses import replace

import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.combine.effective import KEYWORDS
from crstack.files.history import add_history
from crstack.utils.version import crstack_version

__all__ = ["as_product", "product_header"]


def product_header(exposures, name, masks=None, notes=(), effective=None):
    """Header of a combined image.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        What was combined.
    name : str
        Name of the combination.
    masks : `~crstack.masks.MaskSet`, optional
        The masks that were applied.
    notes : sequence of str, optional
        More lines of HISTORY.
    effective : `~crstack.combine.effective.EffectiveNoise`, optional
        Gain and read noise of the combined image, if two numbers describe its noise.

    Returns
    -------
    header : `~astropy.io.fits.Header`
        That of the first exposure, with NCOMBINE, with EXPTIME as the mean exposure time and EXPTOTAL as the sum if
        all are known, with EFFGAIN and EFFRN if two numbers describe the noise, and with HISTORY: version, exposures,
        values read from headers, and the history of the masks.
    """
    header = exposures.header.copy()
    header["NCOMBINE"] = (len(exposures), "number of exposures combined")
    if exposures.exptimes and None not in exposures.exptimes:
        header["EXPTIME"] = (float(np.mean(exposures.exptimes)), "[s] mean exposure time")
        header["EXPTOTAL"] = (float(np.sum(exposures.exptimes)), "[s] sum of the exposure times")
    for keyword in KEYWORDS:
        # that of an earlier combination, if there is one
        header.remove(keyword, ignore_missing=True, remove_all=True)
    header.update({} if effective is None else effective.cards())
    add_history(header, [*_history(exposures, name, masks), *notes])
    return header


def _history(exposures, name, masks):
    """Lines of HISTORY: the exposures, and how the masks were made."""
    lines = [
        f"crstack {crstack_version()}: {name} of {len(exposures)} exposures",
        *(f"exposure {number}: {one}" for number, one in enumerate(exposures.names, start=1)),
        *exposures.notes,
    ]
    if exposures.rate_seconds is not None:
        lines.append(f"rates multiplied by {exposures.rate_seconds:g} s, and the result divided by it")
    if masks is None:
        return lines
    known = set(lines) | {f"crstack {crstack_version()}"}
    return [*lines, f"masks UUID: {masks.uuid}", *(line for line in masks.history if line not in known)]


def as_product(combination, exposures, masks=None, notes=(), effective=None):
    """A combination in the unit in which the exposures were given, with its own header.

    Parameters
    ----------
    combination : `~crstack.combine.Combination`
        Of the exposures, in counts.
    exposures : `~crstack.exposures.Exposures`
        What was combined.
    masks : `~crstack.masks.MaskSet`, optional
        The masks that were applied.
    notes : sequence of str, optional
        More lines of HISTORY.
    effective : `~crstack.combine.effective.EffectiveNoise`, optional
        As for `product_header`.

    Returns
    -------
    combination : `~crstack.combine.Combination`
        With values divided by the exposure time where the exposures were rates.
    """
    ccd = combination.ccd
    data, variance, unit = ccd.data, ccd.uncertainty.array, exposures.given_unit
    if exposures.rate_seconds is not None:
        seconds = np.float32(exposures.rate_seconds)
        data, variance = data / seconds, variance / seconds**2
    product = CCDData(
        data,
        unit=unit,
        mask=ccd.mask,
        uncertainty=VarianceUncertainty(variance, unit=unit**2, copy=False),
        meta=product_header(exposures, combination.name, masks, notes, effective),
        wcs=ccd.wcs,
    )
    return replace(combination, ccd=product)
