"""Unsigned integers of 16 bits that are read as signed ones."""

import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty

from crstack import CRStack
from crstack.exceptions import CRStackWarning

SHAPE, READNOISE, BIAS = (300, 350), 3.4, 100


def counts(sky, seed=11):
    """Three exposures with a trace and hits, as unsigned integers."""
    rng = np.random.default_rng(seed)
    trace = 3000 * np.exp(-(((np.arange(SHAPE[0]) - 150) / 8) ** 2))
    images = []
    for _ in range(3):
        image = rng.poisson(sky + trace[:, None], SHAPE) + rng.normal(BIAS, READNOISE, SHAPE)
        image[tuple(rng.integers(0, SHAPE[0], (2, 400)))] += rng.exponential(500, 400)
        images.append(np.clip(np.rint(image), 0, 65535).astype(np.uint16))
    return images


def warned(images, directory, bias, header=()):
    paths = [directory / f"{number}.fits" for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        fits.writeto(path, image, fits.Header([("BUNIT", "adu"), *header]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CRStackWarning)
        CRStack.from_files(paths, gain=1 * u.electron / u.adu, readnoise=READNOISE * u.electron, bias=bias * u.adu)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("bias", [0, BIAS])
@pytest.mark.parametrize("sky", [300, 20_000, 32_600, 50_000])
def test_a_lost_zero_is_the_one_cause_that_is_named(tmp_path, bias, sky):
    lost = [(image.astype(np.int32) - 32768).astype(np.int16) for image in counts(sky)]
    words = warned(lost, tmp_path, bias)
    if sky == 50_000:  # the level is that of another sky, and the noise does not fit
        assert not any("BZERO" in one for one in words)
        return
    (word,) = words
    assert "was BZERO = 32768 lost from the header?" in word
    assert "lower bias= (command --bias) by 32768" in word


def test_the_remedies_hold(tmp_path):
    lost = [(image.astype(np.int32) - 32768).astype(np.int16) for image in counts(300)]
    (tmp_path / "lower").mkdir()
    assert warned(lost, tmp_path / "lower", BIAS - 32768) == []
    assert warned(counts(300), tmp_path, BIAS) == []  # astropy writes BZERO


@pytest.mark.parametrize("bias", [0, BIAS])
def test_values_that_jump_between_the_ends_are_named(tmp_path, bias):
    words = warned([image.view(np.int16) for image in counts(32_600)], tmp_path, bias)
    assert words[0].startswith("values jump from 32767 to -32768 between neighbouring pixels of 0.fits, 1.fits, 2.fits")
    assert "Add 65536 to the negative values" in words[0]
    assert not any("scatter by" in one for one in words)


def test_other_negative_values_have_another_cause(tmp_path):
    """A bias that is far too high, a sky that was subtracted, and a value for no data."""
    images = [image.astype(np.float32) for image in counts(300)]
    (word,) = warned(images, tmp_path, 20_000)
    assert "the bias is too high, or it was subtracted before" in word
    images = [image - np.float32(400) for image in images]
    for image in images:
        image[20:30, 20:60] = -9999
    for part in (image[100:, 100:] for image in images):
        part[::40, ::40] = -32768
    (tmp_path / "sky").mkdir()
    words = warned(images, tmp_path / "sky", 0)
    assert words
    assert not any("BZERO" in one or "jump" in one for one in words)


def test_a_stated_scatter_needs_no_other_cause():
    """Uncertainties, or a read noise, that explain the scatter of a level near 0."""
    rng = np.random.default_rng(4)
    images = [np.rint(rng.normal(0, 182, SHAPE)).astype(np.float32) for _ in range(3)]
    given = [CCDData(image, unit=u.adu, uncertainty=StdDevUncertainty(np.full(SHAPE, 182.0))) for image in images]
    numbers = {"gain": 1 * u.electron / u.adu, "readnoise": 5 * u.electron}
    assert len(CRStack(given, **numbers)) == 3
    numbers["readnoise"] = 182 * u.electron
    assert len(CRStack(images, unit=u.adu, **numbers)) == 3
    with pytest.warns(CRStackWarning, match="BZERO"):
        CRStack(images, unit=u.adu, **numbers | {"readnoise": 5 * u.electron})
