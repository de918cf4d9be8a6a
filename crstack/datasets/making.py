"""Makes simulated exposures: draws a scene and its hits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import astropy.units as u
import numpy as np

from crstack.datasets._checks import (
    bias_in_unit,
    check_backgrounds,
    check_detector,
    check_factors,
    check_offsets,
    check_seeing,
    check_shape,
    check_unit,
)
from crstack.datasets._random import HIT_STREAM, RESPONSE_STREAM, SCENE_STREAM, generator
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.datasets.scenes import SCENES, smooth_field
from crstack.datasets.simulated import SimulatedStack
from crstack.utils.validation import check_boolean, check_choice, check_integer, check_number

__all__ = ["make_stack"]


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
        Kind of hits. "cosmic": those of a thick detector, with straight tracks, winding tracks and points, and with
        diffusion. "thin": straight tracks one pixel wide, of 100 to 300 electrons in each pixel. "worms": winding
        tracks three pixels wide. "single": single pixels with a power law of charges from 20 to 20 000 electrons.
        "mixed": all of these.
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
    check_choice("population", population, tuple(POPULATIONS))
    shape = check_shape(shape)
    n_exposures = check_integer("n_exposures", n_exposures, minimum=1)
    seed = check_integer("seed", seed, minimum=0)
    hit_rate = check_number("hit_rate", hit_rate, minimum=0, maximum=0.5)
    unit = check_unit(unit)
    check_detector(gain, readnoise, saturation, shape)
    differences = _Differences(
        flux_factors=check_factors("flux_factors", flux_factors, n_exposures),
        sky_factors=check_factors("sky_factors", sky_factors, n_exposures),
        backgrounds=check_backgrounds(backgrounds, n_exposures, gain, shape),
        offsets=check_offsets(offsets, n_exposures),
        seeing=check_seeing(seeing, n_exposures),
        jitter=check_number("response_jitter", response_jitter, minimum=0),
    )
    electrons = _expected_electrons(scene, shape, differences, seed)
    hits = _hit_electrons(shape, n_exposures, hit_rate, population, seed)
    electrons.flags.writeable = hits.flags.writeable = False
    return SimulatedStack(
        scene=scene,
        seed=seed,
        noise_seed=0,
        hit_rate=hit_rate,
        population=population,
        flux_factors=differences.flux_factors,
        sky_factors=differences.sky_factors,
        offsets=differences.offsets,
        seeing=differences.seeing,
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
    generators = [generator(seed, HIT_STREAM, i) for i in range(n_exposures)]
    return np.stack([make_hits(shape, hit_rate, one, population) for one in generators])


@dataclass(frozen=True)
class _Differences:
    """What differs between the exposures: checked arguments of `make_stack`, with backgrounds in electrons."""

    flux_factors: tuple
    sky_factors: tuple
    backgrounds: tuple
    offsets: tuple
    seeing: tuple | None
    jitter: float

    def of_scenes(self):
        """Offset, factor of the sky and seeing of each exposure: exposures alike in these show the same scene."""
        return list(zip(self.offsets, self.sky_factors, self.seeing or (None,) * len(self.offsets), strict=True))


def _expected_electrons(name, shape, differences, seed):
    """Expected signal (N, ny, nx) of the exposures in electrons, float32."""
    scene, scenes = SCENES[name], differences.of_scenes()
    render = scene.build(shape, generator(seed, SCENE_STREAM))
    rendered = {one: render(*one[0], *one[1:]) for one in scenes}
    electrons = np.empty((len(scenes), *shape), dtype=np.float32)
    for i, one in enumerate(scenes):
        electrons[i] = differences.flux_factors[i] * rendered[one]
        if differences.jitter > 0:
            smooth = smooth_field(shape, scene.smoothness, generator(seed, RESPONSE_STREAM, i))
            electrons[i] *= np.maximum(1 + differences.jitter * smooth, 0)
        electrons[i] += differences.backgrounds[i]
    return electrons
