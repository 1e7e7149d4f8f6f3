"""Events: the actions of people and of the system."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastlane.clock import iso
from fastlane.models.delivery import Attempt, DeliveryState, Kind
from fastlane.models.event import MOMENTS, Event, EventKind
from fastlane.models.notify import Mailbox, NotificationTrigger
from fastlane.services.deliveries import DeliveriesView, DeliveryView, JobDeliveriesView
from fastlane.services.events import EventPage
from fastlane.web.api import serializer as show
from fastlane.web.api.executions import REQUESTER
from fastlane.web.api.notifications import shown_url
from fastlane.web.api.serializer import RenderContext, Serializer


def _url(event: Event, render: RenderContext) -> str | None:
    return None if event.task_id is None else render.resource_url(event.task_id, event.job_id, event.execution_id)


def _detail(event: Event) -> Mapping[str, Any]:
    return {name: iso(value) if name in MOMENTS and isinstance(value, int) else value for name, value in event.detail.items()}


EVENT = Serializer[Event](
    "Event",
    "Something that somebody or fastlane did.",
    id=show.string(lambda event: str(event.position), "Its id, and the cursor to go on after it."),
    time=show.timestamp(lambda event: event.time, "When it was stored."),
    kind=show.enum(EventKind, lambda event: event.kind, "What happened."),
    actor=show.nested(REQUESTER, lambda event: event.actor, null=True),
    taskId=show.string(lambda event: event.task_id, "The task that it is about, if any.", null=True),
    jobId=show.uuid(lambda event: event.job_id, "The job.", null=True),
    executionId=show.uuid(lambda event: event.execution_id, "The execution.", null=True),
    host=show.string(lambda event: event.host, "The host's address.", null=True),
    pool=show.string(lambda event: event.pool, "The pool.", null=True),
    detail=show.mapping(_detail, "Further details, by its kind."),
    url=show.url(_url, "Where the execution, the job or the task is, or was.", null=True),
)


@dataclass(frozen=True, slots=True)
class EventListing:
    """A page of events, with the URL and the query that it was asked for by."""

    url: str
    query: Mapping[str, str]
    per_page: int
    page: EventPage

    def next_url(self) -> str | None:
        """The URL of the page of older events."""
        if self.page.next is None:
            return None
        return f"{self.url}?{urlencode({**self.query, 'perPage': self.per_page, 'after': str(self.page.next)})}"


EVENT_PAGE = Serializer[EventListing](
    "EventPage",
    "A page of events, newest first. With filters that take few events a page may have fewer than perPage, or none, and yet a next one.",
    items=show.array(EVENT, lambda listing: listing.page.events),
    perPage=show.integer(lambda listing: listing.per_page, "The most events that a page has.", least=1),
    hasNext=show.boolean(lambda listing: listing.page.next is not None, "Whether there may be older ones."),
    nextUrl=show.url(lambda listing, _: listing.next_url(), "The next page, of older events.", null=True),
)


ATTEMPT = Serializer[Attempt](
    "DeliveryAttempt",
    "One attempt of a delivery.",
    at=show.timestamp(lambda attempt: attempt.at, "When it began."),
    durationMs=show.integer(lambda attempt: attempt.duration, "How long it took."),
    status=show.integer(lambda attempt: attempt.status, "The receiver's status, of HTTP or of SMTP; null: there was no answer.", null=True),
    error=show.string(lambda attempt: attempt.error, "Why it failed; null when it did not.", null=True),
    excerpt=show.string(lambda attempt: attempt.excerpt, "The beginning of the receiver's answer, up to 1,024 characters."),
)


def _redeliver_url(view: DeliveryView, render: RenderContext) -> str:
    row = view.delivery
    if row.is_of_job:
        return f"{render.job_url(row.task_id, row.job_id)}deliveries/{row.id}/redeliver/"
    return f"{render.execution_url(row.task_id, row.job_id, row.execution_id)}deliveries/{row.id}/redeliver/"


def _receiver(view: DeliveryView, render: RenderContext) -> str:
    target = view.delivery.target
    if view.hides_url:
        return target.origin
    return target.address if isinstance(target, Mailbox) else shown_url(target, render)


DELIVERY = Serializer[DeliveryView](
    "Delivery",
    "A message about an execution or a job to a webhook or an e-mail address.",
    id=show.uuid(lambda view: view.delivery.id, "Its id, which a webhook gets as webhook-id: the same in every attempt."),
    kind=show.enum(Kind, lambda view: view.delivery.kind, "What carries it."),
    event=show.string(lambda view: view.delivery.event, "What it tells.", examples=["execution.done"]),
    list=show.enum(NotificationTrigger, lambda view: view.delivery.target.trigger, "The list of the webhook or the address."),
    receiver=show.rendered(_receiver, {"type": "string"}, "The webhook's URL, or the address."),
    state=show.enum(
        DeliveryState,
        lambda view: view.delivery.state,
        "How far it is; held: a mail about a repeated failure that was not sent, which the next mail says.",
    ),
    createdAt=show.timestamp(lambda view: view.delivery.created_at, "When it was made."),
    nextAttemptAt=show.timestamp(lambda view: view.delivery.due, "When it may be sent next; null when it will not be.", null=True),
    attemptsMade=show.integer(lambda view: view.delivery.without_attempt().attempts_made, "How many attempts there were."),
    attemptsLeft=show.integer(lambda view: view.delivery.attempts_left, "How many may follow."),
    receiverPaused=show.boolean(
        lambda view: view.receiver is not None and view.receiver.is_paused,
        "Whether its receiver is paused, because every attempt has failed for a day.",
    ),
    attempts=show.array(ATTEMPT, lambda view: view.delivery.without_attempt().attempts, "The last 20 attempts, the oldest first."),
    redeliverUrl=show.url(_redeliver_url, "Where a POST has it sent again."),
)

DELIVERIES = Serializer[DeliveriesView](
    "Deliveries",
    "The deliveries of an execution. They are few, so they are not paginated.",
    executionId=show.uuid(lambda view: view.execution_id, "The execution's id."),
    executionUrl=show.url(lambda view, render: render.execution_url(view.task_id, view.job_id, view.execution_id), "The execution."),
    items=show.array(DELIVERY, lambda view: view.deliveries),
)

JOB_DELIVERIES = Serializer[JobDeliveriesView](
    "JobDeliveries",
    "The deliveries about a job itself: that it was late, and that it has recovered. They are few, so they are not paginated.",
    jobId=show.uuid(lambda view: view.job_id, "The job's id."),
    jobUrl=show.url(lambda view, render: render.job_url(view.task_id, view.job_id), "The job."),
    items=show.array(DELIVERY, lambda view: view.deliveries),
)
