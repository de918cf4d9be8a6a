"""The parameter file: document, old names, keys, checked values, parts."""

from crstack.cli.config.configuration import Configuration, read_configuration

__all__ = ["Configuration", "read_configuration"]
