"""Lines of the HISTORY of a FITS header. A line may be longer than a card."""

__all__ = ["LONGEST", "add_history", "header_line", "history_of"]

#: number of characters of a card of HISTORY
LONGEST = 72
#: end of a card whose line continues on the next card: after a word, and within a word; the second ends full cards only
AFTER_WORD, IN_WORD = " &", "&"
#: beginning of a card that continues a line after a word
INDENT = "  "


def header_line(text):
    """Text that a FITS header can hold: printable ASCII characters. Others are escaped."""
    escaped = str(text).encode("ascii", "backslashreplace").decode("ascii")
    if escaped.isprintable():
        return escaped
    return "".join(letter if letter.isprintable() else " " for letter in escaped)


def add_history(header, lines):
    """Add lines to the HISTORY of a header, except lines that it has already. `history_of` returns them whole.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Changed in place.
    lines : iterable of str
        A line that is longer than a card continues on the next card. It is broken between words: " &" ends the card,
        and the next card begins with two spaces. A word that is longer than a card is broken after "&".
    """
    there = set(history_of(header))
    for line in map(header_line, lines):
        if line not in there:
            for card in _cards_of(line.rstrip()):
                header.add_history(card)


def _cards_of(line):
    """Texts of the cards of a line."""
    indent, rest = "", line
    while len(indent + rest) > LONGEST or _continues(indent + rest):
        room = LONGEST - len(indent)
        end = rest.rfind(" ", 1, room - len(AFTER_WORD) + 1)
        if len(rest) <= room - len(AFTER_WORD):
            end = len(rest)  # the line itself ends like a card that continues on the next one
        if end > 0 and rest[:end].strip():
            yield indent + rest[:end] + AFTER_WORD
            indent, rest = INDENT, rest[end + 1 :]
        else:
            yield indent + rest[: room - len(IN_WORD)] + IN_WORD
            indent, rest = "", rest[room - len(IN_WORD) :]
    yield indent + rest


def _continues(card):
    """Whether the line of a card continues on the next card."""
    return card.endswith(AFTER_WORD) or (len(card) == LONGEST and card.endswith(IN_WORD))


def history_of(header):
    """Lines of the HISTORY of a header. Lines that `add_history` has split are joined."""
    lines, begun = [], None
    for card in map(str, header.get("HISTORY", ())):
        text = card if begun is None else begun + (card.removeprefix(INDENT) if begun.endswith(" ") else card)
        if _continues(card):
            begun = text.removesuffix(IN_WORD)
        else:
            lines.append(text.rstrip() if begun is not None else text)
            begun = None
    return lines if begun is None else [*lines, begun.rstrip()]
