"""A caller that makes more requests than it may gets a 429, and others do not."""

from pathlib import Path

from tests.support.credentials import bearer, token
from tests.support.fastlane import Fastlane
from tests.support.redis import RealRedis

TOKENS = (token("busy", "fl_busy", "admin"), token("other", "fl_other", "admin"))
BUSY, OTHER = bearer("fl_busy"), bearer("fl_other")


async def test_a_caller_above_its_rate_is_refused_and_told_when_to_come_again(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, tokens=TOKENS, request_rate=1) as server:
        answers = [await server.get("/tasks", headers=BUSY) for _ in range(40)]
        refused = [answer for answer in answers if answer.status == 429]
        assert answers[0].status == 200
        assert len(refused) > 20
        assert "more than 1 requests a second" in refused[0].json["detail"]
        assert int(refused[0].headers["Retry-After"]) == 1
        assert (await server.get("/tasks", headers=OTHER)).status == 200
        assert (await server.get("/livez", headers=BUSY)).status == 200


async def test_requests_from_this_machine_without_a_login_have_no_limit(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url, request_rate=1) as server:
        assert {(await server.get("/tasks")).status for _ in range(40)} == {200}
