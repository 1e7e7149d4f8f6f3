"""What a sample of an engine says, with cgroups of both versions, and how one that stalls is asked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fastlane.errors import FastlaneError
from fastlane.executors.port import Phase
from fastlane.executors.swarm import observe
from fastlane.executors.swarm.client import CallTimeouts
from fastlane.executors.swarm.observe import usage_of
from fastlane.models.job import Usage
from fastlane.models.pool import Pull
from tests.contract.test_executor import INSTANT, order
from tests.support.defaults import default_executor
from tests.support.engine import IMAGE, open_probed, task_in
from tests.support.simulated_engine import SimulatedEngine, Simulation
from tests.support.waiting import PATIENCE

VERSION_1: dict[str, Any] = {
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 8, "minor": 0, "op": "Read", "value": 4096},
            {"major": 8, "minor": 0, "op": "Write", "value": 100},
            {"major": 8, "minor": 16, "op": "Read", "value": 4},
            {"major": 8, "minor": 0, "op": "Total", "value": 4296},
        ]
    },
    "cpu_stats": {"cpu_usage": {"total_usage": 533437303, "percpu_usage": [130998550, 402438753]}, "online_cpus": 2},
    "memory_stats": {
        "usage": 1_056_768,
        "max_usage": 41_451_520,
        "limit": 67_108_864,
        "stats": {"inactive_file": 1, "total_inactive_file": 8192, "cache": 512_000},
    },
}
VERSION_2: dict[str, Any] = {
    "blkio_stats": {
        "io_service_bytes_recursive": [
            {"major": 254, "minor": 0, "op": "read", "value": 8192},
            {"major": 254, "minor": 0, "op": "write", "value": 0},
        ]
    },
    "cpu_stats": {"cpu_usage": {"total_usage": 2_000_000_000, "usage_in_usermode": 1_000_000_000}},
    "memory_stats": {"usage": 30_000_000, "limit": 8_000_000_000, "stats": {"anon": 20_000_000, "inactive_file": 9_000_000}},
}


def test_a_sample_of_cgroups_version_1() -> None:
    assert usage_of(VERSION_1) == Usage(1_056_768 - 8192, 533, 4100, 100)


def test_a_sample_of_cgroups_version_2() -> None:
    assert usage_of(VERSION_2) == Usage(21_000_000, 2000, 8192, 0)


@pytest.mark.parametrize("moved", [None, []])
def test_what_an_engine_does_not_tell_of_disks_is_unknown_and_not_zero(moved: list[object] | None) -> None:
    found = usage_of({**VERSION_2, "blkio_stats": {"io_service_bytes_recursive": moved}})
    assert found is not None
    assert (found.read_bytes, found.written_bytes) == (None, None)


def test_a_container_that_does_not_run_gives_none() -> None:
    ended = {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}, "blkio_stats": {"io_service_bytes_recursive": None}}
    assert usage_of(ended) is None


def test_samples_join_to_the_largest_memory_and_the_last_sums() -> None:
    joined = Usage(50, 10, 5, None).then(Usage(20, 30, None, 7))
    assert joined == Usage(50, 30, 5, 7)


async def test_an_engine_whose_samples_stall_delays_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples: list[asyncio.Task[Usage | None]] = []
    over: list[int] = []
    arrived = asyncio.Event()

    async def never(_self: object, _request: object, id: str) -> object:
        """Notes how many samples are over when one more is asked for."""
        over.append(sum(sample.done() for sample in samples))
        arrived.set()
        return await asyncio.Event().wait()

    monkeypatch.setattr(SimulatedEngine, "stats", never)
    monkeypatch.setattr(observe, "USAGE_TIMEOUTS", CallTimeouts(read=1.0, whole=1.0))
    async with Simulation(tmp_path, 1) as simulation:
        host = f"unix://{simulation.names[0]}"
        executor = default_executor([host], "stalls", probe_every=0.2)
        await open_probed(executor)
        try:
            image = await executor.resolve(host, IMAGE, Pull.MISSING)
            service = await executor.park(host, order(INSTANT.holds), image)
            await executor.activate(host, service)
            task = await task_in(Phase.RUNNING, executor, host, service)
            samples += [asyncio.create_task(executor.usage(host, task)) for _ in range(20)]
            async with asyncio.timeout(PATIENCE):
                await arrived.wait()
            assert (await executor.inspect(host, service)).tasks[0].id == task.id
            (view,) = executor.hosts()
            assert (view.usable, view.circuit) == (True, "closed")
            found = await asyncio.gather(*samples, return_exceptions=True)
            assert all(isinstance(one, FastlaneError) for one in found)
            assert all(before >= number for number, before in enumerate(over))  # the others waited for its connection
            (view,) = executor.hosts()
            assert (view.usable, view.circuit) == (True, "closed")
        finally:
            await executor.close()
