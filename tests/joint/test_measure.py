"""The joint decision on exposures that are not equivalent, where nobody has told it how they differ."""

import itertools
from functools import partial

import astropy.units as u
import numpy as np
import pytest
from scipy import ndimage
from support.stacks import stack_of

from crstack import CRStack, JointPosterior
from crstack._pixels import informative_box
from crstack.cli import main
from crstack.datasets import make_stack
from crstack.equalize import Equalization
from crstack.exposures import load_exposures
from crstack.joint import Counts, measure
from crstack.joint.measure import open_settings
from crstack.joint.scatter import scatter_of

FACTORS, SHIFTS = (0.85, 1.0, 1.12), ((0.15, -0.1), (0.0, 0.0), (-0.15, 0.1))
DEFECTS = {
    "factors": {"flux_factors": FACTORS},
    "offsets": {"offsets": SHIFTS},
    "response": {"response_jitter": 0.05},
    "all": {"flux_factors": FACTORS, "offsets": SHIFTS, "response_jitter": 0.05},
}
NOTHING = JointPosterior(measure=False)


def slit(seed=31, shape=(260, 320), **defects):
    return make_stack("slit", shape=shape, gain=1 * u.electron / u.adu, seed=seed, **defects)


def scores(simulated, masks):
    """Completeness over 2 sigma, precision, and unmasked means that are 5 sigma too high."""
    found, touched = masks.crmasks, simulated.hits > 1
    near = np.array([ndimage.maximum_filter(plane, size=3) for plane in touched])
    cube = np.array([ccd.data for ccd in simulated.exposures]) - simulated.expected
    count = (~found).sum(axis=0)
    error = np.where(found, 0, cube).sum(axis=0) / np.maximum(count, 1)
    sigma = np.sqrt(simulated.noise.variance(simulated.expected.mean(axis=0)) / len(simulated))
    high = np.count_nonzero((count > 0) & (error > 5 * sigma))
    return found[simulated.hit_mask(2)].mean(), (found & near).sum() / found.sum(), high


@pytest.fixture(scope="module")
def equivalent():
    simulated = slit()
    return scores(simulated, stack_of(simulated).detect(method=JointPosterior()))


@pytest.mark.parametrize("defect", DEFECTS)
def test_nobody_has_to_tell_what_differs(defect, equivalent):
    simulated = slit(**DEFECTS[defect])
    stack = stack_of(simulated)
    complete, precise, high = scores(simulated, stack.detect(method=JointPosterior()))
    assert complete > equivalent[0] - 0.01
    assert precise > 0.999
    assert high <= max(3 * equivalent[2], 1)
    result = stack.joint_posterior()
    assert not result.excess.of_scene
    measured = result.measured
    assert [measured.flux is not None, measured.offsets is not None, measured.response is not None] == [
        defect in ("factors", "all"),
        defect in ("offsets", "all"),
        defect in ("response", "all"),
    ]
    if defect == "factors":
        np.testing.assert_allclose(measured.flux.values, FACTORS, rtol=0.003)
        assert max(measured.flux.errors) > 0
    if measured.offsets:
        np.testing.assert_allclose(measured.offsets.values, SHIFTS, atol=0.02)
    if measured.response:
        low, top = measured.limits
        assert 0.8 < low < 0.95
        assert 1.05 < top < 1.25
    if defect == "factors":  # what was done before loses hits, and leaves them
        off = scores(simulated, stack.detect(method=NOTHING))
        assert off[0] < complete - 0.02
        assert off[2] > high


def test_what_was_measured_is_told():
    stack = stack_of(slit(flux_factors=FACTORS))
    masks = stack.detect(method=JointPosterior())
    words = stack.joint_posterior().summary()
    assert words["measured"].startswith("flux factors 0.8")
    assert words["scatter beyond the noise"] == "none"
    assert "measured flux factors 0.8" in "".join(masks.history)
    words = stack.joint_posterior(NOTHING).summary()
    assert "measured" not in words
    assert "of the signal" in words["scatter beyond the noise"]
    assert stack.joint_posterior(NOTHING).measured is None


def test_what_explains_nothing_is_told():
    words = stack_of(slit(offsets=SHIFTS)).joint_posterior().summary()
    assert words["measured"].startswith("offsets (dx, dy) (+0.1")
    simulated = slit(response_jitter=0.05)
    words = stack_of(simulated, response="auto", flux_factors=1.0).joint_posterior().summary()
    assert "measured" not in words
    shaken = [ccd.copy() for ccd in slit().exposures]
    rng = np.random.default_rng(1)
    for ccd in shaken:  # a scatter relative to the signal that is smooth along no axis
        ccd.data = ccd.data * rng.normal(1, 0.08, ccd.shape)
    words = CRStack(shaken, gain=1 * u.electron / u.adu, readnoise=simulated.readnoise).joint_posterior().summary()
    assert words["measured"] == "nothing that explains the scatter"
    assert words["measured in vain"] == "flux factors, local response along x, local response along y"


@pytest.mark.parametrize("n", [3, 4])
def test_equivalent_exposures_are_not_measured(n, monkeypatch):
    simulated = make_stack("ifu", shape=(150, 180), n_exposures=n, hit_rate=0.02, seed=12)
    off = stack_of(simulated).joint_posterior(NOTHING)

    def fail(*arguments):
        raise AssertionError("there is nothing to measure")

    monkeypatch.setattr("crstack.joint.method.measure_differences", fail)
    on = stack_of(simulated).joint_posterior(JointPosterior())
    np.testing.assert_array_equal(on.probability, off.probability)
    assert on.summary() == off.summary()
    # and where no excess is looked for, there is none to explain
    stack_of(slit(shape=(100, 120), flux_factors=FACTORS)).joint_posterior(JointPosterior(excess=False))


def test_values_that_are_combined_stay():
    simulated = slit(flux_factors=FACTORS)
    stacks = [stack_of(simulated), stack_of(simulated)]
    on = stacks[0].detect(method=JointPosterior())
    off = stacks[1].detect(method=NOTHING)
    for stack in stacks:
        assert stack.equalized.flux is None
        np.testing.assert_array_equal(stack.exposures.data, [ccd.data for ccd in simulated.exposures])
    assert on.flux_factors == off.flux_factors == ()
    clean = ~(on["MEANCRT"] | off["MEANCRT"])
    one, other = (stack.combine("meancr").data for stack in stacks)
    # the posterior may move a value beside a threshold
    assert (one[clean] == other[clean]).mean() > 0.98


def test_what_the_user_has_set_stays():
    simulated = slit(flux_factors=FACTORS, offsets=SHIFTS)
    stack = stack_of(simulated, offsets=SHIFTS)
    measured = stack.joint_posterior().measured
    assert measured.offsets is None
    np.testing.assert_allclose(measured.flux.values, FACTORS, rtol=0.003)
    assert not stack.joint_posterior().excess.of_scene
    stack = stack_of(simulated, flux_factors=FACTORS, apply_flux_factors_to="original")
    measured = stack.joint_posterior().measured
    assert measured.flux is None
    np.testing.assert_allclose(measured.offsets.values, SHIFTS, atol=0.02)
    assert not stack.joint_posterior().excess.of_scene


def test_what_is_left_open():
    assert open_settings(Equalization()) == {"flux_factors", "offsets", "response"}
    assert open_settings(Equalization(flux_factors="auto", response="auto")) == {"offsets"}
    assert open_settings(Equalization(flux_factors=1.0)) == {"offsets", "response"}
    assert open_settings(Equalization(offsets=SHIFTS)) == {"flux_factors", "response"}
    assert open_settings(Equalization(crosscorr_region=(1, 50, 1, 50))) == {"flux_factors", "response"}


def test_what_cannot_be_measured_is_left_out_and_told():
    """Too few rows for offsets."""
    simulated = slit(shape=(15, 1500), offsets=((0.6, 0.0), (0.0, 0.0), (-0.6, 0.0)))
    stack = stack_of(simulated)
    masks = stack.detect(method=JointPosterior())
    result = stack.joint_posterior()
    assert result.measured.offsets is None
    assert "offsets (crosscorr_region must be 16 pixels or more" in result.summary()["not to be measured"]
    assert "not to be measured offsets" in "".join(masks.history)
    assert result.excess.shift > 0.02


def test_order_of_the_exposures_does_not_matter():
    defects = {"flux_factors": (*FACTORS, 0.95), "offsets": (*SHIFTS, (0.05, 0.1)), "response_jitter": 0.05}
    simulated = slit(seed=5, shape=(150, 200), n_exposures=4, **defects)
    one = stack_of(simulated).joint_posterior()
    for order in ((3, 1, 0, 2), (1, 0, 3, 2)):
        exposures = [simulated.exposures[i] for i in order]
        other = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise).joint_posterior()
        for name in ("flux", "offsets"):
            values, errors = (np.array(getattr(getattr(one.measured, name), what)) for what in ("values", "errors"))
            np.testing.assert_array_equal(getattr(other.measured, name).values, values[list(order)])
            np.testing.assert_array_equal(getattr(other.measured, name).errors, errors[list(order)])
        assert other.measured.limits == one.measured.limits
        # but for the rounding of sums over the exposures
        assert np.count_nonzero(other.mask != one.mask[list(order)]) <= 2


def test_excess_does_not_depend_on_the_order_of_the_exposures():
    data = np.array([ccd.data for ccd in slit(n_exposures=4, flux_factors=(0.8, 0.9, 1.1, 1.2)).exposures])
    found = [
        scatter_of(Counts(data[list(order)], np.float32(3.4**2))).excess.relative
        for order in itertools.islice(itertools.permutations(range(4)), 0, 24, 5)
    ]
    np.testing.assert_allclose(found, found[0], rtol=1e-4)
    # the standard deviation of the factors
    assert found[0] == pytest.approx(np.std((0.8, 0.9, 1.1, 1.2), ddof=1), rel=0.15)


def test_own_uncertainties_and_bad_values():
    simulated = slit(shape=(200, 240), with_uncertainty=True, **DEFECTS["all"])
    exposures = [ccd.copy() for ccd in simulated.exposures]
    bad = np.random.default_rng(1).random((3, 200, 240)) < 0.01
    bad[:, :, 100] = True
    for ccd, mask in zip(exposures, bad, strict=True):
        ccd.data[mask] = 1e6
        ccd.mask = mask
    stack = CRStack(exposures, readnoise=simulated.readnoise, gain=simulated.gain)
    found, result = stack.detect(method=JointPosterior()).crmasks, stack.joint_posterior()
    np.testing.assert_allclose(result.measured.offsets.values, SHIFTS, atol=0.02)
    assert not found[bad].any()
    assert found[simulated.hit_mask(2) & ~bad].mean() > 0.96
    near = np.array([ndimage.maximum_filter(plane, size=3) for plane in simulated.hits > 1])
    assert (found & near).sum() > 0.998 * found.sum()


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (16, 17), (40, 60)])
@pytest.mark.parametrize("n", [3, 5])
def test_tiny_images(shape, n):
    rng = np.random.default_rng(n)
    scene = rng.uniform(0, 3000, shape) * np.array((0.85, 1.0, 1.12, 0.95, 1.05))[:n, None, None]
    cube = rng.poisson(scene) + rng.normal(0, 4, scene.shape)
    result = CRStack(list(cube * u.electron), readnoise=4 * u.electron).joint_posterior()
    assert result.probability.shape == cube.shape
    assert np.isfinite(result.probability).all()


# where the image is large


def in_a_box(monkeypatch, pixels):
    monkeypatch.setattr(measure, "informative_box", partial(informative_box, pixels=pixels))


def test_what_a_part_tells_holds_everywhere(monkeypatch):
    simulated = slit(**DEFECTS["all"])
    whole = scores(simulated, stack_of(simulated).detect(method=JointPosterior()))
    in_a_box(monkeypatch, 30_000)
    stages = []
    stack = stack_of(simulated)
    found = stack.detect(method=JointPosterior(), progress=lambda stage, _: stages.append(stage))
    part = scores(simulated, found)
    assert part[0] > whole[0] - 0.01
    assert part[1] > 0.998
    assert {"measuring flux factors", "measuring offsets", "measuring local response along x"} <= set(stages)


def test_what_a_part_tells_is_not_believed_if_it_does_not_hold_elsewhere(monkeypatch):
    one, other = slit(), slit(flux_factors=(0.7, 1.0, 1.4))
    exposures = [ccd.copy() for ccd in one.exposures]
    for ccd, bright, dim in zip(exposures, other.exposures, other.exposures[::-1], strict=True):
        # two thirds of the image get brighter, one third fainter
        ccd.data[:, :215], ccd.data[:, 215:] = bright.data[:, :215], dim.data[:, 215:]
    monkeypatch.setattr(measure, "informative_box", lambda weight: (slice(0, 260), slice(224, 320)))
    stack = CRStack(exposures, gain=one.gain, readnoise=one.readnoise)
    on, off = stack.joint_posterior(), stack.joint_posterior(NOTHING)
    assert not on.measured
    assert on.summary()["measured in vain"] == "flux factors"
    np.testing.assert_array_equal(on.probability, off.probability)


def test_box_that_tells_most():
    weight = np.zeros((300, 500))
    weight[100:180, 300:440] = 1
    weight[10, 10] = 1e9
    rows, columns = informative_box(weight, pixels=20_000)
    assert rows.start <= 100
    assert rows.stop >= 180
    assert columns.start <= 300
    assert columns.stop >= 440
    assert 0.5 < (rows.stop - rows.start) * (columns.stop - columns.start) / 20_000 < 1.5
    assert informative_box(weight, pixels=weight.size) == (slice(0, 300), slice(0, 500))
    for shape in ((5, 40_000), (40_000, 5), (17, 17)):
        rows, columns = informative_box(np.ones(shape), pixels=100)
        assert np.ones(shape)[rows, columns].size > 0


def test_exposures_in_another_order():
    rng = np.random.default_rng(3)
    cube = rng.uniform(10, 20, (3, 6, 8))
    cube[1, 2, 3] = np.nan
    exposures = load_exposures(list(cube * u.adu), gain=1 * u.electron / u.adu, readnoise=3 * u.adu)
    exposures = exposures.divided_by((1.0, 2.0, np.full((6, 8), 4.0)))
    moved = exposures.reordered((2, 0, 1))
    np.testing.assert_array_equal(moved.data, exposures.data[[2, 0, 1]])
    assert moved.bad[2, 2, 3]
    assert moved.bad.sum() == 1
    assert moved.scales[1:] == (1.0, 2.0)
    assert moved.names == ("exposure 3", "exposure 1", "exposure 2")


def test_share_of_the_excess_that_is_left():
    data = np.array([ccd.data for ccd in slit(flux_factors=FACTORS).exposures])
    counts = Counts(data, np.float32(3.4**2))
    scatter = scatter_of(counts)
    share, error = scatter.share_left(counts)
    assert share == pytest.approx(1, abs=0.1)
    assert error < 0.1
    share, _ = scatter.share_left(Counts(data, np.float32(3.4**2), scales=FACTORS))
    assert abs(share) < 0.05
    share, _ = scatter.share_left(Counts(data, np.float32(3.4**2), scales=FACTORS[::-1]))
    assert share > 2


def test_setting_of_the_parameter_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    simulated = slit(shape=(120, 150), flux_factors=(0.7, 1.0, 1.4))
    for i, ccd in enumerate(simulated.exposures):
        ccd.write(f"e{i}.fits")
    images = "images: [e0.fits, e1.fits, e2.fits]\ngain: 1\nrnoise: 3.4\nbias: 0\n"
    for value, told in (("true", True), ("false", False)):
        text = f"{images}requirements:\n  crmethod: joint\n  joint:\n    measure: {value}\n"
        (tmp_path / "p.yaml").write_text(text)
        assert main(["run", "p.yaml", "--output-dir", f"out_{value}", "--no-plots"]) == 0
        assert ("flux factors 0." in capsys.readouterr().out) == told
