"""One stack: the job of a worker, and its products."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from crstack.batch.record import FILE_NAME, Record
from crstack.batch.stacks import Stack
from crstack.batch.workers import Lost
from crstack.exceptions import CRStackError
from crstack.files.whole import atomic_path
from crstack.utils.process_memory import forget_peak, peak_bytes
from crstack.utils.version import code_version

__all__ = ["Job", "compute", "outcome"]

LOG = "crstack.log"
MIB = 1 << 20


@dataclass(frozen=True)
class Job:
    """A stack to compute.

    Parameters
    ----------
    stack : Stack
        Its name and settings.
    output : `~pathlib.Path`
        Directory that holds the directory of the stack.
    plots : bool
        Whether figures and report are drawn.
    reason : str
        Why it is computed again; empty for the first time.
    drop_unusable : bool
        Whether it continues without exposures that cannot be used.
    """

    stack: Stack
    output: Path
    plots: bool = True
    reason: str = ""
    drop_unusable: bool = False

    @property
    def directory(self):
        """Final directory of the products, used when they are complete."""
        return self.output / self.stack.name

    @property
    def unfinished(self):
        """Directory in which the products are written."""
        return self.output / f".{self.stack.name}.unfinished"

    @property
    def parameters(self):
        """Parameter file of the stack, which ``crstack run`` accepts too."""
        return self.output / "parameters" / f"{self.stack.name}.yaml"


def compute(job):
    """Run one stack in the calling process.

    Parameters
    ----------
    job : Job
        The job.

    Returns
    -------
    row : dict
        Row of the table of results.
    """
    from crstack.batch.products import write_products  # heavy, and needed by workers alone

    job.stack.check_number()
    start = time.perf_counter()
    code_version()  # the version at the start, because the code may change before the stack is finished
    forget_peak()
    shutil.rmtree(job.unfinished, ignore_errors=True)  # left by a worker that was killed
    write_parameters(job)
    try:
        row = write_products(job.parameters, job.unfinished, LOG, plots=job.plots, drop_unusable=job.drop_unusable)
    except BaseException:
        shutil.rmtree(job.unfinished, ignore_errors=True)
        raise
    row |= {
        "name": job.stack.name,
        "state": "done",
        "message": f"computed again: {job.reason}" if job.reason else "",
        "n_exposures": len(job.stack.images),
        "seconds": round(time.perf_counter() - start, 2),
        "peak_memory": round(peak_bytes() / MIB, 1),
    }
    finish(job, row)
    return row


def write_parameters(job):
    """Write the parameter file of a stack, with absolute paths of the images."""
    import yaml

    settings = {**job.stack.settings, "images": [os.path.abspath(os.path.expanduser(one)) for one in job.stack.images]}
    job.parameters.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(job.parameters) as temporary:
        temporary.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")


def outcome(job, future):
    """Row of a finished or failed job."""
    failed = {"name": job.stack.name, "state": "failed", "n_exposures": len(job.stack.images)}
    try:
        return future.result()
    except Lost as error:
        return failed | {"message": str(error)}
    except CRStackError as error:
        return failed | {"message": " ".join(str(error).split())}
    except (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        return failed | {"message": f"{type(error).__name__}: {' '.join(str(error).split())}"}


def finish(job, row):
    """Move the products of a stack to their final directory, with the record that they are complete.

    Products of an earlier run are replaced. Files of the user are kept.
    """
    earlier = Record.read(job.directory)
    Record.of(job.stack, job.unfinished, code_version(), row, job.stack.images).write(job.unfinished)
    if not job.directory.exists():
        job.unfinished.rename(job.directory)
        return
    _keep_others(job, set(earlier.content["products"]) if earlier else set())
    old = job.directory.with_name(f".{job.stack.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    job.directory.rename(old)
    job.unfinished.rename(job.directory)
    shutil.rmtree(old)


def _keep_others(job, products):
    """Move files of the user to the new directory; a file with the name of a product is renamed."""
    for path in sorted(job.directory.rglob("*")):
        name = path.relative_to(job.directory)
        if path.is_file() and name.name != FILE_NAME and str(name) not in products:
            target = job.unfinished / name
            target = target if not target.exists() else target.with_name(f"{target.name}.earlier")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
