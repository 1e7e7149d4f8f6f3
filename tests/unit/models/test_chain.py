"""What becomes of a job when an execution that it follows has ended: a tick, a row, an end that is kept, or nothing."""

from dataclasses import replace

from fastlane.models.chain import follow
from fastlane.models.job import Execution, Job
from fastlane.models.schedule import Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome
from fastlane.models.upstream import MAX_LINKS, AfterJobs, AfterOn, UpstreamEnd, links_of, upstream_variables
from tests.support.factories import make_execution, make_job

NOW = 100_000


def job_after(*ids: str, on: AfterOn = AfterOn.SUCCEEDS, **fields: object) -> Job:
    return make_job(schedule=Schedule(ScheduleKind.MANUAL, after=AfterJobs(ids, on)), sequence=5, **fields)


def end(job: str, id: str, status: Status = Status.DONE, links: int = 0) -> Execution:
    """An end of an execution whose sequence is the number in its id."""
    upstream = (UpstreamEnd("before", "earlier", Status.DONE, links - 1),) if links else None
    return make_execution(id=id, job_id=job, status=status, finished_at=90_000, upstream=upstream, sequence=int(id[1:]))


def after_all(job: Job, *ends: Execution) -> Job:
    """The job once it has taken in these ends."""
    for one in ends:
        change = follow(job, one, now=NOW)
        job = job if change is None else change.job
    return job


def test_an_end_makes_one_tick_however_often_it_is_told():
    job, ended = job_after("a"), end("a", "e1")
    change = follow(job, ended, now=NOW)
    assert change is not None
    (tick,) = change.ticks
    assert (tick.key, tick.due, tick.outcome, change.job.sequence) == ("e:e1", 90_000, Outcome.STARTED, 6)
    assert change.execution is not None
    assert (change.execution.id, change.execution.sequence, change.execution.scheduled_for) == (tick.execution_id, 6, 90_000)
    assert follow(change.job, ended, now=NOW) is None
    assert follow(after_all(change.job, end("a", "e2")), ended, now=NOW) is None


def test_an_end_of_another_job_or_a_success_for_a_job_after_failures_writes_nothing():
    assert follow(job_after("a"), end("b", "e1"), now=NOW) is None
    assert follow(make_job(), end("a", "e1"), now=NOW) is None
    assert follow(job_after("a", on=AfterOn.FAILS), end("a", "e1"), now=NOW) is None


def test_a_list_keeps_an_end_and_then_makes_a_tick_of_the_newest_of_each():
    for ends in ((end("b", "b1"), end("b", "b2")), (end("b", "b2"), end("b", "b1"))):  # also when the older one is settled later
        job = after_all(job_after("a", "b"), *ends)
        assert job.chain is not None
        assert [one.execution_id for one in job.chain.arrived] == ["b2"]
    failed = follow(job, end("a", "a0", Status.FAILED), now=NOW)
    assert failed is not None
    assert failed.ticks[0].outcome is Outcome.SKIPPED
    change = follow(failed.job, end("a", "a1"), now=NOW)
    assert change is not None
    assert change.execution is not None
    assert change.ticks[0].key == "e:a1,b2"
    assert upstream_variables(change.execution.upstream) == {"FASTLANE_AFTER_EXECUTIONS": "a1,b2", "FASTLANE_AFTER_STATUSES": "done,done"}
    again = follow(change.job, end("b", "b2"), now=NOW)
    assert again is None
    assert follow(after_all(change.job, end("a", "a2")), end("b", "b1"), now=NOW) is None


def test_a_chain_ends_after_its_last_link():
    longest = follow(job_after("a"), end("a", "e1", links=MAX_LINKS - 1), now=NOW)
    assert longest is not None
    assert longest.execution is not None
    assert links_of(longest.execution.upstream) == MAX_LINKS
    over = follow(job_after("a"), end("a", "e1", links=MAX_LINKS), now=NOW)
    assert over is not None
    assert (over.execution, over.ticks[0].outcome) == (None, Outcome.SKIPPED)
    assert f"{MAX_LINKS} links" in str(over.ticks[0].reason)


def test_what_keeps_a_tick_from_starting_is_in_its_row():
    job = job_after("a")
    expired = follow(replace(job, spec=replace(job.spec, expires_in=1_000)), end("a", "e1"), now=NOW)
    refused = follow(job, end("a", "e1"), now=NOW, refused="too many wait")
    stopped = follow(replace(job, stop_sequence=3), end("a", "e1"), now=NOW)
    skipping = replace(job, schedule=replace(job.schedule, overlap=Overlap.SKIP))
    skipped = follow(skipping, end("a", "e1"), others=[make_execution(status=Status.RUNNING)], now=NOW)
    rows = [change.ticks[0] for change in (expired, refused, stopped, skipped) if change is not None]
    assert [row.outcome for row in rows] == [Outcome.EXPIRED, *[Outcome.SKIPPED] * 3]
    assert [words in str(row.reason) for words, row in zip(("expired", "too many", "stopped", "under way"), rows, strict=True)] == [
        True
    ] * 4
