"""A delivery: one message to a webhook or a mailbox, with its attempts. The rows say what was sent, and what is to be sent. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256

from fastlane.models.execution import Execution
from fastlane.models.ids import derived_id
from fastlane.models.notify.mailbox import Mailbox, one_each
from fastlane.models.notify.occasion import is_told
from fastlane.models.notify.webhook import Webhook
from fastlane.models.placement.pool import Pool, pool_for
from fastlane.models.status import Status

FIRST_DELAY, GROWTH, MAX_DELAY = 5_000, 4, 6 * 3_600_000
"""Milliseconds before the second attempt, the factor of each further delay, and the longest one."""
JITTER = 0.2
"""The share by which a delay may be longer, so that what failed together is not tried again together."""
KEPT = 20
"""Attempts of which a row keeps the outcome: the last ones."""


class DeliveryState(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    HELD = "held"


class Kind(StrEnum):
    """What carries a message."""

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
    """One attempt of a delivery: when it began and how long it took (milliseconds), and what it came to, as in ``Reply``."""

    at: int
    duration: int
    status: int | None
    error: str | None
    excerpt: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message about an execution or a job to a webhook or a mailbox. Each change raises ``version``, which begins at 1. Moments are in
    milliseconds.

    ``execution_id`` is the job's own id when the message is about the job.
    ``id`` stays the same in all attempts, and derives from the execution, so that a process that repeats a step makes the same row.
    ``due``: when a worker may take it next, which is the end of the lease while one has it; None: nothing is to be sent any more.
    ``will_retry``: whether another attempt at the job follows. ``by_hand``: a person asked for it to be sent again.
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
        """Whether it tells of the job, and not of one of its executions."""
        return self.execution_id == self.job_id

    @property
    def kind(self) -> Kind:
        """What carries it."""
        return Kind.MAIL if isinstance(self.target, Mailbox) else Kind.WEBHOOK

    def taken(self, until: int) -> "Delivery":
        """Its next version: a worker sends it, and no other before then."""
        return replace(self, due=until, version=self.version + 1)

    def tried(self, reply: Reply, *, began: int, now: int) -> "Delivery":
        """Its next version, after an attempt: delivered, failed for good, held back, or due again after a while."""
        if reply.is_held:
            return replace(self, state=DeliveryState.HELD, due=None, attempts_left=0, version=self.version + 1)
        attempt = Attempt(began, max(0, now - began), reply.status, reply.error, reply.excerpt)
        made, left = self.attempts_made + 1, max(0, self.attempts_left - 1)
        after = replace(
            self,
            attempts=(*self.attempts, attempt)[-KEPT:],
            attempts_made=made,
            attempts_left=left,
            version=self.version + 1,
        )
        if reply.is_success or self.state is DeliveryState.DELIVERED:
            return replace(after, state=DeliveryState.DELIVERED, due=None, attempts_left=0, by_hand=False)
        if reply.is_final or left == 0:
            return replace(after, state=DeliveryState.FAILED, due=None, attempts_left=0, by_hand=False)
        return replace(after, state=DeliveryState.PENDING, due=now + back_off(self.id, made))

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


def targets_told(execution: Execution, status: Status, pools: Sequence[Pool]) -> list[tuple[str, Target]]:
    """What is told when an execution ends with this status, each with a name of its own: its job's mailboxes, and the webhooks of its job
    or, where that has none, of its pool."""
    spec = execution.spec
    webhooks = [(f"webhook/{place}", webhook) for place, webhook in enumerate(spec.webhooks or of_pool(execution.task_id, pools))]
    told: list[tuple[str, Target]] = [(name, webhook) for name, webhook in webhooks if is_told(webhook.occasion, status)]
    mailboxes = one_each([mailbox for mailbox in spec.notify if is_told(mailbox.occasion, status)])
    return told + [(f"mail/{mailbox.key}", mailbox) for mailbox in mailboxes]


def deliveries_of(execution: Execution, pools: Sequence[Pool], *, will_retry: bool, now: int) -> list[Delivery]:
    """The deliveries that follow an execution's end."""
    return [
        Delivery(
            id=derived_id(execution.id, name),
            task_id=execution.task_id,
            job_id=execution.job_id,
            execution_id=execution.id,
            event=f"execution.{execution.status}",
            target=target,
            will_retry=will_retry,
            created_at=now,
            due=now,
            attempts_left=target.retries + 1,
        )
        for name, target in targets_told(execution, execution.status, pools)
    ]


def of_pool(task_id: str, pools: Sequence[Pool]) -> tuple[Webhook, ...]:
    """The webhooks of a task's pool."""
    if not any(pool.webhooks for pool in pools):
        return ()
    pool = pool_for(pools, task_id)
    return () if pool is None else pool.webhooks
