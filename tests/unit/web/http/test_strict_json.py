"""The strict JSON reader against every input."""

import contextlib
import json
import time

import pytest
from hypothesis import given, strategies as st

from fastlane.errors import Invalid
from fastlane.web.http.strict_json import MAX_DEPTH, MAX_INTEGER, read_object

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
NUMBER = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


@given(st.dictionaries(TEXT, VALUE, max_size=4), st.booleans())
def test_every_good_object_is_read_as_json_reads_it(value, ascii_only):
    assert read_object(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_comes_is_read_or_refused(data):
    with contextlib.suppress(Invalid):
        assert isinstance(read_object(data), dict)


@pytest.mark.parametrize("brackets", [b"[]", b'{"a":}'])
def test_depth_is_counted_outside_of_texts_only(brackets):
    assert read_object(b'{"a": "' + b"[" * 100 + b'\\"{"}') == {"a": "[" * 100 + '"{'}
    opening, closing = brackets[:-1], brackets[-1:]
    deep = opening * (MAX_DEPTH - 1) + b"1" + closing * (MAX_DEPTH - 1)
    assert read_object(b'{"a": ' + deep + b"}")
    with pytest.raises(Invalid, match="32 deep"):
        read_object(b'{"a": ' + opening + deep + closing + b"}")


@pytest.mark.parametrize(
    "data",
    [
        b'{"image": "' + b'\\"' * 500_000,
        b'{"a":[' + b"[]," * 300_000 + b"[]]}",
        b'"' * 1_000_000,
        b"\\" * 1_000_000,
        b"{" + b",".join(b'"%d":1' % (number % 90_000) for number in range(100_000)) + b"}",
    ],
)
def test_hostile_bodies_cost_time_in_proportion(data):
    before = time.process_time()
    with contextlib.suppress(Invalid):
        read_object(data)
    assert time.process_time() - before < 3, "quadratic?"
