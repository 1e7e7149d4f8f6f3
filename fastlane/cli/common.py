"""The common part of the commands for servers: loading settings, their options, and messages to the user."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fastlane import log
from fastlane.config.load import LoadedSettings, load, load_paths
from fastlane.config.settings import Settings
from fastlane.config.types import Role
from fastlane.errors import FastlaneError, Invalid

T = TypeVar("T")


def load_or_exit(
    role: Role, config: str | None, options: Mapping[str, str | None], *, serving: bool = True, files: bool = False
) -> LoadedSettings:
    """Loads the settings; on faults, prints each and exits with 2. ``serving``, ``files``: as ``load`` takes them."""
    return _or_exit(lambda: load(role, options=_given(options), config=config, serving=serving, files=files))


def load_paths_or_exit(names: Sequence[str], config: str | None, options: Mapping[str, str | None]) -> Mapping[str, Path | None]:
    """Loads these settings alone; on faults, prints each and exits with 2."""
    return _or_exit(lambda: load_paths(names, options=_given(options), config=config))


def _given(options: Mapping[str, str | None]) -> Mapping[str, str]:
    return {name: text for name, text in options.items() if text is not None}


def _or_exit(loaded: Callable[[], T]) -> T:
    try:
        return loaded()
    except Invalid as error:
        for fault in error.faults:
            say(str(fault))
        sys.exit(2)


def load_settings(config: str | None, data_dir: str | None) -> Settings:
    """The settings of a command that works on the store itself; on faults, prints each and exits with 2."""
    settings = load_or_exit("up", config, {"data_dir": data_dir}, serving=False).settings
    log.configure(settings.log_format, "warning")
    return settings


def check_store(settings: Settings) -> None:
    """Raises FastlaneError when the settings name a SQLite file that does not exist."""
    if not settings.store_is_mongo and not settings.store_path.exists():
        raise FastlaneError(f"there is no store at {settings.store_path}; name its folder by --data-dir, or another store by store_url")


def run_or_exit(work: Coroutine[Any, Any, None]) -> None:
    """Does the work of a command on the store; prints what goes wrong, and exits with 1."""
    try:
        asyncio.run(work)
    except FastlaneError as error:
        say(str(error))
        sys.exit(1)
    except BrokenPipeError:  # a reader that has seen enough
        sys.stdout = None
        sys.exit(1)
    except OSError as error:
        say(f"{error.filename or 'the file'}: {error.strerror or error}")
        sys.exit(1)


def say(text: str) -> None:
    """Prints one line to standard error, without the secrets of URLs."""
    click.echo(f"fastlane: {' '.join(log.scrub(text).split())}", err=True)


CONFIG = click.option("--config", metavar="FILE", help="Read this file instead of ./fastlane.toml.")
DATA_DIR = click.option("--data-dir", metavar="DIR", help="Keep data in this directory instead of .fastlane.")
LISTEN = click.option("--listen", metavar="ADDRESS", help="Serve HTTP on this IP address.")
PROCESSES = click.option("--processes", metavar="N", help="Serve that port with N processes, to use more than one core.")
PORT = click.option("--port", metavar="PORT", help="Serve HTTP on this port instead of 10000; 0 takes any free port.")
