"""The commands that run fastlane: ``up``, ``api`` and ``worker``."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import structlog

from fastlane import __version__, log
from fastlane.cli.client.command import with_options
from fastlane.cli.common import CONFIG, DATA_DIR, LISTEN, PORT, PROCESSES, load_or_exit, load_paths_or_exit, say
from fastlane.config.load import LoadedSettings, load
from fastlane.config.settings import Settings, way_in
from fastlane.config.types import Role
from fastlane.error_reports import SentryReporter
from fastlane.errors import FastlaneError
from fastlane.redaction import redaction_of

PAGES_MISSING = "To have them, install Node.js and npm, then run `pip install --force-reinstall --no-deps .` in the clone."


def welcome(settings: Settings, port: int) -> str:
    """The lines for a person."""
    url = settings.public_url or _url(settings, port)
    return "\n".join([f"fastlane listens on {_url(settings, port)} ({_reach(settings)})", *_advice(url)])


def open_to_all(settings: Settings) -> str | None:
    """The warning that anyone who reaches the server may do everything; None where only this machine does, or people log in."""
    found = way_in(settings.listen, settings.trusted_proxies, settings.public_url)
    if found is None or settings.users or settings.tokens:
        return None
    return (
        f"warning: {found[1]} and there are no users and no tokens, so everyone who reaches the port can run any container; "
        "`fastlane token` makes a token"
    )


def _advice(url: str) -> Iterator[str]:
    if files("fastlane.static").joinpath("pages").is_dir():
        yield f"Open {url}/ in a browser; the API is at {url}/docs, and the log of a job at its jobUrl with stream at the end."
    else:
        yield f"The web pages are missing. {PAGES_MISSING}"
    yield f"""Run a job: curl -XPOST -d'{{"image": "ubuntu:latest", "command": "ls -lah"}}' {url}/tasks/test-task"""
    yield "Stop it with Ctrl-C; containers that run go on, and the next start takes them up again."


def _url(settings: Settings, port: int) -> str:
    address = ip_address(settings.listen)
    host = "localhost" if address.is_unspecified else f"[{address}]" if address.version == 6 else str(address)
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{port}"


def _reach(settings: Settings) -> str:
    address = ip_address(settings.listen)
    return (
        "this machine only" if address.is_loopback else "every address of this machine" if address.is_unspecified else "other machines too"
    )


@click.command()
@with_options(PORT, LISTEN, DATA_DIR, CONFIG)
def up(config: str | None, **options: str | None) -> None:
    """Runs all of fastlane in one process, on SQLite, its own Redis server and this machine's Docker engine.

    \b
    Examples:
      fastlane up
      fastlane up --port 8080 --data-dir /var/lib/fastlane
    """
    _run("up", config, options)


@click.command()
@with_options(PORT, PROCESSES, LISTEN, DATA_DIR, CONFIG)
def api(config: str | None, **options: str | None) -> None:
    """Serves HTTP. Start any number; they share the store and the queue. Needs a redis_url.

    \b
    Examples:
      FASTLANE_REDIS_URL=redis://queue:6379/0 fastlane api --listen 127.0.0.1
      FASTLANE_REDIS_URL=redis://queue:6379/0 fastlane api --listen 127.0.0.1 --processes 4
    """
    _run("api", config, options)


@click.command()
@with_options(DATA_DIR, CONFIG)
def worker(config: str | None, **options: str | None) -> None:
    """Runs jobs on the Docker hosts. Start any number; they share the work. Needs a redis_url.

    \b
    Example:
      FASTLANE_REDIS_URL=redis://queue:6379/0 fastlane worker --config prod.toml
    """
    _run("worker", config, options)


def _run(role: Role, config: str | None, options: Mapping[str, str | None]) -> None:
    cwd = Path.cwd()
    loaded = load_or_exit(role, config, options, files=True)
    given = {name: value for name, value in options.items() if value is not None}

    def read_pools() -> Any:
        return load(role, cwd=cwd, options=given, config=config, files=True).settings.pools

    if role != "api" or loaded.settings.processes == 1:
        alone = replace(loaded, settings=replace(loaded.settings, processes=1))
        sys.exit(_serve(role, alone, read_pools))
    sys.exit(_serve_together(loaded, read_pools))


def _serve_together(loaded: LoadedSettings, read_pools: Callable[[], Any]) -> int:
    """Runs ``fastlane api`` in several processes; returns the exit code."""
    from fastlane import app  # only now, so that help and faults in settings appear at once
    from fastlane.liveness import check_socket
    from fastlane.process import run_together

    settings = loaded.settings
    log.configure(settings.log_format, settings.log_level)
    try:
        sockets = app.bind("api", settings)
    except FastlaneError as error:
        say(str(error))
        return 1
    path = check_socket(settings.check_socket, settings.data_dir)

    def serve(number: int) -> int:
        port = settings.metrics_port and settings.metrics_port + number
        own = replace(settings, metrics_port=port, check_socket=path if number == 0 else path.with_name(f"{path.name}.{number}"))
        return _serve("api", replace(loaded, settings=own), read_pools, sockets)

    return run_together(settings.processes, serve)


def _serve(role: Role, loaded: LoadedSettings, read_pools: Callable[[], Any], sockets: Sequence[socket.socket] | None = None) -> int:
    """Runs a role in this process; returns the exit code. ``sockets``: what is bound already, to serve on."""
    settings = loaded.settings
    from fastlane.metrics import count

    reporter = _reporter(role, settings)
    last = {} if reporter is None else {"last": reporter}
    log.configure(settings.log_format, settings.log_level, redaction_of(settings.redact_words).message, each=count, **last)
    logger = structlog.get_logger()
    for deprecation in loaded.deprecations:
        logger.warning("setting.renamed", old=deprecation.old, new=deprecation.new, used=deprecation.used)
    try:
        from fastlane import app

        if role != "worker" and (warning := open_to_all(settings)):
            say(warning)
        return app.run(
            role,
            settings,
            access=loaded.access,
            announce=lambda port: _announce(role, settings, port),
            read_pools=read_pools,
            sockets=sockets,
        )
    except FastlaneError as error:
        say(str(error))
    except Exception as error:
        if settings.log_level == "debug":
            logger.exception("command.failed", command=role)
        say(f"failed because of a bug in fastlane, {type(error).__name__}: {error} (FASTLANE_LOG_LEVEL=debug shows where)")
    finally:
        if reporter is not None:
            reporter.close()
    return 1


def _reporter(role: Role, settings: Settings) -> SentryReporter | None:
    """What reports errors, if the settings name where to. Ends the process when it cannot be made."""
    if settings.sentry_dsn is None:
        return None
    try:
        return SentryReporter(settings.sentry_dsn, version=__version__, installation=settings.installation, role=role)
    except FastlaneError as error:
        say(str(error))
        sys.exit(1)


def _announce(role: Role, settings: Settings, port: int) -> None:
    if role == "up":
        click.echo(welcome(settings, port))


TIMEOUT = 5.0


@click.command()
@with_options(DATA_DIR, CONFIG)
@click.option("--timeout", type=click.FloatRange(0, 3600, min_open=True), default=TIMEOUT, help="Wait this many seconds for an answer (5).")
def check(config: str | None, data_dir: str | None, timeout: float) -> None:
    """Checks whether the up, api or worker with these settings works: exits with 0 if it has started and its event loop answers, else
    with 1.

    It has started once its store has opened. From then on an outage of Redis, of the store or of a Docker host does not matter here: a
    restart would not end it.

    \b
    Examples:
      fastlane check
      FASTLANE_CHECK_SOCKET=/run/fastlane/worker.sock fastlane check --timeout 2
    """
    if fault := _fault(_socket(config, data_dir), timeout):
        click.echo(f"fastlane: {fault}", err=True)
        sys.exit(1)
    click.echo("ok")


def _socket(config: str | None, data_dir: str | None) -> Path:
    """Where the process answers. A variable decides alone, so that no other setting can fail the check of a process that runs."""
    if named := os.environ.get("FASTLANE_CHECK_SOCKET"):
        return Path(named).expanduser()
    from fastlane.liveness import check_socket

    paths = load_paths_or_exit(("data_dir", "check_socket"), config, {"data_dir": data_dir})
    folder = paths["data_dir"]
    assert folder is not None
    return check_socket(paths["check_socket"], folder)


def _fault(path: Path, timeout: float) -> str | None:
    """What is wrong with the process that answers at ``path``; None for nothing."""
    from fastlane.liveness import ANSWER, LONGEST_ANSWER

    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            answer = b"".join(iter(lambda: connection.recv(LONGEST_ANSWER), b""))
            if answer:
                return None if answer == ANSWER else f"the process at {path} is starting and waits for {answer.decode(errors='replace')}"
    except (TimeoutError, BlockingIOError):
        return f"the process at {path} has not answered within {timeout:g} s: it is frozen, or its event loop is blocked"
    except OSError as error:
        return f"no process answers at {path}: {error.strerror or error}"
    return f"the process at {path} ended"
