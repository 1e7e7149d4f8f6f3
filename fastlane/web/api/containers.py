"""``resources`` and ``container`` as JSON: read from the bodies of requests, and shown in the form in which they could be sent again."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from marshmallow import ValidationError

from fastlane.models.container import options
from fastlane.models.container.container import NO_CONTAINER, NO_RESOURCES, Container, Mount, MountKind, Resources, Secret
from fastlane.models.schedule.schedule import show_duration
from fastlane.web.http.fields import Faults, Reader, list_of, read_fields

MOST_MOUNTS = MOST_SECRETS = MOST_CONSTRAINTS = 50
MOST_NETWORKS = 20
MOST_HOSTS = 200

OLD_HOSTS = "additionalDNSEntries"
"""The name of ``extraHosts`` in fastlane 2.x, where it stood beside ``image``."""

# resources

_RESERVE: Mapping[str, Reader] = {"cpus": options.read_cpus, "memory": options.read_memory}


def read_resources(value: object) -> Resources:
    """How much of a node a container gets, and what is kept free for it."""
    parts = read_fields(value, {**_RESERVE, "pids": options.read_pids, "reserve": _read_reserve}, "resources")
    kept = parts.pop("reserve", {})
    above = [name for name in kept if kept[name] > parts.get(name, kept[name])]
    if above:
        raise ValidationError({"reserve": {name: [f"is more than resources.{name}; ask for that or less"] for name in above}})
    return Resources(**parts, reserve_cpus=kept.get("cpus"), reserve_memory=kept.get("memory"))


def _read_reserve(value: object) -> dict[str, Any]:
    return read_fields(value, _RESERVE, "reserve")


def show_resources(resources: Resources) -> dict[str, Any] | None:
    """The same; memory in bytes. None when nothing was asked for."""
    if resources == NO_RESOURCES:
        return None
    return {
        "cpus": _number(resources.cpus),
        "memory": resources.memory,
        "pids": resources.pids,
        "reserve": {"cpus": _number(resources.reserve_cpus), "memory": resources.reserve_memory},
    }


# container


def read_container(value: object) -> Container:
    """How a container is set up."""
    parts = read_fields(value, _CONTAINER, "a container")
    old = parts.pop(OLD_HOSTS, None)
    if differs(old, parts.get("extraHosts")):
        raise ValidationError({OLD_HOSTS: [NOT_THE_SAME]})
    if old:
        parts["extraHosts"] = old
    return Container(**{_NAMES[name]: part for name, part in parts.items()})


NOT_THE_SAME = "is not the same as container.extraHosts, of which it is the old name; leave this out"


def differs(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> bool:
    """Whether two names of one thing say different things."""
    return bool(old) and bool(new) and old != new


def read_hosts(value: object) -> dict[str, str]:
    """IP addresses by the names of hosts."""
    if not isinstance(value, dict):
        raise ValidationError('is not an object; write {"db.internal": "10.0.0.7"}')
    if len(value) > MOST_HOSTS:
        raise ValidationError(f"has more than {MOST_HOSTS} hosts; put them into a name server")
    faults, hosts = Faults(), {}
    for given, address in value.items():
        if not faults.enough:
            name = faults.read(given or "(empty)", options.read_host_name, given)
            hosts[name] = faults.read(given or "(empty)", options.read_address, address)
    faults.raise_if_any()
    if len(hosts) < len(value):
        raise ValidationError("has two names that differ only in capitals, which is no difference between hosts; leave one")
    return hosts


def show_container(container: Container) -> dict[str, Any] | None:
    """The same, in full. None when nothing was asked for."""
    if container == NO_CONTAINER:
        return None
    return {
        "user": container.user,
        "workdir": container.workdir,
        "init": container.init,
        "stopSignal": container.stop_signal,
        "stopGrace": None if container.stop_grace is None else show_duration(container.stop_grace / 1000),
        "mounts": [_show_mount(mount) for mount in container.mounts],
        "networks": list(container.networks),
        "secrets": [{"name": secret.name, "target": secret.target} for secret in container.secrets],
        "constraints": list(container.constraints),
        "extraHosts": dict(container.extra_hosts),
    }


# mounts and secrets


def _read_mount(value: object) -> Mount:
    if isinstance(value, str):
        return options.read_mount(value)
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "/srv/data:/data:ro" or {"type": "tmpfs", "target": "/tmp"}')
    parts = read_fields(value, _MOUNT, "a mount", ("type", "target"))
    kind = parts["type"]
    faults = Faults()
    if kind is MountKind.TMPFS and "source" in parts:
        faults.add("source", ["is for a bind or a volume: memory has none; leave it out"])
    if kind is not MountKind.TMPFS and "size" in parts:
        faults.add("size", ["is for tmpfs; leave it out"])
    if kind is not MountKind.TMPFS and "source" not in parts:
        faults.add("source", [f"is missing; name the {'path of the node' if kind is MountKind.BIND else 'volume'}"])
    source = None
    if kind is not MountKind.TMPFS and "source" in parts:
        source = faults.read("source", options.read_path if kind is MountKind.BIND else options.read_volume, parts["source"])
    faults.raise_if_any()
    return Mount(kind, parts["target"], source, parts.get("readOnly", False), parts.get("size"))


def _read_kind(value: object) -> MountKind:
    if not isinstance(value, str) or value not in set(MountKind):
        raise ValueError(f"is none of {', '.join(repr(kind.value) for kind in MountKind)}")
    return MountKind(value)


def _show_mount(mount: Mount) -> dict[str, Any]:
    return {"type": mount.kind.value, "source": mount.source, "target": mount.target, "readOnly": mount.read_only, "size": mount.size}


def _read_secret(value: object) -> Secret:
    if isinstance(value, str):
        return Secret(options.read_secret(value), value)
    if not isinstance(value, dict):
        raise ValueError('is neither text nor an object; write "db-password" or {"name": "db-password", "target": "password"}')
    parts = read_fields(value, {"name": options.read_secret, "target": options.read_secret_file}, "a secret", ("name",))
    return Secret(parts["name"], parts.get("target", parts["name"]))


def _apart(read: Callable[[object], tuple[Any, ...]], of: Callable[[Any], str], name: str = "") -> Callable[[object], tuple[Any, ...]]:
    """A reader of a list in which no two parts have the same of something; ``name``: the field that has it."""

    def read_all(value: object) -> tuple[Any, ...]:
        parts = read(value)
        faults = Faults()
        for place in _repeated(map(of, parts)):
            words = [f"{options.shown(of(parts[place]))} is there twice; leave one, or choose another"]
            faults.add(place, {name: words} if name else words)
        faults.raise_if_any()
        return parts

    return read_all


def _repeated(texts: Iterable[str]) -> list[int]:
    seen: set[str] = set()
    places = []
    for place, text in enumerate(texts):
        if text in seen:
            places.append(place)
        seen.add(text)
    return places


def _number(value: float | None) -> float | None:
    """A whole number without ``.0``."""
    return int(value) if value is not None and value.is_integer() else value


_MOUNT: Mapping[str, Reader] = {
    "type": _read_kind,
    "source": options.read_text,
    "target": options.read_target,
    "readOnly": options.read_yes,
    "size": partial(options.read_size, least=options.LEAST_TMPFS),
}
_MOUNTS = _apart(list_of(_read_mount, MOST_MOUNTS, '"/srv/data:/data:ro"'), lambda mount: str(mount.target), "target")
_SECRETS = _apart(list_of(_read_secret, MOST_SECRETS, '"db-password"'), lambda secret: str(secret.target), "target")
_NETWORKS = _apart(list_of(options.read_network, MOST_NETWORKS, '"backend"'), str)
_CONTAINER: Mapping[str, Reader] = {
    "user": options.read_user,
    "workdir": options.read_path,
    "init": options.read_yes,
    "stopSignal": options.read_signal,
    "stopGrace": options.read_grace,
    "mounts": _MOUNTS,
    "networks": _NETWORKS,
    "secrets": _SECRETS,
    "constraints": list_of(options.read_constraint, MOST_CONSTRAINTS, '"node.labels.disk==ssd"'),
    "extraHosts": read_hosts,
    OLD_HOSTS: read_hosts,
}
_NAMES = {
    **{name: name for name in ("user", "workdir", "init", "mounts", "networks", "secrets", "constraints")},
    "stopSignal": "stop_signal",
    "stopGrace": "stop_grace",
    "extraHosts": "extra_hosts",
}
