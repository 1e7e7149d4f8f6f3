"""The types of settings. Each reads a value from text or TOML, resolves it when a process starts, and shows it again. Here are the readers
of single values (numbers, durations, paths, URLs, addresses, words), of tables with keys (``Key``), and of logins for registries; ``pools``
and ``access`` have types of their own.

A reader raises ``ValueError`` whose text says what to write instead, or ``Invalid`` when there are several faults. It accepts what
``show`` writes. Readers of secrets never repeat the value.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit

from fastlane.errors import Fault, Invalid, nearest, quoted
from fastlane.log import MASK, scrub
from fastlane.models.container import read_size, read_text, show_size
from fastlane.models.cron import read_timezone
from fastlane.models.host import Reserve
from fastlane.models.image import RegistryLogin, registry_host
from fastlane.models.notify import read_address, read_allowed
from fastlane.models.receipt import LEAST_KEY
from fastlane.models.schedule import read_duration, show_duration

LAST_PORT = 65_535
NONE = "none"
"""The word for a setting that is turned off."""
Role = Literal["up", "api", "worker"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """The inputs of defaults: the command, the current directory, the variables DOCKER_HOST and DOCKER_CONFIG, the folder of Docker's
    certificates if DOCKER_TLS_VERIFY is set, and whether standard error is a terminal."""

    role: Role
    cwd: Path
    docker_host: str | None = None
    docker_config: str | None = None
    docker_certificates: Path | None = None
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class SettingType:
    """Type of a setting: ``read`` takes text or a TOML value, ``show`` writes it, ``resolve`` makes it definite (an absolute path, no
    ``auto``)."""

    read: Callable[[object], Any]
    show: Callable[[Any], str] = str
    resolve: Callable[[Any, Invocation], Any] = lambda value, _invocation: value
    empty: Any = None
    """The value of an optional setting that is not set."""
    tables: bool = False
    """Whether the value is a list of tables, which ``show`` writes as JSON."""


def read_stripped_text(value: object) -> str:
    """Text without the spaces around it."""
    return read_text(value).strip()


def read_text_if(fits: str | Callable[[str], bool], words: str, *, quotes: bool = False) -> Callable[[object], str]:
    """A reader of text that is not empty, and matches the regular expression ``fits`` or passes that check. The fault is ``words``, after
    the text where ``quotes`` is true, which no reader of secrets may use."""

    def read(value: object) -> str:
        text = read_stripped_text(value)
        if not text or not (re.fullmatch(fits, text, re.ASCII) if isinstance(fits, str) else fits(text)):
            raise ValueError(f"{quoted(text)} {words}" if quotes else words)
        return text

    return read


def read_file_path(value: object, example: str, noun: str = "file") -> Path:
    """The path of a file."""
    text = read_stripped_text(value)
    if not text or "\0" in text:
        raise ValueError(f"is not a {noun}; write a path such as {example}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{quoted(text)} names the home of an unknown user; write the whole path") from None


_SENTINEL_URL = re.compile(
    r"redis\+sentinel://([^/@?#]*@)?(HOST(:[0-9]{1,5})?)(,HOST(:[0-9]{1,5})?)*/[A-Za-z0-9._-]+(/[0-9]{1,5})?".replace(
        "HOST", r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])"
    ),
    re.ASCII,
)


def _redis_url(value: object) -> str:
    text = read_stripped_text(value)
    if _SENTINEL_URL.fullmatch(text):
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
    text = read_stripped_text(value)
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an IP address; write 127.0.0.1 for this machine only, 0.0.0.0 for everyone") from None


def _port(value: object) -> int:
    if isinstance(value, str) and value.startswith("tcp://"):
        raise ValueError("was set by Kubernetes for a service named fastlane; set enableServiceLinks: false in the pod")
    return read_number(value, 0, LAST_PORT)


def read_number(value: object, least: int, most: int) -> int:
    """A whole number in a range; text is read too."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{quoted(value)} is not a whole number from {least} to {most}")
    return value


def _flag(value: object) -> bool:
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "1", True):
        return True
    if word in ("false", "0", False):
        return False
    raise ValueError(f"{quoted(value)} is neither true nor false")


_URL_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*", re.ASCII)


def _http_url(text: str) -> SplitResult | None:
    """The parts of a URL of HTTP with a host; None for other text."""
    try:
        url = urlsplit(text)
        return url if url.scheme in ("http", "https") and url.hostname and url.port != 0 else None
    except ValueError:
        return None


def _public_url(value: object) -> str:
    text = read_stripped_text(value).removesuffix("/")
    url = _http_url(text)
    if url is None or text != f"{url.scheme}://{url.netloc}{url.path}" or "@" in url.netloc or not _URL_PATH.fullmatch(url.path):
        raise ValueError(
            "is not the address under which people reach fastlane; write https://HOST or http://HOST:PORT, with the path below which a "
            "proxy serves it, if any: https://HOST/PATH"
        )
    return text


def _words(value: object, first: str, second: str) -> tuple[str, ...]:
    """A list of texts, separated by commas in the environment; ``first`` and ``second`` make the example in the fault."""
    rows = value.split(",") if isinstance(value, str) else value
    if not isinstance(rows, list | tuple):
        raise ValueError(f'is not a list; write ["{first}", "{second}"], in the environment {first},{second}')
    return tuple(read_stripped_text(row) for row in rows)


def _proxies(value: object) -> tuple[str, ...]:
    proxies = _words(value, "10.0.0.1", "10.1.0.0/16")
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise ValueError(f"{proxy!r} is not an IP address, nor a network such as 10.1.0.0/16") from None
    return proxies


def _mail_targets(value: object) -> tuple[str, ...]:
    return tuple(map(read_allowed, _words(value, "example.com", "team@example.org")))


def _origins(value: object) -> tuple[str, ...]:
    origins = tuple(origin.removesuffix("/").lower() for origin in _words(value, "https://dash.example.com", "http://localhost:3000"))
    for origin in origins:
        url = _http_url(origin)
        usable = url is not None and origin == f"{url.scheme}://{url.netloc}" and url.port != (80 if url.scheme == "http" else 443)
        if not usable or "@" in origin or "*" in origin:
            raise ValueError(f"{quoted(origin)} is not the origin of pages; write https://HOST or http://HOST:PORT as browsers do: no path")
    return origins


def _redact_words(value: object) -> tuple[str, ...]:
    words = _words(value, "password", "token")
    if not all(words):
        raise ValueError("has an empty word, which every name contains; leave it out")
    if any(not word.strip("_") for word in words):
        raise ValueError("has a word of underscores only; write the word between them: _pass_")
    return words


def _unused_after(value: object) -> float:
    seconds = _duration(value)
    if seconds < 60:
        raise ValueError("must be at least 1m: within half of it, a worker makes the service of an execution that needs the image")
    return seconds


def _is_zero(value: object) -> bool:
    return value == 0 or (isinstance(value, str) and value.strip() in ("0", "0s"))


def _stop_wait(value: object) -> float:
    seconds = 0.0 if _is_zero(value) else _duration(value)
    if seconds > 600:
        raise ValueError("must be at most 10m")
    return seconds


def _usage_every(value: object) -> float:
    if _is_zero(value):
        return 0.0
    seconds = _duration(value)
    if seconds < 1:
        raise ValueError("must be at least 1s, or 0 to turn it off: each container that runs costs its engine a sample")
    return seconds


def _duration(value: object) -> float:
    if (isinstance(value, int | float) and not isinstance(value, bool)) or (isinstance(value, str) and re.fullmatch(r"[0-9. ]+", value)):
        raise ValueError(f'{value} has no unit; write "{str(value).strip()}s" for seconds')
    seconds = read_duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than 0 seconds")
    return seconds


def _mail_interval(value: object) -> float:
    """The interval between mails: at most as long as the time of the last mail is kept."""
    seconds = 0.0 if isinstance(value, str) and re.fullmatch(r"\s*0+\s*(ms|s|m|h|d)\s*", value, re.ASCII) else _duration(value)
    if seconds > 7 * 86_400:
        raise ValueError("must be at most 7d")
    return seconds


_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*", re.ASCII)


def _mail_host(value: object) -> str:
    text = read_stripped_text(value)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        if len(text) > 253 or not _HOST_NAME.fullmatch(text):
            raise ValueError(f"{quoted(text)} is not the name of a server; write smtp.example.com, and its port as smtp_port") from None
    return text


def _receipt_keys(value: object) -> tuple[str, ...]:
    keys = tuple(read_text(value).replace(",", " ").split())
    if not keys or any(len(key) < LEAST_KEY or not key.isprintable() for key in keys):
        raise ValueError(
            f"needs keys of at least {LEAST_KEY} characters, with commas or lines between them; `openssl rand -hex 32` makes one"
        )
    if len(set(keys)) < len(keys):
        raise ValueError("has a key twice")
    return keys


def _mail_password(value: object) -> str:
    text = read_text(value)
    if not text or not text.isprintable():
        raise ValueError("is empty, or has a character that cannot be typed")
    return text


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table: the attribute that it becomes, how its value is read and shown, and the words for the page."""

    attribute: str
    read: Callable[[object], Any]
    default: str = ""
    meaning: str = ""
    show: Callable[[Any], object] = lambda value: value


Keys = Mapping[str, Key]
"""The keys of a table, as users write them."""


def show_keys(value: object, keys: Keys, usual: object = None) -> dict[str, object]:
    """The attributes as users write them, by key. Attributes that are not set, or equal ``usual``, are left out."""
    own = {name: (key, getattr(value, key.attribute)) for name, key in keys.items()}
    row = {
        name: key.show(found)
        for name, (key, found) in own.items()
        if found is not None and (usual is None or found != getattr(usual, key.attribute))
    }
    return {name: shown for name, shown in row.items() if shown not in ({}, None)}


def read_tables(
    value: object, noun: str, keys: Keys, required: Iterable[str], example: str, plural: str | None = None
) -> list[dict[str, Any]]:
    """The attributes of each table in a list from TOML or from JSON text. Raises Invalid with the faults of all tables, ValueError for
    anything but a list of tables. A fault repeats a value only where a key's reader does."""
    tables, faults = read_valid_keys(value, noun, keys, required, example, plural)
    if faults:
        raise Invalid(faults)
    return tables


def read_valid_keys(
    value: object, noun: str, keys: Keys, required: Iterable[str], example: str, plural: str | None = None
) -> tuple[list[dict[str, Any]], list[Fault]]:
    """The readable attributes of each table in such a list, and the faults of the rest. Otherwise like ``read_tables``. ``required`` may
    name alternatives: ``a or b``."""
    rows = value
    if isinstance(value, str):
        try:
            rows = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"is not JSON; write {example}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        plural = plural or f"{noun}s"
        raise ValueError(f"is not a list of {plural}; write a table [[{plural}]] for each, in the environment a JSON list of objects")
    faults: list[Fault] = []
    tables = [_read_row(row, f"{noun} {number}", keys, required, faults) for number, row in enumerate(rows, 1)]
    return tables, faults


def read_table(value: object, keys: Keys) -> dict[str, Any]:
    """The attributes of a table. Raises Invalid, whose faults have the key as field, dotted for nested tables; ValueError for anything but
    a table."""
    if not isinstance(value, dict):
        raise ValueError("is not a table; write { NAME = VALUE }, as JSON an object")
    found, faults = _read_keys(value, keys)
    if faults:
        raise Invalid(faults)
    return found


def _read_keys(value: Mapping[str, object], keys: Keys) -> tuple[dict[str, Any], list[Fault]]:
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for key, given in value.items():
        if key not in keys:
            faults.append(Fault(key, _unknown_key(key, keys)))
            continue
        try:
            found[keys[key].attribute] = keys[key].read(given)
        except Invalid as error:
            faults += [Fault(f"{key}.{fault.field}" if fault.field else key, fault.message) for fault in error.faults]
        except ValueError as error:
            faults.append(Fault(key, str(error)))
    return found, faults


def _read_row(row: Mapping[str, object], place: str, keys: Keys, required: Iterable[str], faults: list[Fault]) -> dict[str, Any]:
    faults += [Fault("", f"{place}: has no {names}") for names in required if not any(name in row for name in names.split(" or "))]
    found, wrong = _read_keys(row, keys)
    faults += [Fault("", f"{place}: {fault.field} {fault.message}") for fault in wrong]
    return found


def unknown(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The fault of an unknown setting's name, with the nearest known name, if one is near. ``prefix``: the common beginning of all these
    names, which makes none nearer."""
    near = nearest(name.removeprefix(prefix), sorted(text.removeprefix(prefix) for text in known))
    hint = f"the nearest known name is {prefix}{near}" if near else "`fastlane config` lists all settings"
    return f"is not a setting; {hint}"


def _unknown_key(key: str, keys: Keys) -> str:
    near = nearest(key, keys)
    return "is not known; " + (f"the nearest known name is {near}" if near else f"the keys are: {', '.join(keys)}")


def read_choice(*words: str) -> Callable[[object], str]:
    """A reader that accepts only these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value.strip().lower() not in words:
            raise ValueError(f"{quoted(value)} is not one of {', '.join(words)}")
        return value.strip().lower()

    return read


def _resolve_path(path: Any, invocation: Invocation) -> Any:
    return invocation.cwd / path


def path_like(example: str, noun: str = "file") -> SettingType:
    """The type of a path."""
    return SettingType(lambda value: read_file_path(value, example, noun), resolve=_resolve_path)


def number(least: int, most: int) -> SettingType:
    """The type of a whole number in a range."""
    return SettingType(lambda value: read_number(value, least, most))


def choice(*words: str) -> SettingType:
    """The type of one of these words."""
    return SettingType(read_choice(*words))


DIRECTORY = path_like(".fastlane or /var/lib/fastlane", "directory")
TLS_FILE = path_like("/etc/fastlane/tls.pem")
REDIS_URL = SettingType(_redis_url, scrub)
ADDRESS = SettingType(_address)
PORT = SettingType(_port)
PUBLIC_URL = SettingType(_public_url)
PROXIES = SettingType(_proxies, ",".join, empty=())
ORIGINS = SettingType(_origins, ",".join, empty=())
REDACT_WORDS = SettingType(_redact_words, ",".join)
INSTALLATION = SettingType(read_text_if(r"[a-z0-9-]{1,40}", "is not a name; use 1 to 40 of a-z, 0-9 and '-'", quotes=True))
DURATION = SettingType(_duration, show_duration)
STOP_WAIT = SettingType(_stop_wait, lambda seconds: show_duration(seconds) if seconds else "0")
USAGE_EVERY = SettingType(_usage_every, lambda seconds: show_duration(seconds) if seconds else "0")
MAIL_INTERVAL = SettingType(_mail_interval, show_duration)
MAIL_HOST = SettingType(_mail_host)
MAIL_USER = SettingType(read_text_if(str.isprintable, "is not a user's name; leave it out if the mail server needs no login"))
MAIL_PASSWORD = SettingType(_mail_password, lambda _value: MASK)
RECEIPT_KEYS = SettingType(_receipt_keys, lambda keys: MASK if keys else "", empty=())
MAIL_TARGETS = SettingType(_mail_targets, ",".join)
MAIL_ADDRESS = SettingType(lambda value: read_address(read_stripped_text(value)))
UNUSED_AFTER = SettingType(_unused_after, show_duration)
SIZE = SettingType(lambda value: read_size(value, 1024), show_size)
FLAG = SettingType(_flag, lambda value: "true" if value else "false")
TIMEZONE = SettingType(lambda value: read_timezone(read_stripped_text(value)))
LOG_FORMAT = SettingType(
    read_choice("auto", "console", "json"),
    resolve=lambda word, invocation: ("console" if invocation.terminal else "json") if word == "auto" else word,
)


_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?) *%", re.ASCII)


def _reserve(value: object) -> Reserve:
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is not None and float(found[1]) < 100:
        return Reserve(part=float(found[1]) / 100)
    try:
        return Reserve(read_size(value, 0))
    except ValueError:
        raise ValueError(f'{quoted(value)} is not a part of a disk; write "512MiB", "5%" (below 100%), or 0 to turn it off') from None


def _show_reserve(reserve: Reserve) -> str:
    return f"{reserve.part * 100:g}%" if reserve.part else show_size(reserve.size) if reserve.size else "0"


RESERVE = SettingType(_reserve, _show_reserve)


SQLITE = "sqlite:///"
MONGO = ("mongodb://", "mongodb+srv://")

FIXED = {
    "readpreference": ("primary", "fastlane decides by what it reads, so it reads from the primary"),
    "readconcernlevel": ("majority", "fastlane reads what a majority of the members has"),
    "w": ("majority", "a write counts once a majority of the members has it"),
    "journal": ("true", "a write counts once it is in the journal"),
    "retrywrites": ("false", "fastlane repeats writes itself"),
    "retryreads": ("false", "fastlane repeats reads itself"),
    "timeoutms": (None, "each call has a time limit already"),
    "wtimeoutms": (None, "each call has a time limit already"),
    "sockettimeoutms": (None, "each call has a time limit already"),
}
"""Options that fastlane sets itself: the value with which a URL may repeat each of them, and the reason."""

_MONGO_HOST = r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._~%-]+\.sock)"
_MONGO_URL = re.compile(
    rf"mongodb://([^/@?#]+@)?{_MONGO_HOST}(:[0-9]{{1,5}})?(,{_MONGO_HOST}(:[0-9]{{1,5}})?)*(/[A-Za-z0-9_-]{{0,63}})?(\?[^?#\s]*)?"
    rf"|mongodb\+srv://([^/@?#]+@)?[A-Za-z0-9.-]+(/[A-Za-z0-9_-]{{0,63}})?(\?[^?#\s]*)?",
    re.ASCII,
)
_EXAMPLE = "mongodb://USER:PASSWORD@HOST:27017,HOST:27017/DATABASE?replicaSet=NAME"
_PASSWORD = "with /, :, @ and % in a password as %2F, %3A, %40 and %25"


def _read(value: object) -> str:
    text = read_stripped_text(value)
    if text.startswith(MONGO):
        return _mongo(text)
    if not text.startswith(SQLITE) or text.removeprefix(SQLITE) in ("", "/", ":memory:") or "\0" in text:
        words = f"is not the URL of a store; write {SQLITE}PATH ({SQLITE}/var/lib/fastlane/fastlane.db is an absolute path)"
        raise ValueError(f"{words}, or {_EXAMPLE}")
    return text


def _mongo(text: str) -> str:
    if not _MONGO_URL.fullmatch(text):
        raise ValueError(f"is not the URL of a MongoDB; write {_EXAMPLE}, {_PASSWORD}, or mongodb+srv://USER:PASSWORD@NAME/DATABASE")
    if not text.partition("://")[2].partition("?")[0].partition("/")[2]:
        raise ValueError("names no database; write its name after the hosts, such as mongodb://HOST:27017/fastlane")
    for name, chosen in parse_qsl(text.partition("?")[2], keep_blank_values=True):
        only, why = FIXED.get(name.lower(), (chosen, ""))
        if only is None or chosen.lower() != only.lower():
            raise ValueError(f"has the option {name.lower()}: {why}; leave the option out")
    return text


def _resolved(url: str, invocation: Invocation) -> str:
    return url if url.startswith(MONGO) else f"{SQLITE}{invocation.cwd / url.removeprefix(SQLITE)}"


STORE_URL = SettingType(_read, scrub, resolve=_resolved)


FOLDER, BUCKET = "file://", "s3://"
_BUCKET_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.-]+)*/?", re.ASCII)


def _archive_url(value: object) -> str:
    text = read_stripped_text(value)
    path = text.removeprefix(FOLDER)
    if _BUCKET_URL.fullmatch(text):
        return text.removesuffix("/")
    if not text.startswith(FOLDER) or not path.startswith("/") or path == "/" or "\0" in text:
        words = f"write {FOLDER}/PATH of a folder that exists, or {BUCKET}BUCKET/PREFIX, with the bucket's server as archive_endpoint"
        raise ValueError(f"is not the URL of an archive; {words}")
    return text


def _endpoint(value: object) -> str:
    text = read_stripped_text(value).removesuffix("/")
    url = _http_url(text)
    if url is None or text != f"{url.scheme}://{url.netloc}" or "@" in url.netloc:
        raise ValueError("is not the URL of a server; write https://HOST or http://HOST:PORT, without a path or keys")
    return text


ARCHIVE_URL = SettingType(_archive_url)
ENDPOINT = SettingType(_endpoint)
REGION = SettingType(read_text_if(r"[a-z0-9-]{1,40}", "is not a region; write one such as us-east-1", quotes=True))
ACCESS_KEY = SettingType(
    read_text_if(r"[!-~]{3,128}", "is not a key: it has 3 to 128 characters, and no spaces"), lambda key: MASK if key else ""
)


_DSN = r"https?://[^\s@/:]+(:[^\s@/]+)?@[^\s@/?#]+/[^\s?#]*[0-9]+"


def _collector_url(value: object) -> str:
    text = read_stripped_text(value)
    if _http_url(text) is None or len(text.split()) != 1:
        raise ValueError("is not the URL of a collector; write http://HOST:4318/v1/traces, or with https")
    return text


COLLECTOR_URL = SettingType(_collector_url, scrub)
SENTRY_DSN = SettingType(
    read_text_if(_DSN, "is not a DSN of Sentry; write https://KEY@HOST/PROJECT, as the project's settings there have it"),
    lambda dsn: re.sub("//[^@]*@", f"//{MASK}@", dsn),
)


BOTH, NEITHER = "both a password and a passwordFile", "neither a password nor a passwordFile"

_REGISTRY_HOST = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?", re.ASCII)


def _host(value: object) -> str:
    text = read_stripped_text(value)
    if not _REGISTRY_HOST.fullmatch(text):
        raise ValueError("is not a registry; write HOST or HOST:PORT as its image names begin, or docker.io")
    return registry_host(text)


def _password(value: object) -> str:
    text = read_text(value)
    if not text:
        raise ValueError("is empty; leave out the registry to use it without a login")
    return text


REGISTRY_KEYS: Keys = {
    "host": Key("host", _host),
    "username": Key(
        "username", read_text_if(lambda text: ":" not in text and text.isprintable(), "is not a user name; write one without ':'")
    ),
    "password": Key("password", _password),
    "passwordFile": Key("password_file", lambda value: read_file_path(value, "/run/secrets/registry")),
}


def _registries(value: object) -> tuple[RegistryLogin, ...]:
    example = '[{"host": "registry.example.com", "username": "ci", "passwordFile": "/run/secrets/registry"}]'
    rows = read_tables(value, "registry", REGISTRY_KEYS, ("host", "username"), example, "registries")
    faults = [
        Fault("", f"registry {number}: has {BOTH if 'password' in row else NEITHER}; write one of them")
        for number, row in enumerate(rows, 1)
        if ("password" in row) is ("password_file" in row)
    ]
    hosts = [row["host"] for row in rows]
    faults += [
        Fault("", f"two registries are {host!r}; leave out one") for host in sorted({host for host in hosts if hosts.count(host) > 1})
    ]
    if faults:
        raise Invalid(faults)
    return tuple(RegistryLogin(**row) for row in rows)


def _resolve_logins(logins: tuple[RegistryLogin, ...], invocation: Invocation) -> tuple[RegistryLogin, ...]:
    return tuple(
        login if login.password_file is None else replace(login, password_file=invocation.cwd / login.password_file) for login in logins
    )


def _show(logins: Sequence[RegistryLogin]) -> str:
    def row(login: RegistryLogin) -> dict[str, str]:
        secret = {"password": MASK} if login.password_file is None else {"passwordFile": str(login.password_file)}
        return {"host": login.host, "username": login.username, **secret}

    return json.dumps([row(login) for login in logins], ensure_ascii=False)


def _docker_config(value: object) -> Path | None:
    return None if read_stripped_text(value) == NONE else read_file_path(value, "/run/secrets/registry")


def default_docker_config(folder: str | None) -> Path | None:
    """The file of the docker command's logins: in ``folder``, else in ``~/.docker``; None for a user without a home."""
    try:
        return Path(folder or "~/.docker").expanduser() / "config.json"
    except RuntimeError:
        return None


REGISTRIES = SettingType(_registries, _show, resolve=_resolve_logins, empty=(), tables=True)
DOCKER_CONFIG = SettingType(_docker_config, lambda path: NONE if path is None else str(path), resolve=_resolve_path)
