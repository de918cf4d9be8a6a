"""
Kinds of hits
=============

Detectors of different thickness see different hits. ``make_stack`` simulates several populations of them.
"""

import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS

fig, axes = plt.subplots(1, len(POPULATIONS), figsize=(2.6 * len(POPULATIONS), 3), layout="constrained")
for ax, population in zip(axes, POPULATIONS, strict=True):
    simulated = make_stack("imaging", shape=(120, 120), hit_rate=0.03, population=population, seed=30)
    shown = ax.imshow(simulated.hits[0] + 0.1, origin="lower", cmap="cividis", norm=LogNorm(1, 2000))
    ax.set_title(population)
fig.colorbar(shown, ax=axes, label="charge (electrons)", shrink=0.8)
plt.show()
