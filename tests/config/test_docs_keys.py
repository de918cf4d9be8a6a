"""The table of keys in the documentation is that of the code."""

import inspect
import re
from pathlib import Path

import pytest
import yaml

import crstack
from crstack.config.keys import REQUIRED, REQUIREMENTS, TOP
from crstack.config.legacy import NEW_NAMES, WITHOUT_EFFECT
from crstack.diagram import DiagramSettings
from crstack.equalize import Equalization
from crstack.masks import MaskRules
from crstack.plotting.accessor import PlotAccessor
from crstack.plotting.hits import HitPages

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "yaml_keys.rst"
KEYS = {key.name: key for key in (*TOP, *REQUIREMENTS)}
PLACES = {name: getattr(crstack, name) for name in crstack.__all__} | {
    "MaskRules": MaskRules,
    "DiagramSettings": DiagramSettings,
    "HitPages": HitPages,
    "PlotAccessor": PlotAccessor,
}


def rows_of(table):
    """Cells of each row of a table, headings left out."""
    table = re.split(r"\n\n(?=\S)", table)[0].split("   * - ", 1)[1]
    return [[cell.strip() for cell in re.split(r"\n     -", row)] for row in ("\n" + table).split("\n   * - ")[1:]]


#: the tables of keys, by section, and that of old names
*OF_KEYS, OF_OLD_NAMES = map(rows_of, PAGE.read_text(encoding="utf-8").split(".. list-table::")[1:])
ROWS = [row for table in OF_KEYS for row in table]


def test_one_row_for_each_key_in_order():
    assert [row[0] for row in ROWS] == [f"``{name}``" for name in KEYS]
    assert {len(row) for row in ROWS} == {5}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_rows_tell_the_truth(row):
    name, in_python, _, default, what = row
    key = KEYS[name.strip("`")]
    if key.default is REQUIRED:
        assert default == "must be given"
    else:
        assert yaml.safe_load(default.strip("`")) == key.default
    assert len(what) > 10
    # a key that the library uses names its argument
    for place, arguments in re.findall(r"``([\w.]+)\(([^)]*)\)``", in_python):
        owner, _, method = place.partition(".")
        function = getattr(PLACES[owner], method) if method else PLACES[owner]
        known = set(inspect.signature(function).parameters)
        if place == "CRStack":
            known |= set(inspect.signature(Equalization).parameters)
        assert {argument.strip(" =") for argument in arguments.split(",")} <= known
    tells = key.name.endswith("_verbose")
    assert bool(in_python) == (key.used and not tells)


def test_every_old_name_is_told():
    told = {name for row in OF_OLD_NAMES for name in re.findall(r"``([\w-]+)``", row[0])}
    assert told == {*NEW_NAMES, *WITHOUT_EFFECT}
    new = {name for row in OF_OLD_NAMES for name in re.findall(r"``([\w-]+)``", row[1])}
    assert new == set(NEW_NAMES.values())
