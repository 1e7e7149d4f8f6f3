"""Makes connections to the Redis server that a URL names, or to the current master when the URL names Sentinels."""

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

    A connection is never retried here, and each step of connecting has a deadline; asking all Sentinels takes less than ``deadline``
    (seconds). The user and password are for the Redis servers; Sentinels are asked without. Only one task may use this: redis-py loses
    a Sentinel when two tasks ask at once.
    """

    def __init__(self, url: str, deadline: float) -> None:
        options: dict[str, Any] = {
            "decode_responses": True,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": deadline,
            "retry": Retry(NoBackoff(), 0),
        }
        self._sentinel: Any = None  # redis-py's classes are barely typed
        if urlsplit(url).scheme == SENTINEL:
            sentinels, service, login = _read(url)
            step = deadline / (2 * len(sentinels) + 2)
            sentinel_options = {"socket_timeout": step, "socket_connect_timeout": step, "retry": Retry(NoBackoff(), 0)}
            self._sentinel = cast(Any, Sentinel)(sentinels, sentinel_kwargs=sentinel_options)
            self._pool: Any = cast(Any, SentinelConnectionPool)(service, self._sentinel, **options, **login)
        else:
            self._pool = ConnectionPool.from_url(url, **options)

    def make(self) -> Connection:
        """Returns an unconnected connection, which the caller closes."""
        connection: Connection = self._pool.make_connection()
        return connection

    async def close(self) -> None:
        """Closes the connections to the Sentinels."""
        if self._sentinel is not None:
            await self._sentinel.aclose()


def _read(url: str) -> tuple[list[tuple[str, int]], str, dict[str, Any]]:
    """Returns the Sentinels' addresses, the service's name, and the login and database of its master."""
    parts = urlsplit(url)
    userinfo, _, addresses = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    _, service, database = f"{parts.path}/0".split("/")[:3]
    login = {"username": unquote(user) or None, "password": unquote(password) or None, "db": int(database)}
    return [_address(address) for address in addresses.split(",")], unquote(service), login


def _address(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(.+?)(?::([0-9]+))?", text)
    host, port = match.groups() if match else (text, None)
    return host.strip("[]"), int(port or SENTINEL_PORT)
