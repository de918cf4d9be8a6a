"""
The hits of each exposure
=========================

The joint decision compares all exposures, and makes a mask of each.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("slit", shape=(150, 180), hit_rate=0.02, seed=22)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")

# %%
# Masked pixels are orange. The sky lines and the traces of the objects are not masked.

fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), sharex=True, sharey=True, layout="constrained")
low, high = np.percentile(stack.statistics.median2d, [1, 99.5])
for number, (ax, image, mask) in enumerate(zip(axes, stack.exposures.data, masks.crmasks, strict=True), start=1):
    ax.imshow(image, origin="lower", cmap="gray_r", vmin=low, vmax=high)
    ax.imshow(np.ma.masked_equal(mask, False), origin="lower", cmap="Oranges_r", vmin=0, vmax=2, interpolation="none")
    ax.set(title=f"exposure {number}:\n{mask.sum()} pixels", xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
plt.show()
