"""Hosts: which there are, which of them were registered, and what became of one."""

from collections.abc import Sequence

from fastlane.models.placement.host import HostView
from fastlane.services.hosts import Host
from fastlane.services.results import HostDrained, HostRemoved
from fastlane.web.api.responses.actions import NOT_SEEN
from fastlane.web.api.serializer import Serializer, array, boolean, integer, string, strings, timestamp, uuid


def _fault(host: Host) -> str | None:
    view = host.view
    if view is None:
        return NOT_SEEN
    return None if view.is_open else view.reason or view.closed


def _seen(view: HostView | None) -> HostView:
    return view or HostView("", False)


KNOWN_HOST = Serializer[Host](
    "KnownHost",
    "A Docker host.",
    id=uuid(lambda host: host.record.id, "By which it can be removed."),
    address=string(lambda host: host.record.address, "How the workers reach it."),
    pools=strings(lambda host: host.pools, "The pools that give it work; none: what is there goes on, and nothing new comes."),
    registered=boolean(lambda host: host.record.pool is not None, "Whether it was registered; else the settings name it, or did."),
    weight=integer(lambda host: host.weight, "How much of its pool's work it gets, beside the others.", least=1),
    maxRunning=integer(lambda host: host.max_running, "How many executions it may have at once; null: no limit of its own.", null=True),
    swarm=string(lambda host: _seen(host.view).swarm_id or host.record.swarm_id, "The id of its swarm.", null=True),
    engine=string(lambda host: host.record.engine_id, "The id of the engine that has to answer there; null: none has yet.", null=True),
    available=boolean(lambda host: _seen(host.view).is_open, "Whether it may get new work."),
    blacklisted=boolean(lambda host: host.record.drained, "Whether it is drained: it gets no new work, and what runs there goes on."),
    error=string(_fault, "Why it gets no new work, if so.", null=True),
    running=integer(lambda host: _seen(host.view).running, "Executions on it."),
    registeredAt=timestamp(lambda host: host.record.registered_at, "When it was registered.", null=True),
    registeredBy=string(
        lambda host: host.record.registered_by.user if host.record.registered_by else None, "Who registered it.", null=True
    ),
)

KNOWN_HOSTS = Serializer[Sequence[Host]](
    "KnownHosts",
    "All hosts, by address.",
    items=array(KNOWN_HOST, lambda hosts: hosts),
)

HOST_REMOVED = Serializer[HostRemoved](
    "HostRemoved",
    "A host that was removed.",
    id=uuid(lambda removed: removed.id),
    address=string(lambda removed: removed.address),
    removed=boolean(lambda _: True),
    lost=integer(lambda removed: removed.lost, "Executions that were bound there, and end as host-lost."),
)

HOST_DRAINED = Serializer[HostDrained](
    "HostDrained",
    "A host, and whether it is drained.",
    host=string(lambda drained: drained.address),
    blacklisted=boolean(lambda drained: drained.drained),
)
