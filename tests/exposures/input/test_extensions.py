"""Extensions of bad values and uncertainties in files with several images: each image has its own."""

from contextlib import nullcontext

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from crstack import CRStack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import load_exposures, read_exposure
from crstack.mosaic import read_mosaic

SHAPE = (60, 70)
OPTIONS = {"readnoise": 4 * u.electron, "unit": u.electron}


def image(name, version, seed):
    return fits.ImageHDU(np.float32(np.random.default_rng(seed).normal(100, 10.8, SHAPE)), name=name, ver=version)


def bad(number, name="DQ", version=1):
    """A plane in which the pixel (number, number) is bad."""
    plane = np.zeros(SHAPE, np.int16)
    plane[number, number] = 4
    return fits.ImageHDU(plane, name=name, ver=version)


def files(folder, extensions):
    """Two files with the extensions that ``extensions(seed)`` gives."""
    paths = [folder / f"{i}.fits" for i in range(2)]
    for i, path in enumerate(paths):
        fits.HDUList([fits.PrimaryHDU(), *extensions(10 * i)]).writeto(path)
    return paths


def places_of_bad(exposures):
    return [tuple(int(one) for one in place) for place in np.argwhere(exposures.bad[0])]


def two_chips(seed, plane="DQ", versions=(1, 2), names=("SCI", "SCI")):
    """As of the Hubble Space Telescope: SCI, DQ, SCI, DQ."""
    first = [image(names[0], 1, seed), bad(11, plane, versions[0])]
    return [*first, image(names[1], 2 if names[0] == names[1] else 1, seed + 1), bad(22, plane, versions[1])]


@pytest.mark.parametrize("ext", [1, "SCI", 3])
@pytest.mark.parametrize("plane", ["DQ", "MASK"])
def test_a_plane_has_the_version_of_its_image(tmp_path, ext, plane):
    """The second chip had the bad pixels of the first one."""
    paths = files(tmp_path, lambda seed: two_chips(seed, plane))
    own = {} if plane == "MASK" else {"dq_ext": plane}
    with pytest.warns(CRStackWarning, match="names 2 images") if ext == "SCI" else nullcontext():
        exposures = load_exposures(paths, ext=ext, **own, **OPTIONS)
    assert places_of_bad(exposures) == ([(22, 22)] if ext == 3 else [(11, 11)])


def test_without_versions_a_plane_follows_its_image(tmp_path):
    paths = files(tmp_path, lambda seed: two_chips(seed, versions=(1, 1), names=("CHIP1", "CHIP2")))
    for ext, place in (("CHIP1", 11), ("CHIP2", 22)):
        assert places_of_bad(load_exposures(paths, ext=ext, dq_ext="DQ", **OPTIONS)) == [(place, place)]


def test_each_chip_of_a_mosaic_has_its_own_planes(tmp_path):
    paths = files(tmp_path, two_chips)
    mosaic = read_mosaic(paths, dq_ext="DQ", **OPTIONS)
    assert [places_of_bad(stack.exposures) for stack in mosaic.values()] == [[(11, 11)], [(22, 22)]]
    with pytest.raises(InputError, match=r"dq_ext must be a name for several chips, .*; got the number 2"):
        read_mosaic(paths, dq_ext=2, **OPTIONS)


def test_uncertainties_have_the_version_of_their_image(tmp_path):
    def extensions(seed):
        errors = [fits.ImageHDU(np.full(SHAPE, 8 + 2 * k, np.float32), name="ERR", ver=k) for k in (1, 2)]
        return [image("SCI", 1, seed), errors[0], image("SCI", 2, seed + 1), errors[1]]

    exposures = load_exposures(files(tmp_path, extensions), ext=3, err_ext="ERR", **OPTIONS)
    np.testing.assert_allclose(exposures.variances[0], 144)


def test_the_mask_of_another_chip_is_not_read(tmp_path):
    """Copies with the mask of the first chip, as `write_exposures` makes them, masked the second chip as well."""

    def extensions(seed):
        return [image("SCI", 1, seed), image("SCI", 2, seed + 1), bad(11, "MASK")]

    paths = files(tmp_path, extensions)
    assert places_of_bad(load_exposures(paths, ext=1, **OPTIONS)) == [(11, 11)]
    with pytest.warns(CRStackWarning, match="MASK of .*0.fits is not used. To use it, give dq_ext='MASK'"):
        assert load_exposures(paths, ext=2, **OPTIONS).bad is None
    assert places_of_bad(load_exposures(paths, ext=2, dq_ext="MASK", **OPTIONS)) == [(11, 11)]


def test_a_plane_of_no_image(tmp_path):
    def extensions(seed):
        return [bad(11), bad(22, version=2), image("RAW", 1, seed)]

    with pytest.raises(InputError, match=r"dq_ext must be a number, because extensions 1, 2 .* image in extension 3"):
        load_exposures(files(tmp_path, extensions), ext="RAW", dq_ext="DQ", **OPTIONS)


@pytest.mark.parametrize("mem_limit", [None, "1TB"])
def test_the_only_image_of_each_file_is_found(tmp_path, mem_limit):
    """In the files of fpack, the image is the first extension. Beside them a plain file may lie."""
    planes = [np.random.default_rng(i).normal(100, 10.8, SHAPE).astype(np.float32) for i in range(3)]
    paths = [tmp_path / f"{i}.fits" for i in range(3)]
    packed = fits.CompImageHDU(planes[1], compression_type="GZIP_2", quantize_level=0)
    fits.PrimaryHDU(planes[0]).writeto(paths[0])
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(paths[1])
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(), fits.ImageHDU(planes[2], name="SCI")]).writeto(paths[2])
    stack = CRStack(paths, mem_limit=mem_limit, **OPTIONS)
    np.testing.assert_allclose(stack.prepared.exposures.data, planes, rtol=1e-6)
    np.testing.assert_array_equal(read_exposure(paths[1], unit="electron").data, stack.prepared.exposures.data[1])
    with pytest.raises(InputError, match="must hold a 2-D image; got no image"):
        load_exposures(paths, ext=0, **OPTIONS)
