"""The page of a run: a viewer of its images, the table of its hits, and the measured values.

It takes finished results and returns HTML. It imports neither the command nor matplotlib.
"""

from crstack.report.content import Figure, Layer, Report, Section
from crstack.report.encoding import figure_text
from crstack.report.hits import Hit, list_hits
from crstack.report.page import encode_viewer, render

__all__ = ["Figure", "Hit", "Layer", "Report", "Section", "encode_viewer", "figure_text", "list_hits", "render"]
