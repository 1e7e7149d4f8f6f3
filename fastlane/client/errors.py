"""The errors between a program and a fastlane server. Each class stands for one thing to do next; the text says what."""

from collections.abc import Mapping, Sequence
from typing import Any


class ClientError(Exception):
    """The base of all errors of the client."""


class WrongAddress(ClientError):
    """The address or the credentials are not valid: no request was sent."""


class Unreachable(ClientError):
    """No answer came: the server or the network is away. The server may have carried the request out; a request with an
    Idempotency-Key can be sent again. ``permanent``: trying again cannot help."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class NotFastlane(ClientError):
    """Something answers at the address, but not as fastlane does."""


class Refused(ClientError):
    """The server refused the request. ``status`` is the HTTP status, ``faults`` say what is wrong, by field."""

    def __init__(self, message: str, status: int, faults: Sequence[tuple[str, str]] = (), problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.faults = tuple(faults)
        self.problem = problem or {}
        self.repeated = False
        """Whether the request had been sent before, without an answer."""
        self.headers: Mapping[str, str] = {}
        """The headers of the answer."""


class Invalid(Refused):
    """400, 413, 422: the request is wrong; ``faults`` say where."""


class Unauthorized(Refused):
    """401: the server wants to know who asks, or does not know these credentials."""


class Forbidden(Refused):
    """403: the caller may not do this, or the pool's policy does not allow it."""


class NotFound(Refused):
    """404: it does not exist, or the caller may not see it."""


class NotStarted(NotFound):
    """404: it has no output, since it has not started."""

    @property
    def execution_status(self) -> str:
        """The status of the execution or the job."""
        return str(self.problem.get("executionStatus", ""))


class Conflict(Refused):
    """409: its current state does not allow it."""


class Changed(Refused):
    """412: the job has changed since the caller read it."""


class TooMany(Refused):
    """429: too many requests, or followers; the client has already tried again."""


class Unavailable(Refused):
    """5xx: the server cannot answer now; the client has already tried again."""


class JobFailed(ClientError):
    """An execution did not end well; only ``check`` raises it. ``execution`` is as the server has it."""

    def __init__(self, message: str, execution: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.execution = execution


class NotEnded(ClientError, TimeoutError):
    """The time to wait is over, and the job goes on. ``task``, ``job`` and ``execution`` are its ids: wait for it again, or stop it.
    ``stdout`` and ``stderr``: what ``run`` has read of the attempt so far."""

    def __init__(self, task: str, job: str, execution: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        super().__init__(f"{task}/{job} has not ended in time, and goes on")
        self.task, self.job, self.execution = task, job, execution
        self.stdout, self.stderr = stdout, stderr


CLASSES: Mapping[int, type[Refused]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Changed,
    429: TooMany,
}


def refusal(status: int, problem: Mapping[str, Any]) -> Refused:
    """The error for an answer with this status and this problem (RFC 9457)."""
    faults = [(str(row.get("field", "")), str(row.get("message", ""))) for row in problem.get("errors", ()) if isinstance(row, dict)]
    words = "; ".join(f"{field}: {message}" if field else message for field, message in faults)
    message = words or str(problem.get("detail") or problem.get("title") or f"HTTP status {status}")
    kind = CLASSES.get(status, Unavailable if status >= 500 else Invalid)
    if status == 404 and "executionStatus" in problem:
        kind = NotStarted
    return kind(message, status, faults, problem)
