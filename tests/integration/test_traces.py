"""One trace from a request to the end of its container, in real processes, with a collector that takes OTLP over HTTP."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastlane.models.trace import TraceContext
from tests.support.collector import Collected, collecting
from tests.support.docs import ROOT
from tests.support.installation import LINGER, Installation, installed
from tests.support.redis import RealRedis
from tests.support.waiting import wait_until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SCRIPT = f'printf %s "$TRACEPARENT"{LINGER}'
NONE = """
import sys
for name in ("opentelemetry", "sentry_sdk"):
    sys.modules[name] = None  # as if it were not installed
from fastlane.cli.main import main
sys.argv = ["fastlane", *sys.argv[1:]]
main()
"""


def posted(fastlane: Installation, headers: dict[str, str] | None = None, **more: object) -> dict[str, str]:
    """A job that prints its context. Returns the enqueue reply."""
    body = {"image": "ubuntu:latest", "command": ["sh", "-c", SCRIPT], "envs": {"API_TOKEN": "hunter2secret"}, **more}
    answer = fastlane.request("POST", "/tasks/traced", body, headers)
    assert answer.status == 200, answer.body
    reply: dict[str, str] = answer.json
    return reply


def container_says(fastlane: Installation, reply: dict[str, str]) -> str:
    """The context that its container was given."""
    assert fastlane.ends(reply)["status"] == "done"
    return fastlane.output(reply).decode()


@pytest.mark.thorough
def test_a_request_its_wait_its_start_and_its_container_are_one_trace(engine: str, tmp_path: Path) -> None:
    with (
        RealRedis() as redis,
        collecting() as collector,
        installed(tmp_path, engine, redis=redis.url, with_token=True, traces_url=collector.url) as fastlane,
    ):
        fastlane.serve("api")
        fastlane.start("worker")
        fastlane.until_healthy()
        own = posted(fastlane)
        within = posted(fastlane, {"traceparent": f"00-{TRACE}-{SPAN}-01"})
        unsampled = posted(fastlane, {"traceparent": f"00-{TRACE}-{SPAN}-00"})
        told = {reply["executionId"]: container_says(fastlane, reply) for reply in (own, within, unsampled)}

        def spans_of(reply: dict[str, str]) -> dict[str, Collected]:
            mine = [span for span in collector.spans if span.attributes.get("fastlane.execution_id") == reply["executionId"]]
            return {span.name: span for span in mine}

        wait_until(lambda: all(len(spans_of(reply)) == 4 for reply in (own, within)), "the spans of both executions")
        wait_until(lambda: len(collector.named("POST /tasks/{task_id}")) >= 2, "the spans of both requests")
        requests = {span.trace: span for span in collector.named("POST /tasks/{task_id}")}
        for reply in (own, within):
            spans = spans_of(reply)
            (trace,) = {span.trace for span in spans.values()}
            request = requests[trace]
            assert spans["execution"].parent == request.id
            assert {spans[name].parent for name in ("wait", "start", "container")} == {spans["execution"].id}
            assert told[reply["executionId"]] == f"00-{trace}-{spans['container'].id}-01"
            assert request.start <= spans["container"].start <= spans["container"].end
            assert (request.process["fastlane.role"], spans["container"].process["fastlane.role"]) == ("api", "worker")
        assert requests[TRACE].parent == SPAN
        given = TraceContext.read(told[unsampled["executionId"]])
        assert given is not None
        assert (given.trace_id, given.sampled, spans_of(unsampled)) == (TRACE, False, {})
        assert not any(b"hunter2secret" in body for body in collector.bodies)


@pytest.mark.thorough
def test_without_a_collector_the_context_of_the_request_reaches_the_container(engine: str, tmp_path: Path) -> None:
    with installed(tmp_path, engine) as fastlane:
        fastlane.serve("up")
        fastlane.until_healthy()
        header = f"00-{TRACE}-{SPAN}-01"
        assert container_says(fastlane, posted(fastlane, {"traceparent": header})) == header
        assert container_says(fastlane, posted(fastlane, {"traceparent": header}, startIn="1s")) == header
        assert container_says(fastlane, posted(fastlane, {"traceparent": "nonsense"})) == ""
        named = posted(fastlane, {"traceparent": header}, envs={"TRACEPARENT": "mine"})
        assert container_says(fastlane, named) == "mine"


@pytest.mark.parametrize("setting", ["traces_url=http://127.0.0.1:1/v1/traces", "sentry_dsn=http://key@127.0.0.1:1/1"])
def test_a_setting_whose_extra_is_not_installed_says_so_at_the_start(shared_redis: RealRedis, tmp_path: Path, setting: str) -> None:
    name, _, value = setting.partition("=")
    done = ran_without(tmp_path, "worker", f"FASTLANE_{name.upper()}={value}", f"FASTLANE_REDIS_URL={shared_redis.url}")
    assert done.returncode == 1
    assert "which is not installed: pip install 'fastlane-swarm[" in done.stderr


def test_neither_is_imported_where_no_setting_names_one(tmp_path: Path) -> None:
    """Not even tried. (The client of Redis looks for OpenTelemetry's API by itself.)"""
    done = ran_without(tmp_path, "worker", "FASTLANE_REDIS_URL=redis://127.0.0.1:1/0", "FASTLANE_POOLS=[]")
    assert "not installed" not in done.stderr
    code = "import sys, fastlane.app, fastlane.cli.servers; print({'opentelemetry.sdk.trace', 'sentry_sdk'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "set()"


def ran_without(folder: Path, role: str, *settings: str) -> "subprocess.CompletedProcess[str]":
    """What a role did where neither package is installed."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "FASTLANE_DATA_DIR": str(folder)}
    environment |= dict(setting.split("=", 1) for setting in settings)
    command = [sys.executable, "-c", NONE, role]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
