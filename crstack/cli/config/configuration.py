"""From the YAML file to a checked configuration, and to the parts it asks for."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import astropy.units as u

from crstack._registry import BOUNDARIES, DETECTORS, METHODS
from crstack.boundaries import PiecewiseBoundary, SplineBoundary
from crstack.cli.config.consistency import check_together
from crstack.cli.config.document import as_mapping, checked_values, load_document
from crstack.cli.config.keys import REQUIREMENTS, TOP
from crstack.cli.config.legacy import as_parameter_file
from crstack.detectors import (
    CosmicCoNNDetector,
    DeepCRDetector,
    LACosmicDetector,
    PyCosmicDetector,
    TwoPassDetector,
    VotingDetector,
)
from crstack.detectors.two_pass import split_pairs
from crstack.exceptions import ConfigurationError, InputError
from crstack.masks import MaskRules
from crstack.mmcosmic import MMCosmic

__all__ = ["Configuration", "read_configuration"]

#: keys that matter only beside a certain value of another key
ONLY_WITH = {
    "mm_nbinom_shape": ("mm_photon_distribution", "nbinom"),
    "mm_knots_splfit": ("mm_boundary_fit", "spline"),
    "mm_niter_boundary_extension": ("mm_boundary_fit", "spline"),
    "mm_weight_boundary_extension": ("mm_boundary_fit", "spline"),
    "la_psfbeta": ("la_psfmodel", "moffat"),
    "flux_factor_regions": ("flux_factor", "auto"),
}


#: prefix of the keys of a detector; the others have theirs under ``detector:``
PREFIXES = {"lacosmic": "la_", "pycosmic": "pc_", "deepcr": "dc_", "conn": "nn_"}

#: keys that matter where masks are read from a file
WITH_MASKS = (
    *("extnum", "gain", "rnoise", "bias", "use_auxmedian"),
    *("flux_factor", "flux_factor_regions", "apply_flux_factor_to", "mm_cr_coincidences"),
)


@dataclass(frozen=True)
class Configuration:
    """A parameter file, checked; ``configuration["mm_seed"]`` is the value of a key.

    Attributes
    ----------
    path : `~pathlib.Path`
        The file.
    values : mapping
        Value by key, of both levels together, defaults filled in.
    """

    path: Path
    values: MappingProxyType

    def __getitem__(self, key):
        return self.values[key]

    @property
    def auxiliaries(self):
        """Names of the auxiliary detectors; often one, or none."""
        return self._method_and_detectors[1]

    @property
    def method_name(self):
        """Name of the registered method; None where the detectors decide alone."""
        return self._method_and_detectors[0]

    @property
    def _method_and_detectors(self):
        value = self["crmethod"]
        for name in METHODS.names():
            prefix = "mm_" if name == "mmcosmic" else f"{name}_"
            if value == name:
                return name, ()
            if value.startswith(prefix) and value not in DETECTORS.names():
                return name, tuple(value.removeprefix(prefix).split("+"))
        return None, tuple(value.split("+"))

    @property
    def is_joint(self):
        """Whether the joint decision is made."""
        return self.method_name == "joint"

    @property
    def uses_diagram(self):
        """Whether M.M.Cosmic takes part."""
        return self.method_name == "mmcosmic"

    @property
    def _compares_with_expected(self):
        """Whether each exposure is compared with an expected image of its own."""
        return self.method_name is not None

    @property
    def verbose(self):
        """Whether the auxiliary detectors' parameters and counts are told: if one of them asks for it."""
        return any(name not in PREFIXES or self[f"{PREFIXES[name]}verbose"] for name in self.auxiliaries)

    def settings(self, finding=True):
        """The keys that matter for the method, with their values in words.

        Parameters
        ----------
        finding : bool, optional
            False where masks are read from a file, not found.

        Returns
        -------
        settings : list of (str, str)
        """
        names = [key.name for key in (*TOP, *REQUIREMENTS) if key.used and key.name != "images"]
        wanted = [name for name in names if self._matters(name) and (finding or name in WITH_MASKS)]
        return [(name, _in_words(self[name])) for name in wanted]

    def _matters(self, name):
        if name in ONLY_WITH:
            other, value = ONLY_WITH[name]
            if self[other] != value:
                return False
        if name == "apply_flux_factor_to":
            return "flux_factors" in self.equalization()
        if name in ("mm_xy_offsets", "mm_crosscorr_region"):
            return self._compares_with_expected
        if name.startswith("mm_"):
            return self.uses_diagram or name == "mm_cr_coincidences"
        if name[:3] in PREFIXES.values():
            return name[:3] in [PREFIXES.get(one) for one in self.auxiliaries]
        if name == "vote":
            return len(self.auxiliaries) > 1
        if name == "joint":
            return self.is_joint and len(self[name]) > 0
        if name == "method":
            return len(self[name]) > 0
        if name in ("detector", "boundary"):
            return len(self[name]) > 0
        return True

    def with_values(self, **values):
        """The same configuration with other values, in the file's own terms.

        Raises
        ------
        ConfigurationError
            If a value, or what the keys say together, is wrong.
        """
        checks = {key.name: key.check for key in (*TOP, *REQUIREMENTS)}
        checked = {name: checks[name](name, value) for name, value in values.items()}
        changed = replace(self, values=MappingProxyType(dict(self.values) | checked))
        check_together(changed)
        return changed

    # the parts

    @staticmethod
    def noise(numbers, unit):
        """Arguments of `crstack.CRStack`: gain, read noise and bias.

        Parameters
        ----------
        numbers : `~crstack.cli.config.detector_images.DetectorNumbers`
            Read from the parameter file and the files it names.
        unit : `~astropy.units.Unit`
            Of the exposures.
        """
        return {
            "gain": numbers.gain * u.electron / u.adu,
            "readnoise": numbers.rnoise * u.adu,
            "bias": numbers.bias * u.adu,
            "unit": unit,
        }

    def equalization(self):
        """Arguments of `crstack.CRStack` about exposures that are not quite equivalent.

        Only those that change something: no flux factors of 1, and nothing that concerns
        expected images where none is compared with.

        Returns
        -------
        arguments : dict
            Of ``flux_factors``, ``flux_regions``, ``apply_flux_factors_to``,
            ``offsets``, ``crosscorr_region`` and ``response``.
        """
        arguments = self._flux_factors()
        if self._compares_with_expected:
            if self["mm_xy_offsets"]:
                arguments["offsets"] = list(self["mm_xy_offsets"])
            if self["mm_crosscorr_region"]:
                arguments["crosscorr_region"] = self["mm_crosscorr_region"]
        return arguments

    def _flux_factors(self):
        factors, target = self["flux_factor"], self["apply_flux_factor_to"]
        if not self._compares_with_expected and target == "simulated":
            return {}
        if factors == "local":
            return {"response": "auto"}
        if factors is None or factors == 1 or (isinstance(factors, tuple) and set(factors) == {1.0}):
            return {}
        arguments = {"flux_factors": list(factors) if isinstance(factors, tuple) else factors}
        if factors == "auto" and self["flux_factor_regions"]:
            arguments["flux_regions"] = list(self["flux_factor_regions"])
        if target != "simulated":
            arguments["apply_flux_factors_to"] = target
        return arguments

    def detector(self):
        """The auxiliary detector, several that vote, or None."""
        if not self.auxiliaries:
            return None
        detectors = [self._detector(name) for name in self.auxiliaries]
        return detectors[0] if len(detectors) == 1 else VotingDetector(detectors, self["vote"])

    @property
    def plugins(self):
        """Names of the auxiliary detectors whose parameters stand under ``detector``."""
        return tuple(name for name in self.auxiliaries if name not in PREFIXES)

    def _detector(self, name):
        if name in PREFIXES:
            return getattr(self, name)()
        if len(self.plugins) == 1:
            return _plugin("detector", DETECTORS.get(name), self["detector"])
        return _plugin(f"{name} under detector", DETECTORS.get(name), self["detector"].get(name, {}))

    def lacosmic(self):
        """The L.A.Cosmic detector of the la_ keys."""
        return self._in_passes(
            "la_", LACosmicDetector, ("psffwhm",), ("sigclip", "sigfrac", "objlim", "satlevel", "niter")
        )

    def pycosmic(self):
        """The PyCosmic detector of the pc_ keys."""
        paired = ("sigma_det", "rlim", "iterations", "replace_error")
        return self._in_passes("pc_", PyCosmicDetector, ("fwhm_gauss", "replace_box"), paired)

    def deepcr(self):
        """The deepCR detector of the dc_ keys."""
        return DeepCRDetector(model=self["dc_mask"], threshold=self["dc_threshold"])

    def conn(self):
        """The Cosmic-CoNN detector of the nn_ keys; a file is sought beside the parameter file."""
        model = self["nn_model"]
        beside = self.path.parent / model
        return CosmicCoNNDetector(model=str(beside) if beside.is_file() else model, threshold=self["nn_threshold"])

    def _in_passes(self, prefix, detector, sizes, paired):
        """A detector of the keys with a prefix, in two passes where a value is a pair.

        ``sizes`` are its parameters that are given as _x and _y; ``paired`` are
        those it takes in pairs itself.
        """
        names = [name for name in detector.parameters() if f"{prefix}{name}" in self.values]
        parameters = {name: self[prefix + name] for name in names}
        parameters |= {f"{name}_{axis}": self[f"{prefix}{name}_{axis}"] for name in sizes for axis in "xy"}

        def make(given):
            both = {name: (given.pop(f"{name}_x"), given.pop(f"{name}_y")) for name in sizes}
            return detector(**given, **both)

        high, low = split_pairs(**parameters)
        if all(high[name] == low[name] for name in parameters if name not in paired):
            return make(high | {name: parameters[name] for name in paired})
        return TwoPassDetector(make(high), make(low))

    def method(self):
        """The method that decides; M.M.Cosmic takes the boundary that the stack has fitted."""
        name = self.method_name
        if name not in (None, "mmcosmic"):
            key = "joint" if name == "joint" else "method"
            return _plugin(key, METHODS.get(name), self[key])
        return MMCosmic(
            boundary="auto" if name else None,
            threshold_rnoise=self["mm_threshold_rnoise"],
            minimum_max2d_rnoise=self["mm_minimum_max2d_rnoise"],
            mm_dilation=self["mm_dilation"],
        )

    def boundary(self):
        """The boundary model."""
        points = self["mm_fixed_points_in_boundary"]
        if self["mm_boundary_fit"] == "piecewise":
            return PiecewiseBoundary(points)
        if self["mm_boundary_fit"] != "spline":
            return self._plugin_boundary(points)
        return SplineBoundary(
            n_knots=self["mm_knots_splfit"],
            n_extensions=self["mm_niter_boundary_extension"],
            extension_weight=self["mm_weight_boundary_extension"],
            fixed_points=points,
        )

    def _plugin_boundary(self, points):
        kind = BOUNDARIES.get(self["mm_boundary_fit"])
        given = dict(self["boundary"])
        if points and "fixed_points" not in kind.parameters():
            raise ConfigurationError(f"mm_fixed_points_in_boundary must be empty for {kind.__name__}; got {points}")
        return _plugin("boundary", kind, given | ({"fixed_points": points} if points else {}))

    def diagram(self):
        """Arguments of `crstack.CRStack.mm_diagram`."""
        return {
            "n_simulations": self["mm_nsimulations"],
            "seed": self["mm_seed"],
            "min_neighbors": self["mm_hist2d_min_neighbors"],
            "x_min": self["mm_xdiag_min"],
            "x_max": self["mm_xdiag_max"],
            "y_max": self["mm_ydiag_max"],
            "y_floor": max((point[1] for point in self["mm_fixed_points_in_boundary"]), default=0.0),
            "nbinom_shape": self["mm_nbinom_shape"] if self["mm_photon_distribution"] == "nbinom" else None,
            "synthetic": self["mm_synthetic"],
        }

    def rules(self):
        """The `crstack.masks.MaskRules` that every mask obeys."""
        return MaskRules(
            dilation=self["dilation"],
            skip_regions=self["regions_to_be_skipped"],
            force_pixels=self["pixels_to_be_flagged_as_cr"],
            ignore_pixels=self["pixels_to_be_ignored_as_cr"],
            local_medians=self["pixels_to_be_replaced_by_local_median"],
        )


def _plugin(key, kind, given):
    """A plug-in with the parameters that the file gives it."""
    known = kind.parameters()
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            names = ", ".join(known) or "none"
            raise ConfigurationError(f"{key} must have parameters of {kind.__name__} ({names}); got {name}{hint}")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{key} must fit {kind.__name__}; got {dict(given)} ({error})") from error


def _in_words(value):
    if value is None or value == ():
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_in_words(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return f"[{', '.join(_in_words(one) for one in value)}]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def read_configuration(path):
    """Read and check a parameter file.

    Parameters
    ----------
    path : str or path-like
        YAML file of numina-crmasks, also as in its early manual, or an observation
        result of MEGARA of the mode MegaraCrDetection.

    Returns
    -------
    configuration : Configuration

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or a key or a value is wrong or asks for
        something that is not built yet.
    """
    path = Path(path)
    top = dict(as_mapping(load_document(path), str(path)))
    requirements = top.pop("requirements", None)
    requirements = {} if requirements is None else as_mapping(requirements, "requirements")
    values = {}
    try:
        top, requirements = as_parameter_file(top, requirements)
        values.update(checked_values(top, TOP, REQUIREMENTS, ("requirements",)))
        values.update(checked_values(requirements, REQUIREMENTS, TOP))
        configuration = Configuration(path, MappingProxyType(values))
        check_together(configuration)
    except ConfigurationError:
        raise
    except InputError as error:
        raise ConfigurationError(str(error)) from None
    return configuration
