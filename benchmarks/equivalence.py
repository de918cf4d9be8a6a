"""How well the differences between exposures are measured and removed.

    python benchmarks/equivalence.py [--only recovered] [--seed 3] [--sprat DIRECTORY] [--shape 1596 2016]

Prints four tables: the measured and the true flux factors, offsets and overdispersion of
simulated exposures; the masks without and with each correction; with ``--sprat`` the same
for the real exposures in a directory; and the seconds and the memory of each measurement.
``--only`` prints one of these tables.
"""

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy import ndimage

from crstack import CRStack, NoiseModel
from crstack.datasets import make_stack
from crstack.datasets.hits import make_hits
from crstack.equalize import fit_nbinom_shape
from crstack.exposures import load_exposures

SCENES = ("ifu", "imaging", "slit")
FACTORS = ((0.8, 1.0, 1.2), (0.97, 1.0, 1.02))
SHIFTS = ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
REGION = (51, 250, 51, 250)
DETECTOR = {"gain": 2 * u.electron / u.adu, "readnoise": 4 * u.electron, "bias": 500 * u.adu, "hit_rate": 0.02}
SMALL = (300, 350)
SPRAT = {"gain": 2.45 * u.electron / u.adu, "readnoise": 2.1 * u.adu, "bias": 916 * u.adu, "unit": u.adu}
STAR_ROWS = ((66, 80), (122, 136))
#: hits are added to this fraction of the pixels of a real exposure; and the seed of these hits
INJECTED_RATE, INJECTED_SEED = 0.003, 1
MEASUREMENTS = {
    "nothing": ("", "stack.statistics"),
    "flux factors": ("", "stack.flux_factors()"),
    "flux factors, region of 46 x 1596": ("", "stack.flux_factors(regions=[(229, 274, 1, 1596)])"),
    "offsets": ("", "stack.offsets()"),
    "offsets, region of 107 x 83": ("", "stack.offsets(region=(214, 320, 651, 733))"),
    "local response": ("", "stack.response()"),
    "shape of the photon distribution": ("", "stack.nbinom_shape()"),
    "diagram": ("", "stack.mm_diagram()"),
    "diagram, nbinom_shape=200": ("", "stack.mm_diagram(nbinom_shape=200)"),
    "diagram, factors applied to what is simulated": ("flux_factors=(0.97, 1.0, 1.02)", "stack.mm_diagram()"),
    "diagram, factors applied to the originals": (
        "flux_factors=(0.97, 1.0, 1.02), apply_flux_factors_to='original'",
        "stack.mm_diagram()",
    ),
    "diagram, offsets": ("offsets=((-0.5, 0.5), (0, 0), (0.5, -0.25))", "stack.mm_diagram()"),
    "local response and diagram": ("response='auto'", "stack.mm_diagram()"),
}
ONE_MEASUREMENT = """
import resource, time
import astropy.units as u
from astroscrappy import detect_cosmics
from crstack import CRStack
from crstack.datasets import make_stack
simulated = make_stack("ifu", shape={shape}, flux_factors=(0.97, 1.0, 1.02), seed=1)
frame = simulated.exposures[0].data
stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, differences=None, {options})
del simulated
stack._statistics_of(stack._given)

def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start

def one_pass():
    detect_cosmics(frame, gain=1.0, readnoise=3.4)

before = seconds_of(one_pass)
seconds = seconds_of(lambda: {call})
reference = (before + seconds_of(one_pass)) / 2
print(seconds, seconds / reference, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def stack_of(simulated, **options):
    given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    return CRStack(simulated.exposures, **given, **options, differences=None)


def recovered(seed):
    """Table of the measurements: the largest deviation from the truth and the largest error."""
    rows = []
    for scene in SCENES:
        for factors in FACTORS:
            stack = stack_of(make_stack(scene, SMALL, flux_factors=factors, seed=seed, **DETECTOR))
            for where, regions in (("whole image", None), ("region", [REGION])):
                found = stack.flux_factors(regions=regions)
                deviation = 100 * np.abs(np.array(found.values) / factors - 1).max()
                rows.append(
                    (
                        scene,
                        f"flux factors {factors}, {where}",
                        f"{deviation:.2f} %",
                        f"{100 * max(found.errors):.2f} %",
                    )
                )
        stack = stack_of(make_stack(scene, SMALL, offsets=SHIFTS, seed=seed, **DETECTOR))
        for where, region in (("whole image", None), ("region", REGION)):
            found = stack.offsets(region=region)
            deviation = np.abs(np.subtract(found.values, SHIFTS)).max()
            rows.append((scene, f"offsets, {where}", f"{deviation:.3f} px", f"{np.max(found.errors):.3f} px"))
        for kappa in (50, 200, 1000):
            found = fit_nbinom_shape(overdispersed(scene, kappa, seed))
            deviation = 100 * abs(found.value / kappa - 1)
            rows.append((scene, f"kappa = {kappa}", f"{deviation:.1f} %", f"{100 * found.error / kappa:.1f} %"))
    return Table(rows=rows, names=("scene", "what", "deviation", "error"))


def overdispersed(scene, kappa, seed):
    simulated = make_stack(scene, SMALL, seed=seed, **(DETECTOR | {"bias": 0 * u.adu}))
    rng = np.random.default_rng(1)
    noise = simulated.noise.with_nbinom_shape(kappa)
    pairs = zip(simulated.expected, simulated.hits, strict=True)
    planes = [(noise.sample(expected, rng) + hits) * u.adu for expected, hits in pairs]
    return load_exposures(planes, gain=simulated.gain, readnoise=simulated.readnoise)


def masks(seed):
    """Table of the masks without and with each option."""
    cases = (
        ("none", {}, {}),
        ("flux factors", {"flux_factors": FACTORS[0]}, {}),
        ("flux factors", {"flux_factors": FACTORS[0]}, {"flux_factors": "auto"}),
        ("flux factors", {"flux_factors": FACTORS[0]}, {"flux_factors": "auto", "apply_flux_factors_to": "original"}),
        ("offsets", {"offsets": SHIFTS}, {}),
        ("offsets", {"offsets": SHIFTS}, {"offsets": "auto"}),
        ("response, 5 %", {"response_jitter": 0.05}, {}),
        ("response, 5 %", {"response_jitter": 0.05}, {"response": "auto"}),
    )
    rows = []
    for scene in SCENES:
        for defect, made, options in cases:
            simulated = make_stack(scene, SMALL, seed=seed, **DETECTOR, **made)
            found = stack_of(simulated, **options).detect("mmcosmic")
            words = ", ".join(map(str, options.values())) or "-"
            rows.append((scene, defect, words, *mask_figures(simulated, found)))
    names = (
        "scene",
        "defect",
        "option",
        "MEDIANCR",
        "false there",
        "false in CRMASKi",
        "coincident found",
        "hits found",
    )
    return Table(rows=rows, names=names)


def mask_figures(simulated, found):
    """Pixels in MEDIANCR, false ones there and in the CRMASKi, and completeness (hits over 10 sigma)."""
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    strong = simulated.hit_mask(10)
    coincident = strong.sum(axis=0) > len(strong) // 2
    return (
        int(found["MEDIANCR"].sum()),
        int((found["MEDIANCR"] & clean).sum()),
        int((found.crmasks & clean).sum()),
        f"{found['MEDIANCR'][coincident].mean():.3f}",
        f"{found.crmasks[strong].mean():.3f}",
    )


def sprat(folder):
    """Table of the pixels flagged on traces of real stars and elsewhere, and of the injected hits that are found."""
    frames = [fits.getdata(file).astype(np.float32) for file in sorted(Path(folder).glob("*.fits*"))]
    star = np.zeros(frames[0].shape, dtype=bool)
    for first, last in STAR_ROWS:
        star[first - 1 : last] = True
    rows = []
    for n in (5, 3):
        many = {"n_simulations": 50}
        for name, options, diagram in (
            ("Poisson", {}, {}),
            ("nbinom, auto", {}, {"nbinom_shape": "auto"}),
            ("local response", {"response": "auto"}, {}),
            ("local response, 50 simulations", {"response": "auto"}, many),
            ("local response, nbinom auto, 50 simulations", {"response": "auto"}, {"nbinom_shape": "auto"} | many),
        ):
            rows.append((f"1-{n}", name, *sprat_figures(frames[:n], star, options, diagram)))
        copies = equivalent_copies(frames[:n])
        rows.append((f"1-{n}", "copies without hits, Poisson", *sprat_figures(copies, star, {}, {})))
        rows.append((f"1-{n}", "copies without hits, 50 simulations", *sprat_figures(copies, star, {}, many)))
    names = ("frames", "model", "shape", "star, %", "elsewhere, %", "ratio", "injected found: star", "elsewhere")
    return Table(rows=rows, names=names)


def sprat_figures(frames, star, options, diagram):
    """Shape, percentages of CRMASKi on the star and elsewhere, their ratio, completeness of injected hits."""
    found, shape = sprat_masks(frames, options, diagram)
    on, off = found[:, star].mean(), found[:, ~star].mean()
    rng = np.random.default_rng(INJECTED_SEED)
    gain = SPRAT["gain"].value
    hits = np.array([make_hits(star.shape, INJECTED_RATE, rng) / gain for _ in frames])
    found, _ = sprat_masks([frame + hit for frame, hit in zip(frames, hits, strict=True)], options, diagram)
    signal = np.maximum(np.median(frames, axis=0) - SPRAT["bias"].value, 0)
    strong = hits > 10 * np.sqrt(signal / gain + SPRAT["readnoise"].value ** 2)
    complete = (f"{found[strong & where].mean():.3f}" for where in (star, ~star))
    return shape, f"{100 * on:.3f}", f"{100 * off:.3f}", f"{on / off:.2f}", *complete


def sprat_masks(frames, options, diagram):
    stack = CRStack([frame * u.adu for frame in frames], **SPRAT, **options, differences=None)
    stack.mm_diagram(aux="lacosmic", **diagram)
    shape = stack.nbinom_shape(aux="lacosmic") if "nbinom_shape" in diagram else "-"
    return stack.detect(aux="lacosmic").crmasks, str(shape)


def equivalent_copies(frames):
    """Simulated exposures of the median of the real ones that differ only in noise: the best case of any model."""
    expected = np.maximum(np.median(frames, axis=0) - SPRAT["bias"].value, 0)
    noise = NoiseModel(SPRAT["gain"], SPRAT["readnoise"])
    rng = np.random.default_rng(INJECTED_SEED)
    return [noise.sample(expected, rng) + np.float32(SPRAT["bias"].value) for _ in frames]


def costs(shape):
    """Table of seconds and peak memory, each measurement in a process of its own.

    astroscrappy runs on one of the frames (one pass, its defaults) before and after it, for comparison.
    """
    rows = []
    for name, (options, call) in MEASUREMENTS.items():
        code = ONE_MEASUREMENT.format(shape=tuple(shape), options=options, call=call)
        answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        seconds, ratio, memory = map(float, answer.split())
        rows.append((name, f"{seconds:.2f}", f"{ratio:.2f}", f"{memory:.0f}"))
    return Table(rows=rows, names=("measurement", "seconds", "ratio", "peak MiB, simulation of the exposures included"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprat", metavar="DIRECTORY", help="the five real exposures, as *.fits.gz")
    parser.add_argument("--shape", type=int, nargs=2, default=(1596, 2016), metavar=("NY", "NX"))
    parser.add_argument("--seed", type=int, default=3, help="of the simulated exposures")
    parser.add_argument("--only", choices=("recovered", "masks", "sprat", "costs"), help="one of the tables")
    options = parser.parse_args()
    if options.only == "sprat" and not options.sprat:
        parser.error("--only sprat needs --sprat DIRECTORY")
    ny, nx = options.shape
    tables = {
        "recovered": ("Recovered in simulation", lambda: recovered(options.seed)),
        "masks": ("Masks of simulated exposures, lacosmic", lambda: masks(options.seed)),
        "sprat": ("Real exposures: pixels flagged in CRMASKi, lacosmic", lambda: sprat(options.sprat)),
        "costs": (
            f"3 x ({ny} x {nx}); {platform.machine()}, {os.cpu_count()} processors",
            lambda: costs(options.shape),
        ),
    }
    for name, (title, table) in tables.items():
        if name != options.only and (options.only or (name == "sprat" and not options.sprat)):
            continue
        if not options.only:
            print(f"\n{title}\n")
        table().write(sys.stdout, format="ascii.rst")


if __name__ == "__main__":
    main()
