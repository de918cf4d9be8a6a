"""Questions at the terminal, each with its default in brackets."""

from crstack.boundaries.base import DEFAULT_WEIGHT
from crstack.config.document import as_number, parsed_text
from crstack.config.values import choice, integer, number
from crstack.exceptions import InputError
from crstack.pipeline.console import SessionStopped
from crstack.utils.validation import check_choice

__all__ = ["Questions"]


class Questions:
    """Asks until the answer is valid.

    Parameters
    ----------
    ask : callable, optional
        ``ask(prompt) -> answer``; `input` by default. The end of the input counts as RETURN if there is a default.
    tell : callable
        Called with each line of output.
    """

    def __init__(self, tell, ask=None):
        self._ask = input if ask is None else ask
        self._tell = tell

    def value(self, prompt, default, check):
        """Ask for a value.

        Parameters
        ----------
        prompt : str
            The question.
        default : object
            Value of RETURN; None if an answer is required.
        check : callable
            ``check(name, value)`` as in the parameter file.

        Returns
        -------
        value : object
        """
        while True:
            shown = f"{default:.6g}" if isinstance(default, float) else default
            answer = self._answer(prompt if default is None else f"{prompt} [{shown}]", default)
            if answer is None and default is None:
                continue
            if answer is None:
                return default
            try:
                return check("answer", _parsed(answer))
            except InputError as error:
                self._tell(str(error))

    def _answer(self, prompt, default):
        """The typed answer, or None for an empty one."""
        try:
            return self._ask(f"{prompt}: ").strip() or None
        except EOFError:
            if default is None:
                raise SessionStopped("stopped at the end of the input; nothing is written") from None
            return None

    def yes(self, prompt):
        """Ask yes or no, no by default."""

        def check(name, value):
            return check_choice(name, {True: "y", False: "n"}.get(value, value), ("y", "n"))

        return self.value(f"{prompt} (y/n)", "n", check) == "y"

    def fit(self, settings):
        """Ask for the settings of the fit of the boundary.

        Parameters
        ----------
        settings : `~crstack.config.configuration.Configuration`
            Gives the defaults.

        Returns
        -------
        changes : dict
            Values by key.
        """
        ask = self.value
        changes = {}

        def asked(key, prompt, check):
            changes[key] = ask(prompt, settings[key], check)

        prompt = "Minimum number of neighbors to keep bins in the 2D histogram (0-8)"
        asked("mm_hist2d_min_neighbors", prompt, integer(minimum=0, maximum=8))
        prompt = "Type of boundary fit: piecewise or spline"
        asked("mm_boundary_fit", prompt, choice("piecewise", "spline"))
        if changes["mm_boundary_fit"] == "spline":
            asked("mm_knots_splfit", "Number of knots for spline boundary fit (min. 2)", integer(minimum=2))
            prompt = "Number of iterations for boundary extension (min. 0)"
            asked("mm_niter_boundary_extension", prompt, integer(minimum=0))
            prompt = "Weight for boundary extension (greater than 1.0)"
            asked("mm_weight_boundary_extension", prompt, number(minimum=1, exclusive=True))
        least = 2 if changes["mm_boundary_fit"] == "piecewise" else 0
        changes["mm_fixed_points_in_boundary"] = self.fixed_points(settings["mm_fixed_points_in_boundary"], least)
        return changes

    def fixed_points(self, points, least=0):
        """Ask for changes of the fixed points.

        Parameters
        ----------
        points : sequence of (x, y) or (x, y, weight)
            The current points.
        least : int, optional
            Least number of points.

        Returns
        -------
        points : list of [x, y, weight]
        """
        points = [(*point[:2], point[2] if len(point) > 2 else DEFAULT_WEIGHT) for point in points]
        self._tell_points(points)
        if len(points) >= least and not self.yes("Do you want to modify the fixed points in the boundary?"):
            return [list(point) for point in points]
        while True:
            choices = "acden" if points else "an"
            self._tell("Type:")
            for letter in choices:
                self._tell(f"- '{letter}' {MENU[letter]}")
            letter = self.value(f"Your choice ({'/'.join(choices)})", "n", choice(*choices))
            if letter != "n":
                points = self._changed(points, letter)
                self._tell_points(points)
            elif len(points) >= least:
                return [list(point) for point in points]
            else:
                self._tell(f"a piecewise boundary needs {least} or more fixed points; it has {len(points)}")

    def _changed(self, points, letter):
        """The points after the change of a letter of the menu."""
        if letter == "c":
            return []
        if letter == "a":
            return self._sorted([*points, self._point("new fixed point", (None, None, DEFAULT_WEIGHT))], points)
        word = "delete" if letter == "d" else "edit"
        which = self.value(f"number of the fixed point to {word}", 1, integer(minimum=1, maximum=len(points))) - 1
        others = points[:which] + points[which + 1 :]
        if letter == "d":
            return others
        return self._sorted([*others, self._point(f"fixed point {which + 1}", points[which])], points)

    def _sorted(self, points, before):
        """Points sorted by x, or the earlier ones if two have the same x."""
        if len({point[0] for point in points}) < len(points):
            self._tell("fixed points must have different x")
            return before
        return sorted(points)

    def _point(self, what, default):
        """Ask for a fixed point."""
        x = self.value(f"x value of {what}", default[0], number())
        y = self.value(f"y value of {what}", default[1], number())
        return x, y, self.value(f"weight of {what}", default[2], number(minimum=0, exclusive=True))

    def _tell_points(self, points):
        """List the fixed points."""
        if not points:
            self._tell("No fixed points in boundary.")
            return
        self._tell("Current fixed points in boundary:")
        self._tell("number          X          Y     Weight")
        for i, point in enumerate(points, start=1):
            self._tell(f"{i:6d} {point[0]:10g} {point[1]:10g} {point[2]:10g}")

    def simulations(self, settings, diagram):
        """Ask for the settings of the simulation of the diagram.

        Parameters
        ----------
        settings : `~crstack.config.configuration.Configuration`
            Gives the defaults.
        diagram : `~crstack.diagram.MMDiagram`
            Gives the default limits.

        Returns
        -------
        changes : dict
            Values by key; an unchanged limit keeps its value in ``settings``.
        """
        prompt = "Enter new value for {} ({})"
        changes = {}
        key = "mm_photon_distribution"
        check = choice("poisson", "nbinom")
        changes[key] = self.value(prompt.format(key, "poisson | nbinom"), settings[key], check)
        if changes[key] == "nbinom":
            key = "mm_nbinom_shape"
            check = number(minimum=0, exclusive=True)
            changes[key] = self.value(prompt.format(key, "float > 0"), settings[key], check)
        low, high = float(diagram.x_edges[0]), float(diagram.x_edges[-1])
        top = float(diagram.y_edges[-1])
        x_min = self.value(prompt.format("xdiag_min", "float"), low, number())
        least = number(minimum=x_min, exclusive=True)
        x_max = self.value(prompt.format("xdiag_max", "float > xdiag_min"), high, least)
        y_max = self.value(prompt.format("ydiag_max", "float > 0"), top, number(minimum=0, exclusive=True))
        limits = (("mm_xdiag_min", x_min, low), ("mm_xdiag_max", x_max, high), ("mm_ydiag_max", y_max, top))
        changes |= {key: value for key, value, shown in limits if value != shown}
        key = "mm_nsimulations"
        changes[key] = self.value(prompt.format(key, "int > 0"), settings[key], integer(minimum=1))
        return changes


MENU = {
    "a": "to add a fixed point",
    "c": "to clear all fixed points",
    "d": "to delete an existing fixed point",
    "e": "to edit an existing fixed point",
    "n": "none (continue without additional changes)",
}


def _parsed(answer):
    """A number, True or False, or the text itself."""
    return as_number(parsed_text(answer))
