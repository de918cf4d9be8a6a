"""crstack and other programs on the same simulated stacks, as a table.

    python benchmarks/peers.py --environments peers.yaml [--shape 600 700] [--seed 5201] [--output TABLE.txt]

Every program runs in its own environment, and crstack needs none of them. For instance,
make the environments by

    python -m venv numina      && numina/bin/pip install numina==0.40.0
    python -m venv drizzlepac  && drizzlepac/bin/pip install drizzlepac
    python -m venv stcal       && stcal/bin/pip install stcal
    python -m venv ccdproc     && ccdproc/bin/pip install ccdproc      # brings astroscrappy
    python -m venv deepcr      && deepcr/bin/pip install deepCR matplotlib
    python -m venv lacosmic    && lacosmic/bin/pip install lacosmic
    python -m venv dfcosmic    && dfcosmic/bin/pip install dfcosmic astropy

(for deepCR and dfcosmic the CPU build of torch first, where there is no graphics card). A YAML file gives the
Python of each by name:

    numina: /where/numina/bin/python
    drizzlepac: /where/drizzlepac/bin/python

The mm_pycosmic of numina-crmasks needs PyCosmic too. The package of that name on the Python Package Index is
another program: do not install it. numina-crmasks names the fork that it expects. The original, version 0.6, works as
well, and was used for the rows in the documentation:

    git clone https://github.com/segasai/PyCosmic original && git -C original checkout dc34178
    sed -i "s/Astronomy'.$/Astronomy',/; s/^ *]$/],/" original/setup.py      # two commas that it lacks
    numina/bin/pip install --no-deps ./original

It ran with numpy 2.4 and scipy 1.17; numpy 1.24 to 1.26 lack a name that it uses.

Programs that are not in the YAML file, or that fail, are named below the table with the reason. crstack runs with
the Python of this script.

The exposures of three scenes are equal. Those of the three others differ as in a night (_peer_scenes.py). There each
program gets the help that its manual or its pipeline advises (_peer_runs.py); crstack runs with its defaults.

The first columns are about the values of the exposures:

- precision: the part of the flagged values that are hit, or within one pixel of a hit
- false/Mpx: flagged values per million that are neither
- > 2 sigma, > 5 sigma: the part of the hits with such charges that is flagged

The next columns are about the mean of the values that are not flagged. The true differences of the exposures are
subtracted first:

- high/Mpx: pixels per million that are more than 5 standard deviations too high
- rms: of (value - truth) / sigma on hit pixels, with the sigma of the mean of all exposures

"own" has both for the image that the program itself makes, and its rms on pixels that are not hit. There, a mean has an
rms of 1. CPU s are processor seconds of the calls alone. For numina-crmasks they are those of the whole command, with
figures.

With --golden, given masks of numina-crmasks are scored beside those of crstack.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
import yaml
from _peer_scenes import EQUAL, UNEQUAL, make_peer_stack
from _truth import READNOISE, completeness, perfect, precision, widened
from astropy.io import fits
from astropy.table import Table

from crstack import CRStack, LACosmicDetector, PyCosmicDetector

N_EXPOSURES = 3
COLUMNS = (
    "scene", "program", "precision %", "false/Mpx", "> 2 sigma %", "> 5 sigma %", "high/Mpx", "rms",
    "own: high/Mpx", "own: rms", "own: rms clean", "CPU s",
)  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """A row: its name, the environment, the function of _peer_runs.py and its option."""

    name: str
    environment: str
    run: str
    option: str = ""


PEERS = (
    Peer("crstack joint", "crstack", "crstack", "joint"),
    Peer("crstack mm_pycosmic", "crstack", "crstack", "mm_pycosmic"),
    Peer("crstack mm_lacosmic", "crstack", "crstack", "mm_lacosmic"),
    Peer("numina-crmasks mm_pycosmic", "numina", "numina", "mm_pycosmic"),
    Peer("numina-crmasks mm_lacosmic", "numina", "numina", "mm_lacosmic"),
    Peer("drizzlepac min_med", "drizzlepac", "drizzlepac"),
    Peer("stcal flag_resampled_crs", "stcal", "stcal", "flag_resampled_crs"),
    Peer("stcal flag_crs", "stcal", "stcal", "flag_crs"),
    Peer("ccdproc sigma clipping", "ccdproc", "ccdproc"),
    Peer("astroscrappy, each frame", "ccdproc", "astroscrappy"),
    Peer("lacosmic, each frame", "lacosmic", "lacosmic"),
    Peer("dfcosmic, each frame", "dfcosmic", "dfcosmic"),
    Peer("deepCR ACS-WFC, each frame", "deepcr", "deepcr", "ACS-WFC"),
)


def write_exposures(stack, directory):
    """The exposures as FITS files, in electrons."""
    for i, image in enumerate(stack.cube):
        fits.writeto(directory / f"exposure_{i + 1}.fits", image)


def run(peer, python, stack, directory, timeout):
    """Results of a program: masks or None, final image or None, seconds and versions."""
    answer = directory / "answer.npz"
    answer.unlink(missing_ok=True)
    command = [python, Path(__file__).with_name("_peer_runs.py"), peer.run, directory, str(stack.readnoise)]
    done = subprocess.run(
        [*command, "equal" if stack.equal else "unequal", peer.option],
        check=True,
        timeout=timeout,
        text=True,
        capture_output=True,
        env=os.environ | {"MPLBACKEND": "Agg"},
    )
    with np.load(answer) as arrays:
        return arrays.get("masks"), arrays.get("product"), json.loads(done.stdout.splitlines()[-1])


def row(scene, name, stack, masks, product, seconds):
    """One row of the table, with dashes for missing results."""
    cells = ["-"] * 9
    hit = stack.truth.any(axis=0)
    if masks is not None:
        mean = stack.mean_of_unmasked(masks)
        cells[:6] = (
            f"{precision(stack, masks):.2f}",
            f"{1e6 * (masks & ~widened(stack.hits > 1)).mean():.0f}",
            f"{completeness(stack, masks, 2):.1f}",
            f"{completeness(stack, masks, 5):.2f}",
            f"{stack.too_high(mean):.0f}",
            f"{stack.rms(mean, hit):.2f}",
        )
    if product is not None:
        cells[6:] = (
            f"{stack.too_high(product):.0f}",
            f"{stack.rms(product, hit):.2f}",
            f"{stack.rms(product, ~hit):.2f}",
        )
    return scene, name, *cells, "-" if seconds is None else f"{seconds:.1f}"


def rows_of(scene, options, pythons, versions, failures):
    """Rows of one scene; versions and failures are added to."""
    stack = make_peer_stack(scene, N_EXPOSURES, tuple(options.shape), options.seed)
    yield row(scene, "perfect masks", stack, perfect(stack), None, None)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        write_exposures(stack, directory)
        for peer in PEERS:
            if peer.environment not in pythons:
                failures[peer.name] = f"no environment {peer.environment} was given"
                continue
            try:
                masks, product, answered = run(peer, pythons[peer.environment], stack, directory, options.timeout)
            except (subprocess.SubprocessError, OSError) as error:
                failures[peer.name] = reason(error)
                continue
            versions |= answered["versions"]
            yield row(scene, peer.name, stack, masks, product, answered["seconds"])


def golden_rows(path):
    """Rows of exposures with their truth and the masks that numina-crmasks found in them."""
    golden, method = np.load(path), "mm_pycosmic" if "pycosmic" in path.name else "mm_lacosmic"
    truth = golden["truth"]
    numbers = range(1, len(truth) + 1)
    detector = {"mm_pycosmic": PyCosmicDetector, "mm_lacosmic": LACosmicDetector}[method]()
    exposures = [image * u.electron for image in golden["exposures"]]
    # as the reference program, which measures no differences
    classic, stack = (CRStack(exposures, readnoise=READNOISE, differences=one) for one in (None, "auto"))
    for name, masks in (
        (f"numina-crmasks {method}", np.array([golden[f"CRMASK{i}"] > 0 for i in numbers])),
        (f"crstack {method}", classic.detect(aux=detector).crmasks),
        ("crstack joint", stack.detect("joint").crmasks),
    ):
        yield name, f"{100 * (masks & widened(truth)).sum() / masks.sum():.2f}", f"{100 * masks[truth].mean():.1f}"


def reason(error):
    """Why a program did not run: the last line of its output that looks like an error."""
    lines = [line.strip() for line in (getattr(error, "stderr", None) or str(error)).splitlines() if line.strip()]
    errors = [line for line in lines if line.split(":")[0].endswith("Error") and "CalledProcess" not in line]
    return (errors or lines or [type(error).__name__])[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=Path, help="YAML file: the Python of each environment, by name")
    scenes = [*EQUAL, *UNEQUAL]
    parser.add_argument("--scenes", nargs="+", default=scenes, choices=scenes, metavar="SCENE")
    parser.add_argument("--shape", type=int, nargs=2, default=(600, 700), metavar=("NY", "NX"))
    parser.add_argument("--seed", type=int, default=5201)
    parser.add_argument("--timeout", type=float, default=1200, help="seconds that a program may take for one scene")
    parser.add_argument("--golden", type=Path, nargs="*", default=(), help="npz files with exposures, truth and masks")
    parser.add_argument("--output", type=Path, help="file for the table; standard output if not given")
    options = parser.parse_args()
    if options.golden:
        rows = [one for path in options.golden for one in golden_rows(path)]
        Table(rows=rows, names=("program", "precision %", "hit values found %")).write(sys.stdout, format="ascii.rst")
        return
    given = yaml.safe_load(options.environments.read_text()) if options.environments else {}
    pythons = {name: str(Path(python).absolute()) for name, python in given.items()} | {"crstack": sys.executable}
    versions, failures = {}, {}
    rows = [one for scene in options.scenes for one in rows_of(scene, options, pythons, versions, failures)]
    stream = options.output.open("w") if options.output else sys.stdout
    Table(rows=rows, names=COLUMNS).write(stream, format="ascii.rst")
    numbers = [f"{name} {versions[name]}" for name in sorted(versions, key=str.lower)]
    print("\nVersions:", ", ".join(numbers) + ".", file=stream)
    for name, why in failures.items():
        print(f"\nNot run: {name} ({why}).", file=stream)


if __name__ == "__main__":
    main()
