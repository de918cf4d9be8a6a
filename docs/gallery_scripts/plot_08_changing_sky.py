"""
A sky that brightens
====================

The sky of the third exposure is twice that of the first. The joint decision measures the sky of each exposure. The
masks hold the hits, and not the brighter sky.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(150, 180), hit_rate=0.01, sky_factors=(1.0, 1.4, 2.0), seed=28)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")

# %%
# All exposures have one grey scale. Masked pixels are orange.

fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.9), sharex=True, sharey=True, layout="constrained")
low, high = np.percentile(stack.exposures.data, [0.1, 98.5])
for ax, image, mask in zip(axes, stack.exposures.data, masks.crmasks, strict=True):
    ax.imshow(image, origin="lower", cmap="gray_r", vmin=low, vmax=high)
    ax.imshow(np.ma.masked_equal(mask, False), origin="lower", cmap="Oranges_r", vmin=0, vmax=2, interpolation="none")
    ax.set(title=f"sky {np.median(image):.0f} ADU,\n{100 * mask.mean():.1f} % masked", xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
plt.show()
