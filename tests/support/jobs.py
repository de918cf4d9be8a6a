"""Jobs that other processes can import."""

import os
import signal
import time
from pathlib import Path


def double(number):
    """Twice a number; negative ones fail."""
    if number < 0:
        raise ValueError(f"number must be positive; got {number}")
    return 2 * number


def die_once(job):
    """Kill the own process, the first time that a job is run."""
    marker, number = job
    if marker is not None and not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def die_always(number):
    """Kill the own process for the number 1."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def threads(_):
    """Number of threads that the libraries of this process use."""
    return os.environ.get("OMP_NUM_THREADS"), os.environ.get("CRSTACK_NUM_THREADS")
