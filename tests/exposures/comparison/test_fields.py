"""Exposures of another field, or turned: named, with numbers, and left out when asked."""

import re
import warnings
from itertools import combinations

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.datasets.hits import POPULATIONS, make_hits
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.comparison.structures import Structures, compared, lacking, light_of, significances

SHAPE = (200, 240)
READNOISE = 4.0


def field_light(seed, seeing=2.7, sky=100.0):
    """Expected light of a field of stars."""
    return _light(np.random.default_rng(seed), seeing, sky)


def _light(rng, seeing, sky):
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    stars = np.stack([rng.uniform(0, SHAPE[1], 40), rng.uniform(0, SHAPE[0], 40), 10 ** rng.uniform(3, 5, 40)], axis=1)
    width = (seeing / 2.3548) ** 2
    return sky + sum(
        flux / (2 * np.pi * width) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width))
        for x, y, flux in stars
    )


def field(seed, n=3, seeing=2.7, sky=100.0):
    """Exposures of a field of stars, with hits; the field depends on the seed."""
    rng = np.random.default_rng(seed)
    light = _light(rng, seeing, sky)
    return [
        (rng.poisson(light) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, 0.01, rng)).astype(np.float32)
        for _ in range(n)
    ]


def load(images, **options):
    ccds = [CCDData(image, unit=u.electron, meta={"NUMBER": i}) for i, image in enumerate(images, start=1)]
    return load_exposures(ccds, readnoise=READNOISE * u.electron, **options)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("place", [0, 1])
def test_an_exposure_of_another_field_is_named(n, place):
    images = field(1, n)
    images[place] = field(2, 1)[0]
    words = rf"exposure {place + 1} shows \d of the [12]\d structures that the other exposures share: it is of another"
    with pytest.warns(CRStackWarning, match=words) as caught:
        assert len(load(images)) == n
    assert len(caught) == 1
    assert "leave it out, or drop it with drop_unusable=True (command: --drop-unusable)" in str(caught[0].message)


@pytest.mark.parametrize("n", [3, 5])
def test_it_is_left_out_on_request(n):
    images = field(1, n)
    images[0] = field(2, 1)[0]
    with pytest.warns(CRStackWarning, match="exposure 1 shows .* it is of another field, or rotated; it is left out"):
        exposures = load(images, drop_unusable=True)
    assert exposures.names == tuple(f"exposure {i}" for i in range(2, n + 1))
    assert exposures.header["NUMBER"] == 2
    np.testing.assert_array_equal(exposures.data, np.stack(images[1:]))


@pytest.mark.parametrize("drop", [False, True])
def test_two_exposures_of_two_fields_are_both_named(drop):
    with pytest.warns(CRStackWarning) as caught:
        assert len(load([field(1, 1)[0], field(2, 1)[0]], drop_unusable=drop)) == 2
    (text,) = (str(one.message) for one in caught)
    for number, part in enumerate(text.split("; "), start=1):
        assert part.startswith(f"exposure {number} shows ")
        assert "structures of the other exposure: it is of another field, or rotated" in part
        assert "unless the structures are hits that cover several pixels" in part
    assert text.endswith(" pixels. Without these, fewer than two exposures remain: give exposures of one field")


def test_two_pairs_are_all_named():
    with pytest.warns(CRStackWarning) as caught:
        load([*field(1, 2), *field(2, 2)])
    (text,) = (str(one.message) for one in caught)
    assert [part[:10] for part in text.split("; ")] == [f"exposure {i}" for i in range(1, 5)]


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (np.s_[::-1, ::-1], "it is rotated by 180 degrees against exposure 1; leave it out"),
        (np.s_[:, ::-1], "it is mirrored along x against exposure 1; leave it out"),
        (np.s_[::-1], "it is mirrored along y against exposure 1; leave it out"),
    ],
)
def test_a_turned_exposure_is_named(turn, words):
    images = field(1)
    images[2] = images[2][turn]
    with pytest.warns(CRStackWarning, match=words):
        load(images)


def test_a_cluster_in_the_centre_does_not_hide_that_an_exposure_is_turned():
    """The cluster looks as before. The exposure was said to be of the same field, with a tenth of the light."""
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] - np.array(SHAPE)[:, None, None] / 2 + 0.5
    cluster = 10_000 * np.exp(-np.hypot(rows, columns) / 5)
    for y, x in rng.normal(0, 20, (50, 2)):
        cluster += rng.uniform(100, 1500) * np.exp(-np.hypot(rows - y, columns - x) / 2)
    images = [image + cluster.astype(np.float32) for image in field(1)]
    images[2] = images[2][::-1, ::-1]
    with pytest.warns(CRStackWarning) as caught:
        load(images)
    assert len(caught) == 1
    assert "it is rotated by 180 degrees against exposure 1; leave it out" in str(caught[0].message)


@pytest.mark.parametrize("n", [2, 3])
def test_an_exposure_that_is_shifted_far_is_kept(n):
    images = field(1, n)
    images[-1] = np.roll(images[-1], 20, axis=1)
    words = rf"exposure {n} is shifted by \(\+20, \+0\) pixels against exposure 1, which is more than the 16"
    with pytest.warns(CRStackWarning, match=words):
        assert len(load(images)) == n


def lit(light, seed, rate):
    """An exposure of some light, with hits."""
    rng = np.random.default_rng(seed)
    image = rng.poisson(light) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, rate, rng)
    return image.astype(np.float32)


def lines(shift=0):
    """Light of lines along y, which a shift moves along x."""
    x = np.arange(SHAPE[1])
    places = np.random.default_rng(9).uniform(10, SHAPE[1] - 30, 8)
    return np.broadcast_to(5 + sum(500 * np.exp(-((x - place - shift) ** 2) / 3) for place in places), SHAPE)


def tracks(shape, number, rng):
    """Charge of hits with long tracks."""
    charge = np.zeros(shape)
    for y, x, angle, length in rng.uniform((0, 0, 0, 0), (*shape, 6.28, 1), (number, 4)):
        steps = np.arange(0, -6 * np.log(1 - length), 0.25)
        rows, columns = (y + steps * np.sin(angle)).astype(int), (x + steps * np.cos(angle)).astype(int)
        np.add.at(charge, (rows % shape[0], columns % shape[1]), 150 * rng.exponential())
    return charge


@pytest.mark.parametrize("seed", range(4))
def test_the_glow_of_an_amplifier_is_not_shifted_along_it(seed):
    """The glow is the same in each row, and hits must not decide on a shift along it."""
    shape, rng = (300, 360), np.random.default_rng(seed)
    glow = np.broadcast_to(3 + 40 * np.exp((np.arange(shape[1]) - shape[1]) / 30.0), shape)
    images = [rng.poisson(glow) + rng.normal(0, READNOISE, shape) + tracks(shape, 300, rng) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load([image.astype(np.float32) for image in images])


@pytest.mark.parametrize("turn", [lambda image: image, np.transpose])
@pytest.mark.parametrize("shifts", [(0, 20, 0), (0, 20, -25)])
def test_lines_are_shifted_across_themselves_only(turn, shifts):
    images = [turn(lit(lines(shift), i, 0.01)) for i, shift in enumerate(shifts)]
    with pytest.warns(CRStackWarning, match="pixels") as caught:
        load(images)
    words = next(str(one.message) for one in caught if "align the exposures first" in str(one.message))
    found = [(int(dx), int(dy)) for dx, dy in re.findall(r"by \(([+-]\d+), ([+-]\d+)\)", words)]
    expected = [(shift, 0) for shift in shifts if shift]
    assert found == (expected if turn is not np.transpose else [one[::-1] for one in expected])


def test_the_methods_warn_too():
    images = [*field(1, 2), field(2, 1)[0]]
    with pytest.warns(CRStackWarning, match="exposure 3 shows .* structures"):
        CRStack([CCDData(image, unit="electron") for image in images], readnoise=READNOISE * u.electron)


def test_structures_are_counted_exactly():
    """Stars in the first two exposures; the third lacks four of the six, and shows one at 30 per cent."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:120, :180]
    places = [(20, 30), (60, 30), (100, 30), (20, 120), (60, 120), (100, 120)]
    stars = [3000 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8) for y, x in places]
    whole, part = 100.0 + sum(stars), 100.0 + stars[0] + 0.3 * stars[1]
    data = np.stack([rng.poisson(one) for one in (whole, whole, part)]).astype(np.float32)
    assert lacking(data) == []  # a third is enough
    data[2] -= (0.2 * stars[1]).astype(np.float32)
    assert lacking(data) == [Structures(2, 1, 6, 2)]
    # what is behind bad values is not missed
    bad = np.zeros(data.shape, dtype=bool)
    bad[2, :, 75:] = True
    data[bad] = 0
    assert lacking(data, bad) == [] or lacking(data, bad) == [Structures(2, 1, 3, 2)]
    bad[2, 40:] = True
    data[bad] = 0
    assert lacking(data, bad) == []


@pytest.mark.parametrize(("n", "seed"), [(3, 2), (4, 4)])
def test_coincident_wide_hits_are_no_structures_that_others_share(n, seed):
    rng, planes = np.random.default_rng(seed), []
    for _ in range(n):
        charges = np.zeros((300, 320))
        charges[rng.integers(0, 300, 600), rng.integers(0, 320, 600)] = 6000
        charges = ndimage.gaussian_filter(charges, 1.2)
        planes.append(rng.poisson(60 + charges) + rng.normal(0, 4, charges.shape))
    data = np.array(planes, np.float32)
    found = compared(significances(data))
    assert max(one.number for one in found) >= 3
    assert min(one.own for one in found) > 40
    assert lacking(data) == []


@pytest.mark.parametrize("times", [(30, 600, 900), (900, 600, 30), (60, 600, 900, 900), (20, 30, 600), (30, 900)])
@pytest.mark.parametrize("scene", ["imaging", "slit", "ifu"])
def test_short_and_long_exposures_of_one_field_are_alike(scene, times):
    """A short exposure is compared with what its exposure time lets expect."""
    simulated = make_stack(scene, shape=SHAPE, seed=5)
    rate = simulated.expected[0] / 900
    rng = np.random.default_rng(3)
    images = [rng.poisson(rate * time) + rng.normal(0, READNOISE, SHAPE) for time in times]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(of_times(images, times)) == len(times)


def of_times(images, times):
    pairs = zip(images, times, strict=True)
    ccds = [CCDData(image, unit=u.electron, meta={"EXPTIME": float(time)}) for image, time in pairs]
    return load_exposures(ccds, readnoise=READNOISE * u.electron)


def test_another_field_is_named_among_exposures_of_different_times():
    rng = np.random.default_rng(4)
    times = (300, 600, 900)
    one, other = (field(seed, 1)[0].clip(0) / 900 for seed in (1, 2))
    pairs = zip((one, one, other), times, strict=True)
    images = [rng.poisson(scene * time) + rng.normal(0, READNOISE, SHAPE) for scene, time in pairs]
    with pytest.warns(CRStackWarning, match="exposure 3 shows .* it is of another field"):
        of_times(images, times)
    # without light, too
    images[2] = rng.normal(0, READNOISE, SHAPE)
    with pytest.warns(CRStackWarning, match="exposure 3 shows 0 of the 6 .* or the shutter was closed"):
        of_times(images, times)


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("scene", ["imaging", "slit", "ifu", "echelle"])
@pytest.mark.parametrize("n", [2, 3])
def test_one_field_gives_no_warning(scene, population, n):
    simulated = make_stack(scene, (150, 200), n, hit_rate=0.06, population=population, seed=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lacking(np.stack([ccd.data for ccd in simulated.exposures])) == []


@pytest.mark.parametrize("population", POPULATIONS)
def test_hits_alone_are_no_structures(population):
    rng = np.random.default_rng(5)
    for n in (2, 3):
        data = rng.poisson(20.0, (n, 500, 600)) + np.stack([make_hits((500, 600), 0.06, rng, population)] * 1)
        data = data + np.stack([make_hits((500, 600), 0.06, rng, population) for _ in range(n)])
        assert lacking(data.astype(np.float32)) == []


def test_too_few_are_left():
    with pytest.raises(InputError, match="exposures must be 2 or more that are usable"):
        load([field(1, 1)[0], np.zeros(SHAPE, np.float32)], drop_unusable=True)


@pytest.mark.parametrize(
    ("folder", "lit", "which"),
    [
        ("real/goodman_at2018oh", np.s_[:, 8:2056], np.s_[:]),
        ("real/int_ids_sb5_pa352", np.s_[:4096, 8:], np.s_[:]),
        ("real/arcsat_xo1", np.s_[:, :], np.s_[::2]),
        ("sprat", np.s_[:, :], np.s_[:]),
    ],
)
def test_real_exposures_of_one_field(shared_data, folder, lit, which):
    """Traces, a galaxy that drifts, lines that change, and stars with hot pixels."""
    paths = sorted((shared_data / folder).glob("*.fits*"))[which]
    if not paths:
        pytest.skip(f"{folder} is not here")
    data = np.stack([fits.getdata(path)[lit].astype(np.float32) for path in paths])
    for pair in combinations(range(len(data)), 2):
        assert lacking(data[list(pair)]) == []
    assert lacking(data) == []
    if folder.endswith("xo1"):
        turned = data.copy()
        turned[1] = data[1, ::-1, ::-1]
        (found,) = lacking(turned)
        assert found.exposure == 1


def faint_field(factors, seed=1):
    """Exposures of one field of stars with other light, and no exposure time in the header."""
    rng = np.random.default_rng(seed)
    light = field_light(seed)
    return [
        (rng.poisson(light * factor) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, 0.01, rng)).astype(np.float32)
        for factor in factors
    ]


@pytest.mark.parametrize(("factors", "faint"), [((1, 1, 0.1), 2), ((0.05, 1, 1), 0), ((1, 0.1, 1, 1), 1)])
def test_a_faint_exposure_of_the_same_field_is_kept(factors, faint):
    images = faint_field(factors)
    words = rf"exposure {faint + 1} shows the structures of the other exposures with 0\.\d+ of their light: it is of"
    with pytest.warns(CRStackWarning, match=words) as caught:
        exposures = load(images, drop_unusable=True)
    assert len(caught) == 1
    assert len(exposures) == len(factors)
    assert exposures.displaced == ()
    said = float(str(caught[0].message).split(" with ")[1].split()[0])
    assert said == pytest.approx(factors[faint], rel=0.1)


def test_a_faint_exposure_beside_one_of_another_field():
    images = [*faint_field((1, 1, 1, 0.1)), field(2, 1)[0]]
    with pytest.warns(CRStackWarning) as caught:
        exposures = load(images, drop_unusable=True)
    assert exposures.names == tuple(f"exposure {i}" for i in range(1, 5))
    said = [str(one.message) for one in caught]
    assert [one.split(" shows ")[0] for one in said] == ["exposure 4", "exposure 5"]
    assert said[1].endswith("it is of another field, or rotated; it is left out")


def test_light_of_an_exposure():
    images = np.stack(faint_field((1, 0.2, 1)))
    assert light_of(images, 1) == pytest.approx(0.2, rel=0.05)
    assert light_of(images, 0) == pytest.approx(5.0, rel=0.05)  # the lower one of the two others
    bad = np.zeros(images.shape, dtype=bool)
    bad[1, :, :120] = True
    assert light_of(np.where(bad, 0, images), 1, bad) == pytest.approx(0.2, rel=0.05)
    for other in (field(2, 1)[0], np.random.default_rng(3).normal(0, READNOISE, SHAPE).astype(np.float32)):
        assert light_of(np.stack([images[0], other, images[2]]), 1) is None


@pytest.mark.parametrize("seed", range(3, 9))
def test_another_field_has_no_light_of_this_one(seed):
    images = np.stack([*field(1, 2), field(seed, 1)[0]])
    assert light_of(images, 2) is None


@pytest.mark.parametrize("factors", [(1, 1, 0.2), (1, 0.2, 0.2), (0.2, 1)])
def test_right_factors_of_a_faint_exposure_are_not_doubted(factors):
    """The noise of a faint exposure, divided by its factor, is not taken for light."""
    ccds = [CCDData(image, unit=u.electron) for image in faint_field(factors)]
    masks = CRStack(ccds, readnoise=READNOISE * u.electron, flux_factors=factors).detect()
    assert masks["MEANCRT"].any()
