"""Values that are too low: found, left out with a code of their own, and without effect on the other exposures."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from crstack import Code, CRStack, MaskSet
from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.exposures import load_exposures
from crstack.exposures.bad_values.low_values import find_low_values
from crstack.masks.features import find_features

#: what is tested comes before or after the decision
pytestmark = pytest.mark.usefixtures("quick_joint")

SHAPE = (120, 150)
READNOISE = 4.0
COLUMNS = (20, 45, 46, 90, 149)


def drawn(n, seed=1, sky=150.0, rate=0.01):
    """Exposures in electrons of a sky and a star, with hits."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light = sky + 5000 * np.exp(-((columns - 70) ** 2 + (rows - 50) ** 2) / 8)
    hits = np.stack([make_hits(SHAPE, rate, rng) if rate else np.zeros(SHAPE) for _ in range(n)])
    return (rng.poisson(light, (n, *SHAPE)) + rng.normal(0, READNOISE, hits.shape) + hits).astype(np.float32), hits


def with_dead_columns(n, which=1, **options):
    cube, hits = drawn(n, **options)
    cube[which][:, COLUMNS] = np.random.default_rng(2).normal(0, READNOISE, (SHAPE[0], len(COLUMNS)))
    truth = np.zeros(cube.shape, dtype=bool)
    truth[which][:, COLUMNS] = True
    return cube, hits, truth


def load(cube):
    return load_exposures([CCDData(image, unit="electron") for image in cube], readnoise=READNOISE * u.electron)


def stack_of(cube):
    return CRStack([CCDData(image, unit="electron") for image in cube], readnoise=READNOISE * u.electron)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_dead_columns_of_one_exposure_are_bad_values(n):
    cube, _, truth = with_dead_columns(n)
    exposures = load(cube)
    assert (exposures.low & truth).sum() >= 0.99 * truth.sum()
    assert (exposures.low & ~truth).sum() <= 2
    np.testing.assert_array_equal(exposures.bad, exposures.low)
    assert (exposures.data[exposures.low] == 0).all()
    for part in (exposures.cutout(np.s_[10:30, :]).low, exposures.reordered([1, 0]).low, exposures.transposed().low):
        assert part.any()
    np.testing.assert_array_equal(exposures.transposed().low[1].T, exposures.low[1])


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_the_other_exposures_are_not_flagged(n, method):
    if n == 2 and method == "mmcosmic":
        pytest.skip("M.M.Cosmic needs three exposures")
    cube, hits, truth = with_dead_columns(n)
    stack = stack_of(cube)
    masks = stack.detect(method, aux=None)
    beside = np.broadcast_to(truth.any(axis=0), cube.shape) & ~truth & (hits == 0)
    assert masks.crmasks[beside].sum() <= 0.005 * beside.sum()
    codes = masks.codes["CRMASK2"]
    assert (codes[truth[1]] == Code.LOW).mean() >= 0.99
    assert not (masks.codes["CRMASK1"] == Code.LOW).any()
    # the mean is that of the other exposures
    level = stack.combine("meancr2").data[:, COLUMNS]
    assert abs(np.median(level) - 150) < 3


def test_low_values_are_no_hits():
    cube, _, truth = with_dead_columns(3, rate=0)
    stack = stack_of(cube)
    masks = stack.detect()
    row = masks.counts()[masks.counts()["name"] == "CRMASK2"][0]
    assert row["low"] == (masks.codes["CRMASK2"] == Code.LOW).sum() >= 0.99 * truth.sum()
    assert len(find_features(masks, name="CRMASK2")) <= 2
    assert stack.summary()["values too low"] == masks.low.sum()
    # no bit of a hit or a bad value, but that of low ones
    quality = masks.to_dq(exposures=stack.exposures)
    assert (quality[masks.low] == 1024).all()
    again = masks.threshold(0.5)
    np.testing.assert_array_equal(again.low, masks.low)
    ratio = again.codes["CRMASK2"][truth[1]]
    assert (ratio == Code.LOW).mean() >= 0.99


def test_the_code_is_kept_in_the_file(tmp_path):
    stack = stack_of(with_dead_columns(3)[0])
    masks = stack.detect()
    masks.write(tmp_path / "masks.fits")
    again = MaskSet.read(tmp_path / "masks.fits")
    np.testing.assert_array_equal(again.low, masks.low)
    assert again.low.any()
    one, other = (stack.combine("meanjoint", masks=some).data for some in (masks, again))
    np.testing.assert_allclose(one[:, COLUMNS], other[:, COLUMNS], rtol=0.02)


def test_skipped_regions_stay_without_code():
    from crstack import MaskRules

    stack = stack_of(with_dead_columns(3)[0])
    masks = stack.detect(rules=MaskRules(skip_regions=[(1, 150, 1, 60)], force_pixels=[(21, 100)]))
    assert not masks.low[:, :60].any()
    assert masks.low[1, 60:].any()
    assert masks.codes["CRMASK2"][99, 20] == Code.GIVEN


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_columns_and_glitches(axis):
    cube, _ = drawn(3, rate=0)
    where = [slice(None), slice(None)]
    where[axis] = slice(80, 83)
    cube[0][tuple(where)] = np.random.default_rng(5).normal(30, READNOISE, cube[0][tuple(where)].shape)
    cube[2, 20, 30] = -400
    cube[2, 100, 120] = 0
    low = load(cube).low
    assert low[0][tuple(where)].mean() > 0.98
    assert not low[1].any()
    assert low[2, 20, 30]
    assert low[2, 100, 120]
    assert low[2].sum() == 2


@pytest.mark.parametrize("n", [2, 3, 5])
def test_no_clean_value_is_low(n):
    """20 million values of equal exposures, at three levels."""
    for sky in (3.0, 60.0, 3000.0):
        rng = np.random.default_rng(int(sky))
        cube = (rng.poisson(sky, (n, 1000, 500)) + rng.normal(0, READNOISE, (n, 1000, 500))).astype(np.float32)
        exposures = load(cube)
        assert exposures.low is None
        assert exposures.bad is None


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("scene", ["imaging", "slit", "ifu", "echelle"])
def test_hits_do_not_make_values_low(scene, population):
    """Gaps and absorption lines lie below their surroundings, and hits of the other exposures above them."""
    for n, seed in ((2, 1), (3, 2)):
        simulated = make_stack(scene, (200, 250), n, hit_rate=0.03, population=population, seed=seed)
        images = [CCDData(ccd.data, unit=ccd.unit) for ccd in simulated.exposures]
        given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
        low = _loaded(images, given).low
        assert low is None or low.sum() <= 1


def _loaded(images, given):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_exposures(images, **given)


@pytest.mark.parametrize("scene", ["ifu", "echelle"])
@pytest.mark.parametrize("n", [2, 3])
def test_a_longer_exposure_has_deeper_gaps_that_are_not_low(scene, n):
    factors = (1.0, 2.5, 0.6)[:n]
    simulated = make_stack(scene, (200, 250), n, hit_rate=0.01, flux_factors=factors, sky_factors=factors, seed=3)
    given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    low = _loaded([CCDData(ccd.data, unit=ccd.unit) for ccd in simulated.exposures], given).low
    assert low is None or low.sum() <= 1


def test_what_is_low_in_every_exposure_stays():
    cube, _ = drawn(3, rate=0)
    cube[:, :, 40] = np.random.default_rng(3).normal(0, READNOISE, (3, SHAPE[0]))
    assert load(cube).low is None


@pytest.mark.parametrize(
    ("folder", "lit", "gain", "readnoise", "bias"),
    [
        ("real/goodman_at2018oh", np.s_[:, 8:2056], 1.36, 4.9, 434.5),
        ("real/arcsat_xo1", np.s_[:, :], 1.34, 16.3, 1356.0),
        ("sprat", np.s_[:, :], 2.45, 5.1, 916.0),
    ],
)
def test_real_exposures_have_no_low_values(shared_data, folder, lit, gain, readnoise, bias):
    paths = sorted((shared_data / folder).glob("*.fits*"))[:3]
    if not paths:
        pytest.skip(f"{folder} is not here")
    images = [CCDData(fits.getdata(path)[lit].astype(np.float32), unit="adu") for path in paths]
    given = {"gain": gain * u.electron / u.adu, "readnoise": readnoise * u.electron, "bias": bias * u.adu}
    assert _loaded(images, given).low is None


@pytest.mark.parametrize("scene", ["ifu", "slit"])
@pytest.mark.parametrize("n", [3, 4])
def test_the_clean_value_between_coincident_hits_is_not_low(scene, n):
    simulated = make_stack(scene, shape=(300, 400), n_exposures=n, hit_rate=0.03, seed=11)
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    assert stack.exposures.low is None
    if (scene, n) == ("ifu", 3):
        # two of three values are hit, and the clean one lies in a gap between bright fibres
        assert (simulated.hits[[0, 2], 146, 330] > 100).all()
        truth = simulated.expected[:, 146, 330].mean()
        assert abs(stack.combine("meancr2").data[146, 330] - truth) < 30


def test_no_clean_value_between_crossing_tracks_is_low():
    """Two exposures are hit in a gap between orders; the gap lies below the orders in every exposure."""
    for seed in (401, 403):
        simulated = make_stack("echelle", (400, 500), 3, hit_rate=0.05, seed=seed)
        given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
        images = [CCDData(ccd.data, unit=ccd.unit) for ccd in simulated.exposures]
        assert _loaded(images, given).low is None


def test_spots_on_orders_are_low_up_to_their_middle():
    """The middle of a spot has no neighbour that reaches the other exposures."""
    simulated = make_stack("echelle", (300, 400), 3, hit_rate=0, seed=7)
    cube = [np.array(ccd.data) for ccd in simulated.exposures]
    bright = simulated.expected.mean(axis=0) > 300
    bright[:10] = bright[-10:] = False
    places = np.argwhere(bright)[:: bright.sum() // 40]
    for row, column in places:
        cube[1][row - 1 : row + 2, column - 1 : column + 2] = simulated.bias.value
    given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    low = _loaded([CCDData(image, unit="adu") for image in cube], given).low
    assert low[1][tuple(places.T)].mean() > 0.8


@pytest.mark.parametrize("seed", [501, 502])
def test_rows_that_are_blank_in_one_exposure_leave_the_columns_across(seed):
    """A column has six low values where it crosses the rows; its other values are not low."""
    simulated = make_stack("imaging", (300, 400), 3, hit_rate=0.01, seed=seed)
    rng = np.random.default_rng(seed)
    cube, truth = [np.array(ccd.data) for ccd in simulated.exposures], np.zeros(simulated.expected.shape, dtype=bool)
    for i, image in enumerate(cube):
        for rows in (slice(30 + 40 * i, 32 + 40 * i), slice(50 + 40 * i, 56 + 40 * i)):
            image[rows] = simulated.bias.value + rng.normal(0, 2, image[rows].shape)
            truth[i, rows] = True
    given = {"gain": simulated.gain, "readnoise": simulated.readnoise, "bias": simulated.bias}
    low = _loaded([CCDData(image, unit="adu") for image in cube], given).low
    np.testing.assert_array_equal(low, truth)


@pytest.mark.filterwarnings("ignore:the exposures scatter by")
def test_a_wide_part_far_below_zero_is_low_where_the_others_are_not():
    """Its middle is not below its surroundings: only its own level and the other exposures show it."""
    cube, _ = drawn(3, rate=0)
    part = np.s_[40:70, 85:120]
    rng = np.random.default_rng(3)
    cube[1][part] = rng.normal(-200, READNOISE, cube[1][part].shape)
    low = find_low_values(load_plain(cube))
    assert low[1][part].all()
    assert np.count_nonzero(low) == low[1][part].size
    # as low in every exposure: their common level
    for plane in cube:
        plane[part] = rng.normal(-200, READNOISE, plane[part].shape)
    low = find_low_values(load_plain(cube))
    assert low is None or not low[:, 50:60, 95:110].any()


@pytest.mark.parametrize(("n", "times"), [(3, 3), (5, 3), (5, 5)])
def test_an_exposure_with_several_times_the_stated_noise_has_no_low_values(n, times):
    """The others have the stated noise. Most pairs of exposures scatter as stated, and must not decide for this one."""
    cube, _ = drawn(n, rate=0)
    rng = np.random.default_rng(287)
    cube[1] += rng.normal(0, np.sqrt((150 + READNOISE**2) * (times**2 - 1)), cube[1].shape)
    low = find_low_values(replace(load_plain(drawn(n, rate=0)[0]), data=cube))
    assert low is None or np.count_nonzero(low) <= 2


def load_plain(cube):
    """Exposures without the checks that already look for low values."""
    exposures = load(cube)
    return replace(exposures, data=cube, bad=None, low=None, variances=(None,) * len(cube))
