"""
How many exposures?
===================

What stays in the mean falls with each exposure, for the joint decision and for the median.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

numbers, kept = (3, 4, 5, 7), {"median": [], "meancr2": []}
for n in numbers:
    simulated = make_stack("ifu", shape=(200, 240), n_exposures=n, hit_rate=0.03, seed=33)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stack.detect("joint")
    truth = simulated.expected.mean(axis=0)
    sigma = np.sqrt(simulated.noise.variance(truth) / n)
    for name, counts in kept.items():
        too_high = (stack.combine(name).data - truth) > 5 * sigma if name != "median" or n > 2 else None
        counts.append(np.nan if too_high is None else too_high.sum() / too_high.size * 1e6)

# %%
# Pixels that lie more than five standard deviations above the truth.

fig, ax = plt.subplots(figsize=(5.5, 4), layout="constrained")
for (name, counts), marker, colour in zip(kept.items(), "so", ("#E69F00", "#0072B2"), strict=True):
    ax.plot(numbers, np.maximum(counts, 1), marker=marker, color=colour, label=name)
ax.set(xlabel="number of exposures", ylabel="pixels per million (1: none or one)", yscale="log", xticks=numbers)
ax.legend(frameon=False)
plt.show()
