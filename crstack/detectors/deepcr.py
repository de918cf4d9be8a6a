"""deepCR: a network trained on images of the Hubble Space Telescope."""

from dataclasses import dataclass
from functools import lru_cache

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
from crstack.exceptions import PluginError
from crstack.noise import NoiseModel
from crstack.utils.pixels import at_pixels
from crstack.utils.validation import check_choice

__all__ = ["INPAINT_MODELS", "MODELS", "DeepCRDetector"]

#: names of the masks that deepCR 0.3 ships
MODELS = ("ACS-WFC", "WFC3-UVIS", "decam", "example_model")
#: names of its inpainting networks
INPAINT_MODELS = ("ACS-WFC-F606W-2-32",)


@dataclass(frozen=True)
class DeepCRDetector(Detector):
    """The neural network deepCR (Zhang & Bloom 2020), trained to find hits.

    Needs ``pip install 'crstack[deepcr]'``.

    Parameters
    ----------
    model : {'ACS-WFC', 'WFC3-UVIS', 'decam', 'example_model'}
        One of the masks that deepCR ships. 'example_model' is for tests.
    threshold : float or pair of float
        A pixel is flagged where the probability exceeds it, 0 to 1. A pair
        (high, low) makes two passes: the result is each connected feature of
        the second that holds a pixel of the first.
    inpaint : {None, 'ACS-WFC-F606W-2-32'}
        Replacement of hits: the median of the 5 x 5 pixels around without the flagged ones, or deepCR's inpainting
        network.
    device : {'auto', 'cpu', 'cuda'}
        Where the network runs; 'auto' uses a CUDA device if there is one.

    Raises
    ------
    InputError
        If a parameter is out of range.
    PluginError
        If deepCR or torch is not installed.

    Notes
    -----
    The input of the network is in electrons, as in its training. The result does not depend on the read noise. It
    depends on gain, unit and number of averaged exposures of the noise model, and on a known variance only where this
    is not finite. Large images are cut into overlapping tiles. 'WFC3-UVIS' uses the image in units of its own standard
    deviation, mean subtracted, so that its result depends on all pixels of the image.

    The model is loaded once per process. ``OMP_NUM_THREADS`` or ``torch.set_num_threads`` sets the number of threads
    of torch.

    References
    ----------
    Zhang, K. & Bloom, J. S. 2020, ApJ, 889, 24, doi:10.3847/1538-4357/ab3fa6
    """

    model: str = "ACS-WFC"
    threshold: float | tuple[float, float] = 0.5
    inpaint: str | None = None
    device: str = "auto"

    cleans = True

    def __post_init__(self) -> None:
        check_choice("model", self.model, MODELS)
        object.__setattr__(self, "threshold", check_threshold(self.threshold))
        check_choice("inpaint", self.inpaint, (None, *INPAINT_MODELS))
        check_installed(type(self).__name__, "deepcr", "deepCR", "torch")
        check_device(self.device, type(self).__name__, "deepcr")

    def detect(self, image: np.ndarray, noise: NoiseModel, mask: np.ndarray | None = None) -> Detection:
        """Find and replace the cosmic rays of one image.

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
            Mask, probability (0 at bad pixels) and ``cleaned`` in the unit of
            the image, equal to the image where nothing is flagged.

        Raises
        ------
        InputError
            If ``image`` is not two-dimensional or ``mask`` has another shape.
        PluginError
            If the packages or their models cannot be loaded.
        """
        electrons, bad = electrons_of(image, noise, mask)
        cleaned = np.array(image, dtype=np.float32)
        if bad.all():
            return Detection(bad & False, cleaned, np.zeros(bad.shape, np.float32))
        network = _load(self.model, self.inpaint, resolved_device(self.device, type(self).__name__, "deepcr"))
        probability = _probability(network, electrons)
        found = above(probability, self.threshold, bad)
        probability[bad] = 0
        if found.any():
            replaced = _inpainted(network, electrons, found | bad)
            cleaned[found] = replaced[found] / at_pixels(noise.electrons_per_unit, found)
        return Detection(found, cleaned, probability)


@lru_cache(maxsize=4)
def _load(model, inpaint, device):
    """The network of deepCR, ready on a device."""
    package = imported("DeepCRDetector", "deepcr", "deepCR")
    try:
        with quiet():
            return package.deepCR(model, inpaint=inpaint, device="GPU" if device == "cuda" else "CPU")
    except (OSError, RuntimeError) as error:
        raise PluginError(f"deepCR must include its model {model}, as version 0.3 does; got {error}") from error


def _probability(network, electrons):
    """Probability of a hit, tile by tile."""
    import torch

    centre, width = 0.0, network.scale
    if network.norm:
        # like deepCR, but once for the whole image
        centre = electrons.mean(dtype=np.float64)
        width = electrons.std(dtype=np.float64) or 1.0

    def predict(tile):
        scaled = (tile - np.float32(centre)) / np.float32(width)
        return network.clean_(scaled, binary=False, inpaint=False)

    with torch.inference_mode(), quiet():
        return join_tiles(predict, electrons)


def _inpainted(network, electrons, flagged):
    """Electrons with flagged pixels replaced; exact only at these."""
    import torch

    def predict(tile, hits):
        return network.inpaint(tile, hits) if hits.any() else tile

    with torch.inference_mode(), quiet():
        return join_tiles(predict, electrons, flagged)
