"""``report.html``: the page of a run, made of its results."""

import re
from dataclasses import replace

import numpy as np

from crstack.combine import best_combination
from crstack.files.whole import atomic_path
from crstack.masks import exposure_name
from crstack.masks.codes import is_hit
from crstack.methods import measured_of
from crstack.report import Figure, Layer, Report, Section, encode_viewer, figure_text, list_hits, render
from crstack.utils.version import crstack_version
from crstack.utils.words import counted, plain

__all__ = ["Viewer", "write_report"]

#: characters of all figures together; those that do not fit are links
FIGURES = 900_000
#: an error below this is that of rounding
LEAST_ERROR = 1e-6
#: figures that the page shows, in this order; the viewer replaces the others
SHOWN = ("diagnostic_histogram2d", "differences", "flux_factor", "xyoffset_crosscorr")
CAPTIONS = {
    "diagnostic_histogram2d": "Median-minimum diagram, simulated and observed. Pixels over the boundary are hit in "
    "so many exposures that the median is too high.",
    "differences": "Measured differences between the exposures. The last images show the expected image of each "
    "exposure, minus the common image.",
    "flux_factor": "Exposure {} over the others, and its flux factor.",
    "xyoffset_crosscorr": "Exposure {} and the common image, without and with the offset between them.",
}
MASKS = (
    ("MEDIANCR", "pixels that are hit in so many exposures that the median is too high"),
    ("MEANCRT", "pixels that are hit in any exposure: the mean is too high"),
    ("CRMASK1, ...", "pixels that are hit in that exposure"),
    (
        "MEANCR",
        "hits that the auxiliary detector still finds in the mean of the clean values; empty without a detector",
    ),
)
#: words for the codes of the masks; the method that found most of them is named apart
CODES = {
    "auxiliary": "found by the auxiliary detector alone, which searches one image at a time",
    "both": "found by the method and by the auxiliary detector",
    "dilated": "pixels beside a hit that dilation, the growth of all masks, has added",
    "given": "pixels that the user has listed",
    "low": "values far below their surroundings and the other exposures: not hits, but left out",
    "source": "pixels of sources that only some exposures show, such as asteroids: not hits, but left out",
    "trail": "pixels of straight trails of satellites or aeroplanes, with their faint edges",
    "moved": "pixels of a target that lies at another place in the other exposures: not hits, but left out",
}
CATEGORIES = (
    ("any4", "a pixel of the hit was found both by {finder} and by the auxiliary detector"),
    ("only3", "the auxiliary detector alone found it"),
    ("only2", "{finder} alone found it"),
    ("other", "any other hit, such as pixels that the user has listed"),
)
DIFFERENCES = (
    ("level", "light that is added to the exposure, such as sky; surface is the kind of its shape"),
    ("throughput", "fraction of the light of the common image that the exposure has"),
    ("dx, dy", "shift of the scene from the common image to the exposure"),
    ("xx, yy, xy", "change of the second moments of a star, by another seeing"),
    ("response, added along x or y", "throughput, and added level, of each row (x) or column (y): lowest and highest"),
    ("hot pixels", "dark charge of hot pixels, relative to the mean of the exposures"),
    ("pattern", "amplitude of a pattern of the sky, such as fringes, relative to the mean of the exposures"),
)
HITS = (
    "hit",
    "a group of connected pixels of MEDIANCR, or of MEANCRT if no pixel of it is in MEDIANCR. A number alone is that "
    "of mediancr_identified.ecsv, with P that of problematic_pixels.csv, with T that of the hits of MEANCRT. The "
    "figure of MEANCRT counts connected pixels of MEANCRT as one hit, also if they hold two hits of MEDIANCR",
)
PROBABILITY = ("probability", "the highest probability among the values of the hit")
#: words for the measured values of the joint decision
MEASURED = (
    (
        "hit values",
        "expected number of hit values in all exposures, which is the sum of the probabilities; in brackets, the "
        "fraction of all values",
    ),
    ("typical charge", "the geometric mean of the charge that a hit adds to a pixel"),
    (
        "charges of a value",
        "mean number of hits that add charge to one value, also of those that are too faint to see. It is stated for "
        "values without a hit neighbour, and for those beside a hit of 5 and of 90 standard deviations",
    ),
    ("differences", "measured differences between the exposures, such as throughput, seeing and shifts"),
    ("scatter beyond the noise", "scatter that gain, read noise and the measured differences do not explain"),
)
KINDS = (
    ("every exposure", "at least one pixel is masked in all exposures, so that no clean value is left"),
    (
        "coincident",
        "in MEDIANCR: a pixel is hit in {needed} or more of the {n} exposures, so that the median is too high",
    ),
    ("touching", "hits of different exposures in different pixels that touch: {median}"),
    ("single", "masked in one exposure: {median}"),
)
#: what the median shows of hits of one exposure, for two exposures and for more
MEDIAN_OF_TWO, MEDIAN = "the median of two exposures is their mean, and has half of it", "the median is clean"


#: largest number of exposures named in the title
MOST_NAMED = 4
#: per cent of the pixels that are hit in any exposure, above which many hits touch each other
MANY_HIT = 20


class Viewer:
    """The part of the page that takes time. A call prepares images and hits.

    Parameters
    ----------
    results : `~crstack.pipeline.results.Results`
        Of the run.
    paths : list of `~pathlib.Path`
        The exposures.
    """

    def __init__(self, results, paths):
        self.results, self.paths = results, paths
        self._report = None

    def __call__(self):
        self._report = self._prepare()

    @property
    def report(self):
        """The report without figures, settings and timings; prepared at the first call."""
        if self._report is None:
            self()
        return self._report

    def _prepare(self):
        """The report, before files and figures are known."""
        stack, masks = self.results.stack, self.results.masks
        statistics = stack.statistics
        hits, counts = list_hits(masks, statistics.max2d - statistics.min2d)
        name, result = _result(stack, masks)
        report = Report(
            title=f"crstack: {_names(self.paths)}",
            sentence=_sentence(masks, counts, name, result),
            warnings=(),
            layers=_layers(stack, name, result, self.paths),
            codes=masks.codes,
            finder=masks.finder,
            probability=masks.probability,
            hits=tuple(hits),
            hits_notes=_hits_notes(masks),
            counts=counts,
            unit=str(stack.exposures.unit),
            sections=(_counts(masks), *_measured(self.results)),
            end=f"crstack {crstack_version()}. UUID of the masks: {masks.uuid}",
        )
        return replace(report, viewer=encode_viewer(report))


def write_report(path, viewer, *, figures, files, settings, timings, warnings):
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : `~pathlib.Path`
        Replaced if it exists; links are relative to it.
    viewer : Viewer
        Of the run.
    figures : list of `~pathlib.Path`
        PNG files that may be shown.
    files : list of str
        Files to link to, relative to the page.
    settings : list of (str, str)
        Names and values.
    timings : dict of str to float
        Seconds by stage.
    warnings : sequence of str
        Those of the run.
    """
    seconds = [(stage, f"{value:.2f}") for stage, value in timings.items() if value >= 0.005]
    report = replace(
        viewer.report,
        warnings=tuple(warnings),
        figures=_figures(figures),
        last_sections=(
            Section("Settings", ("key", "value"), settings, folded=True),
            Section("Seconds", ("stage", "s"), seconds, folded=True),
        ),
        files=tuple(files),
    )
    with atomic_path(path) as temporary:
        temporary.write_text(render(report), encoding="utf-8")


def _names(paths):
    """Names of the exposures; of many, the first and the last."""
    names = [path.name for path in paths]
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{names[0]} to {names[-1]}, {len(names)} exposures"


def _result(stack, masks):
    """Name and image of the best combination."""
    name = best_combination(masks)
    return name, stack.combine(name, masks=masks)


def _sentence(masks, counts, name, result):
    """The result in one sentence or more. A hit is a group of connected pixels."""
    ny, nx = masks.shape
    without = int(np.count_nonzero(result.mask)) if result.mask is not None else 0
    clean = "each pixel has a clean value."
    if without:
        clean = f"{counted(without, 'pixel')} {'has' if without == 1 else 'have'} no clean value."
    return (
        f"{masks.n_exposures} exposures of {nx} x {ny} pixels. {_of_hits(masks, counts)}The best image is "
        f"combined_{name}.fits: {clean}"
    )


def _of_hits(masks, counts):
    """Sentences on the number of hits, each with a blank after it."""
    hit = is_hit(masks.codes["MEANCRT"])
    in_any, others = 100 * np.mean(hit), _of_others(masks["MEANCRT"] & ~hit)
    if not in_any:
        return f"No hits were found. {others}"
    words = f"{in_any:.2g} % of the pixels are hit in one of them or more. "
    if in_any > MANY_HIT:
        words += "At this density hits touch each other: connected hits count as one, so there are more than listed. "
    in_median = counted(int(np.count_nonzero(is_hit(masks.codes["MEDIANCR"]))), "pixel")
    if masks.n_exposures == 2:
        words += (
            f"All hits would stay in a plain median, which is the mean of two exposures: MEDIANCR has {in_median}. "
        )
    else:
        words += f"{counted(counts['coincident'], 'hit')} would stay in a plain median: MEDIANCR has {in_median}"
        words += ", weakly hit ones included. " if counts["coincident"] else ". "
    every = counts["every exposure"]
    if every:
        words += f"{counted(every, 'hit')} {'is' if every == 1 else 'are'} masked in every exposure. "
    return words + others


def _of_others(masked):
    """A sentence on pixels that are ``masked`` but not hit, with a blank after it; empty if there are none."""
    n = int(np.count_nonzero(masked))
    if not n:
        return ""
    verb = "is" if n == 1 else "are"
    return f"{counted(n, 'pixel')} {verb} masked too, as a low value, trail or source. "


def _layers(stack, name, result, paths):
    """Images of the viewer: the median, the best combination, and the exposures."""
    unmasked = np.asarray(result.data, dtype=np.float32)
    words = {
        "meancr2": "the mean of the clean values, corrected where the detector still finds a hit",
        "meanjoint": "the mean of the values, weighted by their probability to be clean",
    }
    layers = [
        Layer("median2d", "the median of the exposures, pixel by pixel", stack.statistics.median2d, "MEDIANCR"),
        Layer(name, words[name], unmasked, "MEANCR"),
    ]
    for i, (image, path) in enumerate(zip(stack.exposures.data, paths, strict=True)):
        layers.append(Layer(f"exposure {i + 1}", path.name, image, exposure_name(i), i + 1))
    return tuple(layers)


def _hits_notes(masks):
    """Notes below the table of the hits."""
    categories = () if masks.probability is not None else CATEGORIES
    n = masks.n_exposures
    # with two exposures each hit is in MEDIANCR, and is no coincidence
    given = {"needed": (n + 1) // 2, "n": n, "median": MEDIAN if n > 2 else MEDIAN_OF_TWO}
    kinds = [(kind, text.format(**given)) for kind, text in KINDS if n > 2 or kind != "coincident"]
    words = (HITS, *kinds, *((word, text.format(finder=_in_sentence(masks.finder))) for word, text in categories))
    return words if masks.probability is None else (*words, PROBABILITY)


def _in_sentence(finder):
    """Name of a method within a sentence: a name that is no proper name has an article."""
    return finder if finder[0].isupper() else f"the {finder}"


def _counts(masks):
    """Section of the number of pixels of each mask, by those codes that some mask has."""
    counts = masks.counts()
    finder = counts.colnames[2]
    codes = [name for name in counts.colnames[2:] if name == finder or counts[name].any()]
    heads = ("name", "flagged", *codes, "%")
    n_pixels = masks.shape[0] * masks.shape[1]
    rows = [[*row[list(heads[:-1])], f"{100 * row['flagged'] / n_pixels:.4f}"] for row in counts]
    rows.append(["in every CRMASK", int(np.count_nonzero(masks.problematic)), *[""] * (len(heads) - 2)])
    words = {finder: f"found by {_in_sentence(masks.finder)} alone", **CODES}
    return Section("Pixels of each mask", heads, rows, (*MASKS, *((name, words[name]) for name in codes)))


def _measured(results):
    """Section of what was measured, if anything was."""
    rows = []
    stack, decision = results.stack, results.in_diagram
    if decision is not None:
        diagram, boundary = decision.diagram, decision.boundary
        unit = diagram.unit
        model = type(boundary.model).__name__
        rows.append(("boundary", f"{model} through {len(boundary.points)} points"))
        for x in np.linspace(boundary.x[0], boundary.x[-1], 5):
            rows.append((f"boundary at min2d = {plain(x, 4)} {unit}", f"{plain(float(boundary(x)), 4)} {unit}"))
        rows.append(("least excess of a hit", f"{plain(decision.threshold, 4)} {unit}"))
        rows.append(("pixels observed", str(int(diagram.observed.sum()))))
        simulations = counted(diagram.n_sets, "simulation")
        rows.append((f"pixels simulated, in {simulations}", str(int(diagram.simulated.sum()))))
    rows += list(results.joint_in_words.items())
    equalized = stack.prepared.known
    if equalized.flux is not None:
        for i, (value, error) in enumerate(zip(equalized.flux.values, equalized.flux.errors, strict=True), start=1):
            words = f"{value:.4f}" + (f" \N{PLUS-MINUS SIGN} {error:.4f}" if error else "")
            rows.append((f"flux factor of exposure {i}", words))
    if equalized.offsets is not None:
        for i, (dx, dy) in enumerate(equalized.offsets.values, start=1):
            rows.append((f"offset of exposure {i} (pixels)", f"dx = {dx:+.3f}, dy = {dy:+.3f}"))
    notes, sections = (), _differences(results.masks)
    if decision is not None:
        notes = (("min2d", "the mean of the values of each pixel without the highest ones, which may be hit"),)
    elif results.joint_in_words:
        notes = MEASURED
    return ((Section("What was measured", ("what", "value"), rows, notes),) if rows else ()) + sections


def _differences(masks):
    """Table of the measured differences, one row for each exposure, if there are any."""
    measured = measured_of(masks.decision)
    if measured is None:
        return ()
    table = measured.table()
    names = [name for name in table.colnames if not name.endswith("_error")]
    heads = [name.replace("_", " ") + _in_brackets(table[name].unit) for name in names]
    rows = [[_with_error(row, name) for name in names] for row in table]
    return (Section("Differences of the exposures", tuple(heads), rows, DIFFERENCES),)


def _in_brackets(unit):
    words = str(unit or "").replace("pix2", "pixel\N{SUPERSCRIPT TWO}")
    return f" ({words})" if words else ""


def _with_error(row, name):
    """A value of a table as text, with its standard error if there is one."""
    value = row[name]
    if isinstance(value, str | np.str_ | np.integer):
        return str(value)
    if np.isnan(value):
        return "\N{EN DASH}"
    # a term that is not needed may have the error of rounding
    if f"{name}_error" not in row.colnames or not row[f"{name}_error"] > LEAST_ERROR:
        return f"{0.0 if abs(value) < LEAST_ERROR else value:.4g}"
    error = row[f"{name}_error"]
    decimals = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{decimals}f} \N{PLUS-MINUS SIGN} {error:.{decimals}f}"


def _figures(paths):
    """Figures that the page shows, as many as fit."""
    shown, used = [], 0
    wanted = [path for kind in SHOWN for path in paths if path.stem.startswith(kind)]
    for path in wanted:
        text = figure_text(path.read_bytes(), FIGURES - used)
        if text is None:
            break
        used += len(text)
        shown.append(Figure(path.name, _caption(path.stem), text))
    return tuple(shown)


def _caption(name):
    """Caption of a figure, from the stem of its name."""
    if name in CAPTIONS:
        return CAPTIONS[name]
    kind, number = re.fullmatch(r"(.*?)_?(\d+)", name).groups()
    return CAPTIONS[kind].format(number)
