"""The counts of the benchmarks, on exposures small enough to count by hand."""

import subprocess
import sys
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest

import crstack
from crstack.noise import NoiseModel


class Counted:
    """Three exposures of 5 x 6 pixels of 100 electrons, without noise but with two hits."""

    scene = "flat"

    def __init__(self):
        self.expected = np.full((3, 5, 6), 100.0)
        self.hits = np.zeros((3, 5, 6))
        self.hits[0, 1, 1] = 900.0
        self.hits[:, 3, 4] = 30.0
        self.exposures = [SimpleNamespace(data=image) for image in self.expected + self.hits]
        self.noise = NoiseModel(None, 0 * u.electron, u.electron)
        self.truth = self.hits > 1

    def __len__(self):
        return 3

    def hit_mask(self, n_sigma):
        return self.hits > n_sigma * 10


def masks_of(*flagged):
    masks = np.zeros((3, 5, 6), dtype=bool)
    for one in flagged:
        masks[one] = True
    return masks


def test_what_is_counted(module):
    truth, counted = module("_truth"), Counted()
    # a hit, the pixel beside it, the same pixel of another exposure, and one far away
    masks = masks_of((0, 1, 1), (0, 2, 2), (1, 1, 1), (0, 4, 0))
    assert truth.precision(counted, masks) == pytest.approx(50)
    assert np.isnan(truth.precision(counted, masks_of()))
    assert truth.completeness(counted, masks, 2) == pytest.approx(25)
    assert truth.completeness(counted, masks, 5) == pytest.approx(100)
    np.testing.assert_array_equal(truth.perfect(counted), counted.truth)


def test_pixels_that_are_too_high(module):
    truth, counted = module("_truth"), Counted()
    # sigma of the mean is 10 / sqrt(3): the bright hit adds 300, those of the other pixel 30, which is 5.2 sigma
    mean = (counted.expected + counted.hits).mean(axis=0)
    assert truth.too_high(counted, mean) == pytest.approx(2e6 / 30)
    assert truth.too_high(counted, mean - 1.5) == pytest.approx(1e6 / 30)


def counted_by_peers(module):
    """The same exposures as the benchmark of peers has them."""
    counted = Counted()
    return module("_peer_scenes").PeerStack(counted.expected + counted.hits, counted.expected, counted.hits, 0.0, True)


def test_the_mean_of_a_peer(module):
    stack = counted_by_peers(module)
    # sigma of the mean is 10 / sqrt(3): the bright hit adds 300, those of the other pixel 30, which is 5.2 sigma
    unmasked = stack.mean_of_unmasked(masks_of())
    assert unmasked[1, 1] == pytest.approx(400)
    assert stack.too_high(unmasked) == pytest.approx(2e6 / 30)
    assert stack.rms(unmasked, stack.truth.any(axis=0)) == pytest.approx(np.sqrt((2700 + 270000) / 200))
    masked = stack.mean_of_unmasked(stack.truth)
    assert masked[1, 1] == pytest.approx(100)
    assert np.isnan(masked[3, 4])
    assert stack.too_high(masked) == 0
    assert stack.rms(masked, stack.truth.any(axis=0)) == 0


def test_the_differences_of_exposures_are_taken_off(module):
    stack = counted_by_peers(module)
    levels = np.array([0.0, 30.0, -15.0])[:, None, None]
    other = module("_peer_scenes").PeerStack(stack.cube + levels, stack.expected + levels, stack.hits, 0.0, False)
    # the exposures hold 105 electrons in the mean
    assert other.mean_of_unmasked(stack.truth)[1, 1] == pytest.approx(105)
    assert other.rms(other.mean_of_unmasked(stack.truth), stack.truth.any(axis=0)) == pytest.approx(0)


@pytest.mark.parametrize("name", ["slit", "night"])
def test_stacks_of_peers(module, name):
    stack = module("_peer_scenes").make_peer_stack(name, 3, (80, 90), 3)
    assert stack.cube.shape == stack.expected.shape == stack.hits.shape == (3, 80, 90)
    assert stack.equal == (name == "slit")
    clean = (stack.cube - stack.expected)[~stack.truth] / stack.sigma[~stack.truth]
    assert clean.mean() == pytest.approx(0, abs=0.04)
    assert clean.std() == pytest.approx(1, abs=0.04)
    levels = np.median(stack.expected, axis=(1, 2))
    assert (np.ptp(levels) > 1) == (name == "night")


def test_rows_of_peers(module):
    peers, counted = module("peers"), counted_by_peers(module)
    product = np.where(counted.truth.any(axis=0), 100 + 10 / np.sqrt(3), 100.0)
    row = peers.row("flat", "one", counted, counted.truth, product, 1.23)
    assert row == ("flat", "one", "100.00", "0", "100.0", "100.00", "0", "0.00", "0", "1.00", "0.00", "1.2")
    assert len(row) == len(peers.COLUMNS)
    assert peers.row("flat", "one", counted, None, None, None) == ("flat", "one", *10 * ["-"])
    # two clean values among 90 are flagged
    false = peers.row("flat", "one", counted, counted.truth | masks_of((0, 4, 0), (1, 0, 5)), None, None)
    assert false[3] == f"{2e6 / 90:.0f}"


def test_a_peer_that_runs_and_ones_that_do_not(module, tmp_path):
    peers, truth = module("peers"), module("_truth")
    stack = module("_peer_scenes").make_peer_stack("ifu", 3, (60, 70), 1)
    peers.write_exposures(stack, tmp_path)
    masks, product, answered = peers.run(peers.PEERS[0], sys.executable, stack, tmp_path, timeout=100)
    assert masks.shape == (3, 60, 70)
    assert truth.completeness(stack, masks, 5) > 90
    assert product.shape == (60, 70)
    assert answered["seconds"] > 0
    assert answered["versions"] == {"crstack": crstack.__version__}
    with pytest.raises(subprocess.CalledProcessError) as caught:
        peers.run(peers.Peer("none", "none", "nothing"), sys.executable, stack, tmp_path, timeout=100)
    assert peers.reason(caught.value) == "KeyError: 'nothing'"
    # an earlier result of a program is not used as its result now
    assert not (tmp_path / "answer.npz").exists()


def test_rows_and_versions_of_peers_that_run(module, monkeypatch):
    peers = module("peers")
    monkeypatch.setattr(peers, "PEERS", peers.PEERS[:1])
    versions, failures = {}, {}
    options = SimpleNamespace(shape=(40, 50), seed=1, timeout=100)
    rows = list(peers.rows_of("ifu", options, {"crstack": sys.executable}, versions, failures))
    assert [row[1] for row in rows] == ["perfect masks", peers.PEERS[0].name]
    assert versions == {"crstack": crstack.__version__}
    assert not failures


def test_versions_of_what_is_installed(module):
    assert module("_peer_runs").versions(("numpy", "not-installed-anywhere")) == {"numpy": np.__version__}


def test_peers_without_an_environment_are_named(module, monkeypatch):
    peers = module("peers")
    monkeypatch.setattr(peers, "PEERS", peers.PEERS[3:])
    versions, failures = {}, {}
    options = SimpleNamespace(shape=(40, 50), seed=1, timeout=1)
    rows = list(peers.rows_of("ifu", options, {}, versions, failures))
    assert [row[1] for row in rows] == ["perfect masks"]
    assert failures["drizzlepac min_med"] == "no environment drizzlepac was given"
    assert len(failures) == len(peers.PEERS)
    assert not versions


def test_hot_pixels_are_none_of_the_bright_structures(module):
    cube = 100 + np.random.default_rng(1).standard_normal((3, 60, 70))
    cube[:, 20:24, 30:34] += 3000
    cube[:, 40, 50] += 5000
    bright, hot = module("real").bright_pixels(cube, 4.0)
    assert (bright.sum(), bright[20:24, 30:34].sum()) == (16, 16)
    assert (hot.sum(), hot[39:42, 49:52].sum()) == (9, 9)


def test_pictures_of_what_was_flagged(module, tmp_path):
    cube = np.full((3, 60, 70), 100.0)
    found = np.zeros(cube.shape, bool)
    found[1, 20, 30] = found[2, 40:42, 50] = True
    bright = np.zeros(cube.shape[1:], bool)
    bright[20] = True
    module("_real_pictures").draw(tmp_path / "new", "a set", cube, found, cube * 0, bright, ~bright & False)
    assert sorted(one.name for one in (tmp_path / "new").iterdir()) == [
        "a_set.png", "a_set_bright.png", "a_set_elsewhere.png",
    ]  # fmt: skip
    assert module("_real_pictures")._features(found, ~bright) == [(40, 50)]


@pytest.mark.parametrize(("population", "n"), [("cosmic", 5), ("worms", 3), ("single", 2)])
def test_rate_of_false_alarms_of_the_joint_decision_where_hits_are_present(module, population, n, monkeypatch):
    """Of 200 000 clean values or more, one of a thousand is masked, further than two pixels from any hit."""
    # 600 simulated values and more are over the threshold: an error of 4 %
    monkeypatch.setattr("crstack.joint.false_alarms.DRAWS", 300_000)
    options = SimpleNamespace(seed=5, readnoise=3.4, pixels=100_000)
    assert 0.65 < module("false_alarms").rate_beside_hits(population, n, options) < 1.35


def test_moments_of_pulls_and_their_errors(module):
    """Added in parts they are those of all values; the errors are those of repeated draws."""
    moments, draws = module("pulls").Moments, np.random.default_rng(4).normal(3.0, 2.0, (400, 500))
    parts, each = moments(), []
    for draw in draws:
        parts.add(draw)
        one = moments()
        one.add(draw)
        each.append(one.numbers())
    deviation, its_error, mean, error = parts.numbers()
    assert (deviation, mean) == pytest.approx((draws.std(), draws.mean()))
    assert (its_error, error) == pytest.approx((2 / np.sqrt(2 * draws.size), 2 / np.sqrt(draws.size)), rel=0.02)
    of_draws = np.transpose(each)
    assert of_draws[0].std() == pytest.approx(of_draws[1].mean(), rel=0.1)
    assert of_draws[2].std() == pytest.approx(of_draws[3].mean(), rel=0.1)
    assert str(parts) == f"{draws.std():.3f}(3) {draws.mean():+.3f}(4)"
    assert str(moments()) == "-"


def test_rows_of_speed_are_ratios_to_the_reference_of_the_same_exposures(module, monkeypatch, capsys):
    # the script changes these when it is imported
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    speed = module("speed")
    assert speed.row_of("one", (3.0, 8.0, np.nan), (2.0, 4.0, 100.0)) == ("one", "3.00", "1.50", "2.00", "-")
    seconds = {"astroscrappy": 2.0, "joint": 5.0}
    monkeypatch.setattr(speed, "in_process", lambda call: (seconds[call.func.__name__.split("_")[0]], 1.0, np.nan))
    monkeypatch.setattr("sys.argv", ["speed.py", "--nights", "--shape", "60", "70", "--repeats", "2"])
    speed.main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if ":" in line]
    assert [row[-3] for row in rows] == ["1.00", "2.50", "1.00", "2.50"]


def test_all_is_measured_where_speed_is(module, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    field, slit = module("speed").calls_of_nights((200, 240))
    stacks = []
    monkeypatch.setattr(crstack.CRStack, "detect", lambda stack: stacks.append(stack.joint_posterior().in_words()))
    for calls in (field, slit):
        list(calls.values())[1]()
    of_sky = {"added levels (electron)", "throughputs"}
    assert of_sky | {"shifts (dx, dy)", "second moments (pixel squared)"} <= set(stacks[0])
    assert of_sky | {"added level of each column along y", "response of each row along x"} <= set(stacks[1])
