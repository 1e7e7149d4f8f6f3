"""Several Docker engines as the hosts of one pool, and what an outsider sees and changes on them."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
import requests

from tests.support.engine_views import LABEL
from tests.support.registry import Registry
from tests.support.swarms import Node, Swarms
from tests.support.waiting import wait_until

AWAY = (docker.errors.DockerException, requests.RequestException, OSError)
"""What a call raises when a node's engine or its swarm is not there."""


@contextlib.contextmanager
def asking(node: Node) -> Iterator[docker.APIClient]:
    """A client of the node's engine. Raises OSError when no engine listens: docker-py would leave a socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(node.url.removeprefix("unix://"))
    with contextlib.closing(node.client()) as client:
        yield client


@dataclass(frozen=True)
class NodesView:
    """The nodes of a bed, each asked at its own socket. Nodes that do not answer are left out."""

    bed: Swarms
    hosts: Sequence[str]

    def services(self, installation: str) -> list[str]:
        names: set[str] = set()
        for node in self.bed.nodes:
            with contextlib.suppress(*AWAY), asking(node) as client:
                names.update(row["Spec"]["Name"] for row in client.services(filters={"label": f"{LABEL}={installation}"}))
        return sorted(names)

    def remove_services(self, installation: str) -> None:
        for node in self.bed.nodes:
            with contextlib.suppress(*AWAY), asking(node) as client:
                for row in client.services(filters={"label": f"{LABEL}={installation}"}):
                    client.remove_service(row["ID"])

    def containers(self, *nodes: Node) -> list[str]:
        """The names of the containers of any installation on these nodes (none: all), running or not, each after its node's name."""
        names = []
        for node in nodes or self.bed.nodes:
            with contextlib.closing(node.client()) as client:
                names += [f"{node.name}{row['Names'][0]}" for row in client.containers(all=True, filters={"name": "fastlane-"})]
        return names

    def check_nothing_left(self, installation: str, patience: float = 120) -> None:
        """Returns once no node has a service or container of an installation, nor any network, config or secret."""
        wait_until(lambda: not self.services(installation), f"its services to go: {self.services(installation)}", patience)
        wait_until(lambda: not self.containers(), f"its containers to go: {self.containers()}", patience)
        for node in self.bed.nodes:
            with contextlib.closing(node.client()) as client:
                assert {row["Name"] for row in client.networks()} <= {"bridge", "host", "none", "docker_gwbridge", "ingress"}
                assert client.configs() == client.secrets() == []


def describe(bed: Swarms) -> str:
    """What each manager says of all nodes, for a failure's message."""
    found = []
    for node in bed.nodes:
        try:
            with asking(node) as client:
                rows = [(row["Description"]["Hostname"], row["Status"]["State"], row.get("ManagerStatus")) for row in client.nodes()]
        except AWAY as error:
            rows = [error]
        found.append(f"{node.name}: {rows}")
    return "\n".join(found)


@contextlib.contextmanager
def image_of(bed: Swarms) -> Iterator[str]:
    """The reference of the stand-in image in a registry that all nodes reach."""
    with bed.registry() as registry:
        yield push(registry, bed)


def push(registry: Registry, bed: Swarms) -> str:
    """Pushes the stand-in image. Returns its reference."""
    return registry.push(bed.nodes[0].url, "stand-in:1").reference


def manager_status(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a manager says of a node as a manager: nothing of a worker, nor for a moment of a node that was just promoted."""
    found: Mapping[str, Any] = row.get("ManagerStatus", {})
    return found


def leader_told(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The leader's name by a manager's list of nodes; None unless all of them are managers that it reaches, and ready."""
    if not all(row["Status"]["State"] == "ready" and manager_status(row).get("Reachability") == "reachable" for row in rows):
        return None
    return next((row["Description"]["Hostname"] for row in rows if manager_status(row).get("Leader")), None)


def leader(bed: Swarms) -> Node:
    """The node that leads its swarm, by the word of the first that answers."""

    def found() -> Node | None:
        for node in bed.nodes:
            with contextlib.suppress(*AWAY), asking(node) as client:
                names = [row["Description"]["Hostname"] for row in client.nodes() if manager_status(row).get("Leader")]
                return next((other for other in bed.nodes if other.name in names), None)
        return None

    return wait_until(found, "a leader", 120)


def agreed(bed: Swarms) -> Node:
    """Returns the leader, once all managers of a bed agree on it and see each other as ready."""

    def found() -> str | None:
        told = set[str | None]()
        for node in bed.nodes:
            with asking(node) as client:
                rows = client.nodes()
            told.add(leader_told(rows))
        return told.pop() if len(told) == 1 else None

    def tried() -> str | None:
        with contextlib.suppress(*AWAY):
            return found()
        return None

    name = wait_until(tried, "the managers to agree", 120)
    return next(node for node in bed.nodes if node.name == name)


def service_changes(node: Node, since: float) -> list[tuple[str, str]]:
    """The services that were made and removed there since then, in this order: ``create`` or ``remove``, and the id of the execution."""
    options = ["--since", f"{since:.3f}", "--until", f"{time.time():.3f}", "--filter", "type=service"]
    rows = docker_command(node, "events", *options, "--format", "{{.Action}} {{.Actor.Attributes.name}}").splitlines()
    changes = [row.split() for row in rows]
    return [(word, name.removeprefix("fastlane-").rpartition("-")[0]) for word, name in changes if word in ("create", "remove")]


def docker_command(node: Node, *words: str) -> str:
    """The output of the docker command at this node's socket."""
    command = ["docker", "-H", node.url, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@contextlib.contextmanager
def availability(node: Node, word: str) -> Iterator[None]:
    """The node's availability for the block; then it is active again."""
    docker_command(node, "node", "update", "--availability", word, node.name)
    try:
        yield
    finally:
        docker_command(node, "node", "update", "--availability", "active", node.name)
