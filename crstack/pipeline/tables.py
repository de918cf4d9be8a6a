"""Tables of the hits of a run, and of their pixels."""

import numpy as np

from crstack.files.whole import atomic_path
from crstack.masks.features import PROBLEMATIC, categories_of, feature_pixels
from crstack.utils.threads import map_images

__all__ = ["find_hits", "paths_of_tables", "write_tables"]


def find_hits(results):
    """Tables of the hits.

    Parameters
    ----------
    results : Results
        Of the run.

    Returns
    -------
    features : dict of str to `~astropy.table.QTable`
        Hits of MEDIANCR and of the problematic pixels.
    """
    names = ("MEDIANCR", PROBLEMATIC)
    results.stack.statistics  # noqa: B018 (computed once, not in each thread)
    tables = map_images(lambda name: results.stack.features(name, masks=results.masks), names)
    return dict(zip(names, tables, strict=True))


def paths_of_tables(results):
    """Paths of the files of `write_tables`."""
    categories = (f"mediancr_identified_{category}.csv" for category in categories_of(results.masks))
    return [results.output / name for name in ("mediancr_identified.ecsv", *categories, "problematic_pixels.csv")]


def write_tables(results, features):
    """Write the tables of the hits, and those of their pixels.

    Parameters
    ----------
    results : Results
        Of the run.
    features : dict of str to `~astropy.table.QTable`
        From `find_hits`.
    """
    masks, hits = results.masks, features["MEDIANCR"]
    whole, *of_categories, problematic = paths_of_tables(results)
    _write_table(hits, whole, "ascii.ecsv")
    pixels = feature_pixels(masks, hits)
    for category, path in zip(categories_of(masks), of_categories, strict=True):
        numbers = hits["number"][hits["category"] == category]
        _write_table(pixels[np.isin(pixels["CR_number"], numbers)], path, "ascii.csv")
    _write_table(feature_pixels(masks, features[PROBLEMATIC], PROBLEMATIC), problematic, "ascii.csv")


def _write_table(table, path, layout):
    with atomic_path(path) as temporary:
        table.write(temporary, format=layout, overwrite=True)
