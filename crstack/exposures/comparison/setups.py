"""Filters, gratings, binning, gains and kind of image by the headers: exposures of one stack share them."""

import shlex

import numpy as np

from crstack.exposures.input.keywords import USUAL_KEYWORDS, is_count
from crstack.utils.warn import warn_user
from crstack.utils.words import first_few

__all__ = ["KEYWORDS", "TAKEN_FOR_HITS", "unlike_setups", "warn_of_gains", "warn_of_setups"]

#: keywords of what the light passes through, of the pixels, and of the kind of image, such as a flat field
KEYWORDS = (
    *("FILTER", "FILTER1", "FILTER2", "FILTER3", "FILTERS", "FILTNAM", "GRATING", "GRISM", "DISPERSR", "SLIT"),
    *("CCDSUM", "XBINNING", "YBINNING", "IMAGETYP", "OBSTYPE"),
)
#: keywords that may be numbers
NUMBERS = ("XBINNING", "YBINNING")
#: relative difference up to which gains of headers count as equal: some are measured for each exposure
SAME_GAIN = 0.02
#: what happens to exposures of different setups
TAKEN_FOR_HITS = "What one exposure shows and the others do not is taken for hits"
#: most values, and most exposures of one value, that are named
MOST_VALUES, MOST_NAMED = 4, 3


def warn_of_setups(headers, names):
    """Give one warning if the headers of the exposures name different filters, gratings, binnings or kinds of image.

    Parameters
    ----------
    headers : sequence of mapping
        Of the exposures. A keyword counts where each of them has it.
    names : sequence of str
        Of the exposures.

    Warns
    -----
    CRStackWarning
        With the values and the exposures.
    """
    found = unlike_setups(headers, names)
    if found:
        warn_user(
            f"the headers name different setups: {'; '.join(found.values())}. {TAKEN_FOR_HITS}. Combine exposures of "
            f"one setup only; crstack batch --group-by {','.join(found)} sorts them"
        )


def warn_of_gains(headers, names):
    """Warn if the headers of exposures in ADU give different gains, while one gain is given for all.

    Parameters
    ----------
    headers, names
        As for `warn_of_setups`. The first usual keyword of a gain that holds a number in each header is compared.

    Warns
    -----
    CRStackWarning
        With the gains and the exposures.
    """
    for keyword in USUAL_KEYWORDS["gain"]:
        gains = [header.get(keyword) for header in headers]
        if not all(is_count(one) and one > 0 for one in gains):
            continue
        if not np.allclose(gains, gains[0], rtol=SAME_GAIN):
            warn_user(
                "the headers name different gains, where one is given for all: "
                f"{keyword} is {_by_value([f'{one:g}' for one in gains], names)}. The noise of some exposures is then "
                "wrong, and their values have another scale. Combine exposures of one gain (crstack batch --group-by "
                f"{shlex.quote(keyword)} sorts them), or subtract the bias of each, multiply it by its gain, and give "
                "it in electrons, with an uncertainty"
            )
        return


def unlike_setups(headers, names):
    """Describe the setups that differ between exposures.

    Parameters
    ----------
    headers, names
        As for `warn_of_setups`.

    Returns
    -------
    words : dict of str
        By keyword, its values and the exposures of each value. Empty if the setups are the same.
    """
    found = {}
    for keyword in KEYWORDS:
        values = [_value(header, keyword) for header in headers]
        if None not in values and len(set(values)) > 1:
            found[keyword] = f"{keyword} is {_by_value(values, names)}"
    return found


def _value(header, keyword):
    """Value of a keyword as text, upper and lower case alike; None if there is none."""
    value = header.get(keyword)
    if keyword in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return value.strip().upper() if isinstance(value, str) and value.strip() else None


def _by_value(values, names):
    """Words for the exposures of each value."""
    words = []
    for value in dict.fromkeys(values):
        of_value = [name for one, name in zip(values, names, strict=True) if one == value]
        words.append(f"{value} in {first_few(of_value, MOST_NAMED)}")
    return first_few(words, MOST_VALUES)
