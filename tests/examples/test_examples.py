"""The parameter files of the seven examples."""

import importlib.util
import re
import warnings
from pathlib import Path

import pytest
from scipy import ndimage

from crstack import MaskSet
from crstack.cli import main
from crstack.config.configuration import read_configuration

EXAMPLES = Path(__file__).parents[2] / "examples"

#: for each example, its exposures and the keys that it shows
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
    6: {"flux_factors": "auto", "flux_method": "ratio", "flux_regions": [(101, 600, 1, 600)]},
    7: {"crosscorr_region": (201, 500, 151, 450)},
}


#: shape of the small exposures, and the regions of examples 6 and 7 on them
SHAPE = (200, 240)
REGIONS = {6: "[21, 240, 1, 200]", 7: "[21, 220, 11, 190]"}
OPTIONS = ["--no-plots", "--log-level", "error"]


@pytest.fixture(scope="module")
def make_exposures():
    """The script that makes the exposures, as a module."""
    spec = importlib.util.spec_from_file_location("make_exposures", EXAMPLES / "make_exposures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def exposures(make_exposures, tmp_path_factory):
    """Directory of small exposures, with the parameter files, in which only the regions are changed."""
    directory = tmp_path_factory.mktemp("exposures")
    make_exposures.write(directory, shape=SHAPE)
    for number in ABOUT:
        text = (EXAMPLES / f"params_example{number}.yaml").read_text()
        if number in REGIONS:
            text, n = re.subn(r"(?<!# - )\[\d+, \d+, \d+, \d+\]", REGIONS[number], text)
            assert n == 1
        (directory / f"{number}.yaml").write_text(text)
    return directory


@pytest.fixture(scope="module")
def masks_without(exposures):
    """Factory: masks of a set of exposures with the settings of example 1, made once."""
    kept = {}

    def find(name):
        if name not in kept:
            text = (exposures / "1.yaml").read_text().replace("plain_", f"{name}_")
            (exposures / f"{name}.yaml").write_text(text)
            with warnings.catch_warnings():
                # lines and stars that differ, without the option of the example
                warnings.filterwarnings("ignore", "flagged groups are smooth .* Neither given nor measured: throughput")
                kept[name] = run(exposures / f"{name}.yaml", exposures / f"without_{name}")
        return kept[name]

    return find


def run(parameters, output):
    assert main(["run", str(parameters), "--output-dir", str(output), *OPTIONS]) == 0
    return MaskSet.read(output / "crmasks.fits")


def figures(simulated, masks):
    """False pixels of MEDIANCR on bright lines, and completeness of the exposures' masks."""
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    bright = simulated.expected.mean(axis=0) > 100
    return int((masks["MEDIANCR"] & bright & ~near).sum()), masks.crmasks[simulated.hit_mask(10)].mean()


@pytest.mark.parametrize("number", ABOUT)
def test_examples_differ_from_the_first_in_what_they_are_about(number):
    example, first = (read_configuration(EXAMPLES / f"params_example{n}.yaml") for n in (number, 1))
    name, keys = ABOUT[number]
    assert example["images"] == tuple(f"{name}_{i}.fits" for i in (1, 2, 3))
    assert {key for key in first.values if example[key] != first[key]} - {"images", "maxplots"} == keys
    # as the reference program, nothing else is measured
    assert dict(example.parts.equalization) == {"differences": None} | EQUALIZATION.get(number, {})


@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")  # without the option
@pytest.mark.filterwarnings("ignore:bright pixels of the exposures differ:crstack.exceptions.CRStackWarning")
@pytest.mark.parametrize("number", ABOUT)
def test_examples_do_what_they_are_about(number, make_exposures, exposures, masks_without, tmp_path):
    name, _ = ABOUT[number]
    simulated = make_exposures.make(name, SHAPE)
    without, before = figures(simulated, masks_without(name))
    if number == 1:
        assert without < 40
        assert before > 0.98
        return
    false, complete = figures(simulated, run(exposures / f"{number}.yaml", tmp_path / "out"))
    assert without > 30
    assert false <= without / 5
    assert complete > before - 0.03


def test_every_defect_is_in_its_exposures(make_exposures):
    plain, flux, shift = (make_exposures.make(name, (60, 70)) for name in ("plain", "flux", "shift"))
    for one, factor in zip(flux.expected, (0.8, 1.0, 1.2), strict=True):
        assert (one / plain.expected[0]).mean() == pytest.approx(factor, rel=1e-4)
    assert shift.offsets == ((-0.5, 0.5), (0.0, 0.0), (0.5, -0.25))
    jitter = make_exposures.make("jitter", (60, 70))
    assert 0.02 < (jitter.expected[0] / plain.expected[0]).std() < 0.1
    assert (flux.truth == plain.truth).all()
