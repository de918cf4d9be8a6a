"""Medians and minima of clean values, without the bias of their order."""

import astropy.units as u
import numpy as np
import pytest
from support.combining import combiner_of, joint_masks, planes

from crstack import CRStack, MaskSet
from crstack.combine import order_mean, order_variance

# the combinations come after the joint decision
pytestmark = pytest.mark.usefixtures("quick_joint")


@pytest.mark.parametrize(("n_valid", "n_clean"), [(3, 3), (3, 2), (3, 1), (4, 4), (4, 2), (5, 3), (7, 5)])
def test_order_variances_equal_simulation(n_valid, n_clean):
    rng = np.random.default_rng(n_valid * 10 + n_clean)
    clean = np.sort(rng.normal(size=(n_clean, 200_000)), axis=0)
    # hits: independent values of unit variance above all others
    values = np.concatenate([clean, rng.normal(1e3, 1, (n_valid - n_clean, 200_000))])
    middle = ((n_valid - 1) // 2, n_valid // 2)
    for lowest, highest in (middle, (0, max(n_valid - 2, 1) - 1)):
        if lowest <= n_clean - 1 < highest or lowest >= n_clean:
            continue  # a mean of clean and hit values
        simulated = values[lowest : highest + 1].mean(axis=0).var()
        assert order_variance(n_valid, n_clean, lowest, highest) == pytest.approx(simulated, rel=0.015)


# whole exposures are hit, without the noise of hits
@pytest.mark.filterwarnings("ignore:the exposures scatter", "ignore:exposure . scatters less than its level allows")
@pytest.mark.parametrize(("n", "k", "hit"), [(3, 2, ()), (3, 2, (0,)), (5, 2, (0, 1, 2)), (5, 4, (1,)), (7, 3, (2, 4))])
def test_minimum_without_selection_bias(n, k, hit):
    """The replacement of the median has no bias, for false masks and for known hits."""
    rng = np.random.default_rng(n + k)
    shape = (120, 130)
    cube = rng.normal(1000, np.sqrt(1000), (n, *shape))
    for i in hit:
        cube[i] += 4000
    names = ["MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR"]
    codes = {name: np.zeros(shape, np.uint8) for name in names}
    codes["MEDIANCR"][:] = codes["MEANCRT"][:] = 2
    for i in hit:
        codes[f"CRMASK{i + 1}"][:] = 2
    stack = CRStack([plane * u.electron for plane in cube], readnoise=0.1 * u.electron, cr_coincidences=k)
    plain = stack.combine("mediancr", masks=MaskSet(codes))
    ccd = stack.combine("mediancr", masks=MaskSet(codes), unbiased=True)
    error = np.sqrt(1000 / ccd.data.size)
    assert abs(ccd.data.mean() - 1000) < 4 * error
    assert abs(plain.data.mean() - 1000) > 20 * error or len(hit) == n - 1
    pull = (ccd.data - 1000) / np.sqrt(ccd.uncertainty.array)
    assert pull.std() == pytest.approx(1, abs=0.03)
    # it is the default for joint decisions
    joint = MaskSet(codes, probability=np.array([codes[f"CRMASK{i + 1}"] > 0 for i in range(n)], np.float16))
    np.testing.assert_array_equal(stack.combine("mediancr", masks=joint).data, ccd.data)


def test_medians_beside_hits_are_of_the_clean_values():
    ccds = planes()
    ccds[1].data[3, 3] += 500
    masks = joint_masks({(3, 3): (0, 1, 0)})
    made = combiner_of(ccds, masks).combine("mediancr")
    assert made.ccd.data[3, 3] == pytest.approx((ccds[0].data[3, 3] + ccds[2].data[3, 3]) / 2)
    assert made.count[3, 3] == 2
    plain = combiner_of(ccds, masks, unbiased=False).combine("mediancr")
    assert plain.ccd.data[3, 3] == pytest.approx(max(ccds[0].data[3, 3], ccds[2].data[3, 3]))
    np.testing.assert_array_equal(combiner_of(ccds, masks).combine("median").ccd.data, plain.ccd.data)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_order_means_equal_simulation(n):
    values = np.sort(np.random.default_rng(n).normal(size=(n, 200_000)), axis=0)
    for lowest, highest in ((0, 0), (0, n // 2), ((n - 1) // 2, n // 2)):
        assert order_mean(n, lowest, highest) == pytest.approx(values[lowest : highest + 1].mean(), abs=0.006)
