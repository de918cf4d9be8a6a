"""The arguments of the command and its help."""

import argparse
import textwrap

from crstack.utils.first_imports import first_imports
from crstack.utils.version import crstack_version

__all__ = ["LEVELS", "make_parser"]

LEVELS = ("debug", "info", "note", "warning", "error", "critical")

DESCRIPTION = """
Find the cosmic rays that survive the median of two or more
exposures, and combine the exposures without them.
"""

EPILOG = """
first steps:
  crstack demo demo                         three simulated exposures, and the results
  crstack run n*.fits --gain 1.2 --readnoise '4 electron' --bias 0 --output-dir out
                                            your own exposures
  crstack init n*.fits > params.yaml        a file of all settings for them, with comments
  crstack run params.yaml --output-dir out  and a run with it
  crstack plugins                           detectors and boundary models that are installed

Each command has a --help of its own.
"""

RUN = """
Make the masks and the combined images of the exposures that a YAML file
names, or of the FITS files that are given with --gain and --readnoise. YAML files of
numina-crmasks work without changes. Everything is checked before anything is written.
"""

RUN_EPILOG = """
examples:
  crstack run params.yaml
  crstack run params.yaml --dry-run
  crstack run params.yaml --output-dir out --log-file out/run.log
  crstack run n*.fits --gain 1.2 --readnoise '4 electron' --bias 0 --output-dir out
  crstack run n*.fits --gain header:GAIN --readnoise header:RDNOISE --method mm_pycosmic
  crstack run params.yaml --output-dir again --crmasks out/crmasks.fits

It writes to the output directory:
  crmasks.fits                   MEDIANCR, MEANCRT, CRMASK1, CRMASK2, ..., MEANCR
  combined_mean.fits, combined_median.fits, combined_min.fits
  combined_mediancr.fits         median, where masked: minimum
  combined_meancrt.fits          mean, where masked: mediancr
  combined_meancr.fits           mean of the exposures that are not masked
  combined_meancr2.fits          the same, minimum where the detector still finds hits
  combined_meanjoint.fits        posterior mean (joint methods)
  mediancr_identified.ecsv       table of the hits; their pixels in mediancr_identified_*.csv
  report.html                    one page about the whole run
  diagnostic_histogram2d.png     median-minimum diagram and its boundary (mm_ methods)
  diagnostic_mediancr.png, ...   each mask in the diagram and in its image
  mediancr_identified_*.pdf      two pages for each hit, by method
  problematic_pixels.{csv,pdf}   pixels masked in every exposure
Each combined image comes with its VARIANCE and a MAP of how many exposures are in each value.
"""

DEMO = """
Simulate three exposures whose cosmic rays are known, write them to a directory
with a commented params.yaml, run it, and report how many of the hits were found.
"""

DEMO_EPILOG = """
examples:
  crstack demo demo
  crstack demo demo_slit --scene slit --seed 7 --shape 400 500
  crstack demo demo_mm --scene imaging --method mm_pycosmic
"""

INIT = """
Print a commented parameter file for some exposures: all keys with their defaults,
the extension of the images, and the keywords of gain and read noise in the header
of the first one. Missing values must be filled in.
"""

INIT_EPILOG = """
example:
  crstack init n*.fits > params.yaml
  crstack init raw/n*.fits --output work/params.yaml
"""

COMPLETION = """
Print the script that lets a shell complete the command (needs shtab).
"""

COMPLETION_EPILOG = """
examples:
  crstack completion bash > ~/.local/share/bash-completion/completions/crstack
  crstack completion zsh > ~/.zfunc/_crstack
  crstack completion fish > ~/.config/fish/completions/crstack.fish
"""

PLUGINS = """
List the detectors and the boundary models that are installed, with their
parameters and defaults. Other packages add theirs by the entry points
crstack.detectors and crstack.boundaries.
"""

PLUGINS_EPILOG = """
example:
  crstack plugins
"""


BATCH = """
Run many stacks, each an independent job, and write a table of the results.
The source is a YAML file with defaults: and stacks:, a table with a row for
each exposure, or a directory that is grouped by header keywords. Complete
stacks are skipped, so that a second call continues the first.
"""

BATCH_EPILOG = """
examples:
  crstack batch night.yaml --output-dir out -j 4
  crstack batch exposures.ecsv --settings params.yaml --output-dir out
  crstack batch raw --group-by OBJECT,FILTER,EXPTIME --only IMAGETYP=object --settings params.yaml --dry-run
  crstack batch night.yaml --output-dir out --scheduler tcp://node1:8786

night.yaml holds the common settings, and those of each stack:
  defaults: {gain: 1.36, rnoise: 3.6, bias: 434.5, requirements: {crmethod: joint}}
  stacks:
    star: [a1.fits, a2.fits, a3.fits]
    galaxy: {images: [b1.fits, b2.fits, b3.fits], gain: 1.4}

The products of each stack go to DIR/NAME, the table to DIR/results.ecsv. The exit code is 1 if a stack failed.
"""


def make_parser():
    """Return the `argparse.ArgumentParser` of the command."""
    parser = argparse.ArgumentParser(
        prog="crstack",
        description=textwrap.dedent(DESCRIPTION),
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"crstack {crstack_version()}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_init(commands)
    _add_batch(commands)
    _add_demo(commands)
    _add_plugins(commands)
    _add_completion(commands, parser)
    return parser


def _add(commands, name, summary, description, epilog):
    return commands.add_parser(
        name,
        help=summary,
        description=textwrap.dedent(description),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_log_level(command):
    command.add_argument(
        "--log-level",
        type=str.lower,
        choices=LEVELS,
        default="note",
        help="lowest level shown; note, the default, gives the results in some 25 lines",
    )
    command.add_argument(
        "-v", "--verbose", dest="log_level", action="store_const", const="info", help="the same as --log-level info"
    )


def _add_settings(plain):
    """Settings of a run without a parameter file."""
    plain.add_argument("--gain", metavar="G", help="electron/adu, or header:KEYWORD")
    plain.add_argument("--readnoise", metavar="R", help="with its unit, as '4 electron', or header:KEYWORD")
    plain.add_argument(
        "--bias", metavar="B", help="in the unit of the exposures, header:KEYWORD, or a section (default: 0)"
    )
    plain.add_argument(
        "--saturation",
        metavar="S",
        help="level from which values are bad, bias included, or header:KEYWORD (default: not known)",
    )
    plain.add_argument("--dq-ext", metavar="EXT", help="extension of the data quality (default: none)")
    plain.add_argument("--err-ext", metavar="EXT", help="extension of the uncertainty (default: none)")
    plain.add_argument(
        "--bits", metavar="B", help="bits of bad values: stsci, lsst, dragons or a number (default: all)"
    )
    plain.add_argument("--method", metavar="NAME", help="crmethod of a parameter file (default: joint)")
    plain.add_argument(
        "--ext",
        nargs="+",
        metavar="EXT",
        help="number or name of the extension (default: 0); several, or all, for the chips of a mosaic",
    )
    plain.add_argument(
        "--max-fraction", type=float, metavar="F", help="stop if more than this fraction of an exposure is flagged"
    )


def _add_run(commands):
    run = _add(commands, "run", "make masks and combined images", RUN, RUN_EPILOG)
    run.add_argument(
        "parameters", nargs="+", metavar="FILE", help="one parameter file (YAML), or two or more FITS files"
    )
    _add_settings(run.add_argument_group("instead of a parameter file"))
    run.add_argument(
        "--output-dir",
        "--output_dir",
        default=".",
        metavar="DIR",
        help="directory of the products; made if it does not exist (default: here)",
    )
    run.add_argument("--crmasks", metavar="FILE", help="use the masks of this file instead of searching for hits")
    run.add_argument("--dry-run", action="store_true", help="check everything, show the settings, and write nothing")
    run.add_argument("--json", action="store_true", help="print the numbers as JSON, and nothing else, to stdout")
    run.add_argument(
        "--drop-unusable", action="store_true", help="continue without blank exposures and those of another field"
    )
    run.add_argument("--clean", action="store_true", help="also write each exposure with its hits replaced")
    run.add_argument("--no-plots", action="store_true", help="draw no figure")
    run.add_argument(
        "--mem-limit",
        metavar="SIZE",
        help="memory that the run may hold, such as 2GB: larger stacks use temporary files (default: of the file)",
    )
    run.add_argument(
        "--interactive",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show diagram and masks in windows and ask (default: as set in the file)",
    )
    run.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that crstack did not write, or that were changed since",
    )
    _add_log_level(run)
    run.add_argument("--log-file", metavar="FILE", help="write everything, with times, to this file too")
    run.set_defaults(run=_run)


def _add_init(commands):
    init = _add(commands, "init", "write a parameter file for exposures", INIT, INIT_EPILOG)
    init.add_argument("images", nargs="+", metavar="FITS", help="the exposures")
    init.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write to this file, with names of the exposures relative to it (default: to standard output)",
    )
    init.add_argument("--overwrite", action="store_true", help="replace the file")
    _add_log_level(init)
    init.set_defaults(run=_init)


def _add_completion(commands, parser):
    completion = _add(commands, "completion", "print the completion script of a shell", COMPLETION, COMPLETION_EPILOG)
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    _add_log_level(completion)
    completion.set_defaults(run=_completion, parser=parser)


def _add_batch(commands):
    batch = _add(commands, "batch", "run many stacks", BATCH, BATCH_EPILOG)
    batch.add_argument("source", metavar="SOURCE", help="YAML file, table (ECSV, CSV) or directory")
    batch.add_argument("--output-dir", default="out", metavar="DIR", help="directory of the stacks (default: out)")
    batch.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="stacks at a time (default: 1)")
    batch.add_argument("--settings", metavar="FILE", help="parameter file without images, for a table or a directory")
    batch.add_argument("--group-by", metavar="KEYWORDS", help="header keywords, separated by commas, for a directory")
    batch.add_argument(
        "--only", action="append", metavar="KEYWORD=VALUE", help="use only files with this value; may be repeated"
    )
    batch.add_argument("--scheduler", metavar="ADDRESS", help="run on the workers of this Dask scheduler")
    batch.add_argument("--no-plots", action="store_true", help="draw no figure")
    batch.add_argument("--redo", action="store_true", help="run all stacks, complete or not")
    batch.add_argument("--dry-run", action="store_true", help="list the stacks and those that would be run")
    _add_log_level(batch)
    batch.set_defaults(run=_batch)


def _add_demo(commands):
    demo = _add(commands, "demo", "simulate exposures and run on them", DEMO, DEMO_EPILOG)
    demo.add_argument("directory", metavar="DIR", help="new or empty directory")
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="seed of scene, hits and noise (default: 1)")
    demo.add_argument("--scene", choices=("ifu", "imaging", "slit"), default="ifu", help="default: ifu")
    demo.add_argument(
        "--shape",
        type=int,
        nargs=2,
        default=(600, 700),
        metavar=("NY", "NX"),
        help="rows and columns (default: 600 700)",
    )
    demo.add_argument(
        "--method", default="joint", help="crmethod of the parameter file, such as mm_pycosmic (default: joint)"
    )
    demo.add_argument("--overwrite", action="store_true", help="write into a directory that is not empty")
    _add_log_level(demo)
    demo.set_defaults(run=_demo)


def _add_plugins(commands):
    plugins = _add(commands, "plugins", "list detectors and boundary models", PLUGINS, PLUGINS_EPILOG)
    _add_log_level(plugins)
    plugins.set_defaults(run=_plugins)


# imported at first use: --help does not need it


def _run(arguments, console):
    with first_imports("crstack.pipeline.mosaic"):
        from crstack.cli.without_file import are_images, configuration_of_options
        from crstack.exceptions import InputError
        from crstack.pipeline.mosaic import run_any

    names = ("gain", "readnoise", "bias", "saturation", "max_fraction", "dq_ext", "err_ext", "bits", "method", "ext")
    options = {name: getattr(arguments, name) for name in names}
    if are_images(arguments.parameters):
        parameters = configuration_of_options(arguments.parameters, **options)
    elif any(value is not None for value in options.values()):
        given = next(name for name, value in options.items() if value is not None)
        raise InputError(
            f"--{given.replace('_', '-')} must be given with FITS files; a parameter file has a key for it"
        )
    else:
        (parameters,) = arguments.parameters
    run_any(
        parameters,
        arguments.output_dir,
        dry_run=arguments.dry_run,
        as_json=arguments.json,
        crmasks=arguments.crmasks,
        plots=not arguments.no_plots,
        interactive=arguments.interactive,
        overwrite=arguments.overwrite,
        drop_unusable=arguments.drop_unusable,
        clean=arguments.clean,
        mem_limit=arguments.mem_limit,
        console=console,
    )


def _init(arguments, console):
    from crstack.cli.init import parameter_file, write_parameter_file

    if arguments.output is None:
        print(parameter_file(arguments.images), end="")
    else:
        write_parameter_file(arguments.output, arguments.images, overwrite=arguments.overwrite)


def _completion(arguments, console):
    from crstack.cli.completion import completion

    print(completion(arguments.parser, arguments.shell))


def _batch(arguments, console):
    from crstack.cli.batch import batch

    batch(
        arguments.source,
        output_dir=arguments.output_dir,
        settings=arguments.settings,
        group_by=[one.strip() for one in arguments.group_by.split(",")] if arguments.group_by else None,
        only=arguments.only,
        n_workers=arguments.jobs,
        scheduler=arguments.scheduler,
        redo=arguments.redo,
        plots=not arguments.no_plots,
        dry_run=arguments.dry_run,
        console=console,
    )


def _demo(arguments, console):
    from crstack.cli.demo import demo

    demo(
        arguments.directory,
        seed=arguments.seed,
        scene=arguments.scene,
        shape=tuple(arguments.shape),
        method=arguments.method,
        overwrite=arguments.overwrite,
        console=console,
    )


def _plugins(arguments, console):
    from crstack.cli.plugins import show_plugins

    show_plugins()
