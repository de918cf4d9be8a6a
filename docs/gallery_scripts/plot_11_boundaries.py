"""
Models of the boundary
======================

The boundary of M.M.Cosmic separates noise from hits. There are three models: a spline above the simulated pixels, a
boundary with a known rate of false alarms, and straight lines between points of your choice.
"""

import matplotlib.pyplot as plt
import numpy as np

from crstack import CalibratedBoundary, CRStack, PiecewiseBoundary, SplineBoundary
from crstack.datasets import make_stack

simulated = make_stack("ifu", shape=(200, 240), hit_rate=0.02, seed=31)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
diagram = stack.mm_diagram(aux="pycosmic", n_simulations=10)
models = {
    "SplineBoundary()": SplineBoundary(),
    "CalibratedBoundary()": CalibratedBoundary(),
    "PiecewiseBoundary": PiecewiseBoundary(fixed_points=((0, 25), (100, 60), (400, 110))),
}

# %%
# A pixel above the curve is flagged. The curves are drawn over the range of the minimum in these exposures.

x = np.linspace(0, np.percentile(stack.statistics.min2d, 99.9), 300)
fig, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for (label, model), style, colour in zip(
    models.items(), ("-", "--", ":"), ("#0072B2", "#D55E00", "#009E73"), strict=True
):
    ax.plot(x, stack.fit_boundary(model)(x), style, color=colour, label=label)
ax.set(xlabel="min2d (ADU)", ylabel="median2d - min2d (ADU)", ylim=(0, None))
ax.legend(frameon=False, loc="lower right")
plt.show()
