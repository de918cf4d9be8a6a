"""
A trail of a satellite
======================

A straight trail across one exposure is masked to its faint edges. It is not counted as a hit: its pixels have another
code in the mask. A warning reports the trail.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from crstack import Code, CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning

simulated = make_stack("imaging", shape=(200, 240), hit_rate=0.005, seed=35)
y, x = np.mgrid[:200, :240]
simulated.exposures[1].data += 60 * np.exp(-(((y - 40 - 0.5 * x) / 2.5) ** 2))
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", CRStackWarning)
    masks = stack.detect("joint")
print(caught[-1].message)

# %%
# Orange pixels are hits, blue ones belong to the trail. ``meanjoint``, the mean without both, does not show it.

codes, clean = masks.codes["CRMASK2"], stack.combine("meanjoint").data
fig, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), sharex=True, sharey=True, layout="constrained")
low, high = np.percentile(stack.statistics.median2d, [1, 99.5])
scale = {"origin": "lower", "cmap": "gray_r", "vmin": low, "vmax": high}
for ax, image in zip(axes, (stack.exposures.data[1], stack.exposures.data[1], clean), strict=True):
    ax.imshow(image, **scale)
    ax.set_xlabel("x (pixel)")
colours = np.array([[0, 0, 0, 0], [0.84, 0.37, 0, 1], [0, 0.45, 0.7, 1]])
axes[1].imshow(colours[np.where(codes == Code.TRAIL, 2, codes > 0)], origin="lower", interpolation="none")
for ax, title in zip(axes, ("exposure 2", "its mask", "meanjoint"), strict=True):
    ax.set_title(title)
axes[0].set_ylabel("y (pixel)")
plt.show()
