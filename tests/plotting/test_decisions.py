"""Figures show the boundary, the coordinates and the images of the decision, and no others."""

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from support.stacks import stack_of

from crstack import CalibratedBoundary, CRStack, JointPosterior, MaskRules, MaskSet, MMCosmic
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.masks import Code

NAMES = ("MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3")
PLAIN = MMCosmic(mm_dilation=0)


def lines_of(axes):
    return {line.get_label() for line in axes.get_lines()}


def assert_pixels_obey_the_limits(stack, masks):
    """Every pixel that M.M.Cosmic flagged lies above the lines of its figure, and no other pixel does."""
    for name in NAMES:
        view = stack.plot.mask_view(name, masks=masks)
        found = view.pixels[view.pixels["code"] == Code.MMCOSMIC]
        over = found["excess"] > np.maximum(view.boundary(found["min2d"]), view.threshold)
        if name == "MEANCRT":  # which holds those of the median as well
            over |= masks["MEDIANCR"][found["y"] - 1, found["x"] - 1]
        assert len(found) > 10
        assert over.mean() > 0.995, name
    decided = masks.decision.in_diagram("MEDIANCR")
    limit = np.maximum(decided.boundary(decided.x), decided.threshold)
    unflagged = masks.codes["MEDIANCR"] == Code.CLEAN
    assert (decided.y > 1.001 * limit)[unflagged].sum() < 5


def test_no_boundary_over_the_masks_of_another_method(stack):
    first = stack.detect("mmcosmic", aux=None)
    joint = stack.detect(JointPosterior())
    for name in ("MEDIANCR", "CRMASK1"):
        view = stack.plot.mask_view(name)
        assert view.boundary is view.threshold is view.diagram is None
        assert not {"boundary", "threshold"} & lines_of(stack.plot.mask(name).axes[0])
        # and the first masks keep theirs
        assert stack.plot.mask_view(name, masks=first).boundary is first.decision.boundary
    assert joint.decision.in_diagram("MEDIANCR") is None
    with pytest.raises(InputError, match="diagram of the masks must be made first"):
        stack.plot.diagram(masks=joint)


def test_each_image_with_its_own_boundary(stack):
    masks = stack.detect("mmcosmic", aux=None, boundary=CalibratedBoundary(n_draws=10_000))
    for name, kind in (("MEDIANCR", "median"), ("MEANCRT", "mean"), ("CRMASK2", "exposure")):
        own = masks.decision.boundary.for_image(kind)
        assert stack.plot.mask_view(name).boundary is own
        (line,) = [one for one in stack.plot.mask(name).axes[0].get_lines() if one.get_label() == "boundary"]
        np.testing.assert_allclose(line.get_ydata()[1:-1], own.y)


@pytest.mark.parametrize(
    ("made", "known"),
    [
        ({"flux_factors": (0.7, 1.0, 1.35)}, {"flux_factors": (0.7, 1.0, 1.35)}),
        ({"offsets": ((0.4, -0.3), (0, 0), (-0.4, 0.3))}, {"offsets": ((0.4, -0.3), (0, 0), (-0.4, 0.3))}),
    ],
)
def test_points_are_where_they_were_compared(made, known):
    options = {"gain": 2.5 * u.electron / u.adu, "readnoise": 4 * u.electron, "bias": 500 * u.adu, "seed": 12}
    simulated = make_stack("slit", shape=(150, 180), hit_rate=0.02, **made, **options)
    stack = stack_of(simulated, **known)
    masks = stack.detect(PLAIN, aux=None)
    assert_pixels_obey_the_limits(stack, masks)
    view = stack.plot.mask_view("CRMASK1")
    row, column = view.pixels["y"] - 1, view.pixels["x"] - 1
    combined = (stack.exposures.data[0] - stack.statistics.min2d)[row, column]
    assert np.abs(view.pixels["excess"] - combined).max() > 1
    # the image itself is the one that is combined
    np.testing.assert_array_equal(view.image, stack.exposures.data[0])


# the exposures have the read noise of one amplifier
@pytest.mark.filterwarnings("ignore:the exposures scatter")
# the read noise of both is larger than the simulated one
@pytest.mark.filterwarnings("ignore:the noise as stated does not hold in all parts")
def test_points_of_several_amplifiers_are_scaled(simulated):
    shape = simulated.exposures[0].shape
    readnoise = np.where(np.arange(shape[1]) < 90, 4.0, 12.0) * np.ones((shape[0], 1))
    stack = CRStack(simulated.exposures, gain=simulated.gain, readnoise=readnoise * u.electron, bias=simulated.bias)
    masks = stack.detect(MMCosmic(mm_dilation=0, threshold_rnoise=0, minimum_max2d_rnoise=0), aux=None)
    assert_pixels_obey_the_limits(stack, masks)


def test_the_diagram_is_that_of_the_boundary(stack):
    masks = stack.detect("mmcosmic", aux=None)
    first = masks.decision.diagram
    other = stack.mm_diagram(n_simulations=1, seed=5)
    assert stack.plot.mask_view(masks=masks).diagram is first is not other
    # the latest of diagram, boundary and masks counts
    assert stack.in_diagram() == (other, None, None)
    boundary = stack.fit_boundary()
    assert stack.in_diagram() == (other, boundary, None)
    assert stack.in_diagram(masks=masks)[:2] == (first, masks.decision.boundary)
    again = stack.detect("mmcosmic", aux=None)
    assert again.decision.boundary is boundary
    assert stack.in_diagram() == (other, boundary, again.decision.threshold)


def test_nothing_is_drawn_that_did_not_decide(stack, tmp_path):
    alone = stack.detect(aux="pycosmic", boundary=None)
    view = stack.plot.mask_view("CRMASK1", masks=alone)
    assert view.boundary is view.threshold is None
    masks = stack.detect(aux="pycosmic")
    assert stack.plot.mask_view("MEANCR").boundary is None
    masks.write(tmp_path / "masks.fits")
    again = MaskSet.read(tmp_path / "masks.fits")
    assert again.decision is None
    assert not {"boundary", "threshold"} & lines_of(stack.plot.mask("MEDIANCR", masks=again).axes[0])
    pages = stack.plot.hits("MEDIANCR", masks=again)
    assert pages.view.boundary is pages.view.diagram is None


def test_a_mask_set_is_not_changed_after_it_is_built(stack):
    masks = stack.detect(aux=["pycosmic", "lacosmic"], rules=MaskRules(dilation=1))
    assert set(masks.found_by) == set(masks.steps) == set(masks)
    before = {name: codes.copy() for name, codes in masks.codes.items()}
    stack.detect("joint", aux="pycosmic")
    stack.detect("mmcosmic", aux=None)
    for name, codes in before.items():
        np.testing.assert_array_equal(masks.codes[name], codes)


# figures and pyplot


def test_figures_belong_to_pyplot_where_it_is_in_use(stack, monkeypatch):
    stack.detect("mmcosmic", aux=None)
    figure = stack.plot.mask()
    assert plt.fignum_exists(figure.number)
    plt.close(figure)
    given = Figure()
    assert stack.plot.mask(fig=given) is given
    monkeypatch.delitem(__import__("sys").modules, "matplotlib.pyplot")
    for figure in (stack.plot.mask(), stack.plot.diagram(), stack.plot.median_position()):
        assert not hasattr(figure, "number")


def test_the_observed_diagram_in_given_axes(stack):
    stack.detect("mmcosmic", aux=None)
    figure, axes = plt.subplots()
    try:
        assert stack.plot.diagram(ax=axes) is figure
        assert {"boundary", "threshold"} <= lines_of(axes)
        assert len(figure.axes) == 2  # with the bar of colours
    finally:
        plt.close(figure)
