"""``scripts/engine`` in the machine's own network, as `make run` uses it: a stop takes back its own firewall rules and settings, no others.

A network namespace of the test's own plays the machine's network.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.engine import SCRIPT
from tests.support.waiting import wait_until

TABLES = ("filter", "nat", "mangle")
FORWARD = "/proc/sys/net/ipv4/ip_forward"


class Network:
    """A network namespace, and an engine that may run in it."""

    def __init__(self, holder: int, folder: Path) -> None:
        self._holder, self.folder = holder, folder

    def run(self, *words: str) -> str:
        """What a command in this network printed."""
        inside = ["nsenter", "--target", str(self._holder), "--net", *words]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> str:
        """Starts the engine; its URL."""
        return self.run(str(SCRIPT), "start", str(self.folder)).split()[-1]

    def stop(self) -> None:
        self.run(str(SCRIPT), "stop", str(self.folder))

    def rules(self) -> list[str]:
        """All rules, chains and policies."""
        return [f"{table} {line}" for table in TABLES for line in self.run("iptables", "-t", table, "-S").splitlines()]

    def bridges(self) -> list[str]:
        return [line.split(":")[1].strip() for line in self.run("ip", "-o", "link", "show", "type", "bridge").splitlines()]

    def forwarding(self, value: str | None = None) -> str:
        """Whether packets are forwarded; sets it first."""
        if value is not None:
            self.run("sh", "-c", f"echo {value} >{FORWARD}")
        return self.run("cat", FORWARD).strip()


@pytest.fixture
def network() -> Iterator[Network]:
    with TemporaryDirectory(prefix="fl-", dir="/tmp") as folder, subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as holder:
        wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "a network of its own")
        network = Network(holder.pid, Path(folder))
        network.run("ip", "link", "set", "lo", "up")
        try:
            yield network
        finally:
            network.stop()
            holder.kill()


def test_a_stopped_engine_takes_its_rules_and_bridges_back_and_leaves_the_users(network: Network) -> None:
    network.forwarding("1")
    network.run("iptables", "-A", "FORWARD", "-s", "192.0.2.1/32", "-m", "comment", "--comment", "for DOCKER hosts", "-j", "ACCEPT")
    network.run("iptables", "-t", "nat", "-N", "MY-DOCKER")
    network.run("iptables", "-t", "nat", "-A", "MY-DOCKER", "-o", "docker0", "-j", "ACCEPT")
    before = network.rules()

    url = network.start()
    subprocess.run(["docker", "-H", url, "network", "create", "more"], check=True, capture_output=True, timeout=60)
    assert {"filter -N DOCKER-USER", "nat -N DOCKER"} <= set(network.rules())
    assert {"docker0", "docker_gwbridge"} < set(network.bridges())
    network.run("iptables", "-I", "DOCKER-USER", "-s", "192.0.2.2/32", "-j", "DROP")
    network.run("iptables", "-A", "FORWARD", "-s", "192.0.2.3/32", "-o", "docker0", "-j", "DROP")
    network.run("iptables", "-P", "FORWARD", "DROP")
    network.stop()

    after = network.rules()
    assert sorted(set(after) - set(before)) == [
        "filter -A DOCKER-USER -s 192.0.2.2/32 -j DROP",
        "filter -A FORWARD -s 192.0.2.3/32 -o docker0 -j DROP",
        "filter -N DOCKER-USER",
        "filter -P FORWARD DROP",
    ]
    assert sorted(set(before) - set(after)) == ["filter -P FORWARD ACCEPT"]
    assert network.bridges() == []
    assert network.forwarding() == "1"


def test_what_the_engine_switched_on_is_switched_off_again_even_after_it_was_killed(network: Network) -> None:
    network.forwarding("0")
    before = network.rules()

    network.start()
    assert network.forwarding() == "1"
    assert "filter -P FORWARD DROP" in network.rules()
    os.kill(int((network.folder / "pid").read_text()), signal.SIGKILL)
    network.stop()

    assert network.rules() == before
    assert network.forwarding() == "0"
    assert network.bridges() == []
