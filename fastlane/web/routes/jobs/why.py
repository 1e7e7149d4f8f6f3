"""``…/why``, of a job or of one execution: why it does not run yet."""

from fastlane.web.api.contract import operation
from fastlane.web.api.responses.why import WHY
from fastlane.web.handler.handler import Handler


class WhyHandler(Handler):
    """``…/why``, of a job or of one execution."""

    @operation("getWhy", WHY, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """What it waits for now."""
        why = self.services.why
        if execution_id is None:
            explained = await why.job(task_id, job_id)
        else:
            explained = await why.execution(task_id, job_id, execution_id)
        self.set_header("Cache-Control", "no-store")
        await self.answer(WHY, explained)
