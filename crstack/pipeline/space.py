"""Space on the disk for the products of a run, checked before the work."""

import os
from dataclasses import dataclass

from crstack.combine import COMBINATIONS
from crstack.exceptions import InputError
from crstack.utils.disk import free_bytes
from crstack.utils.words import amount_of_bytes, counted

__all__ = ["ProductSizes", "check_space", "combinations_of_run", "product_sizes", "space_beside"]

#: bytes for each pixel of a combined image: the value and VARIANCE (float32), MAP (int16), MASK and FLAGS (uint8)
OF_COMBINED = 4 + 4 + 2 + 1 + 1
#: bytes for each pixel of a cleaned exposure: the value and VARIANCE (float32), MASK (uint8)
OF_CLEAN = 4 + 4 + 1
#: bytes for each pixel of a mask in crmasks.fits: the mask and its plane of CODES (uint8)
OF_MASK = 1 + 1
#: number of masks besides those of the exposures: MEDIANCR, MEANCRT and MEANCR
COMMON_MASKS = 3
#: bytes for each pixel that the joint decision adds to crmasks.fits: a probability for each exposure (uint8), and
#: SIGSHIFT and SIGVAR (float32)
OF_PROBABILITY, OF_SIGNAL = 1, 8
#: least size of a compressed image over that of the image; 0.48 to 0.63 were measured
COMPRESSED = 0.45
#: bytes of a figure, as measured: of its frame, for each pixel of an image, and the largest sum of both
OF_FRAME, OF_PIXEL, OF_FIGURE = 80_000, 4, 500_000
#: number of figures besides those of the exposures, and number of figures in the report
COMMON_FIGURES, FIGURES_OF_PAGE = 3, 3


@dataclass(frozen=True)
class ProductSizes:
    """Sizes of the products of a run in bytes.

    Attributes
    ----------
    combined, clean : float
        Of one combined image, and of one cleaned exposure.
    n_combined, n_clean : int
        Their numbers.
    masks : float
        Of crmasks.fits.
    figures : float
        Of all figures and the page.
    """

    combined: float
    n_combined: int
    clean: float
    n_clean: int
    masks: float
    figures: float

    @property
    def of_images(self):
        """Size of all FITS files."""
        return self.n_combined * self.combined + self.n_clean * self.clean + self.masks

    @property
    def total(self):
        """Size of all products."""
        return self.of_images + self.figures

    @property
    def largest(self):
        """Size of the largest file."""
        return max(self.combined * bool(self.n_combined), self.clean * bool(self.n_clean), self.masks)

    def in_words(self):
        """What needs the space, such as "8 combined images of 12 MB"."""
        several = ((self.n_combined, "combined image", self.combined), (self.n_clean, "cleaned exposure", self.clean))
        parts = [f"{counted(n, name)} of {amount_of_bytes(size)}" for n, name, size in several if n]
        parts += [f"crmasks.fits {amount_of_bytes(self.masks)}"] if self.masks else []
        parts += [f"figures and report {amount_of_bytes(self.figures)}"] if self.figures else []
        return ", ".join(parts)


def combinations_of_run(outputs, *, joint):
    """Names of the combinations that a run writes, of the requested ``outputs`` or of all.

    Without a joint decision there are no probabilities, which meanjoint needs.
    """
    return [name for name in outputs or COMBINATIONS if joint or name != "meanjoint"]


def product_sizes(
    n_images, n_pixels, n_chips=1, *, plots, joint=True, masks=True, clean=False, outputs=None, compression="none"
):
    """Sizes of the products of a run. Those of compressed images and of figures are lower estimates.

    Parameters
    ----------
    n_images : int
        Number of exposures.
    n_pixels : int
        Pixels of one of them; those of all chips of a mosaic.
    n_chips : int, optional
        Number of chips. Each has its own figures.
    plots, joint, masks, clean, outputs, compression
        As for `crstack.pipeline.prepare.product_names`.

    Returns
    -------
    sizes : ProductSizes
    """
    share = 1.0 if compression == "none" else COMPRESSED
    n_combined = len(combinations_of_run(outputs, joint=joint))
    n_figures = n_chips * (n_images + COMMON_FIGURES + FIGURES_OF_PAGE) if plots else 0
    of_masks = OF_MASK * (COMMON_MASKS + n_images) + (OF_PROBABILITY * n_images + OF_SIGNAL if joint else 0)
    return ProductSizes(
        combined=share * OF_COMBINED * n_pixels,
        n_combined=n_combined,
        clean=share * OF_CLEAN * n_pixels,
        n_clean=n_images if clean else 0,
        masks=float(of_masks * n_pixels if masks else 0),
        figures=float(n_figures * min(OF_FRAME + OF_PIXEL * n_pixels / n_chips, OF_FIGURE)),
    )


def check_space(directory, sizes, replaced=(), beside=None):
    """Check that the products fit on their disk.

    Parameters
    ----------
    directory : path-like
        Output directory, which need not exist.
    sizes : ProductSizes
        What will be written.
    replaced : iterable of path-like, optional
        Earlier files that the products replace. A file is replaced when the new one is complete.
    beside : mapping, optional
        Sizes in bytes of other files on the same disk during the work, by their name.

    Raises
    ------
    InputError
        If there is too little space.
    """
    free = free_bytes(directory)
    if free is None:
        return  # the file system does not report it
    of_earlier = sum(os.path.getsize(path) for path in replaced if os.path.isfile(path))
    needed = space_beside(sizes.total, sizes.largest, of_earlier) + sum((beside or {}).values())
    if free >= needed:
        return
    parts = [sizes.in_words(), *(f"{name} {amount_of_bytes(size)}" for name, size in (beside or {}).items())]
    less = f"; files of an earlier run free {amount_of_bytes(of_earlier)}" if of_earlier else ""
    raise InputError(
        f"output directory must have space for the results, about {amount_of_bytes(needed)} "
        f"({', '.join(parts)}{less}); got {amount_of_bytes(free)} free in {directory}: use --output-dir on another "
        "disk, or ask for less by outputs: or compression: fpack in a parameter file"
        f"{', or by --no-plots' if sizes.figures else ''}"
    )


def space_beside(total, largest, of_earlier):
    """Free bytes that products need. A product replaces an earlier file when the new one is complete."""
    return max(total - of_earlier, 0.0) + (largest if of_earlier else 0.0)
