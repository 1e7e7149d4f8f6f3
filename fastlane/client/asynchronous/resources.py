"""The methods of the client by subject: tasks, jobs, executions, and the server itself."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, cast

from fastlane.client import contract
from fastlane.client.asynchronous.following import OnLost, follow_events
from fastlane.client.asynchronous.transport import AsyncTransport
from fastlane.client.errors import NotFound
from fastlane.client.exchange import Answered


class AsyncResource:
    """The methods about one kind of thing."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport


class AsyncTasks(AsyncResource):
    """``client.tasks``."""

    def list(self) -> AsyncIterator[contract.Task]:
        """All tasks, most recently changed first."""
        return self._transport.rows(contract.LIST_TASKS)

    def search(self, words: str) -> AsyncIterator[contract.Task]:
        """The tasks whose ids contain all of these words, or words that begin with them."""
        return self._transport.rows(contract.SEARCH_TASKS, query={"query": words})

    async def get(self, task: str) -> contract.TaskJobs:
        """The task with its newest jobs, 1,000 at most. Raises NotFound when there is no such task."""
        return await self._transport.call(contract.LIST_JOBS, {"task_id": task})

    def jobs(self, task: str, *, status: str | None = None) -> AsyncIterator[contract.JobRow]:
        """The jobs of a task, newest first. Raises NotFound when there is no such task."""
        return self._transport.rows(contract.LIST_JOBS_OF_TASK, {"task_id": task}, {"status": status})

    async def stop(self, task: str) -> contract.TaskStopped:
        """Stops every job of the task."""
        return await self._transport.call(contract.STOP_TASK, {"task_id": task})

    async def delete(self, task: str, *, stop: bool = False) -> contract.Deleted:
        """Removes the task with all its jobs and their history. ``stop``: stops them first."""
        try:
            return await self._transport.call(contract.DELETE_TASK, {"task_id": task}, {"stop": 1 if stop else None})
        except NotFound as error:
            if not error.repeated:
                raise
            return {"taskId": task, "jobId": None, "deleted": True}


class AsyncJobs(AsyncResource):
    """``client.jobs``. A job is named by its task and its id. ``if_match`` is an ETag: nothing happens to a job of another version."""

    def list(
        self,
        *,
        task: str | None = None,
        status: str | None = None,
        label: str | None = None,
        query: str | None = None,
        late: bool = False,
    ) -> AsyncIterator[contract.JobRow]:
        """The jobs, newest first: of all tasks or of one, with this status (or several, with commas), with this label (NAME=VALUE), with
        all words of the ``query``, or those that are late by their ``expectEvery``."""
        found = {"task": task, "status": status, "label": label, "query": query, "late": 1 if late else None}
        return self._transport.rows(contract.LIST_ALL_JOBS, query=found)

    async def get(self, task: str, job: str) -> contract.JobDetail:
        """The job with its last 20 executions."""
        return await self._transport.call(contract.GET_JOB, _ids(task, job))

    async def get_with_etag(self, task: str, job: str) -> Answered[contract.JobDetail]:
        """The same, with the ETag for ``if_match``."""
        return await self._transport.answer(contract.GET_JOB, _ids(task, job))

    async def put(self, task: str, job: str, fields: contract.JobFields, *, if_match: str | None = None) -> contract.Enqueued:
        """Creates the job under this id (a UUID), or replaces its details and schedules it again."""
        return await self._transport.call(contract.PUT_JOB, _ids(task, job), body=cast("dict[str, Any]", fields), if_match=if_match)

    async def preview_put(self, task: str, job: str, fields: contract.JobFields, *, forecast: bool = False) -> contract.DryRun:
        """The job that ``put`` would make of these fields; with ``forecast``, what it would do to its pool. Changes nothing."""
        query = {"dryRun": 1, "forecast": 1 if forecast else None}
        return await self._transport.call(contract.PUT_JOB_AS_DRY_RUN, _ids(task, job), query, cast("dict[str, Any]", fields))

    async def patch(self, task: str, job: str, changes: contract.JobChanges, *, if_match: str | None = None) -> contract.Enqueued:
        """Changes these fields of the job; None removes one."""
        return await self._transport.call(contract.PATCH_JOB, _ids(task, job), body=cast("dict[str, Any]", changes), if_match=if_match)

    async def preview_patch(self, task: str, job: str, changes: contract.JobChanges) -> contract.DryRun:
        """The job that ``patch`` would make of these changes. Changes nothing."""
        return await self._transport.call(contract.PATCH_JOB_AS_DRY_RUN, _ids(task, job), {"dryRun": 1}, cast("dict[str, Any]", changes))

    async def stop(self, task: str, job: str, *, if_match: str | None = None) -> contract.Stopped:
        """Stops its executions, and keeps it from starting more."""
        return await self._transport.call(contract.STOP_JOB, _ids(task, job), if_match=if_match)

    async def retry(self, task: str, job: str) -> contract.Enqueued:
        """Runs its last execution again."""
        return await self._transport.call(contract.RETRY_JOB, _ids(task, job))

    async def run_now(
        self, task: str, job: str, *, force: bool = False, parameters: Mapping[str, str] | None = None, reschedule: bool = False
    ) -> contract.Enqueued:
        """Runs it once now. ``force``: although an execution runs, and its ``overlap`` is ``skip``. ``parameters``: their values by
        name. ``reschedule``: in place of its next tick."""
        body: contract.Run = {}
        if parameters:
            body["parameters"] = dict(parameters)
        if reschedule:
            body["reschedule"] = True
        return await self._transport.call(contract.RUN_JOB, _ids(task, job), {"force": 1 if force else None}, body or None)

    async def backfill(self, task: str, job: str, since: str, until: str | None = None, *, limit: int = 1) -> contract.Backfill:
        """Runs its due times from ``since`` to ``until`` (times; now unless given) that have no success, ``limit`` at once."""
        return await self._transport.call(contract.BEGIN_BACKFILL, _ids(task, job), body=_range(since, until, limit))

    async def preview_backfill(
        self, task: str, job: str, since: str, until: str | None = None, *, limit: int = 1
    ) -> contract.BackfillPreview:
        """The due times that ``backfill`` would run. Changes nothing."""
        body = _range(since, until, limit)
        return await self._transport.call(contract.BEGIN_BACKFILL_AS_BACKFILL_PREVIEW, _ids(task, job), {"dryRun": 1}, body)

    async def get_backfill(self, task: str, job: str) -> contract.Backfill:
        """Its present or last backfill. Raises NotFound when it has none."""
        return await self._transport.call(contract.GET_BACKFILL, _ids(task, job))

    async def stop_backfill(self, task: str, job: str) -> contract.Backfill:
        """Ends its backfill, and stops what that runs."""
        return await self._transport.call(contract.STOP_BACKFILL, _ids(task, job))

    async def pause(self, task: str, job: str) -> contract.Stopped:
        """Holds its schedule."""
        return await self._transport.call(contract.PAUSE_JOB, _ids(task, job))

    async def resume(self, task: str, job: str) -> contract.Stopped:
        """Releases its schedule."""
        return await self._transport.call(contract.RESUME_JOB, _ids(task, job))

    async def start(self, task: str, job: str) -> contract.Stopped:
        """Starts the schedule of a stopped job again."""
        return await self._transport.call(contract.START_JOB, _ids(task, job))

    async def delete(self, task: str, job: str, *, stop: bool = False, if_match: str | None = None) -> contract.Deleted:
        """Removes it with its history. ``stop``: stops it first."""
        try:
            return await self._transport.call(contract.DELETE_JOB, _ids(task, job), {"stop": 1 if stop else None}, if_match=if_match)
        except NotFound as error:
            if not error.repeated:
                raise
            return {"taskId": task, "jobId": job, "deleted": True}

    def ticks(self, task: str, job: str) -> AsyncIterator[contract.Tick]:
        """Its due times and what became of each, the latest first."""
        return self._transport.rows(contract.LIST_TICKS, _ids(task, job))

    async def stats(self, task: str, job: str, *, runs: int = 100, status: str | None = None) -> contract.JobStats:
        """What its newest runs took: figures over its last ``runs`` executions (100 at most), and each run. ``status``: only runs that
        ended so, or in several ways (with commas)."""
        return await self._transport.call(contract.GET_STATS, _ids(task, job), {"perPage": runs, "status": status})

    async def advice(self, task: str, job: str) -> contract.JobAdvice:
        """What its newest executions and due times say about its definition."""
        return await self._transport.call(contract.GET_ADVICE, _ids(task, job))

    async def deliveries(self, task: str, job: str) -> contract.JobDeliveries:
        """The deliveries that say that it was late or has recovered, sent or yet to be sent."""
        return await self._transport.call(contract.LIST_DELIVERIES_OF_JOB, _ids(task, job))

    async def redeliver(self, task: str, job: str, delivery: str) -> contract.Delivery:
        """Sends a delivery about the job again."""
        return await self._transport.call(contract.REDELIVER_OF_JOB, {**_ids(task, job), "delivery_id": delivery})

    async def stdout(self, task: str, job: str, *, tail: int | None = None, since: str | None = None) -> bytes:
        """The stdout so far of its newest execution that has started; ``tail``: this many lines; ``since``: a time, or a duration ago.
        Raises NotStarted."""
        return await self._transport.content(contract.GET_STDOUT, _ids(task, job), {"tail": tail, "since": since})

    async def stderr(self, task: str, job: str, *, tail: int | None = None, since: str | None = None) -> bytes:
        """The same of its stderr."""
        return await self._transport.content(contract.GET_STDERR, _ids(task, job), {"tail": tail, "since": since})

    async def chain(self, task: str, job: str) -> contract.Chain:
        """The jobs that it follows, and those that follow it."""
        return await self._transport.call(contract.GET_CHAIN, _ids(task, job))

    async def check_receipts(self, task: str, job: str, *, start: str | None = None) -> contract.ReceiptCheck:
        """A part of the check of its receipts against what is stored; ``start``: the ``next`` of the part before."""
        return await self._transport.call(contract.CHECK_RECEIPTS, _ids(task, job), {"from": start})

    async def receipt_chains(self, task: str, *, after: str | None = None) -> contract.ReceiptChains:
        """Where the chains of the task's jobs end; ``after``: the ``next`` of the answer before."""
        return await self._transport.call(contract.LIST_RECEIPT_CHAINS, {"task_id": task}, {"from": after})

    async def why(self, task: str, job: str) -> contract.Why:
        """The reasons why it waits now."""
        return await self._transport.call(contract.GET_WHY, _ids(task, job))

    async def ticket(self, task: str, job: str) -> contract.Ticket:
        """A ticket with which a browser, which cannot send a token, opens the page of its log (``streamUrl``) once, within 30 seconds."""
        return await self._transport.call(contract.MAKE_TICKET, _ids(task, job))


class AsyncExecutions(AsyncResource):
    """``client.executions``."""

    def list(self, *, task: str | None = None, status: str | None = None, since: str | None = None) -> AsyncIterator[contract.ExecutionRow]:
        """The executions of all tasks or of one, the latest due first; ``since``: a time, or a duration ago (1h)."""
        return self._transport.rows(contract.LIST_EXECUTIONS, query={"task": task, "status": status, "since": since})

    def failures(self, *, task: str | None = None, since: str | None = None) -> AsyncIterator[contract.FailedJob]:
        """The jobs that failed, of all tasks or of one, each with its last failure, the last end first; ``since`` as in ``list``."""
        return self._transport.rows(contract.LIST_FAILURES, query={"task": task, "since": since})

    def of_job(self, task: str, job: str) -> AsyncIterator[contract.ExecutionRow]:
        """The executions of a job, newest first."""
        return self._transport.rows(contract.LIST_EXECUTIONS_OF_JOB, {"task_id": task, "job_id": job})

    async def get(self, task: str, job: str, execution: str) -> contract.Execution:
        """The execution in full, with the end of its log (``log`` and ``error``)."""
        return (await self._transport.call(contract.GET_EXECUTION, _ids(task, job, execution)))["execution"]

    async def stop(self, task: str, job: str, execution: str) -> contract.ExecutionStopped:
        """Stops this execution. Its job's schedule goes on."""
        return await self._transport.call(contract.STOP_EXECUTION, _ids(task, job, execution))

    async def retry(self, task: str, job: str, execution: str, *, image: str | None = None, force: bool = False) -> contract.Enqueued:
        """Runs it again with the details that it had, or with another ``image``. ``force``: beside anything else of its job."""
        body: contract.Retry | None = {"image": image} if image is not None else None
        return await self._transport.call(contract.RETRY_EXECUTION, _ids(task, job, execution), {"force": 1 if force else None}, body)

    async def end(self, task: str, job: str, execution: str, reason: str) -> contract.ExecutionStopped:
        """Ends an execution as stopped that was asked to stop and does not end. For administrators."""
        return await self._transport.call(contract.END_EXECUTION, _ids(task, job, execution), body={"reason": reason})

    async def mark_cleaned(self, task: str, job: str, execution: str, reason: str) -> contract.ExecutionCleaned:
        """Counts its service as removed, because its host will not come back. For administrators."""
        return await self._transport.call(contract.MARK_EXECUTION_CLEANED, _ids(task, job, execution), body={"reason": reason})

    async def deliveries(self, task: str, job: str, execution: str) -> contract.Deliveries:
        """The deliveries to webhooks about it, sent or yet to be sent."""
        return await self._transport.call(contract.LIST_DELIVERIES, _ids(task, job, execution))

    async def redeliver(self, task: str, job: str, execution: str, delivery: str) -> contract.Delivery:
        """Sends a delivery again."""
        return await self._transport.call(contract.REDELIVER, {**_ids(task, job, execution), "delivery_id": delivery})

    async def stdout(self, task: str, job: str, execution: str, *, tail: int | None = None, since: str | None = None) -> bytes:
        """Its stdout so far; ``tail``: this many lines; ``since``: a time, or a duration ago. Raises NotStarted."""
        query = {"tail": tail, "since": since}
        return await self._transport.content(contract.GET_STDOUT_OF_EXECUTION, _ids(task, job, execution), query)

    async def stderr(
        self, task: str, job: str, execution: str, *, tail: int | None = None, since: str | None = None, last: int | None = None
    ) -> bytes:
        """The same of its stderr; ``last``: this many bytes at its end, at most."""
        query = {"tail": tail, "since": since}
        return await self._transport.content(contract.GET_STDERR_OF_EXECUTION, _ids(task, job, execution), query, last)

    async def following(self, task: str, job: str, execution: str) -> contract.Following:
        """The ticks of other jobs that its end made."""
        return await self._transport.call(contract.GET_FOLLOWING, _ids(task, job, execution))

    async def receipt(self, task: str, job: str, execution: str) -> contract.Receipt:
        """Its receipt."""
        return await self._transport.call(contract.GET_RECEIPT, _ids(task, job, execution))

    async def why(self, task: str, job: str, execution: str) -> contract.Why:
        """The reasons why it waits now."""
        return await self._transport.call(contract.GET_WHY_OF_EXECUTION, _ids(task, job, execution))

    async def ticket(self, task: str, job: str, execution: str) -> contract.Ticket:
        """A ticket with which a browser opens the page of its log (``streamUrl``) once, within 30 seconds."""
        return await self._transport.call(contract.MAKE_TICKET_OF_EXECUTION, _ids(task, job, execution))


class AsyncServer(AsyncResource):
    """``client.server``."""

    async def status(self) -> contract.ServerStatus:
        """Workers, hosts, queues, what runs and what comes next."""
        return await self._transport.call(contract.GET_STATUS)

    async def health(self) -> contract.Health:
        """Whether Redis, the store, the hosts and the workers are there, and what is wrong; also when something is."""
        return await self._transport.reported(contract.GET_HEALTH)

    async def alive(self) -> contract.Alive:
        """Asks whether the process that answers serves at all. Raises Unreachable when none does."""
        return await self._transport.call(contract.GET_LIVENESS)

    async def ready(self) -> contract.Ready:
        """Waits until the process that answers can take requests, for the client's patience. Raises Unavailable after that."""
        return await self._transport.call(contract.GET_READINESS)

    async def metrics(self) -> str:
        """The figures for Prometheus, as text."""
        return (await self._transport.content(contract.GET_METRICS)).decode()

    async def openapi(self) -> dict[str, object]:
        """The OpenAPI document of the server."""
        return await self._transport.call(contract.GET_OPEN_API)

    async def history(
        self, *, task: str | None = None, pool: str | None = None, since: str | None = None, hours: int | None = None
    ) -> contract.History:
        """How executions ended, by the hour; of a task, of a pool, or of all. ``since``: a moment, or how long ago; without it, the last
        ``hours`` (24 unless given)."""
        query = {"task": task, "pool": pool, "since": since, "hours": hours}
        return await self._transport.call(
            contract.GET_HISTORY, query={name: str(value) for name, value in query.items() if value is not None}
        )

    async def advice(self, *, task: str | None = None) -> AsyncIterator[contract.JobAdvice]:
        """The jobs on which there is advice, newest first, of all tasks or of one."""
        async for page in self._transport.pieces(contract.LIST_ADVICE, query={"task": task}):
            for one in page["items"]:
                yield one

    def usage(
        self, by: str, *, task: str | None = None, since: str | None = None, until: str | None = None
    ) -> AsyncIterator[contract.Usage]:
        """What the executions used that were due from ``since`` (30 days ago unless given) to before ``until`` (now), by ``task``, ``pool``
        or the name of a label: in pieces, whose figures add up."""
        return self._transport.pieces(contract.GET_USAGE, query={"by": by, "task": task, "since": since, "until": until})

    async def usage_csv(self, by: str, *, task: str | None = None, since: str | None = None, until: str | None = None) -> bytes:
        """The same as one table, in CSV."""
        query = {"by": by, "task": task, "since": since, "until": until, "format": "csv"}
        return await self._transport.content(contract.GET_USAGE, query=query)

    def forecast(
        self, *, days: int | None = None, since: str | None = None, until: str | None = None, task: str | None = None
    ) -> AsyncIterator[contract.Forecast]:
        """What the schedules will come to, in pieces that follow each other: ``days`` (7 unless given) from now on or from ``since``, or
        from then ``until`` a moment; of all tasks, or of one."""
        return self._transport.pieces(contract.GET_FORECAST, query={"days": days, "from": since, "until": until, "task": task})

    async def planned_runs(
        self, *, days: int | None = None, since: str | None = None, until: str | None = None, task: str | None = None
    ) -> AsyncIterator[contract.PlannedRun]:
        """The due times of the same range, soonest first, with those that are skipped."""
        query = {"days": days, "from": since, "until": until, "task": task}
        async for page in self._transport.pieces(contract.LIST_PLANNED_RUNS, query=query):
            for run in page["items"]:
                yield run

    async def pools(self) -> list[contract.Pool]:
        """All pools, in the order in which a task looks for its own."""
        return (await self._transport.call(contract.LIST_POOLS))["items"]

    async def reload_pools(self) -> contract.PoolsReloaded:
        """Makes every process read the pools from its settings again."""
        return await self._transport.call(contract.RELOAD_POOLS)

    async def pause_pool(self, pool: str) -> contract.PoolPaused:
        """Starts nothing in the pool."""
        return await self._transport.call(contract.PAUSE_POOL, {"pool": pool})

    async def resume_pool(self, pool: str) -> contract.PoolPaused:
        """Starts executions in the pool again."""
        return await self._transport.call(contract.RESUME_POOL, {"pool": pool})

    async def pause_dispatch(self) -> contract.DispatchPaused:
        """Pauses all dispatch: no further execution starts."""
        return await self._transport.call(contract.PAUSE_DISPATCH)

    async def resume_dispatch(self) -> contract.DispatchPaused:
        """Starts executions again."""
        return await self._transport.call(contract.RESUME_DISPATCH)

    async def hosts(self) -> list[contract.KnownHost]:
        """All Docker hosts, from the settings and registered."""
        return (await self._transport.call(contract.LIST_HOSTS))["items"]

    async def register_host(
        self, address: str, pool: str, *, weight: int | None = None, max_running: int | None = None
    ) -> contract.KnownHost:
        """Registers a host in a pool. The same again changes nothing."""
        body = {"address": address, "pool": pool, "weight": weight, "maxRunning": max_running}
        return await self._transport.call(contract.REGISTER_HOST, body=body)

    async def drain_host(self, host: str) -> contract.HostDrained:
        """Gives a host no new work. ``host``: its address, or its id."""
        return await self._transport.call(contract.DRAIN_HOST, body={"host": host})

    async def undrain_host(self, host: str) -> contract.HostDrained:
        """Gives a drained host work again."""
        return await self._transport.call(contract.UNDRAIN_HOST, body={"host": host})

    async def remove_host(self, host: str, *, force: bool = False) -> contract.HostRemoved:
        """Removes a host that is drained and empty. ``force``: even if containers are left there, which are then lost."""
        return await self._transport.call(contract.REMOVE_HOST, {"host": host}, {"force": 1 if force else None})

    async def calendars(self) -> list[contract.CalendarSummary]:
        """All calendars, from the settings and put by requests."""
        return (await self._transport.call(contract.LIST_CALENDARS))["items"]

    async def calendar(self, name: str) -> contract.Calendar:
        """A calendar: its dates, and jobs that name it."""
        return await self._transport.call(contract.GET_CALENDAR, {"calendar": name})

    async def put_calendar(
        self, name: str, dates: Sequence[str] | None = None, *, icalendar: str | None = None, if_match: str | None = None
    ) -> contract.Calendar:
        """Makes a calendar, or replaces its dates by these, or by the dates of an iCalendar file's text."""
        body = {"dates": list(dates)} if dates is not None else {"icalendar": icalendar}
        return await self._transport.call(contract.PUT_CALENDAR, {"calendar": name}, body=body, if_match=if_match)

    async def delete_calendar(self, name: str, *, force: bool = False, if_match: str | None = None) -> contract.CalendarDeleted:
        """Deletes a calendar. ``force``: even if jobs name it, whose ticks are then skipped."""
        query = {"force": 1 if force else None}
        return await self._transport.call(contract.DELETE_CALENDAR, {"calendar": name}, query, if_match=if_match)

    async def rebuild_queue(self, reason: str) -> contract.QueueRebuild:
        """Makes the workers rebuild the queue from the store."""
        return await self._transport.call(contract.REBUILD_QUEUE, body={"reason": reason})

    async def forget_worker(self, worker: str, reason: str) -> contract.WorkerForgotten:
        """Drops the last report of a worker. A worker that is alive reports itself again."""
        return await self._transport.call(contract.FORGET_WORKER, {"worker": worker}, body={"reason": reason})

    def events(self, *, since: str | None = None, until: str | None = None, **filters: str | None) -> AsyncIterator[contract.Event]:
        """Walks through the events and who caused them, newest first. ``filters``: kind, task, job, execution, actor, host, pool."""
        return self._transport.rows(contract.LIST_EVENTS, query={"since": since, "until": until, **filters})

    def follow_events(
        self, *, since: str | None = None, on_lost: OnLost | None = None, **filters: str | None
    ) -> AsyncGenerator[contract.Event, None]:
        """Yields events as they happen: from ``since`` on, or from now on. A lost connection is made again: no event is lost, none comes
        twice, and ``on_lost`` is called with the reason."""
        return follow_events(self._transport, filters, since, on_lost)


def _range(since: str, until: str | None, limit: int) -> dict[str, Any]:
    """The body of a backfill."""
    return {"from": since, "limit": limit, **({} if until is None else {"to": until})}


def _ids(task: str, job: str, execution: str | None = None) -> dict[str, str]:
    ids = {"task_id": task, "job_id": job}
    return ids if execution is None else {**ids, "execution_id": execution}
