"""The body of a post to a webhook: when an execution has ended, when a job is late, and when it has recovered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from fastlane.errors import Fault
from fastlane.models.delivery import PAUSED, STARTED_EVENT, Delivery, JobState, Subject
from fastlane.models.job import Execution, Failure, Job, Spec
from fastlane.models.notify import JOB_TRIGGERS, NotificationTrigger, TooLong, Webhook, filled
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import Schedule, show_duration
from fastlane.models.status import Status
from fastlane.services.reads.lists import ExecutionView
from fastlane.web.api import serializer as show
from fastlane.web.api.executions import EXECUTION, PLACE, image, service
from fastlane.web.api.serializer import Field, RenderContext, Serializer
from fastlane.web.http.problems import encode_json

VERSION = 1
"""The version of the schema. Fields may be added without a new version."""


@dataclass(frozen=True, slots=True)
class ExecutionPayload:
    """An execution that has ended, and the delivery about it."""

    delivery: Delivery
    view: ExecutionView

    @property
    def execution(self) -> Execution:
        """The execution."""
        return self.view.execution


def _ids(execution: Execution) -> tuple[str, str, str]:
    return execution.task_id, execution.job_id, execution.id


def _moment(payload: ExecutionPayload) -> int | None:
    """When what the message is about happened."""
    execution = payload.execution
    return execution.started_at if payload.delivery.event == STARTED_EVENT else execution.finished_at


def _of_latest(make: Callable[..., str], payload: "JobPayload") -> str | None:
    """A URL of the job's last execution, if there is one."""
    return None if payload.latest is None else make(*_ids(payload.latest.execution))


_ID: Field[Any] = show.uuid(
    lambda payload: payload.delivery.id, "The delivery's id, as in the header webhook-id: the same in every attempt."
)
_VERSION: Field[Any] = show.integer(lambda _: VERSION, "Of this schema. Fields may be added under the same one.", least=1)

EXECUTION_METADATA = Serializer[Execution](
    "PayloadMetadata",
    "What the job's client gave, and where the execution ran, under the names of fastlane 2.x.",
    custom=show.mapping(lambda execution: execution.spec.metadata, "The metadata that the client gave."),
    place=show.flattened(PLACE, lambda execution: execution),
)

EXECUTION_PAYLOAD = Serializer[ExecutionPayload](
    "ExecutionPayload",
    "What a webhook gets when an execution has started or ended: the execution, and what this message is.",
    id=_ID,
    type=show.string(lambda payload: payload.delivery.event, "execution. and the status, or what happened.", examples=["execution.done"]),
    version=_VERSION,
    timestamp=show.timestamp(_moment, "When the execution ended; of execution.started, when it started.", null=True),
    willRetry=show.boolean(lambda payload: payload.delivery.will_retry, "Whether another attempt at the job follows."),
    execution=show.flattened(EXECUTION, lambda payload: payload.view),
    pageUrl=show.url(lambda payload, render: render.page_url(*_ids(payload.execution)), "The page that shows this execution."),
    logUrl=show.url(lambda payload, render: render.log_page_url(*_ids(payload.execution)), "The page with its log."),
    jobPageUrl=show.url(lambda payload, render: render.page_url(*_ids(payload.execution)[:2]), "The page that shows its job."),
    job_id=show.uuid(lambda payload: payload.execution.job_id, "jobId, as fastlane 2.x named it."),
    name=show.string(lambda payload: payload.execution.spec.name, "The job's name for people.", null=True),
    labels=show.mapping(lambda payload: payload.execution.spec.labels, "The job's labels, by name.", values={"type": "string"}),
    metadata=show.nested(EXECUTION_METADATA, lambda payload: payload.execution),
)


@dataclass(frozen=True, slots=True)
class JobPayload:
    """A job that is late or has recovered, and the delivery about it. ``latest``: its last execution."""

    delivery: Delivery
    job: Job
    latest: ExecutionView | None


def _every(payload: JobPayload) -> str | None:
    every = payload.job.spec.expect_every
    return None if every is None else show_duration(every / 1000)


JOB_METADATA = Serializer[Job](
    "JobPayloadMetadata",
    "What the job's client gave.",
    custom=show.mapping(lambda job: job.spec.metadata, "The metadata that the client gave."),
)

JOB_PAYLOAD = Serializer[JobPayload](
    "JobPayload",
    "What a webhook gets when a job is late (expectEvery, doneBy), when it has succeeded after that, and when its failures paused it.",
    id=_ID,
    type=show.string(lambda payload: payload.delivery.event, "job.late, job.recovered or job.paused.", examples=["job.late"]),
    version=_VERSION,
    timestamp=show.timestamp(
        lambda payload: payload.delivery.created_at, "Since when it is late; or when it succeeded again, or was paused."
    ),
    status=show.enum(("late", "recovered", PAUSED), lambda payload: payload.delivery.event.partition(".")[2], "What it is."),
    taskId=show.string(lambda payload: payload.job.task_id, "Its task's id."),
    jobId=show.uuid(lambda payload: payload.job.id, "Its id."),
    job_id=show.uuid(lambda payload: payload.job.id, "jobId, as fastlane 2.x named it."),
    url=show.url(lambda payload, render: render.job_url(payload.job.task_id, payload.job.id), "The job."),
    name=show.string(lambda payload: payload.job.spec.name, "The job's name for people.", null=True),
    labels=show.mapping(lambda payload: payload.job.spec.labels, "The job's labels, by name.", values={"type": "string"}),
    image=image(lambda payload: payload.job.spec.shown_image),
    service=service(lambda payload: payload.job.spec.service),
    expectEvery=show.string(_every, "How often it must succeed; null: it has a doneBy, or neither.", null=True),
    doneBy=show.string(lambda payload: payload.job.spec.done_by, "The time of day by which it must have succeeded.", null=True),
    failuresInRow=show.integer(
        lambda payload: 0 if payload.job.failing is None else payload.job.failing.count,
        "How many of its ticks failed in a row, as far as a rule counts them.",
    ),
    nextRunAt=show.timestamp(lambda payload: payload.job.schedule.unskipped_from(payload.job.next_tick), "Its next tick.", null=True),
    lastExecution=show.nested(EXECUTION, lambda payload: payload.latest, null=True),
    pageUrl=show.url(lambda payload, render: render.page_url(payload.job.task_id, payload.job.id), "The page that shows the job."),
    jobPageUrl=show.url(lambda payload, render: render.page_url(payload.job.task_id, payload.job.id), "The same page."),
    lastPageUrl=show.url(
        lambda payload, render: _of_latest(render.page_url, payload), "The page that shows its last execution.", null=True
    ),
    logUrl=show.url(lambda payload, render: _of_latest(render.log_page_url, payload), "The page with that execution's log.", null=True),
    metadata=show.nested(JOB_METADATA, lambda payload: payload.job),
)


def payload_maker(public_url: str | None, redact_words: Sequence[str]) -> Callable[[Subject, Delivery], Mapping[str, Any]]:
    """Returns a function that makes the payload of a delivery. Without a ``public_url``, its URLs are paths, since a worker does not
    know the API's address."""
    return partial(_payload, RenderContext(public_url or "", redact_words))


def _payload(context: RenderContext, subject: Subject, delivery: Delivery) -> Mapping[str, Any]:
    if isinstance(subject, JobState):
        latest = None if subject.latest is None else _view(subject.latest)
        return JOB_PAYLOAD.serialize(JobPayload(delivery, subject.job, latest), context)
    return EXECUTION_PAYLOAD.serialize(ExecutionPayload(delivery, _view(subject)), context)


SAMPLE_ID = "00000000-0000-7000-8000-000000000000"
SAMPLE_FAILURE = Failure(FailureReason.EXIT, "x" * 1_000)


def template_faults(task_id: str, spec: Spec, context: RenderContext) -> list[Fault]:
    """A fault for each of a job's webhooks whose template would become too long, by what is known of the job before it runs."""
    if not spec.webhooks:
        return []
    faults, places = [], {trigger: count() for trigger in NotificationTrigger}
    for webhook in spec.webhooks:
        place = next(places[webhook.trigger])
        if webhook.body is None:
            continue
        try:
            filled(webhook.body, _sample(task_id, spec, webhook, context))
        except TooLong as error:
            faults.append(Fault(f"webhooks.{webhook.trigger}.{place}.body", str(error)))
    return faults


def _sample(task_id: str, spec: Spec, webhook: Webhook, context: RenderContext) -> Mapping[str, Any]:
    """The payload of a webhook of a job that has not run yet."""
    id = SAMPLE_ID
    execution = Execution(id, task_id, id, id, 1, 1, spec, 0, 0, Status.FAILED, failure=SAMPLE_FAILURE)
    if webhook.trigger not in JOB_TRIGGERS:
        return _payload(context, execution, Delivery(id, task_id, id, id, "execution.failed", webhook, False, 0, None, 0))
    state = JobState(Job(id, task_id, id, 0, 0, spec, Schedule()), execution)
    return _payload(context, state, Delivery(id, task_id, id, id, f"job.{webhook.trigger}", webhook, False, 0, None, 0))


def body_writer(make: Callable[[Subject, Delivery], Mapping[str, Any]]) -> Callable[[Subject, Delivery], bytes]:
    """Returns a function that writes the body of a post to a webhook: the payload, or the webhook's template with the payload's values. The
    function raises TooLong."""

    def write(subject: Subject, delivery: Delivery) -> bytes:
        template = delivery.target.body if isinstance(delivery.target, Webhook) else None
        payload = make(subject, delivery)
        return encode_json(payload if template is None else filled(template, payload))

    return write


def _view(execution: Execution) -> ExecutionView:
    return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
