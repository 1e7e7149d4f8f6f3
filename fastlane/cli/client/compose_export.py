"""A job as the ``jobs:`` of a compose file, so that ``fastlane apply`` of that file changes nothing. Pure."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid5

from fastlane.cli.client.compose_file import CONCURRENCY, DEFAULT_ZONE, JOB_NAME, MISSED, OWN
from fastlane.cli.client.job_file import NAMESPACE, SECRETS_LABEL, SET_LABEL, SET_NAME

HIDDEN = "********"
USUAL_MODE = 0o444
ATTRIBUTES = {
    "image": "image",
    "command": "command",
    "envs": "environment",
    "labels": "labels",
    "timeout": "timeout",
    "container.user": "user",
    "container.workdir": "working_dir",
    "container.init": "init",
    "container.stopSignal": "stop_signal",
    "container.stopGrace": "stop_grace_period",
    "container.extraHosts": "extra_hosts",
    "container.entrypoint": "entrypoint",
    "container.hostname": "hostname",
    "container.readOnly": "read_only",
    "container.dns": "dns",
    "container.capAdd": "cap_add",
    "container.capDrop": "cap_drop",
    "container.sysctls": "sysctls",
    "container.ulimits": "ulimits",
    "resources.cpus": "cpus",
    "resources.memory": "mem_limit",
    "resources.pids": "pids_limit",
    "resources.reserve.memory": "mem_reservation",
}
"""The attribute for each field that means the same. What is not here stands below ``x-fastlane``."""
DIGITS = re.compile(r"[0-9*,/ -]+")
CONCURRENCY_OF, MISSED_OF = ({ours: docker for docker, ours in words.items()} for words in (CONCURRENCY, MISSED))


def compose_of(job: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The content of the file, and the variables in it that stand for values which the server does not show. ``job``: as the server
    has it."""
    variables: list[str] = []
    given = _written({name: value for name, value in job["definition"].items() if value is not None}, (), variables)
    given |= {name: _filled(given[name]) for name in ("container", "resources") if name in given}
    labels = given.pop("labels", {})
    labels.pop(SECRETS_LABEL, None)
    name, task = given.pop("name", None), job["taskId"]
    project = labels.pop(SET_LABEL, None) or _name(task, SET_NAME)
    key = _name(name or task, JOB_NAME)
    own: dict[str, Any] = {} if task == project else {"task": task}
    own |= {} if job["id"] == str(uuid5(NAMESPACE, f"{project}\0{task}\0{key}")) else {"id": job["id"]}
    own |= {} if name == key else {"name": name}
    triggers = _triggers(given, own)
    made: dict[str, Any] = {}
    top: dict[str, Any] = {}
    for field, attribute in ATTRIBUTES.items():
        value = labels if field == "labels" else _taken(given, field)
        if value not in (None, {}):
            made[attribute] = value
    container = given.get("container", {})
    if generic := _taken(given, "resources.reserve.generic"):
        specs = [{"discrete_resource_spec": {"kind": kind, "value": value}} for kind, value in generic.items()]
        made["deploy"] = {"resources": {"reservations": {"generic_resources": specs}}}
    if mounts := container.pop("mounts", None):
        made["volumes"] = [_volume(mount, top) for mount in mounts]
    _networks(container, made, top)
    if secrets := container.pop("secrets", None):
        made["secrets"] = [{"source": one["name"], "target": one["target"]} for one in secrets]
        top["secrets"] = {one["name"]: {"external": True} for one in secrets}
    if configs := container.pop("configs", None):
        made["configs"] = [_config(one) for one in configs]
        top["configs"] = {one["name"]: {"external": True} for one in configs}
    own |= {name: value for name, value in given.items() if value not in ({}, [])}
    made |= triggers | ({OWN: own} if own else {})
    return {"name": project, "jobs": {key: made}, **top}, variables


def _name(text: str, form: re.Pattern[str]) -> str:
    """The text as a name of this form."""
    if form.fullmatch(text):
        return text
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:60].strip("-._") or "job"


def _written(value: Any, place: tuple[str, ...], variables: list[str]) -> Any:
    """The value with its texts as the file has them: a dollar sign twice, a variable for what is not shown."""
    if isinstance(value, dict):
        return {name: _written(one, (*place, name), variables) for name, one in value.items()}
    if isinstance(value, list):
        return [_written(one, (*place, str(number)), variables) for number, one in enumerate(value)]
    if not isinstance(value, str):
        return value
    text = value.replace("$", "$$")
    if HIDDEN not in text:
        return text
    variable = re.sub(r"\W", "_", place[1] if place[0] == "envs" else "_".join(place).upper())
    variables.append(variable)
    return text.replace(HIDDEN, f"${{{variable}}}")


def _filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the fields that are empty, as those that were not given are."""
    found = {name: _filled(one) if isinstance(one, dict) else one for name, one in given.items()}
    return {name: one for name, one in found.items() if one not in (None, [], {})}


def _taken(fields: dict[str, Any], path: str) -> Any:
    """Takes a field out, and the objects that are empty then."""
    first, _, rest = path.partition(".")
    if not rest:
        return fields.pop(first, None)
    inner = fields.get(first)
    if not isinstance(inner, dict):
        return None
    found = _taken(inner, rest)
    if not inner:
        del fields[first]
    return found


def _triggers(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The triggers; nothing where Docker has no word for the schedule, which then stays one of ours."""
    overlap = given.pop("overlap", "allow")
    own |= {} if overlap == "skip" else {"overlap": overlap}
    if given.get("manual"):
        del given["manual"]
        return {"triggers": {"manual": True}}
    if given.get("after"):
        own |= {"overlap": overlap}
        return {}
    cron, zone = given.get("cron"), given.get("timezone", DEFAULT_ZONE)
    entries = [one if isinstance(one, dict) else {"cron": one} for one in (cron if isinstance(cron, list) else [cron])]
    if not all(DIGITS.fullmatch(str(one["cron"])) and one.get("overlap", "skip") in CONCURRENCY_OF for one in entries):
        own |= {"overlap": overlap}
        return {}
    del given["cron"]
    given.pop("timezone", None)
    return {"triggers": {"schedule": [_entry(one, zone) for one in entries]}}


def _entry(one: Mapping[str, Any], zone: str) -> Any:
    zone = one.get("timezone", zone)
    rules = {
        "timezone": None if zone == DEFAULT_ZONE else zone,
        "concurrency": CONCURRENCY_OF.get(one.get("overlap", "")),
        "missed_fires": MISSED_OF.get(one.get("catchUp", "")),
    }
    kept = {name: value for name, value in rules.items() if value is not None}
    return {"cron": one["cron"], **kept} if kept else one["cron"]


def _volume(mount: Mapping[str, Any], top: dict[str, Any]) -> Any:
    if mount["type"] == "tmpfs":
        return {"type": "tmpfs", "target": mount["target"], **({"tmpfs": {"size": mount["size"]}} if mount.get("size") else {})}
    if mount["type"] == "volume":
        top.setdefault("volumes", {})[mount["source"]] = {"external": True}
    return f"{mount['source']}:{mount['target']}{':ro' if mount.get('readOnly') else ''}"


def _config(given: Mapping[str, Any]) -> dict[str, Any]:
    """A config as Docker writes it: ids are texts, and the mode is a number."""
    ids = {name: str(given[name]) for name in ("uid", "gid") if given.get(name)}
    mode = int(given["mode"], 8)
    return {"source": given["name"], "target": given["target"], **ids, **({} if mode == USUAL_MODE else {"mode": mode})}


def _networks(container: dict[str, Any], made: dict[str, Any], top: dict[str, Any]) -> None:
    networks = container.get("networks") or []
    if networks in (["host"], ["bridge"]):
        made["network_mode"] = networks[0]
    elif networks and not {"host", "bridge"} & set(networks):
        made["networks"] = networks
        top["networks"] = {name: {"external": True} for name in networks}
    else:
        return
    del container["networks"]
