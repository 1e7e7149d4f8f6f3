"""``/metrics``: what Prometheus reads, of an API and of a worker; and whether the rules and the dashboard ask for what is there."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fastlane.config.access import Token, make_token, token_digest
from fastlane.errors import StoreDown
from fastlane.metrics import Repair, count as count_line
from fastlane.models import transitions
from fastlane.models.access import Principal, Role
from fastlane.models.delivery import PAUSED_AFTER, Delivery, Receiver
from fastlane.models.notify import NotificationTrigger, Webhook
from fastlane.models.pool import RESTORED, Pull
from fastlane.queue.port import execution_entry
from fastlane.scheduler.launcher import order_of
from tests.support.credentials import bearer
from tests.support.fastlane import HOST, IMAGE, Fastlane
from tests.support.intercept import failing, intercept
from tests.support.redis import RealRedis
from tests.support.waiting import PATIENCE

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
SUFFIXES = ("_total", "_bucket", "_count", "_sum")
NAMED = re.compile(r"\b(?:(?:fastlane|process|python)_[a-z_]+|up(?=[{ ]))\b")
OWN = "fastlane_"


class Figures:
    """What one request of ``/metrics`` gave."""

    def __init__(self, body: bytes) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(body.decode())}

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        family = next(family for family in self.families.values() if any(sample.name == name for sample in family.samples))
        return sum(sample.value for sample in family.samples if sample.name == name and labels.items() <= sample.labels.items())

    @property
    def samples(self) -> Mapping[str, set[str]]:
        """The labels of each name."""
        found: dict[str, set[str]] = {}
        for family in self.families.values():
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
        return found


async def figures(server: Fastlane) -> Figures:
    answer = await server.get("/metrics")
    assert answer.status == 200, answer.body
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Figures(answer.body)


@pytest.fixture
async def server(shared_redis: RealRedis, tmp_path: Path) -> AsyncIterator[Fastlane]:
    async with Fastlane(tmp_path, shared_redis.url, workers=1, metrics_port=0, service_labels=True) as server:
        yield server


async def of_worker(server: Fastlane) -> Figures:
    answer = await server.get(f"http://127.0.0.1:{server.workers_running[0].metrics_port}/metrics")
    assert answer.status == 200, answer.body
    return Figures(answer.body)


def compares_labels(server: Fastlane) -> Callable[[], Awaitable[bool]]:
    """Whether the worker shows when it compared the labels of a swarm."""

    async def compares() -> bool:
        return "fastlane_labels_compared_timestamp_seconds" in (await of_worker(server)).samples

    return compares


async def test_it_tells_of_deliveries_that_nobody_sends_and_of_receivers_that_fail(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as server:
        now = server.clock.now()
        webhook = Webhook(NotificationTrigger.FAILS, "https://example.com/x", {}, 3)
        await server.store.insert_deliveries([Delivery("d", "t", "j", "e", "execution.failed", webhook, False, now, now - 90_000, 4)])
        for id, failing_since in (("paused", now - PAUSED_AFTER), ("failing", now - 1)):
            assert await server.store.write_receiver(Receiver(id, "https://example.com:443", failing_since, now, "it said no"))
        found = await figures(server)
        assert 90 <= found.value("fastlane_delivery_overdue_seconds") < 90 + PATIENCE
        assert [found.value("fastlane_receivers_failing", paused=paused) for paused in ("true", "false")] == [1, 1]
        await server.store.drop_delivery("d")
        assert (await figures(server)).value("fastlane_delivery_overdue_seconds") == 0


async def test_it_counts_what_is_asked_accepted_and_run(server: Fastlane) -> None:
    for _ in range(3):
        await server.enqueue("fast-one")
    job = await server.submit("true", task="other")
    await server.cleaned(job)
    await server.get("/nothing/of/the/kind")
    await server.ask("FETCH", "/status")

    found = await figures(server)

    assert found.value("fastlane_enqueued_total", pool="fast") == 3
    assert found.value("fastlane_http_requests_total", method="POST", route="/tasks/{task_id}", status="200") == 3
    assert found.value("fastlane_http_requests_total", route="none", status="404") == 1
    assert found.value("fastlane_http_requests_total", method="other") == 1
    assert found.value("fastlane_http_request_seconds_count", route="/tasks/{task_id}") == 3
    assert found.value("fastlane_workers") == 1
    assert found.value("fastlane_store_up") == found.value("fastlane_queue_up") == 1
    assert found.value("fastlane_store_migrating") == 0
    assert found.value("fastlane_pool_slots", pool="fast") == server.pools[0].max_running
    assert found.value("fastlane_host_usable", pool="fast", host=HOST) == 1
    assert found.value("fastlane_host_circuit", pool="fast", host=HOST, state="closed") == 1
    assert "task" not in {label for labels in found.samples.values() for label in labels}

    async def settled() -> bool:
        return (await of_worker(server)).value("fastlane_executions_ended_total", status="done") == 4

    await server.until(settled, "the worker to have counted four executions")
    worked = await of_worker(server)
    assert worked.value("fastlane_executions_ended_total", pool="fast", status="done", reason="") == 3
    assert worked.value("fastlane_lateness_seconds_count", pool="default") == 1
    assert worked.value("fastlane_execution_seconds_count", pool="fast", status="done") == 3


async def test_what_the_reconciler_puts_right_is_counted_by_its_kind(server: Fastlane) -> None:
    """A crash or a lost write left each of these behind."""
    held = await server.submit("hold")
    await server.reaches(held, "running")
    await server.store.stop_job(held.job_id, server.clock.now(), None)  # its execution was not told

    later = await server.submit("true", at=server.clock.now() + 60_000)
    await server.queue.cancel(later.job_id)

    ended = await server.cleaned(await server.submit("true"))
    order = order_of(ended, None)
    await server.executor.park(HOST, replace(order, epoch=order.epoch + 1), await server.executor.resolve(HOST, IMAGE, Pull.ALWAYS))

    assert (await server.post("/dispatch/pause")).status == 200
    waits = await server.execution({"executionId": (await server.submit("true")).execution_id})
    await server.store.change(transitions.cancel(waits, now=server.clock.now()))
    await server.queue.cancel(waits.id)  # it has ended, and nobody settles it
    stranded = await server.execution({"executionId": (await server.submit("true")).execution_id})
    await server.queue.adopt([replace(execution_entry(stranded, server.pools), lane="gone")])

    async def repaired() -> bool:
        found = await of_worker(server)
        return all(found.value("fastlane_repairs_total", kind=kind) for kind in Repair)

    await server.until(repaired, "a repair of each kind")
    assert (await of_worker(server)).value("fastlane_queue_rebuilds_total") == 1


async def test_it_says_for_how_long_a_pool_s_oldest_execution_has_waited(shared_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, shared_redis.url) as server:
        assert (await figures(server)).value("fastlane_pool_oldest_waiting_seconds", pool="fast") == 0
        reply = await server.enqueue("fast-one")
        due = (await server.execution(reply)).scheduled_for

        async def waits() -> bool:
            now = server.clock.now()
            waited = (await figures(server)).value("fastlane_pool_oldest_waiting_seconds", pool="fast")
            return (now - due) / 1000 <= waited <= (server.clock.now() - due) / 1000 and waited > 0.1

        await server.until(waits, "its oldest to have waited as long as its execution is due")
        assert (await figures(server)).value("fastlane_pool_oldest_waiting_seconds", pool="default") == 0


INCREASE = re.compile(r"(?:rate|increase)\((fastlane_[a-z_]+)(\{[^}]*\})?\[")
EQUAL = re.compile(r'([a-z_]+)="([^"]*)"')


async def test_what_a_rule_counts_begins_at_0_so_that_the_first_one_is_an_increase(server: Fastlane) -> None:
    worker, api = await of_worker(server), await figures(server)
    counted = {(name, labels) for rule in rules() for name, labels in INCREASE.findall(rule) if not name.endswith("_bucket")}
    assert ("fastlane_executions_ended_total", '{reason="host-lost"}') in counted
    for name, labels in counted:
        some = api if name in api.samples and "http" in name else worker
        assert name in some.samples, name
        wanted = dict(EQUAL.findall(labels))
        found = [sample for family in some.families.values() for sample in family.samples if sample.name == name]
        assert any(wanted.items() <= sample.labels.items() for sample in found), (name, labels)
    lost = [worker.value("fastlane_executions_ended_total", pool=pool.name, reason="host-lost") for pool in server.pools]
    assert lost == [0] * len(server.pools)
    assert len([row for row in worker.families["fastlane_executions_ended"].samples if row.labels["reason"] == "host-lost"]) == len(lost)


@pytest.mark.parametrize("part", ["store", "queue"])
async def test_a_store_or_a_redis_that_takes_no_writes_is_not_up_although_it_can_be_read(
    own_redis: RealRedis, tmp_path: Path, part: str
) -> None:
    async with Fastlane(tmp_path, own_redis.url) as server:
        assert (await server.post("/tasks/kept", {"image": IMAGE, "startIn": "1h"})).status == 200
        if part == "store":
            intercept(server.store, "check", failing(StoreDown("the store cannot be written: database or disk is full"), times=1000))
        else:
            with own_redis.client() as client:
                client.config_set("maxmemory", "1")
        reads = "fastlane_store_read_seconds", "fastlane_queue_read_seconds"

        async def seen() -> Figures | None:
            found = await figures(server)
            return found if found.value(f"fastlane_{part}_up") == 0 else None

        found = await server.until(seen, f"the {part} not to be up")
        assert set(reads) <= found.samples.keys()
        assert {found.value(f"fastlane_{name}_up") for name in ("store", "queue")} == {0, 1}


async def test_refused_requests_are_counted_by_kind_and_the_answers_of_health_checks_are_not(tmp_path: Path) -> None:
    with RealRedis() as redis:
        async with Fastlane(tmp_path, redis.url) as server:
            redis.kill()
            assert (await server.post("/tasks/refused", {"image": IMAGE})).status == 503
            assert (await server.get("/status")).status == 503
            assert (await server.get("/healthcheck")).status == 503
            found = await figures(server)
            assert [found.value("fastlane_refused_requests_total", kind=kind) for kind in ("read", "write")] == [1, 1]
            assert "fastlane_workers" not in found.samples, "nobody knows how many there are while Redis is away"


async def test_a_full_redis_is_named_in_place_of_the_workers_that_cannot_report_there(own_redis: RealRedis, tmp_path: Path) -> None:
    async with Fastlane(tmp_path, own_redis.url) as server:
        reply = (await server.post("/tasks/waits", {"image": IMAGE})).json
        with own_redis.client() as client:
            client.config_set("maxmemory", "1")

        async def told() -> dict[str, str] | None:
            errors = {error["source"]: error["message"] for error in (await server.get("/healthcheck")).json["errors"]}
            return errors if "redis" in errors else None

        errors = await server.until(told, "Redis to be named")
        assert "maxmemory" in errors["redis"]
        assert [source for source, words in errors.items() if "see to Redis first" in words] == ["workers", "docker"]
        (wait,) = (await server.get(f"{reply['jobUrl']}why")).json["waitingFor"]
        assert (wait["reason"], "maxmemory" in wait["message"]) == ("no-queue", True)
        found = await figures(server)
        assert (found.value("fastlane_queue_up"), "fastlane_workers" in found.samples) == (0, False)


async def test_work_that_the_store_fails_is_a_figure_of_the_worker_and_is_done_in_the_end(server: Fastlane) -> None:
    before = await of_worker(server)
    assert [before.value("fastlane_worker_store_failures_total", part=part) for part in ("claimed", "rounds")] == [0, 0]
    intercept(server.store, "change", failing(StoreDown("the store cannot be written: database or disk is full"), times=2))
    await server.reaches(await server.submit(), "done")
    assert (await of_worker(server)).value("fastlane_worker_store_failures_total", part="claimed") >= 1


async def test_paused_dispatch_is_a_figure_with_its_reason(server: Fastlane) -> None:
    async def paused() -> dict[str, float]:
        found = await figures(server)
        return {reason: found.value("fastlane_dispatch_paused", reason=reason) for reason in ("requested", "restored")}

    assert await paused() == {"requested": 0, "restored": 0}
    assert (await server.post("/dispatch/pause")).status == 200
    assert await paused() == {"requested": 1, "restored": 0}
    await server.store.pause_pool(RESTORED, True)
    assert await paused() == {"requested": 1, "restored": 1}
    assert (await server.post("/dispatch/resume")).status == 200
    assert await paused() == {"requested": 0, "restored": 0}


async def test_what_cannot_be_read_is_missing_and_the_rest_is_there(tmp_path: Path) -> None:
    with RealRedis() as redis:
        async with Fastlane(tmp_path, redis.url) as server:
            redis.kill()
            found = await figures(server)
            assert found.value("fastlane_queue_up") == 0
            assert found.value("fastlane_store_up") == 1
            assert "fastlane_queue_read_seconds" not in found.samples
            assert found.value("fastlane_pool_slots", pool="fast") == server.pools[0].max_running


async def test_every_name_has_a_help_text_a_unit_and_no_name_that_tools_reserve(server: Fastlane) -> None:
    for found in (await figures(server), await of_worker(server)):
        for family in found.families.values():
            assert family.documentation, family.name
            if family.type == "counter":
                assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples), family.name
            else:
                assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), family.name
            assert not re.search(r"milliseconds|_ms\b|minutes|kilobytes|[A-Z]", family.name), family.name
            assert not {"le", "quantile"} & {label for sample in family.samples for label in sample.labels if family.type == "gauge"}


def rules() -> list[str]:
    return [rule["expr"] for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    board = json.loads((MONITORING / "dashboard.json").read_text())
    return rules() + [target["expr"] for panel in board["panels"] for target in panel["targets"]]


async def test_the_rules_and_the_dashboard_ask_for_names_and_labels_that_are_there(server: Fastlane) -> None:
    await server.cleaned(await server.submit("true"))
    await server.enqueue()
    count_line(None, "info", {"event": "worker.started", "level": "info"})
    server.workers_running[0].metrics.tasks.measured("task", cpu_seconds=1, memory_peak=2, read_bytes=3, written_bytes=4)
    await server.get("/livez")
    await server.until(compares_labels(server), "the worker to compare labels")
    found: dict[str, set[str]] = {}
    for some in (await figures(server), await of_worker(server)):
        for name, labels in some.samples.items():
            found.setdefault(name, set()).update(labels)
    found["up"] = {"job", "instance"}  # Prometheus's own
    for expression in expressions():
        names = NAMED.findall(expression)
        assert names, expression
        labels = {"job", "instance"}.union(*(found[name] for name in names))
        asked = {label.strip() for group in re.findall(r"(?:by|on) \(([^)]+)\)", expression) for label in group.split(",")}
        asked |= set(re.findall(r"[{,]\s*([a-z_]+)\s*(?:=|!=|=~|!~)\"", expression))
        assert asked <= labels, (expression, asked - labels)


async def test_the_page_lists_each_figure_of_ours(server: Fastlane) -> None:
    listed = set(re.findall(r"^\| `(fastlane_[a-z_]+)` \|", PAGE.read_text(), re.MULTILINE))
    exposed = set()
    for found in (await figures(server), await of_worker(server)):
        exposed |= {
            name + ("_total" if family.type == "counter" else "") for name, family in found.families.items() if name.startswith(OWN)
        }
    assert listed == exposed


@pytest.fixture
def token() -> str:
    return make_token()


@pytest.fixture
def tokens(token: str) -> tuple[Token, ...]:
    return (Token(Principal("prometheus", Role.READ), token_digest(token)),)


@pytest.mark.parametrize(("networks", "status"), [((), 401), (("10.0.0.0/8",), 401), (("127.0.0.0/8", "::1"), 200)])
async def test_on_a_server_with_tokens_it_takes_one_or_an_address_of_metrics_allow(
    shared_redis: RealRedis, tmp_path: Path, token: str, tokens: Any, networks: tuple[str, ...], status: int
) -> None:
    async with Fastlane(tmp_path, shared_redis.url, tokens=tokens, metrics_allow=networks, metrics_port=0) as server:
        for path in ("/metrics", f"http://127.0.0.1:{server.api.metrics_port}/metrics"):
            assert (await server.get(path)).status == status
            assert (await server.get(path, headers=bearer(token))).status == 200
            assert (await server.get(path, headers=bearer("wrong"))).status == (status if status == 200 else 401)
