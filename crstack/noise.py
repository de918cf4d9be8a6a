"""The noise of an exposure: its variance and samples of it."""

from dataclasses import dataclass, field, replace

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.utils.adu import named_adu
from crstack.utils.photons import PhotonDistribution
from crstack.utils.validation import check_number, check_quantity
from crstack.utils.words import unit_words

__all__ = ["GAIN_UNIT", "NoiseModel"]

GAIN_UNIT = u.electron / u.adu


@dataclass(frozen=True, eq=False, repr=False)
class NoiseModel:
    """Photon noise and read noise of an image, bias subtracted.

    The variance at an expected signal s, in ``unit``, is ``s / gain + readnoise**2`` with negative s counted as 0 (the
    read noise in ``unit`` too). With an ``nbinom_shape`` kappa the photons follow a negative binomial distribution, of
    variance ``s + s**2 / kappa`` in electrons. An image of variances, ``known_variance``, replaces this formula.

    Parameters
    ----------
    gain : `~astropy.units.Quantity`, optional
        Electrons per ADU, scalar or image (ny, nx). Needed where ``unit`` is
        ADU; images in electrons use it only to convert a read noise in ADU.
        ``astropy.units.count`` and ``astropy.units.DN`` are other names of ADU.
    readnoise : `~astropy.units.Quantity`
        In electrons (ADU are converted), scalar or image (ny, nx).
    unit : `~astropy.units.Unit`, optional
        Unit of the images this noise belongs to: ADU or electrons.
    nbinom_shape : float, optional
        Shape kappa of the negative binomial distribution; Poisson if not given.
    known_variance : `~numpy.ndarray`, optional
        Variance (ny, nx) of the image in ``unit**2``, used in place of the model.
    n_averaged : float, optional
        The image is a mean of this many exposures. A number between two integers describes an average of lower
        efficiency, such as a median.
    scale : float or `~numpy.ndarray`, optional
        The image has been divided by this; `divided_by` sets it.

    Raises
    ------
    InputError
        If a value is a bare number, has a wrong unit or is out of range.

    Notes
    -----
    A mean of n exposures behaves as one exposure of n times the gain and
    sqrt(n) times the read noise in electrons; `averaged` uses that.

    Examples
    --------
    >>> import astropy.units as u
    >>> from crstack import NoiseModel
    >>> noise = NoiseModel(gain=2 * u.electron / u.adu, readnoise=6 * u.electron)
    >>> noise.variance(100.0).item()
    59.0
    """

    gain: u.Quantity | None = None
    readnoise: u.Quantity | None = None
    unit: u.UnitBase = u.adu
    nbinom_shape: float | None = None
    known_variance: np.ndarray | None = None
    n_averaged: float = 1.0
    scale: float | np.ndarray = 1.0
    _gain: float | np.ndarray = field(init=False, default=1.0)
    _readnoise: float | np.ndarray = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        unit = u.Unit(self.unit)
        if unit not in (u.adu, u.electron):
            raise InputError(f"unit must be adu or electron; got {unit_words(unit)}")
        for name in ("gain", "readnoise"):
            object.__setattr__(self, name, named_adu(getattr(self, name)))
        gain = None
        if self.gain is not None:
            gain = check_quantity("gain", self.gain, GAIN_UNIT, minimum=0, exclusive=True)
        elif unit == u.adu:
            raise InputError("gain must be given for exposures in ADU, such as 2.5 * u.electron / u.adu; got None")
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "_readnoise", self._readnoise_in_electrons(gain))
        object.__setattr__(self, "_gain", gain if unit == u.adu else 1.0)
        if self.nbinom_shape is not None:
            check_number("nbinom_shape", self.nbinom_shape, minimum=0, exclusive=True)

    def _readnoise_in_electrons(self, gain):
        """The checked read noise in electrons."""
        if self.readnoise is None:
            raise InputError("readnoise must be given, such as 5 * u.electron; got None")
        if isinstance(self.readnoise, u.Quantity) and self.readnoise.unit == u.adu:
            if gain is None:
                raise InputError("readnoise must be in electron where no gain is given; got adu")
            return check_quantity("readnoise", self.readnoise, u.adu, minimum=0) * gain
        return check_quantity("readnoise", self.readnoise, u.electron, minimum=0)

    def __repr__(self) -> str:
        def show(value):
            return f"{value:.6g}" if np.ndim(value) == 0 else f"image {np.shape(value)}"

        parts = [f"gain={show(self.electrons_per_unit)}", f"readnoise={show(self.readnoise_electrons)} electron"]
        parts.append(f"unit={self.unit}")
        if self.nbinom_shape is not None:
            parts.append(f"nbinom_shape={self.nbinom_shape:g}")
        if self.known_variance is not None:
            parts.append("known_variance")
        return f"NoiseModel({', '.join(parts)})"

    @property
    def electrons_per_unit(self) -> float | np.ndarray:
        """Electrons per unit of the image: float or float32 image."""
        return self._gain * self.scale * self.n_averaged

    @property
    def readnoise_electrons(self) -> float | np.ndarray:
        """Read noise in electrons, on the scale of `electrons_per_unit`."""
        return self._readnoise * np.sqrt(self.n_averaged)

    @property
    def readnoise_in_unit(self) -> float | np.ndarray:
        """Read noise of the image in its own unit: float or float32 image."""
        return self.readnoise_electrons / self.electrons_per_unit

    def averaged(self, n: float) -> "NoiseModel":
        """Return the noise of a mean of ``n`` exposures that each have this noise.

        Parameters
        ----------
        n : float
            Number of exposures. It need not be whole: the median of N exposures has the noise of fewer.

        Returns
        -------
        noise : NoiseModel
            The noise of the mean.
        """
        known = None if self.known_variance is None else self.known_variance / np.float32(n)
        return replace(self, n_averaged=self.n_averaged * float(n), known_variance=known)

    def divided_by(self, scale: float | np.ndarray) -> "NoiseModel":
        """Return the noise of the image divided by ``scale``, a positive number or image (ny, nx).

        The number of electrons does not change. The gain is multiplied by the scale, the read noise in electrons is
        the same, and a known variance is divided by the square of the scale.

        Parameters
        ----------
        scale : float or `~numpy.ndarray`
            The divisor.

        Returns
        -------
        noise : NoiseModel
            The noise of the quotient.
        """
        known = None if self.known_variance is None else self.known_variance / np.square(scale, dtype=np.float32)
        return replace(self, scale=self.scale * scale, known_variance=known)

    def with_known_variance(self, variance: np.ndarray | None) -> "NoiseModel":
        """Return this noise with an image of variances (``unit**2``) in place of the model.

        Parameters
        ----------
        variance : `~numpy.ndarray` or None
            (ny, nx); None for the model.

        Returns
        -------
        noise : NoiseModel
            With the variances.
        """
        return replace(self, known_variance=variance)

    def with_more_variance(self, electrons2: float) -> "NoiseModel":
        """Return this noise with a variance added to that of the read noise.

        Parameters
        ----------
        electrons2 : float
            In electrons squared, for one exposure.

        Returns
        -------
        noise : NoiseModel
            With a larger read noise.
        """
        return replace(self, readnoise=np.sqrt(self._readnoise**2 + electrons2) * u.electron)

    def with_nbinom_shape(self, nbinom_shape: float | None) -> "NoiseModel":
        """Return this noise with photons of a negative binomial distribution of that shape; None for Poisson.

        Parameters
        ----------
        nbinom_shape : float or None
            Shape kappa: the variance is s + s**2 / kappa, in electrons.

        Returns
        -------
        noise : NoiseModel
            With that distribution.
        """
        return replace(self, nbinom_shape=nbinom_shape)

    def cutout(self, rows: slice | tuple[slice | np.ndarray, ...]) -> "NoiseModel":
        """Return the noise of some rows (a slice), or of some pixels (slices or indices of rows and columns).

        Parameters
        ----------
        rows : slice or tuple of slice or `~numpy.ndarray`
            Rows, or rows and columns.

        Returns
        -------
        noise : NoiseModel
            With images of the part, where there are images.
        """

        values = {name: getattr(self, name) for name in ("gain", "readnoise", "known_variance", "scale")}
        images = {name: value[rows] for name, value in values.items() if np.ndim(value)}
        # a new model would check its numbers again
        return replace(self, **images) if images else self

    @property
    def is_uniform(self) -> bool:
        """Whether gain and read noise are scalars and no variance image is known."""
        numbers = (self._gain, self._readnoise, self.scale)
        return self.known_variance is None and all(np.ndim(number) == 0 for number in numbers)

    def variance(self, expected: np.ndarray | float) -> np.ndarray:
        """Variance of the image at the ``expected`` signal.

        Parameters
        ----------
        expected : array_like
            Expected signal in `unit`, bias subtracted; any shape that
            broadcasts with the gain and the read noise.

        Returns
        -------
        variance : `~numpy.ndarray`
            In ``unit**2``; float32 for float32 input.
        """
        expected = np.asarray(expected)
        if self.known_variance is not None:
            shape = np.broadcast_shapes(np.shape(self.known_variance), expected.shape)
            return np.broadcast_to(self.known_variance, shape).copy()
        signal = np.maximum(expected, 0)
        variance = signal / self.electrons_per_unit + self.readnoise_in_unit**2
        if self.nbinom_shape is not None:
            variance += signal**2 / (self.nbinom_shape * self.n_averaged)
        return variance.astype(np.result_type(expected.dtype, np.float32), copy=False)

    def sample(self, expected: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
        """Draw one noisy image.

        Parameters
        ----------
        expected : `~numpy.ndarray`
            Expected signal in `unit`, bias subtracted; negatives count as 0.
        rng : `~numpy.random.Generator`
            Source of the random numbers.

        Returns
        -------
        image : `~numpy.ndarray`
            Noisy image, float32 of the shape of ``expected``, in `unit`.
        """
        expected = np.asarray(expected)
        normal = rng.standard_normal(expected.shape, dtype=np.float32)
        if self.known_variance is not None:
            return np.maximum(expected, 0) + normal * np.sqrt(self.known_variance, dtype=np.float32)
        electrons = np.maximum(expected, 0) * self.electrons_per_unit
        photons = self.photons(electrons, rng)
        return ((photons + normal * self.readnoise_electrons) / self.electrons_per_unit).astype(np.float32)

    def photons(self, electrons: np.ndarray | float, rng: np.random.Generator) -> np.ndarray:
        """Draw photon counts of an expected number of ``electrons`` (>= 0).

        Parameters
        ----------
        electrons : `~numpy.ndarray` or float
            Expected number.
        rng : `~numpy.random.Generator`
            Source of the random numbers.

        Returns
        -------
        counts : `~numpy.ndarray`
            Numbers of electrons, of the shape of ``electrons``.
        """
        if self.nbinom_shape is None:
            return rng.poisson(electrons)
        return rng.negative_binomial(*self._nbinom(electrons))

    def photon_distribution(self, electrons: float) -> PhotonDistribution:
        """Distribution of the photon counts at one expected number of ``electrons`` (>= 0).

        Parameters
        ----------
        electrons : float
            Expected number.

        Returns
        -------
        distribution : PhotonDistribution
            Poisson or negative binomial.
        """
        return PhotonDistribution(electrons, None if self.nbinom_shape is None else self._nbinom(electrons))

    def _nbinom(self, electrons):
        kappa = self.nbinom_shape * self.n_averaged
        return kappa, kappa / (kappa + electrons)
