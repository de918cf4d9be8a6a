"""Numbers of flagged pixels, by mask and code."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.table import QTable

from crstack.masks.codes import Code
from crstack.utils.threads import map_threads

__all__ = ["table_of_counts"]

#: codes of the columns, in their order
COLUMNS = (
    Code.MMCOSMIC,
    Code.AUXILIARY,
    Code.BOTH,
    Code.DILATED,
    Code.GIVEN,
    Code.LOW,
    Code.SOURCE,
    Code.TRAIL,
    Code.MOVED,
)


def table_of_counts(codes: Mapping[str, np.ndarray], finder: str) -> QTable:
    """Number of pixels by mask and code.

    Parameters
    ----------
    codes : mapping of str to `~numpy.ndarray`
        Codes (ny, nx) of each mask.
    finder : str
        Label of the method that decided.

    Returns
    -------
    table : `~astropy.table.QTable`
        One row for each mask: see `~crstack.MaskSet.counts`.
    """

    def row(item: tuple[str, np.ndarray]) -> tuple[Any, ...]:
        name, plane = item
        left = int(np.count_nonzero(plane))
        numbers = [left]
        for code in COLUMNS:
            # most masks have one code
            numbers.append(int(np.count_nonzero(plane == code)) if left else 0)
            left -= numbers[-1]
        return name, *numbers

    rows = map_threads(row, codes.items())
    others = ["name", "flagged", *(code.name.lower() for code in COLUMNS[1:])]
    return QTable(rows=rows, names=(*others[:2], _column_of(finder, others), *others[2:]))


def _column_of(finder: str, others: Sequence[str]) -> str:
    """Name of the column of the pixels that a method found alone: the first word of its label, if it is free."""
    word = re.sub(r"[^a-z0-9]", "", finder.lower().split()[0]) if finder.split() else ""
    return word if word and word not in others else "method"
