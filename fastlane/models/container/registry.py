"""Image registries: which one an image reference names, and our login there. Pure rules.

The rule is exactly the distribution project's (https://github.com/distribution/reference): any deviation could send one registry's
password to another.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

HUB = "docker.io"
"""The registry of a reference without one."""

_HUB_TOO = "index.docker.io"
_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """Our login at the registry ``host`` (``HOST`` or ``HOST:PORT``), with the password or the file that holds it."""

    host: str
    username: str
    password: str | None = field(default=None, repr=False)
    password_file: Path | None = None


def is_image_id(reference: str) -> bool:
    """Whether this is the id of an image on an engine, which registries do not know."""
    return _IMAGE_ID.fullmatch(reference) is not None


def registry_of(reference: str) -> str | None:
    """The registry that an image reference names, in lower case; None for an image's id."""
    if is_image_id(reference):
        return None
    first, slash, _ = reference.partition("/")
    if not slash or not (first == "localhost" or "." in first or ":" in first or first != first.lower()):
        return HUB
    return registry_host(first)


def registry_host(host: str) -> str:
    """A registry's host in the form in which hosts are compared: lower case, with one name for Docker Hub."""
    lower = host.lower()
    return HUB if lower == _HUB_TOO else lower
