"""Lines of the HISTORY of a FITS header, longer than a card."""

__all__ = ["LONGEST", "add_history", "header_line", "history_of"]

#: letters of a card of HISTORY, and the last one of a card whose line goes on in the next
LONGEST, GOES_ON = 72, "&"


def header_line(text):
    """Text that a FITS header can hold: printable ASCII, other letters escaped."""
    escaped = str(text).encode("ascii", "backslashreplace").decode("ascii")
    if escaped.isprintable():
        return escaped
    return "".join(letter if letter.isprintable() else " " for letter in escaped)


def add_history(header, lines):
    """Add lines to the HISTORY of a header, but for those that it has; `history_of` gives them back whole.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Changed in place.
    lines : iterable of str
        A line that is longer than a card goes on in the next; "&" ends the card before, as with CONTINUE.
    """
    there = set(history_of(header))
    for line in map(header_line, lines):
        if line in there:
            continue
        rest = line
        while len(rest) > LONGEST or (len(rest) == LONGEST and rest.endswith(GOES_ON)):
            header.add_history(rest[: LONGEST - 1] + GOES_ON)
            rest = rest[LONGEST - 1 :]
        header.add_history(rest)


def history_of(header):
    """Lines of the HISTORY of a header, those that `add_history` has split in one piece."""
    lines, begun = [], ""
    for card in map(str, header.get("HISTORY", ())):
        if len(card) == LONGEST and card.endswith(GOES_ON):
            begun += card[:-1]
        else:
            lines.append(begun + card)
            begun = ""
    return [*lines, begun] if begun else lines
