"""`Exposures`: the cube of exposures, its bad values and its noise."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from crstack.noise import NoiseModel
from crstack.utils.memory import empty_image, relax
from crstack.utils.pixels import by_rows

__all__ = ["ALIGNED", "Exposures"]

#: largest shift (pixels) that the measurements of `crstack.equalize` find
ALIGNED = 16


@dataclass(frozen=True, eq=False, repr=False)
class Exposures:
    """The exposures of a stack, bias subtracted, with their noise, headers and names.

    Attributes
    ----------
    data : `~numpy.ndarray`
        float32 (N, ny, nx), bias subtracted, in `unit`; 0 at bad pixels.
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx), True at masked pixels, NaN, infinities and pixels without
        a usable uncertainty; None if there is none.
    noise : NoiseModel
        Noise of one exposure by gain and read noise.
    variances : tuple
        Own variance image (``unit**2``) of each exposure, or None.
    header : `~astropy.io.fits.Header`
        Header of the first exposure.
    wcs : `~astropy.wcs.WCS` or None
        World coordinates of the first exposure.
    names : tuple of str
        File names, or "exposure 1", ...
    scales : tuple
        Divisor of each exposure, see `divided_by`; empty if there is none.
    exptimes : tuple of (float or None)
        Exposure times in seconds; None if one is not known. Empty if none was read.
    saturated : `~numpy.ndarray` of bool or None
        (N, ny, nx), the bad values that are saturated; None if there is none.
    low : `~numpy.ndarray` of bool or None
        (N, ny, nx), the bad values that are far too low; None if there is none.
    rate_seconds : float or None
        Factor that converted rates (per second) to counts; None if counts were given.
    notes : tuple of str
        Values read from headers.
    own_headers, own_wcs : tuple
        Header and world coordinates of each exposure; empty if they were not kept.
    displaced : tuple of (str, int, int)
        Exposures that are clearly shifted against the others: name, dx and dy in pixels.
    unfocused : tuple of str
        Names of the exposures that are out of focus.
    strange : tuple of str
        Names of the exposures that do not show the field of the others: rotated, of another field, or without light.
    digests : tuple of str
        Digest of the values of each exposure as given; empty if it was not computed.
    levels : tuple
        What was subtracted from each exposure, a number or image (ny, nx), to bring it to the mean level; empty if
        nothing was. The noise includes its photons.
    missing : tuple of float
        Variance of each exposure that its level lacks, electrons squared: that of the photons of a sky that was
        subtracted. `noise_of` adds it. Empty if there is none.
    doubted : bool
        Whether a warning on their noise or bias was given when they were read.
    """

    data: np.ndarray
    bad: np.ndarray | None
    noise: NoiseModel
    variances: tuple
    header: fits.Header = field(default_factory=fits.Header)
    wcs: WCS | None = None
    names: tuple = ()
    scales: tuple = ()
    exptimes: tuple = ()
    saturated: np.ndarray | None = None
    low: np.ndarray | None = None
    rate_seconds: float | None = None
    notes: tuple = ()
    displaced: tuple = ()
    unfocused: tuple = ()
    strange: tuple = ()
    own_headers: tuple = ()
    own_wcs: tuple = ()
    digests: tuple = ()
    levels: tuple = ()
    missing: tuple = ()
    doubted: bool = False

    def __repr__(self) -> str:
        ny, nx = self.shape
        bad = 0 if self.bad is None else np.count_nonzero(self.bad)
        return f"<Exposures: {len(self)} of {nx} x {ny} pixels in {self.unit}, {bad} bad values, {self.noise!r}>"

    def __len__(self) -> int:
        return len(self.data)

    @property
    def shape(self) -> tuple[int, ...]:
        """(ny, nx) of one exposure."""
        return self.data.shape[1:]

    @property
    def unit(self) -> u.UnitBase:
        """ADU or electron."""
        return self.noise.unit

    @property
    def given_unit(self) -> u.UnitBase:
        """Unit of the given exposures and of the results."""
        return self.unit if self.rate_seconds is None else self.unit / u.s

    @property
    def usable(self) -> np.ndarray:
        """True where every exposure is valid, bool (ny, nx)."""
        return np.ones(self.shape, dtype=bool) if self.bad is None else np.asarray(~self.bad.any(axis=0))

    def bad_of(self, i: int) -> np.ndarray | None:
        """Bad-pixel mask of exposure ``i`` (from 0), or None.

        Parameters
        ----------
        i : int
            Number of the exposure.

        Returns
        -------
        bad : `~numpy.ndarray` of bool or None
            (ny, nx).
        """
        return None if self.bad is None else self.bad[i]

    def noise_of(self, i: int) -> NoiseModel:
        """Noise of exposure ``i`` (from 0): its own variances if it has them.

        Parameters
        ----------
        i : int
            Number of the exposure.

        Returns
        -------
        noise : `~crstack.noise.NoiseModel`
            Of this exposure.
        """
        noise = self.noise if self.variances[i] is None else self.noise.with_known_variance(self.variances[i])
        if self.missing and self.missing[i] and self.variances[i] is None:
            noise = noise.with_more_variance(self.missing[i])
        return noise.divided_by(self.scales[i]) if self.scales else noise

    @property
    def too_far(self) -> tuple[str, ...]:
        """Names of the exposures that are shifted by more than is measured."""
        return tuple(name for name, *shift in self.displaced if max(map(abs, shift)) > ALIGNED)

    @property
    def comparable(self) -> bool:
        """Whether no exposure is known to differ so much, with a warning, that measured differences have no meaning."""
        return not (self.unfocused or self.strange or self.too_far)

    @property
    def share_noise(self) -> bool:
        """Whether one gain and read noise describe all exposures alike, at one expected signal."""
        if self.missing:
            return False
        return not self.scales and not self.levels and all(variance is None for variance in self.variances)

    def divided_by(self, scales: Sequence[Any]) -> "Exposures":
        """Return the exposures divided by a number or image (ny, nx) each, with their noise.

        Parameters
        ----------
        scales : sequence of float or `~numpy.ndarray`
            N divisors.

        Returns
        -------
        exposures : Exposures
            The quotients, in the same unit.
        """
        scales = tuple(scale if np.ndim(scale) == 0 else np.asarray(scale, dtype=np.float32) for scale in scales)
        data = empty_image(self.data.shape)
        for plane, own, scale in zip(data, self.data, scales, strict=True):
            np.divide(own, np.float32(scale), out=plane)
            relax()
        levels = tuple(
            by_rows(lambda level, scale: level / np.float32(scale), *pair)
            for pair in zip(self.levels, scales, strict=bool(self.levels))
        )
        if self.scales:
            scales = tuple(by_rows(operator.mul, old, new) for old, new in zip(self.scales, scales, strict=True))
        return replace(self, data=data, scales=scales, levels=levels)

    def minus(self, differences: Sequence[np.ndarray]) -> "Exposures":
        """Return the exposures minus one image (ny, nx) each; their noise does not change.

        Parameters
        ----------
        differences : sequence of `~numpy.ndarray`
            N images, in the unit of the exposures.

        Returns
        -------
        exposures : Exposures
            The differences.
        """
        data = empty_image(self.data.shape)
        for plane, own, difference in zip(data, self.data, differences, strict=True):
            np.subtract(own, difference, out=plane)
            relax()
        if self.bad is not None:
            data[self.bad] = 0
        return replace(self, data=data)

    def at_mean_level(self, differences: Sequence[np.ndarray]) -> "Exposures":
        """Return the exposures at their mean level. Their noise is that of what they hold.

        Parameters
        ----------
        differences : sequence of `~numpy.ndarray` or float
            Expected image (ny, nx) of each exposure minus a common image, in the unit of the exposures.

        Returns
        -------
        exposures : Exposures
            The exposures minus their difference from the mean level.
        """
        mean = by_rows(lambda *each: sum(each) / np.float32(len(each)), *differences)
        levels = tuple(by_rows(np.subtract, one, mean) for one in differences)
        return replace(self.minus(levels), levels=levels)

    def variance_of(self, i: int, expected: np.ndarray) -> np.ndarray:
        """Variance of exposure ``i`` (from 0), with the photons of its `levels`.

        Parameters
        ----------
        i : int
            Number of the exposure.
        expected : `~numpy.ndarray`
            (ny, nx) expected signal of the exposures at their common level.

        Returns
        -------
        variance : `~numpy.ndarray`
            (ny, nx), in the unit of the exposures, squared.
        """
        return self.noise_of(i).variance(expected + self.levels[i] if self.levels else expected)

    def cutout(self, box: tuple[slice, slice]) -> "Exposures":
        """Return a part of the exposures (``box``: slices of rows and columns); header and WCS do not change.

        Parameters
        ----------
        box : tuple of slice
            Rows and columns.

        Returns
        -------
        exposures : Exposures
            The part.
        """

        def cut(value):
            return value[box] if value is not None and np.ndim(value) else value

        return replace(
            self,
            data=self.data[:, *box],
            bad=None if self.bad is None else self.bad[:, *box],
            noise=self.noise.cutout(box),
            variances=tuple(map(cut, self.variances)),
            scales=tuple(map(cut, self.scales)),
            levels=tuple(map(cut, self.levels)),
            saturated=None if self.saturated is None else self.saturated[:, *box],
            low=None if self.low is None else self.low[:, *box],
        )

    def reordered(self, order: Sequence[int]) -> "Exposures":
        """Return the exposures in another order, or some of them (indices); header and WCS do not change.

        Parameters
        ----------
        order : sequence of int
            Numbers of the exposures, from 0.

        Returns
        -------
        exposures : Exposures
            In the order that was given.
        """
        order = [int(i) for i in order]
        return replace(
            self,
            data=self.data[order],
            bad=None if self.bad is None else self.bad[order],
            variances=tuple(self.variances[i] for i in order),
            names=tuple(self.names[i] for i in order),
            scales=tuple(self.scales[i] for i in order) if self.scales else (),
            levels=tuple(self.levels[i] for i in order) if self.levels else (),
            missing=tuple(self.missing[i] for i in order) if self.missing else (),
            exptimes=tuple(self.exptimes[i] for i in order) if self.exptimes else (),
            own_headers=tuple(self.own_headers[i] for i in order) if self.own_headers else (),
            own_wcs=tuple(self.own_wcs[i] for i in order) if self.own_wcs else (),
            digests=tuple(self.digests[i] for i in order) if self.digests else (),
            saturated=None if self.saturated is None else self.saturated[order],
            low=None if self.low is None else self.low[order],
        )

    def transposed(self) -> "Exposures":
        """Return the exposures with x and y exchanged; header and WCS do not change.

        Returns
        -------
        exposures : Exposures
            Of shape (nx, ny).
        """

        def turn(value):
            return value.T if value is not None and np.ndim(value) else value

        noise = replace(self.noise, gain=turn(self.noise.gain), readnoise=turn(self.noise.readnoise))
        return replace(
            self,
            data=self.data.transpose(0, 2, 1),
            bad=None if self.bad is None else self.bad.transpose(0, 2, 1),
            noise=noise,
            variances=tuple(map(turn, self.variances)),
            scales=tuple(map(turn, self.scales)),
            levels=tuple(map(turn, self.levels)),
            saturated=None if self.saturated is None else self.saturated.transpose(0, 2, 1),
            low=None if self.low is None else self.low.transpose(0, 2, 1),
        )

    def noise_of_average(self, n_effective: float) -> NoiseModel:
        """Noise of an average of all exposures worth ``n_effective`` of them.

        Parameters
        ----------
        n_effective : float
            Ratio of the variance of one exposure to that of the average.

        Returns
        -------
        noise : `~crstack.noise.NoiseModel`
            Of the average.
        """
        own = any(variance is not None for variance in self.variances)
        noise = self.noise.with_more_variance(float(np.mean(self.missing))) if self.missing else self.noise
        if not self.scales and not own:
            return noise.averaged(n_effective)
        if not own:
            # photon noise of a mean of exposures: that of their mean gain in electrons per unit
            scale = 1 / np.mean(np.broadcast_arrays(*(1 / scale for scale in self.scales)), axis=0)
            return noise.divided_by(scale).averaged(n_effective)
        return self.noise.with_known_variance(self.mean_variance(None)).averaged(n_effective)

    def mean_variance(self, expected: np.ndarray | None) -> np.ndarray:
        """Mean over the valid exposures of the variance of one, at an ``expected`` image.

        Parameters
        ----------
        expected : `~numpy.ndarray` or None
            (ny, nx), in the unit of the exposures. None counts as 0.

        Returns
        -------
        variance : `~numpy.ndarray`
            (ny, nx), in the unit squared.
        """
        signal = np.zeros(self.shape, np.float32) if expected is None else expected
        if self.share_noise:
            return self.noise.variance(signal).astype(np.float32, copy=False)
        total: Any = 0.0
        if self.bad is None:
            for i in range(len(self)):
                total = total + self.variance_of(i, signal)
            return (total / np.float32(len(self))).astype(np.float32)
        # a bad value has no variance: use 1
        nowhere = self.bad.all(axis=0)
        count = np.zeros(self.shape, np.float32)
        for i, bad in enumerate(self.bad):
            used = ~bad | nowhere
            total = total + np.where(used, self.variance_of(i, signal), 0)
            count += used
        return (total / count).astype(np.float32)
