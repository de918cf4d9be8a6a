"""Several detectors named in the parameter file."""

from dataclasses import dataclass

import numpy as np
import pytest
from astropy.io import fits
from support.parameter_files import NAMES, check_refused, write_parameters
from support.stacks import stack_of

from crstack import Detection, Detector, LACosmicDetector, MaskSet, PyCosmicDetector, VotingDetector
from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.exceptions import ConfigurationError
from crstack.utils.registry import DETECTORS

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def detector_of(**changes):
    return read_configuration(write_parameters("p.yaml", **changes)).parts.detector


@pytest.mark.parametrize("prefix", ["", "mm_", "joint_"])
def test_several_by_name(here, prefix):
    detector = detector_of(crmethod=f"{prefix}lacosmic + pycosmic", vote="all", la_niter=2, pc_rlim=1.4)
    assert isinstance(detector, VotingDetector)
    first, second = detector.detectors
    assert isinstance(first, LACosmicDetector)
    assert isinstance(second, PyCosmicDetector)
    assert (first.niter, second.rlim) == (2, 1.4)
    assert detector.vote == "all"
    assert detector_of(crmethod=f"{prefix}pycosmic+lacosmic").vote == "any"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"crmethod": "mm_lacosmic+mm_pycosmic"}, "detector 2 of crmethod must be one of .*; got 'mm_pycosmic'"),
        ({"crmethod": "mmcosmic+pycosmic"}, r"crmethod, up to the first \+, must be one of .*; got 'mmcosmic'"),
        ({"crmethod": "mm_lacosmic+"}, "detector 2 of crmethod must be one of .*; got ''"),
        ({"crmethod": "mm_lacosmic+lacosmic"}, r"crmethod must name a detector once; got mm_lacosmic\+lacosmic"),
        ({"crmethod": "conn+lacosmic+lacosmic"}, "crmethod must name a detector once"),
        ({"vote": "all"}, "vote must be left out where crmethod does not name several detectors; got all"),
        ({"crmethod": "joint", "vote": 1}, "vote must be left out where crmethod does not name several"),
        ({"crmethod": "lacosmic+pycosmic", "vote": 3}, "vote must be at most 2, the detectors of crmethod; got 3"),
        ({"crmethod": "lacosmic+pycosmic", "vote": 0}, "vote must be an integer at least 1; got 0"),
        ({"crmethod": "lacosmic+pycosmic", "vote": "most"}, "vote must be any, all or a number of detectors; got most"),
        ({"crmethod": "lacosmic+pycosmic", "vote": [1]}, r"vote must be an integer; got \[1\]"),
        (
            {"crmethod": "lacosmic+pycosmic", "detector": {"n_sigma": 6}},
            "detector must be left out for lacosmic and pycosmic",
        ),
    ],
)
def test_what_is_refused(here, capsys, changes, sentence):
    check_refused(capsys, sentence, **changes)


def test_keys_of_all_detectors_count(here):
    told = dict(read_configuration(write_parameters("p.yaml", crmethod="mm_lacosmic+pycosmic")).settings())
    assert {"la_sigclip", "pc_rlim", "vote", "mm_seed"} <= set(told)
    assert told["crmethod"] == "mm_lacosmic+pycosmic"
    assert not {"dc_mask", "nn_model"} & set(told)
    assert "vote" not in dict(read_configuration(write_parameters("p.yaml", crmethod="mm_pycosmic")).settings())
    quiet = write_parameters("p.yaml", crmethod="lacosmic+pycosmic", la_verbose=False, pc_verbose=True)
    assert read_configuration(quiet).verbose
    quiet = write_parameters("p.yaml", crmethod="lacosmic+pycosmic", la_verbose=False, pc_verbose=False)
    assert not read_configuration(quiet).verbose


@dataclass(frozen=True)
class Nothing(Detector):
    """Finds nothing."""

    levels: tuple = (1,)

    def detect(self, image, noise, mask=None):
        return Detection(np.zeros(image.shape, dtype=bool))


def test_plugins_among_them(here, monkeypatch):
    monkeypatch.setattr(DETECTORS, "names", lambda: ["lacosmic", "one", "other", "pycosmic"])
    monkeypatch.setattr(DETECTORS, "get", lambda name: Nothing)
    detector = detector_of(crmethod="mm_one+pycosmic", detector={"levels": [1, 2]})
    assert detector.detectors[0] == Nothing((1, 2))
    detector = detector_of(crmethod="mm_one+pycosmic+other", detector={"other": {"levels": [3, 4]}})
    assert detector.detectors[0] == Nothing()
    assert detector.detectors[2] == Nothing((3, 4))
    for given, sentence in (
        ({"levels": [1]}, "detector must hold the parameters of one and other, each by name; got levels"),
        ({"one": 3}, "detector must hold the parameters of one and other, each by name; got one"),
        ({"one": {"level": 3}}, r"one under detector must have parameters of Nothing \(levels\); got level"),
    ):
        with pytest.raises(ConfigurationError, match=sentence):
            detector_of(crmethod="one+other", detector=given)
    # with one detector that does not clean, no pixel of "any" can be replaced
    with pytest.raises(ConfigurationError, match=r"use_auxmedian must be False for crmethod mm_pycosmic\+one"):
        detector_of(crmethod="mm_pycosmic+one", use_auxmedian=True)
    assert detector_of(crmethod="mm_pycosmic+one", use_auxmedian=True, vote="all").cleans


@pytest.mark.parametrize("method", ["mm", "joint"])
def test_the_command_does_what_python_does(here, capsys, simulated, method):
    for name, ccd in zip(NAMES, simulated.exposures, strict=True):
        ccd.write(name)
    detector_keys = {"crmethod": f"{method}_lacosmic+pycosmic", "vote": "any"}
    path = write_parameters("p.yaml", gain=2.5, rnoise=1.6, bias=500.0, **detector_keys)
    assert main(["run", path, "--output-dir", "out", "--no-plots", "-v"]) == 0
    told = capsys.readouterr().out
    assert "Auxiliary detector: lacosmic" in told
    assert "Auxiliary detector: pycosmic" in told
    configuration, stack = read_configuration(path), stack_of(simulated)
    parts = configuration.parts
    aux = list(parts.detector.detectors)
    if method == "mm":
        stack.mm_diagram(aux=aux, **parts.diagram)
        stack.fit_boundary(parts.boundary)
    mine = stack.detect(parts.method, aux=aux, rules=parts.rules)
    run = MaskSet.read("out/crmasks.fits")
    assert run.detectors == mine.detectors == ("LACosmicDetector", "PyCosmicDetector")
    for name in mine:
        np.testing.assert_array_equal(run[name], mine[name])
        np.testing.assert_array_equal(run.found_by[name], mine.found_by[name])
    assert (run.found_by["CRMASK1"] == 3).any()
    history = "\n".join(fits.getheader("out/crmasks.fits")["HISTORY"])
    assert "vote: any" in history
    assert f"crmethod: {method}_lacosmic+pycosmic" in history
