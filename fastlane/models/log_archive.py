"""What the store keeps of a log that is in the archive: where its object is, what proves it, and how far the move is."""

from dataclasses import dataclass
from enum import StrEnum


class ArchiveState(StrEnum):
    """How far the move of a log is. It only goes forward, until another try begins.

    ``writing``: the object may be there; the store has the log. ``proved``: the object was read back whole, so the log is read from there,
    and its parts in the store go. ``moved``: they are gone. ``going``: the object goes, since the log is removed, or for another try.
    """

    WRITING = "writing"
    PROVED = "proved"
    MOVED = "moved"
    GOING = "going"


ARCHIVED = frozenset({ArchiveState.PROVED, ArchiveState.MOVED})
"""The states of a log that is read from the archive."""


@dataclass(frozen=True, slots=True)
class ArchivedLog:
    """A log and its object. ``id`` is the execution's; ``digest`` is the SHA-256 of the object, ``size`` its bytes, ``index_at`` where its
    index begins; ``lines``: line ends in the log. ``sequence`` to ``marks`` belong to the last chunk of the log, as the store has it: so
    the end of a log is known without its object. ``archived_at`` in milliseconds."""

    id: str
    state: ArchiveState
    key: str
    digest: str
    size: int
    index_at: int
    lines: int
    sequence: int
    end_offset: int
    end_stdout: int
    end_stderr: int
    dropped: int
    marks: str
    archived_at: int
    version: int = 1
