"""Events: what people did and what the system did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastlane.clock import iso
from fastlane.models.event import MOMENTS, Event, EventKind
from fastlane.services.reads.events import EventPage
from fastlane.web.api.render_context import RenderContext
from fastlane.web.api.responses.executions import REQUESTER
from fastlane.web.api.serializer import Serializer, array, boolean, enum, integer, mapping, nested, string, timestamp, url, uuid


def _url(event: Event, render: RenderContext) -> str | None:
    return None if event.task_id is None else render.resource_url(event.task_id, event.job_id, event.execution_id)


def _detail(event: Event) -> Mapping[str, Any]:
    return {name: iso(value) if name in MOMENTS and isinstance(value, int) else value for name, value in event.detail.items()}


EVENT = Serializer[Event](
    "Event",
    "Something that somebody or fastlane did.",
    id=string(lambda event: str(event.position), "Its id, and the cursor to go on after it."),
    time=timestamp(lambda event: event.time, "When it was stored."),
    kind=enum(EventKind, lambda event: event.kind, "What happened."),
    actor=nested(REQUESTER, lambda event: event.actor, null=True),
    taskId=string(lambda event: event.task_id, "The task that it is about, if any.", null=True),
    jobId=uuid(lambda event: event.job_id, "The job.", null=True),
    executionId=uuid(lambda event: event.execution_id, "The execution.", null=True),
    host=string(lambda event: event.host, "The host's address.", null=True),
    pool=string(lambda event: event.pool, "The pool.", null=True),
    detail=mapping(_detail, "What else there is to say, by its kind."),
    url=url(_url, "Where the execution, the job or the task is, or was.", null=True),
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
    items=array(EVENT, lambda listing: listing.page.events),
    perPage=integer(lambda listing: listing.per_page, "The most events that a page has.", least=1),
    hasNext=boolean(lambda listing: listing.page.next is not None, "Whether there may be older ones."),
    nextUrl=url(lambda listing, _: listing.next_url(), "The next page, of older events.", null=True),
)
