"""Options of the command, and comparisons of its masks."""

from pathlib import Path

import numpy as np
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE

from crstack import MaskSet

PLAIN = ["--no-plots", "--log-level", "error"]
NUMBERS = ["--gain", str(GAIN), "--readnoise", f"{READNOISE} electron", "--bias", str(BIAS)]


def own_copies():
    """Copies in place of the links to exposures that other tests share, which may be changed."""
    for name in NAMES:
        content = Path(name).read_bytes()
        Path(name).unlink()
        Path(name).write_bytes(content)


def masks_of(directory):
    return MaskSet.read(f"{directory}/crmasks.fits")


def assert_equal_masks(one, two):
    first, second = masks_of(one), masks_of(two)
    assert first["MEANCRT"].any()
    for name in first:
        np.testing.assert_array_equal(first.codes[name], second.codes[name])
