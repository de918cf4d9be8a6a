"""
The median-minimum diagram
==========================

Noise lifts the median above the minimum by a known amount. What lies above the boundary is hit in two exposures.
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
# Left, simulated pixels without hits. Right, those that were observed. The line is the boundary.

stack.plot.diagram()
plt.show()
