"""Comparison of the scatter of the exposures with their noise: warnings of noise, bias and gain."""

import numpy as np

from crstack.exceptions import InputError
from crstack.exposures.blank import level_of_darkest_blocks
from crstack.exposures.scatter.noise_causes import (
    middle_ratio,
    words_of_too_little,
    words_of_too_much,
    words_of_uncertainties,
)
from crstack.exposures.scatter.noise_of_one import levels_of, of_another_level, warn_of_smoothed
from crstack.exposures.scatter.noise_sample import NoiseSample, cyclic_pairs
from crstack.exposures.scatter.noisy_one import noisy_ones
from crstack.exposures.scatter.photons import counted_photons
from crstack.exposures.scatter.same_noise import warn_of_same_noise
from crstack.utils.medians import median_of_values
from crstack.utils.warn import warn_user
from crstack.utils.words import plain

__all__ = ["compare_noise"]

#: ratios of measured to stated scatter above and below which a warning is given. Where photons dominate, a gain that is
#: wrong by a factor of 2 changes the scatter by the square root of 2
TOO_MUCH, TOO_LITTLE = 1.4, 0.87
#: ratio below which the values are no counts, and nothing can be found
NO_COUNTS = 1e-4
#: ratio below which the exposures may be one that was reduced in several ways
OF_COPIES = 0.1
#: largest ratio that peaks at whole photons give: the difference of two counts is often 1, and seldom 0
OF_PEAKS = 2.0
#: level in units of the read noise, below 0, that gives a warning; the same for the darkest blocks of an exposure
BELOW_BIAS, DARKEST_BELOW_BIAS = 10, 1.0
#: exposures are scaled to one level if their levels differ by more than this fraction. Structures of the pixels were
#: part of the scatter if this reduces the variance of the differences below this ratio
UNLIKE_LEVELS, STRUCTURES = 0.03, 0.9


def compare_noise(exposures, bias_given):
    """Warn if the exposures scatter by more or less than their noise allows.

    Parameters
    ----------
    exposures : Exposures
        The exposures.
    bias_given : bool
        Whether a bias other than 0 was subtracted.

    Returns
    -------
    missing : tuple of float
        Variance (electrons squared) that each exposure has beyond that of its level; empty if there is none.
    wrong : bool
        Whether there was a warning on the noise or the bias of all exposures.

    Raises
    ------
    InputError
        If the scatter is a tiny fraction of the noise, as that of fluxes in physical units.

    Warns
    -----
    CRStackWarning
        If the scatter of one exposure is that of another level, or of smoothed values, or is larger than stated. If two
        exposures have the same noise. If the scatter of all exposures disagrees with the noise. If the darkest part of
        an exposure lies below 0 after a bias is subtracted.
    """
    sample = NoiseSample.of_exposures(exposures, exposures.bad)
    # structures that differ, as those of exposures that are shifted, are no noise
    flat = sample.of_flat()
    odd = of_another_level(exposures, flat)
    scaled = _without_structures(sample)
    if scaled is not None:
        sample, flat, odd = scaled, scaled.of_flat(), []
    for one in odd:
        warn_user(one.words(exposures))
    known = {one.exposure for one in odd}
    noisy = noisy_ones(sample, known)
    for one in noisy:
        warn_user(one.words(exposures))
    known |= {one.exposure for one in noisy}
    both, later = warn_of_same_noise(exposures, sample)
    # the difference of a pair with the same noise shows no smoothing
    smoothed = set() if both else warn_of_smoothed(exposures, sample, flat, known)
    which = [i for i in range(len(exposures)) if i not in known | smoothed | later]
    wrong = _compare_all(exposures, sample, which, bias_given, bool(smoothed))
    missing = [0.0] * len(exposures)
    for one in [*odd, *noisy]:
        unit = median_of_values(exposures.noise_of(one.exposure).electrons_per_unit)
        missing[one.exposure] = max(one.found - one.stated, 0.0) * float(unit) ** 2
    return (tuple(missing) if any(missing) else ()), wrong


def _without_structures(sample):
    """The sample at one level, if pixels have structures in proportion to the light, such as their response; or None.

    Where levels differ, as those of twilight flats do, such structures remain in the differences of exposures.
    """
    ratios = sample.known_ratios()
    if not ratios or max(ratios) ** 2 * STRUCTURES < 1 or not sample.valid.any(axis=(1, 2)).all():
        return None
    levels = levels_of(sample)
    if min(levels) <= 0 or max(levels) < (1 + UNLIKE_LEVELS) * min(levels):
        return None
    scaled = sample.at_one_level(levels)
    return scaled if np.square(scaled.known_ratios()).sum() < STRUCTURES * np.square(ratios).sum() else None


def _compare_all(exposures, sample, which, bias_given, smoothed):
    """Warn if the scatter of some exposures (indices) disagrees with their noise; return whether it does.

    ``smoothed`` is whether the others are smoothed.

    Too much scatter must be in the flattest part of the sample as well: lines that are shifted by more than their width
    are no noise.
    """
    if bias_given and len(which) == len(exposures) and _warn_of_bias(exposures, sample.level):
        return True
    ratio = middle_ratio(sample, which, 1.0)
    if ratio > TOO_MUCH:
        ratio = min(ratio, middle_ratio(sample.of_flattest(), which, ratio))
    if TOO_LITTLE <= ratio <= TOO_MUCH:
        return False
    sigma, level = (
        float(np.median([median_of_values(plane[i][sample.valid[i]]) for i in which]))
        for plane in (sample.stated, sample.own)
    )
    sigma = np.sqrt(sigma)
    scatter = ratio * sigma
    own = any(variance is not None for variance in exposures.variances)
    if _of_photons(exposures, sigma, ratio):
        return False
    source = "their uncertainties" if own else "gain and read noise"
    unit = exposures.unit
    numbers = (
        f"the exposures scatter by {plain(scatter)} {unit}, where {source} give {plain(sigma)} {unit} at a level of "
        f"{plain(level)} {unit}"
    )
    # equal whole numbers have no scatter
    if 0 < ratio < NO_COUNTS:
        raise InputError(
            f"exposures must be counts in {exposures.given_unit} with the noise that is given; got a scatter of "
            f"{scatter:.3g}, where {source} give {sigma:.3g}. Check gain, read noise and unit; calibrated fluxes "
            "cannot be used"
        )
    if own:
        warn_user(f"{numbers}{words_of_uncertainties(ratio, sample.correlation(cyclic_pairs(which)))}")
        return True
    if ratio > TOO_MUCH:
        causes = words_of_too_much(exposures, level, scatter)
    else:
        more = {"bias_given": bias_given, "smoothed": smoothed}
        causes = words_of_too_little(exposures, sample, which, level, scatter, sigma, **more)
        if 0 < ratio < OF_COPIES:
            causes += ". If all of these are right, are the exposures one, reduced in several ways?"
    warn_user(f"{numbers}{causes}")
    return True


def _of_photons(exposures, sigma, ratio):
    """Whether peaks at whole photons explain a scatter of ``ratio`` times the noise ``sigma``.

    The scatter is a median of differences. If most values lie in the peak of 0 photons, it is that of the read noise.
    If they lie in few peaks, it is larger than that of normal values.
    """
    if counted_photons(exposures) is None:
        return False
    readnoise = float(np.median(exposures.noise.readnoise_in_unit))
    return TOO_LITTLE * readnoise < ratio * sigma < OF_PEAKS * sigma


def _warn_of_bias(exposures, level):
    """Warn if the exposures lie far below the bias; return whether they do."""
    readnoise = float(np.median(exposures.noise.readnoise_in_unit))
    if level >= -BELOW_BIAS * readnoise:
        return _warn_of_darkest(exposures, readnoise)
    warn_user(
        f"the exposures lie at {plain(level)} {exposures.unit} once the bias is subtracted, {-level / readnoise:.0f} "
        f"times the read noise of {plain(readnoise)} below 0: "
        "the bias is too high, or it was subtracted before. Check bias"
    )
    return True


def _warn_of_darkest(exposures, readnoise):
    """Warn of exposures whose darkest blocks lie below the bias; return whether there are any."""
    bad = exposures.bad
    levels = {
        name: level_of_darkest_blocks(plane, None if bad is None else bad[i])
        for i, (name, plane) in enumerate(zip(exposures.names, exposures.data, strict=True))
    }
    low = {name: level for name, level in levels.items() if level < -DARKEST_BELOW_BIAS * readnoise}
    if not low:
        return False
    found = ", ".join(f"{name} at {plain(level)} {exposures.unit}" for name, level in low.items())
    warn_user(
        f"once the bias is subtracted, the darkest parts lie below 0 by more than the read noise of {plain(readnoise)} "
        f"{exposures.unit}: {found}. The bias is too high there, so noise and levels are stated too low. Check bias; "
        "if it changes from one exposure to the next, give one each (bias=[...]) or its section"
    )
    return True
