"""The async HTTP client of one engine: a call takes no thread, and a third of docker-py's processor time.

The log reader connects in the same way. The words for what failed are those of ``faults.py``.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from yarl import URL

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.swarm.client.faults import (
    CLOSED,
    NOT_HTTP,
    HostTimeout,
    NotHostsFault,
    connection_words,
    message,
    refusal,
    timeout_words,
)
from fastlane.executors.swarm.client.transport import Transport

KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A followed log may be silent for as long as its job is. After 10 s without a byte the kernel probes the peer, and after 15 s more without
an answer it breaks the connection."""
KEPT = 75.0
"""Seconds for which an idle connection is kept: longer than a host that is well goes without a probe."""
CONNECTIONS = 8
"""The most connections of one client. More calls wait for one, within their deadlines."""
ACCEPTED = frozenset({200, 201})

_CAUSES = ((aiohttp.ServerDisconnectedError, CLOSED), (aiohttp.ClientResponseError, NOT_HTTP))
"""What the client raises by itself, and what it means."""


def session_for(transport: Transport, timeout: aiohttp.ClientTimeout, *, limit: int) -> aiohttp.ClientSession:
    """A session that reaches the engine on this way, with at most ``limit`` connections (0: any number). To be made in a running loop."""
    connector: aiohttp.BaseConnector
    if transport.socket is not None:
        connector = aiohttp.UnixConnector(path=transport.socket, limit=limit, keepalive_timeout=KEPT)
    else:
        connector = aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEPT, socket_factory=_lively_socket)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)


def base_of(transport: Transport) -> str:
    """The base of the engine's URLs in such a session."""
    return transport.address if transport.socket is None else "http://docker"


def failure_words(error: BaseException) -> str | None:
    """What an error of the session means, in words that follow the host's name; None when it does not tell."""
    return connection_words(error) or next((words for kind, words in _CAUSES if isinstance(error, kind)), None)


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask an engine: ``path`` with its version, quoted; ``body`` is sent as JSON; ``lines``: the answer is a list, a line each."""

    path: str
    method: str = "GET"
    filters: Mapping[str, Sequence[str]] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: bool = False

    @property
    def query(self) -> dict[str, str]:
        """The parameters of its URL."""
        return dict(self.params) if self.filters is None else {**self.params, "filters": json.dumps(self.filters)}


class HttpClient:
    """Calls one engine. ``connect`` and ``read``: how many seconds a connection and each read of an answer may take; ``connections``: how
    many it has at most."""

    def __init__(self, transport: Transport, connect: float, read: float, *, connections: int = CONNECTIONS) -> None:
        self._transport = transport
        self._host = transport.name
        self._read = read
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=read)
        self._session: aiohttp.ClientSession | None = None
        self._connections = connections
        self._places = asyncio.Semaphore(connections)

    async def send(self, request: Request, deadline: float) -> Any:
        """The engine's answer, read as JSON; None when it is empty. Raises HostTimeout after the deadline (seconds), NotHostsFault when
        other calls had all connections for most of that time, and what ``faults.py`` says."""
        self._transport.check()
        now = asyncio.get_running_loop().time
        latest = now() + deadline / 2
        began: float | None = None
        context = await asyncio.to_thread(self._transport.context) if self._transport.uses_tls else None
        try:
            async with asyncio.timeout(deadline), self._places:
                began = now()
                return await self._answer(request, context)
        except aiohttp.ServerTimeoutError:
            raise HostTimeout(f"{self._host} {timeout_words(self._read)}") from None
        except TimeoutError:
            if began is None or began > latest:
                raise NotHostsFault(f"{self._host} was not asked in time: no connection became free in {deadline:g} s") from None
            raise HostTimeout(f"{self._host} {timeout_words(deadline)}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._transport.explain(HostDown(f"{self._host} {failure_words(error) or 'broke off the connection'}")) from error

    async def _answer(self, request: Request, context: ssl.SSLContext | None) -> Any:
        if self._session is None:
            self._session = session_for(self._transport, self._timeout, limit=self._connections)
        url = URL(f"{base_of(self._transport)}{request.path}", encoded=True)
        async with self._session.request(
            request.method,
            url,
            params=request.query,
            json=request.body,
            headers=request.headers,
            allow_redirects=False,
            ssl=context or True,
        ) as response:
            body = await response.read()
        if response.status not in ACCEPTED:
            raise self._refused(response.status, body)
        try:
            if request.lines:
                return [orjson.loads(line) for line in body.splitlines()]
            return orjson.loads(body) if body else None
        except ValueError as error:
            raise HostDown(f"{self._host} answered what is not JSON: is it a Docker engine?") from error

    def _refused(self, status: int, body: bytes) -> FastlaneError:
        return refusal(status, message(body), self._host)

    async def close(self) -> None:
        """Ends its connections."""
        if self._session is not None:
            await self._session.close()


def _lively_socket(address: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    """A socket for this address that detects a vanished peer."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
