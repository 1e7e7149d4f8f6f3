"""What a job may set for its container in addition to the command: its share of a node (``Resources``) and its options (``Container``).

Here are the values, the readers of the texts that people write for them, the policy and the limits of a pool with the faults that they
find, and the escape from Swarm's templates. Pure.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

from fastlane.errors import Fault, quoted
from fastlane.models.schedule import read_duration_or_seconds, show_duration


@dataclass(frozen=True, slots=True)
class Resources:
    """The limits of a container, and what its node reserves for it; None: no limit, no reservation.

    ``cpus`` is a number of processors (1.5), ``memory`` is in bytes, ``pids`` counts processes and threads. ``reserve_generic``: how many
    of the node's generic resources, such as GPUs, by name.
    """

    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None
    reserve_cpus: float | None = None
    reserve_memory: int | None = None
    reserve_generic: Mapping[str, int] = field(default_factory=dict)

    def within(self, limits: "Resources") -> "Resources":
        """These resources under a pool's limits, which fill in what is not set."""
        if limits == NO_RESOURCES:
            return self
        return replace(
            self,
            cpus=limits.cpus if self.cpus is None else self.cpus,
            memory=limits.memory if self.memory is None else self.memory,
            pids=limits.pids if self.pids is None else self.pids,
        )


STOP_GRACE = 10_000
"""Default milliseconds between the stop signal and the kill. Always set, never left to an engine's default."""


class MountKind(StrEnum):
    """What is mounted: a path on the node, a named volume of its engine, or memory."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount at ``target``. ``source`` is the path on the node or the name of the volume. A tmpfs has a ``size`` in bytes instead."""

    kind: MountKind
    target: str
    source: str | None = None
    read_only: bool = False
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the swarm; the container reads it from the file ``/run/secrets/<target>``."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A config of the swarm, as the file ``target`` of a container. ``mode``: the permissions, as chmod counts them."""

    name: str
    target: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


@dataclass(frozen=True, slots=True)
class Ulimit:
    """What a process may use of one thing: up to ``soft``, which it may raise up to ``hard``. -1: no limit."""

    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Container:
    """A container's options; the image and the engine decide those that are None or empty. ``stop_grace`` is in milliseconds.

    ``init``: whether an init process runs the command. ``networks``: names; ``host`` is the node's own network. ``constraints``: Swarm's
    placement constraints. ``extra_hosts``: addresses by host name, for the container's ``/etc/hosts``. ``entrypoint``: the program and its
    first arguments, in place of the image's; the command follows them. ``read_only``: whether its root file system cannot be written.
    ``dns``: addresses of name servers. ``cap_add`` and ``cap_drop``: Linux's capabilities, by names without ``CAP_``. ``sysctls`` and
    ``ulimits`` by name.
    """

    user: str | None = None
    workdir: str | None = None
    init: bool | None = None
    stop_signal: str | None = None
    stop_grace: int | None = None
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    constraints: tuple[str, ...] = ()
    extra_hosts: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    hostname: str | None = None
    read_only: bool | None = None
    dns: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    configs: tuple[ConfigFile, ...] = ()


NO_RESOURCES = Resources()
NO_CONTAINER = Container()


LEAST_CPUS, MAX_CPUS = 0.001, 100_000
LEAST_MEMORY = 4 * 1024**2
"""Bytes; the engine accepts no less."""
LEAST_TMPFS = 4 * 1024
MAX_BYTES = 2**50
MAX_PIDS = 2**22
"""Linux's own maximum."""
LEAST_GRACE, MAX_GRACE = 1_000, 3_600_000
"""Milliseconds. The engine counts whole seconds, so that less than one would be none."""
MAX_PATH = 1024
MAX_HOSTNAME = 64

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,63}"
USER = re.compile(rf"{NAME}(?::{NAME})?")
NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
SECRET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
SECRET_FILE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}")
MODE = re.compile("0?[0-7]{3}")
GENERIC = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
MAX_GENERIC = 1_000_000
MAX_FILE_ID = 2**32 - 2
CONSTRAINT = re.compile(
    r" *(node\.(?:id|hostname|role|platform\.os|platform\.arch)|(?:node|engine)\.labels\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})"
    r" *(==|!=) *([A-Za-z0-9:_.*()?+\[\]\\^$|/-]{1,128}) *"
)
SERVICE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,3})?) *(?:([kmg])(?:ib)?|b)?", re.IGNORECASE | re.ASCII)
_ULIMIT = re.compile("-1|[0-9]{1,19}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM "
    "PROF WINCH IO PWR SYS"
)
SIGNALS: Mapping[str, int] = {
    **{name: number for number, name in enumerate(_SIGNALS.split(), 1)},
    **{"RTMIN" + (f"+{more}" if more else ""): 34 + more for more in range(16)},
    **{"RTMAX" + (f"-{less}" if less else ""): 64 - less for less in range(15)},
}
"""The numbers of Linux's signals, by name without ``SIG``."""
_NUMBERED = {number: name for name, number in SIGNALS.items()}

_CAPABILITIES = (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID "
    "IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW "
    "PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
)
ALL_CAPABILITIES = "ALL"
CAPABILITIES = (ALL_CAPABILITIES, *_CAPABILITIES.split())
"""Linux's, by name without ``CAP_``, and the word for all of them."""
_ULIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
ULIMITS = tuple(_ULIMITS.split())
"""The names that engines know."""
UNLIMITED, MAX_ULIMIT = -1, 2**63 - 1
SYSCTL = re.compile(r"[a-z][a-z0-9_]{0,31}(?:\.[A-Za-z0-9_-]{1,64}(?:/[A-Za-z0-9_-]{1,64})?){1,8}")
SYSCTL_VALUE = re.compile(r"[\t\x20-\x7e]{1,256}")

UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def read_cpus(value: object) -> float:
    """Reads a number of processors, such as 0.5."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= LEAST_CPUS:
        raise ValueError(f"{quoted(value)} is not a number of processors from {LEAST_CPUS} to {MAX_CPUS}; write 0.5 for half of one")
    if value > MAX_CPUS:
        raise ValueError(f"{quoted(value)} is too large; write a number of processors from {LEAST_CPUS} to {MAX_CPUS}")
    return float(value)


def read_memory(value: object) -> int:
    """Reads an amount of memory, in bytes."""
    return read_size(value, LEAST_MEMORY)


def read_pids(value: object) -> int:
    """Reads a number of processes and threads."""
    number = as_integer(value)
    if number is None or number < 1:
        raise ValueError(f"{quoted(value)} is not a whole number of processes from 1 to {MAX_PIDS}")
    if number > MAX_PIDS:
        raise ValueError(f"{quoted(value)} is too large; write a whole number of processes from 1 to {MAX_PIDS}")
    return number


def read_size(value: object, least: int) -> int:
    """Reads bytes, ``least`` or more: a number, or text such as ``512m``, ``1.5g``, ``64KiB``, where k is 1,024."""
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    size = int(float(found[1]) * UNITS.get((found[2] or "").lower(), 1)) if found else as_integer(value)
    if size is None:
        raise ValueError(f'{quoted(value)} is not a size; write "512m", "1.5g", "512MiB", or a number of bytes from {least}')
    if size > MAX_BYTES:
        raise ValueError(f"{quoted(value)} is too large; write a size from {show_size(least)} to {show_size(MAX_BYTES)}")
    if size < least:
        raise ValueError(f'{quoted(value)} is not a size from {show_size(least)} to {show_size(MAX_BYTES)}, such as "512m" or "1GiB"')
    return size


def show_size(size: int) -> str:
    """Bytes in the largest unit that is exact: ``512MiB``."""
    return next((f"{size // factor}{unit.upper()}iB" for unit, factor in reversed(UNITS.items()) if size % factor == 0), str(size))


def read_user(value: object) -> str:
    """Reads a user, with or without a group, by name or number."""
    text = read_text(value)
    if not USER.fullmatch(text):
        raise ValueError(f'{quoted(text)} is not a user; write a name or number, with or without a group: "1000", "app", "1000:1000"')
    return text


def read_path(value: object) -> str:
    """Reads an absolute path. Drops a slash at the end; refuses parts such as ``..`` that would give a path two spellings."""
    text = read_text(value)
    if len(text) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    first, *parts = text.split("/")
    if first or not parts:
        raise ValueError(f"{quoted(text)} is not an absolute path; begin it with /")
    if parts[-1] == "":
        parts.pop()
    if not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError(f"{quoted(text)} has an empty part, '.' or '..'; write the path without them")
    if ":" in text or "{{" in text or _CONTROL.search(text):
        raise ValueError(f"{quoted(text)} has ':', '{{{{' or a control character; use a path without them")
    return "/" + "/".join(parts)


def read_signal(value: object) -> str:
    """Reads a signal, such as ``SIGTERM``, ``TERM`` or 15; returns its full name."""
    number = as_integer(value)
    text = value.strip().upper().removeprefix("SIG") if isinstance(value, str) else ""
    if text.isascii() and text.isdigit() and len(text) <= 2:
        number = int(text)
    name = _NUMBERED.get(number, "") if number is not None else text
    if name not in SIGNALS:
        raise ValueError(f'{quoted(value)} is not a signal; write its name or number: "SIGTERM", "INT", 15')
    return f"SIG{name}"


def read_grace(value: object) -> int:
    """Reads a duration from one second to one hour, in milliseconds."""
    milliseconds = round(read_duration_or_seconds(value) * 1000)
    if not LEAST_GRACE <= milliseconds <= MAX_GRACE:
        least, most = show_duration(LEAST_GRACE / 1000), show_duration(MAX_GRACE / 1000)
        raise ValueError(f"{quoted(value)} is not a duration from {least} to {most}")
    return milliseconds


def read_network(value: object) -> str:
    """Reads the name of a network."""
    return _named(NETWORK, value, "a network", '"backend", or "host" for the node\'s own')


def read_volume(value: object) -> str:
    """Reads the name of a volume."""
    return _named(VOLUME_NAME, value, "a volume", "\"data\": two or more letters, digits, '_', '.' and '-'")


def read_secret(value: object) -> str:
    """Reads the name of a secret."""
    return _named(SECRET, value, "a secret of the swarm", '"db-password"')


def read_config(value: object) -> str:
    """Reads the name of a config."""
    return _named(SECRET, value, "a config of the swarm", '"shop-conf"')


def read_mode(value: object) -> int:
    """Reads the permissions of a file, in octal digits."""
    text = value if isinstance(value, str) else ""
    if not MODE.fullmatch(text):
        raise ValueError(f'{quoted(value)} is not the permissions of a file; write them as text in octal digits: "0440"')
    return int(text, 8)


def show_mode(mode: int) -> str:
    """The permissions of a file in octal digits: ``0440``."""
    return f"{mode:04o}"


def read_generic(value: object) -> str:
    """Reads the name of a generic resource."""
    return _named(GENERIC, value, "a generic resource", '"gpu"')


def read_count(value: object) -> int:
    """Reads how many of a generic resource, which may be written as text."""
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,7}", value) else as_integer(value)
    if number is None or not 1 <= number <= MAX_GENERIC:
        raise ValueError(f"{quoted(value)} is not a whole number from 1 to {MAX_GENERIC}")
    return number


def read_service(value: object) -> str:
    """Reads the name of a service of the swarm."""
    return _named(SERVICE, value, "a service of the swarm", '"shop_web"')


def read_secret_file(value: object) -> str:
    """Reads the file name of a secret."""
    return _named(SECRET_FILE, value, "a file in /run/secrets", '"password.txt"')


def read_constraint(value: object) -> str:
    """Reads a placement constraint of Swarm; returns it without spaces."""
    text = read_text(value)
    found = CONSTRAINT.fullmatch(text)
    if found is None:
        raise ValueError(
            f'{quoted(text)} is not a constraint; write "node.labels.disk==ssd": node.id, node.hostname, node.role, node.platform.os, '
            "node.platform.arch, node.labels.NAME or engine.labels.NAME, then == or !=, then a value"
        )
    return "".join(found.groups())


def read_host_name(value: object) -> str:
    """Reads a host name; returns it in lower case."""
    return _named(HOST_NAME, value, "a host", '"db" or "db.internal"').lower()


def read_hostname(value: object) -> str:
    """Reads the host name of a container; returns it in lower case. Linux takes up to 64 characters."""
    text = read_text(value)
    if len(text) > MAX_HOSTNAME or not HOST_NAME.fullmatch(text):
        raise ValueError(
            f'{quoted(text)} is not a host name; write one of up to {MAX_HOSTNAME} characters, such as "worker" or "worker.lan"'
        )
    return text.lower()


def read_capability(value: object) -> str:
    """Reads a capability, such as ``NET_ADMIN``, ``CAP_NET_ADMIN`` or ``net_admin``; returns its name without ``CAP_``."""
    text = read_text(value)
    name = (text.upper() if text.islower() else text).removeprefix("CAP_")
    if name not in CAPABILITIES:
        raise ValueError(f'{quoted(value)} is not a capability of Linux; write one such as "NET_ADMIN" or "CAP_NET_ADMIN", or "ALL"')
    return name


def read_sysctl(value: object) -> str:
    """Reads the name of a kernel parameter."""
    return _named(SYSCTL, value, "a kernel parameter", '"net.core.somaxconn"')


def read_sysctl_value(value: object) -> str:
    """Reads the value of a kernel parameter: text or a whole number."""
    number = as_integer(value)
    text = read_text(value) if number is None else str(number)
    if not SYSCTL_VALUE.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a value of a kernel parameter; write a number or up to 256 characters of ASCII")
    return text


def read_ulimit_name(value: object) -> str:
    """Reads the name of a ulimit."""
    text = read_text(value)
    if text not in ULIMITS:
        raise ValueError(f"{quoted(text)} is not a ulimit; there are {', '.join(ULIMITS)}")
    return text


def read_ulimit(value: object) -> Ulimit:
    """Reads a ulimit that is written as one number, or as text such as ``1024`` and ``1024:2048``, the soft and the hard limit."""
    parts = value.split(":") if isinstance(value, str) else [value]
    limits = [int(part) if isinstance(part, str) and _ULIMIT.fullmatch(part) else as_integer(part) for part in parts]
    if len(parts) > 2 or None in limits or not all(UNLIMITED <= one <= MAX_ULIMIT for one in limits if one is not None):
        words = f"is not a ulimit; write a whole number from {UNLIMITED} (no limit) to {MAX_ULIMIT}"
        raise ValueError(f'{quoted(value)} {words}, or a soft and a hard one: {{"soft": 1024, "hard": 2048}} or "1024:2048"')
    soft, hard = (one for one in (limits[0], limits[-1]) if one is not None)
    return checked_ulimit(Ulimit(soft, hard))


def checked_ulimit(limit: Ulimit) -> Ulimit:
    """The ulimit. Raises ValueError when its soft limit is above its hard one."""
    if limit.hard != UNLIMITED and not UNLIMITED < limit.soft <= limit.hard:
        raise ValueError(f"has a soft limit ({limit.soft}) above its hard one ({limit.hard}); set that or less")
    return limit


def read_address(value: object) -> str:
    """Reads an IP address; returns its usual form."""
    text = read_text(value)
    try:
        if "%" not in text:
            return str(ip_address(text))
    except ValueError:
        pass
    raise ValueError(f'{quoted(text)} is not an IP address; write one such as "10.0.0.7" or "2001:db8::7"')


def read_mount(value: object) -> Mount:
    """Reads a mount in the form of ``docker run -v``, ``SOURCE:TARGET`` or ``SOURCE:TARGET:ro``, of a path on the node or a volume."""
    source, *rest = read_text(value).split(":")
    if len(rest) not in (1, 2) or rest[1:] not in ([], ["ro"], ["rw"]):
        raise ValueError(f'{quoted(value)} is not a mount; write "SOURCE:TARGET" or "SOURCE:TARGET:ro", where SOURCE is a path or a volume')
    kind = MountKind.BIND if source.startswith("/") else MountKind.VOLUME
    return Mount(kind, read_target(rest[0]), read_path(source) if kind is MountKind.BIND else read_volume(source), rest[1:] == ["ro"])


def read_target(value: object) -> str:
    """Reads the path of a mount in the container."""
    target = read_path(value)
    if target == "/":
        raise ValueError("is the root of the container; choose a path below it")
    return target


def read_boolean(value: object) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{quoted(value)} is neither true nor false")
    return value


def read_text(value: object) -> str:
    """Text with the spaces around it."""
    if not isinstance(value, str):
        raise ValueError("is not text; put it in quotes")
    return value


def as_integer(value: object) -> int | None:
    """A whole number, which may be written as ``3.0``; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _named(form: re.Pattern[str], value: object, what: str, example: str) -> str:
    text = read_text(value)
    if not form.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not the name of {what}; write one such as {example}")
    return text


OPENING = "{{"
ESCAPED = '{{"{{"}}'


def literal(text: str) -> str:
    """Escapes text for Swarm, which expands Go templates in an environment and in mounts, so that it expands to the text itself.

    Swarm also expands a host name, which has no braces (see ``read_hostname``), and a volume's labels and options, which are never
    submitted. It leaves everything else alone.
    """
    return text.replace(OPENING, ESCAPED)


def literal_size(text: str) -> int:
    """The size of ``literal(text)`` in bytes: up to four times the size of the text."""
    return len(text.encode()) + text.count(OPENING) * (len(ESCAPED) - len(OPENING))


ANYTHING = ("*",)
READ_ONLY = ":ro"
VOLUME_PREFIX = "volume:"
TMPFS = "tmpfs"
MAX_SHOWN = 5
"""How many items of a list a fault repeats."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The allowed patterns for each option. ``init``: whether jobs may set it. ``stop_grace``: the longest, in milliseconds; None: jobs may
    not set it. ``entrypoint``: whether jobs that run as a service's container may set it; others always may. ``FREE`` options are not
    here. ``generic``: generic resources, which ``Resources`` ask for."""

    user: tuple[str, ...] = ()
    workdir: tuple[str, ...] = ()
    init: bool = False
    stop_signal: tuple[str, ...] = ()
    stop_grace: int | None = None
    mounts: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    entrypoint: bool = False
    hostname: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    sysctls: tuple[str, ...] = ()
    ulimits: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    generic: tuple[str, ...] = ()


FREE = frozenset({"read_only", "cap_drop"})
"""The options that every job may set: they take rights away from a container, or change what nobody but the container sees."""
DEFAULT_POLICY = Policy()
"""Allows nothing."""


def policy_faults(container: Container, policy: Policy, pool: str, *, of_service: bool = False) -> list[Fault]:
    """The options that the policy of this pool does not allow, by field; each fault says what the policy does allow. ``of_service``: the
    job runs as a service's container, whose entry point may be what drops its rights."""
    faults = list(_faults(container, policy, pool))
    if of_service and container.entrypoint and not policy.entrypoint:
        words = f"is beside a service, and the policy of pool {pool!r} allows no entrypoint there"
        faults.append(Fault("container.entrypoint", f"{words}; leave it out, or ask the operator to allow it"))
    return faults


def service_faults(service: str, allowed: Sequence[str], pool: str) -> list[Fault]:
    """The fault of a job that runs as a service's container, where the pool does not allow that service."""
    if any(matches(service, pattern) for pattern in allowed):
        return []
    may = f"it allows {_some(allowed)}" if allowed else "it allows none"
    words = f"is {service!r}: the rule services of pool {pool!r} does not allow it ({may}); name another, or ask the operator to allow it"
    return [Fault("service", words)]


def limit_faults(resources: Resources, limits: Resources, pool: str) -> list[Fault]:
    """The resources that exceed the limits of this pool."""
    asked: Sequence[tuple[str, float | None, float | None, Callable[[Any], str]]] = (
        ("cpus", resources.cpus, limits.cpus, "{:g}".format),
        ("memory", resources.memory, limits.memory, show_size),
        ("pids", resources.pids, limits.pids, str),
        ("reserve.cpus", resources.reserve_cpus, limits.cpus, "{:g}".format),
        ("reserve.memory", resources.reserve_memory, limits.memory, show_size),
    )
    return [
        Fault(f"resources.{field}", f"is more than the limits of pool {pool!r} allow ({show(most)}); set that or less")
        for field, wanted, most, show in asked
        if wanted is not None and most is not None and wanted > most
    ]


def generic_faults(resources: Resources, policy: Policy, pool: str) -> list[Fault]:
    """The generic resources that the policy of this pool does not allow."""
    patterns = policy.generic
    refused = [name for name in resources.reserve_generic if not any(matches(name, pattern) for pattern in patterns)]
    return [_refused("generic", refused, patterns, pool, "resources.reserve.generic")] if refused else []


def matches(text: str, pattern: str) -> bool:
    """Whether the text matches the pattern. The time grows with the product of both lengths at most."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == first
    last = middle.pop()
    place, end = len(first), len(text) - len(last)
    if end < place or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True


def mount_name(mount: Mount) -> str:
    """A mount in the form of a policy's patterns."""
    names = {MountKind.BIND: mount.source or "", MountKind.VOLUME: f"{VOLUME_PREFIX}{mount.source}", MountKind.TMPFS: TMPFS}
    return names[mount.kind] + (READ_ONLY if mount.read_only else "")


def read_mount_pattern(text: str) -> str:
    """Reads a pattern of mounts, and returns its path in the form that is compared. Raises ValueError for one that can never match."""
    what = text.removesuffix(READ_ONLY)
    end = text[len(what) :]
    if what.startswith(VOLUME_PREFIX):
        name = what.removeprefix(VOLUME_PREFIX)
        return VOLUME_PREFIX + (name if "*" in name else read_volume(name)) + end
    if not what.startswith("/"):
        if what not in (TMPFS, *ANYTHING):
            raise ValueError(
                f'{quoted(text)} is not a pattern of mounts; write "/PATH", "/PATH/", "volume:NAME", "tmpfs" or "*", with or without ":ro"'
            )
        return text
    if "*" in what:
        raise ValueError(f'{quoted(text)} has a * in a path, where it is not a wildcard; write "/PATH/" for every path below it')
    path = read_path(what)
    return path + ("/" if what.endswith("/") and path != "/" else "") + end


def _faults(container: Container, policy: Policy, pool: str) -> Iterator[Fault]:
    texts = (
        ("user", _given(container.user), policy.user),
        ("workdir", _given(container.workdir), policy.workdir),
        ("stopSignal", _given(container.stop_signal), policy.stop_signal),
        ("networks", container.networks, policy.networks),
        ("secrets", tuple(secret.name for secret in container.secrets), policy.secrets),
        ("configs", tuple(config.name for config in container.configs), policy.configs),
        ("constraints", container.constraints, policy.constraints),
        ("extraHosts", tuple(container.extra_hosts), policy.extra_hosts),
        ("hostname", _given(container.hostname), policy.hostname),
        ("dns", container.dns, policy.dns),
        ("sysctls", tuple(container.sysctls), policy.sysctls),
        ("ulimits", tuple(container.ulimits), policy.ulimits),
    )
    for option, wanted, patterns in texts:
        refused = [text for text in wanted if not any(matches(text, pattern) for pattern in patterns)]
        if refused:
            yield _refused(option, refused, patterns, pool)
    capabilities = [name for name in container.cap_add if not any(_may_add(name, pattern) for pattern in policy.cap_add)]
    if capabilities:
        yield _refused("capAdd", capabilities, policy.cap_add, pool)
    if container.init is not None and not policy.init:
        yield _refused("init", [str(container.init).lower()], (), pool)
    if container.stop_grace is not None and container.stop_grace > (policy.stop_grace or 0):
        longest = () if policy.stop_grace is None else (f"{show_duration(policy.stop_grace / 1000)} at most",)
        yield _refused("stopGrace", [show_duration(container.stop_grace / 1000)], longest, pool)
    mounts = [mount_name(mount) for mount in container.mounts if not any(_fits(mount, pattern) for pattern in policy.mounts)]
    if mounts:
        yield _refused("mounts", mounts, policy.mounts, pool)


def _may_add(capability: str, pattern: str) -> bool:
    """All capabilities are more than one whose name begins so."""
    return pattern in (*ANYTHING, ALL_CAPABILITIES) if capability == ALL_CAPABILITIES else matches(capability, pattern)


def _fits(mount: Mount, pattern: str) -> bool:
    if pattern.endswith(READ_ONLY):
        return mount.read_only and _fits(mount, pattern.removesuffix(READ_ONLY))
    if pattern in ANYTHING:
        return True
    source = mount.source or ""
    if mount.kind is MountKind.TMPFS:
        return pattern == TMPFS
    if mount.kind is MountKind.VOLUME:
        return pattern.startswith(VOLUME_PREFIX) and matches(source, pattern.removeprefix(VOLUME_PREFIX))
    return source == pattern or (pattern.startswith("/") and pattern.endswith("/") and source.startswith(pattern))


def _refused(option: str, refused: Sequence[str], allowed: Sequence[str], pool: str, field: str = "") -> Fault:
    may = f"it allows {_some(allowed)}" if allowed else f"it allows no {option}"
    words = f"{_some([repr(text) for text in refused])}: the policy of pool {pool!r} does not allow it ({may})"
    return Fault(field or f"container.{option}", f"asks for {words}; leave it out, or ask the operator to allow it")


def _some(texts: Sequence[str]) -> str:
    shorter = [text if len(text) <= 80 else text[:80] + "…" for text in texts[:MAX_SHOWN]]
    return ", ".join([*shorter, *(["…"] if len(texts) > MAX_SHOWN else [])])


def _given(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)
