"""Each script raced by eight clients: no id is leased twice at once, no limit is exceeded, nothing is lost."""

import asyncio
from collections import Counter

import pytest

from fastlane.models.host import HostView
from fastlane.queue.port import TICKS, Cancelled, Entry, EntryKind, Lane, LaneCounts, Renewal, Report
from tests.support.clocked_queue import ClockedQueue, claim_all, everyone
from tests.support.factories import NOW, make_entries
from tests.support.waiting import PATIENCE

LEASE = 10_000
CLIENTS = 8
LANES = (Lane("main", 5), Lane("other", 3), Lane(TICKS, None))


@pytest.fixture
def queue(queues) -> ClockedQueue:
    return queues[0]


async def test_entries_put_by_all_at_once_are_there_once(queues, queue):
    things = make_entries(200)
    await everyone(queues, lambda number, one: one.put(things[number:] + things[:number]))
    leases = await claim_all(queue, Lane("main", None))
    assert sorted(lease.id for lease in leases) == [thing.id for thing in things]


async def test_the_highest_revision_of_racing_puts_stays_and_stands_in_one_place(queues, queue):
    async def act(number, one):
        for revision in range(number, 400, CLIENTS):
            lane, due = ("main", "other")[revision % 2], NOW + revision % 3 - 1
            await one.at(NOW).put([Entry("a", EntryKind.JOB, lane, due, revision)])

    await everyone(queues, act)
    counts = await queue.counts(["main", "other"])
    assert sum(count.ready + count.timed for count in counts.values()) == 1
    (lease,) = await claim_all(queue, *LANES, now=NOW + 5)
    assert lease.revision == 399


async def test_what_comes_before_an_entry_only_becomes_less_while_others_claim(queues, queue):
    things = [entry for task in "ab" for entry in make_entries(200, name=task, group=task)]
    fair = Lane("main", 1_000, fair=True)
    await queue.put(things)
    while await queue.turns("main", "a-00199") is None:
        assert (await queue.claim("1", "me", [fair], 1, lease=LEASE)).leases
    seen: list[int] = []

    async def act(number, one):
        if number == 0:
            while (found := await one.turns("main", "a-00199")) is not None:
                seen.append(found.own)
        else:
            await claim_all(one, fair, owner=str(number))

    await everyone(queues, act)
    assert seen == sorted(seen, reverse=True)
    assert (await queue.counts(["main"]))["main"] == LaneCounts(0, 0, 400)


async def test_everything_is_worked_on_once_and_no_limit_is_exceeded(queues, queue):
    things = make_entries(400, "main") + make_entries(300, "other") + make_entries(300, TICKS)
    limits = {lane.name: lane.limit for lane in LANES}
    held, worked = Counter(), Counter()

    async def act(number, one):
        owner = f"worker-{number}"
        await one.put(things[number::CLIENTS])
        while sum(worked.values()) < len(things):
            claim = await one.claim("1", owner, LANES, 1 + number, lease=LEASE)
            held.update(lease.lane for lease in claim.leases)
            worked.update(lease.id for lease in claim.leases)
            for lane, limit in limits.items():
                assert limit is None or held[lane] <= limit
            await asyncio.sleep(0)
            held.subtract(lease.lane for lease in claim.leases)
            await one.finish({lease.id: lease.revision for lease in claim.leases})

    await everyone(queues, act)
    assert set(worked.values()) == {1}
    assert len(worked) == len(things)
    assert await queue.counts(list(limits)) == dict.fromkeys(limits, LaneCounts(0, 0, 0))


async def test_a_lease_that_ran_out_is_taken_over_by_one(queues, queue):
    await queue.at(NOW).put(make_entries(60))
    await claim_all(queue, Lane("main", None), owner="dead")
    taken = await everyone(queues, lambda number, one: one.at(NOW + LEASE).claim("1", f"w{number}", LANES, 10, lease=LEASE))
    ids = [lease.id for claim in taken for lease in claim.leases]
    assert len(ids) == len(set(ids)) == 60
    assert all(lease.resume for claim in taken for lease in claim.leases)


async def test_a_lease_is_either_renewed_or_taken_over(queues, queue):
    things = make_entries(50)
    ids = [thing.id for thing in things]
    await queue.at(NOW).put(things)
    await claim_all(queue, Lane("main", None), owner="w0")

    async def act(number, one):
        if number == 0:
            return await one.at(NOW + LEASE).renew("1", "w0", ids, lease=LEASE)
        return await one.at(NOW + LEASE).claim("1", f"w{number}", [], 3, lease=LEASE)

    renewed, *taken = await everyone(queues, act)
    kept = {id for id, answer in renewed.items() if answer is Renewal.OK}
    given = [lease.id for claim in taken for lease in claim.leases]
    now_kept = {id for id, answer in (await queue.at(NOW + LEASE).renew("1", "w0", ids, lease=LEASE)).items() if answer is Renewal.OK}
    assert len(given) == len(set(given))
    assert now_kept == set(ids) - set(given)
    assert now_kept <= kept


async def test_released_leases_are_taken_over_by_one_each(queues, queue):
    await queue.put(make_entries(40))
    ids = [lease.id for lease in await claim_all(queue, Lane("main", None))]

    async def act(number, one):
        if number == 0:
            for id in ids:
                await one.release("me", [id])
            return []
        got = []
        while len(got) < 5:
            got += (await one.claim("1", f"w{number}", [], 5 - len(got), lease=LEASE)).leases
        return got

    async with asyncio.timeout(PATIENCE):
        given = [lease.id for leases in await everyone(queues, act) for lease in leases]
    assert len(given) == len(set(given)) == 35


async def test_racing_requeues_give_an_entry_back_once(queues, queue):
    things = make_entries(30)
    await queue.put(things)
    await claim_all(queue, Lane("main", None))

    async def act(number, one):
        for thing in things:
            await one.requeue("me", thing.id, NOW + number - 4, lane=("main", "other")[number % 2])

    await everyone(queues, act)
    counts = await queue.counts(["main", "other"])
    assert sum(count.ready + count.timed for count in counts.values()) == 30
    assert sum(count.running for count in counts.values()) == 0


async def test_an_entry_is_either_cancelled_or_claimed(queues, queue):
    things = make_entries(200)
    await queue.put(things)

    async def act(number, one):
        if number < 4:
            return await claim_all(one, Lane("main", None), owner=f"w{number}")
        return [(thing.id, await one.cancel(thing.id)) for thing in things]

    answers = await everyone(queues, act)
    given = [lease.id for leases in answers[:4] for lease in leases]
    removed = [id for some in answers[4:] for id, answer in some if answer is Cancelled.REMOVED]
    assert sorted(given + removed) == [thing.id for thing in things]
    for some in answers[4:]:
        assert {id for id, answer in some if answer is Cancelled.NOTIFIED} <= set(given)


async def test_a_finish_races_a_put_and_the_higher_revision_stays(queues, queue):
    things = make_entries(100, revision=1)
    ids = {thing.id: 1 for thing in things}
    await queue.put(things)
    await claim_all(queue, Lane("main", None))

    async def act(number, one):
        if number % 2:
            for id in ids:
                await one.finish({id: 1})
        else:
            for id in ids:
                await one.put([Entry(id, EntryKind.EXECUTION, ("main", "other")[number // 2 % 2], NOW, 2)])

    await everyone(queues, act)
    leases = await claim_all(queue, Lane("main", None), Lane("other", None), owner="next")
    assert sorted(lease.id for lease in leases) == list(ids)
    assert {(lease.revision, lease.resume) for lease in leases} == {(2, False)}


async def test_racing_restores_and_puts_leave_each_entry_in_one_place(queues, queue):
    things = make_entries(100)

    async def act(number, one):
        await (one.put(things) if number % 2 else one.generation.restore(things, []))

    await everyone(queues, act)
    assert await queue.counts(["main"]) == {"main": LaneCounts(0, 0, 100)}
    leases = await claim_all(queue, Lane("main", 5))
    assert sorted(lease.id for lease in leases) == [thing.id for thing in things]


async def test_a_wipe_races_puts_of_new_lanes_and_a_second_one_leaves_nothing(queues, queue, leftovers):
    async def act(number, one):
        for turn in range(20):
            if number == 0:
                await one.generation.wipe()
            else:
                await one.put(make_entries(3, f"lane-{number}-{turn % 3}"))

    await everyone(queues, act)
    await queue.generation.wipe()
    assert leftovers() == set()


async def test_racing_generations_leave_one_and_claims_of_all_others_are_cold(queues, queue):
    await everyone(queues, lambda number, one: one.generation.set_generation(f"g{number}"))
    found = (await queue.generation.identity()).generation
    claims = await everyone(queues, lambda number, one: one.claim(f"g{number}", "me", LANES, 1, lease=LEASE))
    assert [f"g{number}" for number, claim in enumerate(claims) if not claim.cold] == [found]


async def test_racing_reports_are_all_kept(queues, queue):
    async def act(number, one):
        for turn in range(20):
            await one.at(NOW + turn).reports.announce(Report(f"w{number}", turn, (HostView("a", True),)), ttl=500)
            await one.at(NOW + turn).reports.current()
            await one.counts(["main"])
            await one.generation.identity()

    await everyone(queues, act)
    assert sorted((report.worker, report.started_at) for report in await queue.at(NOW + 20).reports.current()) == [
        (f"w{n}", 19) for n in range(CLIENTS)
    ]


def grouped(count: int, group: str, concurrency: int, lane: str = "main", **values) -> list[Entry]:
    return make_entries(count, lane, name=f"{group}-{lane}", group=group, concurrency=concurrency, **values)


async def test_no_group_is_exceeded_and_nothing_gets_stuck(queues, queue, leftovers):
    limits = {"a": 1, "b": 2, "c": 5}
    things = [thing for group, limit in limits.items() for lane in ("main", "other") for thing in grouped(60, group, limit, lane)]
    things += make_entries(60, "main")
    group_of = {thing.id: thing.group for thing in things}
    held, worked = Counter(), Counter()

    async def act(number, one):
        owner, lanes = f"w{number}", (Lane("main", 12), Lane("other", 12))
        await one.put(things[number::CLIENTS])
        while worked.total() < len(things):
            ids = [lease.id for lease in (await one.claim("1", owner, lanes, 1 + number, lease=LEASE)).leases]
            held.update(group_of[id] for id in ids)
            worked.update(ids)
            assert all(held[group] <= limit for group, limit in limits.items())
            await asyncio.sleep(0)
            for place, id in enumerate(ids):
                held[group_of[id]] -= 1
                if place % 3 == 1:
                    worked[id] -= 1
                    await one.requeue(owner, id, NOW, lane=("main", "other")[number % 2])
                else:
                    await one.finish({id: 0})

    async with asyncio.timeout(PATIENCE * 2):
        await everyone(queues, act)
    assert set(worked.values()) == {1}
    assert len(worked) == len(things)
    assert leftovers() == set()


async def test_blocked_entries_race_cancels_puts_and_finishes_and_none_is_left_behind(queues, queue, leftovers):
    things = grouped(160, "a", 1) + grouped(40, "a", 2, "other")
    await queue.put(things)
    gone = set()

    async def act(number, one):
        owner, lanes = f"w{number}", (Lane("main", 10), Lane("other", 10))
        for thing in things[number::CLIENTS]:
            if number % 4 == 1 and await one.cancel(thing.id) is Cancelled.REMOVED:
                gone.add(thing.id)
            elif number % 4 == 2:
                moved = Entry(thing.id, thing.kind, ("other", "main")[number // 4], NOW, 1, group="a", concurrency=1)
                await one.put([moved])
            ids = {lease.id: 9 for lease in (await one.claim("1", owner, lanes, 3, lease=LEASE)).leases}
            await one.finish(ids)
            gone.update(ids)
        while len(gone) < len(things):
            ids = {lease.id: 9 for lease in (await one.claim("1", owner, lanes, 3, lease=LEASE)).leases}
            await one.finish(ids)
            gone.update(ids)

    async with asyncio.timeout(PATIENCE * 2):
        await everyone(queues, act)
    await queue.finish(dict.fromkeys(gone, 9))
    assert leftovers() == set()


async def test_one_that_expires_is_given_once_whether_it_starts_or_is_ended(queues, queue, leftovers):
    things = grouped(200, "a", 3, expires=NOW + 50)
    await queue.at(NOW).put(things)
    started, ended = Counter(), Counter()

    async def act(number, one):
        now = NOW
        while started.total() + ended.total() < len(things):
            now += 1
            lanes, watch = ((Lane("main", 4),), ()) if number % 2 else ((), ("main",))
            claim = await one.at(now).claim("1", f"w{number}", lanes, 2, lease=LEASE, watch=watch)
            for lease in claim.leases:
                assert lease.expired == (now >= NOW + 50)
                (ended if lease.expired else started)[lease.id] += 1
            await one.at(now).finish({lease.id: 0 for lease in claim.leases})

    async with asyncio.timeout(PATIENCE * 2):
        await everyone(queues, act)
    assert set((started + ended).values()) == {1}
    assert started
    assert ended
    assert leftovers() == set()
