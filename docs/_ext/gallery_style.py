"""Fonts of the figures in the gallery: readable where a page is as narrow as a phone."""

import matplotlib.pyplot as plt


def set_style(gallery_conf, fname):
    """Set the style before each script; the arguments are those that sphinx-gallery gives."""
    plt.rcParams.update({"font.size": 13, "axes.titlesize": 13, "figure.dpi": 110})
