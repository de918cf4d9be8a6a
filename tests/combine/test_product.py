"""Unit, header and HISTORY of a combined image."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData

from crstack import CRStack
from crstack.exceptions import CRStackWarning

SHAPE = (40, 50)


def ccds(unit="electron", factor=1.0, times=(300.0, 310.0, 320.0)):
    rng = np.random.default_rng(3)
    return [
        CCDData((rng.poisson(100, SHAPE) + rng.normal(0, 4, SHAPE)) / factor, unit=unit, meta={"EXPTIME": time})
        for time in times
    ]


@pytest.mark.filterwarnings("ignore:exposure times differ")
def test_the_header_counts_exposures_and_times():
    stack = CRStack(ccds(), readnoise=4 * u.electron)
    header = stack.combine("mean").header
    assert (header["NCOMBINE"], header["EXPTIME"], header["EXPTOTAL"]) == (3, 310, 930)
    assert stack.exposures.header["EXPTIME"] == 300  # the value of the exposure stays
    history = list(header["HISTORY"])
    assert history[0].startswith("crstack ")
    assert history[0].endswith(": mean of 3 exposures")
    assert history[1:4] == ["exposure 1: exposure 1", "exposure 2: exposure 2", "exposure 3: exposure 3"]


def test_the_history_of_the_masks_is_there():
    stack = CRStack(ccds(times=(300,) * 3), readnoise=4 * u.electron)
    masks = stack.detect(aux="lacosmic", boundary=None)
    assert masks.history[1:4] == tuple(f"exposure {number}: exposure {number}" for number in (1, 2, 3))
    history = "".join(stack.combine("meancr").header["HISTORY"])
    assert f"masks UUID: {masks.uuid}" in history
    assert "auxiliary detector: LACosmicDetector" in history
    assert history.count("exposure 1: exposure 1") == 1


def test_without_exposure_times_there_are_none():
    images = ccds()
    del images[1].header["EXPTIME"]
    with pytest.warns(CRStackWarning, match="exposure 2 has none: exposure times are not used"):
        stack = CRStack(images, readnoise=4 * u.electron)
    header = stack.combine("mean").header
    assert "EXPTOTAL" not in header
    assert header["EXPTIME"] == 300


def test_rates_come_back_as_rates():
    counts = CRStack(ccds(times=(250,) * 3), readnoise=4 * u.electron)
    rates = CRStack(ccds("electron/s", 250, (250,) * 3), readnoise=4 * u.electron)
    for name in ("mean", "median", "min"):
        per_second, whole = rates.combine(name), counts.combine(name)
        assert per_second.unit == u.electron / u.s
        assert per_second.uncertainty.unit == (u.electron / u.s) ** 2
        np.testing.assert_allclose(per_second.data, whole.data / 250, rtol=1e-5)
        np.testing.assert_allclose(per_second.uncertainty.array, whole.uncertainty.array / 250**2, rtol=1e-5)
    assert "rates multiplied by 250 s" in "".join(rates.combine("mean").header["HISTORY"])


def test_masks_do_not_depend_on_rates():
    images = ccds(times=(250,) * 3)
    for i, ccd in enumerate(images):
        ccd.data[5 + i, 7:9] += 5000
    per_second = [CCDData(ccd.data / 250, unit="electron/s", meta=ccd.meta) for ccd in images]
    found = [CRStack(one, readnoise=4 * u.electron).detect("joint") for one in (images, per_second)]
    np.testing.assert_array_equal(found[0].crmasks, found[1].crmasks)
    assert found[0].crmasks.any()


def test_stale_keywords_of_the_first_file_are_gone(tmp_path):
    rng = np.random.default_rng(1)
    paths = []
    for i in range(3):
        data = rng.poisson(100, SHAPE).astype("i2")
        data[5, 5] = -32768
        hdu = fits.PrimaryHDU(data)
        hdu.header.update({"BUNIT": "adu", "BLANK": -32768, "DATAMIN": -5.0, "DATAMAX": 65535.0})
        paths.append(tmp_path / f"e{i}.fits")
        hdu.writeto(paths[-1], checksum=True)
    stack = CRStack.from_files(paths, gain=1 * u.electron / u.adu, readnoise=4 * u.electron)
    header = stack.combine("mean").header
    assert not [name for name in ("CHECKSUM", "DATASUM", "BLANK", "DATAMIN", "DATAMAX", "BITPIX") if name in header]
    assert stack.combine("mean").mask[5, 5]
