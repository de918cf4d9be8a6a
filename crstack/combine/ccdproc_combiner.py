"""From exposures and masks to ccdproc."""

from astropy.nddata import CCDData

from crstack.combine.clean_values import CleanValues
from crstack.exceptions import InputError

__all__ = ["make_combiner"]


def make_combiner(exposures, statistics, masks):
    """A `~ccdproc.Combiner` of the exposures with bad pixels and hits masked.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures, bias subtracted.
    statistics : `~crstack.statistics.OrderStatistics`
        Of these exposures.
    masks : `~crstack.masks.MaskSet`
        Their masks: CRMASK1 to CRMASKN.

    Returns
    -------
    combiner : `~ccdproc.Combiner`
        A subclass: its images have the variance of the noise, a `~astropy.nddata.VarianceUncertainty`, in place of the
        scatter of the values, and the header and WCS of the first exposure.

    Raises
    ------
    InputError
        If the masks are of another number or shape of exposures.
    """
    from crstack.combine._ccdproc_subclass import NoiseCombiner  # ccdproc takes a second to import

    if (masks.n_exposures, *masks.shape) != exposures.data.shape:
        raise InputError(
            f"masks must be of {len(exposures)} exposures of shape {exposures.shape}; "
            f"got {masks.n_exposures} of {masks.shape}"
        )
    flagged = masks.crmasks if exposures.bad is None else masks.crmasks | exposures.bad
    ccds = [
        CCDData(data, unit=exposures.unit, mask=mask, wcs=exposures.wcs)
        for data, mask in zip(exposures.data, flagged, strict=True)
    ]
    values = CleanValues(exposures, statistics, masks)
    return NoiseCombiner(ccds, values.variance_of, exposures.header)
