"""``resources`` and ``container`` over HTTP: what a pool's policy and limits let a job have, and what the answers say."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from fastlane.models.container import Container, Policy, Resources, Secret
from fastlane.models.pool import Pool
from tests.http.test_openapi import check_answers
from tests.support.fastlane import HOST, Fastlane
from tests.support.policies import EVERYTHING

OK = {"image": "ubuntu:latest"}
LIMITS = Resources(cpus=2, memory=2**30, pids=100)
POOLS = (
    Pool("wide", "wide", (HOST,), policy=EVERYTHING),
    Pool("some", "some", (HOST,), policy=Policy(mounts=("/srv/data/", "volume:cache-*:ro"), networks=("backend",), stop_grace=60_000)),
    Pool("small", "small", (HOST,), limits=LIMITS),
    Pool("default", "", (HOST,)),
)
ASKED = {
    "user": "1000:1000",
    "workdir": "/srv",
    "init": False,
    "stopSignal": "SIGINT",
    "stopGrace": "30s",
    "mounts": ["/srv/data/x:/data:ro"],
    "networks": ["backend"],
    "secrets": [{"name": "db-password", "target": "password"}],
    "constraints": ["node.role==worker"],
    "extraHosts": {"db.internal": "10.0.0.7"},
    "hostname": "worker",
    "dns": ["10.0.0.53"],
    "capAdd": ["NET_ADMIN"],
    "sysctls": {"net.core.somaxconn": "1024"},
    "ulimits": {"nofile": {"soft": 1024, "hard": 2048}},
}
FREE = {"entrypoint": ["sh", "-c"], "readOnly": True, "capDrop": ["ALL"]}
"""What every job may ask for."""
SHOWN = ASKED | FREE | {"mounts": [{"type": "bind", "source": "/srv/data/x", "target": "/data", "readOnly": True, "size": None}]}
NOTHING = {
    **dict.fromkeys(ASKED | FREE),
    **{name: [] for name in ("mounts", "networks", "secrets", "constraints", "dns", "capAdd", "capDrop")},
    **{name: {} for name in ("extraHosts", "sysctls", "ulimits")},
}


@pytest.fixture
async def server(shared_redis, tmp_path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, pools=POOLS) as server:
        yield server


def refused(answer) -> dict[str, str]:
    """What a policy or a limit refused: messages by field."""
    assert answer.status == 403, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["error"] == answer.json["detail"]
    return {fault["field"]: fault["message"] for fault in answer.json["errors"]}


async def spec_of(server: Fastlane, reply) -> dict:
    return (await server.get(reply["jobUrl"])).json["job"]["spec"]


# the policy


@pytest.mark.parametrize("option", ASKED)
async def test_each_option_is_403_by_default_and_the_answer_names_the_pool_and_what_it_allows(server, option):
    body = OK | {"container": {option: ASKED[option]}}
    for answer in (await server.post("/tasks/task", body), await server.put(f"/tasks/task/jobs/{uuid4()}", body)):
        (message,) = (found := refused(answer)).values()
        assert found.keys() == {f"container.{option}"}
        assert f"the policy of pool 'default' does not allow it (it allows no {option})" in message
    assert (await server.get("/tasks/task")).status == 404


@pytest.mark.parametrize("option", ASKED)
async def test_each_option_is_had_where_the_policy_allows_it_and_stored_and_shown(server, option):
    reply = await server.enqueue("wide", container={option: ASKED[option]})
    assert (await spec_of(server, reply))["container"] == NOTHING | {option: SHOWN[option]}
    execution = await server.execution(reply)
    assert execution.spec.container != Container()


@pytest.mark.parametrize("option", FREE)
async def test_what_takes_no_right_from_others_is_had_by_default(server, option):
    reply = await server.enqueue(container={option: FREE[option]})
    assert (await spec_of(server, reply))["container"] == NOTHING | {option: FREE[option]}


async def test_an_entry_point_beside_a_service_needs_the_policy(shared_redis, tmp_path):
    body = {"service": "shop_web", "container": {"entrypoint": "sh -c"}}
    pool = Pool("default", "", (HOST,), services=("shop_*",))
    async with Fastlane(tmp_path / "a", shared_redis.url, pools=(pool,)) as server:
        found = refused(await server.post("/tasks/task", body))
        assert "the policy of pool 'default' allows no entrypoint there; leave it out, or ask" in found["container.entrypoint"]
        assert found.keys() == {"container.entrypoint"}
        assert (await server.post("/tasks/task", {"image": "ubuntu", "container": body["container"]})).status == 200
    async with Fastlane(tmp_path / "b", shared_redis.url, pools=(replace(pool, policy=Policy(entrypoint=True)),)) as server:
        assert (await server.post("/tasks/task", body)).status == 200


async def test_all_that_is_refused_is_told_in_one_answer(server):
    found = refused(await server.post("/tasks/task", OK | {"container": ASKED}))
    assert found.keys() == {f"container.{option}" for option in ASKED}
    found = refused(await server.post("/tasks/some", OK | {"container": ASKED}))
    assert found.keys() == {f"container.{option}" for option in ASKED.keys() - {"mounts", "networks", "stopGrace"}}


async def test_what_stands_in_a_body_is_read_before_the_policy_is_asked(server):
    answer = await server.post("/tasks/task", {"image": "UPPER", "container": ASKED | {"user": "a b"}, "resources": {"cpus": 0}})
    assert answer.status == 400
    assert {fault["field"] for fault in answer.json["errors"]} == {"image", "container.user", "resources.cpus"}


async def test_a_body_that_asks_for_nothing_passes_every_policy(server):
    reply = await server.enqueue(container={"mounts": [], "user": None, "extraHosts": {}}, resources={}, additionalDNSEntries={})
    spec = await spec_of(server, reply)
    assert (spec["container"], spec["resources"]) == (None, None)


WAYS_OUT = [
    "/etc",
    "/srv",
    "/srv/data",
    "/srv/data/",
    "/srv/data2/x",
    "/SRV/data/x",
    "/srv/d\u0430ta/x",
    "/srv\u2215data/x",
    "/var/run/docker.sock",
]
NO_PATHS = [
    *("/srv/data/../..", "/srv/data/x/../../../etc", "/srv/data/./x", "//srv/data/x", "/srv//data/x", "/srv/data//x", "/srv/data/x/.."),
    *("/srv/data/\n", "/srv/data/x\n../etc", "/srv/data/x:/etc", "/srv/data/x:ro", '/srv/data/{{"\\x2e\\x2e"}}/etc', "srv/data/x", ""),
]


@pytest.mark.parametrize("source", WAYS_OUT)
async def test_no_path_but_those_below_is_allowed_by_a_path_with_a_slash(server, source):
    mount = {"type": "bind", "source": source, "target": "/x"}
    assert refused(await server.post("/tasks/some", OK | {"container": {"mounts": [mount]}})).keys() == {"container.mounts"}
    both = [mount, {"type": "bind", "source": "/srv/data/x", "target": "/y"}]
    assert refused(await server.post("/tasks/some", OK | {"container": {"mounts": both}})).keys() == {"container.mounts"}


@pytest.mark.parametrize("source", NO_PATHS)
async def test_what_could_mean_another_path_is_no_path_whatever_the_policy_allows(server, source):
    mount = {"type": "bind", "source": source, "target": "/x"}
    for task in ("some", "wide", "task"):
        answer = await server.post(f"/tasks/{task}", OK | {"container": {"mounts": [mount]}})
        assert answer.status == 400
        assert [fault["field"] for fault in answer.json["errors"]] == ["container.mounts.0.source"]


@pytest.mark.parametrize(
    ("mount", "status"),
    [
        ("/srv/data/x:/x", 200),
        ("/srv/data/x/y/:/x:ro", 200),
        ("cache-a:/x:ro", 200),
        ("cache-a:/x", 403),
        ("cache:/x:ro", 403),
        ({"type": "volume", "source": "cache-a", "target": "/x", "readOnly": True}, 200),
        ({"type": "volume", "source": "cache-a", "target": "/x", "readOnly": False}, 403),
        ({"type": "tmpfs", "target": "/x"}, 403),
    ],
)
async def test_mounts_are_had_by_their_patterns(server, mount, status):
    assert (await server.post("/tasks/some", OK | {"container": {"mounts": [mount]}})).status == status


async def test_a_refusal_says_what_is_refused_and_what_is_allowed(server):
    asked = {"networks": ["backend", "host"], "stopGrace": "2m", "mounts": ["/etc:/x", "/srv/data/a:/a"]}
    found = refused(await server.post("/tasks/some", OK | {"container": asked}))
    assert "asks for 'host': the policy of pool 'some' does not allow it (it allows backend)" in found["container.networks"]
    assert "asks for '2m': the policy of pool 'some' does not allow it (it allows 1m at most)" in found["container.stopGrace"]
    assert "asks for '/etc': " in found["container.mounts"]
    assert "(it allows /srv/data/, volume:cache-*:ro)" in found["container.mounts"]


# limits


async def test_more_than_a_limit_is_403_and_no_more_is_not(server):
    most = {"cpus": 2, "memory": "1g", "pids": 100, "reserve": {"cpus": 2, "memory": "1GiB"}}
    assert (await server.post("/tasks/small", OK | {"resources": most})).status == 200
    found = refused(await server.post("/tasks/small", OK | {"resources": {"cpus": 2.5, "memory": "2g", "pids": 101}}))
    assert found.keys() == {"resources.cpus", "resources.memory", "resources.pids"}
    assert "the limits of pool 'small' allow (1GiB)" in found["resources.memory"]
    found = refused(await server.post("/tasks/small", OK | {"resources": {"reserve": {"cpus": 3, "memory": "2g"}}}))
    assert found.keys() == {"resources.reserve.cpus", "resources.reserve.memory"}
    assert (await server.post("/tasks/task", OK | {"resources": {"cpus": 64, "memory": "1024g"}})).status == 200


async def test_the_policy_and_the_limits_are_told_together(server):
    found = refused(await server.post("/tasks/small", OK | {"resources": {"cpus": 3}, "container": {"user": "app"}}))
    assert found.keys() == {"resources.cpus", "container.user"}


async def test_what_a_job_does_not_ask_for_stays_open_in_its_spec(server):
    reply = await server.enqueue("small", resources={"cpus": 0.5})
    asked = {"cpus": 0.5, "memory": None, "pids": None, "reserve": {"cpus": None, "memory": None}}
    assert (await spec_of(server, reply))["resources"] == asked
    assert (await server.execution(reply)).spec.resources == Resources(cpus=0.5)


# a dry run


async def test_a_dry_run_shows_what_the_container_would_get(server):
    body = OK | {"resources": {"cpus": 0.5, "reserve": {"memory": "64m"}}}
    preview = (await server.post("/tasks/small?dryRun=1", body)).json
    kept = {"cpus": None, "memory": 2**26}
    assert preview["resources"] == {"cpus": 0.5, "memory": 2**30, "pids": 100, "reserve": kept}
    assert preview["spec"]["resources"] == {"cpus": 0.5, "memory": None, "pids": None, "reserve": kept}
    assert (await server.post("/tasks/small?dryRun=1", OK)).json["resources"]["pids"] == 100
    assert (await server.post("/tasks/task?dryRun=1", OK)).json["resources"] is None


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ({"cpus": 1000}, "has no node with 1000 processors: its largest has 2"),
        ({"reserve": {"cpus": 2.5}}, "has no node with 2.5 processors: its largest has 2"),
        ({"reserve": {"memory": "16g"}}, "has no node with 16.0 GiB of memory: its largest has 8.0 GiB"),
        ({"cpus": 2, "memory": "16g", "reserve": {"memory": "8g"}}, None),
    ],
)
async def test_a_dry_run_says_that_no_node_is_large_enough(server, resources, reason):
    await server.report_worker(node_cpus=2.0, node_memory=8 << 30)
    (host,) = (await server.post("/tasks/task?dryRun=1", OK | {"resources": resources})).json["hosts"]
    assert host == {"host": HOST, "usable": reason is None, "reason": reason}


async def test_a_dry_run_is_refused_as_the_job_would_be(server):
    body = OK | {"container": {"user": "app"}, "resources": {"cpus": 3}}
    assert refused(await server.post("/tasks/small?dryRun=1", body)).keys() == {"container.user", "resources.cpus"}
    preview = (await server.post("/tasks/wide?dryRun=1", OK | {"container": ASKED | FREE})).json
    assert preview["spec"]["container"] == SHOWN


# there and back


async def test_a_spec_that_is_shown_can_be_posted_again(server):
    resources = {"cpus": 1.5, "memory": "512m", "pids": 200, "reserve": {"cpus": 1, "memory": "4MiB"}}
    mounts = [*ASKED["mounts"], "cache:/cache", {"type": "tmpfs", "target": "/tmp", "size": "64m"}]
    first = await server.enqueue("wide", container=ASKED | FREE | {"mounts": mounts}, resources=resources)
    shown = await spec_of(server, first)
    second = await server.enqueue("wide", container=shown["container"], resources=shown["resources"])
    assert (await server.execution(second)).spec == (await server.execution(first)).spec
    assert await spec_of(server, second) == shown


async def test_a_put_is_under_the_policy_too_and_changes_nothing_when_it_is_refused(server):
    url = f"/tasks/some/jobs/{uuid4()}"
    await server.put(url, OK | {"container": {"networks": ["backend"]}, "startIn": "1h"})
    assert refused(await server.put(url, OK | {"container": {"networks": ["host"]}})).keys() == {"container.networks"}
    job = (await server.get(url)).json["job"]
    assert (job["spec"]["container"]["networks"], job["scheduled"], job["executionCount"]) == (["backend"], True, 0)


# keys


async def test_a_refusal_leaves_no_record(server):
    key = {"Idempotency-Key": "once"}
    assert (await server.post("/tasks/task", OK | {"container": {"user": "app"}}, headers=key)).status == 403
    answer = await server.post("/tasks/task", OK, headers=key)
    assert (answer.status, "Idempotent-Replayed" in answer.headers) == (200, False)


async def test_what_was_accepted_is_answered_again_whatever_the_policy_says_by_now(server, shared_redis, tmp_path):
    key, body = {"Idempotency-Key": "once"}, OK | {"container": {"user": "app"}}
    first = await server.post("/tasks/wide", body, headers=key)
    async with Fastlane(tmp_path, shared_redis.url, pools=(narrowed(POOLS[0]),)) as other:
        again = await other.post("/tasks/wide", body, headers=key)
        assert (again.status, again.headers["Idempotent-Replayed"], again.json["jobId"]) == (200, "true", first.json["jobId"])
        assert (await other.post("/tasks/wide", body)).status == 403


# a policy that became narrower


def narrowed(pool: Pool) -> Pool:
    return replace(pool, policy=Policy(), limits=Resources(cpus=1))


@pytest.mark.parametrize("asked", [{"container": {"user": "app"}}, {"resources": {"cpus": 2}}])
async def test_run_and_retry_are_refused_once_the_pool_no_longer_allows_what_the_job_asks_for(server, shared_redis, tmp_path, asked):
    reply = await server.enqueue("wide", **asked)
    await server.end(await server.run(reply))
    async with Fastlane(tmp_path, shared_redis.url, pools=(narrowed(POOLS[0]),)) as other:
        for verb in ("run", "retry"):
            answer = await other.post(f"/tasks/wide/jobs/{reply['jobId']}/{verb}")
            assert "pool 'wide'" in " ".join(refused(answer).values())
        assert (await other.get(f"/tasks/wide/jobs/{reply['jobId']}")).json["job"]["executionCount"] == 1
        assert (await other.post(f"/tasks/wide/jobs/{uuid4()}/run")).status == 404
    for verb in ("run", "retry"):
        answer = await server.post(reply["jobUrl"] + verb)
        assert answer.status == 200
        await server.end(await server.run(answer.json))


async def test_what_runs_by_hand_runs_as_it_was_asked_for(server):
    reply = await server.enqueue("wide", container=ASKED, resources={"cpus": 1})
    await server.end(await server.run(reply))
    again = (await server.post(reply["jobUrl"] + "retry")).json
    spec = (await server.execution(again)).spec
    assert (spec.container.secrets, spec.resources) == ((Secret("db-password", "password"),), Resources(cpus=1))


# the name of 2.x


async def test_a_body_of_2_x_with_dns_entries_is_taken_where_the_policy_allows_it(server):
    body = OK | {"command": "ls", "additionalDNSEntries": {"db": "10.0.0.7"}}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = (await server.post("/tasks/wide/", body, headers=form)).json
    assert (await spec_of(server, reply))["container"]["extraHosts"] == {"db": "10.0.0.7"}
    assert refused(await server.post("/tasks/task/", body, headers=form)).keys() == {"container.extraHosts"}


# the document


async def test_answers_and_refusals_are_as_the_document_says(shared_redis, tmp_path):
    async with Fastlane(tmp_path, shared_redis.url, pools=POOLS) as server:
        await check_answers(server)
        bodies = [{"container": ASKED}, {"container": {"user": "app"}}, {"resources": {"cpus": 0.5, "reserve": {"cpus": 0.1}}}]
        for fields in bodies:
            reply = await server.enqueue("wide", **fields)
            assert (await server.get(reply["jobUrl"])).status == 200
            assert (await server.post("/tasks/wide?dryRun=1", OK | fields)).status == 200
            await server.post("/tasks/small?dryRun=1", OK | fields)
            assert (await server.put(reply["jobUrl"], OK | fields)).status == 200
        assert (await server.post("/tasks/task", OK | bodies[0])).status == 403
        assert (await server.put(f"/tasks/task/jobs/{uuid4()}", OK | bodies[0])).status == 403
        assert (await server.post("/tasks/task", OK | {"container": 1})).status == 400
