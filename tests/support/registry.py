"""A real image registry for the tests: Debian's docker-registry, in the network of a Docker engine, with a password or without one.

An engine takes a registry on 127.0.0.0/8 without TLS, so one that runs in the engine's own network serves it. No other process of this
machine reaches it then: images come and go through an engine, and tags are read and removed where the registry keeps them.
"""

import base64
import ctypes
import json
import secrets
import shutil
import signal
import socket
import string
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.support.engine import IMAGE, connect
from tests.support.waiting import wait_until

PATIENCE = 30.0
FREE_PORT = "import socket, sys; s = socket.socket(); s.bind((sys.argv[1], 0)); print(s.getsockname()[1])"
SALT_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Pushed:
    """An image in a registry."""

    reference: str
    """``HOST:PORT/NAME:TAG``"""
    digest: str
    """``sha256:…`` of its manifest"""
    pinned: str
    """``HOST:PORT/NAME@sha256:…``"""


class Registry:
    """A docker-registry that a test may pause and stop. Used as a context manager; its images are gone with it."""

    def __init__(self, inside: Sequence[str], home: Path, host: str = "127.0.0.1", *, password: bool = False) -> None:
        """``inside`` is the beginning of a command that runs the rest of it in the network where ``host`` is an address; ``home`` a folder
        that is removed with that network, so that a killed run leaves nothing.
        """
        self._inside = list(inside)
        self._home = home
        self._host = host
        self.username = "reader-of-images" if password else ""
        self.password = secrets.token_urlsafe(12) if password else ""
        self.address = ""
        """``HOST:PORT``, the same after a stop and a start."""
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def beside(cls, engine: str, *, password: bool = False) -> "Registry":
        """In the network of the engine at ``unix://…``, which alone reaches it."""
        beside = Path(engine.removeprefix("unix://")).resolve().parent
        temporary = Path(tempfile.gettempdir())
        home = beside if beside.is_relative_to(temporary) else temporary
        return cls(["nsenter", "--target", str(process_behind(engine)), "--net"], home, password=password)

    def __enter__(self) -> "Registry":
        self._folder = Path(tempfile.mkdtemp(prefix="registry-", dir=self._home))
        port = self.run([sys.executable, "-c", FREE_PORT, self._host]).strip()
        self.address = f"{self._host}:{port}"
        self._configure()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def credentials(self) -> dict[str, str]:
        """As docker-py's ``auth_config`` wants them; empty when there is no password."""
        return {"username": self.username, "password": self.password} if self.password else {}

    @property
    def docker_config(self) -> dict[str, Any]:
        """The content of a Docker configuration file that knows the credentials."""
        secret = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return {"auths": {self.address: {"auth": secret}}}

    def start(self) -> None:
        """Starts it and waits until it listens."""
        log = self._folder / "log"
        command = ["setpriv", "--pdeathsig", "KILL", *self._inside, "docker-registry", "serve", str(self._folder / "config.yml")]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        process = self._process

        def listens() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            return b"listening on" in log.read_bytes()

        wait_until(listens, "the registry to listen", PATIENCE)

    def stop(self) -> None:
        """Ends it: connections are refused. Its images stay for the next start."""
        if self._process:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._process = None

    def pause(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undoes ``pause``."""
        self._signal(signal.SIGCONT)

    def run(self, command: Sequence[str]) -> str:
        """What a command prints that runs where the registry can be reached."""
        return subprocess.run([*self._inside, *command], capture_output=True, check=True, text=True, timeout=PATIENCE).stdout

    def push(self, engine: str, name: str, content: str = "", *, image: str = IMAGE) -> Pushed:
        """Pushes ``image`` as ``NAME:TAG`` through an engine, labelled with ``content``: another content is another digest.

        A tag that was there moves. The engine keeps no copy under the registry's name: it has to pull what it runs.
        """
        repository, _, tag = name.partition(":")
        client = connect(engine)
        try:
            container = client.create_container(image, ["true"])["Id"]
            target = f"{self.address}/{repository}"
            client.commit(container, target, tag, changes=f"LABEL content={json.dumps(content)}")
            client.remove_container(container)
            said = list(client.push(target, tag, stream=True, decode=True, auth_config=self.credentials))
            client.remove_image(f"{target}:{tag}")
        finally:
            client.close()
        assert not any("error" in line for line in said), said
        digest = self.digest(name)
        return Pushed(f"{target}:{tag}", digest, f"{target}@{digest}")

    def digest(self, name: str) -> str:
        """What ``NAME:TAG`` names now, ``sha256:…``."""
        return (self._tag(name) / "current" / "link").read_text()

    def remove_tag(self, name: str) -> None:
        """``NAME:TAG`` names nothing any more; the manifest is still there by its digest."""
        shutil.rmtree(self._tag(name))

    def remove_image(self, name: str) -> None:
        """``NAME:TAG`` is gone, and its manifest by its digest too."""
        algorithm, _, figure = self.digest(name).partition(":")
        shutil.rmtree(self._manifests(name) / "revisions" / algorithm / figure)
        self.remove_tag(name)

    def _tag(self, name: str) -> Path:
        return self._manifests(name) / "tags" / name.partition(":")[2]

    def _manifests(self, name: str) -> Path:
        return self._folder / "data/docker/registry/v2/repositories" / name.partition(":")[0] / "_manifests"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process, "the registry is stopped"
        self._process.send_signal(number)

    def _configure(self) -> None:
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}},
            "http": {"addr": self.address},
        }
        if self.password:
            users = self._folder / "users"
            users.write_text(f"{self.username}:{bcrypt(self.password)}\n")
            config["auth"] = {"htpasswd": {"realm": "tests", "path": str(users)}}
        (self._folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML


def bcrypt(password: str) -> str:
    """The hash that a registry's file of users wants, by the system's own crypt(3)."""
    salt = "".join(secrets.choice(SALT_LETTERS) for _ in range(22))
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    hashed: bytes | None = crypt(password.encode(), f"$2b$05${salt}".encode())
    assert hashed is not None
    assert hashed.startswith(b"$2b$"), "this system's crypt(3) knows no bcrypt"
    return hashed.decode()


def process_behind(engine: str) -> int:
    """The pid of the process that listens on ``unix://…``."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(engine.removeprefix("unix://"))
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(pid)


@pytest.fixture
def registry(engine: str) -> Iterator[Registry]:
    """A registry without a password, which the engine of ``engine`` reaches."""
    with Registry.beside(engine) as running:
        yield running


@pytest.fixture
def private_registry(engine: str) -> Iterator[Registry]:
    """A registry with a password, which the engine of ``engine`` reaches."""
    with Registry.beside(engine, password=True) as running:
        yield running
