"""The handler that answers every request, and the values that all handlers share (``AppContext``). ``Handler`` does the common work of all
routes: authentication, origins, strict queries, bodies, problems, standard headers, and the request's place in a trace. It also sends
finished pages.

A route is a function, which takes a ``Handler`` and the path's parameters by name (``routing.route``). HEAD works where GET does. The
function runs after the whole body has arrived, even when it refuses the request: an earlier answer would close the connection while the
client still sends, and the client might never see it.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from ipaddress import ip_address
from types import TracebackType
from typing import Any, TypeVar

import structlog
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest, format_timestamp
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from fastlane import __version__
from fastlane.config.settings import Settings
from fastlane.metrics import Metrics
from fastlane.models.access import Principal, Requester, Role
from fastlane.models.event import EventKind
from fastlane.models.ids import nonce
from fastlane.models.trace import TraceContext, TraceSpan
from fastlane.services.assembly import Services
from fastlane.services.tickets import Grant
from fastlane.tracing.port import Recorder
from fastlane.web.api.actions import PROBLEM
from fastlane.web.api.contract import EVENTS
from fastlane.web.api.serializer import Listing, RenderContext, Serializer
from fastlane.web.http.connection import (
    PING_EVERY,
    ActiveRequests,
    ClientDeadlines,
    CountedStream,
    Heartbeats,
    HeldMemory,
    ListTurns,
    RequestBody,
)
from fastlane.web.http.problems import GZIP_FROM, LARGE, RETRY_AFTER, Problem, accepts_gzip, encode_json, gzipped, indent_json, problem_of
from fastlane.web.http.query import check_length, read_flag, read_path, read_query
from fastlane.web.http.strict_json import read_object
from fastlane.web.routing import Answer, PathRoutes, Route, RouteAccess, route
from fastlane.web.security.auth import Authenticator, RequestRates, address_key, authorize
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.security.sessions import is_visit, log_in
from fastlane.web.static_files import StaticFiles


@dataclass(frozen=True, slots=True)
class Traffic:
    """The counters and bounds of a server's requests and connections. ``stopping``: set once the server ends."""

    rates: RequestRates
    active_requests: ActiveRequests = field(default_factory=ActiveRequests)
    memory: HeldMemory = field(default_factory=HeldMemory)
    lists: ListTurns = field(default_factory=ListTurns)
    deadlines: ClientDeadlines = field(default_factory=ClientDeadlines)
    heartbeats: Heartbeats = field(default_factory=lambda: Heartbeats(PING_EVERY))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class AppContext:
    """The values that all handlers share. ``authenticator`` is None when the settings name neither users nor tokens: everyone may do
    everything. ``recorder`` takes spans; None: nothing is traced."""

    services: Services
    settings: Settings
    origins: RequestOrigins
    authenticator: Authenticator | None
    traffic: Traffic
    metrics: Metrics
    recorder: Recorder | None = None


def check_access(
    context: AppContext, request: HTTPServerRequest, principal: Principal, method: str, task_id: str | None, write_role: Role | None
) -> None:
    """Raises a 403 as ``authorize`` does."""
    try:
        authorize(principal, method, task_id, write_role)
    except Problem:
        context.services.access_events.refused(EventKind.ACCESS_REFUSED, principal.name, context.origins.client_address(request))
        raise


HEADER = "traceparent"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
REFUSED = frozenset({401, 429})


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """The trace context of a request. ``given``: the client's span, if it names one. ``own``: the request's own span, if it is recorded:
    because the request may change something, or because its client traces it."""

    given: TraceContext | None
    own: TraceContext | None

    @classmethod
    def of(cls, request: HTTPServerRequest, recorder: Recorder | None) -> "RequestTrace":
        """Reads the request's trace context from ``traceparent``."""
        given = TraceContext.read(request.headers.get(HEADER))
        if recorder is None or (given is None and request.method not in WRITES):
            return cls(given, None)
        return cls(given, TraceContext.new() if given is None else given.within())

    @property
    def text(self) -> str | None:
        """The context that the request passes on to a job, as a ``traceparent``."""
        context = self.own or self.given
        return None if context is None else context.text

    def record(self, recorder: Recorder, request: HTTPServerRequest, route: str, status: int) -> None:
        """Gives the request's span to the recorder, now that it is answered. It names the path's form, never the path. A client
        that is refused has no span, so that none can fill a collector without a login."""
        if self.own is None or status in REFUSED:
            return
        method, end = request.method or "", time.time_ns()
        attributes: dict[str, str | int | bool] = {
            "http.request.method": method,
            "http.route": route or "none",
            "http.response.status_code": status,
        }
        start = end - round(request.request_time() * 1e9)
        failure = str(status) if status >= 500 else None
        recorder.record(TraceSpan(f"{method} {route}".strip(), self.own, self.given, start, end, attributes, failure, server=True))


HTML = "text/html; charset=utf-8"
VARY = "Accept, Accept-Encoding, Origin"
"""The headers of requests by which answers differ, in which a browser or a proxy may keep one."""

OWN_FILES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
STRICT_POLICY = f"{OWN_FILES}; img-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
"""A page may load from and send to this server only, and may not turn text into markup."""


def finish_page(handler: RequestHandler, name: str, base_url: str, *, policy: str = STRICT_POLICY, status: int = 200) -> Awaitable[None]:
    """Sends a page; ``base_url`` is the server's URL. Raises Problem (503) when the pages were not built."""
    data = static_files(handler).page(name, path=handler.request.path, base_url=base_url, by_ticket=is_visit(handler.request))
    handler.set_status(status)
    handler.set_header("Content-Type", HTML)
    handler.set_header("Content-Security-Policy", policy)
    handler.set_header("Referrer-Policy", "no-referrer")
    handler.set_header("Cache-Control", "no-cache")
    handler.set_header("Vary", VARY)
    return handler.finish(data)


def static_files(handler: RequestHandler) -> StaticFiles:
    """The files that were built for this server."""
    found = handler.application.settings["static_files"]
    assert isinstance(found, StaticFiles)
    return found


BROWSER_PAGE = "application/xhtml+xml"
"""The media type by which every browser asks for a page, and hardly anything else does: Java's own client asks for ``text/html``."""
PAGE_HEADER = "X-Requested-With"
"""The header by which a script of our pages says that it is one."""
PAGE_CHALLENGE = 'Bearer realm="fastlane"'
"""The challenge that no browser answers by a dialog."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@~-]{1,128}", re.ASCII)
BODY_DEADLINE = 60.0
"""Seconds that a client has to send a body."""
WRITE_DEADLINE = 60.0
"""Seconds that a client has to take an answer, or a part of one."""

NO_CONTEXT = RenderContext("", ())
"""For problems: they contain no URLs, and may arise before the base URL is known."""

Value = TypeVar("Value")

log = structlog.get_logger()
_date = lru_cache(maxsize=1)(format_timestamp)


@stream_request_body
class Handler(RequestHandler):
    """Answers one request, by the routes of its path. Their functions get this object, and learn everything about the request from it."""

    principal: Principal | None = None
    """Who sent the request, once they have logged in; None on a server without users and tokens."""

    ticket_grant: Grant | None = None
    """What the request's ticket gives access to, when the request was authenticated by one."""

    when_gone: Callable[[], None] | None = None
    """Called when the client has gone."""

    resource: PathRoutes
    route: Route
    near: Sequence[str]
    """The routes that begin like a path without a route."""

    base_url: str
    query: Mapping[str, str]

    # what routes use

    @cached_property
    def context(self) -> AppContext:
        """The values that all handlers share."""
        context = self.application.settings["context"]
        assert isinstance(context, AppContext)
        return context

    @property
    def services(self) -> Services:
        """The services that the routes call."""
        return self.context.services

    @property
    def config(self) -> Settings:
        """The settings. (Tornado has a ``settings`` of its own.)"""
        return self.context.settings

    @property
    def body(self) -> bytearray:
        """The request's body, if the route accepts one."""
        return self._body.data

    def read_body(self) -> dict[str, Any]:
        """The fields of the body, as the route declares it. Raises Invalid with every fault; for no body at all, they name the fields that
        are missing."""
        declared, data = self.route.operation.body, bytes(self._body.data)
        assert declared is not None
        if declared.optional and not data.strip():
            return {}
        return declared.read_whole({} if declared.required and not data.strip() else read_object(data))

    def check_role(self, role: Role, task_id: str) -> None:
        """Raises a 403 unless the requester has this role, as some requests need more than their route."""
        if self.principal is not None:
            check_access(self.context, self.request, self.principal, "POST", task_id, role)

    @property
    def requester(self) -> Requester:
        """Who sent the request, as jobs and executions record it."""
        user = None if self.principal is None else self.principal.name
        return Requester(user, self.context.origins.client_address(self.request), self.trace.text)

    @cached_property
    def trace(self) -> RequestTrace:
        """The request's place in a trace."""
        return RequestTrace.of(self.request, self.context.recorder)

    @property
    def caller(self) -> str | None:
        """The key under which a caller's followers are counted: the credential, or else the address. None for this machine's own address,
        which different callers may share."""
        if self.principal is not None and self.context.authenticator is not None:
            return self.context.authenticator.seal(self.principal)
        address = self.context.origins.client_address(self.request)
        return None if address is None or ip_address(address).is_loopback else address_key(address)

    def keeps_rights(self, caller: str | None) -> bool:
        """Whether the login of the request, whose ``caller`` was this, still has the rights that it began with."""
        authenticator = self.context.authenticator
        if authenticator is None or self.principal is None or caller is None:
            return True
        return authenticator.principal_of(caller) == self.principal

    @property
    def visible_tasks(self) -> str | None:
        """The pattern of the task ids that the principal may see; None: all."""
        return self.principal.tasks or None if self.principal is not None else None

    @property
    def render_context(self) -> RenderContext:
        """The parts of the request that its answer's JSON depends on."""
        return RenderContext(self.base_url, self.config.redact_words)

    @property
    def asks_for_login_by_page(self) -> bool:
        """Whether a browser that is not logged in gets a page with a form. A client that sends a credential gets a problem."""
        is_page = self.request.method == "GET" and self.accepts(BROWSER_PAGE)
        return self.context.authenticator is not None and is_page and "Authorization" not in self.request.headers

    @property
    def comes_from_page(self) -> bool:
        """Whether a browser asks for a page, or a script of one of our pages asks. Their user logs in on a page: a challenge for HTTP Basic
        would have the browser show a dialog of its own, and the problem as JSON after that."""
        headers = self.request.headers
        follows = self.accepts(EVENTS) or ("Origin" in headers and "Upgrade" in headers)  # no script can add a header there
        return self.accepts(BROWSER_PAGE) or follows or PAGE_HEADER in headers

    def accepts(self, media: str) -> bool:
        """Whether the client asks for this media type: a browser for a page, or an ``EventSource`` for events."""
        return media in self.request.headers.get("Accept", "").lower()

    @property
    def encode(self) -> Callable[[Any], bytes]:
        """Encodes JSON, indented for ``?pretty=1``: also a problem, which may arise before the query is read."""
        pretty = self.request.query_arguments.get("pretty", [b""])[0].lower() in (b"1", b"true")
        return indent_json if pretty else encode_json

    @cached_property
    def request_id(self) -> str:
        """The request's own id when it has a valid one, else a new one."""
        given = self.request.headers.get("X-Request-Id", "")
        return given if REQUEST_ID.fullmatch(given) else nonce()

    async def log_in(self) -> None:
        """Finds out who sent the request, on a server with users or tokens. Raises a 401, 429 or 503."""
        if self.context.authenticator is None:
            return
        self.principal, self.ticket_grant = await log_in(
            self.request,
            self.path_parameters,
            self.context.authenticator,
            self.services.tickets,
            self.context.origins,
            accepts_tickets=self.resource.accepts_tickets,
        )

    async def send_json(self, content: Any, status: int = 200) -> None:
        """Sends JSON; returns when the client has taken it, or is gone."""
        await self._send_json(self.encode(content), status)

    async def _send_json(self, data: bytes, status: int) -> None:
        stream = self._stream
        if len(data) >= LARGE:
            self.context.traffic.memory.set_owner(stream, self.caller)
        compressed = len(data) >= LARGE and self._compresses(data)
        if compressed:
            data = await asyncio.to_thread(gzipped, data)
        written = self._finish_json(data, status, "application/json", compressed=compressed)
        if isinstance(stream, CountedStream) and not written.done():
            stream.holds(data, written)
        del data  # the connection has it, and counts it
        await self.deliver(written)

    @property
    def _stream(self) -> IOStream | None:
        """The request's connection; None when it was given away."""
        connection = self.request.connection
        return connection.stream if isinstance(connection, HTTP1Connection) and isinstance(connection.stream, IOStream) else None

    async def deliver(self, written: Awaitable[None]) -> bool:
        """Waits until the client has taken the written data. Returns False when it is gone, or took nothing for a minute and was
        disconnected."""
        try:
            if isinstance(written, asyncio.Future) and written.done():
                await written
            else:
                async with asyncio.timeout(WRITE_DEADLINE):
                    await written
        except StreamClosedError:
            return False
        except TimeoutError:
            log.info("http.client.hangs", path=self.request.path)
            self.disconnect()
            return False
        return True

    def disconnect(self) -> None:
        """Closes the connection, so that the client sees that its answer is incomplete."""
        if isinstance(self.request.connection, HTTP1Connection):
            self.request.connection.close()

    # what Tornado calls

    def initialize(self, *, resource: PathRoutes, path: Mapping[str, str], near: Sequence[str] = ()) -> None:
        """Takes the routes at the path, and the path's parameters, percent-decoded; bytes that are not valid UTF-8 are surrogates in
        them."""
        self.resource = resource
        self.path_parameters = path
        self.near = near
        self._list_size = 0
        limit = self.config.max_body if resource.keeps_body else None
        self._body = RequestBody(self.context.traffic.memory, limit, self._stream, partial(_owner_of, self.context, self.request))

    def clear(self) -> None:
        """Starts an answer with the standard headers. Tornado's own version builds and checks each header on every request, which takes a
        tenth of a small request's time."""
        self._headers = headers = HTTPHeaders()
        headers["Date"] = _date(int(time.time()))
        headers["X-Request-Id"] = self.request_id
        headers["X-Fastlane-Version"] = __version__
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Vary"] = "Accept-Encoding, Origin"
        if self.context.traffic.stopping.is_set():
            headers["Connection"] = "close"
        for name, value in self.context.origins.cors_headers(self.request).items():
            self.set_header(name, value)
        self._write_buffer: list[bytes] = []
        self.set_status(200)

    def prepare(self) -> None:
        """Sets the body's deadline. A client that waits for ``100 Continue`` gets its 413 before it sends a body that is too large."""
        self.context.traffic.deadlines.set(self.request.server_connection, BODY_DEADLINE)
        if self._leave_closed_connection():
            return
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        waits = self.request.headers.get("Expect", "").lower() == "100-continue"
        if waits and self._body.exceeds_limit(self.request.headers.get("Content-Length", "")):
            raise self._too_large()

    def data_received(self, chunk: bytes) -> None:
        """Takes a part of the body."""
        self._body.receive(chunk)
        if self._body.undrainable and not self._finished:
            self.send_error(413, exc_info=(Problem, self._too_large(), None))

    def on_finish(self) -> None:
        """Gives the client a minute to take the complete answer. Then the connection is closed, or sooner, when a new client needs its
        place."""
        self.context.traffic.deadlines.set(self.request.server_connection, WRITE_DEADLINE)
        self._body.release()

    def on_connection_close(self) -> None:
        """Ends the request of a client that closed the connection, perhaps before its whole body arrived."""
        if self.when_gone is not None:
            self.when_gone()
        self._clear_deadline()
        self._body.release()
        super().on_connection_close()

    async def _dispatch(self) -> None:
        self._clear_deadline()
        self.context.traffic.active_requests.add(self)
        try:
            await self._handle()
        finally:
            self.context.traffic.active_requests.discard(self)

    get = head = post = put = patch = delete = options = _dispatch

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answers every refusal and failure with a problem."""
        error = kwargs.get("exc_info", (None, HTTPError(status_code), None))[1]
        problem = problem_of(error)
        if problem.status == 405:
            allowed = ", ".join(self.resource.methods)
            words = f"{self.request.method} is not for this route; it takes {allowed or 'nothing'}"
            if self.request.method == "POST":
                words += "; to create a job, POST it to /tasks/TASK"
            problem = Problem(405, words, headers={"Allow": allowed})
        if problem.job is not None:
            problem.job_url = self.render_context.job_url(*problem.job)
        for name, value in problem.headers.items():
            self.set_header(name, value)
        if problem.status == 401 and self.comes_from_page and "Authorization" not in self.request.headers:
            self.set_header("WWW-Authenticate", PAGE_CHALLENGE)
        if problem.status == 401 and self.asks_for_login_by_page:
            with suppress(Problem):  # if the pages were not built, the problem itself is sent
                finish_page(self, "login.html", self.base_url, status=401)
                return
        self.set_header("Cache-Control", "no-store")
        self._finish_json(self.encode(PROBLEM.serialize(problem, NO_CONTEXT)), problem.status, "application/problem+json")

    def log_exception(self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Logs only errors that operators can act on: outages and our own errors."""
        status = problem_of(value).status
        if status == 503:
            log.warning("http.unavailable", method=self.request.method, path=self.request.path, error=str(value))
        elif status >= 500 and typ is not None and value is not None:
            log.error("http.failed", method=self.request.method, path=self.request.path, exc_info=(typ, value, tb))

    def compute_etag(self) -> None:
        """Computes no ETag: a route whose answer has one sets it."""

    def check_etag_header(self) -> bool:
        """Returns False: a 304 would hide a changed status, which is not part of an ETag."""
        return False

    # how a request is handled

    async def _handle(self) -> None:
        check_length(self.request)
        self.base_url = self.context.origins.base_url(self.request)
        if self.request.method == "OPTIONS" and "Access-Control-Request-Method" in self.request.headers:
            return await self._answer_preflight()
        if self.context.authenticator is not None:
            self.set_header("Cache-Control", "no-store")  # routes whose answers are the same for everyone set another
        if not self.resource.public:
            if self.resource.exempts is None or not self.resource.exempts(self):
                await self.log_in()
            if self.context.traffic.rates.is_limited:
                self.context.traffic.rates.check(self.caller)
        method = "GET" if self.request.method == "HEAD" else self.request.method or ""
        found = self.resource.routes.get(method)
        if found is None:
            raise HTTPError(405)
        self.route = found
        if method != "GET":
            self.context.origins.refuse_foreign_write(self.request)
        self._check_body()
        parameters = read_path(self.path_parameters, chooses_job_id=method == "PUT")
        if self.principal is not None:
            check_access(self.context, self.request, self.principal, method, parameters.get("task_id"), found.access.role)
        self.query = {}
        if self.request.query_arguments:
            self.query = read_query(self.request, found.query)
            read_flag(self.query, "pretty")
        if not found.is_list:
            made = await self._make(found, parameters)
        else:
            made = await self._make_in_turn(found, parameters)
        if made is not None:
            sending = self._send_json(*made)
            del made
            await sending

    async def _make(self, route: Route, parameters: Mapping[str, str]) -> tuple[bytes, int] | None:
        """The JSON that a route's function answers with, and its status; None when the function has answered itself. What was read for it
        is not kept while a client takes its time."""
        value, serializer, status = await route.act(self, **parameters), route.serializer, 200
        if isinstance(value, Answer):
            serializer, status, value = value.serializer, value.status, value.value
        if serializer is None:
            return None
        render = partial(_render, serializer, value, self.render_context, self.encode)
        takes_long = isinstance(value, Listing) and value.takes_long
        # A list that takes long is rendered in a thread, so that no other request waits for it.
        return (await asyncio.to_thread(render) if takes_long else render()), status

    async def _make_in_turn(self, route: Route, parameters: Mapping[str, str]) -> tuple[bytes, int] | None:
        """The same for a list, which may be large. Few are made at once, however many are asked for. What a client then does not take of
        its answer counts with what all connections hold."""
        async with self.in_turn():
            stream = self._stream
            made = None if stream is not None and stream.closed() else await self._make(route, parameters)
            if made is not None:
                self.note_size(len(made[0]))
            return made

    @asynccontextmanager
    async def in_turn(self) -> AsyncIterator[None]:
        """Waits for a turn among those who read lists, and has it until the context ends. Raises a 503 when it does not come in time."""
        turns = self.context.traffic.lists
        turn = await turns.take(self.caller, self.request.uri or "")
        if turn is None:
            raise Problem(503, "too many lists are read at the same time; ask again in a few seconds", retry_after=RETRY_AFTER)
        try:
            yield
        finally:
            turns.give_back(turn)

    def note_size(self, size: int) -> None:
        """Remembers how many bytes this list took, for its next turn; the most of what is noted counts."""
        self._list_size = max(self._list_size, size)
        self.context.traffic.lists.note(self.request.uri or "", self._list_size)

    def _check_body(self) -> None:
        if self._body.too_large:
            raise self._too_large()
        if self._body.out_of_memory:
            words = "too many large bodies are arriving at the same time; send it again in a few seconds"
            raise Problem(503, words, retry_after=RETRY_AFTER)

    async def _answer_preflight(self) -> None:
        """Answers a preflight. Browsers send it without credentials, and the answer reveals nothing beyond the docs."""
        for name, value in self.context.origins.preflight_headers(self.request, self.resource.methods).items():
            self.set_header(name, value)
        self.set_status(204)
        await self.deliver(self.finish())

    def _finish_json(self, data: bytes, status: int, media: str, *, compressed: bool = False) -> asyncio.Future[None]:
        """``compressed``: the data are gzipped already."""
        self.set_status(status)
        self.set_header("Content-Type", media)
        if not compressed and self._compresses(data):
            data, compressed = gzipped(data), True
        if compressed:
            self.set_header("Content-Encoding", "gzip")
        if len(data) >= LARGE:
            self.set_header("Content-Length", len(data))
            self.flush()  # Tornado would copy the body to send it together with the head
        return self.finish(data)

    def _compresses(self, data: bytes) -> bool:
        return len(data) >= GZIP_FROM and accepts_gzip(self.request.headers.get("Accept-Encoding", ""))

    def _leave_closed_connection(self) -> bool:
        """If the client closed the connection before this request's turn, abandons the connection with all pipelined requests on it.
        Otherwise ten thousand of them could be handled at once, because none would wait for its answer to be taken."""
        connection = self.request.connection
        if not isinstance(connection, HTTP1Connection) or not connection.stream.closed():
            return False
        self.finish()
        connection.detach()
        return True

    def _clear_deadline(self) -> None:
        self.context.traffic.deadlines.clear(self.request.server_connection)

    def _too_large(self) -> Problem:
        limit = self.config.max_body
        return Problem(413, f"the body is larger than {limit} bytes; put large data into an image, or fetch it from the command")


def _owner_of(context: AppContext, request: HTTPServerRequest) -> str | None:
    """The key of the client that sends a body: its login, if it is known already, else its address. It holds no handler, so that a closed
    connection is free at once."""
    authenticator = context.authenticator
    known = None if authenticator is None else authenticator.cached(request.headers.get("Authorization", ""))
    return context.origins.owner_of_request(request) if authenticator is None or known is None else authenticator.seal(known)


def _render(serializer: Serializer[Value], value: Value, context: RenderContext, encode: Callable[[Any], bytes]) -> bytes:
    return encode(serializer.serialize(value, context))


async def _refuse_path(handler: Handler) -> None:
    if f"{handler.request.path}/".startswith("/console/") and handler.request.method in ("GET", "HEAD") and handler.accepts("text/html"):
        await handler.deliver(finish_page(handler, "console.html", handler.base_url, status=404))  # which says that there is no such page
        return
    routes = ", ".join(re.sub(r"{(task|job|execution|delivery)_id}", lambda found: found[1][0].upper(), route) for route in handler.near)
    words = f"there is no route {handler.request.path[:200]}; the routes are: {routes}. GET /openapi.json describes all routes"
    raise Problem(404, words)


NOWHERE = PathRoutes(
    "", (route(method, "", access=RouteAccess(Role.READ))(_refuse_path) for method in ("DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"))
)
"""The routes of a path that has none: a 404 for each method."""
