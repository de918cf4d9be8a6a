"""Words of messages and figures."""

__all__ = ["amount_of_bytes", "counted", "first_few", "kind_of", "plain", "unit_words"]


def counted(number, word):
    """A number with its word in the singular or plural, such as "1 pixel" or "2 pixels"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def first_few(words, most=5):
    """The first of several words, and the number of the others, such as "a.fits, b.fits and 3 more"."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def kind_of(value):
    """What a value is, in one word."""
    kinds = {dict: "mapping", list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
    return kinds.get(type(value), type(value).__name__)


def plain(value, digits=3):
    """A number with some significant digits, and without an exponent below ten million, such as "1180"."""
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(value) < 1e7 else text


def amount_of_bytes(n_bytes):
    """A number of bytes in words, such as "3.4 GB"."""
    if n_bytes < 1e5:
        return counted(round(n_bytes), "byte")
    return f"{n_bytes / 1e9:.3g} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.3g} MB"


def unit_words(unit):
    """A unit as text; "no unit" for a dimensionless one, whose own text is empty."""
    return str(unit).strip() or "no unit"
