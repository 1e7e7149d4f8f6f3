"""Judges a run of jobs amid faults, from what clients were answered, what containers wrote, and what stood in the end.

Imports nothing of fastlane, nor of what runs it: it knows the record alone. The record is a file of JSON lines, each with a ``kind``:

- ``post``: a request for a job. ``name``: the job's, which is the number of the wish; ``key``: its Idempotency-Key, or null; ``sent``,
  ``answered``: moments; ``status``: the answer's, or null for none; ``job``: the id in the answer; ``code``: what its script ends with;
  ``retries``: how many; ``doubt``: whether a refusal says that the store's own answer was lost, so that it may have been done after all.
- ``change``: a request to let a ``job`` end with another ``code``; ``again``: one to run it again, with the ``execution`` in the answer.
  Both have ``key``, ``sent``, ``answered``, ``status`` and ``doubt``.
- ``stop``: a request to stop a job: ``job``, ``sent``, ``status``: null before it is sent, and in a second row the answer's, with
  ``answered``.
- ``followed``: a client followed the log of a ``job``: ``text``, and whether it was told that this is the ``whole``.
- ``cron``: a job with a run each minute: ``job``, ``retries``, and ``since``, ``until``: between these moments it was there.
- ``fault``: ``at``, ``until``, ``name``, ``target``: the number of what it strikes; ``ends``: whether a container may end by it, or end
  unseen.
- ``restored``: the store was put back: what it had learned from ``since`` to ``until`` is gone.
- ``crashed``: a process of fastlane ended by itself: ``words``.
- ``job``: at the end, each job that is there: ``job``, ``name``.
- ``execution``: at the end, each execution: ``row`` as the API gives it, and its ``log`` (stdout).
- ``tick``: at the end, each row of a job's ledger: ``job`` and ``row``.
- ``left``: at the end, the names of ``services`` that are still on an engine.

All moments are milliseconds. The witness has, outside of every engine, a line for each start of a container (the execution's id, the
container's host name and the moment), and by execution the lines that it wrote, and when it wrote the last one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]
Span = tuple[int, int]

MINUTE = 60_000
FINAL = frozenset({"done", "failed", "stopped", "timedout", "expired"})
ACCEPTED = 200
UNFORESEEN = 500
SLACK = 3_000
"""Milliseconds around what a restored store has forgotten: a write that was under way may be in its copy, or not."""
EXPLAINS_FOR = 90_000
"""Milliseconds after a fault within which it explains an end: fastlane gives a lost host up after 30 s."""
LAST_LINES = 3
"""A container tells the witness of a line before it writes it, so one that is killed has told more than it wrote."""
NEVER_RETRIED = frozenset({"image", "rejected", "unschedulable"})
"""Reasons of failures after which a job is not tried again, unless it says so."""
NODES_FAULTS = frozenset({"killed", "host-lost", "engine"}) | NEVER_RETRIED
"""Reasons of failures that a fault with ``ends`` explains, and nothing else does."""
SETTLED_WITHIN = 90_000
"""Milliseconds after the end of an attempt within which a stop may still keep the next one from being made."""
STOPS_WITHIN = 15_000
"""Milliseconds after an accepted stop within which a container may end by itself, without a fault."""
STARTS_WITHIN = 30_000
"""Milliseconds after which a container starts whose service was there before."""
KINDS = ("lost", "twice", "log", "unexplained", "left")
FORGOTTEN = "what the store had learned when it was put back to an old copy"
STARTED_AGAIN = "an engine that was killed started the same container once more"
DOUBT = "a 503 because the store's own answer was lost, to a request that had its effect"
CUT_LOG = "a log that says that some of it may be lost"
FULL_DISK = "a log of a node whose disk was full meanwhile"
NODES = 3


@dataclass(frozen=True)
class Finding:
    """Something that must not be: ``kind`` is one of KINDS. ``about``: the jobs, executions and moments that it tells of."""

    kind: str
    text: str
    about: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Witness:
    """What containers told outside of every engine: the starts, the lines by execution, and the moment of the last line."""

    starts: Sequence[tuple[str, str, int]] = ()
    lines: Mapping[str, str] = field(default_factory=dict)
    last: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Verdict:
    """What a run came to. ``apart``: what no one can promise, by its kind, each with its cases."""

    jobs: int = 0
    executions: int = 0
    due_times: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    apart: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many findings there are of each kind."""
        return {kind: sum(finding.kind == kind for finding in self.findings) for kind in KINDS}


class Record:
    """The record, by what is looked for."""

    def __init__(self, rows: Iterable[Row], witness: Witness) -> None:
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
        self.wish = {job: post for post in self.rows["post"] for job in (*self.named[post["name"]], post["job"]) if job}
        self.there = {job["job"] for job in self.rows["job"]}
        self.crons = {cron["job"] for cron in self.rows["cron"]}
        self.stops = _by(self.rows["stop"], "job")
        self.left = [name for row in self.rows["left"] for name in row["services"]]
        self.known = {execution["row"]["executionId"] for execution in self.rows["execution"]}
        self.struck = [(fault["at"], fault["until"] + SLACK) for fault in self.rows["fault"]]
        self.ended = [(fault["at"], fault["until"] + EXPLAINS_FOR) for fault in self.rows["fault"] if fault["ends"]]
        self.forgot = [(restored["since"] - SLACK, restored["until"] + SLACK) for restored in self.rows["restored"]]
        self.forgotten = set(self._forgotten(witness)) if self.forgot else set()

    def is_explained(self, row: Row) -> bool:
        """Whether a fault may have ended the container of an execution."""
        return _meets(self.ended, *_span(row))

    def may_be_stopped(self, row: Row, within: int) -> bool:
        """Whether someone had asked to stop the job of an execution when it ended, or so many milliseconds later."""
        return any(stop["sent"] <= _span(row)[1] + within for stop in self.stops.get(row["jobId"], ()))

    def ran_on(self, row: Row) -> bool:
        """Whether it went on for long after a stop was accepted, without any fault."""
        accepted = [stop["answered"] for stop in self.stops.get(row["jobId"], ()) if stop["status"] == ACCEPTED]
        until = _span(row)[1]
        return bool(accepted) and min(accepted) + STOPS_WITHIN < until and not _meets(self.struck, min(accepted), until)

    def disk_was_full(self, row: Row) -> bool:
        """Whether the disk of its node was full while an execution was there."""
        faults = (fault for fault in self.rows["fault"] if fault["name"] == "disk-full")
        full = [(fault["at"], fault["until"]) for fault in faults if f"node{fault['target'] % NODES + 1}" == row.get("node")]
        return _meets(full, *_span(row))

    def was_forgotten(self, finding: Finding) -> bool:
        """Whether it is about something that a restored store has forgotten."""
        return any(one in self.forgotten if isinstance(one, str) else _meets(self.forgot, one, one) for one in finding.about)

    def _forgotten(self, witness: Witness) -> Iterator[str]:
        """Jobs and executions of which something became known that was forgotten later."""
        for kind in ("post", "change", "again"):
            for asked in self.rows[kind]:
                if _meets(self.forgot, asked["sent"], asked["answered"]):
                    yield from (one for one in (asked["job"], asked["execution"], asked.get("name")) if one)
        for stop in self.rows["stop"]:
            if _meets(self.forgot, stop["sent"], stop["sent"]):
                yield stop["job"]
        unknown = [(since, until + STARTS_WITHIN) for since, until in self.forgot]
        for id, _, at in witness.starts:
            spans = self.forgot if id in self.known else unknown
            if _meets(spans, at, max(at, witness.last.get(id, at))):
                yield id
        for name in self.left:
            if (id := _execution_of(name)) not in self.known:
                yield id
        for execution in self.rows["execution"]:
            row = execution["row"]
            if _meets(self.forgot, _moment(row["createdAt"]), _moment(row["finishedAt"] or row["createdAt"])):
                yield row["executionId"]
                if row["jobId"] not in self.crons:
                    yield row["jobId"]


def judge(rows: Iterable[Row], witness: Witness) -> Verdict:
    """Judges a record."""
    record, verdict = Record(rows, witness), Verdict()
    verdict.jobs, verdict.executions = len(record.there), len(record.rows["execution"])
    verdict.faults.update(fault["name"] for fault in record.rows["fault"])
    found = [*wishes(record, verdict), *starts(record, witness, verdict), *attempts(record), *runs_again(record), *ends(record)]
    found += [*logs(record, witness, verdict), *followed(record), *due_times(record, verdict), *left(record)]
    found += wrong_answers(record)
    found += [Finding("unexplained", f"a process ended by itself: {crashed['words']}") for crashed in record.rows["crashed"]]
    for finding in found:
        if record.was_forgotten(finding):
            verdict.apart[FORGOTTEN].append(f"{finding.kind}: {finding.text}")
        else:
            verdict.findings.append(finding)
    return verdict


def wishes(record: Record, verdict: Verdict) -> Iterator[Finding]:
    """Each wish that was accepted is one job; one that was refused is none; one whose answer is unknown is one at most."""
    for name, posts in _by(record.rows["post"], "name").items():
        accepted = {post["job"] for post in posts if post["status"] == ACCEPTED}
        made = record.named[name]
        about = (name, *accepted, *made)
        if lost := accepted - record.there:
            yield Finding("lost", f"wish {name} was accepted as {sorted(lost)}, which is not there", about)
        if len(accepted) > 1 or len(made) > 1:
            yield Finding("twice", f"wish {name} became {sorted(accepted | made)}", about)
        if made and not accepted and any(post["doubt"] for post in posts):
            verdict.apart[DOUBT].append(name)
        elif made and not accepted and not any(map(is_unknown, posts)):
            yield Finding("twice", f"wish {name} was refused ({[post['status'] for post in posts]}) and became {sorted(made)}", about)
    for job in sorted(record.there - record.crons):
        if not record.executions[job] and not record.ticks[job]:
            yield Finding("lost", f"job {job} has neither an execution nor a row that says why not", (job,))


def wrong_answers(record: Record) -> Iterator[Finding]:
    """No request ends in an error that fastlane has not foreseen."""
    for kind in ("post", "change", "again", "stop"):
        for asked in record.rows[kind]:
            if asked["status"] == UNFORESEEN:
                yield Finding(
                    "unexplained", f"a request ({kind}) was answered with {UNFORESEEN}", (asked["job"] or asked["name"], asked["sent"])
                )


def is_unknown(asked: Row) -> bool:
    """Whether nobody knows from its answer whether a request had its effect."""
    return asked["status"] is None or asked["doubt"] is True


def starts(record: Record, witness: Witness, verdict: Verdict) -> Iterator[Finding]:
    """No execution starts twice, and none that ended by itself without a start."""
    containers: defaultdict[str, list[str]] = defaultdict(list)
    for id, container, _ in witness.starts:
        containers[id].append(container)
    rows = {execution["row"]["executionId"]: execution["row"] for execution in record.rows["execution"]}
    for id, names in containers.items():
        if id not in rows:
            yield Finding("lost", f"a container of execution {id} started, and nobody knows that execution", (id,))
        if len(set(names)) > 1:
            yield Finding("twice", f"execution {id} started in {names}", (id,))
        elif len(names) > 1 and id in rows and record.is_explained(rows[id]):
            verdict.apart[STARTED_AGAIN].append(id)
        elif len(names) > 1:
            yield Finding("twice", f"execution {id} started {len(names)} times in {names[0]}", (id,))
    for id, row in rows.items():
        if row["exitCode"] is not None and not containers[id] and _is_end_of_script(row):
            yield Finding("unexplained", f"execution {id} has exit code {row['exitCode']} and never started", (id,))


def attempts(record: Record) -> Iterator[Finding]:
    """The attempts of a tick count from 1, each once, and are no more than were asked for; a tick that did not come by schedule has a first
    attempt."""
    retries = {job: post["retries"] for job, post in record.wish.items()} | {cron["job"]: cron["retries"] for cron in record.rows["cron"]}
    for job, executions in record.executions.items():
        for tick, rows in _by([execution["row"] for execution in executions], "queueJobId").items():
            numbers, most = sorted(row["attempt"] for row in rows), 1 + retries.get(job, 0)
            about = tuple(row["executionId"] for row in rows)
            if numbers != list(range(1, len(numbers) + 1)):
                yield Finding("twice", f"tick {tick} of job {job} has attempts {numbers}", about)
            elif len(numbers) > most:
                yield Finding("twice", f"tick {tick} of job {job} has {len(numbers)} attempts, and {most - 1} retries", about)
            elif len(numbers) < most and is_to_be_tried_again(record, rows):
                yield Finding("lost", f"tick {tick} of job {job} has {len(numbers)} failed attempts, and {most - 1} retries", about)
    for job in record.there - record.crons:
        ran = {execution["row"]["queueJobId"] for execution in record.executions[job]}
        for row in record.ticks[job]:
            if row["id"] not in ran and not row["reason"]:
                yield Finding("lost", f"row {row['id']} of job {job} has neither an execution nor a reason", (job,))


def is_to_be_tried_again(record: Record, rows: Sequence[Row]) -> bool:
    """Whether the last of these attempts is one that another must follow."""
    last = max(rows, key=lambda row: int(row["attempt"]))
    reason = (last["failure"] or {}).get("reason")
    return last["status"] == "failed" and reason not in NEVER_RETRIED and not record.may_be_stopped(last, SETTLED_WITHIN)


def runs_again(record: Record) -> Iterator[Finding]:
    """Each accepted request to run a job again is one tick of it; one with a key is the same for each answer; none comes unasked for."""
    for job, asked in _by(record.rows["again"], "job").items():
        accepted = {one["execution"] for one in asked if one["status"] == ACCEPTED}
        unknown = 0 if accepted and asked[0]["key"] else min(sum(map(is_unknown, asked)), 1 if asked[0]["key"] else len(asked))
        first = {execution["row"]["executionId"] for execution in record.executions[job] if execution["row"]["attempt"] == 1}
        by_hand = [row for row in record.ticks[job] if row.get("origin") == "hand"]
        about = (job, *accepted)
        if lost := accepted - first:
            yield Finding("lost", f"job {job} was to run again as {sorted(lost)}, which is not there", about)
        if len(accepted) > 1 and asked[0]["key"]:
            yield Finding("twice", f"one request to run job {job} again became {sorted(accepted)}", about)
        if not len(accepted) <= len(by_hand) <= len(accepted) + unknown:
            kind = "lost" if len(by_hand) < len(accepted) else "twice"
            yield Finding(
                kind, f"job {job} was to run again {len(accepted)} times and {unknown} perhaps, and did {len(by_hand)} times", about
            )


def ends(record: Record) -> Iterator[Finding]:
    """Each execution has ended, as its script does, or with a reason that a fault explains."""
    codes = {job: post["code"] for job, post in record.wish.items()}
    changes = _by(record.rows["change"], "job")
    due: dict[str, int] = {}  # of each tick: its retries do what its first attempt did
    for execution in record.rows["execution"]:
        tick, moment = execution["row"]["queueJobId"], _moment(execution["row"]["scheduledFor"])
        due[tick] = min(due.get(tick, moment), moment)
    for execution in record.rows["execution"]:
        row = execution["row"]
        about = f"execution {row['executionId']} is {row['status']} with exit code {row['exitCode']}"
        ids = (row["executionId"], row["jobId"])
        reason = (row["failure"] or {}).get("reason")
        if row["status"] not in FINAL:
            yield Finding("lost", f"{about} long after the last fault", ids)
        elif row["status"] == "stopped":
            if not record.may_be_stopped(row, SLACK):
                yield Finding("unexplained", f"{about}, and nobody asked for that", ids)
        elif row["status"] == "failed" and reason in NODES_FAULTS:
            if not record.is_explained(row):
                yield Finding("unexplained", f"{about} because of {reason}, and no fault was there that may end a container", ids)
        elif record.ran_on(row):
            yield Finding("unexplained", f"{about} long after a stop of its job was accepted", ids)
        elif row["jobId"] in codes or row["jobId"] in record.crons:
            right = possible_codes(codes.get(row["jobId"], 0), changes.get(row["jobId"], ()), due[row["queueJobId"]])
            if (row["status"], row["exitCode"]) not in {("failed" if code else "done", code) for code in right}:
                yield Finding("unexplained", f"{about} ({reason}), and its script ends with {sorted(right)}", ids)


def possible_codes(code: int, changes: Sequence[Row], due: int) -> set[int]:
    """With what the script of a run may end that was due at a moment, by the changes that its job was to get."""
    right = {code}
    for change in changes:
        if change["status"] == ACCEPTED and change["answered"] < due:
            right = {change["code"]}
        elif change["status"] == ACCEPTED or is_unknown(change):
            right.add(change["code"])
    return right


def logs(record: Record, witness: Witness, verdict: Verdict) -> Iterator[Finding]:
    """The stored log is what the container wrote, in this order; the end of it may be missing where the execution says so."""
    for execution in record.rows["execution"]:
        row, log = execution["row"], execution["log"]
        id, wrote = row["executionId"], witness.lines.get(row["executionId"], "")
        by_itself = _is_end_of_script(row)
        if log == wrote:
            continue
        if row["logInfo"]["truncated"] and _is_part(log, wrote):
            verdict.apart[CUT_LOG].append(id)
        elif record.disk_was_full(row) and _is_part(log, wrote):
            verdict.apart[FULL_DISK].append(id)
        elif by_itself or not wrote.startswith(log):
            yield Finding("log", f"execution {id} wrote {len(wrote)} bytes, and {len(log)} are stored, not marked as truncated", (id,))
        elif len(wrote) - len(log) > LAST_LINES * max(map(len, wrote.splitlines(keepends=True))):
            missing = len(wrote) - len(log)
            yield Finding("log", f"execution {id} was cut off, and {missing} of {len(wrote)} bytes are missing unmarked", (id,))


def followed(record: Record) -> Iterator[Finding]:
    """What a follower was sent, over all of its connections, is the stored log of the attempts of a tick."""
    for follower in record.rows["followed"]:
        rows = sorted(record.executions[follower["job"]], key=lambda execution: execution["row"]["attempt"])
        stored = "".join(execution["log"] for execution in rows)
        about = (follower["job"], *(execution["row"]["executionId"] for execution in rows))
        if not follower["whole"]:
            yield Finding("lost", f"a follower of job {follower['job']} was never told that the log has ended", about)
        elif follower["text"] != stored and rows:
            yield Finding("log", f"a follower of job {follower['job']} got {len(follower['text'])} characters of {len(stored)}", about)


def left(record: Record) -> Iterator[Finding]:
    """Nothing is left on an engine."""
    for name in record.left:
        yield Finding("left", f"service {name} is still there", (_execution_of(name),))


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
                yield Finding("twice" if covered[due] else "lost", f"due time {due} of job {cron['job']} has {covered[due]} rows", (due,))
        ran: Counter[str] = Counter(
            execution["row"]["queueJobId"] for execution in record.executions[cron["job"]] if execution["row"]["attempt"] == 1
        )
        for row in rows:
            about, words = (_moment(row["due"]),), f"row {row['id']} of job {cron['job']}"
            if row["execution"] is None and not row["reason"]:
                yield Finding("unexplained", f"{words} has neither an execution nor a reason", about)
            if row["execution"] is not None and ran[row["id"]] != 1:
                yield Finding("twice" if ran[row["id"]] else "lost", f"{words} has {ran[row['id']]} first attempts", about)


def _is_end_of_script(row: Row) -> bool:
    """Whether a container ended by itself: a stop or its engine's end may come before it tells of its start."""
    return row["status"] in ("done", "failed") and (row["failure"] or {}).get("reason", "exit") == "exit"


def _execution_of(service: str) -> str:
    """The id of the execution that a service is named after."""
    return service.removeprefix("fastlane-").rpartition("-")[0]


def _is_part(log: str, wrote: str) -> bool:
    """Whether all lines of a log are lines that were written, in this order, none twice."""
    lines = iter(wrote.splitlines())
    return all(line in lines for line in log.splitlines()[:-1])


def _meets(spans: Sequence[Span], begin: int, end: int) -> bool:
    return any(since <= end and begin <= until for since, until in spans)


def _span(row: Row) -> Span:
    """From when to when an execution was there."""
    return _moment(row["createdAt"]), _moment(row["finishedAt"] or row["createdAt"])


def _moment(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _by(rows: Sequence[Row], field: str) -> Mapping[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[field]].append(row)
    return found
