"""How a Docker engine is reached: its address, and the files that a connection to it needs.

================================ ============================================================================
address                          how
================================ ============================================================================
``unix:///PATH``                 a socket of this machine
``HOST:PORT``, ``tcp://…``       TCP, with TLS and a client certificate; without them only where it is allowed
``ssh://[USER@]HOST[:PORT][/…]`` ssh; the path is that of the engine's socket there
================================ ============================================================================
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fastlane.errors import quoted

LOCAL_ENGINE = "unix:///var/run/docker.sock"

_NAME = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9a-fA-F:.]+\])"
_ADDRESS = re.compile(
    rf"unix:///\S+|(?:tcp://)?{_NAME}:(?P<tcp>[0-9]{{1,5}})"
    rf"|ssh://(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?{_NAME}(?::(?P<ssh>[0-9]{{1,5}}))?(?:/\S+)?",
    re.ASCII,
)
_PASSWORD = re.compile(r"[^/]*:(?![0-9]+/).*@")
"""How the part after the scheme begins."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files of a connection with TLS: the authority that signs the engine's certificate, and fastlane's own certificate and key."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class SshFiles:
    """The private key and the known hosts that ssh uses; None: those that it finds by itself."""

    identity: Path | None = None
    known_hosts: Path | None = None


NO_SSH_FILES = SshFiles()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address, and how it is reached. ``insecure``: TCP without TLS is allowed."""

    address: str
    tls: TlsFiles | None = None
    ssh: SshFiles = NO_SSH_FILES
    insecure: bool = False

    @property
    def url(self) -> SplitResult:
        """An address of TCP or ssh in parts."""
        return urlsplit(self.address if "://" in self.address else f"tcp://{self.address}")

    @property
    def scheme(self) -> str:
        """``unix``, ``tcp`` or ``ssh``."""
        scheme, mark, _ = self.address.partition("://")
        return scheme if mark else "tcp"

    @property
    def is_plain(self) -> bool:
        """Whether it is reached by TCP without TLS: anyone who can connect to it, a container too, controls the engine."""
        return self.scheme == "tcp" and self.tls is None

    @property
    def fault(self) -> str | None:
        """Why it may not be reached in this way, in a sentence; None when it may."""
        if not self.is_plain or self.insecure:
            return None
        return (
            f"{self.address} is TCP without TLS, where anyone who connects, a container too, controls the engine; "
            "name the files of TLS: tls = { ca = FILE, certificate = FILE, key = FILE }, or use ssh://HOST, "
            "or, if the network admits fastlane only, write insecure = true"
        )


def read_address(value: object) -> str:
    """Reads the address of an engine. Raises ValueError, which never repeats a password."""
    text = value.strip() if isinstance(value, str) else ""
    if _PASSWORD.match(text.rpartition("://")[2]):
        raise ValueError("has a password in the address of a Docker engine; leave it out: ssh logs in with a key, TLS with a certificate")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{quoted(value)} is not the address of a Docker engine; write {LOCAL_ENGINE}, HOST:2376 or tcp://HOST:2376, or ssh://USER@HOST"
        )
    if any(not 1 <= int(found[port]) <= 65_535 for port in ("tcp", "ssh") if found[port] is not None):
        raise ValueError(f"{quoted(text)} has a port that does not exist; write one from 1 to 65535")
    return text
