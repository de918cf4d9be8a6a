"""Images encoded as text: one scale for all layers, overviews and tiles."""

import base64
import io
import zlib
from dataclasses import dataclass

import numpy as np

from crstack.utils.normal import MEDIAN_DIFFERENCE

__all__ = [
    "FINE",
    "SIDE",
    "STEPS",
    "TOGETHER",
    "ZERO",
    "Scale",
    "Tiles",
    "encode_tiles",
    "figure_text",
    "png_text",
    "select_tiles",
]

#: codes for one unit of the scale, in the tiles: the precision is 0.1 % of a value, or a thousandth of the noise
FINE = 1024
#: code of zero on the scale; code 0 is a pixel without a value
ZERO = 32768
#: steps of an overview; byte 0 is a pixel without a value
STEPS = 254
#: size of the sample of pixels that sets the scale
SAMPLE = 200_000
#: side of a tile, in pixels
SIDE = 16
#: pixels shown around a hit at full resolution, and the longest side of such a window
AROUND, LONGEST = 8, 96
#: colours of a figure that is too large for the page, and sides of it over those of its file, until it fits
COLOURS, SMALLER = 256, (1.0, 2 / 3, 1 / 2)
#: tiles that are compressed together
TOGETHER = 64


@dataclass(frozen=True)
class Scale:
    """Values v as asinh((v - zero) / noise): fine near the background, coarse for bright pixels.

    Attributes
    ----------
    zero, noise : float
        Level and standard deviation of the background.
    low, high : float
        Ends of the scale of the overviews.
    """

    zero: float
    noise: float
    low: float
    high: float

    @classmethod
    def of(cls, images):
        """Compute the scale for some images.

        Parameters
        ----------
        images : sequence of `~numpy.ndarray`
            (ny, nx) each; values that are not finite are ignored.

        Returns
        -------
        scale : Scale
        """
        step = max(1, sum(image.size for image in images) // SAMPLE)
        values = np.concatenate([image.ravel()[::step] for image in images])
        beside = np.concatenate([_steps_along_rows(image, step) for image in images])
        values, beside = (array[np.isfinite(array)] for array in (values, beside))
        if not values.size:
            return cls(0.0, 1.0, 0.0, 1.0)
        zero = float(np.median(values))
        noise = float(np.median(np.abs(beside))) / MEDIAN_DIFFERENCE if beside.size else 0.0
        noise = noise or float(np.std(values)) or 1.0
        highest = max(float(np.nanmax(np.where(np.isfinite(image), image, np.nan), initial=zero)) for image in images)
        ends = np.arcsinh((np.array([np.percentile(values, 0.1), highest]) - zero) / noise)
        return cls(zero, noise, float(ends[0]), float(max(ends[1], ends[0] + 1)))

    def __call__(self, values):
        """Positions on the scale; NaN where there is no value."""
        return np.arcsinh((values - self.zero) / self.noise)

    def bytes(self, values):
        """Values as bytes of an overview."""
        place = (self(values) - self.low) / (self.high - self.low)
        coded = 1 + np.clip(np.rint(STEPS * np.nan_to_num(place)), 0, STEPS)
        return np.where(np.isfinite(values), coded, 0).astype(np.uint8)

    def words(self, values):
        """Values as uint16 of a tile."""
        coded = np.clip(ZERO + np.rint(FINE * np.nan_to_num(self(values))), 1, 2 * ZERO - 1)
        return np.where(np.isfinite(values), coded, 0).astype(np.uint16)


def _steps_along_rows(image, step):
    """Every ``step``-th difference of neighbours in a row: ``np.diff(image, axis=1).ravel()[::step]``."""
    ny, nx = image.shape
    rows, columns = np.divmod(np.arange(0, ny * (nx - 1), step), max(nx - 1, 1))
    return image[rows, columns + 1] - image[rows, columns]


def png_text(values):
    """Encode a uint8 image as PNG, in base64.

    Parameters
    ----------
    values : `~numpy.ndarray`
        uint8 (ny, nx); the first row is the top of the picture.

    Returns
    -------
    text : str
    """
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", compress_level=6)
    return base64.b64encode(file.getvalue()).decode("ascii")


def figure_text(data, largest):
    """Encode a figure in base64, with fewer colours and pixels if it is too large.

    Parameters
    ----------
    data : bytes
        The PNG file of the figure.
    largest : int
        Largest number of characters.

    Returns
    -------
    text : str or None
        None if the figure does not fit.
    """
    for version in _ever_smaller(data):
        text = base64.b64encode(version).decode("ascii")
        if len(text) <= largest:
            return text
    return None


def _ever_smaller(data):
    """A PNG file, and then files of the same figure with fewer colours and pixels, each made when it is needed."""
    from PIL import Image

    yield data
    with Image.open(io.BytesIO(data)) as image:
        whole = image.convert("RGB")
    for scale in SMALLER:
        size = tuple(round(scale * side) for side in whole.size)
        smaller = whole if scale == 1 else whole.resize(size, Image.Resampling.LANCZOS)
        file = io.BytesIO()
        # this method keeps the colours of small symbols, and dots of two colours hide the steps of smooth images
        colours = smaller.quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
        smaller.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG).save(file, "PNG")
        yield file.getvalue()


@dataclass(frozen=True)
class Tiles:
    """Parts of the layers at full resolution.

    Attributes
    ----------
    numbers : list of int
        Number of each tile, row by row from the top left.
    chunks : list of str
        The tiles, compressed, `TOGETHER` at a time.
    """

    numbers: list
    chunks: list

    @property
    def size(self):
        """Length of the text."""
        return sum(map(len, self.chunks))


def select_tiles(boxes, shape):
    """Numbers of the tiles that show some windows, in the order of the windows, each once.

    Parameters
    ----------
    boxes : `~numpy.ndarray`
        int (n, 4): first and last column, first and last row of each hit, from 0 at the top left.
    shape : (int, int)
        (ny, nx) of the image.

    Returns
    -------
    numbers : list of int
    """
    ny, nx = shape
    across = -(-nx // SIDE)
    seen = {}
    for left, right, top, bottom in boxes:
        columns, rows = _tiles_along(left, right, nx), _tiles_along(top, bottom, ny)
        seen.update(dict.fromkeys(row * across + column for row in rows for column in columns))
    return list(seen)


def _tiles_along(low, high, size):
    middle = (int(low) + int(high)) // 2
    half = min((int(high) - int(low)) // 2 + 1 + AROUND, LONGEST // 2)
    return range(max(middle - half, 0) // SIDE, min(middle + half, size - 1) // SIDE + 1)


def encode_tiles(numbers, scale, images, planes, budget):
    """Compress tiles until a budget is used.

    Parameters
    ----------
    numbers : list of int
        From `select_tiles`.
    scale : Scale
        Scale of the images.
    images : sequence of `~numpy.ndarray`
        float (ny, nx) each, first row at the top.
    planes : sequence of `~numpy.ndarray`
        uint8 (ny, nx) each: codes and probabilities.
    budget : int
        Largest number of characters.

    Returns
    -------
    tiles : Tiles
        Each chunk holds the high bytes of the images, their low bytes, then the planes; within each of
        these layer by layer, tile by tile, row by row.
    """
    ny, nx = images[0].shape
    across = -(-nx // SIDE)
    steps = np.arange(SIDE)
    chunks, kept, used = [], [], 0
    for start in range(0, len(numbers), TOGETHER):
        some = numbers[start : start + TOGETHER]
        place = np.array(some)
        rows = np.minimum(place[:, np.newaxis] // across * SIDE + steps, ny - 1)[:, :, np.newaxis]
        columns = np.minimum(place[:, np.newaxis] % across * SIDE + steps, nx - 1)[:, np.newaxis, :]
        words = scale.words(np.stack([image[rows, columns] for image in images]))
        parts = [words >> 8, words & 255, *(plane[rows, columns] for plane in planes)]
        raw = b"".join(part.astype(np.uint8).tobytes() for part in parts)
        text = base64.b64encode(zlib.compress(raw, 6)).decode("ascii")
        used += len(text)
        if used > budget:
            break
        chunks.append(text)
        kept += some
    return Tiles(kept, chunks)
