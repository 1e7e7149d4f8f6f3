"""``/logs/search``: the lines with a match in the logs of many runs, as server-sent events; and ``/logs/archive``: these logs in one file.

Logs are read as the client takes what is found, or what they are. When the client goes, reading ends with that slice of a log.
"""

import asyncio
import zlib
from collections.abc import Mapping
from contextlib import aclosing

import structlog

from fastlane.errors import FastlaneError, Fault, Invalid, Unreadable
from fastlane.models.job import Execution
from fastlane.models.pattern import MAX_PATTERN, BadPattern, Pattern
from fastlane.models.pool import pool_for
from fastlane.models.search import ENDED, MAX_CURSOR, RunRange, SearchCursor, WantedLines, read_search_cursor
from fastlane.services.reads.search import LATEST, FoundLine, GoOn, MissingLog, Searched, SearchEnd, SearchPart, SearchPoint
from fastlane.web.api.contract import EVENTS, ApiParameter, Response, flag
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, TASK_ID, UUID, enum, integer, text
from fastlane.web.api.log_encoding import NAMES, STREAMS, nanoseconds, server_sent_event
from fastlane.web.handler import Handler
from fastlane.web.http.query import is_uuid, read_all, read_flag, read_integer, read_since, read_text
from fastlane.web.routes.executions import read_task
from fastlane.web.routing import route
from fastlane.web.streaming.logs import finish_head, keep_alive

log = structlog.get_logger()

USUAL_LIMIT, MOST_HITS = 1_000, 10_000
RANGE_QUERY = {
    "task": ApiParameter("Only runs of this task.", TASK_ID),
    "job": ApiParameter("Only runs of this job. With task.", UUID),
    "since": ApiParameter(f"Only runs that were due at or after this time: {SINCE_WORDS}.", SINCE),
    "until": ApiParameter(f"Only runs that were due at or before this time: {SINCE_WORDS}.", SINCE),
}
"""The parameters that select runs."""
SEARCH_QUERY = {
    "pattern": ApiParameter(
        "A regular expression: characters, classes, groups, alternatives, repetitions, ^ and $, \\b and \\B. It knows no references to "
        "groups, and nothing looks ahead or behind, so that each search takes a time in proportion to the logs.",
        text(MAX_PATTERN),
        required=True,
    ),
    **RANGE_QUERY,
    "stream": ApiParameter("Only this stream: stdout or stderr; both unless given.", enum(tuple(STREAMS))),
    "limit": ApiParameter(f"How many hits at most; {USUAL_LIMIT:,} unless given.", integer(1, MOST_HITS)),
    "ignoreCase": flag("Upper and lower case are the same."),
    "fixed": flag("The pattern is the text itself, not an expression."),
    "from": ApiParameter(
        "Continues after the event with this cursor. Give the same task, job and pattern.", {"type": "string", "maxLength": MAX_CURSOR}
    ),
}


@route(
    "GET",
    "/logs/search",
    "searchLogs",
    query=SEARCH_QUERY,
    answers={
        200: Response("Events: hit, missing, progress, and end or failure last.", media=(EVENTS,)),
        204: Response("For a Last-Event-ID that is the end's: nothing follows."),
    },
    refusals=(404, 429),
    more="The newest run first, and its lines as they were written. Runs without their whole log are named.",
)
async def search_logs(handler: Handler) -> None:
    """The lines with a match in the logs of the runs of a task, of a job, or of all."""
    handler.set_header("Cache-Control", "no-store")
    cursor_name = "Last-Event-ID" if "Last-Event-ID" in handler.request.headers else "from"
    cursor = handler.request.headers.get("Last-Event-ID") or handler.query.get("from")
    runs, pattern, stream, limit, start = read_all(
        lambda: read_range(handler),
        lambda: _read_pattern(handler.query),
        lambda: _read_stream(handler.query),
        lambda: read_integer(handler.query, "limit", USUAL_LIMIT, 1, MOST_HITS),
        lambda: _read_cursor(cursor_name, cursor, of_job="job" in handler.query),
    )
    if cursor == ENDED:
        handler.set_status(204)  # tells a browser not to reconnect
        await handler.deliver(handler.finish())
        return
    await handler.services.searches.check_exists(runs)
    await LogSearching(handler, WantedLines(pattern, runs, limit, stream, start)).answer()


def read_range(handler: Handler) -> RunRange:
    """The runs that a query asks for. Raises Invalid with all faults."""
    query, now = handler.query, handler.services.clock.now()
    task_id, job_id, since, until = read_all(
        lambda: read_task(query), lambda: _read_job(query), lambda: read_since(query, now), lambda: read_since(query, now, "until")
    )
    return RunRange(task_id, job_id, since, until, handler.visible_tasks)


def _read_job(query: Mapping[str, str]) -> str | None:
    if "job" not in query:
        return None
    if not is_uuid(query["job"]):
        raise Invalid([Fault("job", "is not a UUID")])
    if "task" not in query:
        raise Invalid([Fault("job", "needs task, the task of the job")])
    return query["job"].lower()


def _read_pattern(query: Mapping[str, str]) -> Pattern:
    ignores_case, is_text, source = read_all(
        lambda: read_flag(query, "ignoreCase"), lambda: read_flag(query, "fixed"), lambda: read_text(query, "pattern", MAX_PATTERN)
    )
    if source is None:
        raise Invalid([Fault("pattern", "is missing; give a regular expression, such as pattern=ERROR")])
    try:
        return Pattern(source, exact=not ignores_case, is_text=is_text)
    except BadPattern as error:
        raise Invalid([Fault("pattern", str(error))]) from None


def _read_stream(query: Mapping[str, str]) -> int | None:
    stream = query.get("stream")
    if stream is not None and stream not in STREAMS:
        raise Invalid([Fault("stream", 'is neither "stdout" nor "stderr"; leave it out for both')])
    return STREAMS.get(stream or "")


def _read_cursor(name: str, text: str | None, *, of_job: bool) -> SearchCursor | None:
    if text is None or text == ENDED:
        return None
    try:
        return read_search_cursor(text, of_job=of_job)
    except ValueError as error:
        raise Invalid([Fault(name, str(error))]) from None


class LogSearching:
    """Answers one request with what a search finds."""

    def __init__(self, handler: Handler, wanted: WantedLines) -> None:
        self._handler = handler
        self._wanted = wanted
        self._gone = asyncio.Event()
        self._caller = handler.caller
        handler.when_gone = self._gone.set

    async def answer(self) -> None:
        """Sends events until the search has ended, the client is gone or may not see them any more, or the server ends."""
        handler = self._handler
        with handler.services.search_feeds.entered(self._caller, self._gone):
            handler.set_header("Content-Type", EVENTS)
            handler.set_header("X-Accel-Buffering", "no")
            if handler.request.method == "HEAD":
                return await finish_head(handler)
            keep_alive(handler)
            try:
                is_over = await self._send()
            except Unreadable as error:  # in the list of runs: to begin again would end the same way
                is_over = True
                handler.write(server_sent_event("failure", handler.encode({"detail": str(error)}), ENDED))
            except FastlaneError as error:
                log.warning("http.search.cut", error=str(error))
                is_over = False
            if not is_over:
                return handler.disconnect()
            await handler.deliver(handler.finish())

    async def _send(self) -> bool:
        """Sends what is found; False when the answer is not whole."""
        handler = self._handler
        if not await handler.deliver(handler.flush()):  # the client knows that its search has begun
            return False
        async for event in handler.services.searches.search(self._wanted, lambda: not self._gone.is_set()):
            if isinstance(event, SearchPoint) and not handler.keeps_rights(self._caller):
                return False
            handler.write(self._encoded(event))
            if not isinstance(event, SearchEnd) and not await handler.deliver(handler.flush()):
                return False
        return not self._gone.is_set()

    def _encoded(self, event: SearchPart) -> bytes:
        encode = self._handler.encode
        match event:
            case FoundLine(execution, hit, cursor):
                url = f"{self._run(execution)['url']}stream#L{hit.number}"
                line = {"stream": NAMES[hit.stream], "number": hit.number, "time": nanoseconds(hit.time), "text": hit.text}
                place = {"match": [hit.begin, hit.end], "cut": hit.cut, "lineUrl": url}
                return server_sent_event("hit", encode({"cursor": str(cursor), **self._run(execution), **line, **place}), cursor)
            case MissingLog(execution, reason, cursor):
                return server_sent_event("missing", encode({"cursor": str(cursor), **self._run(execution), "reason": reason}), cursor)
            case SearchPoint(counts, cursor):
                return server_sent_event("progress", encode({"cursor": str(cursor), **_counts(counts)}), cursor)
            case SearchEnd(counts, is_cut):
                return server_sent_event("end", encode({**_counts(counts), "limited": is_cut, "removedBefore": self._removed()}), ENDED)

    def _removed(self) -> str | None:
        """Before which end retention may have removed a run that was asked for with all that it had, by the rules of the server and of its
        pool; None: before none."""
        handler, runs = self._handler, self._wanted.runs
        pools = handler.services.directory.pools
        own = pool_for(pools, runs.task_id) if runs.task_id is not None else None
        asked = pools if runs.task_id is None else [] if own is None else [own]
        ages = [pool.retention.executions or handler.config.keep_executions for pool in asked] or [handler.config.keep_executions]
        before = handler.services.clock.now() - min((age for age in ages if age is not None), default=LATEST)
        return nanoseconds(before * 1_000_000) if before > (runs.since or 0) else None

    def _run(self, execution: Execution) -> dict[str, object]:
        ids = execution.task_id, execution.job_id, execution.id
        times = {"scheduledFor": nanoseconds(execution.scheduled_for * 1_000_000), "attempt": execution.attempt}
        url = self._handler.render_context.execution_url(*ids)
        return {"taskId": ids[0], "jobId": ids[1], "executionId": ids[2], **times, "url": url}


def _counts(counts: Searched) -> dict[str, object]:
    missing = {reason.value: count for reason, count in counts.missing.items()}
    return {"runs": counts.runs, "bytes": counts.bytes, "hits": counts.hits, "missing": missing}


GZIP = "application/gzip"
LEVEL, GZIP_FORMAT, SMALL = 3, 31, 4096
"""How much work a compression is (1 to 9): logs shrink about as much with less. What zlib calls
the format of gzip. And bytes that are compressed without a thread."""


@route(
    "GET",
    "/logs/archive",
    "getLogArchive",
    query=RANGE_QUERY,
    answers={200: Response("A tar file, compressed with gzip.", media=(GZIP,), headers=("Content-Disposition",))},
    refusals=(404, 429),
    more="A file for each run, TASK/JOB/TIME-EXECUTION.log, with both streams in order of arrival; and runs-0001.jsonl and so on, which "
    "list 1,000 runs each, with those without their whole log. An answer that is cut lacks the last chunk of its encoding.",
)
async def get_log_archive(handler: Handler) -> None:
    """The logs of the runs of a task, of a job, or of all, in one file."""
    runs, gone, caller = read_range(handler), asyncio.Event(), handler.caller
    await handler.services.searches.check_exists(runs)
    handler.when_gone = gone.set
    with handler.services.search_feeds.entered(caller, gone):
        handler.set_header("Content-Type", GZIP)
        handler.set_header("Content-Disposition", 'attachment; filename="logs.tar.gz"')
        handler.set_header("Cache-Control", "no-store")
        if handler.request.method == "HEAD":
            return await finish_head(handler)
        if not await _send_archive(handler, runs, lambda: not gone.is_set() and handler.keeps_rights(caller)):
            return handler.disconnect()
        await handler.deliver(handler.finish())


async def _send_archive(handler: Handler, runs: RunRange, go_on: GoOn) -> bool:
    """Sends the archive; False when it is not whole."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_FORMAT)
    try:
        async with aclosing(handler.services.archives.tar(runs, go_on)) as parts:
            async for part in parts:
                packed = await asyncio.to_thread(packer.compress, part) if len(part) >= SMALL else packer.compress(part)
                if not packed:
                    continue
                handler.write(packed)
                if not await handler.deliver(handler.flush()):
                    return False
    except FastlaneError as error:
        log.warning("http.search.cut", error=str(error))
        return False
    handler.write(packer.flush())
    return go_on()
