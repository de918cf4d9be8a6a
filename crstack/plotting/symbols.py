"""Symbols of flagged pixels by code, with their key."""

import numpy as np

from crstack.masks import Code

__all__ = ["SIZES", "SYMBOLS", "draw_key", "draw_symbols", "key_of_codes", "symbol_size", "words_of", "words_of_codes"]

#: symbol, colour and words by code; distinct in shape, and in colour for colour-blind readers
SYMBOLS = {
    Code.DILATED: ("s", "#b0b0b0", "dilation only"),
    Code.MMCOSMIC: ("+", "#0072b2", "{finder} only"),
    Code.AUXILIARY: ("x", "#d55e00", "auxiliary detector only"),
    Code.BOTH: ("o", "#aa3377", "both"),
    Code.GIVEN: ("D", "#009e73", "given"),
    Code.LOW: ("v", "#56b4e9", "too low"),
    Code.SOURCE: ("*", "#e69f00", "source in some exposures"),
    Code.TRAIL: ("_", "#f0e442", "trail"),
    Code.MOVED: ("|", "#882255", "moved target"),
}
#: size of the symbols, by the least number of pixels
SIZES = ((0, 6.0), (300, 4.5), (3000, 3.0), (20000, 1.5), (60000, 0.8))


def symbol_size(n_pixels):
    """Size of the symbols for a number of pixels, in points."""
    return [size for least, size in SIZES if n_pixels >= least][-1]


def key_of_codes(codes, finder, marker=None):
    """Words and symbols of the codes that occur, for `draw_key`.

    Parameters
    ----------
    codes : `~numpy.ndarray`
        Codes of the flagged pixels.
    finder : str
        Name of the method.
    marker : str, optional
        Filled marker in the colours of the codes; by default the symbols of the diagram.
    """
    key, words = [], words_of_codes(np.unique(codes).tolist(), finder)
    for code, (own, colour, _) in SYMBOLS.items():
        if (codes == code).any():
            look = {"marker": marker or own, "color": colour, "markerfacecolor": colour if marker else "none"}
            key.append((words[code], look))
    return key


def words_of(code, finder="M.M.Cosmic"):
    """Text of a code in a legend; ``finder`` is the name of the method."""
    return SYMBOLS[code][2].format(finder=finder)


def words_of_codes(held, finder):
    """Texts of the codes that occur, by code, for a legend.

    "Only" is left out unless an auxiliary detector has found pixels too.

    Parameters
    ----------
    held : collection of int
        The codes.
    finder : str
        Name of the method.
    """
    words = {code: words_of(code, finder) for code in SYMBOLS if code in held}
    if Code.AUXILIARY in words or Code.BOTH in words:
        return words
    return {code: text.removesuffix(" only") for code, text in words.items()}


def draw_symbols(axes, x, y, codes, *, finder="M.M.Cosmic", size=None, rasterized=True):
    """Draw a symbol for each pixel, by its code. In vector files they are drawn as pixels if ``rasterized``.

    Returns
    -------
    lines : dict of Code to `~matplotlib.lines.Line2D`
        One for each code, also for those that have no pixel.
    """
    if size is None:
        size = symbol_size(len(x))
    lines = {}
    for code, (marker, colour, _) in SYMBOLS.items():
        wanted = codes == code
        (lines[code],) = axes.plot(
            x[wanted],
            y[wanted],
            marker,
            color=colour,
            label=words_of(code, finder),
            markersize=size,
            markerfacecolor="none",
            markeredgewidth=min(1.3, size / 3),
            rasterized=rasterized,
        )
    return lines


def draw_key(figure, entries, x, y):
    """Draw symbols and their text in one line, which is much faster than the legend of matplotlib.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        Where, on its first axes' page.
    entries : list of (str, dict)
        Words, and properties of a line or a symbol.
    x, y : float
        Middle of the key, in parts of the figure.
    """
    from matplotlib.lines import Line2D

    width = figure.get_size_inches()[0]
    # letters of the size of 8 points are 0.062 inches wide on average
    sizes = [(0.45 + 0.062 * len(words)) / width for words, _ in entries]
    left = x - sum(sizes) / 2
    for (words, look), size in zip(entries, sizes, strict=True):
        ends = [left, left + 0.22 / width] if look.get("marker") is None else [left + 0.11 / width]
        figure.add_artist(Line2D(ends, [y] * len(ends), transform=figure.transFigure, **look))
        figure.text(left + 0.3 / width, y, words, fontsize=8, va="center_baseline")
        left += size
