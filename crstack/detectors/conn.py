"""Cosmic-CoNN: networks trained on images and spectra from the ground, and from space."""

import os
import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from crstack.detectors._networks import (
    above,
    check_device,
    check_installed,
    check_threshold,
    electrons_of,
    imported,
    quiet,
    resolved_device,
)
from crstack.detectors._tiles import join_tiles
from crstack.detectors.base import Detection, Detector
from crstack.exceptions import InputError, PluginError
from crstack.noise import NoiseModel

__all__ = ["MODELS", "SUFFIXES", "CosmicCoNNDetector"]

#: the models that cosmic-conn ships
MODELS = ("ground_imaging", "NRES", "HST_ACS_WFC")
#: suffixes of the files of other models
SUFFIXES = (".pth", ".tar")


@dataclass(frozen=True)
class CosmicCoNNDetector(Detector):
    """Cosmic-CoNN (Xu et al. 2023): a neural network trained to find hits.

    Needs ``pip install 'crstack[conn]'``. It does not clean.

    Parameters
    ----------
    model : {'ground_imaging', 'NRES', 'HST_ACS_WFC'} or path-like
        One of the models that Cosmic-CoNN ships, or the file (.pth or .tar) of a model that was trained with it.
    threshold : float or pair of float
        A pixel is flagged where the probability exceeds it, 0 to 1. A pair
        (high, low) makes two passes: the result is each connected feature of
        the second that holds a pixel of the first.
    device : {'auto', 'cpu', 'cuda'}
        Where the network runs; 'auto' uses a CUDA device if there is one.

    Raises
    ------
    InputError
        If a parameter is out of range or the file of the model is missing.
    PluginError
        If cosmic-conn or torch is not installed.

    Notes
    -----
    The input of the network is in electrons. The result does not depend on the read noise. It depends on gain, unit
    and number of averaged exposures of the noise model, and on a known variance only where this is not finite. The
    median is subtracted from each tile. The first two models divide by the scatter of all pixels in a tile, so that
    their result also depends on distant pixels. Large images are cut into overlapping tiles, which are blended.

    Isolated pixels are often missed, because the networks were trained on longer hits.

    The model is loaded once per process. ``OMP_NUM_THREADS`` or ``torch.set_num_threads`` sets the number of threads
    of torch.

    References
    ----------
    Xu, C. et al. 2023, ApJ, 942, 73, doi:10.3847/1538-4357/ac9d91
    """

    model: str = "ground_imaging"
    threshold: float | tuple[float, float] = 0.5
    device: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", _check_model(self.model))
        object.__setattr__(self, "threshold", check_threshold(self.threshold))
        check_installed(type(self).__name__, "conn", "cosmic_conn", "torch")
        check_device(self.device, type(self).__name__, "conn")

    def detect(self, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None) -> Detection:
        """Find the cosmic rays of one image.

        Parameters
        ----------
        image : `~numpy.ndarray`
            Image, float32 (ny, nx), bias subtracted, in ``noise.unit``.
        noise : `~crstack.noise.NoiseModel`
            Noise of this image. Its gain converts the image to electrons, as the network needs.
        mask : `~numpy.ndarray` of bool, optional
            True at bad pixels (ny, nx).

        Returns
        -------
        detection : Detection
            Mask and probability, which is 0 at bad pixels.

        Raises
        ------
        InputError
            If ``image`` is not two-dimensional, ``mask`` has another shape, or the file of the model is not a model.
        PluginError
            If the packages or their models cannot be loaded.
        """
        electrons, bad = electrons_of(image, noise, mask)
        if bad.all():
            return Detection(bad & False, probability=np.zeros(bad.shape, np.float32))
        device = resolved_device(self.device, type(self).__name__, "conn")
        network = _load(self.model, _time_of(self.model), device)
        with quiet():
            probability = join_tiles(network.detect_cr, electrons)
        found = above(probability, self.threshold, bad)
        probability[bad] = 0
        return Detection(found, probability=probability)


def _check_model(model):
    """The name of a model, or the full path of its file."""
    if model in MODELS:
        return str(model)
    known = f"one of {', '.join(MODELS)}, or a file {' or '.join(SUFFIXES)} that exists"
    try:
        path = Path(model)
    except TypeError:
        raise InputError(f"model must be {known}; got {model!r}") from None
    if path.suffix not in SUFFIXES or not os.path.isfile(path):
        raise InputError(f"model must be {known}; got {str(model)!r}")
    return str(path.resolve())


def _time_of(model):
    """Time of the last change of a model's file, so that a new version is loaded; None for names."""
    return None if model in MODELS else Path(model).stat().st_mtime_ns


@lru_cache(maxsize=4)
def _load(model, _changed, device):
    """The network of Cosmic-CoNN, ready on a device."""
    package = imported("CosmicCoNNDetector", "conn", "cosmic_conn")
    try:
        with quiet():
            network = package.init_model(model)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        if model in MODELS:
            raise PluginError(f"cosmic-conn must include its model {model}; got {error}") from error
        raise InputError(f"model must be a file that Cosmic-CoNN made; got {model} ({_first_line(error)})") from error
    # overlapping tiles are cut here, and not again by the package
    network.opt.crop = 0
    # the package always uses a CUDA device if there is one
    network.device = device
    return network.to(device)


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]
