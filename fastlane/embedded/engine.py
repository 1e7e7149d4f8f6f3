"""Prepares the Docker engine of ``fastlane up``: makes an engine that is not in a swarm a swarm of one node, and says so first.

Changes nothing else, and no state of the engine is an error: ``up`` continues, and jobs wait until a host is usable.
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from docker import APIClient
from docker.errors import DockerException
from requests import RequestException

from fastlane.log import scrub

log = structlog.get_logger()

TIMEOUT = 5
"""Seconds to wait for an answer of the engine."""

LOOPBACK = "127.0.0.1"

ADVICE: Mapping[str, str] = {
    "worker": "is a worker of a swarm, and jobs need a manager; name a manager in hosts, or promote it there: docker node promote NODE",
    "locked": "is in a locked swarm; unlock it: docker swarm unlock",
    "pending": "is joining a swarm; jobs wait until it has joined",
    "error": "is in a swarm that does not work; see: docker info",
}
"""What to do about an engine that is in a swarm but not a manager, by its state."""


def prepare_engines(hosts: Iterable[str]) -> None:
    """Prepares the hosts that are engines of this machine. The log says what it does, and warns of obstacles."""
    for host in hosts:
        if host.startswith("unix://"):
            ensure_swarm(
                host, lambda text: log.info("engine.preparing", said=text), lambda text: log.warning("engine.not_ready", said=text)
            )


def ensure_swarm(url: str, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Makes an engine that is not in a swarm a swarm of one node. Calls ``say`` with a sentence before it does, and ``warn`` with any
    obstacle.

    The swarm listens on loopback only. Takes a few seconds, or longer when the engine answers slowly.
    """
    try:
        _reach(url)
        client = APIClient(base_url=url, version="auto", timeout=TIMEOUT)
    except (OSError, DockerException, RequestException, ValueError) as error:
        warn(f"No Docker engine answers at {scrub(url)}: {_cause(error)}. Jobs wait until one does.")
        return
    client.trust_env = False
    try:
        _prepare(client, scrub(url), say, warn)
    except (DockerException, RequestException, ValueError) as error:
        warn(f"Cannot prepare the Docker engine at {scrub(url)}: {scrub(str(error))}. Jobs wait until it is ready; see: docker info")
    finally:
        client.close()


def _prepare(client: APIClient, url: str, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    state = _state(client.info())
    if state == "inactive":
        say(
            f"The Docker engine at {url} is not in a swarm. Making it a swarm of one node, as `docker swarm init "
            f"--advertise-addr {LOOPBACK}` does (`docker swarm leave --force` undoes it)."
        )
        try:
            client.init_swarm(advertise_addr=LOOPBACK, listen_addr=LOOPBACK)
        except DockerException:
            # another process may have done it at the same moment
            if _state(client.info()) != "manager":
                raise
    elif state != "manager":
        warn(f"The Docker engine at {url} {ADVICE.get(state, ADVICE['error'])}")


def _state(info: Mapping[str, Any]) -> str:
    """The engine's state in its swarm: ``manager``, ``worker``, or the engine's own word (``inactive``, ``locked``, …)."""
    swarm = info.get("Swarm") or {}
    state = str(swarm.get("LocalNodeState") or "inactive")
    if state == "active":
        return "manager" if swarm.get("ControlAvailable") else "worker"
    return state


def _reach(url: str) -> None:
    """Raises the operating system's own error when nothing listens. docker-py would wrap it and leave its socket open."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(TIMEOUT)
            probe.connect(url.removeprefix("unix://"))


def _cause(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "this user has no access to it; run as a member of the group docker, or as root"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{scrub(text)}; start Docker, or name another engine in DOCKER_HOST or in the hosts of a pool"
