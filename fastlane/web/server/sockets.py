"""The sockets that a process listens on."""

import socket
from collections.abc import Sequence

from tornado.netutil import bind_sockets

from fastlane.errors import FastlaneError


def bound(port: int, address: str, option: str) -> list[socket.socket]:
    """Sockets that listen there. Raises FastlaneError, which names the option that chooses another port."""
    try:
        return bind_sockets(port, address)
    except OSError as error:
        raise FastlaneError(
            f"cannot listen on {address}:{port}: {error.strerror or error}; stop what uses it, or choose another {option}"
        ) from None


def addresses_of(sockets: Sequence[socket.socket]) -> list[str]:
    """The address and port of each."""
    return [":".join(map(str, sock.getsockname()[:2])) for sock in sockets]
