"""``report.html``: one page that shows a whole run and needs no other file."""

import base64
import re
from html import escape
from importlib.metadata import version

from crstack._files import atomic_path
from crstack.cli.summary import column_name
from crstack.masks.features import CATEGORIES

__all__ = ["write_report"]

#: rows of the table of hits; all of them are in the ECSV file
MOST_HITS = 500
CAPTIONS = {
    "diagnostic_histogram2d": "Median-minimum diagram, simulated and observed, with the boundary of M.M.Cosmic.",
    "image_number_at_median_position": "The exposure that is the median: one colour prevails where they differ.",
    "diagnostic_mediancr": "MEDIANCR: pixels hit in two or more exposures, found in the median.",
    "diagnostic_meancrt": "MEANCRT: pixels hit in any exposure, found in the mean.",
    "diagnostic_meancr": "MEANCR: what the auxiliary detector still finds in the mean of the clean exposures.",
}
CAPTIONS_OF_EXPOSURES = {
    "diagnostic_crmask": "CRMASK{}: hits of this exposure.",
    "flux_factor": "Exposure {} over the others, and its flux factor.",
    "xyoffset_crosscorr": "Exposure {} and what all have in common, before and after the offset between them.",
}
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c1c1c; max-width: 1100px; margin: 0 auto; padding: 0 16px 48px }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; margin: .6em 0 } th { text-align: left; background: #f2f2f2 }
th, td { padding: 2px 10px; border-bottom: 1px solid #e4e4e4 } td.number { text-align: right }
figure { margin: 1.2em 0 } img { max-width: 100%; height: auto } figcaption { color: #444 }
.scroll { max-height: 32em; overflow: auto } nav a { margin-right: 1em } a { color: #0060a0 }
"""


def write_report(path, *, title, settings, masks, features, figures, files, timings):
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : `~pathlib.Path`
        Replaced if it exists; links are relative to it.
    title : str
        Heading.
    settings : list of (str, str)
        Names and values.
    masks : `~crstack.MaskSet`
        Their counts are shown.
    features : `~astropy.table.QTable`
        Hits of MEDIANCR.
    figures : list of `~pathlib.Path`
        PNG files to show; they become part of the page.
    files : list of `~pathlib.Path`
        Files to link to, beside the page.
    timings : dict of str to float
        Seconds by stage.
    """
    parts = [
        f"<p>crstack {escape(version('crstack'))}. Masks {escape(masks.uuid)}, exposures: {masks.n_exposures} of "
        f"{masks.shape[1]} x {masks.shape[0]} pixels.</p>",
        '<nav><a href="#counts">Counts</a><a href="#figures">Figures</a><a href="#hits">Hits</a>'
        '<a href="#settings">Settings</a><a href="#files">Files</a></nav>',
        '<h2 id="counts">Pixels of each mask</h2>',
        _counts(masks),
        '<h2 id="figures">Figures</h2>',
        *(_figure(figure) for figure in figures),
        '<h2 id="hits">Hits of MEDIANCR</h2>',
        _hits(features),
        '<h2 id="settings">Settings</h2>',
        _table(("key", "value"), settings),
        '<h2 id="files">Files</h2>',
        "<ul>" + "".join(f'<li><a href="{escape(file.name)}">{escape(file.name)}</a></li>' for file in files) + "</ul>",
        "<h2>Seconds</h2>",
        _table(("stage", "s"), [(stage, f"{seconds:.2f}") for stage, seconds in timings.items() if seconds >= 0.005]),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = f"<h1>{escape(title)}</h1>\n" + "\n".join(parts)
    with atomic_path(path) as temporary:
        page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}\n</body></html>\n'
        temporary.write_text(page, encoding="utf-8")


def _table(names, rows):
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows) + "</table>"


def _cell(value):
    words = str(value)
    number = words.replace(".", "", 1).replace("-", "", 1).isdigit()
    return f"<td{' class=number' if number else ''}>{escape(words)}</td>"


def _counts(masks):
    counts = masks.counts()
    rows = [[*row, f"{100 * row['flagged'] / (masks.shape[0] * masks.shape[1]):.4f}"] for row in counts]
    problematic = f"<p>Masked in every exposure: {int(masks.problematic.sum())} pixels.</p>"
    return _table((*(column_name(name, masks) for name in counts.colnames), "%"), rows) + problematic


def _figure(path):
    caption = CAPTIONS.get(path.stem) or _caption_of_exposure(path.stem)
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)} <small>{escape(path.name)}</small></figcaption></figure>"


def _caption_of_exposure(name):
    kind, number = re.fullmatch(r"(.*?)_?(\d+)", name).groups()
    return CAPTIONS_OF_EXPOSURES[kind].format(number)


def _hits(features):
    by_category = ", ".join(f"{sum(features['category'] == name)} {name}" for name in CATEGORIES)
    words = f"<p>{len(features)} hits: {by_category}.</p>"
    if not len(features):
        return words
    if len(features) > MOST_HITS:
        words += f"<p>The first {MOST_HITS} are shown; all are in mediancr_identified.ecsv.</p>"
    names, columns = [], []
    for name in features.colnames:
        column = features[name][:MOST_HITS]
        unit = getattr(column, "unit", None)
        values = getattr(column, "value", column)
        names.append(f"{name} ({unit})" if unit else name)
        columns.append([f"{value:.2f}" for value in values] if values.dtype.kind == "f" else list(values))
    return words + f'<div class="scroll">{_table(names, zip(*columns, strict=True))}</div>'
