"""Fit of the population of hits to a sample of the candidates."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from crstack.joint.candidates import pieces_of
from crstack.joint.charges import CHARGE_EDGES, LOG_SIGMA, counts_as_hit, sigma_index
from crstack.joint.likelihood import NODE_REACH, hit_weights, nodes_left_out
from crstack.joint.neighbourhoods import N_CLASSES
from crstack.joint.odds import of_known, with_evidence
from crstack.joint.used_places import numbered
from crstack.utils.cached import cached_property
from crstack.utils.memory import empty_image
from crstack.utils.pixels import dilate
from crstack.utils.threads import map_images, map_threads, row_bands

__all__ = ["REACH_TO_FIT", "VALUES_TO_FIT", "Sample", "fit_population", "numbers_by_noise"]

#: number of values to which the population is fitted, in the first sweeps and in the last one
VALUES_TO_FIT = (50_000, 300_000)
#: a pixel is likely to be hit if a value lies this number of standard deviations of their difference above half of the
#: others
FAR_ABOVE = 4.5
#: smallest share of the sample that pixels have which are neither likely to be hit nor beside such a pixel
FEWEST_OTHERS = 0.25
#: standard deviations below and above the lowest value over which the fit integrates the signal. The probabilities need
#: a longer reach below for rare values. In the sums of the fit, these do not count, and nodes take time in each of its
#: steps. A shorter reach above is too short: where the lowest value is 4 standard deviations too low, the others would
#: count as hits.
REACH_TO_FIT = (3.0, NODE_REACH)


@dataclass(frozen=True, eq=False)
class Sample:
    """Some of the candidates, to which the population is fitted.

    Attributes
    ----------
    candidates : Candidates
    tables : list
    places : `~numpy.ndarray` of int or slice
        Places of the sample among all candidates.
    likely : `~numpy.ndarray` of bool
        (M,) whether each of all candidates is likely to be hit, or beside such a pixel. These have nearly all hits, and
        most of them are in the sample.
    of_sigma : `~numpy.ndarray`
        (ny, nx) place of the noise in ``LOG_SIGMA``; (N, ny, nx) if that of the exposures is not alike.
    anyway : `~numpy.ndarray` of bool
        (ny, nx), see `~crstack.joint.candidates.Chosen`.
    missed : `~numpy.ndarray`
        (sigmas, bins) chance that a pixel with a hit is not examined.
    """

    candidates: object
    tables: list
    places: np.ndarray | slice
    likely: np.ndarray
    of_sigma: np.ndarray
    anyway: np.ndarray
    missed: np.ndarray

    @classmethod
    def of(cls, candidates, tables, sigma, number):
        """Sample of about a ``number`` of values of all candidates, with their tables, and the noise of the stack."""
        charge = np.sqrt(CHARGE_EDGES[1:] * CHARGE_EDGES[:-1]) / np.exp(LOG_SIGMA)[:, None]
        chosen = candidates.chosen
        likely = _likely(candidates, sigma.shape[-2:])
        known = likely, _places_of(sigma), chosen.anyway, chosen.missed(charge)
        return cls(*_some_of(candidates, tables, likely, number), *known)

    @cached_property
    def _by_noise(self):
        """Number of pixels of each noise: of all pixels, and of those that are not examined anyway."""
        return numbers_by_noise(self.of_sigma, ~self.anyway)

    def totals(self, field):
        """Numbers of values: (N_CLASSES, sigmas) by class and noise; (N_CLASSES, bins) examined if hit, by charge."""
        totals, free = _numbers(field, self.of_sigma, ~self.anyway, self._by_noise)
        is_hit = counts_as_hit()
        return totals, totals @ is_hit - free @ (is_hit * self.missed)

    def weights(self, classes):
        """Number of candidates (N, K) that each value of the sample represents.

        ``classes`` (N, M) are those of all candidates. The numbers of values by class, for `likely` pixels and for the
        others, are known, and those of a sample scatter. Where nearly all values of a class are hit, a scatter of one
        per cent would change the number of clean values by a large factor.
        """
        kinds = classes + np.int32(N_CLASSES) * self.likely

        def numbers(one):
            return np.stack([np.bincount(some, minlength=2 * N_CLASSES) for some in (one, one[self.places])])

        # numpy copies what it counts
        everywhere, sampled = sum(map_images(numbers, kinds))
        worth = (everywhere / np.maximum(sampled, 1)).astype(np.float32)
        return worth[kinds[:, self.places]]

    def numbered(self, asked, classes, noises=None):
        """Places of the tables that the values use, with two classes of neighbourhood (N, M) each, as `Numbered`."""
        return numbered(asked, classes, self.candidates.parts(), [index for _, _, index, _ in self.tables], noises)

    def expectation(self, asked, classes, population, weights, places=None):
        """Expected numbers of hits.

        Parameters
        ----------
        asked, classes : `~numpy.ndarray`
            (N, M) classes of neighbourhood for the probabilities, and those for the counts.
        population : Population
            What is known of hits.
        weights : `~numpy.ndarray`
            (N, M) number of candidates that each value represents.
        places : Numbered, optional
            What `numbered` gives for these classes, if it is known.

        Returns
        -------
        counts : `~numpy.ndarray`
            (kinds, bins) by charge.
        hits : `~numpy.ndarray`
            (N_CLASSES,).
        probability : `~numpy.ndarray`
            (N, M) of the values to be hit.
        """
        if not len(self.candidates):
            return np.zeros(population.shapes.shape), np.zeros(N_CLASSES), np.zeros(classes.shape)
        places = self.numbered(asked, classes) if places is None else places
        used = places.used
        density = used.density(population)
        logs = used.logs(population, density)

        def of_piece(piece, _nodes, clean, _index, prior, numbers):
            some, pair = self.candidates.some(piece), logs.take(numbers)
            ratio, not_hit = with_evidence(some, clean, (pair.real, pair.imag), population)
            hit, rest = hit_weights(not_hit, ratio, prior)
            hit /= (hit[0] + rest[0]).sum(axis=0)
            return of_known(some, hit)

        def work(item):
            part, table, asked, numbers = item
            hit = np.empty(numbers.shape, np.float32)

            def fill(piece):
                here = slice(piece[0].start - part.start, piece[0].stop - part.start)
                hit[..., here] = of_piece(*piece)

            # a small sample has one part only
            map_threads(fill, pieces_of(part, (*table, asked)))
            probability, worth = hit.sum(axis=1), weights[:, part]
            hits = np.bincount(classes[:, part].ravel(), (worth * probability).ravel(), minlength=N_CLASSES)
            hit *= worth[:, None]
            return probability, used.histogram(numbers, hit), hits

        items = zip(self.candidates.parts(), self.tables, places.asked, places.classes, strict=True)
        found = map_threads(work, items)
        probability = np.concatenate([one[0] for one in found], axis=1)
        counts = density.expected_counts(sum(one[1] for one in found))
        return counts, sum(one[2] for one in found), probability


def _some_of(candidates, tables, likely, number):
    """Pixels with about a number of values, their tables, and their places among all candidates.

    The hits are in few pixels, and a random part of all pixels would have few hits. The sample is therefore a random
    part of the ``likely`` candidates, or all of them, and one of the others.
    """
    enough = number // len(candidates.values)
    if len(candidates) <= enough:
        return candidates, tables, slice(None)
    rng = np.random.default_rng(20260104)
    both = [np.flatnonzero(one) for one in (likely, ~likely)]
    most = max(enough - len(both[1]), int((1 - FEWEST_OTHERS) * enough))
    numbers = min(len(both[0]), most), enough - min(len(both[0]), most)
    chosen = np.sort(np.concatenate([rng.choice(one, n, replace=False) for one, n in zip(both, numbers, strict=True)]))
    some = replace(candidates.some(chosen), reach=REACH_TO_FIT)
    return some, _tables_of_some(candidates, tables, some, chosen), chosen


def _tables_of_some(candidates, tables, some, chosen):
    """The tables of ``some`` candidates, at the places ``chosen`` (ascending), from those of all where nodes agree."""
    if len(candidates.groups) > 1:
        return some.tables()  # the nodes of several groups are mixed
    n, reach = len(candidates.values), candidates.reach
    first = nodes_left_out(n, candidates.fewest, reach, some.reach, candidates.step)
    parts = candidates.parts()
    ends = [0, *chosen.searchsorted([part.stop for part in parts])]
    whole = [empty_image((*one.shape[:-2], one.shape[-2] - first, len(chosen)), one.dtype) for one in tables[0]]

    def fill(item):
        table, part, here = item[0], item[1], slice(*item[2])
        for to, one in zip(whole, table, strict=True):
            to[..., here] = one[..., first:, :].take(chosen[here] - part.start, axis=-1)

    map_threads(fill, zip(tables, parts, pairwise(ends), strict=True))
    return [tuple(one[..., part] for one in whole) for part in some.parts()]


def _likely(candidates, shape):
    """Whether each candidate (M,) has a value far above half of the others, or is beside one that has."""
    plane = np.zeros(shape, dtype=bool)
    far = np.float32(FAR_ABOVE * np.sqrt(1 + 1 / ((len(candidates.values) + 1) // 2)))
    for part in candidates.parts():
        some = candidates.some(part)
        known = np.ones(some.values.shape, bool) if some.unknown is None else ~some.unknown
        noise = (some.sigma(some.lowest) / some.scales).mean(axis=0)
        highest = np.where(known, some.levels, -np.inf).max(axis=0)
        below = (known & (some.levels < highest - far * noise)).sum(axis=0)
        plane[some.where] = (below > 0) & (2 * below >= known.sum(axis=0))
    return dilate(plane, 1)[candidates.where]


def fit_population(sample, field, previous, classes, population, n_fits):
    """Steps of expectation maximisation for the neighbourhoods found in a field.

    ``previous`` are the classes of the sample in the previous sweep, to which ``population`` was fitted, and
    ``classes`` those of all candidates in this one.
    """
    weights, current = sample.weights(classes), classes[:, sample.places]
    totals, seen = sample.totals(field)
    places = sample.numbered(previous, current, population.noises)
    steps = []
    for step in range(n_fits):
        counts, hits, probability = sample.expectation(previous, current, population, weights, places)
        population = population.refitted(counts, hits, totals, seen)
        if sample.candidates.detected is not None:
            population = population.with_detector(probability, sample.candidates.detected, weights)
        previous, places, steps = current, places.settled(), [*steps, population]
        if len(steps) == 3 and step < n_fits - 1:
            population, steps = steps[0].extrapolated(*steps[1:]), []
    return population


def _places_of(sigma):
    """Places of a noise, (ny, nx) or (N, ny, nx), in ``LOG_SIGMA``."""
    if sigma.ndim == 3:
        return np.stack([_places_of(one) for one in sigma])
    # there are fewer than 256 places
    places = empty_image(sigma.shape, np.uint8)

    def work(rows):
        places[rows] = sigma_index(sigma[rows])

    map_threads(work, row_bands(*sigma.shape))
    return places


def numbers_by_noise(of_sigma, chosen):
    """Number of pixels (sigmas,) of each noise: of all pixels, and of the chosen ones; of all exposures together."""
    if of_sigma.ndim == 3:
        return sum(numbers_by_noise(one, chosen) for one in of_sigma)

    def of_band(rows):
        both = of_sigma[rows].ravel(), of_sigma[rows][chosen[rows]]
        return np.stack([np.bincount(pixels, minlength=LOG_SIGMA.size) for pixels in both])

    return sum(map_threads(of_band, row_bands(*of_sigma.shape)))


def _numbers(field, of_sigma, chosen, by_noise):
    """Numbers (N_CLASSES, sigmas) of values by class of neighbourhood and noise: all, and those of chosen pixels."""
    where = field.beside_hits()
    places = field.classes_at(where) * np.int32(LOG_SIGMA.size) + of_sigma[..., *where]
    of_one = field.shape[0] if of_sigma.ndim == 2 else 1
    found = []
    for pixels, some in zip(by_noise, (places, places[:, chosen[where]]), strict=True):
        numbers = np.zeros((N_CLASSES, LOG_SIGMA.size))
        numbers[0] = of_one * pixels
        beside = np.bincount(some.ravel(), minlength=numbers.size).reshape(numbers.shape)
        numbers += beside
        numbers[0] -= beside.sum(axis=0)
        found.append(numbers)
    return found
