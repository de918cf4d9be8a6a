"""Input of CCDData, NDData, arrays or FITS files, and their conversion to `Exposures`.

All handling of units, bias, masks and uncertainties is here.
"""

from crstack.exposures.cube import Exposures
from crstack.exposures.input.keywords import Keyword
from crstack.exposures.input.planes import image_with_noise
from crstack.exposures.input.reading import read_exposure
from crstack.exposures.loading import load_exposures

__all__ = ["Exposures", "Keyword", "image_with_noise", "load_exposures", "read_exposure"]
