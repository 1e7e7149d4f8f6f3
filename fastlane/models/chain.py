"""The rules of chains: what becomes of a job when an execution of a job that it follows has ended for good (its last attempt). Pure."""

from collections.abc import Sequence
from dataclasses import replace

from fastlane.models.event import EventKind
from fastlane.models.job import Execution, Job
from fastlane.models.job_change import UNSTARTED, JobChange, firing_rules
from fastlane.models.notify import NotificationTrigger, is_triggered
from fastlane.models.run_target import further_numbers
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, OverlapDecision, chain_key, decide, make_tick, unstarted_tick
from fastlane.models.upstream import MAX_LINKS, REMEMBERED_ENDS, AfterJobs, AfterOn, ChainState, Upstream, UpstreamEnd, links_of

EMPTY = ChainState()
IS_STOPPED = "the job was stopped; POST to its start lets it follow again"
TOO_LONG = f"a chain ends after {MAX_LINKS} links; is it a circle?"


def counts(after: AfterJobs, status: Status) -> bool:
    """Whether an end with this status is one that the job waits for."""
    return is_triggered(NotificationTrigger(after.on.value), status)


def end_of(execution: Execution) -> UpstreamEnd:
    """The end of an execution, as the jobs after it take it in."""
    return UpstreamEnd(execution.job_id, execution.id, execution.status, links_of(execution.upstream), execution.sequence)


def has_taken_in(job: Job, ended: Execution) -> bool:
    """Whether the job has dealt with this end."""
    return job.chain is not None and ended.id in job.chain.seen


def follow(job: Job, ended: Execution, *, others: Sequence[Execution] = (), now: int, refused: str | None = None) -> JobChange | None:
    """How the job changes after the last attempt of an upstream tick; None when nothing is to be written: it does not follow that job,
    knows this end, or waits for failures and this is none.

    An end that counts arrives. When one of each upstream job has arrived since the last tick (of each, the newest), they make a tick,
    whose key has their ids. An end that does not count, or that comes while the job is stopped, is a row that says so. ``others`` and
    ``refused`` as in ``job_change.fire``.
    """
    after = job.schedule.after
    if after is None or ended.job_id not in after.jobs or has_taken_in(job, ended):
        return None
    end, state = end_of(ended), job.chain or EMPTY
    seen = (*state.seen, ended.id)[-REMEMBERED_ENDS:]
    due = min(now, ended.finished_at or now)
    if not counts(after, ended.status):
        why = None if after.on is AfterOn.FAILS else f"{_words(end)} (afterOn: {after.on})"
        return None if why is None else _skipped(job, replace(state, seen=seen), [end], why, due, now)
    if job.stopped:
        return _skipped(job, replace(state, seen=seen), [end], IS_STOPPED, due, now)
    by_job = {one.job_id: one for one in sorted((*state.arrived, end), key=lambda one: one.sequence)}  # of each job, the newest
    arrived = tuple(by_job[id] for id in after.jobs if id in by_job)
    if len(arrived) < len(after.jobs):
        return JobChange(replace(job, sequence=job.sequence + 1, chain=ChainState(arrived, seen)))
    if links_of(arrived) > MAX_LINKS:
        return _skipped(job, ChainState((), seen), arrived, TOO_LONG, due, now)
    decided = decide(firing_rules(job), due, others=others, now=now, refused=refused).tick
    met = OverlapDecision(Outcome.STARTED) if decided is None else decided.met
    if met.outcome in UNSTARTED:
        return _skipped(job, ChainState((), seen), arrived, met.reason or "", due, now, met.outcome)
    return _started(replace(job, sequence=job.sequence + 1, last_tick=due, chain=ChainState((), seen)), arrived, met, due, now)


def _words(end: UpstreamEnd) -> str:
    return f"execution {end.execution_id} of job {end.job_id}, which this job follows, ended as {end.status}"


def _skipped(
    job: Job, state: ChainState, ends: Sequence[UpstreamEnd], why: str, due: int, now: int, outcome: Outcome = Outcome.SKIPPED
) -> JobChange:
    key = chain_key([end.execution_id for end in ends])
    row = unstarted_tick(job, key, outcome, due=due, now=now, reason=why)
    return JobChange(replace(job, sequence=job.sequence + 1, chain=state), (row,))


def _started(job: Job, upstream: Upstream, met: OverlapDecision, due: int, now: int) -> JobChange:
    """The change with which the tick and its execution are made. A run after another job belongs to no request of its own."""
    by = None if job.requested_by is None else replace(job.requested_by, trace=None)
    key = chain_key([end.execution_id for end in upstream])
    tick, execution = make_tick(job, key, sequence=job.sequence, due=due, now=now, by=by, met=met)
    job = replace(job, sequence=job.sequence + further_numbers(job.spec.everywhere))
    change = JobChange(job, (tick,), replace(execution, upstream=upstream))
    after = [{"jobId": end.job_id, "executionId": end.execution_id, "status": end.status.value} for end in upstream]
    return change.with_event(EventKind.TICK_FOLLOWED, now, None, after=after)
