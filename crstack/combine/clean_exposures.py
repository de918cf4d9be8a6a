"""Exposures whose hits are replaced by the expected values."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.combine.result import Combination
from crstack.exposures import Exposures
from crstack.files.history import add_history, header_line
from crstack.masks import MaskSet
from crstack.masks.codes import exposure_name
from crstack.utils.memory import empty_image
from crstack.utils.pixels import at_pixels, by_rows
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.version import crstack_version

__all__ = ["clean_exposures"]


def clean_exposures(
    exposures: Exposures, masks: MaskSet, combination: Combination, differences: Sequence[np.ndarray] | None = None
) -> Iterator[CCDData]:
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

    Yields
    ------
    ccd : `~astropy.nddata.CCDData`
        Of one exposure after the other, in the unit and at the level in which it was given: divisors, such as those of
        unlike exposure times, are undone. The variances are those of the noise of the exposure, or of the combined
        value where this replaces the value. The mask is True where a value was replaced. Where no exposure is valid
        the value is NaN. Header and WCS are those of the exposure itself, with its name in CRSOURCE, and HISTORY.

    Notes
    -----
    The combined value of a pixel has the mean level of the exposures that are clean there, or of all exposures for
    masks of the joint decision. It is moved to the level of the exposure, so that a replaced hit makes no step.
    """
    shift = None
    if differences is not None:
        shift = _mean_difference(differences, None if masks.signal_shift is not None else (exposures, masks))
    for i in range(len(exposures)):
        difference = None if differences is None else differences[i]
        data, variance, where = _replaced(exposures, masks, i, combination, (difference, shift))
        ccd = CCDData(
            data,
            unit=exposures.given_unit,
            mask=where,
            uncertainty=VarianceUncertainty(variance, unit=exposures.given_unit**2, copy=False),
            meta=(exposures.own_headers[i] if exposures.own_headers else exposures.header).copy(),
            wcs=exposures.own_wcs[i] if exposures.own_wcs else exposures.wcs,
        )
        add_history(ccd.meta, _history(exposures, masks, i, where, combination.name))
        ccd.meta["CRSOURCE"] = (header_line(Path(exposures.names[i]).name), "exposure whose hits are replaced")
        yield ccd


def _history(exposures, masks, i, where, name):
    """What was done to an exposure."""
    n_hit = np.count_nonzero(masks.codes[exposure_name(i)])
    return (
        f"crstack {crstack_version()}: {n_hit} hit and {np.count_nonzero(where) - n_hit} bad "
        f"values of exposure {i + 1} replaced, from {name} of {len(exposures)} exposures",
        f"masks UUID: {masks.uuid}",
    )


def _left_out(exposures, masks, i, rows):
    """True where exposure ``i`` is hit or bad, in some rows."""
    hit, bad = masks.codes[exposure_name(i)][rows] > 0, exposures.bad_of(i)
    return hit if bad is None else hit | bad[rows]


def _replaced(exposures, masks, i, combination, to_own_level):
    """Values and variances of an exposure with its hits and bad values replaced, and where they are."""
    data, variance, where = (empty_image(exposures.shape, kind) for kind in (np.float32, np.float32, bool))
    common, error = combination.ccd.data, combination.ccd.uncertainty.array
    seconds, noise = np.float32(exposures.rate_seconds or 1), exposures.noise_of(i)
    divisor = exposures.scales[i] if exposures.scales else 1

    def work(rows):
        difference, shift = (one if one is None else at_pixels(one, rows) for one in to_own_level)
        expected = common[rows] if difference is None else common[rows] + (difference - shift)
        where[rows] = out = _left_out(exposures, masks, i, rows)
        values = np.where(out, expected, exposures.data[i][rows]).astype(np.float32)
        own = noise.cutout(rows).variance(np.nan_to_num(expected))
        factor = np.asarray(at_pixels(divisor, rows), np.float32)
        data[rows] = values * factor / seconds
        variance[rows] = np.where(out, error[rows], own).astype(np.float32) * factor**2 / seconds**2

    map_threads(work, row_bands(*exposures.shape))
    return data, variance, where


def _mean_difference(differences, left_out):
    """Mean of the differences over the exposures that are not excluded; over all exposures if none remains.

    ``left_out`` is None, or the exposures and their masks.
    """
    if left_out is None:
        return by_rows(lambda *each: np.mean(each, axis=0), *differences)
    exposures, masks = left_out
    mean = empty_image(exposures.shape, np.float64)

    def work(rows):
        out = np.stack([_left_out(exposures, masks, i, rows) for i in range(len(exposures))])
        used = ~out | out.all(axis=0)
        each = (at_pixels(one, rows) for one in differences)
        mean[rows] = sum(np.where(one, each, 0) for one, each in zip(used, each, strict=True)) / used.sum(axis=0)

    map_threads(work, row_bands(*exposures.shape))
    return mean
