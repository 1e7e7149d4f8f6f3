"""The container of a service, as the template for a job's own: what is taken over of the service, and what the job's fields change of it.
Pure.

Only what is listed here is taken over. A long-running service also has ports, replicas, a health check, aliases in its networks, labels
that other programs read, and rules for restarts and updates: a job must not answer in the service's place, nor be taken for a part of it.
Engines also find a container in its networks by its host name, so that is left out, too.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from fastlane.errors import OrderRefused, ServiceGone
from fastlane.executors.port import ServiceTemplate
from fastlane.models.job import ServiceVersion

Raw = Mapping[str, Any]

OF_CONTAINER = (
    "Command",
    "Args",
    "Env",
    "Dir",
    "User",
    "Groups",
    "Privileges",
    "StopSignal",
    "StopGracePeriod",
    "ReadOnly",
    "Mounts",
    "Hosts",
    "DNSConfig",
    "Secrets",
    "Configs",
    "Isolation",
    "Init",
    "Sysctls",
    "CapabilityAdd",
    "CapabilityDrop",
    "Ulimits",
    "OomScoreAdj",
)
"""What a container has of its service's."""
OF_PLACEMENT = ("Constraints", "Preferences", "Platforms")
"""Where a service's containers may be; how many of them a node may have is left out."""
OF_NETWORK = ("Target", "DriverOpts")
"""A network without the names by which others find the service in it."""


def read_template(raw: Raw, name: str, mark: str) -> ServiceTemplate:
    """The template that a service gives. ``mark``: the label that fastlane's own services have. Raises ServiceGone when an engine found
    another service by this name (it also looks for the beginning of an id, and does not tell capitals from small letters), and OrderRefused
    for one as whose container no job may run."""
    spec: Raw = raw["Spec"]
    if spec.get("Name") != name:
        raise ServiceGone(f"there is no service named {name!r}")
    if mark in (spec.get("Labels") or {}):
        raise OrderRefused(f"the service {name!r} is an execution of a job itself; name a service that you deployed")
    template: Raw = spec.get("TaskTemplate") or {}
    container: Raw = template.get("ContainerSpec") or {}
    if not container.get("Image"):
        raise OrderRefused(f"the service {name!r} runs no container; name one that does")
    networks = template.get("Networks") or spec.get("Networks") or ()
    taken = {
        "ContainerSpec": _only(container, OF_CONTAINER),
        "Resources": template.get("Resources") or {},
        "Placement": _only(template.get("Placement") or {}, OF_PLACEMENT),
        "Networks": [_only(network, OF_NETWORK) for network in networks],
    }
    return ServiceTemplate(ServiceVersion(str(raw["ID"]), int(raw["Version"]["Index"])), str(container["Image"]), taken)


def joined(template: ServiceTemplate, own: Raw, given: Collection[str], defaults: Raw) -> dict[str, Any]:
    """The parts of a task: what fastlane submits for the job's own fields (``own``), over what the service has. ``given``: the keys of the
    container that stand for a field of the job, and not for a default. ``defaults``: limits where neither has one."""
    taken: Raw = template.parts
    constraints = [*(taken["Placement"].get("Constraints") or ()), *(own["Placement"].get("Constraints") or ())]
    return {
        "ContainerSpec": _container(taken["ContainerSpec"], own["ContainerSpec"], given),
        "Resources": _resources(defaults, taken["Resources"], own["Resources"]),
        "Networks": _over(taken["Networks"], own["Networks"], lambda network: network["Target"]),
        "Placement": {**taken["Placement"], **({"Constraints": constraints} if constraints else {})},
    }


def _container(taken: Raw, own: Raw, given: Collection[str]) -> dict[str, Any]:
    lists = {
        "Env": _over(taken.get("Env"), own["Env"], lambda entry: entry.partition("=")[0]),
        "Mounts": _over(taken.get("Mounts"), own.get("Mounts"), lambda mount: mount["Target"]),
        "Secrets": _over(taken.get("Secrets"), own.get("Secrets"), _file),
        "Configs": _over(taken.get("Configs"), own.get("Configs"), lambda config: _file(config).removeprefix("/")),
        "Ulimits": _over(taken.get("Ulimits"), own.get("Ulimits"), lambda limit: limit["Name"]),
        "Hosts": [*(own.get("Hosts") or ()), *(taken.get("Hosts") or ())],  # the first line of a name counts
    }
    tables = {name: {**(taken.get(name) or {}), **(own.get(name) or {})} for name in ("DNSConfig", "Sysctls")}
    merged = {**lists, **tables, **_capabilities(taken, own)}
    rest = {name: value for name, value in taken.items() if name not in given}
    return {name: value for name, value in {**own, **rest, **merged}.items() if value or name not in merged}


def _file(given: Raw) -> str:
    """The file of a secret or a config. A config's is in the root folder where it is relative."""
    return str((given.get("File") or {}).get("Name") or "")


CAPABILITIES = ("CapabilityAdd", "CapabilityDrop")


def _capabilities(taken: Raw, own: Raw) -> dict[str, list[str]]:
    """The capabilities that are added and dropped: the job drops what the service adds, or the other way round."""
    added, dropped = ([str(name) for name in own.get(part) or ()] for part in CAPABILITIES)
    replaced = {_bare(name) for name in (*added, *dropped)}
    return {
        part: [*(name for name in taken.get(part) or () if _bare(name) not in replaced and "ALL" not in against), *mine]
        for part, mine, against in zip(CAPABILITIES, (added, dropped), (dropped, added), strict=True)
    }


def _bare(capability: str) -> str:
    """A capability as the kernel's list has it: engines take it with and without ``CAP_``, in any case."""
    return capability.upper().removeprefix("CAP_")


GENERIC = "GenericResources"


def _kind(generic: Raw) -> object:
    """The name of a generic resource."""
    return next((spec.get("Kind") for spec in generic.values() if isinstance(spec, Mapping)), None)


def _resources(*layers: Raw) -> dict[str, Any]:
    """The limits and the reservations; what a later layer has comes before an earlier one's."""
    parts: dict[str, dict[str, Any]] = {"Limits": {}, "Reservations": {}}
    for layer in layers:
        for name, part in parts.items():
            found = {key: value for key, value in (layer.get(name) or {}).items() if value}
            if GENERIC in found:
                found[GENERIC] = _over(part.get(GENERIC), found[GENERIC], _kind)
            part.update(found)
    return {name: part for name, part in parts.items() if part}


def _over(taken: Iterable[Any] | None, own: Iterable[Any] | None, key: Callable[[Any], object]) -> list[Any]:
    """The service's items but for those that the job's own take the place of, and then the job's own."""
    added = list(own or ())
    replaced = [key(item) for item in added]
    return [*(item for item in taken or () if key(item) not in replaced), *added]


def _only(raw: Raw, names: Iterable[str]) -> dict[str, Any]:
    return {name: raw[name] for name in names if raw.get(name) is not None}
