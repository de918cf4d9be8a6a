"""Numbers of the normal distribution that estimates of scatter and width use."""

import numpy as np

__all__ = ["FWHM_PER_SIGMA", "MEDIAN_DIFFERENCE", "SIGMA_PER_MAD"]

#: standard deviation over the median absolute deviation
SIGMA_PER_MAD = 1.4826
#: median of the absolute difference of two values, in standard deviations of one
MEDIAN_DIFFERENCE = 0.954
#: full width at half maximum over the standard deviation
FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
