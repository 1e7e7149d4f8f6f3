"""Parts of values as they are stored, and back: a spec, a failure, a schedule and a requester are JSON text, so that no key inside them can
mean anything to a database; a log's pieces are packed bytes. All adapters use these functions; nothing here knows a database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from struct import Struct
from struct import error as StructError
from typing import Any

import orjson

from fastlane.errors import FastlaneError, Unreadable
from fastlane.models.access import Requester
from fastlane.models.container import NO_CONTAINER, NO_RESOURCES, Container, Mount, MountKind, Secret
from fastlane.models.cron import Cron
from fastlane.models.delivery import Attempt, Target
from fastlane.models.execution import Failure, FailureReason, Usage
from fastlane.models.job import Spec
from fastlane.models.log import Mark, Piece
from fastlane.models.notify import Mailbox, NotificationTrigger, Webhook
from fastlane.models.retention import NO_RETENTION
from fastlane.models.schedule import CatchUp, Overlap, Schedule, ScheduleKind

SPEC_RULES = ("retries", "retry_delay", "timeout", "expires_in", "expiration", "priority", "concurrency", "expect_every")
SPEC_DEFAULTS = {field.name: field.default for field in fields(Spec)}
_RULE_VALUES = attrgetter(*SPEC_RULES)
NO_RULES = tuple(SPEC_DEFAULTS[name] for name in SPEC_RULES)
SPEC_PARTS = {"resources": NO_RESOURCES, "retention": NO_RETENTION}
PARTS: tuple[Any, ...] = (NO_RESOURCES, NO_CONTAINER, NO_RETENTION)
PART_FIELDS = {type(part): tuple(field.name for field in fields(part)) for part in PARTS}
_MOUNT_VALUES = attrgetter(*(field.name for field in fields(Mount)))

REMEMBERED_SPECS, MAX_REMEMBERED = 1024, 2048
"""How many parsed specs are cached, and the length in characters of the longest: an execution's row is read several times on its way."""

FAULTS = (LookupError, ValueError, TypeError, AttributeError, StructError, FastlaneError)
"""What the reading of a stored value raises when it is damaged, or when a newer fastlane wrote it."""

PIECE = Struct("<BqI")
"""A piece in a chunk's index: its stream, its time in nanoseconds, its length in bytes."""


def spec_to_json(spec: Spec) -> str:
    """A spec as JSON text. Raises TypeError for values that JSON does not have."""
    given = _RULE_VALUES(spec)
    rules: dict[str, Any] = {}
    if given != NO_RULES:
        rules = {name: value for name, value in zip(SPEC_RULES, given, strict=True) if value != SPEC_DEFAULTS[name]}
    for name, default in SPEC_PARTS.items():
        if (part := getattr(spec, name)) is not default and part != default:
            rules[name] = _differences(default, part)
    if spec.container is not NO_CONTAINER and spec.container != NO_CONTAINER:
        rules["container"] = _container_document(spec.container)
    if spec.name is not None:
        rules["name"] = spec.name
    if spec.labels:
        rules["labels"] = dict(spec.labels)
    if spec.webhooks:
        rules["webhooks"] = [webhook_values(webhook) for webhook in spec.webhooks]
    if spec.notify:
        rules["notify"] = [[mailbox.trigger, mailbox.address] for mailbox in spec.notify]
    stored = {"image": spec.image, "command": spec.command, "envs": dict(spec.envs), "metadata": dict(spec.metadata), **rules}
    return orjson.dumps(stored).decode()


def spec_from_json(text: str) -> Spec:
    """The spec that ``spec_to_json`` wrote; the same object for the same text, if that is short."""
    return _remembered_spec(text) if len(text) <= MAX_REMEMBERED else _spec(text)


def _spec(text: str) -> Spec:
    stored = orjson.loads(text)
    command = stored["command"]
    rules = {name: stored[name] for name in SPEC_RULES if name in stored}
    _check_types(stored, rules)
    rules |= {name: type(default)(**stored[name]) for name, default in SPEC_PARTS.items() if name in stored}
    if "container" in stored:
        rules["container"] = _container(stored["container"])
    rules |= {name: stored[name] for name in ("name", "labels") if name in stored}
    if "webhooks" in stored:
        rules["webhooks"] = tuple(webhook_from(values) for values in stored["webhooks"])
    if "notify" in stored:
        rules["notify"] = tuple(mailbox_from(*values) for values in stored["notify"])
    return Spec(stored["image"], None if command is None else tuple(command), stored["envs"], stored["metadata"], **rules)


def _check_types(stored: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    """Raises TypeError for a value that would fail only where it is used."""
    command = stored["command"]
    texts = [stored["image"], *(command if command is not None else ()), *stored["envs"].values()]
    texts += [stored.get("name", ""), *stored.get("labels", {}).values()]
    if not all(isinstance(text, str) for text in texts) or not isinstance(stored["metadata"], dict):
        raise TypeError("its spec has a value of the wrong type")
    if not all(value is None or isinstance(value, int) for value in rules.values()):
        raise TypeError(f"one of its {', '.join(rules)} is not a number")


def _container_document(container: Container) -> dict[str, Any]:
    """A container as a document of the fields that differ from the default; mounts and secrets as lists of their fields' values."""
    parts = _differences(NO_CONTAINER, container)
    if container.mounts:
        parts["mounts"] = [_MOUNT_VALUES(mount) for mount in container.mounts]
    if container.secrets:
        parts["secrets"] = [[secret.name, secret.target] for secret in container.secrets]
    return parts


def _container(parts: dict[str, Any]) -> Container:
    parts |= {name: tuple(parts[name]) for name in ("networks", "constraints") if name in parts}
    if "mounts" in parts:
        parts["mounts"] = tuple(Mount(MountKind(kind), *rest) for kind, *rest in parts["mounts"])
    if "secrets" in parts:
        parts["secrets"] = tuple(Secret(name, target) for name, target in parts["secrets"])
    return Container(**parts)


def _differences(default: object, value: object) -> dict[str, Any]:
    """The fields in which a value differs from the default."""
    return {name: own for name in PART_FIELDS[type(default)] if (own := getattr(value, name)) != getattr(default, name)}


_remembered_spec = lru_cache(maxsize=REMEMBERED_SPECS)(_spec)


def schedule_to_json(schedule: Schedule) -> str:
    """A schedule as JSON text."""
    stored: dict[str, Any] = {"kind": schedule.kind, "at": schedule.at}
    if schedule.cron is not None:
        stored |= {"cron": schedule.cron.text, "timezone": schedule.cron.timezone}
        stored |= {"overlap": schedule.overlap, "catch_up": schedule.catch_up}
    return orjson.dumps(stored).decode()


def schedule_from_json(text: str) -> Schedule:
    """The schedule that ``schedule_to_json`` wrote."""
    stored = orjson.loads(text)
    if "cron" not in stored:
        return Schedule(ScheduleKind(stored["kind"]), stored["at"])
    cron = Cron(stored["cron"], stored["timezone"])
    return Schedule(ScheduleKind(stored["kind"]), stored["at"], cron, Overlap(stored["overlap"]), CatchUp(stored["catch_up"]))


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
    """What a container used as JSON text; None for None."""
    return None if usage is None else orjson.dumps([usage.memory_peak, usage.cpu_ms, usage.read_bytes, usage.written_bytes]).decode()


def usage_from_json(text: str | None) -> Usage | None:
    """The usage that ``usage_to_json`` wrote."""
    return None if text is None else Usage(*orjson.loads(text))


MAIL = "mail"
"""What a stored mailbox begins with, where a webhook has its trigger."""


def webhook_values(webhook: Webhook) -> list[Any]:
    """The values of a webhook's fields."""
    values = [webhook.trigger, webhook.url, dict(webhook.headers), webhook.retries]
    return values if webhook.body is None else [*values, webhook.body]


def webhook_from(values: Sequence[Any]) -> Webhook:
    """The webhook with these values. Raises TypeError or ValueError."""
    trigger, url, headers, retries, *more = values
    body = more[0] if more else None
    texts = all(isinstance(text, str) for text in (url, *headers.values()))
    if not texts or not isinstance(retries, int) or not isinstance(body, dict | None):
        raise TypeError("a webhook of it has a value of the wrong type")
    return Webhook(NotificationTrigger(trigger), url, headers, retries, body)


def mailbox_from(trigger: str, address: str) -> Mailbox:
    """The mailbox with these values. Raises TypeError or ValueError."""
    if not isinstance(address, str):
        raise TypeError("a mailbox of it has a value of the wrong type")
    return Mailbox(NotificationTrigger(trigger), address)


def target_to_json(target: Target) -> str:
    """A webhook or a mailbox as JSON text."""
    if isinstance(target, Mailbox):
        return orjson.dumps([MAIL, target.trigger, target.address]).decode()
    return orjson.dumps(webhook_values(target)).decode()


def target_from_json(text: str) -> Target:
    """What ``target_to_json`` wrote."""
    kind, *values = stored = orjson.loads(text)
    return mailbox_from(*values) if kind == MAIL else webhook_from(stored)


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
