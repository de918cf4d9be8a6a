"""Every detector and every model of the networks, side by side.

    python benchmarks/detectors.py [--golden FILE.npz] [--sprat FILE.fits ...] [--shape 1596 2016]
    python benchmarks/detectors.py --large 9000 9000 --only "deepCR ACS-WFC"

Each row comes from a process of its own. Its columns are

- load s: seconds to load the model and search a few pixels
- s: seconds for one frame
- ratio: these, divided by those of one pass of astroscrappy.detect_cosmics over the same frame just before
- frame: number of pixels that are flagged in it
- MiB: peak memory of the process
- for one exposure of each simulated scene, the percentage of the true pixels over 5 sigma that are found, and the
  false pixels per million
- golden: the same for the golden exposures and all their hits
- SPRAT: the mean number of pixels that are flagged in one exposure

All seconds are those of all processors, because other work on the machine changes these less than the clock. The ratio
can be compared between machines. With --large, a frame of that shape is searched, and the table has only its seconds
and the peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table
from astroscrappy import detect_cosmics

from crstack import CosmicCoNNDetector, DeepCRDetector, LACosmicDetector, NoiseModel, PyCosmicDetector
from crstack.datasets import make_stack
from crstack.detectors.conn import MODELS as CONN_MODELS
from crstack.detectors.deepcr import INPAINT_MODELS
from crstack.detectors.deepcr import MODELS as DEEPCR_MODELS

GAIN, READNOISE, BIAS = 2.5 * u.electron / u.adu, 4.0 * u.electron, 0 * u.adu
SCENES = ("ifu", "slit", "imaging")
SCENE_SHAPE = (500, 600)
#: seed of all scenes, reserved for the published table
SEED = 9060
#: read noise (electrons) of the golden exposures
GOLDEN_READNOISE = 3.4 * u.electron
#: gain and read noise of the spectrograph SPRAT, and its bias, all measured
SPRAT_GAIN, SPRAT_READNOISE, SPRAT_BIAS = 2.45 * u.electron / u.adu, 2.1 * 2.45 * u.electron, 916.0

DETECTORS = {
    "L.A.Cosmic": lambda: LACosmicDetector(),
    "L.A.Cosmic, fsmode convolve": lambda: LACosmicDetector(fsmode="convolve"),
    "PyCosmic": lambda: PyCosmicDetector(),
    **{f"deepCR {name}": lambda name=name: DeepCRDetector(name) for name in DEEPCR_MODELS},
    **{f"deepCR ACS-WFC, {name}": lambda name=name: DeepCRDetector(inpaint=name) for name in INPAINT_MODELS},
    **{f"Cosmic-CoNN {name}": lambda name=name: CosmicCoNNDetector(name) for name in CONN_MODELS},
}


def simulated(scene, shape):
    """One exposure in ADU, its hits over 5 sigma, all its hits, and its noise."""
    stack = make_stack(scene, shape, gain=GAIN, readnoise=READNOISE, bias=BIAS, hit_rate=0.01, seed=SEED)
    return stack.exposures[0].data, stack.hit_mask(5)[0], stack.truth[0], NoiseModel(GAIN, READNOISE)


def timed(function):
    """Seconds of a call, summed over all processors, and its result."""
    start = time.process_time()
    answer = function()
    return time.process_time() - start, answer


def peak_memory():
    """Peak memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def score(mask, bright, truth):
    """Percentage of the bright hits that are found, and false pixels per million."""
    found = 100 * np.count_nonzero(mask & bright) / np.count_nonzero(bright)
    return f"{found:.1f} / {1e6 * np.count_nonzero(mask & ~truth) / mask.size:.0f}"


def measure_large(name, shape):
    """Seconds and peak memory of one large frame, repeated from a small one."""
    small, _, _, noise = simulated("imaging", SCENE_SHAPE)
    repeats = [-(-size // part) for size, part in zip(shape, SCENE_SHAPE, strict=True)]
    frame = np.tile(np.asarray(small, dtype=np.float32), repeats)[: shape[0], : shape[1]].copy()
    before = peak_memory()
    seconds, detection = timed(lambda: DETECTORS[name]().detect(frame, noise))
    row = {"detector": name, "shape": list(shape), "s": seconds, "flagged": int(detection.mask.sum())}
    return row | {"MiB before": before, "MiB": peak_memory()}


def measure(name, arguments):
    """One row, as a dictionary."""
    detector = DETECTORS[name]()
    frame, _, _, noise = simulated("imaging", arguments.shape)
    loading, _ = timed(lambda: detector.detect(frame[:64, :64], noise))
    reference, _ = timed(lambda: detect_cosmics(frame, gain=GAIN.value, readnoise=READNOISE.value))
    seconds, detection = timed(lambda: detector.detect(frame, noise))
    row = {"detector": name, "load s": loading, "s": seconds, "ratio": seconds / reference}
    row |= {"frame": int(detection.mask.sum()), "MiB": peak_memory()}
    for scene in SCENES:
        image, bright, truth, noise = simulated(scene, SCENE_SHAPE)
        row[scene] = score(detector.detect(image, noise).mask, bright, truth)
    if arguments.golden:
        golden = np.load(arguments.golden)
        noise = NoiseModel(None, GOLDEN_READNOISE, u.electron)
        masks = np.array([detector.detect(image, noise).mask for image in golden["exposures"]])
        row["golden"] = score(masks, golden["truth"], golden["truth"])
    if arguments.sprat:
        noise = NoiseModel(SPRAT_GAIN, SPRAT_READNOISE)
        images = [fits.getdata(path).astype(np.float32) - np.float32(SPRAT_BIAS) for path in arguments.sprat]
        row["SPRAT"] = f"{np.mean([detector.detect(image, noise).mask.sum() for image in images]):.0f}"
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", help="npz file with exposures (electrons) and truth")
    parser.add_argument("--sprat", nargs="*", default=(), help="FITS files of SPRAT; mean count of flagged pixels")
    parser.add_argument("--shape", nargs=2, type=int, default=(1596, 2016), help="shape of the frame that is timed")
    parser.add_argument("--output", help="file for the table; standard output if not given")
    parser.add_argument("--large", nargs=2, type=int, help="shape of a frame; only its memory and seconds are measured")
    parser.add_argument("--only", choices=DETECTORS, help="one detector; prints its row as JSON")
    arguments = parser.parse_args()
    if arguments.only and arguments.large:
        print(json.dumps(measure_large(arguments.only, arguments.large)))
        return
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments)))
        return
    rows = []
    for name in DETECTORS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    table = Table(rows=rows)
    for column in ("load s", "s", "ratio", "MiB"):
        table[column] = [f"{value:.{0 if column == 'MiB' else 1}f}" for value in table[column]]
    table.write(arguments.output or sys.stdout, format="ascii.rst", overwrite=True)


if __name__ == "__main__":
    main()
