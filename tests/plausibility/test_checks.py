"""Implausible results."""

import re
import warnings
from dataclasses import replace
from types import SimpleNamespace

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack, JointPosterior, plausibility
from crstack.datasets import make_stack
from crstack.datasets.hits import make_hits
from crstack.exceptions import CRStackWarning, ImplausibleResultError, ImplausibleResultWarning, InputError
from crstack.exposures import load_exposures
from crstack.exposures.scatter.noise_sample import NoiseSample
from crstack.joint import ExcessVariance
from crstack.masks import Code, MaskSet
from crstack.plausibility import check_plausible, checks, implausibilities, shifts, unlike_light

SHAPE = (60, 80)


def exposures(sky=100.0, off=0.0):
    rng = np.random.default_rng(3)
    return [CCDData(rng.poisson(sky, SHAPE) + rng.normal(0, 4, SHAPE) - off, unit="electron") for _ in range(3)]


def masks_with(fractions):
    codes = {name: np.zeros(SHAPE, np.uint8) for name in ("MEDIANCR", "MEANCRT")}
    for i, fraction in enumerate(fractions, start=1):
        plane = np.zeros(SHAPE, np.uint8)
        plane.flat[: round(fraction * plane.size)] = 2
        codes[f"CRMASK{i}"] = plane
    return MaskSet({**codes, "MEANCR": np.zeros(SHAPE, np.uint8)})


def stars_with_light(parts, sky):
    """Exposures of one field of stars, each with a part of its light."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:160, :160]
    places = rng.uniform((5, 5, 500), (155, 155, 9000), (40, 3))
    light = sky + sum(peak * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 4) for a, b, peak in places)
    return [CCDData(rng.poisson(part * light) + rng.normal(0, 4, light.shape), unit="electron") for part in parts]


def warnings_of(images, **options):
    """All warnings of a stack of exposures, as one text."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        CRStack(images, readnoise=4 * u.electron, **options).detect()
    return " ".join(str(one.message) for one in caught)


def test_sentences_name_exposure_number_and_remedy():
    loaded = load_exposures(exposures(), readnoise=4 * u.electron)
    assert implausibilities(masks_with((0.01, 0.2, 0.0)), loaded) == []
    (sentence,) = implausibilities(masks_with((0.01, 0.25, 0.0)), loaded)
    assert sentence.startswith("25.0% of the values of exposure 2 are flagged, more than 20 %")
    assert "Check gain, read noise and bias" in sentence
    (sentence,) = implausibilities(masks_with((0.01, 0.25, 0.0)), loaded, 0.005)
    assert "are flagged, more than 0.5 %: cosmic rays do not" in sentence
    assert sentence.startswith("1.0% of the values of exposure 1, 25.0% of the values of exposure 2 are flagged")


def test_bad_values_are_not_counted():
    images = exposures()
    for ccd in images:
        ccd.mask = np.zeros(SHAPE, dtype=bool)
        ccd.mask[30:] = True
    loaded = load_exposures(images, readnoise=4 * u.electron)
    (sentence,) = implausibilities(masks_with((0.0, 0.15, 0.0)), loaded)
    assert sentence.startswith("30.0% of the values of exposure 2")


@pytest.mark.filterwarnings("ignore:the exposures scatter")
def test_masks_that_rest_on_a_wrong_noise():
    loaded = load_exposures(exposures(1000, 1000), readnoise=4 * u.electron)
    (sentence,) = implausibilities(masks_with((0.0, 0.0, 0.0)), loaded)
    assert "the masks rest on a wrong noise" in sentence
    assert implausibilities(masks_with((0.0, 0.0, 0.0)), loaded, noise=False) == []


@pytest.mark.parametrize("method", ["joint", "mmcosmic"])
def test_a_wrong_noise_gives_one_warning(method):
    """A bias that is left in the exposures changes all levels; the values that remain are not compared again."""
    simulated = make_stack("imaging", shape=(200, 240), bias=3000 * u.adu, seed=5)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=simulated.readnoise)
        stack.detect(method, aux=None)
    (message,) = [str(one.message) for one in found]
    assert "Is a bias still in the exposures?" in message
    assert stack.exposures.doubted
    with pytest.raises(ImplausibleResultError, match="the masks rest on a wrong noise"):
        stack.detect(method, aux=None, max_fraction=0.5)


@pytest.mark.filterwarnings("ignore:the exposures scatter")
def test_detect_warns_or_raises():
    stack = CRStack(exposures(1000, 1000), readnoise=4 * u.electron)
    with pytest.warns(ImplausibleResultWarning, match=r"of the values of exposure 1, .* are flagged"):
        masks = stack.detect("mmcosmic", aux=None)
    assert masks.crmasks.mean() > 0.2
    # a warning points at the line of the user, however deep the call
    other = CRStack(exposures(1000, 1000), readnoise=4 * u.electron)
    other.fit_boundary()
    for call in (lambda: stack.detect("mmcosmic", aux=None), other.combine):
        with pytest.warns(ImplausibleResultWarning) as found:
            call()
        assert {one.filename for one in found if one.category is ImplausibleResultWarning} == {__file__}
    with pytest.raises(ImplausibleResultError, match="are flagged, more than 50 %"):
        stack.detect("mmcosmic", aux=None, max_fraction=0.5)
    with pytest.raises(InputError, match="max_fraction must be a number at least 0 and at most 1; got 5"):
        stack.detect("mmcosmic", aux=None, max_fraction=5)


def test_the_scatter_of_unflagged_values_is_measured_once(monkeypatch):
    taken, take = [], NoiseSample.of_exposures
    monkeypatch.setattr(NoiseSample, "of_exposures", lambda *arguments: taken.append(arguments) or take(*arguments))
    loaded = load_exposures(exposures(), readnoise=4 * u.electron)
    taken.clear()  # reading the exposures compares their noise too
    plausibility.check_plausible(masks_with((0.01, 0.0, 0.0)), loaded)
    assert len(taken) == 1


def test_a_detector_that_flags_the_mean_everywhere():
    loaded = load_exposures(exposures(), readnoise=4 * u.electron)
    masks = masks_with((0.01, 0.0, 0.0))
    for share, number in ((0.15, 0), (0.25, 1)):
        meancr = np.zeros(SHAPE, np.uint8)
        meancr.flat[: round(share * meancr.size)] = 3
        found = implausibilities(replace(masks, codes={**masks.codes, "MEANCR": meancr}), loaded)
        assert len(found) == number
    assert "25.0% of the pixels are in MEANCR, more than 20 %: the auxiliary detector" in found[0]


def test_good_exposures_are_plausible():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CRStack(exposures(), readnoise=4 * u.electron).detect(JointPosterior())


@pytest.mark.filterwarnings("ignore:the WCS of the headers gives other shifts")
def test_an_exposure_that_is_not_aligned_is_named(simulated):
    moved = [*simulated.exposures[:2], simulated.exposures[2].copy()]
    moved[2].data = np.roll(moved[2].data, 4, axis=1)
    stack = CRStack(moved, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias)
    with pytest.warns(CRStackWarning, match=r"not aligned: exposure 3 by \(\+4\.0, [+-]0\.0\) pixels") as caught:
        stack.detect("joint")
    assert any(one.category is ImplausibleResultWarning for one in caught)


def test_a_shift_that_was_seen_is_named_unless_it_is_measured():
    loaded = replace(load_exposures(exposures(), readnoise=4 * u.electron), displaced=(("exposure 2", 7, -1),))
    (sentence,) = implausibilities(masks_with((0.0, 0.0, 0.0)), loaded)
    found = "not aligned: exposure 2 by (+7.0, -1.0) pixels, from the others. Unless the offsets are given"
    assert found in sentence
    assert "If the stars are aligned already, and a bright object such as a comet moves over them" in sentence
    assert sentence.endswith("mask it in each exposure")


def test_many_more_pixels_hit_twice_than_by_chance():
    loaded = load_exposures(exposures(), readnoise=4 * u.electron)
    planes = np.zeros((3, *loaded.shape), dtype=bool)
    planes[:2, :2] = True  # the same pixels
    codes = {
        name: plane.astype(np.uint8) for name, plane in zip(("CRMASK1", "CRMASK2", "CRMASK3"), planes, strict=True)
    }
    either = planes.any(axis=0).astype(np.uint8)
    alike = MaskSet(codes | {"MEDIANCR": either, "MEANCRT": either, "MEANCR": 0 * either})
    (sentence,) = implausibilities(alike, loaded)
    # 160 of 4800 values of two of three exposures: 3 pairs, each of the square of the mean fraction
    assert "3.33% of the pixels are in MEDIANCR, where hits at random places give about 0.15%" in sentence
    apart = MaskSet(codes | {"MEDIANCR": 0 * either, "MEANCRT": either, "MEANCR": 0 * either})
    assert implausibilities(apart, loaded) == []
    # traces of a nod have a warning of their own
    nod = {name: plane * np.uint8(Code.MOVED) for name, plane in alike.codes.items()}
    assert implausibilities(MaskSet(nod), loaded) == []


@pytest.mark.parametrize(("gain", "jitter", "factor"), [(1.0, 0, None), (1.0, 0.05, None), (1.5, 0, r"1\.[12]\d")])
def test_understated_noise_is_reported_with_its_factor(gain, jitter, factor):
    """A gain that is too high gives too little noise; a response that varies is no wrong noise."""
    simulated = make_stack("imaging", shape=(150, 160), seed=3, response_jitter=jitter)
    stack = CRStack(simulated.exposures, gain=gain * simulated.gain, readnoise=simulated.readnoise)
    if factor is None:
        stack.detect()
        return
    with pytest.warns(CRStackWarning, match=f"the noise is understated by a factor of {factor}"):
        stack.detect()


def test_understated_uncertainties_are_named():
    """The noise is that of the uncertainties, not that of gain and read noise."""
    simulated = make_stack("imaging", shape=(150, 160), seed=3)
    exposures = []
    for ccd, light in zip(simulated.exposures, simulated.expected, strict=True):
        sigma = np.sqrt(simulated.noise.variance(light)) / 1.25
        exposures.append(CCDData(ccd.data, unit=ccd.unit, uncertainty=StdDevUncertainty(sigma)))
    stack = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise)
    with pytest.warns(CRStackWarning, match="their uncertainties give .* understated by a factor of 1.[23]"):
        stack.detect()


@pytest.mark.parametrize("times", [None, (60, 600)])
def test_a_faint_one_of_two_exposures_hides_hits_of_the_other(times):
    light = 1000 * np.exp(-((np.mgrid[:160, :160] % 40 - 20) ** 2).sum(axis=0) / 6) + 400
    rng = np.random.default_rng(8)

    def found(ratio):
        images = [
            CCDData(rng.poisson(one) + rng.normal(0, 4, light.shape), unit="electron") for one in (ratio * light, light)
        ]
        return warnings_of(images, **({} if times is None else {"exptime": u.Quantity([600 * ratio, 600], "s")}))

    text = found(0.1)
    assert re.search(r"exposure 2 has (9\.\d+|10|10\.\d) times the light of exposure 1, whose noise hides", text)
    # 3 standard deviations of the difference: 3 sqrt(1 + 100 (40 + 16) / (400 + 16)) = 11.4
    assert re.search("hits of exposure 2 of up to 1[12] standard deviations", text)
    assert ('combine(weights="exptime")' in text) == (times is not None)
    assert ("write EXPTIME" in text) == (times is None)
    text = found(0.7)
    assert "hides hits" not in text
    assert "weights=" not in text


@pytest.mark.parametrize("times", [None, (60, 60, 600)])
def test_two_faint_exposures_hide_hits_of_a_third(times):
    options = {} if times is None else {"exptime": u.Quantity(times, "s")}
    text = warnings_of(stars_with_light((0.1, 0.1, 1), sky=100), **options)
    # 3 standard deviations of the difference: 3 sqrt(1 + 100 (10 + 16) / 2 / (100 + 16)) = 10.5
    found = re.search(
        r"exposure 3 has (9\.\d+|10|10\.\d) times the light of exposure \d and exposure \d, whose noise hides hits "
        r"of exposure 3 of up to (1[01]) standard deviations \((\d+) electron\), and a few larger ones: they remain in "
        r"the combined images, with (\d\.\d) standard deviations of a mean",
        text,
    )
    assert float(found[2]) == pytest.approx(10.5, abs=0.6)
    # the noise of the long exposure is 10.8 electrons
    assert float(found[3]) == pytest.approx(10.5 * 10.8, rel=0.08)
    assert ("write EXPTIME" in text) == (times is None)
    # a mean has the variance 2 (10 + 16) + 100 + 16 = 168; with equal weights after the division, 2 2600 + 116
    in_mean = 10.5 * 10.8 / np.sqrt(168)
    if times is None:
        assert float(found[4]) == pytest.approx(in_mean, rel=0.08)
        return
    assert float(found[4]) == pytest.approx(10.5 * 10.8 / np.sqrt(2 * 2600 + 116), abs=0.2)
    weighted = re.search(r"with equal weights, and (\d\.\d) of one with weights by exposure times", text)
    assert float(weighted[1]) == pytest.approx(in_mean, rel=0.08)
    assert re.search(
        'weights="exptime".* Hits of exposure 3 below 1[01] of its standard deviations are not found', text
    )


@pytest.mark.parametrize("known", [True, False])
def test_two_exposures_of_300_and_900_seconds(known):
    """The noise of the shorter one hides hits that the light-weighted mean shows at more than 5 standard deviations."""
    options = {"exptime": u.Quantity([300, 900], "s")} if known else {}
    text = warnings_of(stars_with_light((1 / 3, 1), sky=80), **options)
    # 3 sqrt(1 + 9 (26.7 + 16) / 96) = 6.7 standard deviations of 9.8 electrons
    assert re.search(r"exposure 2 has (3|3\.0\d|2\.9\d) times the light of exposure 1, whose noise hides hits", text)
    assert re.search(r"of up to 7 standard deviations \(6\d(\.\d)? electron\)", text)
    # in the mean with weights by light: 66 / sqrt(42.7 + 96) = 5.6
    assert re.search(r"[^\d]5\.[4-8] (of one with weights by exposure times|standard deviations of a mean\.)", text)


@pytest.mark.parametrize("level", [2.0, 30.0])
def test_the_remedy_for_exposures_without_light(level, monkeypatch):
    """The throughputs of darks are those of their hits: the warning says so."""
    monkeypatch.setattr(unlike_light, "measured_of", lambda decision: SimpleNamespace(factors=(0.3, 1.0)))
    rng = np.random.default_rng(3)
    dark = load_exposures(
        [rng.normal(level, np.hypot(4, np.sqrt(level)), (80, 90)) for _ in range(2)],
        unit="electron",
        readnoise=4 * u.electron,
    )
    (sentence,) = unlike_light.of_unlike_light(SimpleNamespace(n_exposures=2, decision=None), dark)
    assert "exposure 2 has 3.33 times the light of exposure 1" in sentence
    without = re.search(
        r"But the level of the exposures is (2|1\.9\d|2\.0\d) electron, below the read noise of 4 electron. If they "
        r"show no light, as darks do, .*: give flux_factors=None \(flux_factor: 1 in a parameter file\)$",
        sentence,
    )
    assert bool(without) == (level < 4)
    assert ("darks" in sentence) == (level < 4)


def test_two_exposures_that_differ_in_throughput_and_seeing(monkeypatch):
    monkeypatch.setattr(shifts, "_wide", lambda measured, least: {1: 2.0})
    for factors, number in (((1.0, 0.7), 1), ((0.7, 1.0), 1), ((1.0, 0.9), 0)):
        sentences = shifts._sentences_of_two(SimpleNamespace(factors=factors), ("a", "b"))
        assert len(sentences) == number
    (sentence,) = shifts._sentences_of_two(SimpleNamespace(factors=(1.0, 0.7)), ("a", "b"))
    assert "stars are wider in b than in a by 3.3 pixels" in sentence
    assert "the throughputs are 1.00, 0.70" in sentence


@pytest.mark.parametrize(("step", "named"), [(1.0, False), (3.0, True)])
def test_a_shift_that_is_not_measured_is_looked_for(step, named):
    """Shifts in whole pixels, where the decision measured none."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[:120, :140]
    field = 100.0 + sum(3000 * np.exp(-((y - b) ** 2 + (x - a) ** 2) / 4) for a, b in rng.uniform(20, 100, (25, 2)))
    planes = [
        rng.poisson(np.roll(field, (0, 0, int(step))[i], axis=1)) + rng.normal(0, 4, field.shape) for i in range(3)
    ]
    loaded = load_exposures([CCDData(one, unit="electron") for one in planes], readnoise=4 * u.electron)
    loaded = replace(loaded, displaced=())
    codes = {name: np.zeros(loaded.shape, np.uint8) for name in ("MEDIANCR", "MEANCRT", "MEANCR")}
    codes |= {f"CRMASK{i + 1}": np.zeros(loaded.shape, np.uint8) for i in range(3)}
    decision = SimpleNamespace(measured=None, unexplained_shift=0.0, method=None)
    sentences = implausibilities(replace(MaskSet(codes), decision=decision), loaded, noise=False)
    shifts = [one for one in sentences if "not aligned" in one]
    assert len(shifts) == named
    if named:
        assert "Unless the offsets are given, stars are taken for hits" in shifts[0]
        assert "exposure 3 by (+" in shifts[0]


@pytest.mark.parametrize("population", ["cosmic", "mixed"])
def test_hot_pixels_of_dark_exposures_are_no_structures_that_moved(population):
    rng = np.random.default_rng(1)
    shape = (240, 260)
    level = 6.0 + (rng.uniform(size=shape) < 0.003) * rng.lognormal(5, 1, shape)
    hits = np.stack([make_hits(shape, 0.03, rng, population) for _ in range(3)])
    cube = rng.poisson(np.broadcast_to(level, hits.shape)) + rng.normal(0, 3, hits.shape) + hits
    stack = CRStack(list(cube), readnoise=3 * u.electron, unit="electron")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack.detect("joint")


@pytest.mark.filterwarnings("ignore:25.0% of the values")
@pytest.mark.parametrize(
    ("joint", "strange", "fraction", "looked_for"),
    [
        (True, (), 0.01, True),
        (False, (), 0.01, False),
        (True, ("exposure 2",), 0.01, False),
        (True, (), 0.25, False),
    ],
)
def test_flagged_structures_have_a_warning_where_no_other_explains_them(
    monkeypatch, joint, strange, fraction, looked_for
):
    """After a joint decision, of comparable exposures, and without another sentence."""
    asked = []
    monkeypatch.setattr(checks, "warn_of_flagged_structures", lambda masks, exposures: asked.append(masks))
    loaded = replace(load_exposures(exposures(), readnoise=4 * u.electron), strange=strange)
    result = SimpleNamespace(excess=None) if joint else None
    decision = SimpleNamespace(result=result, measured=None, unexplained_shift=0.0)
    masks = replace(masks_with((fraction, 0.0, 0.0)), decision=decision)
    check_plausible(masks, loaded, noise=False)
    assert len(asked) == looked_for


@pytest.mark.parametrize("change", [{}, {"strange": ("exposure 2",)}, {"displaced": (("exposure 3", 0.0, 25.0),)}])
def test_the_measured_noise_has_no_warning_where_exposures_do_not_show_one_scene(change):
    """Structures at other places are taken for noise there, which would be understated a thousand times."""
    loaded = replace(load_exposures(exposures(), readnoise=4 * u.electron), **change)
    result = SimpleNamespace(excess=ExcessVariance(constant=1e7))
    decision = SimpleNamespace(result=result, measured=None, unexplained_shift=0.0)
    masks = replace(masks_with((0.0, 0.0, 0.0)), decision=decision)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_plausible(masks, loaded, noise=False)
    assert len([one for one in caught if "the noise is understated" in str(one.message)]) == (not change)
