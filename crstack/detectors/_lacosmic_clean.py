"""Values that replace hits in L.A.Cosmic, from the 5 x 5 pixels around, as astroscrappy computes them."""

import numpy as np

__all__ = ["replacements"]

#: inverse distances in a box of 5 x 5 pixels, with the precision of astroscrappy
INVERSE_DISTANCES = np.array(
    [
        [0.35355339, 0.4472136, 0.5, 0.4472136, 0.35355339],
        [0.4472136, 0.70710678, 1.0, 0.70710678, 0.4472136],
        [0.5, 1.0, 0.0, 1.0, 0.5],
        [0.4472136, 0.70710678, 1.0, 0.70710678, 0.4472136],
        [0.35355339, 0.4472136, 0.5, 0.4472136, 0.35355339],
    ],
    dtype=np.float32,
).ravel()
#: a sum of weights below this counts as 0
LEAST_WEIGHT = 1e-6
#: pixels replaced at a time
CHUNK = 8192


def replacements(values, around, taken, cleantype):
    """Values for pixels, from their neighbours.

    Parameters
    ----------
    values : `~numpy.ndarray`
        float32, flat.
    around : `~numpy.ndarray` of int
        Flat indices (25, n) of the boxes around n pixels, row by row.
    taken : `~numpy.ndarray` of bool
        Flat mask of the pixels whose values are excluded; not used by 'median'.
    cleantype : str
        As in `~crstack.detectors.lacosmic.LACosmicDetector`.

    Returns
    -------
    replaced : `~numpy.ndarray`
        float32 (n,); NaN where all neighbours are excluded.
    """
    if cleantype == "median":
        return np.partition(values[around], 12, axis=0)[12]
    usable = ~taken[around]
    values = values[around]
    if cleantype == "medmask":
        return _median(values, usable)
    return _mean(values, usable, INVERSE_DISTANCES if cleantype == "idw" else None)


def _mean(values, usable, weights):
    """Weighted mean. The sums run row by row, because the last digit depends on the order."""
    total, weight = (np.zeros(values.shape[1], dtype=np.float32) for _ in range(2))
    for i, (layer, used) in enumerate(zip(values, usable, strict=True)):
        factor = np.float32(1) if weights is None else weights[i]
        total += np.where(used, factor * layer, 0)
        weight += np.where(used, factor, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight < LEAST_WEIGHT, np.float32(np.nan), total / weight)


def _median(values, usable):
    """Median; for an even number of values, the smaller of the two middle ones."""
    ordered = np.sort(np.where(usable, values, np.float32(np.inf)), axis=0)
    n_values = np.count_nonzero(usable, axis=0)
    middle = np.take_along_axis(ordered, np.maximum(n_values - 1, 0)[None] // 2, axis=0)[0]
    return np.where(n_values == 0, np.float32(np.nan), middle)
