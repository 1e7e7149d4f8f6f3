"""What every route does: the body counted as it streams in, the rules of Host and Origin, strict queries, problems, headers.

A route's class defines ``on_get`` and ``on_post`` (coroutines that take the path's parts by name), and declares what they take and answer
(``contract.operation``); HEAD works where GET does. They run after the body has come in, also when the answer is a refusal: answering
earlier would close the connection under a client that still sends, which then may never see the answer.
"""

import asyncio
import gzip
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import TracebackType
from typing import Any, ClassVar

import orjson
import structlog
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest, format_timestamp
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from fastlane.errors import Fault, Invalid, NotFound
from fastlane.models.access import Principal, Requester, Role
from fastlane.models.ids import nonce
from fastlane.models.task import task_id_fault
from fastlane.services.assembly import Services
from fastlane.web.api.contract import query_names
from fastlane.web.api.rendering import Renderer
from fastlane.web.http.problems import Problem, problem_of
from fastlane.web.http.query import read_query
from fastlane.web.security.auth import Authenticator, authorize
from fastlane.web.security.origins import RequestOrigins
from fastlane.web.security.visits import visitor
from fastlane.web.server.deadlines import Deadlines
from fastlane.web.server.in_flight import Held, InFlight
from fastlane.web.server.settings import WebSettings

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@~-]{1,128}", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
UUIDS = frozenset({"job_id", "execution_id"})
GZIP_FROM = 1_024
WRITE_DEADLINE = BODY_DEADLINE = 60.0
"""Seconds."""
DISCARD = 64 * 1024 * 1024
"""So much of a body nobody wants is let by before the connection is closed under it, in bytes."""
LIGHT = 16 * 1024
"""The part of a body, in bytes, that a request may always bring: an ordinary job is far smaller."""
LONGEST_HEAD = 64 * 1024
"""So much the path and the headers of a request may take, in bytes."""
MOST_HELD = 64 * 1024 * 1024
"""So many bytes beyond that are held of all bodies under way; who comes later with a large one is told to come again."""

log = structlog.get_logger()
_date = lru_cache(maxsize=1)(format_timestamp)


@dataclass(frozen=True, slots=True)
class Context:
    """What all handlers share."""

    services: Services
    settings: WebSettings
    addresses: RequestOrigins
    gate: Authenticator | None
    in_flight: InFlight
    held: Held
    deadlines: Deadlines


@stream_request_body
class Handler(RequestHandler):
    """The base of all routes."""

    reads_body: ClassVar[bool] = False
    """Whether the body of a POST or PUT means something; else it is let by."""

    public: ClassVar[bool] = False
    """Whether it answers also who does not say who they are."""

    write_role: ClassVar[Role | None] = None
    """The role that its writes need; None: ``run`` where the path names a task, else ``admin``."""

    principal: Principal | None = None
    """Who is asking; None when the server, or a public route, asks nobody who they are."""

    base: str
    query: Mapping[str, str]
    _received = 0
    _held = 0
    _crowded = False

    @cached_property
    def context(self) -> Context:
        """What all handlers share."""
        context = self.application.settings["context"]
        assert isinstance(context, Context)
        return context

    @property
    def services(self) -> Services:
        """What there is to call."""
        return self.context.services

    @property
    def web_settings(self) -> WebSettings:
        """The settings of HTTP."""
        return self.context.settings

    @property
    def requester(self) -> Requester:
        """Who is asking, as it is kept with what they ask for."""
        user = None if self.principal is None else self.principal.name
        return Requester(user, self.context.addresses.client(self.request))

    @property
    def sees(self) -> Callable[[str], bool] | None:
        """Tells by its id whether a list may show something of this task; None: all of them."""
        return None if self.principal is None or not self.principal.tasks else self.principal.sees

    @property
    def visible_tasks(self) -> str | None:
        """The pattern of the tasks that a list may show something of; None: all of them."""
        return self.principal.tasks or None if self.principal is not None else None

    @property
    def renderer(self) -> Renderer:
        """Renders for this request."""
        return Renderer(self.base, self.context.settings.redact_words)

    @cached_property
    def request_id(self) -> str:
        """The request's own id when it has a valid one, else a new one."""
        given = self.request.headers.get("X-Request-Id", "")
        return given if REQUEST_ID.fullmatch(given) else nonce()

    @cached_property
    def body(self) -> bytearray:
        """The request's body, as far as it has come and is wanted."""
        return bytearray()

    # what Tornado calls

    def initialize(self, *, path: Mapping[str, str]) -> None:
        """Takes the parts of the path by name, percent-decoded; what is not UTF-8 in them stays visible as surrogates."""
        self._path = path

    def clear(self) -> None:
        """Begins an answer, also a problem's, with the headers that all have. Tornado's own makes and checks each of them anew, which costs
        a tenth of a small request."""
        self._headers = headers = HTTPHeaders()
        headers["Date"] = _date(int(time.time()))
        headers["X-Request-Id"] = self.request_id
        headers["X-Fastlane-Version"] = self.context.settings.version
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Vary"] = "Accept-Encoding, Origin"
        for name, value in self.context.addresses.reading(self.request).items():
            self.set_header(name, value)
        self._write_buffer: list[bytes] = []
        self.set_status(200)

    def prepare(self) -> None:
        """Gives the body a minute, and says no before one that is announced as too large is sent at all, when the client waits for the
        word to go on."""
        self.context.deadlines.set(self.request.server_connection, BODY_DEADLINE)
        if self._is_deserted():
            return
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        announced = self.request.headers.get("Content-Length", "")
        waits = self.request.headers.get("Expect", "").lower() == "100-continue"
        if waits and self.reads_body and announced.isascii() and announced.isdigit() and int(announced[:20]) > self._limit:
            raise self._too_large()

    def data_received(self, chunk: bytes) -> None:
        """Keeps a wanted body up to its limit, and counts the rest."""
        self._received += len(chunk)
        if self._received > DISCARD and not self._finished:
            self.send_error(413, exc_info=(Problem, self._too_large(), None))
        elif self.reads_body and self._received <= self._limit and self._hold():
            self.body.extend(chunk)

    def on_finish(self) -> None:
        """The answer is given."""
        self._disarm()
        self._let_go()

    def on_connection_close(self) -> None:
        """The client has gone, perhaps in the midst of its body."""
        self._disarm()
        self._let_go()
        super().on_connection_close()

    async def _dispatch(self) -> None:
        self._disarm()
        self.context.in_flight.add(self)
        try:
            await self._act()
        finally:
            self.context.in_flight.discard(self)

    get = head = post = put = patch = delete = options = _dispatch

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Every refusal and failure, as a problem."""
        error = kwargs.get("exc_info", (None, HTTPError(status_code), None))[1]
        problem = problem_of(error)
        self.set_status(problem.status)
        for name, value in problem.headers.items():
            self.set_header(name, value)
        if problem.status == 405:
            self.set_header("Allow", ", ".join(self._allowed()))
            problem = Problem(405, f"{self.request.method} is not for this route; it takes {', '.join(self._allowed()) or 'nothing'}")
        self.set_header("Cache-Control", "no-store")
        self._finish_json(problem.body(), problem.status, "application/problem+json")

    def log_exception(self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        """Only what is our fault, or our surroundings', is worth a line."""
        status = problem_of(value).status
        if status == 503:
            log.warning("http.unavailable", method=self.request.method, path=self.request.path, error=str(value))
        elif status >= 500 and typ is not None and value is not None:
            log.error("http.failed", method=self.request.method, path=self.request.path, exc_info=(typ, value, tb))

    def compute_etag(self) -> None:
        """None: what is read changes while it is read."""

    # what routes use

    async def identify(self, gate: Authenticator) -> Principal:
        """Who is asking. Raises as ``Authenticator.admit`` does."""
        known = await visitor(self.request, self._path, gate, self.services.tickets)
        return known or await gate.identify(self.request, self.context.addresses)

    async def answer(self, value: Any, *, status: int = 200) -> None:
        """Sends JSON, gzipped for whoever takes that; returns when the client has it, or is gone."""
        await self.delivered(self._finish_json(value, status, "application/json"))

    async def delivered(self, written: Awaitable[None]) -> bool:
        """Waits until the client has taken what was written. False when it is gone, or took nothing for a minute: then we hang up."""
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
            self.hang_up()
            return False
        return True

    def hang_up(self) -> None:
        """Closes the connection, so that the client sees that it did not get all."""
        if isinstance(self.request.connection, HTTP1Connection):
            self.request.connection.close()

    async def _act(self) -> None:
        _refuse_long(self.request)
        addresses = self.context.addresses
        self.base = addresses.base(self.request)
        if self.request.method == "OPTIONS" and "Access-Control-Request-Method" in self.request.headers:
            return await self._preflight()
        if self.context.gate is not None and not self.public:
            self.principal = await self.identify(self.context.gate)
        method = "GET" if self.request.method == "HEAD" else self.request.method or ""
        act = getattr(self, f"on_{method.lower()}", None)
        if act is None:
            raise HTTPError(405)
        if method != "GET":
            addresses.refuse_foreign(self.request)
        if self.reads_body and self._received > self._limit:
            raise self._too_large()
        if self._crowded:
            raise Problem(503, "too many large bodies come in at once; send it again in a few seconds", headers={"Retry-After": "2"})
        parts = {name: self._read_part(name, value) for name, value in self._path.items()}
        if self.principal is not None:
            authorize(self.principal, method, parts.get("task_id"), self.write_role)
        self.query = read_query(self.request, query_names(act))
        await act(**parts)

    def no_such(self, name: str, value: str) -> Exception:
        """The answer to a part of the path (by its name) that cannot be the id of anything."""
        return NotFound(f"there is no {name.removesuffix('_id')} {value[:80]!r}; its id is a UUID")

    def _read_part(self, name: str, value: str) -> str:
        """A part of the path as the id that it is."""
        if name == "task_id":
            if fault := task_id_fault(value):
                raise Invalid([Fault("taskId", fault)])
            return value
        if name not in UUIDS:
            return value
        if not UUID.fullmatch(value.lower()):
            raise self.no_such(name, value)
        return value.lower()

    async def _preflight(self) -> None:
        """Browsers send no credentials with this question, and it tells nothing that the docs do not."""
        for name, value in self.context.addresses.preflight(self.request, self._allowed()).items():
            self.set_header(name, value)
        self.set_status(204)
        await self.delivered(self.finish())

    def _finish_json(self, value: Any, status: int, media: str) -> Awaitable[None]:
        data = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
        self.set_status(status)
        self.set_header("Content-Type", media)
        if len(data) >= GZIP_FROM and takes_gzip(self.request.headers.get("Accept-Encoding", "")):
            data = gzip.compress(data, 5, mtime=0)
            self.set_header("Content-Encoding", "gzip")
        return self.finish(data)

    def _is_deserted(self) -> bool:
        """Whether the client hung up before its request's turn came. Then the connection is left, with all that the client had sent ahead
        (pipelined): nothing would wait any more for answers to be taken, and ten thousand requests be worked on at once."""
        connection = self.request.connection
        if not isinstance(connection, HTTP1Connection) or not connection.stream.closed():
            return False
        self.finish()
        connection.detach()
        return True

    def _hold(self) -> bool:
        """Counts what is kept of the body; False when all bodies together take too much already."""
        more = max(0, self._received - LIGHT) - self._held
        self._crowded = self._crowded or (more > 0 and self.context.held.size + more > MOST_HELD)
        if not self._crowded:
            self._held += more
            self.context.held.size += more
        return not self._crowded

    def _disarm(self) -> None:
        self.context.deadlines.clear(self.request.server_connection)

    def _let_go(self) -> None:
        self.context.held.size -= self._held
        self._held = 0

    @property
    def _limit(self) -> int:
        return self.context.settings.max_body

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._limit} bytes; put what is large into an image or fetch it from the command")

    def _allowed(self) -> list[str]:
        names = [name[3:].upper() for name in sorted(dir(self)) if name.startswith("on_") and name[3:] in ("get", "post", "put", "delete")]
        return [*names, *(["HEAD"] if "GET" in names else [])]


class UnknownRoute(Handler):
    """Whatever no route matches."""

    write_role = Role.READ

    async def on_get(self) -> None:
        """404."""
        raise Problem(404, f"there is no route {self.request.path[:200]}; the routes are under /tasks, /status and /healthcheck")

    on_post = on_put = on_patch = on_delete = on_options = on_get


def takes_gzip(header: str) -> bool:
    """Whether a client takes gzip, by its Accept-Encoding."""
    for coding in header.split(","):
        name, _, parameter = coding.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0{0,3})?\s*", parameter)
    return False


def _refuse_long(request: HTTPServerRequest) -> None:
    """Raises a 414 or a 431 for what is too long to be meant; far more than that Tornado does not read at all."""
    if len(request.uri or "") > LONGEST_HEAD:
        raise Problem(414, f"the URL is longer than {LONGEST_HEAD} bytes; what a request has to say stands in its body")
    if sum(len(name) + len(value) for name, value in request.headers.get_all()) > LONGEST_HEAD:
        raise Problem(431, f"the headers take more than {LONGEST_HEAD} bytes; leave out what fastlane does not read, such as cookies")
