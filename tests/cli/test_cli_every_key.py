"""Every key of the manual's example file changes what is asked of the library, or is tested elsewhere."""

import pytest
import yaml
from support.parameter_files import EXAMPLE, write_parameters

from crstack.cli.config.configuration import read_configuration
from crstack.detectors import _networks

LACOSMIC, PYCOSMIC = {"crmethod": "mm_lacosmic"}, {"crmethod": "mm_pycosmic"}
DEEPCR, CONN = {"crmethod": "mm_deepcr"}, {"crmethod": "mm_conn"}

#: by key another value than that of the example, and what else must be so for it to matter
OTHER = {
    "crmethod": ("mm_lacosmic", {}),
    "flux_factor": ("auto", {}),
    "flux_factor_regions": ([[1, 9, 1, 9]], {"flux_factor": "auto"}),
    "apply_flux_factor_to": ("original", {"flux_factor": [0.8, 1.0, 1.2]}),
    "dilation": (1, {}),
    "regions_to_be_skipped": ([[1, 9, 1, 9]], {}),
    "pixels_to_be_flagged_as_cr": ([[1, 9]], {}),
    "pixels_to_be_ignored_as_cr": ([[1, 9]], {}),
    "pixels_to_be_replaced_by_local_median": ([[5, 5, 3, 3]], {}),
    "la_sigclip": ([6.0, 4.0], LACOSMIC),
    "la_sigfrac": ([0.4, 0.2], LACOSMIC),
    "la_objlim": ([4.0, 3.0], LACOSMIC),
    "la_satlevel": (5e4, LACOSMIC),
    "la_niter": (2, LACOSMIC),
    "la_sepmed": (False, LACOSMIC),
    "la_cleantype": ("idw", LACOSMIC),
    "la_fsmode": ("median", LACOSMIC),
    "la_psfmodel": ("moffat", LACOSMIC),
    "la_psffwhm_x": (3.0, LACOSMIC),
    "la_psffwhm_y": (3.0, LACOSMIC),
    "la_psfsize": (7, LACOSMIC),
    "la_psfbeta": (3.0, LACOSMIC | {"la_psfmodel": "moffat"}),
    "la_verbose": (False, LACOSMIC),
    "la_padwidth": (5, LACOSMIC),
    "pc_sigma_det": ([6.0, 4.0], PYCOSMIC),
    "pc_rlim": ([2.0, 1.0], PYCOSMIC),
    "pc_iterations": (2, PYCOSMIC),
    "pc_fwhm_gauss_x": (3.0, PYCOSMIC),
    "pc_fwhm_gauss_y": (3.0, PYCOSMIC),
    "pc_replace_box_x": (7, PYCOSMIC),
    "pc_replace_box_y": (7, PYCOSMIC),
    "pc_replace_error": (1e5, PYCOSMIC),
    "pc_increase_radius": (1, PYCOSMIC),
    "pc_verbose": (False, PYCOSMIC),
    "dc_mask": ("WFC3-UVIS", DEEPCR),
    "dc_threshold": (0.6, DEEPCR),
    "dc_verbose": (False, DEEPCR),
    "nn_model": ("NRES", CONN),
    "nn_threshold": (0.6, CONN),
    "nn_verbose": (False, CONN),
    "mm_photon_distribution": ("nbinom", {}),
    "mm_nbinom_shape": (200, {"mm_photon_distribution": "nbinom"}),
    "mm_synthetic": ("single", {}),
    "mm_hist2d_min_neighbors": (2, {}),
    "mm_ydiag_max": (500.0, {}),
    "mm_dilation": (2, {}),
    "mm_xy_offsets": ([[0.1, 0.0], [0.0, 0.0], [0.0, 0.2]], {}),
    "mm_crosscorr_region": ([1, 30, 1, 30], {}),
    "mm_boundary_fit": ("piecewise", {"mm_fixed_points_in_boundary": [[1, 2], [3, 4]]}),
    "mm_knots_splfit": (6, {}),
    "mm_fixed_points_in_boundary": ([[1, 2, 3]], {}),
    "mm_nsimulations": (7, {}),
    "mm_niter_boundary_extension": (3, {}),
    "mm_weight_boundary_extension": (3.0, {}),
    "mm_threshold_rnoise": (4.0, {}),
    "mm_minimum_max2d_rnoise": (6.0, {}),
    "mm_seed": (1, {}),
}
#: what runs, figures and the interactive session are tested with
ELSEWHERE = {
    *("images", "extnum", "gain", "rnoise", "bias", "mm_cr_coincidences"),
    *("use_auxmedian", "interactive", "verify_cr", "semiwindow", "color_scale", "maxplots"),
    "la_gain_apply",  # has no effect: products are in the unit of the exposures
}


def asked(path, **keys):
    """What a parameter file asks of the library, in words."""
    configuration = read_configuration(write_parameters(path, **keys))
    parts = configuration.parts
    return repr((parts, configuration.verbose))


def test_no_key_is_left_out():
    example = yaml.safe_load(EXAMPLE.read_text())
    keys = {*example, *example["requirements"]} - {"requirements"}
    assert keys == {*OTHER, *ELSEWHERE}


@pytest.mark.parametrize("key", OTHER)
def test_every_key_changes_what_is_asked(key, tmp_path, monkeypatch):
    # a detector is made, not used: its network need not be installed
    monkeypatch.setattr(_networks, "find_spec", lambda name: name)
    value, others = OTHER[key]
    before = asked(tmp_path / "before.yaml", **others)
    assert asked(tmp_path / "after.yaml", **others | {key: value}) != before
