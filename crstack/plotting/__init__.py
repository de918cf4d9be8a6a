"""Figures of finished results. Nothing is computed here, and nothing else imports it."""

from crstack.plotting.diagram import plot_diagram
from crstack.plotting.files import save_figure

__all__ = ["plot_diagram", "save_figure"]
