"""Draw the figures of docs/how_to/read_the_figures.rst: ``python docs/make_result_figures.py``.

They are kept in docs/images, so that building the documentation runs nothing.
"""

import matplotlib
import numpy as np
from make_figures import save

from crstack import CRStack, SplineBoundary
from crstack.datasets import make_stack

#: dots per inch of images that are large files
SMALLER = {"result_many_hits": 58, "result_offset": 58, "result_median_position": 60}


def make_results(n_exposures, fixed_points=(), shape=(84, 100), cr_coincidences=2, **options):
    """A `CRStack` of a small simulated scene, with its masks."""
    simulated = make_stack("ifu", shape=shape, n_exposures=n_exposures, seed=3, **options)
    numbers = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    stack = CRStack(simulated.exposures, **numbers, cr_coincidences=cr_coincidences)
    stack.mm_diagram(aux="pycosmic")
    stack.fit_boundary(SplineBoundary(fixed_points=fixed_points))
    stack.detect(aux="pycosmic")
    return stack


def make_unequal():
    """A `CRStack` of exposures with flux factors and offsets, both measured."""
    options = {"flux_factors": (0.8, 1.0, 1.2), "offsets": ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))}
    simulated = make_stack("ifu", shape=(200, 260), hit_rate=0.01, seed=3, **options)
    numbers = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    return CRStack(simulated.exposures, **numbers, flux_factors="auto", offsets="auto", differences=None)


def draw_hit(stack, n_hit):
    """Pages of the largest hit of any4 in some number of exposures."""
    pages = stack.plot.hits()
    hits = pages.features[(pages.features["category"] == "any4") & (pages.features["n_exposures"] == n_hit)]
    return pages.show(int(hits["number"][np.argmax(hits["n_pixels"])]))


#: text that stays legible where a page shrinks the figure
LARGER_TEXT = {"font.size": 13, "xtick.labelsize": 11, "ytick.labelsize": 11}


def main():
    """Draw all of them."""
    with matplotlib.rc_context(LARGER_TEXT):
        draw_all()


def draw_all():
    """Make the stacks, and draw and save each figure."""
    stack = make_results(3, [(50, 60), (150, 80)], hit_rate=0.05)
    images, diagram = draw_hit(stack, 2)
    figures = {
        "result_diagram": stack.plot.diagram(),
        "result_mediancr": stack.plot.mask(),
        "result_crmask1": stack.plot.mask("CRMASK1"),
        "result_hit_images": images,
        "result_hit_diagram": diagram,
        "result_hit_images_5": draw_hit(make_results(5, cr_coincidences=3, hit_rate=0.1), 3)[0],
    }
    unequal = make_unequal()
    figures |= {
        "result_median_position": unequal.plot.median_position(),
        "result_flux_factor": unequal.plot.flux_factor(3),
        "result_offset": unequal.plot.offset(1),
        "result_no_hit": make_results(3, hit_rate=0.0).plot.mask("MEANCR"),
        "result_many_hits": make_results(5, shape=(500, 640), hit_rate=0.04).plot.mask("MEANCRT", resolution=500),
    }
    for name, figure in figures.items():
        save(figure, name, dpi=SMALLER.get(name, 70))


if __name__ == "__main__":
    main()
