"""Classes of neighbourhood: the hits beside a value, by their number and charge."""

import numpy as np

__all__ = [
    "ALIKE",
    "CLASSES",
    "CORNER",
    "N_CHARGES",
    "N_CLASSES",
    "N_KINDS",
    "N_NUMBERS",
    "charges_kind",
    "neighbour_class",
]

#: weight of a neighbour at a corner; one at a side has the weight 1
CORNER = 0.3
#: edges of the classes of the sum over hit neighbours, and of their charge in standard deviations of the noise
NUMBER_EDGES = np.array([0.05, 0.9, 1.4, 1.9, 2.4, 3.2], dtype=np.float32)
CHARGE_CLASSES = np.array([3, 8, 20, 50, 150, 500], dtype=np.float32)
#: group of each class of the number of hit neighbours; the classes of a group share their distributions of charge
GROUP = np.array([0, 0, 0, 1, 2, 3, 4], dtype=np.int32)
N_NUMBERS, N_CHARGES = len(NUMBER_EDGES) + 1, len(CHARGE_CLASSES) + 1
N_CLASSES = N_NUMBERS * N_CHARGES


def neighbour_class(number, charge):
    """Class of a neighbourhood.

    Parameters
    ----------
    number, charge : `~numpy.ndarray`
        Weighted sums over the neighbours of their probability to be hit, and of
        their expected charge in standard deviations of the noise.

    Returns
    -------
    classes : `~numpy.ndarray`
        int32, 0 to ``N_CLASSES - 1``; 0 to ``N_CHARGES - 1`` have no hit neighbour.
    """
    of_number = np.searchsorted(NUMBER_EDGES, number, side="right").astype(np.int32)
    of_charge = np.searchsorted(CHARGE_CLASSES, charge, side="right").astype(np.int32)
    return of_number * np.int32(N_CHARGES) + of_charge * (of_number > 0)


def charges_kind(classes):
    """Distribution of charges of the classes: 0 without neighbours, otherwise by their number and charge."""
    return _KIND_OF.take(classes)


#: all classes, and the distribution of charges of each
CLASSES = np.arange(N_CLASSES, dtype=np.int32)
_KIND_OF = np.where(CLASSES < N_CHARGES, 0, 1 + GROUP[CLASSES // N_CHARGES] * N_CHARGES + CLASSES % N_CHARGES)
_KIND_OF = _KIND_OF.astype(np.int32)
N_KINDS = int(_KIND_OF.max()) + 1
#: distributions of charge next to hits, by group of their number
ALIKE = [slice(first, first + N_CHARGES) for first in range(1, N_KINDS, N_CHARGES)]
