"""Faults that the model test must find: each is a small mistake somewhere in fastlane, put there for one run and taken away again."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from fastlane import app
from fastlane.models import backfill as backfill_rules, job as job_rules, job_change, tick as tick_rules, transitions
from fastlane.models.backfill import Backfill
from fastlane.models.delivery import EndFacts
from fastlane.models.job import Execution, Job
from fastlane.models.job_change import JobChange
from fastlane.models.pool import Pool
from fastlane.models.schedule import Schedule
from fastlane.models.status import UNDER_WAY
from fastlane.models.transitions import RULES, ExecutionChange
from fastlane.queue.port import TICKS, Entry, EntryKind, execution_entry
from fastlane.queue.redis.connection import Script
from fastlane.queue.redis.queue import RedisGeneration
from fastlane.scheduler import settler
from fastlane.scheduler.chains import ChainLinker
from fastlane.scheduler.launcher import Launcher
from fastlane.scheduler.leases import Assignment, Leases
from fastlane.scheduler.rebuilder import Rebuilder
from fastlane.scheduler.runner import Runner
from fastlane.scheduler.settler import FailureCounter, Overlaps, Settler
from fastlane.services import jobs as submissions
from fastlane.services.assembly import Services
from fastlane.services.jobs import ManualRuns
from fastlane.services.outbox import QueueOutbox
from fastlane.storage.logic import StoreLogic
from fastlane.storage.sqlite import jobs
from tests.support.intercept import Around, Call, Intercepted, answering

Plant = Callable[[ExitStack], None]


def rule(name: str, **values: Any) -> Plant:
    """A row of the table of changes has a condition less."""
    return lambda stack: stack.enter_context(patch.dict(RULES, {name: replace(RULES[name], **values)}))  # type: ignore[arg-type, return-value]


def method(owner: Any, name: str, mistaken: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Plant:
    """A method does something else; ``mistaken`` is given the right one."""
    return lambda stack: stack.enter_context(patch.object(owner, name, mistaken(getattr(owner, name))))


def script(name: str, right: str, wrong: str) -> Plant:
    """A script of the queue has other text."""

    def read(stack: ExitStack) -> None:
        real = Script.read

        def mistaken(wanted: str) -> Script:
            found = real(wanted)
            if wanted != name:
                return found
            assert right in found.text, f"{name} has no {right!r}"
            text = found.text.replace(right, wrong)
            import hashlib

            return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

        stack.enter_context(patch.object(Script, "read", mistaken))

    return read


def with_other(port: Any, **verbs: Around) -> Intercepted:
    """The port, with these verbs in other hands."""
    found = Intercepted(port)
    for verb, hook in verbs.items():
        found.around(verb, hook)
    return found


def put_first(store: Any, queue: Any, pools: Sequence[Pool]) -> Intercepted:
    """A store before which the queue hears of each new execution."""

    async def create(call: Call) -> None:
        execution = call.arguments[2]
        if execution is not None:
            await queue.put([execution_entry(execution, pools)])
        await call.carry()

    return with_other(store, create=create)


def put_before_store(right: Callable[..., Any]) -> Callable[..., Any]:
    """The queue hears of an execution before the store does, and not after it."""

    def build(store: Any, queue: Any, *others: Any, **settings: Any) -> Services:
        services: Services = right(put_first(store, queue, others[-1].pools), queue, *others, **settings)
        put = services.outbox.put

        async def only_jobs(entries: Sequence[Entry]) -> None:
            await put([entry for entry in entries if entry.kind is EntryKind.JOB or entry.lane == TICKS])

        services.outbox.put = only_jobs  # type: ignore[method-assign]
        return services

    return build


def keeping_apart(store: Any) -> Intercepted:
    """A store that keeps records in commits of their own, after the effect."""

    async def apart(call: Call) -> Any:
        *arguments, record = call.arguments
        done = await call.real(*arguments, None)
        if record is not None and done is not False:
            write = store._real._file.write
            await store._node.call("store", "store.keep", lambda: write(lambda db: jobs.keep_record(db, record)), ())
        return done

    return with_other(store, create=apart, advance=apart)


def records_apart(right: Callable[..., Any]) -> Callable[..., Any]:
    """A record that is written after what it is for."""

    def build(store: Any, *arguments: Any, **settings: Any) -> Any:
        return right(keeping_apart(store), *arguments, **settings)

    return build


def told_nothing(right: Callable[..., Any]) -> Callable[..., Any]:
    """What is paused, stopped or deleted stays in the queue."""

    async def withdraw(self: QueueOutbox, job: Job) -> None:
        return None

    return withdraw


def changed(**mistaken: Callable[[Job, Job], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A rule of ``job_change`` that gives fields of the job other values, of the job before and after it."""

    def plant(right: Callable[..., Any]) -> Callable[..., Any]:
        def rule(job: Job, *arguments: Any, **named: Any) -> Any:
            advance = right(job, *arguments, **named)
            after = advance.job
            return replace(advance, job=replace(after, **{name: value(job, after) for name, value in mistaken.items()}))

        return rule

    return plant


def forgotten(right: Callable[..., Any]) -> Callable[..., Any]:
    """A step that says nothing in the ledger of what came up and did not fire."""

    def step(*arguments: Any, **named: Any) -> Any:
        advance = right(*arguments, **named)
        return replace(advance, ticks=[tick for tick in advance.ticks if tick.execution_id is not None])

    return step


def unnumbered(right: Callable[..., Any]) -> Callable[..., Any]:
    """A run by hand that takes no number."""

    def run_now(job: Job, *arguments: Any, **named: Any) -> Any:
        advance = right(job, *arguments, **named)
        return replace(advance, job=job, execution=replace(advance.execution, sequence=job.sequence))

    return run_now


def stands_in_for_nothing(right: Callable[..., Any]) -> Callable[..., Any]:
    """A run in place of the next tick, which is due all the same."""

    def run_now(job: Job, *arguments: Any, **named: Any) -> Any:
        advance = right(job, *arguments, **named)
        return replace(advance, job=replace(advance.job, next_tick=job.next_tick, last_tick=job.last_tick))

    return run_now


def same_incarnation(right: Callable[..., Any]) -> Callable[..., Any]:
    """A job under an id that was chosen has always the same names."""

    def create_under(job_id: str, *arguments: Any) -> Any:
        with patch.object(submissions, "new_id", lambda _: job_id):
            return right(job_id, *arguments)

    return create_under


def nothing_unfinished(stack: ExitStack) -> None:
    """A deletion that does not look at what is under way."""

    async def unfinished(*_arguments: Any) -> list[Execution]:
        return []

    stack.enter_context(patch.object(StoreLogic, "unfinished", unfinished))


def beside(right: Callable[..., Any]) -> Callable[..., Any]:
    """A retry by hand of what still runs."""

    async def last_ended(self: ManualRuns, job: Job, now: int) -> Any:
        last = (await self._store.latest([job.id])).get(job.id)
        if job.next_tick is not None or job.paused or last is None:
            return await right(self, job, now)
        return last

    return last_ended


def pauses_lost(right: Callable[..., Any]) -> Callable[..., Any]:
    """A rebuild that forgets which pools are paused."""

    async def begin(self: Rebuilder, *arguments: Any) -> Any:
        blind = copy(self)
        blind._queue = with_other(self._queue, pause=answering(None))  # type: ignore[assignment]
        return await right(blind, *arguments)

    return begin


def finish_before_end(right: Callable[..., Any]) -> Callable[..., Any]:
    """The slot is free before the final row is written."""

    async def work(self: Runner, assignment: Assignment, execution: Execution) -> Any:
        if execution.service_id is not None:
            await self._queue.finish({execution.id: 0})
        return await right(self, assignment, execution)

    return work


def unconfirmed(right: Callable[..., Any]) -> Callable[..., Any]:
    """Nobody asks the queue before a start."""

    def confirm(self: Leases, assignment: Assignment) -> "asyncio.Future[bool]":
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        answer.set_result(True)
        return answer

    return confirm


def same_epoch(execution: Execution) -> ExecutionChange:
    """A take-over that leaves the old owner's epoch valid."""
    return ExecutionChange.of("take-over", execution, epoch=execution.epoch)


def unrestored(right: Callable[..., Any]) -> Callable[..., Any]:
    """A rebuild that forgets what is under way."""

    async def restore(self: RedisGeneration, *arguments: Any, **named: Any) -> None:
        return None

    return restore


def unheard(right: Callable[..., Any]) -> Callable[..., Any]:
    """A stop that the queue never hears of."""

    async def pass_on_stop(self: QueueOutbox, execution: Execution) -> None:
        return None

    return pass_on_stop


def unread(right: Callable[..., Any]) -> Callable[..., Any]:
    """A start without a look at the row."""

    async def activate(self: Launcher, assignment: Assignment, execution: Execution) -> bool:
        blind = copy(self)
        blind._store = with_other(self._store, execution=answering(execution))  # type: ignore[assignment]
        return bool(await right(blind, assignment, execution))

    return activate


def both(*plants: Plant) -> Plant:
    """Two mistakes of which each covers the other."""

    def plant(stack: ExitStack) -> None:
        for one in plants:
            one(stack)

    return plant


def unsettled(right: Callable[..., Any]) -> Callable[..., Any]:
    """A final row after which nothing follows but its slot."""

    async def follow_up(self: Settler, execution: Execution) -> Execution:
        await self._queue.finish({execution.id: 0})
        return execution

    return follow_up


def uncounted(right: Callable[..., Any]) -> Callable[..., Any]:
    """An end that nobody counts."""

    async def ended(self: FailureCounter, execution: Execution) -> EndFacts:
        return EndFacts()

    return ended


def never_held(right: Callable[..., Any]) -> Callable[..., Any]:
    """The first failure is told, whatever ``notify_after`` says."""

    async def ended(self: FailureCounter, execution: Execution) -> EndFacts:
        return replace(await right(self, execution), is_held=False)

    return ended


def never_paused(right: Callable[..., Any]) -> Callable[..., Any]:
    """A job goes on however often it fails."""

    def after_end(job: Job, *arguments: Any, **named: Any) -> JobChange:
        after = right(job, *arguments, **named).job
        return JobChange(job if after is job else replace(job, failing=after.failing))

    return after_end


def any_host(right: Callable[..., Any]) -> Callable[..., Any]:
    """An attempt after a lost host may go there again."""
    return lambda before, *arguments: replace(right(before, *arguments), remedy=None)


def one_left_out(right: Callable[..., Any]) -> Callable[..., Any]:
    """A backfill that leaves out a due time now and then."""

    def stepped(backfill: Backfill, *arguments: Any) -> Any:
        after = right(backfill, *arguments)
        return replace(after, remaining=after.remaining[1:])

    return stepped


PLANTED: Mapping[str, Plant] = {
    "bind-without-epoch": rule("bind", fenced=False),
    "bind-stopped": rule("bind", unstopped=False),
    "end-without-epoch": rule("end", fenced=False),
    "cancel-running": rule("cancel", sources=UNDER_WAY),
    "take-over-without-fence": rule("take-over", fenced=False),
    "same-epoch": lambda stack: stack.enter_context(patch.object(transitions, "take_over", same_epoch)) and None,
    "put-before-store": method(app, "build_services", put_before_store),
    "finish-before-end": method(Runner, "_step", finish_before_end),
    "unwoken": script("put", "if unblock() or wakes then wake_workers() end", "unblock()"),
    "unconfirmed": method(Leases, "confirm", unconfirmed),
    "unrestored": method(RedisGeneration, "restore", unrestored),
    "flag-only": both(method(QueueOutbox, "pass_on_stop", unheard), method(Launcher, "activate", unread)),
    "unsettled": method(Settler, "follow_up", unsettled),
    "put-keeps-schedule-revision": method(job_change, "put", changed(schedule_revision=lambda before, _: before.schedule_revision)),
    "put-keeps-revision": method(job_change, "put", changed(revision=lambda before, _: before.revision)),
    "put-leaves-stopped": method(job_change, "put", changed(armed=lambda before, _: before.armed)),
    "put-forgets-what-came-up": method(job_change, "put", forgotten),
    "resume-keeps-revision": method(job_change, "resume", changed(revision=lambda before, _: before.revision)),
    "resume-forgets-what-came-up": method(job_change, "resume", forgotten),
    "run-without-number": method(job_change, "run_now", unnumbered),
    "stands-in-for-nothing": method(job_change, "run_now", stands_in_for_nothing),
    "retry-beside": method(ManualRuns, "_last_ended", beside),
    "released-beside": method(settler, "awaited", lambda _: lambda *_others: []),
    "not-released": method(Overlaps, "release_or_replace", told_nothing),
    "not-followed": method(ChainLinker, "follow", told_nothing),
    "uncounted": method(FailureCounter, "ended", uncounted),
    "never-held": method(FailureCounter, "ended", never_held),
    "never-paused": method(settler, "after_end", never_paused),
    "count-goes-on": method(job_change, "begun_anew", lambda _: lambda failing, *_others, **_named: failing),
    "retry-on-ignored": method(job_rules, "is_retried", lambda right: lambda _rule, *others: right(None, *others)),
    "memory-as-before": method(tick_rules, "more_memory", lambda _: lambda _rule, had, _limits: had),
    "any-host": method(tick_rules, "next_spec", any_host),
    "skips-nothing": method(Schedule, "skipped_at", lambda _: lambda *_others: None),
    "backfill-leaves-out": method(backfill_rules, "stepped", one_left_out),
    "unreserved": method(job_change, "reserving", lambda _: lambda job: job),
    "not-replaced": method(settler, "replaced", lambda _: lambda *_others: []),
    "not-withdrawn": method(QueueOutbox, "withdraw", told_nothing),
    "records-apart": method(app, "build_services", records_apart),
    "deleted-unfinished": nothing_unfinished,
    "names-again": method(submissions, "create_under", same_incarnation),
    "pauses-lost": method(Rebuilder, "_begin", pauses_lost),
    "pauses-out-of-order": script("pause", "if revision <= tonumber(redis.call('HGET', PAUSES, '') or 0) then return 0 end", ""),
    "paused-is-served": script("claim", "if limit ~= 'watch' and not held then", "if limit ~= 'watch' then"),
    "slot-freed-at-release": script(
        "release",
        "entry.owner = ''",
        "entry.owner = ''; require_lane(entry.lane); if lanes_answer() then return lanes_answer() end; "
        "redis.call('SREM', lanes[entry.lane].slots, id)",
    ),
    "slot-freed-at-takeover": script(
        "claim",
        "if entries[id] then lease_entry(id, 1)",
        "if entries[id] then if lanes[entries[id].lane] then redis.call('SREM', lanes[entries[id].lane].slots, id) end lease_entry(id, 1)",
    ),
}

FOCUS: Mapping[str, tuple[str, ...]] = {
    "bind-without-epoch": ("store.bind",),
    "end-without-epoch": ("store.end",),
    "cancel-running": ("store.cancel",),
    "take-over-without-fence": ("store.take-over",),
    "resume-forgets-what-came-up": ("store.advance",),
    "names-again": ("store.delete_job",),
    "slot-freed-at-release": ("queue.release",),
}
"""The calls at which a fault shows that is rarely met: half of the troubles come to them."""


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Within it fastlane has that fault; None: it has none."""
    with ExitStack() as stack:
        if name is not None:
            PLANTED[name](stack)
        yield
