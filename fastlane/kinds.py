"""The kinds of values that settings have: how each is read from text or TOML, shown again, and made definite at the start.

A reader raises ``ValueError`` whose text says what to write instead, or ``Invalid`` when there is more than one thing to say. What it
reads, ``show`` writes in a form that it reads again. Readers of secrets never repeat the value.
"""

import difflib
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from fastlane.errors import Fault, Invalid
from fastlane.log import scrub
from fastlane.models.pool import Pool, Pull, pool_faults
from fastlane.models.schedule import read_duration

Role = Literal["up", "api", "worker"]

LOCAL_ENGINE = "unix:///var/run/docker.sock"
SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Start:
    """What defaults depend on: the command, the current directory, DOCKER_HOST, and whether standard error is a terminal."""

    role: Role
    cwd: Path
    docker_host: str | None
    terminal: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is read (from text, or what TOML gives), shown, and made definite (absolute, not ``auto``)."""

    read: Callable[[object], Any]
    show: Callable[[Any], str] = str
    settle: Callable[[Any, Start], Any] = lambda value, _start: value
    tables: bool = False
    """Whether it is shown as JSON: a list of tables."""


def shown(value: object) -> str:
    """A wrong value, quoted in a fault: bounded."""
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def read_text(value: object) -> str:
    """Text without the spaces around it."""
    if not isinstance(value, str):
        raise ValueError("is not text; put it in quotes")
    return value.strip()


def _directory(value: object) -> Path:
    text = read_text(value)
    if not text or "\0" in text:
        raise ValueError("is not a directory; write a path such as .fastlane or /var/lib/fastlane")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{shown(text)} names the home of an unknown user; write the whole path") from None


def _store_url(value: object) -> str:
    text = read_text(value)
    if text.startswith(("mongodb://", "mongodb+srv://")):
        raise ValueError(f"names MongoDB; this version has the SQLite store only, so write {SQLITE}PATH or leave it out")
    if not text.startswith(SQLITE) or text.removeprefix(SQLITE) in ("", "/", ":memory:") or "\0" in text:
        raise ValueError(f"is not the URL of a store; write {SQLITE}PATH ({SQLITE}/var/lib/fastlane/fastlane.db is an absolute path)")
    return text


SENTINELS = re.compile(
    r"redis\+sentinel://([^/@?#]*@)?(HOST(:[0-9]{1,5})?)(,HOST(:[0-9]{1,5})?)*/[A-Za-z0-9._-]+(/[0-9]{1,5})?".replace(
        "HOST", r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])"
    ),
    re.ASCII,
)


def _redis_url(value: object) -> str:
    text = read_text(value)
    if SENTINELS.fullmatch(text):
        return text
    try:
        url = urlsplit(text)
        usable = url.path not in ("", "/") if url.scheme == "unix" else bool(url.hostname) and url.port != 0 and "@" not in url.path
    except ValueError:
        usable = False
    if not usable or url.scheme not in ("redis", "rediss", "unix"):
        raise ValueError(
            "is not the URL of a Redis; write redis://HOST:6379/0, rediss://… with TLS, unix:///PATH, or, with Sentinels, "
            "redis+sentinel://HOST:26379,HOST:26379/SERVICE"
        )
    return text


def _address(value: object) -> str:
    text = read_text(value)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IP address; write 127.0.0.1 for this machine only, 0.0.0.0 for all interfaces") from None


def _port(value: object) -> int:
    if isinstance(value, str) and value.startswith("tcp://"):
        raise ValueError("was set by Kubernetes for a service named fastlane; set enableServiceLinks: false in the pod")
    return _whole(value, 0, 65_535)


def _whole(value: object, least: int, most: int) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{shown(value)} is not a whole number from {least} to {most}")
    return value


def _public_url(value: object) -> str:
    text = read_text(value).removesuffix("/")
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or text != f"{url.scheme}://{url.netloc}" or "@" in url.netloc:
        raise ValueError("is not the address under which people reach fastlane; write https://HOST or http://HOST:PORT, without a path")
    return text


def _words(value: object, first: str, second: str) -> tuple[str, ...]:
    """A list of texts, in the environment separated by commas; the two are an example."""
    rows = value.split(",") if isinstance(value, str) else value
    if not isinstance(rows, list | tuple):
        raise ValueError(f'is not a list; write ["{first}", "{second}"], in the environment {first},{second}')
    return tuple(read_text(row) for row in rows)


def _proxies(value: object) -> tuple[str, ...]:
    proxies = _words(value, "10.0.0.1", "10.1.0.0/16")
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise ValueError(f"{proxy!r} is not an IP address, nor a network such as 10.1.0.0/16") from None
    return proxies


def _origins(value: object) -> tuple[str, ...]:
    origins = tuple(origin.removesuffix("/").lower() for origin in _words(value, "https://dash.example.com", "http://localhost:3000"))
    for origin in origins:
        try:
            url = urlsplit(origin)
            usable = url.scheme in ("http", "https") and bool(url.hostname) and origin == f"{url.scheme}://{url.netloc}"
            usable = usable and "@" not in url.netloc and url.port not in (0, 80 if url.scheme == "http" else 443)
        except ValueError:
            usable = False
        if not usable or "*" in origin:
            raise ValueError(f"{shown(origin)} is not the origin of pages; write https://HOST or http://HOST:PORT as browsers do: no path")
    return origins


def _redact_words(value: object) -> tuple[str, ...]:
    words = _words(value, "password", "token")
    if not all(words):
        raise ValueError("has an empty word, which would be part of every name; leave it out")
    return words


def _installation(value: object) -> str:
    text = read_text(value)
    if not re.fullmatch(r"[a-z0-9-]{1,40}", text):
        raise ValueError(f"{shown(text)} is not a name; use 1 to 40 of a-z, 0-9 and '-'")
    return text


def _duration(value: object) -> float:
    if (isinstance(value, int | float) and not isinstance(value, bool)) or (isinstance(value, str) and re.fullmatch(r"[0-9. ]+", value)):
        raise ValueError(f'{value} has no unit; write "{str(value).strip()}s" for seconds')
    seconds = read_duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


def show_duration(seconds: float) -> str:
    """Seconds as a duration is written: ``1h30m``."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{hours:.0f}h"] * (hours > 0) + [f"{minutes:.0f}m"] * (minutes > 0) + [f"{rest:.10g}s"] * (rest > 0)
    return "".join(parts)


UNITS = {"gib": 1024**3, "mib": 1024**2, "kib": 1024}


def _size(value: object) -> int:
    found = re.fullmatch(r"([0-9]{1,16})\s*(kib|mib|gib|)", value.strip().lower(), re.ASCII) if isinstance(value, str) else None
    size = int(found[1]) * UNITS.get(found[2], 1) if found else value
    if isinstance(size, bool) or not isinstance(size, int) or not 1024 <= size <= 2**50:
        raise ValueError(f'{shown(value)} is not a size; write "512KiB", "1MiB", "1GiB", or a number of bytes from 1024')
    return size


def _show_size(size: int) -> str:
    return next((f"{size // factor}{unit[0].upper()}iB" for unit, factor in UNITS.items() if size % factor == 0), str(size))


def _host(value: object) -> str:
    text = read_text(value)
    if not re.fullmatch(r"unix:///\S+|(tcp://)?([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}", text, re.ASCII):
        raise ValueError(f"{shown(text)} is not the address of a Docker engine; write {LOCAL_ENGINE}, HOST:2375 or tcp://HOST:2375")
    return text


def _hosts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f'is not a list; write ["{LOCAL_ENGINE}"]')
    return tuple(_host(row) for row in value)


Columns = Mapping[str, tuple[str, Callable[[object], Any]]]
"""The keys of a table as people write them, each with the name of the attribute that it becomes, and its reader."""


def read_raw(value: object) -> str:
    """Text as it stands."""
    return value if isinstance(value, str) else read_text(value)


POOL_KEYS: Columns = {
    "name": ("name", read_text),
    "match": ("match", read_raw),
    "hosts": ("hosts", _hosts),
    "maxRunning": ("max_running", lambda value: _whole(value, 1, 100_000)),
    "pull": ("pull", lambda value: Pull(read_choice(*Pull)(value))),
}


def _pools(value: object) -> tuple[Pool, ...]:
    example = f'[{{"name": "default", "match": "", "hosts": ["{LOCAL_ENGINE}"]}}]'
    pools = [Pool(**row) for row in read_tables(value, "pool", POOL_KEYS, ("name", "match", "hosts"), example)]
    if messages := pool_faults(pools):
        raise Invalid([Fault("", message) for message in messages])
    return tuple(pools)


def read_tables(value: object, noun: str, columns: Columns, required: Iterable[str], example: str) -> list[dict[str, Any]]:
    """A list of tables, as TOML has it or as JSON text: the attributes of each. Raises Invalid with the faults of all, ValueError for what
    is no such list. Values stand in no fault unless a column's reader puts them there."""
    rows = value
    if isinstance(value, str):
        try:
            rows = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"is not JSON; write {example}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"is not a list of {noun}s; write a table [[{noun}s]] for each, in the environment a JSON list of objects")
    faults: list[Fault] = []
    tables = [_read_table(row, f"{noun} {number}", columns, required, faults) for number, row in enumerate(rows, 1)]
    if faults:
        raise Invalid(faults)
    return tables


def _read_table(row: Mapping[str, object], place: str, columns: Columns, required: Iterable[str], faults: list[Fault]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    faults += [Fault("", f"{place}: has no {key}") for key in required if key not in row]
    for key, value in row.items():
        if key not in columns:
            faults.append(Fault("", f"{place}: {unknown(key, columns)}"))
            continue
        attribute, read = columns[key]
        try:
            found[attribute] = read(value)
        except ValueError as error:
            faults.append(Fault("", f"{place}: {key} {error}"))
    return found


def _show_pools(pools: tuple[Pool, ...]) -> str:
    return json.dumps([pool_row(pool) for pool in pools], ensure_ascii=False)


def pool_row(pool: Pool) -> dict[str, object]:
    """A pool as people write it, under ``[[pools]]`` or as JSON."""
    return {key: list(pool.hosts) if key == "hosts" else getattr(pool, attribute) for key, (attribute, _) in POOL_KEYS.items()}


def default_pools(docker_host: str | None) -> tuple[Pool, ...]:
    """One pool for all tasks, on the engine that DOCKER_HOST names, else on the local one."""
    return (Pool("default", "", (_host(docker_host) if docker_host else LOCAL_ENGINE,)),)


def unknown(name: str, known: Iterable[str]) -> str:
    """The fault of a name that is not among the known ones; says the nearest."""
    nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)
    return f"{name} is not known; the nearest known name is {nearest[0]}"


def read_choice(*words: str) -> Callable[[object], str]:
    """The reader of one of these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError(f"{shown(value)} is none of {', '.join(words)}")
        return value.strip().lower()

    return read


DIRECTORY = Kind(_directory, settle=lambda path, start: start.cwd / path)
STORE_URL = Kind(_store_url, scrub, settle=lambda url, start: f"{SQLITE}{start.cwd / url.removeprefix(SQLITE)}")
REDIS_URL = Kind(_redis_url, scrub)
ADDRESS = Kind(_address)
PORT = Kind(_port)
PUBLIC_URL = Kind(_public_url)
PROXIES = Kind(_proxies, ",".join)
ORIGINS = Kind(_origins, ",".join)
REDACT_WORDS = Kind(_redact_words, ",".join)
INSTALLATION = Kind(_installation)
POOLS = Kind(_pools, _show_pools, tables=True)
DURATION = Kind(_duration, show_duration)
SIZE = Kind(_size, _show_size)
COUNT = Kind(lambda value: _whole(value, 1, 1000))
PER_PAGE = Kind(lambda value: _whole(value, 1, 100))
LOG_FORMAT = Kind(
    read_choice("auto", "console", "json"), settle=lambda word, start: ("console" if start.terminal else "json") if word == "auto" else word
)
LOG_LEVEL = Kind(read_choice("debug", "info", "warning", "error"))
