"""Keys of the parameter file about exposures that differ, and the arguments that they set."""

from pathlib import Path

import astropy.units as u
import pytest
from support.parameter_files import NAMES, check_refused, write_parameters

from crstack.config.configuration import read_configuration
from crstack.equalize import ResponseSettings


@pytest.fixture
def arguments(tmp_path):
    """Factory: arguments of CRStack for some keys, but for ``differences=None`` of M.M.Cosmic."""

    def make(**changes):
        found = dict(read_configuration(write_parameters(tmp_path / "p.yaml", **changes)).parts.equalization)
        assert found.pop("differences", "auto") == ("auto" if changes.get("crmethod", "").startswith("joint") else None)
        return found

    return make


@pytest.mark.parametrize("value", ["none", "None", None, 1, 1.0, "1.0E0", [1, 1.0, 1]])
@pytest.mark.parametrize("target", ["simulated", "original"])
def test_neutral_factors_ask_nothing(arguments, value, target):
    assert arguments(flux_factor=value, apply_flux_factor_to=target) == {}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"flux_factor": "auto"}, {"flux_factors": "auto", "flux_method": "ratio"}),
        ({"flux_factor": 0.9}, {"flux_factors": 0.9}),
        ({"flux_factor": ["0.8", 1, 1.2]}, {"flux_factors": [0.8, 1.0, 1.2]}),
        ({"flux_factor": "local"}, {"response": ResponseSettings()}),
        (
            {"flux_factor": "auto", "flux_factor_regions": [[229, 274, 1, 1596], "[1:2, 3:4]"]},
            {"flux_factors": "auto", "flux_method": "ratio", "flux_regions": [(229, 274, 1, 1596), (1, 2, 3, 4)]},
        ),
        (
            {"flux_factor": "auto", "flux_factor_regions": "[1:2, 3:4]"},
            {"flux_factors": "auto", "flux_method": "ratio", "flux_regions": [(1, 2, 3, 4)]},
        ),
        (
            {"flux_factor": [0.8, 1, 1.2], "apply_flux_factor_to": "original", "flux_factor_regions": [[1, 2, 3, 4]]},
            {"flux_factors": [0.8, 1.0, 1.2], "apply_flux_factors_to": "original"},
        ),
        (
            {"mm_xy_offsets": [[-0.46, 0.41], [0, "-1.0e-2"], [0.48, -0.26]]},
            {"offsets": [(-0.46, 0.41), (0.0, -0.01), (0.48, -0.26)]},
        ),
        ({"mm_crosscorr_region": [214, 320, 651, 733]}, {"crosscorr_region": (214, 320, 651, 733)}),
        ({"mm_crosscorr_region": "[214:320, 651:733]"}, {"crosscorr_region": (214, 320, 651, 733)}),
        ({"mm_crosscorr_region": "none", "mm_xy_offsets": []}, {}),
    ],
)
def test_what_is_asked(arguments, keys, expected):
    assert arguments(**keys) == expected


def test_without_a_diagram_only_the_exposures_can_change(arguments):
    keys = {"crmethod": "pycosmic", "flux_factor": "auto", "mm_crosscorr_region": [1, 9, 1, 9]}
    assert arguments(**keys) == {}
    assert arguments(**keys, apply_flux_factor_to="original") == {
        "flux_factors": "auto",
        "flux_method": "ratio",
        "apply_flux_factors_to": "original",
    }
    assert arguments(crmethod="lacosmic", flux_factor="local") == {}


def test_the_joint_decision_knows_what_is_expected_in_each_exposure(arguments):
    assert arguments(crmethod="joint", flux_factor=[0.8, 1, 1.2], mm_crosscorr_region=[1, 9, 1, 9]) == {
        "flux_factors": [0.8, 1.0, 1.2],
        "crosscorr_region": (1, 9, 1, 9),
    }
    assert arguments(crmethod="joint_pycosmic", mm_xy_offsets=[[0, 0], [1, 0], [0, 1]]) == {
        "offsets": [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
    }


@pytest.mark.parametrize(
    ("crmethod", "differences", "measures"),
    [
        ("mm_pycosmic", None, False),
        ("mm_pycosmic", "given", False),
        ("mm_pycosmic", "auto", True),
        ("mmcosmic", "auto", True),
        ("joint", None, True),
        ("joint_pycosmic", "auto", True),
        ("joint", "given", False),
        ("pycosmic", None, False),
    ],
)
def test_what_is_measured(tmp_path, crmethod, differences, measures):
    """M.M.Cosmic measures nothing unless it is asked to, as the reference program."""
    path = write_parameters(tmp_path / "p.yaml", crmethod=crmethod, differences=differences)
    assert read_configuration(path).parts.equalization == ({} if measures else {"differences": None})


def test_factors_of_1_are_given_where_the_rest_is_measured(arguments, tmp_path):
    assert arguments(crmethod="joint", flux_factor=1) == {"flux_factors": 1.0}
    assert arguments(crmethod="joint", flux_factor=[1, 1, 1]) == {"flux_factors": [1.0, 1.0, 1.0]}


def test_shape_of_the_negative_binomial(tmp_path):
    def shape(**keys):
        return read_configuration(write_parameters(tmp_path / "p.yaml", **keys)).parts.diagram["nbinom_shape"]

    assert shape(mm_photon_distribution="nbinom", mm_nbinom_shape="auto") == "auto"
    assert shape(mm_photon_distribution="nbinom", mm_nbinom_shape=200) == 200
    assert shape(mm_photon_distribution="poisson", mm_nbinom_shape="auto") is None


def test_settings_tell_what_matters(tmp_path):
    def told(finding=True, **keys):
        configuration = read_configuration(write_parameters(tmp_path / "p.yaml", **keys))
        return dict(configuration.settings(finding))

    settings = told(flux_factor="auto", flux_factor_regions=[[1, 2, 3, 4]], mm_xy_offsets=[[0, 0.5]] * 3)
    assert settings["flux_factor"] == "auto"
    assert settings["flux_factor_regions"] == "[[1, 2, 3, 4]]"
    assert settings["apply_flux_factor_to"] == "simulated"
    assert settings["mm_xy_offsets"] == "[[0, 0.5], [0, 0.5], [0, 0.5]]"
    settings = told(flux_factor=[1, 1, 1], flux_factor_regions=[[1, 2, 3, 4]])
    assert "flux_factor_regions" not in settings
    assert "apply_flux_factor_to" not in settings
    settings = told(False, flux_factor=0.9, apply_flux_factor_to="original")
    assert (settings["flux_factor"], settings["apply_flux_factor_to"]) == ("0.9", "original")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_does_not_go_together(here, capsys):
    check_refused(
        capsys,
        "mm_xy_offsets must not be given beside mm_crosscorr_region",
        mm_xy_offsets=[[0, 0]] * 3,
        mm_crosscorr_region=[1, 9, 1, 9],
    )
    check_refused(
        capsys, "apply_flux_factor_to must be simulated", flux_factor="local", apply_flux_factor_to="original"
    )
    check_refused(capsys, "differences must be left out for crmethod lacosmic", crmethod="lacosmic", differences="auto")
    check_refused(capsys, "differences must be one of auto, given", differences="all")


class _Stopped(Exception):
    """Raised instead of making a stack."""


def test_run_hands_them_to_the_stack(here, monkeypatch):
    """Neutral values set no argument."""
    import numpy as np
    from astropy.io import fits

    from crstack.cli import main
    from crstack.pipeline import prepare as module

    for name in NAMES:
        fits.writeto(name, np.ones((30, 40), np.float32))
    given = {}

    def from_files(paths, **options):
        given.clear()
        given.update(options)
        raise _Stopped

    monkeypatch.setattr(module.CRStack, "from_files", from_files)
    numbers = {"gain": 3.0, "rnoise": 1.5, "bias": 7.0, "extnum": 0, "mm_cr_coincidences": 2}
    common = {"ext": 0, "cr_coincidences": 2, "unit": u.adu, "drop_unusable": False}
    common |= dict.fromkeys(("differences", "saturation", "trim", "dq_ext", "err_ext", "bits", "mem_limit"))
    common |= {"gain": 3 * u.electron / u.adu, "readnoise": 1.5 * u.adu, "bias": 7 * u.adu}
    for keys, more in (
        ({}, {}),
        (
            {"flux_factor": "auto", "flux_factor_regions": [[1, 40, 2, 30]]},
            {"flux_factors": "auto", "flux_method": "ratio", "flux_regions": [(1, 40, 2, 30)]},
        ),
        (
            {"flux_factor": "local", "mm_crosscorr_region": [1, 40, 2, 30]},
            {"response": ResponseSettings(), "crosscorr_region": (1, 40, 2, 30)},
        ),
    ):
        path = write_parameters("p.yaml", **numbers | keys)
        with pytest.raises(_Stopped):
            main(["run", path, "--output-dir", "out", "--log-level", "error"])
        assert given == common | more


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("flux_factor_regions", [[1, 40, 1, 30], [1, 41, 1, 30]], "region 2 of flux_factor_regions must lie inside"),
        ("mm_crosscorr_region", [1, 40, 1, 31], "mm_crosscorr_region must lie inside the image of 40 x 30 pixels"),
        (
            "pixels_to_be_replaced_by_local_median",
            [[1, 31, 3, 3]],
            "pixel 1 of pixels_to_be_replaced_by_local_median must lie inside the image",
        ),
        (
            "pixels_to_be_replaced_by_local_median",
            [[1, 1, 3, 1], [2, 1, 3, 1]],
            "pixel 1 of .* must have a pixel in its box",
        ),
    ],
)
def test_places_outside_the_image(here, capsys, key, value, match):
    import numpy as np
    from astropy.io import fits

    for name in NAMES:
        fits.writeto(name, np.ones((30, 40), np.float32))
    check_refused(capsys, match, **{key: value})
    assert not Path("out").exists()
