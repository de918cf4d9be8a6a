"""deepCR and Cosmic-CoNN: messages about wrong input, in a stack and in the command."""

from pathlib import Path
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal
from support.networks import BOTH, NOISE, needs_conn, needs_deepcr
from support.parameter_files import BIAS, GAIN, NAMES, READNOISE, refused, write_parameters

from crstack import CosmicCoNNDetector, CRStack
from crstack.cli import main
from crstack.config.configuration import read_configuration
from crstack.config.detector_images import read_detector_numbers
from crstack.datasets import make_stack
from crstack.detectors import _networks, conn, deepcr
from crstack.exceptions import InputError, PluginError
from crstack.utils.registry import DETECTORS


@pytest.mark.parametrize(("name", "extra"), [("deepcr", "deepcr"), ("conn", "conn")])
def test_without_the_package(monkeypatch, name, extra):
    monkeypatch.setattr(_networks, "find_spec", lambda module: None)
    with pytest.raises(PluginError, match=rf"with: pip install 'crstack\[{extra}\]'; got no .* and no torch"):
        DETECTORS.get(name)()


@pytest.mark.parametrize("kind", BOTH)
def test_wrong_parameters(kind):
    for wrong, sentence in (
        ({"model": "no such"}, "model must be one of .*; got 'no such'"),
        ({"threshold": 1.5}, "threshold must be a number at least 0 and at most 1; got 1.5"),
        ({"threshold": (0.5, 0.4, 0.3)}, "threshold must be a number or a pair of numbers"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda; got 'tpu'"),
    ):
        with pytest.raises(InputError, match=sentence):
            kind(**wrong)


@pytest.mark.parametrize("kind", BOTH)
def test_devices(kind):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        assert kind(device="cuda").device == "cuda"
    else:
        with pytest.raises(InputError, match="device must be auto or cpu where torch finds no CUDA device"):
            kind(device="cuda")


@pytest.mark.parametrize("there", [True, False])
def test_cuda_is_taken_where_torch_finds_it(monkeypatch, there):
    """Without a graphics card and without torch, of which only the query of the device is used."""
    cuda = SimpleNamespace(is_available=lambda: there)
    monkeypatch.setattr(_networks, "imported", lambda *names: SimpleNamespace(cuda=cuda))
    found = {name: _networks.resolved_device(name, "DeepCRDetector", "deepcr") for name in ("auto", "cpu")}
    assert found == {"auto": "cuda" if there else "cpu", "cpu": "cpu"}
    if there:
        assert _networks.check_device("cuda", "DeepCRDetector", "deepcr") == "cuda"
        assert _networks.resolved_device("cuda", "DeepCRDetector", "deepcr") == "cuda"
    else:
        with pytest.raises(InputError, match="device must be auto or cpu where torch finds no CUDA device; got 'cuda'"):
            _networks.check_device("cuda", "DeepCRDetector", "deepcr")


class FakePackage:
    """Notes the device that a network is asked to work on."""

    def __init__(self):
        self.asked, self.opt = [], SimpleNamespace(crop=1)

    def deepCR(self, model, *, inpaint, device):
        self.asked.append(device)
        return self

    def init_model(self, model):
        return self

    def to(self, device):
        self.asked.append(device)
        return self


@pytest.mark.parametrize(("device", "name"), [("cpu", "CPU"), ("cuda", "GPU")])
def test_the_packages_are_told_the_device(monkeypatch, device, name):
    package = FakePackage()
    for module in (deepcr, conn):
        monkeypatch.setattr(module, "imported", lambda *names: package)
    # without the cache: these networks must not be kept
    deepcr._load.__wrapped__("ACS-WFC", None, device)
    conn._load.__wrapped__("NRES", None, device)
    assert package.asked == [name, device]
    assert package.device == device


@needs_deepcr
def test_models_of_deepcr_are_those_it_ships():
    # imported first, because the modules import each other
    _networks.imported("DeepCRDetector", "deepcr", "deepCR")
    learned = pytest.importorskip("learned_models")
    assert set(deepcr.MODELS) == set(learned.mask_dict)
    assert set(deepcr.INPAINT_MODELS) == set(learned.inpaint_dict)


@needs_conn
def test_models_of_conn_may_be_files(network_scene, tmp_path):
    package = pytest.importorskip("cosmic_conn")
    shipped = next((Path(package.__file__).parent / "trained_models").glob("*ground_imaging*.pth"))
    copy = tmp_path / "mine.pth"
    copy.write_bytes(shipped.read_bytes())
    one, other = (CosmicCoNNDetector(model=model).detect(network_scene[0], NOISE) for model in ("ground_imaging", copy))
    assert_array_equal(one.probability, other.probability)
    copy.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"model must be a file that Cosmic-CoNN made; got .*mine.pth"):
        CosmicCoNNDetector(model=copy).detect(network_scene[0], NOISE)
    with pytest.raises(InputError, match=r"model must be one of .* that exists"):
        CosmicCoNNDetector(model=tmp_path / "absent.pth")


@needs_conn
def test_missing_weights_are_one_sentence(monkeypatch, network_scene):
    """The package does not download anything by itself; its error is reported."""
    package = pytest.importorskip("cosmic_conn")
    conn._load.cache_clear()

    def fail(model):
        raise ValueError("models not found in trained_models directory.")

    monkeypatch.setattr(package, "init_model", fail)
    with pytest.raises(PluginError, match="cosmic-conn must include its model NRES; got models not found"):
        CosmicCoNNDetector(model="NRES").detect(network_scene[0], NOISE)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Current directory with three images in it."""
    monkeypatch.chdir(tmp_path)
    electrons, adu = GAIN * u.electron / u.adu, BIAS * u.adu
    simulated = make_stack(
        "ifu", (60, 80), gain=electrons, readnoise=READNOISE * u.electron, bias=adu, hit_rate=0.03, seed=5
    )
    for name, ccd in zip(NAMES, simulated.exposures, strict=True):
        ccd.write(name)
    return tmp_path


KEYS = {
    "deepcr": {"dc_mask": "ACS-WFC", "dc_threshold": [0.5, 0.2]},
    "conn": {"nn_model": "NRES", "nn_threshold": 0.4},
}


@pytest.mark.filterwarnings(
    "ignore::crstack.exceptions.ImplausibleResultWarning"
)  # the models were trained on other images
@pytest.mark.parametrize("name", [pytest.param("deepcr", marks=needs_deepcr), pytest.param("conn", marks=needs_conn)])
@pytest.mark.parametrize("prefix", ["", "mm_"])
def test_from_yaml(here, capsys, name, prefix):
    path = write_parameters("p.yaml", crmethod=prefix + name, **KEYS[name])
    assert main(["run", path, "--output-dir", "out", "-v", "--no-plots"]) == 0
    shown = capsys.readouterr().out
    with fits.open("out/crmasks.fits") as hdus:
        history = "\n".join(hdus[0].header["HISTORY"])
        masks = {hdu.name: hdu.data for hdu in hdus if hdu.name.startswith("CRMASK")}
        assert ("AUXCLEAN" in hdus) == (name == "deepcr")
    for key in KEYS[name]:
        assert f"{key}: " in history
        assert key in shown
    configuration = read_configuration(path)
    numbers = read_detector_numbers(configuration, fits.getdata(NAMES[0]).shape)
    stack = CRStack.from_files(NAMES, **configuration.noise(numbers, u.adu))
    if prefix:
        stack.mm_diagram(aux=configuration.parts.detector, **configuration.parts.diagram)
        stack.fit_boundary(configuration.parts.boundary)
    parts = configuration.parts
    expected = stack.detect(parts.method, aux=parts.detector, rules=parts.rules)
    assert np.count_nonzero(expected["CRMASK1"]) > 10
    for mask, flagged in masks.items():
        assert_array_equal(flagged > 0, expected[mask])


@needs_conn
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")
def test_conn_cleans_nothing(here, capsys):
    for key, value in (("use_auxmedian", True), ("mm_synthetic", "single")):
        path = write_parameters("p.yaml", crmethod="mm_conn", **{key: value})
        refused(capsys, ["run", path, "--output-dir", "out"], f"{key} must be .* for crmethod mm_conn, which cleans no")
    stack = CRStack.from_files(
        NAMES, gain=GAIN * u.electron / u.adu, readnoise=READNOISE * u.electron, bias=BIAS * u.adu
    )
    stack.detect(aux=CosmicCoNNDetector(), boundary=None)
    with pytest.raises(InputError, match="use_auxmedian"):
        stack.combine("mediancr", use_auxmedian=True)


@pytest.mark.parametrize("name", ["deepcr", "conn"])
def test_the_command_refuses_before_work(here, capsys, monkeypatch, name):
    monkeypatch.setattr(_networks, "find_spec", lambda module: None)
    path = write_parameters("p.yaml", crmethod=f"mm_{name}")
    refused(capsys, ["run", path, "--output-dir", "out"], rf"pip install 'crstack\[{name}\]'")


def test_wrong_keys(here, capsys):
    for changes, sentence in (
        ({"dc_mask": "HST"}, "dc_mask must be one of ACS-WFC, WFC3-UVIS"),
        ({"nn_model": "mine"}, "nn_model must be one of ground_imaging, NRES, HST_ACS_WFC"),
        ({"nn_threshold": [0.5, 1.5]}, "nn_threshold must be a number at least 0 and at most 1; got 1.5"),
    ):
        path = write_parameters("p.yaml", **changes)
        refused(capsys, ["run", path, "--output-dir", "out"], sentence)
