"""The objects that a run needs, made once from the checked values of the keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from crstack.boundaries import BoundaryModel, PiecewiseBoundary, SplineBoundary
from crstack.config.crmethod import OWN_KEYS
from crstack.detectors import (
    CosmicCoNNDetector,
    DeepCRDetector,
    Detector,
    LACosmicDetector,
    PyCosmicDetector,
    TwoPassDetector,
    VotingDetector,
)
from crstack.detectors.two_pass import split_pairs
from crstack.diagram import DiagramSettings
from crstack.equalize import ResponseSettings
from crstack.exceptions import ConfigurationError, InputError
from crstack.masks import MaskRules
from crstack.methods import Method
from crstack.mmcosmic import MMCosmic
from crstack.utils.registry import BOUNDARIES, DETECTORS, METHODS
from crstack.utils.validation import closest

__all__ = ["Parts", "make_parts"]


@dataclass(frozen=True)
class Parts:
    """The settings of the keys as objects of the library.

    Attributes
    ----------
    detector : `~crstack.detectors.Detector` or None
        The auxiliary detector, or several that vote.
    method : `~crstack.Method`
        The method; M.M.Cosmic uses the boundary fitted by the stack.
    boundary : `~crstack.boundaries.BoundaryModel`
        Boundary model of M.M.Cosmic.
    rules : `~crstack.MaskRules`
        Rules of all masks.
    diagram, equalization : mapping
        Arguments of `crstack.CRStack.mm_diagram` and of `crstack.CRStack`.
    """

    detector: Detector | None
    method: Method
    boundary: BoundaryModel
    rules: MaskRules
    diagram: Mapping = field(default_factory=dict)
    equalization: Mapping = field(default_factory=dict)


def make_parts(values, directory):
    """The parts of checked values.

    Parameters
    ----------
    values : mapping
        Value by key.
    directory : `~pathlib.Path`
        Directory of the parameter file, which may contain a model.

    Returns
    -------
    parts : Parts

    Raises
    ------
    ConfigurationError
        If a part refuses its values; the message names the keys.
    """
    key = _key_of_method(values["crmethod"])
    with _naming(key or "mm_ keys"):
        method = _plugin(key, METHODS.get(values["crmethod"].method), values[key]) if key else _mmcosmic(values)
    with _naming("la_ keys"):  # checked even if the method needs none of them
        own = {"lacosmic": lacosmic(values)}
    with _naming("pc_ keys"):
        own["pycosmic"] = pycosmic(values)
    with _naming("mm_fixed_points_in_boundary"):
        boundary = _boundary(values)
    diagram = _diagram(values)
    with _naming("mm_ keys"):
        # a shape to be measured has no number yet
        shape = None if diagram["nbinom_shape"] == "auto" else diagram["nbinom_shape"]
        DiagramSettings(**diagram | {"nbinom_shape": shape})
        rules = _rules(values)
    return Parts(
        detector=_detectors(values, own, directory),
        method=method,
        boundary=boundary,
        rules=rules,
        diagram=MappingProxyType(diagram),
        equalization=MappingProxyType(_equalization(values)),
    )


class _naming:
    """Adds the names of the keys to the message of an `InputError`."""

    def __init__(self, keys):
        self.keys = keys

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if isinstance(error, InputError):
            raise ConfigurationError(f"{self.keys}: {error}") from None


# methods


def _key_of_method(crmethod):
    """The key that holds the parameters of the method; None if they have keys of their own."""
    if crmethod.method is None or crmethod.uses_diagram:
        return None
    return "joint" if crmethod.is_joint else "method"


def _mmcosmic(values):
    """M.M.Cosmic, switched off if only detectors are used."""
    return MMCosmic(
        boundary="auto" if values["crmethod"].uses_diagram else None,
        threshold_rnoise=values["mm_threshold_rnoise"],
        minimum_max2d_rnoise=values["mm_minimum_max2d_rnoise"],
        mm_dilation=values["mm_dilation"],
    )


# detectors


def lacosmic(values):
    """The L.A.Cosmic detector of the la_ keys."""
    paired = ("sigclip", "sigfrac", "objlim", "satlevel", "niter")
    return _in_passes(values, "la_", LACosmicDetector, ("psffwhm",), paired)


def pycosmic(values):
    """The PyCosmic detector of the pc_ keys."""
    paired = ("sigma_det", "rlim", "iterations", "replace_error")
    return _in_passes(values, "pc_", PyCosmicDetector, ("fwhm_gauss", "replace_box"), paired)


def _deepcr(values):
    return DeepCRDetector(model=values["dc_mask"], threshold=values["dc_threshold"])


def _conn(values, directory):
    """The Cosmic-CoNN detector of the nn_ keys; a file in the directory of the parameter file is preferred."""
    beside = directory / values["nn_model"]
    model = str(beside) if beside.is_file() else values["nn_model"]
    return CosmicCoNNDetector(model=model, threshold=values["nn_threshold"])


def _detectors(values, own, directory):
    """The auxiliary detector, several that vote, or None."""
    crmethod, given = values["crmethod"], values["detector"]
    detectors = []
    for name in crmethod.detectors:
        if name in own:
            detectors.append(own[name])
        elif name in OWN_KEYS:
            detectors.append(_deepcr(values) if name == "deepcr" else _conn(values, directory))
        elif len(crmethod.plugins) == 1:
            detectors.append(_plugin("detector", DETECTORS.get(name), given))
        else:
            detectors.append(_plugin(f"{name} under detector", DETECTORS.get(name), given.get(name, {})))
    if len(detectors) > 1:
        return VotingDetector(detectors, values["vote"])
    return detectors[0] if detectors else None


def _in_passes(values, prefix, detector, sizes, paired):
    """A detector of the keys with a prefix, in two passes if a value is a pair.

    ``sizes`` are its parameters that are given as _x and _y; ``paired`` are those for which the detector accepts pairs
    itself.
    """
    names = [name for name in detector.parameters() if f"{prefix}{name}" in values]
    parameters = {name: values[prefix + name] for name in names}
    parameters |= {f"{name}_{axis}": values[f"{prefix}{name}_{axis}"] for name in sizes for axis in "xy"}

    def make(given):
        both = {name: (given.pop(f"{name}_x"), given.pop(f"{name}_y")) for name in sizes}
        return detector(**given, **both)

    high, low = split_pairs(**parameters)
    if all(high[name] == low[name] for name in parameters if name not in paired):
        return make(high | {name: parameters[name] for name in paired})
    return TwoPassDetector(make(high), make(low))


# boundary, diagram, rules


def _boundary(values):
    """The boundary model of the keys."""
    points = values["mm_fixed_points_in_boundary"]
    if values["mm_boundary_fit"] == "piecewise":
        return PiecewiseBoundary(points)
    if values["mm_boundary_fit"] != "spline":
        return _plugin_boundary(values, points)
    return SplineBoundary(
        n_knots=values["mm_knots_splfit"],
        n_extensions=values["mm_niter_boundary_extension"],
        extension_weight=values["mm_weight_boundary_extension"],
        fixed_points=points,
    )


def _plugin_boundary(values, points):
    """The boundary model of a plug-in, with its parameters."""
    kind = BOUNDARIES.get(values["mm_boundary_fit"])
    if points and "fixed_points" not in kind.parameters():
        raise ConfigurationError(f"mm_fixed_points_in_boundary must be empty for {kind.__name__}; got {points}")
    given = dict(values["boundary"]) | ({"fixed_points": points} if points else {})
    return _plugin("boundary", kind, given)


def _diagram(values):
    """Arguments of `DiagramSettings`, from the keys."""
    nbinom = values["mm_photon_distribution"] == "nbinom"
    return {
        "n_simulations": values["mm_nsimulations"],
        "seed": values["mm_seed"],
        "min_neighbors": values["mm_hist2d_min_neighbors"],
        "x_min": values["mm_xdiag_min"],
        "x_max": values["mm_xdiag_max"],
        "y_max": values["mm_ydiag_max"],
        "y_floor": max((point[1] for point in values["mm_fixed_points_in_boundary"]), default=0.0),
        "nbinom_shape": values["mm_nbinom_shape"] if nbinom else None,
        "synthetic": values["mm_synthetic"],
    }


def _rules(values):
    """The rules of the masks, from the keys."""
    return MaskRules(
        dilation=values["dilation"],
        skip_regions=values["regions_to_be_skipped"],
        force_pixels=values["pixels_to_be_flagged_as_cr"],
        ignore_pixels=values["pixels_to_be_ignored_as_cr"],
        local_medians=values["pixels_to_be_replaced_by_local_median"],
    )


# exposures that are not quite equivalent


def _equalization(values):
    """Only settings with an effect: no offsets if no expected image is used.

    The reference program measures only what its keys ask for. M.M.Cosmic does the same here.
    """
    crmethod = values["crmethod"]
    compares = crmethod.method is not None
    measures = compares and values["differences"] == "auto"
    if compares and values["differences"] is None:
        measures = not crmethod.uses_diagram
    arguments = ({} if measures else {"differences": None}) | _flux_factors(values, compares, measures)
    if compares and values["mm_xy_offsets"]:
        arguments["offsets"] = list(values["mm_xy_offsets"])
    if compares and values["mm_crosscorr_region"]:
        arguments["crosscorr_region"] = values["mm_crosscorr_region"]
    return arguments


def _flux_factors(values, compares, measures):
    """Without what is measured, flux factors of 1 have no effect."""
    factors, target = values["flux_factor"], values["apply_flux_factor_to"]
    if not compares and target == "simulated":
        return {}
    if factors == "local":
        return {"response": ResponseSettings()}
    neutral = factors == 1 or (isinstance(factors, tuple) and set(factors) == {1.0})
    if factors is None or (neutral and not measures):
        return {}
    arguments = {"flux_factors": list(factors) if isinstance(factors, tuple) else factors}
    if factors == "auto":
        arguments["flux_method"] = "ratio"  # that of the reference program
    if factors == "auto" and values["flux_factor_regions"]:
        arguments["flux_regions"] = list(values["flux_factor_regions"])
    if target != "simulated":
        arguments["apply_flux_factors_to"] = target
    return arguments


def _plugin(key, kind, given):
    """A plug-in with its parameters from the file."""
    known = kind.parameters()
    for name in given:
        if name not in known:
            near = closest(name, known)
            hint = f" (did you mean {near}?)" if near else ""
            names = ", ".join(known) or "none"
            raise ConfigurationError(f"{key} must have parameters of {kind.__name__} ({names}); got {name}{hint}")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{key} must fit {kind.__name__}; got {dict(given)} ({error})") from error
