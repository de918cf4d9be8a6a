"""One model of what each exposure is expected to hold: added level, throughput, shift, seeing, and what is left."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage
from scipy.special import ndtr

from crstack import CRStack, JointPosterior
from crstack.equalize import measure_differences
from crstack.equalize.fit.kernels.changes import _through, largest_blur
from crstack.equalize.fit.kernels.kernel_terms import KernelTerms, split_kernel
from crstack.equalize.fit.lines.lines import fit_lines
from crstack.equalize.fit.surfaces import Mesh, smooth_surface
from crstack.equalize.terms.steps import _least_rest, moved, whole_steps
from crstack.equalize.variance.deviations import deviations_squared
from crstack.equalize.variance.model_error import features_of, fit_model_error, places_to_fit
from crstack.equalize.variance.place_variance import place_variance
from crstack.equalize.variance.places import contrast_squared
from crstack.exceptions import InputError
from crstack.utils.pixels import contrast_of

#: what is tested comes before the decision
pytestmark = pytest.mark.usefixtures("quick_joint_in_module")

SHAPE, SKY, READNOISE = (240, 260), 100.0, 4.0


def stars(shift=(0.0, 0.0), fwhm=2.8, flux=1.0, number=60, shape=SHAPE):
    """Stars without sky, as the pixels integrate them."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(5, shape[1] - 5, number), rng.uniform(5, shape[0] - 5, number)
    total = flux * 10 ** rng.uniform(3, 5.2, number)
    rows, columns = np.arange(-0.5, shape[0]), np.arange(-0.5, shape[1])
    sigma = fwhm / 2.3548

    def share(edges, centre):
        return np.diff(ndtr((edges - centre) / sigma))

    each = zip(x, y, total, strict=True)
    return sum(f * np.outer(share(rows, b + shift[1]), share(columns, a + shift[0])) for a, b, f in each)


def drawn(expected, seed=1, n_hits=150):
    """Exposures (N, ny, nx) with noise and single hits."""
    rng = np.random.default_rng(seed)
    cube = rng.poisson(expected) + READNOISE * rng.standard_normal(np.shape(expected))
    for plane in cube:
        plane[rng.integers(0, SHAPE[0], n_hits), rng.integers(0, SHAPE[1], n_hits)] += rng.exponential(800, n_hits)
    return cube.astype(np.float32)


def variance_of(signal, box=None):
    return np.maximum(signal, 0) + np.float32(READNOISE**2)


def measured(expected, **options):
    return measure_differences(drawn(expected), variance_of, **options)


def test_nothing_is_kept_of_equal_exposures():
    found = measured([stars() + SKY] * 3)
    assert not found
    assert found.factors == (1.0, 1.0, 1.0)
    assert all(np.ndim(one) == 0 and one == 0 for one in found.added)
    assert found.common is None
    assert found.in_words() == {"differences": "none"}


def test_levels_and_slopes():
    x = np.linspace(-1, 1, SHAPE[1])
    found = measured([stars() + level + slope * x for level, slope in ((80, 0), (104, 10), (143, -10))])
    levels = np.array(found.levels)
    np.testing.assert_allclose(levels - levels[0], (0, 24, 63), atol=0.5)
    assert "slope" in found.surfaces
    np.testing.assert_allclose(found.added[1] - found.added[0] - 24 - 10 * x, 0, atol=1.0)
    assert found.terms is None


def test_throughput_shift_and_seeing():
    cases = ((0.9, (0.2, 0.0), 2.6), (1.0, (0.0, -0.1), 2.8), (1.1, (-0.2, 0.1), 3.1))
    found = measured([stars(shift, fwhm, flux) + SKY for flux, shift, fwhm in cases])
    factors, shifts = np.array(found.factors), np.array(found.shifts)
    np.testing.assert_allclose(factors / factors[1], (0.9, 1.0, 1.1), rtol=0.01)
    np.testing.assert_allclose(shifts - shifts[1], np.array([one[1] for one in cases]) - (0.0, -0.1), atol=0.02)
    width = np.mean([one[:2] for one in found.widths], axis=1)
    squares = np.array([one[2] for one in cases]) ** 2 / 2.3548**2
    np.testing.assert_allclose(width - width[1], squares - squares[1], atol=0.06)
    table = found.table()
    np.testing.assert_allclose(table["throughput"], factors)
    assert (table["dx_error"] > 0).all()
    assert (table["dx_error"] < 0.02).all()


@pytest.mark.filterwarnings("ignore:exposure 3 shows")
@pytest.mark.parametrize("shift", [(1.4, 0.0), (2.6, -1.2), (3.1, 0.0), (6.0, 2.5)])
def test_shifts_of_pixels(shift):
    found = measured([stars() + SKY, stars() + SKY, stars(shift) + SKY])
    shifts = np.array(found.shifts)
    np.testing.assert_allclose(shifts[2] - shifts[0], shift, atol=0.05)
    stack = CRStack(
        list(drawn([stars() + SKY, stars() + SKY, stars(shift) + SKY]) * u.electron), readnoise=READNOISE * u.electron
    )
    offsets = np.array(stack.offsets().values)
    np.testing.assert_allclose(offsets[2] - offsets[0], shift, atol=0.03)


def test_only_what_may_be_measured_is_measured():
    expected = [stars((0.2, 0.0), flux=0.9) + 80, stars() + 100, stars((-0.2, 0.0), flux=1.1) + 120]
    found = measured(expected, names={"backgrounds", "flux_factors"})
    assert not found.terms.shift
    assert not found.terms.seeing
    found = measured(expected, names=())
    assert not found


def test_kernel_terms_are_flux_shift_and_seeing():
    basis = KernelTerms(3).basis(7)
    assert len(basis) == 49
    assert np.linalg.matrix_rank(basis.reshape(49, 49)) == 49
    for terms, kept in ((KernelTerms(2, False, True, False), [1, 2]), (KernelTerms(2, False, False, True), [3, 4, 5])):
        moments = np.array([split_kernel(one) for one in terms.basis(7)])
        moments[:, 0] -= 1
        others = [k for k in range(6) if k not in kept and (k < 3 or 1 not in kept)]
        np.testing.assert_allclose(moments[:, others], 0, atol=1e-12)


def test_lines_of_the_sky_and_throughput_of_traces():
    rng = np.random.default_rng(2)
    shape = (200, 300)
    signal = 50 + 1000 * np.exp(-0.5 * ((np.arange(200)[:, None] - 100) / 2.0) ** 2) * np.ones(shape)
    variance = (signal + 16).astype(np.float32)
    shares = np.array([-0.06, 0.0, 0.06])
    trace = np.abs(np.arange(200) - 100) < 6
    left = rng.standard_normal((3, *shape)) * np.sqrt(variance)
    left[:, trace] += shares[:, None, None] * signal[trace]
    found, _ = fit_lines(left.astype(np.float32), signal.astype(np.float32), variance)
    np.testing.assert_allclose(found[:, 98:103].mean(axis=(1, 2)), shares, atol=0.005)
    assert np.abs(found[:, :60]).mean() < 0.002
    nothing, _ = fit_lines(left[:, :60].astype(np.float32), signal[:60].astype(np.float32), variance[:60])
    assert (nothing == 0).mean() > 0.9


def test_surfaces_go_on_to_the_edges():
    mesh = Mesh((128, 192))
    y, x = np.mgrid[:128, :192]
    plane = (3 + 0.05 * x - 0.02 * y).astype(np.float32)
    (medians,), number = mesh.medians([plane], np.ones(plane.shape, bool))
    surface, kind = smooth_surface(medians, number, np.full(medians.shape, 1.0))
    assert kind == "slope"
    np.testing.assert_allclose(mesh.interpolate(surface), plane, atol=0.05)
    noise = np.random.default_rng(1).standard_normal(plane.shape)
    (medians,), number = mesh.medians([noise], np.ones(plane.shape, bool))
    assert smooth_surface(medians, number, np.full(medians.shape, 1.0))[1] == ""


def test_whole_steps():
    planes = drawn([stars() + SKY] * 3)
    planes[2] = moved(planes[2], (5, -3))
    assert whole_steps(planes) == ((0, 0), (0, 0), (5, -3))
    np.testing.assert_array_equal(moved(planes[0], (2, 1))[5, 7], planes[0][4, 5])
    assert whole_steps(planes[:2]) == ((0, 0), (0, 0))


def test_variance_of_a_place():
    same = drawn([stars() + SKY] * 3)
    assert not place_variance(same, variance_of)[0].any()
    unlike = drawn([stars(fwhm=one, number=12) + SKY for one in (2.5, 2.8, 3.2)], n_hits=0)
    variance, share = place_variance(unlike, variance_of)
    scene = stars(number=12)
    bright, dark = scene > 1000, ndimage.maximum_filter(scene, 9) < 1
    assert share > 0
    assert np.median(variance[bright] / scene[bright]) > 1
    assert variance[dark].mean() < 1


@pytest.mark.parametrize("fwhm", [(2.5, 2.8, 3.2), (1.4, 1.4, 1.4)])
def test_no_star_is_eaten(fwhm):
    shifts = ((0.0, 0.0),) * 3 if len(set(fwhm)) > 1 else ((0.15, 0.0), (-0.1, 0.1), (0.0, -0.15))
    expected = [stars(shift, one) + SKY for shift, one in zip(shifts, fwhm, strict=True)]
    cube = drawn(expected, n_hits=0)
    stack = CRStack([CCDData(one, unit="electron") for one in cube], readnoise=READNOISE * u.electron)
    masks = stack.detect(JointPosterior())
    assert masks.crmasks.mean() < 2e-4
    error = stack.combine("meanjoint").data - cube.mean(axis=0)
    assert abs(error.sum()) < 1e-3 * stars().sum()


@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")  # without the differences
@pytest.mark.filterwarnings("ignore:the exposures differ in level", "ignore:bright pixels")
@pytest.mark.filterwarnings("ignore:flagged groups are smooth")  # stars, without the differences
def test_exposures_for_mmcosmic():
    cube = drawn([stars(fwhm=one) + sky for one, sky in ((2.6, 80), (2.8, 104), (3.0, 143))])
    exposures = [CCDData(one, unit="electron") for one in cube]
    false = []
    for differences in (None, "auto"):
        stack = CRStack(exposures, readnoise=READNOISE * u.electron, differences=differences)
        masks = stack.detect("mmcosmic", aux=None)
        clean = ndimage.maximum_filter(cube - np.median(cube, axis=0), (1, 3, 3)) < 250
        false.append((masks.crmasks & clean).mean())
    assert false[1] < 0.2 * false[0]
    assert any("added levels" in line for line in masks.history)
    with pytest.raises(InputError, match=r"differences must be .auto. or None"):
        CRStack(exposures, readnoise=READNOISE * u.electron, differences="all")


# lines of the sky, and what crosses them


def slit_of(sky, loss, lines=(40, 90, 170, 220), shape=SHAPE):
    """Tilted lines of the sky times a factor, and a trace times another."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    spectrum = sum(900 * np.exp(-0.5 * ((x - 6 * y / shape[0] - one) / 1.3) ** 2) for one in lines)
    return 20 + sky * spectrum + loss * 900 * np.exp(-0.5 * ((y - 100 - x / 90) / 1.7) ** 2)


def test_a_response_leaves_the_lines_that_cross_it():
    expected = np.array([slit_of(*one) for one in ((1, 1.0), (1.12, 0.93), (0.9, 1.06))])
    found = measured(expected)
    each = zip(expected, found.added, found.scales, strict=True)
    left = np.std([(one - added) / scale for one, added, scale in each], axis=0, ddof=1)
    left /= np.sqrt(variance_of(expected.mean(axis=0)))
    assert left.max() < 3
    crossing = (slit_of(1, 0) > 300) & (slit_of(0, 1) > 300)
    assert np.percentile(left[crossing], 95) < 1


# errors of the model


def test_whole_steps_leave_the_least_rest():
    shifts = np.array([0.0, 0.3, 3.1])
    steps = whole_steps(drawn([stars((one, 0.0)) + SKY for one in shifts]))
    rest = shifts - np.array(steps)[:, 0]
    assert np.ptp(rest) < 0.35
    shifts = np.array([0.4, 0.6, -1.5])
    rest = shifts - _least_rest(shifts)
    assert np.ptp(rest) == pytest.approx(0.2)


def test_noise_of_a_change_is_that_of_the_pixels_it_comes_from():
    noise = np.ones((21, 21), np.float32)
    noise[10, 10] = 1000
    kernel = np.zeros((7, 7))
    kernel[3, 5] = 0.1
    np.testing.assert_allclose(_through(noise, kernel)[10, 12], 10, rtol=1e-5)
    np.testing.assert_allclose(_through(noise, kernel)[10, 10], 0.01, rtol=1e-5)


def planes_of(cube):
    ordered = np.sort(cube, axis=0)
    return ordered[0], np.median(cube, axis=0), ordered[-1]


def error_of(cube):
    """Error of equal exposures, from their common image."""
    low, median, high = planes_of(cube)
    image = np.where(median - low > 5 * np.sqrt(variance_of(low)) + 0.2 * contrast_of(low), low, median)
    variance = variance_of(image)
    features = features_of(image, variance)
    sides = places_to_fit(contrast_squared(image, variance), variance)
    planes = (low, median, high, variance, features)
    sides = [[one.reshape(*one.shape[:-2], -1)[..., side] for one in planes] for side in sides]
    return fit_model_error(len(cube), *sides).of(features)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_squared_deviations_of_noise_are_its_variance(n):
    cube = np.random.default_rng(3).standard_normal((n, 200, 300)).astype(np.float32)
    assert deviations_squared(*planes_of(cube), n).mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("n_hits", [0, 1500])
def test_error_of_a_model_is_measured_with_hits(n_hits):
    scene = stars(number=60)
    error = error_of(drawn([(1 + 0.05 * one) * scene + SKY for one in (-1, 0, 1)], n_hits=n_hits))
    bright = scene > 3000
    assert 0.8 < np.median(np.sqrt(error[bright]) / (0.05 * scene[bright])) < 2.5
    assert error[ndimage.maximum_filter(scene, 15) < 1].mean() < 2
    assert not error_of(drawn([scene + SKY] * 3, n_hits=n_hits)).any()


@pytest.mark.parametrize("n", [2, 3])
def test_many_pixels_exclude_the_least_error_of_a_kernel(n):
    """Few faint pixels do not show an error of a tenth of the change by a kernel, but many pixels do."""
    scene, least = stars(number=60), []
    values = planes_of(drawn([scene + SKY] * n, n_hits=0))
    change = np.float32(0.4) * scene
    variance = variance_of(values[1])
    features = features_of(values[1], variance, change.astype(np.float32))
    everywhere, flat = places_to_fit(contrast_squared(values[1], variance), variance)
    faint = everywhere[np.argsort(scene.ravel()[everywhere])[:80]]
    for places in (faint, everywhere):
        sides = [
            [one.reshape(*one.shape[:-2], -1)[..., side] for one in (*values, variance, features)]
            for side in (places, flat)
        ]
        least.append(fit_model_error(n, *sides).least[3])
    assert least[0] == pytest.approx(0.01)
    assert 0 < least[1] < 0.003


@pytest.mark.parametrize("n", [2, 3])
def test_ripple_of_a_kernel_on_stars_is_as_large_as_the_exposures_allow(n):
    """Where there is none, its least variance is small on stars, and remains beside them."""
    scene = stars(number=60)
    change = np.float32(0.4) * scene
    ripple = 0.02 * ndimage.maximum_filter(change, 7) * np.sign(np.random.default_rng(2).standard_normal(scene.shape))
    found = []
    for size in (0, 1):
        cube = drawn([np.maximum(scene + SKY + sign * size * ripple, 0) for sign in (-1, 1, 0)[:n]], n_hits=0)
        values = planes_of(cube)
        variance = variance_of(values[1])
        features = features_of(values[1], variance, change)
        sides = places_to_fit(contrast_squared(values[1], variance), variance)
        planes = [(one.reshape(*one.shape[:-2], -1) for one in (*values, variance, features)) for _ in sides]
        pairs = [[one[..., side] for one in some] for some, side in zip(planes, sides, strict=True)]
        error = fit_model_error(n, *pairs)
        found.append(error.least[4])
        # beside bright structure
        assert sum(error.least[4:]) == pytest.approx(0.015**2)
        faint = (features[5] > 0) & (features[0] > 0)
        assert faint.any()
        assert (error.of(features)[faint] > 0.99 * 0.015**2 * features[5][faint]).all()
    assert found[0] < 0.015**2 / 3
    assert found[1] == pytest.approx(0.015**2)


@pytest.mark.parametrize("n", [3, 5])
def test_hits_on_a_line_are_no_error_of_the_model(n):
    """Where one pixel in five of a line is hit, the hits are the tail of the deviations."""
    rng = np.random.default_rng(n)
    line = 300 * np.exp(-0.5 * ((np.arange(300) - 150) / 3) ** 2) * np.ones((400, 1))
    cube = drawn([(1 + one) * line + SKY for one in 0.02 * rng.standard_normal(n)], n_hits=0)
    clean = error_of(cube)
    # most on the line
    hit = rng.random(cube.shape) < np.where(line > 30, 0.04, 0.01)
    with_hits = error_of((cube + np.where(hit, rng.exponential(500, cube.shape), 0)).astype(np.float32))
    on_line = line > 100
    # the noise is 14 electrons or more
    assert np.sqrt(with_hits[on_line]).mean() < np.sqrt(clean[on_line]).mean() + 10


def test_round_kernels_have_one_term_for_steps_of_one_length():
    terms = KernelTerms(2, True, True, True, round=True)
    basis = terms.basis(7)
    # the throughput, steps of 1 and 2 along either axis, and five lengths
    assert len(basis) == 1 + 4 + 5
    assert np.linalg.matrix_rank(basis.reshape(len(basis), -1)) == len(basis)
    seeing = KernelTerms(3, False, False, True, round=True).basis(7)
    assert len(seeing) == 9
    for one in (seeing[:, ::-1], seeing.transpose(0, 2, 1)):
        np.testing.assert_array_equal(one, seeing)
    np.testing.assert_array_equal(seeing.sum(axis=(1, 2)), 0)


def three_stars(seed, fwhms=(2.5, 2.8, 3.2)):
    """Expected exposures of three bright stars, one of them on the edge between two pixels, and their places."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(30, 230, 3), 60.0 * np.arange(1, 4)
    x[0], total = np.floor(x[0]) + 0.5, 10 ** rng.uniform(5.2, 5.5, 3)
    expected = []
    for fwhm in fwhms:
        rows, columns = (
            np.diff(ndtr(2.3548 / fwhm * (np.arange(-0.5, side) - at[:, None])))
            for side, at in zip(SHAPE, (y, x), strict=True)
        )
        expected.append(SKY + np.einsum("k,ky,kx->yx", total, rows, columns))
    return np.array(expected), x, y


def test_a_kernel_of_few_stars_describes_their_wings():
    left = []
    for seed in range(3):
        expected = three_stars(seed)[0]
        found = measure_differences(drawn(expected, seed, n_hits=0), variance_of)
        levels = [(one - more) / scale for one, more, scale in zip(expected, found.added, found.scales, strict=True)]
        wings = (expected[1] > SKY + 10) & (expected[1] < SKY + 300)
        deviations = (levels - np.median(levels, axis=0)) / np.sqrt(variance_of(expected[1]))
        left.append(np.sqrt(np.mean(deviations[:, wings] ** 2)))
    assert max(left) < 0.7


def test_three_bright_stars_are_not_flagged():
    """In an empty field only these measure the differences; nothing is hit."""
    flagged = numbers = 0
    for seed in range(2):
        expected, x, y = three_stars(seed)
        cube = drawn(expected, seed, n_hits=0)
        stack = CRStack([CCDData(one, unit="electron") for one in cube], readnoise=READNOISE * u.electron)
        stack.detect(JointPosterior())
        combined = stack.combine("meanjoint").data
        for a, b in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
            box = np.s_[b - 8 : b + 9, a - 8 : a + 9]
            plain = (cube.mean(axis=0)[box] - SKY).sum()
            assert abs((combined[box] - SKY).sum() / plain - 1) < 1e-3
        flagged += ndimage.label(stack.detect(JointPosterior(false_alarm=1e-5)).crmasks, np.ones((3, 3, 3)))[1]
        numbers += cube.size
    # 95 % limit of a Poisson distribution of 3.7
    assert flagged <= 7 <= 2 * 1e-5 * numbers


def test_kernels_of_three_stars():
    cube = drawn([stars(fwhm=one, number=3) * 30 + SKY for one in (2.5, 2.8, 3.2)], n_hits=0)
    found = measure_differences(cube, variance_of)
    width = np.mean([one[:2] for one in found.widths], axis=1)
    assert np.ptp(width) > 0.4
    stack = CRStack([CCDData(one, unit="electron") for one in cube], readnoise=READNOISE * u.electron)
    assert stack.detect(JointPosterior()).crmasks.mean() < 3e-5


def test_a_shift_by_whole_pixels_is_no_error_of_the_model():
    """Only what is interpolated may be wrong: the change below a pixel."""
    scene = stars() + SKY
    found = measured([scene, moved(scene, (4, -3)), scene])
    assert found.steps == ((0, 0), (4, -3), (0, 0))
    assert found.change is not None
    # beside an edge where the scene enters, a kernel reaches beyond the common image
    assert np.max(found.change[:-6, 7:]) < 0.02 * scene.max()
    blurs, changes = (list(np.random.default_rng(1).normal(size=(2, 20, 30)).astype(np.float32)) for _ in range(2))
    inside = np.s_[:, 4:]
    steps = ((1, 0), (0, 0))
    expected = np.maximum(np.abs(moved(blurs[0], (1, 0))), np.abs(blurs[1]))
    np.testing.assert_array_equal(largest_blur(blurs, changes, steps)[inside], expected[inside])
    at_edge = np.s_[:, :4]
    assert (largest_blur(blurs, changes, steps)[at_edge] >= np.abs(changes[0][at_edge])).all()
    assert largest_blur([np.float32(0)], [np.float32(0)], ((0, 0),)) is None


def test_frequent_hits_on_stars_are_no_error_of_the_model():
    """The lowest values do not show it. Where stars do change, hits do not hide the change."""
    rng = np.random.default_rng(4)
    signal = rng.uniform(1000, 10_000, 600)
    features = np.stack([signal**2, 0 * signal, 0 * signal])
    noise = signal + 16
    flat = np.sort(rng.standard_normal((3, 5000)), axis=0)
    flat = *flat, np.ones(5000), np.zeros((3, 5000))
    errors = []
    for share in (0.0, 0.04):
        values = rng.standard_normal((3, 600)) * np.sqrt(noise + (share * signal) ** 2)
        hit = rng.random(600) < 0.12
        values[0, hit] += 8 * np.sqrt(noise[hit] + (share * signal[hit]) ** 2)
        errors.append(fit_model_error(3, (*np.sort(values, axis=0), noise, features), flat).parts[0])
    assert errors[0] < 0.01**2
    assert 0.04**2 < errors[1] < 0.07**2
