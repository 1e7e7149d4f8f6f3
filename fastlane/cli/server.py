"""The command ``fastlane``: reads the settings, and hands them to what is to run; shows them; says what went wrong.

Exit codes: 0 for a good end, 1 for something that failed, 2 for settings or options that are wrong.
"""

import json
import platform
import sys
import textwrap
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import click
import structlog

from fastlane import __version__, log
from fastlane.config.credentials import hash_password, hash_token, make_token
from fastlane.config.load import LoadedSettings, load
from fastlane.config.page import markdown
from fastlane.config.settings import SETTINGS, Setting, Settings
from fastlane.config.types import Role
from fastlane.errors import FastlaneError, Invalid

F = TypeVar("F", bound=Callable[..., Any])

CONFIG = click.option("--config", metavar="FILE", help="Read this file instead of ./fastlane.toml.")
DATA_DIR = click.option("--data-dir", metavar="DIR", help="Keep data in this directory instead of .fastlane.")
LISTEN = click.option("--listen", metavar="ADDRESS", help="Serve HTTP on this IP address.")
PORT = click.option("--port", metavar="PORT", help="Serve HTTP on this port instead of 10000; 0 takes any free one.")


def _with(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Runs commands in containers on Docker Swarm: now, later or on a schedule, for anyone who can send an HTTP request.

    \b
    Examples:
      fastlane up                        everything on this machine, at http://127.0.0.1:10000
      fastlane config                    every setting: its value, and where it comes from
      fastlane api --config prod.toml    the HTTP part of a larger installation
      fastlane worker                    the part that runs jobs; start any number
      fastlane password                  the hash of a password, for users in the settings

    \b
    A first job, once `fastlane up` runs:
      curl -X POST -d '{"image": "ubuntu", "command": "ls"}' http://127.0.0.1:10000/tasks/test
    """


@main.command()
@_with(PORT, LISTEN, DATA_DIR, CONFIG)
def up(config: str | None, **options: str | None) -> None:
    """Runs all of fastlane in one process, on SQLite, a Redis of its own and this machine's Docker engine.

    \b
    Examples:
      fastlane up
      fastlane up --port 8080 --data-dir /var/lib/fastlane
    """
    _run("up", config, options)


@main.command()
@_with(PORT, LISTEN, DATA_DIR, CONFIG)
def api(config: str | None, **options: str | None) -> None:
    """Serves HTTP. Start any number; they share the store and the queue. Needs a redis_url.

    \b
    Example:
      FASTLANE_REDIS_URL=redis://queue:6379/0 fastlane api --listen 0.0.0.0
    """
    _run("api", config, options)


@main.command()
@_with(DATA_DIR, CONFIG)
def worker(config: str | None, **options: str | None) -> None:
    """Runs jobs on the Docker hosts. Start any number; they share the work. Needs a redis_url.

    \b
    Example:
      FASTLANE_REDIS_URL=redis://queue:6379/0 fastlane worker --config prod.toml
    """
    _run("worker", config, options)


@main.command("config")
@_with(CONFIG, DATA_DIR)
@click.option("--for", "role", type=click.Choice(["up", "api", "worker"]), default="up", help="The command whose defaults to show: up.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON; durations are seconds, sizes bytes.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Write the page docs/configuration.md instead of the values here.")
def show_config(config: str | None, role: Role, as_json: bool, as_markdown: bool, **options: str | None) -> None:
    """Shows every setting: name, value, where the value comes from, default, meaning. Passwords are hidden.

    \b
    Examples:
      fastlane config
      fastlane config --for worker --json
    """
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    loaded = _load(role, config, options)
    for deprecation in loaded.deprecations:
        _say(str(deprecation))
    click.echo(_as_json(loaded) if as_json else _as_table(loaded))


@main.command()
def password() -> None:
    """Prints the hash of a password, to stand in the settings: asks for it twice, or reads it from standard input.

    \b
    Examples:
      fastlane password
      printf %s "$PASSWORD" | fastlane password

    \b
    The hash goes into fastlane.toml:
      [[users]]
      name = "anna"
      password = "scrypt:15:8:3:…"
      role = "run"
    """
    if sys.stdin.isatty():
        text = click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    else:
        text = sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text or "\ufffd" in text:
        _say("that is no password; give one line of text, not empty, in UTF-8")
        sys.exit(2)
    click.echo(hash_password(text))


@main.command()
def token() -> None:
    """Makes a bearer token: prints it, this once, and its hash, to stand in the settings.

    \b
    Example:
      fastlane token

    \b
    The hash goes into fastlane.toml, the token to who uses it (curl -H "Authorization: Bearer TOKEN"):
      [[tokens]]
      name = "ci"
      token = "sha256:…"
      role = "run"
    """
    made = make_token()
    click.echo(f"token: {made}\nhash:  {hash_token(made)}")


@main.command()
@click.option("--verbose", is_flag=True, help="Say the Python version too.")
def version(verbose: bool) -> None:
    """Says which fastlane this is.

    \b
    Example:
      fastlane version --verbose
    """
    python = f" (Python {platform.python_version()}, {platform.platform()})" if verbose else ""
    click.echo(f"fastlane {__version__}{python}")


def _load(role: Role, config: str | None, options: dict[str, str | None]) -> LoadedSettings:
    try:
        return load(role, options={name: text for name, text in options.items() if text is not None}, config=config)
    except Invalid as error:
        for fault in error.faults:
            _say(str(fault))
        sys.exit(2)


def _run(role: Role, config: str | None, options: dict[str, str | None]) -> None:
    loaded = _load(role, config, options)
    settings = loaded.settings
    log.configure(settings.log_format, settings.log_level)
    logger = structlog.get_logger()
    for deprecation in loaded.deprecations:
        logger.warning("setting.renamed", old=deprecation.old, new=deprecation.new, used=deprecation.used)
    try:
        sys.exit(_runner(role)(settings))
    except FastlaneError as error:
        _say(str(error))
    except Exception as error:
        if settings.log_level == "debug":
            logger.exception("command.failed", command=role)
        _say(f"ended by a fault of its own, {type(error).__name__}: {error} (FASTLANE_LOG_LEVEL=debug shows where)")
    sys.exit(1)


def _runner(role: Role) -> Callable[[Settings], int]:
    """What runs a command; imported only now, so that help, version and faults in settings come at once."""
    from fastlane import app

    return {"up": app.run_up, "api": app.run_api, "worker": app.run_worker}[role]


def _say(text: str) -> None:
    click.echo(f"fastlane: {' '.join(log.scrub(text).split())}", err=True)


def _shown(setting: Setting, value: object) -> str:
    return "none" if value is None or value == () else setting.type.show(value)


def _as_table(loaded: LoadedSettings) -> str:
    rows = [("NAME", "VALUE", "FROM", "DEFAULT", "MEANING")]
    for setting in SETTINGS:
        value = _shown(setting, getattr(loaded.settings, setting.name))
        rows.append((setting.name, value, loaded.origins[setting.name], setting.default, setting.meaning))
    return _aligned(rows, (20, 40, 30, 26, 50))


def _aligned(rows: Sequence[Sequence[str]], widest: Sequence[int]) -> str:
    """Columns of text; a cell that is wider than its column may be goes on in the next line."""
    widths = [min(most, max(len(row[place]) for row in rows)) for place, most in enumerate(widest)]
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _as_json(loaded: LoadedSettings) -> str:
    def plain(setting: Setting, value: Any) -> object:
        if setting.type.tables:
            return json.loads(setting.type.show(value))
        return setting.type.show(value) if setting.secret and value else str(value) if isinstance(value, Path) else value

    rows = {
        setting.name: {
            "value": plain(setting, getattr(loaded.settings, setting.name)),
            "from": loaded.origins[setting.name],
            "default": setting.default,
            "meaning": setting.meaning,
        }
        for setting in SETTINGS
    }
    return json.dumps(rows, indent=2, ensure_ascii=False)
