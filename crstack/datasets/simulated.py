"""Simulated exposures with their truth."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.datasets._checks import (
    electrons_of,
)
from crstack.datasets._random import NOISE_STREAM, generator
from crstack.datasets.scenes import SCENES
from crstack.noise import GAIN_UNIT, NoiseModel
from crstack.utils.cached import cached_property
from crstack.utils.validation import check_integer, check_number, check_quantity

__all__ = ["SimulatedStack"]

EXPOSURE_TIME = 1800.0  # seconds
READ_OUT = 60.0  # seconds between two exposures
START = datetime(2024, 3, 12, 1, 30)


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedStack:
    """Exposures of one scene, with their truth.

    Made by `make_stack`. ``stack.gain``, ``stack.readnoise`` and ``stack.bias`` are the arguments of
    `~crstack.stack.CRStack`.

    Attributes
    ----------
    exposures : list of `~astropy.nddata.CCDData`
        N images (ny, nx), float32, in ``unit``, with header and WCS.
    expected : `~numpy.ndarray`
        (N, ny, nx) float32 expected signal in ``unit``, without hits and bias; read-only.
    hits : `~numpy.ndarray`
        (N, ny, nx) float32 charge of the hits in ``unit``, before any saturation; read-only.
    gain, readnoise : `~astropy.units.Quantity`
        As given.
    bias : `~astropy.units.Quantity`
        In ``unit``.
    saturation : `~astropy.units.Quantity` or None
        As given.
    unit : `~astropy.units.Unit`
        ADU or electrons.
    scene : str
        Name of the scene.
    seed, noise_seed : int
        Seeds of the scene and the hits, and of the noise.
    hit_rate : float
        Requested fraction of hit pixels.
    population : str
        Name of the population of hits.
    flux_factors : tuple of float
        N factors of the expected signal.
    sky_factors : tuple of float
        N factors of the sky alone.
    offsets : tuple of tuple of float
        N shifts (dx, dy) in pixels from the common scene to the exposure.
    seeing : tuple of float or None
        N widths (FWHM, pixels) of stars, traces or fibres; None for the scene's own.
    with_uncertainty : bool
        Whether the exposures carry the variance of their noise.
    """

    scene: str
    seed: int
    noise_seed: int
    hit_rate: float
    population: str
    flux_factors: tuple
    sky_factors: tuple
    offsets: tuple
    seeing: tuple | None
    unit: u.UnitBase
    gain: u.Quantity
    readnoise: u.Quantity
    bias: u.Quantity
    saturation: u.Quantity | None
    with_uncertainty: bool
    _electrons: np.ndarray
    _hit_electrons: np.ndarray
    exposures: list = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "exposures", self._noisy_exposures())

    def __repr__(self):
        def show(quantity):
            return f"image {quantity.shape} {quantity.unit}" if quantity.ndim else str(quantity)

        n, ny, nx = self._electrons.shape
        return (
            f"<SimulatedStack: {n} exposures of {ny} x {nx} pixels in {self.unit}, scene={self.scene!r}, "
            f"hit_rate={self.hit_rate:g}, population={self.population!r}, "
            f"seed={self.seed}, noise_seed={self.noise_seed}, "
            f"gain={show(self.gain)}, readnoise={show(self.readnoise)}, bias={show(self.bias)}>"
        )

    def __len__(self):
        return len(self._electrons)

    @cached_property
    def expected(self):
        """Expected signal (N, ny, nx) in the unit of the exposures, without hits and bias."""
        return self._in_unit(self._electrons)

    @cached_property
    def hits(self):
        """Charge (N, ny, nx) of the hits in the unit of the exposures."""
        return self._in_unit(self._hit_electrons)

    @property
    def truth(self):
        """Pixels (N, ny, nx) with any charge of a hit: True where ``hits > 0``."""
        return self._hit_electrons > 0

    @property
    def noise(self):
        """The `~crstack.noise.NoiseModel` of one exposure."""
        return NoiseModel(gain=self.gain, readnoise=self.readnoise, unit=self.unit)

    def hit_mask(self, n_sigma: float) -> np.ndarray:
        """Find the pixels whose hit exceeds the noise.

        Parameters
        ----------
        n_sigma : float
            Least charge, in standard deviations of one exposure at its expected signal.

        Returns
        -------
        mask : `~numpy.ndarray`
            (N, ny, nx) bool, True where the charge of the hit exceeds it.

        Raises
        ------
        InputError
            If ``n_sigma`` is not a number of at least 0.
        """
        n_sigma = check_number("n_sigma", n_sigma, minimum=0)
        return self.hits > n_sigma * np.sqrt(self.noise.variance(self.expected))

    def realisation(self, noise_seed: int) -> "SimulatedStack":
        """Draw new noise.

        Parameters
        ----------
        noise_seed : int
            At least 0. `make_stack` uses 0.

        Returns
        -------
        stack : SimulatedStack
            The same scene and hits with other noise; shares the arrays of truth.

        Raises
        ------
        InputError
            If ``noise_seed`` is not an integer of at least 0.
        """
        new = replace(self, noise_seed=check_integer("noise_seed", noise_seed, minimum=0))
        for name in ("expected", "hits"):
            if name in self.__dict__:
                new.__dict__[name] = self.__dict__[name]
        return new

    def _in_unit(self, electrons):
        """Values in the unit of the exposures."""
        if self.unit == u.electron:
            return electrons
        values = electrons / check_quantity("gain", self.gain, GAIN_UNIT)
        values.flags.writeable = False
        return values

    def _noisy_exposures(self):
        """The exposures with noise, hits, bias and saturation, as CCDData."""
        noise = NoiseModel(gain=self.gain, readnoise=self.readnoise, unit=u.electron)
        bias = check_quantity("bias", self.bias, self.unit)
        ceiling = None if self.saturation is None else electrons_of("saturation", self.saturation, self.gain)
        exposures = []
        for i, expected in enumerate(self._electrons):
            electrons = noise.sample(expected, generator(self.seed, NOISE_STREAM, self.noise_seed, i))
            electrons += self._hit_electrons[i]
            if ceiling is not None:
                np.minimum(electrons, ceiling, out=electrons)
            exposures.append(self._as_ccd(i, self._in_unit(electrons) + bias))
        return exposures

    def _as_ccd(self, i, data):
        """Values of exposure ``i`` with header, world coordinates and uncertainty."""
        wcs = SCENES[self.scene].make_wcs(data.shape)
        wcs.wcs.crpix += self.offsets[i]
        uncertainty = None
        if self.with_uncertainty:
            uncertainty = VarianceUncertainty(self.noise.variance(self.expected[i]))
        return CCDData(data, unit=self.unit, meta=self._header(i), wcs=wcs, uncertainty=uncertainty)

    def _header(self, i):
        """Header of exposure ``i``."""
        scene = SCENES[self.scene]
        header = fits.Header()
        start = START + i * timedelta(seconds=EXPOSURE_TIME + READ_OUT)
        header["OBJECT"] = (scene.target, "name of the target")
        header["OBSTYPE"] = ("OBJECT", "type of exposure")
        header["TELESCOP"] = ("crstack.datasets", "simulated")
        header["INSTRUME"] = (scene.instrument, "instrument")
        header["DATE-OBS"] = (start.isoformat(timespec="milliseconds"), "UTC at the start")
        header["EXPTIME"] = (EXPOSURE_TIME, "[s] exposure time")
        header["EXPNUM"] = (i + 1, "number of the exposure in its set")
        header["NEXP"] = (len(self), "exposures in the set")
        for key, value, comment in (("GAIN", self.gain, "gain"), ("RDNOISE", self.readnoise, "read noise")):
            if value.ndim == 0:
                header[key] = (float(value.value), f"[{value.unit}] {comment}")
        header["SIMSEED"] = (self.seed, "seed of the scene and the hits")
        header["SIMNOISE"] = (self.noise_seed, "seed of the noise")
        return header
