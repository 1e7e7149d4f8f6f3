"""A delivery: one message to a webhook or a mailbox, with its attempts. The rows say what was sent, and what is to be sent.

The quota of mails about a job's failures, the receivers that fail, and the check by which a job counts as late are here, too. Pure.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256

from fastlane.models.cron import next_tick
from fastlane.models.done_by import deadline_from, deadline_of, is_deadline
from fastlane.models.ids import derived_id
from fastlane.models.job import Execution, Job, Spec
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook, is_triggered, one_each
from fastlane.models.pool import Pool, pool_for
from fastlane.models.status import Status

FIRST_DELAY, GROWTH, MAX_DELAY = 5_000, 4, 6 * 3_600_000
"""Milliseconds before the second attempt, the factor of each further delay, and the longest one."""
JITTER = 0.2
"""The share by which a delay may be longer, so that what failed together is not tried again together."""
KEPT = 20
"""Attempts of which a row keeps the outcome: the last ones."""
MAX_LOST = 5
"""Attempts in a row without an outcome, because the process that made each ended, after which a delivery has failed."""
NO_OUTCOME = "its outcome is not known: the process that made the attempt ended"
GIVEN_UP = f"{MAX_LOST} attempts in a row ended the process that made them, so no further one is made"


class DeliveryState(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    HELD = "held"


class Kind(StrEnum):
    """How a message is sent."""

    WEBHOOK = "webhook"
    MAIL = "mail"


Target = Webhook | Mailbox
"""Where a message goes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one attempt came to: the receiver's status, as HTTP or SMTP have it (None: there was none), with the beginning of its answer, or
    why there was none. ``is_final``: no further attempt could help. ``is_held``: there was no attempt, because mails about this job's
    failures are to be few."""

    status: int | None
    error: str | None = None
    excerpt: str = ""
    is_final: bool = False
    is_held: bool = False

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the message."""
        return self.error is None and not self.is_held


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a delivery: when it began and how long it took (milliseconds), and what it came to, as in ``Reply``. It is written
    before it is made, without an outcome."""

    at: int
    duration: int
    status: int | None
    error: str | None
    excerpt: str

    @property
    def has_outcome(self) -> bool:
        """Whether its outcome was recorded."""
        return self.error != NO_OUTCOME


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message about an execution or a job to a webhook or a mailbox. Each change raises ``version``, which begins at 1. Moments are in
    milliseconds.

    ``execution_id`` is the job's own id when the message is about the job. ``id`` stays the same in all attempts, and derives from the
    execution, so that a process that repeats a step makes the same row. ``due``: when a worker may take it next, which is the end of the
    lease while one has it; None: nothing is to be sent any more. ``will_retry``: whether another attempt at the job follows. ``by_hand``: a
    person asked for it to be sent again.
    """

    id: str
    task_id: str
    job_id: str
    execution_id: str
    event: str
    target: Target
    will_retry: bool
    created_at: int
    due: int | None
    attempts_left: int
    attempts_made: int = 0
    attempts: tuple[Attempt, ...] = ()
    state: DeliveryState = DeliveryState.PENDING
    by_hand: bool = False
    version: int = 1

    @property
    def is_of_job(self) -> bool:
        """Whether it is about the job, and not about one of its executions."""
        return self.execution_id == self.job_id

    @property
    def kind(self) -> Kind:
        """How it is sent."""
        return Kind.MAIL if isinstance(self.target, Mailbox) else Kind.WEBHOOK

    @property
    def lost(self) -> int:
        """How many attempts there were in a row, up to now, of which no outcome was recorded."""
        return next((number for number, attempt in enumerate(reversed(self.attempts)) if attempt.has_outcome), len(self.attempts))

    def taken(self, until: int, now: int) -> "Delivery":
        """Its next version: a worker makes an attempt, and no other before then. The attempt counts from now on, so that one that ends the
        worker is not made for ever. Each time that happens, the next one is made later."""
        if self.lost:
            until += back_off(self.id, self.lost)
        return replace(self.with_attempt(Attempt(now, 0, None, NO_OUTCOME, "")), due=until, version=self.version + 1)

    def postponed(self, until: int) -> "Delivery":
        """Its next version: the attempt was not made, and none is made before then."""
        return replace(self.without_attempt(), due=until, version=self.version + 1)

    def tried(self, reply: Reply, *, began: int, now: int) -> "Delivery":
        """Its next version, after an attempt: delivered, failed for good, held back, or due again after a while."""
        before = self.without_attempt()
        if reply.is_held:
            return replace(before, state=DeliveryState.HELD, due=None, attempts_left=0, version=self.version + 1)
        after = before.with_attempt(Attempt(began, max(0, now - began), reply.status, reply.error, reply.excerpt))
        left = max(0, self.attempts_left - 1)
        after = replace(after, attempts_left=left, version=self.version + 1)
        if reply.is_success or self.state is DeliveryState.DELIVERED:
            return replace(after, state=DeliveryState.DELIVERED, due=None, attempts_left=0, by_hand=False)
        if reply.is_final or left == 0:
            return replace(after, state=DeliveryState.FAILED, due=None, attempts_left=0, by_hand=False)
        return replace(after, state=DeliveryState.PENDING, due=now + back_off(self.id, after.attempts_made))

    def with_attempt(self, attempt: Attempt) -> "Delivery":
        """The delivery with another attempt."""
        return replace(self, attempts=(*self.attempts, attempt)[-KEPT:], attempts_made=self.attempts_made + 1)

    def without_attempt(self) -> "Delivery":
        """The delivery without the attempt that is under way, or was lost last."""
        if not self.attempts or self.attempts[-1].has_outcome:
            return self
        return replace(self, attempts=self.attempts[:-1], attempts_made=self.attempts_made - 1)

    def again(self, now: int) -> "Delivery":
        """Its next version: to be sent once more, with as many attempts as at first."""
        left = self.target.retries + 1
        return replace(self, due=now, state=DeliveryState.PENDING, attempts_left=left, by_hand=True, version=self.version + 1)


def back_off(id: str, made: int) -> int:
    """Milliseconds to wait after this many attempts: 5 s, 20 s, 80 s and so on, up to 6 hours, jitter included. The jitter derives from the
    delivery and the attempt."""
    share = int.from_bytes(sha256(f"{id}:{made}".encode()).digest()[:6]) / 2**48
    delay = min(FIRST_DELAY * GROWTH ** min(made - 1, 20), MAX_DELAY / (1 + JITTER))
    return int(delay * (1 + JITTER * share))


@dataclass(frozen=True, slots=True)
class EndFacts:
    """What else decides which deliveries follow an execution's end. ``will_retry``: another attempt follows. ``is_held``: too few ticks
    have failed in a row to notify anybody of that (``notify_after``). ``is_fixed``: it is the first success after failures."""

    will_retry: bool = False
    is_held: bool = False
    is_fixed: bool = False

    def triggers(self, trigger: NotificationTrigger, status: Status) -> bool:
        """Whether an end with this status triggers the notification."""
        if trigger is NotificationTrigger.FIXED:
            return self.is_fixed
        return is_triggered(trigger, status) and not (trigger is NotificationTrigger.FAILS and self.is_held)


def targets_of(spec: Spec, task_id: str, pools: Sequence[Pool], wanted: Callable[[NotificationTrigger], bool]) -> list[tuple[str, Target]]:
    """The targets of the wanted notifications, each under a name of its own: the job's mailboxes, and the webhooks of the job or, if it has
    none, of its pool. An address in several lists gets one mail: that it is fixed, if that is among them."""
    of_job = webhooks_of(spec, task_id, pools)
    if not (of_job or spec.notify):  # of nearly all jobs, and each end and start asks
        return []
    webhooks = [(f"webhook/{place}", webhook) for place, webhook in enumerate(of_job)]
    targets: list[tuple[str, Target]] = [(name, webhook) for name, webhook in webhooks if wanted(webhook.trigger)]
    mailboxes = [mailbox for mailbox in spec.notify if wanted(mailbox.trigger)]
    mailboxes.sort(key=lambda mailbox: mailbox.trigger is not NotificationTrigger.FIXED)
    return targets + [(f"mail/{mailbox.key}", mailbox) for mailbox in one_each(mailboxes)]


def targets_notified(execution: Execution, facts: EndFacts, pools: Sequence[Pool]) -> list[tuple[str, Target]]:
    """The targets that are notified when an execution has ended, each under a name of its own."""
    return targets_of(execution.spec, execution.task_id, pools, lambda trigger: facts.triggers(trigger, execution.status))


def is_counted(execution: Execution, pools: Sequence[Pool]) -> bool:
    """Whether a rule needs to know how many ticks of its job failed in a row. No tick of a backfill counts."""
    spec, fixed = execution.spec, NotificationTrigger.FIXED
    if spec.backfill is not None:
        return False
    return bool(spec.pause_after or spec.notify_after or targets_of(spec, execution.task_id, pools, lambda trigger: trigger is fixed))


def deliveries_of(execution: Execution, pools: Sequence[Pool], facts: EndFacts, now: int) -> list[Delivery]:
    """The deliveries that follow an execution's end."""
    named, fixed = targets_notified(execution, facts, pools), NotificationTrigger.FIXED
    made = [_of_execution(execution, one, fixed if one.trigger is fixed else execution.status, name, now) for name, one in named]
    return [replace(one, will_retry=True) for one in made] if facts.will_retry else made


def _of_execution(execution: Execution, target: Target, what: StrEnum, name: str, now: int) -> Delivery:
    """A delivery which says ``what`` became of an execution, due now. Its id derives from the execution's and the name."""
    return Delivery(
        id=derived_id(execution.id, name),
        task_id=execution.task_id,
        job_id=execution.job_id,
        execution_id=execution.id,
        event=f"execution.{what}",
        target=target,
        will_retry=False,
        created_at=now,
        due=now,
        attempts_left=target.retries + 1,
    )


def webhooks_of(spec: Spec, task_id: str, pools: Sequence[Pool]) -> tuple[Webhook, ...]:
    """The webhooks that get messages about a job: its own or, if it has none, its pool's."""
    return spec.webhooks or _of_pool(task_id, pools)


def _of_pool(task_id: str, pools: Sequence[Pool]) -> tuple[Webhook, ...]:
    if not any(pool.webhooks for pool in pools):
        return ()
    pool = pool_for(pools, task_id)
    return () if pool is None else pool.webhooks


LISTED = 20
"""Held back executions that a row lists: the last ones."""


@dataclass(frozen=True, slots=True)
class MailQuota:
    """The mails about a job's failures to one address. Each change raises ``version``, which begins at 1.

    ``execution_id`` is the execution whose failure was mailed last, and ``told_at`` when that mail was first tried (milliseconds).
    ``held``: how many failures no mail has reported since; ``held_ids``: the last of these executions.
    """

    id: str
    execution_id: str
    told_at: int
    held: int = 0
    held_ids: tuple[str, ...] = ()
    version: int = 1

    def admits(self, execution_id: str, now: int, interval: int) -> bool:
        """Whether a mail about this execution may go out. ``interval`` in milliseconds. A mail that is tried again may."""
        return execution_id == self.execution_id or now - self.told_at >= interval

    def reporting(self, execution_id: str, now: int) -> "MailQuota":
        """Its next version: a mail reports this execution's failure."""
        return replace(self, execution_id=execution_id, told_at=now, version=self.version + 1)

    def holding(self, execution_id: str) -> "MailQuota":
        """Its next version, with one more failure that no mail reports; the same when the failure is known already."""
        if execution_id in self.held_ids:
            return self
        return replace(self, held=self.held + 1, held_ids=(*self.held_ids, execution_id)[-LISTED:], version=self.version + 1)

    def without(self, said: "MailQuota") -> "MailQuota":
        """Its next version, after a mail that said what was held back as of ``said``."""
        left = tuple(id for id in self.held_ids if id not in said.held_ids)
        return replace(self, held=max(0, self.held - said.held), held_ids=left, version=self.version + 1)


def quota_id(job_id: str, address: str) -> str:
    """The id of the quota of a job and an address (in lower case), which does not reveal the address."""
    return sha256(f"{job_id}/{address}".encode()).hexdigest()[:32]


PAUSED_AFTER = 24 * 3_600_000
"""Milliseconds of nothing but failures after which a receiver is paused."""
TRIAL_EVERY = 3_600_000
"""Milliseconds after which one delivery to a paused receiver is attempted all the same."""
FORGOTTEN_AFTER = 7 * 24 * 3_600_000
"""Milliseconds without an attempt after which a receiver is forgotten."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """A receiver of one pool's deliveries at which every attempt since ``failing_since`` (milliseconds) failed. Each change raises
    ``version``, which begins at 1. ``origin`` is the URL's; ``error``: why the last attempt failed."""

    id: str
    origin: str
    failing_since: int
    failed_at: int
    error: str = field(repr=False)
    version: int = 1

    @property
    def is_paused(self) -> bool:
        """Whether it failed for so long that deliveries to it fail at once."""
        return self.failed_at - self.failing_since >= PAUSED_AFTER

    def takes(self, now: int) -> bool:
        """Whether a delivery to it is attempted now."""
        return not self.is_paused or now - self.failed_at >= TRIAL_EVERY

    def failed(self, error: str, now: int) -> "Receiver":
        """Its next version, after one more failure."""
        return replace(self, failed_at=max(now, self.failed_at), error=error, version=self.version + 1)


RECEIVER_ID = 40
"""Characters of a receiver's id. Older versions made shorter ones, of the URL alone."""


def receiver_id(pool: Pool | None, target: Target) -> str:
    """The id of the receiver of a pool's deliveries to this target, which reveals nothing of it. A webhook with other headers or another
    template is another receiver: a wrong key in one of them delays no other message."""
    parts: list[object] = ["" if pool is None else pool.name, target.url]
    if isinstance(target, Webhook):
        parts += [sorted(target.headers.items()), target.body]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:RECEIVER_ID]


@dataclass(frozen=True, slots=True)
class JobState:
    """A job and its last execution (None when it has none): the content of a message that it is late, or has recovered."""

    job: Job
    latest: Execution | None


Subject = Execution | JobState
"""What a delivery is about."""


def is_watched(job: Job, now: int) -> bool:
    """Whether a success of the job is expected: not while it is paused or stopped, nor after its ``expiration``."""
    return job.spec.is_expected and not (job.stopped or job.paused or job.spec.is_over(now))


def watched(before: Job | None, after: Job, now: int) -> Job:
    """A job that was made or changed, with its check. A check that is due before its next tick stays, however often the job is changed, and
    so does a ``done_by`` of the same ticks. A late job stays late until it succeeds, or is not watched any more: it is paused or stopped,
    or its ``expiration`` passes."""
    if not after.spec.is_expected and after.check_at is None and after.late_since is None:
        return after
    if not is_watched(after, now):
        return replace(after, check_at=None, late_since=None)
    first = _first_check(after, now)
    if before is not None and not before.stopped and before.spec.is_expected:
        if before.late_since is not None:
            return notified(after) if is_notified(before) else after
        if before.check_at is not None and _has_same_rule(before, after) and (after.spec.done_by or _start(after, now) <= before.check_at):
            if first is not None and before.schedule.skip != after.schedule.skip:
                return replace(after, check_at=min(before.check_at, first))
            return after
    return replace(after, check_at=first, late_since=None)


def _start(job: Job, now: int) -> int:
    return max(now, job.next_tick or now)


def _first_check(job: Job, now: int) -> int | None:
    """When to look first whether it has succeeded."""
    spec = job.spec
    if spec.expect_every is not None:
        return _start(job, now) + spec.expect_every
    return None if spec.done_by is None else deadline_from(job.schedule, spec.done_by, job.next_tick)


def _has_same_rule(before: Job, after: Job) -> bool:
    schedules = before.schedule, after.schedule
    if after.spec.done_by is not None and len({(one.cron, one.own_zone) for one in schedules}) > 1:
        return False
    return (before.spec.expect_every, before.spec.done_by) == (after.spec.expect_every, after.spec.done_by)


def deadline_after_success(job: Job, at: int, due: int | None = None) -> int | None:
    """When the job is late after a success at that moment, of a tick that was due at ``due`` (None: then, too), unless it succeeds again;
    None when no tick follows."""
    spec, cron = job.spec, job.schedule.cron
    if spec.expect_every is not None:
        return at + spec.expect_every
    if cron is None or spec.done_by is None:
        return None
    return deadline_from(job.schedule, spec.done_by, next_tick(cron, at if due is None else due))


def awaiting(job: Job, due: int) -> Job:
    """The job after its tick that was due then has made an execution. Calendars may have had the date before, so that a later check was
    set."""
    done_by = job.spec.done_by
    if not job.schedule.calendars or done_by is None or job.check_at is None or job.late_since is not None:
        return job
    deadline = deadline_of(job.schedule, done_by, due)
    return job if deadline is None or deadline >= job.check_at else replace(job, check_at=deadline)


def checked(job: Job, success_at: int | None, now: int, due: int | None = None) -> Job:
    """The job after a check that was due. ``success_at``: when it succeeded last, and ``due`` as in ``deadline_after_success``. A job that
    has become late is checked again, until its deliveries are written; and at its ``expiration``, which ends its lateness."""
    if not is_watched(job, now):
        return replace(job, check_at=None, late_since=None)
    following = None if success_at is None else deadline_after_success(job, success_at, due)
    if success_at is not None and (following is None or following > now):
        return replace(job, check_at=following)
    done_by, at = job.spec.done_by, job.check_at
    if job.schedule.calendars and done_by is not None and at is not None and not is_deadline(job.schedule, done_by, at):
        return replace(job, check_at=deadline_from(job.schedule, done_by, job.next_tick))
    return replace(job, late_since=job.check_at, check_at=now)


def notified(job: Job) -> Job:
    """The late job, once its deliveries are written. Its next check is at its ``expiration``, if it has one."""
    return replace(job, check_at=job.spec.expiration)


def is_notified(job: Job) -> bool:
    """Whether the deliveries of the late job are written."""
    return job.check_at is None or job.spec.is_over(job.check_at)


def succeeded(job: Job, at: int, now: int, due: int | None = None) -> Job:
    """The job after a success at that moment, of a tick that was due at ``due`` (None: then, too). A success before it became late, which
    is settled late, changes nothing; nor does one of a tick before the one that made it late."""
    if job.late_since is not None and at < job.late_since:
        return job
    if not is_watched(job, now):
        return replace(job, check_at=None, late_since=None)
    following = deadline_after_success(job, at, due)
    if job.late_since is not None and following is not None and following <= job.late_since:
        return job
    if following is None:
        return replace(job, check_at=None, late_since=None)
    check_at = following if job.late_since is not None else max(job.check_at or 0, following)
    return replace(job, check_at=check_at, late_since=None)


def notices(job: Job, trigger: NotificationTrigger, pools: Sequence[Pool], at: int, now: int) -> list[Delivery]:
    """The deliveries which say that the job is late, or has recovered at that moment. Their ids derive from the episode."""
    own = [webhook for webhook in webhooks_of(job.spec, job.task_id, pools) if webhook.trigger is trigger]
    named: list[tuple[str, Target]] = [(f"webhook/{place}", webhook) for place, webhook in enumerate(own)]
    mailboxes = one_each([mailbox for mailbox in job.spec.notify if mailbox.trigger is trigger])
    named += [(f"mail/{mailbox.key}", mailbox) for mailbox in mailboxes]
    return _about(job, named, trigger, f"{trigger}/{job.late_since}", at, now)


STARTED_EVENT = f"execution.{NotificationTrigger.STARTED}"
SEEN_BY = 1_000
"""Milliseconds after which a message that an execution started may be sent: it is stored before the start is, so that none is lost."""


def start_notices(execution: Execution, pools: Sequence[Pool], now: int) -> list[Delivery]:
    """The deliveries which say that the container of an execution runs, or ran. Their ids derive from the execution's."""
    started = NotificationTrigger.STARTED
    named = targets_of(execution.spec, execution.task_id, pools, lambda trigger: trigger is started)
    made = [_of_execution(execution, target, started, f"{started}/{name}", now) for name, target in named]
    return [replace(one, due=now + SEEN_BY) for one in made]


def pause_notices(job: Job, pools: Sequence[Pool], now: int) -> list[Delivery]:
    """The deliveries which say that its failures paused the job, to those who hear of failures. Their ids derive from the tick that paused
    it."""
    named = targets_of(job.spec, job.task_id, pools, lambda trigger: trigger is NotificationTrigger.FAILS)
    by = 0 if job.failing is None else job.failing.paused_by
    return _about(job, named, PAUSED, f"{PAUSED}/{by}", job.modified_at, now)


PAUSED = "paused"
"""What a delivery says of a job that its failures paused."""


def _about(job: Job, named: Sequence[tuple[str, Target]], what: str, episode: str, at: int, now: int) -> list[Delivery]:
    """Deliveries about a job: ``what`` happened at ``at``."""
    return [
        Delivery(
            id=derived_id(job.incarnation, f"{episode}/{name}"),
            task_id=job.task_id,
            job_id=job.id,
            execution_id=job.id,
            event=f"job.{what}",
            target=target,
            will_retry=False,
            created_at=at,
            due=now,
            attempts_left=target.retries + 1,
        )
        for name, target in named
    ]
