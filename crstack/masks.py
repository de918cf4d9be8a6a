"""The rules that turn detections into named masks, and the masks themselves."""

import uuid as _uuid
import warnings
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from scipy import ndimage

from crstack._files import atomic_path, header_line
from crstack._validation import check_integer, check_number, check_pixel, check_region
from crstack.detectors.two_pass import features_holding
from crstack.exceptions import CRStackWarning, InputError
from crstack.local_median import check_local_median, check_local_medians

__all__ = [
    "Code",
    "MaskRules",
    "MaskSet",
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


#: columns of the extension RPMEDIAN
BOX_COLUMNS = ("X_pixel", "Y_pixel", "X_width", "Y_width")

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
    scale : `~crstack.noise_scale.NoiseScale`, optional
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


def _new_uuid():
    return str(_uuid.uuid4())


def _probability_hdu(plane, i):
    """One plane of probabilities as bytes, 255 for 1."""
    hdu = fits.ImageHDU(np.rint(plane.astype(np.float32) * 255).astype(np.uint8), name=f"PROB{i + 1}")
    hdu.header["BSCALE"] = 1 / 255
    hdu.header["BZERO"] = 0.0
    return hdu


@dataclass(frozen=True, eq=False, repr=False)
class MaskSet:
    """The masks of a stack: MEDIANCR, MEANCRT, CRMASK1 to CRMASKN and MEANCR.

    ``masks["MEDIANCR"]`` is a boolean array; iterating gives the names.

    Attributes
    ----------
    codes : dict
        uint8 array (ny, nx) by name: who flagged each pixel, see `Code`.
    auxclean : `~numpy.ndarray` or None
        Median cleaned by the auxiliary detector, bias subtracted, in the unit
        of the exposures.
    history : tuple of str
        How the masks were made.
    steps : dict
        By mask, the number of pixels after each rule; empty if read from a file.
    probability : `~numpy.ndarray` or None
        float16 (N, ny, nx): chance of each value to be hit, from the joint
        decision.
    uuid : str
        Identifies this set in the products made with it.
    local_medians : tuple of (x, y, x_width, y_width)
        Pixels that combinations replace by the median of a box around them.
    flux_factors : tuple of float
        Flux factor of each exposure; empty where all are 1.
    detectors : tuple of str
        Names of the auxiliary detectors, where several voted.
    found_by : dict
        Then, by mask, a uint8 array (ny, nx): bit i is set where detector i
        (from 0) flagged a pixel of code `Code.AUXILIARY` or `Code.BOTH`.
    """

    codes: dict
    auxclean: np.ndarray | None = None
    history: tuple = ()
    steps: dict = field(default_factory=dict)
    probability: np.ndarray | None = None
    uuid: str = field(default_factory=lambda: _new_uuid())
    local_medians: tuple = ()
    flux_factors: tuple = ()
    detectors: tuple = ()
    found_by: dict = field(default_factory=dict)

    def __post_init__(self):
        missing = {"MEDIANCR", "MEANCRT", "MEANCR"} - set(self.codes)
        if missing or self.n_exposures == 0:
            raise InputError(
                f"masks must hold MEDIANCR, MEANCRT, MEANCR and CRMASK1...; got {', '.join(self.codes) or 'none'}"
            )

    def __getitem__(self, name):
        try:
            return self.codes[name] > 0
        except KeyError:
            raise KeyError(f"mask must be one of {', '.join(self.codes)}; got {name!r}") from None

    def __iter__(self):
        return iter(self.codes)

    def __len__(self):
        return len(self.codes)

    def __contains__(self, name):
        return name in self.codes

    def __repr__(self):
        counts = ", ".join(f"{name} {np.count_nonzero(codes)}" for name, codes in self.codes.items())
        return f"<MaskSet of {self.n_exposures} exposures: {counts} pixels>"

    @property
    def n_exposures(self):
        """Number of exposures."""
        return sum(exposure_name(i) in self.codes for i in range(len(self.codes)))

    @property
    def shape(self):
        """(ny, nx) of the masks."""
        return self.codes["MEDIANCR"].shape

    @property
    def crmasks(self):
        """bool (N, ny, nx): the masks of the exposures."""
        return np.stack([self[exposure_name(i)] for i in range(self.n_exposures)])

    @property
    def problematic(self):
        """bool (ny, nx): pixels masked in every exposure."""
        return self.crmasks.all(axis=0)

    def threshold(self, probability, rules=None):
        """Masks of the values more likely hit than a ``probability``.

        Parameters
        ----------
        probability : float
            Between 0 and 1.
        rules : MaskRules, optional
            Global dilation, skipped regions, ignored and forced pixels.

        Returns
        -------
        masks : MaskSet
            With MEANCR as it is in these masks.

        Raises
        ------
        InputError
            If these masks have no probabilities.
        """
        check_number("probability", probability, minimum=0, maximum=1)
        if self.probability is None:
            raise InputError("masks must come from the joint decision to have probabilities; got none")
        codes, steps = joint_codes(self.probability > probability, rules or MaskRules())
        history = (*self.history, f"threshold of probability: {probability:g}")
        return replace(
            self, codes=codes | {"MEANCR": self.codes["MEANCR"]}, steps=steps, history=history, uuid=_new_uuid()
        )

    def counts(self):
        """Number of pixels by mask and code, as a table.

        Returns
        -------
        table : `~astropy.table.QTable`
            One row a mask: name, flagged, mmcosmic, auxiliary, both, dilated, given.
        """
        columns = [Code.MMCOSMIC, Code.AUXILIARY, Code.BOTH, Code.DILATED, Code.GIVEN]
        rows = []
        for name, codes in self.codes.items():
            numbers = np.bincount(codes.ravel(), minlength=len(Code))
            rows.append((name, int(numbers[1:].sum()), *(int(numbers[code]) for code in columns)))
        return QTable(rows=rows, names=("name", "flagged", *(code.name.lower() for code in columns)))

    def features(self, signal=None, name="MEDIANCR", unit=None):
        """Table of the connected hits of a mask: see `~crstack.features.find_features`."""
        from crstack.features import find_features  # which is made of masks

        return find_features(self, signal, name, unit)

    def to_hdulist(self):
        """The masks as FITS: see `write`."""
        primary = fits.PrimaryHDU()
        primary.header["UUID"] = (self.uuid, "identifies this set of masks")
        for i in range(self.n_exposures):
            factor = self.flux_factors[i] if self.flux_factors else 1.0
            primary.header[f"FLUXF{i + 1}"] = (factor, f"flux factor of exposure {i + 1}")
        for line in self.history:
            primary.header.add_history(header_line(line))
        hdus = [primary]
        for name, codes in self.codes.items():
            hdu = fits.ImageHDU((codes > 0).astype(np.uint8), name=name)
            hdu.header["NPMASKED"] = (int(np.count_nonzero(codes)), "number of masked pixels")
            hdus.append(hdu)
        if self.auxclean is not None:
            hdus.append(fits.ImageHDU(self.auxclean.astype(np.float32), name="AUXCLEAN"))
        if self.probability is not None:
            hdus += [_probability_hdu(plane, i) for i, plane in enumerate(self.probability)]
        if self.local_medians:
            columns = np.array(self.local_medians, dtype=np.int32).T
            named = [fits.Column(name, "J", array=one) for name, one in zip(BOX_COLUMNS, columns, strict=True)]
            hdus.append(fits.BinTableHDU.from_columns(named, name="RPMEDIAN"))
        who = fits.ImageHDU(np.stack(list(self.codes.values())), name="CODES")
        for code in Code:
            who.header.add_comment(f"{code.value}: {code.name}")
        hdus.append(who)
        if self.found_by:
            hdus.append(self._detectors_hdu())
        return fits.HDUList(hdus)

    def _detectors_hdu(self):
        """The votes as a cube, in the order of the masks."""
        hdu = fits.ImageHDU(np.stack([self.found_by[name] for name in self.codes]), name="DETECTORS")
        for number, name in enumerate(self.detectors):
            hdu.header[f"DETECT{number}"] = (header_line(name), f"sets bit {number} ({1 << number})")
        return hdu

    def write(self, path):
        """Write the masks to a FITS file, whole or not at all.

        Each mask is an extension of 0 and 1 with its number of pixels in
        NPMASKED; AUXCLEAN follows where the detector cleans, RPMEDIAN, a
        table, where pixels are replaced by a local median, and CODES, a cube
        with the codes of each mask in the same order. Where several detectors
        voted, the cube DETECTORS holds `found_by`, bit by bit.

        Parameters
        ----------
        path : str or path-like
            Replaced if it exists.

        Raises
        ------
        InputError
            If the directory cannot be written.
        """
        with atomic_path(path) as temporary:
            self.to_hdulist().writeto(temporary, overwrite=True)

    @classmethod
    def read(cls, path):
        """Read masks that `write`, or ``numina-crmasks``, has written.

        Parameters
        ----------
        path : str or path-like
            FITS file. Without a CODES extension the pixels get the code
            ``GIVEN``.

        Returns
        -------
        masks : MaskSet

        Raises
        ------
        InputError
            If the file is missing, not FITS or lacks a mask.
        """
        if not Path(path).is_file():
            raise InputError(f"masks must be a FITS file that exists; got {path}")
        try:
            with fits.open(path, memmap=False) as hdus:
                return cls._from_hdulist(hdus, path)
        except InputError:
            raise
        except (OSError, TypeError, ValueError) as error:
            raise InputError(f"masks must be a readable FITS file; got {path} ({error})") from error

    @classmethod
    def _from_hdulist(cls, hdus, path):
        names = [hdu.name for hdu in hdus if hdu.name in ("MEDIANCR", "MEANCRT", "MEANCR") or hdu.name[:6] == "CRMASK"]
        who = hdus["CODES"].data if "CODES" in hdus else None
        codes = {}
        for number, name in enumerate(names):
            flagged = np.asarray(hdus[name].data) != 0
            codes[name] = flagged.astype(np.uint8) * np.uint8(Code.GIVEN) if who is None else np.array(who[number])
            if codes[name].shape != codes[names[0]].shape:
                raise InputError(f"masks of {path} must share one shape; got another for {name}")
        if "MEANCRT" in codes and "MEANCR" not in codes:
            # nor did the program of the early manual make one; it called the cleaned median otherwise
            warnings.warn(f"{path} holds no MEANCR; nothing is masked in it", CRStackWarning, stacklevel=4)
            codes["MEANCR"] = np.zeros_like(codes["MEANCRT"])
        cleaned = next((name for name in ("AUXCLEAN", "LAMEDIAN") if name in hdus), None)
        auxclean = None if cleaned is None else np.array(hdus[cleaned].data, dtype=np.float32)
        history = tuple(str(line) for line in hdus[0].header.get("HISTORY", ()))
        detectors, found_by = (), {}
        if "DETECTORS" in hdus:
            detectors = tuple(str(name) for name in hdus["DETECTORS"].header["DETECT*"].values())
            found_by = {name: np.array(plane) for name, plane in zip(codes, hdus["DETECTORS"].data, strict=True)}
        planes = [hdus[f"PROB{i + 1}"].data for i in range(len(names)) if f"PROB{i + 1}" in hdus]
        probability = np.array(planes, dtype=np.float16) if planes else None
        # the columns by their order: their names are nowhere laid down
        rows = hdus["RPMEDIAN"].data if "RPMEDIAN" in hdus else ()
        boxes = tuple(check_local_median("RPMEDIAN", [int(value) for value in tuple(row)[:4]]) for row in rows)
        header = hdus[0].header
        factors = tuple(float(header.get(f"FLUXF{i + 1}", 1.0)) for i in range(len(codes) - 3))
        return cls(
            codes,
            auxclean,
            history,
            probability=probability,
            uuid=header.get("UUID", ""),
            local_medians=boxes,
            flux_factors=factors,
            detectors=detectors,
            found_by=found_by,
        )
