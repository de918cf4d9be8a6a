"""A checked parameter file: its values, the objects made from them, and its settings as text."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import astropy.units as u

from crstack.config.consistency import check_detectors, check_together
from crstack.config.crmethod import OWN_KEYS
from crstack.config.document import as_mapping, load_documents
from crstack.config.image_names import matching_images
from crstack.config.keys import REQUIREMENTS, TOP, check_value, checked_values
from crstack.config.legacy import as_parameter_file, choose_document
from crstack.config.parts import Parts, make_parts
from crstack.exceptions import ConfigurationError, InputError

__all__ = ["Configuration", "configuration_of", "read_configuration"]

#: keys that have an effect only with a certain value of another key
ONLY_WITH = {
    "mm_nbinom_shape": ("mm_photon_distribution", "nbinom"),
    "mm_knots_splfit": ("mm_boundary_fit", "spline"),
    "mm_niter_boundary_extension": ("mm_boundary_fit", "spline"),
    "mm_weight_boundary_extension": ("mm_boundary_fit", "spline"),
    "la_psfbeta": ("la_psfmodel", "moffat"),
    "flux_factor_regions": ("flux_factor", "auto"),
}

#: keys that have an effect when masks are read from a file
WITH_MASKS = (
    *(
        "extnum",
        "gain",
        "rnoise",
        "bias",
        "saturation",
        "trim",
        "dq_ext",
        "err_ext",
        "bits",
        "use_auxmedian",
        "variance",
        "outputs",
        "compression",
    ),
    *("flux_factor", "flux_factor_regions", "apply_flux_factor_to", "mm_cr_coincidences"),
)

#: largest number of items of a list in HISTORY and the log
MOST_SHOWN = 100


@dataclass(frozen=True)
class Configuration:
    """A parameter file, checked; ``configuration["mm_seed"]`` is the value of a key.

    Attributes
    ----------
    path : `~pathlib.Path`
        The file.
    values : mapping
        Value by key, of both levels together, defaults filled in.
    parts : `~crstack.config.parts.Parts`
        Objects for the library, made from the values.
    """

    path: Path
    values: MappingProxyType
    parts: Parts

    @classmethod
    def of(cls, path, values):
        """The configuration of checked values by key.

        Raises
        ------
        ConfigurationError
            If several keys contradict each other, or a part refuses its values.
        """
        try:
            check_together(values)
            parts = make_parts(values, path.parent)
            check_detectors(values, parts.detector)
        except ConfigurationError:
            raise
        except InputError as error:
            raise ConfigurationError(str(error)) from None
        return cls(path, MappingProxyType(values), parts)

    def __getitem__(self, key):
        return self.values[key]

    @property
    def crmethod(self):
        """The method and its detectors: `~crstack.config.crmethod.CRMethod`."""
        return self["crmethod"]

    @property
    def verbose(self):
        """Whether parameters and counts of the auxiliary detectors are logged: if a ``_verbose`` key of one is
        True."""
        return any(name not in OWN_KEYS or self[f"{OWN_KEYS[name]}verbose"] for name in self.crmethod.detectors)

    def with_values(self, **values):
        """The same configuration with other values, in the terms of the file.

        Raises
        ------
        ConfigurationError
            If a value is wrong, or keys contradict each other.
        """
        checked = {name: check_value(name, value) for name, value in values.items()}
        return self.of(self.path, dict(self.values) | checked)

    def noise(self, numbers, unit):
        """Arguments of `crstack.CRStack`: gain, read noise, bias and saturation.

        Parameters
        ----------
        numbers : `~crstack.config.detector_images.DetectorNumbers`
            Read from the parameter file and the files it names.
        unit : `~astropy.units.Unit`
            Of the exposures.
        """
        units = {"gain": u.electron / u.adu, "rnoise": u.adu, "bias": u.adu, "saturation": u.adu}
        given = {}
        for name, one in units.items():
            value = getattr(numbers, name)
            # keywords and sections are read with the exposures
            given["readnoise" if name == "rnoise" else name] = (
                value if value is None or isinstance(value, str) else value * one
            )
        return given | {"unit": unit}

    def settings(self, finding=True):
        """The keys that have an effect for the method, with their values as text.

        Parameters
        ----------
        finding : bool, optional
            False if masks are read from a file.

        Returns
        -------
        settings : list of (str, str)
        """
        names = [key.name for key in (*TOP, *REQUIREMENTS) if key.used and key.name != "images"]
        wanted = [name for name in names if self._matters(name) and (finding or name in WITH_MASKS)]
        return [(name, _in_words(self[name])) for name in wanted]

    def _matters(self, name):
        """Whether a key has an effect on the results of these settings."""
        crmethod = self.crmethod
        if name in ONLY_WITH:
            other, value = ONLY_WITH[name]
            if self[other] != value:
                return False
        if name == "apply_flux_factor_to":
            return "flux_factors" in self.parts.equalization
        if name in ("mm_xy_offsets", "mm_crosscorr_region"):
            return crmethod.method is not None
        if name.startswith("mm_"):
            return crmethod.uses_diagram or name == "mm_cr_coincidences"
        if name[:3] in OWN_KEYS.values():
            return name[:3] in crmethod.prefixes
        if name == "mem_limit":
            return False  # it does not change results
        if name == "vote":
            return len(crmethod.detectors) > 1
        if name == "joint":
            return crmethod.is_joint and len(self[name]) > 0
        if name in (
            "detector",
            "boundary",
            "method",
            "outputs",
            "saturation",
            "trim",
            "dq_ext",
            "err_ext",
            "bits",
            "differences",
            "max_fraction",
            "mediancr_pixels_to_be_dropped",
        ):
            return bool(self[name])
        return True


def _in_words(value):
    """A value as it is written in a parameter file."""
    if value is None or value == ():
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_in_words(one)}" for name, one in value.items())
    if isinstance(value, tuple) and len(value) > MOST_SHOWN:
        digest = hashlib.sha256(repr(value).encode()).hexdigest()[:16]
        shown = ", ".join(_in_words(one) for one in value[:MOST_SHOWN])
        return f"[{shown}, ...] ({len(value)} items, sha256 {digest})"
    if isinstance(value, tuple):
        return f"[{', '.join(_in_words(one) for one in value)}]"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def read_configuration(path):
    """Read and check a parameter file.

    The steps are: documents of the file, old names, keys with checked values, parts.

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
        If the file cannot be read, or a key or a value is wrong.
    """
    path = Path(path)
    return configuration_of(as_mapping(choose_document(load_documents(path), path), str(path)), path)


def configuration_of(document, path):
    """Check the content of a parameter file; ``path`` is its present or future path.

    Raises
    ------
    ConfigurationError
        If a key or a value is wrong.
    """
    top = dict(document)
    requirements = top.pop("requirements", None)
    requirements = {} if requirements is None else as_mapping(requirements, "requirements")
    top, requirements = as_parameter_file(top, requirements)
    if "images" in top:
        top["images"] = matching_images(top["images"], path.parent)
    return Configuration.of(path, checked_values(top, requirements))
