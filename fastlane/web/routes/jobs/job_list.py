"""``/jobs``: the jobs of all tasks."""

from fastlane.errors import Fault, Invalid
from fastlane.models.paging import WantedJobs
from fastlane.web.api.contract import Parameter, operation, pages
from fastlane.web.api.json_schema import TASK_ID, comma_list
from fastlane.web.api.requests.readers import LABEL, MAX_LABEL
from fastlane.web.api.responses.jobs import JOB_PAGE, JOB_STATUSES
from fastlane.web.api.responses.pages import Listing
from fastlane.web.handler.handler import Handler
from fastlane.web.http.paging import ListUrl
from fastlane.web.http.query import read_all
from fastlane.web.routes.jobs.executions import read_task

FILTERS = {
    "status": Parameter(
        f"Only jobs with this status, or with one of several, separated by commas: {', '.join(JOB_STATUSES)}.", comma_list(JOB_STATUSES)
    ),
    "task": Parameter("Only jobs of this task.", TASK_ID),
    "label": Parameter(
        "Only jobs with this label: NAME=VALUE.",
        {"type": "string", "pattern": rf"^{LABEL.pattern}=[^\u0000-\u001f\u007f-\u009f]{{0,{MAX_LABEL}}}$"},
    ),
}


class JobsHandler(Handler):
    """``/jobs``."""

    @operation("listAllJobs", JOB_PAGE, query={**FILTERS, **pages()}, refusals=(404,))
    async def on_get(self) -> None:
        """Jobs of all tasks, newest first; by status, by task, by label."""
        url = ListUrl.of_query(f"{self.base_url}/jobs/", self.query, visible=self.visible_tasks)
        statuses, task_id, label, window = read_all(
            self._statuses,
            lambda: read_task(self.query),
            self._label,
            lambda: url.window(self.query, default=self.web_settings.per_page),
        )
        page = await self.services.lists.jobs(WantedJobs(statuses, task_id, label, self.visible_tasks), window)
        await self.answer(JOB_PAGE, Listing(url, page, page))

    def _statuses(self) -> frozenset[str]:
        words = self.query["status"].split(",") if "status" in self.query else []
        if any(word not in JOB_STATUSES for word in words):
            raise Invalid([Fault("status", f"is not one of {', '.join(JOB_STATUSES)} (separate several with commas)")])
        return frozenset(words)

    def _label(self) -> tuple[str, str] | None:
        if "label" not in self.query:
            return None
        name, equals, value = self.query["label"].partition("=")
        if not equals or not LABEL.fullmatch(name):
            raise Invalid([Fault("label", "is not a label with its value; write NAME=VALUE, such as team=data")])
        return name, value
