"""One host's client. Most calls are plain HTTP; docker-py, for the rest, makes blocking calls in threads. Each call has a deadline, and its
errors are fastlane's.

It knows neither services nor breakers: it makes a call, and says whose fault a failure was. No user file and no variable (``~/.docker``,
``HTTP_PROXY``) changes what it does.
"""

import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import docker
import requests
from docker.auth import AuthConfig
from docker.constants import DEFAULT_USER_AGENT
from docker.utils.proxy import ProxyConfig
from requests.adapters import HTTPAdapter

from fastlane.errors import HostDown
from fastlane.executors.swarm.client.bulkhead import Bulkhead, BulkheadFull
from fastlane.executors.swarm.client.faults import DRIVER_ERRORS, HostTimeout, NotHostsFault, readable, timeout_words, translate
from fastlane.executors.swarm.client.http import HttpClient, Request
from fastlane.executors.swarm.client.transport import TlsAdapter, Transport, UnixAdapter

T = TypeVar("T")
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
