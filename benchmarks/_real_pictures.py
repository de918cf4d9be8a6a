"""Pictures of real exposures and of what was flagged in them."""

import numpy as np
from scipy import ndimage

#: features of one page, pixels around each, and limits of the residuals in standard deviations
FEATURES, AROUND, LIMIT = 8, 12, 8


def draw(folder, name, cube, found, residuals, bright, hot):
    """Draw the median with all that was flagged, and the features with most flagged values, each in all exposures.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where the pictures go; made if it is absent.
    name : str
        Of the set.
    cube, residuals : `~numpy.ndarray`
        (N, ny, nx) exposures, and what is left of them in standard deviations.
    found : `~numpy.ndarray` of bool
        (N, ny, nx).
    bright, hot : `~numpy.ndarray` of bool
        (ny, nx) stars, lines and traces; hot pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = name.replace(" ", "_")
    _overview(np.median(cube, axis=0), found, bright).savefig(folder / f"{stem}.png", dpi=80)
    for kind, some in (("bright", bright), ("hot", hot), ("elsewhere", ~bright & ~hot)):
        places = _features(found, some)
        if places:
            _details(cube, found, residuals, places).savefig(folder / f"{stem}_{kind}.png", dpi=80)


def _overview(median, found, bright):
    import matplotlib.pyplot as plt

    tall = median.shape[0] > median.shape[1]
    ny, nx = median.T.shape if tall else median.shape
    fig, axes = plt.subplots(2, 1, figsize=(14, max(28 * ny / nx, 4)), layout="constrained", squeeze=False)
    low, high = np.percentile(median, [1, 99.5])
    shown = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    turned = [one.T if tall else one for one in (median, found.sum(axis=0), bright)]
    axes[0, 0].imshow(turned[0], cmap="gray_r", vmin=low, vmax=high, **shown)
    axes[0, 0].set_title(f"median, {low:.0f} to {high:.0f} electron; rows and columns exchanged: {tall}")
    axes[1, 0].imshow(turned[2], cmap="gray_r", vmin=0, vmax=3, **shown)
    rows, columns = np.nonzero(turned[1])
    axes[1, 0].scatter(columns, rows, s=4, c=turned[1][rows, columns], cmap="autumn")
    axes[1, 0].set_title("bright structures (grey), and flagged pixels")
    axes[1, 0].set(xlim=(0, nx), ylim=(0, ny))
    return fig


def _features(found, some):
    """Centres of the connected features that are flagged in some pixels, those with most values there first."""
    labels, number = ndimage.label(found.any(axis=0), np.ones((3, 3)))
    if not number:
        return []
    size = ndimage.sum_labels((found & some).sum(axis=0), labels, np.arange(1, number + 1))
    order = np.argsort(-size)[:FEATURES]
    centres = ndimage.center_of_mass(labels > 0, labels, order + 1)
    return [tuple(map(round, centre)) for k, centre in zip(order, centres, strict=True) if size[k] > 0]


def _details(cube, found, residuals, places):
    import matplotlib.pyplot as plt

    n = len(cube)
    fig, axes = plt.subplots(
        2 * len(places), n, figsize=(2.2 * n, 4 * len(places)), layout="constrained", squeeze=False
    )
    for row, (y, x) in enumerate(places):
        box = slice(max(y - AROUND, 0), y + AROUND + 1), slice(max(x - AROUND, 0), x + AROUND + 1)
        low, high = np.percentile(np.median(cube[:, *box], axis=0), [5, 99.8])
        shown = {"origin": "lower", "extent": (box[1].start, box[1].stop, box[0].start, box[0].stop)}
        for i in range(n):
            image, left = axes[2 * row, i], axes[2 * row + 1, i]
            image.imshow(cube[i, *box], cmap="gray_r", vmin=low, vmax=high + 1, aspect="auto", **shown)
            left.imshow(residuals[i, *box], cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT, aspect="auto", **shown)
            if found[i, *box].any():
                left.contour(found[i, *box], [0.5], colors="k", linewidths=0.8, **shown)
            for ax in (image, left):
                ax.tick_params(labelsize=6)
    return fig
