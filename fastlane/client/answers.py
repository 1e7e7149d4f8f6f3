"""Reads an answer, and says in words why there is none."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from fastlane.client.errors import NotFastlane, Unreachable

A = TypeVar("A")

VERSION_HEADER = "X-Fastlane-Version"
FROM_PROXIES = frozenset({429, 502, 503, 504})
"""What a proxy in front of fastlane says of its own."""


@dataclass(frozen=True, slots=True)
class Answered(Generic[A]):
    """An answer, and the version of what it shows."""

    body: A
    etag: str | None


def json_of(response: httpx.Response) -> Any:
    """The JSON of an answer. Raises NotFastlane."""
    if VERSION_HEADER not in response.headers:
        raise _not_fastlane(response)
    return response.json()


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem (RFC 9457) of a refusal. Raises NotFastlane when fastlane did not send it."""
    if VERSION_HEADER not in response.headers and response.status_code not in FROM_PROXIES:
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
