"""Every setting reaches the part that it is for."""

import subprocess
import sys
from dataclasses import asdict

import pytest

from fastlane import app
from fastlane.config.settings import Settings


@pytest.mark.parametrize(("address", "is_loopback"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.7", False)])
def test_the_web_knows_whether_only_this_machine_can_reach_it(address, is_loopback):
    assert Settings.defaults(listen=address).listen_is_loopback is is_loopback


@pytest.mark.parametrize(
    ("name", "value", "of_worker"),
    [
        ("lease", 99.0, "lease"),
        ("renew", 9.0, "renew"),
        ("max_log_bytes", 999, "log_cap"),
    ],
)
def test_a_setting_reaches_the_worker(name, value, of_worker):
    assert getattr(app.worker_settings(Settings.defaults(**{name: value})), of_worker) == value


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("hard_timeout", "timeout"),
        ("pending_deadline", "pending_deadline"),
        ("pull_deadline", "pull_deadline"),
        ("host_lost_after", "host_lost_after"),
    ],
)
def test_a_limit_reaches_the_worker(name, limit):
    found = asdict(app.worker_settings(Settings.defaults(**{name: 12345.0})).limits)
    assert found == asdict(app.worker_settings(Settings.defaults()).limits) | {limit: 12345.0}


def test_a_server_on_sqlite_loads_neither_the_driver_of_mongodb_nor_docker_py() -> None:
    """They take 24 MiB of each process. docker-py is loaded when a Docker configuration has credentials to read."""
    script = "import sys; import fastlane.app, fastlane.cli.servers; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "fastlane.storage.sqlite.store" in loaded
    assert not {"pymongo", "motor", "bson", "docker", "requests"} & loaded
