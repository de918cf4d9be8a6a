"""The window of the four panels, and the window for the verification of hits."""

import math

import numpy as np

from crstack.masks import Code
from crstack.plotting.hit_numbers import in_sight
from crstack.plotting.hits import plot_hits
from crstack.plotting.interactive import Window
from crstack.plotting.mask import MaskPanels
from crstack.plotting.style import image_limits
from crstack.utils.words import counted

__all__ = ["MaskWindow", "VerifyWindow"]

HELP = (
    "Keyboard shortcuts:",
    "'h' or 'r': reset zoom to initial limits",
    "'p': pan mode",
    "'o': zoom to rectangle",
    "'f': toggle full screen mode",
    "'s': save the figure to a file",
    "'?': show this help message",
    "'i': print pixel info at mouse position, panels (c) and (d)",
    "'&': print the flagged pixels within the zoomed region, panel (c)",
    "'n': toggle the numbers of the hits in panel (c)",
    "'a': toggle aspect equal / auto, panels (c) and (d)",
    "'t': next image in panel (d)",
    "'0': first image in panel (d); '1', '2', ...: exposure 1, 2, ...",
    "',': vmin and vmax from minimum and maximum of the zoomed region, panels (c) and (d)",
    "'/': vmin and vmax from zscale of the zoomed region, panels (c) and (d)",
    "'c' or 'q': close the figure and continue",
    "'x': quit",
    "zoom in (a) or (b): (c) keeps the pixels in sight; zoom in (c) or (d): (a) and (b) keep theirs",
)


class MaskWindow(Window):
    """The four panels of `~crstack.plotting.plot_mask`, with linked zooms.

    Parameters
    ----------
    view : `~crstack.plotting.MaskView`
        The mask and its images.
    color_scale : {"zscale", "minmax"}, optional
        Initial contrast.
    fig : `~matplotlib.figure.Figure`, optional
        Figure to draw in.
    tell : callable, optional
        Called with each line of output.
    """

    passed = ("f", "h", "home", "o", "p", "r", "s")
    hint = (
        "c or q continue · x quit · ? all keys · h whole view · p pan · o zoom to a rectangle · s save · "
        "i values of the pixel · & pixels in sight\nn numbers · t next image in (d) · "
        "0, 1, ... image in (d) · a aspect · , and / contrast of the region"
    )
    help = HELP

    def __init__(self, view, *, color_scale="zscale", fig=None, tell=None):
        self.panels = MaskPanels(view, color_scale=color_scale, fig=fig)
        super().__init__(self.panels.figure, tell=tell, title=view.name)
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        a, _, c, _ = self.panels.axes
        for axes in (a, c):
            axes.callbacks.connect("xlim_changed", self._follow)
            axes.callbacks.connect("ylim_changed", self._follow)

    def _follow(self, axes):
        """Show in each kind of panel the pixels that are visible in the other."""
        self.panels.select(self.in_diagram(), self.in_image())
        self.figure.canvas.draw_idle()

    def in_diagram(self):
        """Which pixels are within the limits of the diagram."""
        pixels = self.panels.view.pixels
        return in_sight(self.panels.axes[0], pixels["min2d"], pixels["excess"])

    def in_image(self):
        """Which pixels are within the limits of the image."""
        pixels = self.panels.view.pixels
        return in_sight(self.panels.axes[2], pixels["x"], pixels["y"])

    def on_key(self, event):
        """Handle the keys of the manual."""
        answers = {
            "i": self._tell_pixel,
            "&": lambda event: self._tell_pixels(),
            "n": lambda event: self.panels.toggle_numbers(),
            "a": lambda event: self._toggle_aspect(),
            "t": lambda event: self.panels.show_other((self.panels.other + 1) % len(self.panels.view.others)),
            ",": lambda event: self._rescale("minmax"),
            "/": lambda event: self._rescale("zscale"),
        }
        if event.key in answers:
            answers[event.key](event)
        elif event.key is not None and event.key.isdigit():
            self.panels.show_other(int(event.key))
        self.figure.canvas.draw_idle()

    def _tell_pixel(self, event):
        """Report the pixel below the pointer."""
        if event.inaxes not in self.panels.axes[2:]:
            return
        view = self.panels.view
        x, y = round(event.xdata), round(event.ydata)
        if not (1 <= x <= view.codes.shape[1] and 1 <= y <= view.codes.shape[0]):
            return
        code = Code(view.codes[y - 1, x - 1])
        self.tell(f"pixel X={x}, Y={y}: {code.name.lower()} ({code.value})")
        images = ((view.label, view.image), ("min2d", view.min2d), *view.others)
        for label, image in images:
            self.tell(f"  {label:<12} {image[y - 1, x - 1]:12.3f} {view.unit}")

    def _tell_pixels(self):
        """Report the pixels in sight."""
        view = self.panels.view
        shown = view.pixels[self.in_diagram() & self.in_image()]
        self.tell("CR_number X_pixel Y_pixel Mask_value")
        for pixel in np.sort(shown, order=("number", "y", "x")):
            self.tell(f"{pixel['number']:9d} {pixel['x']:7d} {pixel['y']:7d} {pixel['code']:10d}")
        self.tell(counted(len(shown), "pixel"))

    def _toggle_aspect(self):
        for axes in self.panels.axes[2:]:
            axes.set_aspect("auto" if axes.get_aspect() != "auto" else "equal")

    def _rescale(self, color_scale):
        """Change the colour scale of the images."""
        c = self.panels.axes[2]
        (left, right), (bottom, top) = sorted(c.get_xlim()), sorted(c.get_ylim())
        rows, columns = _pixels_between(bottom, top), _pixels_between(left, right)
        for drawn in self.panels.images:
            drawn.set_clim(*image_limits(np.asarray(drawn.get_array())[rows, columns], color_scale))


def _pixels_between(low, high):
    """Slice of the pixels between two FITS coordinates."""
    return slice(max(math.floor(low + 0.5) - 1, 0), max(math.ceil(high - 0.5), 1))


class VerifyWindow(Window):
    """Verification of the hits, one after the other.

    Parameters
    ----------
    view, features, masks, semiwindow, color_scale
        As for `~crstack.plotting.plot_hits`.
    fig : `~matplotlib.figure.Figure`, optional
        Figure to draw in.
    tell : callable, optional
        Called with each line of output.

    Attributes
    ----------
    rejected : list of int
        Numbers of the dropped hits.
    """

    passed = ("h", "home", "o", "p", "s")
    actions = {"a": "continue", "x": "quit"}
    hint = "y keep · n drop · b back · a keep all the rest · x quit · ? help"
    help = ("'y': keep the hit", "'n': drop it from the mask", "'b': back", "'a' keep all the rest", "'x': quit")

    def __init__(self, view, features, *, masks=None, semiwindow=15, color_scale="zscale", fig=None, tell=None):
        self.pages = plot_hits(view, features, masks=masks, semiwindow=semiwindow, color_scale=color_scale, fig=fig)
        super().__init__(self.pages.images, tell=tell, title=f"hits of {view.name}")
        self.rejected = []
        self._at = 0
        self._show()

    def _show(self):
        number = int(self.pages.features["number"][self._at])
        self.pages.show(number)
        self.show_hint()
        self.figure.canvas.draw_idle()

    def on_key(self, event):
        """Keep or drop the current hit, or go back to the previous one."""
        if event.key not in ("y", "n", "b"):
            return
        number = int(self.pages.features["number"][self._at])
        if event.key == "b":
            self._at = max(self._at - 1, 0)
            number = int(self.pages.features["number"][self._at])
            self.rejected = [one for one in self.rejected if one != number]
        else:
            if event.key == "n":
                self.rejected.append(number)
                self.tell(f"hit {number} dropped")
            self._at += 1
        if self._at == len(self.pages):
            self.finish("continue")
        else:
            self._show()
