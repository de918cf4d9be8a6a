"""Five real exposures of a star, from reading to figures: ``python examples/sprat.py FOLDER``.

FOLDER holds the files ``v_e_20180810_12_*_0_0.fits`` or their compressed copies: long-slit spectra of LHS 6328 of the
SPRAT spectrograph of the Liverpool Telescope, from the public examples of the package ASPIRED. Figures go to the folder
that ``--output`` names.
"""

import argparse
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack

#: measured from differences of the exposures, and from rows without light
GAIN, READNOISE, BIAS = 2.45 * u.electron / u.adu, 2.1 * u.adu, 916 * u.adu
#: rows of the star and of its companion
TRACES = (slice(66, 81), slice(122, 137))


def flagged_per_million(masks):
    """Flagged values per million and exposure, on the traces and elsewhere."""
    on_traces = np.zeros(masks.shape, dtype=bool)
    for rows in TRACES:
        on_traces[rows] = True
    return [1e6 * masks.crmasks[:, chosen].mean() for chosen in (on_traces, ~on_traces)]


def busiest(masks, width):
    """The part with both traces, and with the columns that hold most masked values, as slices."""
    rows = slice(TRACES[0].start - 10, TRACES[1].stop + 10)
    number = np.convolve(masks.crmasks[:, rows].sum(axis=(0, 1)), np.ones(width), mode="valid")
    x = int(np.argmax(number))
    return np.s_[rows, x : x + width]


def draw_masks(stack, masks, box):
    """A part of each exposure with its mask."""
    fig, axes = plt.subplots(len(stack), 1, figsize=(8, 7), sharex=True, sharey=True, layout="constrained")
    low, high = np.percentile(stack.statistics.median2d[box], [1, 93])
    extent = (box[1].start, box[1].stop, box[0].start, box[0].stop)
    options = {"origin": "lower", "aspect": "auto", "extent": extent, "interpolation": "none"}
    for number, (ax, image, mask) in enumerate(zip(axes, stack.exposures.data, masks.crmasks, strict=True), start=1):
        shown = ax.imshow(image[box], cmap="gray_r", vmin=low, vmax=high, **options)
        ax.imshow(np.ma.masked_equal(mask[box], False), cmap="Oranges_r", vmin=0, vmax=2, **options)
        ax.set_ylabel(f"exposure {number}")
    axes[-1].set_xlabel("x (pixel)")
    fig.supylabel("y (pixel)", fontsize="medium")
    fig.colorbar(shown, ax=axes, label="signal (ADU)", shrink=0.6)
    return fig


def draw_combined(stack, box):
    """A part of the mean, the median and the combination without hits."""
    names = ("mean", "median", "meanjoint")
    fig, axes = plt.subplots(len(names), 1, figsize=(8, 5), sharex=True, sharey=True, layout="constrained")
    low, high = np.percentile(stack.combine("median").data[box], [1, 93])
    extent = (box[1].start, box[1].stop, box[0].start, box[0].stop)
    for ax, name in zip(axes, names, strict=True):
        image = stack.combine(name).data[box]
        shown = ax.imshow(image, origin="lower", aspect="auto", extent=extent, cmap="gray_r", vmin=low, vmax=high)
        ax.set_ylabel(name)
    axes[-1].set_xlabel("x (pixel)")
    fig.supylabel("y (pixel)", fontsize="medium")
    fig.colorbar(shown, ax=axes, label="signal (ADU)", shrink=0.6)
    return fig


def main(arguments=None):
    """Read, decide, combine, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args(arguments)
    files = sorted(options.folder.glob("v_e_20180810_12_*_0_0.fits*"))
    stack = CRStack.from_files(files, gain=GAIN, readnoise=READNOISE, bias=BIAS, unit=u.adu)
    masks = stack.detect("joint")
    print(masks.counts())
    print("flagged per million values: {:.0f} on the traces, {:.0f} elsewhere".format(*flagged_per_million(masks)))
    box = busiest(masks, 200)
    plt.rcParams["font.size"] = 13
    draw_masks(stack, masks, box).savefig(options.output / "sprat_masks.png", dpi=90)
    draw_combined(stack, box).savefig(options.output / "sprat_combined.png", dpi=90)


if __name__ == "__main__":
    main()
