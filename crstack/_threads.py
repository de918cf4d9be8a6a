"""Work on bands of rows in a few threads (numpy and scipy release the GIL)."""

import os
from concurrent.futures import ThreadPoolExecutor

__all__ = ["map_threads", "n_threads", "row_bands", "wide_bands"]

#: of a band whose temporaries stay in the caches
PIXELS_IN_CACHE = 1 << 16


def n_threads():
    """Number of processors this process may use, at most 8."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)


def row_bands(n_rows, n_columns, pixels_per_band=1 << 18):
    """Slices of whole rows that cover ``n_rows``, of about ``pixels_per_band`` pixels each."""
    step = max(1, pixels_per_band // max(n_columns, 1))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def wide_bands(n_rows, n_columns, margin=0):
    """Bands that fit into the caches: rows, the same with ``margin`` more on either side, and their place in these."""
    bands = []
    for rows in row_bands(n_rows, n_columns, PIXELS_IN_CACHE):
        first = max(rows.start - margin, 0)
        wide = slice(first, min(rows.stop + margin, n_rows))
        bands.append((rows, wide, slice(rows.start - first, rows.stop - first)))
    return bands


def map_threads(function, items):
    """``[function(item) for item in items]`` in threads, in the order of ``items``."""
    items = list(items)
    if len(items) < 2 or n_threads() == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(n_threads()) as pool:
        return list(pool.map(function, items))
