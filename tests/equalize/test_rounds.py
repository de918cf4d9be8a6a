"""A round of the fit of the differences, and the exposures as they are expected, against numbers computed by hand."""

from types import SimpleNamespace

import numpy as np

from crstack.equalize.fit import rounds, surfaces
from crstack.equalize.fit.expected_exposures import ExpectedExposures


def test_flat_pixels():
    """Structure below twice the contrast of noise in the mean of the exposures: 2 x 3.9 sqrt(variance / N)."""
    variance = np.array([[4.0, 4.0, 100.0], [100.0, 1.0, 1.0]])
    structure = np.array([[7.7, 7.9, 38.0], [40.0, 3.8, 4.0]])
    model = SimpleNamespace(levels=np.zeros((4, 2, 3)), bad=None)
    expected = np.array([[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(rounds.flat_pixels(model, structure, variance), expected)
    model.bad = np.zeros((4, 2, 3), bool)
    model.bad[2, 0, 0] = True
    expected[0, 0] = False
    np.testing.assert_array_equal(rounds.flat_pixels(model, structure, variance), expected)


def test_pixels_beside_hot_ones():
    image = np.full((20, 30), 10.0)
    image[5, 6] = image[19, 29] = 500
    rows, columns = rounds._beside_hot(image, np.full(image.shape, 16.0))
    found = np.zeros(image.shape, dtype=bool)
    found[rows, columns] = True
    half = rounds.SIZE // 2
    expected = np.zeros(image.shape, dtype=bool)
    expected[5 - half : 6 + half, 6 - half : 7 + half] = expected[19 - half :, 29 - half :] = True
    np.testing.assert_array_equal(found, expected)


def test_pixels_that_a_kernel_is_fitted_to(monkeypatch):
    structure = np.random.default_rng(1).permutation(1000.0 * np.arange(500))
    places = np.arange(0, 500, 2)
    np.testing.assert_array_equal(rounds.some_places(places, structure), places)
    monkeypatch.setattr(rounds, "PIXELS_TO_FIT", 60)
    monkeypatch.setattr(rounds, "STRONGEST", 20)
    found = rounds.some_places(places, structure)
    strongest = places[np.argsort(structure[places])[-20:]]
    others = places[np.linspace(0, 249, 40).astype(int)]
    np.testing.assert_array_equal(found, sorted({*strongest, *others}))


def test_values_where_pixels_of_the_common_image_fall():
    levels = np.arange(2 * 6 * 8.0).reshape(2, 6, 8)
    bad = np.zeros(levels.shape, dtype=bool)
    bad[1, 3, 4] = True
    backgrounds, factors = (0.0, np.full((6, 8), 5.0)), (1.0, 2.0)
    model = SimpleNamespace(steps=((0, 0), (2, -1)), levels=levels, backgrounds=backgrounds, factors=factors, bad=bad)
    model.added = model.gains = None
    rows, columns, common = np.array([4, 3, 0, 2]), np.array([2, 0, 3, 6]), np.full(4, 10.0)
    np.testing.assert_array_equal(rounds._target_of(model, 0, rows, columns, common), levels[0, rows, columns])
    # (3, 4) is bad, and two are outside
    np.testing.assert_array_equal(
        rounds._target_of(model, 1, rows, columns, common), [np.nan, levels[1, 2, 2] - 5, np.nan, np.nan]
    )
    # a level along rows and columns is that of the common image, and dims with the throughput
    model.added, model.bad = np.full(levels.shape, 3.0), None
    found = rounds._target_of(model, 1, rows, columns, common)
    np.testing.assert_array_equal(found, [levels[1, 3, 4] - 11, levels[1, 2, 2] - 11, np.nan, np.nan])
    # a throughput along rows and columns is no part of the kernel
    model.gains = np.full(levels.shape, 0.5)
    found = rounds._target_of(model, 1, rows, columns, common)
    np.testing.assert_array_equal(found, [levels[1, 3, 4] - 21, levels[1, 2, 2] - 21, np.nan, np.nan])
    np.testing.assert_array_equal(rounds._without_additions(model, 1), levels[1] - 11)


def test_a_slope_that_matters_in_some_cells_is_fitted():
    """It need not matter in each of them: in the middle of the image a slope is 0."""
    variance, number = np.full((5, 9), 100.0), np.full((5, 9), 1000)
    slope = np.linspace(-1.0, 1.0, 9) * np.ones((5, 1))
    found, kind = surfaces.smooth_surface(slope, number, variance)
    assert kind == "slope"
    np.testing.assert_allclose(found, slope, atol=1e-9)
    # nowhere more than a small part of the noise
    found, kind = surfaces.smooth_surface(slope * 0.5, number, variance)
    assert kind == ""
    assert not found.any()


def test_what_is_added_to_an_exposure():
    model = SimpleNamespace(backgrounds=[1.0, 2.0], changes=[10.0, 20.0], factors=(1.0, 3.0))
    model.added = model.sky = model.gains = None
    assert [ExpectedExposures.shift(model, i) for i in (0, 1)] == [11, 22]
    assert [ExpectedExposures.scale(model, i) for i in (0, 1)] == [1, 3]
    model.added, model.gains = np.array([[4.0], [5.0]]), np.array([[0.1], [-0.2]])
    assert [ExpectedExposures.shift(model, i)[0] for i in (0, 1)] == [15, 37]
    np.testing.assert_allclose([ExpectedExposures.scale(model, i)[0] for i in (0, 1)], [1.1, 2.4], rtol=1e-6)


def test_what_is_left_for_the_surfaces():
    """Exposures minus changes, and minus levels along lines and the common image, which have their factors."""
    rng = np.random.default_rng(1)
    common, added, changes = rng.normal(size=(6, 8)), rng.normal(size=(3, 6, 8)), rng.normal(size=(3, 6, 8))
    levels, factors = rng.normal(size=(3, 6, 8)), (0.5, 1.0, 2.0)
    for given in (added, None):
        model = SimpleNamespace(levels=levels, changes=changes, factors=factors, added=given, sky=None)
        scene = common if given is None else common + given
        left = levels - changes - np.reshape(factors, (3, 1, 1)) * scene
        found = rounds.residuals_of(model, common)
        np.testing.assert_allclose(found, left - left.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_an_exposure_on_the_grid_and_at_the_level_of_the_common_image():
    rng = np.random.default_rng(1)
    common, added, gains = rng.normal(100, 5, (8, 10)), rng.normal(size=(8, 10)), rng.normal(0, 0.1, (8, 10))
    dx, dy = 2, -1
    # of a part that stays inside the image
    part, there = np.s_[2:7, 1:7], np.s_[1:6, 3:9]
    for with_gains in (False, True):
        model = ExpectedExposures.__new__(ExpectedExposures)
        model.factors, model.backgrounds, model.changes = (3.0,), [20.0], [0.5]
        model.added, model.gains = [added], [gains] if with_gains else None
        model.blurs, model.steps, model.sky = [0.5], ((dx, dy),), None
        scale = model.scale(0)
        level = np.zeros((8, 10))
        level[there] = (common[part] * (scale[there] if with_gains else scale)) + 20 + 0.5 + 3 * added[there]
        model.levels = [level]
        np.testing.assert_allclose(model._moved_back(0)[part], common[part], rtol=1e-5)
        # without a step
        model.steps, model.levels = ((0, 0),), [common * scale + 20 + 0.5 + 3 * added]
        np.testing.assert_allclose(model._moved_back(0), common, rtol=1e-5)


def test_noise_of_the_change_by_a_kernel():
    """That of the common image, 1.3 / N of the variance of a value, times the squares of the kernel."""
    common = np.tile(1e4 * np.arange(30, dtype=np.float32), (20, 1))
    kernel = np.zeros((rounds.SIZE, rounds.SIZE))
    middle = rounds.SIZE // 2
    kernel[middle, middle - 1], kernel[middle, middle + 1] = -0.1, 0.1
    nothing = np.zeros(2)
    model = SimpleNamespace(
        levels=np.zeros((2, 20, 30), np.float32),
        kernels=np.stack([kernel, 0 * kernel]),
        drifts=np.zeros((2, 2)),
        varying=np.zeros((2, 7, 5)),
        positions=None,
        steps=((0, 0), (0, 0)),
        factors=nothing + 1,
        sky_along=None,
        sky=None,
        has_edges=True,
        _left=lambda *_: np.zeros((20, 30), np.float32),
    )
    ExpectedExposures.change(model, common, np.full((20, 30), 4.0, np.float32))
    inside = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(np.abs(model.changes[0][inside]), 2000, rtol=1e-3)
    np.testing.assert_allclose(model.noises[0][inside], 1.3 / 2 * 4 * 0.02, rtol=1e-3)
    assert not np.any(model.noises[1])
