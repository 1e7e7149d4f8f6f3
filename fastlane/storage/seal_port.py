"""What every store keeps of receipts: the seals of each job's chain, and what is read to seal rows and to compare them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastlane.models.receipt import ChainHead, LogDigest, Seal, SealedRow, SealKind, SealPlace


@dataclass(frozen=True, slots=True)
class EndedRow:
    """An execution that ended, as it is walked by."""

    id: str
    task_id: str
    job_id: str
    tick_id: str
    end_noted_at: int
    attempt: int
    settled: bool
    status: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """An execution or a row of the ledger, as it is walked by: its ``place`` in that order, and since when it is final (milliseconds;
    None: it is not). ``execution_id`` and ``outcome`` of a row of the ledger."""

    id: str
    place: tuple[Any, Any]
    final_since: int | None
    execution_id: str | None = None
    outcome: str | None = None


class SealStore(Protocol):
    """The seals, the ends of their chains, and the rows as they are sealed."""

    async def place(self) -> SealPlace | None:
        """How far rows are sealed; None: nothing has been sealed."""

    async def write_place(self, place: SealPlace) -> bool:
        """Replaces the place whose version is one less, or inserts the first. False, and nothing written, for another stored version."""

    async def head(self, job_id: str) -> ChainHead | None:
        """Where the chain of a job ends. Raises Unreadable."""

    async def heads_of(self, job_ids: Sequence[str]) -> Mapping[str, ChainHead]:
        """Where the chains of these jobs end, as far as they have one."""

    async def heads(self, task_id: str, limit: int, after: str = "") -> Sequence[ChainHead]:
        """Where the chains of a task's jobs end, also of removed ones, by the job's id after the named one."""

    async def write_head(self, head: ChainHead) -> bool:
        """Replaces the head whose version is one less, or inserts the first. False, and nothing written, for another stored version."""

    async def append_seal(self, seal: Seal) -> bool:
        """Inserts a seal; False, and nothing written, when its job has one of this number."""

    async def last(self, job_id: str) -> Seal | None:
        """The newest seal of a job that can be read."""

    async def of_row(self, row_id: str) -> Seal | None:
        """The seal of an execution or of a row of the ledger."""

    async def sealed(self, row_ids: Sequence[str]) -> Mapping[str, int]:
        """The numbers of the seals of these rows, as far as they have one."""

    async def after(self, job_id: str, number: int, limit: int) -> Sequence[Seal]:
        """The seals of a job after this number, in order."""

    async def signatures(self, ids: Sequence[str]) -> Mapping[str, str]:
        """The signatures of these seals, by id, as far as they are there."""

    async def all_heads(self, limit: int, after: str = "") -> Sequence[ChainHead]:
        """Where the chains of all jobs end, by the job's id after the named one."""

    async def all_seals(self, limit: int, after: str = "") -> Sequence[Seal]:
        """The seals of all jobs, by id after the named one: a job's seals stand together, in order."""

    async def removals(self, job_id: str) -> Sequence[Seal]:
        """The newest seals of a job's removals, the newest first. Each has what was removed before it."""

    async def rows(self, kind: SealKind, ids: Sequence[str]) -> Mapping[str, SealedRow]:
        """These executions, or rows of the ledger, as they are sealed, by id. They need not be readable otherwise."""

    async def ended(self, until: int, limit: int, after: tuple[int, str]) -> Sequence[EndedRow]:
        """Executions by the moment at which the store learned of their end (milliseconds, up to ``until``) and id, after that place."""

    async def unfinished_ticks(self, rows: Sequence[EndedRow]) -> frozenset[str]:
        """Which ticks of these executions may still change."""

    async def ticks_at(self, job_id: str, due: int) -> Sequence[str]:
        """The rows of a ledger with this due time that made no execution."""

    async def executions_of(self, job_id: str, limit: int, after: tuple[int, int]) -> Sequence[HistoryRow]:
        """The executions of a job by (sequence, attempt), after that place."""

    async def ticks_of(self, job_id: str, limit: int, after: tuple[int, str]) -> Sequence[HistoryRow]:
        """The ledger of a job by (due, id), after that place."""

    async def log_digest(self, execution_id: str) -> LogDigest | None:
        """The digests of a whole stored log, which is read in parts; None: there is none."""
