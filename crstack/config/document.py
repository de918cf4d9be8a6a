"""The YAML file as Python objects: mappings, lists, texts and numbers.

The documents are built from the events of the YAML parser, in one pass without recursion. Size and depth are checked
while the file is read, and the result contains only plain values.
"""

import re

import yaml

from crstack.exceptions import ConfigurationError
from crstack.utils.words import kind_of

__all__ = ["as_mapping", "as_number", "load_documents", "parsed_text"]

#: a parameter file has two or three levels; lists of points add two
MOST_LEVELS = 20
#: largest number of values in a file; values repeated by aliases count each time
MOST_VALUES = 2_000_000
#: longest text or key
MOST_CHARACTERS = 4096
#: longest part of a line in a message
LONGEST_SHOWN = 40
#: largest integer of 64 bits
LARGEST = 2**63 - 1

CORE = "tag:yaml.org,2002:"
TAGS = {f"{CORE}{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map")}
DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,17}")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def as_number(value):
    """``value``, or the float that it represents: in YAML 1.1, 1.0E6 is a text."""
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value.strip()) else value


class _Open:
    """A mapping or a list that is being filled."""

    def __init__(self, anchor, is_mapping):
        self.anchor, self.is_mapping = anchor, is_mapping
        self.value = {} if is_mapping else []
        self.key, self.has_key = None, False
        self.n_values = 1


class _Builder:
    """Builds documents from events, and refuses structures that a parameter file does not need."""

    def __init__(self):
        self.resolver = yaml.resolver.Resolver()
        self.constructor = yaml.constructor.SafeConstructor()
        self.stack, self.anchors, self.documents = [], {}, []

    def build(self, events):
        """List of the documents."""
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._add(self._scalar(event), 1, event)
            elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
                self._open(event, kind is yaml.MappingStartEvent)
            elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
                self._close(event)
            elif kind is yaml.AliasEvent:
                self._add(*self._alias(event), event)
            elif kind is yaml.DocumentStartEvent:
                self.anchors = {}
        return self.documents

    def _open(self, event, is_mapping):
        """Begin a list or a mapping."""
        self._check_tag(event)
        if len(self.stack) == MOST_LEVELS:
            raise ConfigurationError(
                f"parameter file must have at most {MOST_LEVELS} levels; got more in {_line(event)}"
            )
        if self.stack and self.stack[-1].is_mapping and not self.stack[-1].has_key:
            what = "mapping" if is_mapping else "list"
            raise ConfigurationError(f"keys of the parameter file must be texts; got a {what} in {_line(event)}")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(event.anchor, is_mapping))

    def _close(self, event):
        """End the innermost list or mapping, and add it to the one around it."""
        closed = self.stack.pop()
        if closed.anchor is not None:
            self.anchors[closed.anchor] = (closed.value, closed.n_values)
        self._add(closed.value, closed.n_values, event)

    def _alias(self, event):
        """Value and number of values of an alias."""
        if event.anchor not in self.anchors:
            raise ConfigurationError(f"alias *{event.anchor} must follow its anchor; got none before {_line(event)}")
        found = self.anchors[event.anchor]
        if found is None:
            raise ConfigurationError(f"alias *{event.anchor} must not be part of itself; got it in {_line(event)}")
        return found

    def _add(self, value, n_values, event):
        """Add a value to the open mapping or list, or make it a document."""
        if not self.stack:
            self.documents.append(value)
            return
        top = self.stack[-1]
        top.n_values += n_values
        if top.n_values > MOST_VALUES:
            raise ConfigurationError(
                f"parameter file must hold at most {MOST_VALUES} values; got more up to {_line(event)}"
            )
        if not top.is_mapping:
            top.value.append(value)
        elif top.has_key:
            top.value[top.key] = value
            top.has_key = False
        else:
            self._take_key(top, value, event)

    @staticmethod
    def _take_key(top, value, event):
        """Take a value as the next key of a mapping."""
        if isinstance(value, dict | list):
            raise ConfigurationError(f"keys of the parameter file must be texts; got another in {_line(event)}")
        if value in top.value:
            raise ConfigurationError(f"key {value} must be given once; got it again in {_line(event)}")
        top.key, top.has_key = value, True

    def _scalar(self, event):
        """The value of a scalar."""
        text = event.value
        if event.tag is None and event.implicit[0] and DECIMAL.fullmatch(text):
            value = int(text)  # the most frequent case in a long file
        else:
            value = self._resolved(event, text)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, 1)
        return value

    def _resolved(self, event, text):
        """The value of a scalar, by the rules of YAML."""
        self._check_tag(event)
        if len(text) > MOST_CHARACTERS:
            raise ConfigurationError(
                f"texts of the parameter file must have at most {MOST_CHARACTERS} characters; "
                f"got {len(text)} in {_line(event)}"
            )
        tag = event.tag or self.resolver.resolve(yaml.ScalarNode, text, event.implicit)
        if tag not in TAGS:  # a date, =, <<: texts here
            tag = f"{CORE}str"
        try:
            value = self.constructor.construct_object(yaml.ScalarNode(tag, text))
        except (yaml.YAMLError, ValueError, KeyError) as error:
            kind = tag.removeprefix(CORE)
            raise ConfigurationError(
                f"parameter file must be YAML; got {text[:40]!r} as {kind} in {_line(event)}"
            ) from error
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ConfigurationError(f"integers must fit into 64 bits; got {text[:40]} in {_line(event)}")
        return value

    @staticmethod
    def _check_tag(event):
        """Raise `ConfigurationError` for a tag of another type."""
        if event.tag not in (None, "!", *TAGS):
            shown = event.tag.replace(CORE, "!!")[:60]
            raise ConfigurationError(
                f"parameter file must be YAML of texts, numbers, lists and mappings; got the tag {shown} "
                f"in {_line(event)}"
            )


def _line(event):
    return f"line {event.start_mark.line + 1}"


def _parser():
    # the parser in C is much faster, but not every PyYAML has it
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_documents(path):
    """The documents of a YAML file.

    Parameters
    ----------
    path : path-like
        Text in UTF-8.

    Returns
    -------
    documents : list
        Of dict, list, str, int, float, bool and None.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, is not YAML, gives a key twice, or holds tags, keys that are not texts, an alias of
        itself, or more levels or values than a parameter file needs.
    """
    text = ""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        return _Builder().build(yaml.parse(text, _parser()))
    except ConfigurationError:  # before ValueError, of which it is a kind
        raise
    except UnicodeDecodeError:
        raise ConfigurationError(f"parameter file must be text in UTF-8; got {path}") from None
    except OSError as error:
        raise ConfigurationError(f"parameter file must be readable; got {path} ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"parameter file must be YAML; got {_in_words(error, text)} of {path}") from None
    except ValueError as error:  # a NUL in the name of the file
        raise ConfigurationError(f"parameter file must be readable; got {str(path)!r} ({error})") from None


def _in_words(error, text):
    """An error of the YAML parser as words, with the line that must be changed."""
    problem, mark = getattr(error, "problem", None) or str(error), getattr(error, "problem_mark", None)
    if mark is None:
        return problem
    if "a tab character" in problem or text[mark.index : mark.index + 1] == "\t":
        return f"a tab in line {mark.line + 1}, where YAML takes spaces,"
    number = _line_without_colon(error, text.splitlines())
    if number is not None:
        return f"no ':' after the key in line {number} ({text.splitlines()[number - 1].strip()[:LONGEST_SHOWN]!r})"
    begun = error.context_mark
    since = f", {error.context} from line {begun.line + 1}," if begun and begun.line != mark.line else ""
    return f"{problem} in line {mark.line + 1}{since}"


def _line_without_colon(error, lines):
    """Number (from 1) of the line whose key has no colon; None if the error is another one.

    The parser notices it in a later line. It takes the key for a text, which may go on in the next lines.
    """
    if "expected ':'" in error.problem and error.context_mark:
        return error.context_mark.line + 1
    found = None
    if error.problem.startswith("mapping values are not allowed") or "<document start>" in error.problem:
        for number in range(error.problem_mark.line, 0, -1):
            line = lines[number - 1].partition("#")[0].rstrip()
            if line.endswith(":") or ": " in line:
                break
            found = number if line else found
    return found


def parsed_text(text):
    """The value of a short text in YAML, or the text itself if it is not YAML."""
    try:
        documents = _Builder().build(yaml.parse(text, _parser()))
    except (yaml.YAMLError, ConfigurationError):
        return text
    return documents[0] if len(documents) == 1 else text


def as_mapping(loaded, name):
    """Return ``loaded``, which must hold keys and values, or raise `ConfigurationError`."""
    if loaded is None:
        raise ConfigurationError(f"{name} must hold keys and values; got nothing")
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{name} must hold keys and values; got a {kind_of(loaded)}")
    return loaded
