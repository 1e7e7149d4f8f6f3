"""A user of one team tries to reach a service of another team: by every way in which a request, a file or a label can name one. The pool of
each team allows its own services only."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastlane.cli.client.compose_file import Origin, read_compose
from fastlane.executors.port import ServiceTemplate
from fastlane.models.job import Execution, ServiceVersion
from fastlane.models.job_source import declared_id
from fastlane.models.pool import Pool
from fastlane.services.calendars import MOST_SHOWN
from fastlane.services.results import Enqueued
from tests.behaviour.labels.test_label_jobs import SWARM, Swarm
from tests.support.credentials import bearer, token
from tests.support.fastlane import HOST, Answer, Fastlane
from tests.support.intercept import Call, intercept, keeping
from tests.support.redis import RealRedis

SHOP = Pool("shop", "shop", (HOST,), services=("shop_*",))
BANK = Pool("bank", "bank", (HOST,), services=("bank_*",))
WEB = {"service": "shop_web", "manual": True}
VAULT = {"service": "bank_vault", "manual": True}
OURS, THEIRS, ROOT = "fl_ann", "fl_bob", "fl_root"
MADE_UP = "01a2137a-ea28-776d-a93f-727c6cfea531"
NAMES = [
    *(
        "bank_vault",
        "BANK_VAULT",
        "Bank_Vault",
        "id-of-bank_vault",
        "id-of-bank",
        "bank_vaul",
        " bank_vault",
        "bank_vault ",
        "bank_vault\n",
    ),
    *("shop_web/../bank_vault", "shop_/bank_vault", "shop_web,bank_vault", "shop_*", "*", "", ".", "bank_vault\x00", "ｂank_vault"),
    *("{{.Service.Name}}", "${SERVICE}", "$SERVICE", ["shop_web", "bank_vault"], {"name": "bank_vault"}, 5, True),
]
"""Names of the other team's service, and texts that something on the way may take for one."""


class Teams(Fastlane):
    """A server with a worker on an engine that has a service of each team, and what was parked there."""

    def __init__(self, folder: Path, redis: RealRedis) -> None:
        tokens = (token("ann", OURS, "run", "shop"), token("bob", THEIRS, "run", "bank"), token("root", ROOT, "admin"))
        super().__init__(folder, redis.url, pools=(SHOP, BANK), workers=1, tokens=tokens)
        names = ("shop_web", "bank_vault")
        deployed = {name: ServiceTemplate(ServiceVersion(f"id-of-{name}", 7), f"{name}:1", {}) for name in names}
        self.executor.deployed = {HOST: deployed}
        self._parks: list[Call] = []
        intercept(self.executor, "park", keeping(self._parks))

    @property
    def stolen(self) -> list[str]:
        """The tasks of the other team's containers that were made for us."""
        orders = [call.arguments[1] for call in self._parks]
        return [one.task_id for one in orders if one.like is not None and "vault" in one.like.image and not one.task_id.startswith("bank")]

    @property
    def parked(self) -> list[Call]:
        """The parks of all containers."""
        return self._parks

    async def tries(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """A request of the user of our team."""
        return await self.ask(method, path, json=body, headers={**bearer(OURS), **headers})

    async def theirs(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """A request of the other team's own user."""
        return await self.ask(method, path, json=body, headers={**bearer(THEIRS), **headers})

    async def made(self, body: dict[str, Any]) -> str:
        """The URL of a job of our team."""
        answer = await self.tries("POST", "/tasks/shop", body)
        assert answer.status == 200, answer.body
        return str(answer.json["jobUrl"])

    async def ends(self, reply: dict[str, Any], status: str) -> Execution:
        """The execution that a reply is about, once it is so."""
        return await self.reaches(Enqueued(reply["taskId"], reply["jobId"], reply["queueJobId"], reply["executionId"]), status)

    async def service_of(self, url: str) -> str | None:
        """The service of one of our jobs."""
        service: str | None = (await self.tries("GET", url)).json["job"]["spec"]["service"]
        return service


@pytest.fixture
async def teams(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Teams]:
    async with Teams(tmp_path, shared_redis) as server:
        yield server
        assert server.stolen == []


async def test_no_way_to_write_its_name_reaches_it(teams: Teams) -> None:
    for name in NAMES:
        for method, path in (("POST", "/tasks/shop"), ("POST", "/tasks/shop?dryRun=1"), ("PUT", f"/tasks/shop/jobs/{MADE_UP}")):
            answer = await teams.tries(method, path, {"service": name})
            assert answer.status in (400, 403), (name, method, answer.body)
    assert (await teams.tries("GET", "/jobs")).json["items"] == []


async def test_neither_a_change_nor_a_replacement_of_our_job_reaches_it(teams: Teams) -> None:
    url = await teams.made(WEB)
    for name in NAMES:
        for method in ("PATCH", "PUT"):
            answer = await teams.tries(method, url, {"service": name, "manual": True})
            assert answer.status in (400, 403), (name, method, answer.body)
    assert await teams.service_of(url) == "shop_web"


async def test_its_jobs_are_out_of_our_reach(teams: Teams) -> None:
    reply = (await teams.theirs("POST", "/tasks/bank", VAULT, **{"Idempotency-Key": "monday"})).json
    url = reply["jobUrl"]
    ran = (await teams.theirs("POST", f"{url}run")).json
    await teams.ends(ran, "done")
    for verb in ("run", "run?force=1", "retry", "start", "stop", "pause", "resume", "ws-ticket"):
        assert (await teams.tries("POST", url + verb)).status in (403, 404), verb
    for method in ("PUT", "PATCH", "DELETE"):
        assert (await teams.tries(method, url, WEB)).status in (403, 404), method
    for path in ("", "why", "ticks", "executions", "stdout", "stderr"):
        assert (await teams.tries("GET", url + path)).status in (403, 404), path
    for path in ("/jobs", "/jobs?query=vault", "/executions", "/failures", "/events", "/tasks", "/status"):
        assert b"vault" not in (await teams.tries("GET", path)).body, path
    ours = await teams.tries("POST", "/tasks/shop", WEB, **{"Idempotency-Key": "monday"})
    assert (ours.status in (200, 409, 422), reply["jobId"].encode() in ours.body) == (True, False)
    named = {"id": reply["jobId"], **WEB}
    assert (await teams.tries("POST", "/tasks/shop", named)).status == 400
    assert (await teams.tries("PUT", f"/tasks/shop/jobs/{reply['jobId']}", WEB)).status in (403, 404, 409)


async def test_neither_values_of_a_run_nor_templates_reach_it(teams: Teams) -> None:
    url = await teams.made(WEB | {"command": "exit 0", "parameters": {"service": {}, "SERVICE": {}}})
    for body in ({"service": "bank_vault"}, {"parameters": {"service": "bank_vault"}, "service": "bank_vault"}, VAULT):
        assert (await teams.tries("POST", f"{url}run", body)).status == 400, body
    values = {"service": "bank_vault", "SERVICE": "{{.Service.Name}}"}
    ran = await teams.tries("POST", f"{url}run", {"parameters": values})
    assert ran.status == 200, ran.body
    ended = await teams.ends(ran.json, "done")
    assert (ended.service_version, await teams.service_of(url)) == (ServiceVersion("id-of-shop_web", 7), "shop_web")


async def test_what_was_allowed_once_is_asked_for_again_at_each_start_and_retry(teams: Teams) -> None:
    url = await teams.made(WEB | {"command": "exit 3"})
    failed = await teams.ends((await teams.tries("POST", f"{url}run")).json, "failed")
    assert failed.service_version is not None
    await teams.dismiss()
    teams.settings = replace(teams.settings, pools=(replace(SHOP, services=()), BANK))  # as a reload of the settings does
    await teams.hire()
    for verb in ("run", "retry"):
        answer = await teams.tries("POST", url + verb)
        if answer.status == 200:
            ended = await teams.ends(answer.json, "failed")
            assert (ended.service_version, ended.failure and ended.failure.reason.value) == (None, "rejected"), verb
        else:
            assert answer.status in (403, 409), verb


COMPOSE = """
name: shop
x-jobs:
  a:
    triggers: {{manual: true}}
    {0}
{1}
"""


@pytest.mark.parametrize(
    ("attributes", "top", "field"),
    [
        ("x-fastlane: {service: bank_vault}", "", "service"),
        ("image: ubuntu\n    volumes: ['vault:/data']", "volumes: {vault: {external: true, name: bank_vault}}", "container.mounts"),
        ("image: ubuntu\n    networks: [n]", "networks: {n: {external: true, name: bank_default}}", "container.networks"),
        ("image: ubuntu\n    secrets: [s]", "secrets: {s: {external: true, name: bank_key}}", "container.secrets"),
        ("image: ubuntu\n    labels: {com.docker.stack.namespace: bank}", "", None),
    ],
    ids=["service", "volume", "network", "secret", "label"],
)
async def test_a_compose_file_reaches_nothing_of_it(teams: Teams, attributes: str, top: str, field: str | None) -> None:
    (job,) = read_compose(COMPOSE.format(attributes, top), Origin(Path("/shop/compose.yaml"), {})).jobs
    answer = await teams.tries("POST", "/tasks/shop", dict(job.fields))
    if field is None:
        assert answer.status == 200
        assert (await teams.service_of(answer.json["jobUrl"]), answer.json["taskId"]) == (None, "shop")
    else:
        assert (answer.status, {fault["field"] for fault in answer.json["errors"]} >= {field}) == (403, True), answer.body
    assert (await teams.tries("POST", "/tasks/bank", dict(job.fields))).status == 403


@pytest.mark.parametrize(
    "labels",
    [
        {"fastlane.service": "bank_vault"},
        {"fastlane.image": "bank_vault:1"},
        {"fastlane.job.a.service": "bank_vault", "fastlane.job.a.cron": "@daily"},
        {"com.docker.stack.namespace": "bank"},
        {"com.docker.stack.namespace": "shop/../bank"},
        {"fastlane.container.networks": "bank_default"},
        {"fastlane.container.mounts": "bank_vault:/data"},
        {"fastlane.parameters.service.default": "bank_vault"},
        {"fastlane.name": "bank_vault"},
    ],
    ids=str,
)
async def test_labels_of_our_service_reach_nothing_of_it(teams: Teams, labels: dict[str, str]) -> None:
    swarm = Swarm(teams)
    swarm.deploy({"com.docker.stack.namespace": "shop", "fastlane.cron": "@daily", **labels})
    await swarm.look()
    jobs = await teams.store.jobs_of_services(10)
    assert {(job.task_id, job.spec.service) for job in jobs} <= {("shop", "shop_web")}
    assert await teams.store.job(declared_id(SWARM, "bank_vault", "")) is None


async def test_a_job_of_labels_cannot_be_turned_to_it(teams: Teams) -> None:
    swarm = Swarm(teams)
    swarm.deploy({"com.docker.stack.namespace": "shop", "fastlane.cron": "@daily"})
    await swarm.look()
    url = f"/tasks/shop/jobs/{declared_id(SWARM, 'shop_web', '')}/"
    for method in ("PUT", "PATCH"):
        assert (await teams.tries(method, url, VAULT)).status in (403, 409)
    assert await teams.service_of(url) == "shop_web"


async def test_a_job_after_one_of_theirs_tells_us_nothing_that_they_did_not_give(teams: Teams) -> None:
    """No name, id or guess of ours reaches their job. Where an administrator has linked ours to it, we learn that it ended, and its outputs
    without their secrets; and nothing that we do with ours holds theirs up, or shows them ours."""
    said = "::set-output rows=7\n::set-output copy=hunter2hunter2\n"
    body = {"image": "ubuntu", "name": "ledger", "manual": True, "command": ["out", said], "envs": {"PASSWORD": "hunter2hunter2"}}
    vault = (await teams.theirs("POST", "/tasks/bank", body)).json
    inner = (await teams.theirs("POST", "/tasks/bank", {"image": "ubuntu", "name": "sums", "after": "ledger"})).json
    ids = (vault["jobId"], inner["jobId"])
    for after in (*ids, "ledger", "bank/ledger", *(f"bank/{id}" for id in ids), *(f"shop/{id}" for id in ids), "bank/nothing", MADE_UP):
        tries = [("POST", "/tasks/shop"), ("POST", "/tasks/shop?dryRun=1"), *(("PUT", f"/tasks/shop/jobs/{id}?dryRun=1") for id in ids)]
        for method, path in tries:
            answer = await teams.tries(method, path, {"image": "ubuntu", "after": after})
            assert (answer.status, "there is no such job" in answer.json["detail"]) == (400, True), (method, path, after, answer.body)
    linked = {"image": "ubuntu", "name": "report", "after": "bank/ledger", "command": ["exit", "3"]}
    ours = (await teams.ask("POST", "/tasks/shop", json=linked, headers=bearer(ROOT))).json
    url = ours["jobUrl"]
    (theirs,) = (await teams.tries("GET", url + "chain")).json["follows"]
    assert (theirs["taskId"], theirs["name"], theirs["status"], theirs["gone"]) == (None, None, None, False)
    ran = (await teams.theirs("POST", f"{vault['jobUrl']}run")).json
    done = await teams.ends(ran, "done")
    (tick,) = await teams.ledger(Enqueued("shop", ours["jobId"], None, None), "started")
    made = await teams.reaches(Enqueued("shop", ours["jobId"], None, tick.execution_id), "failed")
    (order,) = [call.arguments[1] for call in teams.parked if call.arguments[1].execution_id == made.id]
    outputs = {name: text for name, text in order.upstream.items() if name.startswith("FASTLANE_OUTPUT_")}
    assert (outputs["FASTLANE_OUTPUT_ROWS"], "hunter2" in str(outputs)) == ("7", False)
    (wait,) = (await teams.tries("GET", url + "why")).json["waitingFor"]
    assert wait["message"] == f"it waits for the next success of the job {vault['jobId']} of a task that you may not see"
    ways = [url + path for path in ("", "why", "chain", "ticks", f"executions/{made.id}", "executions")]
    for path in (*ways, "/events", "/jobs", "/executions", "/failures", "/status", "/tasks"):
        answer = (await teams.tries("GET", path)).body
        assert [word for word in (b"ledger", b"hunter2", b"sums", vault["jobUrl"].encode()) if word in answer] == [], path
    for path in ("", "/log", "/why", "/following"):
        assert (await teams.tries("GET", f"{vault['jobUrl']}executions/{done.id}{path}")).status in (403, 404), path
    for path in ("chain", f"executions/{done.id}/following", "why", ""):
        answer = await teams.theirs("GET", vault["jobUrl"] + path)
        assert (answer.status, b"report" in answer.body, ours["jobId"].encode() in answer.body) == (200, False, False), path
    gone = await teams.theirs("DELETE", f"{vault['jobUrl']}?stop=1")
    assert (gone.status, ours["jobId"].encode() in gone.body) == (200, False), gone.body


async def test_a_calendar_names_our_jobs_behind_many_of_theirs_and_none_of_theirs(teams: Teams) -> None:
    as_root = bearer(ROOT)
    assert (await teams.ask("PUT", "/calendars/holidays", json={"dates": ["2026-12-25"]}, headers=as_root)).status == 200
    body = {"image": "ubuntu", "cron": "0 3 * * *", "skipDates": ["holidays"]}
    theirs = [(await teams.theirs("POST", "/tasks/bank", body)).json["jobId"] for _ in range(MOST_SHOWN + 1)]
    ours = (await teams.tries("POST", "/tasks/shop", body)).json["jobId"]
    seen = (await teams.tries("GET", "/calendars/holidays")).json
    assert ([job["jobId"] for job in seen["jobs"]], seen["usedBy"]) == ([ours], len(theirs) + 1)
    refused = await teams.ask("DELETE", "/calendars/holidays", headers=as_root)
    assert (refused.status, refused.json["detail"].count("bank/")) == (409, MOST_SHOWN)
