"""One search of the log for an execution's id shows its whole life: its enqueue, start, end, retry or stop, and its cleaning."""

import logging
from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture

from tests.support.fastlane import HOST, Fastlane


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """The lines of the log at the level debug, as they are written: what is bound to a request is in them."""
    capture, before = LogCapture(), structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, capture],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=False,
    )
    yield capture.entries
    structlog.configure(**before)


def grep(lines: list[dict[str, object]], id: str) -> list[str]:
    """The events of the lines in which the id is."""
    return [str(line["event"]) for line in lines if id in str(line)]


def in_order(found: list[str], *steps: str) -> bool:
    """Whether these events are there in this order, perhaps with others between."""
    rest = iter(found)
    return all(step in rest for step in steps)


async def test_a_search_for_an_execution_shows_each_step_of_its_life(crew: Fastlane, lines) -> None:
    await crew.hire()
    reply = await crew.enqueue("task", command=["exit", "3"], retries=1, retryDelay="1s")
    first = await crew.store.execution(reply["executionId"])
    assert first is not None

    async def cleaned() -> list[str] | None:
        rows = await crew.store.executions_of(reply["jobId"], 10)
        done = len(rows) == 2 and all("execution.cleaned" in grep(lines, row.id) for row in rows)
        return [row.id for row in reversed(rows)] if done else None

    ids = await crew.until(cleaned, "both attempts end and are cleaned")
    assert ids[0] == first.id
    held = await crew.enqueue("task", command=["hold"])

    async def running() -> bool:
        row = await crew.store.execution(held["executionId"])
        return row is not None and row.status.value == "running"

    await crew.until(running, "it runs")
    await crew.post(f"{held['jobUrl']}stop")

    async def gone() -> bool:
        return {"execution.stop", "execution.cleaned"} <= set(grep(lines, held["executionId"]))

    await crew.until(gone, "it is stopped and cleaned")
    failed, retried, stopped = (grep(lines, id) for id in (*ids, held["executionId"]))
    life = ("execution.activated", "execution.started", "execution.ended")
    assert in_order(failed, "job.enqueued", "execution.activated", "execution.ended", "execution.retried", "execution.cleaned"), failed
    assert in_order(retried, "execution.retried", "execution.activated", "execution.ended", "execution.cleaned"), retried
    assert in_order(stopped, "job.enqueued", *life[:2], "execution.stopping", life[2], "execution.cleaned"), stopped
    about = [line for line in lines if str(line["event"]).startswith("execution.")]
    assert [line for line in about if not line.keys() >= {"task_id", "job_id", "execution_id"}] == []
    assert HOST in str([line for line in about if line["event"] == "execution.started"])
