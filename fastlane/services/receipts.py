"""Receipts: the one of an execution, and the check of a job's whole chain against the rows that are stored."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastlane.clock import Clock
from fastlane.errors import ArchiveDamaged, Conflict, Fault, Invalid, NotFound
from fastlane.models.access import may_see
from fastlane.models.receipt import (
    LATE,
    ChainCheck,
    ChainHead,
    Removals,
    Seal,
    SealedRow,
    SealFault,
    SealKeys,
    SealKind,
    bound_ends,
    end_faults,
    receipt_document,
    row_faults,
    seal_id,
)
from fastlane.models.tick import Outcome
from fastlane.storage.base import Store, find_execution
from fastlane.storage.seal_port import HistoryRow

PAGE = 100
"""Seals, or rows, of one part of a check."""
MOST_LOG = 64 * 1024 * 1024
"""Bytes of logs after which a part of a check ends."""
WITHOUT_EXECUTION = frozenset({Outcome.SKIPPED, Outcome.MISSED, Outcome.EXPIRED})
"""Outcomes of ticks that made no execution, which are sealed all the same. Ticks that a stop took with it are not."""


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """A part of a check. ``seals`` and ``rows``: how many were compared; ``removed``: how many of the seals have no row any more, as the
    chain says. ``next``: where the next part begins; None: this was the last one."""

    task_id: str
    job_id: str
    seals: int
    rows: int
    removed: int
    faults: Sequence[SealFault]
    next: str | None


@dataclass(frozen=True, slots=True)
class ChainPage:
    """Where chains end, and the job after which the next page begins."""

    heads: Sequence[ChainHead]
    next: str | None


NotedEnd = tuple[int, str]
"""Where a chain ended once, as somebody noted it elsewhere: the number and the digest of its last seal then."""


class Receipts:
    """The receipts of a store. Without a key in the settings there are none, and each method raises Conflict. ``until``: what was sealed
    from this moment on (milliseconds) has no rows that it could be compared with; None: all has."""

    def __init__(self, store: Store, clock: Clock, keys: SealKeys | None, until: int | None = None) -> None:
        self._store = store
        self._seals = store.seals
        self._clock = clock
        self._given = keys
        self._until = until

    @property
    def _keys(self) -> SealKeys:
        if self._given is None:
            raise Conflict("this server keeps no receipts: set receipt_keys for the servers and the workers")
        return self._given

    async def receipt(self, task_id: str, job_id: str, execution_id: str) -> Mapping[str, Any]:
        """The receipt of an execution, also after retention removed its row. Raises NotFound, and Conflict while there is none yet."""
        keys = self._keys
        seal = await self._seals.of_row(execution_id)
        if seal is not None and (seal.task_id, seal.job_id) == (task_id, job_id):
            fault = keys.fault(seal.key, seal.signature, seal.body)
            if fault is not None:
                raise Conflict(f"the stored receipt of this execution {fault}; GET …/receipts/check says what else is wrong")
            return receipt_document(seal)
        execution = await find_execution(self._store, task_id, job_id, execution_id)
        if not execution.status.final:
            raise Conflict(f"the execution is {execution.status}; it gets its receipt after its end")
        place = await self._seals.place()
        if place is not None and (execution.finished_at or 0) < place.since:
            raise Conflict("the execution ended before this installation kept receipts")
        raise Conflict("the execution is not sealed yet; ask again in a minute, and see whether a worker with receipt_keys runs")

    async def chains(self, task_id: str, after: str = "") -> ChainPage:
        """Where the chains of a task's jobs end, also of removed ones."""
        assert self._keys
        heads = await self._seals.heads(task_id, PAGE, after)
        return ChainPage(heads, heads[-1].id if len(heads) == PAGE else None)

    async def all_chains(self, visible: str | None, after: str = "") -> ChainPage:
        """Where all chains end, also of removed jobs. ``visible``: the pattern of the tasks whose chains are wanted; None: all."""
        assert self._keys
        heads = await self._seals.all_heads(PAGE, after)
        return ChainPage([one for one in heads if may_see(visible, one.task_id)], heads[-1].id if len(heads) == PAGE else None)

    async def check(self, task_id: str, job_id: str, start: str | None = None, noted: NotedEnd | None = None) -> CheckedPart:
        """Compares a part of a job's chain with the rows, or looks for rows without a seal. ``start``: the ``next`` of the part before;
        ``noted``: a seal that the chain had once. Raises NotFound for a job that is not there and has no chain, and Invalid for another
        text."""
        kind, place = _read_start(start)
        head = await self._seals.head(job_id)
        first = await self._seals.after(job_id, 0, 1) if head is None else ()
        if first:  # it may have got its first seal in between
            head = await self._seals.head(job_id)
        job = await self._store.job(job_id)
        if task_id not in {one.task_id for one in (job, head, *first) if one is not None}:
            raise NotFound(f"task {task_id!r} has no job {job_id} with receipts")
        assert self._keys
        if kind == "seals":
            part = await self._check_seals(task_id, job_id, head, int(place[0]))
            return replace(part, faults=[*await self._noted_faults(job_id, noted), *part.faults])
        page = await (
            self._seals.executions_of(job_id, PAGE, (int(place[0]), int(place[1])))
            if kind == "executions"
            else self._seals.ticks_of(job_id, PAGE, (int(place[0]), place[1]))
        )
        faults = await self._unsealed(job_id, page, SealKind.EXECUTION if kind == "executions" else SealKind.TICK)
        after = f"{kind}:{page[-1].place[0]}:{page[-1].place[1]}" if len(page) == PAGE else None
        return CheckedPart(task_id, job_id, 0, len(page), 0, faults, after or (FIRST_TICKS if kind == "executions" else None))

    async def _check_seals(self, task_id: str, job_id: str, head: ChainHead | None, number: int) -> CheckedPart:
        before = await self._before(job_id, number)
        check = ChainCheck(self._keys, before)
        seals = await self._seals.after(job_id, number, PAGE)
        removals = Removals(await self._removals(job_id))
        rows = {
            kind: await self._seals.rows(kind, [seal.row for seal in seals if seal.kind is kind])
            for kind in (SealKind.EXECUTION, SealKind.TICK)
        }
        faults = [] if number else await self._place_faults(seals)
        read, compared, removed, bound = 0, 0, 0, await self._end_faults(seals)
        for seal in seals:
            faults += [*check.faults(seal), *bound.get(seal.number, ())]
            row = None if seal.kind is SealKind.REMOVAL else rows[seal.kind].get(seal.row)
            has_rows = seal.kind is not SealKind.REMOVAL and self._is_settled(seal)
            if has_rows and seal.kind is SealKind.EXECUTION and row is not None:
                row, size, found = await self._logged(seal, row, removals)
                read += size
                faults += found
            if has_rows:
                faults += row_faults(self._keys, seal, row, removals)
                removed += row is None and removals.has_row(seal.number)
            compared += 1
            number = seal.number
            if read > MOST_LOG and compared < len(seals):
                return CheckedPart(task_id, job_id, compared, 0, removed, faults, f"seals:{number}")
        if len(seals) == PAGE:
            return CheckedPart(task_id, job_id, compared, 0, removed, faults, f"seals:{number}")
        if head is not None or await self._began(job_id):
            faults += check.head_faults(head)
        return CheckedPart(task_id, job_id, compared, 0, removed, faults, FIRST_EXECUTIONS)

    async def _noted_faults(self, job_id: str, noted: NotedEnd | None) -> list[SealFault]:
        """What is wrong when this is not the seal that the chain had once."""
        if noted is None:
            return []
        number, digest = noted
        seal = await self._before(job_id, number)
        if seal is not None and seal.digest == digest:
            return []
        what = "is missing: the chain had it once" if seal is None else "is not the one that the chain had once: it was replaced"
        return [SealFault(f"seal {number}", what, number)]

    async def _place_faults(self, seals: Sequence[Seal]) -> list[SealFault]:
        """What is wrong with the moment from which on rows have seals, by the first ones of a chain: none is made before it."""
        place, sound = await self._seals.place(), self._sound(seals)
        if place is None and sound:
            return [SealFault(KEPT_SINCE, "is missing: it was deleted")]
        if place is not None and any(one.sealed_at < place.since for one in sound):
            return [SealFault(KEPT_SINCE, "has a later moment than the first seals: the row was deleted and written again")]
        return []

    async def _end_faults(self, seals: Sequence[Seal]) -> dict[int, list[SealFault]]:
        """What is wrong with the ends of other chains that these seals bind, by the number of the seal."""
        sound = self._sound(seals)
        ends = [(job, end) for seal in sound for job, end in bound_ends(seal).items()]
        if not ends:
            return {}
        signatures = await self._seals.signatures([seal_id(job, end.number) for job, end in ends])
        heads = await self._seals.heads_of(sorted({job for job, _ in ends}))
        return {seal.number: end_faults(seal, signatures, heads) for seal in sound}

    async def _began(self, job_id: str) -> bool:
        """Whether a chain had begun, so that the row that says where it ends must be there: an export reads that row before the seals."""
        return any(map(self._is_settled, await self._seals.after(job_id, 0, 1)))

    def _sound(self, seals: Sequence[Seal]) -> list[Seal]:
        """The seals whose rows are all there, and whose signatures fit."""
        return [one for one in seals if self._is_settled(one) and self._keys.fault(one.key, one.signature, one.body) is None]

    def _is_settled(self, seal: Seal) -> bool:
        """Whether all that a seal is about is there."""
        return self._until is None or seal.sealed_at < self._until

    async def _before(self, job_id: str, number: int) -> Seal | None:
        found = await self._seals.after(job_id, number - 1, 1) if number else ()
        return found[0] if found and found[0].number == number else None

    async def _removals(self, job_id: str) -> list[Seal]:
        """The removals whose signatures fit: a forged one allows nothing."""
        seals = await self._seals.removals(job_id)
        return [one for one in seals if one.kind is SealKind.REMOVAL and self._keys.fault(one.key, one.signature, one.body) is None]

    async def _logged(self, seal: Seal, row: SealedRow, removals: Removals) -> tuple[SealedRow, int, list[SealFault]]:
        """The row with what its log has now, the bytes of that, and what is wrong with the log's parts."""
        if removals.has_log(seal.number):
            return row, 0, []
        digest, what = None, MISSING_LOG if "log" in seal.facts else None
        try:
            digest = await self._seals.log_digest(seal.row)
        except ArchiveDamaged:
            what = DAMAGED_LOG
        if digest is not None:
            return row.with_log(digest), digest.bytes, [SealFault.of(seal, fault) for fault in digest.faults]
        if what is None or Removals(await self._removals(seal.job_id)).has_log(seal.number):  # it was removed meanwhile
            return row, 0, []
        return row, 0, [SealFault.of(seal, what)]

    async def _unsealed(self, job_id: str, page: Sequence[HistoryRow], kind: SealKind) -> list[SealFault]:
        """The rows that should have a seal by now, and have none."""
        place, now = await self._seals.place(), self._clock.now() if self._until is None else self._until
        if place is None:
            return []
        fault = self._keys.fault(place.key, place.signature, place.body)
        if fault is not None:
            return [SealFault(KEPT_SINCE, fault)]
        due = [row for row in page if row.final_since is not None and place.since <= row.final_since < now - LATE]
        executions = [row.execution_id for row in due if row.execution_id is not None]
        sealed = await self._seals.sealed([*(row.id for row in due), *executions])
        there = await self._seals.rows(SealKind.EXECUTION, [id for id in executions if id not in sealed])
        found: list[SealFault] = []
        under_way: bool | None = None
        for row in due:
            where = f"{'execution' if kind is SealKind.EXECUTION else 'tick'} {row.id}"
            if row.execution_id is not None and row.execution_id not in sealed and row.execution_id not in there:
                found.append(SealFault(where, f"names execution {row.execution_id}, which is not there: it was deleted", row=row.id))
            if row.id in sealed or (kind is SealKind.TICK and row.execution_id is None and row.outcome not in WITHOUT_EXECUTION):
                continue
            if row.execution_id is not None:
                under_way = await self._store.under_way_between(job_id, 0, 2**62) if under_way is None else under_way
                if under_way:
                    continue
            found.append(SealFault(where, "has no seal: it was inserted by hand, or moved", row=row.id))
        return found


MISSING_LOG = "the stored log is missing, and nothing fastlane did removed it"
DAMAGED_LOG = "the stored log is missing or damaged in the archive"
KEPT_SINCE = "the row that says since when receipts are kept"
FIRST_EXECUTIONS, FIRST_TICKS = "executions:-1:0", "ticks:-1:"
_NUMBER = "-?[0-9]{1,18}"
PLACE = f"^(?:seals:{_NUMBER}|executions:{_NUMBER}:{_NUMBER}|ticks:{_NUMBER}:[0-9a-f-]{{0,36}})$"
"""The pattern of a place in a check."""
NOTED = "^[1-9][0-9]{0,14}:[0-9a-f]{64}$"
"""The pattern of a seal that a chain had once: its number and its digest."""
_NOTED = re.compile(NOTED.rstrip("$") + r"\Z", re.ASCII)
_PLACE = re.compile(PLACE.rstrip("$") + r"\Z", re.ASCII)


def _read_start(text: str | None) -> tuple[str, list[str]]:
    """The part that begins here. Raises Invalid."""
    text = text or "seals:0"
    if _PLACE.match(text) is None:
        raise Invalid([Fault("from", "is not a place in a check; send back the `next` of the answer before, or leave it out")])
    kind, *place = text.split(":", 2)
    return kind, place


def read_noted(text: str | None) -> NotedEnd | None:
    """A seal that a chain had once. Raises Invalid."""
    if text is None:
        return None
    if _NOTED.match(text) is None:
        raise Invalid([Fault("noted", "is not the number of a seal, a colon, and its digest of 64 hexadecimal digits")])
    number, digest = text.split(":")
    return int(number), digest
