"""Lists as a table for people, or as JSON, lines of a format, or names for scripts. Columns are stable: new ones come last."""

import json
import re
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
UNLIMITED = 10_000
"""The width where there is no terminal: nothing is cut off."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's heading, and its text for a row. ``whole``: never cut, however narrow the terminal is; ``status``: coloured too."""

    heading: str
    text: Callable[[Any], object]
    whole: bool = False
    status: bool = False


@dataclass(frozen=True, slots=True)
class ListLayout:
    """The layout of a list: its columns, and the name by which other commands know a row."""

    columns: Sequence[Column]
    name: Callable[[Any], str]


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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    console = Console(highlight=False, markup=False, width=None if terminal else UNLIMITED)
    table = Table(box=None, pad_edge=False, header_style="bold" if terminal else "", show_edge=False)
    cells = [[printable(str(column.text(row))) for column in listing.columns] for row in rows]
    for number, column in enumerate(listing.columns):
        longest = max((len(row[number]) for row in cells), default=0)
        least = max(longest, len(column.heading)) if column.whole or column.status else None
        table.add_column(column.heading, no_wrap=True, overflow="ellipsis", min_width=least)
    for line in cells:
        styles = [COLOURS.get(cell.split(" ")[0], "") if column.status else "" for column, cell in zip(listing.columns, line, strict=True)]
        table.add_row(*(Text(cell, style=style) for cell, style in zip(line, styles, strict=True)))
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().splitlines()), color=terminal)


STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def moment(text: str) -> datetime:
    """A time as the server writes it."""
    return datetime.fromisoformat(text)


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
