"""``/tasks/T/jobs/J/ticks``."""

from fastlane.web.api.contract import operation, pages
from fastlane.web.api.responses import TickPage
from fastlane.web.http.handler import Handler
from fastlane.web.http.paging import ListUrl


class TicksHandler(Handler):
    """``/tasks/T/jobs/J/ticks``."""

    @operation("listTicks", TickPage, query=pages(), refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job's tick ledger, the latest due first."""
        url = ListUrl.of_query(f"{self.renderer.job_url(task_id, job_id)}ticks/", self.query)
        window = url.window(self.query, default=self.web_settings.per_page)
        await self.answer(self.renderer.ticks(url, await self.services.lists.ticks(task_id, job_id, window)))
