"""Lets a process end at one of its writes."""

from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from fastlane.storage.mongo.database import Database
from tests.support.intercept import Died


def end_at(monkeypatch: pytest.MonkeyPatch, verbs: Collection[str], number: int, *, after: bool = False) -> list[str]:
    """Lets so many writes by these verbs be made, and the process end before the next one, or ``after`` it; the writes that were made."""
    made: list[str] = []

    def ending(verb: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(Database, verb)

        async def write(self: Database, collection: str, *arguments: Any, **named: Any) -> Any:
            if collection == "meta":
                return await real(self, collection, *arguments, **named)
            is_last = len(made) == number
            if is_last and not after:
                raise Died
            made.append(f"{verb} {collection}")
            answer = await real(self, collection, *arguments, **named)
            if is_last:
                raise Died
            return answer

        return write

    for verb in verbs:
        monkeypatch.setattr(Database, verb, ending(verb))
    return made
