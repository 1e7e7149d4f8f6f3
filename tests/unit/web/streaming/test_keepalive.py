"""A connection that follows a log as text, which has no pings, finds a dead peer by TCP's own."""

import socket
from types import SimpleNamespace
from typing import Any

from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream

from fastlane.web.streaming.logs import keep_alive


async def test_a_dead_peer_is_found_within_a_minute() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()), server.accept()[0] as ours:
        stream = IOStream(ours)
        handler: Any = SimpleNamespace(request=SimpleNamespace(connection=HTTP1Connection(stream, is_client=False)))
        keep_alive(handler)
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if hasattr(socket, "TCP_KEEPIDLE"):
            idle, every, times = (
                ours.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
            )
            assert idle + every * times <= 60
        stream.close()
