"""Figures and tables of `crstack run`, and the interactive session."""

import base64
import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import QTable, Table
from matplotlib.backend_bases import KeyEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from support.parameter_files import GAIN, NAMES, READNOISE, write_parameters
from support.products import PRODUCTS

from crstack import CRStack, MaskSet
from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.datasets import make_stack
from crstack.masks.features import CATEGORIES, JOINT_CATEGORIES
from crstack.pipeline import figures
from crstack.pipeline.page import _names
from crstack.pipeline.questions import Questions
from crstack.plotting.hits import first_hits
from crstack.plotting.interactive import QuestionWindow

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")

FIGURES = {
    "diagnostic_histogram2d.png",
    "image_number_at_median_position.png",
    "diagnostic_mediancr.png",
    "diagnostic_meancr.png",
    *(f"diagnostic_crmask{i}.png" for i in (1, 2, 3)),
    "diagnostic_meancr_residual.png",
    "problematic_pixels.pdf",
}


@pytest.fixture
def run(here, capsys):
    """Run the command on the example with changes; return the exit code, stdout and stderr."""

    def run(*arguments, name="p.yaml", **changes):
        path = write_parameters(name, **changes)
        code = main(["run", path, "--output-dir", "out", "-v", *arguments])
        return code, *capsys.readouterr()

    return run


def test_everything_is_written(run, monkeypatch):
    def fail(*args, **kwargs):
        raise IndexError("no such panel")

    monkeypatch.setattr("crstack.plotting.accessor.plot_median_position", fail)
    code, out, err = run(maxplots=1)
    # a figure that fails does not affect the others
    assert err == "crstack: warning: image_number_at_median_position.png is not drawn: no such panel\n"
    assert code == 0
    written = {path.name for path in Path("out").iterdir()}
    # one hit is drawn: the strongest of those that are in most exposures
    table = QTable.read("out/mediancr_identified.ecsv")
    order = np.lexsort((-table["peak"].value, -table["n_exposures"]))
    pages = f"mediancr_identified_{table['category'][order[0]]}.pdf"
    assert written == (PRODUCTS | FIGURES | {"report.html", pages}) - {"image_number_at_median_position.png"}
    assert len(re.findall(rb"/Type /Page\b", Path("out", pages).read_bytes())) == 2
    assert out.index("combined_meancr2.fits") < out.index("diagnostic_histogram2d.png")
    check_tables()
    check_page(written)


@pytest.mark.parametrize("measured", [True, False])
def test_what_makes_exposures_equivalent_is_drawn_where_it_is_measured(run, measured, monkeypatch):
    # other figures are drawn in other tests
    monkeypatch.setattr("crstack.plotting.accessor.plot_diagram", lambda *args, **options: Figure())
    monkeypatch.setattr(figures, "_draw_mask", lambda path, **options: path.touch())
    settings = {"flux_factor": "auto", "mm_crosscorr_region": [5, 60, 5, 50]}
    if not measured:
        settings = {"flux_factor": [1.0, 1.01, 0.99], "mm_xy_offsets": [[0, 0], [0.1, 0], [0, 0.1]]}
    code, _, err = run(maxplots=0, **settings)
    assert (code, err) == (0, "")
    names = {f"flux_factor{i}.png" for i in (1, 2, 3)} | {f"xyoffset_crosscorr_{i}.png" for i in (1, 2, 3)}
    written = {path.name for path in Path("out").iterdir()}
    assert names & written == (names if measured else set())
    page = Path("out/report.html").read_text()
    assert ("Exposure 2 over the others, and its flux factor." in page) is measured
    assert ('<a href="xyoffset_crosscorr_3.png">' in page) is measured


def check_tables():
    masks = MaskSet.read("out/crmasks.fits")
    table = QTable.read("out/mediancr_identified.ecsv")
    assert table["n_pixels"].sum() == masks["MEDIANCR"].sum()
    seen = np.zeros(masks.shape, dtype=np.uint8)
    for category in CATEGORIES:
        pixels = Table.read(f"out/mediancr_identified_{category}.csv")
        assert pixels.colnames == ["CR_number", "X_pixel", "Y_pixel", "Mask_value"]
        assert set(pixels["CR_number"]) == set(table["number"][table["category"] == category])
        if len(pixels):
            seen[pixels["Y_pixel"] - 1, pixels["X_pixel"] - 1] = pixels["Mask_value"]
    np.testing.assert_array_equal(seen, masks.codes["MEDIANCR"])
    pixels = Table.read("out/problematic_pixels.csv")
    assert len(pixels) == masks.problematic.sum() > 0


def check_page(written):
    page = Path("out/report.html").read_text()
    assert Path("out/report.html").stat().st_size < 6e6
    shown = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    assert shown == [Path("out/diagnostic_histogram2d.png").read_bytes()]
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert set(re.findall(r'href="([^"#:]+)"', page)) == written - {"report.html", "crstack_manifest.json"}
    masks = MaskSet.read("out/crmasks.fits")
    for words in ("mm_seed", *NAMES, "MEANCRT", "any4", "combined_meancr2.fits", masks.uuid):
        assert words in page
    assert page.index(masks.uuid) > page.index("mm_seed")
    # the top of the page names the figure that failed
    assert "image_number_at_median_position.png is not drawn" in page
    assert page.index("is not drawn") < page.index('id="viewer"')
    assert page.count("<tr") > 20


def test_page_escapes_names(run, monkeypatch):
    monkeypatch.setattr("crstack.pipeline.products.write_figures", lambda *arguments, **options: [])
    Path("out").mkdir()
    Path("out/mine.fits").touch()
    Path("a<b>.fits").symlink_to(Path(NAMES[0]).resolve())
    run_again = run("--log-level", "error", images=["a<b>.fits", *NAMES[1:]], crmethod="mmcosmic")
    assert run_again[0] == 0
    page = Path("out/report.html").read_text()
    assert "a&lt;b&gt;.fits" in page
    assert "a\\u003cb>.fits" in page  # in the data of the viewer
    assert "a<b>" not in page
    assert 'href="crmasks.fits"' in page
    assert "mine.fits" not in page  # no product of crstack


@pytest.fixture(scope="module")
def joint_run(images, tmp_path_factory):
    """The output directory of a joint run with figures. Not to be changed."""
    with contextlib.chdir(tmp_path_factory.mktemp("joint")), contextlib.redirect_stderr(io.StringIO()) as err:
        for name in NAMES:
            Path(name).symlink_to(images / name)
        path = write_parameters("p.yaml", crmethod="joint", maxplots=3)
        assert main(["run", path, "--output-dir", "out", "-v"]) == 0
        assert err.getvalue() == ""
        return Path("out").absolute()


def test_classes_and_pages_of_a_joint_run(joint_run, monkeypatch):
    """After a joint decision hits are classified by their number of exposures, not by the method that found them."""
    monkeypatch.chdir(joint_run.parent)
    table = QTable.read("out/mediancr_identified.ecsv")
    assert set(table["category"]) <= set(JOINT_CATEGORIES)
    for row in table:
        n = row["exposures"].count("1")
        assert row["category"] in (("every", "coincident") if n == 3 else ("coincident",) if n == 2 else ("other",))
    names = {path.name for path in Path("out").iterdir()}
    assert {f"mediancr_identified_{category}.csv" for category in JOINT_CATEGORIES} <= names
    assert not any("any4" in name or "only" in name for name in names)
    first = table["category"][first_hits(table, 3)[0] - 1]
    assert f"mediancr_identified_{first}.pdf" in names
    drawn = sum(len(re.findall(rb"/Type /Page\b", path.read_bytes())) for path in Path("out").glob("mediancr*.pdf"))
    # one page for a hit of one or two pixels
    sizes = [table["n_pixels"][number - 1] for number in first_hits(table, 3)]
    assert drawn == sum(2 if size > 2 else 1 for size in sizes) > 0
    masks = MaskSet.read("out/crmasks.fits")
    # no page or figure is written for an empty class
    assert "diagnostic_meancr.png" in names
    assert "diagnostic_meancr_residual.png" not in names
    assert ("problematic_pixels.pdf" in names) is bool(masks.problematic.any())


def test_the_title_states_the_mask_where_the_file_has_another_name(tmp_path, monkeypatch):
    simulated = make_stack("slit", shape=(60, 80), hit_rate=0.03, seed=4)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stack.detect("mmcosmic", aux=None)
    titles = {}
    monkeypatch.setattr(figures, "_save", lambda figure, path, **options: titles.update({path: figure}))
    for name in ("MEDIANCR", "MEANCRT"):
        figures._draw_mask(tmp_path / name, stack.plot.mask_view(name), "zscale")
    first = titles[tmp_path / "MEDIANCR"].get_suptitle()
    assert first.startswith("MEDIANCR: ")
    assert "diagnostic_meancr" not in first
    figure = titles[tmp_path / "MEANCRT"]
    assert figure.get_suptitle().startswith("MEANCRT: ")
    assert "the name diagnostic_meancr; it does not show MEANCR" in figure.get_suptitle()
    # the second line does not overlap the titles of the panels
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert figure.bbox.x0 < box.x0 < box.x1 < figure.bbox.x1
    assert not any(axes.title.get_window_extent().overlaps(box) for axes in figure.axes if axes.get_title())


def test_figures_show_what_their_names_say(run, monkeypatch):
    """As in the manual: diagnostic_meancr.png has MEANCRT on mean2d."""
    seen = {}

    def look(path, view, scale):
        seen[path.name] = view.name, view.label, view.others[0][0]
        path.touch()
        return True

    def look_at_hits(path, view, features, most, options):
        seen[path.name] = options.get("corrected", (None,))[0], len(features)
        path.touch()
        return True

    monkeypatch.setattr("crstack.pipeline.figures._draw_mask", look)
    monkeypatch.setattr("crstack.pipeline.figures._draw_hits", look_at_hits)
    monkeypatch.setattr("crstack.pipeline.figures.log_file", lambda path: None)
    assert run("--log-level", "error")[0] == 0
    assert seen["diagnostic_mediancr.png"] == ("MEDIANCR", "median2d", "mean2d")
    assert seen["diagnostic_meancr.png"] == ("MEANCRT", "mean2d", "median2d")
    assert seen["diagnostic_meancr_residual.png"] == ("MEANCR", "meancr", "median2d")
    assert seen["diagnostic_crmask2.png"][:2] == ("CRMASK2", "exposure 2")
    # the corrected image is the combined one, not the mean with its tracks
    assert seen["problematic_pixels.pdf"][0] == "meancr2"
    assert seen["mediancr_identified_any4.pdf"][0] is None


def test_forty_hits_are_drawn_where_nothing_is_said(here):
    path = Path(write_parameters("p.yaml", maxplots=7))
    assert read_configuration(path)["maxplots"] == 7
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "maxplots" not in line))
    assert read_configuration(path)["maxplots"] == 40


def test_page_of_a_joint_run(run, joint_run):
    """A run that searches hits, and one with given masks."""
    code, _, err = run("--crmasks", str(joint_run / "crmasks.fits"), crmethod="joint", maxplots=0)
    assert (code, err) == (0, "")
    for given, output in ((False, joint_run), (True, Path("out"))):
        page = (output / "report.html").read_text()
        assert "combined_meanjoint.fits" in page
        assert '"probabilities":["' in page
        assert ("<td>hit values</td>" in page) is not given
        assert "any4" not in re.sub(r'href="[^"]*"[^<]*<', "", page)


# the session


class Script:
    """Simulates the user: answers to the windows in turn, and typed lines."""

    def __init__(self, windows, lines=()):
        self.windows, self.lines = list(windows), list(lines)
        self.prompts = []

    def wait(self, window):
        if isinstance(window, QuestionWindow):
            return self.type(window)
        act = self.windows.pop(0)
        answer = act if isinstance(act, str) else act(window)
        window.finish(answer)
        return answer

    def type(self, window):
        """Type the next line into the window, or close it."""
        self.prompts.append(window.prompt)
        for key in [*self.lines.pop(0), "enter"] if self.lines else []:
            window.figure.canvas.callbacks.process(
                "key_press_event", KeyEvent("key_press_event", window.figure.canvas, key)
            )
        return window.action


@pytest.fixture
def play(run, monkeypatch):
    def open_figure(size):
        figure = Figure(figsize=size, layout="constrained")
        # windows are drawn when the user looks at them, not after each key
        FigureCanvasAgg(figure).draw_idle = lambda: None
        return figure

    def play(windows, lines=(), *, interactive=True, **changes):
        script = Script(windows, lines)
        monkeypatch.setattr("crstack.plotting.interactive.has_display", lambda: True)
        monkeypatch.setattr("crstack.plotting.interactive.open_figure", open_figure)
        monkeypatch.setattr("crstack.plotting.interactive.Window.wait", lambda window: script.wait(window))
        few = {"outputs": ["meancr2"]} | changes
        code, out, err = run("--no-plots", f"--{'' if interactive else 'no-'}interactive", **few)
        assert script.windows == []
        assert script.lines == []
        return code, out, err, script

    return play


def printed(out):
    """The settings that the run prints for the parameter file."""
    block = out[out.index("\nrequirements:\n") + 1 :].split("\n\n")[0]
    return yaml.safe_load(block)["requirements"]


def test_refit_rerun_and_the_same_again_from_the_yaml(play, run):
    def drag(window):
        # three times the read noise, in ADU
        lines = [line for axes in window.panels for line in axes.lines if line.get_label() == "threshold"]
        assert [line.get_ydata()[0] for line in lines] == pytest.approx([3 * READNOISE / GAIN] * 2)
        window.set_fixed_points([*window.fixed_points, (250.0, 130.5, 10000.0)])
        return "continue"

    refit = ["", "", "6", "x", "3", "", "y", "a", "50", "60", "", "a", "150", "80", "500", "n"]
    rerun = ["y", "nbinom", "200", "", "", "", "1"]
    code, out, err, script = play(["refit", "continue", drag, "continue"], [*refit, *rerun, "n"])
    assert (code, err) == (0, "")
    assert "Minimum number of neighbors to keep bins in the 2D histogram (0-8) [0]: " in script.prompts
    assert "Enter new value for mm_nbinom_shape (float > 0) [10]: " in script.prompts
    assert "answer must be an integer; got 'x'" in out
    chosen = printed(out)
    assert chosen == {
        "mm_photon_distribution": "nbinom",
        "mm_nbinom_shape": 200.0,
        "mm_knots_splfit": 6,
        "mm_fixed_points_in_boundary": [[50.0, 60.0, 10000.0], [150.0, 80.0, 500.0], [250.0, 130.5, 10000.0]],
        "mm_nsimulations": 1,
        "mm_niter_boundary_extension": 3,
    }
    masks = MaskSet.read("out/crmasks.fits")
    assert "mm_nbinom_shape: 200" in masks.history
    assert run("--no-plots", outputs=["meancr2"], **chosen)[0] == 0
    again = MaskSet.read("out/crmasks.fits")
    assert masks["MEDIANCR"].any()
    for name in masks:
        np.testing.assert_array_equal(masks.codes[name], again.codes[name])


def test_limits_of_the_diagram(play, run):
    lines = ["", "-20", "400", "300", "", "n"]
    code, out, _, _ = play(["rerun", "continue", "continue"], lines)
    assert code == 0
    assert printed(out) == {"mm_ydiag_max": 300, "mm_xdiag_min": -20, "mm_xdiag_max": 400}
    assert "min2d                  -20.000 to    400.000 adu" in out
    assert "median2d - min2d         0.000 to    300.000 adu" in out


@pytest.mark.parametrize("interactive", [True, False])
def test_dropped_hits_leave_mediancr_alone(play, run, interactive):
    def drop_first(window):
        window.rejected = [int(window.pages.features["number"][0])]
        return "continue"

    # verify_cr asks about the hits with and without the other windows
    windows, lines = (["continue", "continue", drop_first], ["n"]) if interactive else ([drop_first], [])
    code, out, _, _ = play(windows, lines, interactive=interactive, verify_cr=True)
    assert code == 0
    pixels = printed(out)["mediancr_pixels_to_be_dropped"]
    masks = MaskSet.read("out/crmasks.fits")
    assert len(pixels) > 0
    assert not any(masks["MEDIANCR"][y - 1, x - 1] for x, y in pixels)
    assert run("--no-plots", outputs=["meancr2"])[0] == 0
    others = MaskSet.read("out/crmasks.fits")
    assert all(others["MEDIANCR"][y - 1, x - 1] for x, y in pixels)
    for name in others:
        if name != "MEDIANCR":
            np.testing.assert_array_equal(masks.codes[name], others.codes[name])


@pytest.mark.parametrize("windows", [["quit"], ["continue", "quit"]])
def test_quit_writes_nothing(play, windows):
    code, out, err, _ = play(windows, ["n"][: len(windows) - 1])
    assert code == 130
    assert "nothing was changed" in out
    assert err == "crstack: warning: stopped by the user; nothing is written\n"
    assert not Path("out").exists()


def test_stops_for_what_was_measured(play):
    """Median position, flux factors and offsets are shown before the diagram, as in the manual."""
    settings = {"flux_factor": "auto", "mm_crosscorr_region": [5, 60, 5, 50], "crmethod": "mmcosmic"}
    titles = []

    def look(window):
        titles.append(window.figure.axes[0].get_title() or window.figure.get_suptitle())
        return "continue"

    code, out, err, _ = play([look] * 7 + ["continue", "continue"], ["n"], **settings)
    assert (code, err) == (0, "")
    assert titles[0] == "median2d"
    assert len(set(titles)) >= 2
    stops = [line for line in out.splitlines() if line.endswith(": press 'c' to continue, 'x' to quit")]
    kinds = ["median position", *(f"flux factor of exposure {i}" for i in (1, 2, 3))]
    assert [line.split(":")[0] for line in stops] == [*kinds, *(f"offset of exposure {i}" for i in (1, 2, 3))]
    code, _, err, _ = play([look, "quit"], **settings)
    assert code == 130
    assert err.endswith("stopped by the user; nothing is written\n")


def test_session_without_diagram(play):
    code, _, _, script = play(["continue"], crmethod="pycosmic")
    assert code == 0
    assert script.prompts == []


def test_no_interactive_wins_over_the_file(run):
    code, out, err = run("--no-plots", "--no-interactive", interactive=True, crmethod="pycosmic")
    assert (code, err) == (0, "")
    assert "Interactive" not in out


def test_without_display_it_goes_on(run):
    code, _, err = run("--no-plots", interactive=True, crmethod="pycosmic")
    assert code == 0
    assert err == (
        "crstack: warning: interactive: True has no effect, because matplotlib cannot open a window; "
        "if there is a screen, install a toolkit for matplotlib, such as PyQt6 (pip install PyQt6)\n"
    )


def questions(*lines):
    lines, told = list(lines), []
    return Questions(told.append, lambda prompt: lines.pop(0)), told


def test_fixed_points_are_added_edited_deleted_and_cleared():
    asked, told = questions("y", "a", "90", "40", "", "a", "10", "20", "5", "e", "2", "", "45", "", "d", "1", "n")
    assert asked.fixed_points([]) == [[90, 45, 10000]]
    assert "No fixed points in boundary." in told
    asked, told = questions("y", "a", "10", "3", "", "c", "n")
    assert asked.fixed_points([(10, 20)]) == []
    assert "fixed points must have different x" in told
    asked, told = questions("a", "1", "2", "", "n", "a", "3", "4", "", "n")
    assert asked.fixed_points([], least=2) == [[1, 2, 10000], [3, 4, 10000]]
    assert "a piecewise boundary needs 2 or more fixed points; it has 1" in told


def test_answers_until_they_will_do():
    asked, told = questions("maybe", "no")
    assert asked.yes("Well?") is False
    assert told == ["answer must be one of y, n; got 'maybe'"]
    asked, _ = questions("", "yes")
    assert asked.yes("Well?") is False
    assert asked.yes("Well?") is True


def test_the_page_explains_its_words(joint_run):
    page = (joint_run / "report.html").read_text()
    assert "found by the joint decision alone" in page
    for word in ("probability", "hit values", "typical charge", "scatter beyond the noise", "peak"):
        assert f"<dt>{word}</dt>" in page
    # rows whose names begin alike have one explanation
    assert "<dt>charges of a value</dt>" in page
    assert "charges of a value if no neighbour is hit" in page
    assert "The images are being unpacked" in page
    assert _names([Path(f"n{i}.fits") for i in range(1, 8)]) == "n1.fits to n7.fits, 7 exposures"
    assert _names([Path(f"n{i}.fits") for i in range(1, 4)]) == "n1.fits, n2.fits, n3.fits"
