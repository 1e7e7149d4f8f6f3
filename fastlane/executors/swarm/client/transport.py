"""docker-py's unix socket adapter with a fix: a connection that fails closes its socket at once, not when it is collected."""

import socket
from typing import Any

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool


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
