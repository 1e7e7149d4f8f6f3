"""The commands that run fastlane: ``up``, ``api`` and ``worker``."""

import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import structlog

from fastlane import __version__, log
from fastlane.cli.common import load_or_exit, say
from fastlane.cli.options import CONFIG, DATA_DIR, LISTEN, PORT, PROCESSES, with_options
from fastlane.cli.welcome import open_to_all, welcome
from fastlane.config.load import LoadedSettings, load
from fastlane.config.settings import Settings
from fastlane.config.types import Role
from fastlane.error_reports import SentryReporter
from fastlane.errors import FastlaneError
from fastlane.redaction import redaction_of


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
    loaded = load_or_exit(role, config, options)
    given = {name: value for name, value in options.items() if value is not None}

    def read_pools() -> Any:
        return load(role, cwd=cwd, options=given, config=config).settings.pools

    if role != "api" or loaded.settings.processes == 1:
        alone = replace(loaded, settings=replace(loaded.settings, processes=1))
        sys.exit(_serve(role, alone, read_pools))
    sys.exit(_serve_together(loaded, read_pools))


def _serve_together(loaded: LoadedSettings, read_pools: Callable[[], Any]) -> int:
    """Runs ``fastlane api`` in several processes; returns the exit code."""
    from fastlane import app  # only now, so that help and faults in settings appear at once
    from fastlane.liveness import check_socket
    from fastlane.process_group import run_together

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
    from fastlane.metrics.log_events import count

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
