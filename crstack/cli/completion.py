"""``crstack completion``: the completion script of a shell."""

from crstack.exceptions import InputError

__all__ = ["completion"]


def completion(parser, shell):
    """The completion script of a shell for the command.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        Of the command.
    shell : {"bash", "zsh", "fish"}
        The shell.

    Raises
    ------
    InputError
        If shtab is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise InputError(
            "shtab must be installed for completion; got none: pip install 'crstack[completion]'"
        ) from None
    return shtab.complete(parser, shell=shell)
