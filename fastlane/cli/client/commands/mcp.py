"""The command ``fastlane mcp``: the Model Context Protocol over stdin and stdout, a line of JSON for each message. The requests of tools go
to the server of the command line, by its REST API: the server needs no ``/mcp``.
"""

import asyncio
import json
import os
import sys
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

import click

from fastlane.cli.client.command import CONTEXT, ClientCommand, address_of, message_of, say
from fastlane.mcp import protocol
from fastlane.mcp.protocol import McpMessage, McpServer, RpcError
from fastlane.mcp.tools import ApiAnswer, ApiCall, CallFailed, SendCall, tools_for

if TYPE_CHECKING:
    from fastlane.client import Address
    from fastlane.client.asynchronous.transport import AsyncTransport

LONGEST = 1024 * 1024
"""Bytes of a message, as the server takes them by default."""
AT_ONCE = 8
"""Calls that are sent to the server at once."""
WAITING = 64
"""Calls that wait or are sent; a further one is refused."""
PATIENCE = 5.0
"""Seconds for which a server may be away in a call."""
CANCELLED = "notifications/cancelled"


@click.command(cls=ClientCommand)
@click.option("--allow-run", is_flag=True, help="Offer to run jobs, too; otherwise tools only look.")
@CONTEXT
def mcp(allow_run: bool, context: str | None) -> None:
    """Lets a program that talks (a client of the Model Context Protocol) use the server: a client starts this command, and speaks to it by
    its stdin and stdout.

    \b
    Examples:
      fastlane mcp
      fastlane mcp --allow-run
    """
    asyncio.run(_serve(address_of(context), allow_run=allow_run))


async def _serve(address: "Address", *, allow_run: bool) -> None:
    from fastlane.client.asynchronous.transport import AsyncTransport

    transport = AsyncTransport(address, PATIENCE)
    try:
        server = McpServer(tools_for(may_run=allow_run), _sender(transport))
        await StdioSession(server, sys.stdout.buffer).serve(os.dup(sys.stdin.fileno()))
    finally:
        await transport.aclose()


def _sender(transport: "AsyncTransport") -> SendCall:
    """Sends the requests of tools by this transport."""
    from fastlane.client import ClientError, Unauthorized
    from fastlane.client.errors import Refused
    from fastlane.client.exchange import Operation

    turns = asyncio.Semaphore(AT_ONCE)

    async def send(call: ApiCall) -> ApiAnswer:
        operation: Operation[object] = Operation(call.operation, call.method, call.path, call.keyed)
        try:
            async with turns:
                found = await transport.fetch(operation, call.parameters, call.query, call.headers, call.body)
        except ClientError as error:
            if isinstance(error, Refused) and not isinstance(error, Unauthorized):
                return ApiAnswer(error.status, error.headers, json.dumps({**error.problem}).encode())
            raise CallFailed(message_of(error)) from None
        return ApiAnswer(found.status, found.headers, found.content)

    return send


class StdioSession:
    """One client, which writes a message a line and reads a message a line. Calls are answered side by side, each as it is done."""

    def __init__(self, server: McpServer, output: BinaryIO) -> None:
        self._server = server
        self._output = output
        self._calls: dict[str | int, asyncio.Task[None]] = {}

    async def serve(self, source: int) -> None:
        """Answers the lines of a file descriptor until it ends, and then what is still under way."""
        lines: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        threading.Thread(target=_read_lines, args=(source, lines, asyncio.get_running_loop()), daemon=True).start()
        while (line := await lines.get()) is not None:
            self._take(line)
        await asyncio.gather(*self._calls.values(), return_exceptions=True)

    def _take(self, line: bytes) -> None:
        try:
            message = protocol.read_message(_read_json(line))
            if message.method == CANCELLED:
                self._cancel(message)
            elif message.id is not None:
                self._begin(message)
        except RpcError as error:
            self._write(error.answer)

    def _begin(self, message: McpMessage) -> None:
        assert message.id is not None
        if message.id in self._calls:
            raise RpcError(protocol.INVALID_REQUEST, "another request with this id is not answered yet", id=message.id)
        if len(self._calls) >= WAITING:
            raise RpcError(protocol.INTERNAL_ERROR, f"{WAITING} requests are not answered yet; send fewer at once", id=message.id)
        task = asyncio.create_task(self._answer(message))
        self._calls[message.id] = task
        task.add_done_callback(partial(self._end, message))

    def _cancel(self, message: McpMessage) -> None:
        """Ends a call, which then gets no answer. What it has asked of the server may have been done."""
        id = message.params.get("requestId")
        if isinstance(id, str | int) and id in self._calls:
            self._calls[id].cancel()

    async def _answer(self, message: McpMessage) -> None:
        answer = await self._server.answer(message)
        if answer is not None:
            self._write(answer)

    def _end(self, message: McpMessage, task: "asyncio.Task[None]") -> None:
        assert message.id is not None
        del self._calls[message.id]
        if not task.cancelled() and (error := task.exception()) is not None:
            say(f"{message.method}: {type(error).__name__}: {error}")
            self._write(RpcError(protocol.INTERNAL_ERROR, "fastlane mcp failed; its stderr says how", id=message.id).answer)

    def _write(self, answer: protocol.Json) -> None:
        with suppress(BrokenPipeError):  # its stdin ends, too
            self._output.write(protocol.encoded(answer) + b"\n")
            self._output.flush()


def _read_lines(number: int, lines: "asyncio.Queue[bytes | None]", loop: asyncio.AbstractEventLoop) -> None:
    """Puts each line into the queue, and None at the end; of a line that is too long, its beginning. The file is this thread's own: the
    interpreter would wait at its end for sys.stdin, which is locked while it is read."""
    with open(number, "rb") as source, suppress(RuntimeError, CancelledError):  # the loop has ended
        while line := source.readline(LONGEST + 1):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = source.readline(LONGEST + 1)
            if line.strip():
                asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()


def _read_json(line: bytes) -> object:
    """The line's JSON. Raises RpcError."""
    if len(line) > LONGEST:
        raise protocol.parse_error(f"the message is longer than {LONGEST >> 20} MiB")
    try:
        value: object = json.loads(line)
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise protocol.parse_error("the message is not UTF-8, or has a lone surrogate") from None
    except (ValueError, RecursionError) as error:
        raise protocol.parse_error(f"the message is not JSON: {str(error)[:200]}") from None
    return value
