"""What terms that are measured one by one do to masks and combinations, and wrong settings."""

import warnings
from functools import cache

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData, VarianceUncertainty
from scipy import ndimage
from support.equalization import SHIFTS, loaded, masks_of, simulate
from support.stacks import stack_of

from crstack import CRStack
from crstack.equalize import (
    Equalization,
    ResponseSettings,
)
from crstack.exceptions import ImplausibleResultWarning, InputError


def masks_without(simulated):
    """Masks where no difference is measured: stars and lines may be flagged, which a warning states."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImplausibleResultWarning)
        warnings.filterwarnings("ignore", "flagged groups are smooth .* Neither given nor measured: throughput, shift")
        return masks_of(simulated)[1]


def figures(simulated, masks):
    """Completeness of the exposures' masks, and false positives in MEDIANCR."""
    near = ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    strong = simulated.hit_mask(10)
    found = sum((masks[f"CRMASK{i + 1}"] & strong[i]).sum() for i in range(len(strong)))
    return found / strong.sum(), int((masks["MEDIANCR"] & ~near).sum())


SMALL = (200, 230)
DEFECTS = {
    "none": {},
    "flux": {"flux_factors": (0.8, 1.0, 1.2)},
    "offsets": {"offsets": SHIFTS},
    "response": {"response_jitter": 0.08},
}
CASES = {
    "flux, simulated": ("flux", {"flux_factors": "auto"}),
    "flux, original": ("flux", {"flux_factors": "auto", "apply_flux_factors_to": "original"}),
    "offsets": ("offsets", {"crosscorr_region": (1, 230, 1, 200)}),
    "response": ("response", {"response": "auto"}),
}


@cache
def figures_without(scene, defect):
    """The figures where no difference is measured."""
    simulated = simulate(scene, shape=SMALL, **DEFECTS[defect])
    return figures(simulated, masks_without(simulated))


@pytest.mark.filterwarnings("ignore:bright pixels of the exposures differ")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("scene", ["ifu", "slit"])
def test_false_positives_go_and_hits_stay(scene, case):
    defect, options = CASES[case]
    reference, _ = figures_without(scene, "none")
    _, without = figures_without(scene, defect)
    simulated = simulate(scene, shape=SMALL, **DEFECTS[defect])
    completeness, false = figures(simulated, masks_of(simulated, **options)[1])
    assert completeness > reference - 0.03
    assert without > 50
    assert false < without / 5


def test_original_puts_all_combinations_on_one_level(tmp_path):
    factors = (0.8, 1.0, 1.2)
    simulated = simulate("slit", flux_factors=factors)
    level = simulated.expected[1]
    stack, masks = masks_of(simulated, flux_factors=factors, apply_flux_factors_to="original")
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    for name in ("mean", "meancr2", "median"):
        ccd = stack.combine(name)
        pull = ((ccd.data - level) / np.sqrt(ccd.uncertainty.array))[clean]
        assert np.mean(pull) == pytest.approx(0, abs=0.06), name
        assert np.std(pull) == pytest.approx(1, abs=0.05), name
    # where one exposure is hit the mean of the others is on the level too
    one = (simulated.hit_mask(10).sum(axis=0) == 1) & (masks.crmasks.sum(axis=0) == 1)
    ccd = stack.combine("meancr2")
    pull = ((ccd.data - level) / np.sqrt(ccd.uncertainty.array))[one]
    assert np.mean(pull) == pytest.approx(0, abs=0.15)
    assert np.std(pull) == pytest.approx(1, abs=0.15)
    hdus = masks.to_hdulist()
    assert [hdus[0].header[f"FLUXF{i}"] for i in (1, 2, 3)] == list(factors)
    masks.write(tmp_path / "crmasks.fits")
    assert type(masks).read(tmp_path / "crmasks.fits").flux_factors == factors
    assert any("flux factors, given: 0.8, 1, 1.2" in line for line in masks.history)


def test_simulated_leaves_the_data_untouched():
    simulated = simulate(flux_factors=(0.8, 1.0, 1.2), offsets=SHIFTS)
    stack = stack_of(simulated, flux_factors="auto", offsets=SHIFTS)
    plain = stack_of(simulated)
    np.testing.assert_array_equal(stack.combine("mean").data, plain.combine("mean").data)
    assert stack.mm_diagram(n_simulations=1).y_edges[-1] > 0
    assert stack.equalized.levelled is not stack.equalized.exposures


def test_response_and_offsets_together():
    simulated = simulate("slit", response_jitter=0.05, offsets=SHIFTS)
    _, without = figures(simulated, masks_without(simulated))
    _, one = figures(simulated, masks_of(simulated, offsets=SHIFTS)[1])
    stack, masks = masks_of(simulated, offsets="auto", response="auto")
    np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    completeness, false = figures(simulated, masks)
    assert false < one < without / 5
    assert completeness > 0.97
    # the response is that of the detector, whatever the scene is shifted by
    still = simulate("slit", response_jitter=0.05)
    true = still.expected / np.median(still.expected, axis=0)
    bright = still.expected.mean(axis=0) > 100
    assert np.std((stack.equalized.response.maps / true - 1)[:, bright]) < 0.6 * np.std((true - 1)[:, bright])


def test_divided_exposures_keep_their_noise_in_electrons():
    simulated = simulate(with_uncertainty=True)
    exposures = loaded(simulated)[0]
    divided = exposures.divided_by((0.5, 1.0, 2.0))
    for i, scale in enumerate((0.5, 1.0, 2.0)):
        np.testing.assert_allclose(divided.data[i] * scale, exposures.data[i], rtol=1e-6)
        signal = np.full(exposures.shape, 50.0)
        np.testing.assert_allclose(
            divided.noise_of(i).variance(signal) * scale**2, exposures.noise_of(i).variance(signal), rtol=1e-5
        )
    model = exposures.noise.divided_by(2.0)
    # half the signal of twice the photons
    assert model.variance(50.0) == pytest.approx(exposures.noise.variance(100.0) / 4)
    assert not model.cutout(slice(0, 2)).divided_by(np.ones((2, 2))).is_uniform


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flux_factors": (1.0, 2.0)}, "flux_factors must be one number or 3, one for each exposure; got 2"),
        ({"flux_factors": (1.0, 0.0, 1.0)}, "flux_factors must be a number at least 0.001 and at most 1000; got 0"),
        ({"flux_factors": -1.0}, "flux_factors must be a number greater than 0; got -1"),
        (
            {"flux_factors": "measure"},
            "flux_factors must be .auto., None, one number, or .*; got 'measure'",
        ),
        ({"flux_regions": [(1, 9, 1)]}, "flux_regions 1 must be four integers"),
        ({"flux_regions": [(1, 900, 1, 9)]}, "flux_regions 1 must lie inside the image of 180 x 150 pixels"),
        ({"flux_method": "mean"}, "flux_method must be one of ratio, slope; got 'mean'"),
        ({"apply_flux_factors_to": "both"}, "apply_flux_factors_to must be one of simulated, original; got 'both'"),
        ({"offsets": SHIFTS[:2]}, r"offsets must be 3 pairs \(dx, dy\), one for each exposure; got 2"),
        ({"offsets": 0.5}, r"offsets must be pairs \(dx, dy\), one for each exposure; got 0.5"),
        ({"offsets": [(0, 0, 0)] * 3}, r"offsets must be pairs \(dx, dy\), one for each exposure; got \[\(0, 0, 0\)"),
        ({"offsets": [(0, np.nan)] * 3}, "offsets must be a finite number; got nan"),
        ({"offsets": "measure"}, "offsets must be .auto., None, or a pair .*; got 'measure'"),
        (
            {"offsets": SHIFTS, "crosscorr_region": (1, 50, 1, 50)},
            r"offsets must be .auto. where crosscorr_region is given, because it measures them; got \(\(",
        ),
        ({"crosscorr_region": (1, 10, 1, 50)}, "crosscorr_region must be 16 pixels or more on each side"),
        ({"crosscorr_region": (1, 500, 1, 50)}, "crosscorr_region must lie inside the image"),
        ({"response": "on"}, "response must be .auto., None, or a number or image .*; got 'on'"),
        ({"response": 3}, 'response must be "auto", None, or a number or image for each exposure; got int'),
        ({"response": [1, 0, 1]}, "response must be positive everywhere"),
        ({"response": [1, 1]}, "response must be 3, one for each exposure; got 2"),
        ({"response": [np.ones((3, 4))] * 3}, r"response must be images of shape \(150, 180\); got \(3, 4\)"),
        ({"response": [1, 1, np.nan]}, "response must be finite numbers or images"),
        ({"backgrounds": 4.0}, 'backgrounds must be "auto", None, or a number or image for each exposure; got float'),
        ({"backgrounds": "sky"}, "backgrounds must be .auto., None, or a number or image .*; got 'sky'"),
        ({"backgrounds": [1, 2]}, "backgrounds must be 3, one for each exposure; got 2"),
        ({"backgrounds": [1, 2, "a"]}, "backgrounds must be finite numbers or images"),
        ({"backgrounds": [1, 2, 3] * u.s}, "backgrounds must be in the unit of the exposures, adu; got s"),
        ({"seeing": 2.5}, 'seeing must be "auto", None, or a width in pixels for each exposure; got 2.5'),
        ({"seeing": [2.5, 3.0]}, "seeing must be 3 widths, one for each exposure; got 2"),
        ({"seeing": [2.5, 3.0, 0.0]}, "seeing must be a number at least 0.5"),
        ({"differences": "all"}, "differences must be .auto. or None; got 'all'"),
        # contradictions
        (
            {"flux_factors": 1.0, "flux_regions": [(1, 9, 1, 9)]},
            "flux_factors must be .auto. where flux_regions",
        ),
        ({"flux_factors": None, "flux_method": "ratio"}, "flux_factors must be .auto. where flux_method is given"),
        ({"flux_factors": None, "apply_flux_factors_to": "original"}, "flux_factors must not be None for apply_flux"),
        ({"offsets": None, "crosscorr_region": (1, 50, 1, 50)}, "offsets must be .auto. where crosscorr_region"),
        ({"differences": None, "seeing": "auto"}, "differences must be .auto. for seeing=.auto."),
        ({"differences": None, "backgrounds": "auto"}, "differences must be .auto. for backgrounds=.auto."),
    ],
)
def test_wrong_settings(simulated, options, message):
    with pytest.raises(InputError, match=message):
        stack_of(simulated, **options)


def test_unknown_setting(simulated):
    with pytest.raises(TypeError, match="flux_factor'"):
        stack_of(simulated, flux_factor="auto")


def test_bad_pixels_stay_out_of_the_measurements():
    simulated = simulate("slit", flux_factors=(0.8, 1.0, 1.2), offsets=SHIFTS)
    exposures = []
    rng = np.random.default_rng(2)
    for ccd in simulated.exposures:
        data = ccd.data.copy()
        data[rng.random(data.shape) < 0.01] = np.nan
        exposures.append(CCDData(data, unit=u.adu))
    stack = CRStack(exposures, gain=simulated.gain, readnoise=simulated.readnoise, bias=simulated.bias,
                    flux_factors="auto", offsets="auto", differences=None)  # fmt: skip
    np.testing.assert_allclose(stack.equalized.flux.values, (0.8, 1.0, 1.2), rtol=0.005)
    np.testing.assert_allclose(stack.equalized.offsets.values, SHIFTS, atol=0.05)
    assert np.isfinite(stack.equalized.levelled.data).all()


def test_settings_are_frozen_and_coerced():
    settings = Equalization(flux_factors=np.array([1.0, 0.9, 1.1]), response="auto", differences=None)
    assert settings.flux_factors == (1.0, 0.9, 1.1)
    settings = Equalization(flux_regions=[[1, 5, 1, 5]], response="auto", differences=None)
    assert settings.flux_regions == ((1, 5, 1, 5),)
    assert settings.response == ResponseSettings()
    with pytest.raises(AttributeError):
        settings.offsets = SHIFTS


def test_uncertainties_are_divided_too():
    simulated = simulate("slit", flux_factors=(0.8, 1.0, 1.2), with_uncertainty=True)
    stack = stack_of(simulated, flux_factors="auto", apply_flux_factors_to="original")
    assert isinstance(simulated.exposures[0].uncertainty, VarianceUncertainty)
    clean = ~ndimage.binary_dilation(simulated.truth.any(axis=0), iterations=2)
    ccd = stack.combine("mean")
    pull = ((ccd.data - simulated.expected[1]) / np.sqrt(ccd.uncertainty.array))[clean]
    assert np.std(pull) == pytest.approx(1, abs=0.05)
