"""Sweeps over the candidates: probabilities, neighbours, and the fit of the population."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from crstack.joint.candidates import pieces_of
from crstack.joint.charges import CHARGE_EDGES, LOG_SIGMA, noise_of, sigma_index
from crstack.joint.cubes import by_parts
from crstack.joint.likelihood import hit_weights
from crstack.joint.population import CORNER, N_CLASSES, Population, charges_kind, neighbour_class
from crstack.utils.cached import cached_property
from crstack.utils.memory import empty_image, relax, zero_image
from crstack.utils.threads import map_threads, row_bands, slices

__all__ = ["Field", "log_odds_alone", "log_ratio", "probabilities", "sweep"]

#: values that suffice to fit the population, in the first sweeps and in the last one
VALUES_TO_FIT = (50_000, 300_000)
#: log odds with which a bad value takes part in no sum
UNKNOWN = np.float32(60)
#: number of places whose neighbours are summed together
PLACES_AT_ONCE = 1 << 15


class Field:
    """Probability of every value to be hit, and the hits among its neighbours.

    Only neighbours more likely hit than not count: were they weighted with their
    probability, each value would raise it and so find itself in hit surroundings.

    Only the candidates can be hit, so that only their values are stored.

    Parameters
    ----------
    shape : tuple of int
        (N, ny, nx).

    Attributes
    ----------
    shape : tuple of int
        As given.
    chance : `~numpy.ndarray`
        float32 (N, M), probabilities of the candidates.
    """

    def __init__(self, shape):
        self.shape = shape
        self._width = shape[2] + 2
        self._where = None
        self.chance = self._hits = self._charge = np.zeros((shape[0], 0), dtype=np.float32)
        # with a rim of one pixel
        self._beside = zero_image((shape[0], (shape[1] + 2) * self._width), bool)

    @property
    def probability(self):
        """float32 (N, ny, nx)."""
        probability = np.zeros(self.shape, dtype=np.float32)
        if self._where is not None:
            probability[:, *self._where] = self.chance
        return probability

    def set(self, where, probability, charge):
        """Set the values (N, M) at rows and columns ``where``; ``charge`` if hit, in units of the noise."""
        if where is not self._where:
            # numbers of candidates by their place, and one more where there is none
            self._where = where
            self._number = empty_image(self._beside.shape[1], np.int32)
            self._number[:] = len(where[0])
            self._number[self._place(where)] = np.arange(len(where[0]))
        self.chance = probability.astype(np.float32, copy=False)
        n, m = probability.shape
        self._hits, self._charge = empty_image((n, m + 1)), empty_image((n, m + 1))
        place = self._place(where)

        def work(i):
            hits = np.where(probability[i] > 0.5, probability[i], np.float32(0))
            self._hits[i, :m], self._charge[i, :m] = hits, hits * charge[i]
            self._hits[i, m] = self._charge[i, m] = 0
            self._beside[i] = False
            for step in self._steps(0):
                self._beside[i][place[hits > 0] + step] = True

        map_threads(work, range(n))

    def _place(self, where):
        return (where[0] + 1) * self._width + where[1] + 1

    def _steps(self, least=1):
        """Steps in a plane from a pixel to those around it; with ``least`` of 0 also to itself."""
        around = product((-1, 0, 1), (-1, 0, 1))
        return [dy * self._width + dx for dy, dx in around if abs(dy) + abs(dx) >= least]

    def classes_at(self, where):
        """Class of the neighbourhood (N, M) of each value at rows and columns ``where``."""
        everywhere = self._place(where)
        classes = zero_image((self.shape[0], len(everywhere)), np.int32)
        weights = [np.float32(1 if abs(step) in (1, self._width) else CORNER) for step in self._steps()]

        def work(item):
            i, part = item
            place = everywhere[part]
            beside = np.flatnonzero(self._beside[i].take(place))
            if not len(beside):
                return
            place = place[beside]
            sums = [np.zeros(len(place), np.float32), np.zeros(len(place), np.float32)]
            for step, weight in zip(self._steps(), weights, strict=True):
                number = self._number.take(place + step)
                for total, values in zip(sums, (self._hits[i], self._charge[i]), strict=True):
                    total += weight * values.take(number)
            classes[i, part][beside] = neighbour_class(*sums)

        map_threads(work, product(range(len(classes)), slices(len(everywhere), PLACES_AT_ONCE)))
        return classes

    def beside_hits(self):
        """Rows and columns of all pixels beside a hit one, or hit themselves."""
        near = self._beside[0].copy()
        for one in self._beside[1:]:
            near |= one
            relax()
        return np.nonzero(near.reshape(-1, self._width)[1:-1, 1:-1])


def sweep(field, candidates, tables, population):
    """Update the field at the candidates, all values at once; return their classes of neighbourhood (N, M) before.

    Parameters
    ----------
    field : Field
        Updated in place.
    candidates : Candidates
        The pixels looked at.
    tables : list
        Their `Candidates.tables`.
    population : Population
        What is known of hits.
    """
    classes = field.classes_at(candidates.where)

    parts = candidates.parts()
    table_of = dict(zip((part.start for part in parts), tables, strict=True))

    def of_piece(piece, nodes, clean, index, prior):
        some = candidates.some(piece)
        ratio, not_hit = log_ratio(some, clean, index, classes[:, piece], population)
        hit, rest = hit_weights(not_hit, ratio, prior)
        total = (hit + rest)[0].sum(axis=0)
        signal = (rest * nodes).sum(axis=1) / np.maximum(rest.sum(axis=1), 1e-30)
        charge = np.maximum(some.values - some.scales * signal - some.shifts, 0) / some.sigma(signal)
        return _of_known(some, hit).sum(axis=1) / total, charge

    def work(part):
        found = [of_piece(*piece) for piece in pieces_of(part, table_of[part.start])]
        return tuple(np.concatenate(one, axis=1) for one in zip(*found, strict=True))

    if parts:
        field.set(candidates.where, *by_parts(work, parts, len(candidates)))
    return classes


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
    log_hit, log_not_hit = population.log_ratios(classes[:, None], index)
    ratio, not_hit = log_hit - clean, log_not_hit + clean
    if some.detected is not None:
        ratio += (np.float32(population.detector_odds) * some.detected)[:, None]
    if some.unknown is not None:
        # as if hit by anything: a bad value is never the clean one that each set of hit values must leave
        unknown = np.broadcast_to(some.unknown[:, None], ratio.shape)
        ratio[unknown], not_hit[unknown] = UNKNOWN, -UNKNOWN
    return ratio, not_hit


def _of_known(some, hit):
    """The weights (N, J, M) of hits, 0 for bad values."""
    if some.unknown is not None:
        hit[np.broadcast_to(some.unknown[:, None], hit.shape)] = 0
    return hit


def log_odds_alone(candidates, tables, population):
    """Log odds (N, M) of each value to be hit, all taken as without hit neighbours.

    All signals are equally probable, so that the ``tables`` must be those of candidates without a prior.
    """
    classes = np.zeros(candidates.values.shape, dtype=np.int32)

    def of_piece(piece, _nodes, clean, index, _prior):
        some = candidates.some(piece)
        ratio, not_hit = log_ratio(some, clean, index, classes[:, piece], population)
        hit, rest = hit_weights(not_hit, ratio)
        hit, rest = _of_known(some, hit).sum(axis=1), rest.sum(axis=1)
        return np.log(np.maximum(hit, 1e-37)) - np.log(np.maximum(rest, 1e-37))

    def work(item):
        return np.concatenate([of_piece(*piece) for piece in pieces_of(*item)], axis=1)

    found = map_threads(work, zip(candidates.parts(), tables, strict=True))
    return np.concatenate(found, axis=1) if found else np.zeros(candidates.values.shape, np.float32)


def probabilities(candidates, sigma, shape, settings):
    """Fit the population and the probabilities, neighbours included step by step.

    Parameters
    ----------
    candidates : Candidates
        The pixels looked at.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons.
    shape : tuple of int
        (N, ny, nx).
    settings : JointPosterior
        Numbers of fits and sweeps.

    Returns
    -------
    field : Field
    population : Population
        That of the last sweep.

    Notes
    -----
    First each value is judged alone, and all values have one rate of hits. In each
    sweep that follows, the classes of neighbourhood are those of the hits found before. They stay as they are
    while rates and charges of this sweep are fitted by expectation maximisation.

    Were neighbourhoods and rates iterated together, a value would raise the probability of its neighbours and so find
    itself in hit surroundings. Those that remain beside a hit without being hit themselves would look cleaner than
    they are, and rates would fall towards 0 or rise towards 1.
    """
    field, tables = Field(shape), candidates.tables()
    population = Population(noises=_noises(tables))
    samples = _Sample.of(candidates, tables, sigma)
    classes = [np.zeros((shape[0], len(one.candidates)), np.int32) for one in samples]
    for number in range(settings.n_sweeps + 1):
        # the first sweeps only find the neighbours; the probabilities come from the last one
        which = int(number == settings.n_sweeps)
        before, classes = classes, [field.classes_at(one.candidates.where) for one in samples]
        population = _fit(samples[which], field, (before[which], classes[which]), population, settings.n_fits)
        sweep(field, candidates, tables, population)
    return field, replace(population, noises=None)


def _noises(tables):
    """Places in ``LOG_SIGMA`` between which the noise of the candidates lies, at all nodes of their signal."""
    places = [(noise_of(index.min()), noise_of(index.max())) for _, _, index, _ in tables]
    return slice(min(low for low, _ in places), max(high for _, high in places) + 1) if places else None


@dataclass(frozen=True, eq=False)
class _Sample:
    """Some of the candidates, to which the population is fitted.

    Attributes
    ----------
    candidates : Candidates
    tables : list
    weight : float
        Number of candidates that each stands for.
    of_sigma : `~numpy.ndarray`
        (ny, nx) place of the noise in ``LOG_SIGMA``.
    anyway : `~numpy.ndarray` of bool
        (ny, nx), see `~crstack.joint.candidates.Chosen`.
    missed : `~numpy.ndarray`
        (sigmas, bins) chance that a hit does not make its pixel looked at.
    """

    candidates: object
    tables: list
    weight: float
    of_sigma: np.ndarray
    anyway: np.ndarray
    missed: np.ndarray

    @classmethod
    def of(cls, candidates, tables, sigma):
        """Samples of `VALUES_TO_FIT` of all candidates, with their tables, and the noise of the stack."""
        charge = np.sqrt(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1]) / np.exp(LOG_SIGMA)[:, None]
        chosen = candidates.chosen
        known = _places_of(sigma), chosen.anyway, chosen.missed(charge)
        return [cls(*_some_of(candidates, tables, number), *known) for number in VALUES_TO_FIT]

    @cached_property
    def _by_noise(self):
        """Number of pixels of each noise: of all pixels, and of those that are not examined anyway."""
        return numbers_by_noise(self.of_sigma, ~self.anyway)

    def totals(self, field):
        """Number of values (N_CLASSES, sigmas) of each class and noise, and those looked at if hit, by charge."""
        totals, free = _numbers(field, self.of_sigma, ~self.anyway, self._by_noise)
        return totals, totals[..., None] - free[..., None] * self.missed

    def expectation(self, asked, classes, population):
        """Expected numbers of hits.

        Parameters
        ----------
        asked, classes : `~numpy.ndarray`
            (N, M) classes of neighbourhood for the probabilities, and those for the counts.
        population : Population
            What is known of hits.

        Returns
        -------
        counts : `~numpy.ndarray`
            (kinds, bins) by charge.
        hits : `~numpy.ndarray`
            (N_CLASSES,).
        probability : `~numpy.ndarray`
            (N, M) of the values to be hit.
        """
        kinds = charges_kind(classes)

        def of_piece(piece, _nodes, clean, index, prior):
            some = self.candidates.some(piece)
            ratio, not_hit = log_ratio(some, clean, index, asked[:, piece], population)
            hit, rest = hit_weights(not_hit, ratio, prior)
            hit /= (hit + rest)[0].sum(axis=0)
            return _of_known(some, hit)

        def work(item):
            part, table = item
            index = table[2]
            hit = np.empty(index.shape, np.float32)
            for piece in pieces_of(part, table):
                here = slice(piece[0].start - part.start, piece[0].stop - part.start)
                hit[..., here] = of_piece(*piece)
            return hit.sum(axis=1), population.density.histogram(kinds[:, None, part], index, hit)

        found = map_threads(work, zip(self.candidates.parts(), self.tables, strict=True))
        if not found:
            return np.zeros(population.shapes.shape), np.zeros(N_CLASSES), np.zeros(classes.shape)
        probability = np.concatenate([one[0] for one in found], axis=1)
        counts = population.density.expected_counts(sum(one[1] for one in found))
        hits = np.bincount(classes.ravel(), probability.ravel(), minlength=N_CLASSES)
        return self.weight * counts, self.weight * hits, probability


def _some_of(candidates, tables, number):
    """Pixels with about a number of values, their tables, and the number of candidates that each stands for."""
    enough = number // len(candidates.values)
    if len(candidates) <= enough:
        return candidates, tables, 1.0
    rng = np.random.default_rng(20260104)
    some = candidates.some(np.sort(rng.choice(len(candidates), enough, replace=False)))
    return some, some.tables(), len(candidates) / enough


def _fit(sample, field, classes, population, n_fits):
    """Steps of expectation maximisation for the neighbourhoods found in a field.

    ``classes`` are those of the sample before, with which ``population`` goes, and now.
    """
    before, now = classes
    totals, seen = sample.totals(field)
    steps = []
    for step in range(n_fits):
        counts, hits, probability = sample.expectation(before, now, population)
        population = population.refitted(counts, hits, totals, seen)
        if sample.candidates.detected is not None:
            population = population.with_detector(probability, sample.candidates.detected)
        before, steps = now, [*steps, population]
        if len(steps) == 3 and step < n_fits - 1:
            population, steps = steps[0].extrapolated(*steps[1:]), []
    return population


def _places_of(sigma):
    """Place (ny, nx) of a noise in ``LOG_SIGMA``."""
    # there are fewer than 256 places
    places = empty_image(sigma.shape, np.uint8)

    def work(rows):
        places[rows] = sigma_index(sigma[rows])

    map_threads(work, row_bands(*sigma.shape))
    return places


def numbers_by_noise(of_sigma, chosen):
    """Number of pixels (sigmas,) of each noise: of all pixels, and of the chosen ones."""
    numbers = np.zeros((2, LOG_SIGMA.size), int)
    for rows in row_bands(*of_sigma.shape):
        for total, pixels in zip(numbers, (of_sigma[rows].ravel(), of_sigma[rows][chosen[rows]]), strict=True):
            total += np.bincount(pixels, minlength=LOG_SIGMA.size)
        relax()
    return numbers


def _numbers(field, of_sigma, chosen, by_noise):
    """Numbers (N_CLASSES, sigmas) of values by class of neighbourhood and noise: all, and those of chosen pixels."""
    where = field.beside_hits()
    places = field.classes_at(where) * np.int32(LOG_SIGMA.size) + of_sigma[where]
    found = []
    for pixels, some in zip(by_noise, (places, places[:, chosen[where]]), strict=True):
        numbers = np.zeros((N_CLASSES, LOG_SIGMA.size))
        numbers[0] = field.shape[0] * pixels
        beside = np.bincount(some.ravel(), minlength=numbers.size).reshape(numbers.shape)
        numbers += beside
        numbers[0] -= beside.sum(axis=0)
        found.append(numbers)
    return found
