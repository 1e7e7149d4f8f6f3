"""Forecasts: what the schedules will come to, by the hour, and single due times that will come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastlane.models.forecast import (
    MOST_COLLISIONS,
    MOST_NAMED,
    MOST_NOTES,
    Collision,
    ForecastHour,
    JobNote,
    NoteKind,
    PlannedJob,
    PlannedRun,
    PoolHour,
)
from fastlane.models.forecast_impact import ForecastImpact
from fastlane.services.reads.forecast import MOST_JOBS, MOST_RUNS, ForecastView, RunsView
from fastlane.web.api import serializer as show
from fastlane.web.api.serializer import Serializer


@dataclass(frozen=True, slots=True)
class ForecastPage:
    """A piece of a forecast, and the URL of the next one; None after the last."""

    view: ForecastView
    next_url: str | None


@dataclass(frozen=True, slots=True)
class RunsPage:
    """A page of due times, and the URL of the next one; None after the last."""

    view: RunsView
    next_url: str | None


PLANNED_JOB = Serializer[PlannedJob](
    "PlannedJob",
    "A job with a tick to come.",
    taskId=show.string(lambda job: job.task_id, "The task's id."),
    jobId=show.uuid(lambda job: job.id, "The job's id."),
    jobUrl=show.url(lambda job, render: render.job_url(job.task_id, job.id), "The job."),
    name=show.string(lambda job: job.name, "Its name.", null=True),
)

POOL_HOUR = Serializer[PoolHour](
    "PoolHour",
    "An hour of a pool.",
    due=show.integer(lambda hour: hour.due, "How many executions are due."),
    load=show.number(lambda hour: round(hour.load, 3), "How many executions run at once, on average over the hour."),
    peak=show.integer(lambda hour: hour.peak, "How many executions run at once, at most."),
)

FORECAST_HOUR = Serializer[ForecastHour](
    "ForecastHour",
    "An hour that comes. Of the first hour, only the part from the beginning of the forecast on.",
    hour=show.timestamp(lambda hour: hour.hour, "When the hour begins."),
    due=show.integer(lambda hour: hour.due, "How many executions are due."),
    skipped=show.integer(lambda hour: hour.skipped, "How many due times are skipped, by dates and calendars."),
    busiestMinute=show.timestamp(lambda hour: hour.busiest, "The minute in which most are due; null: none is due.", null=True),
    busiestDue=show.integer(lambda hour: hour.most, "How many are due in it."),
    quietMinutes=show.integer(lambda hour: hour.quiet, "In how many minutes none is due."),
    pools=show.table(POOL_HOUR, lambda hour: hour.pools, "The pools in which anything is due or runs, by name."),
)

COLLISION = Serializer[Collision](
    "Collision",
    "A minute in which several jobs are due.",
    minute=show.timestamp(lambda one: one.minute, "When the minute begins."),
    due=show.integer(lambda one: one.due, "How many executions are due in it."),
    jobs=show.array(PLANNED_JOB, lambda one: one.jobs, f"The first of the jobs, up to {MOST_NAMED}."),
)

FORECAST_NOTE = Serializer[JobNote](
    "ForecastNote",
    "Something remarkable about a job in the time of the forecast.",
    kind=show.enum(
        NoteKind,
        lambda note: note.kind,
        "overruns: it usually takes longer than until its next due time; timeout: it usually takes as long as it may, or nearly; clocks: a "
        "change of the clocks touches a due time; skipped: due times are skipped; ends: it expires; unknown: nothing can be said of it.",
    ),
    job=show.flattened(PLANNED_JOB, lambda note: note.job),
    text=show.string(lambda note: note.words, "The same in words, which follow the job's name."),
)

POOL_ROOM = Serializer[int](
    "PoolRoom",
    "A pool of the forecast.",
    maxRunning=show.integer(lambda most: most, "How many of its executions run at once, at most.", least=1),
)


def _counts(counts: Mapping[NoteKind, int]) -> Mapping[str, Any]:
    return {kind.value: counts.get(kind, 0) for kind in NoteKind}


FORECAST = Serializer[ForecastPage](
    "Forecast",
    "A piece of a forecast: what the schedules will come to.",
    **{
        "from": show.timestamp(lambda page: page.view.forecast.since, "When this piece begins."),
        "to": show.timestamp(lambda page: page.view.forecast.until, "When this piece ends."),
    },
    jobs=show.integer(
        lambda page: page.view.forecast.examined, f"How many jobs have a tick to come; up to {MOST_JOBS:,}, the soonest, are looked at."
    ),
    atLeast=show.boolean(
        lambda page: page.view.forecast.at_least or None, "True: there are more jobs, so all counts are at least these.", optional=True
    ),
    hours=show.array(FORECAST_HOUR, lambda page: page.view.forecast.hours, "Each hour of this piece, in order."),
    pools=show.table(POOL_ROOM, lambda page: page.view.pools, "All pools, by name."),
    dueByMinute=show.rendered(
        lambda page, _: list(page.view.forecast.minutes),
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 60, "maxItems": 60},
        "How many executions of this piece are due in each minute of the hour, from minute 0 to 59.",
        always=True,
    ),
    collisions=show.array(
        COLLISION,
        lambda page: page.view.forecast.collisions,
        f"The minutes of this piece in which most executions of several jobs are due, up to {MOST_COLLISIONS}, the fullest first.",
    ),
    notes=show.array(
        FORECAST_NOTE, lambda page: page.view.forecast.notes, f"What is remarkable about jobs, up to {MOST_NOTES} of each kind."
    ),
    noteCounts=show.mapping(
        lambda page: _counts(page.view.forecast.counts),
        "How many notes of each kind there are.",
        values={"type": "integer", "minimum": 0},
    ),
    nextUrl=show.url(lambda page, _: page.next_url, "The next piece; null after the last.", null=True),
)


def _executions(run: PlannedRun) -> int:
    return 0 if run.skipped else run.job.targets


PLANNED_RUN = Serializer[PlannedRun](
    "PlannedRun",
    "A due time that will come.",
    due=show.timestamp(lambda run: run.due, "The due time."),
    job=show.flattened(PLANNED_JOB, lambda run: run.job),
    pool=show.string(lambda run: run.job.pool, "The job's pool."),
    executions=show.integer(
        lambda run: 0 if run.skipped else run.job.targets, "How many executions it makes: several where it runs everywhere."
    ),
    usualDuration=show.seconds(lambda run: run.job.usual, "How many seconds one usually runs, by the last ones; null: not known."),
    skipped=show.string(
        lambda run: run.skipped, "The dates or the calendar for which it is skipped, and makes none; null: it is not skipped.", null=True
    ),
)

PLANNED_RUNS = Serializer[RunsPage](
    "PlannedRuns",
    "Due times that will come, soonest first.",
    **{
        "from": show.timestamp(lambda page: page.view.since, "When the range begins."),
        "to": show.timestamp(lambda page: page.view.until, "When the range ends; the moment itself is not in it."),
    },
    items=show.array(
        PLANNED_RUN, lambda page: page.view.runs, f"The first {MOST_RUNS} of them, and all others of the moment of the last one."
    ),
    nextUrl=show.url(lambda page, _: page.next_url, "The next page; null after the last.", null=True),
)

FORECAST_IMPACT = Serializer[ForecastImpact](
    "ForecastImpact",
    "What a job would do to the forecast of its pool, by itself.",
    until=show.timestamp(lambda one: one.until, "When the time ends that was looked at, which begins now."),
    due=show.integer(lambda one: one.due, "How many of its executions are due."),
    sharedMinutes=show.integer(lambda one: one.shared, "In how many of its minutes other jobs of the pool are due."),
    fullestMinute=show.timestamp(lambda one: one.fullest, "The one of these in which most others are due; null: there is none.", null=True),
    othersThen=show.integer(lambda one: one.most_others, "How many executions of others are due in it."),
    peakBefore=show.integer(lambda one: one.peaks[0], "How many executions of the pool run at once, at most, without the job."),
    peakWith=show.integer(lambda one: one.peaks[1], "How many with it."),
    fullHoursBefore=show.integer(lambda one: one.full[0], "In how many hours more run at once than maxRunning, without the job."),
    fullHoursWith=show.integer(lambda one: one.full[1], "In how many hours with it."),
    maxRunning=show.integer(lambda one: one.max_running, "How many executions of the pool run at once, at most.", least=1),
    quietMinutes=show.rendered(
        lambda one, _: list(one.quiet),
        {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 59}},
        "Minutes of the hour in which fewest others are due.",
        always=True,
    ),
    usualDuration=show.seconds(
        lambda one: one.usual, "How many seconds it usually runs; null: not known, so it counts for the moment of its start alone."
    ),
)
