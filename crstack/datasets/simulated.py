"""Sets of exposures, drawn from a scene and its hits."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty

from crstack.datasets._checks import (
    bias_in_unit,
    check_backgrounds,
    check_detector,
    check_factors,
    check_offsets,
    check_seeing,
    check_shape,
    check_unit,
    electrons_of,
)
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.datasets.scenes import SCENES, smooth_field
from crstack.noise import GAIN_UNIT, NoiseModel
from crstack.utils.cached import cached_property
from crstack.utils.validation import check_boolean, check_choice, check_integer, check_number, check_quantity

__all__ = ["SimulatedStack", "make_stack"]

EXPOSURE_TIME = 1800.0  # seconds
READ_OUT = 60.0  # seconds between two exposures
START = datetime(2024, 3, 12, 1, 30)

# One stream of random numbers per purpose: a change in one leaves the others alone.
SCENE_STREAM, HIT_STREAM, RESPONSE_STREAM, NOISE_STREAM = range(4)


def _generator(seed, *stream):
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=stream))


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
        object.__setattr__(self, "exposures", self._draw())

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
        """Pixels whose hit exceeds the noise.

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
        if self.unit == u.electron:
            return electrons
        values = electrons / check_quantity("gain", self.gain, GAIN_UNIT)
        values.flags.writeable = False
        return values

    def _draw(self):
        noise = NoiseModel(gain=self.gain, readnoise=self.readnoise, unit=u.electron)
        bias = check_quantity("bias", self.bias, self.unit)
        ceiling = None if self.saturation is None else electrons_of("saturation", self.saturation, self.gain)
        exposures = []
        for i, expected in enumerate(self._electrons):
            electrons = noise.sample(expected, _generator(self.seed, NOISE_STREAM, self.noise_seed, i))
            electrons += self._hit_electrons[i]
            if ceiling is not None:
                np.minimum(electrons, ceiling, out=electrons)
            exposures.append(self._wrap(i, self._in_unit(electrons) + bias))
        return exposures

    def _wrap(self, i, data):
        wcs = SCENES[self.scene].make_wcs(data.shape)
        wcs.wcs.crpix += self.offsets[i]
        uncertainty = None
        if self.with_uncertainty:
            uncertainty = VarianceUncertainty(self.noise.variance(self.expected[i]))
        return CCDData(data, unit=self.unit, meta=self._header(i), wcs=wcs, uncertainty=uncertainty)

    def _header(self, i):
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


def make_stack(
    scene: Literal["ifu", "imaging", "slit", "echelle"] = "ifu",
    shape: tuple[int, int] = (600, 700),
    n_exposures: int = 3,
    *,
    gain: u.Quantity = 1.0 * u.electron / u.adu,
    readnoise: u.Quantity = 3.4 * u.electron,
    bias: u.Quantity = 0 * u.adu,
    unit: u.UnitBase | str = u.adu,
    hit_rate: float = 0.008,
    population: Literal["cosmic", "thin", "worms", "single", "mixed"] = "cosmic",
    flux_factors: Sequence[float] | None = None,
    sky_factors: Sequence[float] | None = None,
    backgrounds: Sequence[u.Quantity] | None = None,
    offsets: Sequence[tuple[float, float]] | None = None,
    seeing: Sequence[float] | None = None,
    response_jitter: float = 0.0,
    seed: int = 0,
    saturation: u.Quantity | None = None,
    with_uncertainty: bool = False,
) -> SimulatedStack:
    """Simulate exposures with cosmic rays and known truth.

    Parameters
    ----------
    scene : {'ifu', 'imaging', 'slit', 'echelle'}
        Fibre spectra with sky lines; stars and galaxies on a sky of 100
        electrons; a long-slit spectrum of three sources with sky lines; or the curved orders of an
        echelle spectrum.
    shape : tuple of int
        (ny, nx) of one exposure.
    n_exposures : int
        Number N of exposures.
    gain : `~astropy.units.Quantity`
        Electrons per ADU, scalar or image (ny, nx).
    readnoise : `~astropy.units.Quantity`
        In electrons or ADU, scalar or image (ny, nx).
    bias : `~astropy.units.Quantity`
        Level added to every exposure, scalar or image (ny, nx), in ADU or
        electrons; the gain converts it to ``unit``.
    unit : `~astropy.units.Unit`
        Unit of the exposures: ADU or electrons.
    hit_rate : float
        Fraction (0 to 0.5) of the pixels of each exposure to which hits add more than
        1 electron, met to about 10 % or 6 pixels, whichever is more. The hits of different
        exposures are independent, so that they coincide in two given exposures at a
        rate of ``hit_rate**2``.
    population : {'cosmic', 'thin', 'worms', 'single', 'mixed'}
        Hits of a thick detector (straight tracks, winding tracks and points, with diffusion); straight tracks one
        pixel wide of 100 to 300 electrons in each pixel; winding tracks three pixels wide; single
        pixels with a power law of charges from 20 to 20 000 electrons; or all of these.
    flux_factors : sequence of float, optional
        N positive factors of the expected signal, without the backgrounds.
    sky_factors : sequence of float, optional
        N positive factors of the sky: its level in images, its lines and continuum in spectra.
    backgrounds : sequence of `~astropy.units.Quantity`, optional
        N levels or images (ny, nx), in electrons or ADU, that are added to the expected signal.
    offsets : sequence of (float, float), optional
        N shifts (dx, dy) in pixels from the common scene to the exposure. The scene extends 30 pixels outside the
        frame.
    seeing : sequence of float, optional
        N widths (FWHM in pixels, 0.5 to 20) of the stars, of the traces across the dispersion, or of the images of the
        fibres. Their flux is the same in all exposures. The scene's own width if not given.
    response_jitter : float
        Standard deviation of a random factor of the expected signal, smooth
        along the fibres or traces and different in each exposure.
    seed : int
        Seed of all random numbers. Scene and hits, in electrons, depend on it alone, not on the gain, the bias, the
        unit and the noise.
    saturation : `~astropy.units.Quantity`, optional
        Level, bias subtracted, in electrons or ADU, at which pixels are cut off.
    with_uncertainty : bool
        Give the exposures the variance of their noise at the expected signal.

    Returns
    -------
    stack : SimulatedStack
        The exposures and their truth.

    Raises
    ------
    InputError
        If an argument is not as described above.

    Notes
    -----
    The photons of the scene have Poisson noise, the read noise is Gaussian, and the charge of a hit has no noise.
    Values are not rounded to whole ADU. Exposures in ADU are those in electrons of the same seed, divided by the gain,
    plus the bias. Charge of a hit below 0.05 electrons in a pixel is dropped.

    Examples
    --------
    >>> from crstack.datasets import make_stack
    >>> stack = make_stack("slit", shape=(60, 80), seed=1)
    >>> len(stack.exposures), stack.exposures[0].unit
    (3, Unit("adu"))
    >>> stack.truth.shape
    (3, 60, 80)
    >>> again = stack.realisation(1)
    >>> bool((again.hits == stack.hits).all())
    True
    """
    check_choice("scene", scene, tuple(SCENES))
    shape = check_shape(shape)
    n_exposures = check_integer("n_exposures", n_exposures, minimum=1)
    seed = check_integer("seed", seed, minimum=0)
    hit_rate = check_number("hit_rate", hit_rate, minimum=0, maximum=0.5)
    jitter = check_number("response_jitter", response_jitter, minimum=0)
    factors = check_factors("flux_factors", flux_factors, n_exposures)
    check_choice("population", population, tuple(POPULATIONS))
    sky = check_factors("sky_factors", sky_factors, n_exposures)
    shifts = check_offsets(offsets, n_exposures)
    widths = check_seeing(seeing, n_exposures)
    unit = check_unit(unit)
    check_detector(gain, readnoise, saturation, shape)
    added = check_backgrounds(backgrounds, n_exposures, gain, shape)
    settings = factors, shifts, sky, widths or (None,) * n_exposures
    electrons = _expected_electrons(scene, shape, settings, added, jitter, seed)
    hits = _hit_electrons(shape, n_exposures, hit_rate, population, seed)
    electrons.flags.writeable = hits.flags.writeable = False
    return SimulatedStack(
        scene=scene,
        seed=seed,
        noise_seed=0,
        hit_rate=hit_rate,
        population=population,
        flux_factors=factors,
        sky_factors=sky,
        offsets=shifts,
        seeing=widths,
        unit=unit,
        gain=gain,
        readnoise=readnoise,
        bias=bias_in_unit(bias, gain, unit, shape),
        saturation=saturation,
        with_uncertainty=check_boolean("with_uncertainty", with_uncertainty),
        _electrons=electrons,
        _hit_electrons=hits,
    )


def _hit_electrons(shape, n_exposures, hit_rate, population, seed):
    """Charge of the hits (N, ny, nx) in electrons, float32."""
    generators = [_generator(seed, HIT_STREAM, i) for i in range(n_exposures)]
    return np.stack([make_hits(shape, hit_rate, generator, population) for generator in generators])


def _expected_electrons(name, shape, settings, backgrounds, jitter, seed):
    """Expected signal (N, ny, nx) of the exposures in electrons, float32.

    ``settings`` are factors, offsets, factors of the sky and seeing, of each exposure; ``backgrounds`` are added to
    each.
    """
    scene = SCENES[name]
    render = scene.build(shape, _generator(seed, SCENE_STREAM))
    settings = list(zip(*settings, strict=True))
    rendered = {one[1:]: render(*one[1], *one[2:]) for one in settings}
    electrons = np.empty((len(settings), *shape), dtype=np.float32)
    for i, (factor, *others) in enumerate(settings):
        electrons[i] = factor * rendered[tuple(others)]
        if jitter > 0:
            response = 1 + jitter * smooth_field(shape, scene.smoothness, _generator(seed, RESPONSE_STREAM, i))
            electrons[i] *= np.maximum(response, 0)
        electrons[i] += backgrounds[i]
    return electrons
