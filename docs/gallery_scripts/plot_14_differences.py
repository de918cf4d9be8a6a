"""
What differs between the exposures
==================================

The joint decision measures how the exposures differ: here in sky, throughput, pointing and seeing.
"""

import matplotlib.pyplot as plt

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack(
    "imaging",
    shape=(250, 300),
    sky_factors=(1.0, 1.2, 1.5),
    flux_factors=(1.0, 0.9, 1.05),
    offsets=((0.0, 0.0), (0.3, -0.2), (-0.2, 0.4)),
    seeing=(2.5, 2.7, 3.0),
    hit_rate=0.005,
    seed=34,
)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
masks = stack.detect("joint")

# %%
# Some columns of the table of the measured differences. Throughput and second moments are relative to the mean of the
# exposures.

table = masks.decision.measured.table()
table.round(3)
table["exposure", "level", "throughput", "dx", "dy", "xx", "yy"]

# %%
# The last row of the figure shows the expected image of each exposure, minus the common image.

with plt.rc_context({"font.size": 10, "axes.titlesize": 11}):
    stack.plot.differences()
plt.show()
