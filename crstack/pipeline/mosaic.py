"""``crstack run`` with several chips: a run for each, and one file of each product with all chips."""

import json
import logging
import os
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from astropy.io import fits

from crstack.config.configuration import Configuration
from crstack.exceptions import InputError
from crstack.exposures.input.trimming import trimmed_shape
from crstack.files.fits_writing import write_fits
from crstack.mosaic.chips import ALL, Chip, check_planes, chips_of
from crstack.mosaic.files import copied, joined_chips, primary_of
from crstack.pipeline.console import Console
from crstack.pipeline.inputs import find_images
from crstack.pipeline.log_handlers import print_whole
from crstack.pipeline.outputs import Outputs
from crstack.pipeline.prepare import clean_name, inputs_of, is_crmasks, prepare, product_names, read_parameters
from crstack.pipeline.run import run
from crstack.pipeline.space import check_space, product_sizes
from crstack.pipeline.summary import log_outputs
from crstack.pipeline.writer import log_file
from crstack.utils.log import log, section

__all__ = ["is_mosaic", "run_any"]


def is_mosaic(ext):
    """Whether an extension of the settings means several chips."""
    return isinstance(ext, tuple) or ext == ALL


@dataclass(frozen=True)
class ChipMasks(os.PathLike):
    """The masks of one chip in a file of a mosaic, as a path: `~crstack.pipeline.prepare.prepare` reads only this chip.

    Attributes
    ----------
    path : str
        The file.
    chip : str
        Name of the chip.
    """

    path: str
    chip: str

    def __fspath__(self):
        return self.path

    def __str__(self):
        return f"{self.path}, chip {self.chip}"


def run_any(parameters, output_dir=".", *, as_json=False, mem_limit=None, each=None, console, **options):
    """Make masks and combined images of one extension, or of several chips.

    Parameters
    ----------
    parameters, output_dir, mem_limit, console
        As for `crstack.pipeline.run.run`.
    as_json : bool, optional
        Whether to print the numbers of the run as JSON; those of several chips are a mapping by chip.
    each : callable, optional
        Called with the masks of each chip, or of the only one.
    **options
        As for `crstack.pipeline.run.run`.

    Raises
    ------
    InputError
        If parameters, images or paths are wrong; nothing is written then.
    WorkFailedError
        If a product cannot be written, or there is too little memory.

    Notes
    -----
    The products of a chip (figures, tables, report) go to a directory of its name. Its FITS files are joined to files
    in ``output_dir``, each with the extensions of all chips.
    """
    configuration = read_parameters(parameters, mem_limit)
    found = {}
    if not is_mosaic(configuration["extnum"]):
        numbers_to = found.update if as_json else None
        masks = run(configuration, output_dir, numbers_to=numbers_to, console=console, **options)
        if each is not None:
            each(masks)
    else:
        _run_chips(configuration, Path(output_dir), found, each, console, options)
    if as_json and found:
        print_whole(json.dumps(found, indent=1))


def _run_chips(configuration, output_dir, found, each, console, options):
    """Run all chips, and join their FITS files; ``found`` receives the numbers of each chip."""
    crmasks, dry_run = options.pop("crmasks", None), options.pop("dry_run", False)
    paths = find_images(configuration["images"], configuration.path.parent)
    chips = chips_of(paths, configuration["extnum"])
    check_planes(chips, {name: configuration[name] for name in ("dq_ext", "err_ext")})
    jobs = [_Chip.of(chip, configuration, output_dir, crmasks) for chip in chips]
    log.note("%d chips: %s", len(jobs), ", ".join(job.name for job in jobs))
    _check_all(jobs, options)
    if dry_run:
        _run_each(jobs, found, None, console, dry_run=True, **options)
        return
    outputs = Outputs(output_dir, overwrite=options.get("overwrite", False))
    names = _joined_names(configuration, len(paths), clean=options.get("clean", False), given=crmasks is not None)
    inputs = list(inputs_of(configuration, paths, crmasks))
    if crmasks is not None and is_crmasks(outputs / "crmasks.fits", crmasks):
        names.remove("crmasks.fits")
        outputs.keep("crmasks.fits")
    outputs.check(names, inputs)
    _check_space(jobs, paths, outputs, names, options)
    console.check_log_file(output_dir, [*names, "crmasks.fits"], inputs, overwrite=outputs.overwrite)
    with outputs:
        console.open_log_file()
        _run_each(jobs, found, each, console, files_at="../", **options)
        compression = configuration["compression"]
        primaries = {clean_name(number, compression): primary_of(path) for number, path in enumerate(paths, start=1)}
        _join(jobs, names, lambda name: primaries.get(name, primary_of(paths[0])), outputs)


@dataclass(frozen=True)
class _Chip:
    """A chip, its settings, the directory of its products, and its masks if they are given."""

    chip: Chip
    configuration: Configuration
    directory: Path
    masks: ChipMasks | None

    @classmethod
    def of(cls, chip, configuration, output_dir, crmasks):
        """A chip of a run, with its part of the masks, if there are any."""
        directory = output_dir / re.sub(r"[^\w.+-]", "_", chip.name)
        masks = None if crmasks is None else ChipMasks(os.fspath(crmasks), chip.name)
        return cls(chip, configuration.with_values(extnum=chip.number), directory, masks)

    @property
    def name(self):
        """Name of the chip."""
        return self.chip.name


def _run_each(jobs, found, each, console, *, dry_run=False, **options):
    """Run the chips one after the other; ``found`` receives their numbers."""
    for job in jobs:
        section(f"Chip {job.name}")
        if not dry_run:
            log.note("chip %s", job.name)
        console.next_part()  # the report of a chip has its own warnings
        options |= {"crmasks": job.masks, "dry_run": dry_run, "numbers_to": partial(_keep, found, job.name)}
        masks = run(job.configuration, job.directory, console=console, **options)
        if each is not None:
            each(masks)


def _keep(found, name, numbers):
    """Keep the numbers of a chip; its FITS files are joined in the directory above."""
    if "files" in numbers:
        files = [f"../{file}" if ".fits" in file else file for file in numbers["files"]]
        numbers = numbers | {"files": sorted(files)}
    found[name] = numbers


@contextmanager
def _quiet():
    """Suppress messages and warnings: the run itself gives them."""
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _check_all(jobs, options):
    """Check every chip before the first is run."""
    wanted = {name: options[name] for name in ("plots", "overwrite", "drop_unusable", "clean") if name in options}
    for job in jobs:
        try:
            with _quiet():
                prepare(job.configuration, job.directory, crmasks=job.masks, console=Console(), **wanted)
        except InputError as error:
            raise type(error)(f"chip {job.name}: {error}") from error


def _check_space(jobs, paths, outputs, names, options):
    """Check that the disk has space for the products of all chips, and for the files that join them."""
    settings = jobs[0].configuration
    words = {"what": "images", "name": "extnum"}
    shapes = [trimmed_shape(paths[0], job.chip.number, settings["trim"], **words) for job in jobs]
    sizes = product_sizes(
        len(paths),
        sum(ny * nx for ny, nx in shapes),
        n_chips=len(jobs),
        plots=options.get("plots", True),
        joint=settings.crmethod.is_joint or jobs[0].masks is not None,
        masks="crmasks.fits" in names,
        clean=options.get("clean", False),
        outputs=settings["outputs"],
        compression=settings["compression"],
    )
    beside = {"a joined file beside those of its chips": sizes.largest}
    check_space(outputs.directory, sizes, [outputs / name for name in names], beside)


def _joined_names(configuration, n_images, *, clean, given):
    """Names of the FITS files of a run; ``given`` if the masks are."""
    compression = configuration["compression"]
    names = product_names(
        n_images,
        plots=False,
        joint=configuration.crmethod.is_joint or given,
        outputs=configuration["outputs"],
        compression=compression,
        clean=clean,
    )
    return [name for name in names if ".fits" in name]


def _join(jobs, names, primary, outputs):
    """Join the FITS files of the chips, and remove those of each chip."""
    section("Files of all chips")
    log.note("files of all chips in %s", outputs.directory)
    for name in names:
        parts = [(job.chip, job.directory / name) for job in jobs if (job.directory / name).is_file()]
        if not parts:
            continue
        path = outputs.workplace / name
        with outputs.writing(outputs / name):
            hdus = joined_chips(primary(name), [(chip, _read(file)) for chip, file in parts])
            write_fits(path, hdus, inputs_checked=True)
        log_file(path)
        outputs.publish()
        for _, file in parts:
            file.unlink()
    if outputs.keeps("crmasks.fits"):
        for job in jobs:
            (job.directory / "crmasks.fits").unlink(missing_ok=True)
    outputs.finish()
    log_outputs(outputs)


def _read(path):
    """The file of a chip: its image as primary, compressed or not."""
    with fits.open(path, memmap=False, do_not_scale_image_data=True) as hdus:
        parts = [copied(hdu) for hdu in hdus]
    if parts[0].data is None and len(parts) > 1 and "CRCOMBIN" in parts[1].header:
        # a compressed image cannot be the primary
        parts = [fits.PrimaryHDU(parts[1].data, parts[1].header), *parts[2:]]
    return fits.HDUList(parts)
