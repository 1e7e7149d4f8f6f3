"""Outages of the stack on three nodes, with its Prometheus: for each, what an operator reads names the cause.

What is read: ``/healthcheck``, ``/status`` and events of an API server, the figures that Prometheus has and the alerts that it fires. The
stand-ins are those of ``test_stack.py``; Prometheus is Debian's. Each cause is to be named, and its alert to fire, within a minute;
``test_alert_rules.py`` tests the rules themselves.
"""

import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastlane.client import Client
from tests.support.images import BuiltImage
from tests.support.installation import LINGER
from tests.support.stack.deployed import WATCHED, Stack, three_nodes
from tests.support.stack.migration import migration_held
from tests.support.waiting import LONG_PATIENCE, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(1500)]

log = logging.getLogger(__name__)
"""Says how long things took; pytest shows it with ``--log-cli-level=INFO``."""
TOLD_WITHIN = 60.0
"""Seconds in which an operator is told: figures are read and rules evaluated every 15 s, and these rules wait for 15 s."""
OVER_WITHIN = 4 * LONG_PATIENCE
"""Seconds for what is no outage: a deadline, not a measurement."""
QUICK = ["sh", "-c", f"echo on{LINGER}"]
REFUSED = '{"image": "ubuntu"}'
FULL = 'REDISCLI_AUTH="$(cut -d" " -f2 /run/secrets/fastlane_redis)" redis-cli config set maxmemory '


@pytest.fixture(scope="module")
def stack(built_image: BuiltImage) -> Iterator[Stack]:
    """The stack with its Prometheus, as the page's commands leave it."""
    with three_nodes(built_image, WATCHED) as stack:
        stack.type_in("Prepare the swarm")
        stack.push("2")
        stack.type_in("Watch it with Prometheus")
        stack.until_up()
        wait_until(lambda: asked(stack, "count(up == 1) == 4"), "Prometheus to read all four processes", OVER_WITHIN)
        until_over(stack, "FastlaneNoServer")
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    with stack.client() as client:
        yield client


def asked(stack: Stack, query: str) -> dict[str, float]:
    """What Prometheus answers: the values by the labels, as it writes them."""
    said = stack.inside("prometheus", "promtool", "query", "instant", "http://localhost:9090", query).stdout
    return {labels: float(value) for labels, value in re.findall(r"^(.*?) ?=> (\S+) @", said, re.MULTILINE)}


def firing(stack: Stack) -> set[str]:
    """The names of the alerts that fire."""
    return {name for labels in asked(stack, 'ALERTS{alertstate="firing"}') for name in re.findall('alertname="([^"]+)"', labels)}


def health(stack: Stack) -> dict[str, str]:
    """What is wrong, by its source, as the API servers say; ``start``: why one of them serves nothing yet."""
    found: dict[str, str] = {}
    for node, _ in stack.containers("api"):
        said = stack.shell(f'curl -s -m 8 -H "Authorization: Bearer {stack.token}" http://{node.address}:10000/healthcheck || true')
        answer = json.loads(said) if said.strip() else {}
        found |= {"start": answer["detail"]} if "detail" in answer else {}
        found |= {error["source"]: error["message"] for error in answer.get("errors", ())}
    return found


def until_told(stack: Stack, source: str, words: str, *alerts: str) -> dict[str, str]:
    """Returns what health says once it names the cause, and these alerts fire."""
    began = time.monotonic()
    said: dict[str, str] = {}

    def is_said() -> dict[str, str] | None:
        said.clear()
        said.update(health(stack))
        return said if words in said.get(source, "") else None

    try:
        found = wait_until(is_said, f"health to say {words!r}", TOLD_WITHIN)
    except AssertionError as error:
        raise AssertionError(f"{error}; it said {said}") from None
    log.info(f"{source}: health after {time.monotonic() - began:.0f} s")
    until_fired(stack, *alerts, began=began)
    return dict(found)


def until_fired(stack: Stack, *alerts: str, began: float) -> None:
    """Returns once these alerts fire, which they do within a minute of the outage's beginning."""
    wait_until(lambda: set(alerts) <= firing(stack), f"{alerts} to fire", began + TOLD_WITHIN - time.monotonic())
    log.info(f"{alerts} after {time.monotonic() - began:.0f} s")


def until_over(stack: Stack, alert: str) -> None:
    """Returns once this alert fires no more."""
    wait_until(lambda: alert not in firing(stack), f"{alert} to end", OVER_WITHIN)


def host_of(client: Client, name: str) -> Any:
    (found,) = (host for host in client.server.status()["hosts"] if host["host"] == name)
    return found


@pytest.mark.repeated
def test_paused_dispatch_is_told_with_the_one_who_paused_it(stack: Stack, client: Client) -> None:
    client.server.pause_dispatch()
    waiting = client.submit("paused", image="ubuntu", command=QUICK)
    until_told(stack, "dispatch", "paused")
    (reason, *_) = (wait["reason"] for wait in client.jobs.why("paused", waiting["jobId"])["waitingFor"])
    assert reason == "dispatch-paused"
    event = next(iter(client.server.events(kind="dispatch.paused")))
    assert event["actor"]["user"] == "operator"
    wait_until(lambda: asked(stack, 'fastlane_dispatch_paused{reason="requested"} == 1'), "the figure", TOLD_WITHIN)
    client.server.resume_dispatch()
    assert client.wait("paused", waiting["jobId"], waiting["executionId"])["status"] == "done"
    wait_until(lambda: "dispatch" not in health(stack), "health to be good again")


@pytest.mark.repeated
def test_a_manager_s_filter_that_is_gone_is_named_and_the_others_run_jobs(stack: Stack, client: Client) -> None:
    stack.docker("service", "scale", "-d", "fastlane_engine-3=0")
    gone = wait_until(lambda: (host := host_of(client, "engine-3"))["available"] is False and host, "the host to be unusable", TOLD_WITHIN)
    named = "has no engine filter that runs: the service engine-3 has no running task; it ran on node3; `docker service ps"
    gone = wait_until(lambda: named in (host := host_of(client, "engine-3"))["error"] and host, f"it to be told: {gone}", TOLD_WITHIN)
    wait_until(lambda: asked(stack, 'fastlane_host_usable{host="engine-3:2375"} == 0'), "the figure", TOLD_WITHIN)
    assert client.run("meanwhile", image="ubuntu", command=QUICK).stdout == b"on\n"
    stack.docker("service", "scale", "-d", "fastlane_engine-3=1")
    wait_until(lambda: host_of(client, "engine-3")["available"], "the host to be back", OVER_WITHIN)
    stack.until_up()


@pytest.mark.repeated
def test_a_drained_host_is_shown_with_its_reason_and_its_node_gets_no_job(stack: Stack, client: Client) -> None:
    client.server.drain_host("engine-3:2375")
    assert host_of(client, "engine-3")["blacklisted"]
    replies = [client.submit("drained", image="ubuntu", command=QUICK) for _ in range(6)]
    nodes = {client.wait("drained", reply["jobId"], reply["executionId"])["node"] for reply in replies}
    assert nodes <= {"node1", "node2"}
    event = next(iter(client.server.events(kind="host.drained")))
    assert event["actor"]["user"] == "operator"
    client.server.undrain_host("engine-3:2375")
    wait_until(lambda: host_of(client, "engine-3")["available"], "the host to get work again", OVER_WITHIN)


def test_a_full_redis_is_named_by_health_by_refusals_and_by_an_alert(stack: Stack, client: Client) -> None:
    assert stack.inside("redis", "sh", "-c", f"{FULL}1").stdout == "OK\n"
    told = until_told(stack, "redis", "maxmemory", "FastlaneQueueDown")
    assert "start one" not in told.get("workers", "")
    refused = stack.shell(
        f"curl -s -m 20 -H 'Authorization: Bearer {stack.token}' -d '{{\"image\": \"ubuntu\"}}' {stack.url}/tasks/refused"
    )
    assert (json.loads(refused)["status"], "maxmemory" in json.loads(refused)["detail"]) == (503, True)
    assert stack.inside("redis", "sh", "-c", f"{FULL}512mb").stdout == "OK\n"
    stack.until_up()
    assert client.run("after", image="ubuntu", command=QUICK).stdout == b"on\n"
    until_over(stack, "FastlaneQueueDown")


@pytest.mark.repeated
def test_a_job_without_a_success_in_time_is_counted_and_named(stack: Stack, client: Client) -> None:
    late = client.submit("late", image="ubuntu", command="false", cron="* * * * *", expectEvery="1s")
    wait_until(lambda: [job["id"] for job in client.jobs.list(late=True)] == [late["jobId"]], "the job to be late", OVER_WITHIN)
    until_fired(stack, "FastlaneJobsLate", began=time.monotonic())
    client.jobs.delete("late", late["jobId"], stop=True)
    until_over(stack, "FastlaneJobsLate")


@pytest.mark.repeated
def test_a_wrong_secret_that_stops_every_server_is_told_by_an_alert_and_by_their_log(stack: Stack, client: Client) -> None:
    """An update of all at once, without the stack's rollback."""
    stack.shell("printf '%s' 'mongodb://fastlane:wrong@mongo/fastlane?replicaSet=fastlane&authSource=admin' | docker secret create wrong -")
    updates = ("--update-parallelism", "2", "--update-failure-action", "pause")
    secrets = ("--secret-rm", "fastlane_store_url", "--secret-add", "source=wrong,target=fastlane_store_url")
    stack.docker("service", "update", "-d", *updates, *secrets, "fastlane_api")
    states = ("service", "ps", "--format", "{{.CurrentState}}", "fastlane_api")
    wait_until(lambda: stack.docker(*states).count("Failed") >= 2, "both new servers to end", OVER_WITHIN)
    until_fired(stack, "FastlaneNoServer", began=time.monotonic())
    assert "the store refuses the login" in stack.logs("api")
    stack.docker("service", "rollback", "-d", "fastlane_api")
    stack.until_up()
    until_over(stack, "FastlaneNoServer")
    assert client.run("after", image="ubuntu", command=QUICK).stdout == b"on\n"


@pytest.mark.repeated
def test_a_lost_node_of_the_data_is_named_and_its_backup_is_restored_on_another(stack: Stack, client: Client) -> None:
    kept = client.submit("kept", image="ubuntu", command=QUICK)
    assert client.wait("kept", kept["jobId"], kept["executionId"])["status"] == "done"
    cron = client.submit("kept", image="ubuntu", command="true", cron="0 0 1 1 *")
    stack.type_in("Back it up", node=stack.nodes.index(stack.containers("worker")[0][0]))

    lost = stack.nodes[0]
    stack.power_off(lost)
    stack.goes_on_without(lost, "engine-1")
    told = until_told(stack, "store", "did not answer", "FastlaneStoreDown", "FastlaneQueueDown")
    assert "redis" in told

    began = time.monotonic()
    heading = "When the node of the data is gone for good"
    stack.type_in(heading, "docker node demote")
    role = "{{.Spec.Role}}{{with .ManagerStatus}} and still a manager{{end}}"
    wait_until(lambda: stack.docker("node", "inspect", "-f", role, "node1") == "worker", "the node to be no manager", OVER_WITHIN)
    stack.type_in(heading, "docker node rm", "docker service scale", "docker node update --label-add fastlane.data=1")
    wait_until(lambda: not stack.containers("api") + stack.containers("worker"), "the processes to end", OVER_WITHIN)
    stack.type_in("Restore a backup", "docker service create")
    wait_until(lambda: "Complete" in stack.docker("service", "ps", "fastlane-import"), "the import", 2 * OVER_WITHIN)
    stack.type_in("Restore a backup", "docker service logs", "docker service rm", "docker service scale fastlane_api=2")
    stack.until_up()
    stack.type_in("Restore a backup", "curl ")
    assert client.run("after", image="ubuntu", command=QUICK).stdout == b"on\n"
    log.info(f"a job ran {time.monotonic() - began:.0f} s after the first command")
    assert client.jobs.get("kept", cron["jobId"])["job"]["status"] == "scheduled"
    assert client.executions.get("kept", kept["jobId"], kept["executionId"])["status"] == "done"
    assert not host_of(client, "engine-1")["available"]


@pytest.mark.repeated
def test_a_server_that_waits_for_a_migration_is_told_by_those_that_serve(stack: Stack, client: Client) -> None:
    with migration_held(stack):
        began = time.monotonic()
        stack.docker("service", "update", "-d", "--force", "fastlane_api")
        until_fired(stack, "FastlaneStoreMigrating", began=began)
        words = "the store to open, which may have to be brought up to date first"
        wait_until(lambda: words in "".join(health(stack).values()), "the new server to say what it waits for", OVER_WITHIN)
        assert client.run("meanwhile", image="ubuntu", command=QUICK).stdout == b"on\n"
    stack.until_updated("api")
    until_over(stack, "FastlaneStoreMigrating")
