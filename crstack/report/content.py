"""The content of the page: images of the viewer, tables and figures."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Figure", "Layer", "Report", "Section"]


@dataclass(frozen=True, eq=False)
class Layer:
    """An image of the viewer.

    Attributes
    ----------
    name : str
        Such as "median2d".
    words : str
        Description.
    image : `~numpy.ndarray`
        (ny, nx); its first row is the bottom, as in FITS.
    mask : str or None
        Mask that belongs to it.
    exposure : int or None
        Number of the exposure, from 1.
    """

    name: str
    words: str
    image: np.ndarray
    mask: str | None = None
    exposure: int | None = None


@dataclass(frozen=True)
class Section:
    """A table with its heading.

    Attributes
    ----------
    title : str
        Heading.
    heads : tuple of str
        Heads of the columns.
    rows : list of tuple
        Its rows.
    notes : tuple of (str, str)
        Words of the table, and their meaning.
    folded : bool
        Whether it is closed at first.
    """

    title: str
    heads: tuple
    rows: list
    notes: tuple = ()
    folded: bool = False


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes
    ----------
    name : str
        Name of its file.
    caption : str
        Caption.
    png : str
        The picture, in base64.
    """

    name: str
    caption: str
    png: str


@dataclass(frozen=True, eq=False)
class Report:
    """Content of the page.

    Attributes
    ----------
    title, sentence : str
        Heading, and summary.
    warnings : sequence of str
        Shown right below.
    layers : sequence of Layer
        Images of the viewer; the first is shown first.
    codes : dict of str to `~numpy.ndarray`
        uint8 (ny, nx) by mask: `~crstack.masks.Code`.
    finder : str
        Name of the method.
    probability : `~numpy.ndarray` or None
        (N, ny, nx).
    hits : sequence of `~crstack.report.Hit`
        Rows of the table.
    hits_notes : sequence of (str, str)
        Words of that table, and their meaning.
    counts : dict of str to int
        Number of hits of each kind, listed or not.
    unit : str
        Unit of the images.
    sections : sequence of Section
        Before the figures.
    figures : sequence of Figure
        The figures.
    last_sections : sequence of Section
        After the figures.
    files : sequence of str
        Names of files beside the page.
    end : str
        Last line.
    viewer : str
        From `encode_viewer`; if empty, it is made with the page.
    """

    title: str
    sentence: str
    warnings: tuple
    layers: tuple
    codes: dict
    finder: str
    probability: object
    hits: tuple
    hits_notes: tuple
    counts: dict
    unit: str
    sections: tuple = ()
    figures: tuple = ()
    last_sections: tuple = ()
    files: tuple = ()
    end: str = ""
    viewer: str = ""
