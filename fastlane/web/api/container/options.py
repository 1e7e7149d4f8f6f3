"""``container`` in a body: how a container is set up."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from marshmallow import ValidationError

from fastlane.errors import quoted
from fastlane.models.container import options
from fastlane.models.container.container import Container
from fastlane.web.api.container.fields import BodyField, BodyObject, array, text
from fastlane.web.api.container.mounts import ABSOLUTE_PATH, MOUNT, SECRET, read_mount, read_secret
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.http.fields import Faults, list_of

MAX_MOUNTS = MAX_SECRETS = MAX_CONSTRAINTS = 50
MAX_NETWORKS = 20
MAX_HOSTS = 200

OLD_HOSTS = "additionalDNSEntries"
"""The name of ``extraHosts`` in fastlane 2.x, a top-level field of the job."""
NOT_THE_SAME = "differs from container.extraHosts, which replaces it; leave this out"


def differs(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> bool:
    """Whether the old and the new name of the hosts both have a value, and not the same one."""
    return bool(old) and bool(new) and old != new


def read_hosts(value: object) -> dict[str, str]:
    """IP addresses by host name."""
    if not isinstance(value, dict):
        raise ValidationError('is not an object; write {"db.internal": "10.0.0.7"}')
    if len(value) > MAX_HOSTS:
        raise ValidationError(f"has more than {MAX_HOSTS} hosts; put them into a name server")
    faults, hosts = Faults(), {}
    for given, address in value.items():
        if not faults.enough:
            name = faults.read(given or "(empty)", options.read_host_name, given)
            hosts[name] = faults.read(given or "(empty)", options.read_address, address)
    faults.raise_if_any()
    if len(hosts) < len(value):
        raise ValidationError("has two names that differ only in capitals, which host names ignore; leave one")
    return hosts


def _unique(
    read: Callable[[object], tuple[Any, ...]], key: Callable[[Any], str] = str, field: str = ""
) -> Callable[[object], tuple[Any, ...]]:
    """A reader of a list in which no two items have the same key. ``field``: the item's field that has the key."""

    def read_all(value: object) -> tuple[Any, ...]:
        items = read(value)
        faults = Faults()
        for place in _repeated(map(key, items)):
            messages = [f"{quoted(key(items[place]))} is there twice; leave one, or choose another"]
            faults.add(place, {field: messages} if field else messages)
        faults.raise_if_any()
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
        {"type": "string", "pattern": f"^(?:SIG)?(?:{'|'.join(name.replace('+', '[+]') for name in options.SIGNALS)})$"},
        {"type": "integer", "enum": sorted(options.SIGNALS.values())},
    ]
}
_GRACE: JsonSchema = {
    "anyOf": [
        {"type": "string", "pattern": r"^(?:[1-9][0-9]{0,2}s|[1-9]m|[1-5][0-9]m|1h)$"},
        {"type": "number", "minimum": options.LEAST_GRACE / 1000, "maximum": options.MAX_GRACE / 1000},
    ]
}
_IPV4: JsonSchema = {"format": "ipv4", "pattern": r"^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$"}
_IPV6: JsonSchema = {"format": "ipv6", "pattern": "^[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$"}
HOSTS: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": f"^{options.HOST_NAME.pattern}$"},
    "additionalProperties": {"type": "string", "anyOf": [_IPV4, _IPV6]},
    "maxProperties": MAX_HOSTS,
}

_CONTAINER = BodyObject(
    "a container",
    user=BodyField(
        options.read_user, text(options.USER.pattern, 129), "The user that it runs as, and perhaps the group, by name or number: 1000:1000."
    ),
    workdir=BodyField(options.read_path, ABSOLUTE_PATH, "The directory in which the command starts."),
    init=BodyField(options.read_boolean, {"type": "boolean"}, "Whether an init process starts the command: true unless given."),
    stopSignal=BodyField(options.read_signal, _SIGNAL, "The signal that asks it to end, by name or number."),
    stopGrace=BodyField(
        options.read_grace, _GRACE, "How long it has to end after that, from 1s to 1h: a duration like startIn, or a number of seconds."
    ),
    mounts=BodyField(
        _unique(list_of(read_mount, MAX_MOUNTS, '"/srv/data:/data:ro"'), _target, "target"),
        array(MOUNT, MAX_MOUNTS),
        "What is mounted in it; no target twice.",
    ),
    networks=BodyField(
        _unique(list_of(options.read_network, MAX_NETWORKS, '"backend"')),
        array(text(options.NETWORK.pattern, 128), MAX_NETWORKS, uniqueItems=True),
        "By name; host: the node's own.",
    ),
    secrets=BodyField(
        _unique(list_of(read_secret, MAX_SECRETS, '"db-password"'), _target, "target"),
        array(SECRET, MAX_SECRETS),
        "Secrets of the swarm, each in a file /run/secrets/TARGET; no target twice.",
    ),
    constraints=BodyField(
        list_of(options.read_constraint, MAX_CONSTRAINTS, '"node.labels.disk==ssd"'),
        array(text(options.CONSTRAINT.pattern, 512), MAX_CONSTRAINTS),
        "Which nodes may have it, in Swarm's words: node.labels.disk==ssd.",
    ),
    extraHosts=BodyField(read_hosts, HOSTS, "IP addresses by host name, for its /etc/hosts."),
    additionalDNSEntries=BodyField(read_hosts, {**HOSTS, "deprecated": True}, "The name of extraHosts in fastlane 2.x."),
)
_ATTRIBUTES = {"stopSignal": "stop_signal", "stopGrace": "stop_grace", "extraHosts": "extra_hosts"}
"""What ``Container`` calls a field, where it has another name."""

CONTAINER: JsonSchema = {
    **_CONTAINER.schema,
    "examples": [
        {"user": "1000:1000", "workdir": "/srv", "stopGrace": "30s", "mounts": ["/srv/data:/data:ro", {"type": "tmpfs", "target": "/tmp"}]},
        {"networks": ["backend"], "secrets": ["db-password"], "constraints": ["node.labels.disk==ssd"], "extraHosts": {"db": "10.0.0.7"}},
    ],
}


def read_container(value: object) -> Container:
    """How a container is set up."""
    given = _CONTAINER.read(value)
    old = given.pop(OLD_HOSTS, None)
    if differs(old, given.get("extraHosts")):
        raise ValidationError({OLD_HOSTS: [NOT_THE_SAME]})
    if old:
        given["extraHosts"] = old
    return Container(**{_ATTRIBUTES.get(name, name): part for name, part in given.items()})
