"""The hits of a run, the most important first."""

from dataclasses import dataclass

import numpy as np

from crstack.masks.features import PROBLEMATIC, find_features, labels_of

__all__ = ["KINDS", "Hit", "list_hits"]

#: kinds of hits, in the order of the table
KINDS = ("every exposure", "coincident", "touching", "single")


@dataclass(frozen=True)
class Hit:
    """One row of the table.

    Attributes
    ----------
    name : str
        Number in the table of MEDIANCR; with P in that of the problematic pixels, with T in that of MEANCRT.
    kind : str
        One of `KINDS`.
    x, y : float
        Centre, FITS coordinates.
    box : tuple of int
        xmin, xmax, ymin, ymax; FITS coordinates.
    n_pixels : int
        Number of pixels.
    exposures : str
        Numbers of the exposures that are masked in it.
    peak : float
        Highest value of an exposure above min2d.
    category : str
        Class of the table of hits.
    probability : float or None
        Highest probability of a value in it to be hit.
    """

    name: str
    kind: str
    x: float
    y: float
    box: tuple
    n_pixels: int
    exposures: str
    peak: float
    category: str
    probability: float | None = None


def list_hits(masks, excess, most=600):
    """List the hits: those in every exposure, then coincident, touching and single ones; the strongest first.

    Parameters
    ----------
    masks : `~crstack.MaskSet`
        The masks.
    excess : `~numpy.ndarray`
        (ny, nx): the highest value of the exposures above min2d.
    most : int, optional
        Most rows.

    Returns
    -------
    hits : list of Hit
    counts : dict of str to int
        Number of hits of each kind, listed or not.
    """
    problematic = masks.problematic
    found = []
    covered = np.zeros(masks.shape, dtype=bool)
    for name, letter in (("MEDIANCR", ""), (PROBLEMATIC, "P"), ("MEANCRT", "T")):
        labels = labels_of(masks, name)
        table = find_features(masks, excess, name)
        new = ~_holding(labels, covered, len(table))
        everywhere = _holding(labels, problematic, len(table))
        covered |= labels > 0
        alone = np.asarray(table["n_exposures"]) == 1
        # the median of two exposures is hit where one of them is: in MEDIANCR, too, hits are single or touch
        coincident = name == "MEDIANCR" and len(masks.crmasks) > 2
        others = np.full(len(table), 1) if coincident else np.where(alone, 3, 2)
        kinds, peaks = np.where(everywhere, 0, others), np.asarray(table["peak"], dtype=float)
        found += [(kinds[row], -peaks[row], letter, table, row) for row in np.flatnonzero(new)]
    number = np.bincount([one[0] for one in found], minlength=len(KINDS)).tolist()
    found.sort(key=lambda one: one[:2])
    hits = [_hit(KINDS[kind], *one, masks.probability) for kind, _, *one in found[:most]]
    return hits, dict(zip(KINDS, number, strict=True))


def _holding(labels, mask, n):
    """Which of ``n`` features hold a pixel of a mask."""
    inside = np.zeros(n + 1, dtype=bool)
    inside[labels[mask]] = True
    return inside[1:]


def _hit(kind, letter, table, row, probability):
    """The `Hit` of a row of a table."""
    one = table[int(row)]
    box = tuple(int(one[name]) for name in ("xmin", "xmax", "ymin", "ymax"))
    chance = None
    if probability is not None:
        left, right, bottom, top = box
        chance = float(probability[:, bottom - 1 : top, left - 1 : right].max())
    exposures = ", ".join(str(i) for i, digit in enumerate(one["exposures"], start=1) if digit == "1")
    return Hit(
        name=f"{letter}{one['number']}",
        kind=kind,
        x=float(one["xcentroid"]),
        y=float(one["ycentroid"]),
        box=box,
        n_pixels=int(one["n_pixels"]),
        exposures=exposures,
        peak=float(one["peak"]),
        category=str(one["category"]),
        probability=chance,
    )
