"""Detectors read through several amplifiers: gain, read noise and bias as images."""

import astropy.units as u
import numpy as np
import pytest

from crstack import CRStack, NoiseModel
from crstack.combine import possible_combinations
from crstack.datasets import make_stack
from crstack.simulation.amplifiers import AmplifierSampler, amplifiers
from crstack.simulation.noise_scale import NoiseScale
from crstack.simulation.samplers import PixelSampler
from crstack.utils.registry import DETECTORS

SHAPE, MIDDLE = (200, 260), 130
HALVES = (np.s_[:, :MIDDLE], np.s_[:, MIDDLE:])
NUMBERS = {"gain": (1.0, 2.5), "readnoise": (3.4, 6.0), "bias": (300.0, 700.0)}
UNITS = {"gain": u.electron / u.adu, "readnoise": u.electron, "bias": u.adu}

#: detectors that come with the package
NAMES = ("lacosmic", "pycosmic")


def two_values(left, right):
    image = np.full(SHAPE, left, np.float32)
    image[:, MIDDLE:] = right
    return image


@pytest.fixture(scope="module")
def both():
    """Exposures through two amplifiers."""
    maps = {name: two_values(*NUMBERS[name]) * UNITS[name] for name in NUMBERS}
    return make_stack("ifu", SHAPE, hit_rate=0.02, seed=3, **maps)


@pytest.fixture(scope="module")
def whole(both):
    return CRStack(both.exposures, gain=both.gain, readnoise=both.readnoise, bias=both.bias)


@pytest.fixture(scope="module")
def halves(both):
    """A stack of each half, with its numbers."""
    return [
        CRStack(
            [ccd.data[half] * u.adu for ccd in both.exposures],
            **{name: NUMBERS[name][i] * UNITS[name] for name in NUMBERS},
        )
        for i, half in enumerate(HALVES)
    ]


@pytest.mark.parametrize("aux", [None, *NAMES])
def test_masks_are_like_those_of_the_halves(both, whole, halves, aux):
    """M.M.Cosmic finds nearly the same hits as with a separate diagram for each half."""
    masks = whole.detect(aux=aux, boundary="spline")
    strong = both.hit_mask(5)
    truths = {"MEDIANCR": strong.sum(axis=0) > 1, "MEANCRT": strong.any(axis=0), "CRMASK2": strong[1]}
    for half, stack in zip(HALVES, halves, strict=True):
        alone = stack.detect(aux=aux, boundary="spline")
        for name, truth in truths.items():
            here, there = masks[name][half], alone[name]
            found = [np.mean(mask[truth[half]]) for mask in (here, there)]
            assert found[0] > found[1] - 0.03, (name, found)
            # MEDIANCR holds few pixels, most of them beside the hits
            if name != "MEDIANCR":
                assert np.count_nonzero(here & there) > 0.9 * np.count_nonzero(here | there), name


@pytest.mark.parametrize("name", NAMES)
def test_detectors_answer_as_on_the_halves(both, whole, halves, name):
    """Except near the border between the halves, each half is searched as if it were alone."""
    detector = DETECTORS.get(name)()
    exposures = whole.exposures
    together = detector.detect(exposures.data[0], exposures.noise)
    inner = (np.s_[:, : MIDDLE - 15], np.s_[:, 15:])
    for half, stack, part in zip(HALVES, halves, inner, strict=True):
        alone = detector.detect(stack.exposures.data[0], stack.exposures.noise)
        here, there = together.mask[half][part], alone.mask[part]
        assert np.count_nonzero(there) > 30
        assert np.count_nonzero(here ^ there) < 0.02 * np.count_nonzero(there)
        difference = np.abs(together.cleaned[half] - alone.cleaned)[part]
        assert np.count_nonzero(difference > 0.01) < 0.02 * np.count_nonzero(there)


def test_combinations_are_those_of_the_halves(whole, halves):
    """Values, variances and counts of a half are its own, given the masks."""
    masks = whole.detect(aux="pycosmic", boundary="spline")
    for half, stack in zip(HALVES, halves, strict=True):
        codes = {name: np.ascontiguousarray(one[half]) for name, one in masks.codes.items()}
        own = type(masks)(codes, masks.auxclean[half])
        for name in possible_combinations(masks):
            for use_auxmedian in (False, True):
                one = whole.combine(name, masks=masks, full_output=True, use_auxmedian=use_auxmedian)
                other = stack.combine(name, masks=own, full_output=True, use_auxmedian=use_auxmedian)
                np.testing.assert_allclose(one.ccd.data[half], other.ccd.data, rtol=1e-5, atol=1e-3)
                # beside the border the expected signal differs, because it is smoothed over both halves
                variances = one.ccd.uncertainty.array[half], other.ccd.uncertainty.array
                inside = slice(5, -5)
                np.testing.assert_allclose(*(plane[:, inside] for plane in variances), rtol=1e-4)
                np.testing.assert_array_equal(one.count[half], other.count)


def test_halves_fill_the_same_part_of_the_diagram(whole):
    """The rate is that of the typical pixel on its scale, but not in ADU."""
    statistics = whole.statistics
    x, y = statistics.min2d, statistics.median2d - statistics.min2d
    scaled = NoiseScale.of(whole.exposures.noise).typical(x, y)

    def spread(x, y):
        """Smallest and typical x, typical and high y of the faint pixels."""
        faint = x < np.percentile(x, 60)
        return np.array([*np.percentile(x, (1, 30)), *np.percentile(y[faint], (50, 90))])

    in_adu, typical = (np.array([spread(a[half], b[half]) for half in HALVES]) for a, b in ((x, y), scaled))
    assert np.all(np.abs(typical[0] / typical[1] - 1) < 0.2)
    assert np.abs(in_adu[0] / in_adu[1] - 1).max() > 0.5


@pytest.mark.parametrize("settings", [{"synthetic": "single"}, {"nbinom_shape": 200.0}, {"synthetic": "median"}])
def test_every_diagram_is_on_that_scale(whole, settings):
    """Simulated and observed pixels together: the faintest and the highest y of both are near."""
    stack = CRStack.__new__(CRStack)
    stack.__dict__.update(whole.__dict__, _kept={}, timings={})
    diagram = stack.mm_diagram(aux="pycosmic", n_simulations=2, **settings)
    for axis in (0, 1):
        simulated, observed = (counts.sum(axis=axis).cumsum() for counts in (diagram.simulated, diagram.observed))
        half_way = [np.interp(0.5, counts / counts[-1], np.arange(counts.size)) for counts in (simulated, observed)]
        assert abs(half_way[0] - half_way[1]) < 1.5


def test_uniform_images_equal_numbers(both):
    """If all pixels are alike, the scale has no effect."""
    ones = np.ones(SHAPE, np.float32)
    noise = NoiseModel(ones * 2 * UNITS["gain"], ones * 4 * u.electron)
    x = np.linspace(-50, 500, ones.size, dtype=np.float32).reshape(SHAPE)
    scale = NoiseScale.of(noise)
    for was, now in zip((x, 0.1 * x), scale.typical(x, 0.1 * x), strict=True):
        np.testing.assert_allclose(now, was, rtol=1e-6)
    np.testing.assert_allclose(scale.boundary(lambda v: 3 * v, x), 3 * x, rtol=1e-6)
    assert NoiseScale.of(NoiseModel(2 * UNITS["gain"], 4 * u.electron)) is None


def test_scale_keeps_electrons_and_goes_back():
    """A boundary in ADU and the scaled coordinates give the same hits."""
    noise = NoiseModel(two_values(1, 2.5) * UNITS["gain"], two_values(3, 9) * u.electron)
    scale = NoiseScale.of(noise)
    rng = np.random.default_rng(0)
    x = rng.uniform(-20, 300, SHAPE).astype(np.float32)
    y = rng.uniform(0, 60, SHAPE).astype(np.float32)
    x_there, y_there = scale.typical(x, y)
    signal = x > 0
    typical_gain = np.median(noise.electrons_per_unit)
    np.testing.assert_allclose((x_there * typical_gain)[signal], (x * noise.electrons_per_unit)[signal], rtol=1e-5)

    def limit(value):
        return 20 + 0.1 * value

    here, there = y > scale.boundary(limit, x), y_there > limit(x_there)
    assert np.mean(here != there) < 1e-4
    assert 0.2 < here.mean() < 0.8
    # in units of the noise the difference does not change
    typical = NoiseModel(typical_gain * UNITS["gain"], 6 * u.electron)
    sigmas = y / np.sqrt(noise.variance(x)), y_there / np.sqrt(typical.variance(x_there))
    np.testing.assert_allclose(sigmas[1], sigmas[0], rtol=0.05)


def test_an_image_of_no_read_noise_is_fine(both):
    """One electron keeps the ratios of noise finite."""
    noise = NoiseModel(1 * UNITS["gain"], two_values(0, 0) * u.electron)
    x, y = NoiseScale.of(noise).typical(np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32))
    assert np.isfinite(x).all()
    np.testing.assert_allclose(y, 1)


def test_amplifiers_are_told_apart(whole):
    noise = whole.exposures.noise
    found = amplifiers(noise, SHAPE)
    assert [(gain, readnoise) for _, gain, readnoise in found] == [(1.0, pytest.approx(3.4)), (2.5, 6.0)]
    assert (sum(where.astype(int) for where, _, _ in found) == 1).all()
    many = NoiseModel(np.linspace(1, 2, np.prod(SHAPE)).reshape(SHAPE) * UNITS["gain"], 3 * u.electron)
    assert amplifiers(many, SHAPE) is None
    odd = two_values(1, 2.5)
    odd[3, 5] = 1.7  # at a pixel that a sample of every second pixel leaves out
    assert amplifiers(NoiseModel(odd * UNITS["gain"], 3 * u.electron), SHAPE) is None
    assert amplifiers(noise.with_known_variance(odd), SHAPE) is None


def test_levels_of_amplifiers_give_the_diagram_of_their_pixels(whole):
    """Bins and boundary points of draws by level are those of draws by pixel, within their scatter."""
    exposures, used = whole.exposures, np.ones(SHAPE, bool)
    expected, noise = whole.statistics.median2d, exposures.noise
    by_level = AmplifierSampler(
        expected, noise, amplifiers(noise, SHAPE), used, n_exposures=3, cr_coincidences=2, seed=1
    )
    by_pixel = PixelSampler([expected] * 3, [noise] * 3, used, 2, 1)
    x_edges, y_edges = np.linspace(-20, 200, 101), np.linspace(0, 100, 101)
    fractions = []
    one = by_level.histogram(10, x_edges, y_edges, fractions.append)
    other = by_pixel.histogram(10, x_edges, y_edges)
    assert one.sum() == pytest.approx(other.sum(), rel=0.002)
    full = one + other > 40
    assert 0.7 < np.mean((one - other)[full] ** 2 / (one + other)[full]) < 1.4
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert by_level.reach(0.0)[0] < 0 < by_level.reach(100.0)[0] < 100 < by_level.reach(100.0)[1]
