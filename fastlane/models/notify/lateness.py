"""When a job is late: it has had no success for as long as its ``expectEvery`` says, whether it failed or never ran. Pure.

A job says when somebody is to look (``check_at``), and since when it is late (``late_since``). It becomes late in two writes: the first
says so and leaves the check due, the second ends the check, and in between its webhooks and mailboxes get their deliveries. So a process
that finds a job that is late and still to be checked makes the same deliveries again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id
from fastlane.models.job import Job
from fastlane.models.notify.delivery import Delivery, Target, of_pool
from fastlane.models.notify.mailbox import one_each
from fastlane.models.notify.occasion import Occasion
from fastlane.models.placement.pool import Pool


@dataclass(frozen=True, slots=True)
class JobState:
    """A job and its last execution, None when it has none: what is told when it is late, and when it has recovered."""

    job: Job
    latest: Execution | None


Subject = Execution | JobState
"""What a delivery tells of."""


def is_watched(job: Job, now: int) -> bool:
    """Whether a success of the job is expected: not while it is paused or stopped, nor after its ``expiration``."""
    return job.spec.expect_every is not None and not (job.stopped or job.paused or job.spec.is_over(now))


def watched(before: Job | None, after: Job, now: int) -> Job:
    """A job that was made or changed, with its check. A check that is due before its next tick stays, however often the job is changed. One
    that is late stays so until it succeeds, is stopped, or is watched no more."""
    every = after.spec.expect_every
    if every is None and after.check_at is None and after.late_since is None:
        return after
    if every is None or not is_watched(after, now):
        return replace(after, check_at=None, late_since=None if every is None else after.late_since)
    start = max(now, after.next_tick or now)
    if before is not None and not before.stopped and before.spec.expect_every is not None:
        if before.late_since is not None:
            return after
        if before.check_at is not None and before.spec.expect_every == every and start <= before.check_at:
            return after
    return replace(after, check_at=start + every, late_since=None)


def checked(job: Job, success_at: int | None, now: int) -> Job:
    """A job whose check is due, after it. ``success_at``: when it succeeded last. One that has become late is to be checked again, once its
    deliveries are written."""
    every = job.spec.expect_every
    if every is None or not is_watched(job, now):
        return replace(job, check_at=None)
    if success_at is not None and success_at + every > now:
        return replace(job, check_at=success_at + every)
    return replace(job, late_since=job.check_at, check_at=now)


def told(job: Job) -> Job:
    """A job that is late, once its deliveries are written."""
    return replace(job, check_at=None)


def succeeded(job: Job, at: int, now: int) -> Job:
    """The job after a success at that moment. A success before it became late, which is settled late, changes nothing."""
    every = job.spec.expect_every
    if job.late_since is not None and at < job.late_since:
        return job
    if every is None or not is_watched(job, now):
        return replace(job, check_at=None, late_since=None)
    check_at = at + every if job.late_since is not None else max(job.check_at or 0, at + every)
    return replace(job, check_at=check_at, late_since=None)


def notices(job: Job, occasion: Occasion, pools: Sequence[Pool], at: int, now: int) -> list[Delivery]:
    """The deliveries that tell that the job is late, or has recovered at that moment. Their ids derive from the episode."""
    own = [webhook for webhook in job.spec.webhooks or of_pool(job.task_id, pools) if webhook.occasion is occasion]
    named: list[tuple[str, Target]] = [(f"webhook/{place}", webhook) for place, webhook in enumerate(own)]
    mailboxes = one_each([mailbox for mailbox in job.spec.notify if mailbox.occasion is occasion])
    named += [(f"mail/{mailbox.key}", mailbox) for mailbox in mailboxes]
    return [
        Delivery(
            id=derived_id(job.incarnation, f"{occasion}/{job.late_since}/{name}"),
            task_id=job.task_id,
            job_id=job.id,
            execution_id=job.id,
            event=f"job.{occasion}",
            target=target,
            will_retry=False,
            created_at=at,
            due=now,
            attempts_left=target.retries + 1,
        )
        for name, target in named
    ]
