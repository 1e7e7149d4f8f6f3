"""Names, URLs and addresses in answers."""

import pytest

from fastlane.web.api.executions import split_host
from fastlane.web.api.serializer import RenderContext


@pytest.mark.parametrize(
    ("host", "parts"),
    [
        (None, (None, None)),
        ("unix:///var/run/docker.sock", ("unix:///var/run/docker.sock", None)),
        ("10.0.0.7:2375", ("10.0.0.7", 2375)),
        ("tcp://10.0.0.7:2375", ("10.0.0.7", 2375)),
        ("[2001:db8::1]:2376", ("[2001:db8::1]", 2376)),
        ("docker", ("docker", None)),
        ("ssh://me@10.0.0.7:22", ("ssh://me@10.0.0.7:22", None)),
    ],
)
def test_a_host_is_shown_as_host_and_port(host, parts):
    assert split_host(host) == parts


def test_urls_quote_everything_that_a_task_id_may_hold():
    url = RenderContext("http://x", ()).task_url("a b?c#d%e;f'g\"h&i+ü")
    assert url == "http://x/tasks/a%20b%3Fc%23d%25e%3Bf%27g%22h%26i%2B%C3%BC/"
