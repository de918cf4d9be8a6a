"""Figures as files."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crstack.files.whole import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["save_figure"]


def save_figure(figure: "Figure", path: str | os.PathLike, dpi: float = 150) -> None:
    """Write a figure to a file, completely or not at all.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    path : path-like
        Replaced if it exists; its ending sets the format.
    dpi : float, optional
        Dots per inch.

    Raises
    ------
    InputError
        If the directory cannot be written.
    """
    # a lower compression makes a PNG file slightly larger, but is much faster
    options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if Path(path).suffix.lower() == ".png" else {}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, **options)
