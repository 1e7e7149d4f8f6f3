"""The ids of the networks and secrets that a container names, found by their exact names.

An engine could take a submitted name for an id, or for the beginning of one, and so for something that the pool's policy does not allow.
So fastlane submits ids.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastlane.errors import OrderRefused
from fastlane.executors.swarm.client.client import Api
from fastlane.models.container.container import Container

NODES_OWN = frozenset({"host", "bridge"})
"""Networks that each node has itself; Swarm knows them only by these names."""


class Call(Protocol):
    """A call of an engine, as ``Host.call`` makes it."""

    def __call__(self, verb: Callable[[Api], Any], /) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids by name."""

    networks: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


NO_IDS = Ids()


async def ids_for(container: Container, call: Call) -> Ids:
    """The ids of what this container names. Raises OrderRefused for what the swarm does not have."""
    networks = {name: name for name in container.networks if name in NODES_OWN}
    wanted = dict.fromkeys(name for name in container.networks if name not in NODES_OWN)
    if wanted:
        networks |= _all(wanted, _networks(await call(lambda api: api.networks(names=list(wanted)))), "network", "--driver overlay ")
    names = dict.fromkeys(secret.name for secret in container.secrets)
    secrets: Mapping[str, str] = {}
    if names:
        secrets = _all(names, _secrets(await call(lambda api: api.secrets(filters={"name": list(names)}))), "secret", "")
    return Ids(networks, secrets)


def _networks(raws: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The swarm's networks; a service cannot use a node's own networks, or the one for published ports."""
    return {str(raw["Name"]): str(raw["Id"]) for raw in raws if raw.get("Scope") == "swarm" and not raw.get("Ingress")}


def _secrets(raws: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(raw["Spec"]["Name"]): str(raw["ID"]) for raw in raws}


def _all(wanted: Iterable[str], found: Mapping[str, str], noun: str, options: str) -> dict[str, str]:
    missing = [name for name in wanted if name not in found]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise OrderRefused(f"the swarm has no {noun} named {names}; make it on a manager: docker {noun} create {options}NAME")
    return {name: found[name] for name in wanted}
