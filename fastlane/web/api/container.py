"""The fields ``resources`` and ``container`` of a job. Each has its reader, its JSON Schema, and its form in answers, so that it can be
sent again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

from marshmallow import ValidationError

from fastlane.errors import quoted
from fastlane.models import container
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, ConfigFile, Container, Mount, MountKind, Resources, Secret, Ulimit
from fastlane.models.schedule import show_duration
from fastlane.web.api import serializer
from fastlane.web.api.body import (
    WHOLE,
    BodyField,
    BodyObject,
    Both,
    Option,
    Reader,
    RoundTrip,
    array,
    attribute_of,
    integer_from,
    list_of,
    word_of,
)
from fastlane.web.api.json_schema import COMMAND_TEXT, JsonSchema, integer
from fastlane.web.api.serializer import RenderContext, boolean, enum, mapping, nested, number, rendered, string, strings, table
from fastlane.web.api.values import read_command

NO_TEMPLATE = r"(?![\s\S]*\{\{)"
"""Swarm would fill in a template, so that a path could become another one."""
SIZE_WORDS = 'in bytes, or with a unit of memory such as "512m", "1.5g" or "512MiB"'

_NULL: JsonSchema = {"type": "null"}
_ANY_SIZE = r"^(?:(?:[4-9]|[1-9][0-9]{1,8})(?:[mM]|MiB)|[1-9][0-9]{0,5}(?:[gG]|GiB))$"


def asked_resources(resources: Resources) -> Resources | None:
    """None when the job asks for nothing."""
    return None if resources == NO_RESOURCES else resources


def asked_container(container: Container) -> Container | None:
    """None when the job asks for nothing."""
    return None if container == NO_CONTAINER else container


def text(pattern: str, longest: int) -> JsonSchema:
    """Text that matches a pattern as a whole."""
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": f"^{pattern}$"}


def size(least: int) -> JsonSchema:
    """A size of memory."""
    return {"anyOf": [integer(least, container.MAX_BYTES), {"type": "string", "maxLength": 20, "pattern": _ANY_SIZE}]}


_PATH = r"(?:/(?!\.{1,2}(?:/|:|$))[^/:\u0000-\u001f\u007f-\u009f]+)+"
_VOLUME = container.VOLUME_NAME.pattern
ABSOLUTE_PATH = text(f"{NO_TEMPLATE}(?:/|{_PATH}/?)", container.MAX_PATH)
_TARGET = text(f"{NO_TEMPLATE}{_PATH}/?", container.MAX_PATH)
_MOUNT_TEXT = text(f"{NO_TEMPLATE}(?:/|{_PATH}/?|{_VOLUME}):{_PATH}/?(?::r[ow])?", container.MAX_PATH)


_KIND, _BOOLEAN = word_of(MountKind), {"type": "boolean"}
_MOUNT_RESOURCE = RoundTrip[Mount](
    "a mount",
    "Mounted",
    "Something mounted in a container.",
    type=Both(
        BodyField(
            _KIND,
            {"enum": [kind.value for kind in MountKind]},
            "bind: a path of the node; volume: a named volume; tmpfs: memory.",
            required=True,
        ),
        enum(MountKind, attrgetter("kind"), "What is mounted: a path of the node, a named volume, or memory."),
    ),
    source=Both(
        BodyField(container.read_text, {"type": "string"}, "The node's path or the volume's name; not of a tmpfs."),
        string(attrgetter("source"), "The node's path or the volume's name; null: memory.", null=True),
    ),
    target=Both(
        BodyField(container.read_target, _TARGET, "Where the container finds it.", required=True),
        string(attrgetter("target"), "Where the container finds it."),
    ),
    readOnly=Both(
        BodyField(container.read_boolean, _BOOLEAN, "Whether the container may only read it; false unless given."),
        boolean(attrgetter("read_only"), "Whether the container may only read it."),
    ),
    size=Both(
        BodyField(partial(container.read_size, least=container.LEAST_TMPFS), size(container.LEAST_TMPFS), "Only of a tmpfs."),
        serializer.integer(attrgetter("size"), "Bytes, of memory.", null=True),
    ),
)
_MOUNT, MOUNTED = _MOUNT_RESOURCE.body, _MOUNT_RESOURCE.answer


def _mount_schema(kind: MountKind, **fields: BodyField) -> JsonSchema:
    """A mount of this kind: ``_MOUNT`` with these fields instead."""
    return BodyObject("a mount", **{**_MOUNT.fields, "type": replace(_MOUNT.fields["type"], schema={"const": kind.value}), **fields}).schema


_HOST_PATH = BodyField(container.read_path, ABSOLUTE_PATH, "Of a bind: a path of the node. Of a volume: its name.", required=True)
_VOLUME_NAME = BodyField(container.read_volume, text(_VOLUME, 128), "Its name.", required=True)
_NO_SOURCE = replace(_MOUNT.fields["source"], schema=_NULL, null=False)
_NO_SIZE = replace(_MOUNT.fields["size"], schema=_NULL, null=False)
MOUNT_SCHEMA: JsonSchema = {
    "anyOf": [
        {
            **_MOUNT_TEXT,
            "description": "As for docker run -v: SOURCE:TARGET or SOURCE:TARGET:ro; SOURCE is a node's path or a volume's name.",
        },
        _mount_schema(MountKind.BIND, source=_HOST_PATH, size=_NO_SIZE),
        _mount_schema(MountKind.VOLUME, source=_VOLUME_NAME, size=_NO_SIZE),
        _mount_schema(
            MountKind.TMPFS, source=_NO_SOURCE, size=replace(_MOUNT.fields["size"], about=f"The most that it holds, {SIZE_WORDS}.")
        ),
    ]
}


def read_mount(value: object) -> Mount:
    """Something to mount in a container."""
    if isinstance(value, str):
        return container.read_mount(value)
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "/srv/data:/data:ro" or {"type": "tmpfs", "target": "/tmp"}')
    given = _MOUNT.read(value)
    kind = given["type"]
    faults, source = {}, given.get("source")
    if kind is MountKind.TMPFS:
        if source is not None:
            faults["source"] = ["is for a bind or a volume; leave it out of a tmpfs"]
    elif source is None:
        faults["source"] = [f"is missing; name the {'path of the node' if kind is MountKind.BIND else 'volume'}"]
    else:
        try:
            source = (_HOST_PATH if kind is MountKind.BIND else _VOLUME_NAME).read(source)
        except ValueError as error:
            faults["source"] = [str(error)]
    if kind is not MountKind.TMPFS and "size" in given:
        faults["size"] = ["is for tmpfs; leave it out"]
    if faults:
        raise ValidationError(faults)
    return Mount(kind, given["target"], source, given.get("readOnly", False), given.get("size"))


_SECRET = RoundTrip[Secret](
    "a secret",
    "SecretGiven",
    "A secret of the swarm that a container is given.",
    name=Both(
        BodyField(container.read_secret, text(container.SECRET.pattern, 64), "Its name in the swarm.", required=True),
        string(attrgetter("name"), "The secret's name in the swarm."),
    ),
    target=Both(
        BodyField(container.read_secret_file, text(container.SECRET_FILE.pattern, 128), "Its file in /run/secrets: its name unless given."),
        string(attrgetter("target"), "Its file in /run/secrets."),
    ),
)
SECRET_SCHEMA: JsonSchema = {"anyOf": [_SECRET.body.fields["name"].schema, _SECRET.body.schema]}


def read_secret(value: object) -> Secret:
    """A secret of the swarm, to be given to a container."""
    if isinstance(value, str):
        return Secret(container.read_secret(value), value)
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "db-password" or {"name": "db-password", "target": "password"}')
    given = _SECRET.read(value)
    return Secret(given["name"], given.get("target", given["name"]))


_FILE_ID = integer(0, container.MAX_FILE_ID)
_CONFIG = RoundTrip[ConfigFile](
    "a config",
    "ConfigGiven",
    "A config of the swarm that a container is given.",
    name=Both(
        BodyField(container.read_config, text(container.SECRET.pattern, 64), "Its name in the swarm.", required=True),
        string(attrgetter("name"), "The config's name in the swarm."),
    ),
    target=Both(
        BodyField(container.read_target, _TARGET, "Its file: /NAME unless given."),
        string(attrgetter("target"), "Its file."),
    ),
    uid=Both(
        BodyField(integer_from(0, container.MAX_FILE_ID), _FILE_ID, "The number of the user who owns the file; 0 unless given."),
        serializer.integer(attrgetter("uid"), "The number of the file's owner."),
    ),
    gid=Both(
        BodyField(integer_from(0, container.MAX_FILE_ID), _FILE_ID, "The number of the group that owns the file; 0 unless given."),
        serializer.integer(attrgetter("gid"), "The number of the file's group."),
    ),
    mode=Both(
        BodyField(container.read_mode, text(container.MODE.pattern, 4), 'The file\'s permissions, in octal digits: "0444" unless given.'),
        string(lambda config: container.show_mode(config.mode), "The file's permissions, in octal digits.", examples=["0440"]),
    ),
)
CONFIG_SCHEMA: JsonSchema = {"anyOf": [_CONFIG.body.fields["name"].schema, _CONFIG.body.schema]}


def read_config(value: object) -> ConfigFile:
    """A config of the swarm, to be given to a container."""
    if isinstance(value, str):
        return ConfigFile(container.read_config(value), f"/{value}")
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "shop-conf" or {"name": "shop-conf", "target": "/etc/shop.conf"}')
    given = _CONFIG.read(value)
    return ConfigFile(**{"target": f"/{given['name']}", **given})


MAX_MOUNTS = MAX_SECRETS = MAX_CONFIGS = MAX_CONSTRAINTS = 50
MAX_NETWORKS = 20
MAX_HOSTS = 200
MAX_DNS = 10
MAX_CAPABILITIES = len(container.CAPABILITIES)
MAX_SYSCTLS = 50
MAX_ENTRYPOINT, MAX_ENTRYPOINT_BYTES = 100, 8 * 1024

OLD_HOSTS = "additionalDNSEntries"
"""The name of ``extraHosts`` in fastlane 2.x, a top-level field of the job."""
NOT_THE_SAME = "differs from container.extraHosts, which replaces it; leave this out"


def differs(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> bool:
    """Whether the old and the new name of the hosts both have a value, and not the same one."""
    return bool(old) and bool(new) and old != new


def read_hosts(value: object) -> dict[str, str]:
    """IP addresses by host name."""
    if isinstance(value, dict) and len(value) > MAX_HOSTS:
        raise ValueError(f"has more than {MAX_HOSTS} hosts; put them into a name server")
    hosts = _table_of(container.read_host_name, container.read_address, MAX_HOSTS, '{"db.internal": "10.0.0.7"}')(value)
    if isinstance(value, dict) and len(hosts) < len(value):
        raise ValueError("has two names that differ only in capitals, which host names ignore; leave one")
    return hosts


def _table_of(read_name: Reader, read: Reader, most: int, example: str) -> Callable[[object], dict[str, Any]]:
    """A reader of objects with at most this many names, which are data."""

    def faults_of(name: str, given: object) -> dict[Any, Any]:
        tree: dict[Any, Any] = {}
        for reader, value in ((read_name, name), (read, given)):
            try:
                reader(value)
            except ValueError as error:
                tree.setdefault(WHOLE, []).append(str(error))
            except ValidationError as error:
                tree |= error.messages_dict
        return tree

    def read_all(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"is not an object; write {example}")
        if len(value) > most:
            raise ValueError(f"has more than {most} parts; leave some out")
        try:
            return {read_name(name): read(given) for name, given in value.items()}
        except (ValueError, ValidationError):
            raise ValidationError({name: faults for name, given in value.items() if (faults := faults_of(name, given))}) from None

    return read_all


def _unique(
    read: Callable[[object], tuple[Any, ...]], key: Callable[[Any], str] = str, field: str = ""
) -> Callable[[object], tuple[Any, ...]]:
    """A reader of a list in which no two items have the same key. ``field``: the item's field that has the key."""

    def read_all(value: object) -> tuple[Any, ...]:
        items = read(value)
        faults = {
            place: [f"{quoted(key(items[place]))} is there twice; leave one, or choose another"] for place in _repeated(map(key, items))
        }
        if faults:
            raise ValidationError({place: {field: words} for place, words in faults.items()} if field else faults)
        return items

    return read_all


def _repeated(keys: Iterable[str]) -> list[int]:
    """The places of the keys that came before."""
    seen: set[str] = set()
    places = []
    for place, key in enumerate(keys):
        if key in seen:
            places.append(place)
        seen.add(key)
    return places


def _target(item: Any) -> str:
    return str(item.target)


_SIGNAL: JsonSchema = {
    "anyOf": [
        {"type": "string", "pattern": f"^(?:SIG)?(?:{'|'.join(name.replace('+', '[+]') for name in container.SIGNALS)})$"},
        {"type": "integer", "enum": sorted(container.SIGNALS.values())},
    ]
}
_GRACE: JsonSchema = {
    "anyOf": [
        {"type": "string", "pattern": r"^(?:[1-9][0-9]{0,2}s|[1-9]m|[1-5][0-9]m|1h)$"},
        {"type": "number", "minimum": container.LEAST_GRACE / 1000, "maximum": container.MAX_GRACE / 1000},
    ]
}
_IPV4: JsonSchema = {"format": "ipv4", "pattern": r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$"}
_IPV6: JsonSchema = {"format": "ipv6", "pattern": "^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$"}
HOSTS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{container.HOST_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "anyOf": [_IPV4, _IPV6]},
    "maxProperties": MAX_HOSTS,
}


def read_entrypoint(value: object) -> tuple[str, ...]:
    """A program and its first arguments, as a command has them, but fewer."""
    if value == [] or (isinstance(value, str) and not value.strip()):
        raise ValueError("is empty, and a swarm cannot take the image's entry point away; name the program to start, or leave it out")
    arguments = read_command(value)
    if len(arguments) > MAX_ENTRYPOINT or sum(len(argument.encode()) for argument in arguments) > MAX_ENTRYPOINT_BYTES:
        raise ValueError(f"is longer than {MAX_ENTRYPOINT_BYTES >> 10} KiB or {MAX_ENTRYPOINT} parts; put the rest into command")
    return arguments


_CAPABILITY_NAMES = "|".join(container.CAPABILITIES)
_CAPABILITY: JsonSchema = {"type": "string", "pattern": f"^(?:(?:CAP_)?(?:{_CAPABILITY_NAMES})|(?:cap_)?(?:{_CAPABILITY_NAMES.lower()}))$"}
_WHOLE = integer(-container.MAX_ULIMIT, container.MAX_ULIMIT)
SYSCTLS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{container.SYSCTL.pattern}$"},
    "additionalProperties": {"anyOf": [{"type": "string", "pattern": f"^{container.SYSCTL_VALUE.pattern}$"}, _WHOLE]},
    "maxProperties": MAX_SYSCTLS,
}

_LIMIT = integer(container.UNLIMITED, container.MAX_ULIMIT)
_ULIMIT = RoundTrip[Ulimit](
    "a ulimit",
    "UlimitGiven",
    "What a process may use of one thing.",
    soft=Both(
        BodyField(integer_from(container.UNLIMITED, container.MAX_ULIMIT), _LIMIT, "Its limit; -1: none.", required=True),
        serializer.integer(attrgetter("soft"), "Its limit; -1: none.", least=-1),
    ),
    hard=Both(
        BodyField(integer_from(container.UNLIMITED, container.MAX_ULIMIT), _LIMIT, "What it may raise its limit to.", required=True),
        serializer.integer(attrgetter("hard"), "What it may raise its limit to; -1: anything.", least=-1),
    ),
)
ULIMITS: JsonSchema = {
    "type": "object",
    "propertyNames": {"enum": list(container.ULIMITS)},
    "additionalProperties": {
        "anyOf": [_LIMIT, {"type": "string", "pattern": "^(?:-1|[0-9]{1,18})(?::(?:-1|[0-9]{1,18}))?$"}, _ULIMIT.body.schema]
    },
}


def read_ulimit(value: object) -> Ulimit:
    """What a process may use of one thing."""
    if not isinstance(value, dict):
        return container.read_ulimit(value)
    return container.checked_ulimit(Ulimit(**_ULIMIT.body.read(value)))


def _entrypoint(container: Container, render: RenderContext) -> list[str] | None:
    return [render.redaction.text(argument) for argument in container.entrypoint] or None


ENTRYPOINT: JsonSchema = {
    "anyOf": [
        {**COMMAND_TEXT, "maxLength": MAX_ENTRYPOINT_BYTES},
        {"type": "array", "items": {"type": "string", "maxLength": MAX_ENTRYPOINT_BYTES}, "minItems": 1, "maxItems": MAX_ENTRYPOINT},
    ],
}


def _grace(container: Container) -> str | None:
    return None if container.stop_grace is None else show_duration(container.stop_grace / 1000)


_CONTAINER = RoundTrip[Container](
    "a container",
    "ContainerAsked",
    "How a container is set up; null: as the image and the engine have it.",
    user=Both(
        BodyField(
            container.read_user,
            text(container.USER.pattern, 129),
            "The user that it runs as, and perhaps the group, by name or number: 1000:1000.",
            option=Option("-u --user", "USER", "The user that it runs as, by name or number: 1000:1000."),
        ),
        string(attrgetter("user"), "User, and perhaps group.", null=True),
    ),
    workdir=Both(
        BodyField(
            container.read_path,
            ABSOLUTE_PATH,
            "The directory in which the command starts.",
            option=Option("-w --workdir", "DIR", "The directory in which it starts."),
        ),
        string(attrgetter("workdir"), "Where the command starts.", null=True),
    ),
    init=Both(
        BodyField(container.read_boolean, _BOOLEAN, "Whether an init process starts the command: true unless given."),
        boolean(attrgetter("init"), "Whether an init process goes in front.", null=True),
    ),
    stopSignal=Both(
        BodyField(container.read_signal, _SIGNAL, "The signal that asks it to end, by name or number."),
        string(attrgetter("stop_signal"), "What asks it to end.", null=True),
    ),
    stopGrace=Both(
        BodyField(
            container.read_grace,
            _GRACE,
            "How long it has to end after that, from 1s to 1h: a duration like startIn, or a number of seconds.",
        ),
        string(_grace, "How long it has then.", null=True, examples=["30s"]),
    ),
    mounts=Both(
        BodyField(
            _unique(list_of(read_mount, MAX_MOUNTS, '"/srv/data:/data:ro"'), _target, "target"),
            array(MOUNT_SCHEMA, MAX_MOUNTS),
            "What is mounted in it; no target twice.",
            option=Option("-v --volume", "SOURCE:TARGET[:ro]", "A path of the node, or a volume.", "mounts"),
        ),
        serializer.array(MOUNTED, attrgetter("mounts"), "What is mounted in it."),
    ),
    networks=Both(
        BodyField(
            _unique(list_of(container.read_network, MAX_NETWORKS, '"backend"')),
            array(text(container.NETWORK.pattern, 128), MAX_NETWORKS, uniqueItems=True),
            "By name; host: the node's own.",
            option=Option("--network", "NAME", "A network.", "list"),
        ),
        strings(attrgetter("networks"), "By name; host: the node's own."),
    ),
    secrets=Both(
        BodyField(
            _unique(list_of(read_secret, MAX_SECRETS, '"db-password"'), _target, "target"),
            array(SECRET_SCHEMA, MAX_SECRETS),
            "Secrets of the swarm, each in a file /run/secrets/TARGET; no target twice.",
        ),
        serializer.array(_SECRET.answer, attrgetter("secrets"), "Each a file."),
    ),
    constraints=Both(
        BodyField(
            list_of(container.read_constraint, MAX_CONSTRAINTS, '"node.labels.disk==ssd"'),
            array(text(container.CONSTRAINT.pattern, 512), MAX_CONSTRAINTS),
            "Which nodes may have it, in Swarm's words: node.labels.disk==ssd.",
        ),
        strings(attrgetter("constraints"), "Which nodes may have it."),
    ),
    extraHosts=Both(
        BodyField(read_hosts, HOSTS, "IP addresses by host name, for its /etc/hosts."),
        mapping(attrgetter("extra_hosts"), "IP addresses by host name.", values={"type": "string"}),
    ),
    entrypoint=Both(
        BodyField(
            read_entrypoint,
            ENTRYPOINT,
            "The program and its first arguments, instead of the image's entry point: text, split as a POSIX shell would split it, or a "
            "list of texts. Only command follows it, and nothing of the image's.",
            option=Option("--entrypoint", "COMMAND", "What starts instead of the image's entry point."),
        ),
        rendered(_entrypoint, {"type": "array", "items": {"type": "string"}}, "What starts instead of the image's entry point.", null=True),
    ),
    hostname=Both(
        BodyField(
            container.read_hostname,
            text(container.HOST_NAME.pattern, container.MAX_HOSTNAME),
            "Its own host name, by which other containers in its networks find it, too.",
            option=Option("--hostname", "NAME", "Its own host name."),
        ),
        string(attrgetter("hostname"), "Its own host name.", null=True),
    ),
    readOnly=Both(
        BodyField(
            container.read_boolean,
            _BOOLEAN,
            "Whether its root file system cannot be written; mounts can.",
            option=Option("--read-only", "", "Its root file system cannot be written.", "flag"),
        ),
        boolean(attrgetter("read_only"), "Whether its root file system cannot be written.", null=True),
    ),
    dns=Both(
        BodyField(
            _unique(list_of(container.read_address, MAX_DNS, '"10.0.0.53"')),
            array({"type": "string", "anyOf": [_IPV4, _IPV6]}, MAX_DNS, uniqueItems=True),
            "IP addresses of name servers, instead of its node's.",
            option=Option("--dns", "ADDRESS", "A name server.", "list"),
        ),
        strings(attrgetter("dns"), "Addresses of name servers."),
    ),
    capAdd=Both(
        BodyField(
            _unique(list_of(container.read_capability, MAX_CAPABILITIES, '"NET_ADMIN"')),
            array(_CAPABILITY, MAX_CAPABILITIES),
            "Capabilities of Linux that it has beside the usual ones; ALL: all of them.",
            option=Option("--cap-add", "NAME", "A capability that it has beside the usual ones.", "list"),
        ),
        strings(attrgetter("cap_add"), "Capabilities beside the usual ones, without CAP_."),
    ),
    capDrop=Both(
        BodyField(
            _unique(list_of(container.read_capability, MAX_CAPABILITIES, '"NET_RAW"')),
            array(_CAPABILITY, MAX_CAPABILITIES),
            "Capabilities of Linux that it does not have; ALL: it has only what capAdd names.",
            option=Option("--cap-drop", "NAME", "A capability that it does not have.", "list"),
        ),
        strings(attrgetter("cap_drop"), "Capabilities that it does not have, without CAP_."),
    ),
    sysctls=Both(
        BodyField(
            _table_of(container.read_sysctl, container.read_sysctl_value, MAX_SYSCTLS, '{"net.core.somaxconn": 1024}'),
            SYSCTLS,
            "Kernel parameters of its own, by name.",
            option=Option("--sysctl", "NAME=VALUE", "A kernel parameter of its own.", "pairs"),
        ),
        mapping(attrgetter("sysctls"), "Kernel parameters of its own, by name.", values={"type": "string"}),
    ),
    ulimits=Both(
        BodyField(
            _table_of(container.read_ulimit_name, read_ulimit, len(container.ULIMITS), '{"nofile": 1024}'),
            ULIMITS,
            "What each of its processes may use, by name: a number, or a soft and a hard limit; -1: no limit.",
            option=Option("--ulimit", "NAME=SOFT[:HARD]", "What a process may use: nofile=1024:2048.", "pairs"),
        ),
        table(_ULIMIT.answer, attrgetter("ulimits"), "What each of its processes may use, by name."),
    ),
    configs=Both(
        BodyField(
            _unique(list_of(read_config, MAX_CONFIGS, '"shop-conf"'), _target, "target"),
            array(CONFIG_SCHEMA, MAX_CONFIGS),
            "Configs of the swarm, each a file; no target twice.",
            option=Option("--config", "NAME[:FILE]", "A config of the swarm, as a file: shop-conf:/etc/shop.conf.", "configs"),
        ),
        serializer.array(_CONFIG.answer, attrgetter("configs"), "Each a file."),
    ),
)
CONTAINER = _CONTAINER.answer
_OLD_HOSTS_FIELD = BodyField(read_hosts, {**HOSTS, "deprecated": True}, "The name of extraHosts in fastlane 2.x.")
CONTAINER_BODY = BodyObject("a container", **_CONTAINER.body.fields, additionalDNSEntries=_OLD_HOSTS_FIELD)
CONTAINER_SCHEMA: JsonSchema = {
    **CONTAINER_BODY.schema,
    "examples": [
        {"user": "1000:1000", "workdir": "/srv", "stopGrace": "30s", "mounts": ["/srv/data:/data:ro", {"type": "tmpfs", "target": "/tmp"}]},
        {"networks": ["backend"], "secrets": ["db-password"], "constraints": ["node.labels.disk==ssd"], "extraHosts": {"db": "10.0.0.7"}},
    ],
}


def read_container(value: object) -> Container:
    """How a container is set up."""
    given = CONTAINER_BODY.read(value)
    old = given.pop(OLD_HOSTS, None)
    if differs(old, given.get("extraHosts")):
        raise ValidationError({OLD_HOSTS: [NOT_THE_SAME]})
    if old:
        given["extraHosts"] = old
    added = given.get("capAdd", ())
    if both := {
        place: ["is in capAdd as well; leave it out there or here"] for place, one in enumerate(given.get("capDrop", ())) if one in added
    }:
        raise ValidationError({"capDrop": both})
    return Container(**{attribute_of(name): part for name, part in given.items()})


_CPUS: JsonSchema = {"type": "number", "minimum": container.LEAST_CPUS, "maximum": container.MAX_CPUS}
_MEMORY = size(container.LEAST_MEMORY)

MAX_GENERIC = 20
GENERIC: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{container.GENERIC.pattern}$"},
    "additionalProperties": {"anyOf": [integer(1, container.MAX_GENERIC), {"type": "string", "pattern": "^0{0,2}[1-9][0-9]{0,4}$"}]},
    "maxProperties": MAX_GENERIC,
}
_RESERVE = RoundTrip[Resources](
    "reserve",
    "Reserved",
    "What its node keeps free for a container.",
    cpus=Both(
        BodyField(container.read_cpus, _CPUS, "Processors; no more than the limit."),
        number(attrgetter("reserve_cpus"), "Processors; 0.5 is half of one."),
    ),
    memory=Both(
        BodyField(container.read_memory, _MEMORY, f"Memory, {SIZE_WORDS}; no more than the limit."),
        serializer.integer(attrgetter("reserve_memory"), "Bytes.", null=True),
    ),
    generic=Both(
        BodyField(
            _table_of(container.read_generic, container.read_count, MAX_GENERIC, '{"gpu": 1}'),
            GENERIC,
            "How many of the node's generic resources, by name.",
            option=Option("--generic-resource", "NAME=COUNT", "What its node keeps for it: gpu=1.", "pairs"),
        ),
        mapping(attrgetter("reserve_generic"), "How many of the node's generic resources, by name.", values={"type": "integer"}),
    ),
)
_RESOURCES = RoundTrip[Resources](
    "resources",
    "ResourcesAsked",
    "How much of a node a container gets; null: as much as its pool allows.",
    cpus=Both(
        BodyField(
            container.read_cpus,
            _CPUS,
            "The most processors that it gets: 0.5 is half of one.",
            option=Option("--cpus", "NUMBER", "The most processors that it gets: 0.5.", "number"),
        ),
        number(attrgetter("cpus"), "Processors; 0.5 is half of one."),
    ),
    memory=Both(
        BodyField(
            container.read_memory,
            _MEMORY,
            f"The most memory that it gets, {SIZE_WORDS}; what takes more is killed.",
            option=Option("-m --memory", "SIZE", "The most memory that it gets: 512m."),
        ),
        serializer.integer(attrgetter("memory"), "Bytes.", null=True),
    ),
    pids=Both(
        BodyField(container.read_pids, integer(1, container.MAX_PIDS), "The most processes and threads."),
        serializer.integer(attrgetter("pids"), "Processes and threads.", null=True),
    ),
    reserve=Both(
        BodyField(_RESERVE.body.read, _RESERVE.body.schema, "What its node must have free, and keeps for it."),
        nested(_RESERVE.answer, lambda resources: resources),
    ),
)
RESOURCES, RESOURCES_BODY, RESERVE_BODY = _RESOURCES.answer, _RESOURCES.body, _RESERVE.body
RESOURCES_SCHEMA: JsonSchema = {
    **RESOURCES_BODY.schema,
    "examples": [{"cpus": 1.5, "memory": "512m", "pids": 200, "reserve": {"memory": "256m"}}],
}


def read_resources(value: object) -> Resources:
    """How much of a node a container gets, and what is reserved for it."""
    given = RESOURCES_BODY.read(value)
    reserve = given.pop("reserve", {})
    generic = reserve.pop("generic", {})
    above = [name for name in reserve if reserve[name] > given.get(name, reserve[name])]
    if above:
        raise ValidationError({"reserve": {name: [f"is more than resources.{name}; ask for that or less"] for name in above}})
    return Resources(**given, reserve_cpus=reserve.get("cpus"), reserve_memory=reserve.get("memory"), reserve_generic=generic)
