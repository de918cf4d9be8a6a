"""Raw images with an overscan, in the command and in parameter files."""

import numpy as np
import pytest
from astropy.io import fits
from support.parameter_files import check_refused, refused, write_parameters

from crstack.cli import main
from crstack.datasets import make_stack

NAMES = ["raw1.fits", "raw2.fits", "raw3.fits"]
OVERSCAN = 12


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Images of 60 x 80 pixels with an overscan of 12 columns before them, and the same without it and without bias."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(11)
    for i, ccd in enumerate(make_stack("imaging", (60, 80), seed=11).exposures):
        bias = 500 + 10 * i
        overscan = bias + rng.normal(0, 3.4, (60, OVERSCAN))
        header = fits.Header(
            {"BUNIT": "adu", "BIASSEC": f"[1:{OVERSCAN},1:60]", "TRIMSEC": f"[{OVERSCAN + 1}:92,1:60]"}
        )
        data = np.hstack([overscan, ccd.data + bias]).astype(np.float32)
        fits.writeto(NAMES[i], data, header)
        level = np.median(data[:, :OVERSCAN])
        fits.writeto(f"cut{i + 1}.fits", data[:, OVERSCAN:] - level, fits.Header({"BUNIT": "adu"}))
    return tmp_path


def masks_of(directory):
    with fits.open(f"{directory}/crmasks.fits") as hdus:
        return {hdu.name: hdu.data for hdu in hdus[1:] if hdu.is_image and hdu.data.dtype.kind != "f"}


SETTINGS = ["--gain", "1", "--readnoise", "3.4 electron", "--no-plots"]


def test_trimmed_by_the_command_and_by_hand(raw):
    sections = ["--bias", "header:BIASSEC", "--trim", "header:TRIMSEC"]
    assert main(["run", *NAMES, *SETTINGS, *sections, "--output-dir", "one"]) == 0
    assert main(["run", "cut1.fits", "cut2.fits", "cut3.fits", *SETTINGS, "--output-dir", "two"]) == 0
    one, two = masks_of("one"), masks_of("two")
    assert one.keys() == two.keys()
    assert one["CRMASK1"].any()
    for name, mask in one.items():
        np.testing.assert_array_equal(mask, two[name])


def test_regions_count_from_the_section(raw, capsys):
    keys = {"images": NAMES, "gain": 1.0, "rnoise": 3.4, "bias": "header:BIASSEC", "crmethod": "joint"}
    keys |= {"trim": f"[{OVERSCAN + 1}:92,1:60]"}
    path = write_parameters("p.yaml", **keys, regions_to_be_skipped=[[1, 80, 1, 60]])
    assert main(["run", path, "--output-dir", "out", "--dry-run"]) == 0
    check_refused(capsys, "region 1 of regions_to_be_skipped", **keys, regions_to_be_skipped=[[81, 92, 1, 60]])


@pytest.mark.parametrize(
    ("trim", "words"),
    [
        ("[1:93,1:60]", r"trim must be a section within 92 x 60 pixels; got \[1:93,1:60\]"),
        ("header:DATASEC", "trim must be in DATASEC of the header"),
        ("left", r"trim must be a section such as .*\[1:2048,1:4096\].*; got left"),
    ],
)
def test_sections_that_are_none(raw, capsys, trim, words):
    refused(capsys, ["run", *NAMES, *SETTINGS, "--trim", trim, "--output-dir", "out"], words)
