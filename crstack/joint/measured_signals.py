"""The signals that the values of a stack measure."""

from dataclasses import dataclass

import numpy as np

from crstack.joint.cubes import taken
from crstack.joint.predicted_signal import clean_places, places_around
from crstack.joint.unlike_noise import UnlikeNoise
from crstack.utils.memory import empty_image
from crstack.utils.threads import PIXELS_IN_CACHE, map_threads, row_bands

__all__ = ["MeasuredSignals"]


@dataclass(frozen=True, eq=False)
class MeasuredSignals:
    """The signals that the values of a stack measure, and their noise.

    Attributes
    ----------
    levels : `~numpy.ndarray`
        (N, ny, nx) the signal that each value represents, electrons.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    widest : float
        Pixels whose values span more than this number of standard deviations do not agree. If one value of three is
        hit, the median is the higher of the two clean values.
    unlike : UnlikeNoise or None
        The noise of groups of exposures, if it is not alike. The signal is then that of the group of least noise.
    bad : `~numpy.ndarray` of bool or None
        (N, ny, nx) values without information, which those of other exposures replace in ``levels``.
    clean : `~numpy.ndarray` or None
        (N, ny, nx) like ``levels``, but without the hits that were found so far. The pixels around are read here.
    slope : float or None
        Variance of the photons over the signal, see `~crstack.joint.even_noise.even_noise`.
    """

    levels: np.ndarray
    sigma: np.ndarray
    widest: float = np.inf
    unlike: UnlikeNoise | None = None
    bad: np.ndarray | None = None
    clean: np.ndarray | None = None
    slope: float | None = 1.0

    @classmethod
    def of(cls, counts, sigma, widest, unlike=None, clean=None):
        """The signals of some `~crstack.joint.counts.Counts`; the other parameters are the attributes."""
        slope = counts.photon_variance_per_level(None if unlike is None else list(unlike.groups[0]))
        return cls(counts.level_cube, sigma, widest, unlike, counts.bad, clean, slope)

    @property
    def _best(self):
        """The exposures whose values give the signal."""
        return slice(None) if self.unlike is None else list(self.unlike.groups[0])

    @property
    def _noise(self):
        """Their noise (ny, nx)."""
        return self.sigma if self.unlike is None else self.unlike.levels[0]

    def agreeing(self, most):
        """Pixels all over the image whose values agree.

        Parameters
        ----------
        most : int
            Approximate largest number of pixels.

        Returns
        -------
        values, noise : `~numpy.ndarray`
            (N, M) signals of the exposures of least noise, and (M,) their noise.
        places : `~numpy.ndarray`
            (M,) places of the pixels in the flattened image, ascending.
        """
        shape = self.sigma.shape
        places = np.arange(0, self.sigma.size, max(self.sigma.size // most, 1))
        if self.bad is not None:
            # one good value agrees with itself, also if it is hit
            known = taken(lambda one: np.count_nonzero(~self.bad[:, *one], axis=0), places, shape)
            places = places[known >= 2]
        values = taken(lambda one: self.levels[:, *one], places, shape)
        noise = taken(lambda one: self._noise[one], places, shape)
        if self.unlike is None:
            agree = values.max(axis=0) - values.min(axis=0) <= self.widest * noise
        else:
            agree = self.unlike.agree(values, places, self.widest)
        return values[self._best][:, agree], noise[agree], places[agree]

    def places(self, coordinate):
        """Signal (ny, nx) of the clean values of each pixel, see `~crstack.joint.predicted_signal.clean_places`."""
        read = _Chosen(self.levels if self.clean is None else self.clean, self._best)
        unknown = None if self.bad is None else _Chosen(self.bad, self._best)
        image = empty_image(self.sigma.shape)

        def work(rows):
            bad = None if unknown is None else unknown[:, rows]
            image[rows] = clean_places(read[:, rows], self._noise[rows], coordinate, bad)

        map_threads(work, row_bands(*image.shape, PIXELS_IN_CACHE))
        return image

    def around(self, pixels, places, weights=None):
        """What the pixels around some pixels predict, see `~crstack.joint.predicted_signal.places_around`.

        Parameters
        ----------
        pixels : `~numpy.ndarray`
            (M,) ascending places of the pixels in the flattened image.
        places : `~numpy.ndarray`
            (ny, nx) the `places` in a coordinate of even noise.
        weights : `~numpy.ndarray`, optional
            (K,) weights of the predictors.

        Returns
        -------
        around : `~numpy.ndarray`
            (K, M) predictors, or (M,) their weighted sum.
        """

        def of(where):
            found = places_around(places, where, self.bad is None)
            return found if weights is None else weights @ found

        return taken(of, pixels, places.shape)


@dataclass(frozen=True)
class _Chosen:
    """Some of the exposures of a cube, chosen where its values are read."""

    cube: np.ndarray
    which: slice | list[int]

    def __getitem__(self, key):
        return self.cube[key][self.which]
