"""A cron in bodies and answers: one expression, or a list of entries, each with a zone of its own if it has one."""

from dataclasses import dataclass
from typing import Any, cast

from marshmallow import ValidationError

from fastlane.models.cron import MAX_ENTRIES, Cron, has_choice, joined, read_cron, read_timezone, resolved
from fastlane.models.cron_words import describe
from fastlane.models.job import Job
from fastlane.models.schedule import NO_RULES, CatchUp, EntryRules, Overlap, Schedule, ScheduleKind, read_duration_or_seconds, show_duration
from fastlane.web.api import json_schema
from fastlane.web.api.body import BodyField, BodyObject, array, list_of, word_of
from fastlane.web.api.json_schema import JsonSchema
from fastlane.web.api.serializer import RenderContext, Serializer, enum, string

ENTRY_BODY = BodyObject(
    "an entry of cron",
    "",
    False,
    cron=BodyField(read_cron, json_schema.CRON, "Five fields, as in a cron of one entry.", required=True),
    timezone=BodyField(read_timezone, json_schema.TIMEZONE, "The zone of this entry; the job's timezone unless given."),
    overlap=BodyField(word_of(Overlap), json_schema.enum(tuple(Overlap)), "The rule of its ticks; the overlap of the job unless given."),
    catchUp=BodyField(word_of(CatchUp), json_schema.enum(tuple(CatchUp)), "The rule of its ticks; the catchUp of the job unless given."),
)
CRON: JsonSchema = {
    "anyOf": [json_schema.CRON, array({"anyOf": [json_schema.CRON, ENTRY_BODY.schema]}, MAX_ENTRIES, minItems=1)],
    "examples": ["0 8 * * mon-fri", ["30 6 * * 1", {"cron": "*/15 8-18 * * 1-5", "timezone": "Europe/Berlin"}]],
}


@dataclass(frozen=True, slots=True)
class GivenCron:
    """A cron as a body has it: an entry without a zone of its own has an empty one. ``rules``: as a ``Schedule`` has them."""

    cron: Cron
    rules: tuple[EntryRules, ...] = ()

    def scheduled(self, timezone: str | None, default: str, overlap: Overlap, catch_up: CatchUp, spread: int) -> Schedule:
        """The schedule, with these for the entries that have none of their own; ``spread`` in milliseconds, for all. ``timezone``: the
        job's; None: it names none, and its entries have the ``default``."""
        cron = self.cron.in_zones(lambda zone: zone or timezone or default).spread_over(spread)
        own = None if timezone == cron.timezone else timezone
        return Schedule(ScheduleKind.CRON, None, cron, overlap, catch_up, self.rules, timezone=own)


def given_cron(schedule: Schedule) -> GivenCron | None:
    """The cron of a schedule as a body would have it, beside the schedule's zone; None when it has none."""
    if schedule.cron is None:
        return None
    own = schedule.own_zone
    return GivenCron(schedule.cron.in_zones(lambda zone: "" if zone == own else zone), schedule.rules)


def _entry(value: object) -> tuple[Cron, EntryRules]:
    if not isinstance(value, dict):
        return Cron(read_cron(value).text, ""), NO_RULES
    given = ENTRY_BODY.read(value)
    return Cron(given["cron"].text, given.get("timezone", "")), EntryRules(given.get("overlap"), given.get("catchUp"))


_ENTRIES = list_of(_entry, MAX_ENTRIES, '"30 6 * * 1", "0 12 * * 5"')


def read_crons(value: object) -> GivenCron:
    """An expression, or a list of entries. Raises as a reader does."""
    if not isinstance(value, list):
        return GivenCron(Cron(read_cron(value).text, ""))
    entries = _ENTRIES(value)
    crons, rules = [entry for entry, _ in entries], tuple(own for _, own in entries)
    cron = joined(crons)
    if cron is None:
        raise ValueError('is an empty list; write at least one entry, such as ["30 6 * * 1"]')
    if twice := {place: ["is there twice; leave it out"] for place, entry in enumerate(crons) if entry in crons[:place]}:
        raise ValidationError(cast(Any, twice))
    return GivenCron(cron, rules if any(own != NO_RULES for own in rules) else ())


def defined(job: Job, _render: RenderContext) -> str | list[Any] | None:
    """The cron of a job as a body has it: entries have a zone where it is not the job's, and the rules of their own."""
    schedule = job.schedule
    if schedule.cron is None:
        return None
    if not schedule.cron.also and not schedule.rules and schedule.timezone is None:
        return schedule.cron.text
    return [_defined_entry(entry, rules, schedule.own_zone) for entry, rules in schedule.entries]


def _defined_entry(entry: Cron, rules: EntryRules, timezone: str | None) -> str | dict[str, Any]:
    own = {"timezone": None if entry.timezone == timezone else entry.timezone, "overlap": rules.overlap, "catchUp": rules.catch_up}
    given = {name: value for name, value in own.items() if value is not None}
    return {"cron": entry.text, **given} if given else entry.text


RESOLVED_WORDS = "With the numbers that were chosen for each H; absent without one, and while the job has no id to choose by."


def resolved_text(cron: Cron) -> str | None:
    """The five fields of an expression with ``H``, with the numbers of its job; None without one, or when they are not chosen yet."""
    return resolved(cron.text, cron.seed) if cron.seed is not None and has_choice(cron.text) else None


def words_of(entry: Cron) -> str:
    """One entry in words."""
    if has_choice(entry.text) and entry.seed is None:
        return f"{entry.text}, with numbers for H that are chosen when the job is created"
    return describe(entry.text, entry.seed or "")


ENTRY = Serializer[tuple[Cron, EntryRules]](
    "CronEntry",
    "One entry of a cron that has several.",
    cron=string(lambda entry: entry[0].text, "As it was given."),
    timezone=string(lambda entry: entry[0].timezone, "The zone whose clocks it means."),
    resolved=string(lambda entry: resolved_text(entry[0]), RESOLVED_WORDS, optional=True),
    description=string(lambda entry: words_of(entry[0]), "The entry in words, by the clocks of its zone."),
    overlap=enum(Overlap, lambda entry: entry[1].overlap, "Of its ticks; absent: as the schedule says.", optional=True),
    catchUp=enum(CatchUp, lambda entry: entry[1].catch_up, "Of its ticks; absent: as the schedule says.", optional=True),
)


def described(cron: Cron) -> str:
    """All entries in words."""
    words = "; ".join(words_of(entry) for entry in cron.entries)
    if not cron.spread:
        return words
    if cron.seed is None:
        return f"{words}; delayed by up to {show_duration(cron.spread / 1000)}, chosen when the job is created"
    return f"{words}; delayed by {show_duration(cron.delay / 1000)}"


def read_spread(value: object) -> int:
    """The longest delay, in milliseconds: whole minutes up to a day."""
    seconds = read_duration_or_seconds(value)
    if not 60 <= seconds <= 86_400 or seconds % 60:
        raise ValueError(f"is {show_duration(seconds)}; give whole minutes from 1m to 24h")
    return round(seconds * 1000)
