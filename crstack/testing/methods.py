"""Checks of methods."""

import astropy.units as u
import numpy as np

from crstack.detectors.base import Detector
from crstack.masks import MaskRules
from crstack.methods import Method
from crstack.stack import CRStack
from crstack.testing.contract import (
    CHARGE,
    READNOISE,
    SKY,
    TRACKS,
    check_arguments,
    check_few_false,
    check_frozen,
    expect,
    faults_named,
    faults_of_plugins,
    instance_of,
)
from crstack.utils.pixels import dilate

__all__ = ["check_method"]

#: gain and shape of the exposures
GAIN, SHAPE = 2.0, (101, 131)


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
    method = instance_of(method, Method, "method")
    with faults_named(method):
        check_arguments(method.decide, "prepared", "detected", "rules", "progress")
        check_frozen(method)
        for n_exposures in (3, 5):
            cube, hits = _exposures(n_exposures)
            masks = _masks(method, cube, aux)
            where = f"of {n_exposures} exposures"
            _check_all_found(hits, masks.crmasks, where)
            for mask, one in zip(masks.crmasks, hits, strict=True):
                check_few_false(mask & ~dilate(one, 2), most_false, where)
            expect(masks["MEANCRT"][hits.any(axis=0)].all(), f"MEANCRT must hold every hit, {where}")
            twice = hits.sum(axis=0) >= (n_exposures + 1) // 2
            expect(masks["MEDIANCR"][twice].all(), f"MEDIANCR must hold the hits of half of the exposures, {where}")
            again = _masks(method, cube, aux)
            expect(_are_equal(masks, again), f"the same exposures must give the same masks twice, {where}")
            electrons = _masks(method, cube * np.float32(GAIN), aux, unit=u.electron)
            expect(_are_equal(masks, electrons), f"exposures in electrons must give the masks of those in ADU, {where}")
        _check_bad_pixels(method, aux)
        _check_rules(method, aux)


def _exposures(n_exposures):
    """Exposures of a flat sky in ADU with hits, and where they are: float32 and bool (N, ny, nx)."""
    rng = np.random.default_rng(1)
    hits = np.zeros((n_exposures, *SHAPE), dtype=bool)
    for number, track in enumerate(TRACKS):
        hits[number % n_exposures][tuple(np.transpose(track))] = True
    # the same pixels in half of the exposures, or more
    for plane in hits[: (n_exposures + 1) // 2]:
        plane[tuple(np.transpose(TRACKS[-1]))] = True
    electrons = rng.poisson(SKY, hits.shape) + rng.normal(0, READNOISE, hits.shape) + CHARGE * hits
    return (electrons / GAIN).astype(np.float32), hits


def _masks(method, cube, aux, unit=u.adu, rules=None):
    """Masks of a method for a cube of exposures, which must not change."""
    before = cube.copy()
    gain = None if unit == u.electron else GAIN * u.electron / u.adu
    stack = CRStack(list(cube), gain=gain, readnoise=READNOISE * u.electron, unit=unit)
    planes = stack.exposures.data.copy()
    with faults_of_plugins():
        masks = stack.detect(method, aux=aux, rules=rules)
    same = np.array_equal(cube, before, equal_nan=True) and np.array_equal(stack.exposures.data, planes)
    expect(same, "the exposures must not be modified")
    decision = masks.decision
    expect(decision is not None and decision.method == method, "the decision must state its method", decision)
    return masks


def _are_equal(masks, others):
    return all(np.array_equal(masks[name], others[name]) for name in masks)


def _check_all_found(hits, found, where):
    """Check that all hits (N, ny, nx) are found."""
    missed = hits & ~found
    alone = hits.sum(axis=0) == 1
    words = "every hit must be in the mask of its exposure"
    if not (missed & alone).any():
        words = "hits of several exposures in one pixel must be in the masks of all of them"
    got = [f"{i + 1}: {np.argwhere(one).tolist()}" for i, one in enumerate(missed) if one.any()]
    expect(not got, f"{words}, {where}", f"none at [row, column] in exposure {', '.join(got)}")


def _check_bad_pixels(method, aux):
    cube, hits = _exposures(3)
    bad = np.zeros(cube.shape, dtype=bool)
    bad[0, 20:23, 20] = bad[1, 40, 10:14] = bad[:, 50, 5] = True
    cube[bad] = np.nan
    masks = _masks(method, cube, aux)
    expect(not (masks.crmasks & bad).any(), "bad values must never be flagged")
    expect(masks.crmasks[hits & ~bad].all(), "hits must be found where other values are bad")


def _check_rules(method, aux):
    cube, hits = _exposures(3)
    plain = _masks(method, cube, aux)
    y, x = np.argwhere(hits[0])[0].tolist()
    clean = np.argwhere(~plain["MEANCRT"])[0].tolist()
    rules = MaskRules(ignore_pixels=[(x + 1, y + 1)], force_pixels=[(clean[1] + 1, clean[0] + 1)])
    masks = _masks(method, cube, aux, rules=rules)
    expect(not masks.crmasks[:, y, x].any(), "ignore_pixels must never be flagged")
    expect(masks.crmasks[:, clean[0], clean[1]].all(), "force_pixels must be flagged in every exposure")
    grown = _masks(method, cube, aux, rules=MaskRules(dilation=1))
    expect(grown["MEANCRT"].sum() > plain["MEANCRT"].sum(), "dilation must make the masks grow")
