"""Each setting of a file reaches the part of ``fastlane up`` that it is for: what ``fastlane.app`` passes on, read where it arrives.

Each setting has a value of its own here, unlike its default, so that a line of ``fastlane.app`` that is missing or names another setting
fails a test.
"""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fastlane import __version__, app
from fastlane.archive.bucket import BucketAccess, LogBucket
from fastlane.config.access import hash_password, hash_token
from fastlane.config.load import load
from fastlane.config.settings import Settings
from fastlane.executors.swarm.hosts import HostRules
from fastlane.executors.swarm.registries import Registries
from fastlane.models.host import Endpoint, Reserve
from fastlane.scheduler.ports import Ports
from fastlane.sealing import Sealing
from fastlane.web.server import context_of
from tests.support.instant import InstantExecutor
from tests.support.redis import RealRedis

pytestmark = pytest.mark.sqlite

FILE = """
port = 0
stop_wait = "1s"
redis_url = "{redis}"
public_url = "https://jobs.example.com"
trusted_proxies = ["10.9.0.0/16"]
allowed_origins = ["https://dash.example.com"]
open_reads = false
allow_anonymous = true
redact_words = ["pin"]
per_page = 7
request_rate = 6
max_body = "77KiB"
hard_retries = 3
timezone = "Asia/Tokyo"
ws_start_wait = "1s"
lease = "21s"
renew = "4s"
max_log_bytes = "5MiB"
hard_timeout = "11m"
pending_deadline = "12m"
pull_deadline = "13m"
host_lost_after = "14m"
min_free_disk = "3%"
unused_images_after = "15m"
usage_every = "18s"
service_labels = true
mcp = "read"
keep_jobs = "31d"
keep_executions = "32d"
max_executions = 33
keep_logs = "3d"
max_total_log_bytes = "6MiB"
archive_url = "s3://logs/wired"
archive_endpoint = "http://127.0.0.9:9000"
archive_region = "eu-central-1"
archive_access_key = "wired"
archive_secret_key = "letmein"
archive_after = "26h"
keep_deliveries = "5d"
keep_history = "35d"
keep_events = "36d"
receipt_keys = "0123456789abcdef0123456789abcdef wired-wired-wired-wired-wired-wired"
webhook_allow = ["10.9.0.0/16"]
webhook_timeout = "23s"
smtp_host = "smtp.example.com"
smtp_tls = "tls"
smtp_port = 1465
smtp_ca = "/nowhere/ca.pem"
smtp_user = "wired"
smtp_password = "letmein"
smtp_from = "wired@example.com"
smtp_timeout = "24s"
mail_interval = "25m"
notify_allow = ["example.net"]
metrics_port = 0
processes = 2
metrics_listen = "127.0.0.2"
metrics_allow = ["10.8.0.0/16"]
metrics_tasks = 8
traces_url = "http://127.0.0.9:4318/v1/traces"
sentry_dsn = "http://key@127.0.0.9/1"
breaker_max_fails = 9
breaker_reset = "17s"
docker_config = "/nowhere/docker.json"
installation = "wired"
[[users]]
name = "anna"
password = "{password}"
role = "run"
[[tokens]]
name = "ci"
token = "{token}"
role = "run"
[[pools]]
name = "only"
match = ""
hosts = ["10.0.0.8:2375"]
insecure = true
maxRunning = 5
[[calendars]]
name = "holidays"
dates = ["2026-12-25"]
[[registries]]
host = "registry.example.com"
username = "ci"
password = "letmein"
"""
RECORDED = (
    *("SqliteStore", "RedisHints", "RedisQueue", "SwarmExecutor", "Registries", "Worker", "build_services", "make_application"),
    *("payload_maker", "OtelRecorder", "WebhookSender", "SmtpSender", "MailServer", "mail_writer", "LogBucket"),
)
"""The names by which ``fastlane.app`` makes its parts."""
TOKEN = "fl_wired"


class Wiring:
    """The settings of a running fastlane, and for each of its parts the arguments that it was made with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.positional: dict[str, tuple[Any, ...]] = {}
        self.named: dict[str, dict[str, Any]] = {}
        self.running: app.Running

    def record(self, name: str, make: Any) -> Any:
        """A maker of the part that also notes its arguments."""

        def making(*arguments: Any, **named: Any) -> Any:
            self.positional[name], self.named[name] = arguments, named
            return make(*arguments, **named)

        return making

    @property
    def web(self) -> Any:
        assert self.running.application is not None
        return context_of(self.running.application).settings

    @property
    def worker(self) -> Any:
        return self.positional["Worker"][1]

    @property
    def ports(self) -> Ports:
        return self.positional["Worker"][0]


def unreachable(endpoints: tuple[Endpoint, ...], *_arguments: Any, **_named: Any) -> InstantExecutor:
    """An executor none of whose hosts answers, so that nothing starts."""
    hosts = [endpoint.address for endpoint in endpoints]
    executor = InstantExecutor(hosts)
    for host in hosts:
        executor.down(host)
    return executor


@pytest.fixture
async def wiring(shared_redis: RealRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Wiring]:
    text = FILE.format(redis=shared_redis.url, password=hash_password("x"), token=hash_token(TOKEN))
    (tmp_path / "fastlane.toml").write_text(f'data_dir = "{tmp_path}"\n{text}')
    wiring = Wiring(load("up", cwd=tmp_path).settings)
    makers = {name: getattr(app, name) for name in RECORDED} | {"SwarmExecutor": unreachable}
    for name, make in makers.items():
        monkeypatch.setattr(app, name, wiring.record(name, make))
    async with app.running("up", wiring.settings) as wiring.running:
        yield wiring


WEB = (
    "public_url",
    "trusted_proxies",
    "allowed_origins",
    "open_reads",
    "users",
    "tokens",
    "redact_words",
    "per_page",
    "request_rate",
    "max_body",
    "hard_retries",
    "timezone",
    "metrics_allow",
    "webhook_allow",
    "notify_allow",
)


def test_each_setting_of_the_file_differs_from_its_default(shared_redis: RealRedis, tmp_path: Path) -> None:
    (tmp_path / "fastlane.toml").write_text(FILE.format(redis=shared_redis.url, password=hash_password("x"), token=hash_token(TOKEN)))
    found, usual = load("up", cwd=tmp_path).settings, Settings.defaults(tmp_path)
    unset = {"tls_certificate", "tls_key", "data_dir", "check_socket", "store_url", "listen", "log_format", "log_level"}
    assert {name for name in Settings.__slots__ if getattr(found, name) == getattr(usual, name)} <= unset


async def test_settings_of_http_reach_the_handlers(wiring: Wiring) -> None:
    assert {name: getattr(wiring.web, name) for name in WEB} == {name: getattr(wiring.settings, name) for name in WEB}
    assert wiring.web.listen_is_loopback


async def test_the_calendars_are_those_that_jobs_may_name(wiring: Wiring) -> None:
    assert wiring.ports.pools.calendars == wiring.settings.calendars != ()


async def test_the_metrics_are_served_where_the_settings_say(wiring: Wiring) -> None:
    headers, url = {"Authorization": f"Bearer {TOKEN}"}, f"http://127.0.0.2:{wiring.running.metrics_port}/metrics"
    async with aiohttp.ClientSession(headers=headers) as client, client.get(url) as answer:
        assert "fastlane_build_info" in await answer.text()


async def test_settings_of_a_worker_reach_it(wiring: Wiring) -> None:
    made, settings = wiring.worker, wiring.settings
    assert (tuple(wiring.ports.pools), made.lease, made.renew, made.log_cap) == (settings.pools, 21.0, 4.0, 5 * 1024 * 1024)
    assert (made.unused_images_after, made.usage_every, made.reads_labels) == (900.0, 18.0, True)
    kept, day = made.retention, 86_400_000
    assert (kept.rules.jobs, kept.rules.executions, kept.rules.max_executions, kept.rules.logs) == (31 * day, 32 * day, 33, 3 * day)
    assert (kept.deliveries, kept.history, kept.events, kept.log_bytes) == (5 * day, 35 * day, 36 * day, 6 * 1024 * 1024)
    assert made.archive_after == 93_600.0
    assert made.receipt_keys == settings.receipt_keys == ("0123456789abcdef" * 2, "wired-wired-wired-wired-wired-wired")
    limits = made.limits
    assert (limits.timeout, limits.pending_deadline, limits.pull_deadline, limits.host_lost_after) == (660, 720, 780, 840)


async def test_a_worker_sends_its_hints_by_the_hub_of_the_process(wiring: Wiring) -> None:
    ports = wiring.ports
    assert (ports.store, ports.queue, ports.clock) == (wiring.running.store, wiring.running.queue, wiring.running.clock)
    assert ports.publish == wiring.running.hub.publish
    assert ports.metrics is wiring.running.metrics is context_of(wiring.running.application).metrics


async def test_settings_of_the_engine_and_of_registries_reach_the_executor(wiring: Wiring) -> None:
    hosts, installation, clock, rules, registries = wiring.positional["SwarmExecutor"]
    assert (hosts, installation, clock) == ((Endpoint("10.0.0.8:2375", insecure=True),), "wired", wiring.running.clock)
    assert rules == HostRules(9, 17.0, reserve=Reserve(part=0.03))
    assert wiring.positional["Registries"] == (wiring.settings.registries, Path("/nowhere/docker.json"))
    assert isinstance(registries, Registries)


async def test_settings_of_webhooks_reach_what_writes_and_sends_them(wiring: Wiring) -> None:
    assert wiring.positional["WebhookSender"][:2] == (("10.9.0.0/16",), 23.0)
    assert wiring.positional["payload_maker"] == (wiring.settings.public_url, wiring.settings.redact_words)


async def test_settings_of_mail_reach_what_writes_and_sends_it(wiring: Wiring) -> None:
    server = ("smtp.example.com", 1465, "tls", "wired@example.com", "wired", "letmein", Path("/nowhere/ca.pem"))
    assert wiring.positional["MailServer"] == server
    assert wiring.positional["SmtpSender"][1] == 24.0
    assert wiring.positional["mail_writer"][2] == 1500.0
    assert wiring.ports.notifier.mail is not None
    assert wiring.ports.notifier.mail.interval == 1_500_000
    assert wiring.ports.notifier.mail.allowed == ("example.net",)


async def test_spans_go_to_the_collector_that_the_settings_name(wiring: Wiring) -> None:
    assert wiring.positional["OtelRecorder"] == ("http://127.0.0.9:4318/v1/traces",)
    assert wiring.named["OtelRecorder"] == {"version": __version__, "installation": "wired", "role": "up"}
    assert context_of(wiring.running.application).recorder is wiring.running.recorder is wiring.ports.recorder
    assert wiring.running.recorder is not None


async def test_the_store_the_queue_and_the_hub_are_those_of_the_installation(wiring: Wiring, shared_redis: RealRedis) -> None:
    assert wiring.positional["SqliteStore"] == (wiring.settings.store_path,)
    assert wiring.positional["RedisQueue"] == wiring.positional["RedisHints"] == (shared_redis.url, "wired")


async def test_old_logs_go_to_the_bucket_that_the_settings_name(wiring: Wiring) -> None:
    bucket = BucketAccess("logs", "wired/", "http://127.0.0.9:9000", "eu-central-1", "wired", "letmein")
    assert wiring.positional["LogBucket"] == (bucket,)
    assert isinstance(wiring.ports.store.log_archive.objects, LogBucket)


async def test_removals_are_sealed_where_there_are_keys(wiring: Wiring) -> None:
    assert isinstance(wiring.running.store.retention.notes, Sealing)


async def test_the_pools_reach_the_services(wiring: Wiring) -> None:
    assert tuple(wiring.positional["build_services"][4].pools) == wiring.settings.pools
    assert wiring.positional["build_services"][2] is wiring.running.hub


async def test_a_follower_waits_for_a_start_as_long_as_is_set(wiring: Wiring) -> None:
    headers, base = {"Authorization": f"Bearer {TOKEN}"}, f"http://127.0.0.1:{wiring.running.port}"
    async with aiohttp.ClientSession(base, headers=headers) as client:
        async with client.post("/tasks/task", json={"image": "ubuntu"}) as reply:
            assert reply.status == 200, await reply.text()
            job = (await reply.json())["jobId"]
        before = time.monotonic()
        async with client.get(f"/tasks/task/jobs/{job}/logs?follow=1") as answer:
            assert answer.status == 404
        assert 0.9 < time.monotonic() - before < 15
