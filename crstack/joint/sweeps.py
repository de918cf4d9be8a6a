"""Sweeps over the candidates, from the probability of each value alone to that with its neighbours."""

from dataclasses import replace

import numpy as np

from crstack.joint.candidates import pieces_of
from crstack.joint.charges import noise_of
from crstack.joint.cubes import by_parts
from crstack.joint.field import Field
from crstack.joint.likelihood import hit_weights
from crstack.joint.odds import log_ratio, of_known
from crstack.joint.population import Population
from crstack.joint.sample import Sample, fit_population

__all__ = ["probabilities", "sweep"]


def sweep(field, candidates, tables, population, classes=None):
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
    """
    if classes is None:
        classes = field.classes_at(candidates.where)
    population.make_tables()
    parts = candidates.parts()
    table_of = dict(zip((part.start for part in parts), tables, strict=True))

    def of_piece(piece, nodes, clean, index, prior):
        some = candidates.some(piece)
        ratio, not_hit = log_ratio(some, clean, index, classes[:, piece], population)
        hit, rest = hit_weights(not_hit, ratio, prior)
        total = (hit + rest)[0].sum(axis=0)
        signal = (rest * nodes).sum(axis=1) / np.maximum(rest.sum(axis=1), 1e-30)
        charge = np.maximum(some.values - some.scales * signal - some.shifts, 0) / some.sigma(signal)
        return of_known(some, hit).sum(axis=1) / total, charge

    def work(part):
        found = [of_piece(*piece) for piece in pieces_of(part, table_of[part.start])]
        return tuple(np.concatenate(one, axis=1) for one in zip(*found, strict=True))

    if parts:
        field.set(candidates.where, *by_parts(work, parts, len(candidates)))


def probabilities(candidates, sigma, shape, settings):
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

    Returns
    -------
    field : Field
    population : Population
        That of the last sweep.

    Notes
    -----
    The first sweep does not use neighbours, and all values have one rate of hits. In each later sweep, the classes of
    neighbourhood are those of the hits found before. They stay fixed while rates and charges are fitted by expectation
    maximisation.

    If neighbourhoods and rates were iterated together, a value would raise the probability of its neighbours, and these
    would raise its own. Rates would then drift towards 0 or 1.

    The first fit has one distribution of charges. The distributions beside hits start from it. With an even start, too
    many of the faintest charges, which look like noise, would remain at the end of the fit.
    """
    field, tables = Field(shape), candidates.tables()
    population = Population(noises=_noises(tables))
    samples = Sample.of(candidates, tables, sigma)
    previous = [np.zeros((shape[0], len(one.candidates)), np.int32) for one in samples]
    for number in range(settings.n_sweeps + 1):
        # the first sweeps only find the neighbours; the probabilities come from the last one
        which = int(number == settings.n_sweeps)
        if number == 1:
            population = population.with_charges_of_all()
        classes, sample = field.classes_at(candidates.where), samples[which]
        population = fit_population(sample, field, previous[which], classes, population, settings.n_fits)
        sweep(field, candidates, tables, population, classes)
        previous = [classes[:, one.places] for one in samples]
    return field, replace(population, noises=None)


def _noises(tables):
    """Places in ``LOG_SIGMA`` between which the noise of the candidates lies, at all nodes of their signal."""
    places = [(noise_of(index.min()), noise_of(index.max())) for _, _, index, _ in tables]
    return slice(min(low for low, _ in places), max(high for _, high in places) + 1) if places else None
