"""Names of stacks by the values of header keywords: different values never share a name."""

import re
from collections.abc import Iterable

from crstack.utils.warn import warn_user
from crstack.utils.words import first_few

__all__ = ["names_of_groups", "plain_value", "word_of"]

#: most groups of one name that a warning shows
MOST_SHOWN = 4


def word_of(value: str) -> str:
    """Return a value as part of the name of a stack; empty for a keyword that is absent ("--") or empty.

    A name must not begin with a hyphen, which a shell takes for an option: -10 is minus10.
    """
    signed = re.sub(r"^-(?=\.?\d)", "minus", value.strip())
    return re.sub(r"[^\w.+-]+", "-", signed).strip("-.")


def plain_value(value: str) -> str:
    """Return a value by which exposures are grouped: blanks do not count; empty for a keyword that has no value."""
    return " ".join(value.split()) if word_of(value) else ""


def names_of_groups(groups: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Give each group a name.

    Parameters
    ----------
    groups : iterable of tuple of str
        The values of the keywords of each group.

    Returns
    -------
    names : dict of str
        The name of each group. Names differ, also in lower case. The values r and r' both give the word r. Then the
        first of them, in alphabetical order, has the plain name, and the others a number. The name of a group does
        not depend on the order of the files.

    Warns
    -----
    CRStackWarning
        If a name has a number.
    """
    plain = {values: "_".join(word_of(value) or "none" for value in values) for values in groups}
    alike: dict[str, list] = {}
    for values in sorted(plain):
        alike.setdefault(plain[values].lower(), []).append(values)
    names, taken = {}, set(alike)
    for members in alike.values():
        names[members[0]] = plain[members[0]]
        number = 1
        for values in members[1:]:
            name = f"{plain[values]}_{(number := number + 1)}"
            while name.lower() in taken:
                name = f"{plain[values]}_{(number := number + 1)}"
            taken.add(name.lower())
            names[values] = name
        if len(members) > 1:
            _warn_of_numbers(members, names)
    return {values: names[values] for values in plain}


def _warn_of_numbers(members, names):
    """Warn of names that need numbers, because other values would give the same name."""
    shown = first_few([f"{' and '.join(map(repr, one))} is {names[one]}" for one in members], MOST_SHOWN)
    warn_user(
        f"different values of the group keywords give one name, and the names have numbers: {shown}. If they "
        "mean the same, write one value into the headers"
    )
