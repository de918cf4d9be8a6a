"""Terms that the user gives, or switches off."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage
from support.stacks import stack_of

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.equalize import Equalization
from crstack.equalize.fit.given_seeing import seeing_kernels
from crstack.equalize.fit.kernels.kernel_terms import split_kernel
from crstack.exceptions import InputError
from crstack.joint.expected import _moved

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")

LEVELS = (100.0, 140.0, 220.0)
SHAPE = (180, 200)


def imaging(**options):
    return make_stack("imaging", shape=SHAPE, hit_rate=0.01, seed=8, **options)


def scores(simulated, masks):
    """False values per million, and the part of the hits over 7 sigma that is found."""
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), np.ones((3, 3)))
    strong = simulated.hit_mask(7)
    return 1e6 * (masks.crmasks & ~near).mean(), (masks.crmasks & strong).sum() / strong.sum()


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
@pytest.mark.parametrize("given", [LEVELS, LEVELS * u.adu, [np.full(SHAPE, one) for one in LEVELS]])
def test_backgrounds(method, given):
    simulated = imaging(backgrounds=[one * u.electron for one in LEVELS], gain=1 * u.electron / u.adu)
    stack = stack_of(simulated, backgrounds=given)
    masks = stack.detect(method, aux=None)
    false, found = scores(simulated, masks)
    assert false < (60 if method == "joint" else 600)
    assert found > 0.97
    # nothing is measured instead of the levels
    measured = masks.decision.result.measured if method == "joint" else masks.decision.measured
    assert not any(measured.surfaces)
    assert "added levels, given, less their mean: -53.33, -13.33, +66.67 adu" in masks.history
    # and the exposures that are combined stay
    np.testing.assert_array_equal(stack.exposures.data[0], stack.prepared.given.data[0])
    if method == "joint":
        hit = simulated.hit_mask(10).any(axis=0)
        error = (stack.combine("meanjoint").data - simulated.expected.mean(axis=0))[hit]
        assert abs(np.median(error)) < 2


@pytest.mark.filterwarnings(
    "ignore::crstack.exceptions.ImplausibleResultWarning", "ignore:the exposures differ in level"
)
def test_levels_that_are_neither_given_nor_measured_cost_hits():
    """They count as noise of the place; and M.M.Cosmic flags them."""
    simulated = imaging(backgrounds=[one * u.electron for one in LEVELS], gain=1 * u.electron / u.adu)
    stack = stack_of(simulated, differences=None)
    assert scores(simulated, stack.detect("joint"))[1] < 0.9
    assert scores(simulated, stack.detect("mmcosmic", aux=None))[0] > 50_000


def test_backgrounds_of_rates_are_rates():
    rng = np.random.default_rng(4)
    planes = [u.Quantity((rng.poisson(50 + level, (40, 50)) / 10).astype("f4"), "electron/s") for level in (0, 40)]
    stack = CRStack(planes, readnoise=4 * u.electron, exptime=10 * u.s, backgrounds=[0, 4])
    np.testing.assert_allclose([one.mean() for one in stack.prepared.known.added], [-20, 20])
    stack = CRStack(planes, readnoise=4 * u.electron, exptime=10 * u.s, backgrounds=[0, 4] * u.electron / u.s)
    np.testing.assert_allclose([one.mean() for one in stack.prepared.known.added], [-20, 20])


@pytest.mark.filterwarnings("ignore:the exposures scatter by")
def test_backgrounds_and_factors_that_divide():
    """The level is divided with the exposure."""
    simulated = make_stack(
        "slit", SHAPE, 3, seed=8, flux_factors=(0.8, 1, 1.25), backgrounds=[0, 60, 30] * u.electron, hit_rate=0.01
    )
    options = {"flux_factors": (0.8, 1, 1.25), "apply_flux_factors_to": "original"}
    stack = stack_of(simulated, backgrounds=[0 * u.adu, 60 * u.adu, 30 * u.adu], **options)
    clean = simulated.expected / np.array(options["flux_factors"])[:, None, None]
    known = stack.prepared.known
    common = 30 / np.mean(options["flux_factors"])
    expected = (0 - common, 60 - common, 30 / 1.25 - common)
    np.testing.assert_allclose([np.mean(one) for one in known.added], expected, atol=1e-4)
    left = [one - level for one, level in zip(clean, known.added, strict=True)]
    assert np.ptp(left, axis=0).max() < 1e-2
    masks = stack.detect("joint")
    assert scores(simulated, masks)[0] < 60


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_response(method):
    rows = 1 + 0.2 * np.sin(np.arange(SHAPE[0]) / 20)[:, None] * np.ones(SHAPE[1])
    simulated = make_stack("ifu", SHAPE, 3, seed=8, hit_rate=0.01)
    maps = [rows, 1 / rows, np.ones(SHAPE)]
    rng = np.random.default_rng(2)
    exposures = []
    for ccd, expected, hits, one in zip(simulated.exposures, simulated.expected, simulated.hits, maps, strict=True):
        new = ccd.copy()
        new.data = (rng.poisson(expected * one) + rng.normal(0, 3.4, SHAPE) + hits).astype(np.float32)
        exposures.append(new)
    stack = CRStack(
        exposures, gain=simulated.gain, readnoise=simulated.readnoise, response=[maps[0], maps[1], 1.0], offsets=None
    )
    np.testing.assert_allclose(stack.exposures.data[0] * maps[0], exposures[0].data, rtol=1e-5)
    masks = stack.detect(method, aux=None)
    false, found = scores(simulated, masks)
    assert false < (60 if method == "joint" else 600)
    assert found > 0.97
    measured = masks.decision.result.measured if method == "joint" else masks.decision.measured
    assert not measured.lines
    assert any(line.startswith("local response: <Response: 0.8") for line in masks.history)


@pytest.mark.filterwarnings("ignore:flagged groups are smooth")  # stars and lines, without the differences
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning", "ignore:bright pixels")
@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_a_term_that_is_switched_off_is_not_measured(method):
    simulated = make_stack(
        "slit", (100, 120), 3, seed=4, flux_factors=(0.85, 1, 1.12), offsets=((0.3, 0), (0, 0), (-0.3, 0))
    )

    def measured(**options):
        masks = stack_of(simulated, **options).detect(method, aux=None)
        return masks.decision.result.measured if method == "joint" else masks.decision.measured

    both = measured().terms
    assert both.flux
    assert both.shift
    assert not measured(flux_factors=None, response=None).terms.flux
    assert not measured(offsets=None).terms.shift
    assert not measured(differences=None)


def test_the_default_of_each_term():
    settings, off = Equalization(), Equalization(differences=None)
    for name in ("flux_factors", "offsets", "response", "backgrounds", "seeing"):
        assert getattr(settings, name) == "auto"
        assert getattr(off, name) is None
    assert settings.of_whole_images == ()


def test_both_methods_measure_the_same_by_default():
    simulated = make_stack("slit", SHAPE, 3, seed=4, flux_factors=(0.85, 1, 1.12), gain=2.5 * u.electron / u.adu)
    stack = stack_of(simulated)
    joint = stack.detect("joint").decision.result.measured
    both = stack.detect("mmcosmic", aux=None).decision.measured
    np.testing.assert_allclose(joint.factors, both.factors, rtol=1e-4)
    # electrons, whatever the unit of the exposures is
    np.testing.assert_allclose(joint.levels, both.levels, atol=0.02)
    np.testing.assert_allclose(np.mean(joint.common), np.mean(both.common), rtol=1e-3)
    assert stack.equalized.measured is both


FWHM = (2.4, 2.7, 3.2)


def test_kernels_of_given_seeing():
    kernels = seeing_kernels(FWHM)
    widths = np.array(FWHM) / np.sqrt(8 * np.log(2))
    expected = widths**2 - np.mean(widths**2)
    for kernel, more in zip(kernels, expected, strict=True):
        flux, dx, dy, xx, yy, xy = split_kernel(kernel)
        assert flux == pytest.approx(1)
        np.testing.assert_allclose((dx, dy, xy), 0, atol=1e-6)
        np.testing.assert_allclose((xx, yy), more, rtol=0.2, atol=0.01)
    # a star of the mean width becomes that of each exposure
    y, x = np.mgrid[-12:13, -12:13]
    stars = [np.exp(-(x**2 + y**2) / (2 * one)) / (2 * np.pi * one) for one in (np.mean(widths**2), *widths**2)]
    for kernel, star in zip(kernels, stars[1:], strict=True):
        made = stars[0] + ndimage.convolve(stars[0], kernel)
        before, after = (np.abs(one - star).max() / star.max() for one in (stars[0], made))
        assert after < 0.05
        assert after < before / 5


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_seeing(method):
    simulated = imaging(seeing=FWHM)
    stack = stack_of(simulated, seeing=FWHM)
    masks = stack.detect(method, aux=None)
    false, found = scores(simulated, masks)
    measured = masks.decision.measured
    assert not (measured.terms and measured.terms.seeing)
    assert "seeing, given, FWHM: 2.4, 2.7, 3.2 pixels" in masks.history
    assert false < (60 if method == "joint" else 1500)
    # on stars the expected images are right
    known = stack.prepared.known
    truth = simulated.expected - simulated.expected.mean(axis=0)
    bright = np.abs(truth).max(axis=0) > 30
    before, after = np.std(truth[:, bright]), np.std((truth - np.array(known.differences))[:, bright])
    # its stars are no Gaussians, and its galaxies change less
    assert after < 0.35 * before
    off = scores(simulated, stack_of(simulated, seeing=None, response=None).detect(method, aux=None))
    assert found >= off[1] - 0.01
    if method == "mmcosmic":
        assert off[0] > 2 * false
    else:
        # without it the joint decision takes the difference for noise, and loses hits
        assert found > off[1]


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_seeing_beside_other_terms(method):
    simulated = imaging(seeing=FWHM, backgrounds=[one * u.electron for one in LEVELS], flux_factors=(0.9, 1.0, 1.15))
    stack = stack_of(simulated, seeing=FWHM, flux_factors=(0.9, 1.0, 1.15))
    masks = stack.detect(method, aux=None)
    assert scores(simulated, masks)[0] < (100 if method == "joint" else 2500)
    # the factors multiply the common image, and with it the mean of the levels
    expected = np.array(LEVELS) - np.array((0.9, 1.0, 1.15)) * np.mean(LEVELS)
    np.testing.assert_allclose(np.diff(masks.decision.measured.levels), np.diff(expected), rtol=0.2)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"flux_factors": np.ones((3, 3))}, "flux_factors must be one number without a unit"),
        ({"flux_factors": [1, 2, 3] * u.adu}, "flux_factors must be one number without a unit"),
        ({"seeing": [2.0, 2.5, 3.0] * u.arcsec}, "seeing must be"),
        ({"offsets": [(1000, 0), (0, 0), (0, 0)]}, "offsets must be smaller than the image, 100 pixels"),
    ],
)
def test_nonsense_is_refused(given, sentence):
    simulated = make_stack("imaging", shape=(80, 100), seed=1)
    with pytest.raises(InputError, match=sentence):
        CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise, **given)


FACTORS = (0.7, 1.0, 1.3)
SKIES = (1000.0, 1040.0, 1120.0)


@pytest.fixture(scope="module")
def of_clouds():
    """Exposures of unlike throughput, with a sky that is not of it: f s + b."""
    skies = [one * u.electron for one in SKIES]
    return imaging(backgrounds=skies, flux_factors=FACTORS, gain=1 * u.electron / u.adu)


@pytest.mark.parametrize(
    ("options", "found_at_least"),
    [
        ({"flux_factors": FACTORS}, 0.99),
        ({"flux_factors": FACTORS, "differences": None}, 0.99),
        ({"flux_factors": FACTORS, "apply_flux_factors_to": "original"}, 0.99),
        ({}, 0.95),
    ],
)
def test_given_backgrounds_and_flux_factors(of_clouds, options, found_at_least):
    """A background is in the unit of its own exposure, before or after the division by the factors."""
    stack = stack_of(of_clouds, backgrounds=SKIES, **options)
    false, found = scores(of_clouds, stack.detect("joint"))
    assert false < 60
    assert found > found_at_least
    combined = stack.combine("meanjoint").data
    hit = of_clouds.hit_mask(10).any(axis=0)
    level = np.median((combined - of_clouds.expected.mean(axis=0))[~hit])
    if "apply_flux_factors_to" not in options:
        assert abs(level) < 1
    assert abs(np.median((combined - of_clouds.expected.mean(axis=0))[hit]) - level) < 6


@pytest.mark.filterwarnings("ignore:neighbouring pixels of exposure")  # exposures without noise
@pytest.mark.filterwarnings("ignore:the exposures scatter by")
@pytest.mark.parametrize("divided", [False, True])
def test_levels_of_given_backgrounds_and_flux_factors_by_hand(divided):
    """Almost without noise the exposures, less their expected differences, are one image."""
    rng = np.random.default_rng(2)
    scene = rng.uniform(50, 60, (30, 40))
    # without any noise they would be refused as copies
    images = [
        CCDData(f * scene + b + rng.normal(0, 0.02, scene.shape), unit=u.electron)
        for f, b in zip(FACTORS, SKIES, strict=True)
    ]
    target = "original" if divided else "simulated"
    stack = CRStack(
        images,
        readnoise=50 * u.electron,
        flux_factors=FACTORS,
        backgrounds=SKIES,
        differences=None,
        apply_flux_factors_to=target,
    )
    known = stack.prepared.known
    for i, factor in enumerate(FACTORS):
        level = known.levelled.data[i] - known.levelled.data[1]
        np.testing.assert_allclose(level, 0, atol=0.7 if not divided else 0.2)
        np.testing.assert_allclose(known.exposures.data[i], images[i].data / (factor if divided else 1), rtol=1e-6)


def test_given_backgrounds_that_are_wrong_are_named_also_with_unknown_factors(of_clouds):
    with pytest.warns(match=r"backgrounds as given do not fit the exposures.* no flux factor multiplies it"):
        assert stack_of(of_clouds, backgrounds=(1000, 1500, 1120)).prepared.known


def test_what_given_offsets_add_to_the_counts():
    """The given change minus what the factor makes of the common image, in electrons."""
    np.testing.assert_allclose(_moved(np.array([7.0, 1.0]), np.float32(0.5), np.array([4.0, 10.0]), 2.0), [10, -8])
