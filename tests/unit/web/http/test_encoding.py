"""When an answer is gzipped."""

import gzip
import json

import pytest

from fastlane.web.http.encoding import GZIP_FROM, accepts_gzip, encode_json


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("identity", False),
    ],
)
def test_a_client_says_whether_it_accepts_gzip(header, accepted):
    assert accepts_gzip(header) is accepted


def test_only_a_large_answer_is_gzipped():
    small, large = {"a": 1}, {"a": "x" * GZIP_FROM}
    assert encode_json(small, "gzip") == (b'{"a":1}\n', False)
    data, gzipped = encode_json(large, "gzip")
    assert (json.loads(gzip.decompress(data)), gzipped) == (large, True)
    assert encode_json(large, "")[1] is False
