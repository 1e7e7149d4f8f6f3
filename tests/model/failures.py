"""How ticks that fail in a row are counted, when that pauses a job and who hears of it: what docs/scheduling.md says (and not what the code
does), by the ends that were seen."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile

from fastlane.models.job import Execution, Job
from fastlane.models.retry import FailureReason
from fastlane.models.status import Status

COUNTED = {Status.DONE: False, Status.FAILED: True, Status.TIMEDOUT: True, Status.EXPIRED: True}
"""Whether a tick failed whose last attempt ended like this; any other end counts neither way."""
USUAL = frozenset({FailureReason.EXIT, FailureReason.OOM, FailureReason.KILLED, FailureReason.HOST_LOST})
"""The reasons after which another attempt is made, where a job says nothing else."""


def is_tried_again(row: Execution) -> bool:
    """Whether its failure is one after which its job is tried again, however many attempts are left."""
    reason, rule = row.failure.reason if row.failure else None, row.spec.retry_on
    if row.status is not Status.FAILED:
        return False
    return reason in USUAL if rule is None else reason in rule.reasons or row.exit_code in rule.exit_codes


def has_last_word(row: Execution) -> bool:
    """Whether no attempt can follow it, whatever else happened."""
    return not is_tried_again(row) or row.attempt > row.spec.retries


def wrong_remedy(before: Execution, after: Execution) -> Iterator[str]:
    """What is wrong with the memory of an attempt, and with what it keeps off, in words."""
    reason, rule, had = before.failure and before.failure.reason, before.spec.on_oom, before.spec.resources.memory
    wanted = had
    if reason is FailureReason.OOM and rule is not None and had is not None:
        wanted = max(had, min(int(had * rule.factor), had * 1000 if rule.max is None else rule.max))
    if after.spec.resources.memory != wanted:
        yield f"{after.id} has {after.spec.resources.memory} bytes after {had} and {reason}, not {wanted}"
    avoided = after.spec.remedy.avoid if after.spec.remedy else None
    if avoided != (before.host if reason is FailureReason.HOST_LOST else None):
        yield f"{after.id} keeps off {avoided}, and {before.id} failed on {before.host}: {reason}"


class FailureBook:
    """The ends of each job that count, by incarnation: the sequence of the tick, and whether it failed. ``told``: what somebody hears
    about."""

    def __init__(self) -> None:
        self._ends: dict[str, dict[int, bool]] = defaultdict(dict)
        self._floor: dict[str, int] = defaultdict(int)
        self._loud: set[str] = set()
        self.told: set[str] = set()

    def begin_anew(self, job: Job) -> None:
        """Ticks up to now do not count any more."""
        self._floor[job.incarnation] = job.sequence
        self._ends[job.incarnation].clear()

    def in_a_row(self, job: Job, until: int | None = None) -> int:
        """How many ticks failed in a row, up to this sequence."""
        ends = sorted(item for item in self._ends[job.incarnation].items() if until is None or item[0] <= until)
        return len(list(takewhile(lambda item: item[1], reversed(ends))))

    def faults(self, before: Job, after: Job, row: Execution | None, sequence: int) -> Iterator[str]:
        """What is wrong with a change that counts the end of a tick, whose last attempt is ``row``. ``before``: the job as it was."""
        ends = self._ends[before.incarnation]
        if sequence in ends or sequence <= self._floor[before.incarnation]:
            yield f"counted the tick {sequence} twice, or after it did not count any more"
        if row is None or row.status not in COUNTED or row.spec.backfill is not None:
            yield f"counted the end of {row}"
            return
        ends[sequence] = COUNTED[row.status]
        count, most = self.in_a_row(before), before.spec.pause_after
        if after.failing is None or after.failing.count != count:
            yield f"counts {after.failing}, and {count} ticks failed in a row: {ends}"
        too_many = ends[sequence] and 0 < most <= count and before.next_tick is not None and before.schedule.cron is not None
        if after.paused is not (too_many or before.paused):
            yield f"is paused: {after.paused}, {count} ticks failed in a row (pauseAfter: {most})"
        if ends[sequence] and self.in_a_row(before, sequence) >= row.spec.notify_after:
            self._loud.add(row.id)

    def uncounted(self, job: Job, row: Execution) -> bool:
        """Whether the tick should be counted, of which this is the last attempt, and is not."""
        rules = row.spec.pause_after or row.spec.notify_after
        counts = rules and row.status in COUNTED and row.spec.backfill is None and has_last_word(row)
        return bool(counts) and row.sequence > self._floor[job.incarnation] and row.sequence not in self._ends[job.incarnation]

    def untold(self, job: Job, row: Execution) -> bool:
        """Whether somebody should have heard of this failure, and has not."""
        is_loud = row.id in self._loud and self.in_a_row(job, row.sequence) >= row.spec.notify_after
        return bool(row.spec.notify) and is_loud and row.id not in self.told

    def told_too_soon(self, row: Execution) -> bool:
        """Whether nobody should hear of this end yet: too few ticks have failed."""
        failed = [sequence for sequence, failed in self._ends[row.incarnation].items() if failed]
        return row.spec.backfill is None and len(failed) < row.spec.notify_after
