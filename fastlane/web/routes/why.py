"""Answers that spare a person a guess: why a job does not run yet, what a job would be (``dryRun``), how it ended (``wait``)."""

from collections.abc import Mapping
from typing import Any

from fastlane.clock import iso
from fastlane.models.job import Spec
from fastlane.models.schedule.schedule import Schedule
from fastlane.services.jobs.preview import Preview
from fastlane.services.jobs.results import Enqueued
from fastlane.services.reads.status import HostRow
from fastlane.services.reads.why import Explained
from fastlane.web.api.containers import show_resources
from fastlane.web.api.contract import operation
from fastlane.web.api.rendering import Renderer
from fastlane.web.api.server_responses import Why
from fastlane.web.http.handler import Handler
from fastlane.web.http.query import read_flag, read_whole

DRY_RUN, WAIT = "dryRun", "wait"
LONGEST_WAIT = 60


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


def read_dry_run(query: Mapping[str, str]) -> bool:
    """Whether the job is only to be looked at."""
    return read_flag(query, DRY_RUN)


def read_wait(query: Mapping[str, str]) -> int:
    """For how many seconds the answer is to wait for the execution's end; 0 for not at all."""
    return read_whole(query, WAIT, 0, 0, LONGEST_WAIT)


async def dry_run(handler: Handler, task_id: str, spec: Spec, schedule: Schedule) -> dict[str, Any]:
    """The answer to a job that was only to be looked at."""
    return preview(handler.renderer, await handler.services.previews.preview(task_id, spec, schedule))


async def waited(handler: Handler, made: Enqueued, seconds: int) -> dict[str, Any]:
    """The enqueue reply and, after its end or that many seconds, its execution as far as it is known."""
    view = await handler.services.endings.ended(made, seconds)
    return handler.renderer.enqueued(made) | {"execution": None if view is None else handler.renderer.execution(view)["execution"]}


def explanation(renderer: Renderer, explained: Explained) -> dict[str, Any]:
    """What is waited for; each with fields of its own beside its words."""
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


def preview(renderer: Renderer, seen: Preview) -> dict[str, Any]:
    """A job that could be."""
    return {
        "valid": True,
        "spec": renderer.spec(seen.spec),
        "schedule": renderer.schedule(seen.schedule),
        "pool": seen.pool.name,
        "resources": show_resources(seen.resources),
        "hosts": [_host(row) for row in seen.hosts],
        "nextRuns": [iso(moment) for moment in seen.next_runs],
    }


def _host(row: HostRow) -> dict[str, Any]:
    if row.view is None:
        return {"host": row.name, "usable": False, "reason": "no worker is alive that sees it"}
    return {"host": row.name, "usable": row.view.usable, "reason": None if row.view.usable else row.view.reason}


def _iso(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)
