"""
A known rate of false alarms
============================

``JointPosterior(false_alarm=...)`` takes the rate at which clean values are flagged. Exposures without any hit confirm
it.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack

asked, found, n_values = np.array([1e-4, 3e-4, 1e-3]), [], 0
simulated = make_stack("slit", shape=(400, 500), hit_rate=0.0, seed=32)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
for rate in asked:
    masks = stack.detect(JointPosterior(false_alarm=rate))
    found.append(sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks.crmasks))

# %%
# Bars are the standard deviation of a Poisson count.

found, n_values = np.array(found), masks.crmasks.size
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.errorbar(asked, found / n_values, np.sqrt(found + 1) / n_values, fmt="o", color="#0072B2", label="found")
ax.plot(asked, asked, "k:", label="requested")
ax.set(xscale="log", yscale="log", xlabel="requested rate", ylabel="flagged features per value")
ax.legend(frameon=False)
plt.show()
