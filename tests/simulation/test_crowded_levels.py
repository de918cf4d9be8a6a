"""Simulation whose cost does not grow with the number of pixels."""

import astropy.units as u
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import crstack.simulation.level_sampler as simulation
from crstack.diagram import DiagramSettings, MMDiagram
from crstack.noise import NoiseModel
from crstack.simulation.level_sampler import LevelSampler

GAIN = 2.0
NOISE = NoiseModel(GAIN * u.electron / u.adu, 5 * u.electron)
X_EDGES, Y_EDGES = np.linspace(-25, 80, 101), np.linspace(0, 50, 101)
N_SIMULATIONS = 200


@pytest.fixture(scope="module")
def expected():
    """Many faint pixels and few bright ones, ADU."""
    return np.random.default_rng(0).exponential(8.0, 20_000).astype(np.float32)


def simulated(expected, most, seed, n_exposures=3, cr_coincidences=2, noise=NOISE):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation, "MOST_DRAWS", most)
        sampler = LevelSampler(expected, noise, n_exposures, cr_coincidences, seed)
        return sampler.histogram(N_SIMULATIONS, X_EDGES, Y_EDGES)


def boundary_points(counts):
    points = MMDiagram(counts, counts, X_EDGES, Y_EDGES, DiagramSettings(), u.adu).boundary_points()
    return {round(x, 3): y for x, y in points}


def difference(one, other):
    """Differences of boundary points in the columns that both have."""
    one, other = boundary_points(one), boundary_points(other)
    return np.array([one[x] - other[x] for x in sorted(set(one) & set(other))])


@pytest.mark.parametrize(("n_exposures", "k"), [(3, 2), (5, 2), (6, 4)])
def test_same_diagram_within_its_noise(expected, n_exposures, k):
    """With a tenth of the draws bins scatter accordingly, but the tail scatters as with all draws."""
    plain, again = (simulated(expected, 10**9, seed, n_exposures, k) for seed in (1, 2))
    few = simulated(expected, 400_000, 3, n_exposures, k)
    # each bin is rounded up or down
    assert few.sum() == pytest.approx(plain.sum(), rel=2e-4)
    full = plain > 500
    squares = (few - plain)[full] ** 2 / plain[full]
    # 10 for the draws, 1 for the comparison, less for lone levels
    assert 2 < squares.mean() < 20
    # the mean of both axes is that of the draws
    for axis in (0, 1):
        means = [counts.sum(axis=axis) @ np.arange(100) / counts.sum() for counts in (few, plain)]
        assert means[0] == pytest.approx(means[1], abs=0.05)
    # bins that one pixel in a million reaches
    rare = (plain > 0) & (plain < 20)
    assert rare.sum() > 80
    # chosen by one simulation, and counted in two others
    assert few[rare].sum() == pytest.approx(again[rare].sum(), rel=0.15)
    gap, usual = difference(few, plain), difference(again, plain)
    assert len(gap) > 40
    assert abs(gap.mean()) < 4 * usual.std() / np.sqrt(len(gap))
    assert gap.std() < 1.6 * usual.std()


def test_tail_of_a_level_is_that_of_the_joint_density():
    """Blank sky: P(median - lowest > t) of three normal values, down to one in 3 million, and beyond."""
    sampler = LevelSampler(np.zeros(10), NOISE, 3, 2, 5)
    sigma = 2.5
    edges = np.array([4.0, 5.0, 6.0, 7.0]) * sigma
    weights, _ = sampler._weights_of(
        0, 1_600_000, np.linspace(-60, 60, 2), np.linspace(0, 20 * sigma, 201), sampler._rng(9)
    )
    centres = np.linspace(0, 20 * sigma, 201)[:-1]
    found = np.array([weights[0, centres >= edge - 1e-9].sum() for edge in edges]) / 1_600_000

    def chance(t):
        # the lowest at a, and then the median, with the highest above it, over a + t
        def integrand(a):
            return 6 * norm.pdf(a) * norm.sf(a + t) ** 2 / 2

        return quad(integrand, -12, 12, epsabs=0, epsrel=1e-8, points=(-t / 2,))[0]

    exact = np.array([chance(edge / sigma) for edge in edges])
    assert exact[2] < 4e-7
    np.testing.assert_allclose(found[:3], exact[:3], rtol=0.1)
    np.testing.assert_allclose(found[3], exact[3], rtol=0.2)


def test_draws_are_bounded(expected, monkeypatch):
    monkeypatch.setattr(simulation, "MOST_DRAWS", 500_000)
    monkeypatch.setattr("crstack.utils.threads.n_threads", lambda: 1)
    drawn = []
    plain = LevelSampler._xy_of

    def counted(self, photons, normal):
        drawn.append(photons.shape[-1])
        return plain(self, photons, normal)

    monkeypatch.setattr(LevelSampler, "_xy_of", counted)
    for n_simulations in (1, 10, 100, 10_000):
        drawn.clear()
        sampler = LevelSampler(expected, NOISE, 3, 2, 1)
        counts = sampler.histogram(n_simulations, X_EDGES, Y_EDGES)
        assert sum(drawn) <= 500_000
        assert counts.sum() == pytest.approx(len(expected) * n_simulations, rel=1e-3)
        if n_simulations <= 10:
            # small simulations draw every pixel
            assert sum(drawn) == len(expected) * n_simulations


def test_adu_and_electrons_and_threads_do_not_matter(expected, monkeypatch):
    of_electrons = NoiseModel(readnoise=5 * u.electron, unit=u.electron)
    monkeypatch.setattr(simulation, "MOST_DRAWS", 200_000)

    def counts(factor, noise):
        sampler = LevelSampler(expected * np.float32(factor), noise, 3, 2, 7)
        return sampler.histogram(50, X_EDGES * factor, Y_EDGES * factor)

    in_adu = counts(1, NOISE)
    # gain 2: a power of two divides without rounding
    np.testing.assert_array_equal(counts(GAIN, of_electrons), in_adu)
    monkeypatch.setattr("crstack.utils.threads.n_threads", lambda: 1)
    np.testing.assert_array_equal(counts(1, NOISE), in_adu)


@pytest.mark.parametrize("shape", [None, 50.0])
@pytest.mark.parametrize("readnoise", [0.0, 3.0])
def test_every_noise_has_a_wider_one(shape, readnoise):
    """Weights are finite with a mean of 1: without photons, for few and many, without read noise, and overdispersed."""
    noise = NoiseModel(readnoise=readnoise * u.electron, unit=u.electron, nbinom_shape=shape)
    sampler = LevelSampler(np.array([0.0, 3.0, 20_000.0]), noise, 3, 2, 1)
    for level in np.flatnonzero(sampler._pixels):
        edges = np.linspace(-100, 1e5, 101), np.linspace(0, 1e5, 101)
        weights, outside = sampler._weights_of(level, 20_000, *edges, sampler._rng(1))
        assert np.isfinite(weights).all()
        assert weights.sum() + outside == pytest.approx(20_000, rel=0.03)
        assert abs(outside) < 1e-6
