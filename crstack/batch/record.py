"""Record of the input of a stack, stored with its products, to check that they are complete and up to date."""

import hashlib
import json
from pathlib import Path

from crstack.files.whole import atomic_path
from crstack.utils.words import first_few

__all__ = ["FILE_NAME", "Record"]

#: name of the record in the directory of a stack
FILE_NAME = "batch_record.json"
#: bytes read at a time
CHUNK = 1 << 20


def digest_of_file(path):
    """SHA-256 of the content of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def stamp(path, earlier=None):
    """Size, time of change and digest of a file; with an ``earlier`` stamp, a file that was not touched is not read."""
    status = Path(path).stat()
    found = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    if earlier and all(earlier.get(key) == value for key, value in found.items()):
        return earlier
    return found | {"digest": digest_of_file(path)}


def digest_of_settings(settings):
    """SHA-256 of the content of a parameter file, whatever the order of its keys."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Record:
    """Input of a finished stack.

    Parameters
    ----------
    content : dict
        ``version``, ``settings`` (a digest), ``inputs`` and ``products`` (stamps by path), ``row`` of the results.
    """

    def __init__(self, content):
        self.content = content

    @classmethod
    def of(cls, stack, directory, version, row, paths):
        """Record of a stack with products in ``directory``; ``paths`` are its exposures."""
        products = sorted(path for path in Path(directory).rglob("*") if path.is_file() and path.name != FILE_NAME)
        return cls(
            {
                "version": version,
                "settings": digest_of_settings(stack.settings),
                "inputs": {str(path): stamp(path) for path in paths},
                "products": {str(path.relative_to(directory)): stamp(path) for path in products},
                "row": row,
            }
        )

    @classmethod
    def read(cls, directory):
        """Record in ``directory``; None if there is none that can be read."""
        try:
            content = json.loads((Path(directory) / FILE_NAME).read_text())
        except (OSError, ValueError):
            return None
        wanted = {"version", "settings", "inputs", "products", "row"}
        return cls(content) if isinstance(content, dict) and wanted <= set(content) else None

    def write(self, directory):
        """Write the record, completely or not at all."""
        with atomic_path(Path(directory) / FILE_NAME) as temporary:
            temporary.write_text(json.dumps(self.content, indent=1))

    @property
    def row(self):
        """Row of the table of results."""
        return self.content["row"]

    def why_not(self, stack, directory, version):
        """The reason why the stack must be computed again; None if its products are complete and up to date."""
        if self.content["version"] != version:
            return f"crstack was {self.content['version']}, and is {version}"
        inputs = _other_names(list(self.content["inputs"]), list(stack.images))
        if inputs is not None:
            return inputs
        if self.content["settings"] != digest_of_settings(stack.settings):
            return "its settings have changed"
        return _changed(self.content["inputs"], "", "exposure") or _changed(
            self.content["products"], directory, "product"
        )


def _changed(stamps, directory, kind):
    """Words for the first file of a kind that is missing or has changed; None if there is none."""
    for name, earlier in stamps.items():
        path = Path(directory) / name
        if not path.is_file():
            return f"{kind} {name} is missing"
        if path.stat().st_size != earlier["size"] or stamp(path, earlier)["digest"] != earlier["digest"]:
            return f"{kind} {name} has changed"
    return None


def _other_names(earlier, now):
    """Words for exposures that were added or left out since; None if there are none."""
    left_out = [name for name in earlier if name not in now]
    added = [name for name in now if name not in earlier]
    changes = [
        f"{first_few([Path(name).name for name in names], 1)} {what}"
        for names, what in ((left_out, "left out"), (added, "added"))
        if names
    ]
    return f"it had {len(earlier)} exposures, and has {len(now)}: {', '.join(changes)}" if changes else None
