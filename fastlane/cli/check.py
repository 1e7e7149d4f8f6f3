"""The command ``fastlane check``, for the health checks of containers and service managers. It is run often, so it imports little."""

import os
import socket
import sys
from pathlib import Path

import click

from fastlane.cli.options import CONFIG, DATA_DIR, with_options

TIMEOUT = 5.0


@click.command()
@with_options(DATA_DIR, CONFIG)
@click.option("--timeout", type=click.FloatRange(0, 3600, min_open=True), default=TIMEOUT, help="Wait this many seconds for an answer (5).")
def check(config: str | None, data_dir: str | None, timeout: float) -> None:
    """Checks whether the up, api or worker with these settings works: exits with 0 if its event loop answers, else with 1.

    An outage of Redis, of the store or of a Docker host does not matter here: a restart would not end it.

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
    from fastlane.cli.common import load_paths_or_exit
    from fastlane.liveness import check_socket

    paths = load_paths_or_exit(("data_dir", "check_socket"), config, {"data_dir": data_dir})
    folder = paths["data_dir"]
    assert folder is not None
    return check_socket(paths["check_socket"], folder)


def _fault(path: Path, timeout: float) -> str | None:
    """What is wrong with the process that answers at ``path``; None for nothing."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            if connection.recv(16):
                return None
    except (TimeoutError, BlockingIOError):
        return f"the process at {path} has not answered within {timeout:g} s: it is frozen, or its event loop is blocked"
    except OSError as error:
        return f"no process answers at {path}: {error.strerror or error}"
    return f"the process at {path} ended"
