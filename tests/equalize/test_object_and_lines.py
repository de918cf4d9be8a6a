"""A kernel whose shift moves the whole scene, and whose seeing widens only a part of it."""

import numpy as np
from scipy import ndimage

from crstack.equalize.fit.changes import change_by_kernel
from crstack.equalize.fit.expected_exposures import ExpectedExposures
from crstack.equalize.fit.kernel import SIZE
from crstack.equalize.fit.lines import LineTerm
from crstack.equalize.fit.rounds import _surroundings, _with_even_part

SHAPE, MIDDLE = (60, 70), SIZE // 2
rng = np.random.default_rng(3)
SCENE = rng.uniform(1e4, 2e4, SHAPE).astype(np.float32)
OBJECT = rng.uniform(1e4, 2e4, SHAPE).astype(np.float32)
#: variance that is too small to reduce a change
NOISE = np.full(SHAPE, 1e-6, np.float32)
SHIFT = np.zeros((SIZE, SIZE))
SHIFT[MIDDLE, MIDDLE + 1], SHIFT[MIDDLE, MIDDLE - 1] = 0.1, -0.1
SEEING = np.zeros((SIZE, SIZE))
SEEING[MIDDLE - 1 : MIDDLE + 2, MIDDLE], SEEING[MIDDLE, MIDDLE] = 0.1, -0.2


def convolved(image, kernel):
    return ndimage.convolve(image.astype(np.float64), kernel, mode="nearest")


def test_a_shift_moves_the_scene_and_the_seeing_widens_the_object():
    none = np.zeros((2, 2))
    for kernel, image in ((SHIFT, SCENE), (SEEING, OBJECT)):
        change, _ = change_by_kernel(SCENE, OBJECT, NOISE, kernel, none)
        np.testing.assert_allclose(change, convolved(image, kernel), rtol=1e-4, atol=1)
    change, _ = change_by_kernel(SCENE, OBJECT, NOISE, SHIFT + SEEING, none)
    both = convolved(SCENE, SHIFT) + convolved(OBJECT, SEEING)
    np.testing.assert_allclose(change, both, rtol=1e-4, atol=1)
    usual, _ = change_by_kernel(SCENE, SCENE, NOISE, SHIFT + SEEING, none)
    np.testing.assert_allclose(usual, convolved(SCENE, SHIFT + SEEING), rtol=1e-4, atol=1)


def test_the_fitted_surroundings_are_those_of_the_change():
    rows, columns = (one.ravel() for one in np.mgrid[10:50, 10:60])
    seen = _with_even_part(*(_surroundings(one, rows, columns) for one in (SCENE, OBJECT)))
    for kernel in (SHIFT, SEEING, SHIFT + SEEING):
        change, _ = change_by_kernel(SCENE, OBJECT, NOISE, kernel, np.zeros((2, 2)))
        np.testing.assert_allclose(kernel.ravel() @ seen, change[rows, columns], rtol=1e-4, atol=1)
    # a throughput is that of the whole scene
    flux = np.zeros((SIZE, SIZE))
    flux[MIDDLE, MIDDLE] = 1
    np.testing.assert_allclose(flux.ravel() @ seen, SCENE[rows, columns], rtol=1e-6)


def test_only_lines_with_levels_of_their_own_may_stay_as_wide():
    expected = np.full((3, *SHAPE), 20, np.float32)
    model = ExpectedExposures(expected, lambda signal, box=None: signal + 16, None, {"seeing"})
    lines = np.tile(np.arange(SHAPE[1], dtype=np.float32) % 9, (SHAPE[0], 1))
    assert [axes for axes, _ in model.objects(lines)] == [()]
    model.lines = [LineTerm("x", "response"), LineTerm("y", "backgrounds")]
    (none, image), (along, rest) = model.objects(lines)
    assert (none, along) == ((), ("y",))
    assert image is lines
    np.testing.assert_allclose(rest, 0, atol=1e-5)
    assert model.object_of(lines) is lines
    model.not_widened = ("y",)
    np.testing.assert_array_equal(model.object_of(lines), rest)
    model.lines.append(LineTerm("x", "backgrounds"))
    assert [axes for axes, _ in model.objects(lines)] == [(), ("x",), ("y",), ("x", "y")]
