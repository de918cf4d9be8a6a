"""Plausibility of masks: warnings about results that no real stack gives."""

from functools import cache

import numpy as np
from scipy import ndimage

from crstack.equalize.terms.offsets import hot_pixels
from crstack.exceptions import ImplausibleResultError, ImplausibleResultWarning
from crstack.exposures.comparison.rotation import rotations
from crstack.exposures.comparison.unlike_light import hidden_hits
from crstack.exposures.scatter.noise_of_parts import compare_noise_of_parts
from crstack.exposures.scatter.noise_sample import NoiseSample
from crstack.exposures.scatter.photons import counted_photons
from crstack.hits_on_structures import warn_of_flagged_structures
from crstack.local_differences import warn_of_region
from crstack.masks.codes import Code, exposure_name
from crstack.methods import measured_of
from crstack.misalignment import sentences_of_shifts
from crstack.utils.pixels import dilate
from crstack.utils.validation import check_number
from crstack.utils.warn import warn_user

__all__ = ["MAX_FRACTION", "check_plausible", "implausibilities", "is_misaligned"]

#: fraction of flagged values in an exposure that is not plausible
MAX_FRACTION = 0.2

#: the fraction of pixels in MEDIANCR is not plausible if it exceeds the second number, and the fraction by chance by
#: this factor
COINCIDENCES, MEDIAN_FRACTION = 4, 0.025
#: fewest exposures whose median differs from a mean of them
FEWEST_FOR_MEDIAN = 3
#: structures that differ by as much as this shift (pixels), beyond the measured differences, are not plausible
UNEXPLAINED = 0.3
#: trails explain that structures differ, and so do fewer than this number of sources that only some exposures show
MANY_SOURCES = 5
#: structures outside of trails and sources are compared in pixels of at least this gradient (standard deviations);
#: fewest such pixels; number of values of the rows that are read; and least distance (pixels) from trails and sources
STEEP, FEWEST_STEEP, VALUES, BESIDE = 5.0, 200, 40_000_000, 3
#: share of the steep pixels that lie beside hot pixels in dark exposures
MOSTLY = 0.5
#: quantile of the squared differences that is compared, and this quantile of the square of a normal value
QUANTILE, OF_QUANTILE = 0.75, 1.3233
#: largest shift (pixels) that is measured from these differences, and its error
MOST_SHIFTED, ERROR_OF_SHIFT = 4.0, 0.01

#: ratio of measured to stated noise above which there is a warning after the joint decision; ratio above which reading
#: the exposures has given one before; and number of values that give the usual level
UNDERSTATED, WARNED, LEVELS = 1.15, 1.4, 100_000

#: hits that are not found are reported if they have this many standard deviations of a mean with weights by light
SHOWN = 5.0

#: ratio of measured to stated scatter of the remaining values beyond which the noise is wrong
SCATTER = (0.5, 2.0)


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
        sentences += _of_mean(masks, max_fraction)
    # the cause has a warning of its own, and what is measured has no meaning
    if exposures.comparable:
        sentences += _of_coincidences(masks, valid)
        sentences += sentences_of_shifts(masks, exposures, offsets)
        sentences += _of_structures(masks, exposures, differences)
        sentences += _of_unlike_light(masks, exposures)
    if noise:
        sentences += _of_noise(exposures, sample or _unflagged(masks, exposures))
    return sentences


def _of_mean(masks, max_fraction):
    """A sentence if the auxiliary detector flags more of the mean of the clean values than it may."""
    flagged = np.count_nonzero(masks["MEANCR"]) / masks["MEANCR"].size
    if flagged <= max_fraction:
        return []
    return [
        f"{flagged:.1%} of the pixels are in MEANCR, more than {100 * max_fraction:g} %: the auxiliary detector flags "
        "them in the mean of the clean values, and meancr2 replaces them by the minimum. Check the settings of the "
        "detector, or leave it out (aux=None)"
    ]


def _of_coincidences(masks, valid):
    """A sentence if many more pixels are hit twice than hits at random places give."""
    n = masks.n_exposures
    if n < FEWEST_FOR_MEDIAN:
        return []

    def number(name):
        # traces of a nod have a warning of their own
        return np.count_nonzero(masks.codes[name]) - np.count_nonzero(masks.codes[name] == Code.MOVED)

    flagged = [number(exposure_name(i)) / max(valid[i], 1) for i in range(n)]
    twice = number("MEDIANCR") / masks["MEDIANCR"].size
    by_chance = n * (n - 1) / 2 * np.mean(flagged) ** 2
    if twice <= MEDIAN_FRACTION or twice <= COINCIDENCES * by_chance:
        return []
    return [
        f"{twice:.2%} of the pixels are in MEDIANCR, where hits at random places give about {by_chance:.2%}: "
        "the exposures differ. Check that all show the same field. Check that sky, seeing and pointing are alike"
    ]


def _of_structures(masks, exposures, differences):
    """A sentence if structures differ by much more than the noise and the measured differences.

    A trail, or a star that varies, makes structures differ at its place only, and has a warning of its own. The other
    structures are then measured alone. Where the exposures are rotated, stars are flagged at many places.
    """
    shift = 0.0 if masks.decision is None else masks.decision.unexplained_shift
    n_sources = 0 if masks.sources is None else len(masks.sources)
    explained = (masks.trails or n_sources) and n_sources < MANY_SOURCES
    if shift <= UNEXPLAINED:
        return []
    # the shift comes from normal values, which counted photons are not
    if explained or counted_photons(exposures) or _mostly_hot(exposures):
        shift = _shift_elsewhere(masks, exposures, differences())
        if shift <= UNEXPLAINED:
            return []
    measured = measured_of(masks.decision)
    factors = ", ".join(f"{one:.2f}" for one in measured.factors) if measured else "none"
    found = (
        f"structures differ between the exposures by as much as a shift of {shift:.2f} pixel beyond what is measured "
        f"(throughputs: {factors})"
    )
    if is_misaligned(masks.decision, exposures, n_sources):
        found += (
            f", and {n_sources} flagged features look like sources of some exposures only (in Python: masks.sources)"
        )
        cause = "are the exposures rotated against each other, distorted, or of different fields?"
    else:
        cause = "rotation, distortion, or fringes that vary?"
    turned = rotations(exposures)
    cause = f"the stars are rotated, those of {turned}." if turned else cause
    return [
        f"{found}: {cause} Structures are flagged, and hits on them are missed: register the exposures first, or leave "
        "out those that differ"
    ]


def is_misaligned(decision, exposures, n_sources):
    """Whether structures differ beyond what is measured, and many features look like sources of some exposures.

    Parameters
    ----------
    decision : `~crstack.methods.Decision` or None
        That made the masks.
    exposures : `~crstack.exposures.Exposures`
        Its exposures. Where they count photons, structures differ by more than normal values do.
    n_sources : int
        Number of sources that only some exposures show.

    Returns
    -------
    misaligned : bool
        Whether stars at different places, rather than stars that vary, are the likely cause.
    """
    shift = 0.0 if decision is None else decision.unexplained_shift
    return n_sources >= MANY_SOURCES and shift > UNEXPLAINED and not counted_photons(exposures)


def _shift_elsewhere(masks, exposures, differences):
    """Shift (pixels) of an exposure that makes steep structures differ as they do, outside trails and sources.

    It is measured in the middle rows of large images; 0 if there are too few such pixels.
    """
    n, rows = len(exposures), _middle_rows(exposures)
    levels = exposures.data[:, rows].astype(np.float32)
    for i, one in enumerate(differences or ()):
        levels[i] -= one[rows] if np.ndim(one) else one
    # of two exposures, their difference is that of one from the other
    common = np.median(levels, axis=0) if n > 2 else levels[0]
    variance = exposures.noise.cutout(rows).variance(np.maximum(common, 0)) * (1 if n > 2 else 2)
    # a hit of one of two exposures is no structure
    scene = common if n > 2 else levels.min(axis=0)
    gradient2 = ndimage.gaussian_gradient_magnitude(scene, 1) ** 2
    apart = [np.isin(masks.codes[exposure_name(i)][rows], (Code.TRAIL, Code.SOURCE, Code.MOVED)) for i in range(n)]
    # coincident hits are no structure either
    apart.append(masks["MEDIANCR"][rows])
    usable = (gradient2 > STEEP**2 * variance) & ~dilate(np.logical_or.reduce(apart), BESIDE)
    usable &= ~_beside_hot(scene, variance)
    if exposures.bad is not None:
        usable &= ~exposures.bad[:, rows].any(axis=0)
    if np.count_nonzero(usable) < FEWEST_STEEP:
        return 0.0
    slopes, noise = gradient2[usable], np.broadcast_to(variance, common.shape)[usable]
    return max(_shift_that_explains((plane[usable] - common[usable]) ** 2, noise, slopes) for plane in levels)


def _middle_rows(exposures):
    """The middle rows (a slice) of exposures, of about `VALUES` values."""
    ny, nx = exposures.shape
    half = max(VALUES // (2 * len(exposures) * nx), 1)
    return slice(max(ny // 2 - half, 0), ny // 2 + half)


def _mostly_hot(exposures):
    """Whether most of the steep structures are hot pixels, which no shift explains: dark exposures."""
    rows = _middle_rows(exposures)
    levels = exposures.data[:, rows]
    scene = np.median(levels, axis=0) if len(levels) > 2 else levels.min(axis=0)
    variance = exposures.noise.cutout(rows).variance(np.maximum(scene, 0))
    steep = ndimage.gaussian_gradient_magnitude(scene, 1) ** 2 > STEEP**2 * variance
    return bool(np.count_nonzero(steep & _beside_hot(scene, variance)) > MOSTLY * np.count_nonzero(steep))


def _beside_hot(scene, variance):
    """Surroundings of the hot pixels of an image (ny, nx)."""
    hot = np.zeros(scene.shape, dtype=bool)
    hot[hot_pixels(scene, np.sqrt(variance), shared=True)] = True
    return dilate(hot, BESIDE)


def _shift_that_explains(squares, noise, slopes):
    """Shift (pixels) for which squared differences are those of normal values; by bisection."""
    low, high = 0.0, MOST_SHIFTED
    while high - low > ERROR_OF_SHIFT:
        middle = (low + high) / 2
        if np.quantile(squares / (noise + middle**2 * slopes), QUANTILE) > OF_QUANTILE:
            low = middle
        else:
            high = middle
    return low


def _of_unlike_light(masks, exposures):
    """A sentence if the others have so little light that they do not show hits of the exposure with most light.

    Such hits count if a mean with weights in proportion to the light shows them. Without exposure times the plain mean
    has these weights. With times, ``combine(weights="exptime")`` has them, and the noise of the plain mean hides hits.
    """
    n = masks.n_exposures
    measured = measured_of(masks.decision)
    left = np.array(measured.factors if measured else (1.0,) * n, dtype=float)
    if min(left) <= 0:
        return []
    # with known exposure times, the exposures are already divided by them
    light = left * [float(np.median(one)) for one in exposures.scales or (1.0,) * n]
    hidden = hidden_hits(exposures, left, light)
    if hidden.by_light < SHOWN:
        return []
    name, others = exposures.names[hidden.long], " and ".join(exposures.names[i] for i in hidden.short)
    if n > 3:
        others = f"each of the {n - 1} others"
    in_mean = f"with {hidden.as_combined:.1f} standard deviations of a mean"
    if exposures.scales:
        in_mean += f" with equal weights, and {hidden.by_light:.1f} of one with weights by exposure times"
    return [
        f"{name} has {light[hidden.long] / light[hidden.short[-1]]:.3g} times the light of {others}, whose noise hides "
        f"hits of {name} of up to {hidden.sigmas:.0f} standard deviations ({hidden.charge:.3g} {exposures.unit}), and "
        f"a few larger ones: they remain in the combined images, {in_mean}. Add an exposure as long as {name}"
        + (
            ""
            if exposures.scales
            else ". If the exposure times differ, write EXPTIME into the headers, or give exptime="
        )
    ]


class _LeftOut:
    """Values that are flagged or bad: bool (N, ny, nx), computed for the rows that are asked for."""

    def __init__(self, masks, exposures):
        self._masks, self._exposures = masks, exposures

    def __getitem__(self, key):
        _, rows = key
        flagged = np.stack([self._masks.codes[exposure_name(i)][rows] > 0 for i in range(len(self._exposures))])
        return flagged if self._exposures.bad is None else flagged | self._exposures.bad[:, rows]


def _unflagged(masks, exposures):
    """Function that gives a sample of the values that are neither flagged nor bad, and takes it once."""
    return cache(lambda: NoiseSample.of_exposures(exposures, _LeftOut(masks, exposures)))


def _of_noise(exposures, sample):
    """A sentence if the scatter of the remaining values disagrees with the stated noise."""
    some = sample()
    ratios, sigma = some.known_ratios(), some.sigma
    if not ratios or SCATTER[0] <= np.median(ratios) <= SCATTER[1]:
        return []
    return [
        f"the values that are not flagged scatter by {np.median(ratios) * sigma:.3g} {exposures.unit} at a level of "
        f"{some.level:.3g} where the noise as stated is {sigma:.3g}: the masks rest on a wrong noise. "
        "Check gain, read noise, bias and unit, and leave the sky in the exposures"
    ]


def _warn_of_understated_noise(masks, exposures):
    """Warn if the joint decision has measured more noise at the usual level than is stated.

    Scatter proportional to the signal or to its gradient does not count, because it also occurs if the noise is right.
    """
    excess = getattr(getattr(masks.decision, "result", None), "excess", None)
    if excess is None or not (excess.constant or excess.photons):
        return
    step = max(exposures.data[0].size // LEVELS, 1)
    level = float(np.median([np.median(plane.ravel()[::step]) for plane in exposures.data]))
    unit = float(np.median(exposures.noise.electrons_per_unit))
    own = [np.median(one.ravel()[::step]) for one in exposures.variances if one is not None]
    stated = float(np.median(own if own else exposures.noise.variance(np.float32(level))))
    found = stated + (excess.constant + excess.photons * max(level, 0) * unit) / unit**2
    if not UNDERSTATED**2 * stated < found < WARNED**2 * stated:
        return
    warn_user(
        f"the exposures scatter by {np.sqrt(found):.3g} {exposures.unit} at a level of {level:.3g} where "
        f"{'their uncertainties' if own else 'gain and read noise'} give {np.sqrt(stated):.3g}: the noise is "
        f"understated by a factor of {np.sqrt(found / stated):.2f}. The masks allow for the missing noise. Check "
        f"{'them' if own else 'gain, read noise and bias'}: the uncertainties of combined images depend on them"
    )


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
        stated noise is wrong in parts of the image. There is none of these if reading the exposures has given a warning
        on the noise. If a region of an exposure has another level. If the joint decision flags structures far more
        often than the rest.
    """
    limit = MAX_FRACTION
    if max_fraction is not None:
        limit = check_number("max_fraction", max_fraction, minimum=0, maximum=1)
    # one warning on a wrong noise is enough
    known = exposures.doubted and max_fraction is None
    if not known:
        _warn_of_understated_noise(masks, exposures)
    sample = _unflagged(masks, exposures)
    # what is measured has no meaning where stars are far apart, out of focus, or of another field
    if exposures.comparable:
        if not known:
            compare_noise_of_parts(exposures, sample, differences)
        warn_of_region(masks, exposures)
    sentences = implausibilities(
        masks, exposures, limit, noise=noise and not known, offsets=offsets, differences=differences, sample=sample
    )
    # the method does not allow for differences, or they have a warning
    if exposures.comparable and not sentences and getattr(masks.decision, "result", None) is not None:
        warn_of_flagged_structures(masks, exposures)
    if sentences and max_fraction is not None:
        raise ImplausibleResultError("; ".join(sentences))
    if sentences:
        warn_user("; ".join(sentences), ImplausibleResultWarning)
