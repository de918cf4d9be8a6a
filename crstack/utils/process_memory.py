"""Memory of the process: its limit as the user gives it, and what the system reports."""

import mmap
import re

import astropy.units as u
import numpy as np

from crstack.exceptions import InputError
from crstack.utils.warn import warn_user
from crstack.utils.words import amount_of_bytes

__all__ = [
    "MemoryLimit",
    "check_mem_limit",
    "forget_peak",
    "held_bytes",
    "peak_bytes",
    "warn_of_excess",
]

#: limit of the memory: number of bytes, text with a unit, or a quantity
MemoryLimit = int | float | str | u.Quantity | None

#: number and unit in bytes: 300MB, 1 KiB; astropy knows other words
AMOUNT = re.compile(r"\s*(\d+\.?\d*(?:e\d+)?)\s*(?:([kmgt]?)(i?)b)?\s*", re.IGNORECASE)


def check_mem_limit(value):
    """Number of bytes of a limit of the memory; None without one.

    Parameters
    ----------
    value : int, str, `~astropy.units.Quantity` or None
        Number of bytes, or with a unit such as "2GB", "500 MB", "2 GiB" and "100kb"; the case does not matter.

    Raises
    ------
    InputError
        If it is not a positive amount of memory.
    """
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        amount = u.Quantity(_with_factor(value) if isinstance(value, str) else value)
        if amount.unit == u.dimensionless_unscaled:
            amount = amount * u.byte
        n_bytes = float(amount.to_value(u.byte))
    except (TypeError, ValueError, u.UnitConversionError):
        n_bytes = 0.0
    if not (np.ndim(n_bytes) == 0 and np.isfinite(n_bytes) and n_bytes >= 1):
        raise InputError(f"mem_limit must be a positive number of bytes, or with a unit such as '2GB'; got {value!r}")
    return int(n_bytes)


def _with_factor(text):
    """An amount of memory as a number of bytes, if its unit is one of bytes in any case; else the text."""
    found = AMOUNT.fullmatch(text)
    if found is None:
        return text
    number, prefix, binary = found.groups()
    return float(number) * (1024 if binary else 1000) ** " kmgt".index((prefix or " ").lower())


def held_bytes():
    """Bytes that the process holds, and those of them that are pages of files; 0 where they are not reported."""
    try:
        with open("/proc/self/statm", "rb") as file:
            _, resident, of_files, *_ = file.read().split()
    except OSError:
        return 0, 0
    return int(resident) * mmap.PAGESIZE, int(of_files) * mmap.PAGESIZE


def forget_peak():
    """Start a new measurement of `peak_bytes`, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        return  # the peak is then that of the whole process


def peak_bytes():
    """Largest memory that the process held since `forget_peak`, in bytes; 0 where the system does not report it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next((1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
    except OSError:  # another system than Linux
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def warn_of_excess(limit):
    """Warn if the process held more than ``limit`` bytes since `forget_peak`; None is no limit.

    Warns
    -----
    CRStackWarning
        With the memory that was used.
    """
    used = peak_bytes()
    if limit is not None and used > limit:
        warn_user(
            f"the work used {amount_of_bytes(used)}, more than mem_limit of {amount_of_bytes(limit)}. Small arrays "
            "and the libraries stay in memory: give at least as much as was used"
        )
