"""The reasons for which a job or an execution waits, as answers show them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastlane.services.reads.concurrency import FullKey, FullTask
from fastlane.services.reads.failing import FailureRow, OutOfMemory
from fastlane.services.reads.why import (
    Cause,
    EarlierExecution,
    Expectation,
    Explanation,
    FormerPool,
    FullPool,
    HeldTick,
    ImagePull,
    NextAttempt,
    NotedObstacle,
    PausedDispatch,
    PausedPool,
    UnusableHost,
    UnusableHosts,
    WaitReason,
)
from fastlane.web.api import serializer as show
from fastlane.web.api.events import DELIVERY
from fastlane.web.api.jobs import JOB_STATUSES, TICK
from fastlane.web.api.serializer import Field, RenderContext, Serializer


@dataclass(frozen=True, slots=True)
class WaitView:
    """One reason to wait. ``envs``: the variables that its message may quote."""

    reason: WaitReason
    envs: Mapping[str, str]


HOST_DOWN = Serializer[UnusableHost](
    "HostDown",
    "A host that cannot be used.",
    host=show.string(lambda host: host.name, "Its address, as the settings have it."),
    reason=show.string(lambda host: host.reason, "Why it cannot be used."),
    since=show.timestamp(lambda host: host.since, "Since when.", null=True),
    circuit=show.string(lambda host: host.circuit, "open: it is left alone.", optional=True),
    faults=show.integer(lambda host: host.faults, "How many faults in a row opened its breaker.", optional=True),
    retryAt=show.timestamp(lambda host: host.retry_at, "When it is called again, unless a probe succeeds before.", optional=True),
)

POOL: Field[Any] = show.string(lambda details: details.pool, "The pool.", null=True)
RUNNING: Field[Any] = show.integer(lambda details: details.running, "How many run.")
HOST: Field[Any] = show.string(lambda details: details.host, "The Docker host.", null=True)


def _resume_url(read: Callable[[Any, RenderContext], str]) -> Mapping[str, Field[Any]]:
    return {"resumeUrl": show.url(read, "Where a POST ends the pause.")}


DETAILS: Mapping[type, Mapping[str, Field[Any]]] = {
    HeldTick: {
        "heldTick": show.timestamp(lambda details: details.due, "When the tick was due that the pause holds."),
        **_resume_url(lambda details, render: f"{render.job_url(details.task_id, details.job_id)}resume/"),
    },
    PausedDispatch: _resume_url(lambda _, render: f"{render.dispatch_url()}resume/"),
    PausedPool: {"pool": POOL, **_resume_url(lambda details, render: f"{render.pool_url(details.pool)}resume/")},
    FormerPool: {"pool": POOL},
    FullPool: {
        "pool": POOL,
        "running": RUNNING,
        "maxRunning": show.integer(lambda details: details.max_running, "How many may run at once in the pool.", least=1),
        "ready": show.integer(lambda details: details.ready, "How many wait for a slot."),
        "ownBefore": show.integer(
            lambda details: details.turns and details.turns.own,
            "Where tasks take turns (fairShare): how many of its own task come before it.",
            optional=True,
        ),
        "otherTasks": show.integer(
            lambda details: details.turns and details.turns.others, "And how many other tasks take turns with its own.", optional=True
        ),
        "nextTasks": show.strings(
            lambda details: details.turns and details.turns.names,
            "The next ones of these, at most 10, where you may see them.",
            optional=True,
        ),
    },
    UnusableHosts: {"pool": POOL, "hosts": show.array(HOST_DOWN, lambda details: details.hosts)},
    FullTask: {
        "running": RUNNING,
        "concurrency": show.integer(lambda details: details.concurrency, "How many of its task may run at once.", least=1),
    },
    FullKey: {
        "concurrencyKey": show.string(lambda details: details.key, "The key that its jobs share."),
        "running": RUNNING,
        "concurrency": show.integer(lambda details: details.concurrency, "How many with its key may run at once.", least=1),
        "takenBy": show.strings(lambda details: details.taken_by, "The jobs that run with its key, as TASK/JOB, where you may see them."),
    },
    EarlierExecution: {"executionId": show.uuid(lambda details: details.execution_id, "The execution that has to end first.", null=True)},
    ImagePull: {
        "image": show.string(lambda details: details.image, "The image; absent while its service was not read.", optional=True),
        "service": show.string(lambda details: details.service, "The service as whose container it runs.", optional=True),
        "host": HOST,
    },
    NotedObstacle: {
        "host": HOST,
        "image": show.string(lambda details: details.image, "The image.", optional=True),
        "hosts": show.array(HOST_DOWN, lambda details: details.hosts, optional=True),
    },
    NextAttempt: {"attempt": show.integer(lambda details: details.attempt, "The attempt to come.", least=2)},
}
"""The keys that follow ``until``, in their order. A key stands there with null when its value is not known."""

WAIT = Serializer[WaitView](
    "Wait",
    "One thing that is waited for. Its reason decides which keys follow until.",
    reason=show.enum(Cause, lambda wait: wait.reason.reason, "The kind of wait, for programs."),
    message=show.message(lambda wait: wait.reason.message, lambda wait: wait.envs, "What it waits for, for people."),
    since=show.timestamp(lambda wait: wait.reason.since, "Since when; null when that is not known.", null=True),
    until=show.timestamp(lambda wait: wait.reason.until, "Until when at the latest; null when that is not known.", null=True),
    details=show.variants(lambda wait: wait.reason.details, DETAILS),
)

OUT_OF_MEMORY = Serializer[OutOfMemory](
    "OutOfMemory",
    "How much memory an execution that ran out of it had, and how much it used.",
    message=show.string(lambda found: found.message, "What to do, for people."),
    limitBytes=show.integer(lambda found: found.limit, "The most that it might use; null: there was no limit.", null=True),
    peakBytes=show.integer(lambda found: found.peak, "The most that a sample showed; null: it was not measured.", null=True),
)

FAILURES = Serializer[FailureRow](
    "FailuresInRow",
    "How many ticks of a job failed in a row, of a job whose rules count them.",
    message=show.string(lambda row: row.message, "What follows from that, for people."),
    count=show.integer(lambda row: row.count, "How many failed in a row up to now.", least=1),
)

_EVERY: Field[Expectation] = show.seconds(lambda one: one.every, "Seconds within which it must succeed; null: it has a doneBy.")
_DONE_BY: Field[Expectation] = show.string(
    lambda one: one.done_by, "The time of day by which it must have succeeded; null: it has an expectEvery.", null=True
)
_LAST_SUCCESS: Field[Expectation] = show.timestamp(
    lambda one: one.last_success, "When its last success ended; null: none is known.", null=True
)
_RECEIVERS: Field[Expectation] = show.integer(lambda one: one.receivers, "How many webhooks and addresses its lists for late have now.")

LATE = Serializer[Expectation](
    "Late",
    "That a job has not succeeded in time, by its expectEvery or doneBy, and who should know.",
    message=show.string(lambda late: late.message, "All of it, for people."),
    since=show.timestamp(lambda late: late.late_since, "Since when it is late."),
    expectEvery=_EVERY,
    doneBy=_DONE_BY,
    lastSuccessAt=_LAST_SUCCESS,
    receivers=_RECEIVERS,
    deliveries=show.array(DELIVERY, lambda late: late.deliveries, "The messages which say that it is late, as far as they are stored."),
)

EXPECTED = Serializer[Expectation](
    "Expected",
    "When a job that is not late will be, without another success, and who would get a message.",
    message=show.string(lambda expected: expected.message, "All of it, for people."),
    lateAt=show.timestamp(
        lambda expected: expected.late_at, "When it will be late; null when it is paused or over, or expires before that.", null=True
    ),
    expectEvery=_EVERY,
    doneBy=_DONE_BY,
    lastSuccessAt=_LAST_SUCCESS,
    receivers=_RECEIVERS,
    deliveries=show.array(
        DELIVERY, lambda expected: expected.deliveries, "The messages that it was late or recovered, as far as they are stored."
    ),
)


def _expectation(explained: Explanation, *, late: bool) -> Expectation | None:
    found = explained.expectation
    return found if found is not None and (found.late_since is not None) is late else None


WHY = Serializer[Explanation](
    "Why",
    "What a job or an execution waits for now: nothing, one thing or several; and why its last end or due time was not as wanted.",
    status=show.enum(JOB_STATUSES, lambda explained: explained.status, "The status of the job or the execution."),
    waitingFor=show.array(WAIT, lambda explained: [WaitView(wait, explained.envs) for wait in explained.waits]),
    node=show.string(
        lambda explained: explained.node,
        "The swarm's node on which the execution, or a job's last one, runs or ran, by its name; null: it has not started.",
        null=True,
    ),
    outOfMemory=show.nested(OUT_OF_MEMORY, lambda explained: explained.out_of_memory, optional=True),
    failures=show.nested(FAILURES, lambda explained: explained.failures, optional=True),
    lastTick=show.nested(TICK, lambda explained: explained.last_tick, optional=True),
    late=show.nested(LATE, lambda explained: _expectation(explained, late=True), "Only while the job is late.", optional=True),
    expected=show.nested(
        EXPECTED,
        lambda explained: _expectation(explained, late=False),
        "Only of a job with an expectEvery or a doneBy that is neither late nor stopped.",
        optional=True,
    ),
)
