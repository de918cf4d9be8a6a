"""Random FITS files: each is read, or refused with one sentence."""

import warnings
from io import BytesIO
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from support.fuzz import fuzzed

from crstack.cli import main
from crstack.exceptions import InputError
from crstack.exposures import load_exposures

SHAPE = (16, 18)
BLOCK = 2880
PARAMETERS = "images: [e0.fits, e1.fits, e2.fits]\ngain: 1\nrnoise: 4\nrequirements:\n  crmethod: lacosmic\n"


def image(seed):
    rng = np.random.default_rng(seed)
    return rng.poisson(100, SHAPE).astype(np.float32) + rng.normal(0, 4, SHAPE).astype(np.float32)


def as_bytes(seed, form):
    """A whole file of one of several forms."""
    header = fits.Header({"BUNIT": "adu", "EXPTIME": 300.0, "OBJECT": "M33"})
    data = image(seed)
    if form == "integers":
        data = np.rint(data).astype(np.uint16)
    if form == "tiles":
        hdus = [fits.PrimaryHDU(), fits.CompImageHDU(np.rint(data).astype(np.int16), header, compression_type="RICE_1")]
    elif form == "extensions":
        mask = fits.ImageHDU(np.eye(*SHAPE, dtype=np.uint8), name="MASK")
        hdus = [fits.PrimaryHDU(data, header), mask, fits.ImageHDU(np.full(SHAPE, 11, np.float32), name="UNCERT")]
    else:
        hdus = [fits.PrimaryHDU(data, header)]
    file = BytesIO()
    fits.HDUList(hdus).writeto(file, checksum=form == "integers")
    return file.getvalue()


FORMS = ("floats", "integers", "extensions", "tiles")
GOOD = {form: [as_bytes(seed, form) for seed in range(3)] for form in FORMS}

names = st.sampled_from(
    [
        *("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "EXTEND", "BSCALE", "BZERO", "BLANK", "BUNIT"),
        *("EXPTIME", "OBJECT", "XTENSION", "PCOUNT", "GCOUNT", "TFIELDS", "TFORM1", "ZBITPIX", "ZNAXIS1", "ZTILE1"),
        *("ZCMPTYPE", "EXTNAME", "CTYPE1", "CRVAL1", "CD1_1", "WCSAXES", "A_ORDER", "INHERIT", "UTYPE", "CHECKSUM"),
        *("GROUPS", "END", "CONTINUE", "HIERARCH", "HISTORY", "TEL.ESC"),
    ]
)
values = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=True).map(repr),
    st.sampled_from(
        ["T", "F", "''", "'adu'", "'electron/s'", "'MJy/sr'", "'x", "1.2.3", "", "NaN", "'RA---TAN'", "'IMAGE'"]
    ),
    st.text(max_size=40).map(lambda text: f"'{text}'"),
)
cards = st.builds(lambda name, value: f"{name:<8.8}= {value}", names, values)


def with_card(raw, text, place):
    """A file with one card of some header overwritten."""
    card = text.encode("latin-1", "replace")[:80].ljust(80)
    starts = [start for start in range(0, len(raw), BLOCK) if raw[start : start + 8] in (b"SIMPLE  ", b"XTENSION")] or [
        0
    ]
    start = starts[place % len(starts)] + 80 * (place % 36)
    return raw[:start] + card + raw[start + 80 :]


def with_named_card(raw, text):
    """A file with the card of that name overwritten, where it has one."""
    name = text[:8].ljust(8).encode()
    for start in range(0, len(raw), 80):
        if raw[start : start + 8] == name:
            return raw[:start] + text.encode("latin-1", "replace")[:80].ljust(80) + raw[start + 80 :]
    return with_card(raw, text, 10)


def with_bytes(raw, place, noise):
    place %= max(len(raw), 1)
    return raw[:place] + noise + raw[place + len(noise) :]


changes = st.one_of(
    st.builds(lambda text, place: lambda raw: with_card(raw, text, place), cards, st.integers(0, 10**4)),
    st.builds(lambda text: lambda raw: with_named_card(raw, text), cards),
    st.builds(
        lambda place, noise: lambda raw: with_bytes(raw, place, noise), st.integers(0, 10**6), st.binary(max_size=90)
    ),
    st.builds(lambda size: lambda raw: raw[: size % (len(raw) + 1)], st.integers(0, 10**6)),
    st.builds(lambda noise: lambda raw: noise, st.binary(max_size=300)),
    st.builds(lambda noise: lambda raw: b"\x1f\x8b\x08" + noise, st.binary(max_size=60)),
    st.builds(lambda noise: lambda raw: b"BZh9" + noise, st.binary(max_size=60)),
)


def refused(paths, ext):
    """Whether the exposures are refused; anything but an InputError is raised."""
    try:
        exposures = load_exposures(paths, gain=1 * u.electron / u.adu, readnoise=4 * u.electron, ext=ext)
    except InputError:
        return True
    assert np.isfinite(exposures.data).all()
    fits.PrimaryHDU(exposures.data[0], exposures.header).writeto(BytesIO(), output_verify="exception")
    return False


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_themselves_are_read(tmp_path, form):
    for i, raw in enumerate(GOOD[form]):
        (tmp_path / f"e{i}.fits").write_bytes(raw)
    assert not refused(sorted(tmp_path.glob("*.fits")), 1 if form == "tiles" else 0)


@fuzzed
@given(form=st.sampled_from(FORMS), which=st.integers(0, 2), change=st.lists(changes, min_size=1, max_size=2))
def test_any_file_is_read_or_refused(tmp_path_factory, form, which, change):
    here = tmp_path_factory.mktemp("fuzz")
    paths = []
    for i, raw in enumerate(GOOD[form]):
        for one in change if i == which else ():
            raw = one(raw)
        paths.append(here / f"e{i}.fits")
        paths[-1].write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if refused(paths, 1 if form == "tiles" else 0) and form != "tiles":
            (here / "p.yaml").write_text(PARAMETERS)
            before = sorted(here.rglob("*"))
            code = main(["run", str(here / "p.yaml"), "--output-dir", str(here / "out"), "--log-level", "error"])
            # a unit that BUNIT does not state is no error of the command
            assert code == 2 or (code == 0 and Path(here / "out").is_dir())
            if code == 2:
                assert sorted(here.rglob("*")) == before
