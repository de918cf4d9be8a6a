"""The stacks of a night: from a document or a table."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crstack.batch.group_names import word_of
from crstack.exceptions import InputError
from crstack.utils.words import kind_of

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["LEAST_EXPOSURES", "Stack", "as_stacks", "stacks_of_document", "stacks_of_table"]

#: least number of exposures in a stack
LEAST_EXPOSURES = 2
#: columns of a table that name the files
FILE_COLUMNS = ("images", "image", "file", "path", "filename")
NAME = re.compile(r"[\w+-][\w.+-]*")
LEVEL = "requirements"


@dataclass(frozen=True)
class Stack:
    """One stack: its name, and the content of its parameter file.

    Parameters
    ----------
    name : str
        Letters, digits and ``_ . + -``. It is also the name of the directory of the products.
    settings : mapping
        Content of a parameter file, ``images`` included.

    Raises
    ------
    InputError
        If the name cannot be that of a directory, or there is no list of images.
    """

    name: str
    settings: Mapping

    def __post_init__(self):
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            other = word_of(self.name) if isinstance(self.name, str) else ""
            hint = f" ({other} is possible)" if NAME.fullmatch(other) else ""
            raise InputError(f"name of a stack must be made of letters, digits and _ . + -; got {self.name!r}{hint}")
        images = self.settings.get("images")
        if isinstance(images, str | os.PathLike) or not isinstance(images, Iterable):
            raise InputError(f"images of stack {self.name} must be a list of files; got {images!r}")
        if not self.images:
            raise InputError(f"images of stack {self.name} must be {LEAST_EXPOSURES} or more; got none")

    def check_number(self) -> None:
        """Raise `InputError` if there are fewer than two images. Such a stack fails; the others of a night do not."""
        if len(self.images) < LEAST_EXPOSURES:
            raise InputError(f"images of stack {self.name} must be {LEAST_EXPOSURES} or more; got {len(self.images)}")

    @property
    def images(self) -> tuple:
        """Paths of the exposures, as given."""
        return tuple(os.fspath(image) for image in self.settings["images"])


def merged(common, own):
    """Settings of one stack: the common ones, overridden by its own at both levels of a parameter file."""
    settings = {**common, **own}
    if LEVEL in common or LEVEL in own:
        settings[LEVEL] = {**(common.get(LEVEL) or {}), **(own.get(LEVEL) or {})}
    return settings


def as_stacks(stacks, settings=None):
    """Stacks of a mapping or a sequence.

    Parameters
    ----------
    stacks : mapping or sequence of Stack
        For each name a list of images, or a mapping of the images and of the settings that differ from ``settings``.
    settings : mapping, optional
        Common settings of all stacks: the content of a parameter file.

    Returns
    -------
    stacks : list of Stack

    Raises
    ------
    InputError
        If a stack is wrong, or a name is given twice.
    """
    common = dict(settings or {})
    if isinstance(stacks, Mapping):
        made = []
        for name, own in stacks.items():
            own = own if isinstance(own, Mapping) else {"images": own}
            made.append(Stack(str(name), merged(common, own)))
    else:
        made = [Stack(one.name, merged(common, one.settings)) for one in stacks]
    if not made:
        raise InputError("stacks must hold one or more; got none")
    seen = set()
    for one in made:
        if one.name.lower() in seen:  # some file systems ignore case
            raise InputError(f"names of stacks must differ, also in lower case; got {one.name} twice")
        seen.add(one.name.lower())
    return made


def _located(stacks, directory):
    """Stacks whose images are searched in ``directory``, then in the current directory."""
    return [Stack(one.name, {**one.settings, "images": _paths(one.images, directory)}) for one in stacks]


def _paths(images, directory):
    """Paths of images that are searched in a directory first."""
    found = []
    for image in images:
        path = Path(image).expanduser()
        beside = directory / path
        found.append(str(beside if beside.exists() or not path.exists() else path))
    return found


def stacks_of_document(document: Mapping, directory: str | os.PathLike = ".") -> list[Stack]:
    """Read the stacks of a document with ``defaults`` and ``stacks``.

    Parameters
    ----------
    document : mapping
        ``defaults`` is the content of a parameter file without ``images``. ``stacks`` gives, by the name of each
        stack, its images, or a mapping of its images and of the settings that differ from ``defaults``.
    directory : path-like, optional
        Images are searched in this directory, then in the current one.

    Returns
    -------
    stacks : list of Stack
        In the order of the document.

    Raises
    ------
    InputError
        If the document has other keys, or a stack is wrong.
    """
    if not isinstance(document, Mapping) or "stacks" not in document:
        keys = ", ".join(map(str, document)) if isinstance(document, Mapping) else ""
        one = ": crstack run takes a parameter file" if "images" in keys.split(", ") else ""
        raise InputError(f"batch file must hold defaults: and stacks:; got no stacks{keys and f' among {keys}'}{one}")
    unknown = set(document) - {"defaults", "stacks"}
    if unknown:
        raise InputError(f"batch file must hold only defaults: and stacks:; got {', '.join(map(str, sorted(unknown)))}")
    defaults, stacks = document.get("defaults") or {}, document["stacks"]
    for name, value in (("defaults: keys with their values", defaults), ("stacks: names with their images", stacks)):
        if not isinstance(value, Mapping):
            raise InputError(f"batch file must hold {name}; got a {kind_of(value)} there")
    return _located(as_stacks(stacks, defaults), Path(directory))


def stacks_of_table(table: "Table", settings: Mapping | None = None, directory: str | os.PathLike = ".") -> list[Stack]:
    """Read the stacks of a table with a row for each exposure.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The column ``stack`` has the name of the stack, and the column ``images`` (or ``image``, ``file``, ``path``,
        ``filename``) that of the file. Other columns are keys of the parameter file, with one value in each stack.
    settings : mapping, optional
        Settings common to all stacks: the content of a parameter file without ``images``.
    directory : path-like, optional
        Images are searched in this directory, then in the current one.

    Returns
    -------
    stacks : list of Stack
        In the order of their first row.

    Raises
    ------
    InputError
        If a column is missing, or a key has two values in one stack.
    """
    column = next((name for name in FILE_COLUMNS if name in table.colnames), None)
    if column is None or "stack" not in table.colnames:
        wanted = f"stack and one of {', '.join(FILE_COLUMNS)}"
        raise InputError(
            f"table of exposures must have the columns {wanted}; got {', '.join(table.colnames) or 'none'}"
        )
    keys = [name for name in table.colnames if name not in ("stack", column)]
    stacks: dict[str, dict[str, Any]] = {}
    for row in table:
        name = str(row["stack"])
        own = stacks.setdefault(name, {"images": []})
        own["images"].append(str(row[column]))
        for key in keys:
            value = row[key].item() if hasattr(row[key], "item") else row[key]
            if own.setdefault(key, value) != value:
                raise InputError(f"{key} must have one value in stack {name}; got {own[key]} and {value}")
    return _located(as_stacks(stacks, settings), Path(directory))
