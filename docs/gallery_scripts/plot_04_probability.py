"""
The probability of a hit
========================

The joint decision computes, for each pixel of each exposure, the probability of a hit. Hits are tracks. A pixel beside
a hit therefore gets a higher probability.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(150, 180), hit_rate=0.02, seed=24)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")

# %%
# The figure shows the brightest hit of the first exposure, the charge that was really added, and the probability.

charge = simulated.hits[0]
y, x = np.unravel_index(np.argmax(charge), charge.shape)
box = np.s_[max(y - 14, 0) : y + 15, max(x - 14, 0) : x + 15]
images = [
    (stack.exposures.data[0][box], "exposure 1 (ADU)", "cividis", None),
    (charge[box], "true charge (ADU)", "cividis", None),
    (masks.probability[0][box].astype(float), "probability", "magma", (0, 1)),
]
fig, axes = plt.subplots(1, 3, figsize=(7.5, 3.3), sharex=True, sharey=True, layout="constrained")
for ax, (image, title, colours, limits) in zip(axes, images, strict=True):
    low, high = limits or (np.percentile(image, 1), np.percentile(image, 99))
    shown = ax.imshow(image, origin="lower", cmap=colours, vmin=low, vmax=high)
    fig.colorbar(shown, ax=ax, location="bottom", label=title)
axes[0].set_ylabel("y (pixel)")
fig.supxlabel("x (pixel)", fontsize="medium")
plt.show()
