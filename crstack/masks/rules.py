"""The common rules of all masks, for every method."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from crstack.exceptions import InputError
from crstack.masks.codes import Code, code_image, exposure_name
from crstack.masks.local_median import check_local_median, check_local_medians
from crstack.utils.memory import empty_image
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_threads, row_bands
from crstack.utils.validation import check_integer, check_pixel, check_region

__all__ = ["Join", "MaskRules", "apply_rules", "codes_of_detector", "codes_of_hits"]


@dataclass(frozen=True)
class MaskRules:
    """Changes of the masks by the user: dilation, regions and pixels.

    Parameters
    ----------
    dilation : int, optional
        Pixels by which every mask but MEANCR grows at the end.
    skip_regions : sequence of (xmin, xmax, ymin, ymax), optional
        Regions where nothing is flagged; FITS convention, both ends included.
    force_pixels, ignore_pixels : sequence of (x, y), optional
        Pixels flagged, or never flagged, in every mask; FITS convention.
        Forced pixels are flagged even if they are skipped or ignored.
    local_medians : sequence of (x, y, x_width, y_width), optional
        Pixels, such as hot ones, that the combined images with masks replace by the
        median of a box of odd widths around them; FITS convention.

    Raises
    ------
    InputError
        If a value is out of range.

    Examples
    --------
    >>> from crstack import MaskRules
    >>> rules = MaskRules(dilation=1, skip_regions=[(1, 40, 1, 100)], force_pixels=[(10, 20)])
    >>> rules.dilation
    1
    """

    dilation: int = 0
    skip_regions: Sequence[Sequence[int]] = ()
    force_pixels: Sequence[Sequence[int]] = ()
    ignore_pixels: Sequence[Sequence[int]] = ()
    local_medians: Sequence[Sequence[int]] = ()

    def __post_init__(self) -> None:
        check_integer("dilation", self.dilation, minimum=0)
        self._coerce("skip_regions", check_region, "regions [xmin, xmax, ymin, ymax]")
        self._coerce("force_pixels", check_pixel, "pixels [X, Y]")
        self._coerce("ignore_pixels", check_pixel, "pixels [X, Y]")
        self._coerce("local_medians", check_local_median, "pixels with boxes [X, Y, X_width, Y_width]")

    def _coerce(self, name: str, check: Callable[[str, Any], tuple], what: str) -> None:
        """Check the items of a parameter, ``what`` in words, and make them a tuple."""
        given = getattr(self, name)
        given = () if given is None else given
        rows = tuple(given) if isinstance(given, Iterable) else (given,)
        if any(isinstance(one, str) or not isinstance(one, Iterable) for one in rows):
            raise InputError(f"{name} must be a list of {what}; got {given!r:.60}")
        items = tuple(check(f"{name} {number}", item) for number, item in enumerate(rows, start=1))
        object.__setattr__(self, name, items)

    def check_inside(self, shape: tuple[int, ...]) -> None:
        """Raise `InputError` unless every region and pixel lies in an image of ``shape``.

        Parameters
        ----------
        shape : tuple of int
            (ny, nx) of the image.
        """
        for number, region in enumerate(self.skip_regions, start=1):
            check_region(f"skip_regions {number}", region, shape)
        for name in ("force_pixels", "ignore_pixels"):
            for number, pixel in enumerate(getattr(self, name), start=1):
                check_pixel(f"{name} {number}", pixel, shape)
        check_local_medians(self.local_medians, shape)

    def apply_to(self, codes: np.ndarray) -> None:
        """Apply skipped regions, ignored and forced pixels to a code image, in place.

        Parameters
        ----------
        codes : `~numpy.ndarray`
            (ny, nx) uint8; changed.
        """
        for xmin, xmax, ymin, ymax in self.skip_regions:
            codes[ymin - 1 : ymax, xmin - 1 : xmax] = Code.CLEAN
        for x, y in self.ignore_pixels:
            codes[y - 1, x - 1] = Code.CLEAN
        for x, y in self.force_pixels:
            codes[y - 1, x - 1] = Code.GIVEN

    @property
    def changes_values(self) -> bool:
        """Whether `apply_to_joint` changes anything."""
        return bool(self.skip_regions or self.ignore_pixels or self.force_pixels)

    def apply_to_joint(self, probability: np.ndarray, signal_shift: np.ndarray) -> None:
        """Apply skipped regions, ignored and forced pixels to the planes of the joint decision, in place.

        Probabilities (N, ny, nx) become 0 at pixels that are never flagged, and 1 at forced pixels. The shift of the
        signal (ny, nx) becomes 0 at both.

        Parameters
        ----------
        probability : `~numpy.ndarray`
            (N, ny, nx); changed.
        signal_shift : `~numpy.ndarray`
            (ny, nx); changed.
        """
        for xmin, xmax, ymin, ymax in self.skip_regions:
            probability[:, ymin - 1 : ymax, xmin - 1 : xmax] = 0
            signal_shift[ymin - 1 : ymax, xmin - 1 : xmax] = 0
        for pixels, chance in ((self.ignore_pixels, 0), (self.force_pixels, 1)):
            for x, y in pixels:
                probability[:, y - 1, x - 1] = chance
                signal_shift[y - 1, x - 1] = 0


def apply_rules(codes: np.ndarray, rules: MaskRules, bad: np.ndarray | None, steps: dict[str, int]) -> None:
    """Apply the rules of all masks, in place: global dilation, bad pixels, regions and pixels.

    Parameters
    ----------
    codes : `~numpy.ndarray`
        uint8 (ny, nx), see `Code`.
    rules : MaskRules
        Global dilation, regions and pixels.
    bad : `~numpy.ndarray` of bool or None
        (ny, nx), pixels that cannot be flagged, unless forced.
    steps : dict
        Number of pixels after each rule, by the name of the rule; added to.
    """
    if rules.dilation:
        codes[dilate(codes > 0, rules.dilation) & (codes == Code.CLEAN)] = Code.DILATED
        steps["after the global dilation"] = int(np.count_nonzero(codes))
    if bad is not None:
        codes[bad] = Code.CLEAN
    rules.apply_to(codes)
    steps["flagged"] = int(np.count_nonzero(codes))


#: joins the codes of two masks before the global dilation, and adds to the steps
Join = Callable[[np.ndarray, dict[str, int]], np.ndarray]


def codes_of_detector(
    found: np.ndarray, rules: MaskRules, bad: np.ndarray | None = None, *, join: Join | None = None
) -> tuple[np.ndarray, dict[str, int]]:
    """Codes of a mask of an auxiliary detector alone, and the number of pixels after each rule.

    ``join(codes, steps)`` gives the codes to which the rules are applied.
    """
    steps = {"auxiliary detector": int(np.count_nonzero(found))}
    codes = code_image(np.zeros_like(found), found)
    if join is not None:
        codes = join(codes, steps)
    apply_rules(codes, rules, bad, steps)
    return codes, steps


def codes_of_hits(
    hit: np.ndarray,
    rules: MaskRules,
    auxiliary: np.ndarray | None = None,
    bad: np.ndarray | None = None,
    finder: str = "joint decision",
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """Codes of the masks that follow from the hits of each exposure.

    CRMASKi holds the pixels hit in exposure i, MEANCRT those hit in any exposure, and MEDIANCR
    those hit in at least half of the exposures, so that the median is contaminated.

    Parameters
    ----------
    hit : `~numpy.ndarray` of bool
        (N, ny, nx).
    rules : MaskRules
        Global dilation, regions and pixels.
    auxiliary : `~numpy.ndarray` of bool, optional
        (N, ny, nx), pixels found by an auxiliary detector.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), values that cannot be flagged.
    finder : str, optional
        Name of the finder of the hits, for the names of the steps.

    Returns
    -------
    codes, steps : dict
        By name of the mask, without MEANCR: uint8 images and numbers of pixels.
    """
    n, shape = len(hit), hit.shape[1:]
    median, mean = empty_image(shape, bool), empty_image(shape, bool)
    found = None if auxiliary is None else np.zeros(shape, dtype=bool)
    nowhere_valid = None if bad is None else empty_image(shape, bool)

    def work(rows: slice) -> None:
        number = hit[:, rows].sum(axis=0, dtype=np.int16)
        median[rows], mean[rows] = number >= (n + 1) // 2, number > 0
        if found is not None and auxiliary is not None:
            found[rows] = (hit[:, rows] & auxiliary[:, rows]).any(axis=0)
        if nowhere_valid is not None and bad is not None:
            nowhere_valid[rows] = bad[:, rows].all(axis=0)

    map_threads(work, row_bands(*shape))
    images: dict[str, tuple[Any, Any, Any]] = {
        "MEDIANCR": (median, found, nowhere_valid),
        "MEANCRT": (mean, found, nowhere_valid),
    }
    for i in range(n):
        of_exposure = None if auxiliary is None else auxiliary[i]
        images[exposure_name(i)] = (hit[i], of_exposure, None if bad is None else bad[i])
    codes, steps = {}, {}
    for name, (flagged, also, excluded) in images.items():
        codes[name] = code_image(flagged, None if also is None else flagged & also)
        steps[name] = {finder: int(np.count_nonzero(flagged))}
        apply_rules(codes[name], rules, excluded, steps[name])
    return codes, steps
