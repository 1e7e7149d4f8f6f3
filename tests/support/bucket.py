"""A real server of the S3 protocol for tests: OpenStack Swift with its s3api, on loopback, with one copy of everything in a folder.

It is in an environment of its own (``.venv-swift``, see requirements/swift.in), since it is only a program here.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from tests.support.docs import ROOT
from tests.support.waiting import LONG_PATIENCE, wait_until

PROGRAMS = ROOT / ".venv-swift" / "bin"
USER, KEY = "test:tester", "testing-secret"
RINGS = ("account", "container", "object")
SERVER = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
user = root
workers = 0
fallocate_reserve = {reserve}
log_level = ERROR
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
PROXY = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
swift_dir = {folder}
user = root
workers = 0
log_level = ERROR
[pipeline:main]
pipeline = catch_errors cache s3api tempauth copy slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_interval = 0.1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {key} .admin
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
auth_pipeline_check = false
location = us-east-1
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""


class SwiftServer:
    """A server that a test may kill and pause. Used as a context manager; its data go with it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="flsw", dir="/tmp"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = dict(zip((*RINGS, "proxy"), free_ports(4), strict=True))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['proxy']}"

    def __enter__(self) -> "SwiftServer":
        assert PROGRAMS.exists(), f"there is no {PROGRAMS}: scripts/venv .venv-swift requirements/swift.txt makes it"
        try:
            self._configure()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        for kind in self._ports:
            self._start(kind)

    def kill(self) -> None:
        """kill -9; its data stay until the end of the test."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(LONG_PATIENCE)
        self._processes.clear()

    def pause(self) -> None:
        """From now on, it takes connections and answers nothing."""
        self._processes["proxy"].send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends the pause."""
        self._processes["proxy"].send_signal(signal.SIGCONT)

    def fill(self, *, full: bool) -> None:
        """Has it take its disk for full, or not."""
        process = self._processes.pop("object")
        process.kill()
        process.wait(LONG_PATIENCE)
        self._configure_server("object", reserve="99.999%" if full else "0")
        self._start("object")

    def _start(self, kind: str) -> None:
        with (self._folder / "log").open("ab") as output:
            command = [PROGRAMS / f"swift-{kind}-server", self._folder / f"{kind}.conf"]
            self._processes[kind] = subprocess.Popen(command, stdout=output, stderr=output)
        wait_until(lambda: self._answers(kind), f"Swift's {kind} server", LONG_PATIENCE)

    def _configure(self) -> None:
        (self._folder / "devices" / "d1").mkdir(parents=True)
        (self._folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n[storage-policy:0]\nname = one\ndefault = yes\n"
        )
        for kind in RINGS:
            port = self._ports[kind]
            self._configure_server(kind)
            for words in (("create", "2", "1", "0"), ("add", f"r1z1-127.0.0.1:{port}/d1", "1"), ("rebalance",)):
                command = [PROGRAMS / "swift-ring-builder", self._folder / f"{kind}.builder", *words]
                subprocess.run(command, check=True, capture_output=True, timeout=LONG_PATIENCE)
        (self._folder / "proxy.conf").write_text(PROXY.format(port=self._ports["proxy"], folder=self._folder, key=KEY))

    def _configure_server(self, kind: str, reserve: str = "0") -> None:
        text = SERVER.format(kind=kind, port=self._ports[kind], folder=self._folder, reserve=reserve)
        (self._folder / f"{kind}.conf").write_text(text)

    def _answers(self, kind: str) -> bool:
        assert self._processes[kind].poll() is None, f"it ended while it started: {(self._folder / 'log').read_text()[-2000:]}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._ports[kind]), 1):
            return True
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each once."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
