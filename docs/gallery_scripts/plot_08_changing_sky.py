"""
A sky that brightens
====================

The sky of the third exposure is twice that of the first. The joint decision measures it, and leaves it unmasked.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("imaging", shape=(200, 240), hit_rate=0.01, sky_factors=(1.0, 1.4, 2.0), seed=28)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")

# %%
# Fractions of the pixels that are masked, and that were hit by more than half a standard deviation.

number = np.arange(1, 4)
fig, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
ax.bar(number - 0.2, 100 * masks.crmasks.mean(axis=(1, 2)), 0.4, label="masked", color="#0072B2")
ax.bar(number + 0.2, 100 * simulated.hit_mask(0.5).mean(axis=(1, 2)), 0.4, label="hit", color="#E69F00")
ax.set(xlabel="exposure", ylabel="pixels (%)", xticks=number)
ax.legend(frameon=False)
plt.show()
