"""The stacks of a directory: its FITS files, grouped by keywords of their headers."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crstack.batch.group_names import names_of_groups, plain_value
from crstack.batch.headers import headers_of_directory, text_of
from crstack.batch.stacks import LEAST_EXPOSURES, Stack, as_stacks
from crstack.batch.unlike import sentence_of_unlike, unlike_stacks
from crstack.exceptions import InputError
from crstack.exposures.comparison.setups import KEYWORDS
from crstack.utils.warn import warn_user
from crstack.utils.words import first_few

__all__ = ["stacks_of_directory"]


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
        Header keywords: exposures with equal values are one stack. They are those of the image, in the extension
        ``extnum`` of the settings or in the first one that holds an image, and of the primary header.
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
    headers = headers_of_directory(directory, [*keywords, *only, *KEYWORDS], (settings or {}).get("extnum"))
    _check_keywords(headers, [*keywords, *only])
    groups = _grouped(_selected(headers, only, directory), keywords)
    alone = [_paths(found, directory)[0] for found in groups.values() if len(found) < LEAST_EXPOSURES]
    stacks = {values: found for values, found in groups.items() if len(found) >= LEAST_EXPOSURES}
    if not stacks:
        raise InputError(f"two or more exposures of {directory} must share {', '.join(keywords)}; got none")
    names = names_of_groups(stacks)
    _warn_of_unlike({names[values]: found for values, found in stacks.items()}, keywords)
    return as_stacks({names[values]: _paths(found, directory) for values, found in stacks.items()}, settings), alone


def _check_keywords(headers, keywords):
    """Refuse keywords that no header has."""
    absent = [key for key in keywords if all(one[key] is None for one in headers)]
    if absent:
        commas = "; separate keywords by commas" if any(" " in key for key in absent) else ""
        raise InputError(
            f"keywords of the groups must be in the headers; got {', '.join(absent)}, which no file has{commas}"
        )


def _grouped(headers, keywords):
    """Headers by the values of their keywords, a dict; warns of keywords that some headers lack."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    lacking: dict[str, list[str]] = {}
    for header in headers:
        values = {key: plain_value(text_of(header[key])) for key in keywords}
        for key in keywords:
            if not values[key]:
                lacking.setdefault(key, []).append(header["file"])
        groups.setdefault(tuple(values.values()), []).append(header)
    for key, files in lacking.items():
        warn_user(
            f"{key} is absent or empty in {len(files)} files, which are grouped under the name none: "
            f"{first_few(files)}. Leave them out with only (--only of the command), or add the keyword"
        )
    return groups


def _warn_of_unlike(stacks, keywords):
    """Warn of stacks, headers by name, whose exposures have different filters, binnings or kinds of image."""
    unlike = unlike_stacks(stacks)
    if unlike:
        missing = [key for key in KEYWORDS if any(key in words for words in unlike.values())]
        remedy = f"Group by {','.join([*keywords, *missing])} (--group-by of the command)"
        warn_user(sentence_of_unlike(unlike, len(stacks), remedy))


def _paths(headers, directory):
    """Paths of the files of some headers."""
    return [str(Path(directory) / one["file"]) for one in headers]


def _selected(headers, only, directory):
    """Headers whose keywords have the values ``only``."""
    for key, wanted in only.items():
        found = [one for one in headers if _is(text_of(one[key]), wanted)]
        if not found:
            values = dict.fromkeys(plain_value(text_of(one[key])) or "no value" for one in headers)
            raise InputError(
                f"only (--only of the command) must select files of {directory}; got {key}={wanted}, where "
                f"{len(headers)} files have {first_few(list(values))}"
            )
        headers = found
    return headers


def _is(value, wanted):
    """Whether two values in words are the same, in upper and lower case; numbers may be written in another way."""
    value, wanted = (one.strip().lower() for one in (value, wanted))
    try:
        return float(value) == float(wanted)
    except ValueError:
        return value == wanted
