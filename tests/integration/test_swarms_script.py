"""``scripts/swarms``: several engines come when called, can be hurt one by one, and leave nothing behind, however they end."""

import hashlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import randrange
from tempfile import mkdtemp

import psutil
import pytest
import requests

from tests.support.engine import IMAGE, connect
from tests.support.swarms import SCRIPT, Node, Swarms, script
from tests.support.waiting import ended, wait_until

pytestmark = pytest.mark.thorough

PATIENCE = 60.0
SILENT = 1.0


def processes(folder: Path) -> list[psutil.Process]:
    """What runs with this folder in its command line."""
    return [process for process in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(process.info["cmdline"] or [])]


def engines(folder: Path) -> list[psutil.Process]:
    return [process for process in processes(folder) if process.name() == "dockerd"]


def networks(pids: list[int]) -> set[str]:
    """The network namespaces of these processes, but for our own."""
    found = set()
    for pid in pids:
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:  # it ended meanwhile
            continue
    return found - {os.readlink("/proc/self/ns/net")}


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


def firewall() -> list[str]:
    return [line for line in command("iptables-save").splitlines() if line.startswith("-A")]


def leftovers(folder: Path) -> list[object]:
    """All that is on this machine of the swarms in ``folder``."""
    id = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    groups = [path for path in Path("/sys/fs/cgroup").glob(f"**/fastlane-{id}*")]
    links = [line for line in command("ip", "-o", "link", "show").splitlines() if f"fl-{id}" in line]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]
    return [*processes(folder), *groups, *links, *mounts, *([folder] if folder.exists() else [])]


def long_sleep() -> list[str]:
    """A command that no other test of this machine runs."""
    return ["sleep", str(100_000 + randrange(10**8))]


def running(command: list[str]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == command]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder for swarms, ended with the test."""
    name = mkdtemp(prefix="fl", dir="/tmp")
    yield Path(name)
    script("stop", name)


def start(folder: Path, *options: str) -> list[Node]:
    return [Node(str(folder), *line.split()) for line in script("start", str(folder), *options)]


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """A start that may be killed while it goes on."""
    return subprocess.Popen(
        [SCRIPT, "start", str(folder), "joined", "--nodes", "2", "--tcp"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def answers(url: str) -> bool:
    """Whether an engine answers at once."""
    kind, _, where = url.partition("://")
    host, _, port = where.partition(":")
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as connection:
        connection.settimeout(SILENT)
        try:
            connection.connect(where if kind == "unix" else (host, int(port)))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in connection.recv(100)
        except OSError:
            return False


def names_that_ran(swarm: Node, replicas: int) -> set[str]:
    """The host names that the tasks of a service print, one task on a node."""
    client = connect(swarm.url)
    try:
        template = {
            "ContainerSpec": {"Image": IMAGE, "Args": ["true"]},
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"MaxReplicas": 1},
        }
        service = client.create_service(template, mode={"Replicated": {"Replicas": replicas}})["ID"]

        def complete() -> bool:
            return [task["Status"]["State"] for task in client.tasks({"service": service})] == ["complete"] * replicas

        wait_until(complete, "tasks complete")
        nodes = {node["ID"]: node["Description"]["Hostname"] for node in client.nodes()}
        return {nodes[task["NodeID"]] for task in client.tasks({"service": service})}
    finally:
        client.close()


def losses(node: Node) -> int:
    """The rules at a node's end of its link that lose some packets."""
    (engine,) = engines(Path(node.url.removeprefix("unix://")).parent)
    return command("nsenter", "--target", str(engine.pid), "--net", "iptables", "--list").count("statistic mode random")


def swarm_of(node: Node) -> str:
    client = node.client()
    try:
        return str(client.info()["Swarm"]["Cluster"]["ID"])
    finally:
        client.close()


# up


def test_separate_nodes_are_swarms_of_their_own_and_each_runs_services(three_swarms: Swarms) -> None:
    assert len({swarm_of(node) for node in three_swarms.nodes}) == 3
    assert [names_that_ran(node, 1) for node in three_swarms.nodes] == [{"node1"}, {"node2"}, {"node3"}]


def test_joined_nodes_are_managers_of_one_swarm_that_runs_services_on_each(three_managers: Swarms) -> None:
    assert len({swarm_of(node) for node in three_managers.nodes}) == 1
    assert names_that_ran(three_managers.nodes[2], 3) == {"node1", "node2", "node3"}


def test_all_nodes_have_the_same_image(three_managers: Swarms) -> None:
    images = set()
    for node in three_managers.nodes:
        client = node.client()
        images.add(client.inspect_image(IMAGE)["Id"])
        client.close()
    assert len(images) == 1


def test_swarms_of_two_folders_stand_side_by_side_in_networks_of_their_own(three_managers: Swarms, three_swarms: Swarms) -> None:
    nodes = [*three_managers.nodes, *three_swarms.nodes]
    assert len({node.address for node in nodes}) == 6
    assert all(answers(node.tcp) and answers(node.url) for node in nodes)


def test_a_test_finds_no_service_of_the_one_before(three_swarms: Swarms) -> None:
    folder = Path(three_swarms.urls[0].removeprefix("unix://")).parent
    client = three_swarms.nodes[0].client()
    client.create_service({"ContainerSpec": {"Image": IMAGE, "Args": ["sleep", "1000"]}})
    three_swarms.ready()
    assert client.services() == []
    client.close()
    assert folder.exists(), "it is the same engine"


# what happens to a node


def test_the_containers_of_a_killed_engine_go_on_until_it_is_back(three_swarms: Swarms) -> None:
    node = three_swarms.nodes[0]
    client = node.client()
    command = long_sleep()
    client.start(client.create_container(IMAGE, command, host_config=client.create_host_config(init=True)))
    client.close()
    wait_until(lambda: running(command), "the command runs")
    (container,) = running(command)
    node.kill()
    assert not answers(node.url)
    assert container.is_running()
    node.start()
    assert answers(node.url)
    wait_until(lambda: ended(container), "the container ends")


def test_an_engine_that_ended_in_good_order_comes_back_with_its_swarm(three_swarms: Swarms) -> None:
    node = three_swarms.nodes[1]
    before = swarm_of(node)
    node.halt()
    assert not answers(node.url)
    node.start()
    wait_until(lambda: answers(node.url) and swarm_of(node) == before, "the same swarm")


def test_a_node_that_is_cut_off_hangs_in_the_network_until_it_is_mended(three_swarms: Swarms) -> None:
    node, other = three_swarms.nodes[:2]
    node.cut()
    with pytest.raises(requests.exceptions.ConnectTimeout):
        requests.get(node.tcp.replace("tcp", "http") + "/_ping", timeout=SILENT)
    assert answers(node.url)
    assert answers(other.tcp)
    node.mend()
    wait_until(lambda: answers(node.tcp), "the node answers again")


@pytest.mark.parametrize("word", ["deafen", "mute"])
def test_a_node_that_hears_or_says_nothing_hangs_in_the_network_until_it_is_mended(three_swarms: Swarms, word: str) -> None:
    node = three_swarms.nodes[1]
    getattr(node, word)()
    with pytest.raises(requests.exceptions.ConnectTimeout):
        requests.get(node.tcp.replace("tcp", "http") + "/_ping", timeout=SILENT)
    assert answers(node.url)
    node.mend()
    wait_until(lambda: answers(node.tcp), "the node answers again")


def test_a_node_on_a_bad_line_answers(three_swarms: Swarms) -> None:
    node = three_swarms.nodes[2]
    node.thin()
    node.slow()
    wait_until(lambda: answers(node.tcp), "the node answers")
    assert losses(node) == 2
    node.mend()
    assert losses(node) == 0


def test_a_paused_engine_takes_connections_and_answers_nothing_until_it_is_resumed(three_swarms: Swarms) -> None:
    node = three_swarms.nodes[2]
    node.pause()
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(node.tcp.replace("tcp", "http") + "/_ping", timeout=SILENT)
    node.resume()
    wait_until(lambda: answers(node.tcp) and answers(node.url), "the node answers again")


# gone


def test_a_stop_leaves_no_process_mount_control_group_namespace_link_rule_or_file(folder: Path) -> None:
    rules = firewall()
    node = start(folder, "separate", "--nodes", "1", "--tcp")[0]
    client = node.client()
    sleep = long_sleep()
    client.start(client.create_container(IMAGE, sleep))
    client.close()
    assert len(leftovers(folder)) > 5
    wait_until(lambda: running(sleep), "the command runs")
    spaces = networks([process.pid for process in processes(folder)])
    assert len(spaces) == 2
    # Not the numbers of the namespaces afterwards: the kernel gives them to new ones.
    inside = [process for process in psutil.process_iter() if networks([process.pid]) & spaces]
    script("stop", str(folder))
    assert leftovers(folder) == []
    assert all(ended(process) for process in inside)
    assert not running(sleep)
    assert firewall() == rules


@pytest.mark.parametrize("moment", ["nodes", "ready", "node1/docker.sock"])
def test_a_start_that_was_killed_is_cleared_away(folder: Path, moment: str) -> None:
    starter = begin(folder)
    wait_until((folder / moment).exists, f"{moment} is made")
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    script("stop", str(folder))
    assert leftovers(folder) == []


def test_a_start_clears_away_what_killed_engines_left(folder: Path) -> None:
    start(folder, "separate", "--nodes", "1")
    killed = engines(folder)
    for process in killed:
        process.kill()
    (node,) = start(folder, "separate", "--nodes", "1")
    assert answers(node.url)
    assert all(ended(process) for process in killed)
    assert len(engines(folder)) == 1


def test_swarms_end_with_the_process_that_they_are_for(folder: Path) -> None:
    owner = subprocess.Popen(long_sleep())
    start(folder, "separate", "--nodes", "1", "--tcp", "--with", str(owner.pid))
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not leftovers(folder), "all is gone")
