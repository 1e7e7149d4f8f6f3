"""The rules of jobs that a program is to reach, and in how many programs each was: a rule is reached when it has decided something."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from fastlane.models.cron import Cron

RULES = (
    "chain",
    "chain: a row, or one of a list",
    "unique: refused",
    "unique: key taken",
    "spread",
    "H",
    "@every",
    "skipDates",
    "backfill",
    "backfill finished",
    "backfill stopped",
    "failures counted",
    "pauseAfter",
    "notifyAfter: held back",
    "fails: told",
    "fails: told of the pause",
    "retryOn: again",
    "retryOn: not again",
    "onOom",
    "another host",
)

OFTEN = frozenset({"chain", "unique: refused", "backfill", "failures counted", "fails: told", "retryOn: again", "retryOn: not again"})
"""Those that a good part of all programs reach."""


def rules_of_cron(cron: Cron | None) -> Iterator[str]:
    """The rules by which a cron is due."""
    for entry in cron.entries if cron is not None else ():
        yield from ("spread",) if entry.spread else ()
        yield from ("H",) if "H" in entry.text else ()
        yield from ("@every",) if entry.text.startswith("@every") else ()


def is_on(ranges: Sequence[Any], due: int) -> bool:
    """Whether the date of this moment, in UTC, is one of these."""
    day = datetime.fromtimestamp(due / 1000, UTC).date()
    return any(one.first <= day <= one.last for one in ranges)


def table(reached: Iterable[Iterable[str]]) -> str:
    """In how many of these programs each rule was reached."""
    programs = list(reached)
    found = Counter(rule for rules in programs for rule in rules)
    return "\n".join(f"{rule:32} {found[rule]:5} of {len(programs)}" for rule in RULES)
