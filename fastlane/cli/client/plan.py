"""What applying a file would change. The server says what the file's jobs mean, so that its words and the file's can be compared."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from fastlane.cli.client.file_chains import completed, ordered, without
from fastlane.cli.client.job_file import SECRETS_LABEL, SET_LABEL, JobSet, WantedJob
from fastlane.cli.client.wording import in_commands
from fastlane.client import Conflict, Forbidden, Invalid, NotFound, Refused

if TYPE_CHECKING:
    from fastlane.client import Client

SET_FIELD = f"labels.{SET_LABEL}"
CREATE, CHANGE, REMOVE, KEEP = "create", "change", "remove", "keep"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the plan, for one job: with which fields, and for which version. ``changes``: field, old and new value, for people.
    ``forecast``: what it would do to its pool, where that was asked for."""

    kind: str
    name: str
    task: str
    job: str
    fields: Mapping[str, Any] | None = None
    etag: str | None = None
    changes: Sequence[tuple[str, object, object]] = ()
    forecast: Mapping[str, Any] | None = None


class Rejected(Exception):
    """The server rejects jobs of a file; the text has a line for each fault."""


def plan(client: "Client", wanted: JobSet, *, forecast: bool = False) -> list[Step]:
    """The steps, without doing any; with ``forecast``, each says what its job would do to its pool. Raises Rejected."""
    steps = list[Step]()
    jobs, faults = ordered(wanted.jobs)
    for job in () if faults else jobs:
        try:
            steps.append(_step(client, job, {step.job for step in steps if step.kind == CREATE}, forecast))
        except (Invalid, Forbidden, Conflict) as error:
            faults += _faults(job, error)
    if faults:
        raise Rejected("\n".join(faults))
    ids = {job.id for job in wanted.jobs} | wanted.left_out
    for row in client.jobs.list(label=f"{SET_LABEL}={wanted.name}"):
        if row["id"] not in ids:
            steps.append(Step(REMOVE, f"{row['taskId']}/{row['name'] or row['id']}", row["taskId"], row["id"]))
    return steps


def faults_of(client: "Client", jobs: Sequence[WantedJob], known: Sequence[str]) -> list[str]:
    """A line for each fault that the server finds in these jobs, but for fields with a fault among the ``known`` lines."""
    found = []
    for job in jobs:
        try:
            client.jobs.preview_put(job.task, job.id, cast("Any", job.fields))
        except (Invalid, Forbidden, Conflict) as error:
            found += _faults(job, error)
    return [line for line in found if not any(line.partition(": ")[0] == fault.partition(": ")[0] for fault in known)]


def _faults(job: WantedJob, error: Refused) -> list[str]:
    lines = [f"{job.place(field)}: {message}" for field, message in error.faults] or [f"jobs.{job.key}: {error}"]
    return [in_commands(line) for line in lines]


def _step(client: "Client", job: WantedJob, to_create: set[str], forecast: bool) -> Step:
    """``to_create``: jobs of the file that the server does not have yet."""
    preview = dict(client.jobs.preview_put(job.task, job.id, cast("Any", without(job.fields, to_create)), forecast=forecast))
    preview["schedule"] = completed(cast("Any", preview["schedule"]), job.fields, to_create)
    fields = with_secrets(job, cast("Any", preview["spec"]))
    step = Step(CREATE, f"{job.task}/{job.key}", job.task, job.id, fields, forecast=cast("Any", preview.get("forecast")))
    try:
        found = client.jobs.get_with_etag(job.task, job.id)
    except NotFound:
        return step
    old = found.body["job"]
    changes = list(changes_between(_given(old), _given(cast("Any", preview))))
    changes += changes_between({"name": old["name"], "labels": old["labels"]}, {"name": fields["name"], "labels": fields["labels"]})
    if job.taken_over and [field for field, before, _ in changes if before is None] == [SET_FIELD] and len(changes) == 1:
        changes = []  # it gets the name of its set with its first change
    if not old["scheduled"] and old["status"] != "paused" and old["schedule"]["kind"] != "manual":
        changes.append(("status", old["status"], "scheduled"))
    return replace(step, kind=CHANGE if changes else KEEP, etag=found.etag, changes=changes)


def _given(shown: Mapping[str, Any]) -> dict[str, Any]:
    """A job's spec and schedule, without what the server derives from them."""
    return {name: value for name, value in {**shown["spec"], **shown["schedule"]}.items() if name != "description"}


def with_secrets(job: WantedJob, shown: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with a digest of the values that the server does not show, of variables, parameters and webhooks: it says whether they
    have changed. The digest is slow to compute, so that nobody guesses values by it. ``shown``: the job's spec, as the server shows it."""
    envs = {name: _text(value) for name, value in (job.fields.get("envs") or {}).items()}
    hidden: dict[str, Any] = {name: value for name, value in sorted(envs.items()) if shown["envs"].get(name) != value}
    for name, given in sorted((job.fields.get("parameters") or {}).items()):
        default = (given or {}).get("default")
        if default is not None and shown.get("parameters", {}).get(name, {}).get("default") != _text(default):
            hidden[f"parameters.{name}"] = _text(default)
    hidden |= _hidden_webhooks(job.fields.get("webhooks") or {}, shown.get("webhooks", {}))
    if not hidden:
        return dict(job.fields)
    digest = hashlib.scrypt(json.dumps(hidden).encode(), salt=job.id.encode(), n=1 << 14, r=8, p=1, dklen=16).hex()
    return {**job.fields, "labels": {**job.fields["labels"], SECRETS_LABEL: digest}}


def _hidden_webhooks(given: Mapping[str, Any], shown: Mapping[str, Any]) -> dict[str, Any]:
    """The URLs, headers and bodies of the webhooks that the server does not show as they are, by place. It has taken what was given."""
    found = {}
    for name, rows in sorted(given.items()):
        for place, (row, other) in enumerate(zip(rows or (), shown.get(name, ()), strict=False)):
            headers = row.get("headers") or {}
            body = row.get("body")
            if headers or row["url"] != other["url"] or body != other.get("body"):
                found[f"webhooks.{name}.{place}"] = [row["url"], dict(sorted(headers.items())), *([] if body is None else [body])]
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, object, object]]:
    """Each field that differs, with the fields inside objects apart."""
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from changes_between(before, after, f"{place}{name}.")
        elif before != after:
            yield f"{place}{name}", before, after


def do(client: "Client", step: Step) -> None:
    """Carries a step out. Raises Changed when someone else has changed the job meanwhile."""
    if step.kind == REMOVE:
        client.jobs.delete(step.task, step.job, stop=True)
    elif step.kind in (CREATE, CHANGE):
        client.jobs.put(step.task, step.job, cast("Any", step.fields), if_match=step.etag)
