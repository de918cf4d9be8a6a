"""Exposures whose hits are replaced by the expected values."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.combine.result import Combination
from crstack.exposures import Exposures
from crstack.files.history import add_history, header_line
from crstack.masks import MaskSet
from crstack.utils.version import crstack_version

__all__ = ["clean_exposures"]


def clean_exposures(
    exposures: Exposures, masks: MaskSet, combination: Combination, differences: Sequence[np.ndarray] | None = None
) -> list[CCDData]:
    """Each exposure with its hits and bad values replaced by the expected values.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures, bias subtracted.
    masks : `~crstack.masks.MaskSet`
        Their masks: CRMASK1 to CRMASKN.
    combination : `~crstack.combine.Combination`
        Mean of the clean exposures, in the unit of the exposures.
    differences : sequence of `~numpy.ndarray`, optional
        Expected difference of each exposure from the common image, (ny, nx) each; 0 by default.

    Returns
    -------
    ccds : list of `~astropy.nddata.CCDData`
        In the unit in which the exposures were given. The variances are those of the noise of the exposure, or of the
        combined value where this replaces the value. The mask is True where a value was replaced. Where no exposure is
        valid the value is NaN. Header and WCS are those of the exposure itself, with its name in CRSOURCE, and HISTORY.

    Notes
    -----
    The combined value of a pixel has the mean level of its exposures: those that are clean there, or all of them for
    masks of the joint decision. It is moved to the level of the exposure, so that a replaced hit makes no step
    where exposures differ.
    """
    common, error = combination.ccd.data, combination.ccd.uncertainty.array
    replaced = np.stack([_replaced(exposures, masks, i) for i in range(len(exposures))])
    shift = None
    if differences is not None:
        of_all = masks.signal_shift is not None
        shift = _mean_difference(differences, None if of_all else replaced)
    seconds, unit = np.float32(exposures.rate_seconds or 1), exposures.given_unit
    ccds = []
    for i, where in enumerate(replaced):
        expected = common if shift is None or differences is None else common + (differences[i] - shift)
        data = np.where(where, expected, exposures.data[i]).astype(np.float32)
        variance = np.where(where, error, exposures.noise_of(i).variance(np.nan_to_num(expected))).astype(np.float32)
        ccd = CCDData(
            data / seconds,
            unit=unit,
            mask=where.copy(),
            uncertainty=VarianceUncertainty(variance / seconds**2, unit=unit**2),
            meta=(exposures.own_headers[i] if exposures.own_headers else exposures.header).copy(),
            wcs=exposures.own_wcs[i] if exposures.own_wcs else exposures.wcs,
        )
        add_history(ccd.meta, _history(exposures, masks, i, where, combination.name))
        ccd.meta["CRSOURCE"] = (header_line(Path(exposures.names[i]).name), "exposure whose hits are replaced")
        ccds.append(ccd)
    return ccds


def _history(exposures, masks, i, where, name):
    """What was done to an exposure."""
    hit = masks[f"CRMASK{i + 1}"]
    return (
        f"crstack {crstack_version()}: {np.count_nonzero(where & hit)} hit and {np.count_nonzero(where & ~hit)} bad "
        f"values of exposure {i + 1} replaced, from {name} of {len(exposures)} exposures",
        f"masks UUID: {masks.uuid}",
    )


def _replaced(exposures, masks, i):
    """True where exposure ``i`` is hit or bad."""
    hit, bad = masks[f"CRMASK{i + 1}"], exposures.bad_of(i)
    return hit if bad is None else hit | bad


def _mean_difference(differences, left_out):
    """Mean of the differences over the exposures that are not excluded; over all exposures if none remains."""
    if left_out is None:
        return np.mean(differences, axis=0)
    used = ~left_out | left_out.all(axis=0)
    total = sum(np.where(one, difference, 0) for one, difference in zip(used, differences, strict=True))
    return total / used.sum(axis=0)
