"""Jobs after other jobs: one, or all of a list; their ledger, and what keeps a link from being made. With real workers, over HTTP."""

import asyncio
import json
from typing import Any

import pytest

from fastlane.log import MASK
from fastlane.models.job import Execution
from fastlane.services.results import Enqueued
from tests.support.fastlane import Fastlane
from tests.support.intercept import Call, intercept, keeping


async def manual(crew: Fastlane, name: str, *command: str, task: str = "task", **fields: Any) -> Enqueued:
    """A job that is kept until someone runs it."""
    made = await crew.enqueue(task, name=name, command=list(command) or ["true"], manual=True, **fields)
    return Enqueued(task, made["jobId"], None, None)


async def follower(crew: Fastlane, after: Any, *command: str, task: str = "task", **fields: Any) -> Enqueued:
    """A job after others."""
    made = await crew.enqueue(task, command=list(command) or ["true"], after=after, **fields)
    assert (made["executionId"], made["queueJobId"]) == (None, None)
    return Enqueued(task, made["jobId"], None, None)


async def run(crew: Fastlane, job: Enqueued) -> str:
    answer = await crew.post(f"/tasks/{job.task_id}/jobs/{job.job_id}/run")
    assert answer.status == 200, answer.body
    return str(answer.json["executionId"])


async def ended(crew: Fastlane, execution_id: str) -> Execution:
    """An execution, once it is settled: all that follows it is there."""

    async def settled() -> Execution | None:
        row = await crew.store.execution(execution_id)
        return row if row is not None and row.settled else None

    found = await crew.until(settled, f"the settled end of {execution_id}")
    assert found is not None
    return found


async def refused(crew: Fastlane, status: int, **fields: Any) -> Any:
    answer = await crew.post("/tasks/task", {"image": "ubuntu:latest"} | fields)
    assert answer.status == status, answer.body
    return answer.json


async def test_a_job_runs_once_after_each_success_of_another_and_its_container_knows_of_which(crew: Fastlane) -> None:
    await crew.hire()
    extract = await manual(crew, "extract")
    load = await follower(crew, "extract")
    for count in (1, 2):
        execution = await ended(crew, await run(crew, extract))
        *_, tick = await crew.ledger(load, *["started"] * count)
        assert (tick.key, tick.due) == (f"e:{execution.id}", execution.finished_at)
        made = await ended(crew, str(tick.execution_id))
        assert made.upstream is not None
        assert [(end.job_id, end.execution_id, end.status.value) for end in made.upstream] == [(extract.job_id, execution.id, "done")]
    orders = [one.order for host in crew.executor.world.values() for one in host.values()]
    assert all(one.upstream == {} for one in orders if one.job_id == extract.job_id)
    shown = (await crew.get(f"/tasks/task/jobs/{load.job_id}/executions/{made.id}")).json["execution"]
    assert shown["after"] == [{"jobId": extract.job_id, "executionId": execution.id, "status": "done"}]
    job = (await crew.get(f"/tasks/task/jobs/{load.job_id}")).json["job"]
    assert (job["definition"]["after"], job["schedule"]["after"], job["schedule"]["afterOn"]) == (
        extract.job_id,
        [extract.job_id],
        "succeeds",
    )
    assert "manual" not in job["definition"]
    events = (await crew.get(f"/events?job={load.job_id}")).json["items"]
    made_links = [one["detail"]["after"] for one in events if one["kind"] == "tick.followed"]
    assert [{"jobId": extract.job_id, "executionId": execution.id, "status": "done"}] in made_links


async def test_a_container_has_the_outputs_of_what_it_follows_also_after_a_retry_by_hand(crew: Fastlane) -> None:
    parks: list[Call] = []
    intercept(crew.executor, "park", keeping(parks))
    await crew.hire()
    left = await manual(crew, "left", "out", "::set-output rows=1\n::set-output file-name=a.csv\n")
    right = await manual(
        crew, "right", "out", "::set-output rows=2\n::set-output copy=hunter2hunter2\n", envs={"PASSWORD": "hunter2hunter2"}
    )
    both = await follower(crew, ["left", "right"], "exit", "3")
    ends = [await ended(crew, await run(crew, job)) for job in (left, right)]
    (tick,) = await crew.ledger(both, "started")
    first = await ended(crew, str(tick.execution_id))
    url = f"/tasks/task/jobs/{both.job_id}"
    made = [first.id]
    for path in (f"{url}/retry", f"{url}/executions/{first.id}/retry"):
        answer = await crew.post(path)
        assert answer.status == 200, answer.body
        made.append((await ended(crew, answer.json["executionId"])).id)
    orders = {order.execution_id: order.upstream for _, order, _ in (call.arguments for call in parks)}
    variables = {
        "FASTLANE_AFTER_EXECUTIONS": ",".join(end.id for end in ends),
        "FASTLANE_AFTER_STATUSES": "done,done",
        "FASTLANE_OUTPUT_COPY": MASK,
        "FASTLANE_OUTPUT_FILE_NAME": "a.csv",
        "FASTLANE_OUTPUT_ROWS": "2",
    }
    assert [orders[id] for id in made] == [variables] * 3
    rows = (await crew.get(f"{url}/ticks")).json["items"]
    assert {row["execution"]["id"]: row["origin"] for row in rows} == dict(zip(made, ("after", "hand", "hand"), strict=True))


async def test_only_the_last_attempt_counts_and_a_failure_is_a_row_that_names_it(crew: Fastlane) -> None:
    await crew.hire()
    flaky = await manual(crew, "flaky", "exit", "7,0", retries=1, retryDelay="0s")
    broken = await manual(crew, "broken", "exit", "3")
    after = await follower(crew, "flaky")
    never = await follower(crew, "broken")
    handler = await follower(crew, "broken", afterOn="fails")
    any_end = await follower(crew, "flaky", afterOn="finishes")
    first = await ended(crew, await run(crew, flaky))
    assert first.status == "failed"
    (tick,) = await crew.ledger(after, "started")
    assert first.id not in tick.key
    await crew.ledger(any_end, "started")
    failed = await ended(crew, await run(crew, broken))
    (row,) = await crew.ledger(never, "skipped")
    assert f"execution {failed.id} of job {broken.job_id}" in str(row.reason)
    assert "ended as failed (afterOn: succeeds)" in str(row.reason)
    (handled,) = await crew.ledger(handler, "started")
    variables = (await ended(crew, str(handled.execution_id))).upstream
    assert variables is not None
    assert variables[0].status == "failed"


async def test_a_job_after_a_list_waits_for_a_new_end_of_each_and_takes_the_newest(crew: Fastlane) -> None:
    await crew.hire()
    left, right = await manual(crew, "left"), await manual(crew, "right", task="other")
    both = await follower(crew, ["left", "other/right"])
    old = await ended(crew, await run(crew, left))
    new = await ended(crew, await run(crew, left))
    assert (await crew.get(f"/tasks/task/jobs/{both.job_id}/ticks")).json["items"] == []
    one = await ended(crew, await run(crew, right))
    (tick,) = await crew.ledger(both, "started")
    assert tick.key == f"e:{','.join(sorted([new.id, one.id]))}"
    assert old.id not in tick.key
    made = await ended(crew, str(tick.execution_id))
    assert [end.execution_id for end in made.upstream or ()] == [new.id, one.id]
    await ended(crew, await run(crew, right))
    await crew.ledger(both, "started")
    await ended(crew, await run(crew, left))
    await crew.ledger(both, "started", "started")


async def test_a_stopped_job_follows_nothing_until_it_is_started_and_a_change_of_its_upstream_begins_anew(crew: Fastlane) -> None:
    await crew.hire()
    left, right = await manual(crew, "left"), await manual(crew, "right")
    job = await follower(crew, ["left", "right"])
    url = f"/tasks/task/jobs/{job.job_id}"
    paused = await crew.post(f"{url}/pause")
    assert (paused.status, "has no tick of its own to pause; stop it" in paused.json["detail"]) == (409, True)
    await ended(crew, await run(crew, left))
    assert (await crew.post(f"{url}/stop")).status == 200
    await ended(crew, await run(crew, right))
    (row,) = await crew.ledger(job, "skipped")
    assert "was stopped" in str(row.reason)
    assert (await crew.post(f"{url}/start")).status == 200
    await ended(crew, await run(crew, right))
    await crew.ledger(job, "skipped")  # the end of left was before the start
    answer = await crew.ask("PATCH", url, data=json.dumps({"after": right.job_id}).encode())
    assert answer.status == 200, answer.body
    await ended(crew, await run(crew, right))
    await crew.ledger(job, "skipped", "started")
    answer = await crew.ask("PATCH", url, data=json.dumps({"name": "renamed"}).encode())
    assert answer.status == 200, answer.body
    await ended(crew, await run(crew, left))
    await ended(crew, await run(crew, right))
    await crew.ledger(job, "skipped", "started", "started")


@pytest.mark.parametrize(
    ("change", "kind", "runs"),
    [
        ({"after": None}, "manual", False),
        ({"after": None, "afterOn": None, "overlap": "skip"}, "manual", False),
        ({"after": None, "manual": False}, "now", True),
        ({"after": None, "cron": "@yearly"}, "cron", False),
    ],
)
async def test_a_job_that_no_longer_follows_others_runs_by_hand_only_unless_its_change_gives_a_start(
    server: Fastlane, change: Any, kind: str, runs: bool
) -> None:
    await manual(server, "up")
    job = await follower(server, "up", overlap="skip")
    url = f"/tasks/task/jobs/{job.job_id}"
    previewed = (await server.ask("PATCH", f"{url}?dryRun=1", data=json.dumps(change).encode())).json
    assert bool(previewed["nextRuns"]) is (kind != "manual")
    answer = await server.ask("PATCH", url, data=json.dumps(change).encode())
    assert (answer.status, answer.json["executionId"] is not None) == (200, runs), answer.body
    shown = (await server.get(url)).json["job"]
    definition = shown["definition"]
    assert (definition.get("after"), definition.get("manual"), definition.get("cron") is None) == (
        None,
        kind == "manual" or None,
        kind != "cron",
    )
    assert definition.get("overlap") == (None if runs else "skip")
    if not runs:  # it follows nothing any more, so the same again changes nothing
        again = await server.ask("PATCH", url, data=json.dumps({"after": None}).encode())
        assert (again.status, again.json["executionId"]) == (200, None)


async def test_no_dates_to_skip_are_like_none_given_and_a_name_beside_them_is_still_looked_up(server: Fastlane) -> None:
    up = await manual(server, "up")
    own = await server.enqueue(cron="@daily", skipDates=["2001-01-01"])
    answer = await server.ask("PATCH", own["jobUrl"], data=json.dumps({"skipDates": [], "after": "up", "cron": None}).encode())
    assert answer.status == 200, answer.body
    assert (await server.get(own["jobUrl"])).json["job"]["schedule"]["after"] == [up.job_id]
    answer = await server.ask("PATCH", own["jobUrl"], data=json.dumps({"skipDates": [], "after": "none"}).encode())
    assert (answer.status, [fault["field"] for fault in answer.json["errors"]]) == (400, ["after"])
    assert (await server.post("/tasks/task", {"image": "ubuntu", "manual": True, "skipDates": []})).status == 200


async def test_a_link_obeys_overlap_and_the_end_of_its_job(crew: Fastlane) -> None:
    await crew.hire()
    extract = await manual(crew, "extract")
    slow = await follower(crew, "extract", "hold", overlap="skip")
    await ended(crew, await run(crew, extract))
    (tick,) = await crew.ledger(slow, "started")
    await ended(crew, await run(crew, extract))
    _, row = await crew.ledger(slow, "started", "skipped")
    assert str(tick.execution_id) in str(row.reason)
    crew.executor.release(tick.execution_id)
    await ended(crew, str(tick.execution_id))
    await ended(crew, await run(crew, extract))
    await crew.ledger(slow, "started", "skipped", "started")


async def test_names_are_looked_up_once_and_what_cannot_be_followed_is_refused(crew: Fastlane) -> None:
    first, twin = await manual(crew, "twin"), await manual(crew, "twin")
    said = await refused(crew, 409, after="twin")
    assert first.job_id in said["detail"]
    assert twin.job_id in said["detail"]
    (fault,) = (await refused(crew, 400, after=["nobody"]))["errors"]
    assert fault["field"] == "after"
    assert "'nobody'" in fault["message"]
    (fault,) = (await refused(crew, 400, after=[first.job_id, f"task/{first.job_id}"]))["errors"]
    assert "twice" in fault["message"]
    (fault,) = (await refused(crew, 400, afterOn="fails"))["errors"]
    assert "give after" in fault["message"]
    assert (await refused(crew, 400, after="twin", cron="* * * * *"))["errors"]
    for wrong in ([], "", 3, ["a", 3], ["a"] * 2, ["a" * 700], [str(number) for number in range(21)]):
        assert [fault["field"] for fault in (await refused(crew, 400, after=wrong))["errors"]] == ["after"]


async def test_a_circle_is_refused_when_it_is_written(crew: Fastlane) -> None:
    a = await manual(crew, "a")
    b = await follower(crew, "a", name="b")
    other = await manual(crew, "other")
    await follower(crew, [other.job_id, "b"], name="c")
    for name, words in (("a", "itself"), ("b", "a circle of 2 jobs"), ("c", "a circle of 3 jobs")):
        answer = await crew.ask("PATCH", f"/tasks/task/jobs/{a.job_id}", data=json.dumps({"after": name}).encode())
        assert answer.status == 400
        assert words in answer.json["errors"][0]["message"]
    answer = await crew.put(f"/tasks/task/jobs/{a.job_id}", {"image": "ubuntu:latest", "after": b.job_id})
    assert answer.status == 400


async def test_a_circle_that_two_writes_closed_at_once_ends_after_32_links(crew: Fastlane) -> None:
    await crew.hire()
    a, b = await manual(crew, "a"), await manual(crew, "b")
    urls = [f"/tasks/task/jobs/{job.job_id}" for job in (a, b)]
    check = crew.services.chains._check_circle
    both = asyncio.Barrier(2)

    async def checked(*given: Any) -> None:
        await check(*given)
        await both.wait()

    crew.services.chains._check_circle = checked  # type: ignore[method-assign]
    answers = await asyncio.gather(
        *(crew.ask("PATCH", url, data=json.dumps({"after": name}).encode()) for url, name in zip(urls, "ba", strict=True))
    )
    assert [answer.status for answer in answers] == [200, 200]
    await run(crew, a)

    async def last_row() -> str | None:
        rows = [row for job in (a, b) for row in (await crew.get(f"/tasks/task/jobs/{job.job_id}/ticks?perPage=100")).json["items"]]
        reasons = [row["reason"] for row in rows if row["outcome"] == "skipped"]
        assert len(rows) <= 34
        return reasons[0] if reasons else None

    assert "32 links" in str(await crew.until(last_row, "the end of the circle"))


@pytest.mark.parametrize("gone", [True, False])
async def test_a_job_stays_when_its_upstream_job_is_deleted_and_keeps_that_in_its_definition(crew: Fastlane, gone: bool) -> None:
    extract = await manual(crew, "extract")
    job = await follower(crew, "extract")
    if gone:
        assert (await crew.ask("DELETE", f"/tasks/task/jobs/{extract.job_id}")).status == 200
    url = f"/tasks/task/jobs/{job.job_id}"
    definition = (await crew.get(url)).json["job"]["definition"]
    assert definition["after"] == extract.job_id
    assert (await crew.put(url, definition)).status == 200
    assert (await crew.get(url)).json["job"]["definition"]["after"] == extract.job_id


async def waits_of(crew: Fastlane, job: Enqueued) -> list[str]:
    """What a job waits for by its ``after``."""
    why = (await crew.get(f"/tasks/{job.task_id}/jobs/{job.job_id}/why")).json
    assert {wait["reason"] for wait in why["waitingFor"]} <= {"after"}
    return [wait["message"] for wait in why["waitingFor"]]


async def test_why_says_which_ends_a_job_waits_for_and_what_is_gone(crew: Fastlane) -> None:
    await crew.hire()
    left, right = await manual(crew, "left"), await manual(crew, "right", "exit", "3")
    both = await follower(crew, ["left", "right"], afterOn="succeeds")
    assert await waits_of(crew, both) == [
        "it waits for the next success of the job left, which has not run",
        "it waits for the next success of the job right, which has not run",
    ]
    one, other = await ended(crew, await run(crew, left)), await ended(crew, await run(crew, right))
    assert await waits_of(crew, both) == [
        f"the job left has ended (execution {one.id}), and waits for the others",
        f"it waits for the next success of the job right, whose last execution {other.id} ended as failed",
    ]
    assert (await crew.post(f"/tasks/task/jobs/{both.job_id}/stop")).status == 200
    assert "until someone starts it" in (await waits_of(crew, both))[0]
    assert (await crew.post(f"/tasks/task/jobs/{both.job_id}/start")).status == 200
    gone = (await crew.ask("DELETE", f"/tasks/task/jobs/{right.job_id}")).json
    assert [(one["taskId"], one["jobId"]) for one in gone["followers"]] == [("task", both.job_id)]
    assert (await waits_of(crew, both))[1] == f"the job {right.job_id}, which it follows, is gone; give it another one in after"


async def test_a_jobs_chain_names_both_sides_with_their_last_status_and_what_an_end_made(crew: Fastlane) -> None:
    await crew.hire()
    extract = await manual(crew, "extract")
    prices = await manual(crew, "prices")
    load = await follower(crew, "extract", "exit", "3", name="load")
    both = await follower(crew, ["extract", "prices"], afterOn="finishes", name="both")
    first = await ended(crew, await run(crew, extract))
    (tick,) = await crew.ledger(load, "started")
    made = await ended(crew, str(tick.execution_id))
    chain = (await crew.get(f"/tasks/task/jobs/{extract.job_id}/chain")).json
    assert chain["follows"] == []
    assert {(one["jobId"], one["name"], one["status"]) for one in chain["followedBy"]} == {
        (load.job_id, "load", "failed"), (both.job_id, "both", "idle"),
    }  # fmt: skip
    chain = (await crew.get(f"/tasks/task/jobs/{both.job_id}/chain")).json
    assert chain["afterOn"] == "finishes"
    assert [(one["jobId"], one["arrived"], one["status"], one["gone"]) for one in chain["follows"]] == [
        (extract.job_id, first.id, "done", False), (prices.job_id, None, "idle", False),
    ]  # fmt: skip
    assert [one["lastExecution"] and one["lastExecution"]["executionId"] for one in chain["follows"]] == [first.id, None]
    following = (await crew.get(f"/tasks/task/jobs/{extract.job_id}/executions/{first.id}/following")).json
    (row,) = following["ticks"]
    assert (following["complete"], row["jobId"], row["outcome"]) == (True, load.job_id, "started")
    assert (row["execution"]["executionId"], row["execution"]["status"]) == (made.id, "failed")
