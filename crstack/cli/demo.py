"""``crstack demo``: simulated exposures, a run on them, and a comparison with the truth."""

from pathlib import Path
from shlex import quote

import astropy.units as u
import numpy as np
from astropy.io import fits
from scipy import ndimage

from crstack.cli.template import TEMPLATE
from crstack.combine import COMBINATIONS
from crstack.config.crmethod import CRMethod
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.files.whole import atomic_path
from crstack.masks import exposure_name
from crstack.pipeline.outputs import check_output_directory
from crstack.pipeline.run import run
from crstack.utils.log import log, section
from crstack.utils.words import counted

__all__ = ["demo"]

GAIN = 1.0 * u.electron / u.adu
READNOISE = 3.4 * u.electron
BIAS = 100.0 * u.adu
HIT_RATE = 0.02  # high enough for coincidences in a small image
N_EXPOSURES = 3
METHOD = "joint"
#: least number of rows and columns
SMALLEST_SIDE = 32
#: a hit counts if its charge exceeds this many standard deviations of one exposure
N_SIGMA = 5.0
#: masked pixels within this distance of a hit are not false
NEAR = 2


def demo(directory, *, seed=1, scene="ifu", shape=(600, 700), method=METHOD, overwrite=False, console):
    """Simulate three exposures, run on them and compare with the truth.

    Parameters
    ----------
    directory : path-like
        Output directory: new, empty, or with ``overwrite`` any.
    seed : int, optional
        Seed of the simulation.
    scene : {"ifu", "imaging", "slit"}, optional
        Scene of `crstack.datasets.make_stack`.
    shape : tuple of int, optional
        (ny, nx) of one exposure.
    method : str, optional
        ``crmethod`` of the parameter file.
    overwrite : bool, optional
        Write into a directory that is not empty.
    console : `~crstack.pipeline.console.Console`
        Progress bar.

    Raises
    ------
    InputError
        If the directory is not empty or cannot be written.
    ConfigurationError
        If there is no such method.
    """
    directory = Path(directory)
    method = CRMethod.parse("method", method)
    _check_directory(directory, overwrite)
    if min(shape) < SMALLEST_SIDE:
        raise InputError(f"shape must be at least {SMALLEST_SIDE} pixels each way; got {shape[0]} {shape[1]}")
    simulated = make_stack(
        scene, shape, N_EXPOSURES, gain=GAIN, readnoise=READNOISE, bias=BIAS, hit_rate=HIT_RATE, seed=seed
    )
    section(f"Simulated exposures: {scene}")
    log.note("simulated %d exposures of %d rows and %d columns (--shape %d %d)", N_EXPOSURES, *shape, *shape)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{directory} must be writable; got {error.strerror}") from error
    parameters = _write_inputs(directory, simulated, method)
    masks = run(parameters, directory / "results", overwrite=overwrite, console=console)
    _compare(masks, simulated)
    _compare_images(directory / "results", simulated)
    _what_next(directory, method, int(np.count_nonzero(simulated.hit_mask(N_SIGMA).sum(axis=0) >= 2)))
    if not method.is_joint:
        log.note("Or use the joint decision, on the same exposures:")
        same = f"--seed {seed} --scene {scene} --shape {shape[0]} {shape[1]}"
        log.note("    crstack demo %s %s --method joint", quote(f"{directory}_joint"), same)


def _check_directory(directory, overwrite):
    """Raise `InputError` unless a directory may be written to: new, empty, or with ``overwrite`` any."""
    check_output_directory(directory)
    if directory.is_dir() and any(directory.iterdir()) and not overwrite:
        raise InputError(f"{directory} must be a new or empty directory, unless --overwrite is given")


def _write_inputs(directory, simulated, method):
    """Write the exposures and params.yaml; return the path of the latter."""
    names = [f"exposure_{number}.fits" for number in range(1, N_EXPOSURES + 1)]
    for name, ccd in zip(names, simulated.exposures, strict=True):
        path = directory / name
        with atomic_path(path) as temporary:
            ccd.write(temporary, format="fits", overwrite=True)
        log.info("wrote %s", path)
    path = directory / "params.yaml"
    text = TEMPLATE.format(
        images="\n".join(f"  - {name}" for name in names),
        extnum=0,
        gain=f"{GAIN.value}    # conversion electron/ADU",
        rnoise=f"{(READNOISE / GAIN).value}  # readout noise (ADU)",
        bias=f"{BIAS.value}    # (ADU)",
        crmethod=method,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    log.info("wrote %s", path)
    return path


def _compare(masks, simulated):
    """Log the numbers of hits and of false pixels in the masks."""
    strong, any_hit = simulated.hit_mask(N_SIGMA), simulated.truth
    log.note("")
    log.note("Compared with the truth")
    log.note("hit pixels: their charge exceeds %g standard deviations in exposure i (CRMASKi),", N_SIGMA)
    log.note("            in one or more exposures (MEANCRT), in two or more (MEDIANCR)")
    log.note("found:      hit pixels that are masked")
    log.note("masked:     pixels in the mask, weaker hits and the rims of hits included")
    log.note("false:      masked pixels without any hit, even a weak one, within %d pixels", NEAR)
    log.note("")
    log.note("%-10s%12s%12s%10s%12s%10s", "mask", "hit pixels", "found", "%", "masked", "false")
    cases = [("MEDIANCR", strong.sum(axis=0) >= 2, any_hit.sum(axis=0) >= 2)]
    cases.append(("MEANCRT", strong.any(axis=0), any_hit.any(axis=0)))
    for i in range(len(simulated)):
        cases.append((exposure_name(i), strong[i], any_hit[i]))
    for name, hit, touched in cases:
        mask = masks[name]
        near = ndimage.binary_dilation(touched, np.ones((3, 3), bool), iterations=NEAR)
        found, wanted = np.count_nonzero(mask & hit), np.count_nonzero(hit)
        percent = f"{100 * found / wanted:.1f}" if wanted else "-"
        log.note("%-10s%12d%12d%10s%12d%10d", name, wanted, found, percent, mask.sum(), np.count_nonzero(mask & ~near))


def _compare_images(results, simulated):
    """Log the number of pixels in each combined image that a hit has raised."""
    truth = simulated.expected.mean(axis=0)
    log.note("")
    log.note("too high:   pixels of an image more than %g of its standard deviations above the truth", N_SIGMA)
    log.note("masked:     pixels of an image without a clean measurement")
    log.note("")
    log.note("%-22s%12s%12s", "image", "too high", "masked")
    for name in COMBINATIONS:
        path = results / f"combined_{name}.fits"
        if path.is_file():
            with fits.open(path) as hdus:
                measured = hdus["MAP"].data > 0
                too_high = hdus[0].data - truth > N_SIGMA * np.sqrt(hdus["VARIANCE"].data)
            log.note("%-22s%12d%12d", name, np.count_nonzero(too_high & measured), np.count_nonzero(~measured))


def _what_next(directory, method, n_coincident):
    """Log the files to look at, and commands to try."""
    results = directory / "results"
    best = "meanjoint" if method.is_joint else "meancr2"
    what = "values, weighted by their probability to be clean" if method.is_joint else "clean values"
    files = {"report.html": "open it in a browser: the images, the masks and every hit on one page"}
    if method.uses_diagram:
        files["diagnostic_histogram2d.png"] = (
            "the median-minimum diagram: pixels over the boundary (right) are hit twice"
        )
    files[f"combined_{best}.fits"] = f"the best image: the mean of the {what}"
    if n_coincident:
        files["combined_median.fits"] = (
            f"the plain median, to compare: {counted(n_coincident, 'pixel')} strongly hit in two exposures or more. "
            "MEDIANCR has weakly hit pixels too"
        )
    log.note("")
    log.note("What next")
    for name, words in files.items():
        log.note("%s", results / name)
        log.note("    %s", words)
    log.note("")
    log.note("Change %s and run it again:", directory / "params.yaml")
    parameters, output = quote(str(directory / "params.yaml")), quote(str(directory / "results2"))
    log.note("    crstack run %s --output-dir %s", parameters, output)
