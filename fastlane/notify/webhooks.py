"""Sends webhooks by HTTP, only to addresses that the rules allow.

A receiver is someone else's server, and anyone who may run jobs gives its URL. So each connection is new, and is made only to an allowed
address: the check happens where the socket is made, after the look-up of names, so that a name cannot mean another address by then.
Redirects are not followed. The size of an answer that is read, and the time of an attempt, are bounded.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from fastlane.log import one_line
from fastlane.models.delivery import Reply
from fastlane.models.notify import may_post, signature
from fastlane.notify.port import WebhookMessage

CONNECT_WITHIN = 5.0
"""Seconds for connecting."""
LOOK_UPS = 8
"""Names that are looked up at the same time."""
READ, EXCERPT = 4096, 1024
"""Bytes of an answer that are read, and characters of these that are kept."""
GONE = 410
"""The status of a receiver that wants no more posts."""
NOT_ALLOWED = "is not a public address, and webhook_allow does not list it"


class AddressRefused(OSError):
    """The rules do not allow this address."""


class Names(AbstractResolver):
    """Looks names up in threads of its own, so that a name server that hangs delays only webhooks."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="webhook-names")

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """The addresses of a name."""

        def look_up() -> list[Any]:
            return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)

        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [
            ResolveResult(hostname=host, host=address[0], port=port, family=own_family, proto=proto, flags=socket.AI_NUMERICHOST)
            for own_family, _kind, proto, _name, address in found
        ]

    async def close(self) -> None:
        """Ends the threads, without waiting for look-ups."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class WebhookSender:
    """A ``Sender``. ``allowed``: addresses and networks that may be private; ``deadline``: seconds that an attempt may take;
    ``version``: fastlane's, which receivers see."""

    def __init__(self, allowed: Sequence[str], deadline: float, version: str) -> None:
        self._allowed = tuple(allowed)
        self._deadline = deadline
        self._version = version
        self._session: aiohttp.ClientSession | None = None

    @property
    def deadline(self) -> float:
        return self._deadline

    async def send(self, message: WebhookMessage) -> Reply:
        """The receiver's answer."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._post(message)
        except TimeoutError:
            return Reply(None, f"it did not answer within {self._deadline:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reply(None, _words(error))

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _post(self, message: WebhookMessage) -> Reply:
        url = URL(message.url)
        async with self._opened().post(url, data=message.body, headers=self._headers(message), allow_redirects=False) as answer:
            excerpt = (await _beginning(answer)).decode(errors="replace")[:EXCERPT]
            answer.close()  # whatever else it has to say
            return Reply(answer.status, _fault(answer.status), excerpt, is_final=answer.status == GONE)

    def _headers(self, message: WebhookMessage) -> dict[str, str]:
        timestamp = message.at // 1000
        own = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
        }
        if message.secrets:
            own["webhook-signature"] = signature(message.secrets, message.id, timestamp, message.body)
        return {"User-Agent": f"fastlane/{self._version}", **message.headers, **own}

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=Names(), use_dns_cache=False, limit=0, force_close=True, socket_factory=self._checked_socket
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._deadline, sock_connect=CONNECT_WITHIN),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Accept-Encoding",),
            )
        return self._session

    def _checked_socket(self, address_info: Any) -> socket.socket:
        """A socket for the address that is about to be connected to. Raises AddressRefused."""
        family, kind, protocol, _name, address = address_info
        if not may_post(address[0], self._allowed):
            raise AddressRefused(f"{address[0]} {NOT_ALLOWED}")
        return socket.socket(family, kind, protocol)


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    found = b""
    while len(found) < READ and (more := await answer.content.read(READ - len(found))):
        found += more
    return found


def _fault(status: int) -> str | None:
    """Why a status is not a success."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"it answered {status}; redirects are not followed, so give the URL that takes the webhook itself"
    return f"it answered {status}"


def _words(error: Exception) -> str:
    """The reason for a missing answer, without the URL, which may be secret."""
    refused = _cause(error)
    if refused is not None:
        return str(refused)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name could not be looked up"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return f"TLS failed: {one_line(str(error.__cause__ or error.os_error))[:200]}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it could not be reached: {one_line(error.os_error.strerror or type(error.os_error).__name__)[:200]}"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return "it closed the connection without an answer"
    return f"it could not be asked ({type(error).__name__})"


def _cause(error: BaseException | None) -> AddressRefused | None:
    """The refusal of an address that caused an error. Where a name has several addresses, one error holds the errors of all."""
    while error is not None:
        if isinstance(error, AddressRefused):
            return error
        inner = [*getattr(error, "exceptions", ()), getattr(error, "os_error", None)]
        found = next((refused for one in inner if one is not None and (refused := _cause(one)) is not None), None)
        if found is not None:
            return found
        error = error.__cause__ or error.__context__
    return None
