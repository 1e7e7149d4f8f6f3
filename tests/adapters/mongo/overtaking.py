"""Lets one process overtake another between two of its steps."""

from collections.abc import Awaitable, Callable
from typing import Any

Act = Callable[[], Awaitable[Any]]


def once(act: Act, real: Callable[..., Awaitable[Any]], *, before: bool) -> Callable[..., Awaitable[Any]]:
    """``real``, with this before or after its first call."""
    acts = [act]

    async def overtaken(*given: Any, **named: Any) -> Any:
        if before and acts:
            await acts.pop()()
        answer = await real(*given, **named)
        if acts:
            await acts.pop()()
        return answer

    return overtaken
