"""Connected hits: their category, their table, and the list of their pixels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import astropy.units as u
import numpy as np
from astropy.table import QTable, Table
from scipy import ndimage

from crstack.masks.codes import Code, exposure_name, is_hit
from crstack.utils.pixels import EIGHT_CONNECTED
from crstack.utils.validation import check_choice, check_image_shape

if TYPE_CHECKING:
    from photutils.segmentation import SegmentationImage

__all__ = [
    "CATEGORIES",
    "JOINT_CATEGORIES",
    "PROBLEMATIC",
    "categories_of",
    "codes_of",
    "feature_pixels",
    "find_features",
    "labels_of",
    "segment_features",
    "summed_by",
]

#: categories of hits, as in the names of the files
CATEGORIES = ("any4", "only3", "only2", "other")
#: categories of a joint decision, by the exposures that are hit; the words are those of the report
JOINT_CATEGORIES = ("every", "coincident", "other")
#: name of the pixels masked in every exposure, beside the names of the masks
PROBLEMATIC = "problematic"

DESCRIPTIONS = {
    "number": "number of the hit, by its lowest row",
    "category": "by method: any4, only3, only2 or other; of a joint decision: every, coincident or other",
    "n_pixels": "number of pixels",
    "xmin": "first column (FITS: the first pixel is 1)",
    "xmax": "last column",
    "ymin": "first row (FITS: the first pixel is 1)",
    "ymax": "last row",
    "xcentroid": "centroid (FITS), weighted by the signal where it is known",
    "ycentroid": "centroid (FITS), weighted by the signal where it is known",
    "length": "length of the major axis of its pixels",
    "width": "length of the minor axis of its pixels",
    "n_exposures": "number of exposures with a masked pixel in it",
    "exposures": "1 for each exposure with a masked pixel in it, first exposure first",
    "peak": "largest signal over min2d of a pixel, in the image of the mask: the median for MEDIANCR",
    "total": "sum of the signal over min2d",
}


class HitMasks(Protocol):
    """The part of `~crstack.MaskSet` that describes hits."""

    @property
    def codes(self) -> Mapping[str, np.ndarray]:
        """Code image uint8 (ny, nx) of each mask, by name."""
        ...

    @property
    def probability(self) -> np.ndarray | None:
        """Probability (N, ny, nx) that a value is hit; None without a joint decision."""
        ...

    @property
    def problematic(self) -> np.ndarray:
        """Pixels that are masked in every exposure, bool (ny, nx)."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a mask, (ny, nx)."""
        ...

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        ...

    @property
    def uuid(self) -> str:
        """Identifier of the masks."""
        ...

    def __getitem__(self, name: str) -> np.ndarray:
        """Mask of a name, bool (ny, nx)."""
        ...


def categories_of(masks: HitMasks) -> tuple[str, ...]:
    """List the categories of the hits of some masks.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.

    Returns
    -------
    categories : tuple of str
        Names of the categories.
    """
    return CATEGORIES if masks.probability is None else JOINT_CATEGORIES


def codes_of(masks: HitMasks, name: str) -> np.ndarray:
    """Code image of a mask, or of the pixels masked in every exposure.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.
    name : str
        One of the masks, or "problematic" for the pixels masked in every exposure, with their codes in MEANCRT.

    Returns
    -------
    codes : `~numpy.ndarray`
        Of dtype uint8 and shape (ny, nx), see `~crstack.masks.Code`.

    Raises
    ------
    InputError
        If there is no such mask.
    """
    check_choice("name", name, (*masks.codes, PROBLEMATIC))
    if name == PROBLEMATIC:
        return np.where(masks.problematic, masks.codes["MEANCRT"], np.uint8(Code.CLEAN))
    return masks.codes[name]


def segment_features(masks: HitMasks, name: str = "MEDIANCR") -> "SegmentationImage":
    """Connected hits of a mask, numbered.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.
    name : str, optional
        One of the masks, or "problematic" for the pixels masked in every
        exposure.

    Returns
    -------
    segments : `~photutils.segmentation.SegmentationImage`
        (ny, nx); pixels that touch, corners included, share a label.
    """
    from photutils.segmentation import SegmentationImage

    return SegmentationImage(labels_of(masks, name))


def labels_of(masks: HitMasks, name: str) -> np.ndarray:
    """Number of the hit at each pixel (ny, nx), 0 for none. Values that are too low are not hits.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.
    name : str
        One of the masks, or "problematic" for the pixels masked in every exposure.

    Returns
    -------
    labels : `~numpy.ndarray` of int
        (ny, nx).
    """
    return ndimage.label(is_hit(codes_of(masks, name)), EIGHT_CONNECTED)[0]


def find_features(
    masks: HitMasks,
    signal: np.ndarray | u.Quantity | None = None,
    name: str = "MEDIANCR",
    unit: u.UnitBase | None = None,
) -> QTable:
    """Make the table of the connected hits of a mask.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.
    signal : `~numpy.ndarray` or `~astropy.units.Quantity`, optional
        (ny, nx) signal over min2d of the image that the mask belongs to, such
        as median2d - min2d; without it the table has no peak and no total.
    name : str, optional
        One of the masks, or "problematic" for the pixels masked in every
        exposure.
    unit : `~astropy.units.Unit`, optional
        Unit of a plain array.

    Returns
    -------
    features : `~astropy.table.QTable`
        One row for each hit: number, category, n_pixels, xmin, xmax, ymin, ymax,
        xcentroid, ycentroid, length, width, n_exposures, exposures, and with
        ``signal`` peak and total. Positions follow FITS: the first pixel is
        (1, 1), its centre too.

    Raises
    ------
    InputError
        If the name is unknown or the signal has another shape.

    Notes
    -----
    A hit is any4 if both M.M.Cosmic and the auxiliary detector found one of
    its pixels, only3 or only2 if every pixel was found by the auxiliary
    detector or by M.M.Cosmic, and other if not. Pixels added by the global
    dilation do not count. After a joint decision a hit is of the category "every" if a pixel of it is
    masked in all exposures, "coincident" if two exposures or more have a masked pixel in it, and other if not.

    Length and width are those of a rectangle with the second moments of the
    pixels: a straight row of n pixels is n long and 1 wide.
    """
    labels = labels_of(masks, name)
    y, x = np.nonzero(labels)
    row = labels[y, x] - 1
    boxes = ndimage.find_objects(labels)
    n = len(boxes)
    codes = codes_of(masks, name)[y, x]
    value = None
    if signal is not None:
        unit = getattr(signal, "unit", unit)
        signal = np.asarray(getattr(signal, "value", signal))
        check_image_shape("signal", signal.shape, masks.shape)
        value = signal[y, x].astype(float)
    table = QTable()
    table["number"] = np.arange(1, n + 1)
    table["n_pixels"] = np.bincount(row, minlength=n)
    edges = np.array([(across.start + 1, across.stop, up.start + 1, up.stop) for up, across in boxes], dtype=int)
    for column, numbers in zip(("xmin", "xmax", "ymin", "ymax"), edges.reshape(-1, 4).T, strict=True):
        table[column] = numbers
    table["xcentroid"], table["ycentroid"] = _centroids(row, x, y, value, n)
    table["length"], table["width"] = (size * u.pix for size in _sizes(row, x, y, n))
    hit = np.stack([summed_by(row, masks[exposure_name(i)][y, x], n) > 0 for i in range(masks.n_exposures)])
    table["n_exposures"] = hit.sum(axis=0)
    which = _category(row, codes, n)
    if masks.probability is not None:
        which = _joint_category(table["n_exposures"], summed_by(row, masks.problematic[y, x], n) > 0)
    table.add_column(np.array(categories_of(masks))[which], name="category", index=1)
    table["exposures"] = _in_digits(hit)
    if value is not None:
        table["peak"] = _with_unit(_largest_by(row, value, n), unit)
        table["total"] = _with_unit(summed_by(row, value, n), unit)
    for column in table.colnames:
        table[column].info.description = DESCRIPTIONS[column]
    table.meta["mask"] = name
    table.meta["uuid"] = masks.uuid
    return table


def feature_pixels(masks: HitMasks, features: QTable, name: str = "MEDIANCR") -> Table:
    """List the pixels of hits.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.
    features : `~astropy.table.QTable`
        Rows of the table that `find_features` made of these masks.
    name : str, optional
        The mask of that table.

    Returns
    -------
    pixels : `~astropy.table.Table`
        CR_number, X_pixel, Y_pixel (FITS: the first pixel is 1, 1) and
        Mask_value (see `~crstack.masks.Code`), as in the files of
        numina-crmasks; sorted by number, row and column.
    """
    labels = labels_of(masks, name)
    y, x = np.nonzero(labels)
    number = labels[y, x]
    wanted = np.isin(number, features["number"])
    y, x, number = y[wanted], x[wanted], number[wanted]
    order = np.argsort(number, kind="stable")  # nonzero has sorted by row and column
    y, x, number = y[order], x[order], number[order]
    columns = (number, x + 1, y + 1, codes_of(masks, name)[y, x])
    return Table(columns, names=("CR_number", "X_pixel", "Y_pixel", "Mask_value"), dtype=(int, int, int, int))


def summed_by(row: np.ndarray, value: np.ndarray, n: int) -> np.ndarray:
    """Sum of the values of each of ``n`` rows.

    Parameters
    ----------
    row : `~numpy.ndarray` of int
        (M,) row of each value, from 0.
    value : `~numpy.ndarray`
        (M,) values.
    n : int
        Number of rows.

    Returns
    -------
    sums : `~numpy.ndarray`
        (n,).
    """
    return np.bincount(row, weights=value, minlength=n)


def _largest_by(row, value, n):
    """Largest of the values of each of ``n`` rows."""
    largest = np.full(n, -np.inf)
    np.maximum.at(largest, row, value)
    return largest


def _category(row, codes, n):
    """Index into `CATEGORIES` of each hit."""
    both, auxiliary, mm, given = (
        summed_by(row, codes == code, n) > 0 for code in (Code.BOTH, Code.AUXILIARY, Code.MMCOSMIC, Code.GIVEN)
    )
    conditions = [both, auxiliary & ~mm & ~given, mm & ~auxiliary & ~given]
    return np.select(conditions, [0, 1, 2], default=3)


def _joint_category(n_hit, everywhere):
    """Index into `JOINT_CATEGORIES` of each hit: ``everywhere`` is True where a pixel is masked in all exposures."""
    return np.select([everywhere, n_hit > 1], [0, 1], default=2)


def _centroids(row, x, y, value, n):
    """FITS coordinates; signal below zero has no weight."""
    weight = np.ones(len(row)) if value is None else np.nan_to_num(np.maximum(value, 0.0))
    weight = np.where(summed_by(row, weight, n)[row] > 0, weight, 1.0)
    total = summed_by(row, weight, n)
    return tuple(summed_by(row, weight * place, n) / total + 1 for place in (x, y))


def _sizes(row, x, y, n):
    """Length and width of the rectangles with the second moments of the pixels."""
    count = np.bincount(row, minlength=n)
    dx, dy = (place - (summed_by(row, place, n) / count)[row] for place in (x, y))
    # 1/12 is the variance within a pixel
    xx, yy, xy = (summed_by(row, product, n) / count for product in (dx * dx, dy * dy, dx * dy))
    middle, apart = (xx + yy) / 2 + 1 / 12, np.hypot((xx - yy) / 2, xy)
    return np.sqrt(12 * (middle + apart)), np.sqrt(12 * np.maximum(middle - apart, 0))


def _in_digits(hit):
    """Strings such as "101" of an (N, n) array of bool."""
    digits = np.where(hit, "1", "0")
    words = digits[0]
    for plane in digits[1:]:
        words = np.char.add(words, plane)
    return words


def _with_unit(values, unit):
    return values if unit is None else values << u.Unit(unit)
