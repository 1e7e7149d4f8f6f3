"""The stack, deployed by the commands of docs/install.md on three nodes, with a registry of their own, and used as operators do.

MongoDB's own image cannot be had here: SecantusDB, a server of its protocol, stands in for it under its name
(``tests/support/stack/images.py``). The kernel has no IPVS: each node publishes the port itself, and a proxy stands in for the ingress.
"""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from standardwebhooks.webhooks import Webhook

from fastlane.client import Client
from tests.support.docs import ROOT, commands
from tests.support.followers import Received, Socket
from tests.support.images import BuiltImage
from tests.support.installation import LINGER
from tests.support.stack import receiver
from tests.support.stack.deployed import WEBHOOK_SECRET, Stack, three_nodes
from tests.support.stack.load import TASK
from tests.support.stack.migration import migration_held
from tests.support.stack.starts import Starts
from tests.support.waiting import LONG_PATIENCE, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1200)]

ROLES = ("api", "worker")
REFUSED = [
    "GET /containers/json",
    "POST /containers/create",
    "POST /v1.45/containers/abc/exec",
    "GET /containers/abc/archive?path=/etc/shadow",
    "GET /swarm",
    "POST /swarm/leave",
    "POST /secrets/create",
    "DELETE /secrets/fastlane_tokens",
    "POST /configs/create",
    "DELETE /configs/settings",
    "GET /volumes",
    "POST /volumes/create",
    "POST /networks/create",
    "POST /images/create?fromImage=x",
    "POST /images/create?fromSrc=-&repo=x",
    f"POST /images/create?fromImage=x&from%53rc=-&tag=sha256:{'0' * 64}",
    "POST /nodes/abc/update",
    "GET /services/x/../../containers/json",
    "PUT /services/create",
    "GET /events",
    "GET /events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D",
]
ASK = """
import http.client, sys
for line in sys.argv[1:]:
    method, path = line.split()
    connection = http.client.HTTPConnection("engine-2", 2375, timeout=10)
    connection.request(method, path)
    print(connection.getresponse().status)
"""
REACH = """
get() {{ wget -T 2 -qO /dev/null "http://$1" 2>/dev/null && echo "reached $1"; }}
for at in engine-1 engine-2 engine-3 {addresses}; do get $at:2375/version; done
get {node}:10000/livez
sleep 0.1
"""
MOST_STOPPED = {"api": 1, "worker": 0}
"""How many old processes an update stops before a new one is healthy: on these nodes, each API server needs a port of its node."""
HOLD = "trap 'echo bye; exit 5' TERM; echo begun; while :; do sleep 0.1; done"
HOW_TO_JOB = "19603668-7241-4c50-802f-7c39dac831e6"
NOW = """curl -XPOST -d'{"image": "ubuntu:latest", "command": "ls -lah"}' http://fastlane.local:10000/tasks/test-task"""
LATER = [
    NOW.replace("test-task", "test-scheduled-task").replace("}", f", {when}}}")
    for when in ('"startAt": 1645113692', '"startIn": "5m"', '"cron": "* * * * *"')
]
STOP = f"curl -XPOST http://fastlane.local:10000/tasks/test-scheduled-task/jobs/{HOW_TO_JOB}/stop"
LIST = "curl http://fastlane.local:10000/tasks/test-my-task"
READ = [f"curl -i http://fastlane.local:10000/tasks/test-my-task/jobs/{HOW_TO_JOB}/{stream}" for stream in ("stdout", "stderr")]
PAGE = f"curl http://fastlane.local:10000/tasks/test-scheduled-task/jobs/{HOW_TO_JOB}/stream"
SOCKET = f"ws://fastlane.local:10000/tasks/test-scheduled-task/jobs/{HOW_TO_JOB}/ws/"
"""What people type who know fastlane 2.x's how-to."""
AUTHORIZED = """curl -H "Authorization: Bearer $(sed -n 's/^token: *//p' token.txt)" """


@pytest.fixture(scope="module")
def stack(built_image: BuiltImage) -> Iterator[Stack]:
    """The stack as the page's commands leave it."""
    with three_nodes(built_image) as stack:
        stack.type_in("Prepare the swarm")
        stack.type_in("Deploy it", "IMAGE=")
        stack.until_up()
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


def ended(client: Client, reply: Any) -> Any:
    found = client.wait(reply["taskId"], reply["jobId"], reply["executionId"])
    assert (found["status"], found["exitCode"], found["attempt"]) == ("done", 0, 1), found
    return found


def ids(stack: Stack, role: str) -> set[str]:
    """The running containers of a service."""
    return {id for _node, id in stack.containers(role)}


def image_of(stack: Stack, role: str) -> str:
    words = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
    return stack.docker("service", "inspect", "-f", words, f"fastlane_{role}").partition("@")[0]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def execution(client: Client, reply: Any) -> Any:
    return client.executions.get(reply["taskId"], reply["jobId"], reply["executionId"])


def follow(stack: Stack, reply: Any) -> bytes:
    """All of a log, as one who follows it from its start to its end gets it."""
    with stack.client() as client:
        return b"".join(part.data for part in client.logs(reply["taskId"], reply["jobId"], reply["executionId"]))


def written(client: Client, reply: Any) -> bytes:
    return b"".join(part.data for part in client.logs(reply["taskId"], reply["jobId"], reply["executionId"], follow=False))


def test_the_page_s_commands_run_a_first_job(stack: Stack, client: Client) -> None:
    assert '"errors":[]' in stack.type_in("Deploy it", f"{AUTHORIZED}http")
    reply = json.loads(stack.type_in("Deploy it", f"{AUTHORIZED}\\").partition("\n")[0])
    ended(client, reply)
    assert client.run("first", image="ubuntu", command=["sh", "-c", f"echo two{LINGER}"]).stdout == b"two\n"
    assert "fastlane_api" in stack.type_in("Deploy it", "docker stack services")
    hosts = client.server.status()["hosts"]
    assert {(host["host"], host["available"]) for host in hosts} == {("engine-1", True), ("engine-2", True), ("engine-3", True)}


def test_the_curls_of_the_readme_work_against_the_stack(stack: Stack, client: Client) -> None:
    """As people type them, one after the other, with a login."""
    ran = client.submit("test-task", image="ubuntu", command=["sh", "-c", f"echo one{LINGER}"])
    ended(client, ran)
    scheduled = client.submit("test-scheduled-task", image="ubuntu", command="true", cron="0 0 1 1 *")
    script = [f"curl() {{ command curl -sS --fail-with-body -H 'Authorization: Bearer {stack.token}' \"$@\"; }}"]
    for command in commands(ROOT / "README.md"):
        if command.startswith("curl "):
            job = scheduled if "test-scheduled-task" in command else ran
            script.append(command.replace("http://localhost:10000", stack.url).replace("JOB-ID", str(job["jobId"])))
    assert len(script) > 25
    stack.shell("\n".join(script))


def typed(stack: Stack, command: str, reply: Any = None) -> str:
    """What a command of the how-to prints at this stack, about the job of a reply."""
    words = command.replace("http://fastlane.local:10000", stack.url)
    if reply is not None:
        words = (
            words.replace(HOW_TO_JOB, reply["jobId"])
            .replace("test-my-task", reply["taskId"])
            .replace("test-scheduled-task", reply["taskId"])
        )
    return stack.shell(words.replace("curl ", f"curl -sS --fail-with-body -H 'Authorization: Bearer {stack.token}' ", 1))


def test_what_people_type_from_the_how_to_works_with_the_ids_that_they_get(stack: Stack, client: Client) -> None:
    now, past, soon, cron = (json.loads(typed(stack, command)) for command in (NOW, *LATER))
    for reply in (now, past, soon, cron):
        assert (
            reply["jobUrl"] == f"{reply['taskUrl']}jobs/{reply['jobId']}/" == f"{stack.url}/tasks/{reply['taskId']}/jobs/{reply['jobId']}/"
        )
        assert json.loads(typed(stack, f"curl {reply['jobUrl']}"))["job"]["id"] == reply["jobId"]
    assert now["executionUrl"] == f"{now['jobUrl']}executions/{now['executionId']}/"
    assert [(reply["executionId"], reply["executionUrl"]) for reply in (past, soon, cron)] == [(None, None)] * 3
    assert len({reply["queueJobId"] for reply in (now, past, soon, cron)}) == 4

    ended(client, now)
    out, err = (typed(stack, command, now).replace("\r", "").partition("\n\n") for command in READ)
    assert "Fastlane-Exit-Code: 0" in out[0]
    assert "Fastlane-Exit-Code: 0" in err[0]
    assert " bin\n" in out[2]
    assert err[2] == ""
    wait_until(lambda: client.jobs.get(past["taskId"], past["jobId"])["job"]["status"] == "done", "the job of the past to run")
    assert client.jobs.get(soon["taskId"], soon["jobId"])["job"]["status"] == "scheduled"

    wait_until(lambda: client.jobs.get(cron["taskId"], cron["jobId"])["job"]["executionCount"], "the cron to fire", 2 * LONG_PATIENCE)
    assert "<html" in typed(stack, PAGE, cron)
    received = asyncio.run(socket(stack, SOCKET.replace(HOW_TO_JOB, cron["jobId"])))
    assert received.end == (1000, "done")
    assert " bin\n" in received.text
    assert json.loads(typed(stack, STOP, cron))["status"] == "stopped"
    listed = {job["id"]: job["status"] for job in json.loads(typed(stack, LIST, cron))["jobs"]}
    expected = {past["jobId"]: "done", soon["jobId"]: "scheduled", cron["jobId"]: "stopped"}
    assert expected.items() <= listed.items()  # other commands of these tests use the same task
    typed(stack, STOP, soon)


async def socket(stack: Stack, url: str) -> Received:
    """All that a socket gets until it is closed."""
    here = url.replace("ws://fastlane.local:10000", stack.url)
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {stack.token}"}) as session, Socket(session, here) as found:
        return await found.closed()


def test_the_filter_passes_on_what_fastlane_asks_for_and_nothing_else(stack: Stack) -> None:
    good = ["GET /version", "GET /v1.45/nodes", "GET /tasks", "GET /services", "GET /v1.45/info"]
    answers = stack.inside("worker", "python", "-c", ASK, *good, *REFUSED).stdout.split()
    assert answers == ["200"] * len(good) + ["403"] * len(REFUSED)
    absent = f"POST /images/create?fromImage=ubuntu&tag=sha256:{'0' * 64}"
    assert stack.inside("worker", "python", "-c", ASK, absent).stdout.split() not in (["403"], [])
    refused = [line for number in (1, 2, 3) for line in stack.logs(f"engine-{number}").splitlines() if " 403 " in line]
    assert len(refused) == len(REFUSED), "fastlane itself asked for something that the filter refuses"


def test_neither_a_job_nor_the_api_reaches_an_engine(stack: Stack, client: Client) -> None:
    addresses = [address for number in (1, 2, 3) for address in stack.addresses(f"engine-{number}")]
    assert len(addresses) == 3, "a filter is in the network of the workers and no other"
    node = stack.containers("api")[0][0].address
    script = REACH.format(addresses=" ".join(addresses), node=node)
    replies = [client.submit("reach", image="ubuntu", command=["sh", "-c", script]) for _ in range(6)]
    for reply in replies:
        ended(client, reply)
        assert written(client, reply) == b"reached %s:10000/livez\n" % node.encode(), "only the port that is published"
    answer = stack.inside("api", "python", "-c", ASK, "GET /version")
    assert answer.returncode != 0
    assert "gaierror" in answer.stderr


def told(stack: Stack) -> set[str]:
    """The executions of whose ends the receiver knows, by messages that the pool's secret has signed: each by one id."""
    events = [Webhook(WEBHOOK_SECRET).verify(one["body"], one["headers"]) for one in receiver.received(stack)]
    ids = {event["executionId"]: event["id"] for event in events}
    assert {(event["executionId"], event["id"]) for event in events} == set(ids.items())
    return set(ids)


def test_a_follower_goes_on_and_no_request_fails_through_killed_workers_and_a_rolling_update(stack: Stack, client: Client) -> None:
    """None of the requests has a second try. The update is a deployment, as the page types it: another image, and another setting."""
    webhooks = {"finishes": [{"url": receiver.URL}]}
    with Starts(stack.nodes) as starts, ThreadPoolExecutor() as pool, receiver.receiving(stack):
        script = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done"
        followed = client.submit("followed", image="ubuntu", command=["sh", "-c", script])
        whole = ["sh", "-c", "sleep 20; echo whole; sleep 0.1"]
        others = [client.submit("others", image="ubuntu", command=whole, webhooks=webhooks) for _ in range(8)]
        following = pool.submit(follow, stack, followed)
        try:
            wait_until(lambda: execution(client, followed)["status"] == "running", "the job to run")
            assert stack.killed("worker") == 2
            stack.push("2")
            stack.type_in("Upgrade it, change it", "mkdir", "cp ")
            stack.shell("sed -i '1i per_page = 20' local/fastlane.toml")
            with stack.load() as load:
                wait_until(lambda: load.answered > 100, "requests before the update")
                stack.type_in("Upgrade it, change it", "IMAGE=")
                stack.until_updated(*ROLES)
                after = load.answered + 100
                wait_until(lambda: load.answered > after, "requests after the update")
            assert load.failures == []
            for reply in others:
                ended(client, reply)
        finally:
            client.jobs.stop("followed", followed["jobId"])  # the follower ends with it
        text = following.result(LONG_PATIENCE)
        wait_until(lambda: told(stack) == {reply["executionId"] for reply in others}, "each end to be told")
    there = [urlsplit(job["url"]).path for job in client.tasks.jobs(TASK)]
    assert sorted(there) == sorted(load.accepted)
    assert text == written(client, followed)
    assert text.splitlines() == [b"line %d" % number for number in range(text.count(b"\n"))]
    assert {image_of(stack, role) for role in ROLES} == {f"{stack.image}:2"}
    assert stack.inside("worker", "head", "-n", "1", "/etc/fastlane/fastlane.toml").stdout == "per_page = 20\n"
    ours = {reply["executionId"] for reply in (followed, *others)}
    assert {id: starts.of[id] for id in ours} == dict.fromkeys(ours, 1)


def test_after_its_removal_and_a_new_deployment_history_and_schedules_are_there(stack: Stack, client: Client) -> None:
    done = client.submit("kept", image="ubuntu", command=["sh", "-c", f"echo before{LINGER}"])
    ended(client, done)
    cron = client.submit("kept", image="ubuntu", command="echo tick", cron="* * * * *")
    going = client.submit("kept", image="ubuntu", command=["sh", "-c", "sleep 45; echo through; sleep 0.1"])
    wait_until(lambda: execution(client, going)["status"] == "running", "the job to run")
    stack.removed()
    stack.type_in("Deploy it", "IMAGE=")
    stack.until_up()
    assert written(client, done) == b"before\n"
    ended(client, going)
    assert written(client, going) == b"through\n"
    wait_until(lambda: list(client.jobs.ticks("kept", cron["jobId"])), "a tick of the cron", 2 * LONG_PATIENCE)


@pytest.mark.repeated
def test_yesterday_s_backup_is_restored_and_what_it_has_goes_on(stack: Stack, client: Client) -> None:
    with Starts(stack.nodes) as starts:
        done = client.submit("backed-up", image="ubuntu", command=["sh", "-c", f"echo last week{LINGER}"])
        ended(client, done)
        cron = client.submit("backed-up", image="ubuntu", command="true", cron="0 0 1 1 *")
        going = client.submit("backed-up", image="ubuntu", command=["sh", "-c", HOLD])
        wait_until(lambda: execution(client, going)["status"] == "running", "the job to run")
        (at, _), *_ = stack.containers("worker")
        tasks = [row["taskId"] for row in client.tasks.list()]
        stack.type_in("Back it up", node=stack.nodes.index(at))
        since = client.submit("since", image="ubuntu", command="true")
        ended(client, since)

        stack.removed()
        wait_until(lambda: not stack.docker("ps", "-aq", "--filter", "volume=fastlane_mongo"), "the volumes to be free")
        stack.type_in("Restore a backup", "docker volume rm", "IMAGE=", "docker service scale fastlane_api=0", "docker service create")
        wait_until(lambda: "Complete" in stack.docker("service", "ps", "fastlane-import"), "the import", 4 * LONG_PATIENCE)
        said = stack.type_in("Restore a backup", "docker service logs")
        assert "Under way when it was exported" in said
        stack.type_in("Restore a backup", "docker service rm", "docker service scale fastlane_api=2")
        stack.until_up()
        assert client.server.status()["dispatch"]["paused"] is True
        waiting = client.submit("backed-up", image="ubuntu", command=["sh", "-c", f"echo on{LINGER}"])
        assert execution(client, waiting)["status"] == "enqueued"
        stack.type_in("Restore a backup", "curl ")
        ended(client, waiting)
        assert written(client, done) == b"last week\n"
        assert client.jobs.get("backed-up", cron["jobId"])["job"]["status"] == "scheduled"
        assert [row["taskId"] for row in client.tasks.list()] == tasks
        client.tasks.stop("backed-up")
        assert client.wait("backed-up", going["jobId"], going["executionId"])["status"] == "stopped"
        assert written(client, going) == b"begun\nbye\n"
    assert starts.of[going["executionId"]] == 1


@pytest.mark.repeated
def test_an_upgrade_with_a_hundred_jobs_under_way_loses_nothing_and_repeats_nothing(stack: Stack, client: Client) -> None:
    with Starts(stack.nodes) as starts:
        cron = client.submit("upgraded", image="ubuntu", command="echo tick", cron="* * * * *")
        script = ["sh", "-c", "sleep 120; echo whole; sleep 0.1"]
        replies = [client.submit("upgraded", image="ubuntu", command=script) for _ in range(100)]
        wait_until(lambda: client.server.status()["queues"]["default"]["running"] == 100, "the jobs to run", 4 * LONG_PATIENCE)
        stack.push("2")
        stack.type_in("Upgrade it, change it", "IMAGE=")
        stack.until_updated(*ROLES)
        for reply in replies:
            ended(client, reply)
            assert written(client, reply) == b"whole\n"
        client.jobs.pause("upgraded", cron["jobId"])
        ticks = list(client.jobs.ticks("upgraded", cron["jobId"]))
    ours = {reply["executionId"] for reply in replies} | {tick["execution"]["id"] for tick in ticks if tick["execution"]}
    assert {id: starts.of[id] for id in ours} == dict.fromkeys(ours, 1)
    due = sorted(moment(tick["due"]) for tick in ticks)
    assert [later - earlier for earlier, later in pairwise(due)] == [60] * (len(due) - 1)
    assert {image_of(stack, role) for role in ROLES} == {f"{stack.image}:2"}


@pytest.mark.repeated
def test_an_update_under_load_fails_no_request_and_loses_no_job(stack: Stack, client: Client) -> None:
    """None of the requests has a second try."""
    with stack.load() as load:
        wait_until(lambda: load.answered > 100, "requests before the update")
        before = {id for _node, id in stack.containers("api")}
        stack.docker("service", "update", "-d", "--force", "fastlane_api")
        stack.until_updated("api")
        after = load.answered + 100
        wait_until(lambda: load.answered > after, "requests after the update")
    assert not before & {id for _node, id in stack.containers("api")}
    assert load.failures == []
    there = {urlsplit(job["url"]).path for job in client.tasks.jobs(TASK)}
    assert there == set(load.accepted)
    assert len(there) == len(load.accepted)


@pytest.mark.repeated
def test_an_image_that_does_not_start_is_taken_back_while_jobs_go_on(stack: Stack, client: Client) -> None:
    before = image_of(stack, "worker")
    going = client.submit("going", image="ubuntu", command=["sh", "-c", "sleep 30; echo whole; sleep 0.1"])
    wait_until(lambda: execution(client, going)["status"] == "running", "the job to run")
    stack.push("broken", "ubuntu:latest")
    stack.docker("service", "update", "-d", "--image", f"{stack.image}:broken", "fastlane_worker")
    wait_until(lambda: stack.update_state("worker") == "rollback_completed", "the worker's rollback", 4 * LONG_PATIENCE)
    assert image_of(stack, "worker") == before
    ended(client, going)
    assert written(client, going) == b"whole\n"


@pytest.mark.repeated
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("secret", "words"), [("store", "the store refuses the login"), ("redis", "Redis refuses the login")])
def test_a_wrong_password_is_taken_back_and_nothing_that_worked_is_stopped(
    stack: Stack, client: Client, secret: str, words: str, role: str
) -> None:
    name, bad, working = f"fastlane_{secret}_url", f"fastlane_{secret}_wrong_{role}", ids(stack, role)
    wrong = {"store": "mongodb://fastlane:wrong@mongo/fastlane?replicaSet=fastlane&authSource=admin", "redis": "redis://:wrong@redis"}
    stack.shell(f"printf '%s' '{wrong[secret]}' | docker secret create {bad} -")
    changes = ("--secret-rm", name, "--secret-add", f"source={bad},target={name}")
    stack.docker("service", "update", "-d", *changes, f"fastlane_{role}")
    wait_until(lambda: stack.update_state(role) == "rollback_completed", f"the {role}'s rollback", 4 * LONG_PATIENCE)
    assert words in stack.logs(role)
    assert len(ids(stack, role) & working) >= len(working) - MOST_STOPPED[role]
    stack.until_up()
    ended(client, client.submit("after", image="ubuntu", command=["sh", "-c", f"echo on{LINGER}"]))


@pytest.mark.repeated
def test_while_the_store_is_brought_up_to_date_an_update_leaves_old_servers_that_serve(stack: Stack, client: Client) -> None:
    before = ids(stack, "api")
    with migration_held(stack):
        stack.docker("service", "update", "-d", "--force", "fastlane_api")
        waiting = "store.waiting_to_migrate"
        wait_until(lambda: stack.logs("api").count(waiting) >= 6, "a new server to wait for half a minute", 4 * LONG_PATIENCE)
        assert len(ids(stack, "api") & before) >= len(before) - MOST_STOPPED["api"]
        assert stack.update_state("api") == "updating"
        ended(client, client.submit("meanwhile", image="ubuntu", command=["sh", "-c", f"echo on{LINGER}"]))
    stack.until_updated("api")
    assert not ids(stack, "api") & before


@pytest.mark.repeated
def test_a_node_that_dies_takes_only_its_own_containers_with_it(stack: Stack, client: Client) -> None:
    """Its power fails: the engine and all containers are gone at once. It comes back later."""
    lost = stack.nodes[2]
    with Starts(stack.nodes[:2]) as starts:
        script = ["sh", "-c", "sleep 40; echo whole; sleep 0.1"]
        replies = [client.submit("spread", image="ubuntu", command=script, retries=1) for _ in range(9)]
        wait_until(lambda: all(execution(client, reply)["status"] == "running" for reply in replies), "the jobs to run")
        there = stack.executions_on(lost)
        theirs = [reply for reply in replies if reply["executionId"] in there]
        others = [reply for reply in replies if reply["executionId"] not in there]
        assert theirs
        assert others
        stack.power_off(lost)
        for reply in others:
            ended(client, reply)
            assert written(client, reply) == b"whole\n"
        stack.until_down(lost)
        for _ in range(3):
            ended(client, client.submit("meanwhile", image="ubuntu", command=["sh", "-c", f"echo on{LINGER}"]))
        lost.start()
        lost.mend()
        for reply in theirs:
            last = client.wait(reply["taskId"], reply["jobId"], reply["executionId"])
            first = execution(client, reply)
            assert (first["status"], first["failure"]["reason"] in ("killed", "host-lost")) == ("failed", True), first
            assert first["node"] == lost.name in first["failure"]["message"], first
            assert (last["status"], last["attempt"]) == ("done", 2), last
    assert {reply["executionId"]: starts.of[reply["executionId"]] for reply in others} == {reply["executionId"]: 1 for reply in others}
    assert set(starts.of.values()) == {1}
    stack.until_up()
