"""Outages of the stack on three nodes, with its Prometheus: for each, what an operator reads names the cause.

What is read: ``/healthcheck``, ``/status`` and events of an API server, the figures that Prometheus has and the alerts that it fires. The
stand-ins are those of ``test_stack.py``; Prometheus is Debian's. The tests wait patiently, since a busy machine is slow; the rules
themselves are tested to see each outage within its time in ``test_alert_rules.py``.
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
from tests.support.waiting import LONG_PATIENCE, wait_until

pytestmark = [pytest.mark.thorough, pytest.mark.repeated, pytest.mark.timeout(1500)]

log = logging.getLogger(__name__)
"""Says how long things took; pytest shows it with ``--log-cli-level=INFO``."""
TOLD_WITHIN = 4 * LONG_PATIENCE
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
        wait_until(lambda: asked(stack, "count(up == 1) == 4"), "Prometheus to read all four processes", TOLD_WITHIN)
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
        answer = json.loads(said) if said.strip() else {"errors": []}
        found |= {error["source"]: error["message"] for error in answer.get("errors", [{"source": "start", "message": said}])}
    return found


def until_told(stack: Stack, source: str, words: str, *alerts: str) -> dict[str, str]:
    """Returns what health says once it names the cause, and these alerts fire."""
    began = time.monotonic()
    found = wait_until(lambda: words in (said := health(stack)).get(source, "") and said, f"health to say {words!r}", TOLD_WITHIN)
    said_after = time.monotonic() - began
    wait_until(lambda: set(alerts) <= firing(stack), f"{alerts} to fire", TOLD_WITHIN)
    log.info(f"{source}: health after {said_after:.0f} s, {alerts} after {time.monotonic() - began:.0f} s")
    return dict(found)


def host_of(client: Client, name: str) -> Any:
    (found,) = (host for host in client.server.status()["hosts"] if host["host"] == name)
    return found


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


def test_a_manager_s_filter_that_is_gone_is_named_and_the_others_run_jobs(stack: Stack, client: Client) -> None:
    stack.docker("service", "scale", "-d", "fastlane_engine-3=0")
    gone = wait_until(lambda: (host := host_of(client, "engine-3"))["available"] is False and host, "the host to be unusable", TOLD_WITHIN)
    assert "engine filter" in gone["error"] or "refused" in gone["error"], gone
    wait_until(lambda: asked(stack, 'fastlane_host_usable{host="engine-3:2375"} == 0'), "the figure", TOLD_WITHIN)
    assert client.run("meanwhile", image="ubuntu", command=QUICK).stdout == b"on\n"
    stack.docker("service", "scale", "-d", "fastlane_engine-3=1")
    wait_until(lambda: host_of(client, "engine-3")["available"], "the host to be back", TOLD_WITHIN)
    stack.until_up()


def test_a_drained_host_is_shown_with_its_reason_and_its_node_gets_no_job(stack: Stack, client: Client) -> None:
    client.server.drain_host("engine-3:2375")
    assert host_of(client, "engine-3")["blacklisted"]
    replies = [client.submit("drained", image="ubuntu", command=QUICK) for _ in range(6)]
    nodes = {client.wait("drained", reply["jobId"], reply["executionId"])["node"] for reply in replies}
    assert nodes <= {"node1", "node2"}
    event = next(iter(client.server.events(kind="host.drained")))
    assert event["actor"]["user"] == "operator"
    client.server.undrain_host("engine-3:2375")
    wait_until(lambda: host_of(client, "engine-3")["available"], "the host to get work again", TOLD_WITHIN)


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
    wait_until(lambda: "FastlaneQueueDown" not in firing(stack), "the alert to end", TOLD_WITHIN)
