"""How many keys of its index a command of MongoDB walks through, reckoned by the rules by which MongoDB walks an index.

The tests' servers do not say it: SecantusDB's ``explain`` with ``executionStats`` gives as ``totalKeysExamined`` the number of documents
that match, whatever the index, the limit or the order. So the rows are held here, in memory, with a weight each: one row stands for many
that are alike but for their ids. The answer is an upper bound:

- the walk begins and ends at the bounds of the leading fields, up to the first one with a range;
- where the index has the order that is asked for, it ends with the last row of the page, and rows within the bounds that do not match may
  all come before that;
- otherwise, and for a group, it goes through all keys within the bounds. A group that takes the first row of each value of the leading
  field jumps from one to the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastlane.storage.mongo.rows import BY_ID, INDEXES

Document = Mapping[str, Any]
COPIED_IDS = ("_id", "job_id", "execution_id", "tick_id")
"""The fields in which rows that are alike differ."""

_COMPARED = {
    "$gt": lambda value, other: value > other,
    "$gte": lambda value, other: value >= other,
    "$lt": lambda value, other: value < other,
    "$lte": lambda value, other: value <= other,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A row, and how many there are like it."""

    row: Document
    count: int = 1

    @classmethod
    def like(cls, row: Document, count: int) -> "Rows":
        """Rows like this one, each with ids of its own."""
        return cls(dict(row) | {name: f"{row[name]}-like" for name in COPIED_IDS if isinstance(row.get(name), str)}, count)


@dataclass(frozen=True, slots=True)
class Walked:
    """The keys that a command walks through: for rows, and for counts, whose results the adapter keeps for a moment."""

    rows: int = 0
    counts: int = 0

    def __add__(self, other: "Walked") -> "Walked":
        return Walked(self.rows + other.rows, self.counts + other.counts)


def walked(verb: str, command: Document, stored: Mapping[str, Sequence[Rows]]) -> Walked:
    """The keys that a command walks through in these collections."""
    collection = command.get(verb)
    rows = stored.get(str(collection), ())
    if verb == "find":
        skip, limit = command.get("skip", 0), command.get("limit", 0)
        return Walked(_keys(str(collection), command, command["filter"], command.get("sort"), skip + limit if limit else None, rows))
    if verb != "aggregate":
        return Walked()
    match, *stages = (next(iter(stage.items())) for stage in command["pipeline"])
    sort = stages[0][1] if stages and stages[0][0] == "$sort" else None
    if sort is not None and stages[1][0] == "$group" and stages[1][1]["_id"] == f"${next(iter(sort))}":
        return Walked(_values(next(iter(sort)), match[1], rows))
    limit = stages[1][1] if sort is not None and stages[1][0] == "$limit" else None
    return Walked(counts=_keys(str(collection), command, match[1], sort, limit, rows))


def _keys(collection: str, command: Document, filter: Document, sort: Document | None, wanted: int | None, rows: Sequence[Rows]) -> int:
    name = command.get("hint", BY_ID)
    index = next((dict(one.document) for one in INDEXES.get(collection, ()) if one.document["name"] == name), {"key": {"_id": 1}})
    fields, conditions = list(index["key"]), _conditions(filter)
    bounds, points = list[str](), 0
    for field in fields:
        if field not in conditions:
            break
        bounds.append(field)
        if not all(map(_is_point, conditions[field])):
            break
        points += 1
    there = [one for one in rows if matches(one.row, index.get("partialFilterExpression", {}))]
    within = [one for one in there if all(_holds(one.row.get(field), wanted) for field in bounds for wanted in conditions[field])]
    found = sum(one.count * (1 if bounds else _entries(one.row, fields[0])) for one in within)
    order = list(sort or ())
    is_ordered = any(fields[start : start + len(order)] == order for start in range(points + 1))
    if wanted is None or not is_ordered:
        return found
    return min(found, wanted + sum(one.count for one in within if not matches(one.row, filter)))


def _values(field: str, filter: Document, rows: Sequence[Rows]) -> int:
    """How many values of a field the rows have that match."""
    found = [one for one in rows if matches(one.row, filter)]
    return sum({str(one.row.get(field)): one.count if field in COPIED_IDS else 1 for one in found}.values())


def _conditions(filter: Document) -> dict[str, list[Any]]:
    """The conditions of each field that all rows must meet."""
    found: dict[str, list[Any]] = {}
    for name, wanted in filter.items():
        parts = [_conditions(one) for one in wanted] if name == "$and" else [] if name.startswith("$") else [{name: [wanted]}]
        for part in parts:
            for field, some in part.items():
                found.setdefault(field, []).extend(some)
    return found


def _is_point(wanted: Any) -> bool:
    return not _is_operator(wanted) or set(wanted) == {"$in"}


def _is_operator(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and any(str(name).startswith("$") for name in wanted)


def _entries(row: Document, field: str) -> int:
    return len(row[field]) if isinstance(row.get(field), list) else 1


def matches(row: Document, filter: Document) -> bool:
    """Whether a row matches a filter of those that the adapter makes. Raises KeyError for another operator."""
    return all(_matches(row, name, wanted) for name, wanted in filter.items())


def _matches(row: Document, name: str, wanted: Any) -> bool:
    if name in ("$and", "$or"):
        return (all if name == "$and" else any)(matches(row, one) for one in wanted)
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return _holds(value, wanted)


def _holds(value: Any, wanted: Any) -> bool:
    if not _is_operator(wanted):
        return bool(value == wanted) or (isinstance(value, list) and wanted in value)
    return all(_meets(value, operator, other) for operator, other in wanted.items())


def _meets(value: Any, operator: str, other: Any) -> bool:
    if operator in ("$in", "$nin"):
        return any(_holds(value, one) for one in other) is (operator == "$in")
    if operator in ("$ne", "$not"):
        return not _holds(value, other)
    if operator == "$elemMatch":
        return isinstance(value, list) and any(_holds(one, other) for one in value)
    compare = _COMPARED[operator]
    values: Iterable[Any] = value if isinstance(value, list) else (value,)
    return any(isinstance(one, str) is isinstance(other, str) and one is not None and bool(compare(one, other)) for one in values)
