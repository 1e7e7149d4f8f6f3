"""swarm-stack.yml on a swarm of nodes of this machine, set up by the commands of docs/install.md."""

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fastlane.client import Client
from tests.support.checkout import checkout, plain_environment, unpinned
from tests.support.docs import ROOT, commands_in, section
from tests.support.images import BUILD_PATIENCE, NAME, BuiltImage, docker
from tests.support.stack.front import front
from tests.support.stack.images import HAPROXY, MONGO, PROMETHEUS, REDIS, make_images, make_prometheus
from tests.support.stack.load import Load, under_load
from tests.support.swarms import Node, Swarms
from tests.support.waiting import LONG_PATIENCE, wait_until

PAGE = ROOT / "docs/install.md"
SERVICES = {"api": 2, "worker": 2, "redis": 1, "mongo": 1, "engine-1": 1, "engine-2": 1, "engine-3": 1}
WATCHED = {**SERVICES, "prometheus": 1}
ON_ONE_NODE = {**SERVICES, "api": 1, "engine-2": 0, "engine-3": 0}
"""The replicas of each service. A port of a node has room for one API server, where the ingress network would share it out."""
PARTS = ("swarm-stack.yml", "stack", "docs/install.md", "examples/monitoring")
UPDATE_ENDS = ("completed", "paused", "rollback_completed", "rollback_paused")
WEBHOOK_SECRET = f"whsec_{base64.b64encode(b's' * 32).decode()}"
UP_WITHIN = 480.0
"""Seconds within which a deployment is complete: a deadline, not a measurement."""

HERE = """
# What this kernel has not: IPVS, so each node publishes the port itself. And updates that need not be watched for long.
services:
  api:
    ports: [{target: 10000, published: 10000, mode: host}]
    deploy: {replicas: REPLICAS, update_config: {order: stop-first, monitor: 2s, delay: 0s}}
  worker:
    deploy: {update_config: {monitor: 2s, delay: 0s}}
"""


class Stack:
    """The stack ``fastlane`` on these nodes, which are managers of one swarm. ``image``: fastlane's, without a tag."""

    def __init__(self, nodes: Sequence[Node], image: str, folder: Path, url: str, services: Mapping[str, int] = SERVICES) -> None:
        self.nodes = list(nodes)
        self.image = image
        self.url = url
        """Where the API servers answer."""
        self._folder = folder
        self._services = {f"fastlane_{name}": f"{count}/{count}" for name, count in services.items()}
        (folder / "local").mkdir(exist_ok=True)
        (folder / "local/here.yml").write_text(HERE.replace("REPLICAS", str(services["api"])))

    @property
    def token(self) -> str:
        """The operator's."""
        lines = (self._folder / "token.txt").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("token:"))

    def client(self) -> Client:
        """The project's own client, to be closed by who asked for it."""
        return Client(self.url, token=self.token, patience=LONG_PATIENCE)

    def load(self) -> AbstractContextManager[Load]:
        """Requests that go on until the context ends, by way of a front that cuts no connection."""
        return under_load([node.address for node in self.nodes], self.token)

    def type_in(self, heading: str, *beginnings: str, node: int = 0) -> str:
        """Types the commands of a section of the page, on a manager, in one shell; only those with these beginnings, if any. What they
        printed."""
        chosen = [command for command in commands_in(section(PAGE, heading)) if command.startswith(beginnings or "")]
        assert chosen, (heading, beginnings)
        return self.shell("\n".join(self._here(command, self.nodes[node]) for command in chosen), node)

    def shell(self, script: str, node: int = 0) -> str:
        """Runs a script as on a manager."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self._folder,
            env={**plain_environment(), "DOCKER_HOST": self.nodes[node].url, "CURL_HOME": str(self._folder)},
            capture_output=True,
            text=True,
            timeout=BUILD_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout + done.stderr

    def push(self, tag: str, image: str = NAME) -> None:
        """Pushes an image as a version of fastlane's: the same again, or another one."""
        provide(self.nodes[0].url, image, f"{self.image}:{tag}")

    def docker(self, *words: str, node: int = 0) -> str:
        """A command on one node's engine."""
        return docker(self.nodes[node].url, *words)

    def until_up(self) -> None:
        """Returns when every service has all its replicas, no update goes on, and the health check is good."""
        wait_until(self._complete, "the services of the stack", UP_WITHIN)
        wait_until(self._healthy, "the stack to be healthy", UP_WITHIN)

    def until_updated(self, *services: str) -> None:
        """Returns when the updates of these services have ended well, and all is up."""
        for service in services:
            wait_until(lambda service=service: self.update_state(service) in UPDATE_ENDS, f"the update of {service}", UP_WITHIN)
            assert self.update_state(service) == "completed"
        self.until_up()

    def update_state(self, service: str) -> str:
        """How far a service's last update is, in Swarm's words; empty when there was none, or none yet."""
        status = self.docker("service", "inspect", "--format", "{{json .UpdateStatus}}", f"fastlane_{service}")
        return str((json.loads(status) or {}).get("State", ""))

    def containers(self, service: str) -> list[tuple[Node, str]]:
        """The running containers of a service: each one's node and id."""
        label = f"label=com.docker.swarm.service.name=fastlane_{service}"
        return [(node, line) for node in self.nodes for line in docker(node.url, "ps", "-q", "--filter", label).splitlines()]

    def addresses(self, service: str) -> list[str]:
        """The addresses of a service's containers, in all of their networks."""
        words = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        return [address for node, id in self.containers(service) for address in docker(node.url, "inspect", "-f", words, id).split()]

    def killed(self, service: str) -> int:
        """Kills the running containers of a service. How many there were."""
        found = self.containers(service)
        for node, container in found:
            subprocess.run(["docker", "-H", node.url, "kill", container], capture_output=True, timeout=LONG_PATIENCE, check=False)
        return len(found)

    def executions_on(self, node: Node) -> set[str]:
        """The ids of the executions whose containers run on a node."""
        names = docker(node.url, "ps", "--format", '{{.Label "com.docker.swarm.service.name"}}').splitlines()
        return {name.removeprefix("fastlane-").rpartition("-")[0] for name in names if name.startswith("fastlane-")}

    def power_off(self, node: Node) -> None:
        """What others see of a machine whose power fails, and what is left on it: nothing that runs."""
        node.cut()
        found = docker(node.url, "ps", "-q").splitlines()
        subprocess.run(["docker", "-H", node.url, "kill", *found], capture_output=True, timeout=LONG_PATIENCE, check=False)
        node.kill()

    def goes_on_without(self, node: Node, *services: str) -> None:
        """From now on a node is gone, and with it the only place for these services."""
        self.nodes.remove(node)
        for service in services:
            self._services[f"fastlane_{service}"] = "0/1"

    def until_down(self, node: Node) -> None:
        """Returns when the swarm has noticed that a node is down."""
        wait_until(
            lambda: "Down" in self.docker("node", "ls", "--filter", f"name={node.name}", "--format", "{{.Status}}"), f"{node.name} down"
        )

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command in one of a service's containers."""
        node, container = wait_until(lambda: self.containers(service), f"a container of {service}")[0]
        return subprocess.run(
            ["docker", "-H", node.url, "exec", container, *command], capture_output=True, text=True, timeout=LONG_PATIENCE, check=False
        )

    def logs(self, service: str) -> str:
        """What a service's containers wrote."""
        return self.shell(f"docker service logs --raw fastlane_{service} 2>&1")

    def removed(self) -> None:
        """Types the page's command, and waits for the end of all containers and networks of the stack."""
        self.type_in("Remove it")
        wait_until(lambda: not any(self.containers(service) for service in SERVICES), "the containers to end", UP_WITHIN)
        wait_until(lambda: not self.docker("network", "ls", "-q", "--filter", "name=fastlane_"), "the networks to go", UP_WITHIN)

    def _here(self, command: str, node: Node) -> str:
        """The command with this swarm's names. The image is built already."""
        changed = command.replace("registry.example.com/fastlane", self.image).replace("http://localhost:10000", self.url)
        changed = changed.replace("$(hostname)", node.name)
        return f'docker tag {NAME} "$IMAGE"' if command == "make image" else changed

    def _complete(self) -> bool:
        words = "{{.Name}} {{.Replicas}}"
        lines = [line.split() for line in self.docker("stack", "services", "--format", words, "fastlane").splitlines()]
        return {name: replicas for name, replicas, *_ in lines} == self._services

    def _healthy(self) -> bool:
        script = f'curl -s -m 5 -H "Authorization: Bearer {self.token}" {self.url}/healthcheck || true'
        try:
            answer: dict[str, Any] = json.loads(self.shell(script))
        except ValueError:
            return False
        return {error["source"] for error in answer.get("errors", [{"source": "nothing"}])} <= {"dispatch"}


@contextmanager
def three_nodes(built: BuiltImage, services: Mapping[str, int] = SERVICES) -> Iterator[Stack]:
    """A swarm of three managers, which pull images from a registry of their own, before anything of the page was typed."""
    with ExitStack() as stack, Swarms("joined") as swarms:
        registry = stack.enter_context(swarms.registry())
        first = swarms.nodes[0].url
        load_images(first, built)
        for node in swarms.nodes:
            ask_mirror(node, f"http://{registry.address}")
        for image in (REDIS, HAPROXY, MONGO, "ubuntu:latest"):
            provide(first, image, f"{registry.address}/library/{image}")
        if "prometheus" in services:
            make_prometheus(first)
            provide(first, PROMETHEUS, f"{registry.address}/{PROMETHEUS}")
        folder = stack.enter_context(_files())
        settings = folder / "stack/fastlane.toml"  # which the page's commands copy
        changed = settings.read_text().replace("maxRunning = 50", f'maxRunning = 120\nwebhookSecrets = ["{WEBHOOK_SECRET}"]')
        settings.write_text(f'webhook_allow = ["10.0.0.0/8"]\n{changed}')
        url = stack.enter_context(front([node.address for node in swarms.nodes]))
        yield Stack(swarms.nodes, f"{registry.address}/fastlane", folder, url, services)


@contextmanager
def one_node(built: BuiltImage) -> Iterator[Stack]:
    """A swarm of one node, which has the images, and no registry."""
    with Swarms("joined", 1) as swarms, front([swarms.nodes[0].address]) as url, _files() as folder:
        load_images(swarms.nodes[0].url, built)
        docker(swarms.nodes[0].url, "tag", NAME, "fastlane:1")
        yield Stack(swarms.nodes, "fastlane", folder, url, ON_ONE_NODE)


@contextmanager
def _files() -> Iterator[Path]:
    """A folder with the files of the stack. Their images are the stand-ins, whatever digests a release has."""
    with checkout(*PARTS) as folder:
        for path in (folder / "swarm-stack.yml", folder / "stack/monitoring.yml"):
            path.write_text(unpinned(path.read_text()))
        yield folder


def load_images(engine: str, built: BuiltImage) -> None:
    """Gives an engine all images of the stack."""
    docker(engine, "load", "-q", "-i", str(built.archive))
    make_images(engine)


def ask_mirror(node: Node, url: str) -> None:
    """Lets a node look for the images of Docker Hub at this URL."""
    folder = Path(node.url.removeprefix("unix://")).parent
    (folder / "daemon.json").write_text(json.dumps({"registry-mirrors": [url]}))
    (pid,) = (int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if _is_engine(path, folder))
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: url in docker(node.url, "info"), f"{node.name} to know the mirror")


def provide(engine: str, image: str, target: str) -> None:
    """Pushes an image that the engine has."""
    docker(engine, "tag", image, target)
    docker(engine, "push", "-q", target)
    docker(engine, "image", "rm", target)


def _is_engine(cmdline: Path, folder: Path) -> bool:
    try:
        words = cmdline.read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"dockerd") and str(folder / "daemon.json").encode() in words
