"""The command ``fastlane version``."""

import platform

import click

from fastlane import __version__


@click.command()
@click.option("--verbose", is_flag=True, help="Show the Python version and the platform too.")
def version(verbose: bool) -> None:
    """Shows the version of fastlane.

    \b
    Example:
      fastlane version --verbose
    """
    python = f" (Python {platform.python_version()}, {platform.platform()})" if verbose else ""
    click.echo(f"fastlane {__version__}{python}")
