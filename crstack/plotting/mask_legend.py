"""The legend of a mask: the codes that occur, and the lines of the diagram."""

import numpy as np

from crstack.plotting.symbols import SYMBOLS, words_of, words_of_codes

__all__ = ["draw_legend_of_codes"]


def draw_legend_of_codes(figure, axes, view, *, as_cells):
    """Draw the legend of the codes that occur, and of the lines of the diagram, below the panels.

    Parameters
    ----------
    figure : `~matplotlib.figure.Figure`
        The figure.
    axes : `~matplotlib.axes.Axes`
        The panel with the symbols of all codes and the lines.
    view : MaskView
        The mask.
    as_cells : bool
        Whether the pixels are coloured cells: the legend then has squares in place of symbols.
    """
    texts = words_of_codes(np.unique(view.pixels["code"]).tolist(), view.finder)
    held = {words_of(code, view.finder): text for code, text in texts.items()}
    handles, labels = axes.get_legend_handles_labels()
    every = {words_of(code, view.finder) for code in SYMBOLS}
    kept = [i for i, label in enumerate(labels) if label in held or label not in every]
    if not kept:
        return
    shown = [handles[i] for i in kept], [held.get(labels[i], labels[i]) for i in kept]
    legend = figure.legend(
        *shown, loc="lower center", bbox_to_anchor=(0.5, 0.0), ncols=len(kept), frameon=False, fontsize="small"
    )
    for handle, label in zip(legend.legend_handles, shown[1], strict=True):
        if label in held.values():  # the legend has larger symbols than the panel
            handle.set(markersize=6, markeredgewidth=1.3)
            if as_cells:
                handle.set(marker="s", markerfacecolor=handle.get_color())
