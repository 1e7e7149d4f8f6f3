"""What is submitted to a Swarm for an order, and what is changed in it to activate or stop it. Pure: values in, values out.

A service is one-shot: replicated, restart condition ``none``. Once activated its task template must never change but by a stop:
any change of it would run a finished command again. So an update sends back what was inspected, and adds to it.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from fastlane.clock import iso
from fastlane.executors.base import Image, Order, ServiceView, TaskView
from fastlane.executors.timestamps import milliseconds

INSTALLATION = "fastlane.installation"
TASK = "fastlane.task"
JOB = "fastlane.job"
EXECUTION = "fastlane.execution"
EPOCH = "fastlane.epoch"
ACTIVATED = "fastlane.activated"
STOPPED = "fastlane.stopped"

NOWHERE = "node.id==stopped-by-fastlane"
"""A constraint that no node meets: with it Swarm ends the task that runs, and starts none."""

Raw = Mapping[str, Any]

DEFAULT_LOG_DRIVER = "local"
"""It keeps bytes as they are. ``json-file`` does not: what is not UTF-8 becomes U+FFFD, and so does a character that lies across the
16 KiB at which a long line is cut."""

_KEEP = {"max-size": "1g", "max-file": "2", "compress": "false"}
LOG_OPTIONS: Mapping[str, Mapping[str, str]] = {"local": _KEEP, "json-file": _KEEP}
"""How much of a log a node keeps: far more than is stored of it, since a command may write faster than a log is read (``local`` alone
would keep the last 100 MB, and an engine's own default for ``json-file`` may be less)."""


def service_name(order: Order) -> str:
    """The service's name: one for each execution and epoch, so that none is ever used again. At most 63 characters."""
    return f"fastlane-{order.execution_id}-{order.epoch}"


def labels(order: Order, installation: str) -> dict[str, str]:
    """The labels by which a service is known as ours, and as whose."""
    return {
        INSTALLATION: installation,
        TASK: order.task_id,
        JOB: order.job_id,
        EXECUTION: order.execution_id,
        EPOCH: str(order.epoch),
    }


def environment(order: Order) -> list[str]:
    """The container's environment, sorted by name: the order's own, and what every container gets."""
    envs = {
        **order.envs,
        "FASTLANE_TASK_ID": order.task_id,
        "FASTLANE_JOB_ID": order.job_id,
        "FASTLANE_EXECUTION_ID": order.execution_id,
        "FASTLANE_ATTEMPT": str(order.attempt),
        "FASTLANE_SCHEDULED_FOR": iso(order.scheduled_for),
    }
    return [literal(f"{name}={value}") for name, value in sorted(envs.items())]


def literal(text: str) -> str:
    """Text that Swarm, which expands Go templates in an environment, expands to the text itself. (Arguments and labels it leaves alone.)"""
    return text.replace("{{", '{{"{{"}}')


def creation(order: Order, image: Image, installation: str, log_driver: str) -> dict[str, Any]:
    """The keyword arguments of docker-py's ``create_service`` for a parked service: all of it, but no replica."""
    container: dict[str, Any] = {
        "Image": image.reference,
        "Env": environment(order),
        "Init": True,  # a shell as process 1 ignores the signals that it has no handler for
        "StopGracePeriod": order.stop_grace * 1_000_000_000,
    }
    if order.command is not None:
        container["Args"] = list(order.command)
    return {
        "name": service_name(order),
        "labels": labels(order, installation),
        "mode": {"Replicated": {"Replicas": 0}},
        "task_template": {
            "ContainerSpec": container,
            "RestartPolicy": {"Condition": "none"},
            "LogDriver": {"Name": log_driver, "Options": dict(LOG_OPTIONS.get(log_driver, {}))},
        },
        "update_config": {"Parallelism": 1, "Order": "stop-first", "FailureAction": "continue"},
    }


def is_made_for(raw: Raw, order: Order, installation: str) -> bool:
    """Whether this service is the one that the order's own ``park`` made."""
    found = _labels(raw)
    return all(found.get(name) == value for name, value in labels(order, installation).items() if name in {INSTALLATION, EXECUTION, EPOCH})


def is_activated(raw: Raw) -> bool:
    """Whether it was activated, or started by somebody's hand, which comes to the same."""
    replicas = raw["Spec"].get("Mode", {}).get("Replicated", {}).get("Replicas", 0)
    return ACTIVATED in _labels(raw) or replicas > 0


def is_stopped(raw: Raw) -> bool:
    """Whether our stop is on it."""
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


def stop(raw: Raw) -> dict[str, Any]:
    """The spec that stops a service: as inspected, a constraint that no node meets, and the mark. A parked one stays without replicas."""
    spec = _spec(raw)
    placement = spec["TaskTemplate"].setdefault("Placement", {})
    placement["Constraints"] = [*(placement.get("Constraints") or []), NOWHERE]
    spec["Labels"][STOPPED] = "true"
    return spec


def version(raw: Raw) -> int:
    """The version that an update must name, so that it changes what was inspected or nothing."""
    return int(raw["Version"]["Index"])


def view(raw: Raw, tasks: tuple[TaskView, ...] = ()) -> ServiceView:
    """A service as the port shows it."""
    return ServiceView(
        id=str(raw["ID"]),
        execution_id=_labels(raw).get(EXECUTION, ""),
        activated=is_activated(raw),
        stopping=is_stopped(raw),
        created_at=milliseconds(raw.get("CreatedAt")) or 0,
        tasks=tasks,
    )


def _labels(raw: Raw) -> Mapping[str, str]:
    return raw["Spec"].get("Labels") or {}


def _spec(raw: Raw) -> dict[str, Any]:
    spec: dict[str, Any] = deepcopy(dict(raw["Spec"]))
    spec["Labels"] = dict(spec.get("Labels") or {})
    return spec
