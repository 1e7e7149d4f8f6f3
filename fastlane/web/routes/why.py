"""``…/why``, of a job or of one execution: why it does not run yet."""

from typing import Any

from fastlane.clock import iso
from fastlane.services.reads.why import Explanation
from fastlane.web.api.contract import operation
from fastlane.web.api.rendering import Renderer
from fastlane.web.api.server_responses import Why
from fastlane.web.http.handler import Handler


class WhyHandler(Handler):
    """``…/why``, of a job or of one execution."""

    @operation("getWhy", Why, refusals=(404,))
    async def on_get(self, task_id: str, job_id: str, execution_id: str | None = None) -> None:
        """What it waits for now."""
        why = self.services.why
        if execution_id is None:
            explained = await why.job(task_id, job_id)
        else:
            explained = await why.execution(task_id, job_id, execution_id)
        self.set_header("Cache-Control", "no-store")
        await self.answer(explanation(self.renderer, explained))


def explanation(renderer: Renderer, explained: Explanation) -> dict[str, Any]:
    """What a job or an execution waits for. Each reason adds its own fields to its message."""
    waiting = [
        {
            "reason": wait.reason.value,
            "message": renderer.without_secrets(wait.message, explained.envs),
            "since": _iso(wait.since),
            "until": _iso(wait.until),
            **wait.details,
        }
        for wait in explained.waits
    ]
    return {"status": explained.status, "waitingFor": waiting}


def _iso(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)
