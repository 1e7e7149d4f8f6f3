"""What every store promises about changes of executions: each is made exactly where its rule permits it, and once."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest

from fastlane.models import transitions
from fastlane.models.job import Ending, Execution, Failure, Started
from fastlane.models.retry import FailureReason
from fastlane.models.status import FINAL, Status
from fastlane.models.transitions import RULES, ExecutionChange
from tests.contract.stored import created
from tests.support.factories import new

EARLIER = "the op of an earlier change"
"""A writer that saw this saw another row than the store has."""
STATES = list(itertools.product(Status, (None, "service"), (None, 7), (False, True), (0, 1)))
"""Every status, bound or not, flagged to stop or not, settled or not, with the writer's epoch or another one."""


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "unseen"])
@pytest.mark.parametrize("name", RULES)
async def test_a_change_is_applied_exactly_where_its_rule_permits_it(store, name, seen):
    """``seen``: its writer has read the row as it is, and may be of another epoch only if not."""
    rule = RULES[name]
    target = {"status": next(iter(rule.targets))} if rule.targets else {}

    async def attempt(state: Status, service: str | None, flagged: int | None, settled: bool, epoch: int) -> bool:
        execution = await created(store, status=state, service_id=service, stop_requested_at=flagged, settled=settled, epoch=epoch)
        writer = execution if seen else as_seen(execution, epoch=1)
        change = ExecutionChange.of(name, writer, **target, host="changed")
        after = await store.change(change)
        expected = replace(execution, **change.values, op=change.op) if change.permitted(execution) else None
        assert after == expected, (state, service, flagged, settled, epoch)
        assert await store.execution(execution.id) == (expected or execution)
        return after is not None

    applied = await asyncio.gather(*(attempt(*state) for state in STATES))
    assert 0 < sum(applied) < len(STATES)


async def test_a_change_by_who_saw_an_earlier_row_is_of_the_row_as_it_is_now(store):
    """One change of the two at once is of a row that its writer has not seen: it is answered with all that has changed."""
    bound, other = [await created(store, status=Status.PULLING, epoch=1, service_id="s") for _ in range(2)]
    flagged = await store.change(transitions.flag_stop(bound, now=35))
    runs = [transitions.run(row, Started("task", "container", 40)) for row in (bound, other)]
    after = await asyncio.gather(*map(store.change, runs))
    assert after == [run.applied_to(row) for run, row in zip(runs, (flagged, other), strict=True)]
    assert after == [await store.execution(row.id) for row in (bound, other)]
    assert await asyncio.gather(*map(store.change, runs)) == after, "a repeat"


async def test_an_execution_goes_the_whole_way(store):
    execution = await created(store)
    started = Started("task", "container", 40)
    ending = Ending(Status.FAILED, 50, 3, Failure(FailureReason.EXIT, "it said: 3"), None, 10, 20, True)
    steps = (
        lambda now: transitions.claim(now, host="h", pool="p", now=10),
        lambda now: transitions.bind(now, service_id="s", swarm_id="w", image_digest="sha256:0", image_reference="ubuntu@sha256:0", now=30),
        transitions.take_over,
        lambda now: transitions.flag_stop(now, now=35),
        lambda now: transitions.run(now, started),
        lambda now: transitions.end(now, ending),
        transitions.settle,
        transitions.clean,
    )
    for step in steps:
        change = step(execution)
        expected = replace(execution, **change.values, op=change.op)
        execution = await store.change(change)
        assert execution == expected
        assert await store.execution(execution.id) == expected
    assert (execution.status, execution.epoch, execution.cleaned) == (Status.FAILED, 2, True)


async def test_a_change_that_was_applied_is_not_refused_when_it_is_repeated(store):
    execution = await created(store)
    change = transitions.claim(execution, host="h", pool="p", now=10)
    claimed = await store.change(change)
    assert await store.change(change) == claimed
    taken = await store.change(transitions.take_over(claimed))
    assert await store.change(change) is None
    assert await store.execution(execution.id) == taken


@pytest.mark.parametrize(
    ("state", "service", "discarded"),
    [(Status.ENQUEUED, None, True), (Status.PULLING, None, True), (Status.PULLING, "s", False)]
    + [(status, None, False) for status in sorted(FINAL | {Status.RUNNING})],
)
async def test_an_execution_is_discarded_only_while_no_service_is_bound_to_it(store, state, service, discarded):
    execution = await created(store, status=state, service_id=service, epoch=3)
    for epoch in (2, 4):
        assert not await store.discard(replace(execution, epoch=epoch))
    assert await store.execution(execution.id) == execution
    assert await store.discard(execution) is discarded
    assert await store.execution(execution.id) == (None if discarded else execution)
    assert not await store.discard(execution) or not discarded


async def test_either_a_claim_or_a_discard_of_an_execution_happens(store, open_store):
    other = await open_store()
    for turn in range(20):
        execution = await created(store)
        claim = transitions.claim(execution, host="h", pool="p", now=10)
        acts = (store.discard(execution), other.change(claim))
        discarded, claimed = await asyncio.gather(*acts) if turn % 2 else reversed(await asyncio.gather(*reversed(acts)))
        assert discarded is (claimed is None)
        assert await store.execution(execution.id) == claimed


async def test_changes_of_many_kinds_at_once_are_each_answered_for_themselves(store):
    waiting = [await created(store) for _ in range(40)]
    pulling = [await created(store, status=Status.PULLING, epoch=1) for _ in range(40)]
    bound = [await created(store, status=Status.RUNNING, epoch=1, service_id="s") for _ in range(40)]
    ending = Ending(Status.DONE, 50, 0)
    changes = [
        *(transitions.claim(one, host=f"h{number}", pool="p", now=10) for number, one in enumerate(waiting)),
        *(transitions.give_up(as_seen(one, epoch=number % 2), ending_of(Status.FAILED)) for number, one in enumerate(pulling)),
        *(transitions.end(as_seen(one, epoch=number % 2), ending, settled=number % 3 == 0) for number, one in enumerate(bound)),
    ]
    answers = await asyncio.gather(*map(store.change, changes))
    for execution, change, answer in zip([*waiting, *pulling, *bound], changes, answers, strict=True):
        op = answer.op if answer is not None and change.settles_an_end else change.op  # MongoDB settles by a write of its own
        expected = replace(execution, **change.values, op=op) if change.permitted(execution) else None
        assert answer == expected
        assert await store.execution(execution.id) == (expected or execution)
    assert [answer is None for answer in answers[:40]] == [False] * 40
    assert [answer is None for answer in answers[40:]] == [True, False] * 40


async def test_changes_of_one_execution_at_once_are_made_one_after_the_other(store):
    execution = await created(store)
    claim, cancel = transitions.claim(execution, host="h", pool="p", now=10), transitions.cancel(execution, now=10)
    takes_over = transitions.take_over(replace(execution, status=Status.PULLING, epoch=1))
    first, refused, last, repeated = await asyncio.gather(*map(store.change, (claim, cancel, takes_over, takes_over)))
    assert (first.epoch, first.status, refused) == (1, Status.PULLING, None)
    assert last == repeated == await store.execution(execution.id)
    assert last.epoch == 2
    moves = [transitions.re_place(last, host=host) for host in ("one", "two", "three")]
    assert [moved.host for moved in await asyncio.gather(*map(store.change, moves))] == ["one", "two", "three"]
    assert (await store.execution(execution.id)).host == "three"


async def test_a_change_that_cannot_be_stored_harms_no_other(store):
    executions = [await created(store, status=Status.PULLING, epoch=1) for _ in range(3)]
    hosts = ("good", "\ud800", "fine")
    changes = [transitions.re_place(one, host=host) for one, host in zip(executions, hosts, strict=True)]
    answers = await asyncio.gather(*map(store.change, changes), return_exceptions=True)
    assert isinstance(answers[1], Exception)
    assert [(await store.execution(one.id)).host for one in executions] == ["good", None, "fine"]


@pytest.mark.parametrize("text", ["", "a\x00b", 'a "quoted" \\ $[0] ->> 1', "größe 🐳\n\t\x7f", "[1, 2]", "null", "1e999"])
async def test_any_text_of_a_change_comes_back_as_it_was(store, text):
    execution = await created(store, status=Status.PULLING, epoch=1)
    failure = Failure(FailureReason.IMAGE, text)
    ended = await store.change(
        transitions.give_up(await store.change(transitions.re_place(execution, host=text)), ending_of(Status.FAILED, failure))
    )
    assert (ended.host, ended.failure) == (text, failure)
    assert await store.execution(execution.id) == ended


def ending_of(final: Status, failure: Failure | None = None) -> Ending:
    return Ending(final, 50, failure=failure)


def as_seen(execution: Execution, **values: Any) -> Execution:
    """The execution as a writer saw it whose row was another one than the store has."""
    return replace(execution, op=EARLIER, **values)


async def test_many_that_are_read_at_once_are_each_answered_for_themselves(store):
    made = [await created(store, scheduled_for=number) for number in range(150)]
    wanted = [execution.id for execution in made] + ["unknown", made[0].id, "\x00", ""]
    expected = [*made, None, made[0], None, None]
    assert await asyncio.gather(*map(store.execution, wanted)) == expected


async def test_a_change_of_an_unknown_execution_is_refused(store):
    assert await store.change(transitions.claim(new()[2], host="h", pool="p", now=10)) is None


async def test_a_change_of_what_is_no_field_is_an_error(store):
    execution = await created(store)
    with pytest.raises(ValueError, match="nothing_such"):
        await store.change(ExecutionChange.of("take-over", execution, nothing_such=1))


async def test_one_of_many_claims_of_one_execution_wins(store, open_store):
    other = await open_store()
    for _ in range(10):
        execution = await created(store)
        changes = [transitions.claim(execution, host=f"h{number}", pool="p", now=10) for number in range(8)]
        pairs = zip([store, other] * 4, changes, strict=True)
        results = await asyncio.gather(*(one.change(change) for one, change in pairs))
        (winner,) = [result for result in results if result is not None]
        assert await store.execution(execution.id) == winner
        assert winner.epoch == 1
