"""Saturated pixels are noticed where no saturation level is given."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.combine.result import PixelFlag
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.exposures.bad_values.saturation import Plateau, find_plateau, limit_with_noise, stated_limit
from crstack.exposures.input.given import Reading
from crstack.exposures.input.reading import as_given

NOISE = {"gain": 1 * u.electron / u.adu, "readnoise": 4 * u.electron}


def frame(seed=1, top=None, dtype=np.uint16, shape=(40, 50)):
    """An exposure with a bright star, cut at a level."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    scene = 500 + 90_000 * np.exp(-((x - 20) ** 2 + (y - 15) ** 2) / 8)
    image = rng.poisson(scene) + rng.normal(0, 4, shape)
    if top is not None:
        image = np.minimum(image, top)
    return image.astype(dtype) if np.issubdtype(dtype, np.floating) else np.rint(np.minimum(image, 65535)).astype(dtype)


def test_a_plateau_is_counted():
    image = frame(top=65535)
    assert find_plateau(image) == Plateau(65535.0, int((image == 65535).sum()), "the limit of the converter")
    image = frame(top=40_000.5, dtype=np.float32)
    assert find_plateau(image) == Plateau(40_000.5, int((image == 40_000.5).sum()), "its highest value")


def test_no_plateau_in_usual_images():
    rng = np.random.default_rng(3)
    faint = rng.poisson(0.1, (60, 60)).astype(np.uint16)
    hit = np.minimum(frame(), 30_000)
    hit[30, 40] = 65535
    hit[30, 42] = hit[33, 40] = hit[36, 44] = 65535
    for image in (frame(dtype=np.float32), faint, np.full((9, 9), 65535), hit):
        assert find_plateau(image) is None


def test_masked_and_infinite_values_are_not_used():
    image = frame(top=65535, dtype=np.float32)
    assert find_plateau(image, image == 65535) is None
    image[0, :6] = np.inf
    image[1, :6] = np.nan
    assert find_plateau(image).level == 65535
    assert find_plateau(np.full((9, 9), np.nan)) is None


def test_a_limit_of_the_header_is_used():
    image = frame(dtype=np.float32)
    found = find_plateau(image, limit=(30_000.0, "SATURATE"))
    assert found == Plateau(30_000.0, int((image >= 30_000).sum()), "SATURATE of the header")
    assert find_plateau(image, limit=(2e5, "SATURATE")) is None
    # below the plateau that it does not explain
    assert find_plateau(frame(top=40_000), limit=(65535.0, "SATURATE")).level == 40_000


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"SATURATE": 60_000, "DATAMAX": 5}, (60_000.0, "SATURATE")),
        ({"DATAMAX": 4.5}, (4.5, "DATAMAX")),
        ({"SATURATE": "much"}, None),
        ({"SATURATE": 0}, None),
        ({"SATURATE": True}, None),
        ({}, None),
    ],
)
def test_stated_limit(header, expected):
    assert stated_limit(header) == expected


def test_a_warning_with_numbers_and_remedy(tmp_path):
    paths = []
    for i in range(4):
        header = fits.Header({"BUNIT": "adu", "DATAMAX": 60_000})
        fits.PrimaryHDU(frame(i), header).writeto(tmp_path / f"n{i}.fits")
        paths.append(tmp_path / f"n{i}.fits")
    n = int((frame(0) >= 60_000).sum())
    with pytest.warns(CRStackWarning, match=rf"n0.fits has {n} pixels at 60000 adu \(DATAMAX of the header\)") as found:
        exposures = load_exposures(paths, **NOISE)
    assert "and 1 more exposures" in str(found[0].message)
    assert "saturation=60000 * u.Unit('adu') (command: --saturation 60000, parameter file: saturation: 60000)" in str(
        found[0].message
    )
    assert found[0].filename == __file__
    np.testing.assert_array_equal(exposures.bad, [frame(i) == 65535 for i in range(4)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exposures = load_exposures(paths, saturation=60_000 * u.adu, **NOISE)
    assert np.count_nonzero(exposures.bad[0]) == n


def test_one_plateau_at_no_known_limit_may_be_a_hit():
    images = [frame(i, dtype=np.float32) for i in range(3)]
    images[1][5:8, 5:8] = 2e5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_exposures(images, unit=u.adu, **NOISE)
    images[2][30:33, 5:8] = 1.9e5
    with pytest.warns(
        CRStackWarning, match="exposure 2 has 9 pixels at 200000 adu .*exposure 3 has 9 pixels at 190000"
    ):
        load_exposures(images, unit=u.adu, **NOISE)


@pytest.mark.parametrize("scene", ["ifu", "imaging", "slit", "echelle"])
def test_simulated_scenes_give_no_warning(scene):
    simulated = make_stack(scene, shape=(120, 130), seed=4, hit_rate=0.03)
    for rounded in (False, True):
        images = [np.rint(ccd.data) if rounded else ccd.data for ccd in simulated.exposures]
        assert [find_plateau(image) for image in images] == [None] * 3


def test_real_frames_give_no_warning(sprat_files):
    for path in sprat_files:
        assert find_plateau(fits.getdata(path)) is None


def test_saturated_simulated_exposures_give_a_warning():
    simulated = make_stack("imaging", shape=(120, 130), seed=1, saturation=2000 * u.electron)
    with pytest.warns(CRStackWarning, match="seem to be saturated"):
        CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)


def test_the_header_of_a_ccd_is_read():
    ccds = [CCDData(frame(i), unit="adu", meta={"SATURATE": 50_000}) for i in range(2)]
    with pytest.warns(CRStackWarning, match="SATURATE of the header"):
        load_exposures(ccds, **NOISE)


def test_a_damaged_card_is_no_limit():
    header = fits.Header()
    header.append(fits.Card.fromstring("SATURATE= 1.2.3"))
    header["DATAMAX"] = 7
    assert stated_limit(header) == (7.0, "DATAMAX")


def full(seed, well=60_000.0, readnoise=5.0, gain=1.5, star=4e5, shape=(90, 80)):
    """An exposure in adu of a star whose pixels are full below the limit of the converter, and the full pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = 100 + star * np.exp(-((x - 40) ** 2 + (y - 45) ** 2) / 8)
    electrons = np.minimum(rng.poisson(light), well)
    image = np.rint((electrons + rng.normal(0, readnoise, shape)) / gain + 500)
    return np.minimum(image, 65535).astype(np.uint16), electrons == well


@pytest.mark.parametrize("readnoise", [2.0, 5.0, 12.0])
def test_a_full_well_below_the_limit_is_noticed(readnoise):
    image, top = full(1, readnoise=readnoise)
    assert find_plateau(image) is None
    found = find_plateau(image, electrons=1.5)
    assert 38_500 < found.level <= image[top].min()
    assert top.sum() <= found.n_pixels < top.sum() + 8
    assert find_plateau(image, mask=image > found.level, electrons=1.5) is None


def test_the_warning_of_a_full_well_has_level_and_remedy():
    images = [full(i)[0] for i in range(3)]
    options = {"gain": 1.5 * u.electron / u.adu, "readnoise": 5 * u.electron, "bias": 500 * u.adu}
    with pytest.warns(CRStackWarning, match="seem to be saturated: exposure 1 has .* scatter by .* photons") as found:
        CRStack(images, unit=u.adu, **options)
    level = float(str(found[0].message).split("saturation=")[1].split()[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = CRStack(images, unit=u.adu, saturation=level * u.adu, **options)
    for i in range(3):
        assert stack.exposures.bad[i][full(i)[1]].all()


@pytest.mark.parametrize("level", [3e4, 2e5])
def test_bright_pixels_with_photon_noise_are_not_full(level):
    """A lamp, a star, and lines, all of them far brighter than the rest."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:200, :200]
    lamp = np.where((x > 50) & (x < 150), level, 50)
    star = 50 + level * np.exp(-((x - 100) ** 2 + (y - 90) ** 2) / 800)
    lines = 50 + level * np.exp(-((x % 40 - 20) ** 2) / 6)
    for light in (lamp, star, lines):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            image = (rng.poisson(light) + rng.normal(0, 4, light.shape)).astype(np.float32)
            assert find_plateau(image, electrons=1.0) is None
            assert find_plateau(np.rint(image / 2), electrons=2.0) is None


@pytest.mark.parametrize("scene", ["ifu", "imaging", "slit", "echelle"])
def test_bright_simulated_scenes_are_not_full(scene):
    simulated = make_stack(scene, shape=(120, 130), seed=4, hit_rate=0.03, flux_factors=(60, 60, 60))
    electrons = simulated.gain.to_value(u.electron / u.adu)
    for ccd in simulated.exposures:
        assert find_plateau(ccd.data, electrons=electrons) is None


def test_real_frames_are_not_full(sprat_files):
    for path in sprat_files:
        assert find_plateau(fits.getdata(path), electrons=2.45) is None


SATURATED = "seem to be saturated: .* {} values, the highest of their exposures, are taken as bad. Give saturation="


def test_a_block_at_the_highest_value_is_saturated():
    images = [frame(i, top=np.inf, dtype=np.float32, shape=(60, 50)) for i in range(3)]
    images[1][20:28, 30:38] = 1.5e5
    images[1][50, 10:14] = 1.5e5
    images[1][5, 5:8] = 1.5e5
    with pytest.warns(CRStackWarning, match=SATURATED.format(71)):
        exposures = load_exposures(images, unit=u.adu, **NOISE)
    expected = np.zeros((3, 60, 50), dtype=bool)
    expected[1, 20:28, 30:38] = expected[1, 50, 10:14] = expected[1, 5, 5:8] = True
    np.testing.assert_array_equal(exposures.saturated & exposures.bad, expected)
    assert exposures.data[2, 20:28, 30:38].all()


def test_values_at_the_top_below_a_saturation_that_is_given():
    images = [frame(i, top=np.inf, dtype=np.float32, shape=(60, 50)) for i in range(3)]
    for image in images[:2]:
        image[20:28, 30:38] = 1.5e5
    words = (
        "saturated: 64 pixels of exposure 1, 64 pixels of exposure 2 are in groups at the highest .* Give saturation="
    )
    with pytest.warns(CRStackWarning, match=words) as caught:
        load_exposures(images, unit=u.adu, saturation=2e5 * u.adu, **NOISE)
    assert len(caught) == 1


def clipped_star(n_stars, others=1.0, n=3):
    """Exposures with some stars, the second of which is clipped."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:80, :90]
    images = []
    for i in range(n):
        scene = np.full(y.shape, 200.0)
        for k in range(n_stars):
            light = 1 if i == 1 else others
            scene += light * 6000 * np.exp(-((x - 15 - 25 * k) ** 2 + (y - 20 - 20 * k) ** 2) / 6)
        images.append(np.float32(rng.poisson(scene) + rng.normal(0, 4, scene.shape)))
    images[1] = np.minimum(images[1], 3000)
    return images


@pytest.mark.parametrize(("n_stars", "others"), [(1, 1.0), (1, 0.1), (3, 1.0), (3, 0.0)])
def test_an_exposure_clipped_at_any_level(n_stars, others):
    """One star that the other exposures show, or several: no hit ends at the same value, or where others are bright."""
    images = clipped_star(n_stars, others)
    number = int((images[1] == 3000).sum())
    assert number >= 10 * n_stars
    with pytest.warns(CRStackWarning, match=SATURATED.format(number)) as caught:
        exposures = load_exposures(images, unit=u.adu, **NOISE)
    assert len([one for one in caught if "saturated" in str(one.message)]) == 1
    # where the others are dark, the rest of its columns may be taken for charge that has bled
    assert exposures.bad[1][images[1] == 3000].all()
    assert not exposures.bad[::2].any()


def test_one_clipped_group_where_the_others_are_dark_is_a_hit():
    images = clipped_star(1, 0.0)
    exposures = load_exposures(images, unit=u.adu, **NOISE)
    assert exposures.bad is None


@pytest.mark.filterwarnings("ignore:exposures seem to be saturated")
def test_nothing_is_lost_where_one_exposure_is_clipped():
    """The others measure the star; before, its clipped values counted, and theirs were taken for hits."""
    images = clipped_star(3)
    stack = CRStack(images, unit=u.adu, **NOISE)
    masks, combined = stack.detect(), stack.combine("meanjoint")
    clipped = images[1] == 3000
    assert masks.crmasks[::2, clipped].sum() == 0
    expected = (images[0] + images[2])[clipped] / 2
    np.testing.assert_allclose(combined.data[clipped].mean(), expected.mean(), rtol=0.01)
    pulls = (combined.data[clipped] - expected) / np.sqrt(combined.uncertainty.array[clipped])
    assert np.abs(pulls).max() < 3


def test_a_saturated_star_is_masked_in_each_exposure():
    """A block in two exposures, and a cross, which holds no block, in the third: none of them measures the star."""
    images = [frame(i, top=30_000, dtype=np.float32, shape=(60, 50)) for i in range(3)]
    for image in images[:2]:
        image[20:28, 30:38] = 65535
    images[2][20:28, 33:35] = images[2][23:25, 30:38] = 65535
    with pytest.warns(CRStackWarning) as caught:
        stack = CRStack(images, unit=u.adu, **NOISE)
    said = [str(one.message) for one in caught]
    assert len(said) == 1
    assert re.search(SATURATED.format(64 + 64 + 28), said[0])
    assert "saturated: exposure 1 has 64" in said[0]
    assert "exposure 3 has 28" in said[0]
    cross = stack.exposures.bad[2]
    assert stack.exposures.bad[:, 23, 33].all()
    combination = stack.combine("mean", full_output=True)
    np.testing.assert_array_equal(combination.ccd.mask, cross & stack.exposures.bad[0])
    assert combination.count[23, 33] == 0
    assert combination.flags[23, 33] & PixelFlag.NO_DATA


def full_wells(spread, n=3, light=(1, 0.8, 0.9), seed=3, full=60000.0):
    """Exposures in ADU with a gain of 1.5, whose pixels are full at levels that differ by a fraction ``spread``."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:120, :130]
    scene = np.full(rows.shape, 200.0)
    for y, x, flux in ((40, 50, 9e5), (80, 90, 5e5), (30, 100, 6e4), (95, 25, 3e4)):
        scene += flux * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
    wells = full * (1 + spread * rng.normal(size=scene.shape))
    images = []
    for k in range(n):
        image = (rng.poisson(scene * light[k]) + rng.normal(0, 4, scene.shape)) / 1.5 + 1000
        image[rng.integers(0, 120, 80), rng.integers(0, 130, 80)] += 3000
        images.append(np.rint(np.where(image > full, wells + rng.normal(0, 3, scene.shape), image)))
    return images


NOISE_OF_WELLS = {"gain": 1.5 * u.electron / u.adu, "readnoise": 4 * u.electron, "bias": 1000 * u.adu, "unit": "adu"}


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("spread", [0.004, 0.01, 0.02])
def test_full_wells_that_differ_between_pixels(spread, n):
    images = full_wells(spread, n)
    words = (
        r"exposures seem to be saturated: exposure 1 has \d+ pixels at (\d+) adu \(\d+ of them agree between exposures"
    )
    with pytest.warns(CRStackWarning, match=words) as caught:
        load_exposures(images, **NOISE_OF_WELLS)
    assert len(caught) == 1
    level = float(re.search(words, str(caught[0].message))[1])
    assert 54000 < level < 60000
    # with the level of the message there is no further warning
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exposures = load_exposures(images, saturation=level * u.adu, **NOISE_OF_WELLS)
    assert np.count_nonzero(exposures.bad) >= 15


def test_bright_stars_are_no_full_wells():
    images = full_wells(0.01, full=1e9, light=(1, 1, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_exposures(images, **NOISE_OF_WELLS)


def test_the_limit_in_the_meta_of_an_array():
    ccd = CCDData(np.ones((9, 9)), unit="adu", meta={"SATURATE": 60000.0})
    assert as_given(ccd, 1, Reading(None, 0, None, None, None)).limit == (60000.0, "SATURATE")


def full_well(rng, level=30_000, shape=(80, 90)):
    """An exposure with a row of full pixels, whose values scatter by the read noise."""
    image = rng.poisson(500, shape) + rng.normal(0, 4, shape)
    image[30, 20:60] = level + rng.normal(0, 4, 40)
    return np.round(image)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_full_pixels_that_scatter_about_the_given_level_are_bad(n):
    rng = np.random.default_rng(11)
    exposures = [CCDData(full_well(rng), unit="adu") for _ in range(n)]
    assert sum(np.count_nonzero(one.data[30, 20:60] < 30_000) for one in exposures) > 10 * n
    loaded = load_exposures(exposures, saturation=30_000 * u.adu, **NOISE)
    assert loaded.saturated[:, 30, 20:60].all()
    assert np.count_nonzero(loaded.bad) == 40 * n


def test_a_level_without_a_pile_is_kept():
    rng = np.random.default_rng(12)
    bright = rng.poisson(30_000, (200, 200)).astype(float)
    assert limit_with_noise(bright, 30_000.0, 4.0, 1.0) == 30_000
    assert limit_with_noise(full_well(rng), 30_000.0, 4.0, 1.0) == 30_000 - 16
    # nothing is near the level; read noise above the photon noise makes no pile
    assert limit_with_noise(full_well(rng, 20_000), 30_000.0, 4.0, 1.0) == 30_000
    assert limit_with_noise(full_well(rng), 30_000.0, 100.0, 1.0) == 30_000
