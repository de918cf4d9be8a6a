"""Consistency of the keys of a parameter file."""

from collections.abc import Mapping

from crstack.exceptions import ConfigurationError

__all__ = ["check_detectors", "check_together"]


def check_together(values):
    """Raise `ConfigurationError` if values of several keys contradict each other."""
    crmethod, n_images = values["crmethod"], len(values["images"])
    k = values["mm_cr_coincidences"]
    if n_images == 2 and not crmethod.is_joint:
        raise ConfigurationError(f"images must be three or more for crmethod {crmethod}; got 2: use crmethod joint")
    if k >= n_images > 2:
        raise ConfigurationError(f"mm_cr_coincidences must be less than the number of images, {n_images}; got {k}")
    _check_equalization(values, n_images)
    if values["differences"] == "auto" and crmethod.method is None:
        raise ConfigurationError(f"differences must be left out for crmethod {crmethod}, which compares no exposures")
    _check_votes(values)
    if values["method"] and (crmethod.method is None or crmethod.uses_diagram or crmethod.is_joint):
        raise ConfigurationError(f"method must be left out for crmethod {crmethod}, whose parameters are other keys")
    if not crmethod.detectors and values["use_auxmedian"]:
        raise ConfigurationError(f"use_auxmedian must be False for crmethod {crmethod}, which cleans no median")
    if crmethod.uses_diagram and not crmethod.detectors and values["mm_synthetic"] == "single":
        raise ConfigurationError(f"mm_synthetic must be median for crmethod {crmethod}, which cleans no exposure")
    _check_boundary(values)
    if values["detector"] and not crmethod.plugins:
        names = " and ".join(crmethod.detectors) or crmethod.method
        raise ConfigurationError(f"detector must be left out for {names}, whose parameters are keys")


def _check_boundary(values):
    """Raise `ConfigurationError` if keys of the boundary contradict each other."""
    kind, points = values["mm_boundary_fit"], values["mm_fixed_points_in_boundary"]
    if kind == "piecewise" and len(points) < 2:
        raise ConfigurationError(
            "mm_fixed_points_in_boundary must hold two or more points where mm_boundary_fit is piecewise; "
            f"got {len(points)}"
        )
    if values["boundary"] and kind in ("spline", "piecewise"):
        raise ConfigurationError(f"boundary must be left out for {kind}, whose parameters are keys")
    low, high = values["mm_xdiag_min"], values["mm_xdiag_max"]
    if low is not None and high is not None and low >= high:
        raise ConfigurationError(f"mm_xdiag_min must be less than mm_xdiag_max, {high:g}; got {low:g}")


def _check_votes(values):
    """Check the keys of several detectors."""
    crmethod, vote = values["crmethod"], values["vote"]
    n_detectors = len(crmethod.detectors)
    if n_detectors < 2 and vote != "any":
        raise ConfigurationError(f"vote must be left out where crmethod does not name several detectors; got {vote}")
    if not isinstance(vote, str) and vote > n_detectors:
        raise ConfigurationError(f"vote must be at most {n_detectors}, the detectors of crmethod; got {vote}")
    if len(crmethod.plugins) < 2:
        return
    for name, parameters in values["detector"].items():
        if name not in crmethod.plugins or not isinstance(parameters, Mapping):
            wanted = " and ".join(crmethod.plugins)
            raise ConfigurationError(f"detector must hold the parameters of {wanted}, each by name; got {name}")


def _check_equalization(values, n_images):
    """Raise `ConfigurationError` if keys of the differences contradict each other or the number of images."""
    factors, offsets = values["flux_factor"], values["mm_xy_offsets"]
    if isinstance(factors, tuple) and len(factors) != n_images:
        raise ConfigurationError(
            f"flux_factor must be one number or {n_images}, one for each image; got {len(factors)}"
        )
    if factors == "local" and values["apply_flux_factor_to"] == "original":
        raise ConfigurationError("apply_flux_factor_to must be simulated where flux_factor is local; got original")
    if offsets and len(offsets) != n_images:
        raise ConfigurationError(f"mm_xy_offsets must be {n_images} pairs, one for each image; got {len(offsets)}")
    if offsets and values["mm_crosscorr_region"]:
        raise ConfigurationError("mm_xy_offsets must not be given beside mm_crosscorr_region, which measures them")


def check_detectors(values, detector):
    """Raise `ConfigurationError` if cleaned images are needed from a detector that does not clean."""
    if detector is None or detector.cleans:
        return
    crmethod = values["crmethod"]
    if values["use_auxmedian"]:
        raise ConfigurationError(f"use_auxmedian must be False for crmethod {crmethod}, which cleans no median")
    if crmethod.uses_diagram and values["mm_synthetic"] == "single":
        raise ConfigurationError(f"mm_synthetic must be median for crmethod {crmethod}, which cleans no exposure")
