"""Figures of finished results. No results are computed here."""

from crstack.plotting.diagram import draw_boundary, plot_diagram
from crstack.plotting.differences import plot_differences
from crstack.plotting.equivalence import plot_flux_factor, plot_offset
from crstack.plotting.files import save_figure
from crstack.plotting.hits import HitPages, plot_hits
from crstack.plotting.mask import MaskPanels, plot_mask
from crstack.plotting.mask_view import MaskView
from crstack.plotting.position import plot_median_position

__all__ = [
    "HitPages",
    "MaskPanels",
    "MaskView",
    "draw_boundary",
    "plot_diagram",
    "plot_differences",
    "plot_flux_factor",
    "plot_hits",
    "plot_mask",
    "plot_median_position",
    "plot_offset",
    "save_figure",
]
