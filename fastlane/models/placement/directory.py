"""Joins what the settings say of the pools with what the store keeps of the hosts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastlane.models.execution import Execution
from fastlane.models.placement.disk import Refusals
from fastlane.models.placement.endpoint import Endpoint
from fastlane.models.placement.host_record import EngineIdentity, HostRecord, is_local
from fastlane.models.placement.pool import HostRule, Pool


@dataclass(frozen=True, slots=True)
class KnownHost:
    """A host to connect to: how it is reached, the engine that has to answer there (None: whichever does), and the starts that any worker
    saw it refuse for its full disk."""

    endpoint: Endpoint
    expected: EngineIdentity | None = None
    refusals: Refusals | None = None


def pools_in_force(pools: Sequence[Pool], records: Sequence[HostRecord]) -> tuple[Pool, ...]:
    """The pools of the settings, with the hosts that are registered in them. A host that the settings name stays as they have it."""
    named = {host for pool in pools for host in pool.hosts}
    return tuple(_with_registered(pool, [row for row in records if is_registered(row) and row.address not in named]) for pool in pools)


def _with_registered(pool: Pool, rows: Sequence[HostRecord]) -> Pool:
    own = {row.address: row for row in rows if row.pool == pool.name}
    if not own:
        return pool
    rules = {address: HostRule(row.weight, row.max_running) for address, row in own.items()}
    return replace(pool, hosts=(*pool.hosts, *own), rules={**pool.rules, **rules})


def is_registered(record: HostRecord) -> bool:
    """Whether a host is registered in a pool now."""
    return record.pool is not None and record.removed_at is None


def hosts_to_know(pools: Sequence[Pool], records: Sequence[HostRecord]) -> tuple[KnownHost, ...]:
    """Every host that a worker with these pools in force connects to, once, in order: those of the pools, and those that were in one and
    are not removed, since work may still be there. (Of a local address only its own settings know which engine is meant.)"""
    expected, refusals = expected_engines(records), {record.address: record.refusals for record in records if _is_shared(record)}
    endpoints = {host: pool.endpoint(host) for pool in reversed(pools) for host in reversed(pool.hosts)}
    found = [KnownHost(endpoints[host], expected.get(host), refusals.get(host)) for host in reversed(endpoints)]
    for record in records:
        if record.removed_at is None and record.identity and record.address not in endpoints and not is_local(record.address):
            endpoint = _way_to(record.address, pools)
            if endpoint is not None:
                found.append(KnownHost(endpoint, record.identity, record.refusals))
    return tuple(found)


def _way_to(address: str, pools: Sequence[Pool]) -> Endpoint | None:
    """How a host that no pool names any longer is reached: as the first pool would that has the means, and with TLS where any has."""
    ways = sorted((pool.endpoint(address) for pool in pools), key=lambda way: way.is_plain)
    return next((way for way in ways if way.fault is None), None)


def expected_engines(records: Sequence[HostRecord]) -> Mapping[str, EngineIdentity]:
    """The engine that has to answer at each address, where one has answered before. A local address is another one on each machine."""
    return {record.address: record.identity for record in records if record.identity is not None and _is_shared(record)}


def _is_shared(record: HostRecord) -> bool:
    """Whether all workers mean the same engine by its address."""
    return record.removed_at is None and not is_local(record.address)


def record_of(records: Sequence[HostRecord], address: str, identity: EngineIdentity | None) -> HostRecord | None:
    """The record of the engine that answers at an address; while none has (None), the address's own. The one that no engine has answered
    for yet is any engine's."""
    own = [record for record in records if record.address == address]
    for wanted in (identity, None):
        found = next((record for record in own if record.identity == wanted), None)
        if found is not None:
            return found
    return own[0] if identity is None and len(own) == 1 else None


def names_of(pools: Sequence[Pool], address: str) -> tuple[str, ...]:
    """The pools that a host is in."""
    return tuple(pool.name for pool in pools if address in pool.hosts)


def removed_with(records: Sequence[HostRecord], execution: Execution) -> HostRecord | None:
    """The host with which a bound execution is lost, because that was removed by force; None when it was not. What a worker that had not
    heard of the removal bound there after it is lost as well, unless the host is in use again."""
    for record in records:
        until = record.lost_until
        if until is None or record.address != execution.host or execution.bound_at is None:
            continue
        if record.lost_swarm is not None and execution.swarm_id and execution.swarm_id != record.lost_swarm:
            continue
        if execution.bound_at <= until or record.removed_at is not None:
            return record
    return None
