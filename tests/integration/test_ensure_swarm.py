"""What ``fastlane up`` does to an engine that is in no swarm, on a private engine that is started and ended here."""

import json
import shutil
import socket
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import docker
import pytest
import structlog

from fastlane.executors.swarm.local_engine import ensure_swarm, prepare_engines
from fastlane.models.host import Endpoint
from tests.support.waiting import wait_until

ENGINE = 'ip link set lo up; exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" -H "unix://$0/s"'
"""In a network of its own, so that its bridge and the swarm's port are nobody else's."""


@pytest.fixture
def engine():
    """The URL of a fresh engine. Its directory's name is short, since a socket's path holds 107 bytes."""
    home = Path(tempfile.mkdtemp(prefix="fl-", dir="/tmp"))
    with (home / "log").open("w") as log:
        process = subprocess.Popen(["unshare", "-n", "-m", "-u", "sh", "-c", ENGINE, str(home)], stdout=log, stderr=log)
        try:
            wait_until_it_answers(process, home)
            yield f"unix://{home}/s"
        finally:
            process.terminate()
            process.wait(30)
            shutil.rmtree(home)


def wait_until_it_answers(process: subprocess.Popen, home: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, f"dockerd has ended: {(home / 'log').read_text()[-2000:]}"
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"{home}/s") == 0

    wait_until(listens, f"dockerd to answer; its log is {home / 'log'}")
    docker.APIClient(f"unix://{home}/s", version="auto", timeout=60).close()


def swarm_of(url: str) -> dict:
    client = docker.APIClient(url, version="auto", timeout=10)
    try:
        return client.info()["Swarm"]
    finally:
        client.close()


async def test_an_engine_in_no_swarm_becomes_one_and_is_told_so_before_and_then_left_alone(engine):
    said: list[tuple[str, str]] = []
    warned: list[str] = []

    def say(text: str) -> None:
        said.append((swarm_of(engine)["LocalNodeState"], text))

    await ensure_swarm(Endpoint(engine), say, warned.append)
    ((state, text),) = said
    assert state == "inactive"
    assert "docker swarm init --advertise-addr 127.0.0.1" in text
    assert "docker swarm leave --force" in text
    swarm = swarm_of(engine)
    assert (swarm["LocalNodeState"], swarm["ControlAvailable"], swarm["NodeAddr"]) == ("active", True, "127.0.0.1")

    await ensure_swarm(Endpoint(engine), say, warned.append)
    assert (len(said), warned) == (1, [])
    assert swarm_of(engine)["Cluster"]["ID"] == swarm["Cluster"]["ID"]


class EngineDouble(BaseHTTPRequestHandler):
    """Answers as an engine in the state that ``swarm`` says; for states that one engine alone cannot be put into."""

    swarm: ClassVar[dict] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.answer({"ApiVersion": "1.45"} if self.path.endswith("/version") else {"Swarm": self.swarm})

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.answer({"message": "refused"}, 503)

    def answer(self, body: dict, status: int = 200) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None: ...


@pytest.mark.parametrize(
    ("swarm", "advice"),
    [
        ({"LocalNodeState": "active", "ControlAvailable": False}, "docker node promote"),
        ({"LocalNodeState": "locked"}, "docker swarm unlock"),
        ({"LocalNodeState": "error"}, "docker info"),
        ({"LocalNodeState": "inactive"}, "refused"),
    ],
)
async def test_an_engine_that_is_no_manager_and_cannot_become_one_gets_advice_and_is_left_alone(swarm, advice):
    handler = type("Engine", (EngineDouble,), {"swarm": swarm, "asked": []})
    said: list[str] = []
    warned: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            await ensure_swarm(Endpoint(f"127.0.0.1:{server.server_port}", insecure=True), said.append, warned.append)
        finally:
            server.shutdown()
            thread.join()
    assert advice in warned[-1]
    assert len(said) == (advice == "refused")
    assert [path for path in handler.asked if path.endswith("/swarm/init")] == (["/v1.45/swarm/init"] if advice == "refused" else [])


async def test_without_an_engine_it_warns_what_to_do_and_goes_on(tmp_path):
    said: list[str] = []
    warned: list[str] = []
    await ensure_swarm(Endpoint(f"unix://{tmp_path}/none"), said.append, warned.append)
    await ensure_swarm(Endpoint("127.0.0.1:1", insecure=True), said.append, warned.append)
    assert (said, len(warned)) == ([], 2)
    assert all("start Docker" in text for text in warned)


def test_an_engine_that_does_not_answer_is_a_warning_of_the_log(tmp_path):
    with structlog.testing.capture_logs() as lines:
        prepare_engines([Endpoint(f"unix://{tmp_path}/none"), Endpoint("127.0.0.1:1", insecure=True)])
    ((event, level),) = [(line["event"], line["log_level"]) for line in lines]
    assert (event, level) == ("engine.not_ready", "warning")
