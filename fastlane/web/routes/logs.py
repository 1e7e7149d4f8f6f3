"""The routes of logs: bytes as the command wrote them, in slices, each sent before the next is read.

A client that hangs costs one slice, and its connection is closed when it takes none for a minute.
"""

from collections.abc import AsyncIterator
from typing import ClassVar

import structlog

from fastlane.errors import FastlaneError
from fastlane.models.logs.chunk import STDERR, STDOUT
from fastlane.services.reads.find import LogView
from fastlane.web.api.contract import EVENTS, TEXT, Answer, Parameter, flag, operation
from fastlane.web.api.json_schema import MOMENT_IN_QUERY, MOMENT_WORDS, integer
from fastlane.web.http.handler import Handler
from fastlane.web.http.query import byte_range, read_flag, read_since, read_whole, together
from fastlane.web.routes.follow import FOLLOWING, FollowHandler, read_follow

SEPARATOR = b"\n-=-\n"
MOST_LINES = 1_000_000_000

LOG_HEADERS = ("Fastlane-Execution-Id", "Fastlane-Status", "Fastlane-Exit-Code")
STREAM_ANSWERS = {
    200: Answer("The stream so far, byte for byte.", media=(TEXT,), headers=LOG_HEADERS),
    206: Answer("The part that Range asks for.", media=(TEXT,), headers=(*LOG_HEADERS, "Content-Range")),
}
PART = {
    "tail": Parameter("Its last lines only, so many.", integer(0, MOST_LINES)),
    "since": Parameter(f"What came from then on: {MOMENT_WORDS}.", MOMENT_IN_QUERY),
}

log = structlog.get_logger()


class LogHandler(Handler):
    """The base: finds the log, and sends parts of it."""

    async def _find(self, task_id: str, job_id: str, execution_id: str | None) -> LogView:
        """The log of an execution, or of the job's newest one that has started; tells in headers whose it is and how that ended."""
        queries = self.services.queries
        if execution_id is None:
            view = await queries.log_of_job(task_id, job_id)
        else:
            view = await queries.log_of_execution(task_id, job_id, execution_id)
        one = view.execution
        self.set_header("Fastlane-Execution-Id", one.id)
        self.set_header("Fastlane-Status", one.status.value)
        if one.status.final and one.exit_code is not None:
            self.set_header("Fastlane-Exit-Code", str(one.exit_code))
        return view

    async def _send(self, parts: AsyncIterator[bytes], length: int) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Length", str(length))
        if self.request.method != "HEAD":
            try:
                async for data in parts:
                    self.write(data)
                    if not await self.deliver(self.flush()):
                        return
            except FastlaneError as error:
                log.warning("http.log.cut", path=self.request.path, error=str(error))
                self.disconnect()
                return
        await self.deliver(self.finish())


class StreamHandler(LogHandler):
    """``…/stdout`` and ``…/stderr``: one stream, the whole of it so far, a range, its last lines, or what came since a moment."""

    stream: ClassVar[int]

    async def send_stream(self, task_id: str, job_id: str, execution_id: str | None) -> None:
        """The stream's bytes."""
        view = await self._find(task_id, job_id, execution_id)
        size = view.head.stdout if self.stream == STDOUT else view.head.stderr
        self.set_header("Accept-Ranges", "bytes")
        start, end = await self._part(view.execution.id, size)
        await self._send(self.services.queries.read(view.execution.id, start, end, self.stream), end - start)

    async def _part(self, execution_id: str, size: int) -> tuple[int, int]:
        tail, since = self._wanted()
        queries = self.services.queries
        if tail is not None or since is not None:
            lines = 0 if tail is None else await queries.tail(execution_id, self.stream, size, tail)
            moment = 0 if since is None else await queries.since(execution_id, self.stream, since)
            return min(size, max(lines, moment)), size
        conditional = "If-Range" in self.request.headers  # never fresh: there is no validator to compare
        part = None if conditional else byte_range(self.request.headers.get("Range"), size)
        if part is None:
            return 0, size
        self.set_status(206)
        self.set_header("Content-Range", f"bytes {part[0]}-{part[1] - 1}/{size}")
        return part

    def _wanted(self) -> tuple[int | None, int | None]:
        """How many last lines, and since when; where both are asked for, both must hold."""
        lines, since = together(lambda: read_whole(self.query, "tail", -1, 0, MOST_LINES), lambda: read_since(self.query))
        return None if lines < 0 else lines, since


class StdoutHandler(StreamHandler):
    """``…/stdout``."""

    stream = STDOUT

    @operation("getStdout", answers=STREAM_ANSWERS, query=PART, refusals=(404, 416))
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """What it writes to stdout."""
        await self.send_stream(task_id, job_id, execution_id)


class StderrHandler(StreamHandler):
    """``…/stderr``."""

    stream = STDERR

    @operation("getStderr", answers=STREAM_ANSWERS, query=PART, refusals=(404, 416))
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """What it writes to stderr."""
        await self.send_stream(task_id, job_id, execution_id)


class LogsHandler(LogHandler, FollowHandler):
    """``…/logs``: stdout, a line ``-=-``, stderr; or both in order of arrival, also as they grow."""

    @operation(
        "getLogs",
        query={"interleaved": flag("Both streams in order of arrival."), **FOLLOWING},
        answers={
            200: Answer("stdout, a line -=-, stderr; or the log as it grows.", media=(TEXT, EVENTS), headers=LOG_HEADERS),
            204: Answer("To the cursor of an end: nothing will follow."),
        },
        refusals=(404,),
    )
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """Both streams' bytes, so far or as they come."""
        interleaved = read_flag(self.query, "interleaved")
        if read_follow(self.query):
            return await self.follow(task_id, job_id, execution_id)
        view = await self._find(task_id, job_id, execution_id)
        head = view.head
        if interleaved:
            await self._send(self.services.queries.read(view.execution.id, 0, head.offset), head.offset)
        else:
            await self._send(self._one_after_the_other(view), head.stdout + len(SEPARATOR) + head.stderr)

    async def _one_after_the_other(self, view: LogView) -> AsyncIterator[bytes]:
        read = self.services.queries.read
        async for data in read(view.execution.id, 0, view.head.stdout, STDOUT):
            yield data
        yield SEPARATOR
        async for data in read(view.execution.id, 0, view.head.stderr, STDERR):
            yield data
