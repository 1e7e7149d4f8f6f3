"""``/events``: the actions of people and of fastlane, in pages, or as they happen: ``EventFollowing`` sends them as server-sent events, and
the id of each is the cursor from which a browser continues.

Events are read from the store as the client takes them, so a client that reads slowly costs one page of events; a client that takes nothing
for a minute is disconnected.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import structlog

from fastlane.errors import FastlaneError, Fault, Invalid
from fastlane.models.access import Role
from fastlane.models.event import Event, EventFilter, EventKind, Position, at, read_cursor
from fastlane.models.job import task_id_fault
from fastlane.web.api.contract import EVENTS, ApiParameter, Response, flag
from fastlane.web.api.events import EVENT, EVENT_PAGE, EventListing
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, TASK_ID, UUID, comma_list, integer, text
from fastlane.web.api.log_encoding import EVENT_PING, server_sent_event
from fastlane.web.handler import Handler
from fastlane.web.http.connection import PING_EVERY
from fastlane.web.http.query import MAX_ROWS, is_uuid, read_all, read_flag, read_integer, read_since, read_text, unknown_word
from fastlane.web.routing import Answer, route
from fastlane.web.streaming.logs import RECONNECT_AFTER, finish_head, keep_alive

log = structlog.get_logger()

GROUPS = tuple(sorted({kind.partition(".")[0] for kind in EventKind} - set(EventKind)))
MAX_TEXT = 300
"""Characters of a name of an actor, a host or a pool."""
_TEXT = text(MAX_TEXT)
EVENT_SIZE = 100
"""Bytes for which an event that is looked at counts among the sizes of lists."""
MAX_PING = 60
"""Seconds."""
_CURSOR = {"type": "string", "pattern": "^[0-9]{1,15}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-4]$"}
EVENT_FILTERS = {
    "kind": ApiParameter(
        "Only events of this kind, or of one of several, separated by commas; the word before the dot stands for all of its kinds.",
        comma_list(tuple(word.replace(".", r"\.") for word in (*EventKind, *GROUPS))),
    ),
    "task": ApiParameter("Only events of this task.", TASK_ID),
    "job": ApiParameter("Only events of this job.", UUID),
    "execution": ApiParameter("Only events of this execution.", UUID),
    "actor": ApiParameter("Only what this user or token, or somebody at this IP address, did.", _TEXT),
    "host": ApiParameter("Only events of the host with this address.", _TEXT),
    "pool": ApiParameter("Only events of this pool.", _TEXT),
    "since": ApiParameter(f"Only events at or after this time: {SINCE_WORDS}.", SINCE),
}
PAGED = {
    "until": ApiParameter(f"Only events at or before this time: {SINCE_WORDS}.", SINCE),
    "perPage": ApiParameter(f"How many events a page has; {MAX_ROWS} at most.", integer(1, MAX_ROWS)),
    "after": ApiParameter("Where the page goes on. It comes with nextUrl.", _CURSOR),
}
FOLLOWED = {
    "follow": flag("Events as they happen, as server-sent events, some 2 seconds late."),
    "ping": ApiParameter(
        f"With follow: seconds of silence after which an event `ping` comes; without it, a comment comes after {PING_EVERY:.0f}.",
        integer(1, MAX_PING),
    ),
    "from": ApiParameter("With follow: continues after the event with this id. Not together with since.", _CURSOR),
}


@route(
    "GET",
    "/events",
    "listEvents",
    query={**EVENT_FILTERS, **PAGED, **FOLLOWED},
    answers={200: Response("A page of events; or, with follow, events as they happen.", (EVENT_PAGE,), media=(EVENTS,))},
    refusals=(429,),
    more="Only administrators see events of logins. Callers that are limited to some tasks see only the events of these.",
)
async def list_events(handler: Handler) -> Answer | None:
    """What happened and who did it, newest first; or as it happens."""
    handler.set_header("Cache-Control", "no-store")
    now = handler.services.clock.now()
    follow, wanted, since, ping = read_all(
        lambda: _read_follow(handler.query),
        lambda: _wanted(handler),
        lambda: read_since(handler.query, now),
        lambda: read_integer(handler.query, "ping", 0, 1, MAX_PING),
    )
    if follow:
        following = EventFollowing(handler, wanted, since, ping)
        handler.when_gone = following.interrupt
        await following.answer()
        return None
    per_page, until, after = read_all(
        lambda: read_integer(handler.query, "perPage", handler.config.per_page, 1, MAX_ROWS),
        lambda: read_since(handler.query, now, "until"),
        lambda: read_position(handler.query, "after"),
    )
    async with handler.in_turn():  # a filter that few events pass reads as much as a large list
        page = await handler.services.event_reader.page(wanted, per_page, since=since, until=until, after=after)
        handler.note_size(page.looked_at * EVENT_SIZE)
    return Answer(EVENT_PAGE, EventListing(f"{handler.base_url}/events/", handler.query, per_page, page))


def _wanted(handler: Handler) -> EventFilter:
    query, principal = handler.query, handler.principal
    actor, host, pool = read_all(*(partial(read_text, query, name, MAX_TEXT) for name in ("actor", "host", "pool")))
    faults = [Fault(name, "is not a UUID") for name in ("job", "execution") if name in query and not is_uuid(query[name])]
    faults += [Fault("task", fault)] if "task" in query and (fault := task_id_fault(query["task"])) else []
    kinds = _read_kinds(query, faults)
    if faults:
        raise Invalid(faults)
    return EventFilter(
        kinds=kinds,
        task_id=query.get("task"),
        job_id=query.get("job", "").lower() or None,
        execution_id=query.get("execution", "").lower() or None,
        actor=actor,
        host=host,
        pool=pool,
        visible=handler.visible_tasks,
        of_logins=principal is None or principal.role is Role.ADMIN,
    )


def read_position(query: Mapping[str, str], name: str) -> Position | None:
    """The position that a cursor in the query names; None when it is absent."""
    try:
        return read_cursor(query[name]) if name in query else None
    except ValueError as error:
        raise Invalid([Fault(name, str(error))]) from None


def _read_follow(query: Mapping[str, str]) -> bool:
    """Whether the query asks to follow. Raises Invalid for parameters that mean something only then, or only without it."""
    follow = read_flag(query, "follow")
    faults = [Fault(name, "cannot be used together with follow") for name in sorted(PAGED.keys() & query.keys()) if follow]
    faults += [Fault(name, "needs follow=1") for name in ("from", "ping") if name in query and not follow]
    faults += [Fault("since", "cannot be used together with from; leave one of them out")] if {"from", "since"} <= query.keys() else []
    if faults:
        raise Invalid(faults)
    return follow


def _read_kinds(query: Mapping[str, str], faults: list[Fault]) -> frozenset[EventKind]:
    words = query["kind"].split(",") if "kind" in query else []
    if fault := unknown_word("kind", words, (*map(str, EventKind), *GROUPS)):
        faults.append(fault)
    return frozenset(kind for kind in EventKind if kind.value in words or kind.partition(".")[0] in words)


POLL = 0.5
"""Seconds between two checks for events."""
AT_ONCE = 100
"""Events that are sent together."""
END = server_sent_event("end", b'{"reason":"retry"}')
PING = server_sent_event("ping", b"{}")
"""A sign of life that a script in a browser sees, which sees no comments."""


class EventFollowing:
    """Answers one request with events as they happen."""

    def __init__(self, handler: Handler, wanted: EventFilter, since: int | None, ping: int) -> None:
        """``ping``: seconds of silence after which an event ``ping`` is sent; 0: a comment is, after ``PING_EVERY``."""
        self._handler = handler
        self._silence: float = ping or PING_EVERY
        self._ping = PING if ping else EVENT_PING
        self._wanted = wanted
        self._since = since
        self._gone = asyncio.Event()
        self._caller = handler.caller

    def interrupt(self) -> None:
        """Ends the stream, because the client has gone."""
        self._gone.set()

    async def answer(self) -> None:
        """Sends events until the client is gone or may not see them any more, or the server ends."""
        handler = self._handler
        position = self._beginning()
        with handler.services.event_feeds.entered(self._caller, self._gone):
            handler.set_header("Content-Type", EVENTS)
            handler.set_header("X-Accel-Buffering", "no")
            if handler.request.method == "HEAD":
                return await finish_head(handler)
            keep_alive(handler)
            handler.write(b"retry: %d\n\n" % RECONNECT_AFTER)
            if await handler.deliver(handler.flush()) and await self._send(position):
                handler.write(END)
                await handler.deliver(handler.finish())

    def _beginning(self) -> Position:
        """The beginning of the stream: after the last event that the client got, from ``since`` on, or from now on."""
        handler = self._handler
        header = handler.request.headers.get("Last-Event-ID")
        text = header or handler.query.get("from")
        if text:
            try:
                return read_cursor(text)
            except ValueError as error:
                raise Invalid([Fault("Last-Event-ID" if header else "from", str(error))]) from None
        return handler.services.event_reader.position_now() if self._since is None else at(self._since)

    async def _send(self, position: Position) -> bool:
        """Sends events. Returns whether the client is still there at the end."""
        handler, silent_since = self._handler, asyncio.get_running_loop().time()
        while self._may_go_on():
            events: Sequence[Event] = ()
            try:
                events, position = await handler.services.event_reader.following(self._wanted, position, AT_ONCE)
            except FastlaneError as error:
                log.debug("http.events.waiting", error=str(error))
            now = asyncio.get_running_loop().time()
            if events or now - silent_since > self._silence:
                handler.write(b"".join(map(self._encoded, events)) or self._ping)
                if not await handler.deliver(handler.flush()):
                    return False
                silent_since = now
            if not events:
                await self._pause()
        return True

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL):
                await self._gone.wait()
        except TimeoutError:
            return

    def _may_go_on(self) -> bool:
        """Whether the client is there, and its login still has the rights that it began with."""
        return not self._gone.is_set() and self._handler.keeps_rights(self._caller)

    def _encoded(self, event: Event) -> bytes:
        data = self._handler.encode(EVENT.serialize(event, self._handler.render_context))
        return server_sent_event("event", data, event.position)
