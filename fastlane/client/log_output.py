"""A followed log: the query for a part of it, its events, the reader of server-sent events, and the output of a run. Pure."""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from fastlane.client.contract import Execution
from fastlane.client.errors import JobFailed

Stream = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that the command wrote to a stream, and when (ISO 8601). ``cursor`` is the position after them."""

    stream: Stream
    data: bytes
    time: str
    cursor: str


@dataclass(frozen=True, slots=True)
class AttemptBegan:
    """The next attempt, which wrote the output that follows."""

    execution_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Failed:
    """Why the last attempt failed, when it wrote nothing."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The end: nothing follows. ``exit_code`` is None when the command never had one."""

    status: str
    exit_code: int | None


LogEvent = Output | AttemptBegan | Failed | Ended


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which log, and which part of it. ``execution``: follow that one, through its further attempts; ``only``: without these."""

    task: str
    job: str
    execution: str | None = None
    only: bool = False
    follow: bool = True
    stream: Stream | None = None
    tail: int | None = None
    since: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of the path."""
        ids = {"task_id": self.task, "job_id": self.job}
        return {**ids, "execution_id": self.execution} if self.execution is not None and self.only else ids

    def query(self, cursor: str | None) -> dict[str, Any]:
        """The query's parameters: from the cursor on, or from the beginning of the part."""
        query = {"encoding": "base64", "follow": 1 if self.follow else None, "stream": self.stream}
        if cursor is None and self.execution is not None and not self.only and self.tail is None and self.since is None:
            cursor = f"{self.execution}:0"
        return {**query, "from": cursor} if cursor is not None else {**query, "tail": self.tail, "since": self.since}


class SentEvents:
    """Reads server-sent events from the bytes of an answer, however they are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
        """The kind and the data of each event that is complete with these bytes; comments are left out."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and not line.startswith(b":"))
            if b"data" in fields:
                yield fields.get(b"event", b"").decode(), json.loads(fields[b"data"])


def log_event(kind: str, data: dict[str, Any]) -> LogEvent | None:
    """The event of a log that a server-sent event is; None for events of later versions."""
    match kind:
        case "log":
            return Output(data["stream"], b64decode(data["data"]), data["time"], data["cursor"])
        case "attempt":
            return AttemptBegan(data["executionId"], data["attempt"])
        case "failure":
            return Failed(data["reason"], data["message"])
        case "end":
            return Ended(data["status"], data["exitCode"])
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Finished:
    """What ``run`` returns: the last attempt, as the server has it, and what it wrote."""

    execution: Execution
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """Whether the command ran and exited with 0."""
        return self.execution["status"] == "done"

    @property
    def exit_code(self) -> int | None:
        """The command's exit code; None when it never had one."""
        return self.execution["exitCode"]

    def check(self) -> "Finished":
        """Returns itself. Raises JobFailed when it is not ``ok``."""
        if not self.ok:
            failure = self.execution["failure"]
            words = f"it ended as {self.execution['status']}" + (f": {failure['message']}" if failure else "")
            raise JobFailed(words, self.execution)
        return self
