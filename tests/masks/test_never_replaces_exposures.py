"""Files that exposures were read from are never replaced."""

from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from crstack import CRStack, read_mosaic
from crstack.combine.files import write_combination
from crstack.exceptions import InputError


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(11)
    for i in range(3):
        image = rng.poisson(100, (30, 40)).astype(np.float32)
        image[5 + i, 7] += 2000
        hdus = fits.HDUList(
            [fits.PrimaryHDU(), fits.ImageHDU(image, name="CCD1"), fits.ImageHDU(image + 3, name="CCD2")]
        )
        hdus.writeto(tmp_path / f"e{i}.fits")
    return sorted(tmp_path.glob("e*.fits"))


NOISE = {"gain": 1 * u.electron / u.adu, "readnoise": 3 * u.electron, "unit": "adu"}


def test_masks_and_images(paths, monkeypatch):
    stack = CRStack(paths, ext=1, **NOISE)
    masks, before = stack.detect(), paths[1].read_bytes()
    made = stack.combine("meanjoint", full_output=True)
    monkeypatch.chdir(paths[0].parent)
    for write in (masks.write, lambda path: write_combination(path, made)):
        for path in (paths[1], "e1.fits"):
            with pytest.raises(InputError, match=r"must not be that of an exposure that was read; got .*e1\.fits"):
                write(path)
    assert paths[1].read_bytes() == before
    masks.write("masks.fits")
    written = Path("masks.fits").read_bytes()
    with pytest.raises(InputError, match=r"no existing file; got masks\.fits: overwrite=True"):
        masks.threshold(0.9).write("masks.fits")
    assert Path("masks.fits").read_bytes() == written
    masks.threshold(0.9).write("masks.fits", overwrite=True)
    assert Path("masks.fits").read_bytes() != written
    with pytest.raises(InputError, match=r"combination must be a Combination, .*full_output=True\); got CCDData"):
        write_combination("m.fits", made.ccd)
    for wrong in (3, "masks.fits", masks.crmasks):
        with pytest.raises(InputError, match="masks must be a MaskSet"):
            stack.combine("meancr2", masks=wrong)


def test_mosaic(paths):
    mosaic = read_mosaic(paths, ext="CCD2", **NOISE)
    assert list(mosaic) == ["CCD2"]
    assert list(read_mosaic(paths, ext=1, **NOISE)) == ["CCD1"]
    mosaic.detect()
    for write in (mosaic.write, mosaic.write_masks):
        path = paths[0].parent / f"{write.__name__}.fits"
        write(path)
        with pytest.raises(InputError, match="path must be that of no existing file"):
            write(path)
        write(path, overwrite=True)
    with pytest.raises(InputError, match="must not be that of an exposure"):
        mosaic.write(paths[0])
