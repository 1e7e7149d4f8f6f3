"""The body of a post to a webhook: when an execution has ended, when a job is late, and when it has recovered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

from fastlane.errors import Fault
from fastlane.models.delivery import Delivery, JobState, Subject
from fastlane.models.job import Execution, Failure, FailureReason, Job, Spec
from fastlane.models.notify import JOB_TRIGGERS, NotificationTrigger, TooLong, Webhook, filled
from fastlane.models.schedule import Schedule, show_duration
from fastlane.models.status import Status
from fastlane.services.reads.lists import ExecutionView
from fastlane.web.api import serializer as show
from fastlane.web.api.executions import EXECUTION, PLACE
from fastlane.web.api.serializer import RenderContext, Serializer
from fastlane.web.http.problems import encode_json

VERSION = 1
"""The version of the schema. Fields may be added without a new version."""


@dataclass(frozen=True, slots=True)
class ExecutionEvent:
    """An execution that has ended, and the delivery about it."""

    delivery: Delivery
    view: ExecutionView

    @property
    def execution(self) -> Execution:
        """The execution."""
        return self.view.execution


def _ids(execution: Execution) -> tuple[str, str, str]:
    return execution.task_id, execution.job_id, execution.id


def _of_latest(make: Callable[..., str], event: "JobEvent") -> str | None:
    """A URL of the job's last execution, if there is one."""
    return None if event.latest is None else make(*_ids(event.latest.execution))


EVENT_METADATA = Serializer[Execution](
    "EventMetadata",
    "What the job's client gave, and where the execution ran, under the names of fastlane 2.x.",
    custom=show.mapping(lambda execution: execution.spec.metadata, "The metadata that the client gave."),
    place=show.flattened(PLACE, lambda execution: execution),
)

EXECUTION_EVENT = Serializer[ExecutionEvent](
    "ExecutionEvent",
    "What a webhook gets when an execution has ended: the execution, and what this message is.",
    id=show.uuid(lambda event: event.delivery.id, "The delivery's id, as in the header webhook-id: the same in every attempt."),
    type=show.string(lambda event: event.delivery.event, "execution. and the final status.", examples=["execution.done"]),
    version=show.integer(lambda _: VERSION, "Of this schema. Fields may be added under the same one.", least=1),
    timestamp=show.timestamp(lambda event: event.execution.finished_at, "When the execution ended.", null=True),
    willRetry=show.boolean(lambda event: event.delivery.will_retry, "Whether another attempt at the job follows."),
    execution=show.flattened(EXECUTION, lambda event: event.view),
    pageUrl=show.url(lambda event, render: render.page_url(*_ids(event.execution)), "The page that shows this execution."),
    logUrl=show.url(lambda event, render: render.log_page_url(*_ids(event.execution)), "The page with its log."),
    jobPageUrl=show.url(lambda event, render: render.page_url(*_ids(event.execution)[:2]), "The page that shows its job."),
    job_id=show.uuid(lambda event: event.execution.job_id, "jobId, as fastlane 2.x named it."),
    name=show.string(lambda event: event.execution.spec.name, "The job's name for people.", null=True),
    labels=show.mapping(lambda event: event.execution.spec.labels, "The job's labels, by name.", values={"type": "string"}),
    metadata=show.nested(EVENT_METADATA, lambda event: event.execution),
)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job that is late or has recovered, and the delivery about it. ``latest``: its last execution."""

    delivery: Delivery
    job: Job
    latest: ExecutionView | None


JOB_EVENT_METADATA = Serializer[Job](
    "JobEventMetadata",
    "What the job's client gave.",
    custom=show.mapping(lambda job: job.spec.metadata, "The metadata that the client gave."),
)

JOB_EVENT = Serializer[JobEvent](
    "JobEvent",
    "What a webhook gets when a job has had no success for as long as its expectEvery says, and after the next success.",
    id=show.uuid(lambda event: event.delivery.id, "The delivery's id, as in the header webhook-id: the same in every attempt."),
    type=show.string(lambda event: event.delivery.event, "job.late or job.recovered.", examples=["job.late"]),
    version=show.integer(lambda _: VERSION, "Of this schema. Fields may be added under the same one.", least=1),
    timestamp=show.timestamp(lambda event: event.delivery.created_at, "Since when it is late; when it succeeded again."),
    status=show.enum(("late", "recovered"), lambda event: event.delivery.event.partition(".")[2], "What it is."),
    taskId=show.string(lambda event: event.job.task_id, "Its task's id."),
    jobId=show.uuid(lambda event: event.job.id, "Its id."),
    job_id=show.uuid(lambda event: event.job.id, "jobId, as fastlane 2.x named it."),
    url=show.url(lambda event, render: render.job_url(event.job.task_id, event.job.id), "The job."),
    name=show.string(lambda event: event.job.spec.name, "The job's name for people.", null=True),
    labels=show.mapping(lambda event: event.job.spec.labels, "The job's labels, by name.", values={"type": "string"}),
    image=show.string(lambda event: event.job.spec.shown_image, "The image that it runs; null: that of the service.", null=True),
    service=show.string(lambda event: event.job.spec.service, "The service as whose container it runs; null: it has an image.", null=True),
    expectEvery=show.string(lambda event: show_duration((event.job.spec.expect_every or 0) / 1000), "How often it is to succeed."),
    nextRunAt=show.timestamp(lambda event: event.job.next_tick, "Its next tick.", null=True),
    lastExecution=show.nested(EXECUTION, lambda event: event.latest, null=True),
    pageUrl=show.url(lambda event, render: render.page_url(event.job.task_id, event.job.id), "The page that shows the job."),
    jobPageUrl=show.url(lambda event, render: render.page_url(event.job.task_id, event.job.id), "The same page."),
    lastPageUrl=show.url(lambda event, render: _of_latest(render.page_url, event), "The page that shows its last execution.", null=True),
    logUrl=show.url(lambda event, render: _of_latest(render.log_page_url, event), "The page with that execution's log.", null=True),
    metadata=show.nested(JOB_EVENT_METADATA, lambda event: event.job),
)


def event_maker(public_url: str | None, redact_words: Sequence[str]) -> Callable[[Subject, Delivery], Mapping[str, Any]]:
    """Returns a function that makes the event of a delivery. Without a ``public_url``, its URLs are paths, since a worker does not know the
    API's address."""
    return partial(_event, RenderContext(public_url or "", redact_words))


def _event(context: RenderContext, subject: Subject, delivery: Delivery) -> Mapping[str, Any]:
    if isinstance(subject, JobState):
        latest = None if subject.latest is None else _view(subject.latest)
        return JOB_EVENT.serialize(JobEvent(delivery, subject.job, latest), context)
    return EXECUTION_EVENT.serialize(ExecutionEvent(delivery, _view(subject)), context)


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
    """The event of a webhook of a job that has not run yet."""
    id = SAMPLE_ID
    execution = Execution(id, task_id, id, id, 1, 1, spec, 0, 0, Status.FAILED, failure=SAMPLE_FAILURE)
    if webhook.trigger not in JOB_TRIGGERS:
        return _event(context, execution, Delivery(id, task_id, id, id, "execution.failed", webhook, False, 0, None, 0))
    state = JobState(Job(id, task_id, id, 0, 0, spec, Schedule()), execution)
    return _event(context, state, Delivery(id, task_id, id, id, f"job.{webhook.trigger}", webhook, False, 0, None, 0))


def body_writer(make: Callable[[Subject, Delivery], Mapping[str, Any]]) -> Callable[[Subject, Delivery], bytes]:
    """Returns a function that writes the body of a post to a webhook: the event, or the webhook's template with the event's values. The
    function raises TooLong."""

    def write(subject: Subject, delivery: Delivery) -> bytes:
        template = delivery.target.body if isinstance(delivery.target, Webhook) else None
        event = make(subject, delivery)
        return encode_json(event if template is None else filled(template, event))

    return write


def _view(execution: Execution) -> ExecutionView:
    return ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
