"""Checks of boundary models."""

import astropy.units as u
import numpy as np

from crstack.boundaries.base import IMAGES, BoundaryModel, checked_fit
from crstack.diagram import DiagramSettings, EquivalentSets, MMDiagram
from crstack.testing.contract import (
    check_arguments,
    check_frozen,
    expect,
    faults_named,
    faults_of_plugins,
    instance_of,
    noise_of_gain,
)

__all__ = ["check_boundary"]


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
    instance = instance_of(model, BoundaryModel, "model")
    with faults_named(instance):
        check_frozen(instance)
        check_arguments(instance.fit, "diagram")
        x_edges, y_edges = np.linspace(-20, 400, 101), np.linspace(0, 150, 101)
        counts = np.where(np.arange(100)[None, :] < 30 + np.arange(100)[:, None] // 3, 50, 0)
        before = counts.copy()
        sets = EquivalentSets(noise_of_gain(2.5), 3, 2)
        diagram = MMDiagram(counts, counts, x_edges, y_edges, DiagramSettings(), u.adu, sets=sets)
        with faults_of_plugins():
            boundary = checked_fit(instance, diagram)
        expect(np.array_equal(counts, before), "the diagram must not be modified")
        min2d = np.array([[-1e6, 0.0], [100.0, 1e6]], dtype=np.float32)
        for image in IMAGES:
            values = boundary.for_image(image)(min2d)
            expect(values.shape == min2d.shape, "the boundary must have the shape of min2d", values.shape)
            expect((values > 0).all(), "the boundary must be positive", values.min())
        expect(type(instance).__name__ in repr(boundary), "the boundary must name its model", repr(boundary))
