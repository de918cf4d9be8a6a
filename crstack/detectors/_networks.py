"""Shared functions of the adapters of neural networks. This module does not import the networks' packages."""

import contextlib
import importlib
import io
import logging
import warnings
from importlib.util import find_spec

import numpy as np

from crstack.detectors._bad_pixels import bad_pixels, fill
from crstack.detectors.two_pass import is_paired
from crstack.exceptions import InputError, PluginError
from crstack.utils.pixels import features_holding
from crstack.utils.validation import check_number

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
    """Raise `PluginError` unless every module can be found. No module is imported."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise PluginError(_sentence(detector, extra, f"no {' and no '.join(missing)}"))


def imported(detector, extra, module):
    """Import a module without its output, and restore the global settings that it changes."""
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
    """Return ``device`` if it is known and available; otherwise raise `InputError`."""
    if device not in DEVICES:
        raise InputError(f"device must be one of {', '.join(DEVICES)}; got {device!r}")
    if device == "cuda" and not imported(detector, extra, "torch").cuda.is_available():
        raise InputError("device must be auto or cpu where torch finds no CUDA device; got 'cuda'")
    return device


def resolved_device(device, detector, extra):
    """'cpu' or 'cuda': the device to use on this machine."""
    torch = imported(detector, extra, "torch")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


@contextlib.contextmanager
def quiet():
    """Suppress the output of a package and restore the global settings.

    Standard output, standard error, warnings and log records are dropped. The root logger, cuDNN and the default type
    of torch are restored at the end.
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
    """Context in which a network may change settings of torch; they are restored at its end."""
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
        float32 (ny, nx), a new array; bad pixels are filled from their neighbours.
    bad : `~numpy.ndarray` of bool
    """
    image = np.asarray(image)
    bad = bad_pixels(image, noise, mask)
    if bad.all():
        return np.zeros(image.shape, dtype=np.float32), bad
    values = fill(image, bad) if bad.any() else image
    return np.multiply(values, noise.electrons_per_unit, dtype=np.float32), bad


def above(probability, threshold, bad):
    """Mask of a threshold on the probability, in two passes for a pair.

    The result holds the connected features of the second pass that contain a pixel of the first.
    """
    high, low = threshold if is_paired(threshold) else (threshold, threshold)
    found = probability > low
    if high != low:
        found = features_holding(found, (probability > high) & ~bad)
    # at the end, because a tail may lie behind a bad pixel
    return found & ~bad
