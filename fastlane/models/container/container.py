"""What a job may set for its container in addition to the command: its share of a node (``Resources``) and its options (``Container``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Resources:
    """The limits of a container, and what its node reserves for it; None: no limit, no reservation.

    ``cpus`` is a number of processors (1.5), ``memory`` is in bytes, ``pids`` counts processes and threads.
    """

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None
    reserve_cpus: float | None = None
    reserve_memory: int | None = None

    def within(self, limits: "Resources") -> "Resources":
        """These resources under a pool's limits, which fill in what is not set."""
        return replace(
            self,
            cpus=limits.cpus if self.cpus is None else self.cpus,
            memory=limits.memory if self.memory is None else self.memory,
            pids=limits.pids if self.pids is None else self.pids,
        )


STOP_GRACE = 10_000
"""Default milliseconds between the stop signal and the kill. Always set, never left to an engine's default."""


class MountKind(StrEnum):
    """What is mounted: a path on the node, a named volume of its engine, or memory."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount at ``target``. ``source`` is the path on the node or the name of the volume. A tmpfs has a ``size`` in bytes instead."""

    kind: MountKind
    target: str
    source: str | None = None
    read_only: bool = False
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the swarm; the container reads it from the file ``/run/secrets/<target>``."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container's options; the image and the engine decide those that are None or empty. ``stop_grace`` is in milliseconds.

    ``init``: whether an init process runs the command. ``networks``: names; ``host`` is the node's own network. ``constraints``: Swarm's
    placement constraints. ``extra_hosts``: addresses by host name, for the container's ``/etc/hosts``.
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
