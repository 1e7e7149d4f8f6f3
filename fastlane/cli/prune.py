"""The commands ``fastlane prune`` and ``fastlane compact``: old history goes, and the space that it had returns to the disk."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from fastlane.cli.common import check_store, load_settings, run_or_exit, say
from fastlane.cli.options import CONFIG, DATA_DIR, with_options

if TYPE_CHECKING:
    from fastlane.config.settings import Settings

REPORT_EVERY = 5.0
"""Seconds between two lines of progress."""


@click.command("prune")
@with_options(CONFIG, DATA_DIR)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
def prune(config: str | None, data_dir: str | None, dry_run: bool) -> None:
    """Removes what is older, or more, than the settings, pools and jobs keep, from the store that the settings name. Workers do the same
    all the time; this does it now, while fastlane runs or not.

    \b
    Examples:
      fastlane prune --dry-run
      FASTLANE_KEEP_LOGS=2d fastlane prune
    """
    settings = load_settings(config, data_dir)
    run_or_exit(_prune(settings, dry_run=dry_run))


@click.command("compact")
@with_options(CONFIG, DATA_DIR)
def compact(config: str | None, data_dir: str | None) -> None:
    """Rewrites the SQLite file without its free space. Once is enough for a file that an older fastlane made: from then on, workers return
    free space by themselves. Nobody can write meanwhile, so stop the servers and workers before.

    \b
    Examples:
      fastlane compact
      fastlane compact --config prod.toml
    """
    settings = load_settings(config, data_dir)
    run_or_exit(_compact(settings))


async def _prune(settings: "Settings", *, dry_run: bool) -> None:
    from fastlane.app import make_pruner, make_store, opened

    check_store(settings)
    verb = "would go" if dry_run else "gone"
    said_at = time.monotonic()

    def report(counts: Mapping[str, int]) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= REPORT_EVERY:
            said_at = time.monotonic()
            say(f"{verb} so far: {_words(counts)}")

    async with opened(make_store(settings)) as store:
        pruner = make_pruner(settings, store)
        found = await (pruner.overdue(report) if dry_run else pruner.prune_all(report))
    click.echo(f"{verb}: {_words(found.counts)}")


async def _compact(settings: "Settings") -> None:
    from fastlane.app import compact_store

    check_store(settings)
    began = said_at = time.monotonic()

    def report() -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= REPORT_EVERY:
            said_at = time.monotonic()
            say(f"rewriting {settings.store_path} for {said_at - began:.0f} s so far")

    before, after = compact_store(settings, report)
    click.echo(f"{settings.store_path}: {before / 2**20:,.1f} MiB before, {after / 2**20:,.1f} MiB now")


def _words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
