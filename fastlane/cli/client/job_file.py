"""A file of schedules, which ``fastlane apply`` reads. Pure, except for the reading.

set: data                     # the name of the set: what was applied under it belongs to it
defaults: {image: ubuntu}     # fields of each job that does not have its own
jobs:
  nightly: {task: backup, cron: "0 3 * * *", command: [sh, -c, "…"]}
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from fastlane.cli.client.yaml_text import FileFault, read_yaml

NAMESPACE = UUID("6f1b8a52-53a5-4d6e-9a0e-0a4d4a1f6c11")
SET_LABEL, SECRETS_LABEL = "fastlane/set", "fastlane/secrets"
KEYS = ("set", "defaults", "jobs")
ONCE = ("startIn", "startAt")
OF_CRON = ("cron", "timezone", "catchUp")
"""Fields that a manual job does not take over from the file's defaults."""
SUBJECTS = ("image", "service")
"""Of these a job has one. With its own it takes over neither."""
SET_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
NOWHERE: Mapping[str, str] = {}
VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class WantedJob:
    """A job of a file. Its id comes from the names, so that the same file means the same jobs; ``taken_over``: the file names the id of a
    job that was there before. ``places``: where in the file a field was given, by the field's name; "": what ends all other places."""

    key: str
    task: str
    id: str
    fields: Mapping[str, Any]
    taken_over: bool = False
    places: Mapping[str, str] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """Where in the file a field is: ``jobs.nightly.cron``."""
        parts = name.split(".")
        ends = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
        return next((self.places[end] for end in ends if end in self.places), f"jobs.{self.key}.{name}{self.places.get('', '')}")


@dataclass(frozen=True, slots=True)
class JobSet:
    """The jobs of a file. ``notes``: what people should know of them, a line each. ``left_out``: the ids of jobs that are in the file and
    do not count now; they stay on the server as they are."""

    name: str
    jobs: tuple[WantedJob, ...]
    notes: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()


def read_fields(text: str) -> dict[str, Any]:
    """The fields of one job, written as YAML. Raises FileFault."""
    content = read_yaml(text).content
    if not isinstance(content, dict):
        raise FileFault("is not a map of fields; write FIELD: VALUE, a field a line")
    return {str(name): value for name, value in content.items()}


def read_jobs(text: str, environment: Mapping[str, str]) -> JobSet:
    """The set of a file, with ``${NAME}`` replaced from the environment. Raises FileFault with all faults."""
    faults: list[str] = []
    content = _substituted(read_yaml(text).content, environment, "", faults)
    if not isinstance(content, dict) or not isinstance(content.get("jobs"), dict):
        raise FileFault("\n".join(faults) or "has no jobs; write set: NAME, and below jobs: a name for each")
    faults += [f"{key}: there is no such key; there are: {', '.join(KEYS)}" for key in content if key not in KEYS]
    name, defaults = content.get("set"), content.get("defaults") or {}
    if not isinstance(name, str) or not SET_NAME.fullmatch(name):
        faults.append("set: needs a name of up to 63 letters, digits, '.', '_' and '-'")
    if not isinstance(defaults, dict):
        faults.append("defaults: is not a map of fields")
        defaults = {}
    if "id" in defaults:
        faults.append("defaults.id: is for one job; write it there")
    jobs = [_job(str(name), str(key), defaults, given, faults) for key, given in content["jobs"].items()]
    faults += repeated_ids(jobs)
    if faults:
        raise FileFault("\n".join(faults), tuple(jobs))
    return JobSet(str(name), tuple(jobs))


def _job(set_name: str, key: str, defaults: Mapping[str, Any], given: object, faults: list[str]) -> WantedJob:
    if not isinstance(given, dict):
        faults.append(f"jobs.{key}: is not a map of fields")
        given = {}
    left_out = OF_CRON if given.get("manual") is True or given.get("after") else ("manual",) if given.get("cron") is not None else ()
    if any(given.get(name) is not None for name in SUBJECTS):
        left_out = (*left_out, *SUBJECTS)
    fields = {**{name: value for name, value in defaults.items() if name not in left_out}, **given}
    task = str(fields.pop("task", key))
    if fields.get("cron") is None and fields.get("manual") is not True and not fields.get("after"):
        faults.append(f"jobs.{key}.cron: is missing; a file has jobs that run by a schedule, by hand (manual: true), or after others")
    faults += [f"jobs.{key}.{name}: cannot be applied again and again; use cron, or `fastlane schedule`" for name in ONCE if name in fields]
    labels = fields.get("labels") or {}
    if not isinstance(labels, dict):
        faults.append(f"jobs.{key}.labels: is not a map")
        fields["labels"] = {}
    id = fields.pop("id", None)
    if id is not None and not is_id(id):
        faults.append(f"jobs.{key}.id: {ID_WORDS}")
    return wanted(set_name, task, key, fields, id if is_id(id) else None)


ID_WORDS = "is not the id of a job, such as fastlane inspect shows"


def is_id(value: object) -> bool:
    """Whether it is an id of a job."""
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def repeated_ids(jobs: Sequence[WantedJob]) -> list[str]:
    """A fault for each job with the id of one before it."""
    ids = [job.id for job in jobs]
    return [f"{job.place('id')}: is the id of another job of this file, too" for place, job in enumerate(jobs) if job.id in ids[:place]]


def wanted(set_name: str, task: str, key: str, fields: Mapping[str, Any], id: str | None, places: Mapping[str, str] = NOWHERE) -> WantedJob:
    """The job with these fields, of a set. ``id``: of a job that was there before."""
    labels = {**(fields.get("labels") or {}), SET_LABEL: set_name}
    own = id or str(uuid5(NAMESPACE, f"{set_name}\0{task}\0{key}"))
    return WantedJob(key, task, own.lower(), {"name": key, **fields, "labels": labels}, id is not None, places)


def _substituted(value: Any, environment: Mapping[str, str], place: str, faults: list[str]) -> Any:
    """The value with each ``${NAME}`` in its texts replaced; ``$${`` stands for ``${``."""
    if isinstance(value, dict):
        return {key: _substituted(one, environment, f"{place}.{key}" if place else str(key), faults) for key, one in value.items()}
    if isinstance(value, list):
        return [_substituted(one, environment, place, faults) for one in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        if match[2] not in environment:
            faults.append(f"{place}: the variable {match[2]} is not set; to write ${{{match[2]}}} itself, double the dollar sign")
            return ""
        return environment[match[2]]

    return VARIABLE.sub(replaced, value)
