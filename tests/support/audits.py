"""Audits of the queue's data, page after page."""

from typing import Any


async def audited(queue: Any, generation: str = "1") -> str | None:
    """What a whole audit finds wrong; None when it finds nothing."""
    page = None
    while True:
        found = await queue.generation.audit(generation, page)
        if found.wrong is not None or found.next is None:
            wrong: str | None = found.wrong
            return wrong
        page = found.next
