"""How the ticks of a job end, one after the other: how many failed in a row, and whether that pauses the job. Pure.

A tick ends with its last attempt. The count follows from the set of the ends, in the order of the ticks: it is the same in whichever order
workers record them, and however often each is recorded.
"""

from dataclasses import dataclass, replace
from itertools import takewhile

KEPT = 32
"""Ends that a job's row has: the last ones. A tick that ends after that number of later ones is not counted."""


@dataclass(frozen=True, slots=True)
class Failing:
    """The ends of a job's last ticks. ``ends``: the sequence of each tick, negative where it failed, in the order of the ticks. ``floor``:
    ticks up to this sequence are not counted (any more); ``earlier``: how many failed in a row right before the first of ``ends``.
    ``paused_by``: the sequence of the tick whose failure paused the job last (0: none). ``before``: how many had failed in a row when the
    count began again: a success after these is still the first one."""

    floor: int = 0
    ends: tuple[int, ...] = ()
    earlier: int = 0
    paused_by: int = 0
    before: int = 0

    @property
    def count(self) -> int:
        """How many ticks failed in a row up to now."""
        return self.row_at(abs(self.ends[-1])) if self.ends else self.earlier

    @property
    def is_pause(self) -> bool:
        """Whether a pause that the job has is by its failures: nobody has resumed it since."""
        return self.paused_by > self.floor

    def row_at(self, sequence: int) -> int:
        """How many ticks had failed in a row when this one had ended."""
        return self._row(sequence, self.earlier)

    def failed_before(self, sequence: int) -> int:
        """How many ticks had failed in a row before this one, whether or not the count has begun again since."""
        return self._row(sequence - 1, self.earlier + self.before)

    def _row(self, sequence: int, earlier: int) -> int:
        until = [end for end in self.ends if abs(end) <= sequence]
        row = len(list(takewhile(lambda end: end < 0, reversed(until))))
        return row + (earlier if row == len(until) else 0)

    def with_end(self, sequence: int, *, failed: bool) -> "Failing":
        """With the end of a tick; the same when it is counted already, or too old to be."""
        if sequence <= self.floor or any(abs(end) == sequence for end in self.ends):
            return self
        ends = sorted((*self.ends, -sequence if failed else sequence), key=abs)
        floor, earlier, before = self.floor, self.earlier, self.before
        while len(ends) > KEPT:
            first = ends.pop(0)
            floor, earlier, before = (-first, earlier + 1, before) if first < 0 else (first, 0, 0)
        return replace(self, floor=floor, ends=tuple(ends), earlier=earlier, before=before)


def begun_anew(failing: Failing | None, sequence: int, *, is_counted: bool) -> Failing | None:
    """The ends of a job whose count begins anew: ticks up to this sequence do not count, also where none has ended yet. ``is_counted``: a
    rule of the job, or of what runs, needs the count."""
    if failing is None:
        return Failing(floor=sequence) if is_counted else None
    return Failing(floor=sequence, before=failing.failed_before(sequence + 1))


def paused_words(most: int) -> str:
    """Why a job was paused after this number of failures."""
    return f"{most} of its ticks in a row failed (pauseAfter: {most})"
