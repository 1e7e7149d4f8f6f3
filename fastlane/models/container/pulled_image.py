"""An image that an engine did not have before an execution needed it there: what the store keeps of it, and whom it is kept for. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class ImageRemoval(StrEnum):
    """What became of the removal of an image: it is removed; it was not there; a container or a service uses it; someone gave it a name."""

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
        """Its next version: kept at least until then, and about to be removed by nobody."""
        return replace(self, keep_until=max(self.keep_until, until), removed_by=None, version=self.version + 1)

    def taken(self, by: int) -> "PulledImage":
        """Its next version: about to be removed by then."""
        return replace(self, removed_by=by, version=self.version + 1)

    def is_unused(self, now: int) -> bool:
        """Whether a worker may begin to remove it."""
        return now >= self.keep_until and not self.is_being_removed(now)

    def is_being_removed(self, now: int) -> bool:
        """Whether a worker may be about to remove it. One that ended meanwhile is waited for no longer than it had."""
        return self.removed_by is not None and now < self.removed_by


def pulled_name(reference: str) -> str | None:
    """The name under which an engine has what it pulled for this reference, without the tag; None for what it does not pull."""
    name, at, digest = reference.partition("@")
    return f"{repository(name)}@{digest}" if at else None


def repository(name: str) -> str:
    """A name without its tag and digest."""
    name = name.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def may_need(image: PulledImage, references: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Whether one of these references needs the image; and those of which only a registry can tell."""
    own, digest = repository(image.reference), image.reference.partition("@")[2]
    same = [reference for reference in references if repository(reference) == own]
    return any(reference.endswith(f"@{digest}") for reference in same), frozenset(ref for ref in same if "@" not in ref)
