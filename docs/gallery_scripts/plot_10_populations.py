"""
Kinds of hits
=============

Hits look different in detectors of different thickness. ``make_stack`` simulates five kinds of hits, called populations
(:doc:`/reference/datasets`).
"""

import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS

fig, axes = plt.subplots(2, 3, figsize=(7.5, 5.4), sharex=True, sharey=True, layout="constrained")
for ax, population in zip(axes.flat, POPULATIONS, strict=False):
    simulated = make_stack("imaging", shape=(120, 120), hit_rate=0.03, population=population, seed=30)
    shown = ax.imshow(simulated.hits[0] + 0.1, origin="lower", cmap="cividis", norm=LogNorm(1, 2000))
    ax.set_title(f'"{population}"')
for ax in axes.flat[len(POPULATIONS) :]:
    ax.set_axis_off()
fig.colorbar(shown, ax=axes, label="charge (electron)", shrink=0.8)
fig.supxlabel("x (pixel)", fontsize="medium")
fig.supylabel("y (pixel)", fontsize="medium")
plt.show()
