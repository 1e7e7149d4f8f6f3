"""Worker reports in Redis, as JSON that other versions can read. Of its hosts a worker sends those that have changed since its last
report, and all of them when Redis does not have that one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_hex
from typing import Any

import orjson

from fastlane.models.note import Note, Obstacle
from fastlane.models.placement.disk import Disk
from fastlane.models.placement.host import HostView, Node
from fastlane.queue.base import Report
from fastlane.queue.redis.keys import Keys
from fastlane.queue.redis.runner import ScriptRunner

OBSTACLES = {obstacle.value: obstacle for obstacle in Obstacle}
WHOLE = "WHOLE"


@dataclass(frozen=True, slots=True)
class Sent:
    """What Redis has of a worker's hosts, by its last report; ``number``: by which that report is known, empty while Redis may have
    anything. It is random: a call that was lost, and is carried out late, must not fit."""

    number: str = ""
    hosts: Mapping[str, HostView] = field(default_factory=dict)


NOTHING = Sent()


class RedisReports:
    """The port's ``WorkerReports``."""

    def __init__(self, scripts: ScriptRunner, keys: Keys) -> None:
        self._scripts = scripts
        self._own = (keys.workers, keys.reports)
        self._sent: dict[str, Sent] = {}
        self._read: dict[str, tuple[str, HostView]] = {}

    async def announce(self, report: Report, *, ttl: int) -> None:
        """Keeps a worker's report for ``ttl`` milliseconds."""
        sent = self._sent.pop(report.worker, NOTHING)  # nothing is known of what Redis has, should the answer be lost
        hosts, number = {view.name: view for view in report.hosts}, token_hex(8)
        if await self._announce(report, ttl, sent, hosts, number) == WHOLE:
            await self._announce(report, ttl, NOTHING, hosts, number)
        if ttl > 0:
            self._sent[report.worker] = Sent(number, hosts)

    async def _announce(self, report: Report, ttl: int, sent: Sent, hosts: Mapping[str, HostView], number: str) -> Any:
        gone = [name for name in sent.hosts if name not in hosts]
        changed = [(name, view) for name, view in hosts.items() if (old := sent.hosts.get(name)) is not view and old != view]
        fields = [text for name, view in changed for text in (name, orjson.dumps(view).decode())]
        head = orjson.dumps(replace(report, hosts=())).decode()
        arguments: list[str | int] = [report.worker, ttl, head, sent.number, number, len(gone), *gone, *fields]
        return await self._scripts.run("announce", (), arguments, *self._own)

    async def current(self) -> Sequence[Report]:
        """Reads the reports of all live workers. A host whose text has not changed is not read again."""
        alive, pairs = await self._scripts.run("reports", (), [], *self._own)
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        hosts: dict[str, list[HostView]] = {worker: [] for worker in alive}
        read: dict[str, tuple[str, HostView]] = {}
        for name, text in fields.items():
            worker, _, host = name.partition("\n")
            if host and worker in hosts:
                known = self._read.get(name)
                read[name] = known if known is not None and known[0] == text else (text, _host(orjson.loads(text)))
                hosts[worker].append(read[name][1])
        self._read = read
        return [_report(orjson.loads(fields[worker]), hosts[worker]) for worker in alive if worker in fields]


def _report(values: Mapping[str, Any], hosts: Sequence[HostView]) -> Report:
    """Reads a report that another version may have written: what this version does not know is left out."""
    notes = tuple(
        Note(**_known_fields(Note, note) | {"obstacle": obstacle})
        for note in values.get("notes", ())
        if (obstacle := OBSTACLES.get(note["obstacle"])) is not None
    )
    pools = values.get("pools")
    rules = None if pools is None else tuple(map(tuple, pools))
    more = {name: values.get(name) for name in ("clock_skew", "room", "pools_digest")}
    return Report(values["worker"], values["started_at"], tuple(hosts), notes, pools=rules, **more)


def _host(values: Mapping[str, Any]) -> HostView:
    disk = values.get("disk")
    parts = {
        "disk": None if disk is None else Disk(**_known_fields(Disk, disk)),
        "members": tuple(Node(**_known_fields(Node, node)) for node in values.get("members", ())),
    }
    return HostView(**_known_fields(HostView, values) | parts)


def _known_fields(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in kind.__dataclass_fields__}
