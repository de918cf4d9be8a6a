"""
A hit that the median keeps
===========================

Cosmic rays hit the same pixels in two of three exposures. The median keeps the hit. ``meanjoint``, the mean without
the hits, does not.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("ifu", shape=(150, 180), hit_rate=0.03, seed=21)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)

# %%
# The true signal of the simulated exposures is known. The figure shows the place where the median exceeds it most.

truth = simulated.expected[0]
median, clean = stack.combine("median").data, stack.combine("meanjoint").data
y, x = np.unravel_index(np.argmax(median - truth), truth.shape)
box = np.s_[max(y - 15, 0) : y + 16, max(x - 20, 0) : x + 21]

fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), sharex=True, sharey=True, layout="constrained")
limits = {"vmin": np.percentile(truth[box], 1), "vmax": np.percentile(truth[box], 99.5)}
for ax, image, title in zip(axes, (median, clean, truth), ("median", "meanjoint", "truth"), strict=True):
    shown = ax.imshow(image[box], origin="lower", cmap="cividis", **limits)
    ax.set(title=title, xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
fig.colorbar(shown, ax=axes, label="signal (ADU)", shrink=0.8)
plt.show()
