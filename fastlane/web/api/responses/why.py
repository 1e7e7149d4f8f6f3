"""What a job or an execution waits for."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastlane.services.reads.wait_reasons import Cause, UnusableHost, WaitReason
from fastlane.services.reads.why import Explanation
from fastlane.web.api.responses.jobs import JOB_STATUSES
from fastlane.web.api.serializer import Serializer, array, enum, integer, message, string, timestamp


@dataclass(frozen=True, slots=True)
class WaitView:
    """One thing that is waited for. ``envs``: the variables that its message may quote."""

    reason: WaitReason
    envs: Mapping[str, str]


HOST_DOWN = Serializer[UnusableHost](
    "HostDown",
    "A host that cannot be used.",
    host=string(lambda host: host.name),
    reason=string(lambda host: host.reason),
    since=timestamp(lambda host: host.since, "Since when.", null=True),
    circuit=string(lambda host: host.circuit, "open: it is left alone.", optional=True),
    faults=integer(lambda host: host.faults, "How many faults in a row opened its breaker.", optional=True),
    retryAt=timestamp(lambda host: host.retry_at, "When it is called again, unless a probe succeeds before.", optional=True),
)

WAIT = Serializer[WaitView](
    "Wait",
    "One thing that is waited for. Its reason decides which keys follow until.",
    reason=enum(Cause, lambda wait: wait.reason.reason),
    message=message(lambda wait: wait.reason.message, lambda wait: wait.envs),
    since=timestamp(lambda wait: wait.reason.since, "Since when; null when that is not known.", null=True),
    until=timestamp(lambda wait: wait.reason.until, "Until when at the latest; null when that is not known.", null=True),
    heldTick=timestamp(lambda wait: wait.reason.held_tick, "The tick that a pause holds.", optional=True),
    pool=string(lambda wait: wait.reason.pool, optional=True),
    running=integer(lambda wait: wait.reason.running, "How many run.", optional=True),
    maxRunning=integer(lambda wait: wait.reason.max_running, "How many may run at once in the pool.", optional=True, least=1),
    ready=integer(lambda wait: wait.reason.ready, "How many wait for a slot.", optional=True),
    concurrency=integer(lambda wait: wait.reason.concurrency, "How many of its task may run at once.", optional=True, least=1),
    image=string(lambda wait: wait.reason.image, optional=True),
    host=string(lambda wait: wait.reason.host, optional=True),
    hosts=array(HOST_DOWN, lambda wait: wait.reason.hosts, optional=True),
    attempt=integer(lambda wait: wait.reason.attempt, "The attempt to come.", optional=True, least=2),
)

WHY = Serializer[Explanation](
    "Why",
    "What a job or an execution waits for now: nothing, one thing or several.",
    status=enum(JOB_STATUSES, lambda explained: explained.status),
    waitingFor=array(WAIT, lambda explained: [WaitView(wait, explained.envs) for wait in explained.waits]),
)
