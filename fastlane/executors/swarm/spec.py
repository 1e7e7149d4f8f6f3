"""The spec of an order's service, and the changes of it that activate or stop the service. Pure: values in, values out.

A service is one-shot: replicated, restart condition ``none``. Once it is activated, only a stop may change its task template: any other
change would run a finished command again. So an update sends the inspected spec back, with additions.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastlane.clock import iso
from fastlane.errors import OrderRefused
from fastlane.executors.port import EngineService, EngineTask, Image, Order, ServiceTemplate
from fastlane.executors.swarm import likeness
from fastlane.executors.swarm.clocks import milliseconds
from fastlane.models.container import (
    ALL_CAPABILITIES,
    NO_RESOURCES,
    STOP_GRACE,
    ConfigFile,
    Container,
    Mount,
    MountKind,
    Resources,
    Secret,
    literal,
)
from fastlane.models.job_source import LabelledService

NODES_OWN = frozenset({"host", "bridge"})
"""Networks that each node has itself; Swarm knows them only by these names."""


class Get(Protocol):
    """A GET of an engine, as ``SwarmHost.get`` makes it."""

    def __call__(self, path: str, filters: Mapping[str, Sequence[str]], /) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Ids:
    """Ids by name."""

    networks: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)


NO_IDS = Ids()


async def ids_for(container: Container, get: Get) -> Ids:
    """The ids of the networks, secrets and configs that this container names. Raises OrderRefused for one that the swarm does not have."""
    networks = {name: name for name in container.networks if name in NODES_OWN}
    wanted = dict.fromkeys(name for name in container.networks if name not in NODES_OWN)
    if wanted:
        networks |= _all(wanted, _networks(await get("/networks", {"name": list(wanted)})), "network", "--driver overlay ")
    secrets = await _ids_of("secret", (secret.name for secret in container.secrets), get)
    return Ids(networks, secrets, await _ids_of("config", (config.name for config in container.configs), get))


async def _ids_of(noun: str, given: Iterable[str], get: Get) -> Mapping[str, str]:
    """The ids of secrets or configs."""
    names = dict.fromkeys(given)
    return _all(names, _by_name(await get(f"/{noun}s", {"name": list(names)})), noun, "") if names else {}


def _networks(raws: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The swarm's networks; a service cannot use a node's own networks, or the one for published ports."""
    return {str(raw["Name"]): str(raw["Id"]) for raw in raws if raw.get("Scope") == "swarm" and not raw.get("Ingress")}


def _by_name(raws: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {str(raw["Spec"]["Name"]): str(raw["ID"]) for raw in raws}


def _all(wanted: Iterable[str], found: Mapping[str, str], noun: str, options: str) -> dict[str, str]:
    missing = [name for name in wanted if name not in found]
    if missing:
        names = ", ".join(repr(name) for name in missing)
        raise OrderRefused(f"the swarm has no {noun} named {names}; make it on a manager: docker {noun} create {options}NAME")
    return {name: found[name] for name in wanted}


INSTALLATION = "fastlane.installation"
TASK = "fastlane.task"
JOB = "fastlane.job"
EXECUTION = "fastlane.execution"
EPOCH = "fastlane.epoch"
ACTIVATED = "fastlane.activated"
STOPPED = "fastlane.stopped"
LIKE = "fastlane.like"
"""The id and version of the service as whose container it runs."""

WITHOUT_REASON = "true"
"""The mark of a stop without a reason."""
MAX_WHY = 500
"""The longest reason of a stop, in characters."""

NOWHERE = "node.id==stopped-by-fastlane"
"""A constraint that no node meets: it makes Swarm end the running task and start no other."""

Raw = Mapping[str, Any]

MAX_SIZE = 700_000
"""The most bytes of a spec, as ``size`` counts them. A swarm writes no change of more than 1.5 MiB, and an activation or a stop writes the
spec twice: as it is, and as it was."""
OVERHEAD = 8
"""At least as many bytes as each value of a spec takes in addition to its text."""

LOG_DRIVER: Mapping[str, Any] = {"Name": "local", "Options": {"max-size": "1g", "max-file": "2", "compress": "false"}}
"""``local`` keeps bytes as they are; ``json-file`` does not. The size is far more than fastlane stores of a log, since a command may write
faster than its log is read (by default ``local`` keeps the last 100 MB)."""


OWN_NAMES = "fastlane-"
"""How the names of the services of executions begin."""


def service_name(order: Order) -> str:
    """The service's name, unique for each execution and epoch, so that it is never used again. At most 63 characters."""
    return f"{OWN_NAMES}{order.execution_id}-{order.epoch}"


def labels(order: Order, installation: str) -> dict[str, str]:
    """The labels that identify a service's installation and execution."""
    return {
        INSTALLATION: installation,
        TASK: order.task_id,
        JOB: order.job_id,
        EXECUTION: order.execution_id,
        EPOCH: str(order.epoch),
        **({} if order.like is None else {LIKE: _mark(order.like)}),
    }


def _mark(template: ServiceTemplate) -> str:
    return f"{template.version.id}.{template.version.version}"


def environment(order: Order) -> list[str]:
    """The container's environment, sorted by name: the order's own, and what every container gets."""
    envs = {
        **order.envs,
        **order.upstream,
        "FASTLANE_TASK_ID": order.task_id,
        "FASTLANE_JOB_ID": order.job_id,
        "FASTLANE_EXECUTION_ID": order.execution_id,
        "FASTLANE_ATTEMPT": str(order.attempt),
        "FASTLANE_SCHEDULED_FOR": iso(order.scheduled_for),
    }
    return [literal(f"{name}={value}") for name, value in sorted(envs.items())]


def creation(order: Order, image: Image, installation: str, ids: Ids = NO_IDS, closed: Sequence[str] = ()) -> dict[str, Any]:
    """The spec of a parked service: complete, but without a replica. It publishes no port, and has no virtual address on a network.
    ``closed``: the nodes on which it must not run, since they are short of disk or drained."""
    constraints = [*order.container.constraints, *(f"node.id!={node}" for node in closed)]
    parts: dict[str, Any] = {
        "ContainerSpec": _container(order, image, ids),
        "Resources": _resources(order.resources),
        "Networks": [{"Target": ids.networks[name]} for name in order.container.networks],
        "Placement": {"Constraints": constraints} if constraints else {},
    }
    if order.like is not None:
        parts = likeness.joined(order.like, parts, _given(order.container, order.command), _resources(order.defaults))
    template: dict[str, Any] = {
        **{name: part for name, part in parts.items() if part},
        "RestartPolicy": {"Condition": "none"},
        "LogDriver": deepcopy(dict(LOG_DRIVER)),
    }
    return {
        "Name": service_name(order),
        "Labels": labels(order, installation),
        "Mode": {"Replicated": {"Replicas": 0}},
        "TaskTemplate": template,
        "UpdateConfig": {"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"},
        "EndpointSpec": {"Mode": "dnsrr"},
    }


def size(part: object) -> int:
    """About how many bytes a swarm stores of a spec, or of a part of it; not fewer than it does."""
    if isinstance(part, Mapping):
        return OVERHEAD + sum(size(key) + size(value) for key, value in part.items())
    if isinstance(part, Sequence) and not isinstance(part, str):
        return OVERHEAD + sum(size(value) for value in part)
    return OVERHEAD + (len(part.encode()) if isinstance(part, str) else 0)


def _container(order: Order, image: Image, ids: Ids) -> dict[str, Any]:
    wanted = order.container
    arguments = None if order.command is None else list(order.command)
    options = {
        "Args": arguments,
        "User": wanted.user,
        "Dir": wanted.workdir,
        "StopSignal": wanted.stop_signal,
        "Hostname": wanted.hostname,
        "ReadOnly": wanted.read_only,
    }
    return {
        "Image": image.reference,
        "Env": environment(order),
        "Init": wanted.init is not False,  # a shell as process 1 ignores the signals that it has no handler for
        "Healthcheck": {"Test": ["NONE"]},  # or the image's own would run, and end a container that fails it
        "StopGracePeriod": (STOP_GRACE if wanted.stop_grace is None else wanted.stop_grace) * 1_000_000,
        **{key: value for key, value in options.items() if value is not None},
        **_lists(wanted, ids),
    }


def _given(wanted: Container, command: Sequence[str] | None) -> frozenset[str]:
    """The parts of ``_container`` that stand for a field of the job, and not for a default."""
    fields = {
        "Args": command or (wanted.entrypoint or None),  # without a command, an entry point has no arguments but its own
        "User": wanted.user,
        "Dir": wanted.workdir,
        "StopSignal": wanted.stop_signal,
        "StopGracePeriod": wanted.stop_grace,
        "Init": wanted.init,
        "ReadOnly": wanted.read_only or None,  # a service's root that cannot be written stays so
        "Command": wanted.entrypoint or None,
    }
    return frozenset(name for name, value in fields.items() if value is not None)


def _lists(wanted: Container, ids: Ids) -> dict[str, Any]:
    lists = {
        "Mounts": [_mount(mount) for mount in wanted.mounts],
        "Secrets": [_secret(secret, ids.secrets[secret.name]) for secret in wanted.secrets],
        "Configs": [_config(config, ids.configs[config.name]) for config in wanted.configs],
        "Hosts": [f"{address} {name}" for name, address in wanted.extra_hosts.items()],
        "Command": list(wanted.entrypoint),
        "DNSConfig": {"Nameservers": list(wanted.dns)} if wanted.dns else {},
        "CapabilityAdd": [_capability(name) for name in wanted.cap_add],
        "CapabilityDrop": [_capability(name) for name in wanted.cap_drop],
        "Sysctls": dict(wanted.sysctls),
        "Ulimits": [{"Name": name, "Soft": limit.soft, "Hard": limit.hard} for name, limit in wanted.ulimits.items()],
    }
    return {key: rows for key, rows in lists.items() if rows}


def _capability(name: str) -> str:
    return name if name == ALL_CAPABILITIES else f"CAP_{name}"


def _mount(mount: Mount) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": mount.kind.value, "Target": literal(mount.target), "ReadOnly": mount.read_only}
    if mount.source is not None:
        made["Source"] = literal(mount.source)
    if mount.kind is MountKind.TMPFS and mount.size is not None:
        made["TmpfsOptions"] = {"SizeBytes": mount.size}
    return made


def _secret(secret: Secret, id: str) -> dict[str, Any]:
    """A secret as ``docker service create --secret`` submits it: every user in the container may read the file."""
    return {"SecretID": id, "SecretName": secret.name, "File": {"Name": secret.target, "UID": "0", "GID": "0", "Mode": 0o444}}


def _config(config: ConfigFile, id: str) -> dict[str, Any]:
    file = {"Name": config.target, "UID": str(config.uid), "GID": str(config.gid), "Mode": config.mode}
    return {"ConfigID": id, "ConfigName": config.name, "File": file}


def _resources(wanted: Resources) -> dict[str, Any]:
    if wanted == NO_RESOURCES:
        return {}
    limits = {"NanoCPUs": _nano(wanted.cpus), "MemoryBytes": wanted.memory, "Pids": wanted.pids}
    generic = [{"DiscreteResourceSpec": {"Kind": name, "Value": count}} for name, count in wanted.reserve_generic.items()]
    reserved = {"NanoCPUs": _nano(wanted.reserve_cpus), "MemoryBytes": wanted.reserve_memory, "GenericResources": generic or None}
    parts: Mapping[str, Mapping[str, Any]] = {"Limits": limits, "Reservations": reserved}
    return {name: {key: value for key, value in part.items() if value is not None} for name, part in parts.items()}


def _nano(cpus: float | None) -> int | None:
    return None if cpus is None else round(cpus * 1e9)


def is_made_for(raw: Raw, order: Order, installation: str) -> bool:
    """Whether an earlier ``park`` of this order made this service."""
    found = _labels(raw)
    return all(found.get(name) == value for name, value in labels(order, installation).items() if name in {INSTALLATION, EXECUTION, EPOCH})


def is_up_to_date(raw: Raw, order: Order) -> bool:
    """Whether it was parked from the version of the service that the order has."""
    return _labels(raw).get(LIKE) == labels(order, "").get(LIKE)


def is_activated(raw: Raw) -> bool:
    """Whether it was activated, or started by hand, which has the same effect."""
    return ACTIVATED in _labels(raw) or _replicas(raw) > 0


def is_stopped(raw: Raw) -> bool:
    """Whether fastlane stopped it."""
    return STOPPED in _labels(raw)


def activator(raw: Raw) -> str | None:
    """The nonce of the call that activated it."""
    return _labels(raw).get(ACTIVATED)


def activation(raw: Raw, nonce: str) -> dict[str, Any]:
    """The spec that starts a parked service: as inspected, one replica, and the mark."""
    spec = _spec(raw)
    spec["Mode"]["Replicated"]["Replicas"] = 1
    spec["Labels"][ACTIVATED] = nonce
    return spec


def stop(raw: Raw, why: str = "") -> dict[str, Any]:
    """The spec that stops a service: as inspected, with a constraint that no node meets, and a mark that says ``why``. A parked service
    stays without replicas."""
    spec = _spec(raw)
    placement = spec["TaskTemplate"].setdefault("Placement", {})
    placement["Constraints"] = [*(placement.get("Constraints") or []), NOWHERE]
    spec["Labels"][STOPPED] = why[:MAX_WHY] or WITHOUT_REASON
    return spec


def image(raw: Raw) -> str:
    """The reference that was submitted for its image."""
    template: Raw = raw["Spec"].get("TaskTemplate") or {}
    return str((template.get("ContainerSpec") or {}).get("Image", ""))


def version(raw: Raw) -> int:
    """The version that an update must name, so that it changes the inspected spec or nothing."""
    return int(raw["Version"]["Index"])


MODES = {"Global": "global", "ReplicatedJob": "replicated-job", "GlobalJob": "global-job"}
"""The modes of services beside ``replicated``, as the engine and as a compose file names them."""


def labelled(raw: Raw) -> LabelledService:
    """A service with its labels, as the port shows it."""
    mode: Raw = raw["Spec"].get("Mode") or {}
    template: Raw = raw["Spec"].get("TaskTemplate") or {}
    return LabelledService(
        str(raw["ID"]),
        str(raw["Spec"]["Name"]),
        version(raw),
        _labels(raw),
        mode=next((word for name, word in MODES.items() if name in mode), "replicated"),
        completions=int((mode.get("ReplicatedJob") or {}).get("TotalCompletions") or 1),
        restarts=str((template.get("RestartPolicy") or {}).get("Condition") or ""),
    )


def view(raw: Raw, tasks: tuple[EngineTask, ...] = ()) -> EngineService:
    """A service as the port shows it."""
    return EngineService(
        id=str(raw["ID"]),
        execution_id=_labels(raw).get(EXECUTION, ""),
        activated=is_activated(raw),
        stopping=is_stopped(raw),
        created_at=milliseconds(raw.get("CreatedAt")) or 0,
        tasks=tasks,
        stop_why=_labels(raw).get(STOPPED, "").removeprefix(WITHOUT_REASON),
        scaled_away=ACTIVATED in _labels(raw) and _replicas(raw) == 0,
    )


def _replicas(raw: Raw) -> int:
    found = raw["Spec"].get("Mode", {}).get("Replicated", {}).get("Replicas", 0)
    return int(found or 0)


def _labels(raw: Raw) -> Mapping[str, str]:
    return raw["Spec"].get("Labels") or {}


def _spec(raw: Raw) -> dict[str, Any]:
    spec: dict[str, Any] = deepcopy(dict(raw["Spec"]))
    spec["Labels"] = dict(spec.get("Labels") or {})
    return spec
