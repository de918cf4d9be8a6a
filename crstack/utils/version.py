"""The version of this package, and a digest of its code where one version may have other code."""

import hashlib
import json
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

__all__ = ["code_version", "crstack_version"]

#: digits of the digest that are shown
DIGITS = 12


@cache
def crstack_version():
    """The installed version.

    Raises
    ------
    InputError
        If crstack is imported from a source tree without being installed.
    """
    try:
        return distribution("crstack").version
    except PackageNotFoundError:
        # imported here, because astropy comes with it, and the command's --help needs the version alone
        from crstack.exceptions import InputError

        raise InputError(
            "crstack must be installed, because Python finds its methods and detectors by its installation; got the "
            f"files in {Path(__file__).parents[1]} alone. Type: pip install {Path(__file__).parents[2]}"
        ) from None


@cache
def code_version():
    """The installed version, with a digest of the code if this may change under the same version.

    This applies to development versions, and to installations that use the files of a checkout.
    """
    version = crstack_version()
    if "dev" not in version and "+" not in version and not _is_editable():
        return version
    return f"{version} with code {digest_of_code(Path(__file__).parents[1])}"


def digest_of_code(directory):
    """First digits of the SHA-256 of the names and contents of all Python files below a directory."""
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(directory).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGITS]


def _is_editable():
    """Whether the package is used from a checkout (PEP 610)."""
    text = distribution("crstack").read_text("direct_url.json")
    return bool(text) and bool(json.loads(text).get("dir_info", {}).get("editable"))
