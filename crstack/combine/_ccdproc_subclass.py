"""A `ccdproc.Combiner` whose images have the variance of the noise."""

import warnings

import numpy as np
from astropy.nddata import VarianceUncertainty
from ccdproc import Combiner

from crstack.combine.clean_values import middle
from crstack.combine.order import order_table

__all__ = ["NoiseCombiner"]


def _no_scatter(data, axis):
    """Placeholder for the scatter of the values, which the variance of the noise replaces."""
    return np.zeros(data.shape[1:])


class NoiseCombiner(Combiner):
    """A `~ccdproc.Combiner` whose images have the variance of the noise, propagated.

    Clipping, scaling and weights work as in ccdproc. With an ``uncertainty_func``, or another function than the mean,
    the median or the sum, the uncertainty is that of ccdproc.

    Parameters
    ----------
    ccds : list of `~astropy.nddata.CCDData`
        The exposures, with their masks.
    variance_of : callable
        ``variance_of(i)`` is the variance (ny, nx) of exposure ``i`` (from 0), in the square of their unit.
    header : `~astropy.io.fits.Header`
        Header of the combined images.

    Notes
    -----
    In ccdproc a weighted mean divides by the weights of all values, including masked ones, and is too low where values
    are masked. Here it divides by the weights of the values that are used.
    """

    def __init__(self, ccds, variance_of, header):
        super().__init__(ccds, dtype=np.float32)
        self._variance_of = variance_of
        self._header = header

    def average_combine(self, scale_func=None, scale_to=None, uncertainty_func=None, **options):
        """Mean of the images: see `ccdproc.Combiner.average_combine`."""
        given = {"scale_func": scale_func, "scale_to": scale_to, **options}
        combined = self._combined(super().average_combine, uncertainty_func, given)
        if uncertainty_func is None and scale_func is None and not options:
            weights = self._shares(scale_to)
            if self.weights is not None:
                values = np.where(self._used, self.data_arr.data, 0)
                mean = (weights * values).sum(axis=0)
                combined.data = np.where(combined.mask, np.nan, mean).astype(self.dtype)
            self._set_variance(combined, weights)
        return combined

    def sum_combine(self, sum_func=None, scale_to=None, uncertainty_func=None):
        """Sum of the images: see `ccdproc.Combiner.sum_combine`."""
        given = {"sum_func": sum_func, "scale_to": scale_to}
        combined = self._combined(super().sum_combine, uncertainty_func, given)
        if uncertainty_func is None and sum_func is None:
            self._set_variance(combined, self._factors(scale_to))
        return combined

    def median_combine(self, median_func=None, scale_to=None, uncertainty_func=None):
        """Median of the images: see `ccdproc.Combiner.median_combine`."""
        given = {"median_func": median_func, "scale_to": scale_to}
        combined = self._combined(super().median_combine, uncertainty_func, given)
        if uncertainty_func is None and median_func is None:
            count = self._used.sum(axis=0)
            scale = self._factors(scale_to, weighted=False)
            self._set_variance(combined, [one / np.sqrt(np.maximum(count, 1)) for one in scale])
            # the mean of the variances, times that of the median of as many normal values
            combined.uncertainty.array *= order_table(len(self._used), middle)[count, count]
        return combined

    def _combined(self, combine, uncertainty_func, given):
        """The result of ccdproc, without its warnings about pixels that are masked in every image."""
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mean of empty slice|All-NaN slice|Degrees of freedom", RuntimeWarning)
            combined = combine(**given, uncertainty_func=uncertainty_func or _no_scatter)
        n_combined = combined.meta["NCOMBINE"]
        combined.meta = self._header.copy()
        combined.meta["NCOMBINE"] = (n_combined, "number of images combined")
        combined.wcs = self.ccd_list[0].wcs
        return combined

    @property
    def _used(self):
        """bool (N, ny, nx): the values that are neither masked nor clipped."""
        return ~np.ma.getmaskarray(self.data_arr)

    def _factors(self, scale_to=None, weighted=True):
        """Weight of each value, 0 where it is not used: an image for each exposure."""
        scale = self.scaling if scale_to is None else scale_to
        factors = self._used * (1.0 if scale is None else np.asarray(scale, dtype=float))
        return factors * self._own_weights if weighted else factors

    @property
    def _own_weights(self):
        """The weights of ccdproc as images, or one number for each exposure; 1 without weights."""
        weights = self.weights
        if weights is None:
            return 1.0
        return weights if weights.shape == self.data_arr.shape else weights.reshape(-1, 1, 1)

    def _shares(self, scale_to):
        """Factor of each value in the mean."""
        total = (self._used * self._own_weights).sum(axis=0)
        return self._factors(scale_to) / np.where(total > 0, total, 1)

    def _set_variance(self, combined, factors):
        """Give the image the variance of a sum of values times factors."""
        variance = np.zeros(combined.shape, dtype=np.float32)
        for i, factor in enumerate(factors):
            variance += np.square(factor, dtype=np.float32) * self._variance_of(i)
        # a variance of 0 would be an infinite weight in later steps
        variance[combined.mask] = np.nan
        combined.uncertainty = VarianceUncertainty(variance, unit=self.unit**2)
