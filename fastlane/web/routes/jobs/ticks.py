"""``/tasks/T/jobs/J/ticks``."""

from fastlane.web.api.contract import operation, pages
from fastlane.web.api.responses.jobs import TICK_PAGE
from fastlane.web.api.responses.pages import Listing
from fastlane.web.handler.handler import Handler
from fastlane.web.http.paging import ListUrl


class TicksHandler(Handler):
    """``/tasks/T/jobs/J/ticks``."""

    @operation("listTicks", TICK_PAGE, query=pages(), refusals=(404,))
    async def on_get(self, task_id: str, job_id: str) -> None:
        """The job's tick ledger, the latest due first."""
        url = ListUrl.of_query(f"{self.render_context.job_url(task_id, job_id)}ticks/", self.query)
        window = url.window(self.query, default=self.web_settings.per_page)
        view = await self.services.lists.ticks(task_id, job_id, window)
        await self.answer(TICK_PAGE, Listing(url, view.ticks, view))
