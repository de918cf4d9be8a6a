"""Terms along rows and columns: which are fitted, from what, and where they go."""

from types import SimpleNamespace

import numpy as np
import pytest

from crstack.equalize.fit import misfit
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.fit_settings import FitSettings
from crstack.equalize.fit.line_fits import lines_of_model, needed_lines
from crstack.equalize.fit.lines import lines
from crstack.equalize.fit.lines.lines import LINES, lines_gain
from crstack.equalize.fit.lines.straight_lines import straight_part

BY_NAME = {(one.setting, one.axis): one for one in LINES}


@pytest.fixture
def shares(monkeypatch):
    """In place of a fit: images of which the values say where they stand in the arrays that were given."""
    made = []

    def fit(*arrays, lengths, continued):
        n, ny, nx = arrays[0].shape
        made.append(np.arange(n * ny * nx, dtype=float).reshape(n, ny, nx) + 1000 * len(made))
        return made[-1], 1.0

    monkeypatch.setattr(lines, "fit_lines", fit)
    return made


def test_terms_are_added_to_each_other(shares):
    left, signal, variance = np.zeros((3, 4, 5)), np.ones((4, 5)), np.ones((4, 5))
    model = SimpleNamespace(levels=left, gains=None, added=None, lines=[], freedom={}, object_alone=False, courses={})
    for name in (("backgrounds", "x"), ("response", "y"), ("backgrounds", "y"), ("response", "x")):
        lines_of_model.add_line(model, BY_NAME[name], misfit.Residuals(left, signal, variance))
    # terms along y are fitted to the images on their side
    assert [one.shape for one in shares] == [(3, 4, 5), (3, 5, 4), (3, 5, 4), (3, 4, 5)]
    np.testing.assert_array_equal(model.added, shares[0] + shares[2].transpose(0, 2, 1))
    np.testing.assert_array_equal(model.gains, shares[1].transpose(0, 2, 1) + shares[3])


def test_no_throughput_is_negative(monkeypatch):
    """A row with hardly any signal may fit less than none of it; the expected images stay positive."""
    left, signal, variance = np.zeros((3, 4, 5)), np.ones((4, 5)), np.ones((4, 5))
    found = np.zeros((3, 4, 5), np.float32)
    found[0, 1], found[1, 2] = -1.5, -0.7
    monkeypatch.setattr(lines, "fit_lines", lambda *arrays, lengths, continued: (found, 1.0))
    model = SimpleNamespace(levels=left, gains=None, added=None, lines=[], freedom={}, object_alone=False, courses={})
    for _ in range(2):
        lines_of_model.add_line(model, BY_NAME["response", "x"], misfit.Residuals(left, signal, variance))
    assert (1 + model.gains).min() == pytest.approx(0.2)
    np.testing.assert_allclose(model.gains[2], 0)
    np.testing.assert_allclose(model.gains[1, 2], -0.8)


def model_of(levels, bad=None):
    """A model of exposures of factors 1, 2 and 4, whose common image is 100 and whose noise is 10."""
    common = np.full(levels.shape[1:], np.float32(100))
    return SimpleNamespace(
        levels=levels,
        bad=bad,
        **dict.fromkeys(("sky", "changes", "blurs", "noises", "latest")),
        courses={},
        straight_part=straight_part,
        steps=((0, 0),) * len(levels),
        factors=(1.0, 2.0, 4.0),
        common=lambda contrast: common,
        scale=lambda i, rows=slice(None): np.float32(2**i),
        shift=lambda i, rows=slice(None): np.float32(10 * i),
        variance_of=lambda image: np.full(image.shape, np.float32(100)),
    )


def test_what_is_left_of_the_exposures():
    levels = np.stack([np.full((20, 30), np.float32(100 * 2**i + 10 * i)) for i in range(3)])
    levels[1] += 2 * 7  # 7 at the common level
    levels[2, 5, 6] += 4 * 41  # a hit, over 4 standard deviations
    levels[2, 12, 6] += 4 * 39  # not so
    levels[0, 9, 9] -= 500  # too low is no hit
    bad = np.zeros(levels.shape, bool)
    bad[1, :3] = True
    left, signal, variance, _ = misfit.residuals(model_of(levels, bad))
    expected = np.zeros(levels.shape)
    expected[1, 3:] = 7
    expected[2, 12, 6], expected[0, 9, 9] = 39, -500
    # bad values are not known
    expected[bad] = np.nan
    np.testing.assert_allclose(left, expected, atol=1e-4)
    np.testing.assert_array_equal(signal, np.full((20, 30), 100))
    np.testing.assert_array_equal(variance, np.full((20, 30), 100))
    # the rim of a hit is left out with it
    levels[2, 4:7, 5:8] += 4 * 20
    left, *_ = misfit.residuals(model_of(levels))
    assert not left[2, 4:7, 5:8].any()
    np.testing.assert_allclose(left[1], 7, atol=1e-4)


def test_the_misfit_counts_hits_little():
    levels = np.stack([np.full((20, 30), np.float32(100 * 2**i + 10 * i)) for i in range(3)])
    levels[1] += 2 * 5  # half a standard deviation
    levels[0, 9, 9] -= 1e4
    expected = 600 * 0.5**2 + misfit.CLIP_SIGMA**2 * (1 + np.log(1000**2 / misfit.CLIP_SIGMA**2))
    assert misfit.misfit(model_of(levels)) == pytest.approx(expected, rel=1e-5)


def test_the_misfit_sees_a_trace_that_is_not_described():
    """Of two models that both fail along a trace, that which fails by less is the better one."""
    levels = np.stack([np.full((20, 30), np.float32(100 * 2**i + 10 * i)) for i in range(3)])
    levels[0, 10] += 10 * 10
    better = misfit.misfit(model_of(levels))
    levels[0, 10] += 10 * 10
    assert misfit.misfit(model_of(levels)) > better + 100


def test_a_response_changes_no_sky_that_lies_beside(monkeypatch):
    """Where added levels describe the sky, the response is that of the object: a faint pixel keeps its noise."""
    left, signal, variance = np.zeros((3, 40, 50)), np.full((40, 50), 30.0), np.ones((40, 50))
    signal[20] = 300
    share = np.zeros(left.shape, np.float32)
    share[0], share[1] = -0.8, 0.8
    monkeypatch.setattr(lines, "fit_lines", lambda *arrays, lengths, continued: (share, 1.0))
    model = SimpleNamespace(levels=left, gains=None, added=None, lines=[BY_NAME["backgrounds", "y"]])
    model.freedom, model.object_alone, model.courses, model.straight_part = {}, False, {}, straight_part
    lines_of_model.add_line(model, BY_NAME["response", "x"], misfit.Residuals(left, signal, variance))
    assert model.added is None
    np.testing.assert_allclose(np.delete(model.gains, 20, axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(model.gains[:2, 20] * signal[20], np.outer([-0.8, 0.8], np.full(50, 270)), rtol=1e-5)


def test_a_response_of_the_object_alone_changes_no_lines_across_it():
    signal = np.full((80, 90), np.float32(30))
    signal[:, 40] += 500
    signal[20] += 300
    model = SimpleNamespace(levels=np.zeros((3, 80, 90)), lines=[], object_alone=True, straight_part=straight_part)
    regressor = lines_of_model.regressor_of(model, BY_NAME["response", "x"], signal)
    np.testing.assert_allclose(regressor[20], 300)
    assert not np.delete(regressor, 20, axis=0).any()
    model.object_alone = False
    assert lines_of_model.regressor_of(model, BY_NAME["response", "x"], signal)[5, 40] == 530


def test_the_criterion_counts_the_values_of_each_term_once(shares):
    model = model_of(np.stack([np.full((20, 30), np.float32(100 * 2**i + 10 * i)) for i in range(3)]))
    model.gains, model.added, model.lines, model.freedom, model.object_alone = None, None, [], {}, False
    model.own_noises = None
    for name in ("response", "backgrounds", "response"):
        found = misfit.Residuals(np.zeros((3, 20, 30)), np.ones((20, 30)), np.ones((20, 30)))
        lines_of_model.add_line(model, BY_NAME[name, "x"], found)
    model.common = lambda contrast, mean=False: np.full((20, 30), np.float32(100))
    assert misfit.criterion(model) == misfit.misfit(model) + 4
    model.freedom = {}
    assert misfit.criterion(model) == misfit.misfit(model)


def test_short_cells_are_tried_where_long_ones_fail(monkeypatch):
    gains = {128: {1: -5000.0, 2: 300.0}, 32: {1: 900.0, 2: 200.0}}
    monkeypatch.setattr(
        needed_lines, "lines_gain", lambda which, length: (gains[length][which], gains[length][which] / 2)
    )
    assert needed_lines._gains([(1,), (2,)]) == ([900, 300], [450, 150])
    gains[128][1] = -50.0
    assert needed_lines._gains([(1,), (2,)]) == ([-50, 300], [-25, 150])
    assert needed_lines._gains([]) == ([], [])


def test_stars_need_no_terms_along_rows():
    """A star between the halves of a cell has the same residual in both, but nothing goes on along its rows."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:200, :500]
    residuals = rng.standard_normal((5, 200, 500))
    signal = np.full(y.shape, 100.0)
    for row, column in ((30, 62), (90, 187), (150, 312)):
        star = 3000 * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 4)
        signal += star
        residuals += 0.02 * np.array([1, -1, 0.5, -1, 0.5])[:, None, None] * star
    gain, along = lines_gain(residuals, signal, np.ones(y.shape), 128)
    assert gain > 2000
    assert along < 100
    trace = 1000 * np.exp(-((y - 60) ** 2) / 4)
    residuals += 0.02 * np.array([1, -1, 0.5, -1, 0.5])[:, None, None] * trace
    _, along = lines_gain(residuals, signal + trace, np.ones(y.shape), 128)
    assert along > 2000


def test_whole_exposures_keep_the_object_alone():
    cube, names = np.full((2, 70, 80), np.float32(50)), {"response"}
    part = ExpectedExposures(cube, lambda signal: signal, None, names, FitSettings(object_alone=True, courses={}))
    assert ExpectedExposures(cube, lambda signal: signal, None, names, of_part=part).object_alone


@pytest.mark.parametrize("name", ["factors", "backgrounds", "changes", "blurs", "gains", "added", "steps"])
def test_the_common_image_is_computed_again_if_anything_changes(name):
    rng = np.random.default_rng(3)
    model = ExpectedExposures(rng.normal(50, 5, (3, 70, 80)).astype(np.float32), lambda signal: signal, None, set())
    common = model.common(0.1)
    assert model.common(0.1) is common
    assert model.common(0.2) is not common
    assert model.common(0.1, mean=True) is not model.common(0.1)
    image = np.full((3, 70, 80), np.float32(0.5))
    model.steps = ((0, 0), (0, 0), (1, 0))  # with a shift, all of them matter
    before = model.common(0.1)
    setattr(model, name, {"factors": np.array([1, 1, 2.0]), "steps": ((0, 0), (0, 0), (0, 2))}.get(name, image))
    assert not np.array_equal(model.common(0.1), before)


@pytest.fixture
def wide_line():
    """A wide line of the sky of 80 above 30, that is twice as bright in the last of three exposures."""
    common = np.full((40, 300), np.float32(30))
    common[12:24] = 110
    levels = np.stack([common, 2 * common, 4 * common])
    levels[2, 12:24] += 4 * 70
    for i in range(3):
        levels[i] += 10 * i
    model = model_of(levels)
    model.common = lambda contrast: common
    return model, levels


def test_a_line_that_is_brighter_is_no_hit(wide_line):
    model, levels = wide_line
    levels[2, 18, 100] += 4 * 60
    left, *_ = misfit.residuals(model)
    # below the hit, it is as bright as beside it
    np.testing.assert_allclose(left[2, 12:24], 70, atol=1e-3)
    # along y likewise
    turned = model_of(levels.transpose(0, 2, 1))
    turned.common = lambda contrast: model.common(contrast).T
    other, *_ = misfit.residuals(turned)
    np.testing.assert_allclose(other[2, :98].T, left[2, :, :98], atol=1e-3)


def test_a_track_along_a_line_is_a_hit(wide_line):
    model, levels = wide_line
    levels[2, 12:24] -= 4 * 70
    levels[2, 18, 100:190] += 4 * 60
    assert not misfit.residuals(model)[0].any()
    # and so is what is in one exposure only
    levels[1, 30:33] += 2 * 60
    assert not misfit.residuals(model)[0].any()


def test_a_line_is_as_bright_below_a_track_along_it(wide_line):
    """A track covers a whole cell of a line that is brighter in its exposure: the others of the line describe it."""
    model, levels = wide_line
    model.gains = model.added = model.brightness = None
    model.freedom = {}
    levels[2, 16:20, 100:140] += 4 * 200
    lines_of_model.add_line(model, BY_NAME["backgrounds", "x"], misfit.residuals(model))
    # 70 in one of three exposures
    np.testing.assert_allclose((model.added[2] - model.added[:2].mean(axis=0))[12:24], 70, atol=1)


def test_a_term_that_raises_the_misfit_is_removed(wide_line, monkeypatch):
    model, _ = wide_line
    model.gains = model.added = model.brightness = None
    model.names, model.lines, model.freedom = {"backgrounds"}, [], {}
    model.shift = lambda i, rows=slice(None): (
        np.float32(10 * i) if model.added is None else 10 * i + 2.0**i * model.added[i]
    )
    add, before = lines_of_model.add_line, misfit.misfit(model)
    needed_lines.find_line_terms(model)
    assert [(one.setting, one.axis) for one in model.lines] == [("backgrounds", "x")]
    assert misfit.misfit(model) < 0.7 * before

    def worse(model, *arrays):
        add(model, *arrays)
        model.added = -model.added

    model.added, model.lines = None, []
    monkeypatch.setattr(needed_lines, "add_line", worse)
    needed_lines.find_line_terms(model)
    assert not model.lines
    assert misfit.misfit(model) == before


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_response_of_two_exposures_multiplies_medians(axis):
    """The noise of a value is in the common image of two exposures, and a median of five is free of a single hit."""
    signal = np.full((20, 30), np.float32(100))
    signal[7, 11] = 5000
    for n, highest in ((2, 100), (3, 5000)):
        model = SimpleNamespace(levels=np.zeros((n, 20, 30)), lines=[], object_alone=False, courses={})
        assert lines_of_model.regressor_of(model, BY_NAME["response", axis], signal).max() == highest
