"""Which hosts a worker connects to, and how: those of the settings, those that were registered, and those that no pool names any longer."""

from dataclasses import replace
from pathlib import Path

import pytest

from fastlane.models.host import Endpoint, HostRecord, TlsFiles
from fastlane.models.pool import Pool, hosts_to_know

TLS = TlsFiles(Path("/ca"), Path("/cert"), Path("/key"))
LOCAL = "unix:///s"
SAFE = Pool("safe", "a", (LOCAL,), tls=TLS, register=("10.0.0.*",))
PLAIN = Pool("plain", "", (LOCAL,), insecure=True, register=("10.0.0.*",))


def left(address: str) -> HostRecord:
    """A host that an engine has answered for, and that is in no pool."""
    return HostRecord("id", address, engine_id="engine", swarm_id="swarm")


@pytest.mark.parametrize("pools", [(SAFE, PLAIN), (PLAIN, SAFE)])
def test_a_host_that_no_pool_names_any_longer_is_reached_by_tls_where_any_pool_has_the_files(pools: tuple[Pool, ...]) -> None:
    assert hosts_to_know(pools, [left("10.0.0.7:2376")])[-1].endpoint == Endpoint("10.0.0.7:2376", tls=TLS)


def test_a_host_that_no_pool_names_any_longer_is_not_reached_without_tls_unless_a_pool_allows_it() -> None:
    assert [host.endpoint.address for host in hosts_to_know([Pool("default", "", (LOCAL,))], [left("10.0.0.7:2375")])] == [LOCAL]
    assert hosts_to_know([PLAIN], [left("10.0.0.7:2375")])[-1].endpoint.insecure


def test_the_drained_engines_of_an_address_are_known_while_their_host_is_not_removed() -> None:
    records = [replace(left(LOCAL), id=engine, engine_id=engine, drained=True) for engine in ("one", "two", "gone", "well")]
    records[2:] = [replace(records[2], removed_at=1), replace(records[3], drained=False)]
    (host,) = hosts_to_know([Pool("default", "", (LOCAL,))], records)
    assert host.drained == {"one", "two"}
    other = replace(left("10.0.0.7:2376"), drained=True)
    assert hosts_to_know([SAFE], [other])[-1].drained == {"engine"}
