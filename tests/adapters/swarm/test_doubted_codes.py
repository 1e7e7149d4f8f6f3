"""An exit code that an engine may have made up as it came back counts only once that engine has been asked about the container."""

from pathlib import Path
from typing import Any

import pytest

from fastlane.executors.port import Image, TaskEnd
from tests.contract.test_executor import order
from tests.support.defaults import default_executor
from tests.support.engine import open_probed
from tests.support.simulated_engine import SimulatedEngine, Simulation
from tests.support.waiting import until


def join(here: SimulatedEngine, there: SimulatedEngine, patch: pytest.MonkeyPatch) -> None:
    """Makes both the managers of one swarm, which runs all containers of the first one's services on the second."""
    both = [*here.nodes(Any, ""), *there.nodes(Any, "")]
    for engine in (here, there):
        info = engine.info(Any, "")
        info["Swarm"]["Cluster"]["ID"] = "swarm"
        patch.setattr(engine, "info", lambda *_, known=info: known)
        patch.setattr(engine, "nodes", lambda *_: both)
    listed = here.tasks
    patch.setattr(here, "tasks", lambda request, id: [{**raw, "NodeID": f"node-{there.name}"} for raw in listed(request, id)])
    patch.setattr(there, "container", here.container)


async def test_a_code_is_doubted_while_the_engine_of_its_node_refuses_connections_and_its_breaker_is_still_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulation(tmp_path, 2) as simulation:
        here, there = (simulation._engines[name] for name in simulation.names)
        join(here, there, monkeypatch)
        executor = default_executor([f"unix://{name}" for name in simulation.names], "doubted")
        await open_probed(executor)
        host = f"unix://{here.name}"
        try:
            digest = "sha256:" + "1f" * 32
            image = Image(f"registry.invalid/image@{digest}", digest)
            service = await executor.park(host, order(("exit", "255")), image)
            await executor.activate(host, service)

            async def ended() -> bool:
                (task,) = (await executor.inspect(host, service)).tasks
                return task.end is TaskEnd.EXITED and not task.lingering

            await until(ended, "the container to end")
            await simulation.kill(there.name)
            (task,) = (await executor.inspect(host, service)).tasks
            assert all(view.usable for view in executor.hosts())
            assert task.lingering
        finally:
            await executor.close()
