"""Space on the disk for the products of a batch, checked before its work."""

from pathlib import Path

import numpy as np

from crstack.batch.record import Record
from crstack.config.configuration import configuration_of
from crstack.exceptions import CRStackError, InputError
from crstack.exposures.input.trimming import trimmed_shape
from crstack.mosaic import chips_of
from crstack.pipeline.mosaic import is_mosaic
from crstack.pipeline.space import product_sizes, space_beside
from crstack.utils.disk import free_bytes
from crstack.utils.words import amount_of_bytes, counted

__all__ = ["check_space_of_jobs"]


def check_space_of_jobs(jobs, output):
    """Check that the products of all stacks fit on the disk.

    Parameters
    ----------
    jobs : list of `~crstack.batch.job.Job`
        The stacks to compute.
    output : path-like
        Their output directory, which need not exist.

    Raises
    ------
    InputError
        If there is too little space.

    Notes
    -----
    A stack whose settings or first exposure cannot be read does not count: it fails alone. The products of an earlier
    run of a stack are removed when the new ones are complete.
    """
    free = free_bytes(output)
    if free is None:
        return  # the file system does not report it
    sizes = [size for size in map(_size_of, jobs) if size is not None]
    earlier = sum(map(_size_of_earlier, jobs))
    needed = space_beside(sum(sizes), max(sizes, default=0.0), earlier)
    if free < needed:
        less = f", of which {amount_of_bytes(earlier)} are there from earlier runs" if earlier else ""
        raise InputError(
            f"output directory must have space for the results of {counted(len(sizes), 'stack')}, about "
            f"{amount_of_bytes(sum(sizes))}{less}; got {amount_of_bytes(free)} free in {output}: use --output-dir on "
            f"another disk, or ask for less by outputs: or compression: fpack in the settings"
            f"{', or by --no-plots' if any(job.plots for job in jobs) else ''}"
        )


def _size_of(job):
    """Bytes of the products of a stack; None if its settings or its first exposure cannot be read."""
    images = job.stack.images
    try:
        settings = configuration_of({**job.stack.settings, "images": list(images)}, Path(images[0]))
        ext = settings["extnum"]
        numbers = [chip.number for chip in chips_of(images[:1], ext)] if is_mosaic(ext) else [ext]
        n_pixels = sum(int(np.prod(trimmed_shape(images[0], one, settings["trim"]))) for one in numbers)
    except (CRStackError, OSError):
        return None
    chosen = {"outputs": settings["outputs"], "compression": settings["compression"]}
    joint = settings.crmethod.is_joint
    return product_sizes(len(images), n_pixels, len(numbers), plots=job.plots, joint=joint, **chosen).total


def _size_of_earlier(job):
    """Bytes of the products of an earlier run of a stack."""
    record = Record.read(job.directory)
    return 0 if record is None else sum(one["size"] for one in record.content["products"].values())
