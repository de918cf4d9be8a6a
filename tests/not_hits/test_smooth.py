"""Flagged light that is not a hit: variable and moving stars, ghosts, nods; and exposures that cannot be modelled."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import Code, CRStack, MaskSet
from crstack.combine import PixelFlag
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.not_hits.nods import moved_traces, nodded
from crstack.not_hits.smooth import _measured, find_smooth
from crstack.not_hits.trails import Trail

SHAPE = (120, 150)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]


def star(x, y, flux, width=1.3):
    return flux / (2 * np.pi * width**2) * np.exp(-((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / (2 * width**2))


def field(n=25, seed=4, width=1.3, turned=0.0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, SHAPE[1], n), rng.uniform(0, SHAPE[0], n)
    flux = 10 ** rng.uniform(3, 4.8, n)
    a = np.radians(turned)
    dx, dy = x - 75, y - 60
    return sum(
        star(75 + np.cos(a) * p - np.sin(a) * q, 60 + np.sin(a) * p + np.cos(a) * q, f, width)
        for p, q, f in zip(dx, dy, flux, strict=True)
    )


def stack_of(light, rate=0.005, seed=1):
    rng = np.random.default_rng(seed)
    hits = np.stack([make_hits(SHAPE, rate, rng) for _ in light])
    cube = rng.poisson(light) + rng.normal(0, 4, np.shape(light)) + hits
    return CRStack([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron), hits


def warned(stack):
    """Masks, and the texts of the warnings with their categories in front."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        masks = stack.detect("joint")
    return masks, " ".join(f"{one.category.__name__}: {one.message}" for one in found)


@pytest.mark.parametrize(("ratio", "n"), [(1.3, 3), (3, 3), (2, 2)])
def test_a_star_that_is_brighter_in_one_exposure_is_reported(ratio, n):
    light = np.stack([100 + field() + star(60, 50, 4e4) * (ratio if i == 1 else 1) for i in range(n)])
    stack, hits = stack_of(light)
    text = rf"exposure 2 at \(6[01]\.., 5[01]\..\) with .* electron, {ratio:.0f}?.* times the light of the others"
    with pytest.warns(CRStackWarning, match=text):
        masks = stack.detect("joint")
    assert masks.codes["CRMASK2"][50, 60] == Code.SOURCE
    assert np.hypot(masks.sources["x"].value - 61, masks.sources["y"].value - 51).min() < 0.5
    # hits are still hits
    strong = (hits > 300) & (np.hypot(COLUMNS - 60, ROWS - 50) > 12)
    assert np.isin(masks.codes["CRMASK2"][strong[1]], [Code.CLEAN, Code.SOURCE]).mean() < 0.05


def test_a_hit_on_a_star_stays_a_hit():
    light = np.stack([100 + star(60, 50, 4e4)] * 3)
    rng = np.random.default_rng(3)
    cube = rng.poisson(light) + rng.normal(0, 4, light.shape)
    cube[1, 49:52, 59:62] += np.array([[900, 4000, 300], [2500, 800, 5000], [400, 3000, 700]])
    stack = CRStack([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CRStackWarning)
        masks = stack.detect("joint")
    assert (masks.codes["CRMASK2"][49:52, 59:62] == Code.MMCOSMIC).all()


@pytest.mark.parametrize("step", [1.0, 2.0])
def test_a_slow_asteroid_and_a_ghost(step):
    light = np.stack([100 + field() + star(40.3 + step * k, 80, 2e4) for k in range(3)])
    radius = np.hypot(COLUMNS - 110, ROWS - 40)
    light[1] += 200 / (1 + np.exp((radius - 15) / 0.8))
    stack, _ = stack_of(light)
    masks, text = warned(stack)
    assert "flagged groups are smooth" in text
    assert "exposure 1 at (4" in text
    assert "exposure 3 at (4" in text
    assert (masks.codes["CRMASK2"][radius < 14] == Code.SOURCE).mean() > 0.9


@pytest.mark.parametrize("population", POPULATIONS)
def test_hits_are_not_smooth(population):
    rng = np.random.default_rng(8)
    shape = (400, 400)
    hits = np.stack([make_hits(shape, 0.02, rng, population) for _ in range(3)])
    cube = rng.poisson(100, hits.shape) + rng.normal(0, 4, hits.shape) + hits
    exposures = load_exposures([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron)
    assert find_smooth(lambda i: hits[i] > 40, exposures) == ([], {})


@pytest.mark.parametrize("sky", [-80, 0, 150])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_quick_look_at_all_groups_loses_none(monkeypatch, sky, seed):
    rng = np.random.default_rng(seed)
    light = np.stack([200 + sky * (i == 1) + field(seed=seed) for i in range(3)])
    for x, y, width in zip(rng.uniform(0, 150, 25), rng.uniform(0, 120, 25), rng.uniform(0.9, 5, 25), strict=True):
        light[1] += star(x, y, 400 * width**2 * rng.uniform(0.3, 8), width)
    hits = np.stack([make_hits(SHAPE, 0.01, rng) for _ in light])
    cube = rng.poisson(light) + rng.normal(0, 4, light.shape) + hits
    cube[0, rng.random(SHAPE) < 0.002] = np.nan
    exposures = load_exposures([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron)
    flagged = [np.nan_to_num(plane - np.median(light, axis=0)) > 90 + sky * (i == 1) for i, plane in enumerate(cube)]
    found = find_smooth(lambda i: flagged[i], exposures)
    monkeypatch.setattr("crstack.not_hits.smooth._perhaps_smooth", lambda labels, place, n, *_: np.ones(n, bool))
    groups, planes = find_smooth(lambda i: flagged[i], exposures)
    assert len(groups) > 5
    assert found[0] == groups
    assert all((found[1][i] == planes[i]).all() for i in planes)


@pytest.mark.parametrize("flux", [3e3, 2e4])
def test_a_sharp_star_that_is_brighter_in_one_of_two_exposures(flux):
    """It is as sharp as a hit, but has the profile of the star of the other exposure."""
    base = 60 + field(seed=2, width=1.0)
    stack, _ = stack_of(np.stack([base + k * star(70.3, 55.2, flux, 1.0) for k in (1, 2)]), seed=2)
    masks, text = warned(stack)
    assert re.search(
        r"flagged groups are smooth \(1, in .* exposure 2 at \(71\.\d, 56\.\d\) .* (1\.9|2\.[01])\d times", text
    )
    assert masks.codes["CRMASK2"][55, 70] == Code.SOURCE


def test_the_flagged_core_of_a_star_that_varies():
    """Only ten pixels of a bright star are flagged, because the model of stars has errors."""
    rng = np.random.default_rng(4)
    core = np.zeros(SHAPE, dtype=bool)
    core[49:52, 59:62] = core[50, 62] = True

    def groups_of(light):
        cube = rng.poisson(light) + rng.normal(0, 4, light.shape)
        exposures = load_exposures([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron)
        return find_smooth(lambda i: core & (i == 1), exposures)[0]

    base = 100 + star(60.2, 50.1, 1e5)
    (found,) = groups_of(np.stack([base, base + star(60.2, 50.1, 1e5), base]))
    assert (found.exposure, found.n_pixels) == (2, 10)
    assert found.ratio == pytest.approx(2, abs=0.15)
    # a hit of ten pixels on the same star
    assert groups_of(np.stack([base, base + core * rng.uniform(3e3, 2e4, SHAPE), base])) == []


def test_hits_on_stars_have_not_their_profile():
    rng = np.random.default_rng(0)
    light = np.stack([60 + field(n=90, seed=3, width=1.0)] * 3)
    hits = np.stack([make_hits(SHAPE, 0.04, rng) for _ in light])
    cube = rng.poisson(light) + rng.normal(0, 4, light.shape) + hits
    exposures = load_exposures([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron)
    assert find_smooth(lambda i: hits[i] > 30, exposures) == ([], {})


def test_hits_in_a_wide_group_stay_hits():
    """As where an exposure has more light and the differences are switched off."""
    rng = np.random.default_rng(5)
    comet = star(75, 60, 6e4, 7.0)
    hits = np.zeros((3, *SHAPE))
    hits[1, 50:53, 70:90:6] = 900
    cube = rng.poisson(100 + np.multiply.outer([0, 1, 0], comet)) + rng.normal(0, 4, hits.shape) + hits
    exposures = load_exposures([CCDData(plane, unit="electron") for plane in cube], readnoise=4 * u.electron)
    group = comet > 20
    (found,), planes = find_smooth(lambda i: group & (i == 1), exposures)
    assert not planes[1][hits[1] > 0].any()
    assert planes[1][group & (hits[1] == 0)].mean() > 0.99
    assert found.n_pixels == planes[1].sum()


@pytest.mark.parametrize(("angle", "expected"), [(0.0, False), (1.6, True)])
def test_a_trail_does_not_hide_a_rotation(angle, expected):
    light = np.stack([60 + field(n=60), 60 + field(n=60), 60 + field(n=60, turned=angle)])
    light[1] += 200 * np.exp(-((ROWS - 0.5 * COLUMNS - 20) ** 2) / 8)
    masks, text = warned(stack_of(light)[0])
    assert len(masks.trails) == 1
    found = re.search(r"stars in a corner are shifted against those in the centre, exposure 3 by ([\d.]+) pixel", text)
    assert (found is not None) == expected
    if expected:
        # the outermost structures move by 2 pixels, against the mean of three exposures by 1.3
        assert 0.6 < float(found[1]) < 1.5


def traces(*places, peak=300.0):
    return np.stack([60 + peak * np.exp(-((ROWS - at - COLUMNS / 50) ** 2) / 8) for at in places])


@pytest.fixture(scope="module")
def nod():
    """A stack of a trace at three places, its masks, and the warnings. Not to be changed."""
    stack, _ = stack_of(traces(56, 68, 44))
    return stack, *warned(stack)


def test_a_nod_is_no_satellite(nod):
    _, masks, text = nod
    assert re.search(r"parallel traces lie at .* \+12\.\d pixels from the first; exposure 3 .* -1[12]\.\d pixels", text)
    assert masks.trails == ()
    assert "straight trails" not in text
    assert not any((plane == Code.TRAIL).any() for plane in masks.codes.values())
    assert (masks.codes["CRMASK2"][69] == Code.MOVED).mean() > 0.9
    # the trace is no hit of any mask, but where hits lie on it
    assert (masks.codes["MEANCRT"][69] == Code.MOVED).mean() > 0.9
    assert masks.counts()["moved"][list(masks).index("CRMASK2")] == (masks.codes["CRMASK2"] == Code.MOVED).sum()


@pytest.mark.parametrize(("places", "peak"), [((56, 62, 44), 800.0), ((50, 62, 38), 300.0), ((56, 68, 38), 60.0)])
def test_a_nod_is_no_gradient_of_the_sky(places, peak):
    """No throughputs describe traces that moved, so that the throughputs are not the question."""
    stack, _ = stack_of(traces(*places, peak=peak))
    _, text = warned(stack)
    assert "gradient" not in text
    assert re.search("at another place|at different places|not aligned", text)


@pytest.mark.parametrize("name", ["meanjoint", "meancr2", "mediancr", "meancrt"])
def test_combined_images_are_masked_where_a_nodded_target_lies(nod, name, tmp_path):
    """The target is left out of the values, so that a spectrum must not be extracted there."""
    light = traces(56, 68, 44)
    stack, masks, _ = nod
    masks.write(tmp_path / "crmasks.fits")
    target = (light > 60 + 150).any(axis=0)
    for one in (masks, MaskSet.read(tmp_path / "crmasks.fits")):
        made = stack.combine(name, masks=one, full_output=True)
        assert made.ccd.mask[target].mean() > 0.97
        assert ((made.flags & PixelFlag.MOVED) > 0)[target].mean() > 0.97
        assert (made.count[made.ccd.mask] == 0).all()
        assert made.ccd.mask[(light < 61).all(axis=0)].mean() < 0.01
    # the plain mean shows the target three times, and is not masked
    assert not stack.combine("mean").mask.any()


def test_places_that_moved_stay_with_another_threshold(nod):
    stack, masks, _ = nod
    known = masks.codes["CRMASK2"] == Code.MOVED
    other = masks.threshold(0.01)
    np.testing.assert_array_equal(other.codes["CRMASK2"] == Code.MOVED, known)
    assert stack.combine("meanjoint", masks=other).mask[known].all()


def test_which_features_are_of_a_nod():
    one = Trail(1, 1, 50, 300, 54, 8, 2400)
    assert nodded([one, Trail(2, 1, 62, 300, 66, 9, 2400)]) == [True, True]
    # in the same exposure, at another angle, wider, at the same place, oblique
    assert nodded([one, Trail(1, 1, 62, 300, 66, 8, 2400)]) == [False, False]
    assert nodded([one, Trail(2, 1, 62, 300, 90, 8, 2400)]) == [False, False]
    assert nodded([one, Trail(2, 1, 62, 300, 66, 20, 2400)]) == [False, False]
    assert nodded([one, Trail(2, 1, 51, 300, 55, 8, 2400)]) == [False, False]
    assert nodded([Trail(k, 1, 50 * k, 300, 50 * k + 150, 8, 2400) for k in (1, 2)]) == [False, False]


@pytest.mark.parametrize(("shift", "turned"), [(3.0, False), (-4.5, True)])
def test_the_shift_of_a_small_nod_is_measured(shift, turned):
    light = traces(56, 56 + shift)
    stack, _ = stack_of(light)
    exposures = stack.exposures
    if turned:
        images = [CCDData(np.ascontiguousarray(plane.T), unit="electron") for plane in exposures.data]
        exposures = load_exposures(images, readnoise=4 * u.electron)
    ((i, axis, found),) = moved_traces(exposures)
    assert (i, axis) == (1, "x" if turned else "y")
    assert abs(found - shift) < 0.2
    assert moved_traces(stack_of(traces(56, 56.4))[0].exposures) == []
    assert moved_traces(stack_of([100 + field(turned=k) for k in (0, 3)])[0].exposures) == []


@pytest.mark.parametrize("turned", [False, True])
def test_bad_rows_are_no_lines(turned):
    """Bad rows lie at rows of their own in each exposure, as those of other dithers or read-outs do."""
    rng = np.random.default_rng(1)

    def found(light):
        images = []
        for i, one in enumerate(light):
            data, mask = rng.poisson(one) + rng.normal(0, 4, SHAPE), np.zeros(SHAPE, bool)
            mask[60 + 2 * i] = True
            mask[63 + 2 * i, 9:] = True
            data[63 + 2 * i, :9] = 9000 + 99 * np.arange(9)  # few good values are no profile
            images.append(CCDData(data.T if turned else data, unit="electron", mask=mask.T if turned else mask))
        return moved_traces(load_exposures(images, readnoise=4 * u.electron))

    assert found(np.full((3, *SHAPE), 400.0)) == []
    # a trace that moves is found across bad rows all the same
    axis = "x" if turned else "y"
    assert [(i, name, round(shift)) for i, name, shift in found(traces(56, 59, 59))] == [(1, axis, 3), (2, axis, 3)]


@pytest.mark.parametrize(("n", "angle"), [(3, 2.0), (2, 3.0)])
def test_rotated_exposures_are_reported(n, angle):
    stack, _ = stack_of([100 + field(turned=k * angle) for k in range(n)])
    _, text = warned(stack)
    assert "ImplausibleResultWarning: " in text
    assert "structures differ between the exposures by as much as a shift of " in text


def test_an_exposure_out_of_focus_is_reported_once():
    stack, _ = stack_of([100 + field(width=one) for one in (0.95, 2.2)])
    _, text = warned(stack)
    assert re.search("ImplausibleResultWarning: stars are much wider than .*: exposure 2 by ", text)
    assert "trailed" not in text
    assert "not aligned" not in text


@pytest.mark.parametrize(("width", "throughput", "found"), [(1.6, 0.6, True), (1.6, 1.0, False), (1.2, 0.6, False)])
def test_two_exposures_of_unlike_stars_are_reported(width, throughput, found):
    stack, _ = stack_of([100 + field(width=0.95), 100 + throughput * field(width=width)])
    _, text = warned(stack)
    pattern = (
        r"stars are wider in exposure 2 than in exposure 1 by [23]\.\d pixels .* throughputs are 1\.\d\d, 0\.\d\d: "
    )
    assert bool(re.search(pattern + "with two .* stars cannot be distinguished from hits", text)) == found


def test_a_rotation_is_reported_beside_a_trail():
    across = (COLUMNS - 75) * np.sin(0.6) - (ROWS - 60) * np.cos(0.6)
    light = np.stack([100 + field(turned=3 * k) for k in range(3)])
    light[1] += 200 * np.exp(-(across**2) / 8)
    _, text = warned(stack_of(light)[0])
    assert "straight trails cross exposures" in text
    assert "structures differ between the exposures" in text


def test_bad_rows_that_lie_elsewhere_are_no_traces_that_moved():
    exposures = stack_of(traces(56, 56, 56))[0].exposures
    images = [CCDData(plane, unit="electron", mask=90 + 2 * i == ROWS) for i, plane in enumerate(exposures.data)]
    assert moved_traces(load_exposures(images, readnoise=4 * u.electron)) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"differences": None}, 'measured: throughput, shift, seeing. .* give differences="auto" .parameter file'),
        (
            {"flux_factors": None, "response": None},
            'measured: throughput. .* give flux_factors="auto". They are masked',
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:bright pixels", "ignore::crstack.exceptions.ImplausibleResultWarning")
def test_the_remedy_where_the_differences_are_not_measured(options, words):
    light = np.stack([100 + factor * field() for factor in (0.75, 1, 1.25)])
    images = [CCDData(plane, unit="electron") for plane in stack_of(light)[0].exposures.data]
    stack = CRStack(images, readnoise=4 * u.electron, **options)
    with pytest.warns(CRStackWarning, match=f"flagged groups are smooth .* given nor {words}"):
        stack.detect("mmcosmic", aux=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CRStackWarning)
        CRStack(images, readnoise=4 * u.electron).detect("mmcosmic", aux=None)


def test_the_size_and_the_place_of_a_smooth_group():
    """Full widths of an elongated Gaussian, cut at a hundredth of its peak."""
    x, y = 91.0, 40.0
    light = 2000 * np.exp(-((COLUMNS - x) ** 2) / (2 * 4.0**2) - (ROWS - y) ** 2 / (2 * 2.0**2))
    rng = np.random.default_rng(3)
    planes = [rng.poisson(100 + one, SHAPE) + rng.normal(0, 4, SHAPE) for one in (light, 0, 0)]
    exposures = load_exposures([CCDData(one, unit="electron") for one in planes], readnoise=4 * u.electron)
    box = np.s_[20:61, 65:118]
    found = _measured(exposures, 0, box, light[box] > 20, None)
    assert (found.exposure, found.x, found.y) == (1, pytest.approx(x + 1, abs=0.1), pytest.approx(y + 1, abs=0.1))
    # the second moments without the tails are 0.96 of those of the whole
    assert found.fwhm_major == pytest.approx(2.3548 * 4, rel=0.05)
    assert found.fwhm_minor == pytest.approx(2.3548 * 2, rel=0.05)
    assert found.flux == pytest.approx(light[box][light[box] > 20].sum(), rel=0.02)
