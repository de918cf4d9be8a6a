"""`crstack run`: its input, its products, and its messages about wrong input."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.wcs import WCS
from support.parameter_files import BIAS, EXAMPLE, GAIN, NAMES, READNOISE, check_refused, refused, write_parameters
from support.products import IMAGES, PRODUCTS, SEVEN

from crstack import CRStack, LACosmicDetector, MaskSet, PyCosmicDetector
from crstack.cli import main
from crstack.combine.files import write_combination

REPORT = "report.html"


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """They take seconds, and are tested in test_cli_figures.py."""
    monkeypatch.setattr("crstack.pipeline.products.write_figures", lambda *arguments, **options: [])


# input and products


@pytest.mark.filterwarnings("ignore:the exposures scatter")
@pytest.mark.filterwarnings("ignore::crstack.exceptions.ImplausibleResultWarning")  # its gain is not that of the images
def test_example_of_the_manual_as_it_stands(here, capsys):
    assert main(["run", str(EXAMPLE), "--output_dir", "out", "-v"]) == 0
    out, err = capsys.readouterr()
    assert {path.name for path in Path("out").iterdir()} == {*PRODUCTS, REPORT}
    assert "interactive: True has no effect, because matplotlib cannot open a window" in err
    assert err.count("\n") == 1
    for words in ("found input file: fake_1a.fits", "mm_threshold", "10.2", "M.M.Cosmic, before dilation", "total"):
        assert words in out


@pytest.mark.parametrize("crmethod", ["lacosmic", "pycosmic", "mmcosmic", "mm_lacosmic", "mm_pycosmic"])
def test_every_method_is_that_of_the_library(here, example_exposures, crmethod):
    path = write_parameters("p.yaml", crmethod=crmethod)
    assert main(["run", path, "--output-dir", "out", "--no-plots", "--log-level", "error"]) == 0
    assert {one.name for one in Path("out").iterdir()} == PRODUCTS
    stack = CRStack(
        example_exposures.exposures,
        gain=GAIN * u.electron / u.adu,
        readnoise=READNOISE / GAIN * u.adu,
        bias=BIAS * u.adu,
    )
    aux = {"lacosmic": LACosmicDetector(fsmode="convolve"), "pycosmic": PyCosmicDetector()}.get(
        crmethod.removeprefix("mm_")
    )
    boundary = None
    if crmethod.startswith("mm"):
        stack.mm_diagram(aux=aux, n_simulations=2, seed=123456)
        boundary = stack.fit_boundary("spline")
    masks = stack.detect(aux=aux, boundary=boundary)
    written = MaskSet.read("out/crmasks.fits")
    assert masks["MEANCRT"].sum() > 20
    for name in masks:
        np.testing.assert_array_equal(written.codes[name], masks.codes[name])
    for name in SEVEN:
        expected = stack.combine(name, masks=masks, full_output=True)
        with fits.open(f"out/combined_{name}.fits") as hdus:
            np.testing.assert_array_equal(hdus[0].data, expected.ccd.data)
            np.testing.assert_array_equal(hdus["VARIANCE"].data, expected.ccd.uncertainty.array)
            np.testing.assert_array_equal(hdus["MAP"].data, expected.count)


def test_products(here, example_exposures):
    path = write_parameters("p.yaml")
    assert main(["run", path, "--output-dir", "out", "--log-level", "error"]) == 0
    first = fits.getheader(NAMES[0])
    masks = MaskSet.read("out/crmasks.fits")
    assert masks.problematic.any()
    for name in SEVEN:
        with fits.open(f"out/combined_{name}.fits") as hdus:
            header = hdus[0].header
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "VARIANCE", "MAP", "MASK", "FLAGS"]
            kinds = [np.float32, np.float32, np.int16, np.uint8, np.uint8]
            assert [hdu.data.dtype.newbyteorder("=") for hdu in hdus] == kinds
            assert header["BUNIT"].lower() == "adu"
            for key in ("OBJECT", "DATE-OBS", "EXPTIME", "GAIN", "EXPNUM"):
                assert header[key] == first[key]
            assert WCS(header).wcs.compare(WCS(first).wcs, tolerance=1e-9)
            history = "".join(f"{line:<72}" for line in header["HISTORY"])
            for words in ("crstack ", "crmethod: mm_pycosmic", "mm_seed: 123456", "bias: 100", *NAMES, masks.uuid):
                assert words in history
            if name not in ("mean", "median", "min"):
                assert (hdus["MAP"].data[masks.problematic] == 0).all()
    with fits.open("out/combined_meancr.fits") as hdus:
        np.testing.assert_array_equal(hdus["MAP"].data, (~masks.crmasks).sum(axis=0))
    with fits.open("out/crmasks.fits") as hdus:
        assert "mm_seed: 123456" in str(hdus[0].header["HISTORY"])
        assert hdus["MEDIANCR"].data.dtype == np.uint8


def test_masks_of_another_run_give_the_same_products(here):
    path = write_parameters("p.yaml", use_auxmedian=True)
    assert main(["run", path, "--output-dir", "one", "--log-level", "error"]) == 0
    again = ["run", path, "--output-dir", "two", "--crmasks", "one/crmasks.fits", "--log-level", "error"]
    assert main(again) == 0
    assert {one.name for one in Path("two").iterdir()} == {*PRODUCTS, REPORT}
    for name in IMAGES:
        with fits.open(f"one/{name}") as one, fits.open(f"two/{name}") as two:
            for hdus in (one, two):
                hdus[0].header.remove("HISTORY", remove_all=True)
            difference = fits.FITSDiff(one, two)
            assert difference.identical, difference.report()
    assert "masks from: one/crmasks.fits" in str(fits.getheader("two/combined_mean.fits")["HISTORY"])
    # the history has the settings that found the masks, each once
    history = [str(line) for line in fits.getheader("two/combined_mean.fits")["HISTORY"]]
    for setting in ("use_auxmedian: True", "mm_seed: 123456", "mm_nsimulations: 2", "variance: model"):
        assert history.count(setting) == 1
    masks = MaskSet.read("one/crmasks.fits")
    replaced = fits.getdata("one/combined_mediancr.fits")[masks["MEDIANCR"]]
    np.testing.assert_array_equal(replaced, masks.auxclean[masks["MEDIANCR"]])
    stamp = Path("one/crmasks.fits").stat().st_mtime_ns
    again[3] = "one"
    assert main(again) == 0
    assert Path("one/crmasks.fits").stat().st_mtime_ns == stamp


@pytest.mark.filterwarnings("ignore:flux_factors as given do not fit")
def test_masks_of_another_run_bring_their_flux_factors(here):
    scaled = {"crmethod": "pycosmic", "apply_flux_factor_to": "original"}
    one = write_parameters("one.yaml", flux_factor=[0.8, 1.0, 1.2], **scaled)
    two = write_parameters("two.yaml", flux_factor="auto", flux_factor_regions=[[1, 5, 1, 5]], **scaled)
    options = ["--no-plots", "--log-level", "error"]
    assert main(["run", one, "--output-dir", "one", *options]) == 0
    assert main(["run", two, "--output-dir", "two", "--crmasks", "one/crmasks.fits", *options]) == 0
    for name in ("mean", "meancr2"):
        first, second = (fits.getdata(f"{folder}/combined_{name}.fits") for folder in ("one", "two"))
        np.testing.assert_array_equal(first, second)
    # the exposures are not divided by the factors if the file says so
    plain = write_parameters("plain.yaml", crmethod="pycosmic", flux_factor=[0.8, 1.0, 1.2])
    assert main(["run", plain, "--output-dir", "plain", "--crmasks", "one/crmasks.fits", *options]) == 0
    assert (fits.getdata("plain/combined_mean.fits") != fits.getdata("one/combined_mean.fits")).any()


@pytest.mark.filterwarnings("always::crstack.exceptions.CRStackWarning")
def test_masks_of_other_exposures_have_one_warning(here, capsys):
    path = write_parameters("p.yaml", crmethod="pycosmic")
    options = ["--no-plots", "--log-level", "warning"]
    assert main(["run", path, "--output-dir", "one", *options]) == 0
    with fits.open(NAMES[1], mode="update") as hdus:
        hdus[0].data[3, 4] += 1
    capsys.readouterr()
    assert main(["run", path, "--output-dir", "two", "--crmasks", "one/crmasks.fits", *options]) == 0
    found = [line for line in capsys.readouterr().err.splitlines() if "made from exposures with other values" in line]
    assert len(found) == 1
    assert f"masks of one/crmasks.fits were made from exposures with other values: {NAMES[1]} differ" in found[0]


def test_as_a_process(here):
    path = write_parameters("p.yaml", crmethod="pycosmic")
    command = [sys.executable, "-c", "import sys; from crstack.cli import main; sys.exit(main())"]
    arguments = ["run", path, "--output-dir", "out", "--no-plots", "--log-file", "out/run.log"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Traceback" not in done.stdout
    text = Path("out/run.log").read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ INFO +found input file: fake_1a.fits$", text, re.MULTILINE)
    assert "crmasks.fits" in text
    done = subprocess.run([*command, "run", "nothing.yaml"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.count("error")) == (2, 0)
    assert re.fullmatch(r"crstack: error: parameter file must be readable; got nothing.yaml .*\n", done.stderr)


def test_images_beside_the_parameter_file(images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = write_parameters(images / "p.yaml", crmethod="pycosmic")
    assert main(["run", path, "-v"]) == 0
    assert f"found input file: {images / NAMES[0]}" in capsys.readouterr().out
    assert {one.name for one in tmp_path.iterdir()} == {*PRODUCTS, REPORT}


def test_image_in_both_places(here, images, capsys):
    for name in NAMES:
        Path(name).unlink()
    with fits.open(images / NAMES[0]) as hdus:
        hdus.writeto(NAMES[0])
    path = write_parameters(images / "q.yaml", crmethod="pycosmic")
    assert main(["run", path, "--output-dir", "out", "--log-level", "warning"]) == 0
    expected = f"crstack: warning: {NAMES[0]} is used from the current directory, not {images / NAMES[0]}\n"
    assert capsys.readouterr().err == expected


def test_electrons_come_back_in_electrons(example_exposures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, ccd in zip(NAMES, example_exposures.exposures, strict=True):
        ccd.multiply(GAIN * u.electron / u.adu).write(name)
    path = write_parameters("e.yaml", gain=1.0, rnoise=READNOISE, bias=BIAS * GAIN)
    assert main(["run", path, "--output-dir", "out", "--log-level", "error"]) == 0
    assert fits.getheader("out/combined_mean.fits")["BUNIT"] == "electron"
    expected = np.mean([ccd.data for ccd in example_exposures.exposures], axis=0) - BIAS
    np.testing.assert_allclose(fits.getdata("out/combined_mean.fits"), GAIN * expected, atol=0.01)


def test_fixed_points_and_rules_reach_the_library(here):
    changes = {
        "mm_boundary_fit": "piecewise",
        "mm_fixed_points_in_boundary": [[0, "6.0E1"], [100, 900.0, 10]],
        "regions_to_be_skipped": [[1, 80, 1, 30]],
        "pixels_to_be_flagged_as_cr": [[3, 4]],
        "pixels_to_be_ignored_as_cr": [[70, 50]],
        "dilation": 1,
        "mm_photon_distribution": "nbinom",
        "mm_synthetic": "single",
        "mm_hist2d_min_neighbors": 2,
    }
    path = write_parameters("p.yaml", **changes)
    assert main(["run", path, "--output-dir", "out", "--log-level", "error"]) == 0
    codes = MaskSet.read("out/crmasks.fits").codes["MEANCRT"]
    assert np.argwhere(codes[:30]).tolist() == [[3, 2]]
    assert codes[49, 69] == 0
    assert (codes == 1).any()


def test_y_axis_holds_the_fixed_points(here, monkeypatch):
    def look(results, *arguments, **options):
        seen["top"] = results.masks.decision.diagram.y_edges[-1]
        return []

    seen = {}
    monkeypatch.setattr("crstack.pipeline.products.write_figures", look)
    path = write_parameters("p.yaml", crmethod="mmcosmic", mm_fixed_points_in_boundary=[[10, 5000.0]])
    assert main(["run", path, "--output-dir", "out", "--log-level", "error"]) == 0
    assert seen["top"] > 5000


def test_verbose_false_tells_less(here, capsys):
    path = write_parameters("p.yaml", crmethod="pycosmic", pc_verbose=False)
    assert main(["run", path, "--output-dir", "out"]) == 0
    out = capsys.readouterr().out
    assert "sigma_det" not in out
    assert "auxiliary detector" not in out
    assert "la_" not in out
    assert "mm_nsimulations" not in out


def test_names_that_fits_headers_cannot_hold(here, monkeypatch):
    Path("données").mkdir()
    for name in NAMES:
        (Path("données") / name).symlink_to(Path(name).resolve())
    path = write_parameters("p.yaml", images=[f"données/{name}" for name in NAMES], crmethod="pycosmic")
    assert main(["run", path, "--output-dir", "out", "--log-level", "error"]) == 0
    assert r"donn\xe9es/fake_2a.fits" in str(fits.getheader("out/combined_mean.fits")["HISTORY"])


def test_directory_that_cannot_be_written_any_more(here, capsys, monkeypatch):
    def full(self, path, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MaskSet, "write", full)
    path = write_parameters("p.yaml", crmethod="pycosmic")
    assert main(["run", path, "--output-dir", "out"]) == 1
    assert "crmasks.fits must be writable; got No space left on device" in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("number", ["1", "2"])
def test_combination_that_cannot_be_written(here, capsys, monkeypatch, number):
    # the first products are complete and stay; the one that was made while the third was written is lost
    written = []

    def full(path, combination, history, **options):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(combination.name)
        write_combination(path, combination, history, **options)

    monkeypatch.setenv("CRSTACK_NUM_THREADS", number)
    monkeypatch.setattr("crstack.pipeline.products.write_combination", full)
    path = write_parameters("p.yaml", crmethod="pycosmic")
    assert main(["run", path, "--output-dir", "out"]) == 1
    assert written == ["mean", "median"]
    assert "combined_min.fits must be writable; got No space left on device" in capsys.readouterr().err


def test_interrupt(here, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(CRStack, "detect", interrupt)
    path = write_parameters("p.yaml", crmethod="pycosmic")
    assert main(["run", path, "--output-dir", "out"]) == 130
    assert "crstack: error: interrupted" in capsys.readouterr().err
    assert not Path("out").exists()


def test_unexpected_errors_keep_their_traceback(here, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(CRStack, "detect", fail)
    path = write_parameters("p.yaml", crmethod="pycosmic")
    with pytest.raises(ZeroDivisionError):
        main(["run", path, "--output-dir", "out"])


# messages about wrong images, masks and positions


def test_images_that_do_not_do(here, capsys, example_exposures):
    def check(match, **changes):
        check_refused(capsys, match, images=[*NAMES[:2], "odd.fits"], **changes)

    check("images must be files that exist; got odd.fits")
    Path("odd.fits").write_text("SIMPLE is not what this is")
    check("images must be a readable FITS file; got odd.fits")
    Path("odd.fits").write_bytes(b"")
    check("images must be a readable FITS file; got odd.fits")
    Path("odd.fits").unlink()
    odd = example_exposures.exposures[2]
    odd[:50].write("odd.fits")
    check(r"images must share one shape; got \(60, 80\) for fake_1a.fits and \(50, 80\) for odd.fits")
    odd.multiply(GAIN * u.electron / u.adu).write("odd.fits", overwrite=True)
    check("images must share one unit; got adu for fake_1a.fits and electron for odd.fits")
    odd.multiply(np.nan).write("odd.fits", overwrite=True)
    check("must have valid pixels; got none in .*odd.fits")
    fits.writeto("odd.fits", np.zeros((2, 60, 80)), overwrite=True)
    check("must hold a 2-D image; got 3 dimensions. Write each plane of the cube to a file of its own")
    check_refused(capsys, r"extnum must be one of 0.* got 4", extnum=4)
    check_refused(capsys, r"extnum must be one of 0.* got 'SCI'", extnum="SCI")


def test_gain_of_images_in_electrons(here, capsys, example_exposures):
    for name in NAMES:
        Path(name).unlink()
    for name, ccd in zip(NAMES, example_exposures.exposures, strict=True):
        ccd.multiply(GAIN * u.electron / u.adu).write(name)
    check_refused(capsys, "gain must be 1 for images in electrons")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("regions_to_be_skipped", [[1, 81, 1, 10]]),
        ("pixels_to_be_flagged_as_cr", [[1, 1], [1, 61]]),
        ("pixels_to_be_ignored_as_cr", [[81, 1]]),
    ],
)
def test_places_outside_the_image(here, capsys, key, value):
    check_refused(capsys, f"{key} must lie inside the image of 80 x 60 pixels", **{key: value})


def test_output_directory_that_cannot_be(here, capsys):
    path = write_parameters("p.yaml")
    Path("file").write_text("")
    refused(capsys, ["run", path, "--output-dir", "file/out"], "output directory must be writable; got file/out")
    refused(capsys, ["run", path, "--output-dir", "file"], "output directory must be writable; got file")
    refused(capsys, ["run", path, "--output-dir", "new/" + 300 * "e"], "must have a shorter name; got new/ee")
    settings = yaml.safe_load(Path(path).read_text())
    images = settings.pop("images")
    Path("night.yaml").write_text(yaml.safe_dump({"defaults": settings, "stacks": {"one": images}}))
    refused(capsys, ["batch", "night.yaml", "--output-dir", "file"], "output directory must be writable; got file")


def test_log_file_that_cannot_be(here, capsys):
    path = write_parameters("p.yaml")
    log = ["--output-dir", "out", "--log-file"]
    refused(capsys, ["run", path, *log, "elsewhere/run.log"], "log file must be in a directory that exists")
    refused(capsys, ["run", path, *log, "."], "log file must be writable")


def test_a_disk_that_is_read_only_is_noticed_before_the_exposures_are_read(here, capsys, monkeypatch):
    """The rights of the directory allow to write."""

    def read_only(dir, **options):
        raise OSError(30, "Read-only file system")

    Path("disk").mkdir()
    path = write_parameters("p.yaml")
    monkeypatch.setattr("crstack.pipeline.prepare.inspect_images", lambda *args: pytest.fail("files are opened"))
    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    message = f"got disk, where {Path('disk').absolute()} cannot be written (Read-only file system)"
    refused(capsys, ["run", path, "--output-dir", "disk"], re.escape(message))


def test_a_log_file_on_such_a_disk(here, capsys, monkeypatch):
    make = tempfile.TemporaryFile

    def on_one_disk(dir, **options):
        if Path(dir).name == "logs":
            raise OSError(30, "Read-only file system")
        return make(dir=dir, **options)

    Path("logs").mkdir()
    path = write_parameters("p.yaml")
    monkeypatch.setattr(tempfile, "TemporaryFile", on_one_disk)
    message = "log file must be writable; got logs/run.log, where logs cannot be written (Read-only file system)"
    refused(capsys, ["run", path, "--output-dir", "out", "--log-file", "logs/run.log"], re.escape(message))


def test_masks_that_do_not_fit(here, capsys, example_exposures):
    path = write_parameters("p.yaml", use_auxmedian=True)
    arguments = ["run", path, "--output-dir", "out", "--crmasks", "m.fits"]
    refused(capsys, arguments, "masks must be a FITS file that exists; got m.fits")
    fits.writeto("m.fits", np.zeros((60, 80)))
    refused(capsys, arguments, "m.fits must be a file of masks, with the extensions MEDIANCR, .*; got none of them")

    def write(shape, n):
        names = ["MEDIANCR", "MEANCRT", *(f"CRMASK{i + 1}" for i in range(n)), "MEANCR"]
        MaskSet({name: np.zeros(shape, dtype=np.uint8) for name in names}).write("m.fits", overwrite=True)

    write((50, 80), 3)
    refused(capsys, arguments, r"masks of m.fits must have the shape \(60, 80\) of the exposures; got \(50, 80\)")
    write((60, 80), 4)
    refused(capsys, arguments, "must be of 3 exposures; got 4")
    write((60, 80), 3)
    refused(capsys, arguments, "use_auxmedian must be False with masks that have no AUXCLEAN")


def test_errors_of_the_work_reach_the_log_file(here, capsys, monkeypatch):
    def fail(*arguments, **keywords):
        raise MemoryError("Unable to allocate 3.1 TiB")

    path = write_parameters("p.yaml")
    monkeypatch.setattr(CRStack, "detect", fail)
    assert main(["run", path, "--output-dir", "out", "--log-file", "run.log"]) == 1
    assert "ERROR   memory must suffice for 3 exposures of 80 x 60 pixels" in Path("run.log").read_text()
    assert "Unable to allocate 3.1 TiB" in capsys.readouterr().err
    assert not Path("out").exists()


def test_the_calibrated_boundary(here, capsys):
    """By name in the parameter file, with its parameters beside it."""
    given = {"mm_boundary_fit": "calibrated", "boundary": {"false_alarm": 1e-4, "n_draws": 10_000}}
    path = write_parameters("p.yaml", crmethod="mmcosmic", mm_threshold_rnoise=0, **given)
    assert main(["run", path, "--output-dir", "out", "--no-plots"]) == 0
    history = "".join(MaskSet.read("out/crmasks.fits").history)
    assert "CalibratedBoundary(false_alarm=0.0001" in history
    path = write_parameters("q.yaml", crmethod="mmcosmic", mm_boundary_fit="calibrated", boundary={"false_alarm": 2})
    assert main(["run", path, "--output-dir", "out2"]) == 2
    assert "false_alarm must be a number" in capsys.readouterr().err


def test_the_joint_decision(here, capsys):
    """By name in the parameter file, and with its parameters."""
    path = write_parameters("p.yaml", crmethod="joint", joint={"probability": 0.9})
    assert main(["run", path, "--output-dir", "out"]) == 0
    masks = MaskSet.read("out/crmasks.fits")
    assert masks["CRMASK1"].any()
    assert masks.probability is not None
    with fits.open("out/combined_meanjoint.fits") as hdus:
        assert (hdus["VARIANCE"].data > 0).all()
    assert any("probability=0.9" in line for line in masks.history)
    path = write_parameters("q.yaml", crmethod="joint_pycosmic")
    assert main(["run", path, "--output-dir", "out2"]) == 0
    capsys.readouterr()
    path = write_parameters("r.yaml", crmethod="joint", joint={"probabilty": 0.9})
    assert main(["run", path, "--output-dir", "out3"]) == 2
    assert "probability" in capsys.readouterr().err
