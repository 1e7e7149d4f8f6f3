"""Makes connections to the Redis that a URL names: to that server, or to the one that its Sentinels say is the master now."""

import re
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from fastlane.queue.redis.pipeline import Connection

SENTINEL = "redis+sentinel"
SENTINEL_PORT = 26379


class Connections:
    """Connections to one Redis: ``redis://``, ``rediss://``, ``unix://``, or ``redis+sentinel://[USER][:PASSWORD]@HOST:PORT,…/SERVICE/DB``.

    Each is made without a retry, and each step of it has a deadline; asking all the Sentinels takes less than ``deadline`` (seconds).
    The user and the password are those of the Redis servers; Sentinels are asked without. To be used by one task: redis-py loses a
    Sentinel when two ask at once.
    """

    def __init__(self, url: str, deadline: float) -> None:
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": deadline,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel: Any = None  # redis-py's classes have few types
        if urlsplit(url).scheme == SENTINEL:
            sentinels, service, about = _read(url)
            step = deadline / (2 * len(sentinels) + 2)
            about_sentinels = {"socket_timeout": step, "socket_connect_timeout": step, "retry": Retry(NoBackoff(), 0)}
            self._sentinel = cast(Any, Sentinel)(sentinels, sentinel_kwargs=about_sentinels)
            self._pool: Any = cast(Any, SentinelConnectionPool)(service, self._sentinel, **options, **about)
        else:
            self._pool = ConnectionPool.from_url(url, **options)

    def make(self) -> Connection:
        """A connection that is not connected yet; whose it is, ends it."""
        connection: Connection = self._pool.make_connection()
        return connection

    async def close(self) -> None:
        """Ends the connections to the Sentinels."""
        if self._sentinel is not None:
            await self._sentinel.aclose()


def _read(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """The Sentinels' addresses, the service's name, and what there is to know for a connection to its master."""
    parts = urlsplit(url)
    who, _, addresses = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    _, service, database = f"{parts.path}/0".split("/")[:3]
    about = {"username": unquote(user) or None, "password": unquote(password) or None, "db": int(database)}
    return [_address(address) for address in addresses.split(",")], unquote(service), about


def _address(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+?)(?::([0-9]+))?", text)
    host, port = found.groups() if found else (text, None)
    return host.strip("[]"), int(port or SENTINEL_PORT)
