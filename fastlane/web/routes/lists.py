"""The routes that read lists, and what has a list in it: which page is asked for, one service, the answer."""

from fastlane.errors import Fault, Invalid
from fastlane.models.paging import Wanted, Window
from fastlane.models.status import Status
from fastlane.models.task import task_id_fault
from fastlane.web.api.contract import Parameter, operation, pages
from fastlane.web.api.responses import JOB_STATUSES, ExecutionPage, JobDetail, TaskJobs, TaskPage, TickPage
from fastlane.web.api.shapes import MOMENT_IN_QUERY, MOMENT_WORDS, TASK_ID, several, words
from fastlane.web.http.handler import Handler
from fastlane.web.http.paging import BY_NUMBER, BY_TIME, MOST_ROWS, NAMES, ListUrl
from fastlane.web.http.query import read_since, together

JOBS, MOST_JOBS = 1_000, 1_000
EXECUTIONS = 20
LONGEST_SEARCH = 1_000

SEARCH = Parameter(
    "Words of task ids, or their beginnings.",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_SEARCH, "pattern": r"[^\s\u0000\u001c-\u001f\u0085]|\ufeff"},
    required=True,
)
FILTERS = {
    "status": Parameter("Only with this status; several with commas between them.", several(tuple(Status))),
    "task": Parameter("Only of this task.", TASK_ID),
    "since": Parameter(f"Only what was due from then on: {MOMENT_WORDS}.", MOMENT_IN_QUERY),
}


class ListHandler(Handler):
    """The base of lists."""

    @property
    def visible(self) -> str | None:
        """The pattern of the tasks that a list may show something of; None: all of them."""
        return self.principal.tasks or None if self.principal is not None else None

    @property
    def per_page(self) -> int:
        """The rows of a page when the request does not say."""
        return min(self.context.settings.per_page, MOST_ROWS)

    def listed(self, url: str, kinds: tuple[type, type] = BY_TIME) -> ListUrl:
        """The list of this URL under the query's filters."""
        return ListUrl(url, {name: value for name, value in self.query.items() if name not in NAMES}, kinds)

    def window(self, listed: ListUrl) -> Window:
        """The page that is asked for."""
        return listed.window(self.query, default=self.per_page)


class TasksHandler(ListHandler):
    """``/tasks``."""

    @operation("listTasks", TaskPage, query=pages(), refusals=(404,))
    async def on_get(self) -> None:
        """All tasks, those changed last first."""
        listed = self.listed(f"{self.base}/tasks/")
        page = await self.services.lists.tasks(self.window(listed), self.visible)
        await self.answer(self.renderer.tasks(listed, page))


class SearchHandler(ListHandler):
    """``/search``."""

    @operation("searchTasks", TaskPage, query={"query": SEARCH, **pages()}, refusals=(404,))
    async def on_get(self) -> None:
        """Tasks by the words in their ids."""
        listed = self.listed(f"{self.base}/search/")
        words, window = together(self._words, lambda: self.window(listed))
        await self.answer(self.renderer.tasks(listed, await self.services.lists.search(words, window, self.visible)))

    def _words(self) -> list[str]:
        text = self.query.get("query", "").replace("\0", " ")
        if not text.strip():
            raise Invalid([Fault("query", "is missing; add words of task ids, or their beginnings: /search?query=nightly+back")])
        if len(text) > LONGEST_SEARCH:
            raise Invalid([Fault("query", f"is longer than {LONGEST_SEARCH} characters; a task id has 255 bytes at most")])
        return text.split()


class TaskJobsHandler(ListHandler):
    """``/tasks/T``, as it is read."""

    @operation(
        "listJobs",
        TaskJobs,
        query={"status": Parameter("Only jobs with this status.", words(JOB_STATUSES)), **pages(f"{JOBS:,}", MOST_JOBS)},
        refusals=(404,),
    )
    async def on_get(self, task_id: str) -> None:
        """The task's jobs, newest first."""
        listed = self.listed(self.renderer.task_url(task_id))
        status, window = together(self._status, lambda: listed.window(self.query, default=JOBS, most=MOST_JOBS))
        await self.answer(self.renderer.task(listed, await self.services.lists.task(task_id, window, status)))

    def _status(self) -> str | None:
        status = self.query.get("status")
        if status is not None and status not in JOB_STATUSES:
            raise Invalid([Fault("status", f"is none of {', '.join(JOB_STATUSES)}")])
        return status


class JobDetailHandler(ListHandler):
    """``/tasks/T/jobs/J``, as it is read."""

    @operation(
        "getJob",
        JobDetail,
        query={"include": Parameter("With each execution's log and error.", words(["logs"])), **pages(f"{EXECUTIONS}")},
        refusals=(404,),
    )
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job with its last 20 executions, or another page of them."""
        listed = self.listed(self.renderer.job_url(task_id, job_id), BY_NUMBER)
        texts, window = together(self._texts, lambda: listed.window(self.query, default=EXECUTIONS))
        await self.answer(self.renderer.job(listed, await self.services.queries.job(task_id, job_id, window, texts=texts)))

    def _texts(self) -> bool:
        if self.query.get("include", "logs") != "logs":
            raise Invalid([Fault("include", 'is not "logs"')])
        return "include" in self.query


class JobExecutionsHandler(ListHandler):
    """``/tasks/T/jobs/J/executions``."""

    @operation("listExecutionsOfJob", ExecutionPage, query=pages(), refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job's executions, newest first."""
        listed = self.listed(f"{self.renderer.job_url(task_id, job_id)}executions/", BY_NUMBER)
        view = await self.services.lists.executions_of(task_id, job_id, self.window(listed))
        await self.answer(self.renderer.executions(listed, view.executions))


class TicksHandler(ListHandler):
    """``/tasks/T/jobs/J/ticks``."""

    @operation("listTicks", TickPage, query=pages(), refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job's tick ledger, the latest due first."""
        listed = self.listed(f"{self.renderer.job_url(task_id, job_id)}ticks/")
        await self.answer(self.renderer.ticks(listed, await self.services.lists.ticks(task_id, job_id, self.window(listed))))


class ExecutionsHandler(ListHandler):
    """``/executions``."""

    @operation("listExecutions", ExecutionPage, query={**FILTERS, **pages()}, refusals=(404,))
    async def on_get(self) -> None:
        """Executions of all tasks, the latest due first: by status, by task, due since a moment."""
        listed = self.listed(f"{self.base}/executions/")
        statuses, task_id, since, window = together(self._statuses, self._task, lambda: read_since(self.query), lambda: self.window(listed))
        page = await self.services.lists.executions(Wanted(statuses, task_id, since, self.visible), window)
        await self.answer(self.renderer.executions(listed, page))

    def _statuses(self) -> frozenset[Status]:
        words = self.query["status"].split(",") if "status" in self.query else []
        if any(word not in tuple(Status) for word in words):
            raise Invalid([Fault("status", f"is none of {', '.join(Status)} (several with commas between them)")])
        return frozenset(map(Status, words))

    def _task(self) -> str | None:
        task_id = self.query.get("task")
        if task_id is not None and (fault := task_id_fault(task_id)):
            raise Invalid([Fault("task", fault)])
        return task_id
