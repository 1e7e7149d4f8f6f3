"""Receipts: a chain of seals for each job, each over one row of its history, and the rules by which a seal and a row are compared.

A seal has the facts of a row that anyone may see, a keyed digest of each of its fields (a plain one would let people guess a secret), the
digest of the seal before it, and a signature: an HMAC with SHA-256, since nothing here needs a key that everyone may know. All is pure.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Any, Self

import orjson

VERSION = 1
FIRST = "0" * 64
"""The digest before the first seal of a chain."""
LEAST_KEY = 32
"""Characters that a key has at least."""
LATE = 2 * 3_600_000
"""Milliseconds after which a row is sealed at the latest, however slow the workers' clocks and writes are."""
FIELD_DIGITS = 24
"""Hexadecimal digits of the keyed digest of a field: 96 bits."""
BOOKKEEPING = frozenset({"op", "settled", "cleaned", "truncated"})
"""Fields of an execution that change after its end, and say nothing about how it ended."""


class SealKind(StrEnum):
    """What a seal is over: an execution that ended, a row of the ledger that changes no more, or a removal of such rows by retention or by
    a request."""

    EXECUTION = "execution"
    TICK = "tick"
    REMOVAL = "removal"


@dataclass(frozen=True, slots=True)
class Seal:
    """A link of a job's chain. ``row``: the id of the execution or tick, empty for a removal. ``facts``: for people. ``fields``: a keyed
    digest for each field of the row that does not have its default. ``previous``: the digest of the seal before. ``sealed_at`` in
    milliseconds. ``key``: the id of the key by which it is signed."""

    id: str
    job_id: str
    task_id: str
    number: int
    previous: str
    kind: SealKind
    row: str
    facts: Mapping[str, Any]
    fields: Mapping[str, Any]
    sealed_at: int
    key: str
    signature: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """What is signed."""
        return {
            "version": VERSION,
            "job": self.job_id,
            "task": self.task_id,
            "number": self.number,
            "previous": self.previous,
            "kind": self.kind.value,
            "row": self.row,
            "facts": dict(self.facts),
            "fields": dict(self.fields),
            "sealedAt": self.sealed_at,
            "key": self.key,
        }

    @property
    def digest(self) -> str:
        """The digest that the next seal has."""
        return sha256(canonical(self.body)).hexdigest()

    @property
    def where(self) -> str:
        """For people: which seal it is, and of what."""
        return f"seal {self.number}" + (f" of {self.kind} {self.row}" if self.row else f" of a {self.kind}")


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far the chain of a job goes: ``number`` and ``digest`` of its last seal (0: none). It is a signed row, so that seals that are
    missing at the end are noticed. ``id`` is the job's."""

    id: str
    task_id: str
    number: int = 0
    digest: str = FIRST
    key: str = ""
    signature: str = ""
    version: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """What is signed."""
        return {"job": self.id, "task": self.task_id, "number": self.number, "digest": self.digest, "key": self.key}


@dataclass(frozen=True, slots=True)
class SealPlace:
    """How far the ends of executions, and recorded events, have been looked through: first, and a second time ``LATE`` behind for what was
    stored late. ``since``: the moment from which on rows are sealed (milliseconds)."""

    id: str = "place"
    since: int = 0
    ends: Mapping[str, Any] = field(default_factory=dict)
    late_ends: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[str, Any] = field(default_factory=dict)
    late_events: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    signature: str = ""
    version: int = 0

    @property
    def body(self) -> dict[str, Any]:
        """What is signed: the rest follows from the rows."""
        return {"since": self.since, "key": self.key}


def canonical(value: Any) -> bytes:
    """The one text of a value: JSON without spaces, its keys sorted."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class SealKeys:
    """The keys of an installation. The first one signs; all of them are tried where something is compared."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = {_derived(secret, "id")[:8].hex(): secret for secret in secrets}
        self._names = list(self._secrets)

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the keys, which are no secrets."""
        return self._names

    def fields(self, row: str, values: Mapping[str, Any], key: str | None = None) -> dict[str, str]:
        """A keyed digest for each field of a row. ``key``: the id of one of these keys; None: the first."""
        derived = _derived(self._secrets[key or self._names[0]], "fields")
        return {name: _mac(derived, canonical([row, name, value]))[:FIELD_DIGITS] for name, value in values.items()}

    def sign(self, body: Mapping[str, Any]) -> str:
        """The signature of a body, by the first key."""
        return self._signature(self._names[0], body)

    def fault(self, key: str, signature: str, body: Mapping[str, Any]) -> str | None:
        """For people: what is wrong with a signature; None: nothing."""
        if key not in self._secrets:
            return f"is signed with the key {key or '(none)'}, which is not among the keys given ({', '.join(self._names)})"
        if not hmac.compare_digest(self._signature(key, body).encode(), signature.encode(errors="replace")):
            return "was changed: its signature does not fit what it says"
        return None

    def signed_head(self, head: ChainHead) -> ChainHead:
        """The head with its signature."""
        head = replace(head, key=self._names[0])
        return replace(head, signature=self.sign(head.body))

    def signed_place(self, place: SealPlace) -> SealPlace:
        """The place with its signature."""
        place = replace(place, key=self._names[0])
        return replace(place, signature=self.sign(place.body))

    def _signature(self, key: str, body: Mapping[str, Any]) -> str:
        return _mac(_derived(self._secrets[key], "sign"), canonical(body))


def _derived(secret: str, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), f"fastlane receipts: {purpose}".encode(), "sha256")


def _mac(key: bytes, text: bytes) -> str:
    return hmac.digest(key, text, "sha256").hex()


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A row as it is sealed: its ``values`` without defaults, and the ``facts`` among them."""

    kind: SealKind
    id: str
    values: Mapping[str, Any]
    facts: Mapping[str, Any]

    def with_log(self, log: "LogDigest | None") -> "SealedRow":
        """The row of an execution, and what its log has; None: it has no log."""
        if log is None:
            return self
        facts = {**self.facts, "log": {"bytes": log.bytes, "sha256": log.sha256}}
        return replace(self, values={**self.values, LOG: log.whole}, facts=facts)


@dataclass(frozen=True, slots=True)
class LogDigest:
    """The digests of a stored log: ``sha256`` of its bytes in the order of arrival; ``whole`` also of their streams and times, and of what
    its end says. ``faults``: for people, where its parts do not fit together."""

    bytes: int
    sha256: str
    whole: str
    faults: tuple[str, ...] = ()


class ChainBuilder:
    """Appends seals to the chain of a job, in memory."""

    def __init__(self, keys: SealKeys, job_id: str, task_id: str, last: Seal | None, head: ChainHead | None = None) -> None:
        """``last``: the newest seal that is there, ``head``: where the chain ended. The further one counts: what somebody cut off stays a
        gap."""
        self._keys, self.job_id, self._task = keys, job_id, task_id
        end = last if head is None or (last is not None and last.number >= head.number) else head
        self.number, self.digest = (0, FIRST) if end is None else (end.number, end.digest)

    def append(self, row: SealedRow, now: int, others: Mapping[str, "ChainEnd"] | None = None) -> Seal:
        """The next seal, over this row. ``others``: where the chains of other jobs ended, which it binds."""
        number, key = self.number + 1, self._keys.ids[0]
        fields, names = self._keys.fields(row.id, row.values), (seal_id(self.job_id, number), self.job_id, self._task)
        facts = {**row.facts, OTHERS: {job: [end.number, end.signature] for job, end in others.items()}} if others else row.facts
        seal = Seal(*names, number, self.digest, row.kind, row.id, facts, fields, now, key)
        seal = replace(seal, signature=self._keys.sign(seal.body))
        self.number, self.digest = number, seal.digest
        return seal


OTHERS = "others"
"""The fact of a seal that binds the ends of other chains: for each of these jobs, the number and the signature of its newest seal then. So
the end of a chain, and the row that says where it ends, cannot be deleted without the later seals of all jobs."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """A seal of another job's chain, as a later one binds it."""

    number: int
    signature: str


def bound_ends(seal: Seal) -> dict[str, ChainEnd]:
    """The ends of other chains that a seal binds."""
    found = seal.facts.get(OTHERS)
    rows = found.items() if isinstance(found, dict) else ()
    return {job: ChainEnd(row[0], row[1]) for job, row in rows if isinstance(row, list) and [type(one) for one in row] == [int, str]}


def seal_id(job_id: str, number: int) -> str:
    """The id of a seal: two processes that append at once want the same one, and only one gets it."""
    return f"{job_id}/{number:012d}"


Ranges = Sequence[Sequence[int]]
"""Numbers, as the first and the last one of each run of them."""


def removal(rows: Ranges, logs: Ranges) -> SealedRow:
    """What is sealed before rows are removed: the numbers of the seals whose rows, or whose logs, may be missing from then on."""
    return SealedRow(SealKind.REMOVAL, "", {}, {"rows": [*map(list, rows)], "logs": [*map(list, logs)]})


def ranges(numbers: Iterable[int], before: Ranges = ()) -> list[list[int]]:
    """The runs of these numbers and of the runs before."""
    found: list[list[int]] = []
    for first, last in sorted([*((number, number) for number in numbers), *((first, last) for first, last in before)]):
        if found and found[-1][1] >= first - 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return found


class Removals:
    """Which rows and logs may be missing, by the seals of removals."""

    def __init__(self, seals: Iterable[Seal]) -> None:
        facts = [seal.facts for seal in seals]
        self.rows = ranges((), [run for one in facts for run in one.get("rows", ())])
        self.logs = ranges((), [run for one in facts for run in one.get("logs", ())])

    def has_row(self, number: int) -> bool:
        """Whether the row of this seal may be missing."""
        return any(first <= number <= last for first, last in self.rows)

    def has_log(self, number: int) -> bool:
        """Whether the log of this seal's execution may be missing."""
        return any(first <= number <= last for first, last in (*self.logs, *self.rows))


@dataclass(frozen=True, slots=True)
class SealFault:
    """What is wrong, and where: ``number`` of the seal (None: a row without one), ``row`` its execution or tick (empty: none)."""

    where: str
    what: str
    number: int | None = None
    row: str = ""

    @classmethod
    def of(cls, seal: Seal, what: str) -> Self:
        """A fault of a seal or of its row."""
        return cls(seal.where, what, seal.number, seal.row)


def end_faults(seal: Seal, signatures: Mapping[str, str], heads: Mapping[str, ChainHead]) -> list[SealFault]:
    """What is wrong with the ends that a seal binds. ``signatures`` of the seals that are there, by id; ``heads`` of their chains."""
    found = []
    for job, end in bound_ends(seal).items():
        there, head = signatures.get(seal_id(job, end.number)), heads.get(job)
        if there is None:
            what = "is missing: it was deleted"
        elif there != end.signature:
            what = "was replaced"
        elif head is None:
            what = "is there, but the row that says where its chain ends was deleted"
        elif head.number < end.number:
            what = "is there, but the row that says where its chain ends is an older one"
        else:
            continue
        found.append(SealFault.of(seal, f"was made after seal {end.number} of job {job}, which {what}"))
    return found


class ChainCheck:
    """Goes along a chain, seal by seal: from its first one, or from the one after ``before``, which was looked at."""

    def __init__(self, keys: SealKeys, before: Seal | None = None) -> None:
        self._keys = keys
        self._next, self._digest = (1, FIRST) if before is None else (before.number + 1, before.digest)

    def faults(self, seal: Seal) -> list[SealFault]:
        """What is wrong with the next seal of the chain."""
        found = []
        if seal.number != self._next:
            gap = f"seal {self._next}" + (f" to {seal.number - 1}" if seal.number - 1 > self._next else "")
            found.append(SealFault(gap, "is missing: it was deleted", self._next))
        elif self._digest != seal.previous:
            found.append(SealFault.of(seal, "does not follow the seal before it: one of them was replaced"))
        fault = self._keys.fault(seal.key, seal.signature, seal.body)
        if fault is None and seal.id != seal_id(seal.job_id, seal.number):
            fault = "was changed: it stands in another place than the one that was signed"
        if fault is not None:
            found.append(SealFault.of(seal, fault))
        self._next, self._digest = seal.number + 1, seal.digest
        return found

    def head_faults(self, head: ChainHead | None) -> list[SealFault]:
        """What is wrong with the head of the chain, once all seals were looked at."""
        if head is None:
            return [] if self._next == 1 else [SealFault("the end of the chain", "has no row that says where it is: it was deleted")]
        fault = self._keys.fault(head.key, head.signature, head.body)
        if fault is not None:
            return [SealFault("the row that says where the chain ends", fault)]
        if head.number >= self._next:
            missing = f"seal {self._next}" + (f" to {head.number}" if head.number > self._next else "")
            return [SealFault(missing, "is missing at the end of the chain: it was deleted", self._next)]
        if head.number == self._next - 1 and self._digest != head.digest:
            return [SealFault(f"seal {head.number}", "is not the one with which the chain ended: it was replaced", head.number)]
        return []


def row_faults(keys: SealKeys, seal: Seal, row: SealedRow | None, removals: Removals) -> list[SealFault]:
    """What differs between a seal and its row. Without the row's log, a digest of the log in the seal is not compared."""
    if row is None:
        return [] if removals.has_row(seal.number) else [SealFault.of(seal, "has no row any more, and nothing fastlane did removed it")]
    if seal.key not in keys.ids:
        return []
    now = keys.fields(row.id, row.values, seal.key)
    changed = [name for name in sorted({*now, *seal.fields} - {LOG}) if now.get(name) != seal.fields.get(name)]
    if LOG in now and now[LOG] != seal.fields.get(LOG):
        changed.append(LOG)
    return [SealFault.of(seal, _difference(name, seal, row)) for name in changed]


LOG = "log"
"""The name of the digest of an execution's whole log, beside the fields of its row."""
SHOWN = {
    "status": "status",
    "exit_code": "exitCode",
    "scheduled_for": "scheduledFor",
    "started_at": "startedAt",
    "finished_at": "finishedAt",
    "image_digest": "imageDigest",
    "attempt": "attempt",
    "host": "host",
    "node": "node",
    "outcome": "outcome",
    "due": "due",
    "reason": "reason",
}
"""Fields that are facts as they are, and their names there."""


def _difference(name: str, seal: Seal, row: SealedRow) -> str:
    if name == LOG:
        return "the stored log is not the one that was sealed"
    fact = SHOWN.get(name)
    if fact is None or seal.facts.get(fact) == row.facts.get(fact):
        return f"the field {name} is not as it was sealed"
    return f"the field {name} is {_words(row.facts.get(fact))}, and was {_words(seal.facts.get(fact))} when it was sealed"


def _words(value: Any) -> str:
    return "empty" if value is None else str(value)


def receipt_document(seal: Seal) -> dict[str, Any]:
    """A seal as a receipt, which can be checked without the store."""
    return {**seal.body, "digest": seal.digest, "signature": seal.signature}


def read_receipt(document: Any) -> Seal:
    """The seal of a receipt. Raises ValueError, with what is wrong, for anything else."""
    if not isinstance(document, dict) or "signature" not in document:
        raise ValueError("this is not a receipt: it has no signature")
    if document.get("version") != VERSION:
        raise ValueError("this receipt has a version that this fastlane does not know; use the one that made it")
    wrong = [name for name, kind in _RECEIPT.items() if type(document.get(name)) is not kind]
    if wrong or document["kind"] not in tuple(SealKind):
        raise ValueError(f"this is not a receipt: {', '.join(wrong) or 'kind'} cannot be read")
    values = {attribute: document[name] for attribute, name in _NAMES.items()}
    return Seal(seal_id(document["job"], document["number"]), **{**values, "kind": SealKind(document["kind"])})


_NAMES = {
    "job_id": "job",
    "task_id": "task",
    "number": "number",
    "previous": "previous",
    "kind": "kind",
    "row": "row",
    "facts": "facts",
    "fields": "fields",
    "sealed_at": "sealedAt",
    "key": "key",
    "signature": "signature",
}
_RECEIPT = {name: {"number": int, "sealedAt": int, "facts": dict, "fields": dict}.get(name, str) for name in _NAMES.values()}
"""The fields of a receipt, by the attributes of a seal, and their types."""


def receipt_faults(keys: SealKeys, document: Mapping[str, Any]) -> list[str]:
    """What is wrong with a receipt. Raises ValueError for what is not a receipt."""
    seal = read_receipt(document)
    fault = keys.fault(seal.key, seal.signature, seal.body)
    found = [] if fault is None else [f"the receipt {fault}"]
    if document.get("digest") != seal.digest:
        found.append("the receipt was changed: its digest does not fit what it says")
    return found
