"""Limits of T - min2d for a hit, and the codes of the pixels above them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from crstack.boundaries.base import boundary_values
from crstack.masks.codes import code_image
from crstack.masks.rules import Join, MaskRules, apply_rules
from crstack.simulation.noise_scale import NoiseScale
from crstack.statistics import OrderStatistics
from crstack.utils.pixels import dilate, features_holding

__all__ = ["Limit", "detection_limit", "image_codes"]


@dataclass(frozen=True, eq=False)
class Limit:
    """Limits of T - min2d, pixel by pixel.

    Attributes
    ----------
    min2d : `~numpy.ndarray`
        (ny, nx).
    boundary : `~numpy.ndarray`
        (ny, nx), limit for the pixels of M.M.Cosmic.
    threshold : float or `~numpy.ndarray`
        Limit for the highest pixel of each feature of the auxiliary detector.
    """

    min2d: np.ndarray
    boundary: np.ndarray
    threshold: np.ndarray | float


def detection_limit(
    statistics: OrderStatistics,
    boundary: Callable[[np.ndarray], np.ndarray],
    readnoise: float | np.ndarray,
    *,
    threshold_rnoise: float,
    minimum_max2d_rnoise: float,
    scale: NoiseScale | None = None,
) -> Limit:
    """Combine boundary, threshold and least maximum into one image.

    Parameters
    ----------
    statistics : OrderStatistics
        Of the exposures.
    boundary : callable
        Boundary of T - min2d as a function of min2d.
    readnoise : float or `~numpy.ndarray`
        Read noise of one exposure in the unit of the exposures.
    threshold_rnoise, minimum_max2d_rnoise : float
        Least T - min2d and least max2d, in read noises.
    scale : ``NoiseScale``, optional
        Scale of the diagram of the boundary.

    Returns
    -------
    limit : Limit
        For `image_codes`.
    """
    threshold = np.asarray(threshold_rnoise * readnoise, dtype=np.float32)
    min2d = statistics.min2d
    values = partial(boundary_values, boundary)
    above = np.maximum(values(min2d) if scale is None else scale.boundary(values, min2d), threshold)
    above[~(statistics.max2d > minimum_max2d_rnoise * readnoise)] = np.inf
    return Limit(min2d, above, threshold)


def image_codes(
    image: np.ndarray,
    limit: Limit,
    rules: MaskRules,
    *,
    mm_dilation: int,
    auxiliary: np.ndarray | None = None,
    bad: np.ndarray | None = None,
    join: Join | None = None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Codes of the flagged pixels of one image T.

    M.M.Cosmic flags T - min2d > boundary and grows by ``mm_dilation``. Features
    of the auxiliary detector count if one of their pixels has T - min2d over
    the threshold.

    Parameters
    ----------
    image : `~numpy.ndarray`
        Median, mean or one exposure, bias subtracted.
    limit : Limit
        From `detection_limit`.
    rules : MaskRules
        Global dilation, regions and pixels.
    mm_dilation : int
        Pixels by which the detections of M.M.Cosmic grow.
    auxiliary : `~numpy.ndarray` of bool, optional
        Mask of the auxiliary detector on ``image``.
    bad : `~numpy.ndarray` of bool, optional
        Pixels that cannot be flagged, unless forced.
    join : callable, optional
        ``join(codes, steps)`` gives the codes to which the rules are applied: those of another mask are joined
        before the global dilation.

    Returns
    -------
    codes : `~numpy.ndarray`
        uint8, see `~crstack.masks.Code`.
    steps : dict
        Number of pixels after each rule, by the name of the rule.
    """
    excess = image - limit.min2d
    # the seeds are over the threshold, so that every dilated feature contains such a pixel
    seeds = excess > limit.boundary
    if bad is not None:
        seeds &= ~bad
    grown = dilate(seeds, mm_dilation)
    steps = {
        "M.M.Cosmic, before dilation": int(np.count_nonzero(seeds)),
        "M.M.Cosmic, after dilation": int(np.count_nonzero(grown)),
    }
    if auxiliary is not None:
        steps["auxiliary detector"] = int(np.count_nonzero(auxiliary))
        auxiliary = features_holding(auxiliary, auxiliary & (excess > limit.threshold))
        steps["auxiliary detector, features over the threshold"] = int(np.count_nonzero(auxiliary))
    codes = code_image(grown, auxiliary)
    if join is not None:
        codes = join(codes, steps)
    apply_rules(codes, rules, bad, steps)
    return codes, steps
