"""Exposures that differ: the expected image of each, from given and measured differences."""

from crstack.equalize.equalized import EqualizedExposures
from crstack.equalize.fit.differences import Differences
from crstack.equalize.measure import measure_differences
from crstack.equalize.settings import Equalization
from crstack.equalize.terms.flux import FluxFactors, estimate_flux_factors
from crstack.equalize.terms.offsets import Offsets, estimate_offsets
from crstack.equalize.terms.overdispersion import NbinomShape, fit_nbinom_shape
from crstack.equalize.terms.response import Response, ResponseSettings, estimate_response
from crstack.equalize.with_measured import equalize

__all__ = [
    "Differences",
    "Equalization",
    "EqualizedExposures",
    "FluxFactors",
    "NbinomShape",
    "Offsets",
    "Response",
    "ResponseSettings",
    "equalize",
    "estimate_flux_factors",
    "estimate_offsets",
    "estimate_response",
    "fit_nbinom_shape",
    "measure_differences",
]
