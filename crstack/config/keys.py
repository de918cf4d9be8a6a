"""The keys of the parameter file: their checks and defaults.

The defaults are the values of the example in the manual of numina-crmasks.
"""

from collections.abc import Callable
from dataclasses import dataclass

from crstack.config.detector_images import UNITS
from crstack.config.values import (
    boolean,
    boundary_name,
    boxes,
    choice,
    combinations,
    conn_model,
    crmethod,
    extension,
    fixed_points,
    flux_factor,
    image_names,
    integer,
    memory,
    nullable,
    number,
    number_or_auto,
    number_or_map,
    odd_integer,
    offsets,
    paired,
    parameters,
    pixels,
    quality_bits,
    region,
    regions,
    regions_or_text,
    section,
    single,
    single_extension,
    vote,
)
from crstack.detectors.deepcr import MODELS as DEEPCR_MODELS
from crstack.exceptions import ConfigurationError, InputError
from crstack.utils.validation import closest
from crstack.utils.words import first_few

__all__ = ["OWN", "REQUIRED", "REQUIREMENTS", "TOP", "Key", "check_value", "checked_values"]

REQUIRED = object()


@dataclass(frozen=True)
class Key:
    """One key.

    Parameters
    ----------
    name : str
        As in the file.
    check : callable
        ``check(name, value)`` returns the value to use, or raises `InputError`.
    default : object, optional
        Value if the key is absent, in the terms of the file; `REQUIRED` for none.
    used : bool, optional
        False for keys that are checked but not used.
    """

    name: str
    check: Callable
    default: object = REQUIRED
    used: bool = True


positive = {"minimum": 0, "exclusive": True}
width = {"minimum": 0.01, "maximum": 100}
#: largest number of hits that may be asked for
LARGEST_COUNT = 10**9

TOP = (
    Key("images", image_names),
    Key("extnum", extension, 0),
    Key("gain", number_or_map),
    Key("rnoise", number_or_map),
    Key("bias", number_or_map, 0.0),
    # not of numina-crmasks
    Key("saturation", nullable(number_or_map), None),
    Key("trim", nullable(section), None),
    Key("dq_ext", nullable(single_extension), None),
    Key("err_ext", nullable(single_extension), None),
    Key("bits", nullable(quality_bits), None),
)

GENERAL = (
    Key("crmethod", crmethod, "joint"),
    Key("use_auxmedian", boolean, False),
    Key("interactive", boolean, False, used=False),
    Key("flux_factor", flux_factor, None),
    Key("flux_factor_regions", regions_or_text, None),
    Key("apply_flux_factor_to", choice("original", "simulated"), "simulated"),
    Key("dilation", integer(minimum=0, maximum=100), 0),
    Key("regions_to_be_skipped", regions, None),
    Key("pixels_to_be_flagged_as_cr", pixels, None),
    Key("pixels_to_be_ignored_as_cr", pixels, None),
    Key("pixels_to_be_replaced_by_local_median", boxes, None),
    Key("verify_cr", boolean, False, used=False),
    Key("semiwindow", integer(minimum=0, maximum=500), 15),
    Key("color_scale", choice("minmax", "zscale"), "zscale"),
    Key("maxplots", integer(minimum=-LARGEST_COUNT, maximum=LARGEST_COUNT), 40),
)

LACOSMIC = (
    # no effect: cleaned images are always in the unit of the exposures
    Key("la_gain_apply", single(boolean), True, used=False),
    Key("la_sigclip", paired(number(**positive)), [5.0, 3.0]),
    Key("la_sigfrac", paired(number(minimum=0, maximum=1)), [0.3, 0.3]),
    Key("la_objlim", paired(number(minimum=0)), [5.0, 5.0]),
    Key("la_satlevel", paired(number(**positive)), 65535.0),
    Key("la_niter", paired(integer(minimum=1, maximum=100)), 4),
    Key("la_sepmed", paired(boolean), True),
    Key("la_cleantype", paired(choice("median", "medmask", "meanmask", "idw")), "meanmask"),
    Key("la_fsmode", paired(choice("median", "convolve")), "convolve"),
    Key("la_psfmodel", paired(choice("gauss", "moffat", "gaussx", "gaussy", "gaussxy")), "gaussxy"),
    Key("la_psffwhm_x", paired(number(**width)), 2.5),
    Key("la_psffwhm_y", paired(number(**width)), 2.5),
    Key("la_psfsize", paired(odd_integer(3, 301)), 11),
    Key("la_psfbeta", paired(number(**positive)), 4.765),
    Key("la_verbose", single(boolean), True),
    Key("la_padwidth", paired(integer(minimum=0, maximum=500)), 10),
)

PYCOSMIC = (
    Key("pc_sigma_det", paired(number(**positive)), [5.0, 3.0]),
    Key("pc_rlim", paired(number(minimum=0)), [1.2, 1.2]),
    Key("pc_iterations", paired(integer(minimum=1, maximum=100)), 5),
    Key("pc_fwhm_gauss_x", paired(number(**width)), 2.5),
    Key("pc_fwhm_gauss_y", paired(number(**width)), 2.5),
    Key("pc_replace_box_x", paired(integer(minimum=1, maximum=301)), 5),
    Key("pc_replace_box_y", paired(integer(minimum=1, maximum=301)), 5),
    Key("pc_replace_error", paired(number(minimum=0)), 1.0e6),
    Key("pc_increase_radius", paired(integer(minimum=0, maximum=100)), 0),
    Key("pc_verbose", single(boolean), True),
)

NETWORKS = (
    Key("dc_mask", choice(*DEEPCR_MODELS), "ACS-WFC"),
    Key("dc_threshold", paired(number(minimum=0, maximum=1)), 0.5),
    Key("dc_verbose", boolean, True),
    Key("nn_model", conn_model, "ground_imaging"),
    Key("nn_threshold", paired(number(minimum=0, maximum=1)), 0.5),
    Key("nn_verbose", boolean, True),
)

PLUGINS = (
    # not of numina-crmasks: how many of several detectors must flag a pixel
    Key("vote", vote, "any"),
    # not of numina-crmasks: parameters of a detector, or of a boundary model, that has no keys of its own
    Key("detector", parameters, None),
    Key("boundary", parameters, None),
    # and those of the joint decision, or of another registered method
    Key("joint", parameters, None),
    Key("method", parameters, None),
)

MMCOSMIC = (
    Key("mm_cr_coincidences", integer(minimum=2), 2),
    Key("mm_photon_distribution", choice("poisson", "nbinom"), "poisson"),
    Key("mm_nbinom_shape", number_or_auto(minimum=1e-3), 10),
    Key("mm_synthetic", choice("median", "single"), "median"),
    Key("mm_hist2d_min_neighbors", integer(minimum=0, maximum=8), 0),
    Key("mm_ydiag_max", number(minimum=0), 0),
    Key("mm_dilation", integer(minimum=0, maximum=100), 1),
    Key("mm_xy_offsets", offsets, None),
    Key("mm_crosscorr_region", nullable(region), None),
    Key("mm_boundary_fit", boundary_name, "spline"),
    Key("mm_knots_splfit", integer(minimum=2, maximum=50), 5),
    Key("mm_fixed_points_in_boundary", fixed_points, None),
    Key("mm_nsimulations", integer(minimum=1, maximum=10_000), 10),
    Key("mm_niter_boundary_extension", integer(minimum=0, maximum=100), 5),
    Key("mm_weight_boundary_extension", number(minimum=1, exclusive=True, maximum=100), 2),
    Key("mm_threshold_rnoise", number(minimum=0), 3.0),
    Key("mm_minimum_max2d_rnoise", number(), 5.0),
    Key("mm_seed", nullable(integer(minimum=0)), 123456),
)

#: keys that numina-crmasks does not have
OWN = (
    Key("variance", choice("model", "sample"), "model"),
    Key("outputs", nullable(combinations), None),
    Key("compression", choice("none", "gzip", "fpack"), "none"),
    # what is measured of exposures that differ; by default nothing for M.M.Cosmic, and all for other methods
    Key("differences", nullable(choice("auto", "given")), None),
    Key("max_fraction", nullable(number(minimum=0, maximum=1)), None),
    Key("mem_limit", nullable(memory), None),
    # hits dropped by the user: they are removed from MEDIANCR and from no other mask
    Key("mediancr_pixels_to_be_dropped", pixels, None),
    Key("mm_xdiag_min", nullable(number()), None),
    Key("mm_xdiag_max", nullable(number(minimum=0, exclusive=True)), None),
)

REQUIREMENTS = GENERAL + LACOSMIC + PYCOSMIC + NETWORKS + PLUGINS + MMCOSMIC + OWN


def check_value(name, value):
    """The checked value of a key.

    Raises
    ------
    ConfigurationError
        If the value is invalid for the key.
    """
    key = _KEYS[name]
    if value is REQUIRED or (value is None and key.default is REQUIRED):
        unit = f", in {UNITS[name]}" if name in UNITS else ""
        raise ConfigurationError(f"{name} must be given in the parameter file{unit}; got nothing")
    try:
        return key.check(name, value)
    except ConfigurationError:
        raise
    except InputError as error:
        raise ConfigurationError(str(error)) from None


def checked_values(top, requirements):
    """Checked values by key, of both levels together; absent keys have their defaults.

    Parameters
    ----------
    top, requirements : dict
        Keys and values of the two levels, with current names.

    Raises
    ------
    ConfigurationError
        If a key is unknown, at the wrong level or missing, or a value is wrong.
    """
    _check_names(top, requirements)
    own = [name for name in requirements if name.startswith(OF_A_METHOD)]
    if own and requirements.get("crmethod") is None:
        raise ConfigurationError(
            f"crmethod must be given beside {own[0]}, a key of one method, such as mm_pycosmic; got nothing"
        )
    values = {}
    for given, keys in ((top, TOP), (requirements, REQUIREMENTS)):
        for key in keys:
            values[key.name] = check_value(key.name, given.get(key.name, key.default))
    return values


#: prefixes of the keys of M.M.Cosmic and of the detectors
OF_A_METHOD = ("mm_", "la_", "pc_", "dc_", "nn_")
_KEYS = {key.name: key for key in (*TOP, *REQUIREMENTS)}
#: largest number of characters of an unknown key in a message
LONGEST_NAME = 60


def _level(name):
    """The table that holds a key, or None."""
    key = _KEYS.get(name) if isinstance(name, str) else None
    return None if key is None else TOP if key in TOP else REQUIREMENTS


def _check_names(top, requirements):
    """Raise one error for all unknown keys, or for one at the wrong level."""
    unknown = []
    for given, keys in ((top, TOP), (requirements, REQUIREMENTS)):
        for name in given:
            if _level(name) is None:
                unknown.append(_with_hint(str(name)[:LONGEST_NAME]))
            elif _level(name) is not keys:
                place = "under requirements" if keys is TOP else "at the top level, not under requirements"
                raise ConfigurationError(f"{name} must stand {place}")
    if unknown:
        raise ConfigurationError(f"key must be one of a parameter file; got {first_few(unknown)}")


def _with_hint(name):
    """An unknown key, with the key that was probably meant."""
    near = closest(name, [*_KEYS, "requirements"])
    return name if near is None else f"{name} (did you mean {near}?)"
