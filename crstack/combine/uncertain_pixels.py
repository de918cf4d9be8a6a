"""The posterior mean of pixels with uncertain values, and the bias of the mean of clean values by their selection."""

import numpy as np

from crstack.combine.clean_values import ratio
from crstack.combine.posterior_mean import posterior_mean, uncertain
from crstack.masks.codes import ADDED, exposure_name
from crstack.utils.cached import cached_property
from crstack.utils.pixels import at_pixels

__all__ = ["PosteriorMeans"]


class PosteriorMeans:
    """Posterior means of pixels some of whose values may be hit, for masks with probabilities.

    Parameters
    ----------
    values : CleanValues
        The values of a stack, with its masks.
    """

    def __init__(self, values):
        self.clean, self.exposures, self.masks = values, values.exposures, values.masks

    @cached_property
    def means(self):
        """Pixels with uncertain values; their posterior mean, its variance and the count."""
        where = self._uncertain_pixels()
        variance = np.array([self.clean.variance_of(i)[where] for i in range(len(self.exposures))])
        chances = np.array([self._chance_of(i, where) for i in range(len(self.exposures))])
        values = self.exposures.data[:, where].astype(np.float64)
        weights = None if self.clean.weights is None else np.broadcast_to(self.clean.weights[:, None], values.shape)
        scales = None if self.masks.signal_shift is None else self._scales_at(where)
        value, error, count = posterior_mean(values, chances, variance, weights, scales=scales)
        shift = self._signal_shift(where, chances)
        value += shift
        if self.masks.signal_variance is not None and self.masks.signal_shift is not None:
            # the mean of the exposures by the posterior signal does not depend on the weights of the exposures
            of_signal = self._have_posterior_signal(where)
            if weights is not None:
                value = np.where(of_signal, posterior_mean(values, chances, variance)[0] + shift, value)
            of_mean = at_pixels(self.masks.signal_variance, where) / self._electrons_at(where) ** 2
            error = np.where(of_signal, of_mean, error)
        some = count > 0
        where = tuple(index[some] for index in np.nonzero(where))
        return where, value[some], error[some], count[some]

    def _uncertain_pixels(self):
        """Pixels with a value that is neither certainly clean nor certainly hit, or with a signal shift: bool (ny, nx).

        Elsewhere the posterior mean is the mean of the clean values.
        """
        shift = self.masks.signal_shift
        where = np.zeros(self.exposures.shape, dtype=bool) if shift is None else shift != 0
        for i in range(len(self.exposures)):
            excluded = self.clean.excluded(i)
            likely = np.nonzero(excluded | _not_zero(self.masks.probability[i]))
            chance = self._chance_of(i, likely)
            where[likely] |= uncertain(chance) | ((chance > 0.5) != excluded[likely])
        return where & ~self.clean.all_hit

    def _have_posterior_signal(self, where):
        """Pixels (M,) of some whose mean is that of the posterior signal, because a value may be hit."""
        added = np.zeros(np.count_nonzero(where), bool)
        for i in range(len(self.exposures)):
            added |= np.isin(self.masks.codes[exposure_name(i)][where], ADDED)
        # the shift of pixels that were masked after the decision is that of the mean of the values that are left
        return (self.masks.signal_variance[where] > 0) & ~added & (self.masks.signal_shift[where] != 0)

    def _scales_at(self, where):
        """Throughputs (N, M) of the exposures over the mean of the valid ones, in some pixels; None if equal."""
        if not self.masks.throughputs:
            return None
        bad = [self.exposures.bad_of(i) for i in range(len(self.exposures))]
        valid = np.array([np.ones(np.count_nonzero(where), np.bool_) if one is None else ~one[where] for one in bad])
        throughputs = np.array(self.masks.throughputs)[:, None]
        return throughputs / ratio((throughputs * valid).sum(axis=0), valid.sum(axis=0))

    def _signal_shift(self, where, chances):
        """Signal shift of the posterior means of some pixels, in the unit of the exposures.

        That of the masks belongs to the exposures as they are. On another level, the mean of the levels of the clean
        values is added. ``chances`` (N, M) are the probabilities of a hit.
        """
        shift = 0.0 if self.masks.signal_shift is None else self.masks.signal_shift[where] / self._electrons_at(where)
        if not self.exposures.levels:
            return shift
        levels = np.array([np.broadcast_to(at_pixels(one, where), chances[0].shape) for one in self.exposures.levels])
        return shift + posterior_mean(levels.astype(np.float64), chances, np.ones_like(levels))[0]

    def _electrons_at(self, where):
        """Electrons per unit of the exposures at some pixels."""
        return at_pixels(self.exposures.noise.electrons_per_unit, where)

    def _chance_of(self, i, where):
        """Probability of some pixels (M,) that exposure ``i`` is hit; 1 where it is bad, too low, forced or dilated."""
        chance = self.masks.probability[i][where].astype(np.float32)
        chance[np.isin(self.masks.codes[exposure_name(i)][where], ADDED)] = 1
        bad = self.exposures.bad_of(i)
        if bad is not None:
            chance[bad[where]] = 1
        return chance

    @cached_property
    def _corrected(self):
        """Pixels whose masked values are left out and which have a posterior mean: their places, and which they are."""
        where = self.means[0]
        count = self.clean.n_clean[where]
        masked = (count > 0) & (count < len(self.exposures))
        return tuple(index[masked] for index in where), masked

    @cached_property
    def correction(self):
        """What corrects the mean of the clean values for the selection of the masked ones, float32 (ny, nx)."""
        where, masked = self._corrected
        correction = np.zeros(self.exposures.shape, dtype=np.float32)
        correction[where] = self.means[1][masked] - self.clean.mean[where]
        return correction

    def variance_of_ordered(self, place, variance):
        """Variances (M,) of ordered clean values with `correction` at some pixels, from the ``variance`` without it.

        An ordered value is the mean of the clean values plus a difference from it, whose variance does not change. It
        is not more precise than this mean.
        """
        of_mean = self._image_of_corrected[place]
        of_plain_mean = self.clean.clean_variance[place] / np.maximum(self.clean.n_clean[place], 1) ** 2
        corrected = variance - of_plain_mean + of_mean
        return np.where(of_mean > 0, np.maximum(corrected, of_mean), variance)

    @cached_property
    def _image_of_corrected(self):
        """`variance_of_corrected` as an image, float32 (ny, nx); 0 elsewhere."""
        where, variance = self.variance_of_corrected
        image = np.zeros(self.exposures.shape, dtype=np.float32)
        image[where] = variance
        return image

    @property
    def variance_of_corrected(self):
        """Pixels in which `correction` is added to the mean of the clean values, and the variances of the sums."""
        where, masked = self._corrected
        return where, self.means[2][masked]


def _not_zero(probability):
    """True where a probability is not 0. In half precision, its bits are compared much faster than its values."""
    return (probability.view(np.uint16) if probability.dtype == np.float16 else probability) != 0
