"""From YAML to values, each checked by itself."""

import difflib

import yaml

from crstack.cli.config.keys import REQUIRED
from crstack.cli.config.legacy import choose_document
from crstack.exceptions import ConfigurationError

__all__ = ["as_mapping", "checked_values", "load_document"]


class _Loader(yaml.SafeLoader):
    """Safe, and a key given twice is an error."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise ConfigurationError(
                    f"key {key.value} must be given once; got it again in line {key.start_mark.line + 1}"
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_document(path):
    """The document of a YAML file that holds the parameters, as Python objects."""
    try:
        with open(path, encoding="utf-8") as stream:
            return choose_document(yaml.load_all(stream, _Loader), path)
    except ConfigurationError:  # which is a ValueError too
        raise
    except OSError as error:
        raise ConfigurationError(f"parameter file must be readable; got {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"parameter file must be text in UTF-8; got {path}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigurationError(f"parameter file must be YAML; got {problem}{where} of {path}") from None
    except ValueError as error:  # such as a date that is none
        raise ConfigurationError(f"parameter file must be YAML; got {error} in {path}") from None


def as_mapping(loaded, name):
    """``loaded`` if it holds keys and values, which it must."""
    if loaded is None:
        raise ConfigurationError(f"{name} must hold keys and values; got nothing")
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{name} must hold keys and values; got a {type(loaded).__name__}")
    return loaded


def checked_values(given, keys, others, more=()):
    """Checked values of the keys of one level; ``others`` are the keys of the other."""
    known = [key.name for key in keys]
    for name in given:
        if name not in known:
            raise ConfigurationError(_unknown(str(name), [*known, *more], [key.name for key in others]))
    values = {}
    for key in keys:
        value = given.get(key.name, key.default)
        if value is REQUIRED or (value is None and key.default is REQUIRED):
            raise ConfigurationError(f"{key.name} must be given; got nothing")
        values[key.name] = key.check(key.name, value)
    return values


def _unknown(name, known, others):
    if name in others:
        place = "under requirements" if "images" in known else "at the top level, not under requirements"
        return f"{name} must stand {place}"
    near = difflib.get_close_matches(name, [*known, *others], n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"key must be one that crstack knows; got {name}{hint}"
