"""Exposure times that differ: the flux factors are their ratios."""

import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData
from scipy import ndimage
from support.stacks import stack_of

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures
from crstack.exposures.comparison.times import differing_times, factors_of_times

TIMES = (300.0, 600.0, 900.0)
WORDS = (
    "exposure times differ: 300, 600, 900 s; each exposure is divided by the ratio of its time to the mean: 0.5, 1, 1.5"
)


def taken(times=TIMES, scene="slit", **options):
    """Exposures of these times, with light in proportion."""
    factors = tuple(time / 600 for time in times)
    simulated = make_stack(scene, shape=(200, 240), hit_rate=0.01, seed=5, flux_factors=factors, **options)
    for ccd, time in zip(simulated.exposures, times, strict=True):
        ccd.header["EXPTIME"] = time
    return simulated


def quality(simulated, stack, name):
    """False values per million, the part of the hits over 7 sigma that is found, and pulls of the combined image."""
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), np.ones((3, 3)))
    strong = simulated.hit_mask(7)
    masks = stack.latest_masks().crmasks
    ccd = stack.combine(name)
    pull = (ccd.data - simulated.expected.mean(axis=0)) / np.sqrt(ccd.uncertainty.array)
    # where the shortest exposure alone is hit, the mean of the others must come back to the level of all
    short = strong[0] & ~simulated.truth[1:].any(axis=0)
    assert ccd.header["EXPTIME"] == 600
    assert ccd.header["EXPTOTAL"] == 1800
    return 1e6 * (masks & ~near).mean(), (masks & strong).sum() / strong.sum(), np.median(pull[short]), pull[~near]


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_masks_and_images_are_as_good_as_of_equal_times(method):
    name = "meanjoint" if method == "joint" else "meancr2"
    options = {"aux": None} if method == "joint" else {"aux": "pycosmic"}
    equal, simulated = taken((600.0,) * 3), taken()
    stack = stack_of(equal)
    stack.detect(method, **options)
    *_, found_of_equal, _, _ = quality(equal, stack, name)
    with pytest.warns(CRStackWarning, match=re.escape(WORDS)) as caught:
        stack = stack_of(simulated)
    assert len(caught) == 1
    stack.detect(method, **options)
    false, found, level, pull = quality(simulated, stack, name)
    assert false < (30 if method == "joint" else 400)
    assert found > found_of_equal - (0.01 if method == "joint" else 0.05)
    assert level == pytest.approx(0, abs=0.2)
    assert np.mean(pull) == pytest.approx(0, abs=0.05)
    assert np.std(pull) == pytest.approx(1, abs=0.03)
    assert stack.latest_masks().flux_factors == (0.5, 1.0, 1.5)
    assert any("flux factors, exposure times: 0.5, 1, 1.5" in line for line in stack.latest_masks().history)


def test_the_noise_is_that_of_the_exposures():
    simulated = taken()
    with pytest.warns(CRStackWarning, match="exposure times differ"):
        exposures = stack_of(simulated).exposures
    for i, factor in enumerate((0.5, 1.0, 1.5)):
        # at an edge, one value beside a hit is called low
        low = np.zeros(exposures.shape, bool) if exposures.low is None else exposures.low[i]
        assert low.sum() <= 1
        np.testing.assert_allclose((exposures.data[i] * factor)[~low], simulated.exposures[i].data[~low], rtol=1e-6)
        # a signal of 100 at the level of 600 s was 50 in 300 s
        variance = (100 * factor + simulated.readnoise.value**2) / factor**2
        assert exposures.noise_of(i).variance(100.0) == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize("times", [(60, 600, 60), (600, 60, 600), (300, 600, 900), (100, 100, 100, 250)])
def test_light_that_does_not_follow_the_times_is_reported(times):
    """The light is equal, as if EXPTIME were wrong or the exposures were divided by their times."""
    simulated = make_stack("imaging", shape=(200, 240), hit_rate=0.01, seed=5, n_exposures=len(times))
    for ccd, time in zip(simulated.exposures, times, strict=True):
        ccd.header["EXPTIME"] = time
    with pytest.warns(CRStackWarning, match="exposure times differ") as caught:
        stack_of(simulated)
    (text,) = [str(one.message) for one in caught if "exposure times differ" in str(one.message)]
    found = re.search(
        r"exposure (\d) has (1\.0|1\.1|0\.9\d) times the light of the others, where the times give ([\d.]+):", text
    )
    others = sorted(np.delete(times, int(found[1]) - 1))
    assert float(found[3]) == pytest.approx(times[int(found[1]) - 1] / others[(len(others) - 1) // 2], rel=0.01)


def one_trace(times, follows, n_hot=0, hit_rate=0.01):
    """A long slit with one trace, whose light follows the times or is equal, and hot pixels that are always equal."""
    rng = np.random.default_rng(17)
    trace = 40 + 400 * np.exp(-0.5 * ((np.arange(90)[:, None] - 44.3) / 3) ** 2) * np.ones(300)
    hot = np.zeros(trace.shape)
    hot.flat[rng.choice(hot.size, n_hot, replace=False)] = 3000
    ccds = []
    for time in times:
        light = rng.poisson(trace * (time / 300 if follows else 1) + hot) + rng.normal(0, 4, trace.shape)
        light += 2000 * (rng.random(trace.shape) < hit_rate)
        ccds.append(CCDData(light, unit="electron", header={"EXPTIME": time}))
    return CRStack(ccds, readnoise=4 * u.electron)


@pytest.mark.parametrize("times", [(300, 900), (300, 300, 900), (240, 480, 120, 240, 720)])
@pytest.mark.parametrize(("follows", "n_hot"), [(False, 0), (True, 0), (True, 3000)])
def test_light_of_one_trace_that_does_not_follow_the_times(times, follows, n_hot):
    with pytest.warns(CRStackWarning, match="exposure times differ") as caught:
        one_trace(times, follows, n_hot)
    texts = [str(one.message) for one in caught if "times the light of the others" in str(one.message)]
    assert len(texts) == (not follows)
    words = r"has (1\.0|0\.9\d) times the light of the others, where the times give 3: combined"
    assert all(re.search(words, text) for text in texts)


@pytest.mark.parametrize("scene", ["slit", "imaging", "ifu"])
def test_light_that_follows_the_times_is_not_reported(scene):
    with pytest.warns(CRStackWarning, match="exposure times differ") as caught:
        stack_of(taken(scene=scene))
    assert not any("times the light of the others" in str(one.message) for one in caught)


def test_what_the_exposure_times_do_not_describe_is_measured():
    simulated = taken()
    for ccd in simulated.exposures:
        ccd.header["EXPTIME"] *= 1.0 if ccd is not simulated.exposures[2] else 1.1
    with pytest.warns(CRStackWarning, match="exposure times differ: 300, 600, 990 s"):
        stack = stack_of(simulated)
    factors = np.array(stack.joint_posterior().measured.factors)
    assert factors[2] / factors[1] == pytest.approx(1 / 1.1, rel=0.005)


@pytest.mark.parametrize(
    "options",
    [
        {"flux_factors": (0.5, 1.0, 1.5)},
        {"flux_factors": (0.45, 1.0, 1.5), "apply_flux_factors_to": "original"},
        {"flux_method": "slope"},
        {"flux_factors": "auto", "differences": None},
    ],
)
def test_factors_that_are_given_or_measured_first_win(options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = stack_of(taken(), **options).prepared.known.flux
    assert found.method in ("given", "slope")
    if "flux_factors" in options and "auto" not in options.values():
        assert found.values == options["flux_factors"]


@pytest.mark.filterwarnings("ignore:bright pixels of the exposures", "ignore:the exposures differ in level")
@pytest.mark.parametrize("options", [{"flux_factors": None}, {"differences": None}])
def test_times_that_are_not_used_give_a_warning_that_says_so(options):
    with pytest.warns(CRStackWarning, match="exposure times differ: 300, 600, 900 s; the exposures are not divided"):
        stack = stack_of(taken(), **options)
    assert stack.prepared.known.flux is None


@pytest.mark.filterwarnings("ignore:exposure . shows")
@pytest.mark.parametrize("times", [(30.0, 900.0, 900.0), (600.0, 20.0, 600.0)])
def test_times_that_are_too_unlike(times):
    with pytest.warns(CRStackWarning, match=r"differ by a factor of 30\.0 are too unlike for the joint decision"):
        stack_of(taken(times))
    with pytest.warns(CRStackWarning, match="exposure times differ") as caught:
        stack_of(taken((225.0, 900.0, 900.0)))
    assert "too unlike" not in str(caught[0].message)
    with pytest.warns(CRStackWarning, match="exposure times differ") as caught:
        stack_of(taken((9.0, 900.0, 900.0)))
    assert "shortest exposure is multiplied by 67, and is not in the variance: " in str(caught[0].message)


def test_m_m_cosmic_of_unlike_times():
    simulated = taken((225.0, 900.0, 900.0))
    with pytest.warns(CRStackWarning, match="exposure times differ"):
        stack = stack_of(simulated)
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), np.ones((3, 3)))
    assert 1e6 * (stack.detect("mmcosmic", aux=None).crmasks & ~near).mean() < 400


def test_ratios_only_where_exposures_are_compared():
    with pytest.warns(CRStackWarning, match="exposure times differ"):
        stack = stack_of(taken(), apply_flux_factors_to="simulated")
    assert not stack.exposures.scales
    assert stack.prepared.known.factors == (0.5, 1.0, 1.5)


def exposures_of(times, unit="electron"):
    rng = np.random.default_rng(3)
    per_second = u.Unit(unit) != u.electron
    planes = [
        u.Quantity(rng.poisson(time, (30, 40)) / (time if per_second else 1), unit)
        for time in np.array(times, dtype=float)
    ]
    return load_exposures(planes, readnoise=4 * u.electron, exptime=list(times) * u.s)


def test_small_differences_and_rates_do_not_count():
    assert factors_of_times(exposures_of((300, 301, 300))) is None
    assert differing_times(exposures_of((300, 310, 320))) == (300, 310, 320)
    assert factors_of_times(exposures_of((100, 200))) == pytest.approx((2 / 3, 4 / 3))
    assert factors_of_times(exposures_of((100, 200), "electron/s")) is None


@pytest.mark.parametrize(
    ("unit", "times", "noisier"),
    [
        # the read noise counts more in a short exposure
        ("electron", (10, 40, 250), True),
        ("electron/s", (10, 40, 250), True),
        ("electron/s", (100, 110, 120), False),
        ("electron/s", (10, 260), True),
    ],
)
def test_times_whose_mean_is_noisy_are_named_for_rates_too(unit, times, noisier):
    rng = np.random.default_rng(33)
    counts = [rng.poisson(time, (60, 80)) + rng.normal(0, 4, (60, 80)) for time in times]
    planes = [one / (time if "/" in unit else 1) * u.Unit(unit) for one, time in zip(counts, times, strict=True)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        CRStack(planes, readnoise=4 * u.electron, exptime=list(times) * u.s)
    text = " ".join(str(one.message) for one in caught)
    assert ('combine(weights="exptime")' in text) == noisier
    assert ("are too unlike for the joint decision" in text) == (max(times) >= 25 * min(times))
    assert ("exposure times differ" in text) == (noisier or unit == "electron")
    if noisier:
        on_one_level = [one / time for one, time in zip(counts, times, strict=True)]
        ratio = np.std(np.mean(on_one_level, axis=0)) / np.std(np.average(on_one_level, axis=0, weights=times))
        stated = re.search(r"equal weights, and are (\d+\.\d) times as noisy", text)
        assert float(stated.group(1)) == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize(("value", "words"), [(-5.0, "EXPTIME = -5.0"), ("long", "EXPTIME = 'long'"), (None, "none")])
def test_a_header_without_a_valid_time_is_named(value, words):
    """The times of the others were passed over without a word."""
    simulated = taken()
    header = simulated.exposures[2].header
    del header["EXPTIME"]
    if value is not None:
        header["EXPTIME"] = value
    with pytest.warns(CRStackWarning) as caught:
        exposures = load_exposures(simulated.exposures, gain=1 * u.electron / u.adu, readnoise=3.4 * u.electron)
    assert str(caught[0].message).startswith(
        f"the headers of 2 of 3 exposures have an exposure time, and exposure 3 has {words}: exposure times are not "
        "used. Write seconds into EXPTIME of these headers, or, in Python, give exptime="
    )
    assert differing_times(exposures) == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error", CRStackWarning)
        equal = taken((600.0,) * 3).exposures
        for one in equal:
            del one.header["EXPTIME"]
        load_exposures(equal, gain=1 * u.electron / u.adu, readnoise=3.4 * u.electron)
