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
from fastlane.config import SETTINGS, Loaded, Setting, Settings, load
from fastlane.errors import FastlaneError, Invalid
from fastlane.kinds import Role, pool_row

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
    click.echo(_as_json(loaded) if as_json else _as_table(loaded))


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


def _load(role: Role, config: str | None, options: dict[str, str | None]) -> Loaded:
    try:
        return load(role, options={name: text for name, text in options.items() if text is not None}, config=config)
    except Invalid as error:
        for fault in error.faults:
            _say(str(fault))
        sys.exit(2)


def _run(role: Role, config: str | None, options: dict[str, str | None]) -> None:
    settings = _load(role, config, options).settings
    log.configure(settings.log_format, settings.log_level)
    logger = structlog.get_logger()
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
    return "none" if value is None or value == () else setting.kind.show(value)


def _as_table(loaded: Loaded) -> str:
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


def _as_json(loaded: Loaded) -> str:
    def plain(setting: Setting, value: Any) -> object:
        if setting.name == "pools":
            return [pool_row(pool) for pool in value]
        return setting.kind.show(value) if setting.secret and value else str(value) if isinstance(value, Path) else value

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


def markdown() -> str:
    """The page ``docs/configuration.md``."""
    rows = [f"| `{row.name}` | {row.default} | {row.meaning}{' (secret)' if row.secret else ''} |" for row in SETTINGS]
    return PAGE.format(rows="\n".join(rows), secrets=" and ".join(f"`{row.variable}_FILE`" for row in SETTINGS if row.secret))


PAGE = """\
# Configuration

<!-- Written by `fastlane config --markdown`; change the table in fastlane/config.py instead. -->

fastlane runs without any. What you set is read once, at the start; everything wrong with it is named at once, and the exit code is 2.
`fastlane config` shows each setting's value here and now, and where it comes from.

A value comes from, first to last:

1. an option of the command: `fastlane up --port 8080`
2. the environment: `FASTLANE_PORT=8080` (an empty variable is the same as none)
3. the file `fastlane.toml` in the current directory, or the one that `--config` or `FASTLANE_CONFIG` names: `port = 8080`
4. the default.

| name | default | meaning |
| --- | --- | --- |
{rows}

- Durations are written as in `startIn`: `15s`, `2m30s`, `1h`; never as a bare number. Sizes: `512KiB`, `1MiB`, or a number of bytes.
- A relative path starts at the current directory.
- A secret may stand in a file of its own instead: {secrets} name one.
- In the environment `trusted_proxies` is separated by commas.
- A name that is not known is a fault, in the file and for variables that start with `FASTLANE_`.

## Pools

A pool says which tasks run on which Docker hosts, and how many of their executions at once. `match` is a regular expression that is
matched from the start of the task's id; the first pool that matches has the task. Without any, there is one for all tasks: on the engine
that `DOCKER_HOST` names (`unix://` or `tcp://`), else on `unix:///var/run/docker.sock`.

```toml
[[pools]]
name = "reports"
match = "report-"
hosts = ["10.0.0.7:2375", "10.0.0.8:2375"]
maxRunning = 20

[[pools]]
name = "default"
match = ""
hosts = ["unix:///var/run/docker.sock"]
pull = "always"
```

| key | default | meaning |
| --- | --- | --- |
| `name` | required | 1 to 64 letters, digits, `_` and `-` |
| `match` | required | which tasks; the empty one matches all, and stands last |
| `hosts` | required | Docker engines, each a Swarm manager: `unix:///PATH`, `HOST:PORT`, `tcp://HOST:PORT` |
| `maxRunning` | 10 | how many executions of this pool run at once |
| `pull` | missing | `always` asks the registry for every image; `missing` only when a one-node swarm's engine does not have it |

In the environment `FASTLANE_POOLS` is the same as JSON: `[{{"name": "default", "match": "", "hosts": ["10.0.0.7:2375"]}}]`.
"""
