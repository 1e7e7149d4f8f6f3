"""Ranges of bytes."""

import pytest
from hypothesis import given, strategies as st

from fastlane.errors import nearest
from fastlane.web.http.problems import Problem
from fastlane.web.http.query import byte_range


@given(st.integers(1, 50), st.integers(0, 49), st.integers(0, 60))
def test_a_range_is_a_slice(size, first, last):
    data = bytes(range(size))
    first %= size
    part = byte_range(f"bytes={first}-{last}", size)
    assert (data if part is None else data[part[0] : part[1]]) == (data if last < first else data[first : last + 1])


@given(st.integers(0, 50), st.integers(0, 60))
def test_a_range_past_the_end_is_not_satisfiable(size, beyond):
    with pytest.raises(Problem) as refused:
        byte_range(f"bytes={size + beyond}-", size)
    assert refused.value.status == 416
    assert refused.value.headers == {"Content-Range": f"bytes */{size}"}


@given(st.integers(1, 50), st.integers(1, 60))
def test_a_suffix_is_the_end(size, suffix):
    start, end = byte_range(f"bytes=-{suffix}", size)
    assert (start, end) == (max(0, size - suffix), size)


@pytest.mark.parametrize(
    "text", ["", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-2,3-4", "items=1-2", "bytes=1", "bytes=--1", "bytes=²-"]
)
def test_anything_but_a_single_range_of_bytes_is_ignored(text):
    assert byte_range(text, 10) is None
    assert byte_range(None, 10) is None


@pytest.mark.parametrize(("name", "near"), [("perpage", "perPage"), ("pag", "page"), ("p", None), ("", None)])
def test_the_nearest_name_is_one_that_is_near(name, near):
    assert nearest(name, ["page", "perPage"]) == near
