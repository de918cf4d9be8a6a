"""Masks on disk, their table, and what cannot be changed."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from crstack import Code, MaskRules, MaskSet, read
from crstack.exceptions import InputError
from crstack.masks.counts import _column_of

pytestmark = pytest.mark.usefixtures("quick_joint")


def test_round_trip(stack, tmp_path):
    masks = stack.detect(aux="pycosmic", rules=MaskRules(dilation=1, force_pixels=[(3, 3)]))
    path = tmp_path / "crmasks.fits"
    masks.write(path)
    again = MaskSet.read(path)
    assert list(dict(masks)) == list(masks.keys()) == list(masks)
    assert all(np.array_equal(mask, masks[name]) for name, mask in dict(masks).items())
    assert [name for name, _ in masks.items()] == list(masks)
    assert sum(mask.sum() for mask in masks.values()) == sum(masks[name].sum() for name in masks)
    assert list(again) == list(masks) == ["MEDIANCR", "MEANCRT", "CRMASK1", "CRMASK2", "CRMASK3", "MEANCR"]
    for name in masks:
        np.testing.assert_array_equal(again.codes[name], masks.codes[name])
    np.testing.assert_array_equal(again.auxclean, masks.auxclean)
    assert again.uuid == masks.uuid
    assert any("PyCosmicDetector" in line for line in again.history)
    one = stack.combine("meancr2", masks=again)
    np.testing.assert_array_equal(one.data, stack.combine("meancr2").data)
    with fits.open(path) as hdus:
        assert hdus[0].data is None
        assert hdus[0].header["FLUXF3"] == 1.0
        for hdu in hdus[1:7]:
            assert hdu.data.dtype == np.uint8
            assert set(np.unique(hdu.data)) <= {0, 1}
            assert hdu.header["NPMASKED"] == hdu.data.sum()
        assert hdus["AUXCLEAN"].data.dtype == ">f4"
    assert sorted(tmp_path.iterdir()) == [path]


def test_history_of_any_letters(stack, tmp_path):
    masks = replace(stack.detect("mmcosmic", aux=None), history=("räksmörgås\n",))
    masks.write(tmp_path / "crmasks.fits")
    assert MaskSet.read(tmp_path / "crmasks.fits").history == (r"r\xe4ksm\xf6rg\xe5s",)


def test_masks_of_the_reference_program_can_be_read(stack, tmp_path):
    """Files without a CODES extension."""
    masks = stack.detect("mmcosmic", aux=None)
    hdus = masks.to_hdulist()
    del hdus["CODES"]
    hdus.writeto(tmp_path / "plain.fits")
    again = MaskSet.read(tmp_path / "plain.fits")
    assert set(np.unique(again.codes["CRMASK1"])) == {Code.CLEAN, Code.GIVEN}
    np.testing.assert_array_equal(again["CRMASK1"], masks["CRMASK1"])


def test_bad_mask_files(tmp_path, stack):
    with pytest.raises(InputError, match="masks must be a FITS file that exists"):
        MaskSet.read(tmp_path / "none.fits")
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="must be a file of masks, with the extensions MEDIANCR, MEANCRT, CRMASK1"):
        MaskSet.read(tmp_path / "image.fits")
    with pytest.raises(InputError, match="must be a directory that can be written"):
        stack.detect("mmcosmic", aux=None).write(tmp_path / "no" / "crmasks.fits")
    with pytest.raises(KeyError, match="mask must be one of MEDIANCR"):
        stack.detect("mmcosmic", aux=None)["CRMASK9"]


def test_counts_and_problematic_pixels(stack):
    masks = stack.detect(aux="pycosmic")
    table = masks.counts()
    for row in table:
        assert row["flagged"] == masks[row["name"]].sum()
        assert row["flagged"] == sum(row[name] for name in table.colnames[2:])
    np.testing.assert_array_equal(masks.problematic, masks["CRMASK1"] & masks["CRMASK2"] & masks["CRMASK3"])


def test_the_column_of_the_method_has_its_name(stack):
    assert stack.detect("mmcosmic", aux=None).counts().colnames[:4] == ["name", "flagged", "mmcosmic", "auxiliary"]
    masks = stack.detect("joint")
    assert masks.counts().colnames[:4] == ["name", "flagged", "joint", "auxiliary"]
    assert masks.counts()["joint"][list(masks).index("CRMASK1")] == masks["CRMASK1"].sum() > 0
    assert _column_of("My Method", ["name", "both"]) == "my"
    # names of other columns, and labels without a letter, would be lost
    assert _column_of("both", ["name", "both"]) == _column_of("", ["name"]) == _column_of("?", []) == "method"


@pytest.mark.parametrize("ending", ["gz", "fz"])
def test_compressed_masks_come_back(stack, tmp_path, ending):
    from crstack import JointPosterior

    for options in ({"aux": ["pycosmic", "lacosmic"]}, {"method": JointPosterior()}):
        masks = stack.detect(rules=MaskRules(local_medians=[(5, 5, 3, 3)]), **options)
        masks.write(tmp_path / f"crmasks.fits.{ending}", overwrite=True)
        masks.write(tmp_path / "crmasks.fits", overwrite=True)
        again, plain = MaskSet.read(tmp_path / f"crmasks.fits.{ending}"), MaskSet.read(tmp_path / "crmasks.fits")
        for name in masks:
            np.testing.assert_array_equal(again.codes[name], masks.codes[name])
        for name in ("auxclean", "probability", "signal_shift", "signal_variance", "excess_variance"):
            np.testing.assert_array_equal(getattr(again, name), getattr(plain, name))
        assert again.local_medians == masks.local_medians
        assert again.uuid == masks.uuid
        assert again.history == plain.history


def test_masks_of_exposures_are_read_only(stack):
    masks = stack.detect()
    with pytest.raises(ValueError, match="read-only"):
        masks.crmasks[0, 0, 0] = True
    with pytest.raises(ValueError, match="read-only"):
        masks["CRMASK1"][:] = True


@pytest.fixture
def joint(stack):
    """Masks with probabilities."""
    return stack.detect("joint")


@pytest.mark.parametrize("name", ["a" * 5000 + ".fits", "a\0b.fits"])
def test_names_that_no_file_can_have(name, tmp_path):
    with pytest.raises(InputError, match="masks must be a FITS file that exists; got a"):
        MaskSet.read(name)
    with pytest.raises(InputError, match="combined image must be a FITS file that exists; got a"):
        read(name)


def test_names_to_write_that_are_too_long(joint, tmp_path):
    with pytest.raises(InputError, match="names of files must be shorter; got a"):
        joint.write("a" * 5000 + ".fits")
    paths = [tmp_path / f"{i}.fits" for i in range(joint.n_exposures)]
    for path in paths:
        fits.writeto(path, np.zeros(joint.shape, np.float32))
    without_origin = replace(joint, origin=())
    for directory, words in (("a" * 5000, "File name too long"), (str(paths[0]), "File exists")):
        with pytest.raises(InputError, match=rf"directory must be one that can be made; got .*\({words}\)"):
            without_origin.write_exposures([tmp_path / path.name for path in paths], directory)


def test_masks_cannot_be_changed_in_place(joint):
    planes = [*joint.codes.values(), *joint.found_by.values(), joint.probability, joint.signal_shift]
    planes += [plane for plane in (joint.auxclean, joint.excess_variance) if plane is not None]
    assert len(planes) > 6
    for plane in planes:
        with pytest.raises(ValueError, match="read-only"):
            plane[...] = 1
    # the arrays that were given stay as they were
    own = {name: codes.copy() for name, codes in joint.codes.items()}
    masks = MaskSet(own)
    own["MEDIANCR"][0, 0] ^= 1
    assert masks.codes["MEDIANCR"][0, 0] == own["MEDIANCR"][0, 0]
    assert own["MEDIANCR"].flags.writeable
