"""Fits that cannot be better than what was found before are not done, or stop early."""

from types import SimpleNamespace

import numpy as np
import pytest

from crstack.equalize import measure
from crstack.equalize.fit import misfit
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.kernels import kernel, kernel_equations
from crstack.equalize.fit.kernels.kernel_terms import SIZE, KernelTerms
from crstack.equalize.fit.line_fits import line_orders, line_rounds, lines_of_model
from crstack.equalize.fit.lines.lines import LINES, LineTerm
from crstack.equalize.fit.lines.straight_lines import straight_part
from crstack.equalize.fit.surfaces import Mesh

#: what terms along rows and columns change
TERMS = ("gains", "added", "sky", "brightness", "changes", "blurs", "noises", "latest")


@pytest.mark.parametrize(
    ("misfits", "fitted"),
    [
        # the first term is better once; the second is not fitted to the same residuals again
        ([1000.0, 500.0, 600.0, 450.0], "aba"),
        ([1000.0, 990.0, 990.0], "ab"),
        # a clear gain is larger in a large image
        ([1000.0, 850.0, 850.0], "ab"),
        ([2000.0, 1600.0, 1200.0, 800.0, 790.0, 790.0], "ababa"),
    ],
)
def test_a_term_is_not_fitted_again_to_the_residuals_that_left_it_out(monkeypatch, misfits, fitted):
    names = dict(zip(LINES[:2], "ab", strict=True))
    model = SimpleNamespace(**dict.fromkeys(TERMS), lines=list(names), freedom={}, levels=np.zeros((3, 500, 500)))
    done, left = [], iter(misfits)
    for module in (line_rounds, misfit):
        monkeypatch.setattr(
            module, "differences_and_misfit", lambda model: misfit.Residuals(None, None, None, next(left))
        )
        monkeypatch.setattr(module, "without_hits", lambda model, found: found)
    monkeypatch.setattr(line_rounds, "add_line", lambda model, line, found: done.append(names[line]))
    line_rounds.polish(model)
    assert "".join(done) == fitted


@pytest.fixture
def model():
    levels = np.random.default_rng(1).normal(100, 3, (3, 64, 80)).astype(np.float32)
    return ExpectedExposures(levels, lambda signal, box=None: np.full_like(signal, 9), None, {"backgrounds"})


def test_the_common_image_of_terms_that_are_restored_is_kept(model):
    common, without = model.common(0.1), lines_of_model.line_terms_of(model)
    model.added = np.ones_like(model.levels)
    assert model.common(0.1) is not common
    lines_of_model.restore_line_terms(model, without)
    assert model.common(0.1) is common


def test_median_and_mean_of_the_exposures_are_both_kept(model):
    median, mean = model.common(0.1), model.common(0.1, mean=True)
    assert model.common(0.1) is median
    assert model.common(0.1, mean=True) is mean
    assert model.common(0.2) is not median


def test_the_common_image_stays_if_a_term_changes_nothing(model, monkeypatch):
    share = np.zeros_like(model.levels)
    monkeypatch.setattr(lines_of_model, "_share_of", lambda *arguments: share)
    found, line = misfit.residuals(model), LineTerm("x", "backgrounds")
    lines_of_model.add_line(model, line, found)
    common = model.common(0.1)
    lines_of_model.add_line(model, line, found)
    assert model.common(0.1) is common
    share = share + 1
    lines_of_model.add_line(model, line, found)
    assert model.common(0.1) is not common
    np.testing.assert_array_equal(model.added, share)


def test_straight_parts_of_the_latest_image_are_kept_until_its_lines_are_followed(model):
    image = model.levels[0]
    found = {axis: model.straight_part(image, axis) for axis in "xy"}
    for axis, one in found.items():
        np.testing.assert_array_equal(one, straight_part(image, axis))
        assert model.straight_part(image, axis) is one
    model.follow({})
    assert model.straight_part(image, "x") is not found["x"]
    np.testing.assert_array_equal(model.straight_part(model.levels[1], "x"), straight_part(model.levels[1], "x"))


@pytest.mark.parametrize(("most", "rounds"), [(np.inf, (0, 3, 4)), (100.0, (0, 3, 4)), (99.0, (0,))])
def test_a_model_that_is_much_worse_with_kernels_is_not_fitted_further(monkeypatch, most, rounds):
    done = []
    monkeypatch.setattr(line_rounds, "refine", lambda model, contrast, share: done.append((contrast, share)))
    monkeypatch.setattr(line_rounds, "criterion", lambda model: 100.0)
    further = []
    for name in ("fit_if_better", "find_line_terms"):
        monkeypatch.setattr(line_rounds, name, lambda *arguments, name=name: further.append(name))
    line_rounds.refine_after_lines(SimpleNamespace(lines=[]), most=most)
    assert done == [(line_rounds.CONTRAST[k], line_rounds.LEAST_SHARES[k]) for k in rounds]
    assert len(further) == (2 if len(rounds) > 1 else 0)


@pytest.mark.parametrize("start", [None, np.ones(3)])
@pytest.mark.parametrize(("other", "polished"), [(1.01, {"x", "y"}), (1.03, {"x"})])
def test_an_object_along_the_wrong_axis_is_not_fitted_further(monkeypatch, start, other, polished):
    """The criterion along y is larger by a factor; the model itself is far better, so that neither is used.

    A start of the throughputs may be that of the sky, so that an object is tried beside it.
    """
    found, criteria = set(), {"model": 1.0, "x": 1e6, "y": 1e6 * other}
    model = SimpleNamespace(
        name="model", lines=[LINES[0]], start=start, names={"response", "backgrounds"}, gains=None, courses={},
        levels=np.ones((3, 4, 4)), common=lambda contrast: np.ones((4, 4)), variance_of=lambda signal: signal,
    )  # fmt: skip
    monkeypatch.setattr(line_orders, "has_lines", lambda *arguments: True)
    monkeypatch.setattr(line_orders, "_object_along", lambda model, axis, order: SimpleNamespace(name=axis))
    monkeypatch.setattr(line_orders, "criterion", lambda one: criteria[one.name])
    monkeypatch.setattr(line_orders, "polish_object_and_sky", lambda one: found.add(one.name))
    assert line_orders._object_and_sky(model) is model
    assert found == polished


@pytest.mark.parametrize(("apart", "pixels", "rounds"), [(0.015, 500, 2), (0.03, 500, 5), (0.015, 300, 5)])
def test_a_second_start_stops_where_the_throughputs_agree(monkeypatch, apart, pixels, rounds):
    """In enough pixels with structure, and by less than the difference that counts."""
    first, second = (SimpleNamespace(factors=np.array([1, 1 + by]), terms=1, kinds=["level"]) for by in (0, apart))
    structure, done = np.arange(1000) < pixels, []
    monkeypatch.setattr(measure, "structure_of", lambda model: structure)
    monkeypatch.setattr(measure, "refine", lambda model, contrast, share: done.append(contrast))
    measure._refined(second, lambda model: measure._agrees_well(first, model))
    assert len(done) == rounds


@pytest.mark.parametrize("varies", [False, True])
def test_one_seeing_of_all_stars_needs_no_second_robust_fit(monkeypatch, varies):
    """Pixels of noise, and of a seeing that changes along the image."""
    rng = np.random.default_rng(5)
    m, n = 3000, 2
    surroundings = rng.normal(1000, 300, (1, SIZE**2, m))
    positions = rng.uniform(-1, 1, (2, m))
    targets = rng.normal(0, 10, (n, m))
    if varies:
        targets += np.array([[1], [-1]]) * 0.05 * kernel.varying_rows(surroundings[0], positions)[10]
    pixels = kernel.PixelsToFit(
        targets, np.full((n, m), 100.0), surroundings, np.full(m, 500.0), positions[0] > 0, positions
    )
    full, basis = kernel_equations.NormalEquations(pixels, 0.01), KernelTerms(1).basis(SIZE)
    weights, done = kernel_equations._RobustFit.weights, []
    monkeypatch.setattr(kernel_equations._RobustFit, "weights", lambda *some: done.append(1) or weights(*some))
    found = kernel._seeing_over_image(pixels, 0.01, False, full, basis)
    assert (found is not None) == varies
    assert len(done) == (n if varies else 0)


def test_medians_of_cells_are_those_of_each_image():
    rng = np.random.default_rng(6)
    images, known = rng.normal(size=(3, 130, 200)).astype(np.float32), rng.random((130, 200)) < 0.7
    known[:64, :66] = True
    known[64:, 70:130] = False
    mesh = Mesh(known.shape)
    medians, number = mesh.medians(list(images), known)
    for a, b in np.ndindex(number.shape):
        cell = tuple(slice(*edges[k : k + 2]) for edges, k in zip(mesh.edges, (a, b), strict=True))
        some = known[cell].sum()
        expected = np.median(images[:, *cell][:, known[cell]], axis=1) if some >= 200 else np.full(3, np.nan)
        np.testing.assert_array_equal(medians[:, a, b], expected)
        assert number[a, b] == (some if some >= 200 else 0)
