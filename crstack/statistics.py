"""Order statistics of the exposures, pixel by pixel."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crstack.utils.memory import empty_image
from crstack.utils.threads import map_threads, row_bands

__all__ = [
    "OrderStatistics",
    "exposure_at_median",
    "minimum_and_median",
    "order_statistics",
    "sort_exposures",
    "with_bad_filled",
]

#: seed of the random choice between exposures that are equally close to the median
TIES_SEED = 1
#: one of two values is hit if it exceeds the other by this number of standard deviations of the difference, and by this
#: part of it in addition: lines and stars change by less from one exposure to the next
HIT_SIGMA, HIT_CONTRAST = 5.0, 0.3


@dataclass(frozen=True, eq=False, repr=False)
class OrderStatistics:
    """Order statistics over the valid exposures of each pixel.

    Attributes
    ----------
    min2d : `~numpy.ndarray`
        Trimmed minimum: mean of all but the ``cr_coincidences`` highest
        values (of at least the lowest one where exposures are bad).
    median2d, mean2d, max2d : `~numpy.ndarray`
        float32 (ny, nx) like ``min2d``; NaN where no exposure is valid.
    count : `~numpy.ndarray`
        int16 (ny, nx), number of valid exposures.
    cr_coincidences : int
        Number of highest values that ``min2d`` excludes.
    """

    min2d: np.ndarray
    median2d: np.ndarray
    mean2d: np.ndarray
    max2d: np.ndarray
    count: np.ndarray
    cr_coincidences: int

    def __repr__(self):
        ny, nx = self.min2d.shape
        return f"<OrderStatistics of {nx} x {ny} pixels, cr_coincidences={self.cr_coincidences}>"

    def rows(self, rows: slice) -> "OrderStatistics":
        """The statistics of some rows (a slice).

        Parameters
        ----------
        rows : slice
            The rows.

        Returns
        -------
        statistics : OrderStatistics
            Of the rows.
        """
        return self.cutout((rows, slice(None)))

    def cutout(self, box: tuple[slice, slice]) -> "OrderStatistics":
        """The statistics of a part of the image (``box``: slices of rows and columns).

        Parameters
        ----------
        box : tuple of slice
            Rows and columns.

        Returns
        -------
        statistics : OrderStatistics
            Of the part.
        """
        names = ("min2d", "median2d", "mean2d", "max2d", "count")
        return replace(self, **{name: getattr(self, name)[box] for name in names})


def sort_exposures(cube: np.ndarray) -> None:
    """Sort ``cube`` along its first axis, in place.

    A network of compare-and-swap steps on whole planes: for the few exposures
    of a stack it is several times faster than a sort of each pixel.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ...), without NaN.
    """
    n = len(cube)
    low = np.empty_like(cube[0])
    # odd-even transposition: n rounds sort n planes
    for step in range(n):
        for i in range(step % 2, n - 1, 2):
            np.minimum(cube[i], cube[i + 1], out=low)
            np.maximum(cube[i], cube[i + 1], out=cube[i + 1])
            cube[i] = low


def _minimum_of_sorted(cube, k):
    """Mean of all but the ``k`` highest of sorted planes; of at least the lowest one."""
    lowest = max(len(cube) - k, 1)
    return np.asarray(cube[:lowest].mean(axis=0, dtype=np.float64) if lowest > 1 else cube[0], dtype=np.float32)


def _median_of_sorted(cube):
    """Median of sorted planes."""
    n = len(cube)
    middle = cube[(n - 1) // 2]
    return np.asarray(middle if n % 2 else (middle + cube[n // 2]) / 2, dtype=np.float32)


def _statistics_of_sorted(cube, k):
    """Trimmed minimum, median, mean and maximum of n sorted planes, as float32."""
    mean = np.asarray(cube.mean(axis=0, dtype=np.float64), dtype=np.float32)
    return _minimum_of_sorted(cube, k), _median_of_sorted(cube), mean, cube[-1]


def minimum_and_median(cube: np.ndarray, cr_coincidences: int) -> tuple[np.ndarray, np.ndarray]:
    """Trimmed minimum and median of a cube, as by `order_statistics`, where all values are valid.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        Exposures, float32 (N, ...). Sorted in place.
    cr_coincidences : int
        Number of highest values that the trimmed minimum excludes.

    Returns
    -------
    min2d, median2d : `~numpy.ndarray`
        Two images, float32 (...), in the unit of ``cube``.
    """
    sort_exposures(cube)
    return _minimum_of_sorted(cube, cr_coincidences), _median_of_sorted(cube)


def order_statistics(cube: np.ndarray, cr_coincidences: int, bad: np.ndarray | None = None) -> OrderStatistics:
    """Order statistics of a cube of exposures.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        Exposures, float32 (N, ny, nx). Not modified.
    cr_coincidences : int
        Number of highest values that the trimmed minimum excludes.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), True where a value must not be used.

    Returns
    -------
    statistics : OrderStatistics
        The images min2d, median2d, mean2d and max2d, and the number of valid values, each (ny, nx).
    """
    n, ny, nx = cube.shape
    planes, count = empty_image((4, ny, nx)), empty_image((ny, nx), np.int16)

    def work(rows):
        band = cube[:, rows].copy()
        count[rows] = n
        if bad is not None:
            # bad values are sorted to the end and excluded by a smaller number of planes
            band[bad[:, rows]] = np.inf
            count[rows] = n - bad[:, rows].sum(axis=0)
        sort_exposures(band)
        planes[:, rows] = _statistics_of_sorted(band, cr_coincidences)
        for valid in np.unique(count[rows]) if bad is not None else ():
            if valid < n:
                where = count[rows] == valid
                some = band[:valid, where]
                planes[:, rows][:, where] = _statistics_of_sorted(some, cr_coincidences) if valid else np.nan

    with np.errstate(invalid="ignore"):
        map_threads(work, row_bands(ny, nx))
    min2d, median2d, mean2d, max2d = planes
    return OrderStatistics(min2d, median2d, mean2d, max2d, count=count, cr_coincidences=cr_coincidences)


def exposure_at_median(cube: np.ndarray, median2d: np.ndarray, bad: np.ndarray | None = None) -> np.ndarray:
    """Which exposure is the median of each pixel.

    Parameters
    ----------
    cube : `~numpy.ndarray`
        (N, ny, nx).
    median2d : `~numpy.ndarray`
        (ny, nx).
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx), True where a value was not used.

    Returns
    -------
    number : `~numpy.ndarray`
        Number (from 1) of the exposure whose value is closest to the median, uint8 (ny, nx). If several are equally
        close, as with integer counts, one is chosen at random with a fixed seed. 0 where no exposure is valid.
    """
    number = np.zeros(median2d.shape, dtype=np.uint8)
    n_nearest = np.zeros(median2d.shape, dtype=np.uint8)
    nearest = np.full(median2d.shape, np.inf, dtype=np.float32)
    rng = np.random.default_rng(TIES_SEED)
    for i, plane in enumerate(cube):
        distance = np.abs(plane - median2d)
        distance[~np.isfinite(distance) if bad is None else bad[i]] = np.inf
        closer = distance < nearest
        number[closer], n_nearest[closer], nearest[closer] = i + 1, 1, distance[closer]
        tied = np.nonzero((distance == nearest) & ~closer & (number > 0))
        n_nearest[tied] += 1
        # the j-th of the closest replaces an earlier one with a probability of 1 / j
        taken = rng.random(len(tied[0])) * n_nearest[tied] < 1
        number[tied[0][taken], tied[1][taken]] = i + 1
    return number


def _middle_of_good(values, bad, variance_of):
    """Median (M,) of the values (N, M) of some pixels that are not bad, or the lower one of two; 0 where all are bad.

    Of two values, the lower one is taken if they differ by far more than noise, given by ``variance_of`` a signal (M,).
    Their mean would contain half of a hit, which would seem to be a structure that several exposures share.
    """
    values, number = np.where(bad, np.float32(np.inf), values), len(bad) - np.count_nonzero(bad, axis=0)
    sort_exposures(values)
    low, high = (
        np.take_along_axis(values, np.maximum(one, 0)[None], axis=0)[0] for one in ((number - 1) // 2, number // 2)
    )
    two = number == 2
    if variance_of is not None and two.any():
        signal = np.where(two, low, 0)
        limit = HIT_SIGMA * np.sqrt(2 * variance_of(signal)) + HIT_CONTRAST * np.maximum(signal, 0)
        high = np.where(two & (high > low + limit), low, high)
    return np.where(number > 0, (low + high) / 2, 0).astype(np.float32)


def with_bad_filled(
    levels: np.ndarray, bad: np.ndarray | None, variance_of: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:
    """Replace bad values by the median of the other values of the pixel.

    Parameters
    ----------
    levels : `~numpy.ndarray`
        Values of the exposures at one level, float32 (N, ...). Not changed.
    bad : `~numpy.ndarray` of bool or None
        The same shape.
    variance_of : callable, optional
        Gives the variance of a value at a signal (...). Of two other values that differ by far more than noise, the
        lower one is then used, because the other is hit.

    Returns
    -------
    levels : `~numpy.ndarray`
        The same object if none is bad. Values are 0 where those of all exposures are bad.
    """
    if bad is None or not bad.any():
        return levels
    some = bad.any(axis=0)
    levels = np.array(levels)
    values, where = levels[:, some], bad[:, some]

    def variance_there(signal):
        image = np.zeros(some.shape, np.float32)
        image[some] = signal
        return np.broadcast_to(variance_of(image), some.shape)[some]

    middle = _middle_of_good(values, where, None if variance_of is None else variance_there)
    levels[:, some] = np.where(where, middle, values)
    return levels
