"""``/executions``, ``/tasks/T/jobs/J/executions``, one execution, and its stop."""

from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.models.job import task_id_fault
from fastlane.models.paging import Wanted
from fastlane.models.retention import HOUR, MOST_HOURS
from fastlane.models.status import Status
from fastlane.web.api.actions import EXECUTION_STOPPED
from fastlane.web.api.contract import Parameter, operation, pages
from fastlane.web.api.events import DELIVERIES, DELIVERY, JOB_DELIVERIES
from fastlane.web.api.executions import EXECUTION_DETAIL, EXECUTION_PAGE, HISTORY
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, TASK_ID, comma_list, integer, text
from fastlane.web.api.serializer import Listing
from fastlane.web.handler import Handler
from fastlane.web.http.query import BY_NUMBER, ListUrl, read_all, read_integer, read_since, read_text

FILTERS = {
    "status": Parameter(
        f"Only executions with this status, or with one of several, separated by commas: {', '.join(Status)}.", comma_list(tuple(Status))
    ),
    "task": Parameter("Only executions of this task.", TASK_ID),
    "since": Parameter(f"Only executions that were due at or after this time: {SINCE_WORDS}.", SINCE),
}


def read_task(query: Mapping[str, str]) -> str | None:
    """The task that ``task`` in a list's query names; None when it is absent."""
    task_id = query.get("task")
    if task_id is not None and (fault := task_id_fault(task_id)):
        raise Invalid([Fault("task", fault)])
    return task_id


class ExecutionsHandler(Handler):
    """``/executions``."""

    @operation("listExecutions", EXECUTION_PAGE, query={**FILTERS, **pages()}, refusals=(404,))
    async def on_get(self) -> None:
        """Executions of all tasks, the latest due first; by status, by task, by due time."""
        url = ListUrl.of_query(f"{self.base_url}/executions/", self.query, visible=self.visible_tasks)
        statuses, task_id, since, window = read_all(
            self._statuses,
            lambda: read_task(self.query),
            lambda: read_since(self.query, self.services.clock.now()),
            lambda: url.window(self.query, default=self.web_settings.per_page),
        )
        page = await self.services.lists.executions(Wanted(statuses, task_id, since, self.visible_tasks), window)
        await self.answer(EXECUTION_PAGE, Listing(url, page, page))

    def _statuses(self) -> frozenset[Status]:
        words = self.query["status"].split(",") if "status" in self.query else []
        if any(word not in tuple(Status) for word in words):
            raise Invalid([Fault("status", f"is not one of {', '.join(Status)} (separate several with commas)")])
        return frozenset(map(Status, words))


class JobExecutionsHandler(Handler):
    """``/tasks/T/jobs/J/executions``."""

    @operation("listExecutionsOfJob", EXECUTION_PAGE, query=pages(), refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job's executions, newest first."""
        url = ListUrl.of_query(f"{self.render_context.job_url(task_id, job_id)}executions/", self.query, BY_NUMBER)
        window = url.window(self.query, default=self.web_settings.per_page)
        view = await self.services.lists.executions_of(task_id, job_id, window)
        await self.answer(EXECUTION_PAGE, Listing(url, view.executions, view.executions))


class ExecutionHandler(Handler):
    """``/tasks/T/jobs/J/executions/E``."""

    @operation("getExecution", EXECUTION_DETAIL, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str) -> None:
        """The execution in full, with the end of its log."""
        await self.answer(EXECUTION_DETAIL, await self.services.details.execution(task_id, job_id, execution_id))


class StopExecutionHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/stop``."""

    @operation("stopExecution", EXECUTION_STOPPED, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str, execution_id: str) -> None:
        """Stops this execution."""
        await self.answer(EXECUTION_STOPPED, await self.services.stops.stop_execution(task_id, job_id, execution_id, self.requester))


class DeliveriesHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/deliveries``."""

    @operation("listDeliveries", DELIVERIES, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str) -> None:
        """What was sent about the execution, or is to be sent, with each attempt."""
        await self.answer(DELIVERIES, await self.services.deliveries.of_execution(task_id, job_id, execution_id))


class RedeliverHandler(Handler):
    """``/tasks/T/jobs/J/executions/E/deliveries/D/redeliver``."""

    @operation("redeliver", DELIVERY, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str, execution_id: str, delivery_id: str) -> None:
        """Has a delivery sent again, with the same id."""
        await self.answer(DELIVERY, await self.services.deliveries.redeliver(task_id, job_id, execution_id, delivery_id, self.requester))


class JobDeliveriesHandler(Handler):
    """``/tasks/T/jobs/J/deliveries``."""

    @operation("listDeliveriesOfJob", JOB_DELIVERIES, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """What was sent because the job was late or has recovered, or is to be sent, with each attempt."""
        await self.answer(JOB_DELIVERIES, await self.services.deliveries.of_job(task_id, job_id))


class RedeliverOfJobHandler(Handler):
    """``/tasks/T/jobs/J/deliveries/D/redeliver``."""

    @operation("redeliverOfJob", DELIVERY, refusals=(404,))
    async def on_post(self, task_id: str, job_id: str, delivery_id: str) -> None:
        """Has a delivery about the job sent again, with the same id."""
        await self.answer(DELIVERY, await self.services.deliveries.redeliver_of_job(task_id, job_id, delivery_id, self.requester))


USUAL_HOURS = 24
MAX_POOL = 64
"""Characters of a pool's name."""
QUERY = {
    "task": Parameter("Only executions of this task.", TASK_ID),
    "pool": Parameter("Only executions that were placed in the pool of this name.", text(MAX_POOL)),
    "since": Parameter(f"From the hour of this time on: {SINCE_WORDS}; unless given, so many hours ago.", SINCE),
    "hours": Parameter(f"How many hours, up to the present one; {USUAL_HOURS} unless given.", integer(1, MOST_HOURS)),
}


class HistoryHandler(Handler):
    """``/history``."""

    @operation("getHistory", HISTORY, query=QUERY)
    async def on_get(self) -> None:
        """How many executions ended in each hour and status, and how late they had started; of a task, of a pool, or of all. The counts
        stay for `keep_history`, however soon retention removes the executions themselves."""
        now = self.services.clock.now()
        task_id, pool, since, hours = read_all(
            lambda: read_task(self.query),
            lambda: read_text(self.query, "pool", MAX_POOL),
            lambda: read_since(self.query, now),
            lambda: read_integer(self.query, "hours", USUAL_HOURS, 1, MOST_HOURS),
        )
        since = max(0, now - (hours - 1) * HOUR) if since is None else since
        view = await self.services.history.hours(since, hours, task_id=task_id, pool=pool, visible=self.visible_tasks)
        await self.answer(HISTORY, view)
