"""How many pages a list has."""

import pytest

from fastlane.errors import NotFound
from fastlane.models.paging import After, Page, Window


@pytest.mark.parametrize(("total", "per_page", "pages"), [(0, 10, 1), (1, 10, 1), (10, 10, 1), (11, 10, 2), (1000, 1, 1000)])
def test_pages(total, per_page, pages):
    last = Page(Window(pages, per_page), total, (), None)
    assert last.pages == pages
    last.check()
    with pytest.raises(NotFound, match=f"page {pages + 1} is past the last one, which is {pages}"):
        Page(Window(pages + 1, per_page), total, (), None).check()


def test_a_walk_is_never_past_the_end():
    Page(Window(9, 10, After(1, (1, "x"))), 1, (), None).check()


def test_a_page_of_other_rows_is_the_same_page():
    page = Page(Window(2, 10), 12, ("a", "b"), After(12, (1, "x")))
    assert page.of([1, 2]) == Page(Window(2, 10), 12, (1, 2), After(12, (1, "x")))
