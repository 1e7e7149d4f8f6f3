"""Worker reports in Redis, as JSON that other versions can read."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from fastlane.models.note import Note, Obstacle
from fastlane.models.placement.disk import Disk
from fastlane.models.placement.host import HostView
from fastlane.queue.base import Report
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.runner import ScriptRunner

OBSTACLES = {obstacle.value: obstacle for obstacle in Obstacle}


class RedisReports:
    """The port's ``WorkerReports``."""

    def __init__(self, scripts: ScriptRunner, keys: Keys) -> None:
        self._scripts = scripts
        self._own = (keys.workers, keys.reports)

    async def announce(self, report: Report, *, ttl: int) -> None:
        """Keeps a worker's report for ``ttl`` milliseconds."""
        await self._scripts.run("announce", (), [report.worker, ttl, orjson.dumps(report).decode()], *self._own)

    async def current(self) -> Sequence[Report]:
        """Reads the reports of all live workers."""
        texts = await self._scripts.run("reports", (), [], *self._own)
        return [_read(orjson.loads(text)) for text in texts if text is not None]


def _read(values: Mapping[str, Any]) -> Report:
    """Reads a report that another version may have written: what this version does not know is left out."""
    hosts = tuple(map(_view, values["hosts"]))
    notes = tuple(
        Note(**_known_fields(Note, note) | {"obstacle": obstacle})
        for note in values.get("notes", ())
        if (obstacle := OBSTACLES.get(note["obstacle"])) is not None
    )
    pools = values.get("pools")
    rules = None if pools is None else tuple(map(tuple, pools))
    more = {name: values.get(name) for name in ("clock_skew", "room", "pools_digest")}
    return Report(values["worker"], values["started_at"], hosts, notes, pools=rules, **more)


def _view(values: Mapping[str, Any]) -> HostView:
    disk = values.get("disk")
    return HostView(**_known_fields(HostView, values) | {"disk": None if disk is None else Disk(**_known_fields(Disk, disk))})


def _known_fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
