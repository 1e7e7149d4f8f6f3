"""The jobs that the labels of a service declare, or the faults of these labels.

``fastlane.FIELD`` is a field of the job as POST takes it: its name in small letters with hyphens (``fastlane.retry-delay``), and the name
of a part behind a dot (``fastlane.notify.fails``, ``fastlane.envs.LEVEL``). ``fastlane.job.NAME.FIELD`` belongs to another job of the
service. Which labels there are, and what their texts mean, follows from the fields' declarations in ``job``.

The labels of swarm-cronjob mean what they mean there.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastlane.errors import Fault, Invalid, known_names, quoted
from fastlane.models.job_source import CRONJOB, PREFIX, STACK, DeclaredJob, LabelledService
from fastlane.models.schedule import Overlap
from fastlane.web.api.container import OLD_HOSTS
from fastlane.web.api.job import JOB_BODY, STARTS
from fastlane.web.api.job_body import JobRules, read_job
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.http.strict_json import read_value

SUFFIXED = f"{PREFIX}job."
GIVEN = frozenset({"image", "service"})
"""What a label cannot say: the job runs as its service's container."""
ONCE = frozenset({"startIn"})
"""A start that is counted from when a job is made, and a label is read again and again."""
CHAINS = frozenset({"after", "afterOn"})
"""Labels are read where nobody asks for it, so nobody's right to see the upstream job can be checked."""
UNIQUE = frozenset({"unique"})
"""Needless: the id of a service's job derives from the service, so there is one of it."""
NOT_LABELS = GIVEN | ONCE | CHAINS | UNIQUE | {OLD_HOSTS}

_CAPITAL = re.compile("(?<=[a-z0-9])[A-Z]")
_SUFFIX = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_TRUE, _FALSE = frozenset(["1", "t", "T", "TRUE", "true", "True"]), frozenset(["0", "f", "F", "FALSE", "false", "False"])
_SECONDS = re.compile(r"(\S+)(?:\s+\S+){5}")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)
NO_START = f"says nothing of when it runs; add {PREFIX}cron, or {PREFIX}manual=true for a job that runs when somebody runs it"
RUN_ONCE = (
    f'cannot be followed, because its seconds are counted from when the labels are read; write {PREFIX}start-at: "2031-05-01T03:00:00Z" '
    f"(the moment that you want) instead of the labels of swarm-cronjob"
)
NO_SCHEDULE = 'is missing, and swarm.cronjob.enable is true; write five fields, such as "0 3 * * *"'


def label_of(name: str) -> str:
    """The name of a field in labels: ``retry-delay`` of ``retryDelay``."""
    return _CAPITAL.sub(lambda found: f"-{found[0].lower()}", name)


FIELDS: Mapping[str, str] = {label_of(name): name for name in JOB_BODY.fields if name not in NOT_LABELS}
"""The fields that labels have, by their names there."""


@dataclass(slots=True)
class Given:
    """What the labels of one job give: the body, and the label of each part, by its dotted path."""

    prefix: str
    body: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    remarks: list[Fault] = field(default_factory=list)

    def put(self, label: str, path: Sequence[str], value: object) -> None:
        """Gives a part of the body a value. Raises ValueError when another label gives the whole."""
        below = self.body
        for name in path[:-1]:
            below = below.setdefault(name, {})
            if not isinstance(below, dict):
                raise ValueError(f"is there twice: {self.labels['.'.join(path[:1])]} has all of it; keep one of them")
        if path[-1] in below:
            raise ValueError(f"is there twice: other labels beginning with {label}. have parts of it; keep one of them")
        below[path[-1]] = value
        self.labels[".".join(path)] = label

    @property
    def starts(self) -> list[str]:
        """The fields that say when it is due. ``manual: false`` does not."""
        return [name for name in STARTS if self.body.get(name) not in (None, False)]

    def label_at(self, path: str) -> str:
        """The label that a fault of this part of the body is about."""
        known = [own for own in self.labels if path == own or path.startswith(f"{own}.")]
        for own, label in self.labels.items():
            if own.startswith(f"{path}."):
                return label.removesuffix(own.removeprefix(path))
        return self.labels[max(known, key=len)] if known else self.prefix + ".".join(map(label_of, path.split(".")))


def read_labels_of(service: LabelledService, now: int, rules: JobRules) -> tuple[DeclaredJob, ...]:
    """The jobs that a service declares; one with faults has neither spec nor schedule. ``now`` in milliseconds."""
    if not service.declares:
        return ()
    groups: dict[str, Given] = {}
    for label in sorted(service.labels):
        if label.startswith(PREFIX):
            _take(label, service.labels[label], groups)
    if (cronjob := _cronjob(service)) is not None:
        _join(groups.setdefault("", Given(PREFIX)), cronjob)
    return tuple(_read(service, suffix, given, now, rules) for suffix, given in groups.items())


def _read(service: LabelledService, suffix: str, given: Given, now: int, rules: JobRules) -> DeclaredJob:
    faults = [Fault(STACK, words)] if (words := service.stack_fault) else []
    faults += given.faults
    if not faults and not given.starts:
        faults.append(Fault(min(given.labels.values(), default=given.prefix), NO_START))
    name = service.short_name if not suffix else f"{service.short_name}-{suffix}"
    body = {"name": name, **given.body, "service": service.name}
    try:
        spec, schedule = read_job(body, now, rules, again=True)
    except Invalid as error:
        faults += [Fault(given.label_at(one.field), one.message) for one in error.faults]
        return DeclaredJob(suffix, faults=faults, remarks=given.remarks)
    if faults:
        return DeclaredJob(suffix, faults=faults, remarks=given.remarks)
    return DeclaredJob(suffix, spec, schedule, remarks=given.remarks, label_at=given.label_at)


def _take(label: str, text: str, groups: dict[str, Given]) -> None:
    """Reads one label into the job that it belongs to."""
    suffix, prefix = "", PREFIX
    if label.startswith(SUFFIXED):
        suffix, _, rest = label.removeprefix(SUFFIXED).partition(".")
        prefix = f"{SUFFIXED}{suffix}."
        given = groups.setdefault(suffix, Given(prefix))
        if not _SUFFIX.fullmatch(suffix) or not rest:
            words = f"is not a label of a job; write {SUFFIXED}NAME.cron, with up to 63 letters, digits, - and _ as NAME"
            given.faults.append(Fault(label, words))
            return
    else:
        rest = label.removeprefix(PREFIX)
        given = groups.setdefault("", Given(PREFIX))
    try:
        path, schema = _place(rest)
        given.put(label, path, _value(text, schema))
    except ValueError as error:
        given.faults.append(Fault(label, str(error)))


def _place(rest: str) -> tuple[list[str], JsonSchema]:
    """The path in the body that a label without its prefix names, and the schema of that part. Raises ValueError."""
    first, *others = rest.split(".")
    name = FIELDS.get(first)
    if name is None:
        if first in map(label_of, GIVEN):
            raise ValueError("cannot be a label, because the job runs as this service's container; leave it out")
        if first in map(label_of, ONCE):
            raise ValueError(f"cannot be a label, because labels are read again and again; use {PREFIX}start-at or {PREFIX}cron")
        raise ValueError(f"is not a label of a job; {known_names(first, 'label', FIELDS)}")
    path, schema = [name], JOB_BODY.fields[name].schema
    while others:
        parts, rule = schema.get("properties"), schema.get("additionalProperties")
        if parts is not None:
            names = {label_of(part): part for part in parts}
            part = names.get(others[0])
            if part is None:
                raise ValueError(f"has no part {quoted(others[0])}; its parts are: {', '.join(names)}")
            path, schema, others = [*path, part], parts[part], others[1:]
        elif isinstance(rule, Mapping):
            whole = "properties" not in rule  # a name of the user's, which may have dots
            path, schema = [*path, ".".join(others) if whole else others[0]], rule
            others = [] if whole else others[1:]
        else:
            raise ValueError(f"has no parts; write {PREFIX}{'.'.join(map(label_of, path))}")
    return path, schema


def _forms(schema: JsonSchema) -> Iterator[JsonSchema]:
    for one in schema.get("anyOf", (schema,)) if "type" not in schema else (schema,):
        yield from (one,) if one is schema or "anyOf" not in one else _forms(one)


def _kinds(schema: JsonSchema) -> set[str]:
    """The types of JSON that a part may have."""
    found: set[str] = set()
    for one in _forms(schema):
        kind = one.get("type", ())
        found |= {kind} if isinstance(kind, str) else set(kind)
    return found


def _value(text: str, schema: JsonSchema) -> object:
    """A label's text as a body has it: what it is follows from the schema of its part. What fits nothing stays text, and the reader says
    what is wrong with it. Raises ValueError."""
    kinds, bare = _kinds(schema), text.strip()
    if ("array" in kinds and bare.startswith("[")) or ("object" in kinds and bare.startswith("{")):
        try:
            return read_value(bare)
        except Invalid as error:
            if "string" not in kinds:
                raise ValueError("; ".join(one.message.removeprefix("the body ") for one in error.faults)) from None
    if "array" in kinds and "string" not in kinds:
        items = next(one["items"] for one in _forms(schema) if "items" in one)
        if "string" not in _kinds(items):
            raise ValueError('is not a list; write JSON, such as [{"…": "…"}]')
        return [part.strip() for part in text.split(",") if part.strip()]
    if "boolean" in kinds and "string" not in kinds and bare in _TRUE | _FALSE:
        return bare in _TRUE
    if kinds & {"number", "integer"} and _NUMBER.fullmatch(bare) and not _is_text(bare, schema):
        return float(bare) if "." in bare else int(bare)
    return text


def _is_text(text: str, schema: JsonSchema) -> bool:
    """Whether one of the forms of a part takes this as text."""
    texts = [one for one in _forms(schema) if one.get("type") == "string"]
    return any("pattern" not in one or re.search(one["pattern"], text) for one in texts)


def _flag(labels: Mapping[str, str], name: str, faults: list[Fault]) -> bool:
    text = labels.get(CRONJOB + name, "false")
    if text not in _TRUE | _FALSE:
        faults.append(Fault(CRONJOB + name, f"{quoted(text)} is neither true nor false"))
    return text in _TRUE


def _cronjob(service: LabelledService) -> Given | None:
    """The job that swarm-cronjob would make of a service; None: it would make none. Credentials for registries are fastlane's own, so
    ``registry-auth`` and ``query-registry`` change nothing."""
    given, labels = Given(CRONJOB), service.labels
    if not _flag(labels, "enable", given.faults) and not given.faults:
        return None
    skips, text = _flag(labels, "skip-running", given.faults), labels.get(f"{CRONJOB}schedule", "").strip()
    for name in ("registry-auth", "query-registry"):
        _flag(labels, name, given.faults)
    if _flag(labels, "run-once", given.faults):  # its schedule is a number of seconds
        given.faults.append(Fault(f"{CRONJOB}run-once", RUN_ONCE))
        text = "@daily"
    if (found := _ZONE.fullmatch(text)) is not None:
        given.put(f"{CRONJOB}schedule", ["timezone"], found[1])
        text = found[2]
    text = " ".join("*" if part == "?" else part for part in text.split())
    if (found := _SECONDS.fullmatch(text)) is not None:
        if found[1].strip("0"):
            words = f"has seconds ({quoted(found[1])}), and jobs start at whole minutes; write 0 there, or leave the field out"
            given.faults.append(Fault(f"{CRONJOB}schedule", words))
        text = text.partition(" ")[2]
    if not text:
        given.faults.append(Fault(f"{CRONJOB}schedule", NO_SCHEDULE))
    given.put(f"{CRONJOB}schedule", ["cron"], text or "@daily")
    # there, a due time updates the service, which ends the container that still runs
    given.put(f"{CRONJOB}skip-running", ["overlap"], Overlap.SKIP.value if skips else Overlap.REPLACE.value)
    _check_replicas(labels.get(f"{CRONJOB}replicas", "1"), given)
    given.remarks += _limits(service)
    return given


def _limits(service: LabelledService) -> Iterator[Fault]:
    """What a service's mode means for swarm-cronjob, and not for a job, which is one container."""
    if service.mode.startswith("global"):
        words = f"is {service.mode}, and each due time starts one container, on one node that the service may use"
        yield Fault("deploy.mode", f"{words}; declare a job for each node ({SUFFIXED}NAME.container.constraints) to run it on all")
    elif service.completions > 1:
        words = f"asks for {service.completions} containers of a {service.mode}, and each due time starts one"
        yield Fault("deploy.replicas", f"{words}; declare several jobs ({SUFFIXED}NAME.cron) to start more")
    if service.restarts == "on-failure" and f"{PREFIX}retries" not in service.labels:
        yield Fault("deploy.restart_policy", f"is on-failure, and a run that fails is not tried again; add {PREFIX}retries for that")


def _check_replicas(text: str, given: Given) -> None:
    label = f"{CRONJOB}replicas"
    if not text.isascii() or not text.isdecimal() or int(text[:9]) < 1:
        given.faults.append(Fault(label, f"{quoted(text)} is not a whole number of 1 or more"))
    elif int(text[:9]) > 1:
        words = f"is {text[:9]}, and each due time starts one container; declare several jobs ({SUFFIXED}NAME.cron) to start more"
        given.remarks.append(Fault(label, words))


def _join(given: Given, cronjob: Given) -> None:
    """Adds the labels of swarm-cronjob to our own, which say more about the same job."""
    if given.starts:
        words = f"cannot be used together with {given.labels[given.starts[0]]}; keep one of them"
        given.faults.append(Fault(f"{CRONJOB}schedule", words))
    else:
        given.body = {**cronjob.body, **given.body}
        given.labels = {**cronjob.labels, **given.labels}
    given.faults += cronjob.faults
    given.remarks += cronjob.remarks


def label_reader(rules_of: Callable[[str], JobRules]) -> Callable[[LabelledService, int], Sequence[DeclaredJob]]:
    """Returns what reads the labels of a service, by the rules for the jobs of its task."""
    return lambda service, now: read_labels_of(service, now, rules_of(service.task_id)) if service.declares else ()
