"""Cancellation that is not lost."""

import asyncio
from typing import TypeVar

Answers = TypeVar("Answers")


async def unless_cancelled(gathered: "asyncio.Future[Answers]") -> Answers:
    """The answers of an ``asyncio.gather``. When it is cancelled in the moment in which one of its parts fails, ``gather`` raises that
    fault and the cancellation is gone: a loop that goes on after faults would never end. Here the cancellation wins."""
    try:
        return await gathered
    except Exception:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from None
        raise
