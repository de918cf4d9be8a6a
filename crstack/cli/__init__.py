"""The command ``crstack``: a YAML file in, masks and combined images out.

`main` takes the arguments and returns the exit code: 0, or 2 for anything that
the user can put right, told in one line, or 130 if interrupted, or if
the user quits an interactive session.
"""

from crstack.cli.console import SessionStopped, log, logging_to
from crstack.cli.parser import make_parser
from crstack.exceptions import CRStackError

__all__ = ["main"]


def main(argv=None):
    """Run the command.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the name of the command; those of the process by
        default.

    Returns
    -------
    code : int
        0 if all went well, 2 for a mistake in the input, 130 if interrupted or quit.

    Examples
    --------
    >>> from crstack.cli import main
    >>> main(["plugins", "--log-level", "warning"])
    0
    """
    try:
        arguments = make_parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version and wrong arguments
        return stop.code
    with logging_to(arguments.log_level) as console:
        try:
            if getattr(arguments, "log_file", None):
                console.keep_log(arguments.log_file)
            arguments.run(arguments, console)
        except SessionStopped as stop:
            log.warning(str(stop))
            return 130
        except CRStackError as error:
            log.error(" ".join(str(error).split()))
            return 2
        except KeyboardInterrupt:
            log.error("interrupted")
            return 130
    return 0
