"""The ports of the archive of old logs: ``LogObjects``, the folder that has the objects, and ``LogArchive``, the part of the store that
knows which log is there."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from fastlane.models.log_archive import ArchivedLog

Place = tuple[int, str]
"""When the store learned of an execution's end (milliseconds), and its id."""
BEGINNING: Place = (0, "")
"""Before every place."""


@dataclass(frozen=True, slots=True)
class RipeLogs:
    """Executions whose logs may move, by ``Place``. ``next``: where to look further; None at the end."""

    logs: Sequence[Place]
    next: Place | None


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """Some of the archived logs. ``next``: the id to look further after; None at the end."""

    logs: Sequence[ArchivedLog]
    next: str | None


class LogObjects(Protocol):
    """The place of the objects. Each method ends within a time that follows from the size, and raises ArchiveDown when it cannot do its
    work; the message names no secret."""

    async def prepare(self, *, is_new: bool) -> None:
        """Looks whether this is the archive, and can be used. ``is_new``: nothing is archived yet, so it may be made one."""

    async def put(self, key: str, content: BinaryIO, size: int) -> None:
        """Writes an object whole, or not at all; replaces one of the same key."""

    async def digest(self, key: str, size: int) -> str:
        """Reads a whole object back; the SHA-256 of what is there."""

    async def read(self, key: str, start: int, length: int) -> bytes:
        """A part of an object, exactly as long. Raises ArchiveDamaged where the archive is there, and the object or the part is not."""

    async def delete(self, key: str) -> None:
        """Deletes an object, and what an unfinished ``put`` left of it, if they are there."""


class LogArchive(Protocol):
    """What is archived. Every write is a compare-and-set on the row of one log. ``objects``: None where no archive is set."""

    objects: LogObjects | None

    async def any(self) -> bool:
        """Whether anything has been archived."""

    async def ripe(self, before: int, limit: int, after: Place | None = None) -> RipeLogs:
        """Looks at the next ``limit`` executions by the moment at which the store learned of their ends, up to ``before`` (milliseconds).
        Those that are settled and cleaned, have a log, and have no row here."""

    async def get(self, execution_id: str) -> ArchivedLog | None:
        """The row of a log, in any state. Raises Unreadable."""

    async def pack(self, execution_id: str, file: BinaryIO, now: int) -> ArchivedLog | None:
        """Writes the object of a stored log into a file, and returns its row, which is not written. None when the store has no log, or when
        the log changed meanwhile."""

    async def is_as_packed(self, log: ArchivedLog) -> bool:
        """Whether the stored log still ends where it ended when it was packed."""

    async def write_archived(self, log: ArchivedLog) -> bool:
        """Replaces the row whose version is one less, or inserts the first. False, and nothing written, for another stored version."""

    async def clear_archived(self, execution_id: str) -> bool:
        """Removes the last parts of a log in the store; whether there are more."""

    async def forget(self, log: ArchivedLog) -> bool:
        """Deletes this version of a row; False, and nothing deleted, when another is stored."""

    async def unfinished(self, limit: int, after: str = "") -> Sequence[ArchivedLog]:
        """Rows in every state but ``moved``, by id, after that id."""

    async def orphans(self, limit: int, after: str = "") -> ArchivePage:
        """Looks at the next ``limit`` rows by id; those whose execution is gone."""

    async def among(self, execution_ids: Sequence[str]) -> Set[str]:
        """Which of these executions have their log in the archive."""
