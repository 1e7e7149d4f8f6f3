"""Eight clients at each script at once: the races that tests/contract/test_queue_races.py does not run. Each leaves every entry whole.

``RACES`` names for each script a race that is there for its sake.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from fastlane.models.host import HostView
from fastlane.models.pool import Pauses
from fastlane.models.store_version import StoreVersion
from fastlane.queue.port import TICKS, Entry, EntryKind, Lane, Renewal, Report
from fastlane.queue.redis.connection import Script
from tests.support.audits import audited
from tests.support.clocked_queue import ClockedQueue, claim_all, clocked_queues, everyone
from tests.support.factories import NOW, make_entries
from tests.support.waiting import until

LEASE = 10_000
CLIENTS = 8
NEVER = 600_000
LANES = (Lane("main", 6), Lane("other", 4), Lane(TICKS, None))

RACES = {
    "put": "test_the_highest_revision_of_racing_puts_stays_and_stands_in_one_place",
    "claim": "test_everything_is_worked_on_once_and_no_limit_is_exceeded",
    "renew": "test_a_lease_is_either_renewed_or_taken_over",
    "release": "test_released_leases_are_taken_over_by_one_each",
    "requeue": "test_racing_requeues_give_an_entry_back_once",
    "cancel": "test_an_entry_is_either_cancelled_or_claimed",
    "finish": "test_a_finish_races_a_put_and_the_higher_revision_stays",
    "restore": "test_what_is_restored_while_others_claim_is_given_once_and_holds_a_slot",
    "pause": "test_the_newest_of_racing_pauses_holds_and_nothing_is_given_against_it",
    "wipe": "test_a_wipe_ends_every_lease_and_claim_of_the_generation_before",
    "set_generation": "test_of_eight_that_would_follow_the_same_generation_one_does",
    "adopt": "test_what_is_moved_to_other_lanes_while_others_work_is_worked_on_once",
    "members": "test_what_is_moved_to_other_lanes_while_others_work_is_worked_on_once",
    "lane_of": "test_what_is_moved_to_other_lanes_while_others_work_is_worked_on_once",
    "audit": "test_all_scripts_at_once_leave_every_entry_in_one_place_and_all_can_be_ended",
    "remember_store": "test_the_highest_of_racing_versions_of_a_store_is_remembered",
    "counts": "test_counts_see_every_entry_once_whatever_moves",
    "oldest": "test_counts_see_every_entry_once_whatever_moves",
    "turns": "test_what_comes_before_an_entry_only_becomes_less_while_others_claim",
    "announce": "test_reports_that_run_out_are_dropped_while_others_come_and_those_are_kept",
    "reports": "test_racing_reports_are_all_kept",
}


OTHER_SCRIPTS = ("renew", "release", "requeue", "cancel", "finish", "restore", "counts")


def test_every_script_has_its_race():
    assert sorted(RACES) == sorted(Script.read_all())
    tests = Path(__file__).parents[2]
    texts = "".join((tests / name).read_text("utf-8") for name in ("contract/test_queue_races.py", "adapters/redis/test_script_races.py"))
    for race in RACES.values():
        assert f"async def {race}(queues, " in texts


@pytest.fixture
async def queues(shared_redis, installation) -> AsyncIterator[list[ClockedQueue]]:
    async with clocked_queues(shared_redis.url, installation, CLIENTS) as queues:
        yield queues


@pytest.fixture
def whole(shared_redis, installation):
    """A check that every entry stands in exactly one place, that slots and groups are held by leased ones only, and that nothing else is
    left behind."""

    def check() -> None:
        prefix = f"{{fl:{installation}:v1}}:"
        with shared_redis.client() as client:
            lanes = client.smembers(prefix + "lanes")
            entries = set(client.hkeys(prefix + "entries"))
            leased = set(client.zrange(prefix + "leases", 0, -1))
            timed = [id for lane in lanes for id in client.zrange(f"{prefix}timed:{lane}", 0, -1)]
            ready = [member[13:] for lane in lanes for member in client.zrange(f"{prefix}ready:{lane}", 0, -1)]
            waiting = [id for lane in lanes for id in client.zrange(f"{prefix}waiting:{lane}", 0, -1)]
            expiring = [id for lane in lanes for id in client.zrange(f"{prefix}expiries:{lane}", 0, -1)]
            slots = [id for lane in lanes for id in client.smembers(f"{prefix}slots:{lane}")]
            blocked = [member.split("\0")[2][30:] for member in client.zrange(prefix + "blocked", 0, -1)]
            grouped = [member.split("\0")[1] for member in client.zrange(prefix + "groups", 0, -1)]
        places = Counter([*leased, *timed, *ready, *waiting])
        assert places == Counter(entries)
        assert Counter(blocked) == Counter(waiting)
        assert len(slots) == len(set(slots))
        assert set(slots) <= leased
        assert len(grouped) == len(set(grouped))
        assert set(grouped) <= set(slots)
        assert set(expiring) <= entries - leased

    return check


async def test_renewals_releases_cancels_and_finishes_of_the_same_leases_leave_each_whole(queues, whole):
    things = make_entries(80) + make_entries(40, "other", group="a", concurrency=40)
    await queues[0].put(things)
    ids = [lease.id for lease in await claim_all(queues[0], Lane("main", 80), Lane("other", 40), owner="w")]
    assert len(ids) == 120

    async def act(number, one):
        order = random.Random(number).sample(ids, len(ids))
        for id in order:
            match number % 4:
                case 0:
                    await one.renew("1", "w", [id], lease=LEASE)
                case 1:
                    await one.release("w", [id])
                case 2:
                    await one.cancel(id)
                case 3:
                    await one.finish({id: 0})

    await everyone(queues, act)
    whole()
    counts = await queues[0].counts(["main", "other"])
    assert all((lane.ready, lane.timed, lane.running, lane.blocked) == (0, 0, 0, 0) for lane in counts.values())


async def test_what_is_restored_while_others_claim_is_given_once_and_holds_a_slot(queues, whole):
    things = make_entries(160, group="a", concurrency=160)
    given = Counter()

    async def act(number, one):
        if number % 2:
            await one.generation.restore(things[number * 10 :] + things[: number * 10], LANES)
        while given.total() < len(things):
            claim = await one.claim("1", f"w{number}", LANES, 10, lease=LEASE)
            given.update(lease.id for lease in claim.leases)
            await asyncio.sleep(0)

    await everyone(queues, act)
    assert set(given.values()) == {1}
    whole()
    assert (await queues[0].counts(["main"]))["main"].running == len(things)


async def test_the_newest_of_racing_pauses_holds_and_nothing_is_given_against_it(queues, whole):
    await queues[0].put(make_entries(400))
    paused_at, given_after = asyncio.Event(), []

    async def act(number, one):
        if number < 4:
            for revision in range(number + 1, 40, 4):
                await one.pause(Pauses(revision, frozenset({"main"}) if revision == 39 else frozenset({"other"})))
            paused_at.set() if number == 2 else None
            return
        while not paused_at.is_set():
            await one.finish({lease.id: 0 for lease in (await one.claim("1", f"w{number}", LANES, 1, lease=LEASE)).leases})
        given_after.extend((await one.claim("1", f"w{number}", LANES, 5, lease=LEASE)).leases)

    await everyone(queues, act)
    assert given_after == []
    await queues[0].pause(Pauses(38))
    assert await claim_all(queues[0], *LANES) == []
    whole()
    await queues[0].pause(Pauses(40))
    assert await claim_all(queues[0], *LANES)


async def test_a_wipe_ends_every_lease_and_claim_of_the_generation_before(queues, whole):
    generations = 12
    cold = [False] * (generations + 1)
    turns = Counter()

    async def act(number, one):
        if number == 0:
            for generation in range(2, generations + 1):
                await until(lambda generation=generation: turns[generation - 1] >= 4, "the others to work under this generation")
                await one.generation.wipe(generation=f"{generation}, in the making")
                cold[generation - 1] = True
                assert await one.generation.set_generation(str(generation), before=f"{generation}, in the making")
            return
        generation, turn = 1, 0
        while generation < generations:
            turn += 1
            await one.put([Entry(f"{number}-{turn}", EntryKind.EXECUTION, ("main", "other")[turn % 2], NOW)])
            known = cold[generation]
            claim = await one.claim(str(generation), f"w{number}", LANES, 3, lease=LEASE)
            assert not (known and claim.leases)
            held = [lease.id for lease in claim.leases]
            known = cold[generation]
            renewed = await one.renew(str(generation), f"w{number}", held, lease=LEASE)
            assert not known or set(renewed.values()) <= {Renewal.LOST}
            await one.finish(dict.fromkeys(held[:1], 0))
            turns[generation] += 1
            generation += claim.cold and cold[generation]

    await everyone(queues, act)
    whole()
    await queues[0].generation.wipe()
    whole()
    assert (await queues[0].generation.identity()).generation is None


async def test_of_eight_that_would_follow_the_same_generation_one_does(queues, whole):
    for turn in range(1, 20):
        before = (await queues[0].generation.identity()).generation
        told = await everyone(
            queues, lambda number, one, turn=turn, before=before: one.generation.set_generation(f"{turn} of {number}", before=before)
        )
        assert Counter(told) == {True: 1, False: CLIENTS - 1}
        assert (await queues[0].generation.identity()).generation == f"{turn} of {told.index(True)}"


async def test_counts_see_every_entry_once_whatever_moves(queues, whole):
    things = make_entries(60) + make_entries(40, group="a", concurrency=2, expires=NOW + NEVER)
    things = [Entry(f"{place}-{one.id}", one.kind, one.lane, one.due, 0, 0, one.group, one.concurrency) for place, one in enumerate(things)]
    await queues[0].at(NOW).put(things)
    done = []

    async def act(number, one):
        if number % 4 == 3:
            while len(done) < 6:
                lanes = (await one.counts(["main", "other"])).values()
                assert sum(lane.ready + lane.timed + lane.running + lane.blocked for lane in lanes) == len(things)
                waits = await one.at(NOW + 5).oldest_waiting(["main", "other"])
                assert all(0 <= wait <= 5 for wait in waits.values()), waits
            return
        for turn in range(60):
            for lease in (await one.at(NOW).claim("1", f"w{number}", LANES, 4, lease=LEASE)).leases:
                await one.at(NOW + turn % 2).requeue(f"w{number}", lease.id, NOW + turn % 2, lane=("main", "other")[(turn + number) % 2])
        done.append(number)

    await everyone(queues, act)
    whole()


@pytest.mark.parametrize("concurrency", [0, 3])
async def test_what_is_moved_to_other_lanes_while_others_work_is_worked_on_once(queues, whole, concurrency):
    """Half of them move everything to one lane, and half to the other; each works on its own."""
    things = make_entries(120, group="a" if concurrency else "", concurrency=concurrency)
    await queues[0].put(things)
    known = {thing.id for thing in things}
    done: Counter[str] = Counter()

    async def act(number, one):
        lane = ("main", "other")[number % 2]
        while done.total() < len(things):
            await one.adopt([replace(thing, lane=lane) for thing in things])
            leases = (await one.claim("1", f"w{number}", [Lane(lane, 3)], 2, lease=NEVER)).leases
            assert {*(await one.members(lane)).ids} <= known
            counts = await one.counts()
            assert not concurrency or sum(row.running for row in counts.values()) <= concurrency
            assert {await one.lane_of(lease.id) for lease in leases} <= {"main", "other"}
            done.update(lease.id for lease in leases)
            await one.finish({lease.id: 0 for lease in leases})

    await everyone(queues, act)
    whole()
    assert done == Counter(thing.id for thing in things)
    assert await queues[0].counts() == {}


async def test_the_highest_of_racing_versions_of_a_store_is_remembered(queues, whole):
    async def act(number, one):
        for commits in range(number, 400, CLIENTS):
            await one.generation.remember_store(StoreVersion("a", commits))
            seen = (await one.generation.identity()).store
            assert seen is not None
            assert seen.commits >= commits

    await everyone(queues, act)
    whole()
    assert (await queues[0].generation.identity()).store == StoreVersion("a", 399)


async def test_reports_that_run_out_are_dropped_while_others_come_and_those_are_kept(queues, shared_redis, installation):
    async def act(number, one):
        for turn in range(40):
            moment = NOW + 10 * turn
            await one.at(moment).reports.announce(Report(f"short-{number}-{turn}", moment, ()), ttl=1)
            await one.at(moment).reports.announce(Report(f"long-{number}", moment, (HostView("a", True),)), ttl=NEVER)
            names = [report.worker for report in await one.at(moment).reports.current()]
            assert len(names) == len(set(names))
            assert f"long-{number}" in names

    await everyone(queues, act)
    last = NOW + 10 * 40
    await queues[0].at(last).reports.announce(Report("last", last, ()), ttl=NEVER)
    assert sorted(report.worker for report in await queues[0].at(last).reports.current()) == [
        "last",
        *(f"long-{n}" for n in range(CLIENTS)),
    ]
    with shared_redis.client() as client:
        workers = set(client.zrange(f"{{fl:{installation}:v1}}:workers", 0, -1))
        assert len(workers) == CLIENTS + 1
        assert {field.partition("\n")[0] for field in client.hkeys(f"{{fl:{installation}:v1}}:reports")} == workers


@pytest.mark.parametrize("seed", range(3))
async def test_all_scripts_at_once_leave_every_entry_in_one_place_and_all_can_be_ended(queues, whole, seed):
    ids = [uuid4().hex for _ in range(60)]

    def entry(chance: random.Random) -> Entry:
        group = chance.choice(("", "a", "b"))
        expires = chance.choice((None, NOW + chance.randint(0, 60)))
        terms = (chance.choice(("main", "other", TICKS)), NOW + chance.randint(-5, 50), chance.randint(0, 3), chance.randint(-2, 2))
        return Entry(chance.choice(ids), EntryKind.EXECUTION, *terms, group, chance.randint(0, 2), expires)

    async def act(number, one):
        chance, owner, held = random.Random(f"{seed} {number}"), f"w{number}", []
        for turn in range(120):
            now = NOW + turn // 2
            match chance.choice(("put", "put", "claim", "claim", "adopt", "audit", *OTHER_SCRIPTS)):
                case "adopt":
                    await one.at(now).adopt([entry(chance) for _ in range(3)], chance.choice((None, ["main"])))
                case "audit":
                    assert await audited(one) is None
                case "put":
                    await one.at(now).put([entry(chance) for _ in range(3)])
                case "claim":
                    lanes = chance.sample(LANES, 2)
                    held += (await one.at(now).claim("1", owner, lanes, 4, lease=chance.choice((1, LEASE)), watch=["main"])).leases
                case "renew":
                    await one.at(now).renew("1", owner, [lease.id for lease in held], lease=LEASE)
                case "release":
                    await one.at(now).release(owner, [lease.id for lease in held[:1]])
                case "requeue" if held:
                    await one.at(now).requeue(owner, held.pop().id, now + 1, lane=chance.choice((None, "main", "other")))
                case "cancel":
                    await one.at(now).cancel(chance.choice(ids))
                case "finish" if held:
                    lease = held.pop(0)
                    await one.at(now).finish({lease.id: lease.revision})
                case "restore":
                    await one.at(now).generation.restore([entry(chance)], LANES)
                case _:
                    await one.counts(["main", "other", TICKS])

    await everyone(queues, act)
    whole()
    ended, later = Counter(), NOW + LEASE + NEVER
    while leases := (
        await queues[0].at(later).claim("1", "last", [Lane("main", 9), Lane("other", 9), Lane(TICKS, None)], 256, lease=1)
    ).leases:
        await queues[0].at(later).finish({lease.id: lease.revision for lease in leases})
        ended.update(lease.id for lease in leases)
        whole()
        assert ended.total() <= 4 * len(ids)
    counts = await queues[0].counts(["main", "other", TICKS])
    assert all((lane.ready, lane.timed, lane.running, lane.blocked) == (0, 0, 0, 0) for lane in counts.values())
