"""Words of messages and figures."""

__all__ = ["counted"]


def counted(number, word):
    """A number with its word in the singular or plural, such as "1 pixel" or "2 pixels"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
