"""Stacks of a document, a table and a directory."""

import textwrap
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.nddata import CCDData
from astropy.table import Table

from crstack.batch import Stack, stacks_of_directory, stacks_of_document, stacks_of_table
from crstack.batch.group_names import names_of_groups
from crstack.batch.stacks import as_stacks
from crstack.cli.parser import BATCH_EPILOG
from crstack.exceptions import CRStackWarning, InputError

THREE = ["a.fits", "b.fits", "c.fits"]


def test_own_settings_win_over_common_ones_at_both_levels():
    common = {"gain": 1.0, "requirements": {"crmethod": "joint", "mm_seed": 1}}
    stacks = as_stacks({"one": THREE, "two": {"images": THREE, "gain": 2.0, "requirements": {"mm_seed": 2}}}, common)
    assert [stack.name for stack in stacks] == ["one", "two"]
    assert stacks[0].settings == {"gain": 1.0, "images": THREE, "requirements": {"crmethod": "joint", "mm_seed": 1}}
    assert stacks[1].settings["gain"] == 2.0
    assert stacks[1].settings["requirements"] == {"crmethod": "joint", "mm_seed": 2}
    assert common == {"gain": 1.0, "requirements": {"crmethod": "joint", "mm_seed": 1}}


@pytest.mark.parametrize(
    ("stacks", "match"),
    [
        ({}, "one or more"),
        ({"one": "a.fits"}, "list of files"),
        ({"one": []}, "2 or more; got none"),
        ({"../one": THREE}, "letters, digits"),
        ({".one": THREE}, "letters, digits"),
        ({"one": THREE, "ONE": THREE}, "must differ"),
        ({"one": {"gain": 1}}, "list of files; got None"),
    ],
)
def test_stacks_that_cannot_be(stacks, match):
    with pytest.raises(InputError, match=match):
        as_stacks(stacks)


def test_document(tmp_path):
    for name in THREE:
        (tmp_path / name).touch()
    stacks = stacks_of_document({"defaults": {"gain": 1}, "stacks": {"n1": {"images": THREE}}}, tmp_path)
    assert stacks == [Stack("n1", {"gain": 1, "images": [str(tmp_path / name) for name in THREE]})]


@pytest.mark.parametrize(
    ("document", "match"),
    [
        ([], "defaults: and stacks:"),
        ({"stacks": {"a": THREE}, "extra": 1}, "got extra"),
        ({"stacks": THREE}, "must hold stacks: names with their images; got a list"),
        ({"stacks": {"a": THREE}, "defaults": 3}, "must hold defaults: keys with their values; got a number"),
        ({"images": THREE, "gain": 1}, "got no stacks among images, gain: crstack run takes a parameter file"),
    ],
)
def test_documents_that_cannot_be(document, match):
    with pytest.raises(InputError, match=match):
        stacks_of_document(document)


def test_table():
    table = Table({"file": [*THREE, "d.fits", "e.fits"], "stack": ["x"] * 3 + ["y"] * 2, "gain": [1.5] * 3 + [2.5] * 2})
    stacks = stacks_of_table(table, {"rnoise": 3.0})
    assert stacks[0].settings == {"rnoise": 3.0, "images": THREE, "gain": 1.5}
    assert stacks[1].images == ("d.fits", "e.fits")
    table["gain"][1] = 9
    with pytest.raises(InputError, match=r"gain must have one value in stack x; got 1\.5 and 9"):
        stacks_of_table(table)
    with pytest.raises(InputError, match="must have the columns stack"):
        stacks_of_table(Table({"file": THREE}))
    with pytest.raises(InputError, match=r"must have the columns stack .*; got none$"):
        stacks_of_table(Table())


def write(path, **cards):
    ccd = CCDData(np.ones((6, 6)), unit=u.adu)
    ccd.header.update(cards)
    ccd.write(path)


def test_directory(tmp_path):
    for number in range(3):
        write(tmp_path / f"a{number}.fits", OBJECT="M 33", FILTER="V", IMAGETYP="object")
    for number in range(2):
        write(tmp_path / f"b{number}.fits", OBJECT="M 33", FILTER="B/x", IMAGETYP="object")
    write(tmp_path / "c.fits", OBJECT="M 1", FILTER="V", IMAGETYP="object")
    write(tmp_path / "d.fits", OBJECT="M 33", FILTER="V", IMAGETYP="bias")
    stacks, alone = stacks_of_directory(tmp_path, ["object", "FILTER"], {"gain": 1}, only={"imagetyp": "OBJECT"})
    assert [stack.name for stack in stacks] == ["M-33_V", "M-33_B-x"]
    assert [len(stack.images) for stack in stacks] == [3, 2]
    assert stacks[0].settings["gain"] == 1
    assert alone == [str(tmp_path / "c.fits")]
    with pytest.raises(InputError, match="two or more exposures"):
        stacks_of_directory(tmp_path, ["OBJECT"], only={"IMAGETYP": "bias"})
    with pytest.raises(InputError, match="must exist"):
        stacks_of_directory(tmp_path / "no", ["OBJECT"])
    with pytest.raises(InputError, match="one or more header keywords"):
        stacks_of_directory(tmp_path, [])
    with pytest.raises(InputError, match="one or more header keywords, such as OBJECT; got an empty one"):
        stacks_of_directory(tmp_path, ["OBJECT", " "])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="must hold FITS files; got none in"):  # without a warning of ccdproc
        stacks_of_directory(tmp_path / "empty", ["OBJECT"])


def test_a_keyword_that_is_missing_is_a_value_of_its_own(tmp_path):
    for number in range(2):
        write(tmp_path / f"a{number}.fits", OBJECT="M 33")
        write(tmp_path / f"b{number}.fits")
    write(tmp_path / "b2.fits", OBJECT="  ")
    match = "OBJECT is absent or empty in 3 files, .* name none: b0.fits, b1.fits, b2.fits"
    with pytest.warns(CRStackWarning, match=match):
        stacks, _ = stacks_of_directory(tmp_path, ["OBJECT"])
    assert {stack.name: len(stack.images) for stack in stacks} == {"M-33": 2, "none": 3}


def test_files_that_cannot_be_read_are_named_without_the_log_of_ccdproc(tmp_path, caplog):
    for number in range(3):
        write(tmp_path / f"a{number}.fits", OBJECT="M 33")
    (tmp_path / "a3.fits").write_bytes((tmp_path / "a0.fits").read_bytes()[:3000])
    (tmp_path / "no.fits").write_text("no FITS file" * 300)
    with pytest.warns(CRStackWarning, match=r"files without a readable FITS header are left out: no.fits") as found:
        stacks, _ = stacks_of_directory(tmp_path, ["OBJECT"])
    assert len(found) == 1
    assert len(stacks[0].images) == 4
    assert "ccdproc" not in caplog.text
    for path in tmp_path.glob("a*.fits"):
        path.unlink()
    with (
        pytest.warns(CRStackWarning, match="left out: no"),
        pytest.raises(InputError, match="must hold FITS files; got 1 that cannot be read"),
    ):
        stacks_of_directory(tmp_path, ["OBJECT"])


@pytest.mark.parametrize(("group_by", "only"), [(["OBEJCT"], None), (["OBJECT"], {"FITLER": "V"})])
def test_a_keyword_that_no_header_has_is_a_slip(tmp_path, group_by, only):
    """Otherwise all exposures of the night would be one stack."""
    for number in range(3):
        write(tmp_path / f"a{number}.fits", OBJECT=f"M {number}")
    with pytest.raises(InputError, match=r"must be in the headers; got (OBEJCT|FITLER), which no file has"):
        stacks_of_directory(tmp_path, group_by, only=only)


def test_slips_in_a_batch_file_are_named():
    with pytest.raises(InputError, match=r"got no stacks among defaults, stakcs$"):
        stacks_of_document({"defaults": {}, "stakcs": {}})
    with pytest.raises(InputError, match=r"got 'c d/e' \(c-d-e is possible\)"):
        stacks_of_document({"stacks": {"c d/e": THREE}})
    with pytest.raises(InputError, match=r"got '/'$"):
        stacks_of_document({"stacks": {"/": THREE}})


def test_values_with_one_name_are_stacks_of_their_own(tmp_path):
    """The filters r and r' both give the word r."""
    for number in range(2):
        for file, name in (("a", "r'"), ("b", "R"), ("c", "r"), ("d", "r  2"), ("e", "r_2")):
            write(tmp_path / f"{file}{number}.fits", FILTER=name)
    with pytest.warns(CRStackWarning, match="names have numbers: 'R' is R, 'r' is r_3, \"r'\" is r_4. If they mean"):
        stacks, _ = stacks_of_directory(tmp_path, ["FILTER"])
    files = {stack.name: [Path(image).name for image in stack.images] for stack in stacks}
    assert files == {
        "r_4": ["a0.fits", "a1.fits"],
        "R": ["b0.fits", "b1.fits"],
        "r_3": ["c0.fits", "c1.fits"],
        "r-2": ["d0.fits", "d1.fits"],
        "r_2": ["e0.fits", "e1.fits"],
    }


def test_a_name_does_not_depend_on_the_order_of_the_groups():
    groups = [("A_B", "C"), ("A", "B_C")]
    with pytest.warns(CRStackWarning, match="'A' and 'B_C' is A_B_C, 'A_B' and 'C' is A_B_C_2"):
        names = names_of_groups(groups)
    with pytest.warns(CRStackWarning, match="names have numbers"):
        assert names_of_groups(groups[::-1]) == names


def test_negative_numbers_are_values_of_their_own(tmp_path):
    for number in range(2):
        for angle in (-10.0, 10.0, -0.5):
            write(tmp_path / f"a{angle}_{number}.fits", POSANG=angle)
    stacks, _ = stacks_of_directory(tmp_path, ["POSANG"])
    assert {stack.name: len(stack.images) for stack in stacks} == {"minus10.0": 2, "10.0": 2, "minus0.5": 2}


def test_blanks_are_no_values_of_their_own(tmp_path):
    for number, name in enumerate(("M 33", "M  33")):
        write(tmp_path / f"a{number}.fits", OBJECT=name)
    stacks, _ = stacks_of_directory(tmp_path, ["OBJECT"])
    assert [stack.name for stack in stacks] == ["M-33"]


def test_a_value_that_no_file_has_is_named_with_those_that_they_have(tmp_path):
    for number, kind in enumerate(("object", "object", "flat")):
        write(tmp_path / f"a{number}.fits", OBJECT="M 33", IMAGETYP=kind, FILTER="V")
    match = "must select files of .*; got IMAGETYP=sience, where 3 files have object, flat"
    with pytest.raises(InputError, match=match):
        stacks_of_directory(tmp_path, ["OBJECT"], only={"IMAGETYP": "sience"})
    with pytest.raises(InputError, match="got FILTER=B, where 2 files have V"):
        stacks_of_directory(tmp_path, ["OBJECT"], only={"IMAGETYP": "object", "FILTER": "B"})


def test_keywords_without_commas(tmp_path):
    write(tmp_path / "a.fits", OBJECT="M 33", FILTER="V")
    with pytest.raises(InputError, match="got OBJECT FILTER, which no file has; separate keywords by commas"):
        stacks_of_directory(tmp_path, ["OBJECT FILTER"])


def test_groups_of_different_setups_are_named_before_they_are_combined(tmp_path):
    for name in ("M 31", "M 33"):
        for i, (band, binning) in enumerate([("V", 1), ("V", 1), ("R", 2)]):
            write(tmp_path / f"{name}{i}.fits".replace(" ", ""), OBJECT=name, FILTER=band, XBINNING=binning)
    match = (
        r"2 stacks of 2 would have exposures of different setups \(M-31: FILTER is V in M310.fits, M311.fits, R in "
        r"M312.fits, XBINNING is 1 in M310.fits, M311.fits, 2 in M312.fits; M-33: FILTER is V .*\)\. What .* hits\. "
        r"Group by OBJECT,FILTER,XBINNING \(--group-by of the command\)$"
    )
    with pytest.warns(CRStackWarning, match=match):
        stacks_of_directory(tmp_path, ["OBJECT"])
    stacks, _ = stacks_of_directory(tmp_path, ["OBJECT", "FILTER", "XBINNING"])  # without a warning
    assert [stack.name for stack in stacks] == ["M-31_V_1", "M-33_V_1"]


def test_the_example_of_the_help_has_stacks_that_can_be_run():
    text = BATCH_EPILOG.split("of each stack:\n")[1].split("\n\n")[0]
    stacks = stacks_of_document(yaml.safe_load(textwrap.dedent(text)))
    assert [stack.name for stack in stacks] == ["star", "galaxy"]
    assert all(len(stack.images) >= 3 for stack in stacks)
