"""The one door in: from CCDData, NDData, arrays or FITS files to `Exposures`.

Units, bias, masks and uncertainties are dealt with here and nowhere else.
"""

from crstack.exposures.cube import Exposures
from crstack.exposures.keywords import Keyword
from crstack.exposures.loading import load_exposures
from crstack.exposures.planes import image_with_noise
from crstack.exposures.reading import read_exposure

__all__ = ["Exposures", "Keyword", "image_with_noise", "load_exposures", "read_exposure"]
