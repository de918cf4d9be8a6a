"""Every key of the manual's example file reaches its own argument of the library, or is tested elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint

import pytest
import yaml
from support.parameter_files import EXAMPLE, write_parameters

from crstack import Detector
from crstack.config.configuration import read_configuration
from crstack.config.keys import REQUIREMENTS, TOP
from crstack.detectors import _networks
from crstack.methods import Method
from crstack.utils import registry

LACOSMIC, PYCOSMIC = {"crmethod": "mm_lacosmic"}, {"crmethod": "mm_pycosmic"}
DEEPCR, CONN = {"crmethod": "mm_deepcr"}, {"crmethod": "mm_conn"}
POINTS = {"mm_fixed_points_in_boundary": [[1, 2], [3, 4]]}

#: for each key another value than in the example, the other keys that it needs to have an effect, and its effect:
#: only these arguments change, and to these values
OTHER = {
    "crmethod": ("mm_lacosmic", {}, {"detector": "LACosmicDetector"}),
    # the method is that of the reference program
    "flux_factor": ("auto", {}, {"equalization.flux_factors": "auto", "equalization.flux_method": "ratio"}),
    "flux_factor_regions": (
        [[1, 8, 2, 9]],
        {"flux_factor": "auto"},
        {"equalization.flux_regions": [(1, 8, 2, 9)]},
    ),
    "apply_flux_factor_to": (
        "original",
        {"flux_factor": [0.8, 1.0, 1.2]},
        {"equalization.apply_flux_factors_to": "original"},
    ),
    "dilation": (1, {}, {"rules.dilation": 1}),
    "regions_to_be_skipped": ([[1, 8, 2, 9]], {}, {"rules.skip_regions": ((1, 8, 2, 9),)}),
    "pixels_to_be_flagged_as_cr": ([[1, 9]], {}, {"rules.force_pixels": ((1, 9),)}),
    "pixels_to_be_ignored_as_cr": ([[1, 9]], {}, {"rules.ignore_pixels": ((1, 9),)}),
    "pixels_to_be_replaced_by_local_median": ([[4, 5, 3, 7]], {}, {"rules.local_medians": ((4, 5, 3, 7),)}),
    "la_sigclip": ([6.0, 4.0], LACOSMIC, {"detector.sigclip": (6.0, 4.0)}),
    "la_sigfrac": ([0.4, 0.2], LACOSMIC, {"detector.sigfrac": (0.4, 0.2)}),
    "la_objlim": ([4.0, 3.0], LACOSMIC, {"detector.objlim": (4.0, 3.0)}),
    "la_satlevel": (5e4, LACOSMIC, {"detector.satlevel": 5e4}),
    "la_niter": (2, LACOSMIC, {"detector.niter": 2}),
    "la_sepmed": (False, LACOSMIC, {"detector.sepmed": False}),
    "la_cleantype": ("idw", LACOSMIC, {"detector.cleantype": "idw"}),
    "la_fsmode": ("median", LACOSMIC, {"detector.fsmode": "median"}),
    "la_psfmodel": ("moffat", LACOSMIC, {"detector.psfmodel": "moffat"}),
    "la_psffwhm_x": (3.0, LACOSMIC, {"detector.psffwhm": (3.0, 2.5)}),
    "la_psffwhm_y": (3.0, LACOSMIC, {"detector.psffwhm": (2.5, 3.0)}),
    "la_psfsize": (7, LACOSMIC, {"detector.psfsize": 7}),
    "la_psfbeta": (3.0, LACOSMIC | {"la_psfmodel": "moffat"}, {"detector.psfbeta": 3.0}),
    "la_verbose": (False, LACOSMIC, {"verbose": False}),
    "la_padwidth": (5, LACOSMIC, {"detector.padwidth": 5}),
    "pc_sigma_det": ([6.0, 4.0], PYCOSMIC, {"detector.sigma_det": (6.0, 4.0)}),
    "pc_rlim": ([2.0, 1.0], PYCOSMIC, {"detector.rlim": (2.0, 1.0)}),
    "pc_iterations": (2, PYCOSMIC, {"detector.iterations": 2}),
    "pc_fwhm_gauss_x": (3.0, PYCOSMIC, {"detector.fwhm_gauss": (3.0, 2.5)}),
    "pc_fwhm_gauss_y": (3.0, PYCOSMIC, {"detector.fwhm_gauss": (2.5, 3.0)}),
    "pc_replace_box_x": (7, PYCOSMIC, {"detector.replace_box": (7, 5)}),
    "pc_replace_box_y": (7, PYCOSMIC, {"detector.replace_box": (5, 7)}),
    "pc_replace_error": (1e5, PYCOSMIC, {"detector.replace_error": 1e5}),
    "pc_increase_radius": (1, PYCOSMIC, {"detector.increase_radius": 1}),
    "pc_verbose": (False, PYCOSMIC, {"verbose": False}),
    "dc_mask": ("WFC3-UVIS", DEEPCR, {"detector.model": "WFC3-UVIS"}),
    "dc_threshold": (0.6, DEEPCR, {"detector.threshold": 0.6}),
    "dc_verbose": (False, DEEPCR, {"verbose": False}),
    "nn_model": ("NRES", CONN, {"detector.model": "NRES"}),
    "nn_threshold": (0.6, CONN, {"detector.threshold": 0.6}),
    "nn_verbose": (False, CONN, {"verbose": False}),
    "mm_photon_distribution": ("nbinom", {}, {"diagram.nbinom_shape": 10.0}),
    "mm_nbinom_shape": (200, {"mm_photon_distribution": "nbinom"}, {"diagram.nbinom_shape": 200.0}),
    "mm_synthetic": ("single", {}, {"diagram.synthetic": "single"}),
    "mm_hist2d_min_neighbors": (2, {}, {"diagram.min_neighbors": 2}),
    "mm_ydiag_max": (500.0, {}, {"diagram.y_max": 500.0}),
    "mm_dilation": (2, {}, {"method.mm_dilation": 2}),
    "mm_xy_offsets": (
        [[0.1, 0.0], [0.0, 0.0], [0.0, 0.2]],
        {},
        {"equalization.offsets": [(0.1, 0.0), (0.0, 0.0), (0.0, 0.2)]},
    ),
    "mm_crosscorr_region": ([1, 30, 2, 31], {}, {"equalization.crosscorr_region": (1, 30, 2, 31)}),
    "mm_boundary_fit": ("piecewise", POINTS, {"boundary": "PiecewiseBoundary"}),
    "mm_knots_splfit": (6, {}, {"boundary.n_knots": 6}),
    "mm_fixed_points_in_boundary": (
        [[1, 2, 3]],
        {},
        # the diagram reaches the point
        {"boundary.fixed_points": ((1.0, 2.0, 3.0),), "diagram.y_floor": 2.0},
    ),
    "mm_nsimulations": (7, {}, {"diagram.n_simulations": 7}),
    "mm_niter_boundary_extension": (3, {}, {"boundary.n_extensions": 3}),
    "mm_weight_boundary_extension": (3.0, {}, {"boundary.extension_weight": 3.0}),
    "mm_threshold_rnoise": (4.0, {}, {"method.threshold_rnoise": 4.0}),
    "mm_minimum_max2d_rnoise": (6.0, {}, {"method.minimum_max2d_rnoise": 6.0}),
    "mm_seed": (1, {}, {"diagram.seed": 1}),
}
#: the same of keys that only crstack knows
OWN = {
    "vote": ("all", {"crmethod": "mm_lacosmic+pycosmic"}, {"detector.vote": "all"}),
    "mm_xdiag_min": (-5.0, {}, {"diagram.x_min": -5.0}),
    "mm_xdiag_max": (90.0, {}, {"diagram.x_max": 90.0}),
    "differences": ("given", {"crmethod": "joint_lacosmic"}, {"equalization.differences": None}),
    "joint": ({"measure": False}, {"crmethod": "joint_lacosmic"}, {"method.measure": False}),
    "boundary": (
        {"n_draws": 20_000},
        {"mm_boundary_fit": "calibrated"},
        {"boundary.n_draws": 20_000},
    ),
}
#: keys that the tests of runs, figures and the interactive session cover
ELSEWHERE = {
    *("images", "extnum", "gain", "rnoise", "bias", "mm_cr_coincidences"),
    *("use_auxmedian", "interactive", "verify_cr", "semiwindow", "color_scale", "maxplots"),
    "la_gain_apply",  # has no effect: products are in the unit of the exposures
}

#: the values that are used as they are
AS_THEY_ARE = {
    "dq_ext",
    "err_ext",
    "bits",
    "saturation",
    "trim",
    "max_fraction",
    "mem_limit",
    "variance",
    "outputs",
    "compression",
}
AS_THEY_ARE.add("mediancr_pixels_to_be_dropped")
#: parameters of plug-ins
OF_PLUGINS = {"detector", "method"}


def arguments_of(path, **keys):
    """Arguments of the library that a parameter file sets: values by the names of parts and arguments."""
    configuration = read_configuration(write_parameters(path, **keys))
    asked = {"verbose": configuration.verbose}
    for part in fields(configuration.parts):
        value = getattr(configuration.parts, part.name)
        if isinstance(value, Mapping):
            asked |= {f"{part.name}.{name}": one for name, one in value.items()}
        else:
            asked[part.name] = type(value).__name__
            asked |= {f"{part.name}.{one.name}": getattr(value, one.name) for one in fields(value)}
    return asked


def test_no_key_is_left_out():
    example = yaml.safe_load(EXAMPLE.read_text())
    keys = {*example, *example["requirements"]} - {"requirements"}
    assert keys == {*OTHER, *ELSEWHERE}
    known = [key.name for key in (*TOP, *REQUIREMENTS)]
    assert sorted(known) == sorted([*OTHER, *OWN, *ELSEWHERE, *AS_THEY_ARE, *OF_PLUGINS])


@pytest.mark.parametrize("key", [*OTHER, *OWN])
def test_every_key_reaches_its_own_argument(key, tmp_path, monkeypatch):
    # a detector is made, not used: its network need not be installed
    monkeypatch.setattr(_networks, "find_spec", lambda name: name)
    value, others, expected = (OTHER | OWN)[key]
    before = arguments_of(tmp_path / "before.yaml", **others)
    after = arguments_of(tmp_path / "after.yaml", **others | {key: value})
    changed = {name: one for name, one in after.items() if name not in before or before[name] != one}
    # of another class all arguments are new
    kinds = [name for name in changed if "." not in name and name != "verbose"]
    changed = {name: one for name, one in changed.items() if name.split(".")[0] not in kinds or name in kinds}
    assert changed == expected


def test_what_runs_and_figures_read(tmp_path):
    """The keys whose values are used as they are."""
    given = {"extnum": 2, "gain": 3.0, "rnoise": 1.5, "bias": 7.0, "semiwindow": 11, "color_scale": "minmax"}
    given |= {"maxplots": 13, "use_auxmedian": True, "verify_cr": True, "interactive": True, "la_gain_apply": False}
    given |= {
        "saturation": 6e4,
        "trim": "header:TRIMSEC",
        "max_fraction": 0.3,
        "dq_ext": "DQ",
        "err_ext": 3,
        "bits": "lsst",
        "mem_limit": 2_000_000_000,
    }
    given |= {"variance": "sample", "compression": "gzip", "outputs": ["mean", "min"]}
    given |= {"mediancr_pixels_to_be_dropped": [[4, 5]], "mm_cr_coincidences": 2}
    assert {*given} == ELSEWHERE - {"images"} | AS_THEY_ARE
    configuration = read_configuration(write_parameters(tmp_path / "p.yaml", **given))
    found = {key: configuration[key] for key in given}
    expected = given | {"outputs": ("mean", "min"), "mediancr_pixels_to_be_dropped": ((4, 5),)}
    assert found == expected


@dataclass(frozen=True)
class First(Detector):
    """A detector with a parameter."""

    level: float = 5.0

    def detect(self, image, noise, mask=None):
        raise AssertionError("nothing is detected here")


class Second(First):
    """Another one."""


@dataclass(frozen=True)
class Third(Method):
    """A method with a parameter of the same name."""

    level: float = 5.0

    def decide(self, prepared, detected, rules, progress=None):
        raise AssertionError("nothing is decided here")


@pytest.fixture
def plugins(monkeypatch):
    """Two detectors and a method are registered, as by other packages."""
    real = registry.entry_points
    added = {"crstack.detectors": {"first": First, "second": Second}, "crstack.methods": {"third": Third}}

    def entry_points(group):
        own = [EntryPoint(name, f"{__name__}:{kind.__name__}", group) for name, kind in added.get(group, {}).items()]
        return [*real(group=group), *own]

    monkeypatch.setattr(registry, "entry_points", entry_points)


@pytest.mark.parametrize(
    ("keys", "level_of_detector", "level_of_method"),
    [
        ({"crmethod": "first"}, 5, None),
        ({"crmethod": "first", "detector": {"level": 7}}, 7, None),
        ({"crmethod": "third_first", "detector": {"level": 7}}, 7, 5),
        ({"crmethod": "third_first", "method": {"level": 8}}, 5, 8),
        ({"crmethod": "third_first", "detector": {"level": 7}, "method": {"level": 8}}, 7, 8),
    ],
)
def test_parameters_of_plugins(tmp_path, plugins, keys, level_of_detector, level_of_method):
    parts = read_configuration(write_parameters(tmp_path / "p.yaml", **keys)).parts
    assert type(parts.detector) is First
    assert parts.detector.level == level_of_detector
    assert getattr(parts.method, "level", None) == level_of_method


def test_several_detectors_have_their_parameters_by_name(tmp_path, plugins):
    keys = {"crmethod": "second+lacosmic+first", "detector": {"first": {"level": 7}, "second": {"level": 8}}}
    detectors = read_configuration(write_parameters(tmp_path / "p.yaml", **keys)).parts.detector.detectors
    assert [type(one) for one in detectors[::2]] == [Second, First]
    assert [one.level for one in detectors[::2]] == [8, 7]
