"""Stacks in little memory."""

import gc
from functools import cache

import numpy as np

from crstack import (
    CRStack,
)
from crstack.datasets import make_stack
from crstack.utils import memory
from crstack.utils.process_memory import held_bytes

#: masks, of one byte for each pixel, are large enough for a file
SHAPE = (250, 270)


def simulated(n, scene="imaging", **options):
    return make_stack(scene, shape=SHAPE, n_exposures=n, seed=7, **options)


@cache
def three():
    """Three exposures that several tests share. Not to be changed."""
    return simulated(3)


def stack_of(one, **options):
    return CRStack(one.exposures, gain=one.gain, readnoise=one.readnoise, bias=one.bias, **options)


def resident_bytes():
    """Memory that the process holds now, in bytes; 0 where the system does not report it."""
    return held_bytes()[0]


def held():
    """Memory that the process holds, without what earlier tests have left to the C library."""
    gc.collect()
    memory.trim()
    return resident_bytes()


def too_little():
    """A limit that the process has nearly reached."""
    return held() + 10_000_000


def enough():
    """A limit for work on whole images one by one, but not for all of them at once."""
    return held() + memory.FIXED + 20_000_000


def with_bad_values(one):
    for i, ccd in enumerate(one.exposures):
        ccd.mask = np.zeros(ccd.shape, bool)
        ccd.mask[60:64, 20 * i : 20 * i + 30] = True
        ccd.mask[2 * len(ccd.mask) // 3 + i] = True
    return one
