"""Waits for an execution, and for the jobs that follow it, over any number of links: ``--wait-all`` of ``fastlane run`` and
``fastlane run-now``.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastlane.cli.client.command import say

if TYPE_CHECKING:
    from fastlane.client import AsyncClient

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks at an execution that has not ended; doubled each time."""
FINAL = frozenset({"done", "failed", "timedout", "stopped", "expired"})


@dataclass(frozen=True, slots=True)
class Link:
    """An execution of a job, by its ids, and what the user calls the job."""

    task: str
    job: str
    execution: str
    name: str


async def wait_all(client: "AsyncClient", first: Link) -> bool:
    """Waits for the last attempt of an execution and of all that follows it, and says how each of them ended. Whether all succeeded; a
    link that was not made, as its row in the ledger says, is no failure of its own."""
    waiting, succeeded = [first], True
    while waiting:
        link = waiting.pop(0)
        status = await _end(client, link)
        say(f"{link.name}: execution {link.execution} ended as {status}")
        succeeded = succeeded and status == "done"
        for made in (await client.executions.following(link.task, link.job, link.execution))["ticks"]:
            name = f"{made['taskId']}/{made['name'] or made['jobId']}"
            last = await _last_attempt(client, link, made)
            if last is None:
                say(f"{name}: {made['outcome']}: {made['reason']}")
            else:
                waiting.append(Link(made["taskId"], made["jobId"], last, name))
    return succeeded


async def _end(client: "AsyncClient", link: Link) -> str:
    """The final status of an execution, once all that follows it is there."""
    pause = FIRST_PAUSE
    while True:
        found = await client.executions.get(link.task, link.job, link.execution)
        if found["status"] in FINAL and (await client.executions.following(link.task, link.job, link.execution))["complete"]:
            return str(found["status"])
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def _last_attempt(client: "AsyncClient", link: Link, made: Any) -> str | None:
    """The id of the last attempt of a tick that an end made, once that has ended; None: the tick made none. The attempt after a failed one
    is there before that one is complete."""
    made = dict(made)
    while made["execution"] is not None:
        id = str(made["execution"]["executionId"])
        await _end(client, Link(made["taskId"], made["jobId"], id, ""))
        rows = (await client.executions.following(link.task, link.job, link.execution))["ticks"]
        made["execution"] = next((row["execution"] for row in rows if row["jobId"] == made["jobId"]), None)
        if made["execution"] is None or made["execution"]["executionId"] == id:
            return id
    return None


async def last_attempt_of(client: "AsyncClient", first: Link) -> Link:
    """The last attempt of the tick of an execution, once that has ended."""
    link = first
    while True:
        await _end(client, link)
        tick = (await client.executions.get(link.task, link.job, link.execution))["queueJobId"]
        newest = link.execution
        async for row in client.executions.of_job(link.task, link.job):
            if row["queueJobId"] == tick:
                newest = row["executionId"]
                break
        if newest == link.execution:
            return link
        link = Link(link.task, link.job, newest, link.name)
