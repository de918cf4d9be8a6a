"""The interactive part of a run: settings chosen in windows, before anything is written."""

import gc

import numpy as np

from crstack.masks.features import feature_pixels
from crstack.pipeline.console import SessionStopped
from crstack.pipeline.questions import Questions
from crstack.pipeline.summary import log_equivalence
from crstack.utils.log import log, section

__all__ = ["Session", "can_be_interactive"]


#: size in inches of a window with a figure, and of one with a question
PICTURE, QUESTION = (12, 6.5), (8, 4)
STOPPED = "stopped by the user; nothing is written"


def can_be_interactive(names="interactive"):
    """Whether windows can be opened; if not, a warning says that the keys ``names`` have no effect."""
    from crstack.plotting.interactive import has_display

    if has_display():
        return True
    remedy = "if there is a screen, install a toolkit for matplotlib, such as PyQt6 (pip install PyQt6)"
    log.warning("%s: True has no effect, because matplotlib cannot open a window; %s", names, remedy)
    return False


class Session:
    """Shows diagram, masks and hits, and records the changes.

    Parameters
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        Initial settings.
    stack : `~crstack.CRStack`
        The exposures.
    console : `~crstack.pipeline.console.Console`
        Progress bar.
    ask : callable, optional
        ``ask(prompt) -> answer``; by default a window asks.
    choose : bool, optional
        Whether to show diagram and masks; the hits are shown if ``verify_cr`` is True.

    Attributes
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        Current settings. A run with them gives the results shown.
    """

    def __init__(self, configuration, stack, console, ask=None, *, choose=True):
        self.configuration = self._given = configuration
        self.stack, self.console = stack, console
        self._told = []
        self.questions = Questions(self._tell, self._ask if ask is None else ask)
        self.choose = choose
        self.detector = configuration.parts.detector

    def run(self):
        """Go through the windows.

        Returns
        -------
        configuration : `~crstack.config.configuration.Configuration`
            The chosen settings.

        Raises
        ------
        SessionStopped
            If the user quits. The choices made before are reported.
        """
        section("Interactive")
        try:
            if self.choose and self.configuration.crmethod.method is not None:
                self._equivalence()
            if self.choose and self.configuration.crmethod.uses_diagram:
                self._diagram()
            masks = self._detect()
            answer = self._panels(masks) if self.choose else "continue"
            _delete_windows()
            if answer != "quit" and self.configuration["verify_cr"]:
                answer = self._verify(masks)
                _delete_windows()
            if answer == "quit":
                raise SessionStopped(STOPPED)
        finally:
            self._tell_settings()
        return self.configuration

    def _tell(self, line):
        """Log a line, and show it above the next question."""
        log.note(line)
        self._told.append(line)

    def _ask(self, prompt):
        """Ask in a window; closing it counts as the end of the input."""
        from crstack.plotting.interactive import QuestionWindow, open_figure

        window = QuestionWindow(prompt, self._told, fig=open_figure(QUESTION))
        self._told.clear()
        window.wait()
        answer = window.answer
        del window
        _delete_windows()
        if answer is None:
            raise EOFError
        log.note("%s%s", prompt, answer)
        return answer

    def _change(self, **values):
        self.configuration = self.configuration.with_values(**values)

    def _progress(self):
        return self.console.progress

    # flux factors and offsets of the exposures

    def _equivalence(self):
        """Show the median position, and the flux factors and the offsets that were measured."""
        scale, equalized = self.configuration["color_scale"], self.stack.prepared.known
        if equalized.flux is not None or equalized.offsets is not None:
            log_equivalence(equalized)
        if equalized.flux is not None and equalized.flux.is_measured:
            self._stop("median position", self.stack.plot.median_position, color_scale=scale)
            for number in range(1, len(self.stack) + 1):
                self._stop(f"flux factor of exposure {number}", self.stack.plot.flux_factor, number)
        if equalized.offsets is not None:
            for number, errors in enumerate(equalized.offsets.errors, start=1):
                if any(errors):  # given offsets have no errors
                    self._stop(f"offset of exposure {number}", self.stack.plot.offset, number, color_scale=scale)

    def _stop(self, what, draw, *arguments, **options):
        """Show a figure until the user continues."""
        from crstack.plotting.interactive import Window, open_figure

        figure = draw(*arguments, fig=open_figure(PICTURE), **options)
        log.note("%s: press 'c' to continue, 'x' to quit", what)
        answer = Window(figure, tell=log.note, title=what).wait()
        del figure
        _delete_windows()
        if answer == "quit":
            raise SessionStopped(STOPPED)

    # the diagram

    def _diagram(self):
        """Show the diagram until the user continues."""
        answer = None
        while answer != "continue":
            settings = self.configuration
            diagram = self.stack.mm_diagram(aux=self.detector, progress=self._progress(), **settings.parts.diagram)
            self.console.end_progress()
            answer, model = self._look_at(diagram)
            _delete_windows()
            if model != settings.parts.boundary:
                self._change(mm_fixed_points_in_boundary=[list(point) for point in model.fixed_points])
            answer = self._answered(answer, diagram)

    def _look_at(self, diagram):
        """Show the diagram; return the answer, and the model with the changes by the mouse."""
        from crstack.plotting.interactive import DiagramWindow, open_figure

        settings = self.configuration
        readnoise = float(np.median(self.stack.exposures.noise.readnoise_in_unit))
        threshold = settings["mm_threshold_rnoise"] * readnoise
        figure = open_figure(PICTURE)
        window = DiagramWindow(diagram, settings.parts.boundary, threshold=threshold, fig=figure, tell=log.note)
        log.note("diagram: press 'r' to repeat the fit, 'c' to continue, 'x' to quit, '?' for help")
        return window.wait(), window.model

    def _answered(self, answer, diagram):
        """Ask the questions of a key; return the next step."""
        if answer == "quit":
            raise SessionStopped(STOPPED)
        if answer == "refit":
            self._change(**self.questions.fit(self.configuration))
        rerun = answer == "rerun"
        if answer == "continue" and self.questions.yes("Do you want to rerun the simulations?"):
            rerun = True
        if rerun:
            self._change(**self.questions.simulations(self.configuration, diagram))
            return "rerun"
        return answer

    # the masks

    def _detect(self):
        settings = self.configuration
        if settings.crmethod.uses_diagram:
            self.stack.mm_diagram(aux=self.detector, progress=self._progress(), **settings.parts.diagram)
            self.stack.fit_boundary(settings.parts.boundary)
        options = {"rules": settings.parts.rules, "progress": self._progress()}
        masks = self.stack.detect(settings.parts.method, aux=self.detector, **options)
        self.console.end_progress()
        return masks

    def _panels(self, masks):
        from crstack.plotting.interactive import open_figure
        from crstack.plotting.interactive_mask import MaskWindow
        from crstack.plotting.mask import SIZE

        view = self.stack.plot.mask_view("MEDIANCR", masks=masks)
        log.note("MEDIANCR: %d pixels; press '?' for help, 'c' to continue, 'x' to quit", len(view.pixels))
        scale = self.configuration["color_scale"]
        window = MaskWindow(view, color_scale=scale, fig=open_figure(SIZE), tell=log.note)
        return window.wait()

    def _verify(self, masks):
        """Ask about each hit of MEDIANCR; the pixels of dropped hits are removed from this mask only."""
        from crstack.plotting.interactive import open_figure
        from crstack.plotting.interactive_mask import VerifyWindow

        features = self.stack.features("MEDIANCR", masks=masks)
        if not len(features):
            log.note("no hit to verify")
            return "continue"
        options = {"semiwindow": self.configuration["semiwindow"], "color_scale": self.configuration["color_scale"]}
        view = self.stack.plot.mask_view("MEDIANCR", masks=masks)
        log.note("%d hits: press 'y' to keep, 'n' to drop, 'a' to keep all the rest, 'x' to quit", len(features))
        figure = open_figure((10, 8))
        window = VerifyWindow(view, features, masks=masks, fig=figure, tell=log.note, **options)
        answer = window.wait()
        if window.rejected and answer != "quit":
            dropped = feature_pixels(masks, features[np.isin(features["number"], window.rejected)])
            pixels = [[int(x), int(y)] for x, y in zip(dropped["X_pixel"], dropped["Y_pixel"], strict=True)]
            key = "mediancr_pixels_to_be_dropped"
            self._change(**{key: [*map(list, self.configuration[key]), *pixels]})
        return answer

    # chosen settings

    def changes(self):
        """Values of the keys that differ from the given ones, in the terms of the file."""
        now, before = self.configuration, self._given
        return {key: _plain(now[key]) for key in now.values if now[key] != before[key]}

    def _tell_settings(self):
        changes = self.changes()
        if not changes:
            log.note("nothing was changed")
            return
        log.note("chosen; to repeat the run without questions, put this into %s:", self.configuration.path)
        log.note("requirements:")
        for key, value in changes.items():
            items = value if isinstance(value, list) else None
            log.note("  %s:%s", key, "" if items else f" {_in_yaml(value)}")
            for item in items or ():
                log.note("  - %s", _in_yaml(item))
        log.note("")


def _delete_windows():
    """Delete closed windows in this thread, as their toolkits require."""
    gc.collect()


def _in_yaml(value):
    """One line of YAML."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10**6).splitlines()[0]


def _plain(value):
    """Lists instead of tuples."""
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
