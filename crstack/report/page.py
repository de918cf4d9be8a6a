"""The page: numbers, tables and images as one file of HTML."""

import json
import re
from functools import cache
from html import escape
from importlib.resources import files
from urllib.parse import quote

import numpy as np

from crstack.plotting.style import block_means, image_limits
from crstack.plotting.symbols import SYMBOLS, words_of_codes
from crstack.report.encoding import FINE, SIDE, STEPS, TOGETHER, ZERO, Scale, encode_tiles, png_text, select_tiles
from crstack.utils.words import counted

__all__ = ["encode_viewer", "render"]

#: limits of the characters of the overviews and of the tiles, so that the page stays below 6 MB
OVERVIEWS, TILES = 2_300_000, 2_500_000
#: approximate number of characters of a pixel of an overview, chosen so that the first try usually fits
PER_PIXEL = 0.95
HEADS = ("hit", "kind", "exposures", "peak", "pixels", "X", "Y")
#: what to do with the table of the hits
ON_HITS = "Click on a hit to see it, and on the title of a column to sort. The words are explained below the table."
#: byte of a probability of 1
FULL = 255


def render(report):
    """Make the page.

    Parameters
    ----------
    report : Report
        What it shows.

    Returns
    -------
    page : str
        HTML that needs no other file.
    """
    parts = {
        "title": escape(report.title),
        "sentence": escape(report.sentence),
        "warnings": _warnings(report.warnings),
        "style": _template("report.css"),
        "script": _template("report.js"),
        "data": report.viewer or encode_viewer(report),
        "hits_words": escape(_hits_words(report)),
        "hits": _hits(report),
        "hits_notes": _notes((*report.hits_notes, *_note_of_peak(report))),
        "sections": "".join(map(_section, report.sections)),
        "figures": "".join(map(_figure, report.figures)),
        "last_sections": "".join(map(_section, report.last_sections)),
        "files": "".join(f'<li><a href="{escape(quote(name))}">{escape(name)}</a></li>' for name in report.files),
        "end": escape(report.end),
    }
    # one pass, so that inserted values are not searched again
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _template("report.html"))


@cache
def _template(name):
    return files("crstack.report").joinpath("templates", name).read_text(encoding="utf-8")


def _json(data):
    """JSON that is safe within a script element."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


# the viewer


def encode_viewer(report):
    """Encode the images of a report, which takes most of the time of a page.

    Parameters
    ----------
    report : Report
        Report with layers, masks, probabilities and hits.

    Returns
    -------
    data : str
        JSON, for ``viewer`` of the same report.
    """
    return _json(_viewer(report))


def _viewer(report):
    """Data of the viewer: overviews of images, masks and probabilities, and tiles around the hits."""
    images = [layer.image[::-1] for layer in report.layers]
    ny, nx = images[0].shape
    scale = Scale.of(images)
    n_probabilities = 0 if report.probability is None else len(report.probability)
    codes = [codes[::-1] for codes in report.codes.values()]
    chances = [_chance_bytes(report.probability[i, ::-1]) for i in range(n_probabilities)]
    block, overviews = _overviews(scale, images)
    masks = [png_text(_block_maxima(plane, block)) for plane in codes]
    probabilities = [png_text(_block_maxima(plane, block)) for plane in chances]
    left = TILES + OVERVIEWS - sum(map(len, (*overviews, *masks, *probabilities)))
    boxes = np.array([(hit.box[0] - 1, hit.box[1] - 1, ny - hit.box[3], ny - hit.box[2]) for hit in report.hits])
    tiles = encode_tiles(
        select_tiles(boxes.reshape(-1, 4), (ny, nx)), scale, images, [*codes, *chances], min(left, TILES)
    )
    return {
        "shape": [ny, nx],
        "block": block,
        "unit": report.unit,
        "scale": {
            "zero": scale.zero,
            "noise": scale.noise,
            "low": scale.low,
            "high": scale.high,
            "steps": STEPS,
            "fine": FINE,
            "mid": ZERO,
        },
        "limits": _limits(report.layers),
        "layers": [
            {"name": layer.name, "words": layer.words, "mask": layer.mask, "exposure": layer.exposure, "png": png}
            for layer, png in zip(report.layers, overviews, strict=True)
        ],
        "masks": [{"name": name, "png": png} for name, png in zip(report.codes, masks, strict=True)],
        "probabilities": probabilities,
        "codes": _codes(report),
        "tiles": {"side": SIDE, "together": TOGETHER, "numbers": tiles.numbers, "chunks": tiles.chunks},
    }


def _codes(report):
    """Codes that the masks hold, with their colours and words."""
    held = [code for code in SYMBOLS if any((plane == code).any() for plane in report.codes.values())]
    words = words_of_codes(held, report.finder)
    return [{"code": int(code), "colour": SYMBOLS[code][1], "words": words[code]} for code in held]


def _limits(layers):
    """Contrast of the first layer, from a sample of its pixels."""
    image = layers[0].image
    step = max(1, int(np.sqrt(image.size / 250_000)))
    return list(image_limits(image[::step, ::step]))


def _chance_bytes(probability):
    return np.rint(FULL * np.nan_to_num(probability.astype(np.float32))).astype(np.uint8)


def _overviews(scale, images):
    """Side of the blocks, and the overviews; the blocks grow until they fit."""
    pixels = len(images) * images[0].size
    block = max(1, int(np.ceil(np.sqrt(PER_PIXEL * pixels / OVERVIEWS))))
    while True:
        texts = [png_text(scale.bytes(block_means(image, block))) for image in images]
        if sum(map(len, texts)) <= OVERVIEWS or block > max(images[0].shape):
            return block, texts
        block += 1


def _block_maxima(values, block):
    """Highest value of each block."""
    if block == 1:
        return np.ascontiguousarray(values)
    starts = [np.arange(0, size, block) for size in values.shape]
    return np.maximum.reduceat(np.maximum.reduceat(values, starts[0], axis=0), starts[1], axis=1)


# the rest


def _warnings(warnings):
    """Warnings of the run, as HTML."""
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(one)}</li>" for one in warnings)
    return f'<section class="warnings" role="note"><h2>Warnings</h2><ul>{items}</ul></section>'


def _hits_words(report):
    """Words above the table of the hits."""
    total = sum(report.counts.values())
    if not total:
        return "No hits were found."
    kinds = ", ".join(f"{number} {kind}" for kind, number in report.counts.items() if number)
    few = f" The table has the first {len(report.hits)}." if len(report.hits) < total else ""
    return f"{counted(total, 'hit')}: {kinds}.{few} {ON_HITS}"


def _note_of_peak(report):
    """Note on the peaks of the table."""
    n_exposures = sum(layer.exposure is not None for layer in report.layers)
    min2d = "the lowest value of a pixel" if n_exposures <= 3 else "the mean of the lowest values of a pixel"
    words = (
        f"the highest value of an exposure above min2d, {min2d}; in {report.unit}. Tables and figures of the hits of "
        "MEDIANCR have the highest value of the median above min2d, which is lower"
    )
    return (("peak", words),)


def _hits(report):
    """The table of the hits, as HTML."""
    with_probability = report.probability is not None
    heads = (*HEADS, "probability" if with_probability else "category")
    cells = "".join(
        f'<th scope="col"><button type="button" data-column="{i}">{escape(name)}</button></th>'
        for i, name in enumerate(heads)
    )
    rows = "".join(_hit(i, hit, with_probability) for i, hit in enumerate(report.hits))
    return f"<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody>"


def _hit(i, hit, with_probability):
    """A row of the table of the hits, as HTML."""
    name = f'<button type="button" class="go">{escape(hit.name)}</button>'
    cells = [f'<td data-value="{i}">{name}</td>', f"<td>{escape(hit.kind)}</td>"]
    cells += [f"<td>{escape(hit.exposures)}</td>"]
    cells += [f'<td class="number" data-value="{hit.peak:.6g}">{_short(hit.peak)}</td>']
    cells += [f'<td class="number">{hit.n_pixels}</td>']
    cells += [f'<td class="number">{number:.1f}</td>' for number in (hit.x, hit.y)]
    if with_probability:
        cells += [f'<td class="number">{hit.probability:.3f}</td>']
    else:
        cells += [f"<td>{escape(hit.category)}</td>"]
    return f'<tr data-box="{" ".join(map(str, hit.box))}">{"".join(cells)}</tr>'


def _short(value):
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _notes(notes):
    """Words and their meaning, as HTML."""
    if not notes:
        return ""
    return "<dl>" + "".join(f"<dt>{escape(word)}</dt><dd>{escape(text)}</dd>" for word, text in notes) + "</dl>"


def _section(section):
    """A section of tables, as HTML."""
    numbers = [all(_is_number(row[i]) for row in section.rows) for i in range(len(section.heads))]
    heads = _cells("th", section.heads, numbers)
    rows = "".join(f"<tr>{_cells('td', row, numbers)}</tr>" for row in section.rows)
    table = f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    inside = table + _notes(section.notes)
    title = escape(section.title)
    if section.folded:
        return f"<section><details><summary><h2>{title}</h2></summary>{inside}</details></section>"
    return f"<section><h2>{title}</h2>{inside}</section>"


def _cells(kind, row, numbers):
    """Cells of a row; those of a column of numbers stand at the right."""
    scope = ' scope="col"' if kind == "th" else ""
    classes = [' class="number"' if number else "" for number in numbers]
    return "".join(f"<{kind}{scope}{one}>{escape(str(cell))}</{kind}>" for one, cell in zip(classes, row, strict=True))


def _is_number(cell):
    """Whether a cell is a number, with or without its error, or empty."""
    return re.fullmatch(r"[-+]?[\d.]*(e[-+]?\d+)?( \N{PLUS-MINUS SIGN} [\d.]+)?", str(cell)) is not None


def _figure(figure):
    image = f'<img alt="{escape(figure.caption)}" src="data:image/png;base64,{figure.png}">'
    name = f'<a href="{escape(quote(figure.name))}">{escape(figure.name)}</a>'
    return f"<figure>{image}<figcaption>{escape(figure.caption)} {name}</figcaption></figure>"
