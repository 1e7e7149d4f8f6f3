"""Images: the grammar of their references (the distribution project's, https://github.com/distribution/reference), the registry that a
reference names and the login there, and the images that executions pulled and that nothing uses any more. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

_PART = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
_DOMAIN = rf"(?:{_PART}(?:\.{_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:[_.]|__|-+)[a-z0-9]+)*"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,}"
REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{_DIGEST}))?",
    re.ASCII,
)
MAX_NAME = 255
MAX_REFERENCE = 600
IMAGE_ID = 64
EXAMPLES = 'write one such as "ubuntu:latest" or "registry.example.com:5000/team/app:1.2"'


def reference_fault(text: str) -> str | None:
    """The reason why this text is not an image reference, and what to write instead; None for a valid one."""
    if not text:
        return f"is empty; {EXAMPLES}"
    if len(text) > MAX_REFERENCE:
        return f"is longer than {MAX_REFERENCE} characters; {EXAMPLES}"
    match = REFERENCE.fullmatch(text)
    if match is None:
        return _why(text)
    if len(match["name"]) > MAX_NAME:
        return f"has a name of more than {MAX_NAME} characters; {EXAMPLES}"
    digest = match["digest"] or ""
    if digest.startswith("sha256:") and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        return "has a digest that is not 64 lower-case hexadecimal digits after sha256:"
    if len(text) == IMAGE_ID and re.fullmatch(r"[0-9a-f]+", text):
        return "is a bare image id, which registries do not know; write a name"
    return None


def _why(text: str) -> str:
    if any(character.isspace() for character in text):
        return f"contains white space; {EXAMPLES}"
    if "://" in text:
        return f"has a scheme; leave out {text.split('://', 1)[0]}://"
    if text.lower() != text and REFERENCE.fullmatch(text.lower()):
        return f'has upper-case letters in its path; write "{text.lower()}"'
    return f"is not an image reference; {EXAMPLES}"


class ImageRemoval(StrEnum):
    """What became of the removal of an image: it was removed; it was not there; a container or a service uses it; someone gave it a
    name."""

    REMOVED = "removed"
    GONE = "gone"
    IN_USE = "in-use"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class PulledImage:
    """One image on one engine. Each change raises ``version``, which begins at 1. ``reference`` is ``NAME@sha256:…``. Nothing removes it
    before ``keep_until``; ``removed_by`` is until when the worker that is about to remove it may do so (milliseconds), None while none is.
    """

    engine_id: str
    reference: str
    keep_until: int
    removed_by: int | None = None
    version: int = 1

    def kept(self, until: int) -> "PulledImage":
        """Its next version: kept at least until then, while no worker is about to remove it."""
        return replace(self, keep_until=max(self.keep_until, until), removed_by=None, version=self.version + 1)

    def taken(self, by: int) -> "PulledImage":
        """Its next version: about to be removed by then."""
        return replace(self, removed_by=by, version=self.version + 1)

    def is_unused(self, now: int) -> bool:
        """Whether a worker may begin to remove it."""
        return now >= self.keep_until and not self.is_being_removed(now)

    def is_being_removed(self, now: int) -> bool:
        """Whether a worker may be about to remove it. A worker that ended meanwhile holds it no longer than it said."""
        return self.removed_by is not None and now < self.removed_by


def pulled_name(reference: str) -> str | None:
    """The name under which an engine keeps what it pulled for this reference, without the tag; None for a reference that it does not
    pull."""
    name, at, digest = reference.partition("@")
    return f"{repository(name)}@{digest}" if at else None


def repository(name: str) -> str:
    """A name without its tag and digest."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def may_need(image: PulledImage, references: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Whether one of these references needs the image, and the references for which only a registry can say so."""
    own, digest = repository(image.reference), image.reference.partition("@")[2]
    same = [reference for reference in references if repository(reference) == own]
    return any(reference.endswith(f"@{digest}") for reference in same), frozenset(ref for ref in same if "@" not in ref)


HUB = "docker.io"
"""The registry of a reference without one."""

_HUB_TOO = "index.docker.io"
_IMAGE_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")


Credentials = Mapping[str, str]
"""Those for one registry, in the form that an engine takes; empty for none."""


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
