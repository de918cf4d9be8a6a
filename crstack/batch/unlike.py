"""Stacks whose exposures have different filters, binnings or kinds of image, before they are run."""

from crstack.batch.headers import header_of
from crstack.exceptions import InputError
from crstack.exposures.comparison.setups import KEYWORDS, TAKEN_FOR_HITS, unlike_setups
from crstack.utils.words import counted

__all__ = ["headers_of_stacks", "sentence_of_unlike", "unlike_stacks"]

#: most stacks that a sentence describes
MOST_DESCRIBED = 3


def headers_of_stacks(stacks):
    """Headers of the exposures of stacks, without files that cannot be read.

    Parameters
    ----------
    stacks : sequence of `~crstack.batch.Stack`
        The stacks.

    Returns
    -------
    headers : dict of list
        By the name of each stack, mappings with the name of the file, ``"file"``.
    """
    found = {}
    for stack in stacks:
        headers = found.setdefault(stack.name, [])
        for image in stack.images:
            try:
                header = header_of(image, stack.settings.get("extnum"))
            except InputError:  # the run of this stack reports it; or it is a pattern
                continue
            headers.append({"file": str(image), **{key: header.get(key) for key in KEYWORDS}})
    return found


def unlike_stacks(headers):
    """Find the stacks whose exposures have different setups.

    Parameters
    ----------
    headers : dict of list
        By the name of each stack, mappings of keywords, and of ``"file"``.

    Returns
    -------
    found : dict of dict
        By the name of such a stack, words on each keyword that differs.
    """
    words = {name: unlike_setups(some, [one["file"] for one in some]) for name, some in headers.items()}
    return {name: one for name, one in words.items() if one}


def sentence_of_unlike(found, n_stacks, remedy):
    """A warning on stacks of `unlike_stacks`, of a number of stacks, with a remedy."""
    shown = [f"{name}: {', '.join(words.values())}" for name, words in list(found.items())[:MOST_DESCRIBED]]
    more = f"; and {counted(len(found) - MOST_DESCRIBED, 'more stack')}" if len(found) > MOST_DESCRIBED else ""
    return (
        f"{counted(len(found), 'stack')} of {n_stacks} would have exposures of different setups "
        f"({'; '.join(shown)}{more}). {TAKEN_FOR_HITS}. {remedy}"
    )
