"""Flags of the data quality, and masks, that mark hits which were found before."""

import logging
import re
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from scipy import ndimage

from crstack import CRStack
from crstack.datasets import make_stack
from crstack.exceptions import CRStackWarning
from crstack.exposures import load_exposures

SHAPE = (120, 160)
NOISE = {"gain": 1 * u.electron / u.adu, "readnoise": 3.4 * u.electron}
OF_HITS = "between the exposures as hits do"


def made(scene="imaging", n=3, **options):
    return make_stack(scene, shape=SHAPE, n_exposures=n, seed=4, hit_rate=0.02, **options)


def images(simulated):
    return np.array([one.data for one in simulated.exposures])


def found(simulated):
    """Pixels that another program would flag."""
    return np.asarray(simulated.hits) > 20


def files(folder, cube, quality, name="DQ"):
    paths = []
    for i, (image, bits) in enumerate(zip(cube, quality, strict=True)):
        science = fits.ImageHDU(image, fits.Header({"BUNIT": "adu"}), name="SCI")
        paths.append(folder / f"{i}.fits")
        fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(bits, name=name)]).writeto(paths[-1])
    return paths


def detector(seed=5):
    """Bad pixels of the detector."""
    return np.random.default_rng(seed).random(SHAPE) < 0.01


@pytest.mark.parametrize(
    ("name", "options", "bits", "kept"),
    [
        ("DQ", {"dq_ext": "DQ"}, 4096, 4095),
        ("DQ", {"dq_ext": 2, "bits": 4096 | 4 | 32}, 4096, 36),
        ("MASK", {}, 16, 15),
    ],
)
def test_a_bit_of_hits_is_named(tmp_path, name, options, bits, kept):
    """All hits were bad values, without a word."""
    simulated = made()
    quality = np.where(found(simulated), bits, 0).astype(np.int16) + np.where(detector(), 4, 0).astype(np.int16)
    paths = files(tmp_path, images(simulated), quality, name)
    ext = options.get("dq_ext", "MASK")
    kept = kept & ~bits if options.get("bits") is None else kept
    numbers = r"values that no other exposure flags are \d{3} in 0.fits, \d{3} in 1.fits, \d{3} in 2.fits"
    remedy = rf"dq_ext={ext!r}, bits=(\d+) \(command: --dq-ext {ext} --bits \d+"
    with pytest.warns(CRStackWarning, match=rf"bit {bits} .*{OF_HITS}: {numbers}.*{remedy}") as caught:
        load_exposures(paths, ext="SCI", **options, **NOISE)
    bits_to_give = int(re.search(remedy, str(caught[0].message)).group(1))
    exposures = load_exposures(paths, ext="SCI", dq_ext=ext, bits=bits_to_give, **NOISE)
    assert exposures.bad.sum() == 3 * detector().sum()


def test_two_bits_of_hits_are_named_together(tmp_path):
    simulated = made(n=4)
    half = np.random.default_rng(3).random((4, *SHAPE)) < 0.5
    quality = np.where(found(simulated), np.where(half, 4096, 8192), 0) + np.where(detector(), 512, 0)
    with pytest.warns(CRStackWarning, match=r"bits 4096 and 8192 .*bits=4095 \(command"):
        load_exposures(files(tmp_path, images(simulated), quality), ext="SCI", dq_ext="DQ", **NOISE)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_mask_of_hits_is_named(replaced):
    """Programs that clean an image put the hits into its mask."""
    simulated = made()
    cube, masks = images(simulated), [ndimage.binary_dilation(one) for one in found(simulated)]
    if replaced:
        for image, mask in zip(cube, masks, strict=True):
            image[mask] = ndimage.median_filter(image, 9)[mask]
    ccds = [CCDData(one, unit="adu", mask=mask | detector()) for one, mask in zip(cube, masks, strict=True)]
    with pytest.warns(CRStackWarning, match=rf"the masks differ {OF_HITS}.* give masks without hits$"):
        load_exposures(ccds, **NOISE)


def test_a_mask_of_hits_in_a_file_can_be_passed_over(tmp_path):
    simulated = made()
    paths = files(tmp_path, images(simulated), found(simulated).astype(np.uint8), "MASK")
    remedy = r"dq_ext='MASK', bits=0 \(command: --dq-ext MASK --bits 0"
    with pytest.warns(CRStackWarning, match=rf"the masks differ {OF_HITS}.* without hits: {remedy}"):
        load_exposures(paths, ext="SCI", **NOISE)
    assert load_exposures(paths, ext="SCI", dq_ext="MASK", bits=0, **NOISE).bad is None


@pytest.mark.parametrize(("value", "lacking"), [(1, 1), (16, 0), (16, 2)])
def test_no_argument_passes_over_an_extension_that_some_files_lack(tmp_path, value, lacking):
    """A file has no mask: the advice named an extension None, or one that the file lacks."""
    simulated = made(n=4)
    paths = files(tmp_path, images(simulated), (found(simulated) * value).astype(np.uint8), "MASK")
    with fits.open(paths[lacking]) as hdus:
        fits.HDUList([hdus[0].copy(), hdus["SCI"].copy()]).writeto(paths[lacking], overwrite=True)
    advice = "give masks without hits$" if value == 1 else "set them to 0 in the extension MASK of the files"
    with pytest.warns(CRStackWarning, match=f"{OF_HITS}.*{advice}") as caught:
        load_exposures(paths, ext="SCI", **NOISE)
    assert "None" not in str(caught[0].message)


def test_hits_that_are_not_flagged_are_found(tmp_path):
    simulated = make_stack("slit", shape=SHAPE, seed=6)
    quality = np.where(found(simulated), 4096, 0).astype(np.int16)
    paths = files(tmp_path, images(simulated), quality)
    with pytest.warns(CRStackWarning, match="bit 4096"):
        lost = CRStack.from_files(paths, ext="SCI", dq_ext="DQ", **NOISE).detect()
    kept = CRStack.from_files(paths, ext="SCI", dq_ext="DQ", bits="stsci", **NOISE).detect()
    assert sum(one.sum() for one in lost.crmasks) < 0.3 * sum(one.sum() for one in kept.crmasks)


def _edges(cube):
    """Saturated cores of stars, whose edges depend on the noise."""
    return cube > np.quantile(cube, 0.99)


def _satellites(cube):
    y, x = np.indices(SHAPE)
    return np.array([np.abs(y - 0.3 * i * x - 20 * i - 10) < 3 for i in range(len(cube))])


def _moved(cube):
    """Bad pixels of the detector, of exposures that were aligned by whole pixels."""
    pixels = ndimage.binary_dilation(detector(), np.ones((2, 2)))
    return np.array([np.roll(pixels, (7 * i, -4 * i), (0, 1)) for i in range(len(cube))])


@pytest.mark.parametrize("as_bits", [False, True])
@pytest.mark.parametrize("flags", [_edges, _satellites, _moved])
@pytest.mark.parametrize("scene", ["imaging", "slit", "echelle"])
def test_other_flags_that_differ_are_no_hits(tmp_path, scene, flags, as_bits):
    simulated = made(scene)
    cube = images(simulated)
    flagged = flags(cube)
    if flags is not _edges:
        cube[flagged] += 800
    quality = 256 * flagged + 4 * detector() if as_bits else flagged
    paths = files(tmp_path, cube, quality.astype(np.int32))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_exposures(paths, ext="SCI", dq_ext="DQ", **NOISE)
    assert not [one for one in caught if OF_HITS in str(one.message)]


def test_the_extension_of_bad_values_is_in_the_log(tmp_path, caplog):
    simulated = made()
    quality = np.broadcast_to(detector(), (3, *SHAPE)).astype(np.uint8)
    paths = files(tmp_path, images(simulated), quality, "MASK")
    with caplog.at_level(logging.INFO, "crstack"):
        load_exposures(paths, ext="SCI", **NOISE)
    assert "bad values are read from the extension MASK of 3 exposures" in caplog.text
