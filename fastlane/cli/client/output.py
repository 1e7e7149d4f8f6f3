"""Lists as a table for people, or as JSON, lines of a format, or names for scripts. Columns are stable: new ones come last."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

COLOURS = {
    "done": "green", "running": "blue", "pulling": "cyan", "enqueued": "cyan", "scheduled": "cyan", "failed": "red", "timedout": "red",
    "expired": "yellow", "stopped": "yellow", "paused": "yellow", "idle": "cyan", "usable": "green", "unusable": "red", "drained": "yellow",
}  # fmt: skip
FIELD = re.compile(r"\{([A-Za-z][\w.]*)\}")
LATE = "(late)"
IN_FULL = re.compile(r"(?<=\d[dhm]) \d+[hms]\b|\.\d+(?=Z$)|(?<=\S) from \S+$")
"""What a narrow terminal does without: the smaller part of a duration, the parts of a second, the address of a user."""
GAP = "  "
INDENT = "    "
NARROWEST, SHORT_NAME, NARROWEST_NAME = 8, 24, 14
"""Cells of a terminal to which a column that yields may be cut; one with names, before others are left out; and one with names at last."""
SHORT_NAME_END = 9
"""Characters of a name that are never cut: the slash and the end of the id."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and its text for a row. ``yields``: how soon it is cut on a narrow terminal; 0 for what is never cut: status,
    time and id. ``status``: coloured. ``name``: names such as TASK/ID, of which a long task may lose its end. ``whole``: texts that are
    read to the end; where one would be cut, all stand below their rows instead."""

    heading: str
    text: Callable[[Any], object]
    yields: int = 0
    status: bool = False
    name: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ListLayout:
    """The layout of a list: its columns, and the name by which other commands know a row."""

    columns: Sequence[Column]
    name: Callable[[Any], str]
    below: Callable[[Any], Sequence[str]] | None = None
    """On a terminal, lines below a row, whole."""


@dataclass(frozen=True, slots=True)
class OutputForm:
    """The user's choice of how to show a list."""

    as_json: bool = False
    format: str | None = None
    quiet: bool = False


def form_options(function: F) -> F:
    """The options that choose how a list is shown."""
    function = click.option("-q", "--quiet", is_flag=True, help="Only names, one a line, as other commands take them.")(function)
    function = click.option("--format", metavar="TEXT", help="A line for each row, with fields in braces: '{taskId} {status}'.")(function)
    return click.option("--json", "as_json", is_flag=True, help="JSON, as the server has it.")(function)


def printable(text: str) -> str:
    """Replaces characters that would act on a terminal, or hide others there."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def echo(text: str, *, err: bool = False) -> None:
    """Prints words of a server, in lines."""
    click.echo("".join(character if character in "\n\t" else printable(character) for character in text), err=err)


def json_text(value: object, indent: int | None = 2) -> str:
    """A value as JSON, in which characters that are not printable are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)


def printable_yaml(value: object) -> str:
    """A value as YAML, in which characters that act on a terminal, or hide others there, are escaped."""
    import yaml

    is_printable = json.dumps(value, ensure_ascii=False).isprintable()
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=is_printable, width=100)


def show(listing: ListLayout, rows: Iterable[Mapping[str, Any]], form: OutputForm) -> None:
    """Prints the rows."""
    if form.as_json:
        click.echo(json_text(list(rows)))
    elif form.format is not None:
        for row in rows:
            echo(formatted(form.format, row))
    elif form.quiet:
        for row in rows:
            echo(listing.name(row))
    else:
        _table(listing, rows)


def formatted(format: str, row: Mapping[str, Any]) -> str:
    """The text with each field in braces replaced. A field inside another may be missing. Raises click.UsageError for an unknown
    field."""

    def value(match: re.Match[str]) -> str:
        first, *inner = match[1].split(".")
        if first not in row:
            near = get_close_matches(first, row, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(row)}"
            raise click.UsageError(f"--format: there is no field {first!r}; {hint}")
        found: Any = row[first]
        for name in inner:
            found = found.get(name) if isinstance(found, Mapping) else None
        return "" if found is None else found if isinstance(found, str) else json_text(found, None)

    return FIELD.sub(value, format.replace("\\t", "\t").replace("\\n", "\n"))


def _table(listing: ListLayout, rows: Iterable[Mapping[str, Any]]) -> None:
    """On a terminal, columns that fit its width; elsewhere a line for each row, with a tab between cells."""
    rows = list(rows)
    cells = [[printable(str(column.text(row))) for column in listing.columns] for row in rows]
    if not sys.stdout.isatty():
        click.echo("\n".join("\t".join(line) for line in [[column.heading for column in listing.columns], *cells]))
        return
    heading, *lines = laid_out(listing.columns, cells, shutil.get_terminal_size().columns, is_coloured())
    click.echo(heading, color=True)
    for row, line in zip(rows, lines, strict=True):
        click.echo(line, color=True)
        for more in listing.below(row) if listing.below else ():
            echo(more)


def is_coloured() -> bool:
    """Whether the terminal shows colours, and its user wants them."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def laid_out(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int, coloured: bool = False) -> list[str]:
    """The heading of a table, and a text for each row, in which no line is wider than ``width`` (cells of a terminal).

    A column that yields is cut, down to ``NARROWEST``, before one that yields less; where that does not suffice, names lose the end of a
    long task, and the columns that yield most are left out. What does not yield stays whole; where there is no room for what yields least
    and not at all, its texts are put in short."""
    if _least_width(columns, cells) > width:
        cells = [[in_short(text) if _stays(column) else text for column, text in zip(columns, row, strict=True)] for row in cells]
    natural = [max(map(cell_width, (column.heading, *(row[number] for row in cells)))) for number, column in enumerate(columns)]
    widths = _fitted(columns, natural, width)
    below = [number for number, column in enumerate(columns) if column.whole and widths[number] != natural[number]]
    if below:
        beside = [number for number in range(len(columns)) if number not in below]
        room_beside = _fitted([columns[number] for number in beside], [natural[number] for number in beside], width)
        widths = [None if number in below else room_beside[beside.index(number)] for number in range(len(columns))]
    lines = []
    for number, row in enumerate([[column.heading for column in columns], *cells]):
        parts = []
        for column, text, room in zip(columns, row, widths, strict=True):
            if room is None:
                continue
            shown = shortened(text, room, keep_end=column.name)
            style = _style(column, text, is_heading=not number) if coloured else {}
            parts.append((click.style(shown, **style) if style else shown) + " " * (room - cell_width(shown)))
        more = [line for column in below if number for line in _wrapped(row[column], width)]
        lines.append("\n".join([GAP.join(parts).rstrip(), *more]))
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a text that stands below its row. A word that is wider than a line goes on in the next."""
    room, lines, line = max(1, width - len(INDENT)), [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and cell_width(longer) > room:
            lines.append(line)
            longer = word
        while cell_width(longer) > room:
            first = _that_fits(longer, room)
            lines.append(first)
            longer = longer[len(first) :]
        line = longer
    return [INDENT + part for part in [*lines, line] if part]


def _that_fits(word: str, room: int) -> str:
    """The beginning of a word that takes at most this many cells; one character at least."""
    end = min(room, len(word))
    while end > 1 and cell_width(word[:end]) > room:
        end -= 1
    return word[:end]


def in_short(text: str) -> str:
    """A time or a user without what a narrow terminal does without."""
    return IN_FULL.sub("", text)


def _stays(column: Column) -> bool:
    """Whether other columns are left out before this one is cut, and it has no names."""
    return column.yields <= 1 and not column.name


def _least_width(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> int:
    """The cells of a terminal that names and the columns that stay take at least."""
    least = 0
    for number, column in enumerate(columns):
        natural = max(map(cell_width, (column.heading, *(row[number] for row in cells))))
        if column.name:
            least += len(GAP) + min(natural, NARROWEST_NAME)
        elif _stays(column):
            least += len(GAP) + natural
    return least - len(GAP)


def _style(column: Column, text: str, *, is_heading: bool) -> dict[str, Any]:
    colour = ("yellow" if text.endswith(LATE) else COLOURS.get(text.split(" ")[0])) if column.status else None
    return {"bold": True} if is_heading else {"fg": colour} if colour else {}


def _fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int | None]:
    """The width of each column; None for those that are left out."""
    widths: list[int | None] = list(natural)
    yielding = sorted((number for number, column in enumerate(columns) if column.yields), key=lambda number: -columns[number].yields)

    def excess() -> int:
        shown = [room for room in widths if room is not None]
        return sum(shown) + len(GAP) * (len(shown) - 1) - width

    def narrow(number: int, least: int) -> None:
        room = widths[number]
        if room is not None:
            widths[number] = max(min(room, least), room - max(0, excess()))

    names = [number for number, column in enumerate(columns) if column.name]
    for last in (False, True):  # what yields least of all is cut after the names
        some = [number for number in yielding if (columns[number].yields == 1) == last]
        for number in some:
            narrow(number, NARROWEST)
        for number in names:
            narrow(number, NARROWEST_NAME if last else SHORT_NAME)
        for number in some:
            if excess() > 0 and number not in names:
                widths[number] = None
        for number in names:
            narrow(number, NARROWEST_NAME)
    for number in reversed(yielding):  # room that is left over goes to the columns that yield least
        room = widths[number]
        if room is not None:
            widths[number] = min(natural[number], room - min(0, excess()))
    return widths


def cell_width(text: str) -> int:
    """The cells of a terminal that a text takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    from wcwidth import width

    return width(text)


def shortened(text: str, width: int, *, keep_end: bool = False) -> str:
    """The text in this many cells, with an ellipsis for what is left out: the end or, with ``keep_end``, what comes before the id."""
    if cell_width(text) <= width:
        return text
    end = text[-SHORT_NAME_END:] if keep_end and "/" in text else ""
    kept = ""
    for character in text:
        if cell_width(kept + character) + 1 + cell_width(end) > width:
            break
        kept += character
    return f"{kept}…{end}"


STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def moment(text: str) -> datetime:
    """A time as the server writes it."""
    return datetime.fromisoformat(text)


def counted(count: int, noun: str) -> str:
    """A number of things: 1 job, 2 jobs."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """The two largest parts: 1d 3h, 2m 5s, 0.4s."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    left = int(seconds)
    parts: list[str] = []
    for size, unit in STEPS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size}{unit}")
        left %= size
    return " ".join(parts)


def relative(text: str | None, now: datetime | None = None) -> str:
    """How long ago it was, or in how long it is."""
    if text is None:
        return ""
    seconds = (moment(text) - (now or datetime.now(UTC))).total_seconds()
    if abs(seconds) < 1:
        return "now"
    words = duration(abs(round(seconds)) if abs(seconds) < 10 else abs(seconds)).replace(".0s", "s")
    return f"in {words}" if seconds > 0 else f"{words} ago"


def local(text: str) -> str:
    """A time in the zone of this machine."""
    return moment(text).astimezone().strftime("%a %d %b %Y %H:%M:%S %Z")
