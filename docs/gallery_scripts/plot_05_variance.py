"""
Test of the variances
=====================

``crstack`` states the standard deviation of each combined pixel. This example tests it. The true error of each pixel is
divided by the stated standard deviation. These ratios scatter by 1, in pixels without a hit and in pixels with a hit
that is left out.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("ifu", shape=(250, 300), hit_rate=0.03, seed=25)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")
ccd = stack.combine("meancr2")
pull = (ccd.data - simulated.expected.mean(axis=0)) / np.sqrt(ccd.uncertainty.array)

# %%
# The curve is the normal distribution of standard deviation 1.

hit = masks.crmasks.any(axis=0) & ~ccd.mask
edges = np.linspace(-5, 5, 61)
middle = (edges[1:] + edges[:-1]) / 2
fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for chosen, label, colour in ((~hit, "no exposure masked", "#0072B2"), (hit, "one exposure or more masked", "#D55E00")):
    heights, _ = np.histogram(pull[chosen], edges, density=True)
    ax.step(middle, heights, where="mid", color=colour, label=f"{label}: std {pull[chosen].std():.2f}")
ax.plot(middle, np.exp(-(middle**2) / 2) / np.sqrt(2 * np.pi), "k:", label="normal")
ax.set(xlabel="(value - truth) / standard deviation", ylabel="density", yscale="log", ylim=(1e-7, 1))
ax.legend(frameon=False, loc="lower center")
plt.show()
