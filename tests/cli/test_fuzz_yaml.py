"""Random parameter files: no traceback, and nothing written with exit code 2.

There are 200 examples, always the same; CRSTACK_FUZZ_EXAMPLES sets another number.
"""

import os
import string
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.nddata import CCDData
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import fuzzed

from crstack.cli import main
from crstack.config.keys import REQUIRED, REQUIREMENTS, TOP

NAMES = ["a.fits", "b.fits", "c.fits"]
TOP_KEYS = [key.name for key in TOP]

numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-5, 200),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, 1, -1, 1e30, -1e30, 1e-30, 2**63, 2**64]),
)
#: words that are values of some key, and invalid names of files
WORDS = (
    *("none", "null", "auto", "local", "mm_lacosmic", "joint", "lacosmic+pycosmic", "spline", "piecewise", "1.0E6"),
    *("header:GAIN", "header:NONE", "header:", "[1:2, 3:4]", "[1, 2, 3]", "a.fits", "a.fits[0]", "*.fits", "~"),
    *("a" * 300, "x\x00y", "é", "2020-01-01", "!!set", "&a", "*a", ""),
)
words = st.one_of(st.sampled_from(WORDS), st.text(alphabet=string.printable, max_size=20))
scalars = st.one_of(numbers, words, st.booleans(), st.none())
likely = st.one_of(st.integers(0, 12), st.floats(0, 50), st.lists(st.integers(1, 40), min_size=2, max_size=4))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=3)),
    max_leaves=12,
)
lists_of_numbers = st.lists(st.lists(numbers, max_size=4), max_size=4)


def change_of(key):
    """Name and value of a key: its default, a similar value, or any value."""
    default = st.just("lacosmic" if key.default is REQUIRED else key.default)
    return st.tuples(st.just(key.name), st.one_of(default, default, likely, values, lists_of_numbers))


changes = st.lists(st.sampled_from(REQUIREMENTS).flatmap(change_of), min_size=1, max_size=2).map(dict)
top_changes = st.one_of(
    st.just({}), st.just({}), st.dictionaries(st.one_of(st.sampled_from(TOP_KEYS), words), values, max_size=2)
)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Directory with three small images."""
    directory = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(1)
    for name in NAMES:
        image = rng.poisson(100, (40, 44)).astype(np.float32)
        CCDData(image, unit=u.adu, meta={"GAIN": 1.0, "EXPTIME": 1.0}).write(directory / name)
    before = Path.cwd()
    os.chdir(directory)
    yield directory
    os.chdir(before)


def check(text):
    """Check everything, as a run does before it works; assert the contract of the exit codes."""
    Path("p.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    before = sorted(Path().rglob("*"))
    code = main(
        ["run", "p.yaml", "--output-dir", "out", "--dry-run", "--log-level", "critical", "--log-file", "run.log"]
    )
    assert code in (0, 2)
    assert sorted(Path().rglob("*")) == before
    return code


def base():
    return {
        "images": list(NAMES),
        "gain": 1.0,
        "rnoise": 3.0,
        "requirements": {"crmethod": "mm_lacosmic", "mm_nsimulations": 1},
    }


@pytest.mark.filterwarnings("ignore")
def test_values(here):
    codes = []

    @fuzzed
    @given(changes=changes, top=top_changes)
    def examples(changes, top):
        document = base()
        document["requirements"].update(changes)
        document.update(top)
        codes.append(check(yaml.safe_dump(document, allow_unicode=True)))

    examples()
    # both outcomes are frequent: some documents are accepted and some refused
    assert min(codes.count(0), codes.count(2)) > 0.1 * len(codes)


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(text=st.one_of(st.text(max_size=200), st.text(alphabet="[]{}:,-&*!|>?#%@ \n\t'\"ab1", max_size=120)))
def test_text(here, text):
    if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        text = text.encode("utf-8", "replace").decode()
    assert check(text) == 2


@pytest.mark.filterwarnings("ignore")
@fuzzed
@given(position=st.integers(0, 10**6), junk=st.text(alphabet="[]{}:,-&*!|>?#%@ \n\t'\"ab1", min_size=1, max_size=6))
def test_a_file_with_a_scar(here, position, junk):
    text = yaml.safe_dump(base())
    position %= len(text)
    check(text[:position] + junk + text[position:])


def test_what_is_changed_is_right(here):
    assert check(yaml.safe_dump(base())) == 0
