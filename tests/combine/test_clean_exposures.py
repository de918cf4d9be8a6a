"""Exposures with their hits replaced."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, VarianceUncertainty
from support.stacks import stack_of

from crstack import CRStack, JointPosterior
from crstack.datasets import make_stack
from crstack.files.history import history_of

pytestmark = pytest.mark.usefixtures("quick_joint")

GAIN = 2.0 * u.electron / u.adu


@pytest.mark.parametrize("method", ["mmcosmic", "joint"])
def test_hits_are_replaced_by_what_is_expected(method):
    simulated = make_stack("slit", (120, 140), gain=GAIN, readnoise=4 * u.electron, hit_rate=0.03, seed=41)
    stack = stack_of(simulated)
    masks = stack.detect(method, aux=None)
    truth = simulated.expected.mean(axis=0)
    pulls = []
    for i, ccd in enumerate(stack.clean(masks=masks)):
        hit = masks[f"CRMASK{i + 1}"]
        np.testing.assert_array_equal(ccd.mask, hit)
        np.testing.assert_array_equal(ccd.data[~hit], stack.exposures.data[i][~hit])
        assert ccd.data.dtype == np.float32
        assert isinstance(ccd.uncertainty, VarianceUncertainty)
        assert ccd.unit == u.adu
        assert ccd.header["CRSOURCE"] == f"exposure {i + 1}"
        pull = (ccd.data - truth) / np.sqrt(ccd.uncertainty.array)
        # a replaced value has a lower variance than a value of the exposure; a kept one has the same
        assert pull[~hit].std() == pytest.approx(1, abs=0.05)
        pulls.append(pull[hit & ~masks.problematic])
    pulls = np.concatenate(pulls)
    assert len(pulls) > 300
    assert np.abs(np.median(pulls)) < 0.2
    assert np.percentile(np.abs(pulls), 68) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("method", ["mmcosmic", "joint"])
def test_replaced_values_have_the_level_of_their_exposure(method):
    factors = (0.8, 1.0, 1.25)
    simulated = make_stack(
        "slit", (100, 120), gain=GAIN, readnoise=4 * u.electron, hit_rate=0.03, seed=42, flux_factors=factors
    )
    stack = stack_of(simulated, flux_factors=list(factors))
    masks = stack.detect(JointPosterior(measure=False) if method == "joint" else method, aux=None)
    bright = simulated.expected.mean(axis=0) > 150
    n_replaced = 0
    for i, ccd in enumerate(stack.clean(masks=masks)):
        where = ccd.mask & bright & ~masks.problematic
        n_replaced += where.sum()
        if where.sum() > 10:
            # the level of the other exposures would be 20 % off
            assert np.median(ccd.data[where] / simulated.expected[i][where]) == pytest.approx(1, abs=0.04)
    assert n_replaced > 40


FACTORS = (0.5, 1.0, 1.5)
#: a response along the rows whose mean is 1
MAPS = tuple(np.linspace(1 - slope, 1 + slope, 120) * np.ones((100, 1)) for slope in (-0.02, 0.0, 0.02))


@pytest.mark.filterwarnings("ignore:exposure times differ")
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("mmcosmic", {}),
        ("joint", {}),
        ("joint", {"flux_factors": FACTORS}),
        ("joint", {"flux_factors": FACTORS, "apply_flux_factors_to": "original"}),
        ("joint", {"response": MAPS}),
    ],
)
def test_divided_exposures_come_back_to_the_level_of_the_input(method, options):
    """Exposures of 300, 600 and 900 s keep their levels, whether or not they are divided for the comparison."""
    simulated = make_stack(
        "slit", (100, 120), gain=GAIN, readnoise=4 * u.electron, hit_rate=0.03, seed=45, flux_factors=FACTORS
    )
    for ccd, factor in zip(simulated.exposures, FACTORS, strict=True):
        ccd.header["EXPTIME"] = 600 * factor
    stack = stack_of(simulated, **options)
    masks = stack.detect(JointPosterior(measure=False) if method == "joint" else method, aux=None)
    bright, pulls = simulated.expected.mean(axis=0) > 150, []
    for i, (ccd, given) in enumerate(zip(stack.clean(masks=masks), simulated.exposures, strict=True)):
        assert (ccd.unit, ccd.header["EXPTIME"]) == (u.adu, 600 * FACTORS[i])
        bias = 0 if simulated.bias is None else simulated.bias.value
        np.testing.assert_allclose(ccd.data[~ccd.mask], given.data[~ccd.mask] - bias, rtol=2e-6, atol=1e-4)
        pull = (ccd.data - simulated.expected[i]) / np.sqrt(ccd.uncertainty.array)
        # a missed hit is no error of the level or of the variance
        assert pull[~ccd.mask & (simulated.hits[i] == 0)].std() == pytest.approx(1, abs=0.05)
        where = ccd.mask & bright & ~masks.problematic
        if where.sum() > 10 and "response" not in options:
            assert np.median(ccd.data[where] / simulated.expected[i][where]) == pytest.approx(1, abs=0.04)
        if "flux_factors" not in options and "response" not in options:
            pulls.append(pull[ccd.mask & ~masks.problematic])
    if pulls:
        assert np.percentile(np.abs(np.concatenate(pulls)), 68) == pytest.approx(1, abs=0.2)


def test_bad_values_are_replaced():
    rng = np.random.default_rng(3)
    ccds = [CCDData(rng.normal(50, 3, (20, 24)), unit=u.electron, mask=np.zeros((20, 24), bool)) for _ in range(3)]
    ccds[0].mask[4, 5] = True
    for ccd in ccds:
        ccd.mask[9, 9] = True
    stack = CRStack(ccds, readnoise=3 * u.electron)
    masks = stack.detect("mmcosmic", aux=None)
    first = stack.clean(masks=masks)[0]
    assert first.mask[4, 5]
    assert first.data[4, 5] == pytest.approx(np.mean([ccd.data[4, 5] for ccd in ccds[1:]]), rel=1e-6)
    assert first.mask[9, 9]
    assert np.isnan(first.data[9, 9])
    assert first.uncertainty.array[4, 5] < first.uncertainty.array[5, 5]


def test_what_the_joint_decision_has_measured_counts():
    """Without given factors the decision measures them, and hits are replaced at the level of their exposure."""
    simulated = make_stack(
        "slit", (150, 180), gain=GAIN, readnoise=4 * u.electron, hit_rate=0.03, seed=42, flux_factors=(0.8, 1.0, 1.25)
    )
    stack = stack_of(simulated)
    masks = stack.detect("joint")
    bright = simulated.expected.mean(axis=0) > 150
    ratios = []
    for i, ccd in enumerate(stack.clean(masks=masks)):
        where = ccd.mask & bright & ~masks.problematic
        if where.sum() > 10:
            ratios.append(np.median(ccd.data[where] / simulated.expected[i][where]))
    assert len(ratios) > 1
    # the level of the other exposures would be 20 % off
    np.testing.assert_allclose(ratios, 1, atol=0.04)


@pytest.mark.filterwarnings("ignore:the WCS of the headers gives other shifts")
def test_each_exposure_keeps_its_own_header(tmp_path):
    rng = np.random.default_rng(5)
    paths = []
    for i in range(3):
        header = fits.Header(
            {"EXPTIME": 300.0 + i / 10, "ROTANG": float(i), "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
        )
        header["CRVAL1"], header["CRVAL2"], header["CD1_1"], header["CD2_2"] = 10.0 + i * 1e-4, 5.0, 1e-4, 1e-4
        paths.append(tmp_path / f"n{i}.fits")
        fits.PrimaryHDU(rng.normal(50, 3, (20, 24)).astype(np.float32), header).writeto(paths[-1])
    stack = CRStack(paths, unit=u.electron, readnoise=3 * u.electron)
    masks = stack.detect("mmcosmic", aux=None)
    for i, ccd in enumerate(stack.clean(masks=masks)):
        assert (ccd.header["EXPTIME"], ccd.header["ROTANG"]) == (300.0 + i / 10, float(i))
        assert ccd.wcs.wcs.crval[0] == 10.0 + i * 1e-4
        assert ccd.header["CRSOURCE"] == f"n{i}.fits"
        n = masks[f"CRMASK{i + 1}"].sum()
        words = f"{n} hit and 0 bad values of exposure {i + 1} replaced"
        assert any(words in line for line in history_of(ccd.header))
    assert "HISTORY" not in stack.exposures.own_headers[0]
    turned = stack.exposures.reordered([2, 0])
    assert [one["ROTANG"] for one in turned.own_headers] == [2.0, 0.0]
    assert turned.own_wcs[0].wcs.crval[0] == 10.0 + 2e-4
