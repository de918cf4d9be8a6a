"""Numbers that describe a result, as a dict with a readable text."""

from html import escape

__all__ = ["Summary"]


class Summary(dict):
    """Numbers by name. ``str(summary)`` gives readable lines, and a notebook shows a table."""

    def __str__(self):
        width = max((len(name) for name in self), default=0)
        return "\n".join(f"{name:<{width}}  {_in_words(value)}" for name, value in self.items())

    def _repr_html_(self):
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(_in_words(value))}</td></tr>"
            for name, value in self.items()
        )
        return f"<table>{rows}</table>"


def _in_words(value):
    if isinstance(value, list | tuple):
        return ", ".join(f"({_in_words(one)})" if isinstance(one, list | tuple) else _in_words(one) for one in value)
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
