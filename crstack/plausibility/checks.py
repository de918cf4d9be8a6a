"""The checks of masks after a decision, in their order, with one warning for all sentences."""

import numpy as np

from crstack.exceptions import ImplausibleResultError, ImplausibleResultWarning
from crstack.exposures.scatter.noise_of_parts import compare_noise_of_parts
from crstack.masks.codes import exposure_name
from crstack.plausibility.beside_trails import warn_of_flags_beside_trails
from crstack.plausibility.counts import of_coincidences, of_mean
from crstack.plausibility.flagged_structures import warn_of_flagged_structures
from crstack.plausibility.hidden_on_structures import warn_of_hidden_on_structures
from crstack.plausibility.noise import of_hidden_hits, of_noise, unflagged, warn_of_understated_noise
from crstack.plausibility.noisy_pixels import warn_of_noisy_pixels
from crstack.plausibility.pixel_response import of_pixel_response
from crstack.plausibility.regions import warn_of_region
from crstack.plausibility.shifts import sentences_of_shifts
from crstack.plausibility.single_values import warn_of_single_values
from crstack.plausibility.structures import of_structures
from crstack.plausibility.unlike_light import of_unlike_light
from crstack.plausibility.unlike_noise import of_unlike_noise
from crstack.utils.validation import check_number
from crstack.utils.warn import warn_user

__all__ = ["MAX_FRACTION", "check_plausible", "implausibilities"]

#: fraction of flagged values in an exposure that is not plausible
MAX_FRACTION = 0.2


def implausibilities(
    masks, exposures, max_fraction=MAX_FRACTION, *, noise=True, offsets=True, differences=lambda: None, sample=None
):
    """Contradictions in a set of masks.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.
    max_fraction : float, optional
        Largest fraction of flagged values in an exposure.
    noise : bool, optional
        Whether the scatter of the values that are not flagged is compared with the noise. False if the method has
        measured the scatter.
    offsets : bool, optional
        Whether the offsets are known or measured. If not, a shift makes stars look trailed.
    differences : callable, optional
        Gives the expected image of each exposure minus the common image, in the unit of the exposures; None if the
        exposures are equal. Called only where a trail or a source may hide that structures differ elsewhere.
    sample : callable, optional
        Gives a `~crstack.exposures.scatter.noise_sample.NoiseSample` of the values that are not flagged, if it is
        shared.

    Returns
    -------
    sentences : list of str
        Each names exposures, numbers and a remedy; empty if there is no contradiction.
    """
    sentences = []
    valid = np.full(len(exposures), exposures.data[0].size)
    if exposures.bad is not None:
        valid = valid - np.array([np.count_nonzero(plane) for plane in exposures.bad])
    over = {}
    for i in range(masks.n_exposures):
        plane, bad = masks[exposure_name(i)], exposures.bad_of(i)
        flagged = np.count_nonzero(plane if bad is None else plane & ~bad) / max(valid[i], 1)
        if flagged > max_fraction:
            over[exposures.names[i]] = flagged
    if over:
        found = ", ".join(f"{flagged:.1%} of the values of {name}" for name, flagged in over.items())
        sentences.append(
            f"{found} are flagged, more than {100 * max_fraction:g} %: cosmic rays do not hit so many. "
            "Check gain, read noise and bias, and whether sky, seeing and pointing are alike"
        )
    if not over:
        sentences += of_mean(masks, max_fraction)
    # the cause has a warning of its own, and what is measured has no meaning
    if exposures.comparable:
        sentences += of_coincidences(masks, valid)
        sentences += sentences_of_shifts(masks, exposures, offsets)
        sentences += of_structures(masks, exposures, differences)
        sentences += of_unlike_light(masks, exposures) or of_unlike_noise(masks, exposures)
        sentences += of_pixel_response(masks, exposures) or of_hidden_hits(masks, exposures)
    if noise:
        sentences += of_noise(exposures, sample or unflagged(masks, exposures))
    return sentences


def check_plausible(masks, exposures, max_fraction=None, *, noise=True, offsets=True, differences=lambda: None):
    """Warn of implausible masks, or raise an error if a limit was given.

    Parameters
    ----------
    masks, exposures, noise, offsets, differences
        As for `implausibilities`.
    max_fraction : float, optional
        As for `implausibilities`; if given, a larger fraction is an error.

    Raises
    ------
    ImplausibleResultError
        If ``max_fraction`` was given and the masks are not plausible.

    Warns
    -----
    ImplausibleResultWarning
        If the masks are not plausible and it was not given.
    CRStackWarning
        If the joint decision has measured more noise than is stated. If values scatter by less than is stated. If the
        stated noise is wrong in parts of the image, or in single pixels. There is none of these if reading the
        exposures has given a warning on the noise. If a region of an exposure has another level. If values are flagged
        beside a trail of another exposure. If many pixels have one valid value. If the joint decision flags structures
        far more often than the rest. If structures differ so much that most hits on them are missed.
    """
    limit = MAX_FRACTION
    if max_fraction is not None:
        limit = check_number("max_fraction", max_fraction, minimum=0, maximum=1)
    # one warning on a wrong noise is enough
    known = exposures.doubted and max_fraction is None
    sample = unflagged(masks, exposures)
    noisy = False
    # what is measured has no meaning where stars are far apart, out of focus, or of another field
    if exposures.comparable:
        if not known:
            warn_of_understated_noise(masks, exposures)
            compare_noise_of_parts(exposures, sample, differences)
            noisy = warn_of_noisy_pixels(masks, exposures)
        warn_of_region(masks, exposures)
        warn_of_flags_beside_trails(masks, exposures)
        warn_of_single_values(masks, exposures)
    sentences = implausibilities(
        masks, exposures, limit, noise=noise and not known, offsets=offsets, differences=differences, sample=sample
    )
    # the method does not allow for differences, or they have a warning
    if exposures.comparable and not (sentences or noisy) and getattr(masks.decision, "result", None) is not None:
        warn_of_flagged_structures(masks, exposures)
        warn_of_hidden_on_structures(masks, exposures)
    if sentences and max_fraction is not None:
        raise ImplausibleResultError("; ".join(sentences))
    if sentences:
        warn_user("; ".join(sentences), ImplausibleResultWarning)
