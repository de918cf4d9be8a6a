"""A sentence about exposures without a flat field whose levels differ."""

import numpy as np

from crstack.utils.medians import median_of_values, reflected_median
from crstack.utils.normal import SIGMA_PER_MAD
from crstack.utils.pixels import middle_of

__all__ = ["of_pixel_response"]

#: largest side (pixels) of the central part of the image that is examined
SIDE = 512
#: levels and throughputs that differ by less than this factor agree
ALIKE = 1.1
#: deviations of a pixel from those around it that count, in scatters; light and hits deviate by more
CLIP = 4.0
#: least significance of the deviations that two exposures share, in standard errors
SIGNIFICANT = 10.0
#: least rest of the response of the pixels, in standard deviations of an exposure
LEAST = 0.7


def of_pixel_response(masks, exposures):
    """A sentence if pixels differ in their response, and levels that differ were not taken for throughputs.

    A level that is added to an exposure is the same in pixels that are next to each other. The light of a flat field or
    of a bright sky is not, before a division by a flat field.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks, with the throughputs that were given or measured.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.

    Returns
    -------
    sentences : list of str
        With numbers and a remedy; empty if there is none.
    """
    n = masks.n_exposures
    part = exposures.cutout(middle_of(exposures.shape, SIDE))
    valid = np.ones(part.shape, dtype=bool) if part.bad is None else ~part.bad.any(axis=0)
    if not valid.any():
        return []
    levels = np.array([float(median_of_values(plane[valid])) for plane in part.data])
    if not levels.min() > 0 or levels.max() < ALIKE * levels.min():
        return []
    factors = np.array(masks.throughputs or (1.0,) * n, dtype=float)
    expected = factors * np.mean(levels / factors)
    noise = np.sqrt([float(np.median(part.noise_of(i).variance(levels[i]))) for i in range(n)])
    brightest = np.argsort(levels)[-2:]
    response = _response(part.data[brightest], levels[brightest], valid)
    rests = response * np.abs(levels - expected) / noise
    worst = int(np.argmax(rests))
    if rests[worst] < LEAST:
        return []
    given = ", ".join(f"{one:.3g}" for one in levels / levels.mean())
    return [
        f"the pixels differ in their response by {response:.1%}, and the levels of the exposures by a factor of "
        f"{levels.max() / levels.min():.3g}, but the throughputs by {factors.max() / factors.min():.3g}. Where a level "
        "is taken for added light, the response of the pixels looks like noise, up to "
        f"{rests[worst]:.1f} standard deviations of {exposures.names[worst]}: hits are missed, and throughputs are "
        f"wrong. Divide by a flat field; for exposures of a flat field, give flux_factors=({given})"
    ]


def _response(planes, levels, valid):
    """Standard deviation of the response of the pixels, from what two exposures share; 0 if it is not significant."""
    deviations = [plane - reflected_median(np.ascontiguousarray(plane)) for plane in planes]
    some = valid.copy()
    for one in deviations:
        some &= np.abs(one) < CLIP * SIGMA_PER_MAD * median_of_values(np.abs(one[valid]))
    if not some.any():
        return 0.0
    one, other = (each[some] - each[some].mean() for each in deviations)
    product = one * other
    error = product.std() / np.sqrt(product.size)
    return float(np.sqrt(product.mean() / levels.prod())) if product.mean() > SIGNIFICANT * error else 0.0
