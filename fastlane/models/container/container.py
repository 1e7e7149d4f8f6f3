"""What a job may ask of its container beside the command: how much of a node (``Resources``), and how it is set up (``Container``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Resources:
    """The most that a container gets, and what is kept free for it on its node; None: no limit, nothing kept.

    ``cpus`` in processors (1.5), ``memory`` in bytes, ``pids`` counts processes and threads.
    """

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None
    reserve_cpus: float | None = None
    reserve_memory: int | None = None

    def within(self, limits: "Resources") -> "Resources":
        """What a container gets that asks for this where these are the limits: what it does not name is the limit."""
        return replace(
            self,
            cpus=limits.cpus if self.cpus is None else self.cpus,
            memory=limits.memory if self.memory is None else self.memory,
            pids=limits.pids if self.pids is None else self.pids,
        )


STOP_GRACE = 10_000
"""Milliseconds that a command has to end after its signal, unless its job says otherwise. Never left to an engine."""


class MountKind(StrEnum):
    """What is mounted: a path of the node, a named volume of its engine, or memory."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True)
class Mount:
    """Something mounted at ``target``. ``source``: the node's path or the volume's name, none of memory, whose ``size`` is in bytes."""

    kind: MountKind
    target: str
    source: str | None = None
    read_only: bool = False
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the swarm, by its name; the container finds it in the file ``/run/secrets/<target>``."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Container:
    """How a container is set up; what is None or empty is left to the image and the engine. ``stop_grace`` in milliseconds.

    ``init``: whether an init process goes in front of the command. ``networks``: names; ``host`` is the node's own. ``constraints``: which
    nodes may have it, in Swarm's words. ``extra_hosts``: addresses by host name, for the container's ``/etc/hosts``.
    """

    user: str | None = None
    workdir: str | None = None
    init: bool | None = None
    stop_signal: str | None = None
    stop_grace: int | None = None
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    constraints: tuple[str, ...] = ()
    extra_hosts: Mapping[str, str] = field(default_factory=dict)


NO_RESOURCES = Resources()
NO_CONTAINER = Container()
