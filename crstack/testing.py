"""Checks of methods, detectors and boundary models, for the tests of their authors.

from crstack.testing import check_detector

def test_my_detector():
    check_detector(MyDetector)
"""

import inspect
from contextlib import contextmanager
from typing import TypeVar, cast

import astropy.units as u
import numpy as np

from crstack.boundaries.base import IMAGES, BoundaryModel, checked_fit
from crstack.detectors.base import Detection, Detector
from crstack.diagram import DiagramSettings, EquivalentSets, MMDiagram
from crstack.exceptions import InputError, PluginError
from crstack.masks import MaskRules
from crstack.methods import Method
from crstack.noise import NoiseModel
from crstack.stack import CRStack
from crstack.utils.pixels import dilate
from crstack.utils.plugins import plugin_errors

__all__ = ["SHAPES", "check_boundary", "check_detector", "check_method"]

T = TypeVar("T")

#: unusual shapes for networks and filters
SHAPES = ((63, 71), (101, 77), (15, 400))

READNOISE = 4.0
SKY = 60.0
#: tracks of hits, negative from the last row and column; all are diagonal, because L.A.Cosmic keeps compact ones as
#: stars
TRACKS = (
    ((0, 0), (1, 1), (2, 2)),
    ((-1, -1), (-1, -2), (-2, -3)),
    ((0, -1), (1, -2), (2, -3)),
    ((6, 30), (7, 31), (8, 32), (9, 33)),
)
#: an isolated pixel, which Cosmic-CoNN does not flag
SINGLE = ((12, 50),)
CHARGE = 2500.0
#: shape of the exposures for the check of a method
GAIN_OF_METHODS, SHAPE_OF_METHODS = 2.0, (101, 131)


def check_detector(
    detector: Detector | type[Detector],
    *,
    single_pixels: bool = True,
    uses_noise: bool = True,
    most_false: float = 0.003,
) -> None:
    """Check that a detector fulfils the contract of `~crstack.detectors.Detector`.

    The test images have several shapes, in ADU of gain 1 and 2.5 and in electrons, with a flat sky, bright hits in the
    corners and elsewhere, bad pixels and NaN. The detector must find the hits and few other pixels, return arrays of
    the correct shape and type, never flag bad pixels, not modify its input, and be frozen and comparable.

    Parameters
    ----------
    detector : Detector or class
        The detector, or a class whose defaults are checked.
    single_pixels : bool, optional
        Whether an isolated bright pixel must be found.
    uses_noise : bool, optional
        Whether it must find fainter hits with lower noise. False for a detector that does not use the noise, such as a
        neural network.
    most_false : float, optional
        Largest fraction of the pixels that may be flagged without a hit.

    Raises
    ------
    AssertionError
        If it does not. The message states the fault.
    InputError
        If it is not a detector.
    """
    detector = _instance(detector, Detector, "detector")
    with _named(detector):
        _check_frozen(detector)
        _check_arguments(detector.detect, "image", "noise", "mask")
        for shape in SHAPES:
            for gain in (1.0, 2.5):
                _check_finds_hits(detector, shape, gain, single_pixels, most_false)
        _check_units(detector)
        _check_bad_pixels(detector, most_false)
        _check_nothing_to_find(detector, most_false)
        if uses_noise:
            _check_noise(detector)


def check_boundary(model: BoundaryModel | type[BoundaryModel]) -> None:
    """Check that a boundary model fulfils the contract of `~crstack.boundaries.BoundaryModel`.

    Parameters
    ----------
    model : BoundaryModel or class
        The model, or a class whose defaults are checked.

    Raises
    ------
    AssertionError
        If it does not. The message states the fault.
    InputError
        If it is not a boundary model.
    """
    instance = _instance(model, BoundaryModel, "model")
    with _named(instance):
        _check_frozen(instance)
        _check_arguments(instance.fit, "diagram")
        x_edges, y_edges = np.linspace(-20, 400, 101), np.linspace(0, 150, 101)
        counts = np.where(np.arange(100)[None, :] < 30 + np.arange(100)[:, None] // 3, 50, 0)
        before = counts.copy()
        sets = EquivalentSets(_noise(2.5), 3, 2)
        diagram = MMDiagram(counts, counts, x_edges, y_edges, DiagramSettings(), u.adu, sets=sets)
        with _faults():
            boundary = checked_fit(instance, diagram)
        _expect(np.array_equal(counts, before), "the diagram must not be modified")
        min2d = np.array([[-1e6, 0.0], [100.0, 1e6]], dtype=np.float32)
        for image in IMAGES:
            values = boundary.for_image(image)(min2d)
            _expect(values.shape == min2d.shape, "the boundary must have the shape of min2d", values.shape)
            _expect((values > 0).all(), "the boundary must be positive", values.min())
        _expect(type(instance).__name__ in repr(boundary), "the boundary must name its model", repr(boundary))


def check_method(
    method: Method | type[Method], *, aux: Detector | str | None = None, most_false: float = 0.003
) -> None:
    """Check that a method fulfils the contract of `~crstack.methods.Method`.

    The test stacks have three and five exposures with a flat sky and bright hits, some of them in two exposures, in
    ADU and in electrons, with bad pixels and NaN. The masks must hold the hits and few other pixels, and follow the
    rules. The method must not modify its input, must give the same result twice, and must be frozen and comparable.

    Parameters
    ----------
    method : Method or class
        The method, or a class whose defaults are checked.
    aux : Detector or str, optional
        Auxiliary detector for the check.
    most_false : float, optional
        Largest fraction of the pixels of an exposure that may be flagged without a hit.

    Raises
    ------
    AssertionError
        If it does not. The message states the fault.
    InputError
        If it is not a method.
    """
    method = _instance(method, Method, "method")
    with _named(method):
        _check_arguments(method.decide, "prepared", "detected", "rules", "progress")
        _check_frozen(method)
        for n_exposures in (3, 5):
            cube, hits = _exposures(n_exposures)
            masks = _masks(method, cube, aux)
            where = f"of {n_exposures} exposures"
            _check_all_found(hits, masks.crmasks, where)
            for mask, one in zip(masks.crmasks, hits, strict=True):
                _check_few_false(mask & ~dilate(one, 2), most_false, where)
            _expect(masks["MEANCRT"][hits.any(axis=0)].all(), f"MEANCRT must hold every hit, {where}")
            twice = hits.sum(axis=0) >= (n_exposures + 1) // 2
            _expect(masks["MEDIANCR"][twice].all(), f"MEDIANCR must hold the hits of half of the exposures, {where}")
            again = _masks(method, cube, aux)
            _expect(_same(masks, again), f"the same exposures must give the same masks twice, {where}")
            electrons = _masks(method, cube * np.float32(GAIN_OF_METHODS), aux, unit=u.electron)
            _expect(_same(masks, electrons), f"exposures in electrons must give the masks of those in ADU, {where}")
        _check_method_bad_pixels(method, aux)
        _check_method_rules(method, aux)


def _exposures(n_exposures):
    """Exposures of a flat sky in ADU with hits, and where they are: float32 and bool (N, ny, nx)."""
    rng = np.random.default_rng(1)
    hits = np.zeros((n_exposures, *SHAPE_OF_METHODS), dtype=bool)
    for number, track in enumerate(TRACKS):
        hits[number % n_exposures][tuple(np.transpose(track))] = True
    # the same pixels in half of the exposures, or more
    for plane in hits[: (n_exposures + 1) // 2]:
        plane[tuple(np.transpose(TRACKS[-1]))] = True
    electrons = rng.poisson(SKY, hits.shape) + rng.normal(0, READNOISE, hits.shape) + CHARGE * hits
    return (electrons / GAIN_OF_METHODS).astype(np.float32), hits


def _masks(method, cube, aux, unit=u.adu, rules=None):
    """Masks of a method for a cube of exposures, which must not change."""
    before = cube.copy()
    gain = None if unit == u.electron else GAIN_OF_METHODS * u.electron / u.adu
    stack = CRStack(list(cube), gain=gain, readnoise=READNOISE * u.electron, unit=unit)
    planes = stack.exposures.data.copy()
    with _faults():
        masks = stack.detect(method, aux=aux, rules=rules)
    same = np.array_equal(cube, before, equal_nan=True) and np.array_equal(stack.exposures.data, planes)
    _expect(same, "the exposures must not be modified")
    decision = masks.decision
    _expect(decision is not None and decision.method == method, "the decision must state its method", decision)
    return masks


def _same(masks, others):
    return all(np.array_equal(masks[name], others[name]) for name in masks)


def _check_method_bad_pixels(method, aux):
    cube, hits = _exposures(3)
    bad = np.zeros(cube.shape, dtype=bool)
    bad[0, 20:23, 20] = bad[1, 40, 10:14] = bad[:, 50, 5] = True
    cube[bad] = np.nan
    masks = _masks(method, cube, aux)
    _expect(not (masks.crmasks & bad).any(), "bad values must never be flagged")
    _expect(masks.crmasks[hits & ~bad].all(), "hits must be found where other values are bad")


def _check_method_rules(method, aux):
    cube, hits = _exposures(3)
    plain = _masks(method, cube, aux)
    y, x = np.argwhere(hits[0])[0].tolist()
    clean = np.argwhere(~plain["MEANCRT"])[0].tolist()
    rules = MaskRules(ignore_pixels=[(x + 1, y + 1)], force_pixels=[(clean[1] + 1, clean[0] + 1)])
    masks = _masks(method, cube, aux, rules=rules)
    _expect(not masks.crmasks[:, y, x].any(), "ignore_pixels must never be flagged")
    _expect(masks.crmasks[:, clean[0], clean[1]].all(), "force_pixels must be flagged in every exposure")
    grown = _masks(method, cube, aux, rules=MaskRules(dilation=1))
    _expect(grown["MEANCRT"].sum() > plain["MEANCRT"].sum(), "dilation must make the masks grow")


def _expect(condition, sentence, got=None):
    if not condition:
        raise AssertionError(sentence if got is None else f"{sentence}; got {got}")


@contextmanager
def _named(plugin):
    """Name the class of a plug-in in the sentence of a fault."""
    name = type(plugin).__name__
    try:
        yield
    except AssertionError as fault:
        if name in str(fault):
            raise
        raise AssertionError(f"{name}: {fault}") from fault


def _instance(given: T | type[T], base: type, name: str) -> T:
    """The given object, or the class called without arguments."""
    if isinstance(given, type) and issubclass(given, base):
        given = given()
    if not isinstance(given, base):
        raise InputError(f"{name} must be a {base.__name__}, or a class of one; got {given!r}")
    return cast(T, given)


def _check_arguments(function, *names):
    """Check that a function of a plug-in accepts the arguments with which crstack calls it."""
    parameters = inspect.signature(function).parameters.values()
    named = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return
    lacking = [name for name in names if name not in named]
    sentence = f"{function.__name__} must accept the arguments {', '.join(names)}"
    _expect(len(named) >= len(names), sentence, f"{', '.join(named) or 'none'}, without {', '.join(lacking)}")


def _noise(gain, unit=u.adu):
    return NoiseModel(gain * u.electron / u.adu, READNOISE * u.electron, unit)


def _image(shape, gain, single_pixels=True, hit=True):
    """A flat image in ADU with hits, and where they are: float32 and bool (ny, nx)."""
    rng = np.random.default_rng(0)
    electrons = rng.poisson(SKY, shape) + rng.normal(0, READNOISE, shape)
    hits = np.zeros(shape, dtype=bool)
    if hit:
        pixels = [pixel for track in TRACKS for pixel in track] + list(SINGLE if single_pixels else ())
        hits[tuple(np.transpose(pixels))] = True
    electrons[hits] += CHARGE
    return (electrons / gain).astype(np.float32), hits


def _detected(detector, *arguments):
    """The detection of a detector; an error of it fails the check."""
    with _faults(), plugin_errors(detector, "detect"):
        return detector.detect(*arguments)


@contextmanager
def _faults():
    """Faults of a plug-in that crstack finds when it calls it: each fails the check."""
    try:
        yield
    except PluginError as error:
        raise AssertionError(str(error)) from error


def _check_frozen(one):
    kind = type(one).__name__
    names = list(one.parameters())
    _expect(set(names) <= set(vars(one)), f"the parameters of {kind} must be its fields", names)
    twin = type(one)(**{name: getattr(one, name) for name in names})
    _expect(one == twin, f"two {kind} of the same parameters must be equal")
    _expect(hash(one) == hash(twin), f"two {kind} of the same parameters must have the same hash")
    _expect(kind in repr(one), f"repr must name the class, {kind}", repr(one))
    for name in names[:1]:
        try:
            setattr(one, name, getattr(one, name))
        except AttributeError:
            continue
        raise AssertionError(f"{kind} must be a frozen dataclass; got one whose {name} can be set")


def _check_answer(detector, detection, image):
    """Types and shapes of a detection."""
    _expect(isinstance(detection, Detection), "detect must return a Detection", type(detection).__name__)
    _expect(detection.mask is not None, "the Detection must have a mask")
    for name, kind in (("mask", np.bool_), ("cleaned", np.float32), ("probability", np.float32)):
        array = getattr(detection, name)
        if array is not None:
            _expect(isinstance(array, np.ndarray), f"{name} must be an array", type(array).__name__)
            _expect(array.shape == image.shape, f"{name} must have the shape {image.shape}", array.shape)
            _expect(array.dtype == kind, f"{name} must be {kind.__name__}", array.dtype)
    cleans = bool(detector.cleans)
    _expect((detection.cleaned is not None) == cleans, "cleaned must be given if, and only if, cleans is True")
    if detection.probability is not None:
        low, high = detection.probability.min(), detection.probability.max()
        _expect(low >= 0 and high <= 1, "probability must be 0 to 1", f"{low} to {high}")


def _check_finds_hits(detector, shape, gain, single_pixels, most_false):
    where = f"in {shape} at gain {gain:g}"
    image, hits = _image(shape, gain, single_pixels)
    before = image.copy()
    image.flags.writeable = False
    detection = _detected(detector, image, _noise(gain))
    _expect(np.array_equal(image, before), f"the image must not be modified {where}")
    _check_answer(detector, detection, image)
    missed = np.argwhere(hits & ~detection.mask).tolist()
    _expect(not missed, f"every hit must be found {where}", f"none at {missed}")
    _check_few_false(detection.mask & ~hits, most_false, where)
    if detection.cleaned is not None:
        off = np.abs(detection.cleaned[hits] * gain - SKY).max()
        _expect(off < SKY / 2, f"cleaned must be near the sky where there were hits {where}", f"{off:.1f} e off")
        same = np.array_equal(detection.cleaned[~detection.mask], image[~detection.mask])
        _expect(same, f"cleaned must be the image where nothing is flagged {where}")


def _check_all_found(hits, found, where):
    """Check that all hits (N, ny, nx) are found."""
    missed = hits & ~found
    alone = hits.sum(axis=0) == 1
    words = "every hit must be in the mask of its exposure"
    if not (missed & alone).any():
        words = "hits of several exposures in one pixel must be in the masks of all of them"
    got = [f"{i + 1}: {np.argwhere(one).tolist()}" for i, one in enumerate(missed) if one.any()]
    _expect(not got, f"{words}, {where}", f"none at [row, column] in exposure {', '.join(got)}")


def _check_few_false(false, most_false, where):
    fraction = np.count_nonzero(false) / false.size
    _expect(fraction <= most_false, f"at most {most_false:g} of the pixels may be false {where}", f"{fraction:.5f}")


def _check_units(detector):
    image, _ = _image((101, 77), 2.5)
    adu = _detected(detector, image, _noise(2.5))
    electrons = _detected(detector, image * np.float32(2.5), _noise(2.5, u.electron))
    differ = np.count_nonzero(adu.mask != electrons.mask)
    _expect(differ == 0, "an image in electrons must give the mask of that in ADU", f"{differ} other pixels")
    if adu.cleaned is not None:
        same = np.allclose(adu.cleaned * 2.5, electrons.cleaned, rtol=1e-4, atol=1e-3)
        _expect(same, "cleaned must be in the unit of the image")


def _check_bad_pixels(detector, most_false):
    image, hits = _image((101, 77), 2.5, single_pixels=False)
    bad = np.zeros(image.shape, dtype=bool)
    bad[7, 32] = bad[50:53, 20] = bad[100, 40:60] = True
    dirty = np.where(bad, np.float32(60000), image)
    dirty[80, 10], dirty[81, 40] = np.nan, np.inf
    kept, kept_bad = dirty.copy(), bad.copy()
    detection = _detected(detector, dirty, _noise(2.5), bad)
    _expect(np.array_equal(dirty, kept, equal_nan=True), "NaN and bad pixels of the image must not be modified")
    _expect(np.array_equal(bad, kept_bad), "the mask of bad pixels must not be modified")
    _check_answer(detector, detection, dirty)
    unusable = bad | ~np.isfinite(dirty)
    _expect(not (detection.mask & unusable).any(), "bad pixels and NaN must never be flagged")
    missed = np.argwhere(hits & ~unusable & ~detection.mask).tolist()
    _expect(not missed, "hits beside bad pixels must be found", f"none at {missed}")
    _check_few_false(detection.mask & ~hits, most_false, "beside bad pixels")


def _check_nothing_to_find(detector, most_false):
    image, _ = _image((101, 77), 1.0, hit=False)
    _check_few_false(_detected(detector, image, _noise(1.0)).mask, most_false, "where there are no hits")
    everything = np.ones(image.shape, dtype=bool)
    detection = _detected(detector, image, _noise(1.0), everything)
    _check_answer(detector, detection, image)
    _expect(not detection.mask.any(), "nothing must be flagged where every pixel is bad")


def _check_noise(detector):
    """Check that a detector finds fainter hits with lower noise."""
    one = _noise(1.0)
    rng = np.random.default_rng(2)
    image = rng.normal(3, np.sqrt(one.averaged(16).variance(3.0)), (101, 77)).astype(np.float32)
    faint = (rng.integers(5, 95, 40), rng.integers(5, 70, 40))
    image[faint] += 15
    few, many = (_detected(detector, image, noise).mask[faint].sum() for noise in (one, one.averaged(16)))
    _expect(
        many > 30 and few < many / 2,
        "fainter hits must be found where the noise is less (a detector that does not use the noise "
        "is checked with uses_noise=False)",
        f"{few} of 40 hits with more noise and {many} with less",
    )
