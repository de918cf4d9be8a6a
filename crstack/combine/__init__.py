"""Combined images: values, variances, counts and flags."""

from crstack.combine.combiner import FILLS, Combiner
from crstack.combine.files import read
from crstack.combine.order import order_mean, order_variance
from crstack.combine.result import COMBINATIONS, Combination, PixelFlag, best_combination, possible_combinations
from crstack.combine.weights import exposure_weights

__all__ = [
    "COMBINATIONS",
    "FILLS",
    "Combination",
    "Combiner",
    "PixelFlag",
    "best_combination",
    "exposure_weights",
    "order_mean",
    "order_variance",
    "possible_combinations",
    "read",
]
