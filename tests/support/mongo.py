"""A real server of MongoDB's protocol for the tests: the one at FASTLANE_TEST_MONGO_URL, a ``mongod`` on PATH, or SecantusDB.

SecantusDB is in an environment of its own (``.venv-mongo``, see requirements/mongo.in), since it is only a program here.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.support.scratch import short_folder
from tests.support.waiting import LONG_PATIENCE, PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
SECANTUS = ROOT / ".venv-mongo" / "bin" / "secantusd-py"
OUTSIDE = os.environ.get("FASTLANE_TEST_MONGO_URL")


class RealMongo:
    """A server that a test may stop, kill and pause. Used as a context manager; its data go with it. ``second``: mongoeco."""

    def __init__(self, *, second: bool = False) -> None:
        self._second = second
        self._folder = short_folder()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> "RealMongo":
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str, host: str | None = None) -> str:
        """The URL of a database of it, also under another address that leads to it."""
        return f"mongodb://{host or f'127.0.0.1:{self.port}'}/{database}?directConnection=true"

    def start(self) -> None:
        """Starts it and waits until it answers."""
        with (self._folder / "log").open("ab") as output:
            self._process = subprocess.Popen(self._command(), cwd=self._folder, stdout=output, stderr=output)
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, f"the server ended while it started: {(self._folder / 'log').read_text()[-2000:]}"
            return self._answers()

        wait_until(answers, "the server to answer", LONG_PATIENCE)

    def kill(self) -> None:
        """kill -9; its data stay until the end of the test."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(PATIENCE)
            self._process = None

    def snapshot(self, copy: Path) -> None:
        """Copies the files of its data as they are at one moment, as a snapshot of its disk does."""
        self.pause()
        shutil.copytree(self._folder / "data", copy)
        self.go_on()

    def restore(self, copy: Path) -> None:
        """Starts it anew on a copy of its data. Ends it before that."""
        self.kill()
        shutil.rmtree(self._folder / "data")
        shutil.copytree(copy, self._folder / "data")
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it takes connections and answers nothing, once this has returned."""
        self._signal(signal.SIGSTOP)
        if self._process is not None and self._process.poll() is None:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def go_on(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def client(self) -> "MongoClient[dict[str, Any]]":
        """A plain blocking client, to look at the data; to be closed by who asked for it."""
        return MongoClient(self.url(""), timeoutMS=int(PATIENCE * 1000), retryWrites=False)

    def _command(self) -> Sequence[str]:
        data = str(self._folder / "data")
        if self._second:
            return [str(SECANTUS.with_name("python")), str(Path(__file__).with_name("mongoeco_server.py")), str(self.port), data]
        if mongod := shutil.which("mongod"):
            Path(data).mkdir(exist_ok=True)
            return [mongod, "--bind_ip", "127.0.0.1", "--port", str(self.port), "--dbpath", data, "--setParameter", "enableTestCommands=1"]
        assert SECANTUS.exists(), f"there is no {SECANTUS}: scripts/venv .venv-mongo requirements/mongo.txt makes it"
        options = ("--cache-size", "256M", "--sync-on-commit", "--enable-test-commands", "--log-level", "WARNING")
        return [str(SECANTUS), "--host", "127.0.0.1", "--port", str(self.port), "--storage-path", data, *options]

    def _answers(self) -> bool:
        with contextlib.suppress(PyMongoError, OSError), MongoClient(self.url(""), timeoutMS=1_000) as client:
            return bool(client.admin.command("ping")["ok"])
        return False

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


def server_name() -> str:
    """The server that the tests use, in words without a password."""
    if OUTSIDE is not None:
        return "the server at FASTLANE_TEST_MONGO_URL"
    return "mongod" if shutil.which("mongod") else "SecantusDB (requirements/mongo.txt)"


def database_url(server: str, database: str) -> str:
    """The URL of a database of the server at a URL."""
    base, _, options = server.partition("?")
    return f"{base.rstrip('/')}/{database}{f'?{options}' if options else ''}"


def emptied(url: str) -> str:
    """The URL of a database, once all of its documents are removed. Its indexes stay, since making them takes longer than most tests."""
    with MongoClient[dict[str, Any]](url, timeoutMS=30_000, retryWrites=False) as client:
        database = client.get_default_database()
        for name in database.list_collection_names():
            if name != "system.views":
                database[name].delete_many({"_id": {"$ne": "schema"}})
    return url
