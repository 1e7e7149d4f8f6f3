"""What jobs took over their runs (``…/stats``), advice on their definitions, and ``/usage``: what executions used of the hosts, as JSON in
pieces or as one table in CSV."""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import urlencode

from fastlane.clock import iso
from fastlane.errors import Fault, Invalid
from fastlane.models.paging import WantedJobs
from fastlane.models.retention import DAY
from fastlane.models.status import FINAL, Status
from fastlane.models.usage import PREFIX, usage_csv
from fastlane.services.reads.usage import MOST_IN_TABLE, MOST_VALUES, MOST_VALUES_IN_TABLE, WantedUsage
from fastlane.web.api.contract import ApiParameter, Response, pages
from fastlane.web.api.json_schema import SINCE, SINCE_WORDS, TASK_ID, comma_list, enum, integer
from fastlane.web.api.serializer import Listing
from fastlane.web.api.trends import ADVICE_PAGE, JOB_ADVICE, JOB_STATS, USAGE, UsageAnswer
from fastlane.web.api.values import LABEL
from fastlane.web.handler import VARY, Handler
from fastlane.web.http.query import BY_NUMBER, ListUrl, read_all, read_integer, read_since, read_words
from fastlane.web.routes.executions import JOB, read_task
from fastlane.web.routing import Answer, route

RUNS = 100
"""Executions of a page of figures, unless the query says otherwise; and the most."""
ENDED = tuple(sorted(FINAL))
EXECUTION_SIZE = 160 * 1024
"""Bytes that an execution may take which is looked at for advice, however short that is: 100 of them have up to 16 MiB of specs."""

STATS_QUERY = {
    "status": ApiParameter(
        f"Only runs that ended so, or in one of several ways, separated by commas: {', '.join(ENDED)}.", comma_list(ENDED)
    ),
    **pages(f"{RUNS}"),
}


@route("GET", JOB + "/stats", "getStats", JOB_STATS, query=STATS_QUERY, refusals=(404,))
async def get_stats(handler: Handler, task_id: str, job_id: str) -> object:
    """What the job's runs took: duration, memory, processor time and output. The figures are over one page of its executions, the newest
    unless the query names another; they are not over all that is stored."""
    url = ListUrl.of_query(f"{handler.render_context.job_url(task_id, job_id)}stats/", handler.query, BY_NUMBER)
    statuses, window = read_all(
        lambda: read_words(handler.query, "status", ENDED),
        lambda: url.window(handler.query, default=RUNS),
    )
    view = await handler.services.trends.stats(task_id, job_id, window, frozenset(map(Status, statuses)))
    return Listing(url, view.page, view)


@route("GET", JOB + "/advice", "getAdvice", JOB_ADVICE, refusals=(404,))
async def get_advice(handler: Handler, task_id: str, job_id: str) -> object:
    """What the job's newest 100 executions (fewer large ones) and due times say about its definition: limits far from use, a timeout that
    is never near, due times that are always skipped, retries that never help. Each piece of advice has its figures, and a value to try
    where one follows from them."""
    async with handler.in_turn():
        view = await handler.services.trends.advice(task_id, job_id, handler.config.hard_timeout)
        handler.note_size(view.executions * EXECUTION_SIZE)
    return view


MOST_JOBS, USUAL_JOBS = 20, 10
"""Jobs of a page of advice: each takes as many rows as two pages of a list."""
ADVICE_QUERY = {"task": ApiParameter("Only jobs of this task.", TASK_ID), **pages(f"{USUAL_JOBS}", MOST_JOBS)}


@route("GET", "/advice", "listAdvice", ADVICE_PAGE, query=ADVICE_QUERY, refusals=(404,))
async def list_advice(handler: Handler) -> object:
    """The same on all jobs, or on all jobs of a task, the newest first: a page looks at a few jobs, and leaves out jobs without
    advice."""
    url = ListUrl.of_query(f"{handler.base_url}/advice/", handler.query, visible=handler.visible_tasks)
    task_id, window = read_all(lambda: read_task(handler.query), lambda: url.window(handler.query, default=USUAL_JOBS, most=MOST_JOBS))
    wanted = WantedJobs(task_id=task_id, visible=handler.visible_tasks)
    found = await handler.services.trends.advice_on(wanted, window, handler.config.hard_timeout)
    handler.note_size(found.executions * EXECUTION_SIZE)
    return Listing(url, found.page, found)


CSV = "text/csv; charset=utf-8"
USUAL_RANGE = 30 * DAY
MOST_LOOKED_AT = 10_000
"""Executions that a piece sums at most."""
BY = rf"^(?:{PREFIX})?{LABEL.pattern}$"
PLACE = re.compile(r"([0-9]{1,15})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.ASCII)
USAGE_QUERY = {
    "by": ApiParameter(
        f"What to sum by: task, pool, or the name of a label; {PREFIX}task is the label of that name.",
        {"type": "string", "pattern": BY},
        required=True,
    ),
    "task": ApiParameter("Only executions of this task.", TASK_ID),
    "since": ApiParameter(f"Only executions that were due at or after this time: {SINCE_WORDS}; 30 days ago unless given.", SINCE),
    "until": ApiParameter(f"Only executions that were due before this time: {SINCE_WORDS}; now unless given.", SINCE),
    "format": ApiParameter("csv: all of it as one table, as with Accept: text/csv; else JSON, in pieces.", enum(("json", "csv"))),
    "perPage": ApiParameter(
        f"How many executions a piece of JSON sums at most: {MOST_LOOKED_AT:,} unless given.", integer(1, MOST_LOOKED_AT)
    ),
    "after": ApiParameter("Where the next piece begins. It comes with nextUrl.", {"type": "string", "pattern": f"^{PLACE.pattern}$"}),
}


@route(
    "GET",
    "/usage",
    "getUsage",
    query=USAGE_QUERY,
    answers={200: Response("A piece of the sums; or all of them as CSV.", (USAGE,), media=(CSV,), headers=("Content-Disposition",))},
    refusals=(429,),
    more=f"Each execution that has ended counts whole in the range in which it was due. A piece ends at {MOST_VALUES:,} values; follow "
    f"`nextUrl`. CSV is of {MOST_IN_TABLE:,} executions and {MOST_VALUES_IN_TABLE:,} values at most. Callers that are limited to some "
    "tasks get the sums of these.",
)
async def get_usage(handler: Handler) -> object:
    """What executions used of the hosts, by a label's value, by task or by pool: container time, processor time, and memory times time,
    by the peak and by the limit; with how many runs were measured."""
    query, now = handler.query, handler.services.clock.now()
    handler.set_header("Vary", VARY)
    by, task_id, since, until, after, per_page, form = read_all(
        lambda: _read_by(query),
        lambda: read_task(query),
        lambda: read_since(query, now),
        lambda: read_since(query, now, "until"),
        lambda: _read_after(query),
        lambda: read_integer(query, "perPage", MOST_LOOKED_AT, 1, MOST_LOOKED_AT),
        lambda: _read_format(query),
    )
    until = now if until is None else until
    since = max(0, until - USUAL_RANGE) if since is None else since
    if since >= until:
        raise Invalid([Fault("since", "is not before until, so no execution is in between")])
    wanted = WantedUsage(by, since, until, task_id, handler.visible_tasks)
    if form == "csv" or (form is None and handler.accepts("text/csv") and not handler.accepts("application/json")):
        await _send_csv(handler, wanted)
        return None
    async with handler.in_turn():
        piece = await handler.services.usage.piece(wanted, per_page, after)
    return Answer(USAGE, UsageAnswer(piece, _next_url(handler, wanted, piece.next)))


async def _send_csv(handler: Handler, wanted: WantedUsage) -> None:
    """Sends the whole table, for which it looks at many executions; few are made at once."""
    gone, caller = asyncio.Event(), handler.caller
    handler.when_gone = gone.set
    with handler.services.usage_feeds.entered(caller, gone):
        rows = await handler.services.usage.table(wanted, lambda: not gone.is_set() and handler.keeps_rights(caller))
    if rows is None:
        return handler.disconnect()
    handler.set_header("Content-Type", CSV)
    handler.set_header("Content-Disposition", 'attachment; filename="usage.csv"')
    handler.set_header("Cache-Control", "no-store")
    handler.write(usage_csv(wanted.by, rows))
    await handler.deliver(handler.finish())


def _read_by(query: Mapping[str, str]) -> str:
    by = query.get("by")
    if by is None:
        raise Invalid([Fault("by", "is missing; give task, pool, or the name of a label, such as by=team")])
    if re.fullmatch(BY, by, re.ASCII) is None:
        raise Invalid([Fault("by", "is neither task nor pool, and cannot be the name of a label")])
    return by


def _read_format(query: Mapping[str, str]) -> str | None:
    form = query.get("format")
    if form not in (None, "json", "csv"):
        raise Invalid([Fault("format", 'is neither "json" nor "csv"')])
    return form


def _read_after(query: Mapping[str, str]) -> tuple[int, str] | None:
    if "after" not in query:
        return None
    match = PLACE.fullmatch(query["after"])
    if match is None:
        raise Invalid([Fault("after", "is not from a nextUrl of this route; leave it out to begin at the latest execution")])
    return int(match[1]), match[2]


def _next_url(handler: Handler, wanted: WantedUsage, following: tuple[int, str] | None) -> str | None:
    """The URL of the next piece, which has the range of the first one."""
    if following is None:
        return None
    kept = {name: handler.query[name] for name in ("task", "format", "perPage", "pretty") if name in handler.query}
    place = {"since": iso(wanted.since), "until": iso(wanted.until), **kept, "after": f"{following[0]}-{following[1]}"}
    return f"{handler.base_url}/usage/?{urlencode({'by': wanted.by, **place})}"
