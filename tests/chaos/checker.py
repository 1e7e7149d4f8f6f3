"""Judges a run of jobs amid faults, from what clients were answered, what containers wrote, and what stood in the end.

Imports nothing of fastlane, nor of what runs it: it knows the record alone. The record is a file of JSON lines, each with a ``kind``:

- ``post``: a request for a job. ``name``: the job's, which is the number of the wish; ``key``: its Idempotency-Key, or null; ``sent``,
  ``answered``: moments; ``status``: the answer's, or null for none; ``job``: the id in the answer; ``code``: what its script ends with;
  ``retries``: how many.
- ``stop``: a request to stop a job: ``job``, ``sent``, ``status``.
- ``cron``: a job with a run each minute: ``job``, ``retries``, and ``since``, ``until``: between these moments it was there.
- ``fault``: ``at``, ``name``, ``target``, ``lasts``.
- ``job``: at the end, each job that is there: ``job``, ``name``.
- ``execution``: at the end, each execution: ``row`` as the API gives it, and its ``log`` (stdout).
- ``tick``: at the end, each row of a job's ledger: ``job`` and ``row``.
- ``left``: at the end, the names of ``services`` that are still on an engine.

All moments are milliseconds. The witness has, outside of every engine, a line for each start of a container (the execution's id and the
container's host name), and by execution the lines that it wrote.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]

MINUTE = 60_000
FINAL = frozenset({"done", "failed", "stopped", "timedout", "expired"})
ACCEPTED = 200
BY_A_NODE = frozenset({"engine-killed", "engine-halted", "engine-frozen", "node-cut"})
"""Faults after which a container may end, or end unseen."""
NODES_FAULTS = frozenset({"killed", "host-lost", "engine"})
"""Reasons of failures that such a fault explains, and nothing else does."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be: ``kind`` is ``lost``, ``twice``, ``log``, ``unexplained`` or ``left``."""

    kind: str
    text: str


@dataclass(frozen=True)
class Witness:
    """What containers told outside of every engine: the starts, and the lines by execution."""

    starts: Sequence[tuple[str, str]] = ()
    lines: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Verdict:
    """What a run came to. ``apart``: what no one can promise, by its kind, each with its cases (docs/operations.md says which)."""

    jobs: int = 0
    executions: int = 0
    due_times: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    apart: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class Record:
    """The record, by what is looked for."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            self.rows[row["kind"]].append(row)
        self.executions: defaultdict[str, list[Row]] = defaultdict(list)
        for execution in self.rows["execution"]:
            self.executions[execution["row"]["jobId"]].append(execution)
        self.ticks: defaultdict[str, list[Row]] = defaultdict(list)
        for tick in self.rows["tick"]:
            self.ticks[tick["job"]].append(tick["row"])
        self.named: defaultdict[str, set[str]] = defaultdict(set)
        for job in self.rows["job"]:
            self.named[job["name"]].add(job["job"])
        self.there = {job["job"] for job in self.rows["job"]}
        self.stopped = {stop["job"] for stop in self.rows["stop"]}
        self.node_faults = any(fault["name"] in BY_A_NODE for fault in self.rows["fault"])


def judge(rows: Iterable[Row], witness: Witness) -> Verdict:
    """Judges a record."""
    record, verdict = Record(rows), Verdict()
    verdict.jobs, verdict.executions = len(record.there), len(record.rows["execution"])
    verdict.faults.update(fault["name"] for fault in record.rows["fault"])
    verdict.findings += [*wishes(record), *starts(record, witness, verdict), *attempts(record), *ends(record)]
    verdict.findings += [*logs(record, witness, verdict), *due_times(record, verdict)]
    for left in record.rows["left"]:
        verdict.findings += [Finding("left", f"service {name} is still there") for name in left["services"]]
    return verdict


def wishes(record: Record) -> Iterator[Finding]:
    """Each wish that was accepted is one job; one that was refused is none; one whose answer is unknown is one at most."""
    for name, posts in _by(record.rows["post"], "name").items():
        accepted = {post["job"] for post in posts if post["status"] == ACCEPTED}
        made = record.named[name]
        if lost := accepted - record.there:
            yield Finding("lost", f"wish {name} was accepted as {sorted(lost)}, which is not there")
        if len(accepted) > 1 or len(made) > 1:
            yield Finding("twice", f"wish {name} became {sorted(accepted | made)}")
        unknown = any(post["status"] is None for post in posts)
        if made and not accepted and not unknown:
            yield Finding("twice", f"wish {name} was refused ({[post['status'] for post in posts]}) and became {sorted(made)}")
    for job in sorted(record.there - {cron["job"] for cron in record.rows["cron"]}):
        if not record.executions[job] and not record.ticks[job]:
            yield Finding("lost", f"job {job} has neither an execution nor a row that says why not")


def starts(record: Record, witness: Witness, verdict: Verdict) -> Iterator[Finding]:
    """No execution starts twice, and none that ended by itself without a start."""
    containers: defaultdict[str, list[str]] = defaultdict(list)
    for id, container in witness.starts:
        containers[id].append(container)
    known = {execution["row"]["executionId"] for execution in record.rows["execution"]}
    for id, names in containers.items():
        if id not in known:
            yield Finding("lost", f"a container of execution {id} started, and nobody knows that execution")
        if len(set(names)) > 1:
            yield Finding("twice", f"execution {id} started in {names}")
        elif len(names) > 1 and record.node_faults:
            verdict.apart["an engine that was killed started the same container once more"].append(id)
        elif len(names) > 1:
            yield Finding("twice", f"execution {id} started {len(names)} times in {names[0]}")
    for execution in record.rows["execution"]:
        row = execution["row"]
        if row["exitCode"] is not None and not containers[row["executionId"]]:
            yield Finding("unexplained", f"execution {row['executionId']} has exit code {row['exitCode']} and never started")


def attempts(record: Record) -> Iterator[Finding]:
    """The attempts of a tick count from 1, each once, and are no more than were asked for."""
    retries = {asked["job"]: asked["retries"] for asked in (*record.rows["post"], *record.rows["cron"]) if asked["job"]}
    for job, executions in record.executions.items():
        for tick, rows in _by([execution["row"] for execution in executions], "queueJobId").items():
            numbers = sorted(row["attempt"] for row in rows)
            if numbers != list(range(1, len(numbers) + 1)):
                yield Finding("twice", f"tick {tick} of job {job} has attempts {numbers}")
            elif len(numbers) > 1 + retries.get(job, 0):
                yield Finding("twice", f"tick {tick} of job {job} has {len(numbers)} attempts, and {retries.get(job, 0)} retries")
            elif all(row["status"] == "failed" for row in rows) and len(numbers) <= retries.get(job, 0) and job not in record.stopped:
                yield Finding("lost", f"tick {tick} of job {job} has {len(numbers)} failed attempts, and {retries.get(job, 0)} retries")


def ends(record: Record) -> Iterator[Finding]:
    """Each execution has ended, as its script does, or with a reason that a fault explains."""
    codes = {post["job"]: post["code"] for post in record.rows["post"] if post["job"]}
    for execution in record.rows["execution"]:
        row = execution["row"]
        about = f"execution {row['executionId']} is {row['status']} with exit code {row['exitCode']}"
        reason = (row["failure"] or {}).get("reason")
        if row["status"] not in FINAL:
            yield Finding("lost", f"{about} long after the last fault")
        elif row["status"] == "stopped":
            if row["jobId"] not in record.stopped:
                yield Finding("unexplained", f"{about}, and nobody asked for that")
        elif row["status"] == "failed" and reason in NODES_FAULTS:
            if not record.node_faults:
                yield Finding("unexplained", f"{about} because of {reason}, and no node had a fault")
        elif row["jobId"] in codes and (row["status"], row["exitCode"]) != (
            "failed" if codes[row["jobId"]] else "done",
            codes[row["jobId"]],
        ):
            yield Finding("unexplained", f"{about} ({reason}), and its script ends with {codes[row['jobId']]}")


def logs(record: Record, witness: Witness, verdict: Verdict) -> Iterator[Finding]:
    """The stored log is what the container wrote, in this order; the end of it may be missing where the execution says so."""
    for execution in record.rows["execution"]:
        row, log = execution["row"], execution["log"]
        id, wrote = row["executionId"], witness.lines.get(row["executionId"], "")
        by_itself = row["status"] in ("done", "failed") and (row["failure"] or {}).get("reason", "exit") == "exit"
        if log == wrote:
            continue
        if row["logInfo"]["truncated"] and _is_part(log, wrote):
            verdict.apart["a log that says that some of it may be lost"].append(id)
        elif by_itself or not wrote.startswith(log):
            yield Finding("log", f"execution {id} wrote {len(wrote)} bytes, and {len(log)} are stored, not marked as truncated")
        elif len(wrote) - len(log) > LAST_LINES * max(map(len, wrote.splitlines(keepends=True))):
            yield Finding("log", f"execution {id} was cut off, and {len(wrote) - len(log)} of {len(wrote)} bytes are missing unmarked")


LAST_LINES = 3
"""A container tells the witness of a line before it writes it, so one that is killed has told more than it wrote."""


def _is_part(log: str, wrote: str) -> bool:
    """Whether all lines of a log are lines that were written, in this order, none twice."""
    lines = iter(wrote.splitlines())
    return all(line in lines for line in log.splitlines()[:-1])


def due_times(record: Record, verdict: Verdict) -> Iterator[Finding]:
    """Each due time of a schedule has one row, and each run of a row one first attempt."""
    for cron in record.rows["cron"]:
        first = -(-cron["since"] // MINUTE) * MINUTE
        dues = range(first, cron["until"], MINUTE)
        verdict.due_times += len(dues)
        rows = [row for row in record.ticks[cron["job"]] if row.get("origin", "schedule") == "schedule"]
        covered: Counter[int] = Counter()
        for row in rows:
            begin = _moment(row["due"])
            end = _moment(row["until"]) if row["until"] else begin
            covered.update(range(begin, end + 1, MINUTE))
        for due in dues:
            if covered[due] != 1:
                yield Finding("twice" if covered[due] else "lost", f"due time {due} of job {cron['job']} has {covered[due]} rows")
        ran: Counter[str] = Counter(
            execution["row"]["queueJobId"] for execution in record.executions[cron["job"]] if execution["row"]["attempt"] == 1
        )
        for row in rows:
            if row["execution"] is None and not row["reason"]:
                yield Finding("unexplained", f"row {row['id']} of job {cron['job']} has neither an execution nor a reason")
            if row["execution"] is not None and ran[row["id"]] != 1:
                yield Finding(
                    "twice" if ran[row["id"]] else "lost", f"row {row['id']} of job {cron['job']} has {ran[row['id']]} first attempts"
                )


def _moment(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _by(rows: Sequence[Row], field: str) -> Mapping[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[field]].append(row)
    return found
