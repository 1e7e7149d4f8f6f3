"""Executions: their lists, one of them, its stop, its deliveries, the counts of ``/history``, and receipts."""

from collections.abc import Mapping

from fastlane.errors import Fault, Invalid
from fastlane.models.job import task_id_fault
from fastlane.models.paging import Wanted, WantedFailures
from fastlane.models.retention import HOUR, MOST_HOURS
from fastlane.models.status import Status
from fastlane.services.receipts import NOTED, PLACE, read_noted
from fastlane.web.api.actions import EXECUTION_STOPPED
from fastlane.web.api.contract import ApiParameter, pages
from fastlane.web.api.events import DELIVERIES, DELIVERY, JOB_DELIVERIES
from fastlane.web.api.executions import EXECUTION_DETAIL, EXECUTION_PAGE, FAILED_JOB_PAGE, HISTORY
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, TASK_ID, comma_list, integer, text
from fastlane.web.api.receipts import CHAINS, CHECK, RECEIPT
from fastlane.web.api.serializer import Listing
from fastlane.web.handler import Handler
from fastlane.web.http.query import BY_NUMBER, ListUrl, read_all, read_integer, read_since, read_text, read_words
from fastlane.web.routing import TRIGGER, route

TASK = "/tasks/{task_id}"
JOB = TASK + "/jobs/{job_id}"
EXECUTION = JOB + "/executions/{execution_id}"
FILTERS = {
    "status": ApiParameter(
        f"Only executions with this status, or with one of several, separated by commas: {', '.join(Status)}.", comma_list(tuple(Status))
    ),
    "task": ApiParameter("Only executions of this task.", TASK_ID),
    "since": ApiParameter(f"Only executions that were due at or after this time: {SINCE_WORDS}.", SINCE),
}


def read_task(query: Mapping[str, str]) -> str | None:
    """The task that ``task`` in a list's query names; None when it is absent."""
    task_id = query.get("task")
    if task_id is not None and (fault := task_id_fault(task_id)):
        raise Invalid([Fault("task", fault)])
    return task_id


@route("GET", "/executions", "listExecutions", EXECUTION_PAGE, query={**FILTERS, **pages()}, refusals=(404,))
async def list_executions(handler: Handler) -> object:
    """Executions of all tasks, the latest due first; by status, by task, by due time."""
    url = ListUrl.of_query(f"{handler.base_url}/executions/", handler.query, visible=handler.visible_tasks)
    statuses, task_id, since, window = read_all(
        lambda: read_words(handler.query, "status", tuple(Status)),
        lambda: read_task(handler.query),
        lambda: read_since(handler.query, handler.services.clock.now()),
        lambda: url.window(handler.query, default=handler.config.per_page),
    )
    page = await handler.services.lists.executions(Wanted(frozenset(map(Status, statuses)), task_id, since, handler.visible_tasks), window)
    return Listing(url, page, page)


FAILURE_FILTERS = {
    "task": ApiParameter("Only failures of this task.", TASK_ID),
    "since": ApiParameter(f"Only failures that ended at or after this time: {SINCE_WORDS}.", SINCE),
}


@route("GET", "/failures", "listFailures", FAILED_JOB_PAGE, query={**FAILURE_FILTERS, **pages()}, refusals=(404,))
async def list_failures(handler: Handler) -> object:
    """Each job with executions that failed, timed out or expired, with the failure that ended last; the last end first. However often
    a job fails, it is one row. The newest 100,000 failures of all tasks are looked at, whichever task is asked for; older ones of a
    task are in `GET /executions`."""
    url = ListUrl.of_query(f"{handler.base_url}/failures/", handler.query, visible=handler.visible_tasks)
    task_id, since, window = read_all(
        lambda: read_task(handler.query),
        lambda: read_since(handler.query, handler.services.clock.now()),
        lambda: url.window(handler.query, default=handler.config.per_page),
    )
    page = await handler.services.lists.failures(WantedFailures(task_id, since, handler.visible_tasks), window)
    return Listing(url, page, page)


@route("GET", JOB + "/executions", "listExecutionsOfJob", EXECUTION_PAGE, query=pages(), refusals=(404,))
async def list_executions_of_job(handler: Handler, task_id: str, job_id: str) -> object:
    """The job's executions, newest first."""
    url = ListUrl.of_query(f"{handler.render_context.job_url(task_id, job_id)}executions/", handler.query, BY_NUMBER)
    window = url.window(handler.query, default=handler.config.per_page)
    view = await handler.services.lists.executions_of(task_id, job_id, window)
    return Listing(url, view.executions, view.executions)


@route("GET", EXECUTION, "getExecution", EXECUTION_DETAIL, refusals=(404,))
async def get_execution(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """The execution in full, with the end of its log."""
    return await handler.services.details.execution(task_id, job_id, execution_id)


@route("POST", EXECUTION + "/stop", "stopExecution", EXECUTION_STOPPED, refusals=(404,), access=TRIGGER)
async def stop_execution(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """Stops this execution."""
    return await handler.services.stops.stop_execution(task_id, job_id, execution_id, handler.requester)


@route("GET", EXECUTION + "/deliveries", "listDeliveries", DELIVERIES, refusals=(404,))
async def list_deliveries(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """What was sent about the execution, or is to be sent, with each attempt."""
    return await handler.services.deliveries.of_execution(task_id, job_id, execution_id, is_limited=handler.visible_tasks is not None)


@route("POST", EXECUTION + "/deliveries/{delivery_id}/redeliver", "redeliver", DELIVERY, refusals=(404,))
async def redeliver(handler: Handler, task_id: str, job_id: str, execution_id: str, delivery_id: str) -> object:
    """Has a delivery sent again, with the same id."""
    return await handler.services.deliveries.redeliver(
        task_id, job_id, execution_id, delivery_id, handler.requester, is_limited=handler.visible_tasks is not None
    )


@route("GET", JOB + "/deliveries", "listDeliveriesOfJob", JOB_DELIVERIES, refusals=(404,))
async def list_deliveries_of_job(handler: Handler, task_id: str, job_id: str) -> object:
    """What was sent because the job was late or has recovered, or is to be sent, with each attempt."""
    return await handler.services.deliveries.of_job(task_id, job_id, is_limited=handler.visible_tasks is not None)


@route("POST", JOB + "/deliveries/{delivery_id}/redeliver", "redeliverOfJob", DELIVERY, refusals=(404,))
async def redeliver_of_job(handler: Handler, task_id: str, job_id: str, delivery_id: str) -> object:
    """Has a delivery about the job sent again, with the same id."""
    return await handler.services.deliveries.redeliver_of_job(
        task_id, job_id, delivery_id, handler.requester, is_limited=handler.visible_tasks is not None
    )


USUAL_HOURS = 24
MAX_POOL = 64
"""Characters of a pool's name."""
QUERY = {
    "task": ApiParameter("Only executions of this task.", TASK_ID),
    "pool": ApiParameter("Only executions that were placed in the pool of this name.", text(MAX_POOL)),
    "since": ApiParameter(f"From the hour of this time on: {SINCE_WORDS}; unless given, as many hours ago as `hours` says.", SINCE),
    "hours": ApiParameter(f"How many hours, up to the present one; {USUAL_HOURS} unless given.", integer(1, MOST_HOURS)),
}


@route("GET", "/history", "getHistory", HISTORY, query=QUERY)
async def get_history(handler: Handler) -> object:
    """How many executions ended in each hour and status, and how late they had started; of a task, of a pool, or of all. The counts
    stay for `keep_history`, however soon retention removes the executions themselves."""
    now = handler.services.clock.now()
    task_id, pool, since, hours = read_all(
        lambda: read_task(handler.query),
        lambda: read_text(handler.query, "pool", MAX_POOL),
        lambda: read_since(handler.query, now),
        lambda: read_integer(handler.query, "hours", USUAL_HOURS, 1, MOST_HOURS),
    )
    since = max(0, now - (hours - 1) * HOUR) if since is None else since
    return await handler.services.history.hours(since, hours, task_id=task_id, pool=pool, visible=handler.visible_tasks)


MOST_PLACE = 80
_PLACE = {"type": "string", "minLength": 1, "maxLength": MOST_PLACE}


@route("GET", EXECUTION + "/receipt", "getReceipt", RECEIPT, refusals=(404, 409))
async def get_receipt(handler: Handler, task_id: str, job_id: str, execution_id: str) -> object:
    """The execution's receipt, also when retention has removed the execution. 409 before it is sealed, some seconds after its end."""
    return await handler.services.receipts.receipt(task_id, job_id, execution_id)


@route(
    "GET",
    JOB + "/receipts/check",
    "checkReceipts",
    CHECK,
    query={
        "from": ApiParameter("Where to go on: the `next` of the answer before.", {"type": "string", "pattern": PLACE}),
        "noted": ApiParameter(
            "A seal that the chain had once, as its number, a colon and its digest: it is a fault if it is not there any more.",
            {"type": "string", "pattern": NOTED},
        ),
    },
    refusals=(404, 409),
)
async def check_receipts(handler: Handler, task_id: str, job_id: str) -> object:
    """Compares the job's chain with its executions, ledger and logs as they are stored, a part at a time."""
    noted = read_noted(read_text(handler.query, "noted", MOST_PLACE))
    return await handler.services.receipts.check(task_id, job_id, read_text(handler.query, "from", MOST_PLACE), noted)


@route(
    "GET",
    "/receipts",
    "listAllReceiptChains",
    CHAINS,
    query={"from": ApiParameter("The job after which to go on: the `next` of the answer before.", _PLACE)},
    refusals=(409,),
)
async def list_all_receipt_chains(handler: Handler) -> object:
    """Where the chains of all jobs end, also of removed ones."""
    return await handler.services.receipts.all_chains(handler.visible_tasks, read_text(handler.query, "from", MOST_PLACE) or "")


@route(
    "GET",
    TASK + "/receipts",
    "listReceiptChains",
    CHAINS,
    query={"from": ApiParameter("The job after which to go on: the `next` of the answer before.", _PLACE)},
    refusals=(409,),
)
async def list_receipt_chains(handler: Handler, task_id: str) -> object:
    """Where the chains of the task's jobs end, also of removed ones."""
    return await handler.services.receipts.chains(task_id, read_text(handler.query, "from", MOST_PLACE) or "")
