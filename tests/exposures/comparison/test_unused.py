"""Exposures unlike the others keep their place, without their values, and the others keep their hits."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures.comparison.correlated import uncorrelated
from crstack.exposures.comparison.structures import significances

SHAPE = (200, 240)
READNOISE = 4.0


def lit(light, seed, rate=0.01):
    """An exposure of some light, with hits."""
    rng = np.random.default_rng(seed)
    image = rng.poisson(light) + rng.normal(0, READNOISE, SHAPE) + make_hits(SHAPE, rate, rng)
    return image.astype(np.float32)


def field(number, n=3):
    """Exposures of a field of stars, which depends on its number."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    light, places = np.full(SHAPE, 100.0), rng.uniform(0, 1, (2, 40)) * np.array(SHAPE[::-1])[:, None]
    for x, y, flux in zip(*places, 10 ** rng.uniform(2, 4, 40), strict=True):
        light += flux * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2.6)
    return [lit(light, 10 * number + i) for i in range(n)]


def stack_of(images, **options):
    ccds = [CCDData(image, unit=u.electron, meta={"NUMBER": i}) for i, image in enumerate(images, start=1)]
    return CRStack(ccds, readnoise=READNOISE * u.electron, **options)


def load(images, **options):
    return stack_of(images, **options).exposures


@pytest.mark.parametrize(
    ("place", "move", "words"), [(0, 20, "shifted by .*, or leave it out if it is of an"), (3, None, "field")]
)
def test_values_of_an_exposure_unlike_the_others_are_not_used(place, move, words):
    """The others lost all their hits. Their other checks are made."""
    images = field(1, 3)
    one = field(2, 1)[0] if move is None else np.roll(field(1, 4)[-1], move, axis=1)
    with pytest.warns(CRStackWarning, match=words) as caught:
        stack = stack_of([*images[:place], one, *images[place:]])
    exposures = stack.exposures
    assert len(caught) == 1
    assert str(caught[0].message).endswith("Until then, all its values are taken as bad")
    assert [bool(plane.all()) for plane in exposures.bad] == [i == place for i in range(4)]
    assert exposures.comparable
    assert not exposures.displaced
    assert exposures.header["NUMBER"] == (2 if place == 0 else 1)
    kept = [i for i in range(4) if i != place]
    alone = stack_of(images)
    np.testing.assert_array_equal(exposures.data[kept], alone.exposures.data)
    found, expected = stack.detect(), alone.detect()
    for k, i in enumerate(kept):
        own, others_alone = (np.count_nonzero(one) for one in (found[f"CRMASK{i + 1}"], expected[f"CRMASK{k + 1}"]))
        assert own == pytest.approx(others_alone, rel=0.1)
    np.testing.assert_array_equal(stack.combine("mean").data, alone.combine("mean").data)
    assert not found[f"CRMASK{place + 1}"].any()
    with pytest.warns(CRStackWarning, match="[Ii]t is left out$"):
        assert len(load([*images[:place], one, *images[place:]], drop_unusable=True)) == 3


def test_of_two_and_two_exposures_all_values_are_used():
    images = [*field(1, 2), *(np.roll(image, 20, axis=1) for image in field(1, 4)[2:])]
    with pytest.warns(CRStackWarning, match="which is more than the 16 that are measured: align"):
        assert load(images).bad is None


def test_methods_that_need_all_values_name_the_exposure_without():
    with pytest.warns(CRStackWarning, match="it is of another field"):
        stack = stack_of([*field(1), field(2, 1)[0]])
    words = "exposures must have valid values for {}; got none in exposure 4: leave it out, or drop it"
    for what, work in (
        ("M.M.Cosmic", lambda: stack.detect("mmcosmic")),
        ("the shape of the photons' distribution", stack.nbinom_shape),
        ("flux factors", stack.flux_factors),
        ("offsets", stack.offsets),
        ("the response", stack.response),
    ):
        with pytest.raises(InputError, match=words.format(what)):
            work()


def trace(row, seed, flux=300.0):
    """An exposure of one faint trace along x, with hits."""
    rows = np.arange(SHAPE[0])[:, None]
    return lit(20 + flux * np.exp(-((rows - row) ** 2) / 8) * np.ones(SHAPE), seed)


def columns():
    """Light of lines along y."""
    x = np.arange(SHAPE[1])
    return np.broadcast_to(5 + sum(200 * np.exp(-((x - place) ** 2) / 3) for place in range(15, 230, 30)), SHAPE)


@pytest.mark.parametrize("odd", [trace(150, 4), lit(columns(), 4), lit(np.full(SHAPE, 20.0), 4)])
def test_an_exposure_without_the_trace_of_the_others_is_named(odd):
    """One trace is one structure: another target, another instrument or a closed shutter gave no warning."""
    with pytest.warns(CRStackWarning, match="exposure 4 .*(another (target|field)|shutter)") as caught:
        exposures = load([*(trace(60, i) for i in range(3)), odd])
    assert len(caught) == 1
    assert exposures.bad[3].all()
    assert not exposures.bad[:3].any()


@pytest.mark.parametrize("other", [trace(72, 4), trace(60, 4, 60.0), trace(60, 4, 3000.0)])
def test_a_trace_that_is_moved_or_fainter_is_one_of_the_others(other):
    """Moved by less than is measured, or of an exposure through clouds."""
    images = [*(trace(60, i) for i in range(3)), other]
    assert uncorrelated(np.stack(images), significances(np.stack(images))) == {}


def test_a_short_exposure_need_not_show_the_trace():
    images = np.stack([*(trace(60, i) for i in range(3)), trace(60, 4, 3.0)])
    planes = significances(images)
    assert list(uncorrelated(images, planes)) == [3]
    assert uncorrelated(images, planes, (1.3, 1.3, 1.3, 0.013)) == {}


def test_a_wrong_exposure_time_is_a_cause_too():
    """The times of two exposures are exchanged."""
    faint, bright = trace(60, 4, 3.0), [trace(60, i, 600.0) for i in range(3)]
    times = (900, 60, 900, 900)
    pairs = zip([faint, *bright], times, strict=True)
    ccds = [CCDData(image, unit=u.electron, meta={"EXPTIME": time}) for image, time in pairs]
    with pytest.warns(CRStackWarning) as caught:
        CRStack(ccds, readnoise=READNOISE * u.electron)
    assert any("or its exposure time of 900 s is wrong; leave it out" in str(one.message) for one in caught)


@pytest.mark.parametrize("light", [0.3, 0.1, 0.05])
def test_a_trace_in_clouds_has_no_shift_along_itself(light):
    """All shifts along a trace are equally good. An exposure with a tenth of the light was taken as shifted by 146."""
    images = [trace(100, seed, flux) for seed, flux in ((81, 800.0), (82, 800.0), (83, 800.0 * light))]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack = load(images)
    words = " ".join(str(one.message) for one in caught)
    assert "is shifted by" not in words
    assert "is of another field" not in words
    assert "all its values" not in words
    if light < 0.2:
        assert "exposure 3 shows the structures of the other exposures with 0." in words
    assert stack.bad is None or not stack.bad[2].all()


def test_what_is_measured_says_that_an_exposure_is_not_used():
    """It had a throughput of 1 and no shift, as if measured."""
    images = field(1, 3)
    with pytest.warns(CRStackWarning, match="field"):
        stack = stack_of([images[0], 0.8 * images[1], field(2, 1)[0], images[2] + 40])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        masks = stack.detect("joint")
    differences = masks.decision.result.differences
    assert differences.unused == (2,)
    table = differences.table()
    assert np.isnan(table["throughput"]).tolist() == [False, False, True, False]
    assert table["surface"][2] == "not used"
    words, numbers = differences.in_words(), masks.decision.result.summary()
    assert words["throughputs"].split(", ")[2] == "not used"
    assert "not used" in words["added levels (electron)"].split("(")[1]
    assert [one is None for one in numbers["throughputs"]] == [False, False, True, False]
    assert ", none, " in str(numbers)
    assert stack.plot.differences() is not None
