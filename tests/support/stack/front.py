"""One address for all nodes of a swarm that publish a port each: what the ingress network is where the kernel has IPVS."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import free_port
from tests.support.waiting import wait_until

CONFIG = """
global
    maxconn 500
defaults
    mode tcp
    timeout connect 2s
    timeout check 5s
    timeout client 10m
    timeout server 10m
    retries 3
    option redispatch 1
listen front
    bind 127.0.0.1:{port}
    balance roundrobin
    default-server check inter 200ms fastinter 100ms fall 2 rise 1{cut}
    option httpchk GET /readyz
{servers}
"""


@contextmanager
def front(addresses: Sequence[str], port: int = 10000, *, cut: bool = True) -> Iterator[str]:
    """The URL at which whichever of these machines serves the port answers. ``cut``: connections to a machine that is not ready any
    more are cut, since it may have died; else they go on, and only new ones go elsewhere."""
    own = free_port()
    servers = "\n".join(f"    server node{number} {address}:{port}" for number, address in enumerate(addresses, 1))
    with tempfile.NamedTemporaryFile("w", prefix="front-", suffix=".cfg") as file:
        Path(file.name).write_text(CONFIG.format(port=own, servers=servers, cut=" on-marked-down shutdown-sessions" if cut else ""))
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", file.name], stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: _is_open(own), "the front to listen")
            yield f"http://127.0.0.1:{own}"
        finally:
            process.kill()
            process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
