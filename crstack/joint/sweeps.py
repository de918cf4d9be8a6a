"""Sweeps over the candidates, from the probability of each value alone to that with its neighbours."""

from dataclasses import replace

import numpy as np

from crstack.joint.candidates import pieces_of
from crstack.joint.charges import noise_of
from crstack.joint.cubes import by_parts
from crstack.joint.field import Field
from crstack.joint.likelihood import NODE_STEP, hit_weights
from crstack.joint.odds import log_ratio, of_known
from crstack.joint.population import Population
from crstack.joint.sample import REACH_TO_FIT, VALUES_TO_FIT, Sample, fit_population
from crstack.joint.unresolved import Unresolved
from crstack.utils.threads import map_threads

__all__ = ["probabilities", "sweep"]


#: distance of the nodes of the signal in the first sweeps, see `~crstack.joint.candidates.Candidates`: a sum over them
#: has an error of 4 per cent
COARSE = 2 * NODE_STEP


def sweep(field, candidates, tables, population, classes=None, unresolved=None):
    """Update the field at the candidates, all values at once.

    Parameters
    ----------
    field : Field
        Updated in place.
    candidates : Candidates
        The examined pixels.
    tables : list
        Their `Candidates.tables`.
    population : Population
        What is known of hits.
    classes : `~numpy.ndarray`, optional
        (N, M) classes of neighbourhood of the candidates in this field, if they are known.
    unresolved : Unresolved, optional
        Candidates that need closer nodes than those of the tables.
    """
    if classes is None:
        classes = field.classes_at(candidates.where)
    population.make_tables()
    parts = candidates.parts()
    table_of = dict(zip((part.start for part in parts), tables, strict=True))

    def work(part):
        pieces = pieces_of(part, table_of[part.start])
        found = [_of_piece(candidates.some(one), at, classes[:, one], population) for one, *at in pieces]
        return tuple(np.concatenate(one, axis=1) for one in zip(*found, strict=True))

    if not parts:
        return
    found = by_parts(work, parts, len(candidates))
    if unresolved is not None:
        _replace_unresolved(found, unresolved, classes, population)
    field.set(candidates.where, *found)


def _of_piece(some, at_nodes, classes, population):
    """Probabilities (N, M) of some candidates to be hit, and their charges if they are, in units of the noise."""
    nodes, clean, index, prior = at_nodes
    ratio, not_hit = log_ratio(some, clean, index, classes, population)
    hit, rest = hit_weights(not_hit, ratio, prior)
    total = (hit[0] + rest[0]).sum(axis=0)
    signal = (rest * nodes).sum(axis=1) / np.maximum(rest.sum(axis=1), 1e-30)
    charge = np.maximum(some.values - some.scales * signal - some.shifts, 0) / some.sigma(signal)
    return of_known(some, hit).sum(axis=1) / total, charge


def _replace_unresolved(found, unresolved, classes, population):
    """Replace the probabilities and charges (N, M) of candidates that need closer nodes, in place."""

    def work(piece):
        some, which = unresolved.candidates.some(piece), unresolved.which[piece]
        values = _of_piece(some, some.at_nodes(), classes[:, which], population)
        for whole, one in zip(found, values, strict=True):
            whole[:, which] = one

    map_threads(work, unresolved.pieces())


def probabilities(candidates, sigma, shape, settings, without_hits):
    """Fit the population and the probabilities, neighbours included step by step.

    Parameters
    ----------
    candidates : Candidates
        The examined pixels.
    sigma : `~numpy.ndarray`
        (ny, nx) noise of one value, electrons; (N, ny, nx) if that of the exposures is not alike.
    shape : tuple of int
        (N, ny, nx).
    settings : JointPosterior
        Numbers of fits and sweeps.
    without_hits : callable
        ``without_hits(candidates, chance)`` gives the candidates with a prior that leaves out the hits found so far.

    Returns
    -------
    candidates : Candidates
        With the prior of the last sweep.
    field : Field
    population : Population
        That of the last sweep.

    Notes
    -----
    The first sweep does not use neighbours, and all values have one rate of hits. In each later sweep, the classes of
    neighbourhood are those of the hits found before. They stay fixed while rates and charges are fitted by expectation
    maximisation. The prior of the signal is measured again for the last sweep, without the hits found before.

    If neighbourhoods and rates were iterated together, a value would raise the probability of its neighbours, and these
    would raise its own. Rates would then drift towards 0 or 1.

    The first fit has one distribution of charges. The distributions beside hits start from it. With an even start, too
    many of the faintest charges, which look like noise, would remain at the end of the fit.
    """
    field, population, tables, sample, unresolved = Field(shape), Population(), None, None, None
    before = np.zeros((shape[0], len(candidates)), np.int32)
    for number in range(settings.n_sweeps + 1):
        # the first sweeps only find the neighbours; the probabilities come from the last one
        last = number == settings.n_sweeps
        if last:
            del tables, sample  # they are large
            candidates = without_hits(candidates, field.chance)
        if last or not number:
            examined = candidates if last else replace(candidates, step=COARSE, reach=REACH_TO_FIT)
            tables = examined.tables()
            sample = Sample.of(examined, tables, sigma, VALUES_TO_FIT[last])
            unresolved = Unresolved.of(examined) if last else None
            population = replace(population, noises=_noises(tables, unresolved))
        if number == 1:
            population = population.with_charges_of_all()
        classes = field.classes_at(candidates.where)
        population = fit_population(sample, field, before[:, sample.places], classes, population, settings.n_fits)
        sweep(field, examined, tables, population, classes, unresolved)
        before = classes
    return candidates, field, replace(population, noises=None)


def _noises(tables, unresolved):
    """Places in ``LOG_SIGMA`` between which the noise of the candidates lies, at all nodes of their signal."""
    places = [(int(noise_of(index.min())), int(noise_of(index.max()))) for _, _, index, _ in tables]
    if unresolved is not None:
        places.extend(unresolved.noises())
    return slice(min(low for low, _ in places), max(high for _, high in places) + 1) if places else None
