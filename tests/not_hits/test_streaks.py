"""Short streaks of moving targets: reported with exposure and place, masked, and not counted as hits."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from crstack import Code, CRStack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.not_hits.streaks import find_streaks

SHAPE = (150, 180)
SKY, READNOISE = 100.0, 4.0


def streak(x, y, angle, length=45, sigma=1.3, peak=120.0):
    """Light of a target that moves while the exposure is taken."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    steps = np.linspace(-length / 2, length / 2, 4 * length)
    a = np.radians(angle)
    along = (columns - x) * np.cos(a) + (rows - y) * np.sin(a)
    across = (columns - x) * np.sin(a) - (rows - y) * np.cos(a)
    light = sum(np.exp(-0.5 * ((along - one) / sigma) ** 2) for one in steps) * np.exp(-0.5 * (across / sigma) ** 2)
    return peak * light / light.max()


def exposed(lights, seed=4, rate=0.01):
    rng = np.random.default_rng(seed)
    hits = [make_hits(SHAPE, rate, rng) for _ in lights]
    images = [rng.poisson(SKY + one) + rng.normal(0, READNOISE, SHAPE) for one in lights]
    return [CCDData(image + hit, unit="electron") for image, hit in zip(images, hits, strict=True)], hits


def detected(images):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        masks = CRStack(images, readnoise=READNOISE * u.electron).detect()
    return masks, [str(one.message) for one in caught]


PLACES = [(60, 40, 20), (100, 75, 35), (120, 105, 110), (50, 110, 70)]


@pytest.mark.parametrize(("n", "sigma"), [(2, 1.3), (3, 1.3), (4, 1.3), (3, 1.1), (4, 1.1)])
def test_an_asteroid_in_each_exposure_is_reported_with_its_places(n, sigma):
    lights = [streak(*place, sigma=sigma) for place in PLACES[:n]]
    masks, found = detected(exposed(lights)[0])
    (words,) = [one for one in found if one.startswith("straight streaks as wide as stars are flagged (")]
    assert words.startswith(f"straight streaks as wide as stars are flagged ({n}): ")
    assert "asteroid" in words
    assert "ignore_pixels" in words
    assert sum(f"exposure {i + 1} from (" in words for i in range(n)) == min(n, 3)
    assert n < 4 or "and 1 more (in Python: masks.sources)" in words
    sources = masks.sources[masks.sources["n_pixels"] > 60]
    assert sorted(sources["exposure"]) == list(range(1, n + 1))
    for row in sources:
        x, y, _ = PLACES[row["exposure"] - 1]
        assert np.hypot(row["x"].value - x - 1, row["y"].value - y - 1) < 3
        assert row["flux"].value == pytest.approx(lights[row["exposure"] - 1].sum(), rel=0.15)
    for i, light in enumerate(lights):
        codes = masks.codes[f"CRMASK{i + 1}"]
        assert (codes[light > 60] == Code.SOURCE).mean() > 0.92


def test_a_streak_is_no_hit_and_not_in_the_combination():
    light = streak(*PLACES[0])
    images, _ = exposed([light, 0 * light, 0 * light])
    masks, _ = detected(images)
    bright = light > 60
    assert (masks.codes["CRMASK1"][bright] == Code.SOURCE).all()
    assert (masks.codes["MEANCRT"][bright] > 0).all()


@pytest.mark.parametrize("population", ["cosmic", "worms", "mixed"])
def test_hits_are_no_streaks(population):
    """Every hit pixel is flagged. Wide tracks are uneven or bent."""
    rng = np.random.default_rng(14)
    for _ in range(12):
        hits = [make_hits((300, 350), 0.03, rng, population) for _ in range(3)]
        images = [rng.poisson(SKY, one.shape) + rng.normal(0, READNOISE, one.shape) + one for one in hits]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CRStackWarning)
            exposures = load_exposures(images, unit=u.electron, readnoise=READNOISE * u.electron)
        assert find_streaks(lambda i, hits=hits: hits[i] > 20, exposures)[0] == []


@pytest.mark.parametrize("change", ["in all", "narrow", "uneven", "widening", "bent", "short", "with edges"])
def test_what_is_no_streak(change):
    own, others = streak(*PLACES[0]), 0 * streak(*PLACES[0])
    columns = np.arange(SHAPE[1])
    if change == "in all":
        own, others = 3 * own, 1.5 * own
    elif change == "narrow":
        own = streak(*PLACES[0], length=80, sigma=0.65, peak=400)
    elif change == "uneven":
        own = own * (1 + 0.6 * np.sin(columns / 2))
    elif change == "widening":
        own = np.where(columns > 60, streak(*PLACES[0], sigma=2.2), own)
    elif change == "bent":
        own = np.where(columns > 60, streak(60, 40, -20), own)
    elif change == "short":
        own = streak(*PLACES[0], length=12)
    else:
        own = np.where(streak(*PLACES[0], length=90, sigma=2.5) > 20, 300, 0)
    images, _ = exposed([own, others, others], rate=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CRStackWarning)
        exposures = load_exposures(images, readnoise=READNOISE * u.electron)
    found, _ = find_streaks(lambda i: own > 15 if i == 0 else np.zeros(SHAPE, bool), exposures)
    assert found == []
    # without the change it is one
    own = streak(*PLACES[0])
    images, _ = exposed([own, 0 * own, 0 * own], rate=0)
    exposures = load_exposures(images, readnoise=READNOISE * u.electron)
    (one,), planes = find_streaks(lambda i: own > 15 if i == 0 else np.zeros(SHAPE, bool), exposures)
    assert one.exposure == 1
    assert one.length == pytest.approx(47, abs=4)
    assert (planes[0] == (own > 15)).all()
