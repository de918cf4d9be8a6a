"""Conversion of files of the early manual, and of observation results of MEGARA, to current parameter files."""

from crstack.config.document import as_number
from crstack.exceptions import ConfigurationError
from crstack.utils.log import log

__all__ = ["as_parameter_file", "choose_document"]

MODE = "MegaraCrDetection"

#: current names of old keys under requirements; misspellings are those of the manuals
NEW_NAMES = {
    "use_lamedian": "use_auxmedian",
    "flux_factor_region": "flux_factor_regions",
    "mm_threshold": "mm_threshold_rnoise",
    "ls_niter": "la_niter",
    "mm_knots_split": "mm_knots_splfit",
    "mm_binom_shape": "mm_nbinom_shape",
    "pixels_to_be-flagged_as_cr": "pixels_to_be_flagged_as_cr",
}

#: keys under requirements without effect in crstack, and the reason
WITHOUT_EFFECT = {
    "plots": "figures are drawn unless --no-plots is given",
    "save_preprocessed": "crstack does not preprocess images",
}

#: top-level keys of an observation result that are not about cosmic rays
OF_THE_OBSERVATION = ("id", "mode", "instrument", "enabled", "parent", "children", "configuration", "pipeline")


def choose_document(documents, path):
    """The only document of a YAML file, or the only one of several that is about cosmic rays.

    Raises
    ------
    ConfigurationError
        If there are several, and not exactly one is an observation result of the mode MegaraCrDetection.
    """
    documents = list(documents)
    if len(documents) < 2:
        return documents[0] if documents else None
    wanted = [one for one in documents if isinstance(one, dict) and one.get("mode") == MODE]
    if len(wanted) != 1:
        raise ConfigurationError(
            f"parameter file must hold one document, or one with mode: {MODE}; got {len(documents)} documents, "
            f"{len(wanted)} of them of that mode, in {path}"
        )
    return wanted[0]


def as_parameter_file(top, requirements):
    """Current form of a parameter file of the early manual, or of an observation result.

    Parameters
    ----------
    top, requirements : dict
        Keys and values of the two levels, as in the file.

    Returns
    -------
    top, requirements : dict
        New dicts. A warning gives the new name of each old key.

    Raises
    ------
    ConfigurationError
        If an old name and its new name are both given, or the observation is of another mode.
    """
    if "frames" in top or "mode" in top:
        top = _settings_of_observation(top)
    return dict(top), _renamed(requirements, top.get("rnoise"))


def _settings_of_observation(top):
    """The settings of a file in the layout of the early manual."""
    if "images" in top:
        raise ConfigurationError("images must not be given beside frames or mode of an observation result")
    if top.get("mode", MODE) != MODE:
        raise ConfigurationError(f"mode must be {MODE}; got {top['mode']}")
    if "frames" not in top:
        raise ConfigurationError("frames must be given in an observation result; got nothing")
    missing = [key for key in ("gain", "rnoise") if top.get(key) is None]
    if missing:
        raise ConfigurationError(
            f"{' and '.join(missing)} must be added at the top level, beside frames: an observation result "
            "does not contain them"
        )
    kept = {key: value for key, value in top.items() if key not in ("frames", *OF_THE_OBSERVATION)}
    return {"images": top["frames"], **kept}


def _renamed(requirements, rnoise):
    """Requirements by their new names, with a warning for each old one."""
    renamed = {}
    for key, value in requirements.items():
        if key in WITHOUT_EFFECT:
            log.warning("%s has no effect: %s", key, WITHOUT_EFFECT[key])
            continue
        if key in NEW_NAMES:
            new = NEW_NAMES[key]
            if new in requirements:
                raise ConfigurationError(f"{key} must not be given beside {new}, its new name")
            value = _translated(key, value, rnoise)
            log.warning("%s is the old name of %s; taken as %s: %s", key, new, new, value)
            key = new
        renamed[key] = value
    return renamed


def _translated(key, value, rnoise):
    """Value of the new key with the same meaning as the old one."""
    if key == "flux_factor_region":
        return None if value in (None, "none", "None", "null", []) else value
    if key == "mm_threshold":
        value, rnoise = as_number(value), as_number(rnoise)
        if not isinstance(value, int | float) or not isinstance(rnoise, int | float) or rnoise <= 0:
            raise ConfigurationError(
                f"mm_threshold must be a number in ADU with rnoise a number greater than 0; got {value!r} with "
                f"rnoise {rnoise!r}; give mm_threshold_rnoise, in read noises, in its place"
            )
        return value / rnoise
    return value
