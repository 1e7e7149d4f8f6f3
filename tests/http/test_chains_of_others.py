"""Chains and the tasks that a caller may see: a job of another team cannot be followed, found out or read through a chain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.credentials import bearer, token
from tests.support.fastlane import Answer, Fastlane
from tests.support.redis import RealRedis

OURS, ALL = "fl_ann", "fl_root"


@pytest.fixture
async def teams(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    tokens = (token("ann", OURS, "run", "shop"), token("root", ALL, "admin", ""))
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens) as server:
        yield server


async def ask(server: Fastlane, who: str, method: str, path: str, body: object = None) -> Answer:
    return await server.ask(method, path, json=body, headers=bearer(who))


async def test_a_job_of_a_task_that_the_caller_may_not_see_is_as_if_it_did_not_exist(teams: Fastlane) -> None:
    vault = {"image": "ubuntu", "manual": True, "name": "vault"}
    theirs = (await ask(teams, ALL, "POST", "/tasks/bank", vault)).json["jobId"]
    ours = (await ask(teams, OURS, "POST", "/tasks/shop", {"image": "ubuntu", "manual": True})).json["jobId"]
    said = []
    for name in (theirs, "bank/vault", f"bank/{theirs}", "bank/none", f"shop/{theirs}"):
        refused = await ask(teams, OURS, "POST", "/tasks/shop", {"image": "ubuntu", "after": name})
        assert refused.status == 400
        said.append(refused.json["errors"][0]["message"].replace(name, "NAME"))
        assert (await ask(teams, OURS, "PATCH", f"/tasks/shop/jobs/{ours}", {"after": name})).status == 400
    assert len(set(said[1:])) == 1
    assert (await ask(teams, ALL, "PATCH", f"/tasks/shop/jobs/{ours}", {"after": "bank/vault"})).status == 200
    chain = (await ask(teams, OURS, "GET", f"/tasks/shop/jobs/{ours}/chain")).json
    (followed,) = chain["follows"]
    assert (followed["jobId"], followed["gone"]) == (theirs, False)
    assert [followed[name] for name in ("taskId", "name", "url", "status", "lastExecution")] == [None] * 5
    why = (await ask(teams, OURS, "GET", f"/tasks/shop/jobs/{ours}/why")).json["waitingFor"][0]["message"]
    assert "vault" not in why
    assert "bank" not in why
    assert (await ask(teams, OURS, "PATCH", f"/tasks/shop/jobs/{ours}", {"afterOn": "fails"})).status == 200
    assert (await ask(teams, ALL, "GET", f"/tasks/bank/jobs/{theirs}/chain")).json["followedBy"][0]["jobId"] == ours
