"""``/mcp``: the Model Context Protocol over HTTP ("Streamable HTTP"): a message in each POST, and its answer as JSON.

A tool's request is handled as if the caller had sent it by itself (``InnerConnection``): the same router's handler logs the caller in,
checks rights, rates and origins, takes its turn among lists, and masks secrets. There is no session and no stream: a server of the protocol
may do without both.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest, RequestStartLine, ResponseStartLine

from fastlane.errors import Invalid, NotFound
from fastlane.mcp import protocol
from fastlane.mcp.protocol import McpMessage, McpServer, RpcError
from fastlane.mcp.tools import LARGEST, ApiAnswer, ApiCall, tools_for
from fastlane.models.access import Role
from fastlane.web.handler import HEADER as TRACE_HEADER, Handler
from fastlane.web.http.problems import Problem
from fastlane.web.http.strict_json import read_body_value
from fastlane.web.routing import PathRoutes, RouteAccess, route

JSON = "application/json"
VERSION, METHOD, NAME = "MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"
"""The headers that repeat what a message says, so that what stands in between can read it."""
PASSED_ON = (
    *("Host", "Authorization", "Cookie", "Origin", "Sec-Fetch-Site"),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
)
"""The headers of a caller that its tools' requests have too: who asks, from where, under which name."""
BAD = frozenset({protocol.PARSE_ERROR, protocol.INVALID_REQUEST})
"""Errors that are a 400 in every version."""
STATUSES = {protocol.METHOD_NOT_FOUND: 404, protocol.INTERNAL_ERROR: 200}
"""The status of an error in today's version, where it is not 400. In earlier ones, all but ``BAD`` are 200."""


@route("POST", "/mcp", keeps_body=True, access=RouteAccess(Role.READ))
async def answer_mcp(handler: Handler) -> None:
    """Answers a message of the Model Context Protocol."""
    if handler.config.mcp == "off":
        raise NotFound('the setting mcp is "off" on this server, so it has no /mcp; `fastlane mcp` works without it')
    _check_media(handler)
    handler.set_header("Cache-Control", "no-store")
    modern = handler.request.headers.get(VERSION) in protocol.MODERN
    try:
        message = protocol.read_message(_read_json(handler))
        modern = modern or message.is_modern
        _check_headers(message, handler.request.headers)
        answer = await McpServer(tools_for(may_run=handler.config.mcp == "run"), InnerCalls(handler).send).answer(message)
    except RpcError as error:
        answer = error.answer
    if answer is None:
        handler.set_status(202)
        await handler.deliver(handler.finish())
        return
    await handler.send_json(answer, _status(answer, modern=modern))


def _check_media(handler: Handler) -> None:
    """Raises a 415 for a body that a page of any site could send, and a 406 for a client that takes no JSON."""
    given = handler.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if given != JSON:
        raise Problem(415, f"a message is sent as Content-Type: {JSON}")
    accepted = handler.request.headers.get("Accept", "*/*").lower()
    if not any(media in accepted for media in (JSON, "application/*", "*/*")):
        raise Problem(406, f"answers are {JSON}; name it in Accept")


def _read_json(handler: Handler) -> object:
    """The body's JSON. Raises RpcError."""
    try:
        return read_body_value(bytes(handler.body))
    except Invalid as error:
        raise protocol.parse_error(str(error)) from None


def _check_headers(message: McpMessage, headers: Mapping[str, str]) -> None:
    """Raises RpcError for a version that is not spoken here and, since 2026-07-28, for headers that do not say what the message says."""
    version = headers.get(VERSION)
    if version is not None and version not in (*protocol.MODERN, *protocol.EARLIER) and not message.is_modern:
        raise protocol.unsupported(version, message.id)
    if message.id is None or (version not in protocol.MODERN and not message.is_modern):
        return
    expected: dict[str, Any] = {METHOD: message.method}
    if message.is_modern:
        expected[VERSION] = message.meta[protocol.VERSION_KEY]
    else:
        raise RpcError(protocol.INVALID_PARAMS, f"params._meta lacks {protocol.VERSION_KEY}", id=message.id)
    if message.method == "tools/call":
        expected[NAME] = message.params.get("name")
    for name, value in expected.items():
        if headers.get(name) != value:
            raise RpcError(protocol.HEADER_MISMATCH, f"the header {name} is not what the message says", id=message.id)


def _status(answer: Mapping[str, Any], *, modern: bool) -> int:
    if "error" not in answer:
        return 200
    code = answer["error"]["code"]
    if modern or code in BAD or code == protocol.UNSUPPORTED_VERSION:
        return STATUSES.get(code, 400)
    return 200


class InnerCalls:
    """Sends the requests of tools on behalf of one request to ``/mcp``."""

    def __init__(self, outer: Handler) -> None:
        self._outer = outer
        self._routes: Mapping[str, PathRoutes] = outer.application.settings["routes"]

    async def send(self, call: ApiCall) -> ApiAnswer:
        """The API's answer to a request in the caller's name."""
        connection = InnerConnection(self._outer.request)
        body = b"" if call.body is None else orjson.dumps(call.body)
        line = RequestStartLine(call.method, f"{call.target}?{urlencode(call.query)}" if call.query else call.target, "HTTP/1.1")
        request = HTTPServerRequest(start_line=line, headers=self._headers(call), connection=connection, server_connection=connection)
        given = {"resource": self._routes[call.path], "path": call.parameters}
        delegate = self._outer.application.get_handler_delegate(request, Handler, given)
        prepared = delegate.headers_received(line, request.headers)
        if prepared is not None:
            await prepared
        delegate.data_received(body)
        delegate.finish()
        try:
            await connection.finished
        finally:
            self._outer.context.traffic.deadlines.clear(connection)
        return ApiAnswer(connection.status, connection.headers, bytes(connection.body))

    def _headers(self, call: ApiCall) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name in PASSED_ON:
            for value in self._outer.request.headers.get_list(name):
                headers.add(name, value)
        own = {"Accept": "application/json, text/plain", "X-Request-Id": self._outer.request_id, **call.headers}
        if self._outer.trace.text is not None:
            own[TRACE_HEADER] = self._outer.trace.text
        for name, value in own.items():
            headers[name] = value
        return headers


@dataclass(frozen=True, slots=True)
class InnerOrigin:
    """From where the outer request came, as Tornado asks a connection."""

    remote_ip: str
    protocol: str


class InnerConnection(HTTPConnection):
    """Stands where a handler has its client's connection, and keeps the answer. ``finished`` is done at its end."""

    def __init__(self, outer: HTTPServerRequest) -> None:
        self.context = InnerOrigin(outer.remote_ip or "", outer.protocol)
        self.status = 0
        self.headers = HTTPHeaders()
        self.body = bytearray()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Takes what to call when the client is gone: the outer request looks after that."""

    def write_headers(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders, chunk: bytes | None = None
    ) -> "asyncio.Future[None]":
        """See Tornado."""
        assert isinstance(start_line, ResponseStartLine)
        self.status, self.headers = start_line.code, headers
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        """Keeps a part of the body; of a larger one than ``LARGEST``, one byte more, by which a tool sees that it is too large."""
        self.body += chunk[: max(0, LARGEST + 1 - len(self.body))]
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    def finish(self) -> None:
        """See Tornado."""
        if not self.finished.done():
            self.finished.set_result(None)
