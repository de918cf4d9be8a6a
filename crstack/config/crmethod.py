"""The value of ``crmethod``, parsed once."""

from dataclasses import dataclass

from crstack.exceptions import ConfigurationError
from crstack.utils.registry import DETECTORS, METHODS
from crstack.utils.validation import check_choice

__all__ = ["OWN_KEYS", "CRMethod"]

#: detectors whose parameters are keys of their own, and the prefix of these keys
OWN_KEYS = {"lacosmic": "la_", "pycosmic": "pc_", "deepcr": "dc_", "conn": "nn_"}

MMCOSMIC, JOINT = "mmcosmic", "joint"


def short_names():
    """Prefix of each registered method before the names of its detectors."""
    others = [JOINT, *(name for name in METHODS.names() if name not in (MMCOSMIC, JOINT))]
    return {"mm": MMCOSMIC} | {name: name for name in others}


@dataclass(frozen=True)
class CRMethod:
    """The method and its auxiliary detectors.

    Attributes
    ----------
    method : str or None
        Name of a registered method, such as "mmcosmic" or "joint"; None if only detectors are used.
    detectors : tuple of str
        Names of the auxiliary detectors; often one, or none.
    """

    method: str | None
    detectors: tuple[str, ...]

    @classmethod
    def parse(cls, key, value):
        """Parse the text of the parameter file.

        Parameters
        ----------
        key : str
            Name of the value in messages.
        value : str
            A method; one or more registered detectors joined by ``+``; or detectors after
            ``mm_``, ``joint_`` or another method's name and ``_``.

        Raises
        ------
        ConfigurationError
            If a name is unknown, or a detector is named twice.
        """
        detectors = [*OWN_KEYS, *(name for name in DETECTORS.names() if name not in OWN_KEYS)]
        methods = short_names()
        assisted = {f"{short}_{name}": (method, name) for short, method in methods.items() for name in detectors}
        if not isinstance(value, str) or "+" not in value:
            check_choice(key, value, [*methods.values(), *detectors, *assisted])
            if value in methods.values():
                return cls(value, ())
            method, name = assisted.get(value, (None, value))
            return cls(method, (name,))
        first, *others = (name.strip() for name in value.split("+"))
        check_choice(f"{key}, up to the first +,", first, [*detectors, *assisted])
        for number, name in enumerate(others, start=2):
            check_choice(f"detector {number} of {key}", name, detectors)
        method, name = assisted.get(first, (None, first))
        names = (name, *others)
        if len(set(names)) < len(names):
            raise ConfigurationError(f"{key} must name a detector once; got {value}")
        return cls(method, names)

    def __str__(self):
        if not self.detectors:
            return self.method
        short = next((short for short, method in short_names().items() if method == self.method), None)
        return f"{short}_{'+'.join(self.detectors)}" if short else "+".join(self.detectors)

    @property
    def uses_diagram(self):
        """Whether M.M.Cosmic is used."""
        return self.method == MMCOSMIC

    @property
    def is_joint(self):
        """Whether the joint decision is made."""
        return self.method == JOINT

    @property
    def plugins(self):
        """Names of the detectors whose parameters are under ``detector``."""
        return tuple(name for name in self.detectors if name not in OWN_KEYS)

    @property
    def prefixes(self):
        """Prefixes of the detectors' own keys."""
        return tuple(OWN_KEYS[name] for name in self.detectors if name in OWN_KEYS)
