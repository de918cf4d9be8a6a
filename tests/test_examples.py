"""The parameter files of the seven examples."""

import importlib.util
from pathlib import Path

import pytest

from crstack import MaskSet
from crstack.cli import main
from crstack.cli.config import read_configuration

EXAMPLES = Path(__file__).parents[1] / "examples"

#: by example, its exposures and the keys that it is about
ABOUT = {
    1: ("plain", set()),
    2: ("jitter", {"mm_fixed_points_in_boundary"}),
    3: ("jitter", {"mm_fixed_points_in_boundary", "mm_boundary_fit"}),
    4: ("jitter", {"mm_photon_distribution", "mm_nbinom_shape"}),
    5: ("jitter", {"mm_synthetic"}),
    6: ("flux", {"flux_factor", "flux_factor_regions"}),
    7: ("shift", {"mm_crosscorr_region"}),
}
EQUALIZATION = {
    6: {"flux_factors": "auto", "flux_regions": [(101, 600, 1, 600)]},
    7: {"crosscorr_region": (201, 500, 151, 450)},
}


@pytest.fixture(scope="module")
def make_exposures():
    """The script that makes the exposures, as a module."""
    spec = importlib.util.spec_from_file_location("make_exposures", EXAMPLES / "make_exposures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exposures(make_exposures, tmp_path_factory):
    """Directory of small exposures of the sets that examples 1 to 5 use."""
    directory = tmp_path_factory.mktemp("exposures")
    make_exposures.write(directory, ("plain", "jitter"), shape=(120, 140))
    return directory


@pytest.mark.parametrize("number", ABOUT)
def test_examples_differ_from_the_first_in_what_they_are_about(number):
    example, first = (read_configuration(EXAMPLES / f"params_example{n}.yaml") for n in (number, 1))
    name, keys = ABOUT[number]
    assert example["images"] == tuple(f"{name}_{i}.fits" for i in (1, 2, 3))
    assert {key for key in first.values if example[key] != first[key]} - {"images"} == keys
    assert example.equalization() == EQUALIZATION.get(number, {})


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_examples_run(number, exposures, tmp_path, monkeypatch):
    monkeypatch.chdir(exposures)
    arguments = ["--output-dir", str(tmp_path / "out"), "--no-plots", "--log-level", "error"]
    assert main(["run", str(EXAMPLES / f"params_example{number}.yaml"), *arguments]) == 0
    masks = MaskSet.read(tmp_path / "out" / "crmasks.fits")
    assert masks["MEANCRT"].sum() > 300
    assert 0 < masks["MEDIANCR"].sum() < 300


def test_every_defect_is_in_its_exposures(make_exposures):
    plain, flux, shift = (make_exposures.make(name, (60, 70)) for name in ("plain", "flux", "shift"))
    for one, factor in zip(flux.expected, (0.8, 1.0, 1.2), strict=True):
        assert (one / plain.expected[0]).mean() == pytest.approx(factor, rel=1e-4)
    assert shift.offsets == ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
    jitter = make_exposures.make("jitter", (60, 70))
    assert 0.02 < (jitter.expected[0] / plain.expected[0]).std() < 0.1
    assert (flux.truth == plain.truth).all()
