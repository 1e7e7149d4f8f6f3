"""The checker of runs amid faults finds nothing in a good record, and finds each thing that must not be in one that has it."""

import pytest

from tests.chaos.checker import MINUTE, Witness, judge

AT = 1_800_000_000_000
WROTE = "wish-1 0\nwish-1 1\n"


def post(name="wish-1", status=200, job="job-1", **more):
    row = {
        "kind": "post",
        "name": name,
        "key": name,
        "sent": AT,
        "answered": AT + 9,
        "status": status,
        "job": job,
        "code": 0,
        "retries": 1,
        "doubt": False,
    }
    row |= {"execution": None}
    return row | more


def execution(id="e-1", job="job-1", tick="t-1", log=WROTE, **more):
    row = {"executionId": id, "jobId": job, "queueJobId": tick, "attempt": 1, "status": "done", "exitCode": 0, "failure": None}
    row |= {"createdAt": "2027-01-15T08:00:00Z", "scheduledFor": "2027-01-15T08:00:00Z", "finishedAt": "2027-01-15T08:00:30Z"}
    return {"kind": "execution", "row": row | {"logInfo": {"truncated": False}} | more, "log": log}


def tick(id="c-1", due="2027-01-15T08:01:00Z", **more):
    row = {"id": id, "due": due, "until": None, "reason": None, "execution": {"executionId": "e-2"}, "origin": "schedule"}
    return {"kind": "tick", "job": "job-2", "row": row | more}


def asked(kind, execution="e-3", status=200, **more):
    row = {"kind": kind, "job": "job-1", "key": "k", "sent": AT, "answered": AT + 9, "status": status, "doubt": False}
    return row | {"execution": execution} | more


def by_hand(id="r-1"):
    return {"kind": "tick", "job": "job-1", "row": tick(id, origin="hand")["row"]}


def stop(status, sent=AT):
    return {"kind": "stop", "job": "job-1", "sent": sent, "status": status} | ({} if status is None else {"answered": sent + 9})


def failed(reason, code=None):
    return {"status": "failed", "exitCode": code, "failure": {"reason": reason}}


JOBS = [{"kind": "job", "job": "job-1", "name": "wish-1"}, {"kind": "job", "job": "job-2", "name": "cron-0"}]
CRON = {"kind": "cron", "job": "job-2", "retries": 0, "since": AT + 1, "until": AT + MINUTE + 1}
RAN = execution("e-2", "job-2", "c-1", "")
GOOD = [post(), *JOBS, execution(), CRON, RAN, tick(), {"kind": "left", "services": []}]
SEEN = Witness([("e-1", "host-1", AT), ("e-2", "host-2", AT)], {"e-1": WROTE}, {"e-1": AT})
CUT = {"kind": "fault", "at": AT, "until": AT + 9_000, "name": "node-cut", "target": 0, "ends": True}

LATER = CUT | {"at": AT + 60_000, "until": AT + 61_000}
FOLLOWED = {"kind": "followed", "job": "job-1", "text": WROTE, "whole": True, "cuts": 1}
RESTORED = {"kind": "restored", "since": AT - 9_000, "until": AT + 9_000}


def found(rows, witness=SEEN):
    return [finding.kind for finding in judge(rows, witness).findings]


def without(kind, *added):
    return [row for row in GOOD if row["kind"] != kind] + list(added)


def test_a_run_without_fault_has_no_finding():
    verdict = judge(GOOD, SEEN)
    assert verdict.findings == []
    assert (verdict.jobs, verdict.executions, verdict.due_times) == (2, 2, 1)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("lost", [post(), post("wish-2", job="job-3"), *GOOD[1:]]),
        ("lost", [row for row in GOOD if row.get("row", {}).get("executionId") != "e-1"]),
        ("twice", [*GOOD, {"kind": "job", "job": "job-3", "name": "wish-1"}, execution("e-3", "job-3", "t-3", "")]),
        ("twice", without("post", post(status=503, job=None))),
        ("twice", [*GOOD, execution("e-3", attempt=1, log="")]),
        ("twice", [*GOOD, execution("e-3", attempt=2, log=""), execution("e-4", attempt=3, log="")]),
        ("lost", without("execution", execution(**failed("exit", 3)), RAN, CUT)),
        ("lost", without("execution", execution(status="running", exitCode=None), RAN)),
        ("unexplained", without("execution", execution(status="stopped", exitCode=143), RAN)),
        ("unexplained", without("execution", execution(**failed("host-lost")), execution("e-3", attempt=2, log=""), RAN)),
        ("unexplained", without("execution", execution(status="done", exitCode=3), RAN)),
        ("log", without("execution", execution(log="wish-1 0\n"), RAN)),
        ("log", without("execution", execution(log="wish-1 1\nwish-1 0\n"), RAN)),
        ("log", without("execution", execution(log=WROTE + WROTE), RAN)),
        ("lost", without("tick")),
        ("twice", [*GOOD, tick("c-2", execution=None, reason="x")]),
        ("unexplained", without("tick", tick(execution=None))),
        ("lost", without("tick", tick("c-9"))),
        ("lost", [*GOOD, asked("again")]),
        ("twice", [*GOOD, asked("again", None, 409), by_hand(), execution("e-3", tick="r-1", log="")]),
        ("twice", [*GOOD, asked("again"), asked("again", "e-4"), by_hand(), execution("e-3", tick="r-1"), execution("e-4", tick="r-2")]),
        ("lost", [*GOOD, by_hand() | {"row": by_hand()["row"] | {"execution": None}}]),
        ("unexplained", [*GOOD, asked("change", code=3, answered=AT - 1)]),
        ("unexplained", without("execution", execution(**failed("exit", 3)), execution("e-3", attempt=2, log=""), RAN)),
        ("unexplained", without("execution", execution(**failed("killed")), execution("e-3", attempt=2, log=""), RAN, LATER)),
        ("log", [*GOOD, FOLLOWED | {"text": "wish-1 0\n"}]),
        ("lost", [*GOOD, FOLLOWED | {"whole": False}]),
        ("unexplained", [*GOOD, {"kind": "crashed", "words": "a worker with -6"}]),
        ("left", without("left", {"kind": "left", "services": ["fastlane-e-1"]})),
        ("unexplained", [*GOOD, asked("change", None, 500)]),
        ("unexplained", [*GOOD, stop(200)]),
        ("unexplained", without("execution", execution(status="stopped", exitCode=143), RAN, stop(None, AT + MINUTE))),
        ("lost", without("execution", execution(**failed("killed")), RAN, CUT, stop(200, AT + 5 * MINUTE))),
        ("unexplained", without("execution", execution(**failed("image"), log=""), RAN)),
    ],
)
def test_what_must_not_be_is_found(kind, rows):
    assert kind in found(rows)


FULL = CUT | {"name": "disk-full"}


def test_lines_that_a_full_disk_lost_are_counted_apart_and_no_others():
    holed = execution(log="wish-1 1\n", node="node1")
    assert apart([*without("execution", holed, RAN), FULL]) == 1
    assert found([*without("execution", holed, RAN), FULL | {"target": 1}]) == ["log"]
    assert found([*without("execution", holed, RAN), FULL | {"at": AT + MINUTE, "until": AT + 2 * MINUTE}]) == ["log"]
    assert found([*without("execution", execution(log="other\nlines\n", node="node1"), RAN), FULL]) == ["log"]


KILLED = CUT | {"name": "engine-killed"}


def test_an_engine_that_was_killed_explains_neither_a_short_log_nor_a_code_of_its_own():
    short = execution(log="wish-1 0\nwis", node="node1")
    assert found([*without("execution", short, RAN), KILLED]) == ["log"]
    for code in 255, 128:
        end = execution("e-1", node="node1", **failed("exit", code))
        rows = [*without("execution", end, execution("e-3", attempt=2, log=""), RAN), KILLED]
        assert found(rows, Witness([*SEEN.starts, ("e-3", "host-3", AT)], SEEN.lines)) == ["unexplained"]


def test_a_retry_does_what_the_first_attempt_did_whatever_was_changed_since():
    first = execution(**failed("host-lost"))
    second = execution("e-3", attempt=2, log="", scheduledFor="2027-01-15T08:00:40Z")
    rows = [*without("execution", first, second, RAN), CUT, asked("change", code=3)]
    starts = [*SEEN.starts, ("e-3", "host-3", AT + 40_000)]
    assert found(rows, Witness(starts, SEEN.lines)) == []


def test_a_stop_takes_time_where_a_fault_is_there_and_keeps_the_next_attempt_from_being_made():
    assert found([*GOOD, stop(200), CUT]) == []
    assert found([*GOOD, stop(None), stop(503)]) == []
    assert found([*without("execution", execution(**failed("killed")), RAN, CUT, stop(200, AT + MINUTE))]) == []


def test_a_failure_that_no_other_attempt_cures_needs_none():
    rows = without("execution", execution(**failed("image"), log=""), RAN, CUT)
    assert found(rows, Witness(SEEN.starts[1:])) == []


def test_a_container_may_be_ended_before_it_tells_of_its_start():
    assert found([*without("execution", execution(status="stopped", exitCode=143, log=""), RAN), stop(200)], Witness(SEEN.starts[1:])) == []
    assert found([*without("execution", execution(log=""), RAN)], Witness(SEEN.starts[1:])) == ["unexplained"]


@pytest.mark.parametrize(
    ("kind", "starts"),
    [
        ("twice", [("e-1", "host-1", AT), ("e-1", "host-9", AT), ("e-2", "host-2", AT)]),
        ("twice", [("e-1", "host-1", AT), ("e-1", "host-1", AT), ("e-2", "host-2", AT)]),
        ("unexplained", [("e-2", "host-2", AT)]),
        ("lost", [*SEEN.starts, ("e-9", "host-9", AT)]),
    ],
)
def test_starts_that_must_not_be_are_found(kind, starts):
    assert kind in found(GOOD, Witness(starts, SEEN.lines))


def test_what_nobody_can_promise_is_counted_apart():
    lost = execution(log="wish-1 0\n", logInfo={"truncated": True}, **failed("host-lost"))
    rows = without("execution", lost, execution("e-3", attempt=2, log=""), RAN, CUT)
    starts = [("e-1", "host-1", AT), ("e-1", "host-1", AT), ("e-2", "host-2", AT), ("e-3", "host-3", AT)]
    verdict = judge(rows, Witness(starts, SEEN.lines))
    assert verdict.findings == []
    assert sorted(map(len, verdict.apart.values())) == [1, 1]


def apart(rows, witness=SEEN):
    verdict = judge(rows, witness)
    assert verdict.findings == []
    return sum(map(len, verdict.apart.values()))


def test_what_a_restored_store_forgot_is_counted_apart_and_nothing_else():
    unknown = [("e-9", "host-9", AT), *SEEN.starts, ("e-1", "host-8", AT + 8_000)]
    assert apart([*GOOD, post("wish-2", job="job-3"), RESTORED], Witness(unknown, SEEN.lines)) == 3
    late = post("wish-2", job="job-3", sent=AT + 13_000, answered=AT + 13_001)
    assert found([*GOOD, late, RESTORED]) == ["lost"]
    assert found([*GOOD, RESTORED], Witness([*SEEN.starts, ("e-9", "host-9", AT + 43_000)], SEEN.lines)) == ["lost"]


def test_the_service_of_an_execution_that_a_restored_store_forgot_is_counted_apart_and_no_other():
    left = {"kind": "left", "services": ["fastlane-e-9-1"]}
    assert apart([*without("left"), left, RESTORED], Witness([*SEEN.starts, ("e-9", "host-9", AT + 30_000)], SEEN.lines)) == 2
    known = {"kind": "left", "services": ["fastlane-e-2-1"]}
    assert found([*without("left"), known, RESTORED | {"since": AT + MINUTE, "until": AT + MINUTE}]) == ["left"]


def test_a_job_of_a_503_counts_apart_only_where_the_answer_of_the_store_was_lost():
    assert apart(without("post", post(status=503, job=None, doubt=True))) == 1


def test_a_job_whose_client_got_no_answer_is_known_by_its_name():
    assert found(without("post", post(status=None, job=None))) == []
    again = [execution(**failed("exit", 0)), execution("e-3", attempt=2, log=""), RAN]
    assert set(found([*without("execution", *again)[1:], post(status=None, job=None)])) == {"unexplained"}


def test_what_clients_asked_for_and_got_is_right():
    again = [asked("again", status=None, execution=None), asked("again"), by_hand(), execution("e-3", tick="r-1", log="")]
    assert found([*GOOD, *again], Witness([*SEEN.starts, ("e-3", "host-3", AT)], SEEN.lines)) == []
    assert found([*GOOD, FOLLOWED]) == []
    changed = [
        asked("change", code=3, answered=AT - 1),
        execution("e-1", **failed("exit", 3)),
        execution("e-3", attempt=2, log="", exitCode=3),
    ]
    assert "unexplained" in found(without("execution", *changed, RAN))
    late = asked("change", code=3, answered=AT + 9)
    assert found([*GOOD, late]) == found([*GOOD, late | {"status": None}]) == []


def test_a_row_for_many_missed_times_stands_for_each():
    later = [
        CRON | {"until": AT + 3 * MINUTE + 1},
        tick("c-2", "2027-01-15T08:02:00Z", until="2027-01-15T08:03:00Z", execution=None, reason="missed"),
    ]
    assert found([*without("cron"), *later]) == []
