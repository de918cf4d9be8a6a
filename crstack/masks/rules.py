"""The rules that turn what is found into codes of masked pixels."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy import ndimage

from crstack._validation import check_integer, check_number, check_pixel, check_region
from crstack.detectors.two_pass import features_holding
from crstack.masks.local_median import check_local_median, check_local_medians

__all__ = [
    "Code",
    "MaskRules",
    "detection_limit",
    "exposure_name",
    "has_found",
    "image_codes",
    "joint_codes",
    "united",
]


class Code(IntEnum):
    """Who flagged a pixel of a mask."""

    CLEAN = 0  #: not flagged
    DILATED = 1  #: added by the global dilation only
    MMCOSMIC = 2  #: found by M.M.Cosmic, or the joint decision, only
    AUXILIARY = 3  #: found by the auxiliary detector only
    BOTH = 4  #: found by both
    GIVEN = 5  #: asked for by the user, or read from a file that does not say


#: code of a pixel by (found by M.M.Cosmic) + 2 * (found by the auxiliary detector)
_CODE_OF = np.array([Code.CLEAN, Code.MMCOSMIC, Code.AUXILIARY, Code.BOTH], dtype=np.uint8)


@dataclass(frozen=True)
class MaskRules:
    """What makes a detection a masked pixel.

    Parameters
    ----------
    threshold_rnoise : float, optional
        T - min2d must exceed this many read noises (one exposure's).
    minimum_max2d_rnoise : float, optional
        M.M.Cosmic flags only where max2d exceeds this many read noises.
    mm_dilation : int, optional
        Pixels by which the detections of M.M.Cosmic grow in every direction.
    dilation : int, optional
        Pixels by which every mask but MEANCR grows at the end.
    skip_regions : sequence of (xmin, xmax, ymin, ymax), optional
        Regions where nothing is flagged; FITS convention, both ends included.
    force_pixels, ignore_pixels : sequence of (x, y), optional
        Pixels flagged, or never flagged, in every mask; FITS convention.
        Force wins over skip and over ignore.
    local_medians : sequence of (x, y, x_width, y_width), optional
        Pixels, such as hot ones, that the combined images with masks replace by the
        median of a box of odd widths around them; FITS convention.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    threshold_rnoise: float = 3.0
    minimum_max2d_rnoise: float = 5.0
    mm_dilation: int = 1
    dilation: int = 0
    skip_regions: tuple = ()
    force_pixels: tuple = ()
    ignore_pixels: tuple = ()
    local_medians: tuple = ()

    def __post_init__(self):
        check_number("threshold_rnoise", self.threshold_rnoise, minimum=0)
        check_number("minimum_max2d_rnoise", self.minimum_max2d_rnoise)
        check_integer("mm_dilation", self.mm_dilation, minimum=0)
        check_integer("dilation", self.dilation, minimum=0)
        self._coerce("skip_regions", check_region)
        self._coerce("force_pixels", check_pixel)
        self._coerce("ignore_pixels", check_pixel)
        self._coerce("local_medians", check_local_median)

    def _coerce(self, name, check):
        items = getattr(self, name) or ()
        items = tuple(check(f"{name} {number}", item) for number, item in enumerate(items, start=1))
        object.__setattr__(self, name, items)

    def check_inside(self, shape):
        """Raise `InputError` unless every region and pixel lies in an image of ``shape``."""
        for number, region in enumerate(self.skip_regions, start=1):
            check_region(f"skip_regions {number}", region, shape)
        for name in ("force_pixels", "ignore_pixels"):
            for number, pixel in enumerate(getattr(self, name), start=1):
                check_pixel(f"{name} {number}", pixel, shape)
        check_local_medians(self.local_medians, shape)

    def apply_to(self, codes):
        """Apply skipped regions, ignored and forced pixels to a code image, in place."""
        for xmin, xmax, ymin, ymax in self.skip_regions:
            codes[ymin - 1 : ymax, xmin - 1 : xmax] = Code.CLEAN
        for x, y in self.ignore_pixels:
            codes[y - 1, x - 1] = Code.CLEAN
        for x, y in self.force_pixels:
            codes[y - 1, x - 1] = Code.GIVEN

    def apply_to_joint(self, probability, signal_shift):
        """Apply skipped regions, ignored and forced pixels to the planes of the joint decision, in place.

        Probabilities (N, ny, nx) become 0 where nothing is to be flagged and 1 where it is; what the decision knew
        of the signal there (ny, nx) is gone.
        """
        for xmin, xmax, ymin, ymax in self.skip_regions:
            probability[:, ymin - 1 : ymax, xmin - 1 : xmax] = 0
            signal_shift[ymin - 1 : ymax, xmin - 1 : xmax] = 0
        for pixels, chance in ((self.ignore_pixels, 0), (self.force_pixels, 1)):
            for x, y in pixels:
                probability[:, y - 1, x - 1] = chance
                signal_shift[y - 1, x - 1] = 0


def exposure_name(i):
    """Name of the mask of exposure ``i``, counted from 0: CRMASK1, CRMASK2, ..."""
    return f"CRMASK{i + 1}"


def dilate(mask, radius):
    """Grow a mask by ``radius`` pixels in every direction, corners included."""
    if radius == 0 or not mask.any():
        return mask
    return ndimage.maximum_filter(mask.view(np.uint8), size=2 * radius + 1, mode="constant").view(bool)


@dataclass(frozen=True, eq=False)
class _Limit:
    """What T - min2d must exceed, pixel by pixel.

    ``boundary`` is that of M.M.Cosmic (None where it is switched off),
    ``threshold`` that of every feature.
    """

    min2d: np.ndarray
    boundary: np.ndarray | None
    threshold: np.ndarray | float


def detection_limit(statistics, boundary, readnoise, rules, scale=None):
    """Combine boundary, threshold and least maximum into one image.

    Parameters
    ----------
    statistics : OrderStatistics
        Of the exposures.
    boundary : callable or None
        Boundary of T - min2d as a function of min2d; None for no M.M.Cosmic.
    readnoise : float or `~numpy.ndarray`
        Read noise of one exposure in the unit of the exposures.
    rules : MaskRules
        Threshold and least maximum.
    scale : `~crstack.simulation.noise_scale.NoiseScale`, optional
        Of the diagram that the boundary belongs to.

    Returns
    -------
    limit : _Limit
        To be given to `image_codes`.
    """
    threshold = np.asarray(rules.threshold_rnoise * readnoise, dtype=np.float32)
    if boundary is None:
        return _Limit(statistics.min2d, None, threshold)
    min2d = statistics.min2d
    above = np.maximum(boundary(min2d) if scale is None else scale.boundary(boundary, min2d), threshold)
    above[~(statistics.max2d > rules.minimum_max2d_rnoise * readnoise)] = np.inf
    return _Limit(statistics.min2d, above, threshold)


def image_codes(image, limit, rules, auxiliary=None, bad=None):
    """Codes of the flagged pixels of one image T.

    M.M.Cosmic flags T - min2d > boundary and grows by ``mm_dilation``; features
    of the auxiliary detector count if one of their pixels has T - min2d over
    the threshold. Where M.M.Cosmic is switched off they all count.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Median, mean or one exposure, bias subtracted.
    limit : _Limit
        From `detection_limit`.
    rules : MaskRules
        Dilations, regions and pixels.
    auxiliary : `~numpy.ndarray` of bool, optional
        Mask of the auxiliary detector on ``image``.
    bad : `~numpy.ndarray` of bool, optional
        Pixels that cannot be flagged, unless forced.

    Returns
    -------
    codes : `~numpy.ndarray`
        uint8, see `Code`.
    steps : dict
        Number of pixels after each rule, by the words that tell the rule.
    """
    steps = {}
    excess = image - limit.min2d
    mm = np.zeros(image.shape, dtype=bool)
    if limit.boundary is not None:
        # the seeds are over the threshold, so every dilated feature holds one that is
        seeds = excess > limit.boundary
        if bad is not None:
            seeds &= ~bad
        mm = dilate(seeds, rules.mm_dilation)
        steps["M.M.Cosmic, before dilation"] = int(np.count_nonzero(seeds))
        steps["M.M.Cosmic, after dilation"] = int(np.count_nonzero(mm))
    if auxiliary is not None:
        steps["auxiliary detector"] = int(np.count_nonzero(auxiliary))
        if limit.boundary is not None:
            auxiliary = features_holding(auxiliary, auxiliary & (excess > limit.threshold))
            steps["auxiliary detector, features over the threshold"] = int(np.count_nonzero(auxiliary))
    codes = _code_image(mm, auxiliary)
    _finish(codes, rules, bad, steps)
    return codes, steps


def _finish(codes, rules, bad, steps):
    """Apply what every mask undergoes, in place: global dilation, bad pixels, regions and pixels."""
    if rules.dilation:
        codes[dilate(codes > 0, rules.dilation) & (codes == Code.CLEAN)] = Code.DILATED
        steps["after the global dilation"] = int(np.count_nonzero(codes))
    if bad is not None:
        codes[bad] = Code.CLEAN
    rules.apply_to(codes)
    steps["flagged"] = int(np.count_nonzero(codes))


def _code_image(mm, auxiliary):
    """Codes by who found a pixel; two bool images, ``auxiliary`` may be None."""
    found = mm.view(np.uint8)
    return _CODE_OF[found if auxiliary is None else found + 2 * auxiliary.view(np.uint8)]


def united(codes, others):
    """Codes of the pixels flagged in either of two code images.

    Who found a pixel in one or in the other counts as having found it.
    """
    mm = has_found(Code.MMCOSMIC, codes) | has_found(Code.MMCOSMIC, others)
    auxiliary = has_found(Code.AUXILIARY, codes) | has_found(Code.AUXILIARY, others)
    result = _code_image(mm, auxiliary)
    result[(result == Code.CLEAN) & ((codes > 0) | (others > 0))] = Code.DILATED
    result[(codes == Code.GIVEN) | (others == Code.GIVEN)] = Code.GIVEN
    return result


def has_found(code, codes):
    """True where M.M.Cosmic, or the auxiliary detector, found a pixel, alone or not."""
    return (codes == code) | (codes == Code.BOTH)


def joint_codes(hit, rules, auxiliary=None, bad=None):
    """Codes of the masks that one decision for all exposures makes.

    CRMASKi is what is hit in exposure i, MEANCRT what is hit in any, MEDIANCR
    what is hit in at least half of them, so that the median is contaminated.

    Parameters
    ----------
    hit : `~numpy.ndarray` of bool
        (N, ny, nx).
    rules : MaskRules
        Global dilation, regions and pixels; the rules of M.M.Cosmic do not apply.
    auxiliary : `~numpy.ndarray` of bool, optional
        (N, ny, nx), what an auxiliary detector joined in has found.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), values that cannot be flagged.

    Returns
    -------
    codes, steps : dict
        By name of the mask, without MEANCR: uint8 images and numbers of pixels.
    """
    n = len(hit)
    found = np.zeros_like(hit) if auxiliary is None else hit & auxiliary
    nowhere = None if bad is None else bad.all(axis=0)
    images = {
        "MEDIANCR": (hit.sum(axis=0) >= (n + 1) // 2, found.any(axis=0), nowhere),
        "MEANCRT": (hit.any(axis=0), found.any(axis=0), nowhere),
    }
    for i in range(n):
        images[exposure_name(i)] = (hit[i], found[i], None if bad is None else bad[i])
    codes, steps = {}, {}
    for name, (flagged, also, excluded) in images.items():
        codes[name] = _code_image(flagged, flagged & also)
        steps[name] = {"joint decision": int(np.count_nonzero(flagged))}
        _finish(codes[name], rules, excluded, steps[name])
    return codes, steps
