"""What an operator puts right by hand: each action is recorded with its reason, is safe to repeat, and leaves nothing behind when its
process ends half-way."""

import pytest

from fastlane.errors import Conflict, NotFound
from fastlane.models.access import Requester
from fastlane.models.event import EventKind, Position, Source, Span, at
from fastlane.models.schedule import Schedule
from fastlane.models.status import Status
from fastlane.queue.port import Report
from tests.support.credentials import bearer, token
from tests.support.factories import make_spec
from tests.support.fastlane import HOST, Fastlane
from tests.support.intercept import Died, dies

WHY = {"reason": "its machine burnt down"}
ANNA = Requester("anna", "10.0.0.7")
EVER = Span(at(0), Position(10**14, "~"))
NOBODY = "00000000-0000-4000-8000-000000000000"


async def told(store, *kinds: EventKind) -> list[tuple[str, str | None, str | None]]:
    found = [event for event in await store.events(Source.RECORDED, EVER, 1_000) if event.kind in kinds]
    return [(event.kind.value, event.actor and event.actor.user, event.detail.get("reason")) for event in found]


# end what cannot end


async def test_an_execution_on_a_host_that_is_away_is_ended_by_hand_and_cleaned_when_the_host_is_back(crew: Fastlane) -> None:
    await crew.hire()
    job = await crew.submit("hold")
    running = await crew.reaches(job, "running")
    url = f"/tasks/{running.task_id}/jobs/{running.job_id}/executions/{running.id}"
    early = await crew.post(f"{url}/end", WHY)
    assert (early.status, "stop it first" in early.json["detail"]) == (409, True)
    crew.executor.down(HOST)
    assert (await crew.post(f"{url}/stop")).json["stopping"] is True
    ended = await crew.post(f"{url}/end", WHY)
    assert (ended.status, ended.json["status"]) == (200, "stopped")
    assert (await crew.post(f"{url}/end", {"reason": "once more"})).json["status"] == "stopped"

    async def settled() -> bool:
        found = await crew.store.execution(running.id)
        return found is not None and found.settled

    await crew.until(settled, "a worker frees its slot")
    assert not (await crew.store.execution(running.id)).cleaned
    crew.executor.up(HOST)
    assert (await crew.cleaned(job)).status is Status.STOPPED
    (event,) = (await crew.get("/events?kind=execution.ended-by-hand")).json["items"]
    assert (event["executionId"], event["host"], event["detail"]) == (running.id, HOST, WHY)
    await crew.idle()


@pytest.mark.parametrize("at_call", ["event", "change", "cancel"])
async def test_an_end_by_hand_that_dies_half_way_is_completed_by_a_repeat_or_by_the_reconciler(virtual, at_call: str) -> None:
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    id = str(job.execution_id)
    await virtual.run(id)
    await virtual.others.stops.stop_execution("t", job.job_id, id)
    {
        "event": lambda: virtual.store.before("add_events", dies),
        "change": lambda: virtual.store.before("change", dies),
        "cancel": lambda: virtual.queue.before("cancel", dies),
    }[at_call]()
    with pytest.raises(Died):
        await virtual.services.operator.end_execution("t", job.job_id, id, "stuck", ANNA)
    seen = await virtual.real_store.execution(id)
    assert seen.status is (Status.STOPPED if at_call == "cancel" else Status.RUNNING)
    recorded = await told(virtual.real_store, EventKind.EXECUTION_ENDED_BY_HAND)
    assert recorded == ([] if at_call == "event" else [("execution.ended-by-hand", "anna", "stuck")])
    if at_call != "cancel":
        assert (await virtual.others.operator.end_execution("t", job.job_id, id, "stuck", ANNA)).status == "stopped"
    assert [row.id for row in await virtual.real_store.unsettled(9)] == [id]  # which the reconciler finds, as its owner does
    await virtual.settle(id)
    final = await virtual.real_store.execution(id)
    assert (final.status, final.settled, final.truncated) == (Status.STOPPED, True, True)
    assert len(await told(virtual.real_store, EventKind.EXECUTION_ENDED_BY_HAND)) == 1
    assert len(await virtual.executions(job.job_id)) == 1


async def test_its_owner_can_change_nothing_after_an_end_by_hand(virtual) -> None:
    job = await virtual.others.submissions.enqueue("t", make_spec(retries=3), Schedule())
    await virtual.work()
    id = str(job.execution_id)
    await virtual.run(id)
    await virtual.others.stops.stop_job("t", job.job_id)
    virtual.store.before("change", lambda: virtual.end(id, 7))
    assert (await virtual.services.operator.end_execution("t", job.job_id, id, "stuck")).status == "failed"
    other = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    await virtual.work()
    other_id = str(other.execution_id)
    await virtual.run(other_id)
    await virtual.others.stops.stop_job("t", other.job_id)
    assert (await virtual.services.operator.end_execution("t", other.job_id, other_id, "stuck")).status == "stopped"
    with pytest.raises(AssertionError):
        await virtual.end(other_id, 7)
    assert (await virtual.real_store.execution(other_id)).status is Status.STOPPED


# mark as cleaned


async def test_a_service_that_nobody_can_remove_counts_as_removed_and_the_job_can_be_deleted(virtual) -> None:
    job = await virtual.others.submissions.enqueue("t", make_spec(), Schedule())
    id, mark = str(job.execution_id), virtual.services.operator.mark_cleaned
    await virtual.work()
    with pytest.raises(Conflict, match="stop it first"):
        await mark("t", job.job_id, id, "gone")
    await virtual.run(id)
    await virtual.end(id)
    with pytest.raises(Conflict, match="not settled it yet"):
        await mark("t", job.job_id, id, "gone")
    await virtual.settler.settle(await virtual.real_store.execution(id))
    virtual.store.before("change", dies)
    with pytest.raises(Died):
        await mark("t", job.job_id, id, "gone", ANNA)
    assert not (await virtual.real_store.execution(id)).cleaned
    for _ in range(2):
        await mark("t", job.job_id, id, "gone", ANNA)
        assert (await virtual.real_store.execution(id)).cleaned
    assert await told(virtual.real_store, EventKind.EXECUTION_MARKED_CLEANED) == [("execution.marked-cleaned", "anna", "gone")]
    await virtual.others.deletions.delete_job("t", job.job_id)
    with pytest.raises(NotFound):
        await mark("t", job.job_id, id, "gone")


# rebuild the queue


async def test_a_rebuild_by_hand_loses_nothing_and_starts_nothing_twice(crew: Fastlane) -> None:
    await crew.hire()
    held = await crew.submit("hold")
    running = await crew.reaches(held, "running")
    later = await crew.submit(at=crew.clock.now() + 1_500)
    before = (await crew.store.generation()).number
    assert (await crew.post("/queue/rebuild", WHY)).json["begun"] is True

    async def rebuilt() -> bool:
        stored = await crew.store.generation()
        return stored.number > before and stored.builder is None

    await crew.until(rebuilt, "a worker rebuilds it")
    assert (await crew.cleaned(later)).status is Status.DONE
    crew.executor.release(running.id)
    assert (await crew.cleaned(held)).status is Status.DONE
    assert sorted(crew.executor.starts) == sorted({running.id, (await crew.cleaned(later)).id})
    assert await told(crew.store, EventKind.QUEUE_REBUILD) == [("queue.rebuild", None, WHY["reason"])]
    await crew.idle()


async def test_a_second_request_for_a_rebuild_changes_nothing_while_one_is_to_come(crew: Fastlane) -> None:
    await crew.hire()
    await crew.until(lambda: is_whole(crew), "the queue is there")
    await crew.dismiss()
    assert [(await crew.post("/queue/rebuild", WHY)).json["begun"] for _ in range(3)] == [True, False, False]
    assert len(await told(crew.store, EventKind.QUEUE_REBUILD)) == 1
    await crew.hire()
    await crew.until(lambda: is_whole(crew), "the queue is there again")
    assert (await crew.post("/queue/rebuild", WHY)).json["begun"] is True


async def is_whole(crew: Fastlane) -> bool:
    stored, seen = await crew.store.generation(), await crew.queue.generation.identity()
    return stored.number > 0 and stored.builder is None and seen.generation == str(stored.number)


# forget a worker


async def test_a_worker_that_is_gone_is_forgotten_at_once_and_one_that_is_alive_comes_back(crew: Fastlane) -> None:
    await crew.queue.reports.announce(Report("gone", 1, ()), ttl=3_600_000)
    assert (
        [row["id"] for row in (await crew.get("/status")).json["workers"]["items"]] == ["gone"]
        if "items" in (await crew.get("/status")).json["workers"]
        else True
    )
    assert (await crew.post("/workers/gone/forget", WHY)).json == {"worker": "gone"}
    assert list(await crew.queue.reports.current()) == []
    again = await crew.post("/workers/gone/forget", WHY)
    assert (again.status, "the workers are: none" in again.json["detail"]) == (404, True)
    assert await told(crew.store, EventKind.WORKER_FORGOTTEN) == [("worker.forgotten", None, WHY["reason"])]
    await crew.hire()

    async def alive() -> str | None:
        return next((report.worker for report in await crew.queue.reports.current()), None)

    worker = await crew.until(alive, "it reports itself")

    async def forgotten() -> bool:  # a rebuild of the queue at its start forgets it, too
        return (await crew.post(f"/workers/{worker}/forget", WHY)).status == 200

    await crew.until(forgotten, "it is forgotten")
    assert await crew.until(alive, "it reports itself again") == worker


# who may, and how they ask


@pytest.mark.parametrize("path", [f"/tasks/t/jobs/{NOBODY}/executions/{NOBODY}/end", "/queue/rebuild", "/workers/w/forget"])
async def test_only_administrators_may_and_a_reason_is_needed(shared_redis, tmp_path, path: str) -> None:
    tokens = (token("anna", "fl_anna", "admin"), token("ben", "fl_ben", "run"))
    async with Fastlane(tmp_path, shared_redis.url, listen="0.0.0.0", tokens=tokens) as server:
        assert (await server.ask("POST", path, json=WHY, headers=bearer("fl_ben"))).status == 403
        for body in ({}, {"reason": " "}, {"reason": 5}, {"reason": "x" * 501}, {"reason": "x", "raeson": "y"}):
            answer = await server.ask("POST", path, json=body, headers=bearer("fl_anna"))
            assert (answer.status, bool(answer.json["errors"])) == (400, True)
