"""Sends requests to a server: again when trying again may help, and with an error of ours when it does not."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from uuid import uuid4

import httpx

from fastlane.client.address import Address
from fastlane.client.answers import Answered, json_of, problem_of, unreachable
from fastlane.client.errors import Refused, Unreachable, refusal
from fastlane.client.operation import Operation
from fastlane.client.retries import REPEATABLE, Attempts, retry_after

A = TypeVar("A")

ANSWER_WITHIN = 75.0
"""Seconds for an answer: a server waits up to 60 for the end of a job."""
CONNECT_WITHIN = 10.0


class Transport:
    """The connections to one server. ``patience``: the seconds for which a request is sent again while no answer comes, or 429 or 503."""

    def __init__(self, address: Address, patience: float) -> None:
        self.address = address
        self.patience = patience
        self.server_version: str | None = None
        """The version in the last answer."""
        self._base = str(address.checked_url().copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/")
        options: dict[str, Any] = address.options()
        self._http = httpx.Client(timeout=httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN), **options)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def call(
        self,
        operation: Operation[A],
        parameters: dict[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> A:
        """The answer of an operation. Raises a ClientError."""
        return (self.answer(operation, parameters, query, body, if_match)).body

    def answer(
        self,
        operation: Operation[A],
        parameters: dict[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> Answered[A]:
        """The answer of an operation with its headers. Raises a ClientError."""
        headers = {"Idempotency-Key": str(uuid4())} if operation.keyed and not (query or {}).get("dryRun") else {}
        headers |= {"If-Match": if_match} if if_match else {}
        request = self._http.build_request(
            operation.method, self._url(operation, parameters), params=_present(query), json=body, headers=headers
        )
        attempts, lost = Attempts(self.patience, time.monotonic(), reached=self.server_version is not None), False
        while True:
            wait: float | None = None
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                failure: Exception = unreachable(self.address.shown, error)
                lost = True
            else:
                self._note_version(response)
                if response.status_code < 400:
                    return Answered(cast("A", json_of(response)), response.headers.get("ETag"))
                failure, wait = _refusal(response, lost), retry_after(response.headers)
                if response.status_code not in REPEATABLE:
                    raise failure
            self._pause(attempts, failure, wait)

    @contextmanager
    def stream(
        self, operation: Operation[None], parameters: dict[str, str], query: Mapping[str, Any], read_within: float
    ) -> Iterator[Iterator[bytes]]:
        """The body of an operation's answer as server-sent events, as its bytes come. It is tried once. Raises Unreachable when the
        connection cannot be made or is lost, and Refused."""
        timeout = httpx.Timeout(read_within, connect=CONNECT_WITHIN)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        try:
            with self._http.stream(
                operation.method, self._url(operation, parameters), params=_present(query), headers=headers, timeout=timeout
            ) as response:
                self._note_version(response)
                if response.status_code >= 400:
                    response.read()
                    raise _refusal(response, repeated=False)
                yield response.iter_raw()
        except httpx.TransportError as error:
            raise unreachable(self.address.shown, error) from None

    def _pause(self, attempts: Attempts, failure: Exception, wait: float | None) -> None:
        """Waits before the next try; raises the failure when there is none."""
        permanent = isinstance(failure, Unreachable) and failure.permanent
        delay = None if permanent else attempts.next(time.monotonic(), wait)
        if delay is None:
            raise failure
        time.sleep(delay)

    def _url(self, operation: Operation[Any], parameters: dict[str, str] | None) -> str:
        return self._base + operation.path_of(parameters or {})

    def _note_version(self, response: httpx.Response) -> None:
        self.server_version = response.headers.get("X-Fastlane-Version", self.server_version)


def _refusal(response: httpx.Response, repeated: bool) -> Refused:
    error = refusal(response.status_code, problem_of(response))
    error.repeated = repeated
    return error


def _present(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}
