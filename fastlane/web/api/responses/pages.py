"""A page of a list: its rows and its position in the list."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastlane.models.job import Spec
from fastlane.models.paging import Page
from fastlane.services.reads.details import JobDetail
from fastlane.services.reads.views import ExecutionView, JobView
from fastlane.web.api.serializer import Field, Serializer, array, boolean, flattened, integer, url
from fastlane.web.http.paging import ListUrl

LONG_LIST = 50
"""Rows that take long to render: a thousand jobs take 30 ms, and more when they are large."""
LONG_COMMAND = 10_000
"""Characters of a command that take long: each argument is quoted, and searched for passwords. 256 KiB take up to 0.1 s."""

View = TypeVar("View")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[View]):
    """What a list's route shows: ``view`` has the page's rows, and may have more. ``list`` makes the URLs of the pages before and after."""

    list: ListUrl
    page: Page[Any]
    view: View

    @property
    def takes_long(self) -> bool:
        """Whether it takes long to render: because of its length, of logs, of long commands, or of messages in which secrets are looked
        for."""
        return len(self.page.rows) >= LONG_LIST or any(map(_takes_long, (self.view, *self.page.rows)))


def _takes_long(row: object) -> bool:
    if isinstance(row, JobDetail):
        return _is_long(row.view.job.spec)
    if isinstance(row, ExecutionView):
        return row.stdout is not None or row.execution.failure is not None or _is_long(row.execution.spec)
    if isinstance(row, JobView):
        return (row.latest is not None and row.latest.failure is not None) or _is_long(row.job.spec)
    return False


def _is_long(spec: Spec) -> bool:
    return sum(map(len, spec.command or ())) > LONG_COMMAND


PAGE = Serializer[Listing[Any]](
    "Page",
    "The place of a page in its list.",
    total=integer(lambda listing: listing.page.total, "Rows in the whole list."),
    page=integer(lambda listing: listing.page.window.page, "This page's number; the first is 1.", least=1),
    pages=integer(lambda listing: listing.page.pages, "The number of pages; 1 for an empty list.", least=1),
    perPage=integer(lambda listing: listing.page.window.per_page, "The most rows that a page has.", least=1),
    hasNext=boolean(lambda listing: listing.page.next is not None, "Whether there is a page after this one."),
    hasPrev=boolean(lambda listing: listing.page.window.page > 1, "Whether there is a page before this one."),
    nextUrl=url(lambda listing, _: listing.list.next_url(listing.page), "The next page, at the same cost however far it is.", null=True),
    prevUrl=url(lambda listing, _: listing.list.prev_url(listing.page), "The page before.", null=True),
)


def pagination() -> Field[Listing[Any]]:
    """The keys of ``PAGE``, merged into the page's object."""
    return flattened(PAGE, lambda listing: listing)


def page_of(name: str, description: str, row: Serializer[Row]) -> Serializer[Listing[Page[Row]]]:
    """A page that is nothing but its rows."""
    rows: Callable[[Listing[Page[Row]]], tuple[Row, ...]] = lambda listing: listing.page.rows  # noqa: E731
    return Serializer(name, description, items=array(row, rows), page=pagination())
