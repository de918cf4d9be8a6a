"""Files of masks that were edited between writing and reading."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from support.stacks import stack_of

from crstack import Code, MaskSet
from crstack.exceptions import CRStackWarning, InputError

pytestmark = pytest.mark.usefixtures("quick_joint")


def written(stack, tmp_path, **options):
    path = tmp_path / "crmasks.fits"
    masks = stack.detect(**(options or {"aux": "pycosmic", "boundary": None}))
    masks.write(path)
    return masks, path


@pytest.fixture(scope="module")
def written_once(simulated, tmp_path_factory):
    """A file of masks. Not to be changed."""
    return written(stack_of(simulated), tmp_path_factory.mktemp("masks"))[1]


def edit(path, change):
    """Change the open file."""
    with fits.open(path) as hdus:
        copies = fits.HDUList([hdu.copy() for hdu in hdus])
    change(copies)
    copies.writeto(path, overwrite=True)


def test_edited_masks_win_over_codes(stack, tmp_path):
    masks, path = written(stack, tmp_path)

    def change(hdus):
        hdus["CRMASK1"].data[:] = 1
        hdus["MEDIANCR"].data[20:30, 20:30] = 3
        hdus["MEANCRT"].data[:] = 0

    edit(path, change)
    added = [150 * 180 - masks["CRMASK1"].sum(), 100 - masks["MEDIANCR"][20:30, 20:30].sum()]
    words = (
        f"MEDIANCR {added[1]} added and 0 removed, MEANCRT 0 added and {masks['MEANCRT'].sum()} removed, "
        f"CRMASK1 {added[0]} added and 0 removed"
    )
    doubt = r"\. 100\.0% of CRMASK1 are masked, more than 20%: cosmic rays do not hit so many\. Check them$"
    words_of_warning = f"crmasks.fits have been edited, and are used as they are; .*: {words}{doubt}"
    with pytest.warns(CRStackWarning, match=words_of_warning):
        again = MaskSet.read(path)
    assert again["CRMASK1"].all()
    np.testing.assert_array_equal(again.codes["CRMASK1"][masks["CRMASK1"]], masks.codes["CRMASK1"][masks["CRMASK1"]])
    assert (again.codes["CRMASK1"][~masks["CRMASK1"]] == Code.GIVEN).all()
    assert again["MEDIANCR"][20:30, 20:30].all()
    assert not again["MEANCRT"].any()
    np.testing.assert_array_equal(again.codes["CRMASK2"], masks.codes["CRMASK2"])
    assert again.history[-1] == f"pixels of masks that differ from CODES: {words}"
    # written anew, the codes are those of the masks
    again.write(path, overwrite=True)
    np.testing.assert_array_equal(MaskSet.read(path).codes["CRMASK1"], again.codes["CRMASK1"])


def test_masks_and_codes_are_found_by_name(stack, tmp_path):
    masks, path = written(stack, tmp_path, aux=["pycosmic", "lacosmic"], boundary=None)

    def shuffle(hdus):
        order = ["DETECTORS", "CODES", "MEANCR", "CRMASK3", "MEDIANCR", "CRMASK1", "AUXCLEAN", "MEANCRT", "CRMASK2"]
        ordered = [hdus[name].copy() for name in order if name in hdus]
        del hdus[1:]
        hdus.extend(ordered)
        turned = [6, 5, 4, 3, 2, 1]
        for name in ("CODES", "DETECTORS"):
            cube, header = hdus[name].data.copy(), hdus[name].header.copy()
            for new, old in enumerate(turned, start=1):
                hdus[name].data[new - 1] = cube[old - 1]
                hdus[name].header[f"PLANE{new}"] = header[f"PLANE{old}"]

    edit(path, shuffle)
    again = MaskSet.read(path)
    assert set(again) == set(masks)
    for name in masks:
        np.testing.assert_array_equal(again.codes[name], masks.codes[name])
        np.testing.assert_array_equal(again.found_by[name], masks.found_by[name])


def test_edited_masks_win_over_probabilities(stack, tmp_path):
    from crstack import JointPosterior

    masks, path = written(stack, tmp_path, method=JointPosterior())
    assert masks.signal_shift is not None
    hit = tuple(np.argwhere(masks["CRMASK1"] & ~masks["CRMASK2"] & ~masks["CRMASK3"])[0])
    clean = tuple(np.argwhere(~masks["MEANCRT"])[700])

    def change(hdus):
        hdus["CRMASK1"].data[hit] = 0
        hdus["CRMASK2"].data[clean] = 1

    edit(path, change)
    with pytest.warns(CRStackWarning, match="CRMASK1 0 added and 1 removed, CRMASK2 1 added and 0 removed$"):
        again = MaskSet.read(path)
    made = stack.combine("meanjoint", masks=again, full_output=True)
    cube = stack.exposures.data
    assert made.ccd.data[hit] == pytest.approx(cube[:, *hit].mean())
    assert made.ccd.data[clean] == pytest.approx(cube[[0, 2], *clean].mean())
    assert made.count[hit] == 3
    assert made.count[clean] == 2


def fill_with(name, value):
    def change(hdus):
        hdus[name].data = np.full((150, 180), value, "f4")

    return change


def drop(*names):
    def change(hdus):
        for name in names:
            del hdus[name]

    return change


def append(name, data, kind=fits.ImageHDU):
    return lambda hdus: hdus.append(kind(data, name=name))


def another_shape(hdus):
    hdus["MEANCRT"].data = np.zeros((3, 3), "u1")


def no_data(hdus):
    hdus[[hdu.name for hdu in hdus].index("MEANCR")] = fits.ImageHDU(name="MEANCR")


def renamed(hdus):
    hdus["CRMASK2"].name = "CRMASK5"


def cards(ext=0, /, **values):
    """Change the cards of a header; None removes one."""

    def change(hdus):
        for key, value in values.items():
            if value is None:
                del hdus[ext].header[key]
            else:
                hdus[ext].header[key] = value

    return change


def votes(*names, highest=1):
    """Add the votes of detectors by name to a file of masks; ``highest`` is the highest value of their bits."""

    def change(hdus):
        hdus.append(fits.ImageHDU(np.full((1, *IMAGE.shape), highest, "u1"), name="DETECTORS"))
        hdus["DETECTORS"].header["PLANE1"] = "MEDIANCR"
        for key, name in names:
            hdus["DETECTORS"].header[key] = name

    return change


def a_cube(hdus):
    hdus["MEDIANCR"].data = np.zeros((2, 150, 180), "u1")


IMAGE = np.zeros((150, 180), "u1")


TABLE = np.array([(500, 1, 3, 3)], dtype=[(name, "i4") for name in "abcd"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (fill_with("MEDIANCR", np.nan), "values of MEDIANCR in .* must be finite; got 27000 that are NaN"),
        (another_shape, r"must share one shape; got \(150, 180\) for MEDIANCR and \(3, 3\) for MEANCRT"),
        (no_data, "extension MEANCR of .* must have 2 dimensions; got no image"),
        (a_cube, "extension MEDIANCR of .* must have 2 dimensions; got 3 dimensions"),
        (drop("CRMASK2"), "must hold CRMASK1 to CRMASK3; got no CRMASK2"),
        (drop("CRMASK3"), "must hold the masks of the planes of CODES, MEDIANCR, .*; got"),
        (drop("CRMASK3", "CODES"), r"must hold one CRMASK for each of its 3 flux factors \(FLUXF1...\); got 2"),
        (drop("MEDIANCR", "CODES"), "masks must hold MEDIANCR, MEANCRT, MEANCR and CRMASK1"),
        (renamed, "must hold CRMASK1 to CRMASK5; got no CRMASK2"),
        (append("CRMASK4", IMAGE), "must hold one CRMASK for each of its 3 flux factors"),
        (append("MEANCRT", IMAGE), "extensions of .* must have different names; got two MEANCRT"),
        (append("AUXCLEAN", IMAGE), "extensions of .* must have different names; got two AUXCLEAN"),
        (append("PROB1", IMAGE), "must hold one PROB for each of 3 CRMASK; got 1"),
        (append("SIGSHIFT", IMAGE[:4]), r"must share one shape; got .* and \(4, 180\) for SIGSHIFT"),
        (append("EXCESS", np.full(IMAGE.shape, np.inf, "f4")), "values of EXCESS in .* must be finite"),
        (append("RPMEDIAN", IMAGE), "extension RPMEDIAN of .* must be a table; got ImageHDU"),
        (append("RPMEDIAN", TABLE, fits.BinTableHDU), "pixel 1 of RPMEDIAN in .* must lie inside"),
        (append("EXCESS", np.full(IMAGE.shape, -2, "f4")), "values of EXCESS in .* must be 0 or more; got -2"),
        (append("SIGVAR", np.full(IMAGE.shape, -2, "f4")), "values of SIGVAR in .* must be 0 or more; got -2"),
        (cards(FLUXF2=-1.0), "FLUXF2 of .* must be a number greater than 0; got -1"),
        (cards(FLUXF2="one"), "FLUXF2 of .* must be a finite number; got 'one'"),
        (cards(FLUXF2=None), "must hold one CRMASK for each of its 2 flux factors"),
        (cards(FLUXF2=None, FLUXF4=1.0), "must hold FLUXF1 to FLUXF3; got no FLUXF2"),
        (cards(THRPUT1=1.0, THRPUT2="low", THRPUT3=1.0), "THRPUT2 of .* must be a finite number; got 'low'"),
        (cards(THRPUT1=1.0, THRPUT2=0, THRPUT3=1.0), "THRPUT2 of .* must be a number greater than 0; got 0"),
        (cards(THRPUT1=1.0, THRPUT2=True, THRPUT3=1.0), "THRPUT2 of .* must be a finite number; got True"),
        (cards(THRPUT1=1.0, THRPUT3=1.0), r"must hold one CRMASK for each of its 2 throughputs \(THRPUT1...\); got 3"),
        (cards(THRPUT1=1.0, THRPUT2=1.0, THRPUT4=1.0), "must hold THRPUT1 to THRPUT3; got no THRPUT3"),
        (votes(("DETECT1", "other")), "must hold DETECT0 to DETECT0; got no DETECT0"),
        (votes(("DETECT0", "one"), highest=2), "must name a detector for each bit .*; got 1 for 2 bits"),
    ],
)
def test_mask_files_are_checked_when_they_are_read(written_once, tmp_path, change, message):
    path = shutil.copy(written_once, tmp_path / "crmasks.fits")
    edit(path, change)
    with pytest.raises(InputError, match=message):
        MaskSet.read(path)


def test_numbers_of_a_file_are_read_by_their_names(written_once, tmp_path):
    """The order of the cards in the header does not matter; FLUXFILE is no flux factor."""
    path = shutil.copy(written_once, tmp_path / "crmasks.fits")

    def change(hdus):
        cards(FLUXF1=None)(hdus)
        cards(FLUXF1=0.5, FLUXFILE="flux.txt", THRPUT3=1.5, THRPUT1=0.6, THRPUT2=0.9, UUID=12)(hdus)
        votes(("DETECT1", "second"), ("DETECT0", "first"), highest=3)(hdus)

    edit(path, change)
    again = MaskSet.read(path)
    assert again.flux_factors == (0.5, 1.0, 1.0)
    assert again.throughputs == (0.6, 0.9, 1.5)
    assert again.detectors == ("first", "second")
    assert again.uuid == "12"


def test_other_extensions_are_left_alone_with_a_warning(stack, tmp_path):
    masks, path = written(stack, tmp_path)
    edit(path, append("NOTES", IMAGE))
    with pytest.warns(CRStackWarning, match=r"extensions of .* that are no masks are not used: NOTES$"):
        again = MaskSet.read(path)
    np.testing.assert_array_equal(again.codes["CRMASK1"], masks.codes["CRMASK1"])

    def unnamed(hdus):
        del hdus["NOTES"]
        del hdus["CODES"].header["PLANE2"]

    edit(path, unnamed)
    with pytest.warns(CRStackWarning, match="CODES of .* has 1 planes without a name"):
        again = MaskSet.read(path)
    np.testing.assert_array_equal(again["CRMASK1"], masks["CRMASK1"])
    assert set(np.unique(again.codes["CRMASK1"])) == {Code.CLEAN, Code.GIVEN}
