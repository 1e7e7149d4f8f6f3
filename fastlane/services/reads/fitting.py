"""Reads as large a page of a list as the texts of its rows allow."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from fastlane.errors import Invalid
from fastlane.models.paging import Window

Listed = TypeVar("Listed")


async def fitting(read: Callable[[Window], Awaitable[Listed]], window: Window, sizes: Sequence[int]) -> Listed:
    """The page of this window; when its rows are too large for it, one of the next smaller of ``sizes``, which begins with the largest.
    Raises Invalid when the smallest is too large, too."""
    while True:
        try:
            return await read(window)
        except Invalid:
            fewer = next((size for size in sizes if size < window.per_page), None)
            if fewer is None:
                raise
            window = replace(window, per_page=fewer)
