"""
Two exposures
=============

The mean of two exposures keeps every hit. The joint decision finds the hits of two exposures.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(150, 180), n_exposures=2, hit_rate=0.01, seed=27)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
stack.detect("joint")
images = {name: stack.combine(name).data for name in ("mean", "min", "meanjoint")}

# %%
# The minimum has hardly any hits, but it is too low everywhere. ``meanjoint`` weighs each value by its probability to
# be clean. So it is the mean where no exposure is hit, and the other exposure where one is clearly hit.

fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.6), sharex=True, sharey=True, layout="constrained")
low, high = np.percentile(images["meanjoint"], [1, 99.5])
for ax, (name, image) in zip(axes, images.items(), strict=True):
    shown = ax.imshow(image, origin="lower", cmap="cividis", vmin=low, vmax=high)
    ax.set(title=name, xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
fig.colorbar(shown, ax=axes, label="signal (ADU)", shrink=0.8)
plt.show()
