"""The ``jobs:`` of a compose file, as Docker defines them, and ``x-jobs:`` with the same content, which ``docker stack deploy`` lets be.

name: shop
services:
  web: {image: shop}
jobs:
  report:
    image: shop
    triggers: {schedule: ["30 6 * * 1"]}
    x-fastlane: {retries: 2}      # the fields of a job that Docker does not have
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastlane.cli.client.compose_attributes import ATTRIBUTES, Around, Reading, flag, read_attributes, unknown_name
from fastlane.cli.client.compose_resolved import THE_FILE, extended, included
from fastlane.cli.client.compose_variables import filled, variables_of
from fastlane.cli.client.job_file import ID_WORDS, ONCE, SET_NAME, JobSet, WantedJob, is_id, repeated_ids, wanted
from fastlane.cli.client.yaml_text import FileFault, StrictLoader, YamlText, read_yaml

ROOTS = ("jobs", "x-jobs")
NAMED = ("volumes", "networks", "secrets", "configs", "services")
TOP = ("version", "name", "include", "models", *ROOTS, *NAMED)
OWN = "x-fastlane"
JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LEFT_OUT_BY_DOCKER = f" (`docker compose config` leaves out what only jobs use; {THE_FILE})"
DEFAULT_PROJECT = "project"
"""Names of projects stand nowhere in what ``extends`` resolves to."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the text of a file is from: its path, None for standard input, and the variables of the process. ``project``: the name of the
    stack or project, where it was given on the command line."""

    path: Path | None
    environment: Mapping[str, str]
    project: str | None = None

    @property
    def folder(self) -> Path:
        """The folder by which relative paths in the file go."""
        return Path() if self.path is None else self.path.parent


def is_compose(text: str) -> bool:
    """Whether a text is a compose file, and not a file of schedules. Raises FileFault."""
    content = read_yaml(text, StrictLoader).content
    if not isinstance(content, dict) or "set" in content:
        return False
    jobs = content.get("jobs")
    has_triggers = isinstance(jobs, dict) and any(isinstance(one, dict) and ("triggers" in one or OWN in one) for one in jobs.values())
    return has_triggers or any(name in content for name in TOP if name != "jobs")


def read_compose(text: str, origin: Origin) -> JobSet:
    """The jobs of a compose file. Raises FileFault with all faults."""
    document = read_yaml(text, StrictLoader)
    content = document.content
    if not isinstance(content, dict):
        raise FileFault("is not a map; a compose file has services: and jobs:")
    if "include" in content:
        if origin.path is None:
            raise FileFault(f"include: is not resolved on standard input; {THE_FILE}")
        content = included(origin.path, _ComposeFile(content, document, origin).project())
    folder = None if origin.path is None else origin.folder
    content = extended(content, ROOTS, folder, origin.project or DEFAULT_PROJECT)
    return _ComposeFile(content, document, origin).read()


class _ComposeFile:
    """Reads a file, and collects its faults and notes."""

    def __init__(self, content: Mapping[str, Any], document: YamlText, origin: Origin) -> None:
        self._content = content
        self._document = document
        self._origin = origin
        self._faults: list[str] = []
        self._notes: list[str] = []
        self._variables = dict(origin.environment)
        self._left_out: set[str] = set()

    def project(self) -> str:
        """The name of the project or stack. Raises FileFault."""
        self._read_dot_env()
        found = self._project()
        if self._faults:
            raise FileFault("\n".join(self._faults))
        return found

    def read(self) -> JobSet:
        """The jobs. Raises FileFault with all faults."""
        self._read_dot_env()
        self._check_names()
        project = self._project()
        named = {kind: self._section(kind) for kind in NAMED}
        is_piped = self._origin.path is None
        around = Around(project, self._origin.folder, self._variables, named, LEFT_OUT_BY_DOCKER if is_piped else "")
        jobs = [job for root in ROOTS for key, given in self._section(root).items() if (job := self._job(around, root, key, given))]
        self._faults += repeated_ids(jobs)
        if not any(root in self._content for root in ROOTS):
            self._faults.append("has no jobs; declare them below jobs:, or below x-jobs: for `docker stack deploy`")
        if self._faults:
            raise FileFault("\n".join(self._faults), tuple(jobs))
        return JobSet(project, tuple(jobs), tuple(self._notes), frozenset(self._left_out) - {job.id for job in jobs})

    def _at(self, *place: str) -> str:
        return f"{'.'.join(place)}{self._line(*place)}"

    def _line(self, *place: str) -> str:
        """The line of a place, in words; nothing for what comes from an included file."""
        is_here = place[:2] in self._document.lines or place[0] not in ROOTS
        return f" (line {self._document.line(place)})" if is_here else ""

    def _read_dot_env(self) -> None:
        file = self._origin.folder / ".env"
        if self._origin.path is None or not file.is_file():
            return
        try:
            self._variables = {**variables_of(file, self._variables), **self._variables}
        except ValueError as error:
            self._faults.append(str(error))

    def _check_names(self) -> None:
        for name in map(str, self._content):
            if name not in TOP and not name.startswith("x-"):
                self._faults.append(f"{self._at(name)}: {unknown_name(name, TOP, 'a compose file')}")
        services, seen = self._section("services"), set[str]()
        for root in ROOTS:
            for key in self._section(root):
                if not JOB_NAME.fullmatch(key):
                    self._faults.append(f"{self._at(root, key)}: is not the name of a job; use letters, digits, '.', '_' and '-'")
                if key in services:
                    self._faults.append(f"{self._at(root, key)}: is the name of a service, too; choose another")
                if key in seen:
                    self._faults.append(f"{self._at(root, key)}: is there twice, below jobs and x-jobs; leave one")
                seen.add(key)

    def _project(self) -> str:
        """The name of the project or stack, as Docker finds it; the faults have one that is wrong or missing."""
        own = self._filled(self._content.get("name"), "name")
        asked = self._origin.project
        if self._origin.path is None and asked and own and own != asked:
            remedy = f"write `docker compose -p {asked} config`, or give --project {own}"
            self._faults.append(f"name: is {own!r}, whose volumes and networks the text may name, and not {asked!r}; {remedy}")
        given = asked or own or self._variables.get("COMPOSE_PROJECT_NAME")
        if not given and self._origin.path is not None:
            folder = self._origin.path.absolute().parent.name.lower()
            given = re.sub(r"[^a-z0-9_-]", "", folder).lstrip("_-")
        if not isinstance(given, str) or not SET_NAME.fullmatch(given):
            self._faults.append(f"name: {given or ''!r} is not the name of a stack; give the stack's, with --project NAME")
        return str(given)

    def _section(self, name: str) -> dict[str, Any]:
        section = self._content.get(name) or {}
        if isinstance(section, dict):
            return {str(key): value for key, value in section.items()}
        if not any(line.startswith(f"{name} ") for line in self._faults):
            self._faults.append(f"{self._at(name)}: is not a map of names")
        return {}

    def _filled(self, value: Any, *place: str) -> Any:
        """The value with the variables in its texts."""
        if isinstance(value, dict):
            return {str(key): self._filled(one, *place, str(key)) for key, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one, *place, str(number)) for number, one in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return filled(value, self._variables)
        except ValueError as error:
            self._faults.append(f"{self._at(*place)}: {error}")
            return value

    def _job(self, around: Around, root: str, key: str, raw: Any) -> WantedJob | None:
        """The job; None for one that its profiles leave out."""
        if not isinstance(raw, dict):
            self._faults.append(f"{self._at(root, key)}: is not a map of attributes")
            return None
        given = self._filled(raw, root, key)
        if self._is_left_out(root, key, given):
            self._left_out.add(_id(around.project, key, given.get(OWN)))
            return None
        reading = Reading(around, lambda *place: self._at(root, key, *place))
        for name in given:
            if name not in (*ATTRIBUTES, "triggers", "profiles") and not name.startswith("x-"):
                reading.fault(unknown_name(name, (*ATTRIBUTES, "triggers", "profiles", OWN), "a job"), name)
        read_attributes(reading, given)
        own = _own(reading, given.get(OWN))
        _read_triggers(reading, given, own)
        _merge(reading, reading.fields, own, (OWN,))
        self._faults += reading.faults
        self._notes += reading.notes
        task, id = reading.fields.pop("task", None) or around.project, reading.fields.pop("id", None)
        reading.places[""] = self._line(root, key)
        return wanted(around.project, str(task), key, reading.fields, id, reading.places)

    def _is_left_out(self, root: str, key: str, given: Mapping[str, Any]) -> bool:
        profiles = given.get("profiles")
        active = {name.strip() for name in self._variables.get("COMPOSE_PROFILES", "").split(",")}
        if not isinstance(profiles, list) or not profiles or "*" in active or active & set(map(str, profiles)):
            return False
        names = " or ".join(map(str, profiles))
        words = f"the job is left out, and stays as it is, unless COMPOSE_PROFILES names {names}"
        self._notes.append(f"{self._at(root, key, 'profiles')}: {words}")
        return True


def _id(project: str, key: str, own: Any) -> str:
    """The id of a job whose other fields are not read."""
    own = own if isinstance(own, dict) else {}
    return wanted(project, str(own.get("task") or project), key, {}, own["id"] if is_id(own.get("id")) else None).id


def _own(reading: Reading, given: Any) -> dict[str, Any]:
    """The fields of ``x-fastlane``; the server says which it knows."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        reading.fault("is not a map of fields", OWN)
        return {}
    for name in ONCE:
        if name in given:
            reading.fault("cannot be applied again and again; use triggers, or `fastlane schedule`", OWN, name)
    wrong = []
    if given.get("id") is not None and not is_id(given["id"]):
        reading.fault(ID_WORDS, OWN, "id")
        wrong.append("id")
    if not isinstance(given.get("labels") or {}, dict):
        reading.fault("is not a map", OWN, "labels")
        wrong.append("labels")
    return {name: value for name, value in given.items() if name not in wrong}


def _merge(reading: Reading, fields: dict[str, Any], own: Mapping[str, Any], place: tuple[str, ...]) -> None:
    """Adds our own fields to those that the attributes gave. What both give is a fault."""
    for name, value in own.items():
        path = (*place, name)
        field = ".".join(path[1:])
        old = fields.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(reading, old, value, path)
        elif name in fields and old != value:
            reading.fault(f"is given by {reading.places.get(field, 'another attribute')} already; leave one", *path)
        else:
            fields[name] = value
            reading.places.setdefault(field, reading.at(*path))


TRIGGERS = ("manual", "schedule")
ENTRY = ("cron", "timezone", "concurrency", "missed_fires")
CONCURRENCY = {"forbid": "skip", "queue": "queue"}
MISSED = {"one": "latest", "skip": "none"}
DEFAULT_ZONE = "UTC"


def _read_triggers(reading: Reading, given: Mapping[str, Any], own: dict[str, Any]) -> None:
    """When the job runs. Docker's defaults differ from ours: UTC, and no run beside another one."""
    triggers = given.get("triggers")
    if triggers is None and (own.get("cron") is not None or own.get("manual") is True or own.get("after")):
        return
    if not isinstance(triggers, dict):
        reading.fault('is missing; write {manual: true}, {schedule: ["0 3 * * *"]}, or after in x-fastlane', "triggers")
        return
    for name in triggers:
        if name not in TRIGGERS:
            reading.fault(unknown_name(name, TRIGGERS, "triggers"), "triggers", name)
    manual, schedule = triggers.get("manual"), triggers.get("schedule")
    try:
        manual = flag(manual, None)
    except ValueError as error:
        reading.fault(str(error), "triggers", "manual")
    if schedule is not None:
        _read_schedule(reading, schedule)
        if manual is False:
            reading.note("has no effect: who may run a job by hand is said by the roles of users", "triggers", "manual")
    elif manual is True:
        if not own.get("after"):  # one that follows others can be run by hand, too
            reading.put("manual", True, "triggers", "manual")
    else:
        reading.fault("would never run the job; write manual: true, or a schedule", "triggers")
    if "overlap" not in own:
        reading.put("overlap", CONCURRENCY["forbid"], "triggers")


def _read_schedule(reading: Reading, schedule: Any) -> None:
    if not isinstance(schedule, list) or not schedule:
        reading.fault('is not a list of schedules; write ["0 3 * * *"]', "triggers", "schedule")
        return
    entries = [_entry(reading, number, one) for number, one in enumerate(schedule)]
    zones = {entry.get("timezone", DEFAULT_ZONE) for entry in entries}
    zone = next(iter(zones)) if len(zones) == 1 else DEFAULT_ZONE
    shown = [_shown(entry, zone) for entry in entries]
    reading.put("cron", shown[0] if len(shown) == 1 and isinstance(shown[0], str) else shown, "triggers", "schedule")
    reading.put("timezone", zone, "triggers", "schedule")


def _shown(entry: dict[str, Any], zone: str) -> Any:
    kept = {name: value for name, value in entry.items() if (name, value) != ("timezone", zone)}
    return kept["cron"] if kept.keys() == {"cron"} else kept


def _entry(reading: Reading, number: int, given: Any) -> dict[str, Any]:
    """An entry as ours: rules only where they are given, and differ from the job's."""
    place = ("triggers", "schedule", str(number))
    if isinstance(given, str):
        return {"cron": given}
    if not isinstance(given, dict):
        reading.fault("is neither text nor a map", *place)
        return {"cron": ""}
    for name in given:
        if name not in ENTRY:
            reading.fault(unknown_name(name, ENTRY, "a schedule"), *place, name)
    if not isinstance(given.get("cron"), str):
        reading.fault("has no cron; write five fields, as text", *place)
    zone = {"timezone": str(given["timezone"])} if given.get("timezone") is not None else {}
    return {
        "cron": str(given.get("cron", "")),
        **zone,
        **dict(_rule(reading, given, "concurrency", "overlap", CONCURRENCY, place)),
        **dict(_rule(reading, given, "missed_fires", "catchUp", MISSED, place)),
    }


def _rule(
    reading: Reading, given: Mapping[str, Any], name: str, field: str, words: Mapping[str, str], place: Sequence[str]
) -> Iterator[tuple[str, str]]:
    value = given.get(name)
    if value is None:
        return
    if not isinstance(value, str) or value not in words:
        reading.fault(f"{value!r} is not known; write {' or '.join(words)}", *place, name)
        return
    yield field, words[value]
