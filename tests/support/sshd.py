"""A real ssh server on loopback, with host keys, users' keys and a port of its own."""

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support.ports import free_port
from tests.support.waiting import wait_until

PRIVILEGE_SEPARATION = Path("/run/sshd")
CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel VERBOSE
"""


class SshServer:
    """Lets the user of the tests log in with the keys that it was given. Used as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.user = getpass.getuser()
        self._log = folder / "log"
        folder.mkdir()
        self.new_host_key()
        self.authorize("")

    def __enter__(self) -> "SshServer":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def authorize(self, line: str) -> None:
        """Makes this the only line of ``authorized_keys``."""
        (self.folder / "authorized_keys").write_text(line)

    def new_host_key(self) -> None:
        """Another host key, which a server that starts from now on has."""
        key = self.folder / "host_key"
        key.unlink(missing_ok=True)
        make_key(key)

    @property
    def host_key(self) -> str:
        """The public host key: type and base 64."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def start(self) -> None:
        """Listens."""
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program is not None, "sshd is missing: apt-get install openssh-server"
        begun = len(self._said())
        with self._log.open("ab") as output:
            self._process = subprocess.Popen([program, "-D", "-e", "-f", str(self.folder / "config")], stdout=output, stderr=output)
        wait_until(lambda: "Server listening" in self._said()[begun:] or self._process.poll() is not None, "sshd to listen")
        assert self._process.poll() is None, self._said()

    def stop(self) -> None:
        """Ends the server and every connection."""
        sessions = self.sessions()
        self._process.terminate()
        self._process.wait(30)
        _kill(sessions)

    def cut(self) -> None:
        """Ends every connection; the server goes on."""
        _kill(self.sessions())

    def sessions(self) -> list[int]:
        """The processes that serve the connections of now, one for each and its children."""
        return descendants(self._process.pid)

    def connections(self) -> int:
        """How many connections there are."""
        return len(children(self._process.pid))

    def _said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


def make_key(path: Path) -> Path:
    """A key without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)
    return path


def children(pid: int) -> list[int]:
    """The processes that a process has started and that still are."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += [int(word) for word in task.read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    """Its children, and theirs."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def ssh_processes(pid: int) -> list[int]:
    """The ssh processes below a process."""
    return [child for child in descendants(pid) if _name(child) == "ssh"]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
