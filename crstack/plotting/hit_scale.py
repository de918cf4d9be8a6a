"""The scale of the diagram of hits: linear up to the boundary, and logarithmic above it."""

import numpy as np

from crstack.plotting.style import white_edges

__all__ = ["mark_scale", "set_hit_limits"]

#: length of the linear part of the y axis in decades of the logarithmic part above the diagram
LINEAR_PART = 2.5


def set_hit_limits(axes, x, y, diagram=None, boundary=None):
    """Limits that show all of x and y; the y axis is logarithmic above the diagram.

    Without a diagram the linear part ends at twice the boundary. Without either, the whole axis is linear.

    Returns
    -------
    above : float or None
        Start of the logarithmic part, if there is one.
    """
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    low, high = (diagram.x_edges[0], diagram.x_edges[-1]) if diagram is not None else (0.0, 1.0)
    top = None
    if diagram is not None:
        top = float(diagram.y_edges[-1])
    elif boundary is not None:
        top = 2 * float(np.max(boundary.y))
    if len(x):
        # bright pixels without a hit would compress the range of the hits
        spread = x.max() - x.min()
        low = min(low, x.min()) if diagram is not None else x.min()
        high = max(min(high, x.max() + 0.5 * spread), x.max()) if diagram is not None and spread else x.max()
    margin = 0.03 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    highest = max(y.max(initial=0.0), top or 0.0) or 1.0
    lowest = min(0.0, y.min(initial=0.0))
    if top and highest > 1.1 * top:
        axes.set_yscale("symlog", linthresh=top, linscale=LINEAR_PART)
        axes.set_ylim(1.1 * lowest, highest * 1.5)
        axes.set_yticks(_ticks(top, highest))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        return top
    axes.set_ylim(1.1 * lowest, 1.05 * highest)
    return None


def mark_scale(axes, above):
    """Mark the start of the logarithmic part of the y axis."""
    axes.axhline(above, color="#909090", linewidth=0.8, zorder=0.5)
    spot = {"xy": (1, above), "xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(
        "logarithmic above this line",
        xytext=(-3, 2),
        ha="right",
        va="bottom",
        fontsize="x-small",
        color="#606060",
        path_effects=white_edges(),
        **spot,
    )


def _ticks(top, highest):
    """Ticks of the linear part, then powers of ten and their halves."""
    from matplotlib.ticker import MaxNLocator

    linear = [tick for tick in MaxNLocator(5).tick_values(0, top) if 0 <= tick <= top]
    decades = 10.0 ** np.arange(np.floor(np.log10(top)), np.ceil(np.log10(highest)) + 1)
    steps = (1, 2, 5) if len(decades) < 4 else (1,)
    above = sorted(decade * step for decade in decades for step in steps)
    return [*linear, *(tick for tick in above if 1.2 * top < tick <= 1.5 * highest)]
