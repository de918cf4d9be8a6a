"""The exposures in electrons, with their expected values and variances."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from crstack.joint.cubes import LevelCube, in_order
from crstack.statistics import with_bad_filled
from crstack.utils.cached import cached_property
from crstack.utils.medians import median_of_values
from crstack.utils.pixels import at_pixels

__all__ = ["Counts"]


@dataclass(frozen=True, eq=False)
class Counts:
    """Exposures in electrons and their expected values.

    The expected value of exposure i for a common signal s (electrons) is a_i s + d_i.

    Parameters
    ----------
    data : `~numpy.ndarray`
        Exposures, float32 (N, ny, nx) in electrons.
    variance : float, `~numpy.ndarray` or tuple of these
        Variance without that of the photons, electrons squared: number or (ny, nx), or a tuple of these for each
        exposure.
    bad : `~numpy.ndarray` of bool, optional
        (N, ny, nx) excluded values.
    scales : tuple, optional
        The a_i: numbers or (ny, nx). All 1 if not given.
    shifts : tuple, optional
        The d_i: numbers or (ny, nx). All 0 if not given.
    poisson : tuple of bool, optional
        False where the variance of an exposure includes that of its photons.
    worth : tuple, optional
        Value of an electron of each exposure in the combined image: numbers or (ny, nx). All 1 if not given.
    """

    data: np.ndarray
    variance: Any
    bad: np.ndarray | None = None
    scales: tuple | None = None
    shifts: tuple | None = None
    poisson: tuple | None = None
    worth: tuple | None = None

    @property
    def alike(self):
        """Whether all exposures have the same expected image and noise."""
        return self.scales is None and self.shifts is None and not isinstance(self.variance, tuple)

    @cached_property
    def levels(self):
        """(N, ny, nx) the common signal of each value; the median at bad values."""
        levels = self.data
        if not self.alike:
            levels = np.stack([self.level_of(i) for i in range(len(self.data))])
        return with_bad_filled(levels[:], self.bad, self.mean_variance)

    @property
    def level_cube(self):
        """The same as `levels`, computed where it is used."""
        return LevelCube(self)

    def level_of(self, i: int) -> np.ndarray:
        """The common signal (ny, nx) of each value of exposure ``i``, also of bad values.

        Parameters
        ----------
        i : int
            Number of the exposure, from 0.

        Returns
        -------
        level : `~numpy.ndarray`
            (ny, nx), in electrons.
        """
        if self.alike:
            return self.data[i]
        shift, scale = self._of(self.shifts, i, 0.0), self._of(self.scales, i, 1.0)
        return ((self.data[i] - shift) / scale).astype(np.float32, copy=False)

    @staticmethod
    def _of(values, i, default):
        return np.float32(default) if values is None else np.asarray(values[i], dtype=np.float32)

    def variance_of(self, i: int, signal: np.ndarray) -> np.ndarray:
        """Variance (ny, nx) of the level of exposure ``i`` at an expected common signal.

        Parameters
        ----------
        i : int
            Number of the exposure, from 0.
        signal : `~numpy.ndarray`
            (ny, nx), in electrons.

        Returns
        -------
        variance : `~numpy.ndarray`
            (ny, nx), in electrons squared.
        """
        scale = self._of(self.scales, i, 1.0)
        variance = self._of(self.variance, i, 0) if isinstance(self.variance, tuple) else np.float32(self.variance)
        if self.poisson is None or self.poisson[i]:
            variance = variance + np.maximum(scale * signal + self._of(self.shifts, i, 0.0), 0)
        return variance / scale**2

    def photon_variance_per_level(self, which: list[int] | None = None) -> float | None:
        """Variance of the photons of a value over the common signal, electrons; None if it is not known.

        Parameters
        ----------
        which : list of int, optional
            The exposures of which it is the mean; all of them by default.

        Returns
        -------
        slope : float or None
            Electrons squared per electron.
        """
        which = list(range(len(self.data))) if which is None else which
        if self.poisson is not None and not all(self.poisson[i] for i in which):
            return None
        return float(np.mean([1 / np.median(self._of(self.scales, i, 1.0)) for i in which]))

    def mean_variance(self, signal: np.ndarray) -> np.ndarray:
        """Mean over the exposures of `variance_of`; that of one if all are equal.

        Parameters
        ----------
        signal : `~numpy.ndarray`
            (ny, nx) common signal, in electrons.

        Returns
        -------
        variance : `~numpy.ndarray`
            (ny, nx), in electrons squared.
        """
        if self.alike:
            return self.variance_of(0, signal)
        # one at a time, because all of them would need as much memory as the exposures
        total = self.variance_of(0, signal)
        for i in range(1, len(self.data)):
            total = total + self.variance_of(i, signal)
        return total / np.float32(len(self.data))

    def mean_variance_in(self, signal: np.ndarray, box: tuple[slice, slice] | None = None) -> np.ndarray:
        """`mean_variance` of a part of the image: slices of rows and columns.

        Parameters
        ----------
        signal : `~numpy.ndarray`
            Common signal of the part, in electrons.
        box : tuple of slice, optional
            Rows and columns; the whole image by default.

        Returns
        -------
        variance : `~numpy.ndarray`
            Of the shape of ``signal``, in electrons squared.
        """
        return (self if box is None else self.rows(box)).mean_variance(signal)

    def expected(self, i: int, signal: np.ndarray, excess: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """Expected counts (ny, nx) of exposure ``i``, variance without that of its photons, and whether it has any.

        Parameters
        ----------
        i : int
            Number of the exposure, from 0.
        signal : `~numpy.ndarray`
            (ny, nx) common signal, in electrons.
        excess : `~numpy.ndarray`
            (ny, nx) excess variance, electrons squared.

        Returns
        -------
        expected : `~numpy.ndarray`
            Electrons.
        variance : `~numpy.ndarray`
            Electrons squared.
        poisson : bool
            Whether the variance lacks that of the photons.
        """
        scale = self._of(self.scales, i, 1.0)
        variance = self._of(self.variance, i, 0) if isinstance(self.variance, tuple) else np.float32(self.variance)
        poisson = self.poisson is None or self.poisson[i]
        return scale * signal + self._of(self.shifts, i, 0.0), variance + scale**2 * excess, poisson

    def rows(self, rows: slice | tuple[slice, slice]) -> "Counts":
        """The counts of some rows (a slice), or of a part of the image (slices of rows and columns).

        Parameters
        ----------
        rows : slice or tuple of slice
            Rows, or rows and columns.

        Returns
        -------
        counts : Counts
            Of the rows.
        """
        box = rows if isinstance(rows, tuple) else (rows,)

        def cut(value):
            if isinstance(value, tuple):
                return tuple(cut(one) for one in value)
            return at_pixels(value, box)

        bad = None if self.bad is None else self.bad[:, *box]
        scales, shifts = (None if one is None else cut(one) for one in (self.scales, self.shifts))
        worth = None if self.worth is None else cut(self.worth)
        return Counts(self.data[:, *box], cut(self.variance), bad, scales, shifts, self.poisson, worth)

    def combined_at(self, where: tuple[np.ndarray, np.ndarray], signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values and expected values (N, M) at pixels of some common signal (M,), as they are combined.

        Parameters
        ----------
        where : tuple of `~numpy.ndarray`
            Rows and columns (M,) of the pixels.
        signal : `~numpy.ndarray`
            (M,), in electrons.

        Returns
        -------
        values, expected : `~numpy.ndarray`
            (N, M), in electrons.
        """
        expected = self.combined_scales_at(where) * signal
        values = self.data[:, *where].astype(np.float64)
        for i in range(len(values)):
            shift, worth = (at_pixels(self._of(*of), where) for of in ((self.shifts, i, 0.0), (self.worth, i, 1.0)))
            expected[i] += shift * worth
            values[i] *= worth
        return values, expected

    def own_errors_at(
        self, where: tuple[np.ndarray, np.ndarray], signal: np.ndarray, usual: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the errors of what is expected of each exposure, and their share of the variance of its values.

        Parameters
        ----------
        where : tuple of `~numpy.ndarray`
            Rows and columns (M,) of the pixels.
        signal : `~numpy.ndarray`
            (M,), in electrons.
        usual : `~numpy.ndarray`
            (N,) the typical variances of the exposures without that of the photons: what exceeds them is the error.

        Returns
        -------
        error : `~numpy.ndarray`
            (N, M), in electrons squared of the combined image.
        share : `~numpy.ndarray`
            (N, M), from 0 to 1.

        Notes
        -----
        Both are 0 for an exposure whose variance includes that of its photons.
        """
        error, share = np.zeros((2, len(self.data), len(where[0])))
        for i in range(len(share)):
            if isinstance(self.variance, tuple) and (self.poisson is None or self.poisson[i]):
                scale, shift, variance, worth = (
                    at_pixels(self._of(*of), where)
                    for of in (
                        (self.scales, i, 1.0),
                        (self.shifts, i, 0.0),
                        (self.variance, i, 0.0),
                        (self.worth, i, 1.0),
                    )
                )
                photons = np.maximum(scale * signal + shift, self.data[i][where]).clip(0)
                own = np.maximum(variance - usual[i], 0)
                error[i], share[i] = worth**2 * own, own / (variance + photons)
        return error, share

    def combined_scales_at(self, where: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Change (N, M) of the expected values of `combined_at` for one electron of common signal.

        Parameters
        ----------
        where : tuple of `~numpy.ndarray`
            Rows and columns (M,) of the pixels.

        Returns
        -------
        scales : `~numpy.ndarray`
            (N, M), float64.
        """
        scales = np.empty((len(self.data), len(where[0])))
        for i in range(len(scales)):
            scale, worth = (at_pixels(self._of(*of), where) for of in ((self.scales, i, 1.0), (self.worth, i, 1.0)))
            scales[i] = scale * worth
        return scales

    def ordered(self, order: np.ndarray) -> "Counts":
        """The counts with the exposures in another order (indices).

        Parameters
        ----------
        order : `~numpy.ndarray`
            Numbers of the exposures, from 0.

        Returns
        -------
        counts : Counts
            In the order that was given.
        """

        def pick(values):
            return tuple(values[i] for i in order) if isinstance(values, tuple) else values

        per_exposure = ("variance", "scales", "shifts", "poisson", "worth")
        picked = {name: pick(getattr(self, name)) for name in per_exposure}
        return replace(self, data=in_order(self.data, order), bad=in_order(self.bad, order), **picked)

    def typical(self) -> tuple[np.ndarray, ...]:
        """Typical variance, scale and kind of noise of each exposure, (N,) each.

        Returns
        -------
        variance, scale, poisson : `~numpy.ndarray`
            Three arrays, float32 (N,). The variance is in electrons squared.
        """

        def middle(values, default):
            values = [default] * n if values is None else values
            return np.array([median_of_values(value) for value in values], dtype=np.float32)

        n = len(self.data)
        variance = self.variance if isinstance(self.variance, tuple) else (self.variance,) * n
        return middle(variance, 0.0), middle(self.scales, 1.0), middle(self.poisson, 1.0)

    def at(self, where: tuple[np.ndarray, np.ndarray], excess: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values, scales, shifts, variances and kinds of noise, each (N or 1, M or 1), of some pixels.

        Parameters
        ----------
        where : tuple of `~numpy.ndarray`
            Rows and columns (M,) of the pixels.
        excess : `~numpy.ndarray`
            (ny, nx) excess variance, electrons squared.

        Returns
        -------
        values, scales, shifts, variances, poisson : `~numpy.ndarray`
            Electrons, and electrons squared.
        """

        def pick(values, default):
            if values is None:
                return np.full((1, 1), default, np.float32)
            picked = [np.asarray(value, np.float32)[where if np.ndim(value) else ...] for value in values]
            return np.stack([np.atleast_1d(value) for value in np.broadcast_arrays(*picked)])

        scales, shifts = pick(self.scales, 1.0), pick(self.shifts, 0.0)
        each = self.variance if isinstance(self.variance, tuple) else (self.variance,)
        variance = pick(each, 0.0) + scales**2 * excess[where]
        poisson = pick(self.poisson, 1.0)
        return self.data[:, where[0], where[1]], scales, shifts, np.broadcast_to(variance, variance.shape), poisson
