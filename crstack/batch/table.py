"""The table of the results of the stacks."""

from astropy.table import Table

from crstack.files.whole import atomic_path

__all__ = ["COLUMNS", "results_table", "write_results"]

#: name, kind, unit and meaning of the columns
COLUMNS = (
    ("name", str, None, "name of the stack"),
    ("state", str, None, "done, failed or skipped"),
    ("message", str, None, "why it failed, was computed again, or was skipped"),
    ("n_exposures", int, None, "number of exposures"),
    ("n_mediancr", int, "pix", "pixels in the mask of the median"),
    ("n_meancrt", int, "pix", "pixels in the mask of the mean"),
    ("n_crmask", int, "pix", "values in the masks of the exposures, all together"),
    ("n_problematic", int, "pix", "pixels masked in every exposure"),
    ("fraction_crmask", float, None, "n_crmask over the number of values"),
    ("measured", str, None, "measured differences between the exposures, or none"),
    ("warnings", str, None, "warnings of the run, one after the other"),
    ("seconds", float, "s", "time that the stack took"),
    ("peak_memory", float, "MiB", "largest memory of the process while it ran"),
)
_EMPTY = {str: "", int: 0, float: float("nan")}


def results_table(rows):
    """Table of results.

    Parameters
    ----------
    rows : iterable of dict
        Values by column; missing values are empty.

    Returns
    -------
    table : `~astropy.table.Table`
    """
    rows, table = list(rows), Table()
    for name, kind, unit, description in COLUMNS:
        values = [kind(row.get(name, _EMPTY[kind])) for row in rows]
        table[name] = table.Column(values, dtype=kind, unit=unit, description=description)
    return table


def write_results(table, path):
    """Write the table to an ECSV file, completely or not at all."""
    with atomic_path(path) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)
