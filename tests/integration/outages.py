"""What the tests of outages share: a disk that can be full, the starts that an engine reports, clients that post all the time, and a watch
on the processes."""

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.support.installation import LINGER, Answer, Installation
from tests.support.waiting import wait_until

MEMORY = 300 * 1024 * 1024
"""Bytes that a process may take during any outage. It usually takes about 100 MiB."""
ERRORS = 20
"""Events of level error that one outage may cause in a process."""
EVENTS_A_SECOND = 20
"""Events of any level, except those of jobs and requests, that an outage may cause each second."""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mounts a file system of this size at ``folder``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True, timeout=30)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=30)


def fill(disk: Path) -> Path:
    """Takes all free space. Returns the file to remove."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return filler


class EngineEvents:
    """Counts the starts of containers that an engine reports, past every proxy. A context manager."""

    def __init__(self, engine: str, file: Path) -> None:
        self._engine = engine
        self._file = file

    def __enter__(self) -> "EngineEvents":
        command = ["docker", "-H", self._engine, "events", "--since", str(int(time.time())), "--filter", "type=container"]
        command += ["--filter", "event=start", "--format", "{{json .Actor.Attributes}}"]
        with self._file.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output)
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()

    def starts(self, execution_id: str) -> int:
        """How many containers an execution has started."""
        names = (json.loads(line).get("com.docker.swarm.service.name", "") for line in self._file.read_text().splitlines())
        return sum(name.startswith(f"fastlane-{execution_id}") for name in names)


@dataclass
class PostedJobs:
    """The accepted jobs, with what each must write, and the answers to the refused ones."""

    fastlane: Installation
    accepted: list[tuple[dict[str, Any], bytes]] = field(default_factory=list)
    refused: list[tuple[str, Answer, float]] = field(default_factory=list)
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def post(self, script: str = "", output: bytes = b"") -> Answer:
        """Posts a job, in a task of its own, that writes its number or runs the script. Returns the answer, whatever it is."""
        with self._lock:
            self._number += 1
            number = self._number
        script, output = script or f"echo {number}{LINGER}", output or f"{number}\n".encode()
        before = time.monotonic()
        answer = self.fastlane.post(f"/tasks/job-{number}", {"image": "ubuntu:latest", "command": ["sh", "-c", script]})
        with self._lock:
            if answer.status == 200:
                self.accepted.append((answer.json, output))
            else:
                self.refused.append((f"job-{number}", answer, time.monotonic() - before))
        return answer

    @contextlib.contextmanager
    def posting(self, every: float = 0.25) -> Iterator[None]:
        """Two clients post jobs for the whole block, so also at the moments when something breaks or recovers."""
        stop = threading.Event()

        def post() -> None:
            while not stop.wait(every):
                self.post()

        with ThreadPoolExecutor(2) as pool:
            posters = [pool.submit(post) for _ in range(2)]
            try:
                yield
            finally:
                stop.set()
            for poster in posters:
                poster.result()

    def check_refusals(self, within: float) -> None:
        """Fails unless each refusal was a clear 503 within this many seconds."""
        for _, answer, seconds in self.refused:
            assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json"), answer.body
            assert int(answer.headers["Retry-After"]) > 0
            assert seconds < within, answer.body

    def check_refused_are_nowhere(self) -> None:
        """Fails if a refused job was stored."""
        for task, answer, _ in self.refused:
            assert self.fastlane.get(f"/tasks/{task}").status == 404, answer.body

    def check_ends(self, witness: EngineEvents, patience: float = 120) -> None:
        """Fails unless each accepted job ends well, in one container, with the output that it must write."""
        for reply, output in self.accepted:
            ended = self.fastlane.ends(reply, patience)
            assert (ended["status"], ended["exitCode"], ended["attempt"]) == ("done", 0, 1), ended
            found = self.fastlane.output(reply)
            assert found == output, f"{found!r} instead of {output!r} from {ended}"
            wait_until(lambda id=ended["executionId"]: witness.starts(id) > 0, "the engine to tell of the start", 10)
            assert witness.starts(ended["executionId"]) == 1
        wait_until(lambda: not self.fastlane.services(), "the services to go", patience)


class ProcessWatch:
    """Watches the processes of an installation during an outage."""

    def __init__(self, fastlane: Installation, *roles: str) -> None:
        self._fastlane = fastlane
        self._roles = roles
        self._since = time.monotonic()
        self._lines = {role: len(self._log(role)) for role in roles}

    def check(self) -> None:
        """Fails if a process has ended, has grown, or has flooded its log."""
        for process in self._fastlane.processes:
            assert process.poll() is None
            assert psutil.Process(process.pid).memory_info().rss < MEMORY
        for role in self._roles:
            events = [json.loads(line) for line in self._log(role)[self._lines[role] :]]
            levels = Counter(event["level"] for event in events)
            assert levels["error"] <= ERRORS, [event for event in events if event["level"] == "error"][:3]
            assert sum("exception" in event for event in events) == 0, next(event for event in events if "exception" in event)
            ordinary = ("job.", "execution.", "http.", "queue.put.", "tick.")
            odd = Counter(event["event"] for event in events if not event["event"].startswith(ordinary))
            assert odd.total() <= EVENTS_A_SECOND * (time.monotonic() - self._since), odd

    def _log(self, role: str) -> list[str]:
        return (self._fastlane.folder / f"{role}.log").read_text().splitlines()


def check_reads(fastlane: Installation, reply: dict[str, Any]) -> None:
    """Fails unless the process is alive and reads of a job and its task are answered at once."""
    for path in ("/livez", f"/tasks/{reply['taskId']}", f"/tasks/{reply['taskId']}/jobs/{reply['jobId']}"):
        before = time.monotonic()
        assert fastlane.get(path).status == 200, path
        assert time.monotonic() - before < 2, path


def check_health(fastlane: Installation, part: str) -> str:
    """Fails unless each answer comes within two seconds, and one soon is a 503 that names the part: an answer may be a second old. Returns
    its message."""

    def told() -> str | None:
        before = time.monotonic()
        answer = fastlane.get("/healthcheck")
        assert time.monotonic() - before < 2.2
        if answer.status != 503 or answer.json[part]:
            return None
        words: str = next(error["message"] for error in answer.json["errors"] if error["source"] == part)
        return words

    return wait_until(told, f"health to name {part}", 10)
