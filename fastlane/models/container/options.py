"""Readers of a container's options as users write them, in requests and in a pool's policy.

A reader returns the one form in which the option is stored and compared, so that no other spelling (``/srv/../etc``, ``TERM``,
``DB.internal``) evades a policy. It raises ValueError, whose text says what to write instead.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address

from fastlane.errors import quoted
from fastlane.models.container.container import Mount, MountKind
from fastlane.models.schedule.schedule import read_duration_or_seconds, show_duration

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

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@$-]{0,63}"
USER = re.compile(rf"{NAME}(?::{NAME})?")
NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{1,127}")
SECRET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
SECRET_FILE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,128}")
CONSTRAINT = re.compile(
    r" *(node\.(?:id|hostname|role|platform\.os|platform\.arch)|(?:node|engine)\.labels\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})"
    r" *(==|!=) *([A-Za-z0-9:_.*()?+\[\]\\^$|/-]{1,128}) *"
)
_LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,3})?) *(?:([kmg])(?:ib)?|b)?", re.IGNORECASE | re.ASCII)
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
    return _named(VOLUME, value, "a volume", "\"data\": two or more letters, digits, '_', '.' and '-'")


def read_secret(value: object) -> str:
    """Reads the name of a secret."""
    return _named(SECRET, value, "a secret of the swarm", '"db-password"')


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
