"""Logs in an archive come by the same routes and cursors as before they moved; one that cannot be read there is a 503 that says why."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fastlane.archive.folder import MARK, LogFolder
from fastlane.models import transitions
from fastlane.models.log import STDERR, STDOUT
from fastlane.scheduler.archiver import Archiver
from fastlane.scheduler.known_workers import always
from fastlane.storage import log_object
from fastlane.web.http.problems import ARCHIVE_DAMAGED, ARCHIVE_DOWN
from tests.http.test_log_search import files_of, search
from tests.support.fastlane import Answer, Fastlane
from tests.support.followers import Socket

PARTS = tuple((stream, f"line {number} of {stream} ä\n".encode() * 50) for number in range(40) for stream in (STDOUT, STDERR))
LOG_ROUTES = (
    *("/logs", "/stdout", "/stderr", "/logs?tail=3", "/stdout?tail=7", "/logs?interleaved=1&tail=5"),
    *("/logs?timestamps=1&interleaved=1", "/stderr?since=2023-11-14T22:13:20.010Z"),
)


@dataclass(frozen=True)
class Ran:
    """A run whose log is long enough for several segments of an object."""

    server: Fastlane
    folder: Path
    task: str
    job: str
    execution: str

    @property
    def url(self) -> str:
        return f"/tasks/{self.task}/jobs/{self.job}/executions/{self.execution}"

    @property
    def objects(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and path.name != MARK]

    async def move(self) -> None:
        """Moves the log to the archive, as a worker does."""
        execution = await self.server.store.execution(self.execution)
        assert execution is not None
        if not execution.settled:
            execution = await self.server.change(transitions.settle(execution))
        await self.server.change(transitions.clean(execution))
        archiver = Archiver(self.server.store.log_archive, self.server.clock, always, after=-1)
        await archiver.round()
        assert len(self.objects) == 1

    async def answers(self, routes: Sequence[str] = LOG_ROUTES) -> list[Answer]:
        """What is the same before and after the move."""
        found = [await self.server.get(f"{self.url}{route}") for route in routes]
        found.append(await self.server.get(f"{self.url}/logs", headers={"Range": "bytes=100-5000"}))
        events = await self.server.get(f"{self.url}/logs", headers={"Accept": "text/event-stream"})
        cursors = re.findall(rb"(?m)^id: (.*)$", events.body)
        found += [events, *[await self.events_after(cursor.decode()) for cursor in (cursors[0], cursors[-2])]]
        found.append(await self.server.get(f"/logs/search?task={self.task}&pattern=line%203[0-9]%20of%202"))
        return found

    async def events_after(self, cursor: str) -> Answer:
        return await self.server.get(f"{self.url}/logs", headers={"Accept": "text/event-stream", "Last-Event-ID": cursor})


@pytest.fixture
async def ran(server: Fastlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    monkeypatch.setattr(log_object, "SEGMENT", 5_000)
    folder = tmp_path / "archive"
    folder.mkdir()
    server.store.log_archive.objects = LogFolder(folder)
    reply = await server.enqueue("backup")
    execution = await server.run(reply)
    for number, part in enumerate(PARTS):
        await server.append_log(execution, part, at=1_700_000_000_000 + number)
    await server.end(execution)
    return Ran(server, folder, "backup", reply["jobId"], reply["executionId"])


def shown(answer: Answer) -> tuple[int, Any, bytes]:
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in ("date", "x-request-id")}
    return answer.status, headers, re.sub(rb'"removedBefore":"[^"]*"', b"", answer.body)  # which follows the clock


async def test_each_route_and_cursor_gives_what_it_gave_before(ran: Ran) -> None:
    before = [shown(answer) for answer in await ran.answers()]
    files = files_of((await ran.server.get("/logs/archive?task=backup")).body)
    details = (await ran.server.get(ran.url)).json
    await ran.move()
    assert [shown(answer) for answer in await ran.answers()] == before
    assert files_of((await ran.server.get("/logs/archive?task=backup")).body) == files
    assert (await ran.server.get(ran.url)).json == details
    assert {status for status, _, _ in before} == {200, 206}
    async with Socket(ran.server.client, f"{ran.server.base}{ran.url}/ws?format=json") as socket:
        await socket.closed()
    assert socket.received.log.encode() == b"".join(data for _, data in PARTS)


@pytest.mark.parametrize("route", ["/logs", "/stdout", "/logs?tail=3", "/stderr?since=2023-11-14T22:13:20.010Z"])
async def test_a_log_is_a_503_while_the_archive_is_away_and_a_500_once_it_has_lost_it(ran: Ran, route: str) -> None:
    await ran.move()
    away = ran.folder.rename(ran.folder.with_name("away"))
    with capture_logs() as logs:
        answer = await ran.server.get(f"{ran.url}{route}")
    assert (answer.status, answer.json["detail"]) == (503, ARCHIVE_DOWN)
    assert any(f"the archive {ran.folder} failed: No such file or directory" in str(entry.get("error")) for entry in logs)
    away.rename(ran.folder)
    ran.objects[0].unlink()
    with capture_logs() as logs:
        answer = await ran.server.get(f"{ran.url}{route}")
    assert (answer.status, answer.json["detail"]) == (500, ARCHIVE_DAMAGED)
    assert any(f"in the archive {ran.folder} cannot be read" in str(entry.get("exc_info")) for entry in logs)


async def test_a_search_and_a_download_of_many_logs_are_seen_to_be_cut_while_the_archive_is_away(ran: Ran) -> None:
    await ran.move()
    ran.folder.rename(ran.folder.with_name("away"))
    for path in ("/logs/search?pattern=x", "/logs/archive"):
        data = await ran.server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert not data.endswith(b"0\r\n\r\n")


async def test_a_search_and_a_download_of_many_logs_name_a_log_that_the_archive_has_lost_and_go_on(ran: Ran) -> None:
    await ran.move()
    ran.objects[0].unlink()
    found = await search(ran.server, "pattern=x")
    assert [(data["executionId"], data["reason"]) for kind, data in found if kind == "missing"] == [(ran.execution, "unreadable")]
    assert found[-1][0] == "end"
    files = files_of((await ran.server.get("/logs/archive?task=backup")).body)
    assert [row["missing"] for row in map(json.loads, files["runs-0001.jsonl"].splitlines())] == ["unreadable"]
