"""
The median-minimum diagram
==========================

Noise alone lifts the median of a pixel above the minimum, by an amount that can be simulated. A pixel far above this
amount is hit in two exposures.
"""

import matplotlib.pyplot as plt

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("ifu", shape=(200, 240), hit_rate=0.03, seed=23)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
stack.mm_diagram(aux="pycosmic", n_simulations=10)
stack.fit_boundary("spline")
masks = stack.detect(aux="pycosmic")

# %%
# Left: simulated pixels without hits. Right: observed pixels. The highest line is the boundary.

stack.plot.diagram(fig=plt.figure(figsize=(9, 5)))
plt.show()
