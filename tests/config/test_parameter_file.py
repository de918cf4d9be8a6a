"""The parameter file of `crstack run`: keys, values, and messages about mistakes."""

from pathlib import Path

import pytest
import yaml
from support.parameter_files import EXAMPLE, NAMES, check_refused, refused, write_parameters

from crstack import LACosmicDetector, PiecewiseBoundary, PyCosmicDetector
from crstack.config.configuration import read_configuration
from crstack.config.keys import OWN, PLUGINS, REQUIREMENTS, TOP
from crstack.config.parts import lacosmic, pycosmic
from crstack.detectors import TwoPassDetector
from crstack.exceptions import ConfigurationError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Empty current directory: no image is needed to find a wrong key."""
    monkeypatch.chdir(tmp_path)


def test_example_holds_every_key():
    loaded = yaml.safe_load(EXAMPLE.read_text())
    requirements = loaded.pop("requirements")
    assert set(loaded) == {key.name for key in TOP} - {
        "saturation",
        "trim",
        "dq_ext",
        "err_ext",
        "bits",
    }  # not of numina-crmasks
    assert set(requirements) == {key.name for key in REQUIREMENTS} - {key.name for key in (*OWN, *PLUGINS)}


def test_defaults_are_those_of_the_example(tmp_path):
    path = tmp_path / "few.yaml"
    path.write_text(f"images: {NAMES}\ngain: 1.0\nrnoise: 3.4\nrequirements: {{crmethod: mm_pycosmic}}\n")
    few, example = read_configuration(path), read_configuration(EXAMPLE)
    differing = {key for key in example.values if few[key] != example[key]}
    # the hits that are drawn are 40 where the key is absent
    assert differing == {"interactive", "maxplots"}


def test_parts_carry_the_values_of_the_keys(tmp_path):
    path = write_parameters(
        tmp_path / "p.yaml",
        la_sigclip=[6.0, 4.0],
        la_objlim=7,
        la_niter=[2, 3],
        la_psffwhm_x=2.0,
        la_psffwhm_y=[3.0, 3.0],
        la_satlevel="5.0E4",
        la_padwidth=0,
        pc_sigma_det=4.5,
        pc_rlim=[1.1, 1.0],
        pc_fwhm_gauss_x=2.0,
        pc_replace_box_y=7,
        pc_replace_error="1.0E6",
        mm_fixed_points_in_boundary=[[10, 20], [30, 40, 5]],
        mm_knots_splfit=4,
        mm_niter_boundary_extension=0,
        mm_weight_boundary_extension=3,
        mm_photon_distribution="nbinom",
        mm_nbinom_shape="2.5e1",
        mm_seed=None,
        mm_ydiag_max=99,
    )
    configuration = read_configuration(path)
    la = lacosmic(configuration.values)
    assert (la.sigclip, la.objlim, la.niter) == ((6.0, 4.0), 7.0, (2, 3))
    assert (la.psffwhm, la.satlevel, la.padwidth) == ((2.0, 3.0), 5e4, 0)
    pc = pycosmic(configuration.values)
    assert (pc.sigma_det, pc.rlim, pc.fwhm_gauss) == (4.5, (1.1, 1.0), (2.0, 2.5))
    assert (pc.replace_box, pc.replace_error) == ((5, 7), 1e6)
    spline = configuration.parts.boundary
    assert (spline.n_knots, spline.n_extensions, spline.extension_weight) == (4, 0, 3.0)
    assert spline.fixed_points == ((10.0, 20.0, 10000.0), (30.0, 40.0, 5.0))
    diagram = configuration.parts.diagram
    assert (diagram["nbinom_shape"], diagram["seed"], diagram["y_max"]) == (25.0, None, 99.0)


def test_piecewise_needs_no_simulated_points(tmp_path):
    path = write_parameters(
        tmp_path / "p.yaml", mm_boundary_fit="piecewise", mm_fixed_points_in_boundary=[[0, 1], [2, 3]]
    )
    assert isinstance(read_configuration(path).parts.boundary, PiecewiseBoundary)


# messages about a wrong file


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "must hold keys and values; got nothing"),
        ("# nothing but a comment\n", "must hold keys and values; got nothing"),
        ("- a\n- b\n", "must hold keys and values; got a list"),
        ("just words", "must hold keys and values; got a text"),
        ("a: [1, 2\n", "must be YAML; got .* in line 2"),
        (
            "images:\n  - a\ngain 1.0  # c\nrnoise: 3\n",
            r"got no ':' after the key in line 3 \('gain 1.0 # c'\) of p.yaml",
        ),
        ("gain 1.0\n# gain\n\nrnoise: 3\n", r"got no ':' after the key in line 1 \('gain 1.0'\)"),
        ("images\n  - a\n  - b\ngain: 1\n", r"got no ':' after the key in line 1 \('images'\)"),
        ("requirements:\n  dilation 1\n  crmethod: joint\n", r"got no ':' after the key in line 2 \('dilation 1'\)"),
        ("gain:1.0\nrnoise: 3\n", "after the key in line 1"),
        ("gain: 1\nbias: 'a\nrnoise: 3\n", "in line 4, while scanning a quoted scalar from line 2, of p.yaml"),
        ("gain: 1\ngain: 2\n", "key gain must be given once; got it again in line 2"),
        ("requirements:\n  dilation: 1\n  dilation: 1\n", "key dilation must be given once; got it again in line 3"),
        ("a: !!python/object/apply:os.system [ls]\n", "must be YAML"),
        ("a: \x00\n", "must be YAML"),
        ("requirements: 3\n", "requirements must hold keys and values; got a number"),
    ],
)
def test_text_that_is_no_parameter_file(here, capsys, text, match):
    Path("p.yaml").write_text(text)
    refused(capsys, ["run", "p.yaml", "--output-dir", "out"], match)


def test_parameter_file_that_is_binary_or_missing(here, capsys):
    Path("p.yaml").write_bytes(b"\xff\xfe\xff")
    refused(capsys, ["run", "p.yaml", "--output-dir", "out"], "must be text in UTF-8")
    refused(capsys, ["run", "q.yaml", "--output-dir", "out"], "must be readable; got q.yaml")
    refused(capsys, ["run", ".", "--output-dir", "out"], "must be FITS files or a parameter file; got the directory")


@pytest.mark.parametrize("key", ["images", "gain", "rnoise", "crmethod"])
def test_missing_key(here, capsys, key):
    check_refused(capsys, f"error: {key} must be given", drop=[key])
    check_refused(capsys, f"error: {key} must be given", **{key: None})


def test_unknown_keys(here, capsys):
    check_refused(capsys, r"got mm_knots_spline \(did you mean mm_knots_splfit\?\)", mm_knots_spline=5)
    check_refused(capsys, r"got 12$", **{"requirements": {12: 3}})
    path = write_parameters("p.yaml")
    text = Path(path).read_text()
    Path(path).write_text(text + "bais: 3\n")
    refused(capsys, ["run", path, "--output-dir", "out"], r"got bais \(did you mean bias\?\)$")
    several = text.replace("requirements:", "bais: 3\nrequirements:\n  dilaton: 1") + "gian: 3\n"
    Path(path).write_text(several)
    words = r"got bais \(did you mean bias\?\), gian \(did you mean gain\?\), dilaton \(did you mean dilation\?\)$"
    refused(capsys, ["run", path, "--output-dir", "out"], words)
    Path(path).write_text(text + "gian: 3\n")
    refused(capsys, ["run", path, "--output-dir", "out"], r"got gian \(did you mean gain\?\)")
    Path(path).write_text(text + "crmethod: pycosmic\n")
    refused(capsys, ["run", path, "--output-dir", "out"], "crmethod must stand under requirements")
    Path(path).write_text(text.replace("requirements:\n", "requirements:\n  gain: 1\n"))
    refused(capsys, ["run", path, "--output-dir", "out"], "gain must stand at the top level")


def test_a_misspelt_method_is_an_unknown_key(here, capsys):
    """Keys of one method stand beside it, so that the key of the method seems to be absent."""
    path = Path(write_parameters("p.yaml"))
    path.write_text(path.read_text().replace("crmethod", "crmehtod"))
    refused(capsys, ["run", str(path), "--output-dir", "out"], r"got crmehtod \(did you mean crmethod\?\)$")


WRONG = [
    ("images", "a.fits", "list"),
    ("images", [1, 2, 3], "list"),
    ("images", NAMES[:1], "two or more FITS files; got 1"),
    ("images", NAMES[:2], " must be three or more for crmethod .*; got 2: use crmethod joint"),
    ("extnum", -1, "at least 0"),
    ("extnum", 1.5, "integer"),
    ("gain", 0, "at least 1e-06"),
    ("gain", "nan", "number"),
    ("gain", True, "number"),
    ("rnoise", -1.0, "greater than 0 and at most 1e[+]06; got -1"),
    ("rnoise", 0, "greater than 0"),
    ("bias", [1], "number"),
    (
        "crmethod",
        "lacosmics",
        "one of lacosmic, mmcosmic, joint, pycosmic, deepcr, conn, .* and 6 more; got 'lacosmics'",
    ),
    ("crmethod", ["lacosmic"], "one of"),
    ("use_auxmedian", "maybe", "True or False"),
    ("interactive", 1, "True or False"),
    ("flux_factor", "some", "none, auto, local, a number or a number for each image; got 'some'"),
    ("flux_factor", ["auto", 1, 1], "a number for each image"),
    ("flux_factor", 0, "greater than 0"),
    ("flux_factor", [1, -1, 1], "greater than 0"),
    ("flux_factor", [1, 1], "3, one for each image; got 2"),
    ("flux_factor", [], r"got \[\]"),
    ("apply_flux_factor_to", "both", "one of original, simulated"),
    ("flux_factor_regions", [[1, 2, 3]], "four integers"),
    ("flux_factor_regions", "all", "must be a list"),
    ("outputs", 5, "must be a list of mean, median"),
    ("outputs", [], "must be a list of mean, median"),
    ("dilation", 1.5, "integer"),
    ("dilation", -1, "at least 0"),
    ("dilation", None, "integer; got None"),
    ("regions_to_be_skipped", [[1, 2, 3]], "four integers"),
    ("regions_to_be_skipped", [[5, 2, 3, 4]], "xmin <= xmax"),
    ("regions_to_be_skipped", [1, 2, 3, 4], "four integers"),
    ("regions_to_be_skipped", "[1:2, 3:4]", "must be a list"),
    ("pixels_to_be_flagged_as_cr", [[0, 1]], "X and Y of at least 1"),
    ("pixels_to_be_ignored_as_cr", [[1]], "two integers"),
    ("pixels_to_be_replaced_by_local_median", [[1, 2, 3]], "four integers"),
    ("pixels_to_be_replaced_by_local_median", [[1, 2, 4, 3]], "odd widths"),
    ("verify_cr", "no way", "True or False"),
    ("semiwindow", "wide", "integer"),
    ("color_scale", "log", "one of minmax, zscale"),
    ("maxplots", 1.5, "integer"),
    ("la_gain_apply", 2, "True or False"),
    ("la_sigclip", [5, 3, 2], "pair"),
    ("la_sigclip", 0, "greater than 0"),
    ("la_sigfrac", [0.3, 1.3], "at most 1"),
    ("la_objlim", "five", "finite number"),
    ("la_niter", 0, "at least 1"),
    ("la_cleantype", "mode", "one of median"),
    ("la_fsmode", "x", "one of median, convolve"),
    ("la_psfmodel", "airy", "one of gauss"),
    ("la_psfsize", 10, "odd"),
    ("la_verbose", [True, False], "one value, the same in both passes"),
    ("la_padwidth", -1, "at least 0"),
    ("pc_sigma_det", [], "pair"),
    ("pc_rlim", -1, "at least 0"),
    ("pc_iterations", 2.5, "integer"),
    ("pc_replace_box_x", [5, 7, 9], "pair"),
    ("pc_replace_error", "big", "finite number"),
    ("pc_increase_radius", -1, "at least 0"),
    ("pc_verbose", "yes please", "True or False"),
    ("dc_mask", "HST", "one of ACS-WFC"),
    ("dc_threshold", 1.5, "at most 1"),
    ("nn_model", "mine", "one of ground_imaging"),
    ("nn_threshold", -0.1, "at least 0"),
    ("mm_cr_coincidences", 3, "less than the number of images, 3; got 3"),
    ("mm_cr_coincidences", 1, "at least 2"),
    ("mm_photon_distribution", "normal", "one of poisson, nbinom"),
    ("mm_nbinom_shape", 0, "at least 0.001"),
    ("mm_nbinom_shape", "some", "finite number"),
    ("mm_xy_offsets", [[1, 2]], "3 pairs, one for each image; got 1"),
    ("mm_xy_offsets", [[1], [2], [3]], r"must be \[xoffset, yoffset\]; got \[1\]"),
    ("mm_xy_offsets", [[0, 0], [0, "b"], [0, 0]], "finite number"),
    ("mm_crosscorr_region", [1, 2, 3], "four integers"),
    ("mm_crosscorr_region", "[5:2, 1:3]", "xmin <= xmax"),
    ("mm_synthetic", "mean", "one of median, single"),
    ("mm_hist2d_min_neighbors", 9, "at most 8"),
    ("mm_ydiag_max", -1, "at least 0"),
    ("mm_boundary_fit", "linear", "one of spline, piecewise"),
    ("mm_boundary_fit", "piecewise", "piecewise; got 0"),
    ("mm_knots_splfit", 1, "at least 2"),
    ("mm_fixed_points_in_boundary", [[1]], r"\[x, y\] or \[x, y, weight\]"),
    ("mm_fixed_points_in_boundary", [[1, "b"]], "finite numbers"),
    ("mm_fixed_points_in_boundary", [[1, 2], [1, 3]], "different x"),
    ("mm_fixed_points_in_boundary", 5, "must be a list"),
    ("mm_nsimulations", 0, "at least 1"),
    ("mm_niter_boundary_extension", -1, "at least 0"),
    ("mm_weight_boundary_extension", 1, "greater than 1"),
    ("mm_threshold_rnoise", -3, "at least 0"),
    ("mm_minimum_max2d_rnoise", "a", "finite number"),
    ("mm_seed", 1.5, "integer"),
    # valid numbers that are implausible
    ("gain", 1e30, "at most 1e[+]06"),
    ("rnoise", "1e30", "at most 1e[+]06"),
    ("bias", -1e30, "at least -1e[+]07"),
    ("flux_factor", [1, 1, 1e30], "at most 1000"),
    ("dilation", 100_000, "at most 100"),
    ("semiwindow", 100_000, "at most 500"),
    ("la_sigclip", 1e30, "at most 1e[+]12"),
    ("la_psfsize", 100_001, "at most 301"),
    ("la_psffwhm_x", 1e30, "at most 100"),
    ("la_niter", 10**6, "at most 100"),
    ("la_padwidth", 10**6, "at most 500"),
    ("pc_iterations", 10**6, "at most 100"),
    ("pc_fwhm_gauss_y", [1e-30, 1], "at least 0.01"),
    ("pc_replace_box_y", 10**6, "at most 301"),
    ("pc_increase_radius", 10**6, "at most 100"),
    ("mm_dilation", 10**6, "at most 100"),
    ("mm_knots_splfit", 10**6, "at most 50"),
    ("mm_nsimulations", 10**9, "at most 10000"),
    ("mm_niter_boundary_extension", 100_000, "at most 100"),
    ("mm_weight_boundary_extension", 1e30, "at most 100"),
    ("mm_fixed_points_in_boundary", [[1e30, 2]], "at most 1e[+]12"),
    ("mm_xy_offsets", [[0, 0], [1e30, 0], [0, 0]], "at most 1e[+]12"),
    ("mm_xdiag_max", -1, "greater than 0"),
    ("mm_ydiag_max", 1e30, "at most 1e[+]12"),
    ("mm_threshold_rnoise", 1e30, "at most 1e[+]12"),
    ("mm_seed", -1, "at least 0"),
]


@pytest.mark.parametrize(("key", "value", "match"), WRONG)
def test_wrong_value(here, capsys, key, value, match):
    check_refused(capsys, f"{key}.*{match}", **{key: value})


def test_wrong_values_are_found_before_any_file_is_opened(here, capsys):
    check_refused(capsys, "mm_seed", images=["x.fits", "y.fits", "z.fits"], mm_seed="a")


@pytest.mark.parametrize("value", ["none", "None", None, 1, 1.0, "1.0E0", [1, 1.0, 1], "[1, 1.0, 1]"])
def test_neutral_flux_factors_pass(tmp_path, value):
    read_configuration(write_parameters(tmp_path / "p.yaml", flux_factor=value))


def test_flux_factors_in_quotes(tmp_path):
    """The manual calls the value a string."""
    configuration = read_configuration(write_parameters(tmp_path / "p.yaml", flux_factor="[0.78, 1.01, 1.11]"))
    assert configuration["flux_factor"] == (0.78, 1.01, 1.11)


def test_limits_in_the_wrong_order(here, capsys):
    check_refused(capsys, "mm_xdiag_min must be less than mm_xdiag_max, 3; got 5", mm_xdiag_min=5, mm_xdiag_max=3)


def test_settings_that_need_a_detector(here, capsys):
    check_refused(capsys, "use_auxmedian must be False", crmethod="mmcosmic", use_auxmedian=True)
    check_refused(capsys, "mm_synthetic must be median", crmethod="mmcosmic", mm_synthetic="single")


def test_every_detector_key_may_be_a_pair(here):
    """Thresholds go to the detector as pairs; any other pair makes two detectors."""
    path = write_parameters("p.yaml", la_sigclip=[6, 4], la_niter=[3, 2], pc_rlim=[1.5, 1.0])
    configuration = read_configuration(path)
    assert lacosmic(configuration.values) == LACosmicDetector(
        sigclip=(6.0, 4.0), sigfrac=(0.3, 0.3), objlim=(5.0, 5.0), niter=(3, 2), psffwhm=(2.5, 2.5), fsmode="convolve"
    )
    assert pycosmic(configuration.values) == PyCosmicDetector(
        rlim=(1.5, 1.0), fwhm_gauss=(2.5, 2.5), replace_box=(5, 5)
    )
    path = write_parameters(
        "p.yaml",
        la_psffwhm_x=[2.0, 3.0],
        la_cleantype=["idw", "medmask"],
        pc_replace_box_y=[5, 7],
        pc_increase_radius=[0, 1],
    )
    configuration = read_configuration(path)
    la, pc = lacosmic(configuration.values), pycosmic(configuration.values)
    assert isinstance(la, TwoPassDetector)
    assert (la.high.psffwhm, la.low.psffwhm) == ((2.0, 2.5), (3.0, 2.5))
    assert (la.high.cleantype, la.low.cleantype) == ("idw", "medmask")
    assert (la.high.sigclip, la.low.sigclip) == (5.0, 3.0)
    assert (pc.high.replace_box, pc.low.replace_box) == ((5, 5), (5, 7))
    assert (pc.high.increase_radius, pc.low.increase_radius) == (0, 1)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("rnoise", None, "rnoise must be given in the parameter file, in ADU; got nothing"),
        ("gain", None, "gain must be given in the parameter file, in electron/ADU; got nothing"),
        ("rnoise", "4 electron", "rnoise must be a number in ADU, .*; got '4 electron'; divide electrons by the gain"),
        ("bias", "9 e-", "bias must be a number in ADU, .*; got '9 e-'; divide electrons by the gain"),
        ("rnoise", "four", "rnoise must be a number in ADU, .*; got 'four'$"),
        ("rnoise", [4.0, 5.0, 4.0], r"rnoise must be a number in ADU, .*; got \[4.0, 5.0, 4.0\]. .* header:RDNOISE"),
    ],
)
def test_units_of_the_numbers_of_the_detector(here, key, value, match):
    with pytest.raises(ConfigurationError, match=match):
        read_configuration(write_parameters("p.yaml", **{key: value}))
