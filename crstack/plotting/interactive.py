"""Windows with keyboard and mouse control.

Each class attaches itself to a figure. In a script `Window.wait` shows it and returns when it is closed. With ipympl
in Jupyter the same figure is interactive in the page, and ``window.model`` or ``window.action`` hold the choice.
"""

from dataclasses import replace

import numpy as np

from crstack.boundaries.base import DEFAULT_WEIGHT, checked_fit
from crstack.exceptions import InputError
from crstack.plotting.diagram import draw_boundary, fixed_points_of, plot_diagram

__all__ = ["DiagramWindow", "QuestionWindow", "Window", "has_display", "open_figure"]

#: largest distance of a click from a fixed point, in pixels of the screen
NEAR = 10
#: digits of a point set with the mouse
DIGITS = 5
#: largest number of lines shown above a question
MOST_LINES = 14
#: pixels of a window on a screen of 1366 x 768, without its frame and toolbar
SCREEN = (1340, 650)
MOUSE_BUTTONS = {"left": 1, "right": 3}


def has_display():
    """Whether matplotlib can open a window."""
    try:
        import matplotlib.pyplot as plt
        from matplotlib.backends import BackendFilter, backend_registry

        backend = plt.get_backend()
        if backend.lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
            return False
        plt.switch_backend(backend)  # loads the toolkit, which fails without a display
    except (ImportError, RuntimeError):
        return False
    return True


def open_figure(size):
    """A new figure in its own window, of ``size`` inches or smaller to fit a small screen."""
    import matplotlib.pyplot as plt

    dpi = plt.rcParams["figure.dpi"]
    width, height = (min(wanted, most / dpi) for wanted, most in zip(size, SCREEN, strict=True))
    return plt.figure(figsize=(width, height), layout="constrained")


class Window:
    """A figure with keyboard control.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure; it may belong to a window or not.
    tell : callable, optional
        Called with each line that is reported, such as `print`.
    title : str, optional
        Title of the window.

    Attributes
    ----------
    action : str or None
        Action that closed the window: "continue", "quit", ...; None while it is open.
    """

    #: action by key
    actions = {"c": "continue", "q": "continue", "x": "quit"}
    #: keys of matplotlib's own toolbar
    passed: tuple[str, ...] = ("h", "home", "o", "p", "s")
    help: tuple[str, ...] = (
        "'c' or 'q': continue",
        "'x': quit",
        "'h': reset the zoom, 'p': pan, 'o': zoom to a rectangle, 's': save the figure",
    )

    #: keys, written on the window
    hint = "c or q continue · x quit · h whole view · p pan · o zoom to a rectangle · s save · ? help"

    def __init__(self, figure, *, tell=None, title="figure"):
        self.figure = figure
        self.action = None
        self._tell = tell
        self._keep_default_keys_out()
        if figure.canvas.manager is not None:
            figure.canvas.manager.set_window_title(f"crstack: {title}")
        self.show_hint()
        self._connections = [
            figure.canvas.mpl_connect("key_press_event", self._on_key),
            figure.canvas.mpl_connect("button_press_event", self.on_press),
            figure.canvas.mpl_connect("motion_notify_event", self.on_move),
            figure.canvas.mpl_connect("button_release_event", self.on_release),
        ]

    def _keep_default_keys_out(self):
        manager = self.figure.canvas.manager
        if manager is not None and getattr(manager, "key_press_handler_id", None) is not None:
            self.figure.canvas.mpl_disconnect(manager.key_press_handler_id)

    def show_hint(self):
        """Write the keys under the title."""
        figure_title = self.figure.get_suptitle()
        self.figure.suptitle(f"{figure_title}\n{self.hint}".strip(), fontsize="small")

    def tell(self, line):
        """Pass a line of output to ``tell``, if given."""
        if self._tell is not None:
            self._tell(line)

    def wait(self):
        """Show the window and return the action that ended it; "continue" if it was closed."""
        import matplotlib.pyplot as plt

        plt.show(block=True)
        self.finish(self.action or "continue")
        return self.action

    def finish(self, action):
        """End with an action, and close the window if there is one."""
        self.action = action
        for connection in self._connections:
            self.figure.canvas.mpl_disconnect(connection)
        if self.figure.canvas.manager is not None:
            import matplotlib.pyplot as plt

            plt.close(self.figure)

    @property
    def _toolbar_busy(self):
        """Whether zoom or pan of the toolbar uses the mouse."""
        toolbar = getattr(self.figure.canvas, "toolbar", None)
        return bool(getattr(toolbar, "mode", ""))

    def _on_key(self, event):
        if event.key in self.actions:
            self.finish(self.actions[event.key])
        elif event.key == "?":
            for line in self.help:
                self.tell(line)
        elif event.key in self.passed:
            from matplotlib.backend_bases import key_press_handler

            key_press_handler(event)
        else:
            self.on_key(event)

    def on_key(self, event):
        """Handle any other key."""

    def on_press(self, event):
        """Handle a mouse button."""

    def on_move(self, event):
        """Handle a motion of the mouse."""

    def on_release(self, event):
        """Handle the release of a mouse button."""


class DiagramWindow(Window):
    """The diagram, with fixed points that the mouse moves and a curve that is fitted again.

    Parameters
    ----------
    diagram : `~crstack.diagram.MMDiagram`
        The diagram.
    model : `~crstack.boundaries.BoundaryModel`
        Fitted to it; with a field ``fixed_points`` it can be changed.
    threshold : float, optional
        As for `~crstack.plotting.plot_diagram`.
    fig : `~matplotlib.figure.Figure`, optional
        Figure to draw in.
    tell : callable, optional
        Called with each line of output.

    Attributes
    ----------
    model : `~crstack.boundaries.BoundaryModel`
        Model with the current fixed points.
    boundary : `~crstack.boundaries.FittedBoundary`
        Its boundary.
    """

    actions = {"c": "continue", "q": "continue", "r": "refit", "f": "refit", "R": "rerun", "x": "quit"}
    hint = (
        "c or q continue · r or f refit · R new simulations · x quit · h whole view · p pan · o zoom · s save\n"
        "drag a square to move a fixed point · double-click to add one · right-click to remove it · ? help"
    )
    help = (
        "'c' or 'q': continue",
        "'r' or 'f': repeat the fit, with other settings",
        "'R': repeat the simulations, with other settings",
        "'x': quit",
        "'h': reset the zoom, 'p': pan, 'o': zoom to a rectangle, 's': save the figure",
        "mouse: drag a fixed point (square), double-click to add one, right-click to remove one",
    )

    def __init__(self, diagram, model, *, threshold=None, fig=None, tell=None):
        self.diagram, self.model = diagram, model
        self.boundary = checked_fit(model, diagram)
        figure = plot_diagram(diagram, self.boundary, threshold=threshold, fig=fig)
        super().__init__(figure, tell=tell, title="median-minimum diagram")
        self.panels = self.figure.axes[:2]
        self._lines = [line for axes in self.panels for line in axes.lines if line.get_label() != "threshold"]
        self._moved = None
        # a new layout at every motion of the mouse would be slow
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")

    @property
    def fixed_points(self):
        """List of (x, y, weight)."""
        return list(getattr(self.model, "fixed_points", ()))

    def set_fixed_points(self, points):
        """Fit again with other fixed points. If this fails, return False and show the reason in the title.

        Parameters
        ----------
        points : list of (x, y, weight)
            All fixed points.
        """
        try:
            model = replace(self.model, fixed_points=tuple(points))
            self.boundary = checked_fit(model, self.diagram)
        except InputError as error:
            self.figure.suptitle(f"{error}\n{self.hint.splitlines()[1]}", fontsize="small", color="#a00000")
            self.figure.canvas.draw_idle()
            return False
        self.model = model
        self.figure.suptitle(self.hint, fontsize="small", color="black")
        for line in self._lines:
            line.remove()
        self._lines = [line for axes in self.panels for line in draw_boundary(axes, self.boundary)]
        self.figure.canvas.draw_idle()
        return True

    def _near(self, event):
        """Index of the fixed point under the mouse, or None."""
        points = fixed_points_of(self.boundary)
        if event.inaxes not in self.panels or not len(points):
            return None
        there = event.inaxes.transData.transform(points)
        distance = np.hypot(there[:, 0] - event.x, there[:, 1] - event.y)
        return int(np.argmin(distance)) if distance.min() <= NEAR else None

    def on_press(self, event):
        """Select, add or remove a fixed point."""
        if self._toolbar_busy or event.inaxes not in self.panels or not hasattr(self.model, "fixed_points"):
            return
        near = self._near(event)
        points = self.fixed_points
        if event.button == MOUSE_BUTTONS["right"]:
            if near is not None:
                self.set_fixed_points(points[:near] + points[near + 1 :])
        elif event.button == MOUSE_BUTTONS["left"]:
            if near is not None:
                self._moved = points[near]
            elif event.dblclick:
                self.set_fixed_points([*points, (*_rounded(event), DEFAULT_WEIGHT)])

    def on_move(self, event):
        """Move the selected fixed point."""
        if self._moved is None or event.inaxes not in self.panels:
            return
        moved = (*_rounded(event), self._moved[2])
        if self.set_fixed_points([moved if point == self._moved else point for point in self.fixed_points]):
            self._moved = moved

    def on_release(self, event):
        """Release the fixed point."""
        if self._moved is not None:
            self.tell(f"fixed point at {self._moved[0]:g}, {self._moved[1]:g}")
        self._moved = None


class QuestionWindow(Window):
    """A question, and a line for the answer.

    Parameters
    ----------
    prompt : str
        The question, with its default in brackets.
    lines : sequence of str, optional
        Lines above the question; only the last ones are shown if there are many.
    fig : `~matplotlib.figure.Figure`
        Figure to draw in.

    Attributes
    ----------
    answer : str or None
        The typed answer; None if the window was closed.
    """

    hint = "RETURN takes what is typed, or the value in brackets · BACKSPACE deletes"

    def __init__(self, prompt, lines=(), *, fig):
        fig.set_layout_engine("none")
        super().__init__(fig, title="question")
        self.prompt, self.answer, self._typed = prompt, None, ""
        fig.text(0.04, 0.88, "\n".join(lines[-MOST_LINES:]), va="top", family="monospace", fontsize="small")
        fig.text(0.04, 0.2, prompt, va="bottom", wrap=True)
        self._line = fig.text(0.04, 0.12, "", va="center", family="monospace", bbox={"facecolor": "white"})
        self._update()

    def _update(self):
        self._line.set_text(f"{self._typed}_")
        self.figure.canvas.draw_idle()

    def _on_key(self, event):
        """Every key is part of the answer."""
        if event.key == "enter":
            self.answer = self._typed
            self.finish("answered")
            return
        if event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.key is not None and len(event.key) == 1:
            self._typed += event.key
        self._update()


def _rounded(event):
    """Data coordinates of the mouse, rounded to the resolution of the screen."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in (event.xdata, event.ydata))
