"""One request and its answer: the operation, when to send the request again, how to read the answer, and the words for a missing answer.

Every request may be sent again. A request that would have a second effect carries an Idempotency-Key; the others ask for a state.
"""

import random
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from fastlane.client.errors import NotFastlane, Refused, Unreachable

A = TypeVar("A")
R = TypeVar("R")

VERSION_HEADER = "X-Fastlane-Version"
REPEATABLE = frozenset({429, 502, 503, 504})
"""Answers after which the same request may succeed. A proxy in front of fastlane may give them too."""
FIRST, LARGEST = 0.2, 5.0
"""Seconds between two tries: twice as long each time, up to the largest."""
UNREACHED = 1.0
"""Seconds for which an address is tried that has never answered: it is wrong, or nothing runs there."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """An operation of the API, and the type of its answer. ``path`` has parameters in braces. ``keyed``: it takes an Idempotency-Key."""

    id: str
    method: str
    path: str
    keyed: bool = False

    def path_of(self, parameters: Mapping[str, str]) -> str:
        """The path with these parameters, percent-encoded."""
        return self.path.format_map({name: quote(value, safe="") for name, value in parameters.items()})


class ListOperation(Operation[A], Generic[A, R]):
    """An operation that answers with a page of a list, and the type of its rows."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Answered(Generic[A]):
    """An answer, and the version of what it shows."""

    body: A
    etag: str | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer as it came: its status, its headers by their names in any case, and its bytes."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Attempts:
    """The tries of one request, for ``patience`` seconds. ``now`` is any clock that only goes forward."""

    def __init__(self, patience: float, now: float, *, reached: bool = True) -> None:
        self._patience = patience
        self._delay = FIRST
        self._until = now + (patience if reached else min(patience, UNREACHED))

    def succeeded(self, now: float) -> None:
        """Starts the patience again, after an answer."""
        self._delay = FIRST
        self._until = now + self._patience

    def next(self, now: float, retry_after: float | None = None) -> float | None:
        """Seconds to wait before the next try, with some jitter; None when patience is over."""
        delay = max(self._delay * random.uniform(0.75, 1.25), retry_after or 0.0)
        self._delay = min(LARGEST, self._delay * 2)
        return delay if now + delay <= self._until else None


def reconnect_after(error: Unreachable | Refused, attempts: Attempts) -> float | None:
    """Seconds after which a connection is made again; None when that cannot help."""
    hopeless = error.permanent if isinstance(error, Unreachable) else error.status not in REPEATABLE
    return None if hopeless else attempts.next(time.monotonic())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait, if it does."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def json_of(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises NotFastlane."""
    check_sender(response)
    return response.json()


def check_sender(response: httpx.Response) -> None:
    """Raises NotFastlane when something else answered."""
    if VERSION_HEADER not in response.headers:
        raise _not_fastlane(response)


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem (RFC 9457) of a refusal. Raises NotFastlane when fastlane did not send it."""
    if VERSION_HEADER not in response.headers and response.status_code not in REPEATABLE:
        raise _not_fastlane(response)
    try:
        found = response.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"detail": f"the server answered {response.status_code} {response.reason_phrase}"}


def unreachable(url: str, error: httpx.TransportError) -> Unreachable:
    """The error for a request that got no answer."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            words = f"{url} shows a certificate that is not trusted ({cause.verify_message}); name its authority in FASTLANE_CA_FILE"
            return Unreachable(words, permanent=True)
        if isinstance(cause, ssl.SSLError):
            return Unreachable(
                f"{url} does not speak TLS as expected ({cause.reason or cause}); is it http:// or https://?", permanent=True
            )
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"{url} did not answer in time")
    os_errors = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    why = os_errors[-1] if os_errors else str(error) or type(error).__name__
    return Unreachable(f"{url} cannot be reached: {why}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _not_fastlane(response: httpx.Response) -> NotFastlane:
    words = f"{response.url.copy_with(query=None)} does not answer as fastlane does (status {response.status_code})"
    return NotFastlane(f"{words}; check the server's URL")
