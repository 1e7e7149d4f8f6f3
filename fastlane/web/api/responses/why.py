"""What a job or an execution waits for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastlane.services.reads.wait_reasons import Cause, WaitReason
from fastlane.services.reads.why import Explanation
from fastlane.web.api.responses.jobs import JOB_STATUSES
from fastlane.web.api.serializer import ABSENT, Serializer, array, enum, integer, message, string, timestamp


@dataclass(frozen=True, slots=True)
class WaitView:
    """One thing that is waited for. ``envs``: the variables that its message may quote."""

    reason: WaitReason
    envs: Mapping[str, str]


def _detail(name: str) -> Callable[[WaitView], Any]:
    return lambda wait: wait.reason.details.get(name, ABSENT)


HOST_DOWN = Serializer[Mapping[str, Any]](
    "HostDown",
    "A host that cannot be used.",
    host=string(lambda host: host["host"]),
    reason=string(lambda host: host["reason"]),
    since=string(lambda host: host["since"], "Since when.", null=True, format="date-time"),
    circuit=string(lambda host: host.get("circuit"), "open: it is left alone.", optional=True),
    faults=integer(lambda host: host.get("faults"), "How many in a row made it be left alone.", optional=True),
    retryAt=string(lambda host: host.get("retryAt"), "When it is called again.", optional=True, format="date-time"),
)

WAIT = Serializer[WaitView](
    "Wait",
    "One thing that is waited for. Its reason decides which keys stand beside its message.",
    reason=enum(Cause, lambda wait: wait.reason.reason),
    message=message(lambda wait: wait.reason.message, lambda wait: wait.envs),
    since=timestamp(lambda wait: wait.reason.since, "Since when; null when that is not known.", null=True),
    until=timestamp(lambda wait: wait.reason.until, "Until when at the latest; null when that is not known.", null=True),
    heldTick=string(_detail("heldTick"), "The tick that a pause holds.", optional=True, format="date-time"),
    pool=string(_detail("pool"), null=True, optional=True),
    running=integer(_detail("running"), "How many run.", optional=True),
    maxRunning=integer(_detail("maxRunning"), "How many may run at once in the pool.", optional=True, least=1),
    ready=integer(_detail("ready"), "How many wait for a place.", optional=True),
    concurrency=integer(_detail("concurrency"), "How many of its task may run at once.", optional=True, least=1),
    image=string(_detail("image"), optional=True),
    host=string(_detail("host"), null=True, optional=True),
    hosts=array(HOST_DOWN, lambda wait: wait.reason.details.get("hosts"), optional=True),
    attempt=integer(_detail("attempt"), "The attempt to come.", optional=True, least=2),
)

WHY = Serializer[Explanation](
    "Why",
    "What a job or an execution waits for now: nothing, one thing or several.",
    status=enum(JOB_STATUSES, lambda explained: explained.status),
    waitingFor=array(WAIT, lambda explained: [WaitView(wait, explained.envs) for wait in explained.waits]),
)
