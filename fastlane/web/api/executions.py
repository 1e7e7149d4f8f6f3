"""Executions in answers: in brief, in full, and in pages."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fastlane.models.access import Requester
from fastlane.models.job import Execution, ServiceVersion, Usage
from fastlane.models.log_commands import MAX_DROPPED
from fastlane.models.retention import HourCount
from fastlane.models.retry import FailureReason
from fastlane.models.run_figures import run_time
from fastlane.models.run_target import RunTarget
from fastlane.models.status import Status
from fastlane.models.upstream import UpstreamEnd
from fastlane.services.reads.lists import ExecutionView, FailedJobView, HistoryView
from fastlane.web.api import serializer as show
from fastlane.web.api.notifications import RECEIVER_COUNTS
from fastlane.web.api.serializer import LINK, Field, RenderContext, Serializer

Value = TypeVar("Value")


def split_host(host: str | None) -> tuple[str | None, int | None]:
    """An engine's address as host and port. A Unix socket has no port, and the port of an ssh address is not the engine's."""
    if host is None or host.startswith(("unix:", "ssh:")):
        return host, None
    name, _, port = host.rpartition("://")[2].rpartition(":")
    return (name, int(port)) if name and port.isascii() and port.isdigit() else (host, None)


def host_name(read: Callable[[Value], str | None], *, null: bool = True) -> Field[Value]:
    """The host part of an engine's address."""
    return show.string(lambda value: split_host(read(value))[0], "The host's name, or its socket.", null=null)


def host_port(read: Callable[[Value], str | None]) -> Field[Value]:
    """The port of an engine's address."""
    return show.integer(lambda value: split_host(read(value))[1], "The host's port; null for a socket.", null=True, least=1)


def image(read: Callable[[Value], str | None]) -> Field[Value]:
    """The image of what runs, whose other possible subject is ``service``."""
    return show.string(read, "The image that it runs; null: the service decides it.", null=True)


def service(read: Callable[[Value], str | None]) -> Field[Value]:
    """The service of the swarm of what runs."""
    return show.string(read, "The service as whose container it runs; null: it has an image.", null=True)


def command(read: Callable[[Value], Sequence[str] | None]) -> Field[Value]:
    """A command as text, without the passwords of the URLs in it."""

    def quoted(value: Value, render: RenderContext) -> str | None:
        arguments = read(value)
        return None if arguments is None else shlex.join(map(render.redaction.text, arguments))

    return show.rendered_text(quoted, "Text that a shell splits into the same arguments.")


@dataclass(frozen=True, slots=True)
class FailureView:
    """The failure of an execution. ``envs``: the variables that the message may quote."""

    reason: FailureReason
    message: str
    envs: Mapping[str, str]


def _failure(execution: Execution) -> FailureView | None:
    failure = execution.failure
    return None if failure is None else FailureView(failure.reason, failure.message, execution.spec.variables)


REQUESTER = Serializer[Requester](
    "Requester",
    "The user or token that made a request.",
    user=show.string(lambda requester: requester.user, "The user or token; null when the server has no users.", null=True),
    address=show.string(lambda requester: requester.address, "The IP address.", null=True),
)

FAILURE = Serializer[FailureView](
    "Failure",
    "Why an execution failed.",
    reason=show.enum(FailureReason, lambda failure: failure.reason, "The kind of failure, for programs."),
    message=show.message(lambda failure: failure.message, lambda failure: failure.envs, "Why, for people, with the engine's own words."),
)


def _outputs(view: ExecutionView, render: RenderContext) -> Mapping[str, str]:
    outputs = view.execution.outputs
    return {} if outputs is None else render.redaction.outputs(outputs.values, view.execution.spec.variables)


def _dropped_outputs(view: ExecutionView) -> list[str] | None:
    outputs = view.execution.outputs
    return None if outputs is None or not outputs.dropped else list(outputs.dropped)


LAST_EXECUTION = Serializer[Execution](
    "LastExecution",
    "An execution in brief.",
    executionId=show.uuid(lambda execution: execution.id, "The execution's id."),
    url=show.url(lambda one, render: render.execution_url(one.task_id, one.job_id, one.id), "Where it is read."),
    status=show.enum(Status, lambda execution: execution.status, "How far it is, or how it ended."),
    failure=show.nested(FAILURE, _failure, null=True),
    createdAt=show.timestamp(lambda execution: execution.created_at, "When it was made."),
    startedAt=show.timestamp(lambda execution: execution.started_at, "When its container was seen running.", null=True),
    finishedAt=show.timestamp(lambda execution: execution.finished_at, "When it ended.", null=True),
    exitCode=show.integer(lambda execution: execution.exit_code, "The command's; null until it has one.", null=True, least=-(2**31)),
)

LOG_INFO = Serializer[ExecutionView](
    "LogInfo",
    "How long the log is so far.",
    stdoutBytes=show.integer(lambda view: view.stdout_bytes, "Bytes of stdout."),
    stderrBytes=show.integer(lambda view: view.stderr_bytes, "Bytes of stderr."),
    truncated=show.boolean(lambda view: view.truncated, "Whether some of it was dropped or lost, or may have been."),
)

USAGE = Serializer[Usage](
    "Usage",
    "What a container used, as far as it was measured while it ran.",
    memoryPeakBytes=show.integer(lambda usage: usage.memory_peak, "The most memory that a sample showed."),
    cpuSeconds=show.seconds(lambda usage: usage.cpu_ms, "Processor seconds until the last sample."),
    readBytes=show.integer(
        lambda usage: usage.read_bytes, "Bytes that it read from disks; null where its engine does not tell.", null=True
    ),
    writtenBytes=show.integer(
        lambda usage: usage.written_bytes, "Bytes that it wrote to disks; null where its engine does not tell.", null=True
    ),
)

SERVICE_VERSION = Serializer[ServiceVersion](
    "ServiceVersion",
    "The service as whose container an execution runs, as it was read at the start.",
    id=show.string(lambda service: service.id, "The id of the service."),
    version=show.integer(lambda service: service.version, "Its version, which each change of it raises."),
)

TARGET = Serializer[RunTarget](
    "RunTarget",
    "One of the swarms or nodes on which a tick runs.",
    name=show.string(lambda target: target.name, "Its name for people: a node's, or the host by which the swarm is reached."),
    swarm=show.string(lambda target: target.swarm, "The swarm's id."),
    nodeId=show.string(lambda target: target.node, "The node's id; null: any node of the swarm.", null=True),
)

PLACE = Serializer[Execution](
    "Place",
    "Where an execution ran, under the names of fastlane 2.x.",
    docker_host=host_name(lambda execution: execution.host),
    docker_port=host_port(lambda execution: execution.host),
    container_id=show.string(lambda execution: execution.container_id, "The id of its container.", null=True),
)

UPSTREAM_END = Serializer[UpstreamEnd](
    "UpstreamEnd",
    "The end of an execution of another job, after which an execution was made.",
    jobId=show.uuid(lambda end: end.job_id, "The other job's id."),
    executionId=show.uuid(lambda end: end.execution_id, "The execution's id."),
    status=show.enum(Status, lambda end: end.status, "How it ended."),
)

EXECUTION = Serializer[ExecutionView](
    "Execution",
    "An execution in full.",
    brief=show.flattened(LAST_EXECUTION, lambda view: view.execution),
    jobId=show.uuid(lambda view: view.execution.job_id, "Its job's id."),
    taskId=show.string(lambda view: view.execution.task_id, "Its task's id."),
    jobName=show.string(lambda view: view.execution.spec.name, "Its job's name for people, as it was then.", null=True),
    queueJobId=show.uuid(lambda view: view.execution.tick_id, "The tick that it is an attempt at; its retries have the same one."),
    image=show.string(lambda view: view.execution.shown_image, "The image that it runs; null while its service was not read.", null=True),
    service=service(lambda view: view.execution.spec.service),
    serviceVersion=show.nested(SERVICE_VERSION, lambda view: view.execution.service_version, null=True),
    imageDigest=show.string(lambda view: view.execution.image_digest, "What the image's tag meant then.", null=True),
    command=command(lambda view: view.execution.spec.command),
    parameters=show.envs(lambda view: view.execution.spec.values, optional=True),
    after=show.array(UPSTREAM_END, lambda view: view.execution.upstream, "The ends of other jobs that it follows.", optional=True),
    attempt=show.integer(lambda view: view.execution.attempt, "1, and one more for each retry.", least=1),
    retries=show.integer(lambda view: view.execution.spec.retries, "How many attempts may follow the first."),
    memoryLimitBytes=show.integer(
        lambda view: view.execution.spec.resources.memory,
        "The most memory that it might use, by its job and onOom; null: as its pool says.",
        null=True,
    ),
    timeout=show.seconds(
        lambda view: view.execution.spec.timeout, "Seconds of running; null: as its pool, or else the setting hard_timeout, says."
    ),
    expiresAt=show.timestamp(lambda view: view.execution.expires_at, "It does not start after that.", null=True),
    scheduledFor=show.timestamp(lambda view: view.execution.scheduled_for, "When it was due."),
    dueAt=show.timestamp(
        lambda view: view.execution.spec.due_at, "The due time that it stands for, if it was run again, or by a backfill.", optional=True
    ),
    target=show.nested(TARGET, lambda view: view.execution.spec.target, optional=True),
    backfill=show.uuid(lambda view: view.execution.spec.backfill, "The backfill that it belongs to.", optional=True),
    durationMs=show.integer(lambda view: run_time(view.execution), "How long it ran.", null=True),
    host=show.string(lambda view: view.execution.host, "The Docker host to which it was given.", null=True),
    node=show.string(lambda view: view.execution.node, "The name of the swarm's node on which its container started.", null=True),
    pool=show.string(lambda view: view.execution.pool, "The pool that it runs in.", null=True),
    serviceId=show.string(lambda view: view.execution.service_id, "The id of its Swarm service.", null=True),
    containerId=show.string(lambda view: view.execution.container_id, "The id of its container.", null=True),
    logInfo=show.nested(LOG_INFO, lambda view: view),
    usage=show.nested(USAGE, lambda view: view.execution.usage, null=True),
    outputs=show.rendered(
        _outputs,
        {"type": "object", "additionalProperties": {"type": "string"}},
        "What its log set with ::set-output, once it has ended, by name. Secrets are shown as ********.",
        always=True,
    ),
    droppedOutputs=show.strings(
        _dropped_outputs, f"Names of outputs for which there was no room, {MAX_DROPPED} at most; absent: none.", optional=True
    ),
    annotations=show.boolean(
        lambda view: None if view.execution.spec.annotations else False,
        "False: lines of its log such as ::set-output are plain text; absent: they are not.",
        optional=True,
    ),
    stopRequestedAt=show.timestamp(lambda view: view.execution.stop_requested_at, "When it was first asked to stop.", null=True),
    requestedBy=show.nested(REQUESTER, lambda view: view.execution.requested_by, null=True),
    metadata=show.nested(PLACE, lambda view: view.execution),
    log=show.string(lambda view: view.stdout, "The end of its stdout, up to 64 KiB, where it was asked for.", optional=True),
    error=show.string(lambda view: view.stderr, "The end of its stderr, likewise.", optional=True),
)

EXECUTION_DETAIL = Serializer[ExecutionView](
    "ExecutionDetail",
    "An execution with its task and job.",
    task=show.nested(LINK, lambda view: (view.execution.task_id,)),
    job=show.nested(LINK, lambda view: (view.execution.task_id, view.execution.job_id)),
    execution=show.nested(EXECUTION, lambda view: view),
)

EXECUTION_ROW = Serializer[ExecutionView](
    "ExecutionRow",
    "An execution in a list.",
    execution=show.flattened(EXECUTION, lambda view: view),
    expectEvery=show.seconds(
        lambda view: view.execution.spec.expect_every, "Seconds within which its job must succeed, as it was then; null: it is never late."
    ),
    receivers=show.nested(RECEIVER_COUNTS, lambda view: (*view.webhooks, *view.execution.spec.notify)),
)

EXECUTION_PAGE = show.page_of("ExecutionPage", "A page of executions.", EXECUTION_ROW)

FAILED_JOB = Serializer[FailedJobView](
    "FailedJob",
    "A job with failed executions.",
    taskId=show.string(lambda view: view.last.execution.task_id, "Its task's id."),
    jobId=show.uuid(lambda view: view.last.execution.job_id, "Its id."),
    failures=show.integer(lambda view: view.failures, "How many of its executions failed in that time.", least=1),
    lastFailure=show.nested(EXECUTION_ROW, lambda view: view.last, "The one of these that ended last."),
)

FAILED_JOB_PAGE = show.page_of("FailedJobPage", "A page of jobs with failed executions.", FAILED_JOB)


LATENESS = Serializer[HourCount](
    "HourLateness",
    "How late containers started after they were due, of the executions that ended in this hour.",
    started=show.integer(lambda count: count.started, "How many of them started."),
    meanMs=show.number(lambda count: count.mean_lateness, "Milliseconds, on average; null when none started."),
    maxMs=show.integer(lambda count: count.latest, "Milliseconds, the latest."),
)


HOURLY = Serializer[HourCount](
    "HistoryHour",
    "What ended within an hour.",
    hour=show.timestamp(lambda count: count.hour, "When the hour begins."),
    done=show.integer(lambda count: count.ended.get(Status.DONE, 0), "Executions that ended with exit code 0."),
    failed=show.integer(lambda count: count.ended.get(Status.FAILED, 0), "That failed."),
    timedout=show.integer(lambda count: count.ended.get(Status.TIMEDOUT, 0), "That ran for too long."),
    stopped=show.integer(lambda count: count.ended.get(Status.STOPPED, 0), "That were stopped."),
    expired=show.integer(lambda count: count.ended.get(Status.EXPIRED, 0), "That expired before they started."),
    lateness=show.nested(LATENESS, lambda count: count),
)

HISTORY = Serializer[HistoryView](
    "History",
    "How executions ended, by the hour. They are counted when they end, and stay counted when they are removed.",
    since=show.timestamp(lambda view: view.since, "When the first hour begins."),
    until=show.timestamp(lambda view: view.until, "When the last hour ends."),
    hours=show.array(HOURLY, lambda view: view.hours, "Each hour, also one in which nothing ended."),
)
