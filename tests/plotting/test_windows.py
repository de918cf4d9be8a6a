"""Windows, by events of the mouse and of keys."""

import re

import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from crstack import SplineBoundary
from crstack.masks import Code
from crstack.plotting.interactive import DiagramWindow, QuestionWindow, Window, has_display
from crstack.plotting.interactive_mask import MaskWindow, VerifyWindow
from crstack.plotting.style import image_limits
from crstack.plotting.symbols import SYMBOLS, words_of


def same_fits(boundary, other):
    np.testing.assert_array_equal(boundary.y, other.y)


class Driver:
    """Keys and mouse for a window without a screen."""

    def __init__(self, figure):
        self.canvas = figure.canvas

    def key(self, key, axes=None, spot=(0.5, 0.5)):
        x, y = (0, 0) if axes is None else axes.transData.transform(spot)
        event = KeyEvent("key_press_event", self.canvas, key, x, y)
        self.canvas.callbacks.process("key_press_event", event)

    def mouse(self, kind, axes, spot, button=1, dblclick=False):
        x, y = axes.transData.transform(spot)
        name = {"press": "button_press_event", "move": "motion_notify_event", "release": "button_release_event"}[kind]
        event = MouseEvent(name, self.canvas, x, y, None if kind == "move" else button, dblclick=dblclick)
        self.canvas.callbacks.process(name, event)


def canvas_figure(size=(12, 7)):
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure).draw_idle = lambda: None  # it would draw immediately
    return figure


@pytest.fixture
def window(stack):
    diagram = stack.mm_diagram(aux="pycosmic", n_simulations=3)
    return DiagramWindow(diagram, SplineBoundary(), threshold=10, fig=canvas_figure())


def test_fixed_points_by_mouse(window):
    driver, axes = Driver(window.figure), window.panels[1]
    plain = window.boundary
    driver.mouse("press", axes, (100, 90), dblclick=True)
    ((x, y, weight),) = window.model.fixed_points
    assert (x, y) == pytest.approx((100, 90), abs=0.1)
    assert weight == 10000
    assert window.boundary(100) == pytest.approx(90, rel=0.02)
    # pressed in one panel, moved in the other
    driver.mouse("press", window.panels[0], (100, 90))
    driver.mouse("move", axes, (110, 100))
    driver.mouse("move", axes, (150, 120))
    driver.mouse("release", axes, (150, 120))
    driver.mouse("move", axes, (10, 10))
    assert window.model.fixed_points[0][:2] == pytest.approx((150, 120), abs=0.1)
    for panel in window.panels:
        curves = [line for line in panel.lines if line.get_label() == "boundary"]
        assert len(curves) == 1
        np.testing.assert_array_equal(curves[0].get_ydata()[1:-1], window.boundary.y)
    driver.mouse("press", axes, (150, 120), button=3)
    assert window.model.fixed_points == ()
    same_fits(window.boundary, plain)


def test_clicks_that_do_nothing(window):
    driver, axes = Driver(window.figure), window.panels[1]
    driver.mouse("press", axes, (100, 90))
    driver.mouse("move", axes, (120, 90))
    assert window.model.fixed_points == ()
    driver.mouse("press", axes, (100, 90), button=3)
    assert window.model.fixed_points == ()
    window.figure.canvas.toolbar = type("Toolbar", (), {"mode": "zoom rect"})()
    driver.mouse("press", axes, (100, 90), dblclick=True)
    assert window.model.fixed_points == ()


def test_point_that_cannot_be(window):
    assert window.set_fixed_points([(50, 60, 1), (90, 70, 1)])
    assert not window.set_fixed_points([(50, 60, 1), (50, 70, 1)])
    assert "fixed points must have different x" in window.figure.get_suptitle()
    assert len(window.model.fixed_points) == 2
    assert window.set_fixed_points([])
    assert "fixed points must" not in window.figure.get_suptitle()


@pytest.mark.parametrize(
    ("key", "action"), [("c", "continue"), ("r", "refit"), ("f", "refit"), ("R", "rerun"), ("x", "quit"), ("k", None)]
)
def test_keys_of_the_diagram(window, key, action):
    Driver(window.figure).key(key)
    assert window.action == action


def test_help(stack):
    told = []
    window = MaskWindow(stack.plot.mask_view(), fig=canvas_figure(), tell=told.append)
    Driver(window.figure).key("?")
    text = "\n".join(told)
    for key in "hrpofs?i&nat01,/cx":
        assert f"'{key}'" in text


def test_every_window_shows_its_keys(stack, window):
    masks = stack.detect(aux="pycosmic")
    view, table = stack.plot.mask_view("MEANCRT", masks=masks), stack.features("MEANCRT", masks=masks)
    windows = (
        window,
        MaskWindow(view, fig=canvas_figure()),
        VerifyWindow(view, table, masks=masks, fig=canvas_figure((10, 6.5))),
        Window(stack.plot.median_position(fig=canvas_figure())),
    )
    for one in windows:
        one.figure.draw_without_rendering()
        title = one.figure.get_suptitle()
        for action in one.actions:
            assert re.search(rf"(^|[\s·]){action}(?= )", title), (type(one), action)
        # the text of the keys does not overlap a title
        box = one.figure._suptitle.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= one.figure.bbox.x1
        assert not any(
            axes.title.get_text() and axes.title.get_window_extent().overlaps(box) for axes in one.figure.axes
        )
    assert windows[2].figure.get_suptitle().startswith("MEANCRT, hit ")


def test_windows_fit_a_small_screen_and_have_titles(stack, monkeypatch):
    import matplotlib.pyplot as plt

    from crstack.plotting.interactive import open_figure
    from crstack.plotting.mask import SIZE

    titles = []
    for size in (SIZE, (10, 8), (8, 4)):
        figure = open_figure(size)
        assert tuple(figure.get_size_inches()) == (size[0], min(size[1], 6.5))
        monkeypatch.setattr(figure.canvas.manager, "set_window_title", titles.append)
        Window(figure, title="this")
        plt.close(figure)
    assert titles == ["crstack: this"] * 3
    with plt.rc_context({"figure.dpi": 200}):
        figure = open_figure(SIZE)
        assert (figure.bbox.width, figure.bbox.height) == (1340, 650)
        plt.close(figure)


def test_questions_are_answered_in_a_window():
    window = QuestionWindow("How many [3]: ", ["a line", "another"], fig=canvas_figure((8, 4)))
    driver = Driver(window.figure)
    for key in ("c", "1", "x", "backspace", "shift", "."):
        driver.key(key)
    assert window.action is None  # no key of the other windows
    texts = [text.get_text() for text in window.figure.texts]
    assert "a line\nanother" in texts
    assert "How many [3]: " in texts
    assert "c1._" in texts
    driver.key("enter")
    assert (window.action, window.answer) == ("answered", "c1.")
    closed = QuestionWindow("Which: ", fig=canvas_figure((8, 4)))
    assert closed.answer is None


def test_linked_zooms(stack):
    window = MaskWindow(stack.plot.mask_view("MEANCRT"), fig=canvas_figure((13, 10.5)))
    a, b, c, d = window.panels.axes
    pixels = window.panels.view.pixels
    assert window.in_diagram().all()
    a.set_ylim(30, 100)
    wanted = (pixels["excess"] >= 30) & (pixels["excess"] <= 100)
    assert 0 < wanted.sum() < len(pixels)
    assert b.get_ylim() == (30, 100)
    assert sum(len(line.get_xdata()) for line in window.panels.symbols.values()) == wanted.sum()
    a.set_ylim(-100, 1e6)
    d.set_xlim(20, 40)
    assert c.get_xlim() == (20, 40)
    wanted = (pixels["x"] >= 20) & (pixels["x"] <= 40)
    in_a = [line for line in a.lines if line.get_label() in [words_of(code) for code in SYMBOLS]]
    assert sum(len(line.get_xdata()) for line in in_a) == wanted.sum()
    numbers = {int(text.get_text()) for text in b.texts if text.get_text().isdigit()}
    assert numbers <= set(pixels["number"][wanted])


def test_keys_of_the_panels(stack):
    told = []
    window = MaskWindow(stack.plot.mask_view(), fig=canvas_figure(), tell=told.append)
    driver, panels = Driver(window.figure), window.panels
    c = panels.axes[2]
    driver.key("3")
    assert panels.other == 3
    driver.key("t")
    assert panels.other == 0
    driver.key("2")
    driver.key("0")
    assert panels.axes[3].get_title() == "(d) mean2d"
    driver.key("n")
    assert len(c.texts) > 1
    driver.key("n")
    assert len(c.texts) == 0
    driver.key("a")
    assert c.get_aspect() == "auto"
    driver.key("a")
    assert c.get_aspect() == 1
    c.set_xlim(10.5, 30.5)
    c.set_ylim(5.5, 25.5)
    driver.key(",")
    part = stack.statistics.median2d[5:25, 10:30]
    assert panels.images[0].get_clim() == pytest.approx((part.min(), part.max()))
    driver.key("/")
    assert panels.images[0].get_clim() == pytest.approx(image_limits(part))
    driver.key("i", c, (20.3, 14.8))
    code = Code(panels.view.codes[14, 19])
    assert told[0] == f"pixel X=20, Y=15: {code.name.lower()} ({code.value})"
    assert told[1].split() == ["median2d", f"{stack.statistics.median2d[14, 19]:.3f}", "adu"]
    assert len(told) == 7
    told.clear()
    driver.key("&")
    assert told[-1] == f"{window.in_image().sum()} pixels"
    driver.key("x")
    assert window.action == "quit"


def test_verify(stack):
    table = stack.features("MEANCRT")
    window = VerifyWindow(stack.plot.mask_view("MEANCRT"), table, fig=canvas_figure(), tell=None)
    driver = Driver(window.figure)
    for key in "nynb":
        driver.key(key)
    assert window.rejected == [1]
    driver.key("n")
    assert window.rejected == [1, 3]
    assert f"hit {table['number'][3]} " in window.figure.get_suptitle()
    driver.key("a")
    assert window.action == "continue"


def test_verify_ends_with_the_last_hit(stack):
    window = VerifyWindow(stack.plot.mask_view(), stack.features()[:2], fig=canvas_figure())
    driver = Driver(window.figure)
    driver.key("y")
    assert window.action is None
    driver.key("n")
    assert (window.action, window.rejected) == ("continue", [2])


def test_no_display_here():
    assert not has_display()
