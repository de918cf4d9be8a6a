"""Simulated pixels of a stack whose gain and read noise take a few values."""

import astropy.units as u
import numpy as np

from crstack.noise import GAIN_UNIT, NoiseModel
from crstack.simulation.level_sampler import LevelSampler
from crstack.simulation.noise_scale import NoiseScale

__all__ = ["AmplifierSampler", "amplifiers"]

#: more pairs of gain and read noise than this are not treated as amplifiers
MOST_AMPLIFIERS = 16
#: number of pixels in which the pairs are counted first
GLANCE = 20_000


def amplifiers(noise, shape):
    """The amplifiers of the detector, identified by their gain and read noise.

    Parameters
    ----------
    noise : NoiseModel
        With gain, read noise or both as images.
    shape : tuple of int
        (ny, nx).

    Returns
    -------
    found : list of (`~numpy.ndarray` of bool, float, float), or None
        Pixels, electrons per unit and read noise in electrons of each; None where
        there are too many for amplifiers, or the variances are known.
    """
    if noise.known_variance is not None:
        return None
    images = [np.broadcast_to(value, shape) for value in (noise.electrons_per_unit, noise.readnoise_electrons)]
    step = max(1, images[0].size // GLANCE)
    pairs = np.unique(np.stack([image.ravel()[::step] for image in images], axis=1), axis=0)
    if len(pairs) > MOST_AMPLIFIERS:
        return None
    found = [((images[0] == gain) & (images[1] == rn), float(gain), float(rn)) for gain, rn in pairs]
    # the first count may miss pairs of a few pixels: count them all
    return found if sum(map(np.count_nonzero, (where for where, _, _ in found))) == images[0].size else None


class AmplifierSampler:
    """Draws level by level for each amplifier, in the coordinates of a typical pixel.

    Parameters
    ----------
    expected : `~numpy.ndarray`
        (ny, nx) expected signal in the unit of the noise, the same for all exposures.
    noise : NoiseModel
        Noise of one exposure.
    found : list
        From `amplifiers`.
    used : `~numpy.ndarray` of bool
        (ny, nx), the pixels that count.
    n_exposures, cr_coincidences : int
        N, and how many of the highest values min2d leaves out.
    seed : int or None
        Seed of the random numbers; None for a new one.
    """

    oversampling = LevelSampler.oversampling

    def __init__(self, expected, noise, found, used, *, n_exposures, cr_coincidences, seed):
        self.unit = noise.unit
        self._scale = NoiseScale.of(noise)
        self._parts = []
        entropy, total = np.random.SeedSequence(seed).entropy, np.count_nonzero(used)
        for number, (where, gain, readnoise) in enumerate(found):
            signal = expected[where & used]
            if not signal.size:
                continue
            own = NoiseModel(gain * GAIN_UNIT, readnoise * u.electron, noise.unit, noise.nbinom_shape)
            scale = self._scale.of_pixel(gain, readnoise)
            options = {"scale": scale, "share": signal.size / total}
            sampler = LevelSampler(signal, own, n_exposures, cr_coincidences, [entropy, number], **options)
            self._parts.append((sampler, scale.to_unit, signal.size / total))

    def coordinates(self, min2d, difference):
        """Coordinates in the diagram of min2d and median2d - min2d (ny, nx)."""
        return self._scale.typical(min2d, difference)

    def reach(self, signal):
        """Smallest and largest x, and largest y, of many draws at one ``signal`` of the typical pixel."""
        low, high, top = zip(*(part.reach(signal / to_unit) for part, to_unit, _ in self._parts), strict=True)
        return min(low), max(high), max(top)

    def histogram(self, n_simulations, x_edges, y_edges, progress=None):
        """Accumulate the histogram of ``n_simulations`` sets of exposures, like LevelSampler."""
        total, done = 0, 0.0
        for part, _, share in self._parts:

            def report(fraction, done=done, share=share):
                progress(min(done + share * fraction, 1.0))

            total = total + part.histogram(n_simulations, x_edges, y_edges, None if progress is None else report)
            done += share
        return total
