"""Converts deliveries, and what is kept of receivers and of mails, to documents and back, as ``documents`` does the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import orjson

from fastlane.models.delivery import Attempt, Delivery, DeliveryState, MailQuota, Receiver
from fastlane.storage.documents import FAULTS, Convert, converted, unreadable
from fastlane.storage.targets import target_from_json, target_to_json

_DELIVERY_NAMES = {"target": "webhook"}
"""Fields of a delivery that are stored under the name that they had when there were only webhooks."""
_DELIVERY_ATTRIBUTES = tuple(field.name for field in fields(Delivery))
DELIVERY_FIELDS = tuple(_DELIVERY_NAMES.get(name, name) for name in _DELIVERY_ATTRIBUTES)
DELIVERY_COLUMNS = (*DELIVERY_FIELDS, "origin")
"""What is stored of a delivery: its fields, and the origin of its receiver, by which those to a slow one are left out."""
RECEIVER_FIELDS = tuple(field.name for field in fields(Receiver))
QUOTA_FIELDS = tuple(field.name for field in fields(MailQuota))


def attempts_to_json(attempts: Sequence[Attempt]) -> str:
    """The attempts of a delivery as JSON text."""
    return orjson.dumps([[one.at, one.duration, one.status, one.error, one.excerpt] for one in attempts]).decode()


def attempts_from_json(text: str) -> tuple[Attempt, ...]:
    """The attempts that ``attempts_to_json`` wrote."""
    return tuple(Attempt(*values) for values in orjson.loads(text))


_DELIVERY_TO: Mapping[str, Convert] = {"webhook": target_to_json, "attempts": attempts_to_json, "state": str}
_DELIVERY_FROM: Mapping[str, Convert] = {
    "webhook": target_from_json,
    "attempts": attempts_from_json,
    "state": DeliveryState,
    "will_retry": bool,
    "by_hand": bool,
}


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    """A delivery as it is stored, in the order of ``DELIVERY_COLUMNS``."""
    values = {_DELIVERY_NAMES.get(name, name): getattr(delivery, name) for name in _DELIVERY_ATTRIBUTES}
    return {**converted(values, _DELIVERY_TO), "origin": delivery.target.origin}


def delivery_from(document: Mapping[str, Any]) -> Delivery:
    """The delivery of a stored document; other fields of the document are ignored. Raises Unreadable."""
    try:
        values = converted({name: document[name] for name in DELIVERY_FIELDS}, _DELIVERY_FROM)
        return Delivery(*(values[name] for name in DELIVERY_FIELDS))
    except FAULTS as error:
        raise unreadable(f"delivery {document.get('id')}", error) from error


def by_execution(deliveries: Iterable[Delivery]) -> dict[str, list[Delivery]]:
    """The deliveries of each execution or job, by id."""
    found: dict[str, list[Delivery]] = {}
    for delivery in sorted(deliveries, key=lambda one: one.id):
        found.setdefault(delivery.execution_id, []).append(delivery)
    return found


def quota_document(quota: MailQuota) -> dict[str, Any]:
    """A quota of mails as it is stored."""
    document = {name: getattr(quota, name) for name in QUOTA_FIELDS}
    return {**document, "held_ids": orjson.dumps(quota.held_ids).decode()}


def quota_from(document: Mapping[str, Any]) -> MailQuota:
    """The quota of a stored document; other fields of the document are ignored. Raises Unreadable."""
    try:
        values = {name: document[name] for name in QUOTA_FIELDS}
        return MailQuota(**{**values, "held_ids": tuple(orjson.loads(values["held_ids"]))})
    except FAULTS as error:
        raise unreadable(f"the quota of mails {document.get('id')}", error) from error
