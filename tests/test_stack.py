"""CRStack: the flow of the stages, and changes that must not affect the result."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage
from support.stacks import stack_of

from crstack import (
    CRStack,
    JointPosterior,
    LACosmicDetector,
    MaskRules,
    MMCosmic,
    PiecewiseBoundary,
    PyCosmicDetector,
    SplineBoundary,
)
from crstack.datasets import make_stack
from crstack.detections import Detections
from crstack.diagram import DiagramSettings
from crstack.exceptions import CRStackError, InputError, UnknownPluginError
from crstack.joint.method import JointDecision

PYCOSMIC = PyCosmicDetector()


@pytest.fixture(scope="module")
def simulated():
    """Three simulated IFU exposures, smaller than those of other tests."""
    numbers = {"gain": 2.5 * u.electron / u.adu, "readnoise": 4 * u.electron, "bias": 500 * u.adu}
    return make_stack("ifu", shape=(100, 120), hit_rate=0.02, seed=11, **numbers)


def grown(mask, radius=1):
    return ndimage.maximum_filter(mask, size=2 * radius + 1)


def assert_same_masks(one, other):
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


# flow


def test_five_lines(simulated):
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    diagram = stack.mm_diagram(n_simulations=2, seed=123456)
    boundary = stack.fit_boundary(SplineBoundary(n_knots=5, n_extensions=5, extension_weight=2.0))
    masks = stack.detect(aux=PyCosmicDetector(sigma_det=(5, 3), rlim=1.2))
    ccd = stack.combine("meancr2")
    assert isinstance(ccd, CCDData)
    assert boundary(100.0) > boundary(0.0)
    for result, words in (
        (stack, "CRStack of <Exposures: 3 of 120 x 100"),
        (diagram, "pixels, 2 simulations, min2d"),
        (boundary, "FittedBoundary SplineBoundary(n_knots=5"),
        (masks, "MaskSet of 3 exposures: MEDIANCR"),
        (PYCOSMIC, "PyCosmicDetector(sigma_det=(5.0, 3.0)"),
        (stack.statistics, "OrderStatistics of 120 x 100"),
        (stack.exposures.noise, "NoiseModel(gain=2.5"),
    ):
        assert words in repr(result)


def test_detect_alone_does_everything(simulated):
    stack = stack_of(simulated)
    masks = stack.detect()
    assert masks.probability is not None
    assert isinstance(masks.decision, JointDecision)
    assert not any("LACosmicDetector" in stage for stage in stack.timings)


@pytest.mark.parametrize(
    ("prepare", "options"),
    [
        (lambda stack: None, {"aux": PYCOSMIC}),
        (lambda stack: None, {"aux": "pycosmic"}),
        (lambda stack: None, {"aux": PYCOSMIC, "boundary": None}),
        (lambda stack: None, {"boundary": PiecewiseBoundary(fixed_points=((0, 40), (400, 120)))}),
        (lambda stack: stack.mm_diagram(n_simulations=2), {}),
        (lambda stack: (stack.mm_diagram(n_simulations=2), stack.fit_boundary("spline")), {"aux": None}),
    ],
)
def test_a_detector_a_diagram_or_a_boundary_asks_for_mmcosmic(simulated, prepare, options):
    stack = stack_of(simulated)
    prepare(stack)
    assert stack.detect(**options).probability is None


def test_mmcosmic_has_a_detector_by_default(simulated):
    masks = stack_of(simulated).detect("mmcosmic")
    assert masks.auxclean is not None
    assert {2, 4} < set(np.unique(masks.codes["MEANCRT"]))


def test_without_detector_and_without_boundary(simulated):
    stack = stack_of(simulated)
    mm = stack.detect("mmcosmic", aux=None)
    assert not mm["MEANCR"].any()
    assert mm.auxclean is None
    assert set(np.unique(mm.codes["MEDIANCR"])) <= {0, 2}
    alone = stack.detect(aux=PYCOSMIC, boundary=None)
    assert set(np.unique(alone.codes["MEDIANCR"])) <= {0, 3}
    direct = PYCOSMIC.detect(stack.statistics.median2d, stack.exposures.noise)
    np.testing.assert_array_equal(alone["MEDIANCR"], direct.mask)
    with pytest.raises(InputError, match="aux or boundary must be given; got None for both"):
        stack.detect(aux=None, boundary=None)


def test_same_settings_are_not_computed_again(monkeypatch):
    stack = stack_of(make_stack("ifu", (60, 80), hit_rate=0.02, seed=11))
    calls = []
    original = PyCosmicDetector.detect
    monkeypatch.setattr(
        PyCosmicDetector, "detect", lambda self, *args: calls.append(self.rlim) or original(self, *args)
    )
    masks = stack.detect(aux=PyCosmicDetector())
    assert len(calls) == 6  # median, mean, three exposures, meancr
    assert stack.detect(aux=PyCosmicDetector()) is masks
    assert len(calls) == 6
    dilated = stack.detect(aux=PyCosmicDetector(), rules=MaskRules(dilation=1))
    assert dilated is not masks
    assert len(calls) == 7  # only meancr is another image
    stack.detect(aux=PyCosmicDetector(rlim=0.8))
    assert len(calls) == 13


def test_the_latest_boundary_is_used(simulated):
    stack = stack_of(simulated)
    high = stack.fit_boundary(PiecewiseBoundary([(0, 1e6), (1, 1e6)]))
    assert not stack.detect("mmcosmic", aux=None)["MEANCRT"].any()
    assert stack.detect("mmcosmic", aux=None, boundary=SplineBoundary())["MEANCRT"].any()
    assert stack.detect("mmcosmic", aux=None, boundary="spline")["MEANCRT"].any()
    assert not stack.detect("mmcosmic", aux=None, boundary=high)["MEANCRT"].any()


def test_names_of_methods(simulated):
    stack = stack_of(simulated)
    assert stack.detect("mmcosmic", aux=None) is stack.detect(MMCosmic(), aux=None)
    assert stack.detect("joint") is stack.detect(JointPosterior()) is stack.detect() is stack.detect(aux=None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda stack: CRStack([], gian=1), r"CRStack.__init__\(\) got an unexpected keyword argument 'gian'"),
        (lambda stack: CRStack.from_files([], gian=1), r"CRStack.__init__\(\) got an unexpected .* 'gian'"),
        (lambda stack: stack.detect(dilate=2), r"CRStack.detect\(\) got an unexpected keyword argument 'dilate'"),
        (lambda stack: stack.mm_diagram(n_sim=2), r"mm_diagram\(\) got an unexpected .* 'n_sim'"),
        (lambda stack: stack.detect("joint", "pycosmic"), r"CRStack.detect\(\) takes .* positional arguments"),
    ],
)
def test_typing_errors_name_the_method(stack, call, message):
    with pytest.raises(TypeError, match=message):
        call(stack)


def test_progress_is_handed_in(simulated):
    seen = []
    stack_of(simulated).detect(aux=PYCOSMIC, progress=lambda stage, fraction: seen.append((stage, fraction)))
    assert ("simulating", 1.0) in seen
    assert "masking MEANCR" in [stage for stage, _ in seen]
    assert all(0 <= fraction <= 1 for _, fraction in seen)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"aux": "lacosmc"},
            UnknownPluginError,
            r"detector must be one of .*; got 'lacosmc' \(did you mean 'lacosmic'\?\)",
        ),
        ({"aux": 3}, InputError, "aux must be a Detector, the name of one, a list of these or None; got 3"),
        ({"aux": LACosmicDetector}, InputError, r"got a class: call it, LACosmicDetector\(\)$"),
        ({"boundary": 3}, InputError, "boundary must be a BoundaryModel"),
        ({"boundary": "splin"}, UnknownPluginError, "did you mean 'spline'"),
        ({"aux_noise": "both"}, InputError, "aux_noise must be one of exposure, average; got 'both'"),
        (
            {"method": "jiont"},
            InputError,
            r"method must be one of joint, mmcosmic; got 'jiont' \(did you mean 'joint'",
        ),
        ({"method": "pycosmic"}, InputError, "got the detector 'pycosmic': pass it as aux"),
        ({"method": PyCosmicDetector()}, InputError, "got the detector PyCosmicDetector: pass it as aux"),
        ({"method": 3}, InputError, 'method must be a Method, the name of one or "auto"; got 3'),
        ({"method": "joint", "boundary": None}, InputError, "boundary must be left out for JointPosterior; got None"),
        ({"method": MMCosmic("spline"), "boundary": "spline"}, InputError, "boundary must be given once"),
        ({"rules": {}}, InputError, "rules must be MaskRules; got {}"),
    ],
)
def test_bad_arguments(stack, arguments, error, message):
    with pytest.raises(error, match=message):
        stack.detect(**arguments)


# changes that must not affect the result


@pytest.fixture(scope="module")
def reference(simulated):
    stack = stack_of(simulated)
    masks = stack.detect(aux=PYCOSMIC)
    return masks, stack.combine("meancr2")


def test_input_is_untouched(simulated):
    before = [ccd.data.copy() for ccd in simulated.exposures]
    stack_of(simulated).detect(aux=PYCOSMIC)
    for ccd, data in zip(simulated.exposures, before, strict=True):
        np.testing.assert_array_equal(ccd.data, data)


@pytest.mark.parametrize("aux", [PYCOSMIC, LACosmicDetector()])
def test_adu_and_electrons(simulated, aux):
    gain = simulated.gain
    electrons = [(ccd.data.astype(np.float64) * u.adu - simulated.bias) * gain for ccd in simulated.exposures]
    one = stack_of(simulated)
    other = CRStack(electrons, readnoise=simulated.readnoise)
    assert_same_masks(one.detect(aux=aux), other.detect(aux=aux))
    np.testing.assert_allclose(
        one.combine("meancr2").data * gain.value, other.combine("meancr2").data, rtol=1e-5, atol=1e-3
    )


@pytest.mark.parametrize(("scene", "n"), [("ifu", 5), ("imaging", 4), ("slit", 3)])
def test_adu_and_electrons_alone(scene, n):
    """M.M.Cosmic alone, whose simulations must not differ by rounding."""
    simulated = make_stack(
        scene, shape=(120, 140), n_exposures=n, gain=2.3 * u.electron / u.adu, bias=417 * u.adu, seed=n
    )  # fmt: skip
    electrons = [(ccd.data.astype(np.float64) * u.adu - simulated.bias) * simulated.gain for ccd in simulated.exposures]
    other = CRStack(electrons, readnoise=simulated.readnoise)
    assert_same_masks(stack_of(simulated).detect("mmcosmic", aux=None), other.detect("mmcosmic", aux=None))


def test_order_of_exposures(simulated, reference):
    masks, ccd = reference
    shuffled = CRStack(
        [simulated.exposures[i] for i in (2, 0, 1)],
        gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias,
    )  # fmt: skip
    others = shuffled.detect(aux=PYCOSMIC)
    for name in ("MEDIANCR", "MEANCRT", "MEANCR"):
        np.testing.assert_array_equal(masks[name], others[name])
    for i, j in enumerate((2, 0, 1)):
        np.testing.assert_array_equal(masks[f"CRMASK{j + 1}"], others[f"CRMASK{i + 1}"])
    np.testing.assert_allclose(shuffled.combine("meancr2").data, ccd.data, rtol=1e-6)


def test_bias_changes_nothing(simulated, reference):
    plain = [CCDData(ccd.data.astype(np.float64) - 500, unit=u.adu) for ccd in simulated.exposures]
    stack = CRStack(plain, gain=simulated.gain, readnoise=simulated.readnoise)
    assert_same_masks(stack.detect(aux=PYCOSMIC), reference[0])
    image = np.full(simulated.exposures[0].shape, 500.0) * u.adu
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=image)
    assert_same_masks(stack.detect(aux=PYCOSMIC), reference[0])


def test_maps_of_a_constant_give_nearly_the_masks_of_the_number(simulated, reference):
    shape = simulated.exposures[0].shape
    stack = CRStack(
        simulated.exposures,
        gain=np.full(shape, simulated.gain.value) * simulated.gain.unit,
        readnoise=np.full(shape, simulated.readnoise.value) * u.electron,
        bias=simulated.bias,
    )
    masks = stack.detect(aux=PYCOSMIC)
    # the simulations draw other numbers
    for name in ("MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3"):
        both, either = masks[name] & reference[0][name], masks[name] | reference[0][name]
        assert both.sum() > 0.85 * either.sum()


def test_bad_pixels_stay_out(simulated):
    rng = np.random.default_rng(4)
    exposures = [ccd.copy() for ccd in simulated.exposures]
    bad = rng.random((3, *exposures[0].shape)) < 0.002
    bad[:, 20, 20] = True
    for i, ccd in enumerate(exposures):
        if i == 0:
            ccd.data[bad[i]] = np.nan
        else:
            ccd.data[bad[i]] = 1e7
            ccd.mask = bad[i]
    stack = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    masks = stack.detect(aux=PYCOSMIC)
    for i in range(3):
        assert not (masks[f"CRMASK{i + 1}"] & bad[i]).any()
    ccd = stack.combine("meancr2")
    assert ccd.mask[20, 20]
    valid = ~ccd.mask
    assert np.isfinite(ccd.data[valid]).all()
    clean = valid & ~simulated.truth.any(axis=0)
    sigma = np.sqrt(ccd.uncertainty.array)
    assert np.abs((ccd.data - simulated.expected.mean(axis=0)) / sigma)[clean].max() < 8


@pytest.mark.parametrize("n", [3, 4, 5, 7])
def test_hit_in_all_exposures(flat_exposures, n):
    planes = [plane.copy() for plane in flat_exposures(n, shape=(60, 60))]
    for plane in planes:
        plane[30, 30] += 3000 * u.adu
        plane[0, 0] += 3000 * u.adu
    for plane in planes[: n - 1]:
        plane[10, 10] += 3000 * u.adu
        plane[59, 59] += 3000 * u.adu
    stack = CRStack(planes, gain=2 * u.electron / u.adu, readnoise=5 * u.electron, cr_coincidences=n - 1)
    masks = stack.detect(aux=PYCOSMIC)
    ccd = stack.combine("meancr2", full_output=True)
    for y, x in ((10, 10), (59, 59)):
        assert masks["MEDIANCR"][y, x]
        assert sum(masks[f"CRMASK{i + 1}"][y, x] for i in range(n)) == n - 1
        assert ccd.ccd.data[y, x] == pytest.approx(100, abs=60)
    # hit in all: the auxiliary detector finds it, and there is no clean value
    for y, x in ((30, 30), (0, 0)):
        assert masks["MEDIANCR"][y, x] or masks["MEANCR"][y, x] or masks.problematic[y, x]


# truth


@pytest.mark.parametrize(("scene", "n"), [("ifu", 3), ("slit", 4), ("ifu", 5)])
def test_completeness_and_false_positives(scene, n):
    simulated = make_stack(
        scene, shape=(220, 260), n_exposures=n, gain=2.5 * u.electron / u.adu,
        readnoise=4 * u.electron, bias=500 * u.adu, hit_rate=0.02, seed=70 + n,
    )  # fmt: skip
    stack = stack_of(simulated)
    masks = stack.detect(aux=PYCOSMIC)
    bright, near = simulated.hit_mask(10), grown(simulated.truth.any(axis=0), 2)
    contaminated = bright.sum(axis=0) >= n // 2 + 1
    assert masks["MEDIANCR"][contaminated].sum() >= 0.9 * contaminated.sum()
    assert masks["MEANCRT"][bright.any(axis=0)].mean() > 0.97
    assert masks["MEANCRT"][~near].mean() < 4e-3
    for i in range(n):
        assert masks[f"CRMASK{i + 1}"][bright[i]].mean() > 0.95
    ccd = stack.combine("meancr2")
    pull = (ccd.data - simulated.expected.mean(axis=0)) / np.sqrt(ccd.uncertainty.array)
    clean = ~simulated.truth.any(axis=0)
    # a low value also gets a low variance, which gives -0.06 at ten electrons
    assert abs(pull[clean].mean()) < 0.1
    assert pull[clean].std() == pytest.approx(1, abs=0.05)
    before = (stack.combine("mean").data - simulated.expected.mean(axis=0)) / np.sqrt(ccd.uncertainty.array)
    assert (pull > 5).sum() < 0.03 * (before > 5).sum()


def test_no_hits_hardly_anything_flagged():
    simulated = make_stack("ifu", shape=(200, 300), hit_rate=0, seed=3)
    masks = stack_of(simulated).detect(aux=PYCOSMIC)
    assert masks["MEANCRT"].mean() < 1e-3


# pulls: the same hits with new noise


def test_pulls_of_the_variances():
    simulated = make_stack(
        "ifu", shape=(60, 70), gain=2.0 * u.electron / u.adu, readnoise=4 * u.electron, hit_rate=0.03, seed=9
    )
    truth = simulated.expected.mean(axis=0)
    names = ("mean", "median", "meancr2")
    errors, sigmas = {name: [] for name in names}, {name: [] for name in names}
    for seed in range(15):
        stack = stack_of(simulated.realisation(seed))
        stack.detect("mmcosmic", aux=None)
        for name in names:
            ccd = stack.combine(name)
            errors[name].append(ccd.data - truth)
            sigmas[name].append(np.sqrt(ccd.uncertainty.array))
    hit, clean = simulated.hit_mask(0.01).any(axis=0), ~simulated.truth.any(axis=0)
    for name in names:
        error, sigma = np.array(errors[name]), np.array(sigmas[name])
        assert (error / sigma)[:, clean].std() == pytest.approx(1, abs=0.03), name
        # the charge that a hit adds to mean and median is the same in every realisation
        scatter = (error - error.mean(axis=0)) / sigma
        assert scatter[:, hit].std(ddof=1) == pytest.approx(1, abs=0.15), name


# reference answers


@pytest.mark.filterwarnings("ignore:bright pixels of the exposures differ")
def test_a_small_stack_of_the_reference_program():
    """Its simulations draw other random numbers, so that the boundaries differ a little."""
    with np.load(Path(__file__).parent / "data" / "numina_crmasks_small.npz") as file:
        golden = dict(file)
    planes = list(golden["exposures"].astype(np.float32))
    stack = CRStack(planes, gain=2 * u.electron / u.adu, readnoise=1.7 * u.adu, unit=u.adu, differences=None)
    masks = stack.detect("mmcosmic", aux=LACosmicDetector(fsmode="convolve"))
    same = np.ones(planes[0].shape, dtype=bool)
    for name in ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3"):
        # 71, 899, 343, 296 and 349 pixels
        assert np.count_nonzero(masks[name] ^ golden[name]) < 0.03 * golden[name].sum(), name
        same &= masks[name] == golden[name]
    assert not masks["MEANCR"].any()
    assert not golden["MEANCR"].any()
    assert same.mean() > 0.998
    for combination in ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2"):
        ours, theirs = stack.combine(combination).data, golden[f"combined_{combination}"]
        np.testing.assert_allclose(ours[same], theirs[same], rtol=1e-6, err_msg=combination)


@pytest.mark.parametrize(("name", "aux"), [("pycosmic", PYCOSMIC), ("lacosmic", LACosmicDetector(fsmode="convolve"))])
def test_masks_and_images_of_the_reference_program(golden_dir, name, aux):
    golden = np.load(golden_dir / f"numina_mm_{name}.npz")
    planes = list(golden["exposures"])
    stack = CRStack(planes, gain=1 * u.electron / u.adu, readnoise=3.4 * u.electron, unit=u.adu, differences=None)
    masks = stack.detect(aux=aux)
    least = {"MEDIANCR": 0.8} | dict.fromkeys(("MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3"), 0.9)
    same = {}
    for mask, iou in least.items():
        theirs = golden[mask].astype(bool)
        assert (masks[mask] & theirs).sum() >= iou * (masks[mask] | theirs).sum(), mask
        same[mask] = masks[mask] == theirs
    same["MEANCR"] = masks["MEANCR"] == golden["MEANCR"].astype(bool)
    everywhere = np.logical_and.reduce(list(same.values()))
    for combination in ("mean", "median", "min", "mediancr", "meancrt", "meancr", "meancr2"):
        ours, theirs = stack.combine(combination).data, golden[f"combined_{combination}"]
        np.testing.assert_allclose(ours[everywhere], theirs[everywhere], rtol=1e-3, atol=1e-4, err_msg=combination)


def test_real_exposures(sprat_files):
    stack = CRStack.from_files(
        sprat_files[:3], unit=u.adu, gain=2.45 * u.electron / u.adu, readnoise=2.1 * u.adu, bias=916 * u.adu
    )
    masks = stack.detect(aux=PYCOSMIC)
    counts = [masks[f"CRMASK{i + 1}"].sum() for i in range(3)]
    # each exposure has hits of its own
    assert len(set(counts)) == 3
    assert all(100 < count < 20_000 for count in counts)


# two exposures


def test_two_exposures_are_a_stack_for_the_joint_decision(simulated):
    numbers = {name: getattr(simulated, name) for name in ("gain", "readnoise", "bias")}
    stack = CRStack(simulated.exposures[:2], **numbers)
    assert stack.cr_coincidences == 1
    np.testing.assert_array_equal(stack.statistics.min2d, stack.exposures.data.min(axis=0))
    masks = stack.detect()
    assert masks.probability is not None
    hit = np.stack([hits > 20 * simulated.readnoise.value for hits in simulated.hits[:2]])
    assert masks.crmasks[hit].mean() > 0.95
    for name in ("mean", "min", "meancr", "meancr2", "meanjoint"):
        assert np.isfinite(stack.combine(name).data).all()
    for call in (lambda: stack.detect("mmcosmic"), stack.mm_diagram, stack.fit_boundary):
        with pytest.raises(InputError, match=r"exposures must be three or more for M\.M\.Cosmic; got 2: use detect"):
            call()


def test_lengths_with_units(simulated):
    """Fixed points and ends of axes may be Quantities; they become numbers in the unit of the exposures."""
    stack = stack_of(simulated)
    plain = stack.fit_boundary(SplineBoundary(fixed_points=[(100, 90), (250, 120)]))
    points = [(250 * u.adu, 120 * u.adu), (100 * u.adu, 90 * u.adu)]
    other = stack.fit_boundary(SplineBoundary(fixed_points=points))
    assert other.model == plain.model
    np.testing.assert_array_equal(other.y, plain.y)
    masks = stack.detect(MMCosmic(diagram=DiagramSettings(y_max=900 * u.adu)), boundary="spline", aux=None)
    assert masks.decision.diagram.y_edges[-1] == 900
    with pytest.raises(InputError, match="fixed points must be in adu; got s"):
        stack.fit_boundary(PiecewiseBoundary([(0 * u.s, 1 * u.s), (1 * u.s, 2 * u.s)]))
    with pytest.raises(InputError, match="fixed points must all have a unit, or none; got 2 of 4"):
        PiecewiseBoundary([(0 * u.adu, 1 * u.adu), (1, 2)])
    with pytest.raises(InputError, match="y_max must be in adu; got s"):
        stack.detect(MMCosmic(diagram=DiagramSettings(y_max=9 * u.s)), boundary="spline", aux=None)


def test_kept_detections_are_read_only(simulated):
    stack = stack_of(simulated)
    detected = Detections(stack.prepared, PYCOSMIC)
    for detection in (detected.in_average("median"), detected.in_exposure(0)):
        assert not detection.mask.flags.writeable
        assert not detection.cleaned.flags.writeable


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda stack: stack.detect("mm_pycosmic"), r"write detect\('mmcosmic', aux='pycosmic'\), or aux=PyCosmicDet"),
        (lambda stack: stack.detect("jont"), r"got 'jont' \(did you mean 'joint'\?\)"),
        (lambda stack: stack.detect("joint", aux="pycosmc"), r"\(did you mean 'pycosmic'\?\)"),
        (lambda stack: stack.fit_boundary("splin"), r"\(did you mean 'spline'\?\)"),
        (lambda stack: stack.combine("mean_joint"), r"\(did you mean 'meanjoint'\?\)"),
        (lambda stack: stack.combine("total"), r"meanjoint; got 'total'$"),
    ],
)
def test_wrong_names_suggest_right_ones(stack, call, match):
    with pytest.raises(CRStackError, match=match):
        call(stack)


def test_combination_without_a_name_depends_on_the_masks(stack):
    for method, name in (("mmcosmic", "meancr2"), ("joint", "meanjoint")):
        masks = stack.detect(method, aux=None)
        assert stack.combine(full_output=True).name == name
        assert stack.combine(masks=masks, full_output=True).name == name
