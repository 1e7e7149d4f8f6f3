"""The stored status of a job is what the rule says of what is stored, after each write; and what of it is missing or wrong is put right."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from fastlane.models import transitions
from fastlane.models.cron import Cron
from fastlane.models.job import STATUS_RULE, Ending, Execution, Job, Spec, standing
from fastlane.models.paging import WantedJobs, Window
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import UNDER_WAY, Status
from fastlane.models.tick import next_execution
from fastlane.storage.base import Deletion, Store
from tests.contract.statuses import ALL, ruled_statuses, stored_statuses
from tests.contract.test_stores_agree import Call, History, answer
from tests.support.factories import first_of, make_execution, new, new_job

CRON = Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))


class Programs(History):
    """Random writes that also pause, stop, arm, expire and turn jobs into crons."""

    def advance(self) -> Call:
        chance, place = self.chance, self.chance.randrange(len(self.jobs))
        seen = self.jobs[place]
        after = replace(
            seen,
            sequence=seen.sequence + 1,
            revision=seen.revision + 1,
            modified_at=self.now,
            next_tick=chance.choice((None, self.now + 9)),
            held_tick=chance.choice((None, None, self.now + 9)),
            armed=chance.choice((seen.armed, seen.sequence + 1)),
            schedule=chance.choice((seen.schedule, CRON)),
            spec=replace(seen.spec, expiration=chance.choice((None, self.now, self.now + 100))),
        )
        self.jobs[place] = after
        if chance.random() < 0.5:
            return lambda store: store.advance(seen, after, [], None)
        tick, execution = first_of(after, key=f"r:{self.now}/{chance.random()}", sequence=after.sequence, due=self.now)
        execution = replace(execution, waits=chance.choice((None, Overlap.QUEUE)))
        self.executions.append(execution)
        return lambda store: store.advance(seen, after, [tick], execution)


@pytest.mark.parametrize("seed", range(6))
async def test_after_each_write_the_stored_status_is_the_one_by_the_rule(store: Store, seed: int, request: pytest.FixtureRequest) -> None:
    program, seen, writes = Programs(seed), set[str](), list[str]()
    each = 4 if "mongo" in request.node.name else 1  # the test's server reads a whole collection for each query
    for step in range(72):
        writes.append((write := program.write()).__qualname__)
        await answer(write, store)
        if step % each == each - 1:
            stored = await stored_statuses(store)
            assert stored == await ruled_statuses(store), writes[-each:]
            seen |= set(stored.values())
        for place, job in enumerate(program.jobs):  # so that the next change is not refused
            program.jobs[place] = await store.job(job.id) or job
    assert len(seen) > 2


async def test_each_line_of_the_rule_is_stored_for_some_job(store: Store) -> None:
    at = Schedule(ScheduleKind.AT, 9_000)
    for schedule, held, due, stop, end, last in itertools.product(
        (at, CRON), (None, 5), (None, 9), (0, 2), (None, 9), (None, Status.RUNNING, Status.FAILED)
    ):
        job = replace(new_job("t"), schedule=schedule, held_tick=held, next_tick=due, stop_sequence=stop, spec=Spec("i", expiration=end))
        tick, execution = first_of(job)
        await store.create(job, *((tick, replace(execution, status=last)) if last else (None, None)))
    assert (found := await stored_statuses(store)) == await ruled_statuses(store)
    assert set(found.values()) == {said for _, said in STATUS_RULE if said} | {"running", "failed"}


WRITES: dict[str, tuple[Callable[[Store, Job, Execution], Awaitable[object]], str]] = {
    "pause": (lambda store, job, _: store.advance(job, replace(job, revision=2, held_tick=9), (), None), "paused"),
    "PUT": (lambda store, job, _: store.advance(job, replace(job, revision=2, sequence=2, next_tick=9), (), None), "enqueued"),
    "claim": (lambda store, _, one: store.claim(one.id, lambda row: transitions.claim(row, host="h", pool="p", now=1)), "pulling"),
    "change": (lambda store, _, one: store.change(transitions.claim(one, host="h", pool="p", now=1)), "pulling"),
    "cancel": (lambda store, _, one: store.change(transitions.cancel(one, now=1)), "stopped"),
    "insert": (lambda store, _, one: store.insert(replace(next_execution(one, due=1, now=1), status=Status.RUNNING)), "running"),
    "discard": (lambda store, _, one: store.discard(one), "expired"),
    "stop": (lambda store, job, _: store.stop_job(job.id, 1), "enqueued"),
}


@pytest.mark.parametrize("name", WRITES)
async def test_the_status_changes_neither_the_revision_nor_the_version_of_a_job(store: Store, name: str) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    write, expected = WRITES[name]
    await write(store, job, execution)
    after = await store.job(job.id)
    assert after is not None
    for status in ("enqueued", expected):
        assert [one.id for one in (await store.list_jobs("t", ALL, statuses=frozenset({status}))).rows] == (
            [job.id] if status == expected else []
        )
    assert await store.jobs_by_status() == {expected: 1}
    if name not in ("pause", "PUT", "stop"):
        assert (after, after.version) == (job, job.version)


async def test_an_attempt_that_waits_gives_way_to_one_that_runs_until_it_is_released(store: Store) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.RUNNING))
    later, waiting = first_of(job, key="c:2", sequence=2)
    assert await store.advance(job, replace(job, sequence=2), [later], replace(waiting, waits=Overlap.QUEUE))
    assert await store.jobs_by_status() == {"running": 1}
    assert await store.change(transitions.release(replace(waiting, waits=Overlap.QUEUE)))
    assert await store.jobs_by_status() == {"enqueued": 1}


async def test_a_job_that_is_deleted_in_steps_has_the_status_of_what_is_left(store: Store) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE, settled=True, cleaned=True))
    for number in range(2, 130):
        row, one = first_of(job, key=f"c:{number}", sequence=number)
        seen = await store.job(job.id)
        assert seen is not None
        assert await store.advance(
            seen, replace(seen, sequence=number), [row], replace(one, status=Status.FAILED, settled=True, cleaned=True)
        )
    while await store.delete_job(job.id, job.incarnation, 9) is Deletion.MORE:
        assert await stored_statuses(store) == await ruled_statuses(store)
    assert await store.jobs_by_status() == {}


async def test_a_job_under_the_id_of_one_that_is_gone_has_a_status_of_its_own(store: Store) -> None:
    job, tick, execution = new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE, settled=True, cleaned=True))
    assert await store.delete_job(job.id, job.incarnation, 9) is Deletion.DONE
    again = replace(job, incarnation="another", next_tick=9)
    await store.create(again, None, None)
    assert await stored_statuses(store) == {job.id: "scheduled"}
    ended = replace(next_execution(execution, due=1, now=1), status=Status.FAILED, incarnation="")
    assert await store.insert(ended)
    assert await stored_statuses(store) == await ruled_statuses(store)


async def test_what_expires_before_its_tick_came_is_written_when_that_is_noticed(store: Store) -> None:
    expiring, lasting, cron = [replace(new_job("t"), next_tick=5_000, spec=Spec("i", expiration=end)) for end in (6_000, None, 6_000)]
    for job in (expiring, lasting, replace(cron, schedule=CRON)):
        await store.create(job, None, None)
    assert await store.jobs_by_status() == {"scheduled": 3}
    assert (await store.walk_statuses(5_999, "~", 10)).repaired == 0
    assert (await store.walk_statuses(6_000, "~", 10)).repaired == 2
    assert await stored_statuses(store) == {expiring.id: "expired", lasting.id: "scheduled", cron.id: "expired"}
    assert (await store.walk_statuses(6_000, "~", 10)).repaired == 0


async def test_a_walk_comes_to_each_job_once(store: Store) -> None:
    for _ in range(7):
        await store.create(*new("t"))
    after, ends = "", list[str]()
    while (walk := await store.walk_statuses(1, after, 3)).after is not None:
        after = walk.after
        ends.append(after)
    ids = sorted(await stored_statuses(store))
    assert (ends, walk.repaired) == ([ids[2], ids[5]], 0)


async def test_changes_of_one_job_at_the_same_time_leave_the_right_status(store: Store, open_store: Callable[[], Awaitable[Store]]) -> None:
    other, chance = await open_store(), random.Random(7)
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    rows = [execution]
    for number in range(2, 12):
        later, one = first_of(job, key=f"c:{number}", sequence=number)
        seen = await store.job(job.id)
        assert seen is not None
        assert await store.advance(seen, replace(seen, sequence=number), [later], one)
        rows.append(one)

    async def run(at: Store, row: Execution) -> None:
        claimed = await at.change(transitions.claim(row, host="h", pool="p", now=1))
        assert claimed is not None
        assert await at.change(transitions.give_up(claimed, Ending(chance.choice((Status.FAILED, Status.STOPPED)), 5)))

    await asyncio.gather(*(run(chance.choice((store, other)), row) for row in rows))
    assert await stored_statuses(store) == await ruled_statuses(store)


def shown(one: Execution | None) -> tuple[object, ...]:
    """Of two with the same number, either may stand for the job."""
    return () if one is None else (one.status, one.waits, one.sequence, one.attempt)


def in_any_state() -> list[Execution]:
    return [
        make_execution(sequence=sequence, attempt=1, incarnation=incarnation, status=status, waits=waits, id=f"{number:03}")
        for number, (sequence, incarnation, (status, waits)) in enumerate(
            itertools.product(
                (1, 3, 5), ("", "mine", "other"), ((Status.ENQUEUED, Overlap.QUEUE), (Status.RUNNING, None), (Status.DONE, None))
            )
        )
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_what_belongs_to_a_job_and_stands_for_it_is_the_same_in_queries_as_by_the_rules(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    some = chance.sample(in_any_state(), chance.randrange(1, 6))
    job = replace(new_job("t"), incarnation="mine", sequence=9)
    await store.create(job, None, None)
    floored = replace(job, floor=chance.choice((0, 2, 4)), revision=2)
    assert await store.advance(job, floored, (), None)
    rows = [replace(one, job_id=job.id, task_id="t") for one in some]
    for row in rows:
        assert await store.insert(row)
    bounds = await store.job_bounds(job.id)
    assert bounds is not None
    belonging = [row.id for row in sorted(rows, key=lambda row: (row.sequence, row.attempt)) if row.belongs_to(floored)]
    assert sorted(one.id for one in await store.unfinished("t", job.id, 99)) == sorted(belonging)
    assert [row.id for row in rows if bounds.include(row.incarnation, row.sequence)] == [row.id for row in rows if row.belongs_to(floored)]
    under_way = {one.id for one in await store.under_way_of("t", job.id)}
    assert under_way == {row.id for row in rows if row.belongs_to(floored) and row.status in UNDER_WAY}
    assert bool(await store.open_jobs("t", 9)) == bool(belonging)
    latest, expected = (await store.latest([job.id])).get(job.id), standing(rows, floored)
    assert shown(latest) == shown(expected)
    assert await stored_statuses(store) == await ruled_statuses(store)


async def test_a_list_by_status_says_by_which_status_it_found_each_job(store: Store) -> None:
    (job, tick, execution), other = new("t"), new("t")
    await store.create(job, tick, replace(execution, status=Status.DONE))
    await store.create(*other)
    page = await store.list_all_jobs(WantedJobs(frozenset({"done", "enqueued"})), Window(1, 10))
    assert page.statuses == {job.id: "done", other[0].id: "enqueued"}
