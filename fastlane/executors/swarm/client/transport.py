"""The way to one engine, which all its clients share: a socket (its own, or one that ssh forwards), TCP with TLS, or TCP.

docker-py's unix socket adapter is used with a fix: a connection that fails closes its socket at once, not when it is collected.
"""

import socket
import ssl
from typing import Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool
from requests.adapters import HTTPAdapter

from fastlane.errors import HostDown
from fastlane.executors.swarm.client.faults import CLOSED
from fastlane.executors.swarm.client.tls import TlsContext
from fastlane.executors.swarm.client.tunnel import Tunnel
from fastlane.models.placement.endpoint import Endpoint


class Transport:
    """How one host is reached. ``name``: its address, as errors name it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = endpoint.address
        self._endpoint = endpoint
        self._tls = TlsContext(self.name, endpoint.tls) if endpoint.scheme == "tcp" and endpoint.tls is not None else None
        self._tunnel = Tunnel(endpoint) if endpoint.scheme == "ssh" else None

    @property
    def socket(self) -> str | None:
        """The path of the socket; None for TCP."""
        if self._tunnel is not None:
            return str(self._tunnel.socket)
        return self._endpoint.address.removeprefix("unix://") if self._endpoint.scheme == "unix" else None

    @property
    def address(self) -> str:
        """The base of the URLs of TCP: ``https://HOST:PORT``, or ``http://`` without TLS."""
        return f"{'http' if self._tls is None else 'https'}://{self._endpoint.url.netloc}"

    @property
    def is_plain(self) -> bool:
        """Whether it is TCP without TLS."""
        return self._endpoint.is_plain

    @property
    def uses_tls(self) -> bool:
        """Whether a connection needs a context."""
        return self._tls is not None

    def context(self) -> ssl.SSLContext | None:
        """The TLS context for a new connection; None without TLS. Blocks for a moment. Raises HostDown while its files cannot be used."""
        return None if self._tls is None else self._tls.current()

    async def connect(self) -> None:
        """Connects by ssh, if that is the way and the connection is not there. Raises HostDown. A probe calls it."""
        if self._tunnel is not None:
            await self._tunnel.connect()

    def check(self) -> None:
        """Raises HostDown while the way is known to be closed: calls do not open it."""
        if self._tunnel is not None:
            self._tunnel.check()

    def explain(self, error: HostDown) -> HostDown:
        """The error, with what it often means on this way: ssh and TLS 1.3 both close a connection that they first seemed to accept."""
        if type(error) is not HostDown or not str(error).endswith(CLOSED):
            return error
        if self._tunnel is not None:
            return HostDown(f"{error}: is the engine running there, and may the user of ssh open its socket?")
        if self._tls is not None:
            return HostDown(f"{error}: does its engine know the authority of fastlane's certificate?")
        return error

    async def close(self) -> None:
        """Ends ssh."""
        if self._tunnel is not None:
            await self._tunnel.close()


class TlsAdapter(HTTPAdapter):
    """Connects with this context alone: requests by itself would also trust its own list of public authorities."""

    def __init__(self, context: ssl.SSLContext, connections: int) -> None:
        self._context = context
        super().__init__(pool_maxsize=connections)

    def init_poolmanager(self, *sizes: Any, **more: Any) -> None:
        """Gives each connection the context."""
        super().init_poolmanager(*sizes, ssl_context=self._context, **more)

    def cert_verify(self, *_connection: Any) -> None:
        """Leaves the connection as it is: the context verifies."""


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(self.timeout)
            made.connect(self.unix_socket)
        except OSError:
            made.close()
            raise
        self.sock = made


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        return _Connection(self.base_url, self.socket_path, UnixAdapter.CONNECT_WITHIN)


class UnixAdapter(UnixHTTPAdapter):
    """Replaces docker-py's adapter, for the socket at this path."""

    CONNECT_WITHIN = 2
    """Seconds."""

    def __init__(self, path: str, connections: int) -> None:
        super().__init__(path, self.CONNECT_WITHIN, max_pool_size=connections)

    def get_connection(self, url: bytes | str, *_proxies: object, **_more: object) -> _Pool:
        """The pool of connections for a URL; all URLs lead to the same socket."""
        with self.pools.lock:
            found = self.pools.get(url)
            if found is None:
                found = self.pools[url] = _Pool(str(url), self.socket_path, self.CONNECT_WITHIN, maxsize=self.max_pool_size)
            pool: _Pool = found
            return pool
