"""Mistakes in the arguments of the command: the option or command that was probably meant, and its name in errors."""

import argparse
import re
import sys
from contextlib import contextmanager
from itertools import pairwise

__all__ = ["SuggestingParser", "named_as_options"]

#: keys of the parameter file and options of other names
OPTIONS = {"crmethod": "method", "rnoise": "readnoise", "extnum": "ext"}
#: keys whose options have the same name
SAME = ("method", "readnoise", "max_fraction", "dq_ext", "err_ext", "trim")
#: beginning of a message about a key
ABOUT = re.compile(rf"^(detector \d+ of )?({'|'.join([*OPTIONS, *SAME])})(?=[ ,])")
#: the mistakes of argparse that need more words: two with a similar name, and one where a value looks like an option
CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.+)\)")
NO_VALUE = re.compile(r"argument (\S+): expected one argument$")
TOO_MUCH = "unrecognized arguments"
UNKNOWN = re.compile(r"unrecognized arguments: (?:.* )?(--[\w-]+)")


class SuggestingParser(argparse.ArgumentParser):
    """A parser whose errors name the most similar option, command or choice.

    Attributes
    ----------
    commands : dict of str to `argparse.ArgumentParser`
        Parsers of the commands.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.commands = {}
        self._given = ()

    def parse_known_args(self, args=None, namespace=None):
        """Parse the arguments; that of a command gets those after its name."""
        self._given = tuple(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message):
        """Print the message with a suggestion, and exit with the code 2."""
        argparse.ArgumentParser.error(self._command(message), message + self._suggestion(message))

    def _command(self, message):
        """The parser whose usage is printed: that of the command, if it does not know an argument."""
        if not message.startswith(TOO_MUCH):
            return self
        return next((self.commands[one] for one in self._given if one in self.commands), self)

    def _suggestion(self, message):
        """The similar command or option, as words; empty if there is none."""
        from crstack.utils.validation import did_you_mean

        choice, unknown, empty = (kind.search(message) for kind in (CHOICE, UNKNOWN, NO_VALUE))
        if choice:
            return did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        if unknown:
            options = set(re.findall(r"--[\w-]+", self._command(message).format_help()))
            # the spellings of numina-crmasks, with _, are accepted but not suggested
            return did_you_mean(unknown[1], sorted(one for one in options if "_" not in one))
        if empty:
            return self._value_like_an_option(empty[1].split("/"))
        return ""

    def _value_like_an_option(self, names):
        """Words on what follows an option, by any of its names, that has no value: it begins with a minus sign."""
        for name, value in pairwise(self._given):
            if name in names and value not in self._option_string_actions:
                return f"; got {value!r}, which looks like an option. If it is the value, write {name}={value}"
        return ""


@contextmanager
def named_as_options():
    """Errors about a key of the parameter file name the option of the same meaning."""
    from crstack.exceptions import InputError

    try:
        yield
    except InputError as error:
        text = ABOUT.sub(lambda found: (found[1] or "") + _option(found[2]), str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def _option(key):
    return f"--{OPTIONS.get(key, key).replace('_', '-')}"
