"""One host's client. Most calls are plain HTTP; docker-py, for the rest, makes blocking calls in threads. Each call has a deadline, and its
errors are fastlane's.

It knows neither services nor breakers: it makes a call, and says whose fault a failure was. No user file and no variable (``~/.docker``,
``HTTP_PROXY``) changes what it does.
"""

import asyncio
import queue
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar

import docker
import requests
import structlog
from docker.auth import AuthConfig
from docker.constants import DEFAULT_USER_AGENT
from docker.utils.proxy import ProxyConfig
from requests.adapters import HTTPAdapter

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.swarm.connection import HttpClient, Request, TlsAdapter, Transport, UnixAdapter
from fastlane.executors.swarm.faults import DRIVER_ERRORS, HostTimeout, NotHostsFault, readable, timeout_words, translate

T = TypeVar("T")
log = structlog.get_logger()


class BulkheadFull(Exception):
    """The call was not made: too many calls wait, or no thread became free in time."""


class BlockingCall:
    """One call and the future of its answer. A call that is ``abandoned`` before it began is never made."""

    def __init__(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.call = call
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.begun = False
        self.abandoned = False

    def settle(self, answer: Any, error: Exception | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(answer)
        else:
            self.future.set_exception(error)


class Bulkhead:
    """Makes at most ``threads`` calls at once, while at most ``waiting`` more wait. For use from one event loop."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name = name
        self._most = threads
        self._limit = threads + waiting
        self._accepted = 0
        self._calls: queue.SimpleQueue[BlockingCall | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, call: Callable[[], T], deadline: float) -> T:
        """What the call returns or raises. Raises TimeoutError when it takes longer than ``deadline`` seconds with its wait (its thread
        then goes on until the call ends by itself), and BulkheadFull when the call never began."""
        if self._accepted >= self._limit:
            raise BulkheadFull(f"{self._accepted} calls are under way")
        pending = BlockingCall(call, asyncio.get_running_loop())
        self._accept(pending)
        try:
            async with asyncio.timeout(deadline):  # on Python 3.11 wait_for swallows a cancellation that comes with the answer
                answer: T = await pending.future
        except TimeoutError:
            if not pending.begun:
                raise BulkheadFull(f"no thread became free within {deadline:g} s") from None
            raise
        finally:
            pending.abandoned = True
        return answer

    def _accept(self, pending: BlockingCall) -> None:
        self._accepted += 1
        self._calls.put(pending)
        if len(self._threads) < min(self._most, self._accepted):
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        while (pending := self._calls.get()) is not None:
            answer: Any = None
            error: Exception | None = None
            pending.begun = not pending.abandoned
            try:
                answer = None if pending.abandoned else pending.call()
            except FastlaneError as raised:
                error = raised
            except Exception as raised:
                log.exception("bulkhead.call_raised", bulkhead=self._name)
                error = raised
            if not self._answer(pending, answer, error):
                return

    def _answer(self, pending: BlockingCall, answer: Any, error: Exception | None) -> bool:
        def settle() -> None:
            self._accepted -= 1
            pending.settle(answer, error)

        try:
            pending.loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop has ended, so no caller waits for the answer
            return False
        return True

    async def close(self, patience: float = 1.0) -> None:
        """Ends the threads. One that still hangs in a call after ``patience`` seconds ends with its call."""
        for _ in self._threads:
            self._calls.put(None)
        await asyncio.to_thread(self._join, time.monotonic() + patience)

    def _join(self, until: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


Api = Any
"""docker-py's low-level client, an ``APIClient``: most of its methods are untyped."""

OLDEST_API = "1.41"
"""Docker 20.10, the first with process limits and capabilities for services."""
KNOWN_API = "1.45"
"""The newest that fastlane was tested with; newer engines speak it too."""


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """How many seconds a call may take: to connect, for each read, and as a whole (so that a slow drip of bytes ends too)."""

    connect: float = 2.0
    read: float = 10.0
    whole: float = 15.0


class Client:
    """Calls one engine on this way. ``close`` ends its threads."""

    def __init__(self, transport: Transport, *, threads: int = 8, waiting: int = 512, timeouts: CallTimeouts | None = None) -> None:
        self.host = transport.name
        self.timeouts = timeouts or CallTimeouts()
        self._transport = transport
        self._threads = threads
        self._bulkhead = Bulkhead(f"docker {self.host}", threads, waiting)
        self._http = HttpClient(transport, self.timeouts.connect, self.timeouts.read)
        self._lock = threading.Lock()
        self._api: docker.APIClient | None = None
        self._context: ssl.SSLContext | None = None
        self._version = OLDEST_API

    @property
    def version(self) -> str:
        """The API version that it uses: the oldest one until ``use_version``."""
        return self._version

    def use_version(self, version: str) -> None:
        """Uses this API version from now on."""
        with self._lock:
            if version != self._version:
                self._version, self._api = version, None

    async def call(self, verb: Callable[[Api], T], deadline: float | None = None) -> T:
        """What ``verb`` returns, called in a thread with docker-py's client. Raises what ``faults.py`` says, HostTimeout after the deadline
        (seconds), and NotHostsFault when too many calls are under way."""
        limit = self.timeouts.whole if deadline is None else deadline
        self._transport.check()
        try:
            return await self._bulkhead.run(lambda: self._made(verb), limit)
        except BulkheadFull as error:
            raise NotHostsFault(f"{self.host} is not asked: {error}") from None
        except TimeoutError:
            raise HostTimeout(f"{self.host} {timeout_words(limit)}") from None

    async def get(self, path: str, filters: Mapping[str, Sequence[str]] | None = None, deadline: float | None = None) -> Any:
        """The engine's answer to a GET, as ``send`` returns it."""
        return await self.send(Request(path, filters=filters), deadline)

    async def send(self, request: Request, deadline: float | None = None) -> Any:
        """The engine's answer to a request in its version, without docker-py and without a thread; None when it is empty. Raises what
        ``call`` does."""
        limit = self.timeouts.whole if deadline is None else deadline
        return await self._http.send(replace(request, path=f"/v{self._version}{request.path}"), limit)

    async def versions(self, deadline: float) -> Mapping[str, Any]:
        """What the engine says about the versions of its API."""
        answer: Mapping[str, Any] = await self._http.send(Request("/version"), deadline)
        return answer

    async def close(self) -> None:
        """Ends its threads and connections."""
        await self._http.close()
        await self._bulkhead.close()
        if self._api is not None:
            self._api.close()

    def _made(self, verb: Callable[[Api], T]) -> T:
        try:
            return verb(self._client())
        except DRIVER_ERRORS as error:
            found = translate(error, self.host, self.timeouts.read)
            raise (self._transport.explain(found) if isinstance(found, HostDown) else found) from error

    def _client(self) -> docker.APIClient:
        context = self._transport.context()
        with self._lock:
            if self._api is None or context is not self._context:
                if self._api is not None:
                    self._api.close()  # its idle connections; those in use end with their calls
                self._api = Engine(self._transport, context, self._version, self.timeouts, self._threads)
                self._context = context
            return self._api


class Engine(docker.APIClient):
    """docker-py's low-level client without its constructor, which would read the user's Docker configuration: its credentials would go
    with every call that may need some, and a mistake in it would look like a fault of each host."""

    def __init__(
        self, transport: Transport, context: ssl.SSLContext | None, version: str, timeouts: CallTimeouts, connections: int
    ) -> None:
        requests.Session.__init__(self)
        self.trust_env = False  # or HTTP_PROXY and REQUESTS_CA_BUNDLE would override what is set here
        self._version = version
        self._general_configs: dict[str, Any] = {}
        self._proxy_configs = ProxyConfig()
        self._auth_configs = AuthConfig({})
        self.credstore_env = None
        # Each request takes this pair; docker-py's own would be one number.
        vars(self)["timeout"] = (timeouts.connect, timeouts.read)
        self.headers["User-Agent"] = DEFAULT_USER_AGENT
        if transport.socket is not None:
            self.base_url = "http+docker://localhost"
            self._custom_adapter: HTTPAdapter = UnixAdapter(transport.socket, connections)
        else:
            self.base_url = transport.address
            self._custom_adapter = HTTPAdapter(pool_maxsize=connections) if context is None else TlsAdapter(context, connections)
        self.adapters.clear()
        self.mount(self.base_url, self._custom_adapter)


async def negotiate(client: Client, deadline: float) -> str:
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
