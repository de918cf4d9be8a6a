"""The products of one stack, the same as those of ``crstack run``."""

import numpy as np

from crstack.masks import exposure_name
from crstack.methods import measured_of
from crstack.pipeline.console import logging_to
from crstack.pipeline.mosaic import run_any

__all__ = ["write_products"]


def write_products(parameters, directory, log_name, *, plots, drop_unusable=False):
    """Run a parameter file, with a log file and no output on the screen.

    Parameters
    ----------
    parameters : path-like
        Parameter file.
    directory : path-like
        Directory of the products; made if it does not exist.
    log_name : str
        Name of the log file in ``directory``.
    plots : bool
        Whether to draw figures and report.
    drop_unusable : bool, optional
        Whether to continue without exposures that cannot be used.

    Returns
    -------
    row : dict
        Counts, measured values and warnings: columns of the table of results.

    Raises
    ------
    CRStackError
        As for ``crstack run``.
    """
    chips = []
    with logging_to("error") as console:
        console.keep_log(directory / log_name)
        run_any(
            parameters,
            directory,
            plots=plots,
            drop_unusable=drop_unusable,
            interactive=False,
            each=lambda masks: chips.append(_numbers(masks, console.warnings)),
            console=console,
        )
    n_values = sum(one.pop("n_values") for one in chips)
    texts = {name: "; ".join(filter(None, dict.fromkeys(one.pop(name) for one in chips))) for name in TEXTS}
    row = {name: sum(one[name] for one in chips) for name in chips[0]}
    return row | {"fraction_crmask": row["n_crmask"] / n_values} | texts


#: word for differences that were not measured, or not found
NOTHING = "none"
#: columns that are text; those of several chips are joined, and numbers are added
TEXTS = ("measured", "warnings")


def _numbers(masks, warnings):
    """Counts, measured values and warnings of the masks of one chip."""
    return {
        "n_mediancr": _count(masks, "MEDIANCR"),
        "n_meancrt": _count(masks, "MEANCRT"),
        "n_crmask": sum(_count(masks, exposure_name(i)) for i in range(masks.n_exposures)),
        "n_problematic": int(np.count_nonzero(masks.problematic)),
        "n_values": masks.n_exposures * masks["MEDIANCR"].size,
        "measured": _measured(masks),
        "warnings": "; ".join(" ".join(one.split()) for one in warnings),
    }


def _count(masks, name):
    return int(np.count_nonzero(masks.codes[name]))


def _measured(masks):
    """What was measured to differ between the exposures, in words; "none" if nothing was."""
    measured = measured_of(masks.decision)
    words = measured.in_words() if measured else {}
    return "; ".join(f"{name}: {value}" for name, value in words.items() if value != NOTHING) or NOTHING
