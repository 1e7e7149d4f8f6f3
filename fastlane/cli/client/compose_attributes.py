"""The attributes of a job in a compose file, and the fields of a job that they mean. Each is declared once, in ``ATTRIBUTES``: its reader,
or why a job of fastlane has no such thing. Pure, except for files of variables."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any

from fastlane.cli.client.compose_variables import filled, variables_of


@dataclass(frozen=True, slots=True)
class Around:
    """What a job's attributes refer to: the folder of its file, the values of variables, and the file's ``volumes``, ``networks``,
    ``secrets``, ``configs`` and ``services``. ``remedy``: what is added to the fault of a name that is not among them."""

    project: str
    folder: Path
    environment: Mapping[str, str]
    named: Mapping[str, Mapping[str, Any]]
    remedy: str = ""

    def name(self, kind: str, key: str) -> str:
        """The name in the swarm of something that the file declares. Raises ValueError when it does not declare it."""
        declared = self.named.get(kind, {})
        if key not in declared and not (kind == "networks" and key == "default"):
            raise ValueError(f"names {key!r}, which the file does not declare below {kind}{self.remedy}")
        options = declared.get(key)
        try:
            return self._name(key, options if isinstance(options, dict) else {})
        except ValueError as error:
            raise ValueError(f"names {key!r}, which cannot be read below {kind}: {error}") from None

    def _name(self, key: str, options: Mapping[str, Any]) -> str:
        external = options.get("external")
        if isinstance(external, dict):
            return str(self._filled(external.get("name")) or key)
        return str(self._filled(options.get("name")) or (key if flag(self._filled(external), False) else f"{self.project}_{key}"))

    def _filled(self, value: Any) -> Any:
        return filled(value, self.environment) if isinstance(value, str) else value

    @property
    def has_default_network(self) -> bool:
        """Whether the stack has a network of its own: a service uses it, or the file declares it in more words than Docker adds itself."""
        declared = self.named.get("networks", {}).get("default", {"name": f"{self.project}_default"})
        added = (
            isinstance(declared, dict)
            and set(declared) <= {"name", "ipam"}
            and self.name("networks", "default") == f"{self.project}_default"
            and "name" in declared
        )
        return not added or any(_uses_default(one) for one in self.named.get("services", {}).values())


def _uses_default(service: Any) -> bool:
    networks = service.get("networks") if isinstance(service, dict) else None
    return (
        "default" in networks
        if networks and isinstance(networks, list | dict)
        else not (isinstance(service, dict) and service.get("network_mode"))
    )


@dataclass
class Reading:
    """What has been read of one job. ``at``: how a place in it is called, by the names of its attributes."""

    around: Around
    at: Callable[..., str]
    fields: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def put(self, name: str, value: Any, *place: str) -> None:
        """Gives a field its value; the items of a list and of an object are added to those that it has."""
        *above, last = name.split(".")
        target = self.fields
        for part in above:
            target = target.setdefault(part, {})
        if isinstance(value, list) and isinstance(target.get(last), list):
            value = [*target[last], *value]
        if isinstance(value, dict) and isinstance(target.get(last), dict):
            value = {**target[last], **value}
        target[last] = value
        self.places.setdefault(name, self.at(*place))

    def fault(self, words: str, *place: str) -> None:
        """Something that cannot be read, or that fastlane does not do."""
        self.faults.append(f"{self.at(*place)}: {words}")

    def note(self, words: str, *place: str) -> None:
        """Something that has no effect."""
        self.notes.append(f"{self.at(*place)}: {words}")


Reader = Callable[[Reading, Any, str], None]
"""Reads the value of an attribute, of this name, into fields."""


def items_of(value: Any, *signs: str) -> Iterator[tuple[str, Any]]:
    """The names and values of a map, or of a list of NAME=VALUE. Raises ValueError."""
    if isinstance(value, dict):
        yield from ((str(name), one) for name, one in value.items())
        return
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("is neither a map nor a list of NAME=VALUE")
    for one in value:
        sign = min((sign for sign in signs if sign in one), key=one.index, default="")
        name, _, rest = one.partition(sign) if sign else (one, "", None)
        yield name.strip(), rest


def map_of(value: Any) -> Mapping[str, Any]:
    """The map; an empty one for nothing. Raises ValueError for anything else."""
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"has {value!r} where a map is meant")
    return value or {}


def list_of(value: Any) -> list[Any]:
    """The items of a list, or the one text."""
    return value if isinstance(value, list) else [value]


def _as(name: str, change: Callable[[Any], Any] = lambda value: value) -> Reader:
    """The field of this name, with the value of the attribute."""

    def read(reading: Reading, value: Any, attribute: str) -> None:
        reading.put(name, change(value), attribute)

    return read


def _several(name: str, change: Callable[[Any], Any]) -> Reader:
    """The field of this name, with the items of the attribute, if there are any."""

    def read(reading: Reading, value: Any, attribute: str) -> None:
        if items := change(value):
            reading.put(name, items, attribute)

    return read


def _ulimits(value: Any) -> dict[str, Any]:
    """Ulimits by name; a number or a pair of them may be texts where variables gave them."""
    return {
        str(name): {part: _whole(given) for part, given in one.items()} if isinstance(one, dict) else one
        for name, one in map_of(value).items()
    }


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value) else value


def flag(value: Any, otherwise: bool | None) -> bool | None:
    """The truth that a value states, which is a text where a variable gave it; ``otherwise`` for nothing. Raises ValueError."""
    if value is None or isinstance(value, bool):
        return otherwise if value is None else value
    if isinstance(value, str) and value.strip().lower() in FLAGS:
        return FLAGS[value.strip().lower()]
    raise ValueError(f"{value!r} is neither true nor false")


FLAGS = {"true": True, "false": False}


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _size(value: Any) -> Any:
    """A size as Docker writes it, 64mb, as fastlane reads it: 64m."""
    return re.sub(r"(?i)(?<=[kmg])b$", "", value.strip()) if isinstance(value, str) else value


def _number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = inf
        if not isfinite(number):
            raise ValueError(f"{value!r} is not a number")
        return number
    return value


def _environment(reading: Reading, value: Any, attribute: str) -> None:
    found = {}
    for name, given in items_of(value, "="):
        one = reading.around.environment.get(name) if given is None else given
        if one is not None:
            found[name] = one
    reading.put("envs", found, attribute)


def _env_file(reading: Reading, value: Any, attribute: str) -> None:
    found: dict[str, Any] = {}
    for one in list_of(value):
        path, required = (one.get("path"), flag(one.get("required"), True)) if isinstance(one, dict) else (one, True)
        if not isinstance(path, str):
            raise ValueError("is not the name of a file")
        file = reading.around.folder / Path(path)
        if required or file.exists():
            found |= variables_of(file, reading.around.environment)
    own = reading.fields.get("envs", {})
    reading.put("envs", {name: one for name, one in found.items() if name not in own}, attribute)


def _volumes(reading: Reading, value: Any, attribute: str) -> None:
    _each(reading, value, attribute, "container.mounts", _mount)


def _each(reading: Reading, value: Any, attribute: str, field: str, read: Callable[[Around, Any], Any]) -> None:
    """Each item of a list, with a fault of its own."""
    if not isinstance(value, list):
        raise ValueError("is not a list")
    found = []
    for number, one in enumerate(value):
        try:
            found.append(read(reading.around, one))
        except ValueError as error:
            reading.fault(str(error), attribute, str(number))
    reading.put(field, found, attribute)


RELATIVE = "is a path of this machine, which the nodes of a swarm don't have; use a volume, or an absolute path that each node has"
MODES = frozenset({"ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"})


def _mount(around: Around, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return _long_mount(around, value)
    if not isinstance(value, str):
        raise ValueError("is neither text nor a map")
    source, colon, rest = value.partition(":")
    target, _, mode = rest.partition(":")
    if not colon:
        raise ValueError(f"{value!r} has no name, so that nothing could be found in it later; name it: NAME:{value}")
    if unknown := [word for word in mode.split(",") if word and word not in MODES]:
        raise ValueError(f"{', '.join(unknown)} is not known here; write SOURCE:TARGET or SOURCE:TARGET:ro")
    kind = "bind" if re.match(r"[./~]", source) else "volume"
    return _made(around, kind, source, target, "ro" in mode.split(","))


def _long_mount(around: Around, value: Mapping[str, Any]) -> dict[str, Any]:
    known = ("type", "source", "target", "read_only", "consistency", "bind", "volume", "tmpfs")
    for name in value:
        check_name(str(name), known, "a volume")
    options = map_of(value.get("tmpfs"))
    if options.get("mode") is not None:
        raise ValueError("has a mode, which fastlane cannot set; leave it out")
    if map_of(value.get("volume")).get("subpath"):
        raise ValueError("has a subpath, which a job cannot have; mount the volume, and use the path in it")
    if map_of(value.get("bind")).get("propagation"):
        raise ValueError("has a propagation, which a job cannot have; leave it out")
    kind = str(value.get("type") or "volume")
    if kind not in ("bind", "volume", "tmpfs"):
        raise ValueError(f"{kind} is a kind that a job cannot have; there are bind, volume and tmpfs")
    if kind == "tmpfs":
        size = options.get("size")
        return {"type": kind, "target": value.get("target"), **({} if size is None else {"size": _size(size)})}
    return _made(around, kind, str(value.get("source") or ""), str(value.get("target") or ""), flag(value.get("read_only"), False) is True)


def _made(around: Around, kind: str, source: str, target: str, read_only: bool) -> dict[str, Any]:
    if kind == "bind" and not source.startswith("/"):
        raise ValueError(f"{source!r} {RELATIVE}")
    if not source:
        raise ValueError("is a volume without a name, so that nothing could be found in it later; give it a source")
    name = source if kind == "bind" else around.name("volumes", source)
    return {"type": kind, "source": name, "target": target, "readOnly": read_only}


def _tmpfs(reading: Reading, value: Any, attribute: str) -> None:
    _each(reading, list_of(value), attribute, "container.mounts", _memory)


def _memory(_around: Around, value: Any) -> dict[str, Any]:
    target, _, options = str(value).partition(":")
    given = dict(one.partition("=")[::2] for one in options.split(",") if one)
    if unknown := [name for name in given if name != "size"]:
        raise ValueError(f"has {', '.join(unknown)}, which fastlane cannot set; only size")
    return {"type": "tmpfs", "target": target, **({"size": _size(given["size"])} if "size" in given else {})}


def _networks(reading: Reading, value: Any, attribute: str) -> None:
    if value in (["default"], {"default": None}) and not reading.around.has_default_network:
        return
    found = []
    for key, options in ((one, None) for one in value) if isinstance(value, list) else items_of(value):
        try:
            if set(map_of(options)) - {"priority", "gw_priority"}:
                raise ValueError(f"has {', '.join(map_of(options))}, which a job cannot have: nothing looks for it by a name or an address")
            found.append(reading.around.name("networks", str(key)))
        except ValueError as error:
            reading.fault(str(error), attribute, str(key) if isinstance(value, dict) else str(value.index(key)))
    reading.put("container.networks", found, attribute)


def _network_mode(reading: Reading, value: Any, attribute: str) -> None:
    if value not in ("host", "bridge"):
        raise ValueError(f"{value} is not for jobs of a swarm; there are host and bridge")
    reading.put("container.networks", [value], attribute)


def _secrets(reading: Reading, value: Any, attribute: str) -> None:
    _each(reading, value, attribute, "container.secrets", _secret)


def _secret(around: Around, value: Any) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {"source": value}
    for name in given:
        check_name(str(name), ("source", "target", "uid", "gid", "mode"), "a secret")
    if str(given.get("uid", "0")) != "0" or str(given.get("gid", "0")) != "0" or given.get("mode", 0o444) not in (0o444, "0444"):
        raise ValueError("has a uid, gid or mode of its own, which a job cannot have: root owns the file, and everyone may read it")
    key = str(given.get("source") or "")
    target = str(given.get("target") or key).removeprefix("/run/secrets/")
    if "/" in target:
        raise ValueError(f"{target!r} is not in /run/secrets; a secret of a job is a file there")
    return {"name": around.name("secrets", key), "target": target}


def _configs(reading: Reading, value: Any, attribute: str) -> None:
    _each(reading, value, attribute, "container.configs", _config)


def _config(around: Around, value: Any) -> dict[str, Any]:
    given = value if isinstance(value, dict) else {"source": value}
    for name in given:
        check_name(str(name), ("source", "target", "uid", "gid", "mode"), "a config")
    key = str(given.get("source") or "")
    mode = given.get("mode")
    made = {
        "name": around.name("configs", key),
        "target": "/" + str(given.get("target") or key).removeprefix("/"),
        **{name: _whole(given[name]) for name in ("uid", "gid") if given.get(name) is not None},
    }
    return made if mode is None else {**made, "mode": f"{mode:04o}" if isinstance(mode, int) else mode}


def _labels(reading: Reading, value: Any, attribute: str) -> None:
    pairs = {name: "" if one is None else one if isinstance(one, str) else _shown(one) for name, one in items_of(value, "=")}
    reading.put("labels", pairs, attribute)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hosts(reading: Reading, value: Any, attribute: str) -> None:
    found = {}
    for name, given in items_of(value, "=", ":"):
        one = str((given[0] if isinstance(given, list) and given else given) or "")
        found[name] = one.removeprefix("[").removesuffix("]")
    reading.put("container.extraHosts", found, attribute)


def _deploy(reading: Reading, value: Any, attribute: str) -> None:
    _inside(reading, value, (attribute,), DEPLOY)


def _inside(reading: Reading, value: Any, place: tuple[str, ...], known: Mapping[str, Any]) -> None:
    """The parts of a map: further maps, fields (with the change of their values), and what is refused or left out, with the reason."""
    if not isinstance(value, dict):
        return reading.fault("is not a map", *place)
    for name, one in value.items():
        here = (*place, str(name))
        rule = known.get(str(name))
        if rule is None:
            reading.fault(unknown_name(str(name), known, ".".join(place)), *here)
        elif isinstance(rule, dict):
            _inside(reading, one, here, rule)
        elif isinstance(rule, LeftOut):
            reading.note(rule.why, *here)
        elif isinstance(rule, Unsupported):
            reading.fault(rule.why, *here)
        elif one is not None:
            try:
                reading.put(rule[0], rule[1](one), *here)
            except ValueError as error:
                reading.fault(str(error), *here)
    return None


def unknown_name(name: str, known: Any, what: str) -> str:
    """The fault of a name that is not known, with the nearest ones."""
    from fastlane.cli.client.reference import nearest

    near = nearest(name, known)
    return f"there is no {name!r} in {what}{'; did you mean ' + ' or '.join(map(repr, near)) + '?' if near else ''}"


def check_name(name: str, known: Any, what: str) -> None:
    """Raises ValueError for a name that is not known."""
    if name not in known:
        raise ValueError(unknown_name(name, known, what))


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Something that a job of fastlane does not have: why, and what to do instead."""

    why: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that has no effect on a job of fastlane: why."""

    why: str


def _generic(value: Any) -> dict[str, Any]:
    """How many of each generic resource. Raises ValueError."""
    found = {}
    for one in list_of(value):
        given = map_of(map_of(one).get("discrete_resource_spec"))
        if not given or set(given) - {"kind", "value"}:
            raise ValueError("is not a list of {discrete_resource_spec: {kind: gpu, value: 1}}")
        found[str(given.get("kind"))] = _whole(given.get("value"))
    return found


def _depends_on(reading: Reading, value: Any, attribute: str) -> None:
    pairs = [(str(one), {}) for one in value] if isinstance(value, list) else list(items_of(value))
    for name, options in pairs:
        condition = options.get("condition", "service_started") if isinstance(options, dict) else ""
        if condition == "service_started" and name in reading.around.named.get("services", {}):
            reading.note(f"{name}: is left out; a stack's services run all the time, and a job may start before one is ready", attribute)
        else:
            what = condition if name in reading.around.named.get("services", {}) else "a job, or nothing of this file"
            reading.fault(f"{name}: cannot be waited for ({what}); let the command wait, or give the job retries", attribute)


def _unless_false(why: str) -> Reader:
    """An attribute that is only refused where it asks for something."""

    def check(reading: Reading, value: Any, attribute: str) -> None:
        if value not in (False, None, [], {}) and FLAGS.get(str(value).strip().lower()) is not False:
            reading.fault(why, attribute)

    return check


def _healthcheck(reading: Reading, value: Any, attribute: str) -> None:
    options = map_of(value)
    if flag(options.get("disable"), False) is not True and list_of(options.get("test")) != ["NONE"]:
        reading.note("has no effect: a run ends by its command's end, and no check runs in it", attribute)


def _restart(reading: Reading, value: Any, attribute: str) -> None:
    if value not in ("no", False, "none"):
        reading.fault(RESTARTS, attribute)


NOT_HERE = Unsupported("a job cannot have it; leave it out")
RESTARTS = "a job is not restarted; how often a failed run is tried again says x-fastlane: {retries: 2}"
DEVICES = (
    "is for one engine; a swarm counts generic resources of its nodes: "
    "deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 1}}]}}}"
)
HARDENING = "a job cannot have it, and would run with more rights than this asks for"

DEPLOY: Mapping[str, Any] = {
    "resources": {
        "limits": {
            "cpus": ("resources.cpus", _number),
            "memory": ("resources.memory", _size),
            "pids": ("resources.pids", _number),
        },
        "reservations": {
            "cpus": ("resources.reserve.cpus", _number),
            "memory": ("resources.reserve.memory", _size),
            "devices": Unsupported(DEVICES),
            "generic_resources": ("resources.reserve.generic", _generic),
        },
    },
    "placement": {
        "constraints": ("container.constraints", list_of),
        "preferences": Unsupported("a run has one container; write constraints"),
        "max_replicas_per_node": LeftOut("has no effect on a run of one container"),
    },
    "labels": LeftOut("are labels of a service, and a job has none all the time; labels beside deploy are the job's"),
    "restart_policy": Unsupported(RESTARTS),
    "mode": Unsupported("a run is one container; leave it out"),
    "replicas": Unsupported("a run is one container; leave it out"),
    "update_config": LeftOut("has no effect on a job"),
    "rollback_config": LeftOut("has no effect on a job"),
    "endpoint_mode": LeftOut("has no effect on a job"),
}
ATTRIBUTES: Mapping[str, Reader | Unsupported | LeftOut] = {
    "image": _as("image"),
    "command": _as("command"),
    "environment": _environment,
    "env_file": _env_file,
    "volumes": _volumes,
    "tmpfs": _tmpfs,
    "networks": _networks,
    "network_mode": _network_mode,
    "secrets": _secrets,
    "configs": _configs,
    "labels": _labels,
    "extra_hosts": _hosts,
    "user": _as("container.user", _text),
    "working_dir": _as("container.workdir"),
    "init": _as("container.init", lambda value: flag(value, None)),
    "entrypoint": _as("container.entrypoint"),
    "hostname": _as("container.hostname"),
    "read_only": _as("container.readOnly", lambda value: flag(value, None)),
    "dns": _several("container.dns", list_of),
    "cap_add": _several("container.capAdd", list_of),
    "cap_drop": _several("container.capDrop", list_of),
    "sysctls": _several("container.sysctls", lambda value: dict(items_of(value, "="))),
    "ulimits": _several("container.ulimits", _ulimits),
    "stop_signal": _as("container.stopSignal"),
    "stop_grace_period": _as("container.stopGrace"),
    "cpus": _as("resources.cpus", _number),
    "mem_limit": _as("resources.memory", _size),
    "mem_reservation": _as("resources.reserve.memory", _size),
    "pids_limit": _as("resources.pids"),
    "deploy": _deploy,
    "timeout": _as("timeout"),
    "depends_on": _depends_on,
    "restart": _restart,
    "build": Unsupported("a swarm builds no image; build it, push it to a registry, and write image"),
    "extends": Unsupported("could not be resolved; write the attributes here, or merge them by a YAML alias"),
    "platform": Unsupported("is not a job's; write deploy: {placement: {constraints: [node.platform.arch==x86_64]}}"),
    "gpus": Unsupported(DEVICES),
    "ports": Unsupported("a job publishes no ports; leave them out"),
    "healthcheck": _healthcheck,
    "logging": LeftOut("has no effect: fastlane keeps the log itself"),
    "pull_policy": LeftOut("has no effect: the pool's setting pull says when the registry is asked"),
    "expose": LeftOut("has no effect on a job"),
    "attach": LeftOut("has no effect: fastlane logs -f follows the log"),
    "annotations": LeftOut("has no effect on a job"),
    "label_file": Unsupported("is not read; write labels"),
    "container_name": Unsupported("each run has a container of its own, and a name of its own; leave it out"),
    **dict.fromkeys(("scale", "develop", "provider", "post_start", "pre_start", "pre_stop", "links", "external_links"), NOT_HERE),
    **dict.fromkeys(("tty", "stdin_open", "privileged", "use_api_socket", "oom_kill_disable"), _unless_false(NOT_HERE.why)),
    **dict.fromkeys(("security_opt", "userns_mode"), _unless_false(HARDENING)),
    **dict.fromkeys(("devices", "device_cgroup_rules", "group_add", "dns_opt", "dns_search"),
                    _unless_false(NOT_HERE.why)),
    **dict.fromkeys(
        ("blkio_config", "cgroup", "cgroup_parent", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period",
         "cpu_rt_runtime", "cpu_shares", "cpuset", "credential_spec", "domainname", "driver_opts",
         "ipc", "isolation", "mac_address", "mem_swappiness",
         "memswap_limit", "models", "oom_score_adj", "pid", "runtime", "shm_size", "storage_opt", "uts", "volumes_from"),
        NOT_HERE,
    ),
}  # fmt: skip
"""The attributes of a service, in the order in which they are read."""


def read_attributes(reading: Reading, given: Mapping[str, Any]) -> None:
    """Reads all attributes, in the order of ``ATTRIBUTES``, so that what is said twice has one meaning."""
    for attribute, rule in ATTRIBUTES.items():
        value = given.get(attribute)
        if value is None:
            continue
        if isinstance(rule, Unsupported):
            reading.fault(rule.why, attribute)
        elif isinstance(rule, LeftOut):
            reading.note(rule.why, attribute)
        else:
            try:
                rule(reading, value, attribute)
            except ValueError as error:
                reading.fault(str(error), attribute)
    if given.get("networks") is None and given.get("network_mode") is None:
        try:
            if reading.around.has_default_network:
                reading.put("container.networks", [reading.around.name("networks", "default")])
        except ValueError as error:
            reading.fault(str(error), "networks")
