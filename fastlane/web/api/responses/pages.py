"""A page of a list: its rows and its position in the list."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fastlane.models.paging import Page
from fastlane.web.api.serializer import Field, Serializer, array, boolean, flattened, integer, url
from fastlane.web.http.paging import ListUrl

View = TypeVar("View")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[View]):
    """What a list's route shows: ``view`` has the page's rows, and may have more. ``list`` makes the URLs of the pages before and after."""

    list: ListUrl
    page: Page[Any]
    view: View


PAGE = Serializer[Listing[Any]](
    "Page",
    "The place of a page in its list.",
    total=integer(lambda listing: listing.page.total, "Rows in the whole list."),
    page=integer(lambda listing: listing.page.window.page, least=1),
    pages=integer(lambda listing: listing.page.pages, "The number of pages; 1 for an empty list.", least=1),
    perPage=integer(lambda listing: listing.page.window.per_page, least=1),
    hasNext=boolean(lambda listing: listing.page.next is not None),
    hasPrev=boolean(lambda listing: listing.page.window.page > 1),
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
