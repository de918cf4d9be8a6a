"""What several keys of a parameter file say together."""

from collections.abc import Mapping

from crstack.exceptions import ConfigurationError, InputError
from crstack.mmcosmic.diagram import DiagramSettings

__all__ = ["check_together"]


def check_together(configuration):
    """Check what several keys say together, and what the parts have to say."""
    n_images = len(configuration["images"])
    k = configuration["mm_cr_coincidences"]
    if k >= n_images:
        raise ConfigurationError(f"mm_cr_coincidences must be less than the number of images, {n_images}; got {k}")
    _check_equalization(configuration, n_images)
    _check_votes(configuration)
    if configuration["method"] and configuration.method_name in (None, "mmcosmic", "joint"):
        raise ConfigurationError(f"method must be left out for crmethod {configuration['crmethod']}")
    if not configuration.auxiliaries and configuration["use_auxmedian"]:
        method = configuration["crmethod"]
        raise ConfigurationError(f"use_auxmedian must be False for crmethod {method}, which cleans no median")
    if configuration["crmethod"] == "mmcosmic" and configuration["mm_synthetic"] == "single":
        raise ConfigurationError("mm_synthetic must be median for crmethod mmcosmic, which cleans no exposure")
    if configuration["mm_boundary_fit"] == "piecewise" and len(configuration["mm_fixed_points_in_boundary"]) < 2:
        raise ConfigurationError(
            "mm_fixed_points_in_boundary must hold two or more points where mm_boundary_fit is piecewise; "
            f"got {len(configuration['mm_fixed_points_in_boundary'])}"
        )
    if configuration["detector"] and not configuration.plugins:
        names = " and ".join(configuration.auxiliaries) or configuration["crmethod"]
        raise ConfigurationError(f"detector must be left out for {names}, whose parameters are keys")
    if configuration["boundary"] and configuration["mm_boundary_fit"] in ("spline", "piecewise"):
        kind = configuration["mm_boundary_fit"]
        raise ConfigurationError(f"boundary must be left out for {kind}, whose parameters are keys")
    parts = (
        (configuration.method_name or "mm_ keys", configuration.method),
        ("la_ keys", configuration.lacosmic),
        ("pc_ keys", configuration.pycosmic),
        ("mm_fixed_points_in_boundary", configuration.boundary),
        ("mm_ keys", lambda: DiagramSettings(**_checkable(configuration.diagram()))),
        ("pixels and regions", configuration.rules),
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
