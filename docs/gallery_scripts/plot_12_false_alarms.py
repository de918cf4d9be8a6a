"""
A known rate of false alarms
============================

``JointPosterior(false_alarm=...)`` sets the rate of false alarms: the fraction of clean values that are flagged. This
example measures the rate, with simulated exposures that have no hits.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack

asked, found = np.array([1e-4, 3e-4, 1e-3]), []
simulated = make_stack("slit", shape=(400, 500), hit_rate=0.0, seed=32)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
for rate in asked:
    masks = stack.detect(JointPosterior(false_alarm=rate))
    found.append(sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks.crmasks))

# %%
# Flagged pixels that touch count as one false alarm. The bars are the standard deviation of a Poisson count.

found, n_values = np.array(found), masks.crmasks.size
fig, ax = plt.subplots(figsize=(6.5, 4.8), layout="constrained")
ax.errorbar(asked, found / n_values, np.sqrt(found + 1) / n_values, fmt="o", color="#0072B2", label="measured")
ax.plot(asked, asked, "k:", label="requested")
ax.set(xscale="log", yscale="log", xlabel="requested rate", ylabel="measured rate")
ax.legend(frameon=False)
plt.show()
