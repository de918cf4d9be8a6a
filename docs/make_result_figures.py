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


#: size of the text, in points: legible where a page shrinks the figure; titles of hits are long
TEXT, TEXT_OF_HITS, TEXT_OF_SMALLER = 13, 12, 15


def with_text(size, draw, *arguments, **options):
    """What a function draws, with text of a size."""
    with matplotlib.rc_context({"font.size": size, "xtick.labelsize": size - 2, "ytick.labelsize": size - 2}):
        return draw(*arguments, **options)


def main():
    """Draw all of them."""
    stack = make_results(3, [(50, 60), (150, 80)], hit_rate=0.05)
    of_five = make_results(5, cr_coincidences=3, hit_rate=0.1)
    images, diagram = with_text(TEXT_OF_HITS, draw_hit, stack, 2)
    figures = {
        "result_diagram": with_text(TEXT, stack.plot.diagram),
        "result_mediancr": with_text(TEXT, stack.plot.mask),
        "result_crmask1": with_text(TEXT, stack.plot.mask, "CRMASK1"),
        "result_hit_images": images,
        "result_hit_diagram": diagram,
        "result_hit_images_5": with_text(TEXT_OF_HITS, draw_hit, of_five, 3)[0],
    }
    unequal, without = make_unequal(), make_results(3, hit_rate=0.0)
    many = make_results(5, shape=(500, 640), hit_rate=0.04)
    figures |= {
        "result_median_position": with_text(TEXT_OF_SMALLER, unequal.plot.median_position),
        "result_flux_factor": with_text(TEXT, unequal.plot.flux_factor, 3),
        "result_offset": with_text(TEXT_OF_SMALLER, unequal.plot.offset, 1),
        "result_no_hit": with_text(TEXT, without.plot.mask, "MEANCR"),
        "result_many_hits": with_text(TEXT, many.plot.mask, "MEANCRT", resolution=500),
    }
    for name, figure in figures.items():
        save(figure, name, dpi=SMALLER.get(name, 70))


if __name__ == "__main__":
    main()
