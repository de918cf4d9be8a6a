"""A detector that flags every pixel leaves none to simulate."""

from dataclasses import dataclass

import numpy as np
import pytest
from support.stacks import stack_of

from crstack import Detection, Detector
from crstack.datasets import make_stack
from crstack.exceptions import InputError


@dataclass(frozen=True)
class All(Detector):
    def detect(self, image, noise, mask=None):
        return Detection(np.ones(image.shape, dtype=bool))


@pytest.mark.parametrize("call", ["detect", "mm_diagram"])
def test_no_pixel_is_left(call):
    stack = stack_of(make_stack("ifu", (60, 80), seed=4))
    arguments = ("mmcosmic",) if call == "detect" else ()
    with pytest.raises(InputError, match="exposures must share valid pixels that the auxiliary detector does not flag"):
        getattr(stack, call)(*arguments, aux=All())
