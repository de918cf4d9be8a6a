"""Numbers and sections from headers."""

import re

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.wcs import WCS

from crstack import CRStack
from crstack.exceptions import CRStackWarning, InputError
from crstack.exposures import Keyword, load_exposures
from crstack.exposures.input.keywords import as_keyword, quantity_in_words, quantity_of
from crstack.files.history import history_of

GAIN = u.electron / u.adu
SHAPE = (40, 60)
NUMBERS = {"gain": 2 * GAIN, "readnoise": 4 * u.electron}


def cards_of(**cards):
    """Header of values, or of (value, comment)."""
    header = fits.Header()
    for name, card in cards.items():
        header[name] = card
    return header


def header(**cards):
    return cards_of(**{"GAIN": (1.6, "gain"), "RDNOISE": (4.2, "read noise")} | cards)


def ccds(n=3, bias=(0.0,) * 5, **cards):
    """Exposures in ADU whose last ten columns are overscan."""
    rng = np.random.default_rng(4)
    made = []
    for i in range(n):
        electrons = rng.poisson(300.0, SHAPE) + rng.normal(0, 4, SHAPE)
        electrons[:, 50:] = rng.normal(0, 4, (SHAPE[0], 10))
        made.append(CCDData(electrons / 2 + bias[i], unit=u.adu, meta=header(**cards)))
    return made


@pytest.mark.parametrize(
    ("comment", "value", "unit", "expected"),
    [
        ("gain", 1.6, None, 1.6 * GAIN),
        ("[e-/ADU] gain", 1.6, None, 1.6 * GAIN),
        ("[electron/DN]", 1.6, None, 1.6 * GAIN),
        ("(e/count) of amplifier 1", 1.6, None, 1.6 * GAIN),
        ("[ADU/e-] conversion", 0.5, None, 2.0 * GAIN),
        ("[see the manual]", 1.6, None, 1.6 * GAIN),
        ("[ADU/e-] wrong", 0.5, GAIN, 0.5 * GAIN),
        ("", "1.6", None, 1.6 * GAIN),
        ("", 0.5, "adu/electron", 2.0 * GAIN),
    ],
)
def test_gain_by_convention_by_comment_and_as_stated(comment, value, unit, expected):
    cards = cards_of(GAIN=(value, comment))
    found, words = quantity_of(cards, Keyword("gain", unit), "gain", GAIN, "a.fits")
    assert found.unit == expected.unit
    assert found.value == pytest.approx(expected.value)
    assert words.startswith(f"gain is {found.value:.6g} electron / adu by GAIN of a.fits")


@pytest.mark.parametrize(
    ("comment", "expected"),
    [("", 4.2 * u.electron), ("[e-] rms", 4.2 * u.electron), ("[ADU]", 4.2 * u.adu), ("[e- rms]", 4.2 * u.electron)],
)
def test_read_noise(comment, expected):
    found, _ = quantity_of(cards_of(RN=(4.2, comment)), Keyword("RN"), "readnoise", u.electron, "a.fits")
    assert found == expected


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (
            ("abc", ""),
            "gain must be a finite number, with or without a unit such as electron / adu, in GAIN of a.fits; "
            "got 'abc': write a number there, or give the number itself in place of the keyword",
        ),
        ((True, ""), "gain must be a finite number, .* in GAIN of a.fits; got True"),
        (("nan", ""), "gain must be a finite number, .* in GAIN of a.fits; got 'nan'"),
        (("2.0 e", ""), "gain must be a finite number, .* in GAIN of a.fits; got '2.0 e'"),
        (("2.0 or 3.0 e/adu", ""), "gain must be a finite number, .* got '2.0 or 3.0 e/adu'"),
        (
            (139, "PreAmp gain setting dB"),
            "gain must not be in decibel, as the comment of GAIN of a.fits says: 'PreAmp gain setting dB'; give",
        ),
        (
            (1.0, "[nm]"),
            r"gain must not be in nm, as the comment of GAIN of a.fits says; state the unit, such as Keyword",
        ),
        ((0, "[ADU/e-]"), "gain must not be 0"),
    ],
)
def test_numbers_that_are_none(card, message):
    with pytest.raises(InputError, match=message):
        quantity_of(cards_of(GAIN=card), Keyword("GAIN"), "gain", GAIN, "a.fits")


@pytest.mark.parametrize("unit", [None, GAIN])
@pytest.mark.parametrize(
    "text", ["2.0 e/adu", "2 electron/ADU", "2.0 e-/DN", "2.0e-/ADU", "2.0 [e-/adu]", "2.0 electrons per ADU"]
)
def test_a_gain_with_its_unit_in_the_value(text, unit):
    found, words = quantity_of(cards_of(GAIN=(text, "[of amplifier 1]")), Keyword("GAIN", unit), "gain", GAIN, "a.fits")
    assert found == 2 * GAIN
    assert words == "gain is 2 electron / adu by GAIN of a.fits (its unit)"


@pytest.mark.parametrize(
    ("text", "what", "unit", "expected"),
    [
        ("0.5 ADU/e-", "gain", GAIN, 2 * GAIN),
        ("3.1 e-", "readnoise", u.electron, 3.1 * u.electron),
        ("3.1 e- rms", "readnoise", u.electron, 3.1 * u.electron),
        ("2.5 DN", "readnoise", u.electron, 2.5 * u.adu),
        ("60000 ADU", "saturation", u.adu, 60000 * u.adu),
        ("300 sec", "exptime", u.s, 300 * u.s),
    ],
)
def test_other_numbers_with_their_units(text, what, unit, expected):
    found, _ = quantity_of(cards_of(NUMBER=text), Keyword("NUMBER"), what, unit, "a.fits")
    assert found == expected


def test_a_unit_in_the_value_must_not_contradict_the_given_one():
    with pytest.raises(
        InputError, match=r"gain must be in the unit electron / adu that is given for GAIN; got '2 ADU/e-'"
    ):
        quantity_of(cards_of(GAIN="2 ADU/e-"), Keyword("GAIN", GAIN), "gain", GAIN, "a.fits")


def test_a_keyword_with_two_values_is_refused():
    """Headers of mosaics may repeat the keywords of each amplifier. The first value is that of one of them."""
    twice = header()
    twice.append(("GAIN", 3.4))
    with pytest.raises(
        InputError, match=r"gain must have one value in GAIN of the header of .*; got 1.6 and 3.4 in 2 cards"
    ):
        quantity_of(twice, Keyword("GAIN"), "gain", GAIN, "a.fits")
    twice["GAIN", 1] = 1.6
    assert quantity_of(twice, Keyword("GAIN"), "gain", GAIN, "a.fits")[0] == 1.6 * GAIN


def test_a_keyword_that_is_not_there():
    with pytest.raises(InputError, match="gain must be in EGAIN of the header of exposure 1; got no such keyword"):
        load_exposures(ccds(), gain="header:EGAIN", readnoise=4 * u.electron)


def test_words_for_keywords():
    assert as_keyword("header: gain") == Keyword("GAIN")
    assert as_keyword(Keyword("GAIN", GAIN)) == Keyword("GAIN", GAIN)
    assert as_keyword("GAIN") is None
    with pytest.raises(
        InputError,
        match=r"gain must be a Quantity such as 1.2 \* u.electron / u.adu, or .* 'header:GAIN'; got the text 'GAIN'",
    ):
        load_exposures(ccds(), gain="GAIN", readnoise=4 * u.electron)
    with pytest.raises(InputError, match="name of a keyword must be text"):
        Keyword("")
    with pytest.raises(InputError, match="unit of keyword GAIN must be a unit of astropy; got 'nonsense'"):
        Keyword("GAIN", "nonsense")


def test_the_detector_by_the_headers():
    cards = {"GAIN": (2.0, "[e-/ADU]"), "SATURATE": (400.0, ""), "BIASLEV": (50.0, "[ADU]"), "TIME": (5.0, "[min]")}
    exposures = load_exposures(
        ccds(bias=(50.0,) * 3, **cards),
        gain="header:GAIN",
        readnoise="header:RDNOISE",
        bias="header:BIASLEV",
        saturation="header:SATURATE",
        exptime="header:TIME",
    )
    plain = load_exposures(
        ccds(bias=(50.0,) * 3),
        gain=2 * GAIN,
        readnoise=4.2 * u.electron,
        bias=50 * u.adu,
        saturation=400 * u.adu,
        exptime=300 * u.s,
    )
    np.testing.assert_array_equal(exposures.data, plain.data)
    assert repr(exposures.noise) == repr(plain.noise)
    assert exposures.exptimes == plain.exptimes == (300, 300, 300)
    assert exposures.notes[0] == "gain is 2 electron / adu by GAIN of exposure 1 (unit of its comment)"
    assert any(note.startswith("bias is 50 adu by BIASLEV of exposure 1") for note in exposures.notes)


def test_gains_of_headers_must_agree():
    images = ccds()
    images[2].header["GAIN"] = 1.7
    with pytest.raises(InputError, match=r"share one gain; got 1.6 electron / adu for the first and 1.7 .* exposure 3"):
        load_exposures(images, gain="header:GAIN", readnoise="header:RDNOISE")


@pytest.mark.parametrize(("keyword", "name"), [("GAIN", "gain"), ("RDNOISE", "readnoise")])
def test_a_negative_number_of_one_header_is_no_readout_mode(keyword, name):
    images = ccds()
    images[1].header[keyword] = -images[1].header[keyword]
    with pytest.raises(InputError, match=rf"^{name} must be greater than 0 in {keyword} of exposure 2; got -\d\.\d "):
        load_exposures(images, gain="header:GAIN", readnoise="header:RDNOISE")


@pytest.mark.parametrize(
    ("keyword", "remedy"),
    [
        ("GAIN", "--group-by GAIN sorts them), or subtract the bias of each, multiply it by its gain, and give it in"),
        ("RDNOISE", "--group-by RDNOISE sorts them), or give one number for all"),
    ],
)
def test_unlike_headers_have_a_remedy(keyword, remedy):
    images = ccds()
    images[1].header[keyword] = 2 * images[1].header[keyword]
    with pytest.raises(InputError, match=re.escape(remedy)):
        load_exposures(images, gain="header:GAIN", readnoise="header:RDNOISE")


def test_overscan_and_trim():
    """Each exposure has a bias of its own, measured in its overscan."""
    images = ccds(bias=(500.0, 510.0, 520.0), BIASSEC="[52:60,1:40]", TRIMSEC="[1:50,1:40]")
    exposures = load_exposures(images, bias="header:BIASSEC", trim="header:TRIMSEC", **NUMBERS)
    assert exposures.shape == (40, 50)
    assert "TRIMSEC" not in exposures.header
    for plane, image, bias in zip(exposures.data, images, (500, 510, 520), strict=True):
        level = np.median(image.data[:, 51:60])
        assert level == pytest.approx(bias, abs=0.5)
        np.testing.assert_allclose(plane, image.data[:, :50] - level, rtol=1e-6)
    same = load_exposures(images, bias="[52:60,1:40]", trim="[1:50,1:40]", **NUMBERS)
    np.testing.assert_array_equal(same.data, exposures.data)


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        (
            {"TRIMSEC": "[1:50,1:40]"},
            r"TRIMSEC of exposure 1 is \[1:50,1:40\], but it has 60 x 40 pixels.*header:TRIMSEC",
        ),
        ({"DATASEC": " [3:60,1:40]"}, r"DATASEC of exposure 1 is \[3:60,1:40\]"),
        ({"BIASSEC": "[52:60,1:40]"}, "BIASSEC of exposure 1 names an overscan in columns 52 to 60, rows 1 to 40"),
    ],
)
def test_an_overscan_that_is_not_trimmed_is_named(cards, words):
    with pytest.warns(CRStackWarning, match=words) as caught:
        load_exposures(ccds(**cards), **NUMBERS)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "cards",
    [
        # of an exposure that was trimmed before, and of one without an overscan
        {"TRIMSEC": "[51:110,1:40]", "BIASSEC": "[1:50,1:40]"},
        {"TRIMSEC": "[1:60,1:40]", "BIASSEC": "[61:80,1:40]"},
        {"TRIMSEC": "all", "DATASEC": 5},
    ],
)
def test_sections_of_trimmed_exposures_need_no_warning(cards):
    assert load_exposures(ccds(**cards), **NUMBERS).shape == (40, 60)


def test_trim_cuts_masks_uncertainties_images_and_the_wcs():
    images = ccds(TRIMSEC="[11:50,3:40]")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [20, 20], [10, 10]
    images[0] = CCDData(images[0].data, unit=u.adu, meta=images[0].meta, wcs=wcs, mask=np.eye(*SHAPE, dtype=bool))
    gain = np.linspace(1.9, 2.1, 40 * 60).reshape(SHAPE) * GAIN
    exposures = load_exposures(images, gain=gain, readnoise=4 * u.electron, trim="header:TRIMSEC")
    assert exposures.shape == (38, 40)
    np.testing.assert_array_equal(exposures.bad[0], np.eye(*SHAPE, dtype=bool)[2:40, 10:50])
    np.testing.assert_allclose(exposures.noise.electrons_per_unit, gain.value[2:40, 10:50], rtol=1e-6)
    np.testing.assert_allclose(exposures.wcs.wcs.crpix, [10, 18])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trim": "[1:99,1:40]"}, r"trim must be a section within 60 x 40 pixels; got \[1:99,1:40\] for exposure 1$"),
        ({"trim": "[0:10,1:40]"}, "trim must be a section within 60 x 40 pixels"),
        (
            {"trim": "[9:5,1:40]"},
            r"trim must be a section whose first column and row come before its last ones; got \[9:5,1:40\]",
        ),
        ({"trim": "all"}, r"trim must be a section such as '\[1:2048,1:4096\]'; got 'all' for exposure 1"),
        ({"trim": "header:GAIN"}, "trim must be a section such as .*; got 1.6 for exposure 1"),
        ({"trim": 5}, "trim must be a section or a keyword such as 'header:TRIMSEC'; got 5"),
        (
            {"bias": "500"},
            "bias must be a section such as .*; got '500' .*: a level is given with its unit, such as 500 . u.adu",
        ),
        ({"bias": "header:OBJECT"}, "bias must be in OBJECT of the header"),
    ],
)
def test_sections_that_are_none(options, message):
    with pytest.raises(InputError, match=message):
        load_exposures(ccds(), **NUMBERS, **options)


def test_section_of_a_header_outside_of_a_binned_image():
    with pytest.raises(InputError, match=r"in TRIMSEC of exposure 1. Is the image binned.* Give the section"):
        load_exposures(ccds(TRIMSEC="[1:120,1:80]"), **NUMBERS, trim="header:TRIMSEC")


def test_saturated_values_are_bad_bias_included():
    images = ccds(bias=(100.0,) * 3)
    images[1].data[3, 4] = 400.0
    limits = np.full(SHAPE, 400.0)
    for saturation in (400 * u.adu, 800 * u.electron, limits * u.adu):
        exposures = load_exposures(images, bias=100 * u.adu, saturation=saturation, **NUMBERS)
        assert np.argwhere(exposures.bad).tolist() == [[1, 3, 4]]
        np.testing.assert_array_equal(exposures.saturated, exposures.bad)
    with pytest.raises(InputError, match="saturation must be greater than 0; got 0 adu"):
        load_exposures(images, saturation=0 * u.adu, **NUMBERS)
    with pytest.raises(InputError, match="saturation must be a Quantity"):
        load_exposures(images, saturation=400, **NUMBERS)


def test_globs_home_and_collections(tmp_path, monkeypatch):
    from ccdproc import ImageFileCollection

    monkeypatch.setenv("HOME", str(tmp_path))
    for i, ccd in enumerate(ccds()):
        ccd.write(tmp_path / f"e{i}.fits")
    names = tuple(str(tmp_path / f"e{i}.fits") for i in range(3))
    collection = ImageFileCollection(tmp_path)
    for items in (
        str(tmp_path / "e*.fits"),
        "~/e?.fits",
        [*names[:1], "~/e[12].fits"],
        tmp_path / "*.fits",
        collection,
    ):
        assert load_exposures(items, **NUMBERS).names == ("e0.fits", "e1.fits", "e2.fits")
        assert len(CRStack.from_files(items, **NUMBERS)) == 3
    with pytest.raises(InputError, match=r"exposures must be files that exist; got none for .*x\*\.fits"):
        load_exposures(str(tmp_path / "x*.fits"), **NUMBERS)
    with pytest.raises(InputError, match="exposures must be a list, or a path with wildcards; got the single path"):
        load_exposures(names[0], **NUMBERS)


@pytest.mark.parametrize("items", [3, b"abc", {"a": 1}, None])
def test_what_is_no_list(items):
    with pytest.raises(InputError, match="exposures must be a list, or a path with wildcards; got"):
        load_exposures(items, **NUMBERS)


def test_a_name_with_brackets_that_exists_is_a_file(tmp_path):
    images = ccds()
    for i, ccd in enumerate(images):
        ccd.write(tmp_path / f"a[{i}].fits")
    assert len(load_exposures([tmp_path / f"a[{i}].fits" for i in range(3)], **NUMBERS)) == 3


def test_an_overscan_that_is_blank_is_refused():
    images = ccds()
    images[1].data[:, 50:] = np.nan
    with pytest.raises(InputError, match="bias must be measured in a section with values; got none in exposure 2"):
        load_exposures(images, bias="[51:60,1:40]", trim="[1:50,1:40]", **NUMBERS)


@pytest.mark.filterwarnings("ignore:the exposures scatter by")
@pytest.mark.parametrize("trim", [None, "[1:50,1:40]"])
def test_a_bias_that_is_measured_in_light_is_noticed(trim):
    words = "the bias is measured in columns 41 to 51, rows 1 to 40, which are part of the exposure that is kept"
    with pytest.warns(CRStackWarning, match=words):
        load_exposures(ccds(bias=(500.0,) * 3), bias="[41:51,1:40]", trim=trim, **NUMBERS)


def test_an_overscan_that_is_kept_gives_one_warning(recwarn):
    load_exposures(ccds(bias=(500.0,) * 3, TRIMSEC="[1:50,1:40]"), bias="[51:60,1:40]", **NUMBERS)
    assert len([one for one in recwarn if "overscan" in str(one.message)]) == 1


def test_a_forgotten_bias_is_noticed():
    with pytest.warns(CRStackWarning, match="part of the level is not light. Is a bias still in the exposures"):
        load_exposures([ccd[:, :50] for ccd in ccds(bias=(500.0,) * 3)], **NUMBERS)


@pytest.mark.parametrize(
    ("unit", "bias", "expected"),
    [
        ("adu", 20 * u.electron, 10),
        ("electron", 20 * u.adu, 40),
        ("adu", 3 * u.adu / u.s, 3 * 8),
        ("adu/s", 3 * u.adu / u.s, 3 * 8),
        ("adu/s", 24 * u.adu, 24),
        ("adu/s", 6 * u.electron / u.s, 3 * 8),
        ("electron/s", 3 * u.adu / u.s, 6 * 8),
    ],
)
def test_a_bias_in_other_words(unit, bias, expected):
    """Counts or rates, ADU or electrons: it is subtracted in the counts of the exposures."""
    rng = np.random.default_rng(1)
    electrons = rng.poisson(600.0, (3, 30, 40)) + rng.normal(0, 4, (3, 30, 40))
    counts = electrons / (2 if unit.startswith("adu") else 1)
    seconds = 8 if unit.endswith("/s") else 1
    given = [CCDData((plane + expected) / seconds, unit=unit) for plane in counts]
    exposures = load_exposures(given, bias=bias, exptime=8 * u.s, **NUMBERS)
    assert exposures.unit == u.Unit(unit.split("/")[0])
    np.testing.assert_allclose(exposures.data, counts, rtol=1e-6)


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_bias_image_is_trimmed_like_the_exposures(trimmed):
    images, bias = ccds(), np.linspace(0, 100, 40 * 60).reshape(SHAPE)
    box = np.s_[2:40, 10:50]
    given = (bias[box] if trimmed else bias) * u.adu
    exposures = load_exposures(images, bias=given, trim="[11:50,3:40]", **NUMBERS)
    for plane, ccd in zip(exposures.data, images, strict=True):
        np.testing.assert_allclose(plane, (ccd.data - bias)[box], rtol=1e-5, atol=1e-4)
    with pytest.raises(InputError, match=r"bias must .*\(38, 40\)"):
        load_exposures(images, bias=bias[:30] * u.adu, trim="[11:50,3:40]", **NUMBERS)


@pytest.mark.parametrize("bias", ["header:BIAS", 500 * u.adu, ["header:BIAS"] * 3])
def test_a_bias_that_is_subtracted_is_not_in_the_results(bias):
    """The keyword would subtract it again."""
    stack = CRStack(
        [ccd[:, :50] for ccd in ccds(bias=(500.0,) * 3, BIAS=500.0, BIASFILE="b.fits")], bias=bias, **NUMBERS
    )
    stack.detect()
    for ccd in (stack.combine("median"), *stack.clean()):
        assert ccd.meta["BIAS"] == 0
        assert ccd.meta["BIASFILE"] == "b.fits"
        assert "crstack: bias subtracted; BIAS was 500 and is 0 now" in history_of(ccd.meta)


def test_a_bias_that_is_not_subtracted_stays_in_the_header():
    images = [ccd[:, :50] for ccd in ccds(BIAS=500.0, BIASSEC="[51:60,1:40]")]
    for bias in (None, 0 * u.adu, 3 * u.adu):
        found = load_exposures(images, bias=bias, **NUMBERS).header
        assert (found["BIAS"], found["BIASSEC"]) == (500, "[51:60,1:40]")


def test_sections_that_were_used_are_removed():
    images = ccds(bias=(500.0,) * 3, BIASSEC="[51:60,1:40]", LIT="[1:50,1:40]")
    with pytest.warns(CRStackWarning, match="names an overscan"):
        exposures = load_exposures(images, bias="header:BIASSEC", **NUMBERS)
    assert "BIASSEC" not in exposures.header
    assert "crstack: BIASSEC = [51:60,1:40] was used and is removed" in history_of(exposures.own_headers[2])
    trimmed = load_exposures(images, bias="header:BIASSEC", trim="header:LIT", **NUMBERS)
    assert "LIT" not in trimmed.header
    assert trimmed.shape == (40, 50)
    assert images[0].meta["LIT"] == "[1:50,1:40]"


@pytest.mark.parametrize(
    ("text", "number"), [("1.2 e-/ADU", 1.2 * u.electron / u.adu), ("4 electrons", 4 * u.electron), ("100", None)]
)
def test_a_number_with_its_unit(text, number):
    assert quantity_in_words(text, (u.electron, u.electron / u.adu)) == number


@pytest.mark.parametrize("of_each", [False, True])
def test_images_of_the_detector_as_ccddata(of_each):
    level = np.linspace(40, 60, SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    images = ccds()
    for image in images:
        image.data = image.data + level
    plain = load_exposures(images, **NUMBERS, bias=level * u.adu)
    bias = CCDData(level, unit=u.adu)
    found = load_exposures(
        images,
        gain=CCDData(np.full(SHAPE, 2.0), unit=GAIN),
        readnoise=CCDData(np.full(SHAPE, 4.0), unit=u.electron, mask=np.zeros(SHAPE, dtype=bool)),
        bias=[bias] * 3 if of_each else bias,
    )
    np.testing.assert_array_equal(found.data, plain.data)
    np.testing.assert_allclose(found.noise.variance(100.0), plain.noise.variance(100.0), rtol=1e-6)
    assert found.digests == plain.digests


@pytest.mark.parametrize(
    ("bias", "message"),
    [
        (CCDData(np.zeros((3, 4)), unit=u.adu), r"bias must have the shape \(40, 60\) .*; got \(3, 4\)"),
        (CCDData(np.zeros(SHAPE), unit=u.s), "bias must be in adu; got s"),
        (
            CCDData(np.zeros(SHAPE), unit=u.adu, mask=np.eye(*SHAPE, dtype=bool)),
            "bias must not be masked; got 40 masked values: fill them, and mask these pixels in the exposures",
        ),
        (
            "bias.fits",
            r"bias must be a section .* got 'bias.fits' .*: an image is given as CCDData.read\('bias.fits'\)",
        ),
    ],
)
def test_a_bias_that_is_no_image_of_the_exposures(bias, message):
    with pytest.raises(InputError, match=message):
        load_exposures(ccds(), **NUMBERS, bias=bias)
