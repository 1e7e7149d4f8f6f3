"""What is posted to a webhook when an execution has ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastlane.models.execution import Execution
from fastlane.models.notify.delivery import Delivery
from fastlane.models.notify.template import filled
from fastlane.models.notify.webhook import Webhook
from fastlane.services.reads.views import ExecutionView
from fastlane.web.api.render_context import RenderContext
from fastlane.web.api.responses.executions import EXECUTION, PLACE
from fastlane.web.api.serializer import Serializer, boolean, flattened, integer, mapping, nested, string, timestamp, uuid
from fastlane.web.http.encoding import encode_json

VERSION = 1
"""Of the schema. Fields may be added under the same one."""


@dataclass(frozen=True, slots=True)
class ExecutionEvent:
    """An execution that has ended, and the delivery that tells of it."""

    delivery: Delivery
    view: ExecutionView

    @property
    def execution(self) -> Execution:
        """The execution."""
        return self.view.execution


EVENT_METADATA = Serializer[Execution](
    "EventMetadata",
    "What the job's client gave, and where the execution ran, under the names of fastlane 2.x.",
    custom=mapping(lambda execution: execution.spec.metadata, "The metadata that the client gave."),
    place=flattened(PLACE, lambda execution: execution),
)

EXECUTION_EVENT = Serializer[ExecutionEvent](
    "ExecutionEvent",
    "What a webhook gets when an execution has ended: the execution, and what this message is.",
    id=uuid(lambda event: event.delivery.id, "The delivery's id, as in the header webhook-id: the same in every attempt."),
    type=string(lambda event: event.delivery.event, "execution. and the final status.", examples=["execution.done"]),
    version=integer(lambda _: VERSION, "Of this schema. Fields may be added under the same one.", least=1),
    timestamp=timestamp(lambda event: event.execution.finished_at, "When the execution ended.", null=True),
    willRetry=boolean(lambda event: event.delivery.will_retry, "Whether another attempt at the job follows."),
    execution=flattened(EXECUTION, lambda event: event.view),
    job_id=uuid(lambda event: event.execution.job_id, "jobId, as fastlane 2.x named it."),
    name=string(lambda event: event.execution.spec.name, "The job's name for people.", null=True),
    labels=mapping(lambda event: event.execution.spec.labels, "The job's labels, by name.", values={"type": "string"}),
    metadata=nested(EVENT_METADATA, lambda event: event.execution),
)


def event_maker(public_url: str | None, redact_words: Sequence[str]) -> Callable[[Execution, Delivery], Mapping[str, Any]]:
    """Makes the event that a delivery tells. Without a ``public_url``, its URLs are paths: a worker does not know where the API is
    reached."""
    context = RenderContext(public_url or "", redact_words)

    def make(execution: Execution, delivery: Delivery) -> Mapping[str, Any]:
        view = ExecutionView(execution, execution.stdout_bytes, execution.stderr_bytes, execution.truncated)
        return EXECUTION_EVENT.serialize(ExecutionEvent(delivery, view), context)

    return make


def body_writer(make: Callable[[Execution, Delivery], Mapping[str, Any]]) -> Callable[[Execution, Delivery], bytes]:
    """Writes what is posted to a webhook: the event, or the template of the webhook with its values."""

    def write(execution: Execution, delivery: Delivery) -> bytes:
        template = delivery.target.body if isinstance(delivery.target, Webhook) else None
        event = make(execution, delivery)
        return encode_json(event if template is None else filled(template, event))

    return write
