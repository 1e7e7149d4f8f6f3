"""What users see, key by key and in order: ``answers.json`` has the answer to each of these values."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.errors import Fault
from fastlane.models.access import Requester
from fastlane.models.container import ConfigFile, Container, Mount, MountKind, Policy, Resources, Secret, Ulimit
from fastlane.models.cron import Cron
from fastlane.models.host import HostView, Uncleaned
from fastlane.models.job import Execution, Failure, Job, LateJob, RunningContainer, Spec, Task, TaskSummary, Usage
from fastlane.models.paging import After, Page, Window
from fastlane.models.pool import RESTORED, HostRule, Pool
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind
from fastlane.models.status import Status
from fastlane.models.tick import Outcome, Tick
from fastlane.services.jobs import Preview
from fastlane.services.reads.concurrency import FullKey, FullTask
from fastlane.services.reads.failing import OutOfMemory
from fastlane.services.reads.lists import ExecutionView, FailedJobView, JobDetail, JobView, TaskJobsView, TaskView, TicksView
from fastlane.services.reads.pools import HostRow, PoolView
from fastlane.services.reads.status import HealthProblem, HealthReport, QueueRow, RunningRow, StatusView, StrandedRow, WorkerRow
from fastlane.services.reads.why import (
    Cause,
    EarlierExecution,
    Expectation,
    Explanation,
    FormerPool,
    FullPool,
    HeldTick,
    ImagePull,
    NextAttempt,
    NotedObstacle,
    PausedDispatch,
    PausedPool,
    UnusableHost,
    UnusableHosts,
    WaitReason,
)
from fastlane.services.results import CurrentStatus, Deleted, Enqueued, PoolPaused, TaskStopped
from fastlane.services.tickets import Ticket
from fastlane.storage.base import Counts
from fastlane.web.api.actions import (
    DELETED,
    DRY_RUN,
    ENQUEUED,
    EXECUTION_STOPPED,
    POOL_PAUSED,
    PROBLEM,
    STOPPED,
    TASK_STOPPED,
    TICKET,
    WAITED,
    TicketFor,
    WaitedFor,
)
from fastlane.web.api.executions import EXECUTION_DETAIL, EXECUTION_PAGE, FAILED_JOB_PAGE
from fastlane.web.api.hosts import POOLS
from fastlane.web.api.jobs import JOB_DETAIL, TASK_JOBS, TASK_PAGE, TICK_PAGE
from fastlane.web.api.serializer import Listing, RenderContext, Serializer
from fastlane.web.api.server import HEALTH, SERVER_STATUS, ServerStatus
from fastlane.web.api.why import WAIT, WHY
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import ListUrl

EXPECTED = json.loads(Path(__file__).with_name("answers.json").read_text())
NOW = 1_700_000_000_123
J, E = "6c84fb90-12c4-41e1-840d-7b25c5ee775a", "01234567-89ab-4def-8123-456789abcdef"

CONTAINER = Container(
    user="app",
    stop_grace=30_500,
    mounts=(Mount(MountKind.BIND, "/data", "/srv", read_only=True), Mount(MountKind.TMPFS, "/tmp", size=4096)),
    networks=("backend",),
    secrets=(Secret("token", "token"),),
    extra_hosts={"db": "10.0.0.7"},
    entrypoint=("tini", "https://user:pw@x"),
    read_only=True,
    cap_drop=("NET_RAW",),
    sysctls={"net.core.somaxconn": "1024"},
    ulimits={"nofile": Ulimit(1024, -1)},
    configs=(ConfigFile("conf", "/etc/x", mode=0o400),),
)
SPEC = Spec(
    "ubuntu",
    ("sh", "-c", "echo it's"),
    {"A": "1", "DB_PASSWORD": "s3cret"},
    {"a": [1, None]},
    retries=2,
    retry_delay=1_500,
    timeout=60_000,
    expiration=NOW,
    concurrency=3,
    resources=Resources(2.0, 2**29, None, 0.5, None, {"gpu": 1}),
    container=CONTAINER,
    name="nightly",
    labels={"team": "data"},
)
CRON = Schedule(ScheduleKind.CRON, None, Cron("0 8 * * *", "Europe/Berlin"), Overlap.SKIP, CatchUp.NONE)
JOB = Job(J, "a b", "i", NOW, NOW + 1, SPEC, CRON, next_tick=NOW + 2, requested_by=Requester("ann", "10.0.0.1"))
LATE = LateJob(J, "a b", NOW, 60_000, "report")
ONCE = replace(JOB, spec=Spec("ubuntu"), schedule=Schedule(ScheduleKind.AT, NOW), next_tick=None, requested_by=None)
EXECUTION = Execution(E, "a b", J, "t", 1, 1, Spec("ubuntu"), NOW, NOW)
FAILED = replace(
    EXECUTION,
    spec=SPEC,
    status=Status.FAILED,
    host="tcp://10.0.0.7:2375",
    started_at=NOW + 1,
    finished_at=NOW + 5,
    exit_code=3,
    failure=Failure(FailureReason.EXIT, "s3cret is wrong"),
    container_id="c",
    usage=Usage(512, 1500, None, 0),
    requested_by=Requester(None, "10.0.0.1"),
)
VIEW, FULL_VIEW = ExecutionView(EXECUTION, 0, 0, truncated=False), ExecutionView(FAILED, 3, 4, True, "out", "err")
ROWS = (
    HostRow("fast", "tcp://h:1", HostView("tcp://h:1", usable=False, reason="is away", swarm_id="s", clock_skew=-7)),
    HostRow("fast", "h:2", None),
)
URL = ListUrl("http://x/list/", {"status": "done"})


def listing(view=None, *rows):
    page = Page(Window(2, 10), 31, rows, After(31, (NOW, "a")))
    return Listing(URL, page, view(page) if view else page)


DOWN = UnusableHost("h", "is away", NOW, "open", 5, NOW)
WAITS = (
    WaitReason(Cause.NO_HOST, "h s3cret", NOW, details=UnusableHosts("fast", (DOWN, UnusableHost("i", "?")))),
    WaitReason(Cause.NO_HOST, "none", details=UnusableHosts(None, ())),
    WaitReason(Cause.POOL_FULL, "full", details=FullPool("fast", 4, 4, 7)),
    WaitReason(Cause.POOL_PAUSED, "held", details=PausedPool("fast")),
    WaitReason(Cause.DISPATCH_PAUSED, "held", details=PausedDispatch()),
    WaitReason(Cause.OTHER_LANE, "left", details=FormerPool("old")),
    WaitReason(Cause.CONCURRENCY, "busy", details=FullTask(2, 2)),
    WaitReason(Cause.CONCURRENCY, "taken", details=FullKey("db", 1, 1, ("task/job",))),
    WaitReason(Cause.OVERLAP, "runs", details=EarlierExecution(E)),
    WaitReason(Cause.IMAGE, "pulls", details=ImagePull("ubuntu", "h")),
    WaitReason(Cause.IMAGE, "looks for it", details=ImagePull("ubuntu", None)),
    WaitReason(Cause.REGISTRY, "away", NOW, NOW, NotedObstacle("h", "ubuntu")),
    WaitReason(Cause.HOST_AWAY, "away", details=NotedObstacle("h", hosts=(UnusableHost("h", "is away"),))),
    WaitReason(Cause.STORE, "away", details=NotedObstacle(None)),
    WaitReason(Cause.RETRY, "again", until=NOW, details=NextAttempt(2)),
    WaitReason(Cause.PAUSED, "held", details=HeldTick(NOW, "a b", J)),
    WaitReason(Cause.NO_WORKER, "none"),
)
GONE = (Uncleaned("10.0.0.1:2375", 2, NOW),)
LANES = {"fast": QueueRow(1, 2, 3, 5, 4, paused=True)}
LEFT = {"old": StrandedRow(1, 0, 2, 3)}
COUNTS = Counts(1, 2, {Status.DONE: 4})
RUNS = RunningRow(RunningContainer(FAILED.id, FAILED.task_id, FAILED.job_id, FAILED.host, FAILED.container_id, FAILED.spec.image))
STATUS = StatusView(
    12_345, (WorkerRow("w", NOW, 3),), ROWS, (RUNS,), LANES, LEFT, COUNTS, (JOB,), GONE, RESTORED, {"paused": 2}, late=(LATE,)
)
JOB_ROWS = JobView(JOB, "running", FAILED, NOW + 2, JOB.spec.webhooks), JobView(ONCE, "expired", None)
TICKS = (
    Tick("t", J, "k", NOW, NOW, Outcome.STARTED, E),
    Tick("u", J, "l", NOW, NOW, Outcome.MISSED, None, "was down", NOW + 1, 5, at_least=True),
)
POOL_VIEWS = (
    PoolView(Pool("fast", "fast-", ("tcp://h:1", "h:2"), 4), ROWS, 3, 2, paused=True),
    PoolView(
        Pool(
            "rest",
            "",
            ("h:3",),
            policy=Policy(user=("app",), init=True, stop_grace=30_500, mounts=("/srv/",)),
            limits=Resources(1.5, 4096, 7),
        ),
        (HostRow("rest", "h:3", HostView("h:3", usable=True, running=2), HostRule(3)),),
        0,
        0,
        paused=False,
    ),
)
SUMMARY = TaskSummary({"failed": 1, "enqueued": 2}, 1, NOW + 2, FAILED)
ENQUEUED_JOB = Enqueued("a b", J, "t", E)
ANSWERS = {
    "tasks": (TASK_PAGE, listing(None, TaskView(Task("a/ü", NOW, NOW + 1, 3), SUMMARY))),
    "jobs of a task": (TASK_JOBS, listing(lambda page: TaskJobsView(Task("a b", NOW, NOW, 2), page), *JOB_ROWS)),
    "job": (JOB_DETAIL, listing(lambda page: JobDetail(JobView(JOB, "failed", FAILED, NOW + 2), page, JOB.requested_by), FULL_VIEW, VIEW)),
    "execution": (EXECUTION_DETAIL, FULL_VIEW),
    "executions": (EXECUTION_PAGE, listing(None, VIEW)),
    "failures": (FAILED_JOB_PAGE, listing(None, FailedJobView(VIEW, 2))),
    "ticks": (TICK_PAGE, listing(lambda page: TicksView(JOB, page), *TICKS)),
    "enqueued": (ENQUEUED, ENQUEUED_JOB),
    "scheduled": (ENQUEUED, replace(ENQUEUED_JOB, execution_id=None)),
    "waited": (WAITED, WaitedFor(ENQUEUED_JOB, VIEW)),
    "dry run": (DRY_RUN, Preview(SPEC, CRON, Pool("fast", "", ("h",)), ROWS, (NOW, NOW + 1), Resources(1.5))),
    "stopped": (STOPPED, CurrentStatus("a b", J, None, "stopped")),
    "execution stopped": (EXECUTION_STOPPED, CurrentStatus("a b", J, E, "running", stopping=True)),
    "task stopped": (TASK_STOPPED, TaskStopped("a b", 2)),
    "deleted": (DELETED, Deleted("a b", None)),
    "pool": (POOL_PAUSED, PoolPaused("fast", paused=True)),
    "pools": (POOLS, POOL_VIEWS),
    "ticket": (TICKET, TicketFor(Ticket("secret", NOW), ("a b", J, E))),
    "why": (WHY, Explanation("enqueued", WAITS, SPEC.envs)),
    "why it failed": (WHY, Explanation("failed", (), out_of_memory=OutOfMemory("raise it", None, 5), node="node1")),
    "why it is late": (WHY, Explanation("scheduled", (), expectation=Expectation(60_000, NOW, None, None, 1, ()))),
    "why it is not late": (WHY, Explanation("scheduled", (), expectation=Expectation(60_000, None, NOW + 60_000, NOW, 0, ()))),
    "why it did not run": (WHY, Explanation("scheduled", (), last_tick=(JOB, TICKS[1]))),
    "health": (HEALTH, HealthReport(True, True, False, True, (HealthProblem("docker", "no host"),))),
    "status": (SERVER_STATUS, ServerStatus("1.2.3", STATUS)),
    "problem": (PROBLEM, Problem(400, "wrong", faults=[Fault("a.b", "is wrong")])),
    "not started": (PROBLEM, Problem(404, "no log", execution_status="enqueued")),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_answer_has_its_keys_in_order(name):
    serializer, value = ANSWERS[name]
    made = serializer.serialize(value, RenderContext("http://x", ("password",)))
    assert json.dumps(made, indent=1) == json.dumps(EXPECTED[name], indent=1)


def test_the_schema_of_a_wait_has_every_key_and_requires_only_those_of_all_reasons():
    schema = WAIT.schema
    common, own = (
        ["reason", "message", "since", "until"],
        [
            "heldTick",
            "resumeUrl",
            "pool",
            "running",
            "maxRunning",
            "ready",
            "ownBefore",
            "otherTasks",
            "nextTasks",
            "hosts",
            "concurrency",
            "concurrencyKey",
            "takenBy",
            "executionId",
        ],
    )
    assert list(schema["properties"]) == [*common, *own, "image", "service", "host", "attempt"]
    assert (schema["required"], schema["additionalProperties"]) == (common, True)
    types = {key: schema["properties"][key]["type"] for key in (*own, "image", "service", "host", "attempt")}
    assert types == {key: "integer" for key in types} | {
        "heldTick": "string",
        "resumeUrl": "string",
        "pool": ["string", "null"],
        "nextTasks": "array",
        "hosts": "array",
        "concurrencyKey": "string",
        "takenBy": "array",
        "executionId": ["string", "null"],
        "image": "string",
        "service": "string",
        "host": ["string", "null"],
    }


def test_every_expected_answer_is_made():
    assert EXPECTED.keys() == ANSWERS.keys()
    assert all(isinstance(serializer, Serializer) for serializer, _ in ANSWERS.values())


@pytest.mark.parametrize(("command", "takes_long"), [(("true",), False), (("x" * 20_000,), True)])
def test_a_job_with_a_long_command_is_rendered_in_a_thread(command, takes_long):
    job = replace(JOB, spec=replace(SPEC, command=command))
    page = Page(Window(1, 10), 0, (), None)
    assert Listing(URL, page, JobDetail(JobView(job, "scheduled", None), page, None)).takes_long is takes_long
