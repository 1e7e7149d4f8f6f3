"""The options that several server commands have."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

CONFIG = click.option("--config", metavar="FILE", help="Read this file instead of ./fastlane.toml.")
DATA_DIR = click.option("--data-dir", metavar="DIR", help="Keep data in this directory instead of .fastlane.")
LISTEN = click.option("--listen", metavar="ADDRESS", help="Serve HTTP on this IP address.")
PROCESSES = click.option("--processes", metavar="N", help="Serve that port with N processes, to use more than one core.")
PORT = click.option("--port", metavar="PORT", help="Serve HTTP on this port instead of 10000; 0 takes any free port.")


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """A decorator that gives a command these options, in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
