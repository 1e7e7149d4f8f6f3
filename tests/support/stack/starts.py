"""Counts the starts of containers as the engines tell of them, so that a command that ran twice is seen, whatever fastlane says."""

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Sequence
from typing import IO

from tests.support.swarms import Node

EVENTS = ("events", "--format", "{{json .Actor.Attributes}}", "--filter", "type=container", "--filter", "event=start")


class Starts:
    """How often the containers of each execution were started, by its id. Used as a context manager."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._processes: list[subprocess.Popen[str]] = []
        self._threads: list[threading.Thread] = []
        self.of: Counter[str] = Counter()

    def __enter__(self) -> "Starts":
        for node in self._nodes:
            command = ["setpriv", "--pdeathsig", "KILL", "docker", "-H", node.url, *EVENTS]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            thread = threading.Thread(target=self._count, args=(process.stdout,), daemon=True)
            thread.start()
            self._processes.append(process)
            self._threads.append(thread)
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for process, thread in zip(self._processes, self._threads, strict=True):
            thread.join()
            if process.stdout is not None:
                process.stdout.close()

    def _count(self, lines: IO[str]) -> None:
        for line in lines:
            service = json.loads(line).get("com.docker.swarm.service.name", "")
            if service.startswith("fastlane-"):
                self.of[service.removeprefix("fastlane-").rpartition("-")[0]] += 1
