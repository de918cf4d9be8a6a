"""
Detectors for one image
=======================

L.A.Cosmic and PyCosmic search one exposure for sharp edges. Narrow lines and traces have sharp edges too.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import LACosmicDetector, PyCosmicDetector
from crstack.datasets import make_stack

simulated = make_stack("slit", shape=(150, 180), hit_rate=0.02, seed=26)
image = simulated.exposures[0].data
hits, touched = simulated.hit_mask(5)[0], simulated.truth[0]

# %%
# Blue: hits over 5 standard deviations that are found. Orange: such hits that are missed. Black: flagged pixels that no
# hit touches.

fig, axes = plt.subplots(1, 2, figsize=(7.5, 4), sharex=True, sharey=True, layout="constrained")
colours = np.array([[1, 1, 1, 0], [0, 0.45, 0.7, 1], [0.9, 0.6, 0, 1], [0, 0, 0, 1]])
for ax, detector in zip(axes, (LACosmicDetector(fsmode="median"), PyCosmicDetector()), strict=True):
    mask = detector.detect(image, simulated.noise).mask
    kind = np.zeros(image.shape, int)
    kind[hits & mask], kind[hits & ~mask], kind[mask & ~touched] = 1, 2, 3
    ax.imshow(image, origin="lower", cmap="gray_r", vmin=np.percentile(image, 1), vmax=4 * np.percentile(image, 99))
    ax.imshow(colours[kind], origin="lower", interpolation="none")
    found = f"{(hits & mask).sum()} of {hits.sum()} found"
    ax.set(title=f"{type(detector).__name__}\n{found}, {(kind == 3).sum()} false", xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
plt.show()
