"""
A seeing that changes
=====================

The peak of a star falls as the seeing gets worse. In the sharpest exposure the star then looks like a hit, unless the
seeing is measured. If equal seeing is assumed, warnings name the flagged stars. Their first words are printed below.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(250, 300), hit_rate=0.01, seeing=(2.4, 2.7, 3.0), seed=29)
numbers = {"gain": simulated.gain, "readnoise": simulated.readnoise}
equal = CRStack(simulated.exposures, differences=None, **numbers)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    masks = {"assumed equal": equal.detect(JointPosterior(measure=False))}
for warning in caught:
    print(str(warning.message).partition(":")[0].partition(".")[0])
masks["measured"] = CRStack(simulated.exposures, **numbers).detect("joint")

# %%
# Orange squares mark false flags of all exposures: flagged values that are more than a pixel from every hit.

near_hit = np.array([ndimage.binary_dilation(one, np.ones((3, 3))) for one in simulated.truth])
fig, axes = plt.subplots(1, 2, figsize=(7.5, 3.7), sharex=True, sharey=True, layout="constrained")
expected = simulated.expected.mean(axis=0)
low, high = np.percentile(expected, [1, 99])
for ax, (name, found) in zip(axes, masks.items(), strict=True):
    false = found.crmasks & ~near_hit
    ax.imshow(expected, origin="lower", cmap="gray_r", vmin=low, vmax=high)
    y, x = np.nonzero(false.any(axis=0))
    ax.plot(x, y, "s", ms=4, mfc="none", mec="#D55E00")
    ax.set(title=f"seeing {name}:\n{false.sum()} false values", xlabel="x (pixel)")
axes[0].set_ylabel("y (pixel)")
plt.show()
