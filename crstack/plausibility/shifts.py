"""Sentences about exposures that are shifted against the others, or whose stars are wider or trailed."""

import numpy as np
from scipy import ndimage

from crstack.equalize.terms.guiding import trailed, widened
from crstack.equalize.terms.steps import whole_steps
from crstack.methods import measured_of
from crstack.plausibility.fixed_pixels import sentence_of_fixed_pixels
from crstack.utils.normal import FWHM_PER_SIGMA, SIGMA_PER_MAD

__all__ = ["central", "sentences_of_shifts"]

#: remedy where stars are aligned: a bright object that moves over them, such as a comet, decides on the measured shift
UNLESS_OBJECT = (
    "If the stars are aligned already, and a bright object such as a comet moves over them, the shift is that of the "
    "object: mask it in each exposure"
)
#: shift (pixels) that blurs a combination
SHIFT = 1.0
#: shift of a corner against the centre from which its description, linear in the shift, is not good enough
OF_CORNERS = 0.8
#: the same as the first number for shifts that are known to whole pixels
WHOLE_STEPS = 1.5
#: a kernel does not describe stars whose second moments (square pixels) along both axes are larger by this number
WIDENED = 3.5
#: with two exposures, stars lose light to the masks if the second moments differ by the first number (square pixels)
#: and the throughputs by the second as a factor
WIDENED_OF_TWO, DIMMED_OF_TWO = 1.2, 1.25
#: least significance of such a difference, in standard errors
SIGNIFICANT = 5.0
#: a trail is along an axis within this angle (degrees); traces are searched in parts of this length (pixels), as rows
#: that exceed the median of this number of rows around them by this number of standard deviations
OF_AXIS, PART, AROUND_TRACE, CLEAR = 5.0, 64, 31, 10.0


def sentences_of_shifts(masks, exposures, known):
    """Sentences about exposures that are shifted, much wider or trailed, so that combinations are blurred.

    Parameters
    ----------
    masks : `~crstack.masks.MaskSet`
        The masks, with the decision that measured the shifts.
    exposures : `~crstack.exposures.Exposures`
        Their exposures.
    known : bool
        Whether the offsets are known or measured. If not, a shift makes stars look trailed.

    Returns
    -------
    sentences : list of str
        Each names exposures, numbers and a remedy.
    """
    measured = measured_of(masks.decision) if known else None
    zero = exposures.names[0] if masks.n_exposures == 2 else "the others"
    if measured:
        far, zero = _far(exposures, measured.shifts)
        hits = "Structures may be flagged where the shift is not measured well, and"
    else:
        far = {name: shift for name, *shift in exposures.displaced}
        if not far and masks.decision is not None and (not known or masks.decision.measured is None):
            far, zero = _far(exposures, whole_steps(exposures.data), WHOLE_STEPS)
        hits = "Unless the offsets are given, stars are taken for hits, and"
    wide = _wide(measured, WIDENED) if measured else {}
    # the shift of a profile of another shape has no meaning
    far = {name: shift for name, shift in far.items() if exposures.names.index(name) not in wide}
    sentences = []
    if wide:
        sentences.append(_sentence_of_width(wide, exposures.names))
    elif measured and masks.n_exposures == 2:
        sentences += _sentences_of_two(measured, exposures.names)
    if far:
        found = ", ".join(f"{name} by ({dx:+.1f}, {dy:+.1f}) pixels" for name, (dx, dy) in far.items())
        sentences.append(
            f"the exposures are not aligned: {found}, from {zero}. {hits} combined images are blurred: align the "
            f"exposures first. {UNLESS_OBJECT}"
        )
        fixed = sentence_of_fixed_pixels(exposures)
        sentences += [] if fixed is None else [fixed]
    if measured:
        sentences += _sentences_of_corners(measured, exposures.names)
        sentences += _sentences_of_trailed_stars(measured, exposures.names, wide)
    return sentences


def _sentences_of_corners(measured, names):
    """A sentence if the shift in the corners of an exposure is another one than in its centre."""
    shifts, _ = measured.corners_less_centre()
    found = [f"{name} by {shift:.1f} pixels" for name, shift in zip(names, shifts, strict=True) if shift > OF_CORNERS]
    if not found:
        return []
    return [
        f"the field turns, or its scale changes: stars in a corner are shifted against those in the centre, "
        f"{', '.join(found)} more than in the mean of the exposures. Combined images are blurred there, and bright "
        "stars may be flagged: align the exposures first"
    ]


def _sentence_of_width(wide, names):
    """A sentence about exposures whose stars are much wider, by ``wide``: number from 0, and second moment."""
    found = ", ".join(
        f"{names[i]} by {FWHM_PER_SIGMA * np.sqrt(more):.1f} pixels (FWHM, in quadrature)" for i, more in wide.items()
    )
    return (
        f"stars are much wider than in the sharpest exposure: {found}. Out of focus, or in far worse seeing? "
        "The profiles differ by more than is measured well, so stars may be flagged: leave such exposures out"
    )


def _sentences_of_trailed_stars(measured, names, wide):
    """A sentence if stars are trailed in exposures that are not ``wide``."""
    found = [
        f"{names[i]} by {length:.1f} pixels at {angle:.0f} degrees from the x axis"
        for i, length, angle in trailed(measured)
        if i not in wide and not _is_across_traces(measured.common, angle)
    ]
    if not found:
        return []
    if len(names) == 2 and len(found) == 2:
        return [
            f"stars are trailed in one of two exposures, whose seeing differs too: {', or '.join(found)}. The guiding "
            "failed; the combined images are blurred. Look at the stars"
        ]
    return [
        f"stars are trailed against those of most exposures: {', '.join(found)}. The guiding failed; the combined "
        "images are blurred unless such exposures are left out"
    ]


def _is_across_traces(common, angle):
    """Whether an image has traces across the angle of a trail (degrees from the x axis).

    Another seeing widens emission lines on a trace along the slit only, and these are not trailed.
    """
    if min(abs(angle - 90), angle, 180 - angle) > OF_AXIS:
        return False
    image = common if abs(angle - 90) < 45 else common.T
    parts = np.array_split(image, max(image.shape[1] // PART, 1), axis=1)
    return np.count_nonzero([_has_trace(part) for part in parts]) >= len(parts) / 2


def _has_trace(part):
    """Whether rows of a part of an image exceed the rows around them, by the medians along the rows."""
    rows = np.median(part, axis=1)
    sharp = rows - ndimage.median_filter(rows, AROUND_TRACE, mode="nearest")
    return sharp.max() > CLEAR * SIGMA_PER_MAD * np.median(np.abs(sharp))


def _sentences_of_two(measured, names):
    """A sentence if two exposures differ so much in seeing and throughput that errors on stars look like hits."""
    if max(measured.factors) < DIMMED_OF_TWO * min(measured.factors):
        return []
    factors = ", ".join(f"{one:.2f}" for one in measured.factors)
    return [
        f"stars are wider in {names[i]} than in {names[1 - i]} by {FWHM_PER_SIGMA * np.sqrt(more):.1f} pixels (FWHM, "
        f"in quadrature), and the throughputs are {factors}: with two exposures whose stars differ this much, stars "
        "cannot be distinguished from hits. Stars may lose several per cent of their light in the combined image: add "
        "an exposure, or give ignore_pixels for the stars"
        for i, more in _wide(measured, WIDENED_OF_TWO).items()
    ]


def _wide(measured, least):
    """Exposures (from 0) whose stars are much wider, with the difference of the second moments, if it is significant.

    Without stars, the widths have large errors.
    """
    errors = measured.kernel_errors[:, 3:5]
    sharpest = np.argmin(np.array(measured.widths, dtype=float)[:, :2].sum(axis=1))
    return {
        i: more
        for i, more in widened(measured, least)
        if more > SIGNIFICANT * np.hypot(errors[i].max(), errors[sharpest].max())
    }


def _far(exposures, shifts, least=SHIFT):
    """Exposures that are shifted too far, by name, with their shifts; and the name of the exposure at shift 0."""
    zero = central(shifts)
    shifts = (np.array(shifts, dtype=float) - np.array(shifts[zero], dtype=float)).tolist()
    named = zip(exposures.names, shifts, strict=True)
    return {name: shift for name, shift in named if np.hypot(*shift) > least}, exposures.names[zero]


def central(shifts):
    """The exposure with the least sum of distances from the others.

    Shifts are stated from it. The median of the shifts of two groups of exposures may lie between the groups, where no
    exposure is.

    Parameters
    ----------
    shifts : sequence of (dx, dy)
        N shifts, pixels.

    Returns
    -------
    exposure : int
        From 0; the first of two.
    """
    shifts = np.array(shifts, dtype=float)
    distances = np.hypot(*(shifts[:, None] - shifts).T).sum(axis=0)
    # of equal sums, whose last digits may differ, the first
    return int(np.argmin(np.round(distances, 6)))
