"""The command ``crstack``: masks and combined images of exposures, by options or a parameter file.

`main` takes the arguments and returns the exit code:

- 0 if all was done;
- 1 if the work failed;
- 2 for a mistake in the input, which one sentence reports, and nothing is written;
- 130 if interrupted, or if the user quits an interactive session;
- 143 if terminated.
"""

import sys

from crstack.cli.interrupts import kept_interrupts

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the name of the command; those of the process by
        default.

    Returns
    -------
    code : int
        0 if all went well, 1 if the work failed, 2 for a mistake in the input,
        130 if interrupted or quit, 143 if terminated.

    Examples
    --------
    >>> from crstack.cli import main
    >>> main(["plugins", "--log-level", "warning"])
    0
    """
    try:
        with kept_interrupts() as interrupts:
            code = _run(argv, interrupts)
    except KeyboardInterrupt:
        return _interrupted()
    return _interrupted() if interrupts.pending else code


def _run(argv, interrupts):
    """Parse the arguments, and run their command; return the exit code."""
    # imported here, so that Ctrl-C is handled during the imports
    from crstack.cli.parser import make_parser
    from crstack.utils.first_imports import first_imports

    try:
        parser = make_parser()
    except ValueError as error:  # an InputError: crstack is not installed
        print(f"crstack: error: {error}", file=sys.stderr)
        return 2
    if not (sys.argv[1:] if argv is None else argv):
        parser.print_help(sys.stderr)
        return 2
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # --help, --version and wrong arguments
        return int(stop.code or 0)
    # imported here, because the work needs many more modules than the arguments
    with first_imports("crstack.cli.work"):
        from crstack.cli.work import execute
    interrupts.check()
    return execute(arguments)


def _interrupted():
    """Report an interrupt before or after the work; return the exit code."""
    if sys.stderr is not None:
        print("crstack: error: interrupted", file=sys.stderr)
    return 130
