"""Advice on a job's definition: each kind by the history that calls for it, and none below its least number of runs or due times."""

from dataclasses import replace

import pytest

from fastlane.models.advice import RULES, Advice, AdviceCode, Evidence, advise
from fastlane.models.container import Resources
from fastlane.models.cron import Cron
from fastlane.models.job import Failure, Job, Spec, Usage
from fastlane.models.pool import Pool, Pull
from fastlane.models.retry import FailureReason, OnOom
from fastlane.models.schedule import EntryRules, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick, cron_key, make_tick, meet
from fastlane.web.api.job import JOB_BODY
from tests.support.factories import make_execution

MIB, GIB = 2**20, 2**30
HOUR = 3_600_000
NIGHTLY = Schedule(ScheduleKind.CRON, None, Cron("0 3 * * *", "Etc/UTC"))
POOL = Pool("small", "", ("10.0.0.1:2375",))
LONGEST = 1_800_000


def job(schedule: Schedule = NIGHTLY, **spec) -> Job:
    return Job("job", "task", "made", 0, 0, Spec("ubuntu", **spec), schedule)


def history(of: Job, runs: list[dict]) -> tuple[list, list]:
    """Executions and rows of the ledger, newest first, of runs that are given oldest first, each due an hour after the other."""
    executions, ticks = [], []
    for number, run in enumerate(runs):
        due, fields = number * HOUR, dict(run)
        spent = {"started_at": due, "placed_at": due - fields.pop("wait", 0), "finished_at": due + fields.pop("ms", 1_000)}
        outcome, reason, attempts = fields.pop("outcome", Outcome.STARTED), fields.pop("reason", None), fields.pop("attempts", 1)
        usage = Usage(fields.pop("memory"), fields.pop("cpu", 0)) if "memory" in fields else None
        tick, first = make_tick(of, cron_key(due), sequence=number + 1, due=due, now=due)
        ticks.insert(0, replace(tick, outcome=outcome, reason=reason))
        if outcome in (Outcome.SKIPPED, Outcome.EXPIRED):
            ticks[0] = replace(ticks[0], execution_id=None)
            continue
        for attempt in range(1, attempts + 1):
            values = {"status": Status.DONE, "usage": usage, "settled": True, **spent, **fields}
            executions.insert(0, replace(first, **values, attempt=attempt, id=f"{number}-{attempt}"))
    return executions, ticks


def advice_on(of: Job, runs: list[dict], pool: Pool | None = POOL) -> list[Advice]:
    executions, ticks = history(of, runs)
    return advise(Evidence(of, executions, ticks, pool, LONGEST))


def codes(of: Job, runs: list[dict], pool: Pool | None = POOL) -> list[AdviceCode]:
    return [one.code for one in advice_on(of, runs, pool)]


def limited(memory: int | None = None, cpus: float | None = None, **more) -> Resources:
    return Resources(memory=memory, cpus=cpus, **more)


OOM = {"status": Status.FAILED, "failure": Failure(FailureReason.OOM, "out of memory"), "exit_code": 137}
EXIT = {"status": Status.FAILED, "failure": Failure(FailureReason.EXIT, "it failed"), "exit_code": 2}
BUSY = {"status": Status.DONE, "ms": 60_000}
MET = meet(Overlap.SKIP, [make_execution(status=Status.RUNNING)])
MET_AND_STOPPED = meet(Overlap.REPLACE, [make_execution(status=Status.RUNNING)])
QUEUED = meet(Overlap.QUEUE, [make_execution(status=Status.RUNNING), make_execution(status=Status.ENQUEUED, waits=Overlap.QUEUE)])
SKIPPED = {"outcome": MET.outcome, "reason": MET.reason}
STOPPED = {"outcome": MET_AND_STOPPED.outcome, "reason": MET_AND_STOPPED.reason, "status": Status.STOPPED}
SKIPPING, QUEUEING, REPLACING = [replace(NIGHTLY, overlap=one) for one in (Overlap.SKIP, Overlap.QUEUE, Overlap.REPLACE)]
CASES: dict[AdviceCode, tuple[Job, list[dict], int, object]] = {
    AdviceCode.MEMORY_RAN_OUT: (job(resources=limited(256 * MIB)), [OOM] * 2, 2, "512MiB"),
    AdviceCode.MEMORY_NEAR_LIMIT: (job(resources=limited(256 * MIB)), [{"memory": 240 * MIB}] * 10, 10, "384MiB"),
    AdviceCode.MEMORY_FAR_BELOW_LIMIT: (job(resources=limited(2 * GIB)), [{"memory": 100 * MIB}] * 10, 10, "160MiB"),
    AdviceCode.MEMORY_WITHOUT_LIMIT: (job(), [{"memory": 100 * MIB}] * 10, 10, "160MiB"),
    AdviceCode.MEMORY_FAR_BELOW_RESERVE: (
        job(resources=limited(150 * MIB, reserve_memory=2 * GIB)),
        [{"memory": 100 * MIB}] * 10,
        10,
        "160MiB",
    ),
    AdviceCode.CPUS_NEAR_LIMIT: (job(resources=limited(256 * MIB, 1.0)), [{**BUSY, "memory": 100 * MIB, "cpu": 57_000}] * 10, 10, 2.0),
    AdviceCode.CPUS_FAR_BELOW_LIMIT: (job(resources=limited(256 * MIB, 4.0)), [{**BUSY, "memory": 100 * MIB, "cpu": 15_000}] * 10, 10, 0.4),
    AdviceCode.TIMEOUT_REACHED: (job(timeout=60_000), [{"status": Status.TIMEDOUT, "ms": 60_000}] * 2, 2, "2m"),
    AdviceCode.TIMEOUT_NEAR: (job(timeout=60_000), [{"ms": 50_000}] * 10, 10, "2m"),
    AdviceCode.TIMEOUT_FAR: (job(timeout=HOUR), [{"ms": 50_000}] * 20, 20, "3m"),
    AdviceCode.OVERLAP_SKIPS: (job(SKIPPING), [SKIPPED] * 10, 10, None),
    AdviceCode.OVERLAP_STOPS: (
        job(REPLACING),
        [STOPPED] * 10,
        10,
        "queue",
    ),
    AdviceCode.RETRIES_NEVER_HELP: (job(retries=2), [{**EXIT, "attempts": 3}] * 5, 5, 0),
    AdviceCode.ALWAYS_FAILS: (job(), [EXIT] * 10, 10, 5),
    AdviceCode.ALWAYS_EXPIRES: (
        job(expires_in=60_000),
        [{"status": Status.EXPIRED, "started_at": None}, {"outcome": Outcome.EXPIRED}] * 5,
        10,
        "2m",
    ),
    AdviceCode.NEVER_DONE_BY: (job(done_by="00:30"), [{"ms": 25 * HOUR}] * 5, 5, None),
    AdviceCode.SLOW_TO_START: (job(), [{"wait": 40_000}] * 10, 10, None),
}
PULLS = replace(POOL, pull=Pull.ALWAYS)


@pytest.mark.parametrize("code", AdviceCode)
def test_each_kind_of_advice_follows_from_a_history_and_from_no_shorter_one(code):
    of, runs, least, suggested = CASES[code]
    assert len(runs) == least
    found = [one for one in advice_on(of, runs, PULLS) if one.code == code]
    assert [one.suggested for one in found] == [suggested]
    assert code not in codes(of, runs[1:], PULLS)


@pytest.mark.parametrize("code", AdviceCode)
def test_a_field_that_advice_names_takes_the_value_that_it_suggests(code):
    of, runs, *_ = CASES[code]
    (one,) = [one for one in advice_on(of, runs, PULLS) if one.code == code]
    if one.path is None:
        assert one.suggested is None
        return
    outer, *inner = one.path.split(".")
    assert outer in JOB_BODY.fields
    value = one.suggested if not inner else {inner[0]: one.suggested} if len(inner) == 1 else {inner[0]: {inner[1]: one.suggested}}
    if one.suggested is not None:
        JOB_BODY.read_whole({"image": "ubuntu", outer: value})


def test_a_job_that_is_set_well_gets_no_advice():
    fine = job(resources=limited(256 * MIB, 2.0), timeout=300_000, retries=2, pause_after=3)
    assert codes(fine, [{"ms": 60_000, "memory": 150 * MIB, "cpu": 60_000}] * 100, PULLS) == []
    assert codes(job(), []) == []


def test_runs_of_what_the_job_ran_before_say_nothing():
    old, new = job(resources=limited(2 * GIB)), job(resources=limited(GIB))
    executions, ticks = history(old, [{"memory": 100 * MIB}] * 50)
    assert advise(Evidence(new, executions, ticks, POOL, LONGEST)) == []
    other = replace(old, spec=replace(old.spec, command=("other",)))
    assert advise(Evidence(other, executions, ticks, POOL, LONGEST)) == []
    assert len(advise(Evidence(old, executions, ticks, POOL, LONGEST))) == 1


def test_nothing_is_suggested_beyond_what_the_pool_allows():
    tight = replace(POOL, limits=limited(300 * MIB, 1.0))
    (more,) = advice_on(job(resources=limited(256 * MIB)), [OOM] * 3, tight)
    assert more.suggested == "300MiB"
    (none,) = advice_on(job(), [OOM] * 3, tight)
    assert (none.suggested, none.now, "the pool's limit raised" in none.change) == (None, None, True)
    (slow,) = advice_on(job(), [{"status": Status.TIMEDOUT, "ms": LONGEST}] * 3)
    assert (slow.suggested, "hard_timeout" in slow.change) == (None, True)


@pytest.mark.parametrize(
    ("resources", "runs", "code", "suggested"),
    [
        (limited(GIB, reserve_memory=256 * MIB), {"memory": 100 * MIB}, AdviceCode.MEMORY_FAR_BELOW_LIMIT, "256MiB"),
        (limited(400 * MIB, reserve_memory=256 * MIB), {"memory": 100 * MIB}, AdviceCode.MEMORY_FAR_BELOW_LIMIT, None),
        (limited(reserve_memory=GIB), {"memory": 100 * MIB}, AdviceCode.MEMORY_WITHOUT_LIMIT, "1GiB"),
        (limited(GIB, 4.0, reserve_cpus=1.25), {**BUSY, "memory": GIB, "cpu": 18_000}, AdviceCode.CPUS_FAR_BELOW_LIMIT, 1.25),
        (limited(GIB, 4.0, reserve_cpus=4.0), {**BUSY, "memory": GIB, "cpu": 18_000}, AdviceCode.CPUS_FAR_BELOW_LIMIT, None),
    ],
)
def test_no_limit_below_what_is_reserved_is_suggested_because_it_is_refused(resources, runs, code, suggested):
    found = [one.suggested for one in advice_on(job(resources=resources), [runs] * 10) if one.code == code]
    assert found == ([] if suggested is None else [suggested])
    if suggested is not None:
        field, reserved = ("memory", resources.reserve_memory) if "memory" in code else ("cpus", resources.reserve_cpus)
        JOB_BODY.read_whole({"image": "ubuntu", "resources": {field: suggested, "reserve": {field: reserved}}})


def test_a_limit_that_leaves_a_retry_no_more_memory_is_suggested_with_a_word_on_that():
    resources = limited(256 * MIB)
    (more,) = advice_on(job(resources=resources, retries=1, on_oom=OnOom(2, 512 * MIB)), [OOM] * 2)
    assert (more.suggested, more.change) == ("512MiB", "set resources.memory to 512MiB, and onOom.max to more than that")
    (other,) = advice_on(job(resources=resources, retries=1, on_oom=OnOom(2, GIB)), [OOM] * 2)
    assert other.change == "set resources.memory to 512MiB"


def test_due_times_that_an_earlier_rule_for_overlap_decided_are_no_sign():
    assert codes(job(REPLACING), [STOPPED] * 12) == [AdviceCode.OVERLAP_STOPS]
    assert codes(job(SKIPPING), [SKIPPED] * 12) == [AdviceCode.OVERLAP_SKIPS]
    (second,) = advice_on(job(QUEUEING), [{"outcome": QUEUED.outcome, "reason": QUEUED.reason}] * 10)
    assert second.code == AdviceCode.OVERLAP_SKIPS
    for schedule in (NIGHTLY, QUEUEING):
        assert codes(job(schedule), [STOPPED] * 12) == []
        assert codes(job(schedule), [SKIPPED] * 12) == []
    of_one_entry = replace(NIGHTLY, rules=(EntryRules(overlap=Overlap.REPLACE),))
    assert codes(job(of_one_entry), [STOPPED] * 12) == []


def test_one_retry_that_helped_or_another_reason_is_no_case_against_retries():
    retried = {**EXIT, "attempts": 2}
    assert AdviceCode.RETRIES_NEVER_HELP in codes(job(retries=1), [retried] * 6)
    assert AdviceCode.RETRIES_NEVER_HELP not in codes(job(retries=1), [*[retried] * 6, {"attempts": 2}])
    assert AdviceCode.RETRIES_NEVER_HELP not in codes(job(retries=1), [*[retried] * 6, {**retried, "exit_code": 3}])


def test_done_by_is_judged_by_each_due_time_and_a_later_time_is_named():
    late = job(done_by="00:30")
    (one,) = advice_on(late, [{"ms": 25 * HOUR}] * 4 + [{"ms": 24 * HOUR + 60_000}])
    assert (one.figures["dueTimes"], one.code) == (5, AdviceCode.NEVER_DONE_BY)
    assert AdviceCode.NEVER_DONE_BY not in codes(late, [{"ms": 25 * HOUR}] * 9 + [{"ms": 1_000}])


def test_every_rule_is_reached_by_a_case():
    reached = {rule for rule in RULES for of, runs, *_ in CASES.values() if list(rule(Evidence(of, *history(of, runs), PULLS, LONGEST)))}
    assert reached == set(RULES)


def test_ticks_that_others_decided_are_no_sign_of_overlap():
    rows = [Tick(str(number), "job", cron_key(number), number, 0, Outcome.SKIPPED, None, "calendar: a holiday") for number in range(20)]
    assert advise(Evidence(job(), [], rows, POOL, LONGEST)) == []
