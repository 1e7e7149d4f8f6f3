"""A cron in bodies and answers: one expression, or a list of entries, each with a zone of its own if it has one."""

from typing import Any

from marshmallow import ValidationError

from fastlane.models.cron import MAX_ENTRIES, Cron, describe, read_cron, read_timezone
from fastlane.web.api import json_schema
from fastlane.web.api.body import BodyField, BodyObject, array, list_of
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.api.serializer import Serializer, string

ENTRY_BODY = BodyObject(
    "an entry of cron",
    "",
    False,
    cron=BodyField(read_cron, json_schema.CRON, "Five fields, as in a cron of one entry.", required=True),
    timezone=BodyField(read_timezone, json_schema.TIMEZONE, "The zone of this entry; the timezone of the job unless given."),
)
CRON: JsonSchema = {
    "anyOf": [json_schema.CRON, array({"anyOf": [json_schema.CRON, ENTRY_BODY.schema]}, MAX_ENTRIES, minItems=1)],
    "examples": ["0 8 * * mon-fri", ["30 6 * * 1", {"cron": "*/15 8-18 * * 1-5", "timezone": "Europe/Berlin"}]],
}


def _entry(value: object) -> Cron:
    if not isinstance(value, dict):
        return Cron(read_cron(value).text, "")
    given = ENTRY_BODY.read(value)
    return Cron(given["cron"].text, given.get("timezone", ""))


_ENTRIES = list_of(_entry, MAX_ENTRIES, '"30 6 * * 1", "0 12 * * 5"')


def read_crons(value: object) -> Cron:
    """An expression, or a list of entries. An entry without a zone of its own has an empty one. Raises as a reader does."""
    if not isinstance(value, list):
        return _entry(value) if isinstance(value, str) else read_cron(value)
    entries = _ENTRIES(value)
    if not entries:
        raise ValueError('is an empty list; write at least one entry, such as ["30 6 * * 1"]')
    twice = {str(place): ["is there twice; leave it out"] for place, entry in enumerate(entries) if entry in entries[:place]}
    if twice:
        raise ValidationError(twice)
    return Cron(entries[0].text, entries[0].timezone, entries[1:])


def defined(cron: Cron) -> str | list[Any]:
    """A cron as a body has it: entries have a zone where it is not the first one's."""
    if not cron.also:
        return cron.text
    return [entry.text if entry.timezone == cron.timezone else {"cron": entry.text, "timezone": entry.timezone} for entry in cron.entries]


ENTRY = Serializer[Cron](
    "CronEntry",
    "One of several entries of a cron.",
    cron=string(lambda entry: entry.text, "As it was given."),
    timezone=string(lambda entry: entry.timezone, "The zone whose clocks it means."),
    description=string(lambda entry: describe(entry.text), "The entry in words, by the clocks of its zone."),
)


def described(cron: Cron) -> str:
    """All entries in words."""
    return "; ".join(describe(entry.text) for entry in cron.entries)
