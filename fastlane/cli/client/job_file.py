"""A file of schedules, which ``fastlane apply`` reads. Pure, except for the reading.

set: data                     # the name of the set: what was applied under it belongs to it
defaults: {image: ubuntu}     # fields of each job that does not have its own
jobs:
  nightly: {task: backup, cron: "0 3 * * *", command: [sh, -c, "…"]}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any
from uuid import UUID, uuid5

import yaml

NAMESPACE = UUID("6f1b8a52-53a5-4d6e-9a0e-0a4d4a1f6c11")
SET_LABEL, SECRETS_LABEL = "fastlane/set", "fastlane/secrets"
KEYS = ("set", "defaults", "jobs")
ONCE = ("startIn", "startAt")
OF_CRON = ("cron", "timezone", "catchUp")
"""Fields that a manual job does not take over from the file's defaults."""
SUBJECTS = ("image", "service")
"""Of these a job has one. With its own it takes over neither."""
SET_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
VARIABLE = re.compile(r"\$(\$?)\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class WantedJob:
    """A job of a file. Its id comes from the names, so that the same file means the same jobs."""

    key: str
    task: str
    id: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JobSet:
    """The jobs of a file."""

    name: str
    jobs: tuple[WantedJob, ...]


class FileFault(Exception):
    """The faults of a file, a line each. ``jobs``: the jobs that can be read, for the server's faults."""

    def __init__(self, text: str, jobs: tuple[WantedJob, ...] = ()) -> None:
        super().__init__(text)
        self.jobs = jobs


class _Loader(yaml.SafeLoader):
    """Refuses a key that appears twice, of which YAML would keep the last one, and numbers that JSON does not have. A time is a text, as
    the server takes it."""

    def construct_yaml_float(self, node: yaml.ScalarNode) -> float:
        """See yaml."""
        found: float = super().construct_yaml_float(node)
        if not isfinite(found):
            raise FileFault(f"line {node.start_mark.line + 1}: {node.value} is not a number")
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """See yaml."""
        self.flatten_mapping(node)
        found = super().construct_mapping(node, deep)
        if len(found) != len(node.value):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise FileFault(f"line {node.start_mark.line + 1}: {twice!r} appears twice")
        return found


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if not tag.endswith(":timestamp")]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_fields(text: str) -> dict[str, Any]:
    """The fields of one job, written as YAML. Raises FileFault."""
    content = _read(text)
    if not isinstance(content, dict):
        raise FileFault("is not a map of fields; write FIELD: VALUE, a field a line")
    return {str(name): value for name, value in content.items()}


def _read(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise FileFault(f"is not YAML: {' '.join(str(error).split())}") from None


def read_jobs(text: str, environment: Mapping[str, str]) -> JobSet:
    """The set of a file, with ``${NAME}`` replaced from the environment. Raises FileFault with all faults."""
    faults: list[str] = []
    content = _substituted(_read(text), environment, "", faults)
    if not isinstance(content, dict) or not isinstance(content.get("jobs"), dict):
        raise FileFault("\n".join(faults) or "has no jobs; write set: NAME, and below jobs: a name for each")
    faults += [f"{key}: there is no such key; there are: {', '.join(KEYS)}" for key in content if key not in KEYS]
    name, defaults = content.get("set"), content.get("defaults") or {}
    if not isinstance(name, str) or not SET_NAME.fullmatch(name):
        faults.append("set: needs a name of up to 63 letters, digits, '.', '_' and '-'")
    if not isinstance(defaults, dict):
        faults.append("defaults: is not a map of fields")
        defaults = {}
    jobs = [_job(str(name), str(key), defaults, given, faults) for key, given in content["jobs"].items()]
    if faults:
        raise FileFault("\n".join(faults), tuple(jobs))
    return JobSet(str(name), tuple(jobs))


def _job(set_name: str, key: str, defaults: Mapping[str, Any], given: object, faults: list[str]) -> WantedJob:
    if not isinstance(given, dict):
        faults.append(f"jobs.{key}: is not a map of fields")
        given = {}
    left_out = OF_CRON if given.get("manual") is True else ("manual",) if given.get("cron") is not None else ()
    if any(given.get(name) is not None for name in SUBJECTS):
        left_out = (*left_out, *SUBJECTS)
    fields = {**{name: value for name, value in defaults.items() if name not in left_out}, **given}
    task = str(fields.pop("task", key))
    if fields.get("cron") is None and fields.get("manual") is not True:
        faults.append(f"jobs.{key}.cron: is missing; a file has jobs that run by a schedule, or by hand (manual: true)")
    faults += [f"jobs.{key}.{name}: cannot be applied again and again; use cron, or `fastlane schedule`" for name in ONCE if name in fields]
    labels = fields.get("labels") or {}
    if not isinstance(labels, dict):
        faults.append(f"jobs.{key}.labels: is not a map")
        labels = {}
    fields |= {"labels": {**labels, SET_LABEL: set_name}}
    fields.setdefault("name", key)
    return WantedJob(key, task, str(uuid5(NAMESPACE, f"{set_name}\0{task}\0{key}")), fields)


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
