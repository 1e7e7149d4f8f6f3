"""Exports and imports of whole stores, and all that a store has."""

from dataclasses import replace
from typing import Any

from fastlane.models.event import Position, Source, Span, at
from fastlane.models.paging import Wanted, WantedJobs, Window
from fastlane.models.retention import TaskHour
from fastlane.storage.base import Store
from fastlane.storage.transfer.files import Importer, export
from fastlane.storage.transfer.lines import Line, PausedPools, decode, encode
from tests.support.factories import joined

ALL = Window(1, 1000)
EVER = Span(at(0), Position(10**14, "~"))


async def exported(store: Store, *, with_logs: bool = True) -> list[Line]:
    """The lines of an export, as they are after they were written and read."""
    return [decode(encode(line)) async for line in export(store, version="3", installation="i", with_logs=with_logs)]


async def imported(store: Store, lines: list[Line]) -> Importer:
    importer = Importer(store)
    await importer.prepare()
    for line in lines:
        await importer.add(line)
    await importer.finish()
    return importer


async def content(store: Store) -> dict[str, Any]:
    """Everything that its lists show, and the logs."""
    jobs = (await store.list_all_jobs(WantedJobs(), ALL)).rows
    executions = (await store.list_executions(Wanted(), ALL)).rows
    belonging = {job.id: job for job in jobs}
    executions = [one for one in executions if one.job_id in belonging and one.belongs_to(belonging[one.job_id])]
    return {
        "tasks": (await store.list_tasks(ALL)).rows,
        "jobs": jobs,
        "ticks": {job.id: (await store.list_ticks(job.id, ALL)).rows for job in jobs},
        "executions": {one.id: replace(one, op="") for one in executions},
        "logs": {one.id: joined((await store.read_log(one.id, 0, 10_000)).pieces) for one in executions},
        "found": (await store.search_tasks(["team"], ALL)).rows,
        "hosts": await store.hosts(),
        "events": {source: await store.events(source, EVER, 10_000) for source in Source},
        "hours": sorted(map(repr, await hours(store))),
        "quotas": await store.transfer.mail_quotas(1_000),
    }


async def hours(store: Store) -> list[TaskHour]:
    """All counts, once everything is counted."""
    while await store.history.count_ends(100):
        pass
    return list(await store.transfer.hour_rows(10_000))


def without_start(lines: list[Line], *paused: str) -> list[Line]:
    """The lines of an export after its first one, with these pools paused, too."""
    pauses, *rest = lines[1:]
    assert isinstance(pauses, PausedPools)
    return [PausedPools(tuple(sorted({*pauses.names, *paused}))), *rest]
