"""The client of one engine, and its breaker. The client makes every call except the reading of logs: HTTP in the event loop, with a bounded
number of connections and a deadline for each call. The breaker says when not to call.

The client knows neither services nor the breaker: it makes a call, and tells whose fault a failure was (``faults.py`` has the words).
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
import orjson
from yarl import URL

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.swarm.faults import HostTimeout, NotHostsFault, connection_words, message, readable, refusal, timeout_words
from fastlane.executors.swarm.transport import EngineTransport

OLDEST_API = "1.41"
"""Docker 20.10, the first with process limits and capabilities for services."""
KNOWN_API = "1.45"
"""The newest that fastlane was tested with; newer engines speak it too."""
CONNECTIONS = 8
"""The most connections of one client. More calls wait for one, within their deadlines."""
ACCEPTED = frozenset({200, 201})


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """How many seconds a call may take: to connect, for each read, and as a whole (so that a slow drip of bytes ends too)."""

    connect: float = 2.0
    read: float = 10.0
    whole: float = 15.0


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask an engine: ``path`` without its version, quoted; ``body`` is sent as JSON; ``credentials`` are for an image's registry,
    in the form that ``Registries`` gives; ``lines``: the answer is a list, a line each; ``refused`` makes an exception of a refusal's
    status, its message and the host's name."""

    path: str
    method: str = "GET"
    filters: Mapping[str, Sequence[str]] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    credentials: Mapping[str, str] = field(default_factory=dict)
    lines: bool = False
    refused: Callable[[int, str, str], FastlaneError] = refusal

    @property
    def query(self) -> dict[str, str]:
        """The parameters of its URL."""
        return dict(self.params) if self.filters is None else {**self.params, "filters": json.dumps(self.filters)}

    @property
    def headers(self) -> dict[str, str]:
        """Its headers."""
        if not self.credentials:
            return {}
        return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(dict(self.credentials)).encode()).decode()}

    def read(self, body: bytes) -> Any:
        """An answer's body, read as JSON; None for an empty one. Raises ValueError."""
        if self.lines:
            return [orjson.loads(line) for line in body.splitlines()]
        return orjson.loads(body) if body else None


class EngineClient:
    """Calls one engine over at most ``connections`` connections. ``version``: of the API that it speaks, the oldest one until it is set to
    what ``negotiate`` returns."""

    def __init__(self, transport: EngineTransport, *, timeouts: CallTimeouts | None = None, connections: int = CONNECTIONS) -> None:
        self.host = transport.name
        self.version = OLDEST_API
        self._timeouts = timeouts or CallTimeouts()
        self._transport = transport
        self._session: aiohttp.ClientSession | None = None
        self._connections = connections
        self._places = asyncio.Semaphore(connections)

    async def get(self, path: str, filters: Mapping[str, Sequence[str]] | None = None, deadline: float | None = None) -> Any:
        """The engine's answer to a GET, as ``send`` returns it."""
        return await self.send(Request(path, filters=filters), deadline)

    async def versions(self, deadline: float) -> Mapping[str, Any]:
        """What the engine says about the versions of its API."""
        answer: Mapping[str, Any] = await self._send("", Request("/version"), deadline)
        return answer

    async def send(self, request: Request, deadline: float | None = None) -> Any:
        """The engine's answer, read as JSON; None when it is empty. Raises HostTimeout after the deadline (seconds), NotHostsFault when
        other calls had all connections for most of that time, and the exceptions of ``faults.py``."""
        return await self._send(f"/v{self.version}", request, self._timeouts.whole if deadline is None else deadline)

    async def _send(self, version: str, request: Request, deadline: float) -> Any:
        now = asyncio.get_running_loop().time
        latest = now() + deadline / 2
        began: float | None = None
        context = await self._transport.context()
        try:
            async with asyncio.timeout(deadline), self._places:
                began = now()
                async with self._opened().request(
                    request.method,
                    URL(f"{self._transport.base}{version}{request.path}", encoded=True),
                    params=request.query,
                    json=request.body,
                    headers=request.headers,
                    allow_redirects=False,
                    ssl=context,
                ) as response:
                    body = await response.read()
        except aiohttp.ServerTimeoutError:
            raise HostTimeout(f"{self.host} {timeout_words(self._timeouts.read)}") from None
        except TimeoutError:
            if began is None or began > latest:
                raise NotHostsFault(f"{self.host} was not asked in time: no connection became free in {deadline:g} s") from None
            raise HostTimeout(f"{self.host} {timeout_words(deadline)}") from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: the session was closed, as the host is removed
            raise self._transport.explain(HostDown(f"{self.host} {connection_words(error) or 'broke off the connection'}")) from error
        return self._read(request, response.status, body)

    def _read(self, request: Request, status: int, body: bytes) -> Any:
        if status not in ACCEPTED:
            raise request.refused(status, message(body), self.host)
        try:
            return request.read(body)
        except ValueError as error:
            raise HostDown(f"{self.host} answered what is not JSON: is it a Docker engine?") from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect, sock_read=self._timeouts.read)
            self._session = self._transport.session(timeout, limit=self._connections)
        return self._session

    async def close(self) -> None:
        """Ends its connections."""
        if self._session is not None:
            await self._session.close()


async def negotiate(client: EngineClient, deadline: float) -> str:
    """The newest API version that this engine and fastlane know. Raises HostDown when there is none."""
    with readable(client.host):
        answer = await client.versions(deadline)
        newest, oldest = str(answer.get("ApiVersion", "")), str(answer.get("MinAPIVersion") or OLDEST_API)
    if not newest:
        raise HostDown(f"{client.host} did not say which API it speaks: is it a Docker engine?")
    if _number(newest) < _number(OLDEST_API):
        raise HostDown(f"{client.host} speaks Docker API {newest}; {OLDEST_API} is needed: install Docker 20.10 or later")
    return max(min(newest, KNOWN_API, key=_number), oldest, key=_number)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


class Circuit(StrEnum):
    """The states of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one host. ``reset`` and every ``now`` in milliseconds."""

    def __init__(self, max_fails: int, reset: int) -> None:
        self._max_fails = max_fails
        self._reset = reset
        self._fails = 0
        self._opened_at: int | None = None
        self._trying = False
        self._visible = False
        self._on_change: Callable[[Circuit], None] = lambda _circuit: None

    def anew(self) -> "Breaker":
        """Another breaker that opens after as many faults, for as long."""
        return Breaker(self._max_fails, self._reset)

    def subscribe(self, on_change: Callable[[Circuit], None]) -> None:
        """Calls ``on_change`` with OPEN when it opens, HALF_OPEN when it tries a call, and CLOSED when it has closed."""
        self._on_change = on_change

    @property
    def faults(self) -> int:
        """How many faults there were since the last success."""
        return self._fails

    def retry_at(self, now: int) -> int | None:
        """When a call may go through again; None unless the breaker is open."""
        return None if self.circuit(now) is not Circuit.OPEN or self._opened_at is None else self._opened_at + self._reset

    def circuit(self, now: int) -> Circuit:
        """The state at this moment."""
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if 0 <= now - self._opened_at < self._reset else Circuit.HALF_OPEN  # less than 0, once the clock was set back

    def admit(self, now: int) -> bool:
        """Whether a call may go through; one that may must end in ``succeeded``, ``failed`` or ``abandoned``."""
        circuit = self.circuit(now)
        if circuit is Circuit.HALF_OPEN and not self._trying:
            self._trying = True
            self._on_change(circuit)
            return True
        return circuit is Circuit.CLOSED

    def succeeded(self) -> None:
        """Records a call that the host answered, even with a refusal."""
        was_closed = self._opened_at is None
        self._fails = 0
        self._opened_at = None
        self._trying = self._visible = False
        if not was_closed:
            self._on_change(Circuit.CLOSED)

    def failed(self, now: int, *, visible: bool) -> None:
        """Records a call or probe that failed by the host's fault. ``visible``: a probe would see this fault too."""
        before = self.circuit(now)
        self._fails += 1
        self._visible = self._visible or visible
        if self._trying or self._fails >= self._max_fails:
            self._opened_at = now
        self._trying = False
        if self._opened_at == now and before is not Circuit.OPEN:
            self._on_change(Circuit.OPEN)

    def abandoned(self) -> None:
        """Records a call that its caller gave up: it says nothing about the host."""
        self._trying = False

    def recovered(self) -> None:
        """Records a successful probe: closes the breaker if the probe would have seen its faults."""
        if self._visible:
            self.succeeded()
