"""Functions of astroscrappy, loaded with threads that sleep while they wait.

OpenMP reads its settings once, when astroscrappy loads it. Threads that wait without sleeping slow the search on shared
processors. The environment is restored afterwards.
"""

import os

__all__ = [
    "convolve",
    "dilate3",
    "dilate5",
    "gausskernel",
    "gaussxkernel",
    "gaussykernel",
    "laplaceconvolve",
    "rebin",
    "subsample",
]

POLICY = "OMP_WAIT_POLICY"

_is_set = POLICY in os.environ
os.environ.setdefault(POLICY, "PASSIVE")
try:
    from astroscrappy import gausskernel, gaussxkernel, gaussykernel
    from astroscrappy.utils import convolve, dilate3, dilate5, laplaceconvolve, rebin, subsample
finally:
    if not _is_set:
        del os.environ[POLICY]
