"""The backfill of a job: to begin or preview one, to see how far it is, and to stop it."""

from fastlane.services.backfills import BackfillWish
from fastlane.web.api.backfills import BACKFILL, BACKFILL_BODY, BACKFILL_PREVIEW
from fastlane.web.api.contract import REPLAYED, flag
from fastlane.web.handler import Handler
from fastlane.web.http.query import read_flag
from fastlane.web.routes.executions import JOB
from fastlane.web.routes.jobs import read_idempotency_key
from fastlane.web.routing import Answer, route

BACKFILLS = JOB + "/backfill"


@route(
    "POST",
    BACKFILLS,
    "beginBackfill",
    *(BACKFILL, BACKFILL_PREVIEW),
    query={"dryRun": flag("Shows the due times and changes nothing.")},
    body=BACKFILL_BODY,
    idempotent=True,
    refusals=(404,),
    more="Due times of the range without a success become ticks, oldest first.",
)
async def begin_backfill(handler: Handler, task_id: str, job_id: str) -> object:
    """Runs due times of the job's cron that have passed without a success; or previews that."""
    dry_run = read_flag(handler.query, "dryRun")
    key = read_idempotency_key(handler, "backfill", task_id, job_id)
    given = handler.read_body()
    wish = BackfillWish(given["from"], given.get("to"), given.get("limit", 1))
    backfills = handler.services.backfills
    if dry_run:
        return Answer(BACKFILL_PREVIEW, await backfills.preview(task_id, job_id, wish))
    made, replayed = await backfills.begin(task_id, job_id, wish, handler.requester, key)
    if replayed:
        handler.set_header(REPLAYED, "true")
    return Answer(BACKFILL, made)


@route("GET", BACKFILLS, "getBackfill", BACKFILL, refusals=(404,))
async def get_backfill(handler: Handler, task_id: str, job_id: str) -> object:
    """The job's present or last backfill."""
    return await handler.services.backfills.get(task_id, job_id)


@route("POST", BACKFILLS + "/stop", "stopBackfill", BACKFILL, refusals=(404,), more="What it runs is stopped. Safe to repeat.")
async def stop_backfill(handler: Handler, task_id: str, job_id: str) -> object:
    """Ends the job's backfill: no further due time of it begins."""
    return await handler.services.backfills.stop(task_id, job_id, handler.requester)
