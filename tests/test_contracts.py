"""One suite over every registered method, detector and boundary model."""

from dataclasses import dataclass
from importlib.util import find_spec

import astropy.units as u
import numpy as np
import pytest

from crstack import (
    BoundaryModel,
    CalibratedBoundary,
    Detection,
    Detector,
    FittedBoundary,
    JointPosterior,
    LACosmicDetector,
    MaskRules,
    NoiseModel,
    PiecewiseBoundary,
    PyCosmicDetector,
    SplineBoundary,
    VotingDetector,
)
from crstack.detectors import TwoPassDetector
from crstack.exceptions import CRStackError, CRStackWarning, InputError, PluginError
from crstack.methods import Decision, Method
from crstack.testing import check_boundary, check_detector, check_method
from crstack.testing.detectors import flat_image
from crstack.utils.registry import DETECTORS, METHODS, Registry

#: arguments of `check_detector` for detectors whose defaults do not fulfil all checks
EXCEPTIONS = {
    "deepcr": {"uses_noise": False},
    "conn": {"uses_noise": False, "single_pixels": False},
}
#: package of the network of a detector, which is tested only with it
NEEDS = {"deepcr": "deepCR", "conn": "cosmic_conn"}
PAIRED = {"lacosmic": "sigclip", "pycosmic": "sigma_det"}


def detector_named(name):
    needs = NEEDS.get(name)
    if needs is not None and find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    return DETECTORS.get(name)()


def test_own_detectors_are_registered():
    assert {"lacosmic", "pycosmic", "deepcr", "conn"} <= set(DETECTORS.names())


@pytest.mark.parametrize("name", DETECTORS.names())
def test_detectors(name):
    check_detector(detector_named(name), **EXCEPTIONS.get(name, {}))


def test_detectors_made_of_detectors():
    check_detector(TwoPassDetector(LACosmicDetector(sigclip=8.0), PyCosmicDetector()))
    for vote in ("any", "all"):
        check_detector(VotingDetector([LACosmicDetector(), PyCosmicDetector()], vote))


@pytest.mark.parametrize(
    "model",
    [
        SplineBoundary,
        SplineBoundary(n_knots=3),
        PiecewiseBoundary([(0, 30), (100, 60)]),
        CalibratedBoundary(n_draws=10_000),
    ],
)
def test_boundary_models(model):
    check_boundary(model)


@pytest.mark.parametrize("name", PAIRED)
def test_two_detectors_make_two_passes(name):
    cls = DETECTORS.get(name)
    image, hits = flat_image((101, 77), 2.5)
    noise = NoiseModel(2.5 * u.electron / u.adu, 4 * u.electron)
    pair = cls(**{PAIRED[name]: (8.0, 3.0)})
    two = TwoPassDetector(cls(**{PAIRED[name]: 8.0}), cls(**{PAIRED[name]: 3.0}))
    one, other = pair.detect(image, noise), two.detect(image, noise)
    np.testing.assert_array_equal(one.mask, other.mask)
    assert other.mask[hits].all()
    assert two.cleans
    assert two.low.detect(image, noise).mask.sum() > other.mask.sum()
    np.testing.assert_array_equal(other.cleaned[~other.mask], image[~other.mask])
    with pytest.raises(InputError, match="high must be a Detector; got 'lacosmic'"):
        TwoPassDetector("lacosmic", pair)


@pytest.mark.parametrize("name", METHODS.names())
def test_methods(name):
    check_method(METHODS.get(name))


CHANCE = np.random.default_rng(8)


@dataclass(frozen=True)
class WrongMethod(Method):
    """Values above the minimum of the exposures, made wrong."""

    how: str = "not at all"

    def decide(self, prepared, detected, rules, progress=None):
        exposures = prepared.exposures
        over = exposures.data - np.nan_to_num(prepared.statistics.min2d)
        hit = over > 300 / np.float32(exposures.noise.electrons_per_unit)
        if exposures.bad is not None and self.how != "flags bad values":
            hit &= ~exposures.bad
        if self.how == "misses the last row":
            hit[:, -1] = False
        elif self.how == "misses coincident hits":
            hit[:, hit.sum(axis=0) > 1] = False
        elif self.how == "flags too much":
            hit[:, ::7] = True
        elif self.how == "decides by chance":
            # a stream that goes on, so that no two calls agree; no hit is left out, which is another fault
            hit[:, 50] |= CHANCE.random(hit[:, 50].shape) > 0.95
        elif self.how == "answers integers":
            hit = hit.astype(int)
        elif self.how == "answers a list":
            hit = hit.tolist()
        elif self.how == "changes the exposures":
            exposures.data[:, 0] = 0
        return Decision.of_hits(self, hit, prepared, detected, MaskRules() if self.how == "has no rules" else rules)


WRONG_METHODS = {
    "misses the last row": (AssertionError, "every hit must be in the mask of its exposure"),
    "misses coincident hits": (AssertionError, r"hits of several exposures in one pixel must be.*\[row, column\]"),
    "flags too much": (AssertionError, "at most 0.003 of the pixels may be false"),
    "decides by chance": (AssertionError, "must give the same masks twice"),
    "answers integers": (AssertionError, "hits of WrongMethod must be bool"),
    "answers a list": (AssertionError, "hits of WrongMethod must be bool of the shape .*; got list"),
    "changes the exposures": (AssertionError, "read-only"),
    "has no rules": (AssertionError, "ignore_pixels must never be flagged"),
}


@pytest.mark.parametrize("how", WRONG_METHODS)
def test_wrong_methods_are_found_out(how):
    error, message = WRONG_METHODS[how]
    with pytest.raises(error, match=message) as caught:
        check_method(WrongMethod(how))
    assert "WrongMethod" in str(caught.value)


def test_right_methods_pass():
    check_method(WrongMethod())
    with pytest.raises(InputError, match="method must be a Method, or a class of one; got 3"):
        check_method(3)


# the checks themselves: each of these is wrong in one way


@dataclass(frozen=True)
class Wrong(Detector):
    """PyCosmic with a fault."""

    how: str = "not at all"

    @property
    def cleans(self):
        return self.how != "says it does not clean"

    def detect(self, image, noise, mask=None):
        found = PyCosmicDetector().detect(image, noise, None if self.how == "flags bad pixels" else mask)
        flagged, cleaned = found.mask, found.cleaned
        if self.how == "misses the last row":
            flagged[-1] = False
        elif self.how == "misses all beside bad pixels" and mask is not None and mask.any():
            flagged = np.zeros_like(flagged)
        elif self.how == "flags too much":
            flagged[::5] = True
        elif self.how == "answers integers":
            flagged = flagged.astype(int)
        elif self.how == "answers a list":
            flagged = flagged.tolist()
        elif self.how == "crops":
            flagged = flagged[1:]
        elif self.how == "forgets the gain":
            cleaned = np.where(flagged, cleaned * np.mean(noise.electrons_per_unit), cleaned).astype(np.float32)
        elif self.how == "zeroes NaN of its input":
            np.nan_to_num(image, copy=False)
        elif self.how == "changes unflagged pixels":
            cleaned = cleaned + np.float32(1)
        elif self.how == "ignores the noise":
            flagged = PyCosmicDetector(sigma_det=20.0).detect(image, noise.averaged(1e-6), mask).mask
        elif self.how in PROBABILITIES:
            return Detection(flagged, cleaned, flagged * PROBABILITIES[self.how][0] + PROBABILITIES[self.how][1])
        return Detection(flagged, cleaned)


#: probability of hits over that of other pixels, and of others
PROBABILITIES = {
    "has probabilities": np.float32([1, 0]),
    "has a probability over 1": np.float32([1, 0.1]),
    "has a probability below 0": np.float32([1, -0.1]),
}
WRONG = {
    "misses the last row": "every hit must be found",
    "misses all beside bad pixels": "hits beside bad pixels must be found",
    "flags too much": "at most 0.003 of the pixels may be false",
    "answers integers": "mask must be bool",
    "answers a list": "mask must be an array; got list",
    "crops": r"mask must have the shape \(63, 71\)",
    "forgets the gain": "cleaned must be near the sky",
    "flags bad pixels": "bad pixels and NaN must never be flagged",
    "says it does not clean": "cleaned must be given if, and only if, cleans is True",
    "changes unflagged pixels": "cleaned must be the image where nothing is flagged",
    "ignores the noise": "every hit must be found",
    "has a probability over 1": "probability must be 0 to 1",
    "has a probability below 0": "probability must be 0 to 1",
}


@pytest.mark.parametrize("how", WRONG)
def test_wrong_detectors_are_found_out(how):
    with pytest.raises(AssertionError, match=WRONG[how]) as caught:
        check_detector(Wrong(how))
    # the fault names the class
    assert "Wrong" in str(caught.value)


def test_detectors_that_spoil_their_input_are_found_out():
    with pytest.raises(AssertionError, match=r"Wrong must detect without an error; got ValueError: .*read-only"):
        check_detector(Wrong("zeroes NaN of its input"))


def test_a_detector_that_returns_no_detection_is_found_out():
    @dataclass(frozen=True)
    class Bare(Detector):
        def detect(self, image, noise, mask=None):
            return image > 1000, image

    with pytest.raises(AssertionError, match=r"detect must return a Detection; got tuple$"):
        check_detector(Bare)


def test_right_detectors_pass():
    check_detector(Wrong())
    check_detector(Wrong("has probabilities"))
    with pytest.raises(InputError, match="detector must be a Detector, or a class of one; got 3"):
        check_detector(3)


def test_detectors_that_are_not_frozen_are_found_out():
    class Loose(PyCosmicDetector):
        __setattr__ = object.__setattr__

    with pytest.raises(AssertionError, match="Loose must be a frozen dataclass"):
        check_detector(Loose)


def test_a_missing_argument_is_named():
    @dataclass(frozen=True)
    class NoMask(Detector):
        def detect(self, image, noise):
            return PyCosmicDetector().detect(image, noise)

    match = "detect must accept the arguments image, noise, mask.* image, noise, without mask"
    with pytest.raises(AssertionError, match=match):
        check_detector(NoMask)

    @dataclass(frozen=True)
    class NoDiagram(BoundaryModel):
        def fit(self):
            return None

    with pytest.raises(AssertionError, match=r"fit must accept the arguments diagram.*none, without diagram"):
        check_boundary(NoDiagram)

    @dataclass(frozen=True)
    class NoRules(Method):
        def decide(self, prepared, detected):
            return None

    with pytest.raises(AssertionError, match=r"decide must accept .*prepared, detected, without rules, progress"):
        check_method(NoRules)


@dataclass(frozen=True)
class Line(BoundaryModel):
    """A straight line."""

    slope: float = 0.0

    def fit(self, diagram):
        x = np.array([0.0, 100.0])
        return FittedBoundary(self, x, 10 + self.slope * x)


def test_wrong_boundaries_are_found_out():
    check_boundary(Line)
    with pytest.raises(AssertionError, match="the boundary of Line must be finite and 0 or more everywhere"):
        check_boundary(Line(slope=-1.0))
    with pytest.raises(AssertionError, match=r"1-D array of finite numbers; got float64 .*, 2 of them not") as caught:
        check_boundary(Line(slope=np.nan))
    assert "Line" in str(caught.value)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([0.0, 100.0], [5.0, 6.0], "must be a 1-D array of finite numbers; got list"),
        (np.array([100.0, 0.0]), np.array([5.0, 6.0]), "x of the boundary of Given must not decrease"),
        (np.array([0.0, 100.0]), np.array([5.0]), "x of the boundary of Given must not decrease, and have as many"),
        (np.array([]), np.array([]), "must be a 1-D array of finite numbers; got float64 of the shape .0,."),
        (None, None, "Given must fit without an error; got ZeroDivisionError"),
    ],
)
def test_boundaries_that_crstack_refuses_fail_the_check(x, y, message):
    @dataclass(frozen=True)
    class Given(BoundaryModel):
        def fit(self, diagram):
            return FittedBoundary(self, x, y) if x is not None else 1 / 0

    with pytest.raises(AssertionError, match=message):
        check_boundary(Given)


class Entry:
    def __init__(self, name, value):
        self.name, self.value = name, value

    def load(self):
        raise ImportError("no module named nothing")


def test_broken_plugins_warn_and_the_rest_work(monkeypatch):
    real = Registry("crstack.detectors", "detector", "crstack.detectors.base:Detector")
    entries = {**real._entries(), "broken": Entry("broken", "nothing:Nothing")}
    monkeypatch.setattr(Registry, "_entries", lambda self: entries)
    with pytest.warns(CRStackWarning, match=r"detector 'broken' \(nothing:Nothing\) must be importable"):
        classes = real.load_all()
    assert set(real.names()) - {"broken"} <= set(classes)
    with pytest.raises(PluginError, match="must be importable"):
        real.get("broken")


def test_two_plugins_of_one_name_are_refused(monkeypatch):
    """Only where the name is used: an installed package must not disable all other plug-ins."""
    registry = Registry("crstack.detectors", "detector", "crstack.detectors.base:Detector")
    real = list(registry._entries().values())
    twice = [Entry("one", "a:A"), *real, Entry("one", "b:B"), Entry("lacosmic", "mine:Own")]
    monkeypatch.setattr("crstack.utils.registry.entry_points", lambda group: twice)
    message = "detector names must be unique; got 'one' from both a:A and b:B: remove one of the packages"
    with pytest.raises(PluginError, match=message):
        registry.get("one")
    with pytest.raises(PluginError, match=r"got 'lacosmic' from both crstack\.detectors.* and mine:Own"):
        registry.make("lacosmic")
    assert registry.make("pycosmic") == PyCosmicDetector()
    with pytest.warns(CRStackWarning, match="detector names must be unique") as caught:
        assert set(registry.load_all()) == {one.name for one in real} - {"lacosmic"}
    assert len(caught) == 2


def test_a_fault_of_crstack_is_not_that_of_a_plugin(monkeypatch, stack):
    """An error inside a method of crstack asks for a report, and does not blame a plug-in."""

    def fails(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("crstack.joint.method.scatter_of", fails)
    with pytest.raises(CRStackError, match=r"JointPosterior must decide .* is part of crstack: please report") as error:
        stack.detect(JointPosterior(n_fits=3))
    assert not isinstance(error.value, PluginError)
