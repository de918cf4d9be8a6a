"""Terms of the kernel from the common image to an exposure, and its moments: throughput, shift and seeing."""

from dataclasses import dataclass

import numpy as np

__all__ = [
    "DERIVATIVE",
    "FLUX",
    "FLUX_AND_SEEING",
    "LARGEST_REACH",
    "SIZE",
    "KernelTerms",
    "ladder_of",
    "moment_errors",
    "split_kernel",
]

#: side (pixels) of a kernel
SIZE = 7
#: largest distance (pixels) of the steps of a kernel
LARGEST_REACH = SIZE // 2
#: coefficients of the derivative: a shift by one pixel adds these parts of the values one and two pixels before, and
#: subtracts the same parts of the values behind
DERIVATIVE = (2 / 3, -1 / 12)


@dataclass(frozen=True)
class KernelTerms:
    """Terms of a kernel: pairs of steps.

    Parameters
    ----------
    reach : int
        Largest step in pixels.
    flux, shift, seeing : bool, optional
        Kinds of terms.
    round : bool, optional
        Whether the seeing is the same in all directions. All steps of one length are then one term, and shifts have
        steps along the axes only.
    """

    reach: int
    flux: bool = True
    shift: bool = True
    seeing: bool = True
    round: bool = False

    def basis(self, size):
        """(terms, size, size) kernels on a square of ``size`` pixels: its centre, odd and even pairs."""
        middle, odd, even = size // 2, {}, {}
        for dy in range(self.reach + 1):
            for dx in range(-self.reach, self.reach + 1):
                if dy == 0 and dx <= 0:
                    continue
                for sign, pairs in ((-1, odd), (1, even)):
                    one = np.zeros((size, size))
                    one[middle + dy, middle + dx] += 1
                    one[middle - dy, middle - dx] += sign
                    one[middle, middle] -= 1 + sign
                    pairs[dx, dy] = one
        if self.round:
            odd, even = {step: one for step, one in odd.items() if 0 in step}, _by_length(even)
        found = []
        if self.flux:
            found.append(np.zeros((size, size)))
            found[-1][middle, middle] = 1
        for step in odd | even:
            found += [pairs[step] for pairs in [odd] * self.shift + [even] * self.seeing if step in pairs]
        return np.array(found).reshape(-1, size, size)


#: a throughput alone, and with the smallest change of the seeing
FLUX, FLUX_AND_SEEING = KernelTerms(0, True, False, False), KernelTerms(1, True, False, True, round=True)


def _by_length(pairs):
    """Sums of the pairs of steps (dx, dy) of one length along either axis, in either order."""
    found = {}
    for step, one in pairs.items():
        length = max(map(abs, step)), min(map(abs, step))
        found[length] = found.get(length, 0) + one
    return found


def ladder_of(names):
    """Kernels to try for the terms "flux_factors", "offsets" and "seeing", simplest first."""
    flux, shift, seeing = (name in names for name in ("flux_factors", "offsets", "seeing"))
    ladder = [FLUX] if flux else []
    if shift and seeing:
        ladder += [KernelTerms(1, flux, True, False), KernelTerms(1, flux, False, True)]
    if shift or seeing:
        ladder += [KernelTerms(reach, flux, shift, seeing) for reach in range(1, LARGEST_REACH + 1)]
    if seeing:
        # few stars do not determine all steps of a kernel, but the errors of a small one show in their wings
        ladder += [
            KernelTerms(reach, flux, one, True, round=True)
            for one in dict.fromkeys((False, shift))
            for reach in range(2, LARGEST_REACH + 1)
        ]
    return ladder


def split_kernel(kernel):
    """Throughput, shift (dx, dy) and seeing (xx, yy, xy) of a change of the kernel (from 0 for none).

    Parameters
    ----------
    kernel : `~numpy.ndarray`
        Odd square, what is added to a kernel of 1 at the centre.

    Returns
    -------
    flux, dx, dy, xx, yy, xy : float
        Sum, first moments in pixels, and second moments in square pixels: what is added to those of a star.
    """
    half = len(kernel) // 2
    step = np.arange(-half, half + 1)
    total = 1 + kernel.sum()
    first = (kernel.sum(axis=0) @ step) / total, (kernel.sum(axis=1) @ step) / total
    second = (
        (kernel.sum(axis=0) @ step**2) / total - first[0] ** 2,
        (kernel.sum(axis=1) @ step**2) / total - first[1] ** 2,
        (step @ kernel @ step) / total - first[0] * first[1],
    )
    return (total, *first, *second)


def moment_errors(covariance):
    """Standard errors of flux, dx, dy, xx, yy and xy, for a small change of the kernel."""
    half = SIZE // 2
    dy, dx = (one.ravel() for one in np.mgrid[-half : half + 1, -half : half + 1])
    moments = np.stack([np.ones(SIZE**2), dx, dy, dx**2, dy**2, dx * dy])
    return np.sqrt(np.maximum(np.einsum("ka,ab,kb->k", moments, covariance, moments), 0))
