"""Prepares the engine of ``fastlane up``: makes an engine of this machine that is in no swarm a swarm of one node, and says so first.

It changes nothing else, and no state of the engine is an error: ``up`` continues, and jobs wait until a host is usable.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from fastlane.errors import FastlaneError, HostDown
from fastlane.executors.swarm.client import CallTimeouts, EngineClient, Request, negotiate
from fastlane.executors.swarm.faults import readable
from fastlane.executors.swarm.transport import EngineTransport
from fastlane.models.host import Endpoint

log = structlog.get_logger()

TIMEOUTS = CallTimeouts(read=5.0)
LOOPBACK = "127.0.0.1"

ADVICE: Mapping[str, str] = {
    "worker": "is a worker of a swarm, and jobs need a manager; name a manager in hosts, or promote it there: docker node promote NODE",
    "locked": "is in a locked swarm; unlock it: docker swarm unlock",
    "pending": "is joining a swarm; jobs wait until it has joined",
    "error": "is in a swarm that does not work; see: docker info",
}
"""Advice for an engine that is in a swarm but not a manager, by its state."""


def prepare_engines(endpoints: Iterable[Endpoint]) -> None:
    """Prepares the engines that are on this machine. The log says what it does, and warns of obstacles."""
    for endpoint in endpoints:
        if endpoint.scheme == "unix":
            say, warn = (lambda text: log.info("engine.preparing", said=text)), (lambda text: log.warning("engine.not_ready", said=text))
            asyncio.run(ensure_swarm(endpoint, say, warn))


async def ensure_swarm(endpoint: Endpoint, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Makes an engine that is not in a swarm a swarm of one node, which listens on loopback only. Calls ``say`` with a sentence before it
    does, and ``warn`` with any obstacle."""
    client = EngineClient(EngineTransport(endpoint), timeouts=TIMEOUTS)
    try:
        await _prepare(client, say, warn)
    except FastlaneError as error:
        warn(f"The Docker engine cannot be prepared: {error}. Jobs wait until it is ready; see: docker info")
    finally:
        await client.close()


async def _prepare(client: EngineClient, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    try:
        client.version = await negotiate(client, TIMEOUTS.whole)
    except HostDown as error:
        advice = "start Docker, or name another engine in DOCKER_HOST or in the hosts of a pool"
        warn(f"There is no usable Docker engine: {error}; {advice}. Jobs wait until there is one.")
        return
    state = await _state(client)
    if state == "inactive":
        say(
            f"The Docker engine at {client.host} is not in a swarm. Making it a swarm of one node, as `docker swarm init "
            f"--advertise-addr {LOOPBACK}` does (`docker swarm leave --force` undoes it)."
        )
        try:
            await client.send(Request("/swarm/init", "POST", body={"AdvertiseAddr": LOOPBACK, "ListenAddr": LOOPBACK}))
        except FastlaneError:
            if await _state(client) != "manager":  # or another process has done it at the same moment
                raise
    elif state != "manager":
        warn(f"The Docker engine at {client.host} {ADVICE.get(state, ADVICE['error'])}")


async def _state(client: EngineClient) -> str:
    """The engine's state in its swarm: ``manager``, ``worker``, or the engine's own word (``inactive``, ``locked``, …)."""
    info = await client.get("/info")
    with readable(client.host):
        swarm: Mapping[str, Any] = info.get("Swarm") or {}
        state = str(swarm.get("LocalNodeState") or "inactive")
        return state if state != "active" else "manager" if swarm.get("ControlAvailable") else "worker"
