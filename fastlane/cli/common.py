"""What the server commands share: the way they load settings, and messages to the user."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from fastlane import log
from fastlane.config.load import LoadedSettings, load, load_paths
from fastlane.config.types import Role
from fastlane.errors import Invalid

T = TypeVar("T")


def load_or_exit(role: Role, config: str | None, options: Mapping[str, str | None]) -> LoadedSettings:
    """Loads the settings; on faults, prints each and exits with 2."""
    return _or_exit(lambda: load(role, options=_given(options), config=config))


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


def say(text: str) -> None:
    """Prints one line to standard error, without the secrets of URLs."""
    click.echo(f"fastlane: {' '.join(log.scrub(text).split())}", err=True)
