"""Many stacks: products, skipped stacks, repeated stacks and reports."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import Table

from crstack import MaskSet
from crstack.batch import run
from crstack.cli import main
from crstack.datasets import make_stack
from crstack.exceptions import InputError
from crstack.pipeline.space import product_sizes


@pytest.fixture
def in_this_process():
    """An executor that starts no process."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def states(table):
    return dict(zip(table["name"], table["state"], strict=True))


def test_the_command_from_start_to_second_call(night, capsys):
    assert main(["batch", "night.yaml", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "star" in out
    assert err == "crstack: warning: stacks must have files that exist, or they fail; got broken (no1.fits)\n"
    assert not Path("out").exists()
    assert main(["batch", "night.yaml", "--output-dir", "out", "-j", "2", "--no-plots"]) == 1
    out, err = capsys.readouterr()
    # what is under way is shown before any stack has finished
    first, second, *_ = out.splitlines()
    assert first.startswith("   0/3  started after 0 s: star, galaxy")
    assert second.startswith("   1/3  ")
    assert "started after" not in second
    assert "1 of 3 stacks failed: broken" in err
    assert "images must be files that exist" in err
    table = Table.read("out/results.ecsv")
    assert states(table) == {"star": "done", "galaxy": "done", "broken": "failed"}
    assert (table["seconds"][:2] > 0).all()
    assert (table["peak_memory"][:2] > 50).all()
    assert list(table["measured"][:2]) == ["none", "none"]  # the exposures are alike
    masks = MaskSet.read("out/star/crmasks.fits")
    assert table["n_meancrt"][0] == np.count_nonzero(masks["MEANCRT"]) > 50
    assert table["n_crmask"][0] == np.count_nonzero(masks.crmasks)
    assert table["fraction_crmask"][0] == pytest.approx(masks.crmasks.mean())
    assert not list(Path("out").glob(".*"))
    assert main(["run", "out/parameters/star.yaml", "--output-dir", "alone", "--no-plots"]) == 0
    np.testing.assert_array_equal(MaskSet.read("alone/crmasks.fits").crmasks, masks.crmasks)
    before = Path("out/star/crmasks.fits").stat().st_mtime_ns
    assert main(["batch", "night.yaml", "--output-dir", "out", "--no-plots"]) == 1
    assert states(Table.read("out/results.ecsv")) == {"star": "skipped", "galaxy": "skipped", "broken": "failed"}
    assert Path("out/star/crmasks.fits").stat().st_mtime_ns == before


def test_what_is_computed_again_and_why(exposure_files, settings, in_this_process, tmp_path):
    def results(**changes):
        options = {"output_dir": tmp_path / "out", "executor": in_this_process, "plots": False}
        return run({"star": exposure_files["star"]}, settings, **(options | changes))[0]

    assert results()["message"] == ""
    product, notes = tmp_path / "out/star/combined_mean.fits", tmp_path / "out/star/notes.txt"
    notes.write_text("mine")
    assert results()["state"] == "skipped"
    product.write_bytes(product.read_bytes()[:-2880])
    row = results()
    assert (row["state"], row["message"]) == ("done", "computed again: product combined_mean.fits has changed")
    assert fits.getdata(product).shape == (60, 80)
    assert notes.read_text() == "mine"
    assert results(redo=True)["message"] == "computed again: asked for again"
    settings["gain"] = 1.1
    assert results()["message"] == "computed again: its settings have changed"
    (tmp_path / "out/star/batch_record.json").unlink()
    assert results()["message"] == "computed again: its directory has no record"
    assert notes.read_text() == "mine"


def test_a_run_that_fails_leaves_what_was_complete(exposure_files, settings, in_this_process, tmp_path, monkeypatch):
    options = {"output_dir": tmp_path / "out", "executor": in_this_process, "plots": False}
    stacks = {"star": exposure_files["star"]}
    run(stacks, settings, **options)
    before = (tmp_path / "out/star/combined_mean.fits").read_bytes()

    def fail(*args, **kwargs):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("crstack.batch.products.run_any", fail)
    row = run(stacks, settings, redo=True, **options)[0]
    assert row["state"] == "failed"
    assert "No space left" in row["message"]
    assert (tmp_path / "out/star/combined_mean.fits").read_bytes() == before
    assert not list((tmp_path / "out").glob(".*"))


def test_a_table_and_a_directory_through_the_command(exposure_files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("gain: 1.0\nrnoise: 3.4\nrequirements: {crmethod: joint}\n")
    raw = Path(exposure_files["star"][0]).parent
    rows = [(name, path) for name, paths in exposure_files.items() for path in paths]
    Table(rows=rows, names=("stack", "images")).write("night.ecsv")
    for arguments in (["night.ecsv"], [str(raw), "--group-by", "OBJECT"]):  # groups are listed without settings
        assert main(["batch", *arguments, "--dry-run"]) == 0
        listed = capsys.readouterr().out
        assert "galaxy" in listed
        assert "The settings were not checked: --settings was not given" in listed
    assert main(["batch", "night.ecsv"]) == 2
    assert "got nothing: give a parameter file without images by --settings" in capsys.readouterr().err
    assert main(["batch", "night.ecsv", "--settings", "params.yaml", "--dry-run"]) == 0
    listed = capsys.readouterr().out
    assert "galaxy" in listed
    assert "not checked" not in listed
    arguments = [
        "batch",
        str(raw),
        "--group-by",
        "OBJECT",
        "--only",
        "OBJECT=star",
        "--settings",
        "params.yaml",
        "--dry-run",
    ]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "star" in out
    assert "galaxy" not in out


@pytest.mark.filterwarnings("always")
def test_a_dry_run_warns_of_different_filters(exposure_files, settings, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    for number, path in enumerate(exposure_files["star"]):
        with fits.open(path) as hdus:
            hdus[0].header["FILTER"] = "VVR"[number]
            hdus.writeto(f"raw/{number}.fits")
    assert main(["batch", "raw", "--group-by", "object", "--dry-run"]) == 0
    error = capsys.readouterr().err
    assert "1 stack of 1 would have exposures of different setups" in error
    assert "Group by OBJECT,FILTER (--group-by of the command)" in error
    # a file or a table has the groups of the user
    images = [f"raw/{number}.fits" for number in range(3)]
    Path("night.yaml").write_text(yaml.safe_dump({"defaults": settings, "stacks": {"one": images}}))
    assert main(["batch", "night.yaml", "--dry-run"]) == 0
    error = capsys.readouterr().err
    assert "(one: FILTER is V in raw/0.fits, raw/1.fits, R in raw/2.fits)" in error
    assert "Give each stack exposures of one setup" in error


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["nothing.yaml"], "SOURCE must be a file or directory that exists; got nothing.yaml"),
        (["nothing.csv"], "SOURCE must be a file or directory that exists; got nothing.csv"),
        (["nothing", "--group-by", "OBJECT"], "SOURCE must be a file or directory that exists; got nothing"),
        (["."], "--group-by must name header keywords"),
        (["night.yaml", "--group-by", "OBJECT"], "must be left out for a file"),
        (["night.yaml", "--settings", "night.yaml"], "--settings must be left out"),
        ([".", "--group-by", "OBJECT", "--only", "OBJECT"], "must be KEYWORD=VALUE"),
        (["wrong.yaml"], "stack star: key must be one of a parameter file; got gian"),
        (["night.yaml", "-j", "0"], "-j must be an integer at least 1; got 0"),
    ],
)
def test_bad_input_writes_nothing(night, capsys, arguments, match):
    Path("wrong.yaml").write_text("stacks: {star: {images: [a.fits, b.fits, c.fits], gian: 1, rnoise: 3}}\n")
    before = sorted(Path().rglob("*"))
    assert main(["batch", *arguments]) == 2
    error = capsys.readouterr().err
    assert match in error
    assert "Traceback" not in error
    assert sorted(Path().rglob("*")) == before


def test_a_stack_of_one_exposure_fails_alone(exposure_files, settings, night, in_this_process, monkeypatch):
    stacks = {"star": exposure_files["star"], "one": exposure_files["star"][:1]}
    Path("one.yaml").write_text(yaml.safe_dump({"defaults": settings, "stacks": stacks}))
    monkeypatch.setattr("crstack.batch.run", lambda *args, **more: run(*args, **more | {"executor": in_this_process}))
    assert main(["batch", "one.yaml", "--output-dir", "out", "--no-plots"]) == 1
    table = Table.read("out/results.ecsv")
    assert states(table) == {"star": "done", "one": "failed"}
    assert table["message"][list(table["name"]).index("one")] == "images of stack one must be 2 or more; got 1"


def test_an_interrupted_batch_says_what_is_left(night, capsys, monkeypatch):
    def interrupt(*arguments, output_dir, **options):
        Path(output_dir).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("crstack.batch.run", interrupt)
    assert main(["batch", "night.yaml", "--output-dir", "out"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        "crstack: error: interrupted; the output directory out has each stack that was complete: "
        "run the same command again for the others"
    )


def test_output_directory_that_is_a_file(exposure_files, settings, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="must be a directory"):
        run(exposure_files, settings, output_dir=tmp_path / "out")


@pytest.mark.filterwarnings("ignore")
def test_dask_survives_a_worker_that_is_killed(exposure_files, settings, tmp_path):
    distributed = pytest.importorskip("distributed")
    stacks = exposure_files | {"another": exposure_files["star"]}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed = []

        def kill_one(row, n_finished, n_stacks):
            if not killed:
                killed.append(os.kill(next(iter(client.run(os.getpid).values())), 9))

        options = {"output_dir": tmp_path / "out", "executor": client.get_executor(), "plots": False}
        table = run(stacks, settings, progress=kill_one, **options)
    assert killed
    assert set(table["state"]) == {"done"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*stacks, "parameters", "results.ecsv"])
    shutil.rmtree(tmp_path / "out")


def test_what_was_measured_is_in_the_table(settings, in_this_process, tmp_path):
    simulated = make_stack("imaging", (100, 120), hit_rate=0.01, sky_factors=(1.0, 1.3, 1.8), seed=3)
    paths = [str(tmp_path / f"e{i}.fits") for i in range(3)]
    for path, ccd in zip(paths, simulated.exposures, strict=True):
        ccd.write(path)
    table = run({"sky": paths}, settings, output_dir=tmp_path / "out", executor=in_this_process, plots=False)
    assert table["state"][0] == "done", table["message"][0]
    assert "added levels (electron): " in table["measured"][0]


def test_a_disk_that_is_too_small_for_all_stacks_is_refused(night, exposure_files, settings, monkeypatch, capsys):
    free = SimpleNamespace(total=10**12, used=0, free=0)
    monkeypatch.setattr("crstack.utils.disk.shutil.disk_usage", lambda path: free)
    of_one = product_sizes(3, 60 * 80, plots=False, outputs=["mean"]).total
    free.free = 2 * of_one - 1
    assert main(["batch", "night.yaml", "--output-dir", "out", "--no-plots"]) == 2
    assert "space for the results of 2 stacks, about 0.336 MB; got 0.336 MB free in" in capsys.readouterr().err
    assert not Path("out").exists()
    with pytest.raises(InputError, match=r"or by --no-plots"):
        run(exposure_files, settings, output_dir="out")
    # half of each exposure
    free.free = of_one
    with ThreadPoolExecutor(1) as pool:
        trimmed = settings | {"trim": "[1:80,1:30]"}
        assert set(run(exposure_files, trimmed, output_dir="half", plots=False, executor=pool)["state"]) == {"done"}
    free.free = 2 * of_one
    with ThreadPoolExecutor(1) as pool:
        assert set(run(exposure_files, settings, plots=False, executor=pool)["state"]) == {"done"}
        # complete stacks need nothing, and the products of an earlier run are replaced
        free.free = 0
        assert set(run(exposure_files, settings, plots=False, executor=pool)["state"]) == {"skipped"}
        with pytest.raises(InputError, match="are there from earlier runs"):
            run(exposure_files, settings, plots=False, executor=pool, redo=True)
        free.free = of_one
        assert set(run(exposure_files, settings, plots=False, executor=pool, redo=True)["state"]) == {"done"}


def test_two_batches_in_one_directory(exposure_files, settings, in_this_process, tmp_path):
    """The second is refused: each would remove the unfinished products of the other."""
    messages = []

    def second(names, n_finished, n_stacks):
        with pytest.raises(InputError, match=r"must not be in use by another run; got .*out, used by"):
            run(exposure_files, settings, output_dir=tmp_path / "out", executor=in_this_process, plots=False)
        messages.append(names)

    options = {"output_dir": tmp_path / "out", "executor": in_this_process, "plots": False}
    table = run(exposure_files, settings, under_way=second, **options)
    assert messages
    assert states(table) == {"star": "done", "galaxy": "done"}
    # the lock is released
    assert states(run(exposure_files, settings, **options)) == {"star": "skipped", "galaxy": "skipped"}


def test_stacks_without_exposures_that_cannot_be_used(exposure_files, night, capsys):
    """The remedy of the message of the failed stack."""
    header = fits.getheader(exposure_files["star"][0])
    fits.writeto("blank.fits", np.full((60, 80), np.nan), header)
    document = yaml.safe_load(Path("night.yaml").read_text())
    document["stacks"] = {"star": [*exposure_files["star"], "blank.fits"]}
    Path("night.yaml").write_text(yaml.safe_dump(document))
    command = ["batch", "night.yaml", "--output-dir", "out", "--no-plots"]
    assert main(command) == 1
    assert "(command: --drop-unusable)" in capsys.readouterr().err
    assert main([*command, "--drop-unusable"]) == 0
    (row,) = Table.read("out/results.ecsv")
    assert row["state"] == "done"
    assert "blank.fits; it is left out" in row["warnings"]
    assert MaskSet.read("out/star/crmasks.fits").n_exposures == 3
