"""The forms of ``resources`` and ``container``, as JSON Schema says them: what the readers in ``containers`` take."""

from collections.abc import Mapping

from fastlane.models.container import options
from fastlane.web.api.containers import MOST_CONSTRAINTS, MOST_HOSTS, MOST_MOUNTS, MOST_NETWORKS, MOST_SECRETS, OLD_HOSTS
from fastlane.web.api.json_schema import JsonSchema, integer, nullable

_NULL: JsonSchema = {"type": "null"}
_ANY_SIZE = r"^(?:(?:[4-9]|[1-9][0-9]{1,8})(?:[mM]|MiB)|[1-9][0-9]{0,5}(?:[gG]|GiB))$"
_PATH = r"(?:/(?!\.{1,2}(?:/|:|$))[^/:\u0000-\u001f\u007f-\u009f]+)+"
_NO_TEMPLATE = r"(?![\s\S]*\{\{)"
_VOLUME = options.VOLUME.pattern


def _about(shape: JsonSchema, description: str) -> JsonSchema:
    return {**shape, "description": description}


def _text(pattern: str, longest: int) -> JsonSchema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": f"^{pattern}$"}


def _size(least: int) -> JsonSchema:
    return {"anyOf": [integer(least, options.MOST_BYTES), {"type": "string", "maxLength": 20, "pattern": _ANY_SIZE}]}


def _list(part: JsonSchema, most: int, **more: object) -> JsonSchema:
    return {"type": "array", "items": part, "maxItems": most, **more}


def _object(properties: Mapping[str, JsonSchema], required: tuple[str, ...] = ()) -> JsonSchema:
    """An object of these properties and no others; what is not required may be null."""
    forms = {name: dict(shape) if name in required or shape is _NULL else nullable(shape) for name, shape in properties.items()}
    return {"type": "object", "properties": forms, "additionalProperties": False, **({"required": list(required)} if required else {})}


_SIZE_WORDS = 'in bytes, or with a unit of memory such as "512m", "1.5g" or "512MiB"'
_CPUS: JsonSchema = {"type": "number", "minimum": options.LEAST_CPUS, "maximum": options.MOST_CPUS}
RESOURCES: JsonSchema = {
    **_object({
        "cpus": _about(_CPUS, "The most processors that it gets: 0.5 is half of one."),
        "memory": _about(_size(options.LEAST_MEMORY), f"The most memory that it gets, {_SIZE_WORDS}; what takes more is killed."),
        "pids": _about(integer(1, options.MOST_PIDS), "The most processes and threads."),
        "reserve": _about(
            _object({
                "cpus": _about(_CPUS, "Processors; no more than the limit."),
                "memory": _about(_size(options.LEAST_MEMORY), f"Memory, {_SIZE_WORDS}; no more than the limit."),
            }),
            "What its node must have free, and keeps for it.",
        ),
    }),
    "examples": [{"cpus": 1.5, "memory": "512m", "pids": 200, "reserve": {"memory": "256m"}}],
}  # fmt: skip

_ABSOLUTE: JsonSchema = {**_text(f"{_NO_TEMPLATE}(?:/|{_PATH}/?)", options.LONGEST_PATH)}
_TARGET: JsonSchema = {**_text(f"{_NO_TEMPLATE}{_PATH}/?", options.LONGEST_PATH)}
_MOUNT_TEXT: JsonSchema = _text(f"{_NO_TEMPLATE}(?:/|{_PATH}/?|{_VOLUME}):{_PATH}/?(?::r[ow])?", options.LONGEST_PATH)


def _mount(kind: str, source: JsonSchema, size: JsonSchema, required: tuple[str, ...]) -> JsonSchema:
    parts: Mapping[str, JsonSchema] = {
        "type": {"const": kind},
        "source": source,
        "target": _about(_TARGET, "Where the container finds it."),
        "readOnly": {"type": "boolean"},
        "size": size,
    }
    return _object(parts, ("type", "target", *required))


MOUNT: JsonSchema = {
    "anyOf": [
        _about(_MOUNT_TEXT, "As docker run -v has it: SOURCE:TARGET or SOURCE:TARGET:ro, SOURCE a path of the node or a volume's name."),
        _mount("bind", _about(_ABSOLUTE, "A path of the node."), _NULL, ("source",)),
        _mount("volume", _about(_text(_VOLUME, 128), "A volume's name."), _NULL, ("source",)),
        _mount("tmpfs", _NULL, _about(_size(options.LEAST_TMPFS), f"The most that it holds, {_SIZE_WORDS}."), ()),
    ]
}
SECRET: JsonSchema = {
    "anyOf": [
        _text(options.SECRET.pattern, 64),
        _object({"name": _text(options.SECRET.pattern, 64), "target": _text(options.SECRET_FILE.pattern, 128)}, ("name",)),
    ]
}
_SIGNAL: JsonSchema = {
    "anyOf": [
        {"type": "string", "pattern": f"^(?:SIG)?(?:{'|'.join(name.replace('+', '[+]') for name in options.SIGNALS)})$"},
        {"type": "integer", "enum": sorted(options.SIGNALS.values())},
    ]
}
_SECONDS: JsonSchema = {"type": "string", "pattern": r"^(?:[1-9][0-9]{0,2}s|[1-9]m|[1-5][0-9]m|1h)$"}
_IPV4: JsonSchema = {"format": "ipv4", "pattern": r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$"}
_IPV6: JsonSchema = {"format": "ipv6", "pattern": "^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$"}
HOSTS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{options.HOST_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "anyOf": [_IPV4, _IPV6]},
    "maxProperties": MOST_HOSTS,
}
_NETWORK = _text(options.NETWORK.pattern, 128)
_CONSTRAINT = _text(options.CONSTRAINT.pattern, 512)
_OF_OLD = "The name of extraHosts in fastlane 2.x."

CONTAINER: JsonSchema = {
    **_object({
        "user": _about(_text(options.USER.pattern, 129), "The user, and perhaps the group, by name or number, as whom it runs: 1000:1000."),
        "workdir": _about(_ABSOLUTE, "The directory in which the command starts."),
        "init": {"type": "boolean", "description": "Whether an init process goes in front of the command: true unless given."},
        "stopSignal": _about(_SIGNAL, "The signal that asks it to end, by name or number."),
        "stopGrace": _about(_SECONDS, "How long it has to end after that, from 1s to 1h, in any form that startIn has."),
        "mounts": _about(_list(MOUNT, MOST_MOUNTS), "What is mounted in it; no target twice."),
        "networks": _about(_list(_NETWORK, MOST_NETWORKS, uniqueItems=True), "By name; host: the node's own."),
        "secrets": _about(_list(SECRET, MOST_SECRETS), "Secrets of the swarm, each in a file /run/secrets/TARGET; no target twice."),
        "constraints": _about(_list(_CONSTRAINT, MOST_CONSTRAINTS), "Which nodes may have it, in Swarm's words: node.labels.disk==ssd."),
        "extraHosts": _about(HOSTS, "IP addresses by the names of hosts, for its /etc/hosts."),
        OLD_HOSTS: {**HOSTS, "description": _OF_OLD, "deprecated": True},
    }),
    "examples": [
        {"user": "1000:1000", "workdir": "/srv", "stopGrace": "30s", "mounts": ["/srv/data:/data:ro", {"type": "tmpfs", "target": "/tmp"}]},
        {"networks": ["backend"], "secrets": ["db-password"], "constraints": ["node.labels.disk==ssd"], "extraHosts": {"db": "10.0.0.7"}},
    ],
}  # fmt: skip
