"""
The median-minimum diagram
==========================

The median of a pixel is higher than its minimum, because of noise. Simulations give the difference that noise explains.
If the difference is much larger, the pixel is hit in two exposures.
"""

import matplotlib.pyplot as plt

from crstack import CRStack
from crstack.datasets import make_stack

simulated = make_stack("ifu", shape=(200, 240), hit_rate=0.03, seed=23)
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
stack.mm_diagram(aux="pycosmic", n_simulations=10)
stack.fit_boundary("spline")
masks = stack.detect("mmcosmic", aux="pycosmic")

# %%
# Left: simulated pixels without hits. Right: observed pixels. Pixels above the highest line, the boundary, are hit.

stack.plot.diagram(fig=plt.figure(figsize=(9, 5)))
plt.show()
