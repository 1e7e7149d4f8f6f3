"""What a URL with Sentinels says."""

import pytest

from fastlane.queue.redis.connection import Connections, _read


@pytest.mark.parametrize(
    ("rest", "sentinels", "service", "about"),
    [
        ("a:1,b:2/main", [("a", 1), ("b", 2)], "main", (None, None, 0)),
        ("a,b/main/3", [("a", 26379), ("b", 26379)], "main", (None, None, 3)),
        (":p%40ss%2F:w@[::1]:5,[fe80::2]/my.main-1", [("::1", 5), ("fe80::2", 26379)], "my.main-1", (None, "p@ss/:w", 0)),
        ("us%3Aer:pw@10.0.0.1:7/main", [("10.0.0.1", 7)], "main", ("us:er", "pw", 0)),
    ],
)
def test_sentinels_service_password_and_database_are_read(rest, sentinels, service, about):
    found = _read(f"redis+sentinel://{rest}")
    assert found == (sentinels, service, dict(zip(("username", "password", "db"), about, strict=True)))


async def test_making_a_connection_sends_nothing():
    for url in ("redis://nobody.invalid:1/0", "rediss://nobody.invalid", "unix:///nowhere", "redis+sentinel://nobody.invalid:1/main"):
        connections = Connections(url, 1.0)
        assert not connections.make().is_connected
        await connections.close()
