"""Odds of each value to be hit, for a population of hits."""

import numpy as np

from crstack.joint.candidates import pieces_of
from crstack.joint.likelihood import hit_weights
from crstack.utils.threads import map_threads

__all__ = ["UNKNOWN", "log_odds_alone", "log_ratio", "of_known", "with_evidence"]

#: log odds of a bad value, which exclude it from all sums
UNKNOWN = np.float32(60)


def log_ratio(some, clean, index, classes, population):
    """Logarithms of hit over not hit, with the prior odds of the classes, and of the density of values without a hit.

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
    return with_evidence(some, clean, population.log_ratios(classes[:, None], index), population)


def with_evidence(some, clean, logs, population):
    """As `log_ratio`, from the two ``logs`` of ``Population.log_ratios``."""
    log_hit, log_not_hit = logs
    ratio, not_hit = log_hit - clean, log_not_hit + clean
    if some.detected is not None:
        ratio += (np.float32(population.detector_odds) * some.detected)[:, None]
    if some.unknown is not None:
        # a bad value counts as hit: it must not be the clean value that each set of hit values leaves
        unknown = np.broadcast_to(some.unknown[:, None], ratio.shape)
        ratio[unknown], not_hit[unknown] = UNKNOWN, -UNKNOWN
    return ratio, not_hit


def of_known(some, hit):
    """The weights (N, J, M) of hits, 0 for bad values."""
    if some.unknown is not None:
        hit[np.broadcast_to(some.unknown[:, None], hit.shape)] = 0
    return hit


def log_odds_alone(candidates, tables, population):
    """Log odds (N, M) of each value to be hit, as if it had no hit neighbours.

    All signals are taken as equally probable: the ``tables`` must be those of candidates without a prior.
    """
    classes = np.zeros(candidates.values.shape, dtype=np.int32)
    population.make_tables()

    def of_piece(piece, _nodes, clean, index, widths):
        some = candidates.some(piece)
        ratio, not_hit = log_ratio(some, clean, index, classes[:, piece], population)
        hit, rest = hit_weights(not_hit, ratio, widths)
        hit, rest = of_known(some, hit).sum(axis=1), rest.sum(axis=1)
        return np.log(np.maximum(hit, 1e-37)) - np.log(np.maximum(rest, 1e-37))

    def work(item):
        return np.concatenate([of_piece(*piece) for piece in pieces_of(*item)], axis=1)

    found = map_threads(work, zip(candidates.parts(), tables, strict=True))
    return np.concatenate(found, axis=1) if found else np.zeros(candidates.values.shape, np.float32)
