"""Sweeps over the candidates: probabilities, neighbours, and the fit of the population."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from crstack._threads import map_threads
from crstack.joint.charges import LOG_SIGMA, sigma_index
from crstack.joint.likelihood import hit_weights
from crstack.joint.population import CORNER, N_CLASSES, Population, charges_kind, neighbour_class

__all__ = ["Field", "fit_population", "log_odds_alone", "log_ratio", "probabilities", "sweep"]

#: candidates that suffice to fit the population
CANDIDATES_TO_FIT = 60_000
#: log odds of a value that cannot be told to be hit
UNKNOWN = np.float32(-60)


class Field:
    """Probability of every value to be hit, and the hits among its neighbours.

    Only neighbours more likely hit than not count: were they weighted with their
    probability, each value would raise it and so find itself in hit surroundings.

    Parameters
    ----------
    shape : tuple of int
        (N, ny, nx).

    Attributes
    ----------
    probability : `~numpy.ndarray`
        float32 (N, ny, nx).
    """

    def __init__(self, shape):
        n, ny, nx = shape
        self.probability = np.zeros(shape, dtype=np.float32)
        # expected hits and their charge, with a rim of one pixel
        self._hits = np.zeros((n, ny + 2, nx + 2), dtype=np.float32)
        self._charge = np.zeros_like(self._hits)
        self._width = nx + 2

    def set(self, where, probability, charge):
        """Set the values (N, M) at rows and columns ``where``; ``charge`` in electrons if hit."""
        rows, columns = where
        self.probability[:, rows, columns] = probability
        hits = np.where(probability > 0.5, probability, np.float32(0))
        self._hits[:, rows + 1, columns + 1] = hits
        self._charge[:, rows + 1, columns + 1] = hits * charge

    def classes_at(self, where):
        """Class of the neighbourhood (N, M) of each value at rows and columns ``where``."""
        place = (where[0] + 1) * self._width + where[1] + 1

        def of(i):
            sums = [np.zeros(len(place), np.float32), np.zeros(len(place), np.float32)]
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    weight = np.float32(0 if not (dx or dy) else CORNER if dx and dy else 1)
                    if weight:
                        for total, plane in zip(sums, (self._hits[i], self._charge[i]), strict=True):
                            total += weight * plane.ravel().take(place + dy * self._width + dx)
            return neighbour_class(*sums)

        return np.stack(map_threads(of, range(len(self._hits))))

    def classes(self, i):
        """Class of the neighbourhood (ny, nx) of every value of exposure ``i``."""
        kernel = np.array([[CORNER, 1, CORNER], [1, 0, 1], [CORNER, 1, CORNER]], dtype=np.float32)
        number, charge = (
            ndimage.correlate(plane[i], kernel, mode="constant")[1:-1, 1:-1] for plane in (self._hits, self._charge)
        )
        return neighbour_class(number, charge)


def sweep(field, candidates, tables, population, histogram=None):
    """Update the field at the candidates; return their probabilities (N, M).

    Parameters
    ----------
    field : Field
        Updated in place, all values at once.
    candidates : Candidates
        The pixels looked at.
    tables : list
        Their `Candidates.tables`.
    population : Population
        What is known of hits.
    histogram : list, optional
        If given, the `HitDensity.histogram` of the hits is appended to it.
    """
    classes = field.classes_at(candidates.where)

    def work(item):
        part, (nodes, clean, index) = item
        some = candidates.some(part)
        kind = charges_kind(classes[:, part])
        ratio, not_hit = log_ratio(some, clean, index, classes[:, part], population)
        hit, rest = hit_weights(not_hit, ratio)
        total = (hit + rest)[0].sum(axis=0)
        probability = hit.sum(axis=1) / total
        signal = (rest * nodes).sum(axis=1) / np.maximum(rest.sum(axis=1), 1e-30)
        expected = some.scales * signal + some.shifts
        charge = np.maximum(some.values - expected, 0)
        found = None if histogram is None else population.density.histogram(kind[:, None], index, hit / total)
        return probability, charge, found

    results = map_threads(work, zip(candidates.parts(), tables, strict=True))
    if not results:
        return np.zeros(candidates.values.shape, np.float32)
    probability = np.concatenate([one[0] for one in results], axis=1)
    field.set(candidates.where, probability, np.concatenate([one[1] for one in results], axis=1))
    if histogram is not None:
        histogram.append(sum(one[2] for one in results))
    return probability


def log_ratio(some, clean, index, classes, population):
    """Log of hit over not hit, with the prior odds of the classes, and of the density of values that are not hit.

    Parameters
    ----------
    some : Candidates
        Pixels.
    clean, index : `~numpy.ndarray`
        (N, J, M), see `Candidates.at_nodes`.
    classes : `~numpy.ndarray`
        (N, M) classes of neighbourhood.
    population : Population
        What is known of hits.

    Returns
    -------
    ratio, not_hit : `~numpy.ndarray`
        (N, J, M).
    """
    ratio, not_hit = population.log_ratios(classes[:, None], index)
    ratio -= clean
    not_hit += clean
    if some.detected is not None:
        ratio += (np.float32(population.detector_odds) * some.detected)[:, None]
    if some.unknown is not None:
        unknown = np.broadcast_to(some.unknown[:, None], ratio.shape)
        ratio[unknown], not_hit[unknown] = UNKNOWN, 0
    return ratio, not_hit


def log_odds_alone(candidates, tables, population):
    """Log odds (N, M) of each value to be hit, all taken as without hit neighbours."""
    classes = np.zeros(candidates.values.shape, dtype=np.int32)

    def work(item):
        part, (_, clean, index) = item
        some = candidates.some(part)
        ratio, not_hit = log_ratio(some, clean, index, classes[:, part], population)
        hit, rest = (one.sum(axis=1) for one in hit_weights(not_hit, ratio))
        return np.log(np.maximum(hit, 1e-37)) - np.log(np.maximum(rest, 1e-37))

    found = map_threads(work, zip(candidates.parts(), tables, strict=True))
    return np.concatenate(found, axis=1) if found else np.zeros(candidates.values.shape, np.float32)


def probabilities(candidates, sigma, shape, settings):
    """Fit the population and sweep.

    Parameters
    ----------
    candidates, sigma, shape
        As for `fit_population`.
    settings : JointPosterior
        Numbers of fits and sweeps.

    Returns
    -------
    field : Field
    tables : list
        `Candidates.tables`.
    population : Population
    """
    population = fit_population(candidates, sigma, shape, settings.n_fits, settings.n_sweeps)
    field, tables = Field(shape), candidates.tables()
    for _ in range(settings.n_sweeps + 1):
        sweep(field, candidates, tables, population)
    return field, tables, population


def fit_population(candidates, sigma, shape, n_fits, n_sweeps):
    """Expectation maximisation on all candidates, or on those of a band of rows.

    Parameters
    ----------
    candidates : Candidates
        The pixels looked at.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    shape : tuple of int
        (N, ny, nx).
    n_fits, n_sweeps : int
        Steps, and sweeps in each.

    Returns
    -------
    population : Population
    """
    rows, height = candidates.where[0], shape[1]
    if len(rows) > CANDIDATES_TO_FIT:
        height = max(16, int(shape[1] * CANDIDATES_TO_FIT / len(rows)))
        first = (shape[1] - height) // 2
        candidates = candidates.some((rows >= first) & (rows < first + height))
        candidates = replace(candidates, where=(candidates.where[0] - first, candidates.where[1]))
        sigma = sigma[first : first + height]
    population, tables = Population(), candidates.tables()
    field = Field((shape[0], height, shape[2]))
    of_sigma = sigma_index(sigma)
    for _ in range(n_fits):
        for _ in range(n_sweeps - 1):
            sweep(field, candidates, tables, population)
        classes = field.classes_at(candidates.where)
        totals = _totals(field, of_sigma)
        histogram = []
        found = sweep(field, candidates, tables, population, histogram)
        if not histogram:
            break
        counts = population.density.expected_counts(histogram[0])
        hits = np.bincount(classes.ravel(), found.ravel(), minlength=N_CLASSES)
        population = population.refitted(counts, hits, totals)
        if candidates.detected is not None:
            population = population.with_detector(found, candidates.detected)
    return population


def _totals(field, of_sigma):
    """Number of values (N_CLASSES, sigmas) of each class of neighbourhood and noise."""
    size = N_CLASSES * LOG_SIGMA.size
    found = [
        np.bincount((field.classes(i) * np.int32(LOG_SIGMA.size) + of_sigma).ravel(), minlength=size)
        for i in range(len(field.probability))
    ]
    return np.sum(found, axis=0).reshape(N_CLASSES, LOG_SIGMA.size)
