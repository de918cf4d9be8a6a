"""Draw the figures of the documentation: ``python docs/make_figures.py``.

They are kept in docs/images, so that building the documentation runs nothing.
"""

from pathlib import Path

import astropy.units as u
import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch
from PIL import Image
from scipy import ndimage

from crstack import Code, CRStack, PyCosmicDetector, SplineBoundary
from crstack.datasets import make_stack
from crstack.plotting import plot_diagram, save_figure
from crstack.plotting.symbols import SYMBOLS

IMAGES = Path(__file__).parent / "images"

#: the colours of all figures
CODES = {
    code: (SYMBOLS[code][1], words)
    for code, words in ((Code.MMCOSMIC, "M.M.Cosmic only"), (Code.AUXILIARY, "PyCosmic only"), (Code.BOTH, "both"))
}
COLOURS = ListedColormap(["white", *(colour for colour, _ in CODES.values())])
NORM = BoundaryNorm([-0.5, 0.5, *(code + 0.5 for code in CODES)], COLOURS.N)


def save(figure, name, dpi):
    """Save a figure with 256 colours, rare ones too: a smaller file."""
    path = IMAGES / f"{name}.png"
    save_figure(figure, path, dpi=dpi)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def make_results(hit_rate):
    """A simulated stack, its `CRStack` and its masks."""
    simulated = make_stack("ifu", shape=(300, 400), hit_rate=hit_rate, bias=500 * u.adu, seed=3)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    stack.mm_diagram(n_simulations=10, seed=123456)
    stack.fit_boundary(SplineBoundary())
    masks = stack.detect(aux=PyCosmicDetector(sigma_det=(5.0, 3.0)))
    return simulated, stack, masks


#: width (pixels) of the rim of a cut-out in which a ring would be cut off
RIM = 5


def busiest(mask, size):
    """Slices of the cut-out of ``size`` (ny, nx) that holds most features of ``mask``, and none at its rim."""
    ny, nx = size
    labels, n_features = ndimage.label(mask, np.ones((3, 3)))
    centres = np.zeros(mask.shape)
    for y, x in ndimage.center_of_mass(mask, labels, range(1, n_features + 1)):
        centres[round(y), round(x)] = 1
    windows = np.lib.stride_tricks.sliding_window_view(centres, size)
    inside = windows[..., RIM:-RIM, RIM:-RIM].sum(axis=(-2, -1))
    score = inside - 2 * (windows.sum(axis=(-2, -1)) - inside)
    y, x = np.unravel_index(score.argmax(), score.shape)
    return slice(y, y + ny), slice(x, x + nx)


def draw_panels(fig, panels, cut, marked, shape, legend=True):
    """Draw images and masks in rows and columns: pairs of a title and an array (uint8 for a mask).

    Each connected feature of ``marked`` gets a ring in the first image. The legend explains the colours of masks.
    """
    rows, columns = cut
    extent = (columns.start + 0.5, columns.stop + 0.5, rows.start + 0.5, rows.stop + 0.5)
    grid = fig.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    axes = grid.ravel()
    for ax, (title, array) in zip(axes, panels, strict=True):
        is_mask = array.dtype == np.uint8
        scale = {"cmap": COLOURS, "norm": NORM} if is_mask else {"cmap": "gray_r", "vmin": -10, "vmax": 150}
        drawn = ax.imshow(array[cut], origin="lower", interpolation="nearest", extent=extent, **scale)
        ax.set_title(title, fontsize="medium")
        if not is_mask:
            image = drawn
    for ax in grid[-1]:
        ax.set_xlabel("x (pixel)")
    for ax in grid[:, 0]:
        ax.set_ylabel("y (pixel)")
    labels, n_features = ndimage.label(marked[cut], np.ones((3, 3)))
    for y, x in ndimage.center_of_mass(labels > 0, labels, range(1, n_features + 1)):
        place = (x + columns.start + 1, y + rows.start + 1)
        axes[0].add_patch(Circle(place, 4, fill=False, color="#e69f00", linewidth=1.5))
    fig.colorbar(image, ax=grid, label="signal (ADU)", shrink=0.8, pad=0.01)
    if not legend:
        return
    handles = [Patch(color=colour, label=label) for colour, label in CODES.values()]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def readme(hit_rate):
    """The same cut-out of the median, of meanjoint, after the joint decision, and of the truth."""
    simulated = make_stack("ifu", shape=(300, 400), hit_rate=hit_rate, seed=11)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stack.detect("joint")
    twice = simulated.hit_mask(5).sum(axis=0) >= 2
    cut = busiest(twice, (45, 60))
    fig = Figure(figsize=(7.5, 2.7), layout="constrained")
    panels = [
        ("median of three", stack.combine("median").data),
        ("crstack (meanjoint)", stack.combine("meanjoint").data),
        ("truth", simulated.expected.mean(axis=0)),
    ]
    draw_panels(fig, panels, cut, twice, (1, 3), legend=False)
    save(fig, "readme", dpi=140)


def masks_of_an_exposure(stack, masks, cut):
    """One exposure, its mask, and the mean without and with the masks."""
    fig = Figure(figsize=(7.5, 5.8), layout="constrained")
    mean, meancr = (stack.combine(name).data for name in ("mean", "meancr"))
    panels = [
        ("exposure 1", stack.exposures.data[0]),
        ("its mask, CRMASK1", masks.codes["CRMASK1"]),
        ("mean of three", mean),
        ("mean of clean values (meancr)", meancr),
    ]
    draw_panels(fig, panels, cut, np.zeros(stack.exposures.shape, dtype=bool), (2, 2))
    save(fig, "masks", dpi=120)


def diagram():
    """The diagram of a stack like that of ``crstack demo``."""
    simulated = make_stack("ifu", hit_rate=0.02, seed=1)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    observed = stack.mm_diagram(aux="pycosmic")
    boundary = stack.fit_boundary(SplineBoundary())
    threshold = 3 * simulated.readnoise.value / simulated.gain.value
    save(plot_diagram(observed, boundary, threshold=threshold), "diagram", dpi=90)


def scenes():
    """One exposure of each simulated scene."""
    fig = Figure(figsize=(7.5, 5.6), layout="constrained")
    tops = {"ifu": 150, "imaging": 300, "slit": 200, "echelle": 200}
    for ax, (scene, top) in zip(fig.subplots(2, 2).ravel(), tops.items(), strict=True):
        image = make_stack(scene, shape=(150, 180), seed=4).exposures[0].data
        drawn = ax.imshow(image, origin="lower", cmap="gray_r", vmin=0, vmax=top, extent=(0.5, 180.5, 0.5, 150.5))
        ax.set_title(f'make_stack("{scene}")', fontsize="medium")
        ax.set(xlabel="x (pixel)", ylabel="y (pixel)")
        fig.colorbar(drawn, ax=ax, fraction=0.04, pad=0.02, label="signal (ADU)")
    save(fig, "scenes", dpi=110)


def main():
    """Draw them all."""
    IMAGES.mkdir(exist_ok=True)
    _, stack, masks = make_results(hit_rate=0.04)
    cut = busiest(masks["MEDIANCR"], (45, 60))
    with matplotlib.rc_context({"font.size": 12}):
        readme(hit_rate=0.03)
        masks_of_an_exposure(stack, masks, cut)
        scenes()
    with matplotlib.rc_context({"font.size": 13, "xtick.labelsize": 11, "ytick.labelsize": 11}):
        diagram()


if __name__ == "__main__":
    main()
