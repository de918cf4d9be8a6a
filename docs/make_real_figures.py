"""Draw the figure of Goodman of docs/real/index.rst: ``python docs/make_real_figures.py FOLDER``.

FOLDER holds the real exposures that ``benchmarks/real.py`` reads.
"""

import sys
import warnings
from pathlib import Path

import astropy.units as u
import matplotlib
import numpy as np
from astropy.nddata import CCDData
from matplotlib.figure import Figure
from scipy import ndimage

from crstack import CRStack
from crstack.exceptions import CRStackWarning

HERE = Path(__file__).parent

#: rows and columns of the part of each set that is drawn
PARTS = {"goodman": (110, 160)}


def chosen(found, bright, shape):
    """Slices of the box that holds most flagged values, among those with many bright pixels."""
    ny, nx = shape

    def inside(image):
        return ndimage.uniform_filter(image.astype(np.float32), shape, mode="constant")[
            ny // 2 : -ny // 2, nx // 2 : -nx // 2
        ]

    light = inside(bright)
    number = np.where(light > 0.5 * light.max(), inside(found.sum(axis=0)), -1)
    y, x = np.unravel_index(number.argmax(), number.shape)
    return slice(y, y + ny), slice(x, x + nx)


def draw(directory, name):
    """An exposure with its mask, and the mean and the combined image of the same part."""
    from real import bright_pixels, read

    cube, readnoise = read(directory, name)
    stack = CRStack([CCDData(plane, unit="electron") for plane in cube], readnoise=readnoise * u.electron)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        found = stack.detect("joint").crmasks
    part = chosen(found, bright_pixels(cube, readnoise)[0], PARTS[name])
    rows, columns = part
    extent = (columns.start + 0.5, columns.stop + 0.5, rows.start + 0.5, rows.stop + 0.5)
    number = int(found[:, *part].sum(axis=(1, 2)).argmax())
    fig = Figure(figsize=(7.5, 2.7), layout="constrained")
    axes = fig.subplots(1, 3, sharex=True, sharey=True)
    combined = [stack.combine(one).data[part] for one in ("mean", "meanjoint")]
    low, high = np.percentile(combined[1], [1, 99])
    scale = {"origin": "lower", "extent": extent, "interpolation": "nearest"}
    mask = np.ma.masked_equal(found[number][part], False)
    for ax, image, title in zip(
        axes, (cube[number][part], *combined), (f"exposure {number + 1}", "mean", "meanjoint"), strict=True
    ):
        shown = ax.imshow(image, cmap="gray_r", vmin=low, vmax=high, **scale)
        ax.set(title=title, xlabel="x (pixel)")
    axes[0].imshow(mask, cmap="Oranges_r", vmin=0, vmax=2, **scale)
    axes[0].set_ylabel("y (pixel)")
    fig.colorbar(shown, ax=axes, label="electron", shrink=0.8)
    return fig


def main():
    """Draw a figure of each set."""
    sys.path.insert(0, str(HERE.parent / "benchmarks"))
    with matplotlib.rc_context({"font.size": 12}):
        for name in PARTS:
            draw(Path(sys.argv[1]), name).savefig(HERE / "images" / "real" / f"{name}.png", dpi=120)


if __name__ == "__main__":
    main()
