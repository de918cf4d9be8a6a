"""Runs a command and turns what ends it into an exit code."""

from crstack.cli.console import SessionStopped, log, logging_to
from crstack.exceptions import CRStackError

__all__ = ["execute"]


def execute(arguments):
    """Run the command that the arguments ask for; return the exit code."""
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
