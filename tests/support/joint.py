"""Pixels of the joint decision."""

import numpy as np

from crstack.joint.charges import CHARGE_EDGES
from crstack.joint.neighbourhoods import N_CLASSES, charges_kind


def even_shapes():
    shapes = np.ones((int(charges_kind(np.arange(N_CLASSES)).max()) + 1, len(CHARGE_EDGES) - 1))
    return shapes / shapes.sum(axis=1, keepdims=True)
