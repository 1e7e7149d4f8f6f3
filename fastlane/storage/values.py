"""Converts parts of values to their stored form, and back. A spec, a failure, a schedule and a requester are JSON text, so that no key
inside them can mean anything to a database; a log's pieces are packed bytes. All adapters use these functions, which know no database.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from struct import Struct, error as StructError
from typing import Any

import orjson

from fastlane.errors import FastlaneError, Unreadable
from fastlane.models.access import Requester
from fastlane.models.cron import Cron, has_choice, joined
from fastlane.models.delivery import Attempt, Target
from fastlane.models.failing import Failing
from fastlane.models.job import Failure, JobSource, ServiceVersion, Spec, Usage
from fastlane.models.log import Mark, Piece
from fastlane.models.log_commands import Outputs
from fastlane.models.notify import Mailbox
from fastlane.models.retry import FailureReason
from fastlane.models.schedule import NO_RULES, CatchUp, EntryRules, Overlap, Schedule, ScheduleKind
from fastlane.models.skip_dates import read_skipped
from fastlane.models.stored import FAILING as STORED_FAILING, MAILBOX, SOURCE as STORED_SOURCE, SPEC as STORED_SPEC, WEBHOOK
from fastlane.models.upstream import AfterJobs, AfterOn, ChainState, Upstream, upstream_from_stored, upstream_to_stored

REMEMBERED_SPECS, MAX_REMEMBERED = 1024, 2048
"""How many parsed specs are cached, and the length in characters of the longest: an execution's row is read several times on its way."""

FAULTS = (LookupError, ValueError, TypeError, AttributeError, StructError, FastlaneError)
"""The exceptions from reading a stored value that is damaged, or that a newer fastlane wrote."""

PIECE = Struct("<BqI")
"""A piece in a chunk's index: its stream, its time in nanoseconds, its length in bytes."""


COMMAND, DATED_COMMAND = "command", "dated_command"
"""The key of a spec's command, and its key where the run stands for another due time, or runs everywhere: 0.1.0 would run it for the moment
at which it starts, or once anywhere, and refuses a spec without a ``command``."""


def spec_to_json(spec: Spec) -> str:
    """A spec as JSON text. Raises TypeError for values that JSON does not have."""
    stored = STORED_SPEC.write(spec)
    if spec.due_at is not None or spec.everywhere is not None or spec.target is not None:
        stored[DATED_COMMAND] = stored.pop(COMMAND)
    return orjson.dumps(stored).decode()


def spec_from_json(text: str) -> Spec:
    """The spec that ``spec_to_json`` wrote; the same object for the same text, if that is short."""
    return _remembered_spec(text) if len(text) <= MAX_REMEMBERED else _spec(text)


def _spec(text: str) -> Spec:
    stored = orjson.loads(text)
    if DATED_COMMAND in stored:
        stored[COMMAND] = stored.pop(DATED_COMMAND)
    return STORED_SPEC.read(stored)


_remembered_spec = lru_cache(maxsize=REMEMBERED_SPECS)(_spec)


_NEVER: dict[str, Any] = {"kind": ScheduleKind.AT, "at": None}
MANUAL = orjson.dumps(_NEVER).decode().removesuffix("}")
"""How the text of a manual job's schedule begins, and no other."""
FOLLOWS = f'{MANUAL},"after":'
"""How the text of the schedule of a job after others begins, and no other."""

CALENDARS = f'{orjson.dumps({"kind": ScheduleKind.CRON}).decode().removesuffix("}")},"calendars":'
"""How the text of a schedule that names calendars begins, and no other."""


def schedule_to_json(schedule: Schedule) -> str:
    """A schedule as JSON text. A manual job has a moment that never comes: the release before knows that, and would refuse another kind."""
    if schedule.is_manual:
        after = {} if schedule.after is None else {"after": schedule.after.jobs, "after_on": schedule.after.on}
        return orjson.dumps({**_NEVER, **after, "overlap": schedule.overlap}).decode()
    named = {"calendars": [one.name for one in schedule.calendars]} if schedule.skip and schedule.calendars else {}
    stored: dict[str, Any] = {"kind": schedule.kind, **named, "at": schedule.at}
    if schedule.cron is not None:
        stored |= {"cron": schedule.cron.text, **_zones(schedule)}
        stored |= {"overlap": schedule.overlap, "catch_up": schedule.catch_up}
        stored |= {} if schedule.timezone is None else {"job_timezone": schedule.timezone}  # the release before does not ask for it
    return orjson.dumps(stored).decode()


def _zones(schedule: Schedule) -> dict[str, Any]:
    """The zone of a cron; or the entries of one that has several, or rules of its own, which the release before must not take for a plain
    one: it refuses a cron without a zone. What is chosen for the job, and the dates that it skips, stand
    with them in ``chosen``, for the same reason."""
    entries = schedule.entries
    if own := {name: value for name, value in _chosen(schedule).items() if value is not None}:
        rows = [[entry.text, entry.timezone, rules.overlap, rules.catch_up] for entry, rules in entries]
        return {"chosen": {"entries": rows, **own}}
    if len(entries) == 1 and not schedule.rules:
        return {"timezone": entries[0][0].timezone}
    return {"entries": [[entry.text, entry.timezone, rules.overlap, rules.catch_up] for entry, rules in entries]}


def _chosen(schedule: Schedule) -> dict[str, Any]:
    """What is chosen for the job of a cron, and the dates that it skips."""
    cron = schedule.cron
    if cron is None:
        return {}
    seed = next((entry.seed for entry in cron.entries if entry.seed is not None), None)
    starts = [entry.start for entry in cron.entries]
    skip = [str(dates) for dates in schedule.skip]
    return {
        "seed": seed,
        "starts": None if starts.count(None) == len(starts) else starts,
        "spread": cron.spread or None,
        "skip": skip or None,
    }


def _rules(overlap: str | None, catch_up: str | None) -> EntryRules:
    return EntryRules(None if overlap is None else Overlap(overlap), None if catch_up is None else CatchUp(catch_up))


def schedule_from_json(text: str) -> Schedule:
    """The schedule that ``schedule_to_json`` wrote."""
    stored = orjson.loads(text)
    if stored.items() >= _NEVER.items():
        overlap = Overlap(stored.get("overlap", Overlap.ALLOW))
        after = AfterJobs(tuple(stored["after"]), AfterOn(stored["after_on"])) if "after" in stored else None
        return Schedule(ScheduleKind.MANUAL, overlap=overlap, after=after)
    if "cron" not in stored:
        return Schedule(ScheduleKind(stored["kind"]), stored["at"])
    chosen = stored.get("chosen", {})
    rows = chosen.get("entries") or stored.get("entries") or [(stored["cron"], stored["timezone"], None, None)]
    seed, starts, spread = chosen.get("seed"), chosen.get("starts") or [None] * len(rows), chosen.get("spread", 0)
    cron = joined(
        [
            Cron(text, timezone, (), spread, seed if seed is not None and (spread or has_choice(text)) else None, start)
            for (text, timezone, _, _), start in zip(rows, starts, strict=True)
        ]
    )
    own = tuple(_rules(overlap, catch_up) for _, _, overlap, catch_up in rows)
    common = Overlap(stored["overlap"]), CatchUp(stored["catch_up"])
    skip = tuple(map(read_skipped, chosen.get("skip", ())))
    rules = own if any(one != NO_RULES for one in own) else ()
    return Schedule(ScheduleKind(stored["kind"]), stored["at"], cron, *common, rules, skip=skip, timezone=stored.get("job_timezone"))


def requester_to_json(requester: Requester | None) -> str | None:
    """A requester as JSON text; None for None."""
    if requester is None:
        return None
    trace = {} if requester.trace is None else {"trace": requester.trace}
    return orjson.dumps({"user": requester.user, "address": requester.address, **trace}).decode()


def requester_from_json(text: str | None) -> Requester | None:
    """The requester that ``requester_to_json`` wrote."""
    if text is None:
        return None
    stored = orjson.loads(text)
    return Requester(stored["user"], stored["address"], stored.get("trace"))


def source_to_json(source: JobSource | None) -> str | None:
    """The source of a job as JSON text; None for None."""
    return None if source is None else orjson.dumps(STORED_SOURCE.write(source)).decode()


def source_from_json(text: str | None) -> JobSource | None:
    """The source that ``source_to_json`` wrote."""
    return None if text is None else STORED_SOURCE.read(orjson.loads(text))


def failing_to_json(failing: Failing | None) -> str | None:
    """The ends of a job's last ticks as JSON text; None for None."""
    return None if failing is None else orjson.dumps(STORED_FAILING.write(failing)).decode()


def failing_from_json(text: str | None) -> Failing | None:
    """The ends that ``failing_to_json`` wrote."""
    return None if text is None else STORED_FAILING.read(orjson.loads(text))


def marks_to_json(marks: Mapping[int, Mark]) -> str:
    """A log head's marks as JSON text."""
    return orjson.dumps({str(stream): _mark_values(mark) for stream, mark in marks.items()}).decode()


def _mark_values(mark: Mark) -> list[int]:
    return [mark.time, mark.ordinal, *([mark.latest] if mark.latest else [])]


def marks_from_json(text: str) -> dict[int, Mark]:
    """The marks that ``marks_to_json`` wrote. Raises Unreadable."""
    try:
        return {int(stream): Mark(*values) for stream, values in orjson.loads(text).items()}
    except FAULTS as error:
        raise unreadable("a part of a log", error) from error


def pack_pieces(pieces: Sequence[Piece]) -> tuple[bytes, bytes]:
    """Pieces as two byte strings: an index with an entry for each piece, and their joined bytes."""
    index = b"".join([PIECE.pack(piece.stream, piece.time, len(piece.data)) for piece in pieces])
    return index, b"".join([piece.data for piece in pieces])


def unpack_pieces(index: bytes, data: bytes) -> tuple[Piece, ...]:
    """The pieces that ``pack_pieces`` packed. Raises Unreadable."""
    pieces = []
    start = 0
    try:
        for stream, time, length in PIECE.iter_unpack(index):
            pieces.append(Piece(stream, time, data[start : start + length]))
            start += length
    except FAULTS as error:
        raise unreadable("a part of a log", error) from error
    return tuple(pieces)


def failure_to_json(failure: Failure | None) -> str | None:
    """A failure as JSON text; None for None."""
    return None if failure is None else orjson.dumps({"reason": failure.reason, "message": failure.message}).decode()


def failure_from_json(text: str | None) -> Failure | None:
    """The failure that ``failure_to_json`` wrote."""
    if text is None:
        return None
    stored = orjson.loads(text)
    return Failure(FailureReason(stored["reason"]), stored["message"])


def usage_to_json(usage: Usage | None) -> str | None:
    """A container's usage as JSON text; None for None."""
    return None if usage is None else orjson.dumps([usage.memory_peak, usage.cpu_ms, usage.read_bytes, usage.written_bytes]).decode()


def usage_from_json(text: str | None) -> Usage | None:
    """The usage that ``usage_to_json`` wrote."""
    return None if text is None else Usage(*orjson.loads(text))


def outputs_to_json(outputs: Outputs | None) -> str | None:
    """Outputs as JSON text; None for None."""
    return None if outputs is None else orjson.dumps([list(outputs.values.items()), outputs.dropped]).decode()


def outputs_from_json(text: str | None) -> Outputs | None:
    """The outputs that ``outputs_to_json`` wrote."""
    if text is None:
        return None
    values, dropped = orjson.loads(text)
    return Outputs(dict(values), tuple(dropped))


def service_version_to_json(service: ServiceVersion | None) -> str | None:
    """The version of a service as JSON text; None for None."""
    return None if service is None else orjson.dumps([service.id, service.version]).decode()


def service_version_from_json(text: str | None) -> ServiceVersion | None:
    """The version that ``service_version_to_json`` wrote."""
    return None if text is None else ServiceVersion(*orjson.loads(text))


def upstream_to_json(upstream: Upstream | None) -> str | None:
    """The ends that an execution follows as JSON text; None for None."""
    return None if upstream is None else orjson.dumps(upstream_to_stored(upstream)).decode()


def upstream_from_json(text: str | None) -> Upstream | None:
    """The ends that ``upstream_to_json`` wrote."""
    return None if text is None else upstream_from_stored(orjson.loads(text))


def chain_to_json(state: ChainState | None) -> str | None:
    """What a job took in of others as JSON text; None for None."""
    return None if state is None else orjson.dumps({"arrived": upstream_to_stored(state.arrived), "seen": state.seen}).decode()


def chain_from_json(text: str | None) -> ChainState | None:
    """The state that ``chain_to_json`` wrote."""
    if text is None:
        return None
    stored = orjson.loads(text)
    return ChainState(upstream_from_stored(stored["arrived"]), tuple(map(str, stored["seen"])))


MAIL = "mail"
"""The first item of a stored mailbox, where a webhook has its trigger."""


def target_to_json(target: Target) -> str:
    """A webhook or a mailbox as JSON text."""
    if isinstance(target, Mailbox):
        return orjson.dumps([MAIL, *MAILBOX.write(target)]).decode()
    return orjson.dumps(WEBHOOK.write(target)).decode()


def target_from_json(text: str) -> Target:
    """The target that ``target_to_json`` wrote."""
    kind, *values = stored = orjson.loads(text)
    return MAILBOX.read(values) if kind == MAIL else WEBHOOK.read(stored)


def attempts_to_json(attempts: Sequence[Attempt]) -> str:
    """The attempts of a delivery as JSON text."""
    return orjson.dumps([[one.at, one.duration, one.status, one.error, one.excerpt] for one in attempts]).decode()


def attempts_from_json(text: str) -> tuple[Attempt, ...]:
    """The attempts that ``attempts_to_json`` wrote."""
    return tuple(Attempt(*values) for values in orjson.loads(text))


def unreadable(
    what: str, error: Exception, service_id: str | None = None, host: str | None = None, swarm_id: str | None = None
) -> Unreadable:
    """The error of a row that cannot be read; the rest says where its service is."""
    kind = type(error).__name__
    words = f"{what} cannot be read from the store ({kind}): a newer fastlane wrote it, or it is damaged"
    return Unreadable(f"{words}; upgrade fastlane, or repair the row", service_id=service_id, host=host, swarm_id=swarm_id)
