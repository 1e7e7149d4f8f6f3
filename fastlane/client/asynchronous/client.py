"""The client of a fastlane server."""

import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, Unpack, cast

from fastlane.client import contract
from fastlane.client.address import Address
from fastlane.client.asynchronous.following import SILENT_FOR, OnLost, OutOfTime, follow_log, search_logs
from fastlane.client.asynchronous.resources import AsyncExecutions, AsyncJobs, AsyncServer, AsyncTasks
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.contract import DryRun, Enqueued, Execution, JobFields
from fastlane.client.errors import ClientError, NotEnded
from fastlane.client.log_output import AttemptBegan, Finished, LogEvent, LogQuery, Output, Stream
from fastlane.client.log_search import SearchEvent, SearchQuery

PATIENCE = 30.0


class AsyncClient:
    """A client; used in ``async with``. Without arguments it takes the address and the credentials from the environment: FASTLANE_URL,
    and FASTLANE_TOKEN, or FASTLANE_USER and FASTLANE_PASSWORD.

    Each method raises a ``ClientError``. A request that gets no answer, or 429 or 503, is sent again for ``patience`` seconds; it has no
    second effect.
    """

    def __init__(self, address: Address | str | None = None, *, token: str | None = None, patience: float = PATIENCE) -> None:
        if not isinstance(address, Address):
            address = Address.of_environment() if address is None else Address(address, token)
        self._transport = AsyncTransport(address, patience)
        self.tasks = AsyncTasks(self._transport)
        self.jobs = AsyncJobs(self._transport)
        self.executions = AsyncExecutions(self._transport)
        self.server = AsyncServer(self._transport)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._transport.aclose()

    @property
    def server_version(self) -> str | None:
        """The version of the server, once it has answered."""
        return self._transport.server_version

    async def submit(self, task: str, **fields: Unpack[JobFields]) -> Enqueued:
        """Creates a job in a task: it runs now, later or on a schedule, as its fields say. Returns its ids and URLs."""
        return await self._transport.call(contract.ENQUEUE, {"task_id": task}, body=cast("dict[str, Any]", fields))

    async def preview(self, task: str, **fields: Unpack[JobFields]) -> DryRun:
        """Returns the job that ``submit`` would create, with the next five runs. Creates nothing."""
        return await self._transport.call(contract.ENQUEUE_AS_DRY_RUN, {"task_id": task}, {"dryRun": 1}, cast("dict[str, Any]", fields))

    async def run(
        self, task: str, *, on_output: Callable[[Output], object] | None = None, wait_for: float | None = None, **fields: Unpack[JobFields]
    ) -> Finished:
        """Submits a job that runs now and waits for its end, with its retries. Returns the last attempt with what it wrote.

        ``on_output`` gets the output as it comes. Raises NotEnded, which names the job, after ``wait_for`` seconds: the job goes on.
        (``timeout`` is a field of the job, and stops it.) Any other error after the job was made names the job in its notes.
        """
        if fields.get("everywhere") is not None:
            raise ClientError("a job that runs everywhere cannot be waited for; submit it instead")
        deadline = None if wait_for is None else time.monotonic() + wait_for
        reply = await self.submit(task, **fields)
        if reply["executionId"] is None:
            raise ClientError("a job for later cannot be waited for; submit it instead")
        streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        last = reply["executionId"]
        try:
            async for event in self.events(LogQuery(task, reply["jobId"], last), deadline=deadline):
                if isinstance(event, Output):
                    streams[event.stream].append(event.data)
                    if on_output is not None:
                        on_output(event)
                elif isinstance(event, AttemptBegan):
                    last, streams = event.execution_id, {"stdout": [], "stderr": []}
            execution = await self.executions.get(task, reply["jobId"], last)
        except OutOfTime:
            raise NotEnded(task, reply["jobId"], last, b"".join(streams["stdout"]), b"".join(streams["stderr"])) from None
        except ClientError as error:
            error.add_note(f"the job is {task}/{reply['jobId']}, execution {last}")
            raise
        return Finished(execution, b"".join(streams["stdout"]), b"".join(streams["stderr"]))

    async def wait(self, task: str, job: str, execution: str, *, timeout: float | None = None) -> Execution:
        """Waits until an execution, with its retries, has ended. Returns the last attempt. Raises NotEnded after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        last = execution
        try:
            async for event in self.events(LogQuery(task, job, execution, stream="stderr"), deadline=deadline):
                if isinstance(event, AttemptBegan):
                    last = event.execution_id
        except OutOfTime:
            raise NotEnded(task, job, last) from None
        return await self.executions.get(task, job, last)

    async def logs(
        self,
        task: str,
        job: str,
        execution: str | None = None,
        *,
        follow: bool = True,
        stream: Stream | None = None,
        tail: int | None = None,
        since: str | None = None,
    ) -> AsyncGenerator[Output, None]:
        """Yields the output of a job, byte for byte, until it has ended: of the newest run that has started, or of one execution. A lost
        connection is made again: no byte is lost, and none comes twice. ``follow=False``: only the output so far."""
        wanted = LogQuery(task, job, execution, execution is not None, follow, stream, tail, since)
        async for event in self.events(wanted):
            if isinstance(event, Output):
                yield event

    async def log_archive(
        self, task: str | None = None, job: str | None = None, *, since: str | None = None, until: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yields the bytes of a file (tar, compressed with gzip) with the logs of the runs of a task, of a job, or of all tasks; ``since``,
        ``until``: when they were due: a time, or a duration ago. It is tried once: raises Unreachable when the file is not whole."""
        query = {"task": task, "job": job, "since": since, "until": until}
        async with self._transport.stream(contract.GET_LOG_ARCHIVE, {}, query, SILENT_FOR) as parts:
            async for part in parts:
                yield part

    def search_logs(self, wanted: SearchQuery, *, on_lost: OnLost | None = None) -> AsyncGenerator[SearchEvent, None]:
        """Yields the lines with a match in the logs of many runs, the newest run first, and its lines as they were written; the runs whose
        log is not there, or not whole; how far the search is; and its end. A lost connection is made again as for ``events``."""
        return search_logs(self._transport, wanted, on_lost)

    def events(self, wanted: LogQuery, *, deadline: float | None = None, on_lost: OnLost | None = None) -> AsyncGenerator[LogEvent, None]:
        """Yields all events of a log: output, further attempts, why an attempt without output failed, and the end. ``on_lost`` is called
        with the reason when a connection is lost and made again; TimeoutError after the ``deadline`` (of ``time.monotonic``)."""
        return follow_log(self._transport, wanted, deadline=deadline, on_lost=on_lost)
