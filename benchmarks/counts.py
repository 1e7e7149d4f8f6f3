"""What a job costs in calls that do not depend on how fast anything is: statements of the store, and calls of Redis.

Three steps are counted: *enqueue*, a POST until its answer; *dispatch*, from the entry in the queue until the executor has started the
container; *end*, from there until the execution is settled, cleaned and told. Jobs go through one after another. The time of fastlane's own
clock stands still meanwhile, so that nothing is counted that happens by the clock: renewals, looks, reports.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import click
import uvloop

from benchmarks.dispatch import accepted
from benchmarks.figures import Comparison, Figure, Target
from fastlane import log
from fastlane.executors.port import Activation
from fastlane.models.delivery import DeliveryState
from fastlane.models.job import Execution, Spec
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import Pool
from fastlane.queue.port import execution_entry
from fastlane.queue.redis.queue import RedisQueue
from fastlane.scheduler import launcher
from fastlane.storage.base import Store
from tests.support.clock import FakeClock
from tests.support.defaults import hosts_of
from tests.support.fastlane import Fastlane
from tests.support.instant import InstantExecutor
from tests.support.receiver import receiving
from tests.support.recorded_calls import RedisRecord, recorded_commands, recorded_statements
from tests.support.redis import RealRedis
from tests.support.stores import DATABASES, ON_MONGO, new_store
from tests.support.waiting import at_rest, until

JOBS, WARM_UP = 5, 1
EVER_FRESH = 3_600_000
"""Milliseconds for which a row that a worker has read just before a start is as it was, however slow the machine is."""
STEPS = ("enqueue", "dispatch", "end")
BY_THE_CLOCK = frozenset({"update meta"})
"""How far the store has come, which a process writes to MongoDB now and then."""
TABLE = re.compile(r"(?:INTO|UPDATE|FROM|JOIN) (?!json_each)(\w+)")

Calls = Mapping[str, int]
"""How many calls of each name."""


@dataclass(frozen=True, slots=True)
class Step:
    """The calls of a step: of the store by verb and table, of Redis by script or command."""

    statements: Calls
    redis: Calls


@dataclass(frozen=True, slots=True)
class Steps:
    """The calls of a job's way."""

    enqueue: Step
    dispatch: Step
    end: Step


def named(call: str | tuple[str, Mapping[str, Any]]) -> str:
    """A statement by its verb and its first table; a command of MongoDB by its verb and its collection."""
    if isinstance(call, tuple):
        verb, command = call
        return f"{verb} {command[verb]}"
    verb = call.split(None, 1)[0].lower()
    table = TABLE.search(" ".join(call.split()))
    return verb if table is None else f"{verb} {table[1]}"


def typical(rounds: Sequence[Sequence[str]]) -> Calls:
    """How often each name comes in the median round."""
    counts = [Counter(calls) for calls in rounds]
    found = {name: round(median(count[name] for count in counts)) for name in sorted(set().union(*counts))}
    return {name: count for name, count in found.items() if count}


@dataclass(slots=True)
class Tape:
    """What was recorded of each step, job by job."""

    calls: list[Any]
    redis: RedisRecord
    steps: dict[str, list[tuple[list[str], list[str]]]] = field(default_factory=dict)

    def take(self, step: str | None = None) -> None:
        """What was called since the last look is what one job cost in this step; None: it does not count."""
        calls = [name for call in self.calls if (name := named(call)) not in BY_THE_CLOCK], self.redis.take()
        self.calls.clear()
        if step is not None:
            self.steps.setdefault(step, []).append(calls)

    def step(self, name: str) -> Step:
        """The calls of a step, without the first jobs' and without the entry that the measurement itself puts."""
        statements, redis = zip(*self.steps[name][WARM_UP:], strict=True)
        counted = typical(redis)
        return Step(typical(statements), {call: count for call, count in counted.items() if (name, call) != ("dispatch", "put")})


class Announced(InstantExecutor):
    """Says when it has started a container."""

    on_start: Callable[[], None] = staticmethod(lambda: None)

    async def activate(self, host: str, service_id: str) -> Activation:
        """See the port."""
        try:
            return await super().activate(host, service_id)
        finally:
            self.on_start()


async def count(webhooks: int = 0, jobs: int = JOBS) -> Steps:
    """The calls of a job with so many webhooks, each told of its end."""
    async with receiving() as receiver:
        told = tuple(Webhook(NotificationTrigger.FINISHES, f"{receiver.url}/{number}", {}, 0) for number in range(webhooks))
        async with _ground() as (crew, tape, store, queue):
            fields = {"webhooks": {"finishes": [{"url": one.url} for one in told]}} if told else {}
            for _ in range(WARM_UP + jobs):
                await crew.enqueue("bench", **fields)
                tape.take("enqueue")
            crew.executor.on_start = lambda: tape.take("dispatch")
            await crew.hire()
            await until(lambda: len(tape.steps.get("dispatch", ())) == WARM_UP + jobs, "the worker to have run what was enqueued")
            await at_rest(lambda: len(tape.calls))
            tape.steps.pop("dispatch")
            tape.take()
            for _ in range(WARM_UP + jobs):
                (execution,) = await accepted(store, 1, spec=Spec("ubuntu:latest", ("true",), webhooks=told))
                tape.take()
                await queue.put([execution_entry(execution, crew.pools)])
                await until(partial(_is_over, store, execution, webhooks), "a job to be over")
                await at_rest(lambda: len(tape.calls))
                tape.take("end")
        return Steps(tape.step("enqueue"), tape.step("dispatch"), tape.step("end"))


async def _is_over(store: Store, execution: Execution, webhooks: int) -> bool:
    row = await store.execution(execution.id)
    told = [delivery.state for delivery in await store.deliveries_of(execution.id)]
    return row is not None and row.settled and row.cleaned and told == [DeliveryState.DELIVERED] * webhooks


@asynccontextmanager
async def _ground() -> AsyncIterator[tuple[Fastlane, Tape, Store, RedisQueue]]:
    """A fastlane whose calls are recorded, and a store and a queue of the same data whose calls are not."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(RealRedis())
        record = stack.enter_context(RedisRecord(redis))
        stack.enter_context(patch.object(launcher, "FRESH", EVER_FRESH))
        pools = (Pool("default", "", ("unix:///instant",)),)
        crew = Fastlane(folder, redis.url, pools=pools, webhook_allow=("127.0.0.1",))
        crew.clock = FakeClock()
        crew.executor = Announced(hosts_of(pools), crew.clock)
        with recorded_commands() if ON_MONGO else recorded_statements() as calls:
            await crew.__aenter__()
        store, queue = new_store(crew.settings.store_url), RedisQueue(redis.url, crew.installation)
        try:
            await store.open()
            await queue.open()
            tape = Tape(calls, record)
            tape.take()
            yield crew, tape, store, queue
        finally:
            await queue.close()
            await store.close()
            await crew.__aexit__(None, None, None)


def measure(say: Callable[[str], None]) -> list[Figure]:
    """What one webhook adds to a job, beside one without any."""
    plain, told = uvloop.run(count()), uvloop.run(count(webhooks=1))
    return [
        figure for name, ours, theirs in zip(STEPS, _each(told), _each(plain), strict=True) for figure in _figures(name, ours, theirs, say)
    ]


def _each(steps: Steps) -> tuple[Step, Step, Step]:
    return steps.enqueue, steps.dispatch, steps.end


def _figures(step: str, told: Step, plain: Step, say: Callable[[str], None]) -> Iterator[Figure]:
    same = None if step == "end" else Target(0, at_least=False)
    for unit, ours, theirs in (("statements", told.statements, plain.statements), ("Redis calls", told.redis, plain.redis)):
        say(f"{step}, {unit}: {_words(theirs)}; for a webhook besides: {_words(Counter(ours) - Counter(theirs)) or 'none'}")
        name = f"{step} of a job with a webhook"
        yield Figure(name, unit, [sum(ours.values())], [sum(theirs.values())], "without one", Comparison.DIFFERENCE, same)


def _words(calls: Calls) -> str:
    return ", ".join(f"{count} {call}" for call, count in calls.items())


if __name__ == "__main__":
    log.configure("json", "error")
    try:
        found = uvloop.run(count())
    finally:
        DATABASES.close()
    click.echo(json.dumps({name: step.statements for name, step in zip(STEPS, _each(found), strict=True)}))
