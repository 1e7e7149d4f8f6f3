"""A run of a benchmark: measures its parts one after another, and keeps what was measured on disk after each.

The results stand in ``<name>.partial.json`` until every part of a whole run is measured; only then do they replace ``<name>.json``. So an
interrupted run leaves what it measured, and never replaces the results of a whole one.
"""

import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks import report

F = TypeVar("F")
"""A figure, or a row of figures; it has a method ``as_json``."""


@dataclass(slots=True)
class Run(Generic[F]):
    """A run of ``command`` on the machine that ``about`` describes. ``file`` is for the results, if they are saved. ``say`` prints text."""

    command: str
    about: dict[str, Any]
    file: Path | None
    say: Callable[[str], None]
    figures: list[F] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """The parts that could not be measured."""
    took: dict[str, int] = field(default_factory=dict)
    """The seconds of each part that was measured."""

    def measure(self, parts: Mapping[str, Callable[[], Sequence[F]]], table: Callable[[Sequence[F]], str]) -> None:
        """Measures each part, prints it as ``table`` does, and saves it. A part that fails is reported, and the next one follows."""
        for name, part in parts.items():
            began = time.monotonic()
            self.say(f"==> {name}, load {os.getloadavg()[0]:.2f}")
            try:
                found = part()
            except Exception:  # noqa: BLE001 - one part's fault must not lose the figures of the others
                self.failed.append(name)
                self.say(f"{traceback.format_exc()}    {name} failed after {time.monotonic() - began:.0f} s")
                continue
            self.figures += found
            self.took[name] = round(time.monotonic() - began)
            self.say(f"{table(found)}\n    {self.took[name]} s")
            self._save()

    def finish(self) -> None:
        """Makes the saved results those of the last whole run."""
        if self._partial is not None and self.file is not None:
            self._partial.replace(self.file)

    @property
    def _partial(self) -> Path | None:
        return self.file and self.file.with_suffix(".partial.json")

    def _save(self) -> None:
        if self._partial is not None:
            report.write_json(self._partial, {**self.about, "seconds": self.took}, self.command, self.figures)


def conclude(run: Run[Any], table: str, *, whole: bool, page: tuple[Path, str] | None) -> int:
    """Prints the results; after a whole run without failures also writes them down: to the file, and to the page between the marks of that
    command. Returns the exit code."""
    text = report.as_markdown(run.about, run.command, table)
    run.say(text)
    if run.failed:
        run.say(f"Not written to the page: could not measure {', '.join(run.failed)}.")
        return 1
    if not whole:
        run.say("Not written to the page: that takes a run of every part at full size.")
        return 0
    run.finish()
    if page is not None:
        report.write_page(*page, text)
    return 0
