"""The measured processes: other modules of this folder, started with ``python -m``, and ``fastlane api``."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from uuid import uuid4

from benchmarks.witness import VARIABLE
from tests.support.ports import free_port

ROOT = Path(__file__).parents[1]
PATIENCE = 30.0
HOST = "unix:///instant"
"""The name of the host whose executor ends each job at once."""
AT_ONCE = 200
"""The pool's ``maxRunning``."""


@contextlib.contextmanager
def child(
    module: str, *words: str, env: Mapping[str, str] | None = None, python: Path | str = sys.executable, of: str = "benchmarks"
) -> Iterator[subprocess.Popen[str]]:
    """Runs a module of this folder (or package ``of``) until the end of the block, and waits until it prints ``ready``. If it fails
    before that, the error shows its standard error."""
    with started([str(python), "-m", f"{of}.{module}", *words], env or {}) as (process, said):
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{module} did not start: {_end_of(said)}")
        yield process


@contextlib.contextmanager
def api(settings: Mapping[str, str]) -> Iterator[int]:
    """Runs ``fastlane api``; yields its port on 127.0.0.1."""
    with server("api", settings) as (port, _):
        yield port


@contextlib.contextmanager
def server(role: str, settings: Mapping[str, str], *words: str) -> Iterator[tuple[int, int]]:
    """Runs ``fastlane api`` or ``fastlane up`` with these options; yields its port on 127.0.0.1, and its process id."""
    port = free_port()
    around = {**settings, "FASTLANE_PORT": str(port), "FASTLANE_LISTEN": "127.0.0.1"}
    with started([sys.executable, "-m", "fastlane", role, *words], around) as (process, said):
        give_up = time.monotonic() + PATIENCE
        while not _alive(port):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"fastlane {role} did not start: {_end_of(said)}")
            time.sleep(0.02)
        yield port, process.pid


@contextlib.contextmanager
def started(command: list[str], env: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process, and the file that has what it writes to standard error. It and all that it started are gone after the block."""
    with (
        tempfile.TemporaryDirectory() as folder,
        (Path(folder) / "said").open("w") as said,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process, Path(folder) / "said"
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def settings_for(folder: Path | str, redis: str, witness: Path | None = None, hosts: Sequence[str] = (HOST,)) -> dict[str, str]:
    """The settings of a new installation on the executor that ends at once, for its processes."""
    pool = {"name": "default", "match": "", "hosts": list(hosts), "maxRunning": AT_ONCE}
    settings = {
        "FASTLANE_DATA_DIR": str(folder),
        "FASTLANE_REDIS_URL": redis,
        "FASTLANE_INSTALLATION": f"bench-{uuid4().hex[:8]}",
        "FASTLANE_POOLS": json.dumps([pool]),
    }
    return settings if witness is None else {**settings, VARIABLE: str(witness)}


def cpu_seconds(pid: int) -> float:
    """The processor time that a process's threads have used, to the nanosecond."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def session_of(leader: int) -> list[int]:
    """The process that ``started`` yields, and those that it started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _parent, _group, session, *_ = path.read_text().rpartition(")")[2].split()[1:]
            found += [int(path.parent.name)] if int(session) == leader else []
    return found


def resident_bytes(pid: int) -> int:
    """How much memory a process has in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _alive(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _end_of(said: Path) -> str:
    return said.read_text()[-2000:]
