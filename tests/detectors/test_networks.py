"""deepCR and Cosmic-CoNN: results, unchanged inputs and settings."""

import contextlib
import logging
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from support.networks import BOTH, HAS_CONN, HAS_DEEPCR, NOISE, needs_conn, needs_deepcr

from crstack import CosmicCoNNDetector, DeepCRDetector, NoiseModel
from crstack.detectors import _networks, conn, deepcr
from crstack.detectors._tiles import join_tiles
from crstack.utils.pixels import features_holding

EVERY_MODEL = [
    *(pytest.param(DeepCRDetector, {"model": name}, id=name, marks=needs_deepcr) for name in deepcr.MODELS),
    *(pytest.param(CosmicCoNNDetector, {"model": name}, id=name, marks=needs_conn) for name in conn.MODELS),
]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (130, 500), (257, 193), (1000, 300)])
def test_tiles_join_to_the_image(shape):
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    sides = set()

    def same(tile):
        sides.update(tile.shape)
        return tile

    assert_allclose(join_tiles(same, image, tile=256), image, atol=1e-6)
    assert max(sides) <= 256
    assert not any(side % 16 for side in sides)


def test_tiles_see_no_end_of_the_image():
    """Outside the image a function of the neighbours gets mirrored pixels, and the edges of tiles have no effect."""

    def spread(tile):
        return sum(np.roll(tile, (dy, dx), (0, 1)) for dy in (-20, 0, 20) for dx in (-20, 0, 20))

    image = np.random.default_rng(1).normal(size=(300, 420)).astype(np.float32)
    mirrored = spread(np.pad(image, 40, mode="reflect"))[40:-40, 40:-40]
    assert_allclose(join_tiles(spread, image, tile=256), mirrored, atol=1e-5)


@needs_deepcr
@pytest.mark.parametrize("model", ["ACS-WFC", "WFC3-UVIS"])
def test_deepcr_in_tiles_is_deepcr(monkeypatch, network_scene, model):
    image = np.tile(network_scene[0], (2, 1))
    detector = DeepCRDetector(model=model)
    whole = detector.detect(image, NOISE)
    monkeypatch.setattr(deepcr, "join_tiles", partial(join_tiles, tile=192))
    tiled = detector.detect(image, NOISE)
    assert_allclose(tiled.probability, whole.probability, atol=1e-4)
    assert_allclose(tiled.cleaned, whole.cleaned, rtol=1e-5)


@needs_conn
def test_conn_in_tiles_has_no_seam(monkeypatch, network_scene):
    """The result depends on the whole tile, but it has no step where tiles meet."""
    image = np.tile(network_scene[0], (2, 1))
    detector = CosmicCoNNDetector()
    whole = detector.detect(image, NOISE)
    monkeypatch.setattr(conn, "join_tiles", partial(join_tiles, tile=256))
    tiled = detector.detect(image, NOISE)
    change = tiled.probability - whole.probability
    assert np.abs(change).mean() < 0.005
    # the change from row to row is nowhere larger than that of the network itself
    rows, columns = (np.abs(np.diff(change, axis=axis)).mean(axis=1 - axis) for axis in (0, 1))
    assert rows.max() < 0.02
    assert columns.max() < 0.02
    assert np.count_nonzero(tiled.mask != whole.mask) < 0.1 * np.count_nonzero(whole.mask)


@pytest.mark.parametrize(("kind", "parameters"), EVERY_MODEL)
def test_every_model_runs(network_scene, kind, parameters):
    image, truth = network_scene
    detection = kind(**parameters).detect(image, NOISE)
    assert detection.probability.dtype == np.float32
    # most of the image is clean, and no value leaves the range
    assert 0 <= detection.probability.min() < 0.1
    assert 0.9 < detection.probability.max() <= 1
    assert_array_equal(detection.mask, detection.probability > 0.5)
    found = np.count_nonzero(detection.mask & truth)
    assert found > 0.15 * truth.sum()
    if parameters["model"] != "decam":
        assert found > 0.8 * detection.mask.sum()


@needs_deepcr
def test_deepcr_answers_what_the_package_answers(network_scene):
    package = pytest.importorskip("deepCR")
    image, _ = network_scene
    inner = (slice(32, -32), slice(32, -32))
    for model in ("ACS-WFC", "WFC3-UVIS"):
        with _networks.quiet():
            expected = package.deepCR(model, device="CPU").clean(image * 2, binary=False, segment=False)
        found = DeepCRDetector(model=model).detect(image, NOISE).probability
        # except at the edges, where the package assumes zeros outside the image
        assert_allclose(found[inner], expected[inner], atol=1e-4)


@needs_conn
def test_conn_answers_what_the_package_answers(network_scene):
    """Mirrored pixels around the image count in its statistics."""
    package = pytest.importorskip("cosmic_conn")
    image = np.ascontiguousarray(network_scene[0][:, :208])
    for model in conn.MODELS:
        with _networks.quiet():
            expected = package.init_model(model).detect_cr(np.pad(image * 2, 32, mode="reflect"))
        found = CosmicCoNNDetector(model=model).detect(image, NOISE).probability
        assert_allclose(found, expected[32:-32, 32:-32], atol=1e-4)


@pytest.mark.parametrize("kind", BOTH)
def test_pairs_make_two_passes(network_scene, kind):
    image, _ = network_scene
    peaks, tails, pair = (kind(threshold=value).detect(image, NOISE).mask for value in (0.9, 0.1, (0.9, 0.1)))
    assert_array_equal(pair, features_holding(tails, peaks))
    assert peaks.sum() < pair.sum() < tails.sum()


def test_the_networks_are_given_electrons_without_bad_pixels():
    noise = NoiseModel(2.5 * u.electron / u.adu, 4 * u.electron)
    image, mask = np.full((20, 30), 100, np.float32), np.zeros((20, 30), bool)
    image[4, 5], mask[4, 5] = 6e4, True
    image[8, 9] = np.nan
    electrons, bad = _networks.electrons_of(image, noise, mask)
    assert_array_equal(np.argwhere(bad), [[4, 5], [8, 9]])
    assert_array_equal(electrons, np.full(image.shape, 250, np.float32))
    assert electrons.dtype == np.float32
    # no pixel is bad, and all are
    image[8, 9] = 100
    electrons, bad = _networks.electrons_of(image, noise, None)
    assert not bad.any()
    assert electrons[4, 5] == 15e4
    electrons, bad = _networks.electrons_of(image, noise, np.ones_like(mask))
    assert bad.all()
    assert not electrons.any()


class FakeNetwork:
    """Flags pixels over 1000 electrons, and replaces them by 50; used instead of the networks of both packages."""

    norm, scale = False, 4.0

    def __init__(self):
        self.scaled = []

    def clean_(self, scaled, binary, inpaint):
        assert not binary
        assert not inpaint
        self.scaled.append(scaled)
        return np.where(scaled > 1000 / 4, np.float32(0.75), np.float32(0.25))

    def inpaint(self, tile, hits):
        return np.where(hits, np.float32(50), tile)

    def detect_cr(self, electrons):
        return np.where(electrons > 1000, np.float32(0.75), np.float32(0.25))


@pytest.fixture
def fake(monkeypatch):
    """A network without its package, and without torch."""
    network = FakeNetwork()
    monkeypatch.setattr(_networks, "find_spec", lambda name: name)
    detectors = DeepCRDetector(device="cpu"), CosmicCoNNDetector(device="cpu")
    monkeypatch.setattr(_networks, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(inference_mode=contextlib.nullcontext))
    for module in (deepcr, conn):
        monkeypatch.setattr(module, "_load", lambda *options: network)
    return network, *detectors


def image_for_networks():
    """(20, 30) of 100 ADU with one hit and one bad pixel."""
    image, bad = np.full((20, 30), 100, np.float32), np.zeros((20, 30), bool)
    image[4, 5] = 600
    image[8, 9], bad[8, 9] = 6e4, True
    return image, bad


def test_what_is_made_of_the_answer_of_a_network(fake):
    image, bad = image_for_networks()
    noise = NoiseModel(2.5 * u.electron / u.adu, 4 * u.electron)
    probability = np.full(image.shape, 0.25, np.float32)
    probability[4, 5], probability[8, 9] = 0.75, 0
    for detector in fake[1:]:
        found = detector.detect(image, noise, bad)
        assert_array_equal(np.argwhere(found.mask), [[4, 5]])
        assert_array_equal(found.probability, probability)
        if detector.cleans:
            expected = image.copy()
            expected[4, 5] = 50 / 2.5
            assert_array_equal(found.cleaned, expected)
        # no pixel is usable
        found = detector.detect(image, noise, np.ones_like(bad))
        assert not found.mask.any()
        assert not found.probability.any()
        # nothing is found
        found = detector.detect(np.full_like(image, 100), noise)
        assert not found.mask.any()


@pytest.mark.parametrize("level", [None, 100.0])
def test_networks_that_expect_a_normalised_image(fake, level):
    network, detector, _ = fake
    network.norm = True
    electrons = np.random.default_rng(1).normal(100, 7, (20, 30)).astype(np.float32)
    if level is not None:
        electrons[:] = level
    detector.detect(electrons, NoiseModel(None, 4 * u.electron, u.electron))
    (scaled,) = network.scaled
    # the tile begins before the image, which is mirrored
    width = electrons.std(dtype=np.float64) or 1.0
    expected = (electrons - electrons.mean(dtype=np.float64)) / width
    assert np.isin(np.float32(expected[10, 10]).round(3), scaled.round(3))
    assert scaled.min() == pytest.approx(expected.min(), abs=1e-4)
    assert scaled.max() == pytest.approx(expected.max(), abs=1e-4)


def test_tails_behind_bad_pixels():
    """A bad pixel is not flagged, and does not cut the tail from the peak."""
    probability = np.array([[0.95, 0.5, 0.5, 0.0, 0.5, 0.95]], dtype=np.float32)
    bad = np.array([[False, True, False, False, False, True]])
    assert_array_equal(_networks.above(probability, (0.9, 0.3), bad), [[True, False, True, False, False, False]])
    assert_array_equal(_networks.above(probability, 0.3, bad), [[True, False, True, False, True, False]])


@pytest.mark.parametrize("kind", BOTH)
def test_electrons_go_in(network_scene, kind):
    """By gain images and by the number of averaged exposures too."""
    image, _ = network_scene
    expected = kind().detect(image * 6, NoiseModel(None, 4 * u.electron, u.electron))
    gain = np.full(image.shape, 2.0) * u.electron / u.adu
    found = kind().detect(image, NoiseModel(gain, 4 * u.electron).averaged(3))
    assert_allclose(found.probability, expected.probability, atol=1e-4)
    if expected.cleaned is not None:
        assert_allclose(found.cleaned * 6, expected.cleaned, rtol=1e-4, atol=1e-2)


@needs_deepcr
@pytest.mark.parametrize("inpaint", [None, *deepcr.INPAINT_MODELS])
def test_inpainting(network_scene, inpaint):
    image, truth = network_scene
    detection = DeepCRDetector(inpaint=inpaint).detect(image, NOISE)
    hits = detection.mask & truth
    sky = np.median(image)
    assert np.median(image[hits]) > sky + 50
    assert abs(np.median(detection.cleaned[hits]) - sky) < 15
    assert_array_equal(detection.cleaned[~detection.mask], image[~detection.mask])


@pytest.mark.parametrize("kind", BOTH)
def test_nothing_is_said_written_or_set(network_scene, kind, capfd, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for module in (deepcr, conn):
        module._load.cache_clear()
    root = logging.getLogger()
    # as in a script, where the package would configure logging
    monkeypatch.setattr(root, "handlers", [])
    before = (root.handlers[:], root.level, logging.root.manager.disable, torch.get_default_dtype())
    flags = (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.get_num_threads())
    kind().detect(network_scene[0], NOISE)
    assert before == (root.handlers[:], root.level, logging.root.manager.disable, torch.get_default_dtype())
    assert flags == (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.get_num_threads())
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "module"), [(*BOTH[0].values, deepcr), (*BOTH[1].values, conn)], ids=["dc", "nn"])
def test_models_are_loaded_once(network_scene, kind, module):
    if not (HAS_DEEPCR and HAS_CONN):
        pytest.skip("the networks are not installed")
    module._load.cache_clear()
    for threshold in (0.5, 0.4, 0.3):
        kind(threshold=threshold).detect(network_scene[0], NOISE)
    assert module._load.cache_info().misses == 1


def test_registering_them_imports_no_torch():
    code = "import sys; from crstack.utils.registry import DETECTORS; DETECTORS.load_all(); print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "'crstack.detectors.conn'" in loaded
    for name in ("torch", "deepCR", "cosmic_conn"):
        assert f"'{name}'" not in loaded
