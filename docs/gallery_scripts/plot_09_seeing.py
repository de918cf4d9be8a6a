"""
A seeing that changes
=====================

The peak of a star falls as the seeing grows. That looks like a hit in the sharpest exposure, unless the seeing is
measured.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(250, 300), hit_rate=0.01, seeing=(2.4, 2.7, 3.0), seed=29)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
false = {}
for name in ("mmcosmic", "joint"):
    masks = stack.detect(name)
    false[name] = masks.crmasks & ~simulated.truth

# %%
# Flagged pixels that no hit has touched, in all exposures together.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained")
expected = simulated.expected.mean(axis=0)
for ax, (name, mask) in zip(axes, false.items(), strict=True):
    ax.imshow(
        expected, origin="lower", cmap="gray_r", vmin=np.percentile(expected, 1), vmax=np.percentile(expected, 99)
    )
    y, x = np.nonzero(mask.any(axis=0))
    ax.plot(x, y, "s", ms=3, mfc="none", mec="#D55E00")
    ax.set_title(f"{name}: {mask.sum()} false values")
plt.show()
