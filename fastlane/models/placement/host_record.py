"""What the store keeps of a host: where it is registered, which engine it is, whether it is drained, and what was lost with it.

A host is an engine in a swarm, not an address: two workers may each have another engine at ``unix:///var/run/docker.sock``. So the record
of an address is of the first engine that answered there, and a local address may have further records, one for each other engine.
"""

from dataclasses import dataclass, replace

from fastlane.models.access import Requester
from fastlane.models.ids import derived_id
from fastlane.models.placement.disk import Refusals

NAMESPACE = "f057a11e-0000-8000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """Which engine answers at an address: its own id, and that of its swarm."""

    engine_id: str
    swarm_id: str


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host. Each change raises ``version``, which begins at 1. Moments are in milliseconds.

    ``pool``: the pool that it was registered in; None for a host that only the settings name, or did. ``weight`` and ``max_running`` are
    those of the registration. ``engine_id`` and ``swarm_id``: the engine that answers there, None while none has. ``removed_at``: when it
    was removed; None while it is in use. What was bound to it by ``lost_until`` in the swarm ``lost_swarm`` (None: in any) is lost.
    ``disk_refused_first`` and ``disk_refused_last``: those of its engine's ``Refusals``, None while there were none.
    """

    id: str
    address: str
    version: int = 1
    pool: str | None = None
    weight: int = 1
    max_running: int | None = None
    drained: bool = False
    engine_id: str | None = None
    swarm_id: str | None = None
    registered_at: int | None = None
    registered_by: Requester | None = None
    removed_at: int | None = None
    lost_until: int | None = None
    lost_swarm: str | None = None
    disk_refused_first: int | None = None
    disk_refused_last: int | None = None

    @property
    def identity(self) -> EngineIdentity | None:
        """The engine that answers there; None while none has."""
        return None if self.engine_id is None or self.swarm_id is None else EngineIdentity(self.engine_id, self.swarm_id)

    @property
    def refusals(self) -> Refusals | None:
        """The starts that its engine refused because its disk was full."""
        return Refusals.between(self.disk_refused_first, self.disk_refused_last)

    def changed(self, **values: object) -> "HostRecord":
        """The next version of the record."""
        return replace(self, version=self.version + 1, **values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class HostLoad:
    """How many executions of a host have a service there (``bound``), are to get one (``placed``), and have ended although their service is
    not removed yet (``uncleaned``)."""

    bound: int = 0
    placed: int = 0
    uncleaned: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.bound + self.placed + self.uncleaned


def record_id(address: str, identity: EngineIdentity | None = None) -> str:
    """The id of the record of an address; of a further engine at a local address when ``identity`` is given."""
    return derived_id(NAMESPACE, address if identity is None else f"{address} {identity.engine_id} {identity.swarm_id}")


def is_local(address: str) -> bool:
    """Whether each machine has an engine of its own at this address."""
    return address.startswith("unix://")
