"""The token of a walk comes back as it was given, and nothing else passes for one."""

import pytest
from hypothesis import given, strategies as st

from fastlane.errors import Invalid
from fastlane.models.paging import After, Page, Window
from fastlane.web.http.query import BY_NUMBER, ListUrl

NUMBERS = st.integers(-(2**63) + 1, 2**63 - 1)
TOTALS = st.integers(0, 2**63 - 1)


def walked(listed, after, per_page=7):
    """The window that the nextUrl of a page leads to."""
    url = listed.next_url(Page(Window(2, per_page), 100, (), after))
    query = dict(part.split("=") for part in url.split("?")[1].split("&"))
    return listed.window(query, default=10)


@given(TOTALS, NUMBERS, st.text(max_size=60))
def test_a_key_of_a_moment_and_an_id_comes_back(total, moment, id):
    after = After(total, (moment, id))
    assert walked(ListUrl("http://x/tasks/"), after) == Window(3, 7, after)


@given(TOTALS, NUMBERS, NUMBERS)
def test_a_key_of_two_numbers_comes_back(total, first, second):
    after = After(total, (first, second))
    assert walked(ListUrl("http://x/tasks/t/jobs/j/", {}, BY_NUMBER), after) == Window(3, 7, after)


@given(st.text())
def test_any_other_text_is_refused(text):
    with pytest.raises(Invalid) as refused:
        ListUrl("http://x/tasks/").window({"after": text, "page": "0"}, default=10)
    assert [fault.field for fault in refused.value.faults] == ["page", "after"]


@pytest.mark.parametrize(
    "after",
    [After(-1, (1, "x")), After(True, (1, "x")), After(1, (1, 2)), After(1, ("x", 1)), After(1, (1,)), After(1, (True, "x")),
     After(1, (2**63, "x")), After(2**63, (1, "x"))],
)  # fmt: skip
def test_a_key_that_no_row_of_the_list_has_is_refused_under_whatever_seal(after):
    with pytest.raises(Invalid):
        walked(ListUrl("http://x/tasks/"), after)


def test_the_host_by_which_a_list_was_asked_for_does_not_matter():
    after = After(1, (1, "x"))
    url = ListUrl("http://one/tasks/").next_url(Page(Window(1, 5), 9, (), after))
    token = url.rsplit("=", 1)[1]
    assert ListUrl("https://two:10000/tasks/").window({"after": token}, default=5).after == after


def test_filters_stand_in_the_links_and_are_quoted():
    listed = ListUrl("http://x/search/", {"query": "a&b ü"})
    page = Page(Window(2, 5), 99, (), None)
    assert (listed.next_url(page), listed.prev_url(page)) == (None, "http://x/search/?query=a%26b+%C3%BC&page=1&perPage=5")
