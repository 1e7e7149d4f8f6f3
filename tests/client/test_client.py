"""The Python client against a real server: what it asks, what comes back, and its errors as classes."""

import asyncio
from itertools import pairwise
from uuid import uuid4

import pytest
from aiohttp import web

from fastlane.client import (
    Address,
    AsyncClient,
    Changed,
    Client,
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    JobFailed,
    NotEnded,
    NotFastlane,
    NotFound,
    Unauthorized,
    Unreachable,
    WrongAddress,
)
from fastlane.models.pool import Pool
from tests.support.credentials import token, user
from tests.support.fastlane import IMAGE, Fastlane

COMMAND = ["out", "one\n", "err", "two\n", "hex", "ff00fe"]


async def test_a_run_gives_both_streams_and_the_exit_code(crewed_client):
    done = await crewed_client.run("task", image=IMAGE, command=[*COMMAND, "exit", "3"])
    assert (done.stdout, done.stderr, done.exit_code, done.ok) == (b"one\n\xff\x00\xfe", b"two\n", 3, False)
    with pytest.raises(JobFailed, match="exit code 3"):
        done.check()


async def test_a_run_of_a_job_that_is_retried_is_its_last_attempt(crewed_client):
    heard = []
    done = await crewed_client.run(
        "task", image=IMAGE, command=["out", "x", "exit", "1"], retries=1, retryDelay="1s", on_output=heard.append
    )
    assert (done.stdout, done.execution["attempt"], len(heard)) == (b"x", 2, 2)


async def test_a_run_that_never_starts_ends_with_its_failure(crewed):
    crewed.executor._missing = frozenset({"none:1"})
    async with AsyncClient(crewed.base) as client:
        done = await client.run("task", image="none:1")
    assert (done.execution["status"], done.exit_code, done.stdout) == ("failed", None, b"")
    with pytest.raises(JobFailed, match="not found"):
        done.check()


async def test_waiting_ends_with_the_job_or_with_its_time(crewed, crewed_client):
    reply = await crewed_client.submit("task", image=IMAGE, command=["hold"])
    with pytest.raises(TimeoutError) as late:
        await crewed_client.wait("task", reply["jobId"], reply["executionId"], timeout=0.3)
    assert isinstance(late.value, NotEnded)
    assert (late.value.job, late.value.execution) == (reply["jobId"], reply["executionId"])
    waiting = asyncio.create_task(crewed_client.wait("task", reply["jobId"], reply["executionId"]))
    await crewed_client.jobs.stop("task", reply["jobId"])
    assert (await waiting)["status"] == "stopped"


async def test_a_run_that_takes_longer_than_one_waits_names_its_job(crewed_client):
    with pytest.raises(NotEnded, match="has not ended in time") as late:
        await crewed_client.run("task", image=IMAGE, command=["out", "so far\n", "hold"], wait_for=2)
    error = late.value
    (row,) = [row async for row in crewed_client.jobs.list()]
    assert (error.task, error.job, error.execution) == ("task", row["id"], row["lastExecution"]["executionId"])
    assert error.stdout in (b"so far\n", b"")  # it may not have started
    assert (await crewed_client.jobs.stop(error.task, error.job))["status"] in ("pulling", "running", "stopped")


async def test_a_job_that_runs_everywhere_is_not_made_by_a_run_which_waits_for_one_end(crewed_client):
    with pytest.raises(ClientError, match="runs everywhere cannot be waited for; submit it instead"):
        await crewed_client.run("task", image=IMAGE, everywhere="swarms")
    assert [row async for row in crewed_client.jobs.list()] == []


async def test_a_run_whose_server_goes_away_names_its_job(server):
    async with AsyncClient(server.base, patience=0.1) as client:
        running = asyncio.create_task(client.run("task", image=IMAGE))
        await server.until(lambda: jobs_of(server), "the job to be made")
        await server.close_server(0)
        with pytest.raises(ClientError) as lost:
            await running
    assert "the job is task/" in "".join(lost.value.__notes__)


async def jobs_of(server):
    return (await server.get("/jobs")).json["items"]


async def test_parts_of_a_log_health_and_figures_have_methods(server, client):
    reply = await server.run_to_end("task", (1, b"one\ntwo\n"), (2, b"err\n"))
    job, execution = reply["jobId"], reply["executionId"]
    assert await client.jobs.stdout("task", job, tail=1) == b"two\n"
    assert await client.jobs.stderr("task", job) == b"err\n"
    assert await client.executions.stdout("task", job, execution) == b"one\ntwo\n"
    assert await client.executions.stderr("task", job, execution, since="1h") in (b"err\n", b"")
    assert (await client.tasks.get("task"))["jobs"][0]["id"] == job
    assert (await client.jobs.preview_patch("task", job, {"timeout": "5m"}))["spec"]["timeout"] == 300
    health = await client.server.health()
    assert (health["store"], health["workers"], bool(health["errors"])) == (True, False, True)
    assert (await client.server.alive(), await client.server.ready()) != (None, None)
    assert "fastlane_" in await client.server.metrics()
    assert (await client.server.openapi())["openapi"] == "3.1.0"
    assert (await client.executions.ticket("task", job, execution))["ticket"]


async def test_the_client_without_asyncio_does_the_same(crewed):
    def work():
        with Client(crewed.base) as client:
            done = client.run("task", image=IMAGE, command=COMMAND).check()
            reply = client.submit("task", image=IMAGE, command=COMMAND)
            client.wait("task", reply["jobId"], reply["executionId"])
            logs = b"".join(output.data for output in client.logs("task", reply["jobId"]))
            return done.stdout, logs, [row["id"] for row in client.jobs.list(task="task")]

    stdout, logs, jobs = await asyncio.to_thread(work)
    assert (stdout, logs) == (b"one\n\xff\x00\xfe", b"one\ntwo\n\xff\x00\xfe")
    assert len(jobs) == 2


async def test_a_job_is_made_read_changed_and_removed(client):
    id = str(uuid4())
    made = await client.jobs.put("task", id, {"image": IMAGE, "cron": "0 3 * * *", "labels": {"team": "data"}})
    assert made["jobId"] == id
    read = await client.jobs.get_with_etag("task", id)
    assert read.body["job"]["schedule"]["cron"] == "0 3 * * *"
    await client.jobs.patch("task", id, {"timeout": "5m"}, if_match=read.etag)
    with pytest.raises(Changed):
        await client.jobs.patch("task", id, {"timeout": "6m"}, if_match=read.etag)
    assert (await client.jobs.pause("task", id))["status"] == "paused"
    assert (await client.jobs.resume("task", id))["status"] == "scheduled"
    assert [wait["reason"] for wait in (await client.jobs.why("task", id))["waitingFor"]] == ["due"]
    with pytest.raises(Conflict):
        await client.jobs.delete("task", id)
    assert (await client.jobs.delete("task", id, stop=True))["deleted"]
    with pytest.raises(NotFound):
        await client.jobs.get("task", id)


async def test_lists_are_walked_to_their_end(server, client):
    ids = [(await server.enqueue("many"))["jobId"] for _ in range(103)]
    assert [row["id"] async for row in client.jobs.list(task="many")] == ids[::-1]
    assert [row["id"] async for row in client.tasks.jobs("many")] == ids[::-1]
    assert [row["taskId"] async for row in client.tasks.list()] == ["many"]
    assert [row["taskId"] async for row in client.tasks.search("man")] == ["many"]
    assert len([row async for row in client.executions.list(status="enqueued")]) == 103


async def test_a_preview_makes_nothing(client):
    preview = await client.preview("task", image=IMAGE, cron="0 3 * * 1")
    assert len(preview["nextRuns"]) == 5
    assert all(first < second for first, second in pairwise(preview["nextRuns"]))
    assert [row async for row in client.tasks.list()] == []


async def test_the_server_is_asked_how_it_is_and_told_to_wait(client):
    assert (await client.server.status())["fastlane"]["executor"] == "swarm"
    assert [pool["name"] for pool in await client.server.pools()] == ["fast", "default"]
    assert (await client.server.pause_pool("fast"))["paused"]
    assert not (await client.server.resume_pool("fast"))["paused"]
    with pytest.raises(Conflict):
        await client.server.reload_pools()
    assert (await client.server.pause_dispatch())["paused"]
    assert not (await client.server.resume_dispatch())["paused"]


async def test_hosts_are_registered_drained_and_removed(shared_redis, tmp_path):
    pools, users = (Pool("default", "", (), insecure=True, register=("h:*",)),), (token("ops", "fl_secret", "admin"),)
    async with (
        Fastlane(tmp_path, shared_redis.url, pools=pools, tokens=users) as server,
        AsyncClient(server.base, token="fl_secret") as client,
    ):
        made = await client.server.register_host("h:2375", "default", weight=2)
        assert (made["weight"], made["maxRunning"]) == (2, None)
        assert await client.server.hosts() == [made]
        assert (await client.server.drain_host("h:2375"))["blacklisted"]
        assert not (await client.server.undrain_host(made["id"]))["blacklisted"]
        assert (await client.server.remove_host("h:2375", force=True))["removed"]
        assert await client.server.hosts() == []


async def test_a_name_that_needs_quoting_stays_one(server, client):
    name = "a b?c#d%2F&ü"
    reply = await client.submit(name, image=IMAGE)
    assert reply["taskId"] == name
    assert (await client.jobs.get(name, reply["jobId"]))["task"]["id"] == name


async def test_a_bad_request_names_every_field(client):
    with pytest.raises(Invalid) as refused:
        await client.submit("task", image="A B", retries=-1)
    assert {field for field, _ in refused.value.faults} == {"image", "retries"}
    assert "retries: " in str(refused.value)


async def test_who_asks_is_checked(shared_redis, tmp_path):
    access = {"users": (user("anna", "secret", "read"),), "tokens": (token("ci", "fl_ci"),)}
    async with Fastlane(tmp_path, shared_redis.url, **access) as server:
        async with AsyncClient(server.base) as client:
            with pytest.raises(Unauthorized):
                await client.server.status()
        async with AsyncClient(server.base, token="fl_ci") as client:
            await client.submit("task", image=IMAGE)
        async with AsyncClient(Address(server.base, user="anna", password="secret")) as client:
            with pytest.raises(Forbidden):
                await client.submit("task", image=IMAGE)
            assert [row["taskId"] async for row in client.tasks.list()] == ["task"]
        async with AsyncClient(server.base.replace("//", "//anna:secret@")) as client:
            assert [row["taskId"] async for row in client.tasks.list()] == ["task"]


async def test_a_server_that_is_not_there_is_said_so_at_once(unused_tcp_port):
    async with AsyncClient(f"http://anna:secret@127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(Unreachable, match="cannot be reached: ") as failed:
            await client.server.status()
    assert "secret" not in str(failed.value)


async def test_what_is_not_fastlane_is_said_so(unused_tcp_port):
    async def hello(request):
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hello)
    site = web.AppRunner(app)
    await site.setup()
    await web.TCPSite(site, "127.0.0.1", unused_tcp_port).start()
    async with AsyncClient(f"http://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(NotFastlane, match="check the server's URL"):
            await client.server.status()
    await site.cleanup()


@pytest.mark.parametrize("url", ["", "fastlane:10000", "ftp://fastlane", "http://", "http://h:port"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(WrongAddress):
        Client(url)


def test_a_token_with_a_line_end_is_refused_before_it_is_sent():
    with pytest.raises(WrongAddress, match="characters"):
        Client("http://localhost", token="a\nb")


def test_the_address_comes_from_the_environment(tmp_path):
    (tmp_path / "token").write_text("fl_x\n")
    address = Address.of_environment({"FASTLANE_URL": "http://h:1", "FASTLANE_TOKEN_FILE": str(tmp_path / "token")})
    assert (address.url, address.token) == ("http://h:1", "fl_x")
    assert "fl_x" not in repr(address)
    assert Address.of_environment({}).url == "http://127.0.0.1:10000"
