"""The arguments of the command and its help."""

import argparse
import textwrap

from crstack.cli.commands import do_batch, do_completion, do_demo, do_init, do_plugins, do_run
from crstack.cli.suggestions import SuggestingParser
from crstack.utils.version import crstack_version

__all__ = ["LEVELS", "make_parser"]

LEVELS = ("debug", "info", "note", "warning", "error", "critical")

DESCRIPTION = """
Find cosmic rays in two or more exposures of one field, and
combine the exposures without them.
"""

EPILOG = """
first steps:
  crstack demo demo                         simulate three exposures, and run on them
  crstack run n*.fits --gain 1.2 --readnoise '4 electron' --bias 0 --output-dir out
                                            run on your own exposures
  crstack init n*.fits > params.yaml        write a parameter file for them, with comments
  crstack run params.yaml --output-dir out  run with this parameter file
  crstack plugins                           list methods, detectors and boundary models

crstack COMMAND --help describes each command.
"""

RUN = """
Find the cosmic rays in the exposures of one field, and write masks, combined
images, tables, figures and a report. Give either a parameter file (YAML), or the
FITS files together with --gain and --readnoise. Parameter files of numina-crmasks
work without changes. All input is checked before anything is written.
"""

RUN_EPILOG = """
examples:
  crstack run params.yaml
  crstack run params.yaml --dry-run
  crstack run params.yaml --output-dir out --log-file out/run.log
  crstack run n*.fits --gain 1.2 --readnoise '4 electron' --bias 0 --output-dir out
  crstack run n*.fits --gain header:GAIN --readnoise header:RDNOISE --method mm_pycosmic
  crstack run params.yaml --output-dir again --crmasks out/crmasks.fits

files in the output directory:
  crmasks.fits                   MEDIANCR, MEANCRT, CRMASK1, CRMASK2, ..., MEANCR
  combined_mean.fits, combined_median.fits, combined_min.fits
  combined_mediancr.fits         median, where masked: minimum
  combined_meancrt.fits          mean, where masked: mediancr
  combined_meancr.fits           mean of the exposures that are not masked
  combined_meancr2.fits          meancr; where the detector still finds a hit: minimum
  combined_meanjoint.fits        mean, weighted by the probability to be clean (joint methods)
  mediancr_identified.ecsv       table of the hits; their pixels in mediancr_identified_*.csv
  report.html                    one page about the whole run
  diagnostic_histogram2d.png     median-minimum diagram and its boundary (mm_ methods)
  diagnostic_mediancr.png, ...   each mask in the diagram and in its image
  mediancr_identified_*.pdf      two pages for each hit, by method
  problematic_pixels.{csv,pdf}   pixels masked in every exposure
Each combined image has the extensions VARIANCE, and MAP: the number of exposures in each value.
"""

DEMO = """
Simulate three exposures whose cosmic rays are known, and write them to a new
directory, with a commented params.yaml. Then run on them, and print how many of
the hits were found.
"""

DEMO_EPILOG = """
examples:
  crstack demo demo
  crstack demo demo_slit --scene slit --seed 7 --shape 400 500
  crstack demo demo_mm --scene imaging --method mm_pycosmic
"""

INIT = """
Print a parameter file for some exposures, with comments: the example of the
manual of numina-crmasks, and the most used keys of crstack. Extension, gain and
read noise are searched in the header of the first exposure. Fill in the values
that it does not have.
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
List the methods, detectors and boundary models that are installed, with their
parameters and defaults. Other packages add theirs by the entry points
crstack.methods, crstack.detectors and crstack.boundaries.
"""

PLUGINS_EPILOG = """
example:
  crstack plugins
"""


BATCH = """
Run many stacks, each as an independent job, and write a table of the results.
A stack is the set of exposures of one field. SOURCE is a YAML file with defaults:
and stacks:, or a table with a row for each exposure, or a directory whose files
are grouped by header keywords. A second call skips the stacks that are complete.
"""

BATCH_EPILOG = """
examples:
  crstack batch night.yaml --output-dir out -j 4
  crstack batch exposures.ecsv --settings params.yaml --output-dir out
  crstack batch raw --group-by OBJECT,FILTER,EXPTIME --only IMAGETYP=object --settings params.yaml --dry-run
  crstack batch night.yaml --output-dir out --scheduler tcp://node1:8786

night.yaml has the common settings, and those of each stack:
  defaults: {gain: 1.36, rnoise: 3.6, bias: 434.5, requirements: {crmethod: joint}}
  stacks:
    star: [a1.fits, a2.fits, a3.fits]
    galaxy: {images: [b1.fits, b2.fits, b3.fits], gain: 1.4}

The products of each stack go to DIR/NAME, the table to DIR/results.ecsv. The exit code is 1 if a stack failed.
"""


def make_parser():
    """Return the `argparse.ArgumentParser` of the command."""
    parser = SuggestingParser(
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
    parser.commands = commands.choices
    return parser


def _add(commands, name, summary, description, epilog):
    """Add a command with its help; return its parser."""
    return commands.add_parser(
        name,
        help=summary,
        description=textwrap.dedent(description),
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _name(text):
    """Name of a file or directory. An empty one would be the current directory, or no name."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            "must be a name; got an empty one, such as that of a variable of the shell that is not set"
        )
    return text


def _add_log_level(command):
    """Add the options for the messages that are shown."""
    command.add_argument(
        "--log-level",
        type=str.lower,
        choices=LEVELS,
        default="note",
        help="lowest level of the messages that are shown (default: note)",
    )
    command.add_argument(
        "-v", "--verbose", dest="log_level", action="store_const", const="info", help="the same as --log-level info"
    )


def _add_exposures(plain):
    """Add the options for the numbers and extensions of the exposures, for a run without a parameter file."""
    plain.add_argument("--gain", metavar="G", help="gain in electron/adu, or header:KEYWORD")
    plain.add_argument("--readnoise", metavar="R", help="read noise with its unit, as '4 electron', or header:KEYWORD")
    plain.add_argument(
        "--bias", metavar="B", help="bias in the unit of the exposures, header:KEYWORD, or a section (default: 0)"
    )
    plain.add_argument(
        "--saturation",
        metavar="S",
        help="level, with the bias, from which values are bad, or header:KEYWORD (default: none)",
    )
    plain.add_argument(
        "--trim",
        metavar="SECTION",
        help="section to keep of raw images with an overscan, as '[1:2048,1:4096]' or header:TRIMSEC (default: all)",
    )
    plain.add_argument(
        "--dq-ext",
        metavar="EXT",
        help="extension of the data quality; for several chips its name, and each has its own (default: MASK, if it "
        "exists)",
    )
    plain.add_argument(
        "--err-ext", metavar="EXT", help="extension of the uncertainty (default: UNCERT, if there is one)"
    )
    plain.add_argument(
        "--bits",
        metavar="B",
        help="bits of --dq-ext that make a value bad: stsci, lsst or dragons for files of these pipelines, or the sum "
        "of the bits as a number (default: any bit). Give it where some bits mark usable values, such as hits "
        "that were found before",
    )


def _add_decision(plain):
    """Add the options for what is decided and measured, for a run without a parameter file."""
    plain.add_argument(
        "--method",
        metavar="NAME",
        help="joint, mmcosmic, mm_pycosmic or another crmethod of a parameter file (default: joint)",
    )
    plain.add_argument(
        "--differences",
        choices=("auto", "given"),
        help="auto: measure how the exposures differ in sky, throughput, shift and seeing, and use these differences; "
        "given: measure none, and use only those that are given (default: auto for joint; given for other methods, as "
        "numina-crmasks does)",
    )
    plain.add_argument(
        "--ext",
        nargs="+",
        metavar="EXT",
        help="number or name of the extension of the image (default: that of the only image in the first file, or 0); "
        "for the chips of a mosaic several, or all",
    )
    plain.add_argument(
        "--max-fraction",
        type=float,
        metavar="F",
        help="stop with an error, and write nothing, if more than this fraction of an exposure is flagged, or if the "
        "result is implausible otherwise (default: a warning from 0.2 on, and no error). Give it in unattended runs, "
        "and a larger one where hits cover more",
    )


def _add_run(commands):
    run = _add(commands, "run", "make masks and combined images", RUN, RUN_EPILOG)
    run.add_argument(
        "parameters", type=_name, nargs="+", metavar="FILE", help="one parameter file (YAML), or two or more FITS files"
    )
    plain = run.add_argument_group("for FITS files, instead of a parameter file")
    _add_exposures(plain)
    _add_decision(plain)
    _add_work(run)
    _add_log_level(run)
    run.add_argument("--log-file", type=_name, metavar="FILE", help="write everything, with times, to this file too")
    run.set_defaults(run=do_run)


def _add_work(run):
    """Add the options for what a run reads, writes and shows."""
    run.add_argument(
        "--output-dir",
        "--output_dir",
        type=_name,
        default=".",
        metavar="DIR",
        help="directory of the products; made if it does not exist (default: here)",
    )
    run.add_argument(
        "--crmasks", type=_name, metavar="FILE", help="use the masks of this file instead of searching for hits"
    )
    run.add_argument("--dry-run", action="store_true", help="check everything, show the settings, and write nothing")
    run.add_argument(
        "--json", action="store_true", help="print the numbers of the run as JSON, and nothing else, to standard output"
    )
    _add_drop_unusable(run)
    run.add_argument("--clean", action="store_true", help="also write each exposure with its hits replaced")
    run.add_argument("--no-plots", action="store_true", help="draw no figures, and write no report")
    run.add_argument(
        "--mem-limit",
        metavar="SIZE",
        help="largest memory of the run, such as 2GB: larger stacks use temporary files (default: none)",
    )
    run.add_argument(
        "--interactive",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show diagram and masks in windows, and ask (default: as in the parameter file)",
    )
    run.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that crstack did not write, or that were changed since",
    )


def _add_init(commands):
    init = _add(commands, "init", "write a parameter file for exposures", INIT, INIT_EPILOG)
    init.add_argument("images", type=_name, nargs="+", metavar="FITS", help="the exposures")
    init.add_argument(
        "-o",
        "--output",
        type=_name,
        metavar="FILE",
        help="write to this file, with relative names of the exposures below its directory (default: to standard "
        "output)",
    )
    init.add_argument("--overwrite", action="store_true", help="replace the file")
    _add_log_level(init)
    init.set_defaults(run=do_init)


def _add_completion(commands, parser):
    completion = _add(commands, "completion", "print the completion script of a shell", COMPLETION, COMPLETION_EPILOG)
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    _add_log_level(completion)
    completion.set_defaults(run=do_completion, parser=parser)


def _add_batch(commands):
    batch = _add(commands, "batch", "run many stacks", BATCH, BATCH_EPILOG)
    batch.add_argument("source", type=_name, metavar="SOURCE", help="YAML file, table (ECSV, CSV) or directory")
    batch.add_argument(
        "--output-dir", type=_name, default="out", metavar="DIR", help="directory of the stacks (default: out)"
    )
    batch.add_argument("-j", "--jobs", type=int, default=1, metavar="N", help="number of stacks at a time (default: 1)")
    batch.add_argument(
        "--settings", type=_name, metavar="FILE", help="parameter file without images, for a table or a directory"
    )
    batch.add_argument(
        "--group-by",
        metavar="KEYWORDS",
        help="header keywords, separated by commas, that group the files of a directory",
    )
    batch.add_argument(
        "--only",
        action="append",
        metavar="KEYWORD=VALUE",
        help="use only files whose header has this value; may be repeated",
    )
    batch.add_argument("--scheduler", metavar="ADDRESS", help="run on the workers of this Dask scheduler")
    _add_drop_unusable(batch)
    batch.add_argument("--no-plots", action="store_true", help="draw no figures, and write no reports")
    batch.add_argument("--redo", action="store_true", help="run all stacks, complete or not")
    batch.add_argument(
        "--dry-run", action="store_true", help="list the stacks, and whether each would be run; write nothing"
    )
    _add_log_level(batch)
    batch.set_defaults(run=do_batch)


def _add_drop_unusable(command):
    command.add_argument(
        "--drop-unusable",
        action="store_true",
        help="continue without exposures that are blank, of another field or shifted too far",
    )


def _add_demo(commands):
    demo = _add(commands, "demo", "simulate exposures and run on them", DEMO, DEMO_EPILOG)
    demo.add_argument("directory", type=_name, metavar="DIR", help="new or empty directory")
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="seed of scene, hits and noise (default: 1)")
    demo.add_argument(
        "--scene", choices=("ifu", "imaging", "slit"), default="ifu", help="kind of exposures (default: ifu)"
    )
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
    demo.set_defaults(run=do_demo)


def _add_plugins(commands):
    plugins = _add(commands, "plugins", "list methods, detectors and boundary models", PLUGINS, PLUGINS_EPILOG)
    _add_log_level(plugins)
    plugins.set_defaults(run=do_plugins)
