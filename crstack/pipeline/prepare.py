"""Checks and input before the work; nothing is written."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from crstack.combine.files import combination_name, requested_combinations
from crstack.config.configuration import Configuration, read_configuration
from crstack.config.crmethod import OWN_KEYS
from crstack.config.detector_images import DetectorNumbers, MapName, map_path, read_detector_numbers
from crstack.exceptions import InputError
from crstack.exposures.input.place import expected_bytes, expected_bytes_of_files
from crstack.exposures.input.trimming import trimmed_shape
from crstack.files.fits_writing import ending_of
from crstack.files.names import short_names
from crstack.masks import MaskSet, exposure_name
from crstack.masks.features import CATEGORIES, JOINT_CATEGORIES
from crstack.pipeline.inputs import (
    check_gain,
    check_masks,
    check_places,
    chip_of_masks,
    find_images,
    inspect_images,
    is_file,
)
from crstack.pipeline.outputs import Outputs
from crstack.pipeline.space import check_space, combinations_of_run, product_sizes
from crstack.stack import CRStack
from crstack.stages.arguments import allow_work
from crstack.utils.disk import is_on_disk_of_temporary_files
from crstack.utils.log import log, section, settings_lines
from crstack.utils.memory import Workspace, limited_memory
from crstack.utils.version import crstack_version

#: measured memory (bytes per pixel of an image) of figures and the page, beside the arrays in files
BYTES_OF_FIGURES = 80.0

__all__ = ["Job", "clean_name", "inputs_of", "is_crmasks", "prepare", "product_names", "read_parameters"]


@dataclass(frozen=True)
class Job:
    """The checked settings and the exposures.

    Attributes
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        The parameter file.
    numbers : `~crstack.config.detector_images.DetectorNumbers`
        Gain, read noise, bias and saturation.
    paths : list of `~pathlib.Path`
        The images.
    stack : `~crstack.CRStack`
        The exposures.
    outputs : `~crstack.pipeline.outputs.Outputs`
        Files of the run.
    given_masks : `~crstack.MaskSet` or None
        Masks that were read from ``masks_path``; None if hits are searched.
    """

    configuration: Configuration
    numbers: DetectorNumbers
    paths: list
    stack: CRStack
    outputs: Outputs
    given_masks: MaskSet | None
    masks_path: Path | None


def product_names(n_images, *, plots, joint=True, masks=True, clean=False, outputs=None, compression="none"):
    """Names of all files that a run may write.

    Parameters
    ----------
    n_images : int
        Number of exposures.
    plots : bool
        Whether figures are drawn.
    joint : bool, optional
        Whether there are probabilities, and therefore a posterior mean.
    masks : bool, optional
        Whether crmasks.fits is written.
    clean : bool, optional
        Whether cleaned exposures are written.
    outputs : sequence of str, optional
        The requested combinations; all by default.
    compression : {"none", "gzip", "fpack"}, optional
        Compression of the combined images.

    Returns
    -------
    names : list of str
    """
    names = ["crmasks.fits"] if masks else []
    names += [combination_name(name, compression) for name in combinations_of_run(outputs, joint=joint)]
    categories = list(dict.fromkeys([*CATEGORIES, *(JOINT_CATEGORIES if joint else ())]))
    names += ["mediancr_identified.ecsv", *(f"mediancr_identified_{category}.csv" for category in categories)]
    names.append("problematic_pixels.csv")
    names += [clean_name(number, compression) for number in range(1, n_images + 1 if clean else 1)]
    if not plots:
        return names
    numbers = range(1, n_images + 1)
    shown = ["MEDIANCR", "MEANCRT", *(exposure_name(i) for i in range(n_images)), "MEANCR", "MEANCR_residual"]
    names += ["diagnostic_histogram2d.png", *(f"diagnostic_{name.lower()}.png" for name in shown)]
    names += ["image_number_at_median_position.png", "differences.png", "problematic_pixels.pdf", "report.html"]
    names += [f"flux_factor{number}.png" for number in numbers]
    names += [f"xyoffset_crosscorr_{number}.png" for number in numbers]
    names += [f"mediancr_identified_{category}.pdf" for category in categories]
    return names


def clean_name(number, compression="none"):
    """Name of the file of an exposure whose hits are replaced."""
    return f"exposure_{number}_clean{ending_of(compression)}"


def prepare(
    configuration,
    output_dir,
    *,
    crmasks=None,
    plots=True,
    overwrite=False,
    drop_unusable=False,
    clean=False,
    console,
):
    """Check everything and read the exposures.

    Parameters
    ----------
    configuration : `~crstack.config.configuration.Configuration`
        The checked parameter file.
    output_dir : path-like
        Directory of the products.
    crmasks : path-like, optional
        Masks to use instead of a search for hits; with an attribute ``chip``, those of this chip of the file.
    plots, overwrite : bool, optional
        Whether figures are drawn, and whether files of the user may be replaced.
    drop_unusable, clean : bool, optional
        Whether to continue without unusable exposures, and whether cleaned exposures are written.
    console : `~crstack.pipeline.console.Console`
        Its log file is checked.

    Returns
    -------
    job : Job

    Raises
    ------
    InputError
        If images, masks or paths are wrong.
    """
    crmethod = configuration.crmethod
    if crmasks is None and not crmethod.is_joint and "meanjoint" in (configuration["outputs"] or ()):
        raise InputError(f"outputs must be without meanjoint, which needs crmethod joint; got crmethod {crmethod}")
    paths = find_images(configuration["images"], configuration.path.parent)
    outputs = Outputs(output_dir, overwrite=overwrite)
    wanted = _check_outputs(outputs, configuration, paths, crmasks, console, plots=plots, clean=clean)
    shape, unit = inspect_images(paths, configuration["extnum"], "extnum" if is_file(configuration.path) else "--ext")
    numbers = read_detector_numbers(configuration, shape)
    check_gain(numbers.gain, unit, paths[0])
    shape = trimmed_shape(paths[0], configuration["extnum"], configuration["trim"])
    check_places(configuration, shape)
    workspace = _checked_memory(configuration, len(paths), shape, plots=plots, masks=crmasks is not None)
    _check_space(outputs, wanted, len(paths), shape[0] * shape[1], workspace)
    given = None if crmasks is None else _read_masks(crmasks, configuration, paths, shape, workspace)
    log.info("output directory: %s", outputs.directory)
    _log_settings(configuration, numbers, given is None)
    if workspace.in_files:
        log.info("memory: at most %.3g GB; large arrays are kept in files in %s", workspace.limit / 1e9, gettempdir())
    stack = _read_exposures(paths, configuration, configuration.noise(numbers, unit), given, drop_unusable)
    if given is not None:
        stack.check_masks(given, f"masks of {crmasks}")
    used = stack.exposures.names
    if len(used) < len(paths):
        paths = [path for path, name in zip(paths, short_names(paths), strict=True) if name in used]
    masks_path = None if crmasks is None else crmasks if hasattr(crmasks, "chip") else Path(crmasks)
    return Job(configuration, numbers, paths, stack, outputs, given, masks_path)


def _read_exposures(paths, configuration, noise, masks, drop_unusable):
    """The stack of the images; ``noise`` are arguments of `CRStack`, and ``masks`` the given ones, or None."""
    return CRStack.from_files(
        paths,
        mem_limit=configuration["mem_limit"],
        ext=configuration["extnum"],
        **{name: configuration[name] for name in ("trim", "dq_ext", "err_ext", "bits")},
        drop_unusable=drop_unusable,
        cr_coincidences=configuration["mm_cr_coincidences"],
        **noise,
        **_equalization(configuration, masks),
    )


def _read_masks(crmasks, configuration, paths, shape, workspace):
    """The given masks of exposures of ``shape``; `InputError` if they do not match exposures or settings."""
    chip = getattr(crmasks, "chip", None) or chip_of_masks(crmasks, paths[0], configuration["extnum"])
    with limited_memory(workspace):
        given = MaskSet.read(Path(crmasks), chip=chip)
    check_masks(given, crmasks, shape, len(paths), configuration["use_auxmedian"])
    requested_combinations(configuration["outputs"], given)
    return given


def _checked_memory(configuration, n_images, shape, *, plots, masks):
    """Place of the arrays before the stack is made; `InputError` where ``mem_limit`` excludes what works on whole
    images."""
    workspace = Workspace(configuration["mem_limit"])
    n_pixels = shape[0] * shape[1]
    space = expected_bytes_of_files(n_images, n_pixels)
    workspace.decide(expected_bytes(n_images, n_pixels), n_pixels, n_bytes_of_files=space)
    if not workspace.in_files:
        return workspace
    if not masks:
        allow_work(workspace, n_images, configuration.parts.method, configuration.parts.detector)
    drawn = {
        "interactive windows": configuration["interactive"],
        "verify_cr": configuration["verify_cr"],
        "figures and the page report.html (leave them out with --no-plots)": plots,
    }
    for what, wanted in drawn.items():
        if wanted:
            workspace.allow(what, BYTES_OF_FIGURES)
    return workspace


def read_parameters(parameters, mem_limit=None):
    """The configuration of a parameter file, or a given one, with a line of the log.

    ``mem_limit`` replaces the limit of the file if it is given.
    """
    section("crstack " + crstack_version())
    if isinstance(parameters, Configuration):
        log.note("crstack %s, without a parameter file", crstack_version())
        configuration = parameters
    else:
        log.note("crstack %s, parameter file %s", crstack_version(), parameters)
        configuration = read_configuration(parameters)
    return configuration if mem_limit is None else configuration.with_values(mem_limit=mem_limit)


def _check_outputs(outputs, configuration, paths, crmasks, console, *, plots, clean):
    """Check that the run, and its log file, overwrite no input and no file of the user; return what it will write."""
    inputs = list(inputs_of(configuration, paths, crmasks))
    in_place = crmasks is not None and is_crmasks(outputs / "crmasks.fits", crmasks)
    joint = configuration.crmethod.is_joint or crmasks is not None
    chosen = {"outputs": configuration["outputs"], "compression": configuration["compression"]}
    wanted = {"plots": plots, "joint": joint, "masks": not in_place, "clean": clean} | chosen
    names = product_names(len(paths), **wanted)
    outputs.check(names, inputs)
    if in_place:
        outputs.keep("crmasks.fits")
    console.check_log_file(outputs.directory, [*names, "crmasks.fits"], inputs, overwrite=outputs.overwrite)
    return wanted


def _check_space(outputs, wanted, n_images, n_pixels, workspace):
    """Check that what the run will write fits on the disk; ``wanted`` are arguments of `product_names`."""
    replaced = [outputs / name for name in product_names(n_images, **wanted)]
    beside = {}
    if workspace.in_files and is_on_disk_of_temporary_files(outputs.directory):
        beside["temporary files"] = expected_bytes_of_files(n_images, n_pixels)
    check_space(outputs.directory, product_sizes(n_images, n_pixels, **wanted), replaced, beside)


def inputs_of(configuration, paths, crmasks):
    """Name of each input, and its path."""
    if is_file(configuration.path):
        yield "parameter file", configuration.path
    yield from (("images", path) for path in paths)
    for key in ("gain", "rnoise", "bias", "saturation"):
        if isinstance(configuration[key], MapName):
            path = map_path(configuration[key], configuration.path.parent)
            if path is not None:
                yield key, path
    model = configuration.path.parent / configuration["nn_model"]
    if is_file(model):
        yield "nn_model", model
    if crmasks is not None:
        yield "masks", crmasks


def is_crmasks(path, crmasks):
    """Whether the given masks are the file that would be written; it is then kept."""
    return is_file(path) and is_file(crmasks) and path.samefile(crmasks)


def _equalization(configuration, masks):
    """Arguments of `CRStack`; exposures are divided by the flux factors of given masks."""
    arguments = dict(configuration.parts.equalization)
    if masks is None or arguments.get("apply_flux_factors_to") != "original":
        return arguments
    if not masks.flux_factors or set(masks.flux_factors) == {1.0}:
        return arguments
    log.info("flux factors of the masks: %s", ", ".join(f"{factor:g}" for factor in masks.flux_factors))
    for name in ("flux_regions", "flux_method"):
        arguments.pop(name, None)
    return arguments | {"flux_factors": masks.flux_factors}


def _log_settings(configuration, numbers, finding):
    """Log the settings; those of the search for hits only if ``finding``."""
    section("Settings")
    settings = configuration.settings(finding)
    if not configuration.verbose:
        settings = [(name, value) for name, value in settings if name[:3] not in OWN_KEYS.values()]
    if finding and configuration.crmethod.uses_diagram and not isinstance(numbers.rnoise, str):
        lowest, highest = (configuration["mm_threshold_rnoise"] * end(numbers.rnoise) for end in (np.min, np.max))
        words = f"{lowest:.6g}" if lowest == highest else f"{lowest:.6g} to {highest:.6g}"
        settings.append(("mm_threshold", f"{words} (derived: mm_threshold_rnoise x rnoise)"))
    for line in settings_lines(settings):
        log.info(line)
