"""Calls to an engine take no thread, and no file descriptor beyond their bound."""

import asyncio
import threading
from pathlib import Path

import pytest

from fastlane.errors import OrderRefused
from fastlane.executors.swarm.client import CONNECTIONS, CallTimeouts, Client
from fastlane.executors.swarm.faults import HostTimeout, NotHostsFault
from fastlane.executors.swarm.transport import Transport
from fastlane.models.host import Endpoint
from tests.support.simulated_engine import Simulation
from tests.support.waiting import until


def client_of(simulation: Simulation, timeouts: CallTimeouts | None = None) -> Client:
    return Client(Transport(Endpoint(f"unix://{simulation.names[0]}")), timeouts=timeouts)


async def test_probes_and_lists_take_no_thread(tmp_path: Path) -> None:
    async with Simulation(tmp_path, 1) as simulation:
        client, before = client_of(simulation), threading.active_count()
        assert (await client.versions(5))["ApiVersion"] == "1.45"
        assert len(await client.get("/nodes")) == 1
        assert await client.get("/tasks", {"label": ["a=b"]}) == []
        assert threading.active_count() == before
        await client.close()


async def test_what_an_engine_refuses_is_no_fault_of_its_host(tmp_path: Path) -> None:
    async with Simulation(tmp_path, 1) as simulation:
        client = client_of(simulation)
        with pytest.raises(OrderRefused, match="is not simulated"):
            await client.get("/plugins")
        await client.close()


async def test_a_silent_engine_gets_a_bounded_number_of_connections_and_each_call_ends(tmp_path: Path) -> None:
    async with Simulation(tmp_path, 1) as simulation:
        client = client_of(simulation, CallTimeouts(whole=1))
        simulation.silence(simulation.names[0])
        calls = [asyncio.ensure_future(client.get("/nodes")) for _ in range(3 * CONNECTIONS)]

        async def asked() -> bool | None:
            return simulation.calls["nodes"] >= CONNECTIONS or None

        await until(asked, "the calls to arrive")
        assert simulation.calls["nodes"] == CONNECTIONS
        faults = [type(error) for error in await asyncio.gather(*calls, return_exceptions=True)]
        assert {*faults} == {HostTimeout, NotHostsFault}, "a call that never began says nothing about the host"
        assert faults.count(HostTimeout) >= CONNECTIONS  # a call may get the connection of one that has just ended
        await client.close()
