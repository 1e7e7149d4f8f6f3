"""``/history``: how executions ended, by the hour."""

from fastlane.models.history import HOUR, MOST_HOURS
from fastlane.web.api.contract import Parameter, operation
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, TASK_ID, integer, text
from fastlane.web.api.responses.history import HISTORY
from fastlane.web.handler.handler import Handler
from fastlane.web.http.query import read_all, read_integer, read_since, read_text
from fastlane.web.routes.jobs.executions import read_task

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
