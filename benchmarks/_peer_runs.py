"""One other program on the exposures of a directory; peers.py runs this with the Python of its environment.

    PYTHON _peer_runs.py RUN DIRECTORY READNOISE equal|unequal [OPTION]

DIRECTORY holds exposure_1.fits, ... in electrons, bias subtracted. The masks (N, ny, nx), if the
program has them, and its final image are written to answer.npz there; seconds and versions
are printed as JSON. With "unequal", the exposures differ in sky, seeing, pointing or throughput, and
each program gets the help that its manual or its pipeline advises for that. Only numpy, astropy and the
program itself are imported.
"""

import json
import resource
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from astropy.io import fits


def cpu_seconds():
    """Seconds of all processors used by this process and its finished child processes."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def level(exposures):
    """The exposures shifted to the mean of their sky levels, as a pipeline does before it compares them."""
    from astropy.stats import sigma_clipped_stats

    skies = np.array([float(sigma_clipped_stats(image)[1]) for image in exposures], dtype=np.float32)
    return exposures + (skies.mean() - skies)[:, None, None]


def numina(exposures, readnoise, directory, equal, crmethod):
    """numina-crmasks with the parameters of its manual's example; the whole command is timed.

    For unequal exposures its manual advises flux factors (example 6) and the negative binomial distribution (example
    4).
    """
    names = [f"exposure_{i + 1}.fits" for i in range(len(exposures))]
    requirements = {"crmethod": crmethod, "interactive": False, "maxplots": 1, **NUMINA}
    if not equal:
        requirements |= {"flux_factor": "auto", "mm_photon_distribution": "nbinom", "mm_nbinom_shape": 1000}
    parameters = {"images": names, "extnum": 0, "gain": 1.0, "rnoise": readnoise, "bias": 0.0}
    # JSON is YAML
    (directory / "numina.yaml").write_text(json.dumps(parameters | {"requirements": requirements}))
    command = [sys.executable, "-m", "numina.array.crmasks", "numina.yaml", "--output_dir", crmethod]
    start = cpu_seconds()
    subprocess.run(command, cwd=directory, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    seconds = cpu_seconds() - start
    with fits.open(directory / crmethod / "crmasks.fits") as hdus:
        masks = np.array([hdus[f"CRMASK{i + 1}"].data > 0 for i in range(len(exposures))])
    return masks, fits.getdata(directory / crmethod / "combined_meancr2.fits"), seconds


#: the example of the manual, without the keys of windows and of other detectors
NUMINA = {
    "use_auxmedian": False, "flux_factor": "none", "apply_flux_factor_to": "simulated", "dilation": 0,
    "verify_cr": False, "semiwindow": 15, "color_scale": "zscale",
    "la_gain_apply": True, "la_sigclip": [5.0, 3.0], "la_sigfrac": [0.3, 0.3], "la_objlim": [5.0, 5.0],
    "la_satlevel": 65535.0, "la_niter": 4, "la_sepmed": True, "la_cleantype": "meanmask",
    "la_fsmode": "convolve", "la_psfmodel": "gaussxy", "la_psffwhm_x": 2.5, "la_psffwhm_y": 2.5,
    "la_psfsize": 11, "la_psfbeta": 4.765, "la_verbose": False, "la_padwidth": 10,
    "pc_sigma_det": [5.0, 3.0], "pc_rlim": [1.2, 1.2], "pc_iterations": 5, "pc_fwhm_gauss_x": 2.5,
    "pc_fwhm_gauss_y": 2.5, "pc_replace_box_x": 5, "pc_replace_box_y": 5, "pc_replace_error": 1.0e6,
    "pc_increase_radius": 0, "pc_verbose": False,
    "mm_cr_coincidences": 2, "mm_photon_distribution": "poisson", "mm_nbinom_shape": 10,
    "mm_synthetic": "median", "mm_hist2d_min_neighbors": 0, "mm_ydiag_max": 0, "mm_dilation": 1,
    "mm_boundary_fit": "spline", "mm_knots_splfit": 5, "mm_nsimulations": 10,
    "mm_niter_boundary_extension": 5, "mm_weight_boundary_extension": 2, "mm_threshold_rnoise": 3.0,
    "mm_minimum_max2d_rnoise": 5.0, "mm_seed": 123456,
}  # fmt: skip


def drizzlepac(exposures, readnoise, directory, equal, option):
    """min_med with its defaults, as AstroDrizzle calls it: the sky is subtracted and given as background."""
    from astropy.stats import sigma_clipped_stats
    from drizzlepac.minmed import min_med

    n = len(exposures)
    start = cpu_seconds()
    skies = [float(sigma_clipped_stats(image)[1]) for image in exposures]
    images = [image - sky for image, sky in zip(exposures, skies, strict=True)]
    ones = [np.ones_like(image) for image in exposures]
    answer = min_med(images, ones, [readnoise] * n, [1.0] * n, skies, combine_nsigma1=4, combine_nsigma2=3)
    return None, answer + np.mean(skies), cpu_seconds() - start


def stcal(exposures, readnoise, directory, equal, option):
    """Median and flag_resampled_crs (or flag_crs) with the thresholds of the JWST pipeline.

    The pipeline matches the skies of unequal exposures first.
    """
    from stcal.outlier_detection.median import nanmedian3D
    from stcal.outlier_detection.utils import flag_crs, flag_resampled_crs

    start = cpu_seconds()
    if not equal:
        exposures = level(exposures)
    median = nanmedian3D(exposures.copy())
    errors = np.sqrt(np.maximum(exposures, 0) + readnoise**2)
    pairs = list(zip(exposures, errors, strict=True))
    if option == "flag_crs":
        masks = np.array([flag_crs(image, error, median, 5.0) for image, error in pairs])
    else:
        masks = np.array([flag_resampled_crs(image, error, median, 5.0, 4.0, 1.2, 0.7, 0.0) for image, error in pairs])
    return masks, None, cpu_seconds() - start


def ccdproc(exposures, readnoise, directory, equal, option):
    """Sigma clipping of a Combiner as in the CCD Data Reduction Guide: median, mad_std, 5 and 5.

    Unequal exposures are shifted to one sky level first.
    """
    from astropy.nddata import CCDData
    from astropy.stats import mad_std
    from ccdproc import Combiner

    start = cpu_seconds()
    ccds = [CCDData(image, unit="electron") for image in (exposures if equal else level(exposures))]
    combiner = Combiner(ccds)
    combiner.sigma_clipping(low_thresh=5, high_thresh=5, func=np.ma.median, dev_func=mad_std)
    product = combiner.average_combine().data
    seconds = cpu_seconds() - start
    return np.broadcast_to(np.ma.getmaskarray(combiner.data_arr), exposures.shape).copy(), product, seconds


def astroscrappy(exposures, readnoise, directory, equal, option):
    """detect_cosmics of each frame with its defaults; the mean of the cleaned frames."""
    from astroscrappy import detect_cosmics

    start = cpu_seconds()
    answers = [detect_cosmics(image, gain=1.0, readnoise=readnoise) for image in exposures]
    seconds = cpu_seconds() - start
    return np.array([mask for mask, _ in answers]), np.mean([clean for _, clean in answers], axis=0), seconds


def lacosmic(exposures, readnoise, directory, equal, option):
    """The package lacosmic on each frame; the mean of the cleaned frames.

    The contrast is the one that its documentation advises for critical sampling.
    """
    from lacosmic import remove_cosmics

    start = cpu_seconds()
    answers = [
        remove_cosmics(
            image, contrast=2.0, cr_threshold=5.0, neighbor_threshold=0.3, effective_gain=1.0, readnoise=readnoise
        )
        for image in exposures
    ]
    seconds = cpu_seconds() - start
    return np.array([mask for _, mask in answers]), np.mean([clean for clean, _ in answers], axis=0), seconds


def dfcosmic(exposures, readnoise, directory, equal, option):
    """The package dfcosmic on each frame with its defaults; the mean of the cleaned frames."""
    from dfcosmic import lacosmic as clean_frame

    start = cpu_seconds()
    answers = [clean_frame(image, gain=1.0, readnoise=readnoise) for image in exposures]
    seconds = cpu_seconds() - start
    masks = np.array([np.asarray(mask) > 0 for _, mask in answers])
    return masks, np.mean([np.asarray(clean) for clean, _ in answers], axis=0), seconds


def deepcr(exposures, readnoise, directory, equal, option):
    """The package deepCR on each frame, threshold 0.5; the mean of the inpainted frames."""
    from deepCR import deepCR

    model = deepCR(mask=option, inpaint="ACS-WFC-F606W-2-32", device="CPU")
    start = cpu_seconds()
    answers = [model.clean(image, threshold=0.5, inpaint=True) for image in exposures]
    seconds = cpu_seconds() - start
    return np.array([mask > 0 for mask, _ in answers]), np.mean([clean for _, clean in answers], axis=0), seconds


def crstack(exposures, readnoise, directory, equal, option):
    """crstack with its defaults: the joint decision with meanjoint, or M.M.Cosmic and a detector with meancr2."""
    import astropy.units as u

    from crstack import CRStack, LACosmicDetector, PyCosmicDetector

    method = {
        "mm_lacosmic": {"aux": LACosmicDetector()},
        "mm_pycosmic": {"aux": PyCosmicDetector()},
        "joint": {"method": "joint"},
    }[option]
    start = cpu_seconds()
    stack = CRStack([image * u.electron for image in exposures], readnoise=readnoise * u.electron)
    masks = stack.detect(**method)
    product = stack.combine("meanjoint" if option == "joint" else "meancr2").data
    return masks.crmasks, product, cpu_seconds() - start


PROGRAMS = (numina, drizzlepac, stcal, ccdproc, astroscrappy, lacosmic, dfcosmic, deepcr, crstack)
RUNS = {run.__name__: run for run in PROGRAMS}
#: packages whose versions are printed, for runs whose name is not that of a package
PACKAGES = {"deepcr": ("deepCR",), "numina": ("numina", "PyCosmic")}


def versions(packages):
    """Versions of the packages that are installed."""
    installed = {}
    for package in packages:
        # numina-crmasks needs PyCosmic for one of its methods only
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def main():
    name, directory, readnoise = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    files = sorted(directory.glob("exposure_*.fits"))
    exposures = np.array([fits.getdata(path).astype(np.float32) for path in files])
    equal, option = sys.argv[4] == "equal", sys.argv[5]
    masks, product, seconds = RUNS[name](exposures, readnoise, directory, equal, option)
    arrays = {"masks": masks, "product": product}
    np.savez(directory / "answer.npz", **{key: array for key, array in arrays.items() if array is not None})
    print(json.dumps({"seconds": seconds, "versions": versions(PACKAGES.get(name, (name,)))}))


if __name__ == "__main__":
    main()
