"""Exposures and masks to combine."""

import astropy.units as u
import numpy as np
from astropy.nddata import CCDData

from crstack import MaskSet
from crstack.combine import COMBINATIONS, Combiner
from crstack.exposures import load_exposures
from crstack.masks import MaskRules
from crstack.masks.rules import codes_of_hits
from crstack.statistics import order_statistics

GAIN = 2.0 * u.electron / u.adu
#: those that need no probabilities
SEVEN = COMBINATIONS[:-1]
NOISE = {"gain": GAIN, "readnoise": 5 * u.electron}
SHAPE = (12, 14)


def masks_of(n=3, auxclean=None, **pixels):
    """A MaskSet with the given pixels (y, x) flagged in each mask."""
    names = ["MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR"]
    codes = {name: np.zeros(SHAPE, np.uint8) for name in names}
    for name, where in pixels.items():
        codes[name][tuple(zip(*where, strict=True))] = 2
    return MaskSet(codes, auxclean)


def planes(n=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [CCDData(rng.normal(100, 7, SHAPE), unit=u.adu, **options) for _ in range(n)]


def combiner_of(ccds, masks=None, k=2, **options):
    exposures = load_exposures(ccds, **NOISE)
    return Combiner(exposures, order_statistics(exposures.data, k, exposures.bad), masks, **options)


def joint_masks(chances, n=3, **options):
    """Masks of the joint decision, at probability 0.5, from {(y, x): probability of each exposure}."""
    probability = np.zeros((n, *SHAPE), np.float16)
    for (y, x), chance in chances.items():
        probability[:, y, x] = chance
    codes, _ = codes_of_hits(probability > 0.5, MaskRules())
    codes["MEANCR"] = np.zeros(SHAPE, np.uint8)
    return MaskSet(codes, probability=probability, **options)
