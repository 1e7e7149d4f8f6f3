"""When an answer is gzipped."""

import pytest

from fastlane.web.http.problems import accepts_gzip


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
