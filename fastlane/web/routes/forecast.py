"""``/forecast``: what the schedules will come to, and which due times will come. In pieces, each of which takes bounded time."""

from collections.abc import Mapping
from urllib.parse import urlencode

from fastlane.clock import iso
from fastlane.errors import Fault, Invalid
from fastlane.models.schedule import read_moment
from fastlane.services.reads.forecast import MOST_RUNS, WantedForecast
from fastlane.web.api.contract import ApiParameter
from fastlane.web.api.forecast import FORECAST, PLANNED_RUNS, ForecastPage, RunsPage
from fastlane.web.api.json_schema import MOMENT_WORDS, QUERY_MOMENT, TASK_ID, integer
from fastlane.web.handler import Handler
from fastlane.web.http.query import read_all, read_integer
from fastlane.web.routes.executions import read_task
from fastlane.web.routing import route

DAY = 86_400_000
USUAL_DAYS, MOST_DAYS = 7, 366
FARTHEST = 3_660
"""Days from now on in which a forecast may begin."""
RANGE = {
    "from": ApiParameter(f"When it begins: {MOMENT_WORDS}; now unless given.", QUERY_MOMENT),
    "days": ApiParameter(f"How many days from then on; {USUAL_DAYS} unless given.", integer(1, MOST_DAYS)),
    "until": ApiParameter(f"When it ends, instead of `days`: {MOMENT_WORDS}; up to {MOST_DAYS} days after its beginning.", QUERY_MOMENT),
    "task": ApiParameter("Only jobs of this task.", TASK_ID),
}
KEPT = ("task", "pretty")
"""Parameters that the URL of the next piece has, too."""
OF_CALLER = "Callers that are limited to some tasks get the forecast of these."


@route(
    "GET",
    "/forecast",
    "getForecast",
    FORECAST,
    query=RANGE,
    more="It goes by the schedules as they are stored, the calendars, and how long the last executions of each job took. Pauses, retries, "
    f"runs by hand and jobs that follow others are not in it. A long forecast comes in pieces: follow `nextUrl`. {OF_CALLER}",
)
async def get_forecast(handler: Handler) -> object:
    """What the schedules will come to: by the hour and pool, minutes in which many jobs are due, and what is remarkable about jobs."""
    wanted = _wanted(handler)
    async with handler.in_turn():
        view = await handler.services.forecasts.read(wanted)
    return ForecastPage(view, _next_url(handler, "/forecast/", wanted, view.next))


@route("GET", "/forecast/runs", "listPlannedRuns", PLANNED_RUNS, query=RANGE, more=f"Follow `nextUrl` for more. {OF_CALLER}")
async def list_planned_runs(handler: Handler) -> object:
    """The due times that will come, soonest first, with those that are skipped."""
    wanted = _wanted(handler)
    async with handler.in_turn():
        view = await handler.services.forecasts.runs(wanted, MOST_RUNS)
    return RunsPage(view, _next_url(handler, "/forecast/runs/", wanted, view.next))


def _next_url(handler: Handler, path: str, wanted: WantedForecast, following: int | None) -> str | None:
    if following is None:
        return None
    more = {name: handler.query[name] for name in KEPT if name in handler.query}
    return f"{handler.base_url}{path}?{urlencode({'from': iso(following), 'until': iso(wanted.until), **more})}"


def _wanted(handler: Handler) -> WantedForecast:
    """The range and the jobs of a forecast. Raises Invalid with every fault."""
    query, now = handler.query, handler.services.clock.now()
    since, until, days, task_id = read_all(
        lambda: _moment(query, "from"),
        lambda: _moment(query, "until"),
        lambda: read_integer(query, "days", USUAL_DAYS, 1, MOST_DAYS),
        lambda: read_task(query),
    )
    since = now if since is None else since
    faults = []
    if since > now + FARTHEST * DAY:
        faults.append(Fault("from", f"is more than {FARTHEST:,} days ahead; choose an earlier moment"))
    if "until" in query and "days" in query:
        faults.append(Fault("until", "cannot be used together with days; leave one of them out"))
    elif until is not None and not since < until <= since + MOST_DAYS * DAY:
        faults.append(Fault("until", f"is not after from, and at most {MOST_DAYS} days after it"))
    if faults:
        raise Invalid(faults)
    return WantedForecast(since, since + days * DAY if until is None else until, task_id, handler.visible_tasks)


def _moment(query: Mapping[str, str], name: str) -> int | None:
    try:
        return read_moment(query[name]) if name in query else None
    except ValueError as error:
        raise Invalid([Fault(name, str(error))]) from None
