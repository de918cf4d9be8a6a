"""From exposures and masks to ccdproc."""

import numpy as np
from astropy.nddata import CCDData

from crstack.exceptions import InputError

__all__ = ["make_combiner"]


def make_combiner(exposures, masks):
    """A `~ccdproc.Combiner` of the exposures with bad pixels and hits masked.

    Parameters
    ----------
    exposures : `~crstack.exposures.Exposures`
        The exposures, bias subtracted.
    masks : `~crstack.masks.MaskSet`
        Their masks: CRMASK1 to CRMASKN.

    Returns
    -------
    combiner : `~ccdproc.Combiner`

    Raises
    ------
    InputError
        If the masks are of another number or shape of exposures.
    """
    from ccdproc import Combiner

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
    return Combiner(ccds, dtype=np.float32)
