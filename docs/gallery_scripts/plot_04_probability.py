"""
The probability of a hit
========================

The joint decision gives each value the probability that it is hit. Neighbours of a hit are hit more often.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(150, 180), hit_rate=0.02, seed=24)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")

# %%
# A long track in the first exposure.

i = 0
charge = simulated.hits[i]
y, x = np.unravel_index(np.argmax(charge), charge.shape)
box = np.s_[max(y - 14, 0) : y + 15, max(x - 14, 0) : x + 15]
fig, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
images = [
    (stack.exposures.data[i][box], "exposure 1 (ADU)", "cividis", None),
    (charge[box], "true charge (ADU)", "cividis", None),
    (masks.probability[i][box].astype(float), "probability of a hit", "magma", (0, 1)),
]
for ax, (image, title, colours, limits) in zip(axes, images, strict=True):
    low, high = limits or (np.percentile(image, 1), np.percentile(image, 99))
    fig.colorbar(ax.imshow(image, origin="lower", cmap=colours, vmin=low, vmax=high), ax=ax, shrink=0.8)
    ax.set_title(title)
plt.show()
