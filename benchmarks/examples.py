"""The seven examples of the manual: MEDIANCR without and with the setting that each shows.

    python benchmarks/examples.py [--shape 600 700]

The exposures are those of ``examples/make_exposures.py``. Pairs of numbers are without / with. "Without" has the
settings of example 1. A pixel in MEDIANCR is false where no hit lies within two pixels, and on a bright line where
more than 100 electrons are expected. Completeness is that of hits over 10 standard deviations.
"""

import argparse
import sys
from pathlib import Path

import astropy.units as u
from astropy.table import Table
from scipy import ndimage

from crstack import CRStack
from crstack.config.configuration import read_configuration

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

from make_exposures import SHAPE, make  # noqa: E402

#: electrons expected on a bright line
BRIGHT = 100


def masks_of(simulated, configuration):
    """Masks that ``crstack run`` finds."""
    parts = configuration.parts
    given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    stack = CRStack(simulated.exposures, **given, **parts.equalization)
    detector = parts.detector
    stack.mm_diagram(aux=detector, **parts.diagram)
    stack.fit_boundary(parts.boundary)
    return stack.detect(parts.method, aux=detector, rules=parts.rules)


def figures(simulated, masks):
    """Pixels in MEDIANCR, false ones, those on bright lines; completeness of MEDIANCR and CRMASKi in percent."""
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    false = masks["MEDIANCR"] & ~near
    bright = simulated.expected.mean(axis=0) * simulated.gain.to_value(u.electron / u.adu) > BRIGHT
    strong = simulated.hit_mask(10)
    twice = strong.sum(axis=0) > len(strong) // 2
    complete = 100 * masks["MEDIANCR"][twice].mean(), 100 * masks.crmasks[strong].mean()
    return int(masks["MEDIANCR"].sum()), int(false.sum()), int((false & bright).sum()), *complete


def table(shape):
    """One row for each example."""
    first = read_configuration(EXAMPLES / "params_example1.yaml")
    rows, kept = [], {}
    for number in range(1, 8):
        configuration = read_configuration(EXAMPLES / f"params_example{number}.yaml")
        name = configuration["images"][0].rsplit("_", 1)[0]
        if name not in kept:
            simulated = make(name, shape)
            kept[name] = simulated, figures(simulated, masks_of(simulated, first))
        simulated, without = kept[name]
        found = without if number == 1 else figures(simulated, masks_of(simulated, configuration))
        pairs = [f"{one} / {two}" for one, two in zip(without[:3], found[:3], strict=True)]
        pairs += [f"{one:.1f} / {two:.1f}" for one, two in zip(without[3:], found[3:], strict=True)]
        rows.append((number, name, *pairs))
    names = ("example", "exposures", "MEDIANCR", "false", "on bright lines", "coincident, %", "hits, %")
    return Table(rows=rows, names=names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=SHAPE, metavar=("NY", "NX"))
    table(tuple(parser.parse_args().shape)).write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
