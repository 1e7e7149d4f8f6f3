"""Sends requests to a server. A request is repeated while that may help; a failure becomes one of the client's errors."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx

from fastlane.client.address import Address
from fastlane.client.errors import Refused, Unreachable, refusal
from fastlane.client.exchange import (
    REPEATABLE,
    VERSION_HEADER,
    Answered,
    Attempts,
    Fetched,
    ListOperation,
    Operation,
    check_sender,
    json_of,
    problem_of,
    retry_after,
    unreachable,
)

A = TypeVar("A")
R = TypeVar("R")

ANSWER_WITHIN = 75.0
"""Seconds for an answer: a server waits up to 60 for the end of a job."""
CONNECT_WITHIN = 10.0
LARGEST_PAGE = 100


class AsyncTransport:
    """The connections to one server. ``patience``: the seconds for which a request is sent again while no answer comes, or 429 or 503."""

    def __init__(self, address: Address, patience: float) -> None:
        self.address = address
        self.patience = patience
        self.server_version: str | None = None
        """The version in the last answer."""
        self._base = str(address.checked_url().copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/")
        options: dict[str, Any] = address.options()
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN), **options)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def call(
        self,
        operation: Operation[A],
        parameters: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> A:
        """The answer of an operation. Raises a ClientError."""
        return (await self.answer(operation, parameters, query, body, if_match)).body

    async def answer(
        self,
        operation: Operation[A],
        parameters: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> Answered[A]:
        """The answer of an operation with its headers. Raises a ClientError."""
        response = await self._response(operation, parameters, query, body, {"If-Match": if_match} if if_match else None)
        return Answered(cast("A", json_of(response)), response.headers.get("ETag"))

    async def content(
        self,
        operation: Operation[Any],
        parameters: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        last: int | None = None,
    ) -> bytes:
        """The body of an operation's answer, or only its last bytes, this many at most. Raises a ClientError."""
        headers = {"Range": f"bytes=-{last}"} if last else None
        return (await self._response(operation, parameters, query, headers=headers)).content

    async def fetch(
        self,
        operation: Operation[Any],
        parameters: Mapping[str, str],
        query: Mapping[str, Any],
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None,
    ) -> Fetched:
        """The answer of an operation as it comes. Raises a ClientError."""
        response = await self._response(operation, parameters, query, body, headers)
        check_sender(response)
        return Fetched(response.status_code, response.headers, response.content)

    async def reported(self, operation: Operation[A]) -> A:
        """The answer of an operation that reports with 503, too. It is tried once. Raises a ClientError."""
        try:
            response = await self._http.send(self._http.build_request(operation.method, self._url(operation, None)))
        except httpx.TransportError as error:
            raise unreachable(self.address.shown, error) from None
        self._note_version(response)
        if response.status_code not in (200, 503):
            raise _refusal(response, repeated=False)
        return cast("A", json_of(response))

    async def _response(
        self,
        operation: Operation[Any],
        parameters: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        keyed = {"Idempotency-Key": str(uuid4())} if operation.keyed and not (query or {}).get("dryRun") else {}
        request = self._http.build_request(
            operation.method, self._url(operation, parameters), params=_present(query), json=body, headers=keyed | dict(headers or {})
        )
        attempts, lost = Attempts(self.patience, time.monotonic(), reached=self.server_version is not None), False
        while True:
            wait: float | None = None
            try:
                response = await self._http.send(request)
            except httpx.TransportError as error:
                failure: Exception = unreachable(self.address.shown, error)
                lost = True
            else:
                self._note_version(response)
                if response.status_code < 400:
                    return response
                failure, wait = _refusal(response, lost), retry_after(response.headers)
                if response.status_code not in REPEATABLE:
                    raise failure
            await self._pause(attempts, failure, wait)

    async def rows(
        self, operation: ListOperation[Any, R], parameters: Mapping[str, str] | None = None, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[R]:
        """Every row of a list, at the same cost at every step. The next page is asked for when the rows before it have been taken."""
        async for page in self.pieces(operation, parameters, {"perPage": LARGEST_PAGE, **(query or {})}):
            for row in page["items"]:
                yield row

    async def pieces(
        self, operation: Operation[Any], parameters: Mapping[str, str] | None = None, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[Any]:
        """Every page of an operation, each when the one before it has been taken."""
        asked: Mapping[str, Any] = query or {}
        while True:
            page = await self.call(operation, parameters, asked)
            yield page
            if page["nextUrl"] is None:
                return
            asked = dict(parse_qsl(urlsplit(page["nextUrl"]).query))

    @asynccontextmanager
    async def stream(
        self, operation: Operation[Any], parameters: Mapping[str, str], query: Mapping[str, Any], read_within: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of an operation's answer as server-sent events, as its bytes come. It is tried once. Raises Unreachable when the
        connection cannot be made or is lost, and Refused."""
        timeout = httpx.Timeout(read_within, connect=CONNECT_WITHIN)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        try:
            async with self._http.stream(
                operation.method, self._url(operation, parameters), params=_present(query), headers=headers, timeout=timeout
            ) as response:
                self._note_version(response)
                if response.status_code >= 400:
                    await response.aread()
                    raise _refusal(response, repeated=False)
                yield response.aiter_raw()
        except httpx.TransportError as error:
            raise unreachable(self.address.shown, error) from None

    async def _pause(self, attempts: Attempts, failure: Exception, wait: float | None) -> None:
        """Waits before the next try; raises the failure when there is none."""
        permanent = isinstance(failure, Unreachable) and failure.permanent
        delay = None if permanent else attempts.next(time.monotonic(), wait)
        if delay is None:
            raise failure
        await asyncio.sleep(delay)

    def _url(self, operation: Operation[Any], parameters: Mapping[str, str] | None) -> str:
        return self._base + operation.path_of(parameters or {})

    def _note_version(self, response: httpx.Response) -> None:
        self.server_version = response.headers.get(VERSION_HEADER, self.server_version)


def _refusal(response: httpx.Response, repeated: bool) -> Refused:
    error = refusal(response.status_code, problem_of(response))
    error.repeated, error.headers = repeated, response.headers
    return error


def _present(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}
