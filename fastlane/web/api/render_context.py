"""The context in which an answer's value becomes JSON: the server's URL for this client, and which variables are secret."""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from fastlane.redaction import redaction_of


class RenderContext:
    """Belongs to one request. ``base`` is the URL before every path. ``redaction`` are the rules of ``redact_words``."""

    def __init__(self, base: str, redact_words: Sequence[str]) -> None:
        self._base = base
        self.redaction = redaction_of(tuple(redact_words))

    def dispatch_url(self) -> str:
        """The URL before what holds and releases all dispatch."""
        return f"{self._base}/dispatch/"

    def pool_url(self, pool: str) -> str:
        """The URL of a pool."""
        return f"{self._base}/pools/{quote(pool, safe='')}/"

    def task_url(self, task_id: str) -> str:
        """The URL of a task."""
        return f"{self._base}/tasks/{_quoted(task_id)}/"

    def job_url(self, task_id: str, job_id: str) -> str:
        """The URL of a job."""
        return f"{self._base}/tasks/{_quoted(task_id)}/jobs/{job_id}/"

    def execution_url(self, task_id: str, job_id: str, execution_id: str) -> str:
        """The URL of an execution."""
        return f"{self._base}/tasks/{_quoted(task_id)}/jobs/{job_id}/executions/{execution_id}/"

    def resource_url(self, task_id: str, job_id: str | None = None, execution_id: str | None = None) -> str:
        """The URL of an execution; of a job, without an execution; of a task, without both."""
        if job_id is None:
            return self.task_url(task_id)
        return self.job_url(task_id, job_id) if execution_id is None else self.execution_url(task_id, job_id, execution_id)


@lru_cache(maxsize=1024)
def _quoted(task_id: str) -> str:
    """A task id as a part of a path. Remembered, because the rows of a page often have the same one."""
    return quote(task_id, safe="")
