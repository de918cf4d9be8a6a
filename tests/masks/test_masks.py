"""The rules of the masks, and masks on disk."""

import shutil
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from support.stacks import stack_of

from crstack import Code, CRStack, MaskRules, MaskSet, MMCosmic, PiecewiseBoundary, read
from crstack.exceptions import CRStackWarning, InputError
from crstack.masks.codes import united
from crstack.masks.counts import _column_of
from crstack.masks.rules import codes_of_detector
from crstack.mmcosmic.limits import detection_limit, image_codes
from crstack.statistics import order_statistics

pytestmark = pytest.mark.usefixtures("quick_joint")

READNOISE = 2.0
NO_RULES = MaskRules()
LIMITS = {"threshold_rnoise": 3.0, "minimum_max2d_rnoise": 5.0}
BOUNDARY = PiecewiseBoundary([(0, 20), (100, 40)]).fit(None)


def codes_of(
    hits, rules=NO_RULES, boundary=BOUNDARY, auxiliary=None, bad=None, base=50.0, mm_dilation=0, **limits
):  # fmt: skip
    """Codes of the median of three exposures; ``hits`` maps (y, x) to the excess of two of them."""
    cube = np.full((3, 20, 24), base, dtype=np.float32)
    for (y, x), excess in hits.items():
        cube[1:, y, x] += excess
    statistics = order_statistics(cube, 2)
    if auxiliary is not None:
        mask = np.zeros((20, 24), bool)
        mask[tuple(zip(*auxiliary, strict=True))] = True
        auxiliary = mask
    if boundary is None:
        return codes_of_detector(auxiliary, rules, bad)[0]
    limit = detection_limit(statistics, boundary, READNOISE, **(LIMITS | limits))
    return image_codes(statistics.median2d, limit, rules, mm_dilation=mm_dilation, auxiliary=auxiliary, bad=bad)[0]


def flagged(codes):
    return set(map(tuple, np.argwhere(codes)))


def test_over_the_boundary_only():
    assert flagged(codes_of({(5, 5): 30.5, (9, 9): 29.5})) == {(5, 5)}


def test_threshold_holds_above_a_low_boundary():
    low = PiecewiseBoundary([(0, 1), (100, 1)]).fit(None)
    assert flagged(codes_of({(5, 5): 6.5, (9, 9): 5.5}, boundary=low, threshold_rnoise=3)) == {(5, 5)}


def test_least_maximum():
    # a low value in one exposure: median - min is large, but the maximum is not
    assert flagged(codes_of({(5, 5): 31}, base=-22.0, minimum_max2d_rnoise=5)) == set()
    assert flagged(codes_of({(5, 5): 33}, base=-22.0, minimum_max2d_rnoise=5)) == {(5, 5)}


def test_limits_of_the_method_are_in_the_unit_of_the_exposures(flat_exposures):
    """Read noises of 8 electrons are 4 ADU."""
    exposures = flat_exposures(signal=5.0, readnoise=8.0)
    stack = CRStack(exposures, gain=2 * u.electron / u.adu, readnoise=8 * u.electron)
    low = PiecewiseBoundary([(0, 1), (100, 1)])
    method = MMCosmic(boundary=low, threshold_rnoise=3, minimum_max2d_rnoise=2)
    limit = method._limits(stack.prepared, low.fit(None))("median")
    assert limit.threshold == 3 * 4
    max2d = stack.prepared.compared.max2d
    np.testing.assert_array_equal(limit.boundary, np.where(max2d > 2 * 4, 12, np.inf))
    assert 0.2 < np.mean(max2d > 2 * 4) < 0.8
    high = PiecewiseBoundary([(0, 100), (100, 100)])
    decision = stack.detect(MMCosmic(boundary=high, threshold_rnoise=3), aux=None).decision
    assert decision.threshold == decision.in_diagram("MEDIANCR").threshold == 3 * 4


@pytest.mark.parametrize("radius", [1, 2])
def test_mm_dilation_is_square_and_stops_at_the_edge(radius):
    codes = codes_of({(0, 0): 50, (10, 10): 50}, mm_dilation=radius)
    side = 2 * radius + 1
    assert len(flagged(codes)) == side**2 + (radius + 1) ** 2
    assert set(np.unique(codes)) == {Code.CLEAN, Code.MMCOSMIC}


def test_codes_say_who():
    hits = {(5, 5): 50, (5, 6): 50, (12, 12): 10}
    codes = codes_of(hits, auxiliary=[(5, 6), (5, 7), (12, 12)])
    assert codes[5, 5] == Code.MMCOSMIC
    assert codes[5, 6] == Code.BOTH
    assert codes[5, 7] == Code.AUXILIARY
    assert codes[12, 12] == Code.AUXILIARY


def test_auxiliary_features_without_a_pixel_over_the_threshold_are_dropped():
    # (12, 12) has 5 < 6, its diagonal neighbour 7; (16, 3) is isolated and below the threshold
    codes = codes_of({(12, 12): 5, (13, 13): 7, (16, 3): 5}, auxiliary=[(12, 12), (13, 13), (16, 3)])
    assert flagged(codes) == {(12, 12), (13, 13)}
    alone = codes_of({(16, 3): 5}, boundary=None, auxiliary=[(16, 3)])
    assert flagged(alone) == {(16, 3)}


def test_global_dilation_has_its_own_code():
    codes = codes_of({(10, 10): 50, (10, 11): 10}, MaskRules(dilation=1), auxiliary=[(10, 11)])
    assert codes[10, 10] == Code.MMCOSMIC
    assert codes[10, 11] == Code.AUXILIARY
    # a frame of one pixel around the pair
    assert np.count_nonzero(codes == Code.DILATED) == 10
    assert codes[9, 9] == Code.DILATED


def test_skip_ignore_and_force():
    rules = MaskRules(skip_regions=[(1, 8, 1, 8)], ignore_pixels=[(11, 11)], force_pixels=[(2, 3), (20, 19)])
    codes = codes_of({(5, 5): 50, (10, 10): 50, (15, 15): 50}, rules)
    assert flagged(codes) == {(2, 1), (15, 15), (18, 19)}
    assert codes[2, 1] == codes[18, 19] == Code.GIVEN


def test_bad_pixels_are_not_flagged():
    bad = np.zeros((20, 24), bool)
    bad[5, 5] = bad[9, 9] = True
    codes = codes_of({(5, 5): 50, (9, 10): 50}, mm_dilation=1, bad=bad)
    assert not codes[bad].any()
    assert np.count_nonzero(codes) == 8


def test_united_keeps_who_found_it():
    clean, dilated, mm, aux, both, given, *_ = Code
    pairs = {
        (clean, clean): clean,
        (mm, clean): mm,
        (mm, aux): both,
        (dilated, clean): dilated,
        (dilated, mm): mm,
        (clean, both): both,
        (given, mm): given,
    }
    for (one, other), expected in pairs.items():
        for a, b in ((one, other), (other, one)):
            assert united(np.array([[a]], np.uint8), np.array([[b]], np.uint8)) == expected


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"dilation": 0.5}, "dilation must be an integer; got 0.5"),
        ({"skip_regions": [(1, 2, 3)]}, r"skip_regions 1 must be four integers .* got \(1, 2, 3\)"),
        ({"skip_regions": [(5, 2, 1, 3)]}, "skip_regions 1 must have 1 <= xmin <= xmax"),
        ({"force_pixels": [(0, 1)]}, "force_pixels 1 must have 1 <= xmin"),
        ({"ignore_pixels": [(1, 1, 1)]}, r"ignore_pixels 1 must be two integers \[X, Y\]; got"),
    ],
)
def test_bad_rules(rules, message):
    with pytest.raises(InputError, match=message):
        MaskRules(**rules)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mm_dilation": -1}, "mm_dilation must be an integer at least 0; got -1"),
        ({"threshold_rnoise": -1}, "threshold_rnoise must be a number at least 0; got -1"),
        ({"boundary": 3}, "boundary must be a BoundaryModel"),
        ({"diagram": 3}, "diagram must be an MMDiagram or DiagramSettings; got 3"),
    ],
)
def test_bad_parameters_of_mmcosmic(parameters, message):
    with pytest.raises(InputError, match=message):
        MMCosmic(**parameters)


def test_regions_must_lie_inside(stack):
    with pytest.raises(InputError, match="skip_regions 1 must lie inside the image of 180 x 150 pixels"):
        stack.detect("mmcosmic", aux=None, rules=MaskRules(skip_regions=[(1, 181, 1, 10)]))
    with pytest.raises(InputError, match="force_pixels 1 must lie inside"):
        stack.detect("mmcosmic", aux=None, rules=MaskRules(force_pixels=[(1, 151)]))


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
    with pytest.raises(InputError, match="masks must hold MEDIANCR, MEANCRT, MEANCR and CRMASK1"):
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


# masks that were edited between writing and reading


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
        for name in ("auxclean", "probability", "signal_shift", "excess_variance"):
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
