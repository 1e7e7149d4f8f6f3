"""How much room there is on an engine's disk, and when a node is short of it. Pure.

The room is measured where the worker can look at the engine's folder itself. Everywhere else a node shows that its disk is full only by
refusing to start something. It is left alone then for a while, which grows while it goes on refusing.
"""

import math
from dataclasses import dataclass

PAUSE, LONGEST_PAUSE = 60_000, 1_800_000
"""Milliseconds for which a node is left alone after a start that it refused for its full disk: at first, and at most."""
ENOUGH = 1.1
"""Times the reserve that has to be free again, so that a disk at the edge is not short and well in turn."""
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Reserve:
    """How much of a disk has to be free: so many bytes, or a part of it from 0 to 1."""

    size: int = 0
    part: float = 0.0

    def of(self, total: int) -> int:
        """The bytes of a disk of this size."""
        return max(self.size, math.ceil(self.part * total))


@dataclass(frozen=True, slots=True)
class Space:
    """What is free of a disk, and how large it is, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """The starts in a row that a node refused because its disk was full: when it refused the first and the last one (milliseconds)."""

    first: int
    last: int

    @classmethod
    def between(cls, first: int | None, last: int | None) -> "Refusals | None":
        """Those of these two moments; None when there were none."""
        return None if first is None or last is None else cls(first, last)

    @property
    def until(self) -> int:
        """Until when it is left alone."""
        return self.last + max(PAUSE, min(LONGEST_PAUSE, self.last - self.first))

    def and_at(self, now: int) -> "Refusals":
        """With one more. After a long time without any, that one is the first of another row."""
        if now <= self.last:
            return self
        in_a_row = now < self.until + (self.until - self.last)
        return Refusals(self.first if in_a_row else now, now)


@dataclass(frozen=True, slots=True)
class Disk:
    """What is known of the disk of a host's engine. ``free`` and ``total`` (bytes, in whole MiB) are None where they cannot be measured.
    ``short`` says why it gets no new work, in words that follow its name; ``since`` and ``until``: since when, and until when it is left
    alone, None where that depends on what is measured. ``refused_first`` and ``refused_last``: those of its ``Refusals``. Moments in
    milliseconds."""

    free: int | None = None
    total: int | None = None
    short: str | None = None
    since: int | None = None
    until: int | None = None
    refused_first: int | None = None
    refused_last: int | None = None

    @property
    def refusals(self) -> Refusals | None:
        """What it has refused."""
        return Refusals.between(self.refused_first, self.refused_last)


def judge(space: Space | None, refusals: Refusals | None, reserve: Reserve, before: Disk | None, now: int) -> Disk | None:
    """What is known of a disk now; None when that is nothing. ``before``: the last judgement."""
    if space is None and refusals is None:
        return None
    words, until = _short(space, reserve, was_short=before is not None and before.short is not None), None
    if words is None and refusals is not None and now < refusals.until:
        words, until = "is short of disk: it had no space left for a start, and is left alone for a while", refusals.until
    since = before.since if words is not None and before is not None and before.short is not None else now
    return Disk(
        free=None if space is None else _whole(space.free),
        total=None if space is None else _whole(space.total),
        short=words,
        since=None if words is None else since,
        until=until,
        refused_first=None if refusals is None else refusals.first,
        refused_last=None if refusals is None else refusals.last,
    )


def _short(space: Space | None, reserve: Reserve, *, was_short: bool) -> str | None:
    if space is None:
        return None
    least = reserve.of(space.total)
    if space.free >= (least * ENOUGH if was_short else least):
        return None
    return f"is short of disk: less than {_mib(least)} of {_mib(space.total)} is free (min_free_disk)"


def _whole(size: int) -> int:
    """In whole MiB: a host's view is made anew whenever it changes."""
    return size // MEBIBYTE * MEBIBYTE


def _mib(size: int) -> str:
    return f"{size // MEBIBYTE:,} MiB"
