"""Random operations on the queue and on a plain model of it: every answer is the same, and so is what is there in the end."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as some

from fastlane.queue.port import TICKS, Entry, EntryKind, Lane
from tests.contract.queue_model import Model
from tests.support.audits import audited
from tests.support.clocked_queue import ClockedQueue
from tests.support.factories import NOW
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE

LEASE = 6
PREFIX = "{fl:model:v1}:"
IDS = tuple("abcdefgh")
LANES = ("main", "other", TICKS)
OWNERS = ("me", "you")
IN_LINE = 2**51
SLOTLESS = [Lane(TICKS, None)]


@dataclass(frozen=True)
class Step:
    """A verb, its arguments, and by how much the time has moved since the step before."""

    verb: str
    values: dict[str, Any]
    passed: int


def entry_of(id: str, *values) -> Entry:
    """An entry of that id, whose kind is always the same."""
    return Entry(id, EntryKind.JOB if id in "ab" else EntryKind.EXECUTION, *values)


entries = some.builds(
    entry_of,
    some.sampled_from(IDS),
    some.sampled_from(("main", "main", "main", "other", TICKS)),
    some.sampled_from((-3, -2, -1, 0, 0, 0, 2)).map(lambda by: NOW + by),
    some.sampled_from((0, 0, 0, 1, 2, 3)),
    some.sampled_from((0, 0, 0, 0, 1, -1)),
    some.sampled_from(("g", "g", "g", "g", "h", "")),
    some.sampled_from((1, 1, 1, 2, 2, 0)),
    some.sampled_from((None, None, None, None, 1, 2, 8)).map(lambda by: by and NOW + by),
    some.sampled_from(("", "", "", "t", "g")),
)


def step(verb: str, **values) -> some.SearchStrategy[Step]:
    return some.builds(Step, some.just(verb), some.fixed_dictionaries(values), some.sampled_from((0, 0, 0, 0, 1, 3, -1)))


def lanes(*limits: int, fair: bool = False) -> list[Lane]:
    return [Lane(name, limit, fair) for name, limit in zip(LANES[:2], limits, strict=False)] + [Lane(TICKS, None)]


def lanes_of(limits: tuple[int, ...], fair: bool) -> list[Lane]:
    return lanes(*limits, fair=fair) if limits else []


ids = some.sampled_from(IDS)
lists = some.lists(ids, max_size=4, unique=True)
owners = some.sampled_from(OWNERS)
claims = step(
    "claim",
    owner=owners,
    lanes=some.builds(
        lanes_of,
        some.sampled_from(((4, 4), (4, 4), (4, 2), (1, 2), (4,), (2,), ())),
        some.sampled_from((False, True)),
    ),
    count=some.sampled_from((1, 2, 3, 6, 6, 0)),
    watch=some.sampled_from(((), (), ("other",), ("main", "other"), (TICKS,))),
    ahead=some.sampled_from((0, 0, 1, 4)),
)
ends = step("end", nth=some.integers(0, 5))
strict = some.sampled_from((False, False, True))
backs = step(
    "back",
    nth=some.integers(0, 5),
    due=some.integers(-1, 3).map(lambda by: NOW + by),
    lane=some.sampled_from((None, None, *LANES)),
    strict=strict,
)
puts = step("put", entries=some.lists(entries, min_size=1, max_size=5))
finishes = step("finish", ids=some.dictionaries(ids, some.sampled_from((9, 9, 9, 1)), min_size=1, max_size=2))
steps = some.one_of(
    *[claims] * 6,
    *[puts] * 3,
    *[ends] * 4,
    backs,
    finishes,
    step("renew", owner=owners, ids=lists),
    step("release", owner=owners, ids=lists),
    step(
        "requeue",
        owner=owners,
        id=ids,
        due=some.integers(-1, 4).map(lambda by: NOW + by),
        lane=some.sampled_from((None, *LANES)),
        strict=strict,
    ),
    *[step("cancel", id=ids)] * 2,
    step("restore", entries=some.lists(entries, max_size=2)),
    step("oldest_waiting", lanes=some.just(LANES)),
)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def resolved(step: Step, model: Model) -> Step:
    """``end`` finishes, and ``back`` gives back, one of those that are leased at that time."""
    leased = model.leased()
    if step.verb not in ("end", "back"):
        return step
    row = leased[step.values["nth"] % len(leased)] if leased else None
    id, owner = (row.entry.id, row.owner) if row else (IDS[0], OWNERS[0])
    if step.verb == "end":
        return Step("finish", {"ids": {id: 9}}, step.passed)
    how = {name: value for name, value in step.values.items() if name != "nth"}
    return Step("requeue", {"owner": owner, "id": id} | how, step.passed)


async def act(queue: ClockedQueue, step: Step, now: int) -> object:
    values = dict(step.values)
    match step.verb:
        case "claim":
            return await queue.at(now).claim("1", **values, lease=LEASE)
        case "renew":
            return await queue.at(now).renew("1", **values, lease=LEASE)
        case "restore":
            return await queue.at(now).generation.restore(values["entries"], SLOTLESS)
        case verb:
            return await getattr(queue.at(now), verb)(**values)


def act_on_model(model: Model, step: Step, now: int) -> object:
    values = dict(step.values)
    match step.verb:
        case "claim" | "renew":
            return getattr(model, step.verb)(**values, lease=LEASE, now=now)
        case "cancel":
            return model.cancel(**values)
        case "restore":
            return model.restore(values["entries"], {TICKS}, now)
        case verb:
            return getattr(model, verb)(**values, now=now)


def contents(client) -> tuple[set[tuple[object, ...]], list[tuple[str, str, int, str]], set[str]]:
    """What stands in the server's keys: as the model tells it, those in ``blocked`` as they stand there, and the ids of all entries."""
    found: set[tuple[object, ...]] = set()
    with client.pipeline(transaction=False) as calls:
        for lane in LANES:
            for name in ("timed", "waiting", "expiries", "ready"):
                calls.zrange(f"{PREFIX}{name}:{lane}", 0, -1, withscores=True)
            calls.smembers(f"{PREFIX}slots:{lane}")
            calls.zrange(f"{PREFIX}line:{lane}", 0, -1)
            calls.zrange(f"{PREFIX}tasks:{lane}", 0, -1, withscores=True)
        calls.zrange(f"{PREFIX}leases", 0, -1, withscores=True)
        calls.zrange(f"{PREFIX}groups", 0, -1)
        calls.zrange(f"{PREFIX}blocked", 0, -1)
        calls.hkeys(f"{PREFIX}entries")
        *by_lane, leases, groups, blocked, ids = calls.execute()
    for number, lane in enumerate(LANES):
        timed, waiting, expiries, ready, slots, line, tasks = by_lane[7 * number : 7 * number + 7]
        for place, members in (("timed", timed), ("blocked", waiting), ("expires", expiries)):
            found |= {(place, lane, id, int(score)) for id, score in members}
        found |= {("ready", lane, member[13:], int(score) % IN_LINE) for member, score in ready}
        found |= {("slot", lane, id) for id in slots}
        found |= {("in line", lane, member[13:]) for member, score in ready if score >= IN_LINE}
        found |= {("line", lane, *_in_line(member)) for member in line}
        found |= {("waits since", lane, task, since) for task, since in tasks}
    found |= {("leased", "", id, int(deadline)) for id, deadline in leases}
    found |= {("member", *member.split("\0")) for member in groups}
    return found, [_blocked(member) for member in blocked], set(ids)


def _in_line(member: str) -> tuple[str, int, str]:
    task, rest = member.split("\0")
    rank, arrival, id = rest.split(":")
    assert (len(rank), len(arrival)) == (16, 12)
    return task, int(rank) - 2**52, id


def _blocked(member: str) -> tuple[str, str, int, str]:
    group, lane, rest = member.split("\0")
    score, arrival, id = rest.split(":")
    assert (len(score), len(arrival)) == (16, 12)
    return group, lane, int(score) - 2**52, id


def check_contents(client, model: Model) -> None:
    found, blocked, ids = contents(client)
    assert found == model.contents()
    assert blocked == model.blocked()
    assert ids == set(model.rows)
    assert model.stuck() == []


async def finish_everything(queue: ClockedQueue, model: Model, now: int) -> None:
    """Works everything off, two at a time; fails when something can never be claimed."""
    everywhere = [Lane("main", 2), Lane("other", 2), Lane(TICKS, None)]
    while model.rows:
        now += 100_000
        claim = await queue.at(now).claim("1", "last", everywhere, 2, lease=LEASE)
        expected = model.claim("last", everywhere, 2, (), LEASE, now)
        assert claim == expected, (claim, expected)
        assert claim.leases
        done = {lease.id: 9 for lease in claim.leases}
        await queue.at(now).finish(done)
        model.finish(done, now)


async def play(shared_redis: RealRedis, client, steps: list[Step]) -> None:
    queue = ClockedQueue(shared_redis.url, "model", deadline=PATIENCE)
    await queue.open()
    try:
        await play_on(queue, client, steps)
    finally:
        await queue.close()


async def play_on(queue: ClockedQueue, client, steps: list[Step]) -> None:
    await queue.generation.wipe()
    await queue.generation.set_generation("1")
    model, now = Model(), NOW
    for step in (resolved(step, model) for step in steps):
        now += step.passed
        answer, expected = await act(queue, step, now), act_on_model(model, step, now)
        assert answer == expected, (step, answer, expected)
        check_contents(client, model)
    assert await queue.counts(LANES) == model.counts(LANES)
    assert await audited(queue) is None
    await finish_everything(queue, model, now)
    turns = {f"served:{lane}" for lane in LANES[:2]}
    assert set(client.keys(f"{PREFIX}*")) <= {PREFIX + name for name in ("gen", "lanes", "arrivals", *turns)}


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
)
@given(
    first=some.lists(entries, min_size=6, max_size=8, unique_by=lambda entry: entry.id), steps=some.lists(steps, min_size=10, max_size=30)
)
def test_random_operations_answer_and_leave_what_the_model_does(runner, shared_redis, first, steps):
    with shared_redis.client() as client:
        runner.run(play(shared_redis, client, [Step("put", {"entries": first}, 0), *steps]))
