"""Several real Docker engines on this machine, each as if on a machine of its own, and what happens to machines: see ``scripts/swarms``.

``three_swarms`` are three swarms of one node each, ``three_managers`` one swarm of three managers. They come up when the first test asks
for them, and end with the tests, however those end. Every test finds all nodes up and no service: after a test that left anything else
they are made anew. Each node has the image ``ubuntu:latest`` with the same id, and an address that this machine and the other nodes reach.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import docker
import pytest
import requests

from tests.support.engine import connect
from tests.support.registry import Registry
from tests.support.waiting import wait_until

SCRIPT = Path(__file__).parents[2] / "scripts" / "swarms"
PATIENCE = 180
EMPTYING_SECONDS = 20.0

How = Literal["separate", "joined"]


def script(*words: str) -> list[str]:
    """Runs ``scripts/swarms``; the lines that it printed."""
    done = subprocess.run([str(SCRIPT), *words], capture_output=True, timeout=PATIENCE, check=False, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Node:
    """One engine and the machine that it seems to run on. Each change lasts until it is undone, or until the test's end."""

    def __init__(self, folder: str, name: str, url: str, address: str) -> None:
        self.name = name
        self.url = url
        """Its socket, which answers whatever happens to the node's network."""
        self.address = address
        self.tcp = f"tcp://{address}:2375"
        """The way to it through the network: when the node is cut off, connections to it hang."""
        self.touched = False
        """Whether anything was ever done to it."""
        self._folder = folder
        self._open: set[str] = set()

    def client(self) -> docker.APIClient:
        """A plain client on its socket; to be closed by who asked for it."""
        return connect(self.url)

    def kill(self) -> None:
        """SIGKILL to its engine; its containers go on running."""
        self._do("kill")

    def halt(self) -> None:
        """Ends its engine in good order, and the containers with it."""
        self._do("halt")

    def start(self) -> None:
        """Its engine again, after ``kill`` or ``halt``; returns when it answers."""
        self._undo("start", "kill", "halt", "pause")

    def cut(self) -> None:
        """Cuts it off from this machine and the other nodes: packets vanish."""
        self._do("cut")

    def deafen(self) -> None:
        """Loses all packets that are sent to it, and none that it sends."""
        self._do("deafen")

    def mute(self) -> None:
        """Loses all packets that it sends, and none that are sent to it."""
        self._do("mute")

    def thin(self) -> None:
        """Loses one packet in ten, each way."""
        self._do("thin")

    def slow(self) -> None:
        """Lets what it sends take its time."""
        self._do("slow")

    def mend(self) -> None:
        """Undoes what was done to its connection."""
        self._undo("mend", "cut", "deafen", "mute", "thin", "slow")

    def pause(self) -> None:
        """SIGSTOP to its engine: it takes connections and answers nothing. Its containers go on running."""
        self._do("pause")

    def resume(self) -> None:
        """Undoes ``pause``."""
        self._undo("resume", "pause")

    def fill(self) -> None:
        """Its disk is full: nothing can be written there."""
        self._do("fill")

    def empty(self) -> None:
        """Undoes ``fill``."""
        self._undo("empty", "fill")

    @property
    def whole(self) -> bool:
        """Whether all that was done to it was undone."""
        return not self._open

    def _do(self, word: str) -> None:
        self.touched = True
        self._open.add(word)
        script("node", self._folder, self.name, word)

    def _undo(self, word: str, *undone: str) -> None:
        script("node", self._folder, self.name, word)
        self._open -= set(undone)


class Swarms:
    """Some nodes: ``separate``, each a swarm of its own, or ``joined``, all of them managers of one. Used as a context manager. ``config``:
    the engines' daemon.json, with which they listen on port 2376 of their addresses in place of 2375."""

    def __init__(self, how: How, nodes: int = 3, config: Path | None = None) -> None:
        self.how = how
        self.nodes: list[Node] = []
        self._count = nodes
        self._config = [] if config is None else ["--config", str(config)]
        self._folder = ""
        self._settings: list[Any] = []

    def __enter__(self) -> "Swarms":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def urls(self) -> list[str]:
        """The nodes' sockets."""
        return [node.url for node in self.nodes]

    def start(self) -> None:
        """All nodes up, in a state as new."""
        self._folder = tempfile.mkdtemp(prefix="fl", dir="/tmp")  # short: a socket's path holds 107 bytes
        lines = script("start", self._folder, self.how, "--nodes", str(self._count), "--tcp", *self._config, "--with", str(os.getpid()))
        self.nodes = [Node(self._folder, *line.split()) for line in lines]
        self._settings = [self._read(node, settings) for node in self.nodes]

    def stop(self) -> None:
        """Nothing left."""
        if self._folder:
            script("stop", self._folder)
        self.nodes, self._folder = [], ""

    def registry(self, *, password: bool = False) -> Registry:
        """A registry that all nodes reach, to be used as a context manager; the nodes speak to it without TLS."""
        host = self.nodes[0].address.rpartition(".")[0] + ".1"
        return Registry([str(SCRIPT), "inside", self._folder], Path(self._folder), host, password=password)

    def ready(self) -> None:
        """Sees to it that all nodes are up, that no service is there, and that nothing is changed: made anew where anything was."""
        if not self._as_new():
            self.stop()
            self.start()

    def _as_new(self) -> bool:
        if not self.nodes or not all(self._fresh(node) for node in self.nodes):
            return False
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException):
            return self._settings == [self._read(node, settings) for node in self.nodes] and all(
                self._read(node, emptied) for node in self.nodes
            )
        return False

    def _fresh(self, node: Node) -> bool:
        """Managers that met trouble may need half a minute to agree again: they are made anew sooner."""
        return node.whole if self.how == "separate" else not node.touched

    @staticmethod
    def _read(node: Node, read: Callable[[docker.APIClient], Any]) -> Any:
        client = node.client()
        try:
            return read(client)
        finally:
            client.close()


def settings(client: docker.APIClient) -> Any:
    """What a test may have changed of a swarm and its nodes, and whether the nodes take work and reach each other."""
    nodes = [
        (node["ID"], node["Spec"], node["Status"]["State"], node.get("ManagerStatus", {}).get("Reachability")) for node in client.nodes()
    ]
    return client.inspect_swarm()["Spec"], sorted(nodes, key=lambda node: node[0])


def emptied(client: docker.APIClient) -> bool:
    """Removes the swarm's services; whether their tasks are gone in time."""
    for service in client.services():
        with contextlib.suppress(docker.errors.NotFound):
            client.remove_service(service["ID"])
    try:
        wait_until(lambda: not client.tasks(), "the tasks to go", EMPTYING_SECONDS)
    except AssertionError:
        return False
    return True


@pytest.fixture(scope="session")
def separate_swarms() -> Iterator[Swarms]:
    """What ``three_swarms`` uses; not for tests."""
    swarms = Swarms("separate")
    yield swarms
    swarms.stop()


@pytest.fixture(scope="session")
def joined_managers() -> Iterator[Swarms]:
    """What ``three_managers`` uses; not for tests."""
    swarms = Swarms("joined")
    yield swarms
    swarms.stop()


@pytest.fixture
def three_swarms(separate_swarms: Swarms) -> Swarms:
    """Three swarms of one node each, without services."""
    separate_swarms.ready()
    return separate_swarms


@pytest.fixture
def three_managers(joined_managers: Swarms) -> Swarms:
    """One swarm of three managers, without services."""
    joined_managers.ready()
    return joined_managers
