"""What every store promises about its paged lists, whichever database is under it."""

import asyncio
import itertools
import random
import re
import unicodedata
from dataclasses import replace

import pytest

from fastlane.errors import NotFound
from fastlane.models.cron import Cron
from fastlane.models.job import Ending, Execution, Job, Spec, job_status
from fastlane.models.paging import After, Page, Wanted, WantedFailures, WantedJobs, Window
from fastlane.models.schedule import Schedule, ScheduleKind
from fastlane.models.status import FINAL, UNDER_WAY, Status
from fastlane.models.tick import next_execution
from fastlane.models.transitions import cancel, claim, give_up
from fastlane.storage.base import Deletion, Store
from tests.support.factories import first_of, new, new_job

ROWS = 23
WIDE = Window(1, 1_000)


async def fill_tasks(store: Store):
    """Tasks that were changed in another order than they were made, some at one moment."""
    for number in range(ROWS):
        await store.create(*new(f"task-{number:02}", now=1_000))
    for number in range(ROWS):
        await store.create(*new(f"task-{number:02}", now=2_000 + number * 7 % ROWS // 2))
    return [f"task-{number:02}" for number in sorted(range(ROWS), key=lambda n: (n * 7 % ROWS // 2, f"task-{n:02}"), reverse=True)]


async def fill_jobs(store: Store):
    made = [new("t", now=1_000 + number // 2) for number in range(ROWS)]
    for one in made:
        await store.create(*one)
    return [job.id for job, *_ in sorted(made, key=lambda one: (one[0].created_at, one[0].id), reverse=True)]


async def fill_labelled_jobs(store: Store):
    """Jobs of two tasks with a label, among others without it."""
    made = [new(f"t{number % 2}", now=1_000 + number // 2) for number in range(ROWS)]
    made = [(replace(job, spec=replace(job.spec, labels={"team": "data", "n": "1"})), *rest) for job, *rest in made]
    for one in (*made, new("t0", now=1_001), new("none", now=1_002)):
        await store.create(*one)
    return [job.id for job, *_ in sorted(made, key=lambda one: (one[0].created_at, one[0].id), reverse=True)]


async def fill_executions(store: Store):
    job, tick, execution = new("t")
    job = replace(job, id="j")
    tick, execution = first_of(job)
    await store.create(job, tick, execution)
    made = [execution]
    for _ in range(ROWS - 1):
        made.append(next_execution(made[-1], due=5_000 - len(made) // 2, now=9))
        assert await store.insert(made[-1])
    return made


async def fill_executions_of(store: Store):
    return [execution.id for execution in reversed(await fill_executions(store))]


async def fill_all_executions(store: Store):
    made = await fill_executions(store)
    return [execution.id for execution in sorted(made, key=lambda one: (one.scheduled_for, one.id), reverse=True)]


async def fill_ticks(store: Store):
    job = replace(new_job("t"), id="j")
    ticks = [first_of(job, key=f"c:{number}", due=1_000 + number // 2)[0] for number in range(ROWS)]
    await store.create(job, ticks[0], None)
    assert await store.advance(job, job, ticks[1:], None)
    return [tick.id for tick in sorted(ticks, key=lambda tick: (tick.due, tick.id), reverse=True)]


async def fill_failures(store: Store):
    """Jobs of two tasks that failed, some at one moment, one of them again and again after all others."""
    last = []
    for number in range(ROWS):
        job = replace(new_job(f"t{number % 2}"), id=f"job-{number:02}")
        _, execution = first_of(job)
        await store.create(job, None, None)
        for end in range(5_000, 5_060) if number == 0 else (2_000 + number // 2, 1_000):
            execution = replace(execution, id=f"{number:02}-{end}", sequence=end, status=Status.FAILED, finished_at=end)
            assert await store.insert(execution)
            last.append((end, job.id, execution.id))
    newest = {job: (end, job, id) for end, job, id in sorted(last)}
    return [id for _, _, id in sorted(newest.values(), reverse=True)]


def list_failures(wanted: WantedFailures):
    async def read(store: Store, window: Window) -> Page[Execution]:
        page = await store.list_failures(wanted, window)
        return page.of([row.last for row in page.rows])

    return read


LISTS = {
    "tasks": (fill_tasks, lambda store, window: store.list_tasks(window)),
    "tasks that are visible": (fill_tasks, lambda store, window: store.list_tasks(window, visible="task-")),
    "tasks with a word": (fill_tasks, lambda store, window: store.search_tasks(["task"], window)),
    "jobs": (fill_jobs, lambda store, window: store.list_jobs("t", window)),
    "jobs with a status": (fill_jobs, lambda store, window: store.list_jobs("t", window, statuses=frozenset({"enqueued"}))),
    "jobs of all tasks": (fill_jobs, lambda store, window: store.list_all_jobs(WantedJobs(), window)),
    "jobs of visible tasks": (fill_jobs, lambda store, window: store.list_all_jobs(WantedJobs(visible="t"), window)),
    "jobs with a label": (fill_labelled_jobs, lambda store, window: store.list_all_jobs(WantedJobs(label=("team", "data")), window)),
    "ticks": (fill_ticks, lambda store, window: store.list_ticks("j", window)),
    "executions of a job": (fill_executions_of, lambda store, window: store.list_executions_of("j", window)),
    "executions": (fill_all_executions, lambda store, window: store.list_executions(Wanted(), window)),
    "executions of a task": (fill_all_executions, lambda store, window: store.list_executions(Wanted(task_id="t"), window)),
    "executions with a status": (fill_all_executions, lambda store, window: store.list_executions(Wanted(UNDER_WAY), window)),
    "executions of a task with a status": (
        fill_all_executions,
        lambda store, window: store.list_executions(Wanted(UNDER_WAY, task_id="t"), window),
    ),
    "failed jobs": (fill_failures, list_failures(WantedFailures())),
    "failed jobs of visible tasks": (fill_failures, list_failures(WantedFailures(since=2_000, visible="t"))),
    "executions since": (fill_all_executions, lambda store, window: store.list_executions(Wanted(since=0), window)),
}


@pytest.mark.parametrize("name", LISTS)
async def test_a_list_is_read_by_numbers_and_by_a_walk_in_one_order_without_gap(store, name):
    fill, read = LISTS[name]
    expected = await fill(store)
    assert len(set(expected)) == ROWS
    for per_page in (1, 5, ROWS, 100):
        pages = -(-ROWS // per_page)
        numbered, walked, after = [], [], None
        for number in range(1, pages + 1):
            page = await read(store, Window(number, per_page))
            page.check()
            assert (page.total, page.pages, page.next is None) == (ROWS, pages, number == pages)
            numbered += [row.id for row in page.rows]
            step = await read(store, Window(number, per_page, after))
            assert (step.total, step.next) == (ROWS, page.next)
            walked += [row.id for row in step.rows]
            after = step.next
        assert numbered == walked == expected


@pytest.mark.parametrize("name", LISTS)
async def test_an_empty_list_has_one_page_and_past_the_end_there_is_none(store, name):
    fill, read = LISTS[name]
    page = await read(store, Window(1, 10))
    page.check()
    assert (page.rows, page.total, page.pages, page.next) == ((), 0, 1, None)
    with pytest.raises(NotFound, match="page 2 is past the last one, which is 1"):
        (await read(store, Window(2, 10))).check()
    await fill(store)
    with pytest.raises(NotFound, match="page 4 is past the last one, which is 3"):
        (await read(store, Window(4, 10))).check()


async def test_a_walk_goes_on_where_it_was_whatever_is_made_meanwhile(store):
    expected = await fill_jobs(store)
    page = await store.list_jobs("t", Window(1, 5))
    for _ in range(7):
        await store.create(*new("t", now=9_000))
    walked = [job.id for job in page.rows]
    while page.next is not None:
        page = await store.list_jobs("t", Window(page.window.page + 1, 5, page.next))
        assert page.total == ROWS, "counted once a walk"
        walked += [job.id for job in page.rows]
    assert walked == expected
    assert (await store.list_jobs("t", WIDE)).total == ROWS + 7


async def test_a_walk_past_the_end_ends(store):
    await fill_jobs(store)
    page = await store.list_jobs("t", Window(9, 5, After(ROWS, (0, ""))))
    page.check()
    assert (page.rows, page.next) == ((), None)


# counts


async def totals(store: Store, task_id: str, job_id: str):
    """How long each list is, as told and as counted row by row."""
    windows = {
        "jobs": lambda window: store.list_jobs(task_id, window),
        "ticks": lambda window: store.list_ticks(job_id, window),
        "executions of job": lambda window: store.list_executions_of(job_id, window),
    }
    for task in (None, task_id):
        for status in (None, *Status):
            wanted = Wanted(frozenset({status} if status else ()), task)
            windows[f"{task} {status}"] = lambda window, wanted=wanted: store.list_executions(wanted, window)
    for name, read in windows.items():
        page = await read(WIDE)
        assert page.total == len(page.rows), name
    return {name: (await read(WIDE)).total for name, read in windows.items()}


async def test_every_count_follows_what_is_made_changed_and_deleted(store):
    job, tick, execution = new("t")
    await store.create(job, tick, execution)
    await store.create(*new("t"))
    await store.create(*new("other"))
    counted = await totals(store, "t", job.id)
    assert [counted[name] for name in ("jobs", "ticks", "executions of job", "t None", "None None", "t enqueued")] == [2, 1, 1, 2, 3, 2]

    pulling = await store.change(claim(execution, host="h", pool="p", now=5))
    assert (await totals(store, "t", job.id))["t pulling"] == 1
    failed = await store.change(give_up(pulling, Ending(Status.FAILED, 6)))
    assert await store.insert(next_execution(failed, due=7, now=7))
    again, second = first_of(job, key="c:8", due=8, sequence=2)
    assert await store.advance(job, replace(job, sequence=2), [again], second)
    counted = await totals(store, "t", job.id)
    names = ("ticks", "executions of job", "t None", "t failed", "t enqueued", "None failed", "None enqueued")
    assert [counted[name] for name in names] == [2, 3, 4, 1, 3, 1, 4]

    for one in (await store.list_executions_of(job.id, WIDE)).rows:
        await store.change(cancel(one, now=9))
    assert (await totals(store, "t", job.id))["t stopped"] == 2
    stopped = await store.stop_job(job.id, 10)
    for one in (await store.list_executions_of(job.id, WIDE)).rows:
        await store.change(
            replace(claim(one, host="h", pool="p", now=1), name="settle", values={"settled": True, "cleaned": True}, epoch=None)
        )
    while await store.delete_job(job.id, stopped.incarnation, 11) is Deletion.MORE:
        await totals(store, "t", job.id)
    counted = await totals(store, "t", job.id)
    assert [counted[name] for name in ("jobs", *names)] == [1, 0, 0, 1, 0, 1, 0, 2]


async def test_one_store_counts_what_another_made(store, open_store):
    other = await open_store()
    await fill_executions(other)
    assert (await store.list_executions_of("j", WIDE)).total == ROWS
    assert (await store.list_executions(Wanted(task_id="t"), WIDE)).total == ROWS


# filters


async def test_jobs_with_a_status_are_those_that_have_it_by_the_rule(store, request):
    async def create(job, rows, executions):
        await store.create(job, *((rows[0][0], executions[0]) if rows else (None, None)))
        if len(rows) > 1:
            assert await store.advance(job, job, [rows[1][0]], executions[1])

    expected, created = {}, []
    at, cron = Schedule(ScheduleKind.AT, 9_000), Schedule(ScheduleKind.CRON, None, Cron("* * * * *"))
    ends = ((Schedule(), None), (at, None), (at, 9_000), (cron, None), (cron, 8_000), (cron, 9_000), (cron, 9_001))
    now, latest = 8_000, (None, *Status)
    states = list(itertools.product(ends, (None, 9_000), (None, 9_000), ((0, 0), (0, 5), (5, 3)), (None, Status.RUNNING), latest))
    if "mongo" in request.node.name:  # the test's server reads a whole collection for each query
        states = random.Random(6).sample(states, 160)  # each status is among them
    for (schedule, end), next_tick, held, (armed, stop), before, last in states:
        job = replace(
            new_job("t"),
            spec=Spec("ubuntu", expiration=end),
            schedule=schedule,
            next_tick=next_tick,
            held_tick=held,
            armed=armed,
            stop_sequence=stop,
            sequence=6,
        )
        made = [status for status in (before, last) if status is not None]
        rows = [first_of(job, key=f"c:{place}", sequence=place + 1) for place in range(len(made))]
        executions = [replace(row[1], status=status) for row, status in zip(rows, made, strict=True)]
        created.append(create(job, rows, executions))
        under_way = [status for status in made if status in UNDER_WAY]
        expected[job.id] = job_status(job, under_way[-1] if under_way else made[-1] if made else None, now)
    await asyncio.gather(*created)
    found, counted = {}, await store.jobs_by_status()
    for status in (*Status, "scheduled", "paused"):
        page = await store.list_jobs("t", WIDE, statuses=frozenset({str(status)}))
        assert counted.get(str(status), 0) == page.total
        assert page.total == len(page.rows) > 0, status
        of_all = await store.list_all_jobs(WantedJobs(frozenset({str(status)})), Window(1, 1_000))
        assert (of_all.total, [job.id for job in of_all.rows]) == (page.total, [job.id for job in page.rows])
        found |= {job.id: str(status) for job in page.rows}
    assert found == expected


JOB_FILTERS = {
    "statuses": ((), ("enqueued",), ("done", "expired"), ("done", "enqueued", "paused")),
    "task_id": (None, "red", "none"),
    "label": (None, ("team", "data"), ("team", "none")),
    "visible": (None, "red", "blue$", "no"),
}


async def test_jobs_are_listed_by_status_task_label_and_pattern(store):
    made: dict[str, tuple[Job, str]] = {}
    for number, (task, status) in enumerate(itertools.product(("blue", "red", "redder"), (Status.ENQUEUED, Status.DONE, None))):
        for labels in ({}, {"team": "data"}, {"team": "data", "x": "team=data"}, {"team": "other"}):
            job, tick, execution = new(task, now=1_000 + number)
            job = replace(job, spec=replace(job.spec, labels=labels))
            await store.create(job, *((tick, replace(execution, status=status)) if status else (None, None)))
            made[job.id] = (job, status or "expired")
    newest = sorted((job for job, _ in made.values()), key=lambda job: (job.created_at, job.id), reverse=True)
    for statuses, task_id, label, visible in itertools.product(*JOB_FILTERS.values()):
        expected = [
            job.id
            for job in newest
            if (not statuses or made[job.id][1] in statuses)
            and task_id in (None, job.task_id)
            and (label is None or label in job.spec.labels.items())
            and (visible is None or re.match(visible, job.task_id))
        ]
        wanted = WantedJobs(frozenset(statuses), task_id, label, visible)
        page = await store.list_all_jobs(wanted, WIDE)
        assert ([job.id for job in page.rows], page.total) == (expected, len(expected)), wanted
        second = await store.list_all_jobs(wanted, Window(2, 3))
        assert [job.id for job in second.rows] == expected[3:6], wanted


async def test_a_job_is_found_by_the_labels_that_it_has_now(store):
    (job, tick, execution), (other, *_) = new("t"), new("t")
    job, other = [replace(one, spec=replace(one.spec, labels={"a": "1", "b": "1"})) for one in (job, other)]
    await store.create(job, tick, replace(execution, status=Status.DONE, finished_at=1, settled=True, cleaned=True))
    await store.create(other, None, None)

    async def found(*label):
        return {one.id for one in (await store.list_all_jobs(WantedJobs(label=label), WIDE)).rows}

    after = replace(job, revision=2, spec=replace(job.spec, labels={"b": "1", "c": "1"}))
    assert await store.advance(job, after, [], None)
    assert (await found("a", "1"), await found("b", "1"), await found("c", "1")) == ({other.id}, {job.id, other.id}, {job.id})
    assert await store.delete_job(job.id, job.incarnation, 1) is Deletion.DONE
    assert (await found("a", "1"), await found("b", "1"), await found("c", "1")) == ({other.id}, {other.id}, set())


FILTERS = {
    "statuses": ((), (Status.DONE,), (Status.RUNNING,), (Status.ENQUEUED, Status.DONE), tuple(FINAL)),
    "task_id": (None, "red", "none"),
    "since": (None, 1_003, 9_000),
    "visible": (None, "red", "blue$", "no"),
}


async def test_executions_are_listed_by_status_task_moment_and_pattern(store):
    made = []
    for task in ("blue", "red", "redder"):
        for place, status in enumerate(Status):
            job, tick, execution = new(task)
            made.append(replace(execution, status=status, scheduled_for=1_000 + place))
            await store.create(job, tick, made[-1])
    made.sort(key=lambda one: (one.scheduled_for, one.id), reverse=True)
    for statuses, task_id, since, visible in itertools.product(*FILTERS.values()):
        expected = [
            one
            for one in made
            if (not statuses or one.status in statuses)
            and task_id in (None, one.task_id)
            and (since is None or one.scheduled_for >= since)
            and (visible is None or re.match(visible, one.task_id))
        ]
        wanted = Wanted(frozenset(statuses), task_id, since, visible)
        page = await store.list_executions(wanted, WIDE)
        assert (list(page.rows), page.total) == (expected, len(expected)), wanted


async def test_tasks_are_listed_as_far_as_they_are_visible(store):
    for name in ("red", "redder", "blue", "a.b"):
        await store.create(*new(name))
    for pattern, expected in (("red", {"red", "redder"}), ("red$", {"red"}), (".*b", {"blue", "a.b"}), ("nothing", set())):
        page = await store.list_tasks(Window(1, 10), visible=pattern)
        assert ({task.id for task in page.rows}, page.total) == (expected, len(expected))
    page = await store.search_tasks(["red"], Window(1, 10), visible="redd")
    assert ([task.id for task in page.rows], page.total) == (["redder"], 1)


NAMES = ("test-my-task", "Test_other", "mytask", "café crème", "ÜBUNG", "логи-2024", "a'b\"c", "🐳 whale", "---", "test my")
SEARCHES = [
    (["test"], {"test-my-task", "Test_other", "test my"}),
    (["TEST", "My"], {"test-my-task", "test my"}),
    (["my"], {"test-my-task", "mytask", "test my"}),
    (["ta"], {"test-my-task"}),
    (["my-task"], {"test-my-task"}),
    (["my-ta"], {"test-my-task"}),
    (["task-my"], set()),
    (["ask"], set()),
    (["cafe"], {"café crème"}),
    (["CRÈ"], {"café crème"}),
    (["übung"], {"ÜBUNG"}),
    ([unicodedata.normalize("NFD", "übung")], {"ÜBUNG"}),
    (["ЛОГИ", "20"], {"логи-2024"}),
    (["b", '"c'], {"a'b\"c"}),
    (["a'b"], {"a'b\"c"}),
    (["🐳"], {"🐳 whale"}),
    (["-", "test", "*"], {"test-my-task", "Test_other", "test my"}),
    (["---"], set()),
    (['"'], set()),
    ([""], set()),
    ([], set()),
    (["test", "OR", "mytask"], set()),
    (["test", "NOT"], set()),
    (["id:test"], set()),
    (["test*"], {"test-my-task", "Test_other", "test my"}),
    (["(test"], {"test-my-task", "Test_other", "test my"}),
]


async def test_tasks_are_found_by_the_words_and_beginnings_in_their_ids(store):
    for name in NAMES:
        await store.create(*new(name))
    for words, expected in SEARCHES:
        page = await store.search_tasks(words, Window(1, 100))
        assert ({task.id for task in page.rows}, page.total) == (expected, len(expected)), words


async def test_a_task_that_was_deleted_is_not_found_and_one_that_was_made_again_is_found_once(store):
    await store.create(*new("x-a-b"))
    for name in ("a-b", "a-b-c", "---"):
        job = new_job(name)
        await store.create(job, None, None)
        assert await store.delete_job(job.id, job.incarnation, 5) is Deletion.DONE
        assert await store.delete_task(name)
    for found in (["x-a-b"], ["a-b", "x-a-b"]):
        page = await store.search_tasks(["b"], Window(1, 10))
        assert (sorted(task.id for task in page.rows), page.total) == (found, len(found))
        await store.create(*new("a-b"))
    assert (await store.list_executions(Wanted(task_id="a-b"), WIDE)).total == 2
