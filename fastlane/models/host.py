"""Hosts: the address of an engine and how it is reached, a host as the scheduler sees it (its disk, its nodes, what is to be removed from
it), which manager to ask about what runs there, and a host's record in the store. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from fastlane.errors import quoted
from fastlane.models.access import Requester
from fastlane.models.container import Resources
from fastlane.models.ids import derived_id

LOCAL_ENGINE = "unix:///var/run/docker.sock"

SSH_PATH = r"/[A-Za-z0-9._/@+=,~-]+"
"""The path of a socket in an address of ssh, without characters that ssh expands (``$``, ``%``) or takes as marks."""
_NAME = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9a-fA-F:.]+\])"
_ADDRESS = re.compile(
    rf"unix:///\S+|(?:tcp://)?{_NAME}:(?P<tcp>[0-9]{{1,5}})"
    rf"|ssh://(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?{_NAME}(?::(?P<ssh>[0-9]{{1,5}}))?(?:{SSH_PATH})?",
    re.ASCII,
)
_PATTERN = re.compile(
    r"(?:(?P<scheme>tcp|ssh)://)?(?:(?P<user>[^@/:]*)@)?(?P<host>\[[^][]*\]|[^]@/:[]+)(?::(?P<port>[0-9*]+))?(?P<path>/.*)?", re.ASCII
)
_NUMERIC = re.compile(r"[0-9.*]*[0-9][0-9.*]*|\[.*\]")
"""A pattern of IP addresses."""
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


def read_address_pattern(text: str) -> str:
    """Reads a pattern of addresses, in which ``*`` stands for any text. Raises ValueError."""
    found = _PATTERN.fullmatch(text)
    if not text.startswith(("unix://", "*")) and (found is None or (found["scheme"] != "ssh" and (found["path"] or found["user"]))):
        raise ValueError(f"{quoted(text)} is not a pattern of addresses; write 10.0.0.*:2376, *.example.com:2376 or ssh://USER@10.0.0.*")
    return text


def is_among(address: str, pattern: str) -> bool:
    """Whether a pattern means an address. User, host, port and path are compared each by itself, so ``*`` reaches into no other part. In a
    pattern of IP addresses ``*`` stands for a part of one, and in one of names for a part between two dots, or at the beginning for any
    subdomains. A pattern without a port means any port."""
    if "*" not in pattern or address.startswith("unix://"):
        is_literal = ".." not in address.split("/")
        return address == pattern or (is_literal and pattern.startswith(("unix://", "*")) and _matches(address, pattern, "."))
    if pattern == "*":
        return True
    wanted, url = _PATTERN.fullmatch(pattern), Endpoint(address).url
    if wanted is None or (wanted["scheme"] or "tcp") != url.scheme or (url.path and not wanted["path"]):
        return False
    host = wanted["host"].lower()
    any_user = wanted["user"] is None and host.startswith("*")
    return (
        (any_user or _matches(url.username or "", wanted["user"] or "", "."))
        and _host_matches(url.hostname or "", host)
        and _matches(str(url.port or ""), wanted["port"] or "*", "[0-9]")
        and _matches(url.path, wanted["path"] or "", ".")
    )


def _host_matches(host: str, pattern: str) -> bool:
    if _NUMERIC.fullmatch(pattern):
        return _matches(host, pattern.strip("[]"), "[0-9a-f:.]" if pattern.startswith("[") else "[0-9.]")
    if pattern.startswith("*"):
        return any(_matches(host[place:], pattern[1:], "[^.:]") for place in range(len(host) + 1))
    return _matches(host, pattern, "[^.:]")


def _matches(text: str, pattern: str, sign: str) -> bool:
    return re.fullmatch(f"{sign}*".join(map(re.escape, pattern.split("*"))), text) is not None


PAUSE, LONGEST_PAUSE = 60_000, 1_800_000
"""Milliseconds for which a node is left alone after a start that it refused for its full disk: at first, and at most."""
ENOUGH = 1.1
"""Times the reserve that has to be free again, so that a disk at the edge is not short and well in turn."""
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Reserve:
    """How much of a disk has to be free: a number of bytes, or a part of the disk from 0 to 1."""

    size: int = 0
    part: float = 0.0

    def of(self, total: int) -> int:
        """The bytes of a disk of this size."""
        return max(self.size, math.ceil(self.part * total))


@dataclass(frozen=True, slots=True)
class Space:
    """What is free of a disk, and how large it is, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """The starts in a row that a node refused because its disk was full: when it refused the first and the last one (milliseconds)."""

    first: int
    last: int

    @classmethod
    def between(cls, first: int | None, last: int | None) -> "Refusals | None":
        """The refusals between these two moments; None when there were none."""
        return None if first is None or last is None else cls(first, last)

    @property
    def until(self) -> int:
        """Until when it is left alone."""
        return self.last + max(PAUSE, min(LONGEST_PAUSE, self.last - self.first))

    def and_at(self, now: int) -> "Refusals":
        """Adds a refusal. After a long time without any, it is the first of a new row."""
        if now <= self.last:
            return self
        in_a_row = now < self.until + (self.until - self.last)
        return Refusals(self.first if in_a_row else now, now)


@dataclass(frozen=True, slots=True)
class Disk:
    """What is known of the disk of a host's engine. ``free`` and ``total`` (bytes, in whole MiB) are None where they cannot be measured.
    ``short`` says why it gets no new work, in words that follow its name; ``since`` and ``until``: since when, and until when it is left
    alone, None where that depends on what is measured. ``refused_first`` and ``refused_last`` are the moments of its ``Refusals``. All
    moments are in milliseconds."""

    free: int | None = None
    total: int | None = None
    short: str | None = None
    since: int | None = None
    until: int | None = None
    refused_first: int | None = None
    refused_last: int | None = None

    @property
    def refusals(self) -> Refusals | None:
        """What it has refused."""
        return Refusals.between(self.refused_first, self.refused_last)


def judge(space: Space | None, refusals: Refusals | None, reserve: Reserve, before: Disk | None, now: int) -> Disk | None:
    """What is known of a disk now; None when that is nothing. ``before``: the last judgement."""
    if space is None and refusals is None:
        return None
    words, until = _short(space, reserve, was_short=before is not None and before.short is not None), None
    if words is None and refusals is not None and now < refusals.until:
        words, until = "is short of disk: it had no space left for a start, and is left alone for a while", refusals.until
    since = before.since if words is not None and before is not None and before.short is not None else now
    return Disk(
        free=None if space is None else _whole(space.free),
        total=None if space is None else _whole(space.total),
        short=words,
        since=None if words is None else since,
        until=until,
        refused_first=None if refusals is None else refusals.first,
        refused_last=None if refusals is None else refusals.last,
    )


def _short(space: Space | None, reserve: Reserve, *, was_short: bool) -> str | None:
    if space is None:
        return None
    least = reserve.of(space.total)
    if space.free >= (least * ENOUGH if was_short else least):
        return None
    return f"is short of disk: less than {_mib(least)} of {_mib(space.total)} is free (min_free_disk)"


def _whole(size: int) -> int:
    """In whole MiB: a host's view is computed again whenever it changes."""
    return size // MEBIBYTE * MEBIBYTE


def _mib(size: int) -> str:
    return f"{size // MEBIBYTE:,} MiB"


IN_NO_POOL = "is in no pool any longer"
"""Why a host gets no new work that no settings name any longer, and that is not registered."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a swarm of several: its id, its machine's name, its state in the swarm's words, whether it takes work, its processors, and
    its memory in bytes (None where the swarm does not say)."""

    id: str
    name: str
    state: str
    takes_work: bool
    cpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class HostView:
    """What is known of a host now. ``reason`` says in words why it is not usable, ``since`` (milliseconds) since when. ``circuit`` is the
    state of its breaker, ``faults`` the number in a row until now, ``retry_at`` (milliseconds) when an open breaker admits a call.
    ``clock_skew``: how far its clock is ahead of the worker's, in milliseconds; None while that is not known. ``node_cpus`` and
    ``node_memory`` (bytes): the most that one of its swarm's nodes has which takes work now; None while that is not known.

    ``running``: how many executions there are on its own node, and of its swarm's on no host's node, on one of its managers: the managers
    of a swarm together have each once. ``closed`` says why it gets no new work although it is usable; what is there goes on. ``record`` and
    ``version`` identify the store's record that the worker goes by. ``cpus`` and ``memory`` (bytes) belong to its own machine.
    ``disk``: what is known of the disk of its engine; None when that is nothing. ``members``: the nodes of its swarm, if there are others.
    """

    name: str
    usable: bool
    reason: str | None = None
    since: int | None = None
    swarm_id: str | None = None
    circuit: str = "closed"
    running: int = 0
    faults: int = 0
    retry_at: int | None = None
    clock_skew: int | None = None
    node_cpus: float | None = None
    node_memory: int | None = None
    engine_id: str | None = None
    closed: str | None = None
    record: str | None = None
    version: int = 0
    cpus: int | None = None
    memory: int | None = None
    disk: Disk | None = None
    members: tuple[Node, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it may get new work."""
        return self.usable and self.closed is None

    @property
    def fault(self) -> str | None:
        """What is wrong with it, in words that follow its name; None when nothing is, although it may get no new work on purpose."""
        if not self.usable:
            return self.reason or "is not usable"
        return None if self.disk is None else self.disk.short

    @property
    def closed_since(self) -> int | None:
        """Since when (milliseconds) it gets no new work, where that is known."""
        if not self.usable:
            return self.since
        return self.disk.since if self.disk is not None and self.closed is not None and self.closed == self.disk.short else None

    @property
    def is_given_up(self) -> bool:
        """Whether it is away, and in no pool any longer: nobody may expect it back."""
        return not self.usable and self.closed == IN_NO_POOL

    @property
    def swarm(self) -> str:
        """What distinguishes its swarm from others: the swarm's id, or the host's own name while that is not known."""
        return self.swarm_id or self.name

    def has(self, host: str | None, swarm_id: str | None) -> bool:
        """Whether what was placed on a host, in a swarm if that is known, can be asked about here: this is the host, or a manager of its
        swarm. The same address in another swarm is another host."""
        if swarm_id and self.swarm_id:
            return self.swarm_id == swarm_id
        return self.name == host

    def shortage(self, wanted: Resources) -> str | None:
        """Why no node of its swarm is large enough, in words that follow its name; None where one may be. A node refuses a limit above its
        processors, but none above its memory."""
        cpus, memory = max(wanted.cpus or 0, wanted.reserve_cpus or 0), wanted.reserve_memory or 0
        if self.node_cpus is not None and cpus > self.node_cpus:
            return f"has no node with {cpus:g} processors: its largest has {self.node_cpus:g}"
        if self.node_memory is not None and memory > self.node_memory:
            return f"has no node with {_gib(memory)} of memory: its largest has {_gib(self.node_memory)}"
        return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


@dataclass(frozen=True, slots=True)
class Uncleaned:
    """The number of a host's executions that have ended and whose services are not removed yet, and when the first of them ended
    (milliseconds)."""

    host: str | None
    count: int
    since: int | None


class Views(list[HostView]):
    """Views of hosts, which do not change. Among them, one is found without a look at all others: each execution asks for its host several
    times, and there may be thousands."""

    @cached_property
    def by_name(self) -> Mapping[str, HostView]:
        """The views by the names of their hosts."""
        return {view.name: view for view in self}


def view_of(hosts: Sequence[HostView], name: str | None) -> HostView | None:
    """What is known of the host of this name; None when that is nothing."""
    if name is None:
        return None
    return hosts.by_name.get(name) if isinstance(hosts, Views) else next((view for view in hosts if view.name == name), None)


def reachable_manager(hosts: Sequence[HostView], name: str, swarm_id: str | None, *, first: str | None = None) -> str:
    """The first of the ``reachable_managers``. Most often it is the wanted one, and no other host is looked at."""
    wanted = first or name
    found = view_of(hosts, wanted)
    if found is not None and found.usable and found.has(name, swarm_id):
        return wanted
    return reachable_managers(hosts, name, swarm_id, first=first)[0]


def reachable_managers(hosts: Sequence[HostView], name: str, swarm_id: str | None, *, first: str | None = None) -> Sequence[str]:
    """The usable managers to ask about what was placed on the host ``name``, in the order in which to ask them: ``first``, the host itself,
    the other managers of its swarm. When none of them is usable, it is the host itself, unless a host of another swarm has its address
    now: then a name that no host has, since that host must not be asked."""
    usable = [host.name for host in hosts if host.usable and host.has(name, swarm_id)]
    if usable:
        return sorted(usable, key=lambda other: (other != first, other != name))
    taken = any(host.name == name and not host.has(name, swarm_id) for host in hosts)
    return [f"{name} of the swarm {swarm_id}" if taken else name]


NAMESPACE = "f057a11e-0000-8000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """Which engine answers at an address: its own id, and its swarm's id."""

    engine_id: str
    swarm_id: str


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host. Each change raises ``version``, which begins at 1. Moments are in milliseconds.

    ``pool``: the pool that it was registered in; None for a host that only the settings name, or did. ``weight`` and ``max_running``
    come from the registration. ``engine_id`` and ``swarm_id``: the engine that answers there, None while none has. ``removed_at``: when it
    was removed; None while it is in use. What was bound to it by ``lost_until`` in the swarm ``lost_swarm`` (None: in any) is lost.
    ``disk_refused_first`` and ``disk_refused_last`` are the moments of its engine's ``Refusals``, None while there were none.
    """

    id: str
    address: str
    version: int = 1
    pool: str | None = None
    weight: int = 1
    max_running: int | None = None
    drained: bool = False
    engine_id: str | None = None
    swarm_id: str | None = None
    registered_at: int | None = None
    registered_by: Requester | None = None
    removed_at: int | None = None
    lost_until: int | None = None
    lost_swarm: str | None = None
    disk_refused_first: int | None = None
    disk_refused_last: int | None = None

    @property
    def identity(self) -> EngineIdentity | None:
        """The engine that answers there; None while none has."""
        return None if self.engine_id is None or self.swarm_id is None else EngineIdentity(self.engine_id, self.swarm_id)

    @property
    def refusals(self) -> Refusals | None:
        """The starts that its engine refused because its disk was full."""
        return Refusals.between(self.disk_refused_first, self.disk_refused_last)

    def changed(self, **values: object) -> "HostRecord":
        """The next version of the record."""
        return replace(self, version=self.version + 1, **values)  # type: ignore[arg-type]


def place_of(record: HostRecord) -> tuple[str, str]:
    """The place of a record in the list of all: by address and id."""
    return record.address, record.id


@dataclass(frozen=True, slots=True)
class HostLoad:
    """How many executions of a host have a service there (``bound``), are to get one (``placed``), and have ended although their service is
    not removed yet (``uncleaned``)."""

    bound: int = 0
    placed: int = 0
    uncleaned: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.bound + self.placed + self.uncleaned


def record_id(address: str, identity: EngineIdentity | None = None) -> str:
    """The id of the record of an address; of a further engine at a local address when ``identity`` is given."""
    return derived_id(NAMESPACE, address if identity is None else f"{address} {identity.engine_id} {identity.swarm_id}")


def is_local(address: str) -> bool:
    """Whether each machine has an engine of its own at this address."""
    return address.startswith("unix://")
