"""A code that may be an engine's doing as it came back: its word is waited for where that engine is a host of ours and does not answer yet;
and whose log is asked from whom while a manager is away."""

import pytest

from fastlane.executors.base import EngineTask, Phase, TaskEnd
from fastlane.executors.swarm.executor import SwarmExecutor
from fastlane.executors.swarm.probe import EngineFacts
from tests.support.defaults import default_executor

HERE, THERE, ELSEWHERE = "unix:///here", "unix:///there", "unix:///elsewhere"


@pytest.fixture
def executor() -> SwarmExecutor:
    """Two managers of one swarm, and one of another; nothing is probed."""
    made = default_executor([HERE, THERE, ELSEWHERE], "test")
    for name, swarm in ((HERE, "one"), (THERE, "one"), (ELSEWHERE, "two")):
        made._hosts[name].facts = EngineFacts(swarm, f"node of {name}", 5, {"a": "ready", "b": "ready"})
        made._hosts[name]._fault = None
    return made


def ended(code: int, node: str, end: TaskEnd = TaskEnd.EXITED) -> EngineTask:
    return EngineTask("t", "s", Phase.ENDED, "failed", end=end, exit_code=code, container_id="c", node_id=f"node of {node}")


@pytest.mark.parametrize(
    ("task", "doubted"),
    [
        (ended(143, THERE), True),
        (ended(255, THERE), True),
        (ended(3, THERE), False),
        (ended(143, HERE), False),
        (ended(143, "a node that is no host"), False),
        (ended(143, THERE, TaskEnd.SHUTDOWN), False),
    ],
)
def test_a_code_is_doubted_only_while_the_engine_that_knows_does_not_answer(
    executor: SwarmExecutor, task: EngineTask, doubted: bool
) -> None:
    executor._hosts[THERE]._fault = "refused the connection"
    assert executor._doubted(task).lingering is doubted
    executor._hosts[THERE]._fault = None
    assert executor._doubted(task).lingering is False


def test_a_log_is_asked_through_another_manager_of_its_swarm_while_its_own_is_away(executor: SwarmExecutor) -> None:
    host = executor._hosts[HERE]
    assert executor._manager(host) is host
    host._fault = "did not answer within 10 s"
    assert executor._manager(host).name == THERE
    executor._hosts[THERE]._fault = "did not answer within 10 s"
    assert executor._manager(host) is host
