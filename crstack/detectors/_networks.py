"""What the adapters of neural networks share. Nothing here needs a network's package to be imported."""

import contextlib
import importlib
import io
import logging
import warnings
from importlib.util import find_spec

import numpy as np

from crstack._pixels import features_holding
from crstack._validation import check_number
from crstack.detectors._bad_pixels import bad_pixels, fill
from crstack.detectors.two_pass import is_paired
from crstack.exceptions import InputError, PluginError

__all__ = [
    "DEVICES",
    "above",
    "check_device",
    "check_installed",
    "check_threshold",
    "electrons_of",
    "imported",
    "quiet",
    "resolved_device",
]

DEVICES = ("auto", "cpu", "cuda")


def check_installed(detector, extra, *modules):
    """Raise `PluginError` unless every module could be imported; none is."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise PluginError(_sentence(detector, extra, f"no {' and no '.join(missing)}"))


def imported(detector, extra, module):
    """Import a module, in silence and with the global settings that it changes put back."""
    try:
        with quiet():
            return importlib.import_module(module)
    except ImportError as error:
        raise PluginError(_sentence(detector, extra, error)) from error


def _sentence(detector, extra, found):
    return f"{detector} must have its packages installed, with: pip install 'crstack[{extra}]'; got {found}"


def check_threshold(value):
    """Return a threshold of a probability, or a pair of them, or raise `InputError`."""
    if not is_paired(value):
        return check_number("threshold", value, minimum=0, maximum=1)
    if len(value) != 2:
        raise InputError(f"threshold must be a number or a pair of numbers; got {value!r}")
    return tuple(check_number("threshold", number, minimum=0, maximum=1) for number in value)


def check_device(device, detector, extra):
    """Return ``device`` if it is known and, where it is named, there; or raise `InputError`."""
    if device not in DEVICES:
        raise InputError(f"device must be one of {', '.join(DEVICES)}; got {device!r}")
    if device == "cuda" and not imported(detector, extra, "torch").cuda.is_available():
        raise InputError("device must be auto or cpu where torch finds no CUDA device; got 'cuda'")
    return device


def resolved_device(device, detector, extra):
    """'cpu' or 'cuda': what ``device`` means on this machine."""
    torch = imported(detector, extra, "torch")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


@contextlib.contextmanager
def quiet():
    """Keep a package from the terminal, the log and the global settings.

    Standard output and error are dropped, so are its warnings and log records;
    the root logger, cuDNN and the default type of torch are as before at the end.
    """
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(_torch_settings_kept())
            yield
    finally:
        logging.disable(disabled)
        root.handlers[:] = handlers
        root.setLevel(level)


@contextlib.contextmanager
def _torch_settings_kept():
    if find_spec("torch") is None:
        yield
        return
    import torch

    cudnn = torch.backends.cudnn
    dtype, enabled, benchmark = torch.get_default_dtype(), cudnn.enabled, cudnn.benchmark
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        cudnn.enabled, cudnn.benchmark = enabled, benchmark


def electrons_of(image, noise, mask):
    """The image in electrons without bad pixels, and where those were.

    Returns
    -------
    electrons : `~numpy.ndarray`
        float32 (ny, nx), a new array; bad pixels are filled from beside them.
    bad : `~numpy.ndarray` of bool
    """
    image = np.asarray(image)
    bad = bad_pixels(image, noise, mask)
    if bad.all():
        return np.zeros(image.shape, dtype=np.float32), bad
    values = fill(image, bad) if bad.any() else image
    return np.multiply(values, noise.electrons_per_unit, dtype=np.float32), bad


def above(probability, threshold, bad):
    """Mask of a threshold on the probability, in two passes where it is a pair.

    Kept of the second are the connected features with a pixel of the first.
    """
    high, low = threshold if is_paired(threshold) else (threshold, threshold)
    found = probability > low
    if high != low:
        found = features_holding(found, (probability > high) & ~bad)
    # only now: a tail may lie behind a bad pixel
    return found & ~bad
