"""Which log a follower wants, and which part of it. Pure."""

from dataclasses import dataclass
from typing import Any

from fastlane.client.events import Stream


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
        """Those of the path."""
        ids = {"task_id": self.task, "job_id": self.job}
        return {**ids, "execution_id": self.execution} if self.execution is not None and self.only else ids

    def query(self, cursor: str | None) -> dict[str, Any]:
        """Where to begin: after the cursor, or where the part begins."""
        query = {"encoding": "base64", "follow": 1 if self.follow else None, "stream": self.stream}
        if cursor is None and self.execution is not None and not self.only and self.tail is None and self.since is None:
            cursor = f"{self.execution}:0"
        return {**query, "from": cursor} if cursor is not None else {**query, "tail": self.tail, "since": self.since}
