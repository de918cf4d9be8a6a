"""Warning about structures that differ so much between the exposures that hits on them are missed."""

import numpy as np

from crstack.masks.codes import Code, exposure_name
from crstack.utils.warn import warn_user

__all__ = ["warn_of_hidden_on_structures"]

#: number of pixels that show the share of the image
PIXELS = 100_000
#: least scatter beyond the noise, as a multiple of it, and share of the pixels that have it
HIDES, SHARE = 3.0, 0.02
#: codes of values that are left out, with a warning
NAMED = (Code.TRAIL, Code.SOURCE, Code.MOVED)
#: such values are the cause if they are this share of the pixels: what is around them differs as well
EXPLAINED = 0.2
#: if reading the exposures has given a warning on the noise, it explains such a scatter of this share of the pixels
MOSTLY = 0.5
#: standard deviations of noise from which a hit is found where the exposures differ by noise alone
FOUND = 5.0


def warn_of_hidden_on_structures(masks, exposures):
    """Warn if the joint decision leaves a scatter beyond the measured differences that hides many hits.

    Light that differs between the exposures and is not described, as in bands of absorption of the air that grow, is
    noise of its place. Clean values are not flagged there then, and nor are most hits. There is no warning if most of
    the pixels scatter so, and reading the exposures has given a warning on the noise as stated.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.

    Warns
    -----
    CRStackWarning
        With the share of the pixels, the scatter and a remedy.
    """
    result = getattr(masks.decision, "result", None)
    if getattr(result, "measured", None) is None:
        return
    ny, nx = exposures.shape
    where = np.divmod(np.random.default_rng(0).integers(0, ny * nx, PIXELS), nx)
    ratios = np.sqrt(result.excess_variance[where] / _noise_variance(exposures, where))
    # what is moved, and trails, have warnings of their own
    named = [np.isin(masks.codes[exposure_name(i)][where], NAMED) for i in range(len(exposures))]
    hidden = ratios > HIDES
    if hidden.mean() < SHARE or np.any(named, axis=0)[hidden].mean() > EXPLAINED:
        return
    if exposures.doubted and hidden.mean() > MOSTLY:
        return
    typical = float(np.median(ratios[hidden]))
    warn_user(
        f"in {hidden.mean():.1%} of the pixels, the exposures differ by about {typical:.0f} times their noise, in a "
        f"way that is not measured. Hits fainter than about {FOUND * np.hypot(1, typical):.0f} standard deviations are "
        "missed there, and the variance of combined images includes the difference. Do bands of absorption of the "
        "air change? Does an object turn, or are stars so sharp that they change with their place in a pixel? Combine "
        "exposures that are alike"
    )


def _noise_variance(exposures, where):
    """Mean variance of the exposures by noise alone at some pixels, electrons squared; NaN where no value is valid."""
    planes = np.stack([plane[where] for plane in exposures.data]).astype(np.float32)
    if exposures.bad is not None:
        planes[np.stack([exposures.bad_of(i)[where] for i in range(len(planes))])] = np.nan
    # the lower median: hits raise the others
    signal = np.sort(planes, axis=0)[(len(planes) - 1) // 2]
    variances = [exposures.noise_of(i).cutout(where).variance(signal) for i in range(len(planes))]
    factor = np.broadcast_to(exposures.noise.electrons_per_unit, exposures.shape)[where]
    return np.mean(variances, axis=0) * factor**2
