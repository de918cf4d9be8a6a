"""From the YAML file to a checked configuration, and to the parts it asks for."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import astropy.units as u
import yaml

from crstack._registry import BOUNDARIES, DETECTORS
from crstack.boundaries import PiecewiseBoundary, SplineBoundary
from crstack.cli.keys import REQUIRED, REQUIREMENTS, TOP
from crstack.cli.legacy import as_parameter_file, choose_document
from crstack.detectors import (
    CosmicCoNNDetector,
    DeepCRDetector,
    LACosmicDetector,
    PyCosmicDetector,
    TwoPassDetector,
    VotingDetector,
)
from crstack.detectors.two_pass import split_pairs
from crstack.diagram import DiagramSettings
from crstack.exceptions import ConfigurationError, InputError
from crstack.joint import JointPosterior
from crstack.masks import MaskRules

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


class _Loader(yaml.SafeLoader):
    """Safe, and a key given twice is an error."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise ConfigurationError(
                    f"key {key.value} must be given once; got it again in line {key.start_mark.line + 1}"
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


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
        names = self["crmethod"].removeprefix("mm_").removeprefix("joint_")
        return () if names in ("mmcosmic", "joint") else tuple(names.split("+"))

    @property
    def is_joint(self):
        """Whether one decision is made for all exposures, in place of M.M.Cosmic."""
        return self["crmethod"].split("_")[0] == "joint"

    @property
    def uses_diagram(self):
        """Whether M.M.Cosmic takes part."""
        return self["crmethod"].startswith("mm")

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
        if name.startswith("mm_"):
            return self.uses_diagram or name == "mm_cr_coincidences"
        if name[:3] in PREFIXES.values():
            return name[:3] in [PREFIXES.get(one) for one in self.auxiliaries]
        if name == "vote":
            return len(self.auxiliaries) > 1
        if name == "joint":
            return self.is_joint and len(self[name]) > 0
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
        _check_together(changed)
        return changed

    # the parts

    @staticmethod
    def noise(numbers, unit):
        """Arguments of `crstack.CRStack`: gain, read noise and bias.

        Parameters
        ----------
        numbers : `~crstack.cli.maps.DetectorNumbers`
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

        Only those that change something: no flux factors of 1, and nothing that only a
        simulation uses where none is made.

        Returns
        -------
        arguments : dict
            Of ``flux_factors``, ``flux_regions``, ``apply_flux_factors_to``,
            ``offsets``, ``crosscorr_region`` and ``response``.
        """
        arguments = self._flux_factors()
        if self.uses_diagram:
            if self["mm_xy_offsets"]:
                arguments["offsets"] = list(self["mm_xy_offsets"])
            if self["mm_crosscorr_region"]:
                arguments["crosscorr_region"] = self["mm_crosscorr_region"]
        return arguments

    def _flux_factors(self):
        factors, target = self["flux_factor"], self["apply_flux_factor_to"]
        if not self.uses_diagram and target == "simulated":
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
        """The joint decision, or None."""
        return _plugin("joint", JointPosterior, self["joint"]) if self.is_joint else None

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
        """Arguments of `crstack.CRStack.detect` that say what is masked."""
        return {
            "threshold_rnoise": self["mm_threshold_rnoise"],
            "minimum_max2d_rnoise": self["mm_minimum_max2d_rnoise"],
            "mm_dilation": self["mm_dilation"],
            "dilation": self["dilation"],
            "skip_regions": self["regions_to_be_skipped"],
            "force_pixels": self["pixels_to_be_flagged_as_cr"],
            "ignore_pixels": self["pixels_to_be_ignored_as_cr"],
            "local_medians": self["pixels_to_be_replaced_by_local_median"],
        }


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
    top = dict(_mapping(_load(path), str(path)))
    requirements = top.pop("requirements", None)
    requirements = {} if requirements is None else _mapping(requirements, "requirements")
    values = {}
    try:
        top, requirements = as_parameter_file(top, requirements)
        values.update(_checked(top, TOP, REQUIREMENTS, ("requirements",)))
        values.update(_checked(requirements, REQUIREMENTS, TOP))
        configuration = Configuration(path, MappingProxyType(values))
        _check_together(configuration)
    except ConfigurationError:
        raise
    except InputError as error:
        raise ConfigurationError(str(error)) from None
    return configuration


def _load(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return choose_document(yaml.load_all(stream, _Loader), path)
    except ConfigurationError:  # which is a ValueError too
        raise
    except OSError as error:
        raise ConfigurationError(f"parameter file must be readable; got {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"parameter file must be text in UTF-8; got {path}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigurationError(f"parameter file must be YAML; got {problem}{where} of {path}") from None
    except ValueError as error:  # such as a date that is none
        raise ConfigurationError(f"parameter file must be YAML; got {error} in {path}") from None


def _mapping(loaded, name):
    if loaded is None:
        raise ConfigurationError(f"{name} must hold keys and values; got nothing")
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{name} must hold keys and values; got a {type(loaded).__name__}")
    return loaded


def _checked(given, keys, others, more=()):
    """Checked values of the keys of one level; ``others`` are the keys of the other."""
    known = [key.name for key in keys]
    for name in given:
        if name not in known:
            raise ConfigurationError(_unknown(str(name), [*known, *more], [key.name for key in others]))
    values = {}
    for key in keys:
        value = given.get(key.name, key.default)
        if value is REQUIRED or (value is None and key.default is REQUIRED):
            raise ConfigurationError(f"{key.name} must be given; got nothing")
        values[key.name] = key.check(key.name, value)
    return values


def _unknown(name, known, others):
    if name in others:
        place = "under requirements" if "images" in known else "at the top level, not under requirements"
        return f"{name} must stand {place}"
    near = difflib.get_close_matches(name, [*known, *others], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"key must be one that crstack knows; got {name}{hint}"


def _check_together(configuration):
    """Check what several keys say together, and what the parts have to say."""
    n_images = len(configuration["images"])
    k = configuration["mm_cr_coincidences"]
    if k >= n_images:
        raise ConfigurationError(f"mm_cr_coincidences must be less than the number of images, {n_images}; got {k}")
    _check_equalization(configuration, n_images)
    _check_votes(configuration)
    if not configuration.auxiliaries and configuration["use_auxmedian"]:
        raise ConfigurationError("use_auxmedian must be False for crmethod mmcosmic, which cleans no median")
    if configuration["crmethod"] == "mmcosmic" and configuration["mm_synthetic"] == "single":
        raise ConfigurationError("mm_synthetic must be median for crmethod mmcosmic, which cleans no exposure")
    if configuration["mm_boundary_fit"] == "piecewise" and len(configuration["mm_fixed_points_in_boundary"]) < 2:
        raise ConfigurationError(
            "mm_fixed_points_in_boundary must hold two or more points where mm_boundary_fit is piecewise; "
            f"got {len(configuration['mm_fixed_points_in_boundary'])}"
        )
    if configuration["detector"] and not configuration.plugins:
        names = " and ".join(configuration.auxiliaries) or "mmcosmic"
        raise ConfigurationError(f"detector must be left out for {names}, whose parameters are keys")
    if configuration["boundary"] and configuration["mm_boundary_fit"] in ("spline", "piecewise"):
        kind = configuration["mm_boundary_fit"]
        raise ConfigurationError(f"boundary must be left out for {kind}, whose parameters are keys")
    parts = (
        ("joint", configuration.method),
        ("la_ keys", configuration.lacosmic),
        ("pc_ keys", configuration.pycosmic),
        ("mm_fixed_points_in_boundary", configuration.boundary),
        ("mm_ keys", lambda: DiagramSettings(**_checkable(configuration.diagram()))),
        ("mm_ keys", lambda: MaskRules(**configuration.rules())),
    )
    for keys, make in parts:
        try:
            make()
        except InputError as error:
            raise ConfigurationError(f"{keys}: {error}") from None
    _check_detector(configuration)


def _check_votes(configuration):
    """Check what is said of several detectors."""
    names, vote, given = configuration.auxiliaries, configuration["vote"], configuration["detector"]
    if len(names) < 2 and vote != "any":
        raise ConfigurationError(f"vote must be left out where crmethod does not name several detectors; got {vote}")
    if not isinstance(vote, str) and vote > len(names):
        raise ConfigurationError(f"vote must be at most {len(names)}, the detectors of crmethod; got {vote}")
    if len(configuration.plugins) < 2:
        return
    for name, parameters in given.items():
        if name not in configuration.plugins or not isinstance(parameters, Mapping):
            wanted = " and ".join(configuration.plugins)
            raise ConfigurationError(f"detector must hold the parameters of {wanted}, each by name; got {name}")


def _checkable(diagram):
    """Settings of the diagram with a number where one is still to be found."""
    return diagram | {"nbinom_shape": None} if diagram["nbinom_shape"] == "auto" else diagram


def _check_equalization(configuration, n_images):
    factors, offsets = configuration["flux_factor"], configuration["mm_xy_offsets"]
    if isinstance(factors, tuple) and len(factors) != n_images:
        raise ConfigurationError(f"flux_factor must be one number or {n_images}, one an image; got {len(factors)}")
    if factors == "local" and configuration["apply_flux_factor_to"] == "original":
        raise ConfigurationError("apply_flux_factor_to must be simulated where flux_factor is local; got original")
    if offsets and len(offsets) != n_images:
        raise ConfigurationError(f"mm_xy_offsets must be {n_images} pairs, one an image; got {len(offsets)}")
    if offsets and configuration["mm_crosscorr_region"]:
        raise ConfigurationError("mm_xy_offsets must not be given beside mm_crosscorr_region, which measures them")


def _check_detector(configuration):
    """Make the detector that was asked for, and check what is asked of it."""
    detector = configuration.detector()
    if detector is None or detector.cleans:
        return
    method = configuration["crmethod"]
    if configuration["use_auxmedian"]:
        raise ConfigurationError(f"use_auxmedian must be False for crmethod {method}, which cleans no median")
    if configuration.uses_diagram and configuration["mm_synthetic"] == "single":
        raise ConfigurationError(f"mm_synthetic must be median for crmethod {method}, which cleans no exposure")
