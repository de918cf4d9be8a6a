"""Draw the figures of docs/figures.rst: ``python docs/make_result_figures.py``.

They are kept in docs/images, so that building the documentation runs nothing.
"""

from pathlib import Path

import numpy as np

from crstack import CRStack, SplineBoundary
from crstack.datasets import make_stack
from crstack.plotting import plot_median_position, save_figure
from crstack.statistics import exposure_at_median

IMAGES = Path(__file__).parent / "images"


def make_results(n_exposures, fixed_points=(), **options):
    """A `CRStack` of a small simulated scene, with its masks."""
    simulated = make_stack("ifu", shape=(84, 100), n_exposures=n_exposures, seed=3, **options)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    stack.mm_diagram(aux="pycosmic")
    stack.fit_boundary(SplineBoundary(fixed_points=fixed_points))
    stack.detect("pycosmic")
    return stack


def draw_hit(stack, n_hit):
    """Pages of the largest hit of any4 in some number of exposures."""
    pages = stack.plot_hits()
    hits = pages.features[(pages.features["category"] == "any4") & (pages.features["n_exposures"] == n_hit)]
    return pages.show(int(hits["number"][np.argmax(hits["n_pixels"])]))


def main():
    """Draw all of them."""
    stack = make_results(3, [(50, 60), (150, 80)], hit_rate=0.05)
    images, diagram = draw_hit(stack, 2)
    figures = {
        "result_diagram": stack.plot_diagram(),
        "result_mediancr": stack.plot_mask(),
        "result_crmask1": stack.plot_mask("CRMASK1"),
        "result_hit_images": images,
        "result_hit_diagram": diagram,
        "result_hit_images_5": draw_hit(make_results(5, hit_rate=0.1), 3)[0],
    }
    unequal = make_results(3, flux_factors=(0.8, 1.0, 1.2))
    median2d, exposures = unequal.statistics.median2d, unequal.exposures
    number = exposure_at_median(exposures.data, median2d)
    figures["result_median_position"] = plot_median_position(number, median2d, 3, unit=exposures.unit)
    for name, figure in figures.items():
        save_figure(figure, IMAGES / f"{name}.png", dpi=70)


if __name__ == "__main__":
    main()
