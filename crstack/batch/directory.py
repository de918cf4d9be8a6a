"""The stacks of a directory: its FITS files, grouped by keywords of their headers."""

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from astropy.table import Row

from crstack.batch.group_names import names_of_groups, plain_value
from crstack.batch.stacks import LEAST_EXPOSURES, Stack, as_stacks
from crstack.exceptions import InputError
from crstack.exposures.comparison.setups import KEYWORDS, TAKEN_FOR_HITS, unlike_setups
from crstack.utils.warn import warn_user
from crstack.utils.words import counted

__all__ = ["stacks_of_directory"]

#: most stacks of unlike exposures that a warning describes
MOST_DESCRIBED = 3


def stacks_of_directory(
    directory: str | os.PathLike,
    group_by: Sequence[str],
    settings: Mapping | None = None,
    only: Mapping[str, str] | None = None,
) -> tuple[list[Stack], list[str]]:
    """Group the FITS files of a directory by header keywords.

    Parameters
    ----------
    directory : path-like
        Directory of the FITS files. Subdirectories are not searched.
    group_by : sequence of str
        Header keywords: exposures with equal values are one stack.
    settings : mapping, optional
        Settings common to all stacks: the content of a parameter file without ``images``.
    only : mapping of str, optional
        Values that a header must have, such as ``{"IMAGETYP": "object"}``.

    Returns
    -------
    stacks : list of Stack
        In the order of their first file.
    alone : list of str
        Files that share their values with no other.

    Raises
    ------
    InputError
        If the directory does not exist or holds no FITS file, no file has the values of ``only``, or no two files have
        equal keywords.

    Warns
    -----
    CRStackWarning
        If files cannot be read, or lack a keyword, which makes them a group of their own; if groups with different
        values have names with numbers; or if exposures of a group have different filters, binnings or kinds of image.
    """
    if not Path(directory).is_dir():
        raise InputError(f"directory of exposures must exist; got {directory}")
    keywords = [str(keyword).strip().upper() for keyword in group_by]
    if not keywords or not all(keywords):
        got = "an empty one" if keywords else "none"
        raise InputError(f"group_by must name one or more header keywords, such as OBJECT; got {got}")
    only = {key.upper(): str(value) for key, value in (only or {}).items()}
    summary = _headers_of(directory, sorted({*keywords, *only, *KEYWORDS}))
    absent = [key for key in (*keywords, *only) if _in_no_header(summary, key)]
    if absent:
        commas = "; separate keywords by commas" if any(" " in key for key in absent) else ""
        raise InputError(
            f"keywords of the groups must be in the headers; got {', '.join(absent)}, which no file has{commas}"
        )
    groups: dict[tuple[str, ...], list[Row]] = {}
    lacking: dict[str, list[str]] = {}
    for row in _selected(summary, only, directory):
        values = {key: plain_value(_text_of(row, key)) for key in keywords}
        for key in keywords:
            if not values[key]:
                lacking.setdefault(key, []).append(str(row["file"]))
        groups.setdefault(tuple(values.values()), []).append(row)
    for key, files in lacking.items():
        warn_user(
            f"{key} is absent or empty in {len(files)} files, which are grouped under the name none: {_few(files)}. "
            "Leave them out with only (--only of the command), or add the keyword"
        )
    alone = [_paths(rows, directory)[0] for rows in groups.values() if len(rows) < LEAST_EXPOSURES]
    stacks = {values: rows for values, rows in groups.items() if len(rows) >= LEAST_EXPOSURES}
    if not stacks:
        raise InputError(f"two or more exposures of {directory} must share {', '.join(keywords)}; got none")
    names = names_of_groups(stacks)
    _warn_of_unlike({names[values]: rows for values, rows in stacks.items()}, keywords)
    return as_stacks({names[values]: _paths(rows, directory) for values, rows in stacks.items()}, settings), alone


def _paths(rows, directory):
    """Paths of the files of some rows of a table of headers."""
    return [str(Path(directory) / row["file"]) for row in rows]


def _warn_of_unlike(stacks, keywords):
    """Warn of stacks whose exposures have different setups; ``stacks`` are rows of a table of headers by name."""
    found = {}
    for name, rows in stacks.items():
        words = unlike_setups([_setup_of(row) for row in rows], [str(row["file"]) for row in rows])
        if words:
            found[name] = words
    if not found:
        return
    shown = [f"{name}: {', '.join(words.values())}" for name, words in list(found.items())[:MOST_DESCRIBED]]
    more = f"; and {counted(len(found) - MOST_DESCRIBED, 'more stack')}" if len(found) > MOST_DESCRIBED else ""
    missing = [key for key in KEYWORDS if any(key in words for words in found.values())]
    warn_user(
        f"{counted(len(found), 'stack')} of {len(stacks)} would have exposures of different setups "
        f"({'; '.join(shown)}{more}). {TAKEN_FOR_HITS}. Group by {','.join([*keywords, *missing])} (--group-by of the "
        "command)"
    )


def _setup_of(row):
    """Values of the keywords of the setup in a row of a table of headers, as in a header."""
    values = {key: row[key.lower() if key.lower() in row.colnames else key] for key in KEYWORDS}
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in values.items()}


def _headers_of(directory, keywords):
    """Table of keywords of the FITS files of a directory."""
    from ccdproc import ImageFileCollection

    with _quiet_collection() as unread:
        collection = ImageFileCollection(directory, keywords=keywords)
        summary = collection.summary if len(collection.files) else None
    if not len(collection.files):
        raise InputError(f"directory of exposures must hold FITS files; got none in {directory}")
    if unread:
        warn_user(f"files without a readable FITS header are left out: {_few(sorted(unread))}")
    if summary is None or not len(summary):
        raise InputError(f"directory of exposures must hold FITS files; got {len(unread)} that cannot be read")
    return summary


def _in_no_header(summary, key):
    """Whether no file of a table of headers has a keyword."""
    column = summary[key.lower() if key.lower() in summary.colnames else key]
    return bool(np.all(np.ma.getmaskarray(np.ma.asarray(column))))


def _text_of(row, key):
    """Value of a keyword in a row of a table of headers, as text."""
    return str(row[key.lower() if key.lower() in row.colnames else key])


def _selected(summary, only, directory):
    """Rows of a table of headers whose keywords have the values ``only``."""
    rows = list(summary)
    for key, wanted in only.items():
        found = [row for row in rows if _text_of(row, key).strip().lower() == wanted.strip().lower()]
        if not found:
            values = dict.fromkeys(plain_value(_text_of(row, key)) or "no value" for row in rows)
            raise InputError(
                f"only (--only of the command) must select files of {directory}; got {key}={wanted}, where "
                f"{len(rows)} files have {_few(list(values))}"
            )
        rows = found
    return rows


def _few(names, most=5):
    """The first names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@contextmanager
def _quiet_collection():
    """Collect the names of the files that ccdproc cannot read, in place of its log; a cut file is reported later."""
    unread, logger = [], logging.getLogger("ccdproc.image_collection")

    def note(record):
        if record.levelno != logging.WARNING or not record.args:
            return True
        unread.append(Path(str(record.args[0])).name)
        return False

    logger.addFilter(note)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "File may have been truncated")
            warnings.filterwarnings("ignore", "no FITS files in the collection")  # an error follows
            yield unread
    finally:
        logger.removeFilter(note)
