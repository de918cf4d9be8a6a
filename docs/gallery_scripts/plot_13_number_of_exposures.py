"""
How many exposures?
===================

With more exposures, fewer pixels of the combined image are wrong. The joint decision leaves fewer wrong pixels than the
median, for each number of exposures.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CRStack
from crstack.datasets import make_stack

numbers, wrong = (3, 4, 5, 7), {"median": [], "meanjoint": []}
for n in numbers:
    simulated = make_stack("ifu", shape=(200, 240), n_exposures=n, hit_rate=0.03, seed=33)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    stack.detect("joint")
    truth = simulated.expected.mean(axis=0)
    sigma = np.sqrt(simulated.noise.variance(truth) / n)
    for name, counts in wrong.items():
        counts.append(np.count_nonzero(stack.combine(name).data - truth > 5 * sigma))

# %%
# The number of pixels that are more than five standard deviations of the mean too high, of 48 000 pixels. The median of
# an even number of exposures is the mean of two values.

fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for (name, counts), marker, colour in zip(wrong.items(), "so", ("#E69F00", "#0072B2"), strict=True):
    ax.plot(numbers, counts, marker=marker, color=colour, label=name)
ax.set_yscale("symlog", linthresh=1)
ax.set(xlabel="number of exposures", ylabel="pixels that are too high", xticks=numbers, ylim=(-0.2, None))
ax.legend(frameon=False)
plt.show()
